"""Where a cluster's name belongs on a layout: at the densest place of its members, which a ring's mean is not.

The members' bulk is counted in a grid, the counts are smoothed over 3 × 3 cells, and what lies around the fullest cell
is counted in a finer grid, until it is few; the place is the member nearest to the middle of these. So it is always a
member, in any layout, and of a cluster in pieces it is in the fullest.

Cost: one sort of the codes, and at most `MEMBERS` objects a cluster; 10⁶ objects 0.2 s.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

#: Members looked at, evenly taken from all.
MEMBERS = 20_000
#: Cells a side, at most, and members that a cell should hold on average.
CELLS, FULL = 48, 8
#: Grids, one in the other, and members below which there is no finer one.
LEVELS, FEW = 3, 40
#: Percent of the members beyond the grid on each side.
TAIL = 2.0


@dataclass(frozen=True)
class Peaks:
    """The densest place of each of K clusters.

    Attributes
    ----------
    rows : (K,) int64
        The member there; −1 where no member has a place.
    xy : (K, 2) float32
        Its position, NaN where there is none.
    extent : (K,) float32
        Size of the square that holds the bulk of the members, in the layout's units; 0 where there is none.
    """

    rows: np.ndarray
    xy: np.ndarray
    extent: np.ndarray


def peaks(xy: np.ndarray, codes: np.ndarray, count: int, *, rows: np.ndarray | None = None) -> Peaks:
    """The densest place of every cluster.

    Parameters
    ----------
    xy : (N, 2) float32
        A layout; NaN where an object has no place.
    codes : (N,) int
        Clusters 0 to count − 1; others are left out.
    count : int
        K.
    rows : (m,) int, optional
        Look at these objects only; all if not given.
    """
    codes = codes if rows is None else codes[rows]
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(count + 1))
    found = Peaks(np.full(count, -1, np.int64), np.full((count, 2), np.nan, np.float32), np.zeros(count, np.float32))
    for code, (begin, end) in enumerate(pairwise(bounds)):
        members = order[begin : end : -(-(end - begin) // MEMBERS) or 1]
        members = members if rows is None else rows[members]
        places = xy[members]
        placed = np.isfinite(places).all(axis=1)
        if placed.any():
            best, extent = densest(places[placed])
            found.rows[code] = members[placed][best]
            found.xy[code], found.extent[code] = places[placed][best], extent
    return found


def densest(places: np.ndarray) -> tuple[int, float]:
    """Which of some places is where they are densest, and the size of the square that holds their bulk.

    Parameters
    ----------
    places : (m, 2) float
        Finite, at least one.
    """
    where, extent = np.arange(len(places)), 0.0
    for level in range(LEVELS):
        near, size = _fullest(places[where])
        extent = extent if level else size
        where = where[near] if len(near) else where
        if len(where) < FEW or size == 0:
            break
    middle = np.median(places[where], axis=0)
    return int(where[((places[where] - middle) ** 2).sum(axis=1).argmin()]), extent


def _fullest(places: np.ndarray) -> tuple[np.ndarray, float]:
    """Which of some places are in and around the fullest cell of a grid, and the size of the grid."""
    low, high = np.percentile(places, [TAIL, 100 - TAIL], axis=0).astype(np.float64)
    extent = float((high - low).max())
    if not extent > 0:  # the bulk is one place
        return np.flatnonzero((places == np.median(places, axis=0)).all(axis=1)), 0.0
    cells = int(np.clip(np.sqrt(len(places) / FULL), 1, CELLS))
    cell = np.clip(((places - low) * (cells / extent)).astype(np.int64), 0, cells - 1)
    counts = np.bincount(cell[:, 1] * cells + cell[:, 0], minlength=cells * cells).reshape(cells, cells)
    around = np.pad(counts, 1)
    smooth = sum(around[a : a + cells, b : b + cells] for a in range(3) for b in range(3)) + counts
    row, column = np.unravel_index(int(smooth.argmax()), smooth.shape)
    near = np.flatnonzero((np.abs(cell[:, 0] - column) <= 1) & (np.abs(cell[:, 1] - row) <= 1))
    return near, extent
