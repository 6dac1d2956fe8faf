"""What a session asks for when it searches by likeness: the query, and what may be found. Frozen; a change is a new one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from engine.search.likeness.apart import SEPARATION
from engine.search.likeness.asked import Filters, Query
from engine.search.likeness.origin import origin
from engine.search.likeness.space import KINDS
from engine.search.similar import search
from engine.survey import Survey

#: How many objects can be listed.
SIZES = (50, 200, 1000, 5000)


@dataclass(frozen=True)
class Asking:
    """What is asked for.

    Attributes
    ----------
    query : Query
        What to be like, and unlike.
    selected : bool
        Search among the selected objects only.
    unlabelled : bool
        Leave out what has a label for the session's target.
    condition : str
        Only what meets it, such as ``snr > 10``.
    separation : float
        arcsec; of objects closer together on the sky only the one most alike; 0: all.
    turned : bool
        See what is asked for in its eight positions.
    features : str
        One of `KINDS`.
    top : int
        One of `SIZES`.
    """

    query: Query = field(default_factory=Query)
    selected: bool = False
    unlabelled: bool = False
    condition: str = ""
    separation: float = 0.0
    turned: bool = False
    features: str = KINDS[0]
    top: int = SIZES[1]

    def about(self, query: Query) -> Asking:
        """The same of another query."""
        return replace(self, query=query)

    def beginning(self, rows: np.ndarray | None) -> Asking:
        """The same, like some objects and nothing else."""
        return self.about(Query() if rows is None else Query(np.asarray(rows, np.int64)))

    @property
    def filtered(self) -> bool:
        """Whether anything is left out."""
        return bool(self.selected or self.unlabelled or self.condition or self.separation)

    def set(self, name: str, value) -> Asking:
        """The same with another option, as a page sends it; itself where that makes no sense."""
        match name:
            case "selected" | "unlabelled" | "turned" if isinstance(value, bool):
                return replace(self, **{str(name): value})  # type: ignore[arg-type]
            case "condition" if isinstance(value, str):
                return replace(self, condition=value.strip()[:500])
            case "features" if value in KINDS:
                return replace(self, features=value)
            case "top" if value in SIZES:
                return replace(self, top=value)
            case "separation" if isinstance(value, int | float) and 0 <= value <= 3600:
                return replace(self, separation=float(value))
            case "apart" if isinstance(value, bool):
                return replace(self, separation=SEPARATION if value else 0.0)
        return self

    def find(
        self, survey: Survey, representation: str | None, *, selection: np.ndarray | None, target: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows and scores, the most similar first.

        Raises
        ------
        UserError
            If the search cannot be made.
        """
        within = (np.zeros(0, np.int64) if selection is None else selection) if self.selected else None
        filters = Filters(within, self.condition, target if self.unlabelled else "", self.separation)
        space = survey.spaces.of(representation, self.features)
        return search(survey, self.query, space, filters=filters, top=self.top, augment=self.turned)

    def origin(self, survey: Survey, representation: str | None, count: int) -> dict:
        """Where a selection of what was found comes from."""
        like, unlike = (survey.ids.take(rows).to_pylist() for rows in (self.query.like, self.query.unlike))
        return origin(
            like,
            unlike,
            others=[example.name for example in self.query.examples],
            count=count,
            representation=representation,
            query=self.condition,
            min_separation=self.separation,
            features=self.features,
            whole=not (self.selected or self.unlabelled or self.turned),
        )
