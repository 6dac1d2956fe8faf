"""UMAP's descent: neighbours pull, strangers push, for some hundred epochs; the same seed gives the same layout.

Along an edge of weight w the two ends pull each other once in w_max / w epochs, and each pull of one comes with
`STRANGERS` pushes by objects chosen at random (McInnes et al. 2018, arXiv:1802.03426, algorithm 5). With
φ(d²) = 1 / (1 + a d^2b) the forces along a coordinate's difference are

    pull  −2ab d^2(b−1) φ,     push  2b φ / (0.001 + d²),     each cut at ± 4.

umap-learn goes through the edges one after another and moves both ends, which several threads cannot do in a fixed
order. Here an epoch is two steps; in a step each object moves by itself, from where all others were before the step, so
that the result does not depend on the number of threads. Both forces depend on d² alone and are read from a table by the
leading bits of d² (`SHARE` an entry), in place of two powers each. Both were measured to leave trustworthiness as it is
(`tests/engine/test_descent.py`).

Cost: 30 ns a pull with its pushes on one core, and a look at every edge a step: 100,000 objects with 15 neighbours, 200
epochs, in 4 s on two cores.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.sparse
from numba import njit

#: Objects pushed for each that is pulled.
STRANGERS = 5
#: Largest force along an axis.
LARGEST = 4.0
#: Keeps the push finite where two points meet.
SOFTENING = 1e-3
#: The forces' table: leading bits of the mantissa of d² that count, and the octaves it covers, around 1.
BITS, OCTAVES = 6, 64
#: Relative width of an entry of the table.
SHARE = 2.0**-BITS
#: Objects that a thread takes at a time; fewer than this are done by one.
CHUNK = 4096

GOLDEN, LOW = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xFFFFFFFF)
_SHIFT = 23 - BITS
_FIRST = (127 - OCTAVES // 2) << BITS
_ENTRIES = OCTAVES << BITS


def curve(spread: float, min_dist: float) -> tuple[float, float]:
    """Parameters a, b for which 1 / (1 + a d^2b) fits 1 up to `min_dist` and an exponential of scale `spread` beyond."""
    from scipy.optimize import curve_fit

    x = np.linspace(0, spread * 3, 300)
    y = np.where(x < min_dist, 1.0, np.exp(-(x - min_dist) / spread))
    (a, b), _ = curve_fit(lambda x, a, b: 1.0 / (1.0 + a * x ** (2 * b)), x, y)
    return float(a), float(b)


def forces(a: float, b: float) -> tuple[np.ndarray, np.ndarray]:
    """Tables of pull and push over d², each (OCTAVES · 2^BITS,) float32, at the middle of each entry."""
    bits = ((_FIRST + np.arange(_ENTRIES, dtype=np.int64)) << _SHIFT) + (1 << (_SHIFT - 1))
    square = bits.astype(np.int32).view(np.float32).astype(np.float64)
    near = 1.0 / (1.0 + a * square**b)
    pull = -2.0 * a * b * square ** (b - 1.0) * near
    push = 2.0 * b * near / (SOFTENING + square)
    return pull.astype(np.float32), push.astype(np.float32)


def descend(
    graph: scipy.sparse.csr_matrix,
    start: np.ndarray,
    *,
    epochs: int,
    a: float,
    b: float,
    seed: int = 0,
    rate: float = 1.0,
    fixed: int = 0,
    threads: int | None = None,
    each: Callable[[int, np.ndarray], None] | None = None,
) -> np.ndarray:
    """Unfold a fuzzy graph in the plane.

    Parameters
    ----------
    graph : (n, n) csr_matrix, float32
        Symmetric, of `engine.maps.layouts.fuzzy`; only rows from `fixed` on are read.
    start : (n, 2) float32
        Where to begin; extents near 10.
    epochs : int
    a, b : float
        Of `curve`.
    rate : float
        Length of the first step; it falls to nothing along the way.
    fixed : int
        The first objects stay where they are, and only they push the others.
    threads : int, optional
        As many as there are cores if not given; the result is the same.
    each : callable, optional
        ``each(epochs done, positions)`` is called after every epoch; the array changes afterwards.

    Returns
    -------
    (n, 2) float32
    """
    pointers, columns, weights = _edges(graph, epochs)
    pull, push = forces(a, b)
    now = np.array(start, np.float32, order="C")
    then = now.copy()
    n, among = len(now), fixed or len(now)
    threads = min(threads or os.cpu_count() or 1, max(1, (n - fixed) // CHUNK))
    parts = [(k, min(k + CHUNK, n)) for k in range(fixed, n, CHUNK)]
    with ThreadPoolExecutor(threads) as pool:
        for step in range(2 * epochs):
            reach = np.float32(rate * (1.0 - (step // 2) / epochs))

            def move(part: tuple[int, int], now=now, then=then, step=step, reach=reach) -> None:
                _move(now, then, pointers, columns, weights, pull, push, part[0], part[1], among, reach, step, seed)

            if threads == 1:
                for part in parts:
                    move(part)
            else:
                for _ in pool.map(move, parts):
                    pass
            now, then = then, now
            if each is not None and step % 2:
                each(step // 2 + 1, now)
    return now


def _edges(graph: scipy.sparse.csr_matrix, epochs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pointers (n + 1,), columns and weights of the edges that are pulled at least once; weights in 2⁻³² of the largest."""
    graph = graph.tocsr()
    largest = graph.data.max(initial=0)
    kept = graph.data >= largest / epochs
    counts = np.add.reduceat(np.append(kept, False).astype(np.int64), graph.indptr[:-1])
    counts[np.diff(graph.indptr) == 0] = 0
    pointers = np.concatenate([[0], np.cumsum(counts)])
    weights = graph.data[kept] / (largest or 1)
    shares = np.minimum(weights.astype(np.float64) * 2.0**32, 2.0**32 - 1).astype(np.uint32)
    return pointers, graph.indices[kept].astype(np.int32), shares


@njit(cache=True, nogil=True, fastmath=True)
def _move(now, then, pointers, columns, weights, pull, push, first, last, among, rate, step, seed):
    """One step of objects first … last − 1: positions `now` (n, 2) → `then` (n, 2); strangers are the first `among`."""
    count = np.uint64(among)
    for i in range(first, last):
        state = _mixed(_mixed(np.uint64(seed) * GOLDEN + np.uint64(step)) + np.uint64(i))
        x, y = now[i, 0], now[i, 1]
        for e in range(pointers[i], pointers[i + 1]):
            # an edge is due when the sum of its weights, in 2⁻³² and from a start of its own, passes a whole number
            weight = np.uint64(weights[e])
            sum_ = (np.uint64(step) * weight + np.uint64(e) * np.uint64(0x9E3779B1)) & LOW
            if sum_ + weight <= LOW:
                continue
            j = columns[e]
            dx, dy = x - now[j, 0], y - now[j, 1]
            square = dx * dx + dy * dy
            force = pull[_entry(square)]
            gx, gy = _cut(force * dx), _cut(force * dy)
            state += GOLDEN
            z = _mixed(state)
            strangers = 2 + np.int64(z & np.uint64(1))  # 2.5 a step on average: two steps an epoch
            z = _mixed(z)
            for s in range(strangers):
                if s == 2:
                    z = _mixed(z)
                picked = (z >> np.uint64(32)) if s != 1 else (z & LOW)
                k = np.int64((picked * count) >> np.uint64(32))
                dx, dy = x - now[k, 0], y - now[k, 1]
                square = dx * dx + dy * dy
                force = push[_entry(square)]
                gx += _cut(force * dx)
                gy += _cut(force * dy)
            x += rate * gx
            y += rate * gy
        then[i, 0], then[i, 1] = x, y


@njit(cache=True, nogil=True, inline="always")
def _mixed(z):
    """A random number of a number (splitmix64, Steele et al. 2014)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(cache=True, nogil=True, inline="always")
def _entry(square):
    """Entry of a squared distance in the tables of forces."""
    bits = (np.float32(square).view(np.int32) >> _SHIFT) - _FIRST
    return min(max(bits, 0), _ENTRIES - 1)


@njit(cache=True, nogil=True, inline="always")
def _cut(force):
    return min(max(force, np.float32(-LARGEST)), np.float32(LARGEST))
