"""The nearest points of each query, exactly, on a CPU: products in blocks, and a list of the best that is kept as they pass.

|y|² − 2x·y orders the points y as their distance from x does. A block of it is made by a matrix product (one core, one
block) and looked through while it is in the cache: `LANES` columns are passed over at once unless the smallest of them
is below the worst that the row has kept. `SPARE` more than k are kept, and their distances computed again by differences,
because the product rounds near zero.

Cost: m·n·d multiplications and m·n comparisons, sixteen in an instruction: 1.5 ns a pair of 40 dimensions and core, two thirds
of it the product (100,000 objects among themselves: 7 s on two idle cores). The result does not depend on the number of threads.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numba import njit
from threadpoolctl import threadpool_limits

from engine.jobs import Progress, silent

#: Queries and points of a block: their products, 1 MiB, stay in a core's cache.
QUERIES, POINTS = 256, 1024
#: Columns that are passed over together.
LANES = 32
#: Number of the first query where queries are no points: far below every number.
NOT_AMONG_THEM = -(1 << 40)
#: Candidates beyond k whose distance is computed again.
SPARE = 8


def nearest(
    queries: np.ndarray, points: np.ndarray, k: int, *, own: bool = False, progress: Progress = silent
) -> tuple[np.ndarray, np.ndarray]:
    """Nearest points of each query.

    Parameters
    ----------
    queries : (m, d) float32
        Best near the origin, as the points: the product form of the distance loses digits far from it.
    points : (n, d) float32
    k : int
        Points wanted, at most n (n − 1 with `own`).
    own : bool
        Whether the queries are the points: a point then is not its own neighbour.

    Returns
    -------
    (m, k) int32, (m, k) float32
        Numbers of the points, nearest first, equal distances in order of the number; Euclidean distances.
    """
    queries, points = (np.ascontiguousarray(a, np.float32) for a in (queries, points))
    indices, distances = np.empty((len(queries), k), np.int32), np.empty((len(queries), k), np.float32)
    if not len(queries) or not k:
        return indices, distances
    width = min(k + SPARE, len(points) - own)
    turned = _with_squares(points)

    def work(start: int) -> int:
        part = queries[start : start + QUERIES]
        best, found = _kept(part, turned, width, start if own else NOT_AMONG_THEM)
        _rescore(part, points, found, best)
        indices[start : start + QUERIES], distances[start : start + QUERIES] = found[:, :k], best[:, :k]
        return start + len(part)

    with ThreadPoolExecutor(os.cpu_count() or 1, initializer=_one_core) as cores:
        for done in cores.map(work, range(0, len(queries), QUERIES)):
            progress(done, len(queries), "neighbours")
    return indices, distances


def _one_core() -> None:
    """Let the calling thread multiply on one core, from now on."""
    torch.get_num_threads()  # torch sets a new thread's team when first asked, and would undo the limit later
    threadpool_limits(1, user_api="openmp")


def _with_squares(points: np.ndarray) -> torch.Tensor:
    """Points as columns with |y|² below, (d + 1, n rounded up to LANES): what is added to fill up is infinitely far."""
    n, d = points.shape
    turned = np.zeros((d + 1, -(-n // LANES) * LANES), np.float32)
    turned[:d, :n] = points.T
    turned[d, :n] = np.einsum("ij,ij->i", points, points)
    turned[d, n:] = np.inf
    return torch.from_numpy(turned)


def _kept(part: np.ndarray, turned: torch.Tensor, width: int, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores and numbers of the `width` nearest points of some queries, (q, width) each; `first`: their own number."""
    doubled = torch.from_numpy(np.concatenate([-2 * part, np.ones((len(part), 1), np.float32)], axis=1))
    room = torch.empty(len(part), POINTS)
    best = np.full((len(part), width), np.inf, np.float32)
    found = np.zeros((len(part), width), np.int32)
    for start in range(0, turned.shape[1], POINTS):
        block = turned[:, start : start + POINTS]
        if block.shape[1] < POINTS:
            room = torch.empty(len(part), block.shape[1])
        torch.mm(doubled, block, out=room)
        _keep(room.numpy(), start, first, best, found)
    return best, found


@njit(cache=True, nogil=True, fastmath={"nsz", "reassoc", "nnan"})
def _keep(scores, start, first, best, found):
    """Take what is smaller than the largest kept into each row's list, which stays sorted; LANES columns at a time."""
    width = best.shape[1]
    for i in range(scores.shape[0]):
        row, worst = scores[i], best[i, width - 1]
        for begin in range(0, scores.shape[1], LANES):
            smallest = row[begin]
            for c in range(LANES):
                smallest = min(smallest, row[begin + c])
            if smallest >= worst:
                continue
            for c in range(begin, begin + LANES):
                value = row[c]
                if value < worst and start + c != first + i:
                    place = width - 1
                    while place > 0 and best[i, place - 1] > value:
                        best[i, place], found[i, place] = best[i, place - 1], found[i, place - 1]
                        place -= 1
                    best[i, place], found[i, place] = value, start + c
                    worst = best[i, width - 1]


@njit(cache=True, nogil=True)
def _rescore(queries, points, found, best):
    """Order candidates by the distance of differences, equal ones by number; in place."""
    width = found.shape[1]
    for i in range(len(found)):
        for c in range(width):
            number, total = found[i, c], np.float32(0)
            for d in range(queries.shape[1]):
                step = queries[i, d] - points[number, d]
                total += step * step
            distance = np.sqrt(total)
            place = c
            while place > 0 and (
                best[i, place - 1] > distance or (best[i, place - 1] == distance and found[i, place - 1] > number)
            ):
                best[i, place], found[i, place] = best[i, place - 1], found[i, place - 1]
                place -= 1
            best[i, place], found[i, place] = distance, number
