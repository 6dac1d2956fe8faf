"""The best few of a million, exactly, without sorting them and without computing a costly score for each.

`leaders`: the count-th highest of the blocks' maxima is no higher than the count-th best score, so that only blocks that reach it
hold any of the best. One reading of the scores, 1 ns an object.

`leaders_by`: a score that rises with the mean and with the sd (`RISING`: expected improvement, upper confidence) lies, for all
objects of a cell of the (mean, sd) plane, between those of the cell's corners. Cells that together hold `count` objects give a
threshold; only objects of cells whose upper corner reaches it are computed. 5 ns an object, and the score itself for a few
thousand: the logarithm of the expected improvement takes 60 ns an object.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit

#: Acquisitions that never fall when the mean or the sd rises, all else equal.
RISING = frozenset({"mean", "expected-improvement", "walmsley", "protege", "upper-confidence"})
#: Objects in a block.
BLOCK = 256
#: Cells along the mean and along the sd.
CELLS = (128, 32)


def leaders(scores: np.ndarray, count: int, *, allowed: np.ndarray | None = None) -> np.ndarray:
    """Rows of the highest scores, the highest first; ties in row order.

    Parameters
    ----------
    scores : (N,) float
        Not NaN where allowed.
    count : int
        Fewer come back if fewer are allowed.
    allowed : (N,) bool, optional

    Returns
    -------
    (≤ count,) int64
    """
    scores = np.ascontiguousarray(scores)
    allowed = np.ones(len(scores), bool) if allowed is None else np.ascontiguousarray(allowed)
    if count <= 0:
        return np.zeros(0, np.int64)
    highest = _highest(scores, allowed)
    least = np.partition(highest, len(highest) - count)[len(highest) - count] if count < len(highest) else -np.inf
    rows = _reaching(scores, allowed, highest, least)
    found = scores[rows]
    if count < len(rows):
        last = np.partition(found, len(rows) - count)[len(rows) - count]
        rows, found = rows[found >= last], found[found >= last]
    return rows[np.argsort(-found, kind="stable")][:count]


def leaders_by(
    score: Callable[[np.ndarray, np.ndarray], np.ndarray],
    mean: np.ndarray,
    sd: np.ndarray,
    count: int,
    *,
    allowed: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the highest scores, and those scores, for a score that falls with neither mean nor sd.

    Parameters
    ----------
    score : callable
        (mean, sd) → (n,) float64, elementwise.
    mean, sd : (N,) float64
        Finite where allowed.
    count : int
    allowed : (N,) bool

    Returns
    -------
    rows : (≤ count,) int64
        The highest first; ties in row order.
    scores : (≤ count,) float64
    """
    box = _box(mean, sd, allowed)
    if count <= 0 or not np.isfinite(box).all():
        return np.zeros(0, np.int64), np.zeros(0)
    edges = [np.linspace(low, high, cells + 1) for (low, high), cells in zip(box, CELLS)]
    width = [max(high - low, np.finfo(float).tiny) for low, high in box]
    cells, held = _cells(mean, sd, allowed, box, np.array(width), np.zeros(CELLS[0] * CELLS[1], np.int64))
    filled = np.flatnonzero(held)
    i, j = np.divmod(filled, CELLS[1])
    slack = [1e-9 * w for w in width]  # an object's cell is found by a product, which may round
    low = score(edges[0][i] - slack[0], np.maximum(edges[1][j] - slack[1], box[1, 0]))
    high = score(edges[0][i + 1] + slack[0], edges[1][j + 1] + slack[1])
    order = np.argsort(-low, kind="stable")
    enough = np.searchsorted(np.cumsum(held[filled][order]), count)
    least = low[order[enough]] if enough < len(order) else -np.inf
    wanted = np.zeros(len(held), bool)
    wanted[filled] = high >= least - 1e-9 * abs(least) if np.isfinite(least) else True
    rows = np.flatnonzero(_chosen(cells, wanted))
    scores = score(mean[rows], sd[rows])
    best = leaders(scores, count)
    return rows[best], scores[best]


@njit(cache=True, nogil=True)
def _highest(scores, allowed):
    """Highest allowed score of each block; −∞ where none is."""
    n = len(scores)
    out = np.full((n + BLOCK - 1) // BLOCK, -np.inf, scores.dtype)
    for block in range(len(out)):
        top = out[block]
        for i in range(block * BLOCK, min((block + 1) * BLOCK, n)):
            if allowed[i] and scores[i] > top:
                top = scores[i]
        out[block] = top
    return out


@njit(cache=True, nogil=True)
def _reaching(scores, allowed, highest, least):
    """Allowed rows with a score from `least` on."""
    count = 0
    for block in range(len(highest)):
        if highest[block] >= least:
            count += BLOCK
    rows, found = np.empty(count, np.int64), 0
    for block in range(len(highest)):
        if highest[block] >= least:
            for i in range(block * BLOCK, min((block + 1) * BLOCK, len(scores))):
                if allowed[i] and scores[i] >= least:
                    rows[found] = i
                    found += 1
    return rows[:found]


@njit(cache=True, nogil=True)
def _box(mean, sd, allowed):
    """Lowest and highest mean and sd of the allowed, (2, 2); infinite if there is none."""
    a, b, c, d = np.inf, -np.inf, np.inf, -np.inf
    for i in range(len(mean)):
        if allowed[i]:
            a, b = min(a, mean[i]), max(b, mean[i])
            c, d = min(c, sd[i]), max(d, sd[i])
    return np.array([[a, b], [c, d]])


@njit(cache=True, nogil=True)
def _cells(mean, sd, allowed, box, width, held):
    """Cell of each object, (N,) int32, −1 if not allowed, and how many each cell holds."""
    across, along = CELLS
    by_mean, by_sd = across / width[0], along / width[1]
    cells = np.empty(len(mean), np.int32)
    for i in range(len(mean)):
        if allowed[i]:
            a = min(max(int((mean[i] - box[0, 0]) * by_mean), 0), across - 1)
            b = min(max(int((sd[i] - box[1, 0]) * by_sd), 0), along - 1)
            cells[i] = a * along + b
            held[a * along + b] += 1
        else:
            cells[i] = -1
    return cells, held


@njit(cache=True, nogil=True)
def _chosen(cells, wanted):
    out = np.zeros(len(cells), np.bool_)
    for i in range(len(cells)):
        out[i] = cells[i] >= 0 and wanted[cells[i]]
    return out
