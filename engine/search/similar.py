"""Objects like some, and unlike others.

One query object: the cosine between its standardised components and everyone's. Several: the target is their mean t,
and a component counts for more the better they agree on it,

    score(x) = Σ w·t·x / (√Σ w·t² · √Σ w·x²),    w = 1/var of the queries, Σ w = 1

(Walmsley et al. 2022, MNRAS 513, 1581; sky_embeddings). The variance of few objects is mostly chance, so it is drawn
towards that of the whole survey, which is 1; with one object the weights are equal and the score is the cosine. Half the
same score for the objects to be unlike is subtracted. Whole vectors instead of components: `engine.search.likeness.space`.
Queries that are no objects (an image, a region, a place): `engine.search.likeness.asked`.

Cost: one pass over the features, N·d (`engine.search.likeness.scan`); the answer is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import UserError
from engine.search.find import NEAREST
from engine.search.likeness import asked
from engine.search.likeness.apart import apart
from engine.search.likeness.asked import Filters, Query
from engine.search.likeness.space import Space

if TYPE_CHECKING:
    from engine.survey import Survey

#: Objects asked for at first for each one wanted, when some will be dropped for lying close together.
SPARE = 3


@dataclass(frozen=True)
class Similar:
    """What was found.

    Attributes
    ----------
    rows : (n,) int64
        The most similar first, equal scores in order of the row.
    score : (n,) float64
        From −1 to 1; with objects to be unlike, from −1.5 to 1.5.
    notes : tuple of str
        What a person should know of the query: how far the nearest object was, what was done to an image.
    query : Query
        With what an image, a region or a place became.
    """

    rows: np.ndarray
    score: np.ndarray
    notes: tuple[str, ...] = ()
    query: Query = field(default_factory=Query)


def similar(
    survey: Survey,
    rows: Sequence[int] | np.ndarray = (),
    *,
    unlike: Sequence[int] | np.ndarray = (),
    top: int = 25,
    representation: str | None = None,
    **options,
) -> tuple[np.ndarray, np.ndarray]:
    """Rank objects by likeness to some; the rows and scores of `find_similar`, which takes the same options."""
    found = find_similar(survey, rows, unlike=unlike, top=top, representation=representation, **options)
    return found.rows, found.score


def find_similar(
    survey: Survey,
    rows: Sequence[int] | np.ndarray = (),
    *,
    unlike: Sequence[int] | np.ndarray = (),
    image: str | Path | None = None,
    region: tuple[int, float, float, float, float] | None = None,
    near: tuple[float, float] | None = None,
    radius: float = NEAREST,
    top: int = 25,
    within: np.ndarray | None = None,
    query: str = "",
    unlabelled: str = "",
    min_separation: float = 0.0,
    augment: bool = False,
    features: str = "components",
    representation: str | None = None,
) -> Similar:
    """Rank objects by likeness.

    Parameters
    ----------
    survey : Survey
    rows : (m,) int
        Objects to be like; at least one, or an image, a region or a place.
    unlike : (q,) int
        Objects to be unlike.
    image : path, optional
        A picture or FITS file to be like.
    region : row, x0, y0, x1, y1, optional
        A part of an object's cutout to be like, in pixels from the outer edge of the first one.
    near : ra, dec, optional
        A place on the sky, deg: the object nearest to it, and nearer than `radius` (arcsec), is one to be like.
    top : int
        Objects wanted.
    within, query, unlabelled, min_separation
        What may be found: see `engine.search.likeness.asked.Filters`.
    augment : bool
        Encode each object asked for in its eight positions, and take the mean.
    features : str
        ``components`` or ``vectors``: see `engine.search.likeness.space`.
    representation : str, optional
        The newest if not given.

    Returns
    -------
    Similar
        Without the objects asked for, and without those whose pixels could not be read.

    Raises
    ------
    UserError
        If nothing is asked for, it has no vector, or a filter makes no sense.
    """
    space = survey.spaces.of(representation, features)
    name, notes = space.representation.name, []
    wanted = Query(np.unique(np.asarray(rows, np.int64)), np.unique(np.asarray(unlike, np.int64)))
    if near is not None:
        row, distance = asked.at_place(survey, *near, radius=radius)
        wanted = wanted.more(row)
        notes.append(f"the object nearest to the place is {survey.ids[row].as_py()}, {distance:.2f} arcsec away")
    examples = []
    if image is not None:
        examples.append(asked.of_image(survey, image, representation=name))
    if region is not None:
        examples.append(asked.of_region(survey, region[0], region[1:], representation=name))
    for example in examples:
        notes += [f"{example.name}: {note}" for note in example.notes]
    wanted = Query(wanted.like, wanted.unlike, tuple(examples))
    filters = Filters(within, query or "", unlabelled or "", min_separation or 0.0)
    found = search(survey, wanted, space, filters=filters, top=top, augment=augment)
    return Similar(*found, tuple(notes), wanted)


def search(
    survey: Survey,
    query: Query,
    space: Space,
    *,
    filters: Filters | None = None,
    top: int = 25,
    augment: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and scores of what is most like a query, as `find_similar` finds them."""
    filters = filters or Filters()
    like, unlike = coordinates(survey, query, space, augment=augment)
    allowed = filters.allowed(survey) & space.valid
    allowed[query.rows] = False
    forms = space.forms(like, unlike)
    if not filters.min_separation:
        return space.best(forms, allowed, top)
    ra, dec = (np.asarray(survey.column(name), np.float64) for name in ("ra", "dec"))
    taken = np.column_stack([ra[query.rows], dec[query.rows]])
    count = int(np.count_nonzero(allowed))
    ask = min(count, max(SPARE * top, 1))
    while True:
        rows, score = space.best(forms, allowed, ask)
        kept = apart(ra[rows], dec[rows], filters.min_separation, taken, most=top)
        if len(kept) >= top or ask >= count:
            return rows[kept], score[kept]
        ask = min(count, 4 * ask)


def coordinates(survey: Survey, query: Query, space: Space, *, augment: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Where a query lies in a space: what to be like, (m, d), and unlike, (q, d); float64.

    Raises
    ------
    UserError
        If there is nothing to be like, or none of it has a vector in this space.
    """
    if not query:
        raise UserError("there is no object to be like", "give at least one, an image, a region or a place")
    name = space.representation.name
    other = [example for example in query.examples if example.representation != name]
    if other:
        raise UserError(
            f"{other[0].name} was encoded for the representation {other[0].representation!r}, not {name!r}",
            "give it again",
        )
    rows = _usable(query.like, space.valid, "like") if len(query.like) else query.like
    less = _usable(query.unlike, space.valid, "unlike") if len(query.unlike) else query.unlike
    if augment:
        like, unlike = asked.turned(survey, Query(rows, less, query.examples), representation=name)
        return space.place(like), space.place(unlike)
    brought = np.array([e.vector for e in query.examples], np.float64).reshape(
        -1, space.representation.vectors.shape[1]
    )
    return np.concatenate([space.at(rows), space.place(brought)]) if len(brought) else space.at(rows), space.at(less)


def _usable(rows: np.ndarray, valid: np.ndarray, what: str) -> np.ndarray:
    asked.require_rows(rows, len(valid), f"an object to be {what}")
    usable = rows[valid[rows]]
    if len(usable) == 0:
        raise UserError(f"none of the objects to be {what} could be read, so none has a vector", "give another one")
    return usable
