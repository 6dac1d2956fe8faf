"""What the learner says, kept as scores of the survey, and never older than the labels.

A labelled target has three: ``mean_TARGET``, ``sd_TARGET`` and ``acquisition_TARGET``. Queries and catalogues name them like
columns; they are computed when first asked for, and again when the target was labelled since. Beside them lies
``scores/TARGET.json``, written last: up to which event of the log they go, and which representation they were read off.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from engine import files

if TYPE_CHECKING:
    from engine.survey import Survey

KINDS = ("mean", "sd", "acquisition")


@dataclass(frozen=True)
class Said:
    """What the learner said of every object at one moment; labels that come later change nothing of it.

    Attributes
    ----------
    mean, sd : (N,) float64
        NaN where pixels were unreadable.
    acquire : callable
        (mean, sd) → acquisition, elementwise. It is costlier than the posterior, so it is computed of what is asked for.
    """

    mean: np.ndarray
    sd: np.ndarray
    acquire: Callable[[np.ndarray, np.ndarray], np.ndarray]

    @cached_property
    def acquisition(self) -> np.ndarray:
        """How much each object is worth a look, (N,) float64; computed when first asked for."""
        return self.acquire(self.mean, self.sd)

    def at(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean, sd and acquisition of some objects, (n,) each."""
        mean, sd = self.mean[rows], self.sd[rows]
        known = "acquisition" in self.__dict__
        return mean, sd, self.acquisition[rows] if known else self.acquire(mean, sd)


def learned(survey: Survey) -> dict[str, str]:
    """Names of the scores that the survey's labels give, each with its target; none without a representation."""
    if not survey.representations:
        return {}
    return {f"{kind}_{target}": target for target in survey.labels.targets() for kind in KINDS}


def score(survey: Survey, name: str) -> np.ndarray:
    """A score by name, (N,) float32; one that the learner makes is brought up to date first.

    Raises
    ------
    UserError
        If there is none of that name.
    """
    target = learned(survey).get(name)
    if target is not None and not up_to_date(survey, target):
        survey.interest(target).store()
    return survey.score(name)


def up_to_date(survey: Survey, target: str) -> bool:
    """Whether the stored scores of a target know every label of it, and were read off the newest representation."""
    mark = survey.path / "scores" / f"{target}.json"
    if not mark.exists():
        return False
    known = files.read_json(mark)
    return known["event"] >= survey.labels.latest(target) and known["representation"] in survey.representations


def keep(survey: Survey, target: str, values: dict[str, np.ndarray], *, event: int, representation: str) -> None:
    """Store what the learner says of a target.

    Parameters
    ----------
    values : dict
        One (N,) array for each of `KINDS`.
    event : int
        The last event of the log that they know.
    representation : str
        What they were read off.
    """
    for kind in KINDS:
        survey.store_score(f"{kind}_{target}", values[kind])
    files.write_json(survey.path / "scores" / f"{target}.json", {"event": event, "representation": representation})
