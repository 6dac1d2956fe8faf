"""How many objects are in view, and how many of each category: exact, for a fraction of what drawing them costs.

Tiles strictly inside the view are counted as a whole, only points of the tiles on its border are looked at. For
categories, the counts up to every `STEP`-th point are kept (as for rank in succinct bit vectors, Jacobson 1989), so that
a run of points costs two look-ups and its ends. Cost: O(points of the border's tiles + `STEP` · rows of tiles);
memory N · K · 4 / `STEP` bytes for K categories.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from engine.maps.drawing.points import Points

#: Points between two places whose counts are kept.
STEP = 1024


class Census:
    """Counts of points by category.

    Parameters
    ----------
    points : Points
    codes : (M,) uint8, optional
        Category of each point of the index, in tile order, below `kinds`; one category if not given.
    kinds : int
        K.
    step : int
        Points between two places whose counts are kept.
    """

    def __init__(self, points: Points, codes: np.ndarray | None = None, *, kinds: int = 1, step: int = STEP):
        self.points, self.codes, self.kinds, self._step = points, codes, kinds, step
        if codes is not None:
            self._ranks = np.zeros((len(points) // step + 1, kinds), np.uint32)
            _rank(codes, points.positions, len(points), step, self._ranks)

    def within(self, box: tuple[float, float, float, float]) -> np.ndarray:
        """Objects in a box (x0, x1, y0, y1), its border included, by category, (K,) int64."""
        within, border = self.points.parted(box)
        index, positions, found = self.points.index, self.points.positions, np.zeros(self.kinds, np.int64)
        if self.codes is None:
            found[0] = (within[:, 1] - within[:, 0]).sum()
        else:
            _add_runs(self.codes, positions, within, self._step, self._ranks, found)
        _add_inside(index.x, index.y, positions, border, box, self.codes, found)
        return found


@njit(cache=True, nogil=True)
def _code(codes, positions, i):
    return codes[i] if positions is None else codes[positions[i]]


@njit(cache=True, nogil=True)
def _rank(codes, positions, count, step, ranks):
    """Fill in how many of each code are among the first k · step points."""
    now = np.zeros(ranks.shape[1], np.uint32)
    for i in range(count):
        if i % step == 0:
            ranks[i // step] = now
        now[_code(codes, positions, i)] += np.uint32(1)
    if count % step == 0:
        ranks[count // step] = now


@njit(cache=True, nogil=True)
def _add_runs(codes, positions, ranges, step, ranks, found):
    """Add the points of whole ranges."""
    for r in range(len(ranges)):
        begin, end = ranges[r, 0], ranges[r, 1]
        low, high = -(-begin // step), end // step
        if low < high:
            for kind in range(len(found)):
                found[kind] += np.int64(ranks[high, kind]) - np.int64(ranks[low, kind])
        else:
            low = high = -(-end // step)  # none of the places lies in between: the run is counted as one end
        for i in range(begin, min(low * step, end)):
            found[_code(codes, positions, i)] += 1
        for i in range(high * step, end):
            found[_code(codes, positions, i)] += 1


@njit(cache=True, nogil=True)
def _add_inside(x, y, positions, ranges, box, codes, found):
    """Add the points of some ranges that are inside a box."""
    x0, x1, y0, y1 = box
    for r in range(len(ranges)):
        for k in range(ranges[r, 0], ranges[r, 1]):
            i = k if positions is None else positions[k]
            px, py = np.float64(x[i]), np.float64(y[i])
            if px >= x0 and px <= x1 and py >= y0 and py <= y1:
                if codes is None:
                    found[0] += 1
                else:
                    found[codes[i]] += 1
