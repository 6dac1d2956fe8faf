"""How much of each object's neighbourhood a layout keeps.

    kept(i) = |near_plane(i) ∩ near(i)| / k

with the k nearest in the plane and the k nearest in the representation the layout was made of, or in another layout. 1: the
same neighbours; k / (n − 1) is what chance would keep. Its mean is the neighbourhood preservation of Lee & Verleysen (2009,
Neurocomputing 72, 1431), Q_NX(k); here every object has its own, so that a map can show where it is torn.

Cost: a k-d tree of the plane and one query an object: 5 s for 10⁶ on two cores. The representation's neighbours are those
that are stored; without them they are computed, above `MOST` objects only those of a sample, among themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from engine import files
from engine.errors import UserError
from engine.maps.agreement import NEAR, in_common
from engine.maps.components import balanced_coordinates
from engine.maps.neighbours import COORDINATES, exact, neighbours, stored

if TYPE_CHECKING:
    from engine.survey import Survey

#: Objects up to which the neighbours of all are computed where none are stored; and the sample beyond.
MOST, SAMPLE = 100_000, 20_000
#: Objects asked for at once.
CHUNK = 100_000


def kept(survey: Survey, layout: str, other: str | None = None, *, k: int = NEAR, seed: int = 0) -> np.ndarray:
    """Share of each object's neighbours that a layout keeps.

    Parameters
    ----------
    survey : Survey
    layout : str
    other : str, optional
        Another layout to compare with; the representation that `layout` was made of if not given.
    k : int
        Neighbours.

    Returns
    -------
    (N,) float32
        0 to 1; NaN where an object has no place, no vector, or is not of the sample.

    Raises
    ------
    UserError
        If a layout is not there, or was not made of a representation and no other is given.
    """
    xy = np.asarray(survey.layout_xy(layout), np.float64)
    placed = np.isfinite(xy).all(axis=1)
    if other is not None:
        beside = np.asarray(survey.layout_xy(other), np.float64)
        rows = np.flatnonzero(placed & np.isfinite(beside).all(axis=1))
        return _shares(len(xy), rows, _Plane(xy[rows], k), _Plane(beside[rows], k))
    name = files.read_json(survey.path / "layouts" / layout / "meta.json").get("representation")
    if name not in survey.representations:
        raise UserError(
            f"the layout {layout!r} is not of a representation that is there",
            "compare it with another layout, or make a layout of a representation",
        )
    found = survey.representation(name)
    rows = np.flatnonzero(placed & np.asarray(found.valid))
    near = stored(survey, name, k=k)
    if near is None and len(rows) <= MOST:
        near = neighbours(survey, name, k=k)
    if near is not None:
        return _shares(len(xy), rows, _Plane(xy[rows], k), _Graph(near.indices, rows, k))
    rows = np.sort(np.random.default_rng(seed).choice(rows, SAMPLE, replace=False))
    vectors = balanced_coordinates(np.asarray(found.vectors[rows], np.float32), np.ones(len(rows), bool), COORDINATES)
    return _shares(len(xy), rows, _Plane(xy[rows], k), _Listed(exact(vectors, k).indices))


def _shares(count: int, rows: np.ndarray, first, second) -> np.ndarray:
    """Share of neighbours in common for some rows of a survey of `count`, NaN for the others."""
    shares = np.full(count, np.nan, np.float32)
    for start in range(0, len(rows), CHUNK):
        part = slice(start, min(start + CHUNK, len(rows)))
        here, there = first.near(part), second.near(part)
        shares[rows[part]] = in_common(here, there) / np.float32(max(1, here.shape[1]))
    return shares


class _Plane:
    """Neighbours in the plane, among the points given."""

    def __init__(self, xy: np.ndarray, k: int):
        self._xy, self._k = xy, min(k, len(xy) - 1)
        self._tree = cKDTree(xy) if len(xy) > 1 else None

    def near(self, part: slice) -> np.ndarray:
        if self._tree is None:
            return np.empty((part.stop - part.start, 0), np.int64)
        found = self._tree.query(self._xy[part], self._k + 1, workers=-1)[1]
        own = found == np.arange(part.start, part.stop)[:, None]
        own[~own.any(axis=1), -1] = True  # many at one place: it is not among its own nearest
        return found[~own].reshape(len(found), self._k)


class _Graph:
    """Neighbours in a stored graph, as numbers among the rows given; −1 for others."""

    def __init__(self, indices: np.ndarray, rows: np.ndarray, k: int):
        self._indices, self._rows, self._k = indices, rows, min(k, indices.shape[1], len(rows) - 1)
        self._number = np.full(len(indices) + 1, -1, np.int64)
        self._number[rows] = np.arange(len(rows))

    def near(self, part: slice) -> np.ndarray:
        return self._number[self._indices[self._rows[part], : self._k]]


class _Listed:
    """Neighbours that were found among the rows given."""

    def __init__(self, indices: np.ndarray):
        self._indices = np.asarray(indices, np.int64)

    def near(self, part: slice) -> np.ndarray:
        return self._indices[part]
