"""The best of all objects by a score, exactly, in one pass over their features.

A score is a sum of `Form`s, each (x·pull − shift) / norm(x), with the norm √(x²·square) reckoned on the way or known
already. Blocks of rows go through a core's cache, a thread a core; sums are of float32, and with every one goes a bound on
its error. An object whose upper bound is below the k-th largest lower bound cannot be among the best k; the few
others are scored again in float64, and equal scores come in order of the row. So the answer is that of brute force in
float64, whatever the number of threads or the order of the sums.

Cost: the features are read once, as they are stored (float16 or float32), N·d; 5 bytes a row beside them. The
k-th largest is found among the maxima of blocks of `BLOCK` rows, not among all rows.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numba import njit

from engine.search.likeness.halves import as_it_is, readable, widened

#: Rows whose largest score is kept.
BLOCK = 256
#: Bytes that a thread takes at a time.
SLAB = 8 << 20
#: Share of the objects below which the allowed ones are gathered instead of all being read.
FEW = 0.03
#: Rows scored again in float64 at once.
AGAIN = 16_384
#: Smallest norm divided by: an object at the origin is like nothing.
EPS = 1e-12
#: Lengths below it are none: a quotient by them would leave float32.
TINY = 1e-30
#: Rounding of float32.
UNIT = 2.0**-24


@dataclass(frozen=True)
class Form:
    """One term of a score.

    Attributes
    ----------
    pull : (d,) float64
        So scaled that |x·pull| ≤ norm(x) for every x (after the shift).
    square : (d,) float64, optional
        Weights of the norm √(x²·square); None: the norms are given.
    shift : float
        Subtracted from x·pull: pull·mean where the norms are those of x − mean.
    factor : float
        Of this term in the sum.
    """

    pull: np.ndarray
    square: np.ndarray | None = None
    shift: float = 0.0
    factor: float = 1.0


def best(
    features: np.ndarray,
    forms: Sequence[Form],
    allowed: np.ndarray,
    top: int,
    *,
    norms: np.ndarray | None = None,
    mean: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The allowed objects with the largest scores.

    Parameters
    ----------
    features : (N, d) float32 or float16
        May be memory-mapped.
    forms : sequence of Form
        Either all with a square, or none.
    allowed : (N,) bool
    top : int
        Objects wanted.
    norms : (N,) float32, optional
        |x − mean| of each object, for forms without a square.
    mean : (d,) float64, optional
        What is lost in rounding x·pull grows with its length.

    Returns
    -------
    rows : (n,) int64
        n ≤ top, the best first, equal scores in order of the row.
    score : (n,) float64
    """
    count = int(np.count_nonzero(allowed))
    if top <= 0 or count == 0:
        return np.zeros(0, np.int64), np.zeros(0)
    if count <= max(top, FEW * len(allowed)):
        rows = np.flatnonzero(allowed)
    else:
        offset = 0.0 if mean is None else float(np.linalg.norm(mean))
        rows = _candidates(features, forms, allowed, top, norms, offset)
    score = exact(features, forms, rows, mean=mean)
    order = np.lexsort((rows, -score))[:top]
    return rows[order], score[order]


def exact(
    features: np.ndarray, forms: Sequence[Form], rows: np.ndarray, *, mean: np.ndarray | None = None
) -> np.ndarray:
    """Scores of some objects in float64, (n,)."""
    score = np.empty(len(rows))
    for start in range(0, len(rows), AGAIN):
        part = rows[start : start + AGAIN]
        x = np.asarray(features[part], np.float64)
        score[start : start + AGAIN] = sum(
            form.factor * (x @ form.pull - form.shift) / _norm(form, x, mean) for form in forms
        )
    return score


def _norm(form: Form, x: np.ndarray, mean: np.ndarray | None) -> np.ndarray:
    if form.square is not None:
        return np.maximum(np.sqrt((x * x) @ form.square), EPS)
    moved = x if mean is None else x - mean
    length = np.sqrt(np.einsum("ij,ij->i", moved, moved))
    return np.where(length > TINY, length, np.inf)


def _candidates(features, forms, allowed, top, norms, offset) -> np.ndarray:
    """Rows that may be among the best, ascending."""
    upper, largest = scores(features, forms, allowed, norms=norms, offset=offset)
    # each of `top` blocks has at least one object as good as its own largest
    least = kth(largest, top) if top <= len(largest) else -np.inf
    rows = np.flatnonzero((upper >= least) & (upper > -np.inf))
    if len(rows) > 4 * top:  # that is little where the best lie close together in the file: once more, by rows
        kept = upper[rows]
        rows = rows[kept >= kth(kept, top) - 2 * _worst(forms, features.shape[1], norms, offset)]
    return rows


def kth(values: np.ndarray, k: int) -> float:
    """The k-th largest."""
    return float(np.partition(values, len(values) - k)[len(values) - k])


def _worst(forms: Sequence[Form], d: int, norms: np.ndarray | None, offset: float) -> float:
    """Largest error of any object's score; infinite where one lies so close to the mean that nothing is known of it."""
    error = _error(forms, d)
    if norms is None or not offset:
        return error
    known = norms[norms > 0]
    return error * (1 + offset / float(known.min())) if len(known) else error


def _error(forms: Sequence[Form], d: int) -> float:
    """Bound on the rounding of a score: of its terms, of their sum, and of the bounds themselves."""
    return sum(abs(form.factor) for form in forms) * rounding(d) + 8 * UNIT


def rounding(d: int) -> float:
    """Bound on the error of one term: sums of d products in float32 in any order, a root and a division.

    |fl(Σ aᵢbᵢ) − Σ aᵢbᵢ| ≤ γ Σ |aᵢbᵢ|, γ = n u / (1 − n u), and Σ |aᵢbᵢ| is at most the product of the norms.
    Source: Higham, Accuracy and Stability of Numerical Algorithms, sec. 3.1.
    """
    lost = (d + 8) * UNIT
    return 3 * lost / (1 - lost)


def scores(
    features: np.ndarray,
    forms: Sequence[Form],
    allowed: np.ndarray,
    *,
    norms: np.ndarray | None = None,
    offset: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Upper bound of every object's score, and the largest lower bound of each block of `BLOCK` rows.

    Returns
    -------
    (N,) float32, (ceil(N / BLOCK),) float32
        −∞ where not allowed.
    """
    n, d = features.shape
    upper, largest = np.empty(n, np.float32), np.full(-(-n // BLOCK), -np.inf, np.float32)
    pulls = np.array([form.pull for form in forms], np.float32)
    factors = np.array([form.factor for form in forms], np.float32)
    shifts = np.array([form.shift for form in forms], np.float32)
    error = np.float32(_error(forms, d))
    x, half = readable(features), features.dtype == np.float16
    rows = max(BLOCK, SLAB // max(1, d * x.dtype.itemsize) // BLOCK * BLOCK)

    if norms is None:
        squares = np.array([form.square for form in forms], np.float32)
        scan = _weighted_half if half else _weighted

        def work(start: int) -> None:
            stop, first = start + rows, start // BLOCK
            scan(
                *(x[start:stop], pulls, squares, factors, allowed[start:stop], error),
                *(upper[start:stop], largest[first : first + rows // BLOCK]),
            )
    else:
        scan = _normed_half if half else _normed

        def work(start: int) -> None:
            stop, first = start + rows, start // BLOCK
            scan(
                *(x[start:stop], pulls, shifts, factors, norms[start:stop], np.float32(offset), allowed[start:stop]),
                *(error, upper[start:stop], largest[first : first + rows // BLOCK]),
            )

    with ThreadPoolExecutor(cores()) as threads:
        for _ in threads.map(work, range(0, n, rows)):
            pass
    return upper, largest


def lengths(features: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """|x − mean| of every object, (N,) float32, in float64 on the way."""
    n = len(features)
    found = np.empty(n, np.float32)
    rows = max(1, SLAB // max(1, 8 * features.shape[1]))

    def work(start: int) -> None:
        moved = np.asarray(features[start : start + rows], np.float64) - mean
        found[start : start + rows] = np.sqrt(np.einsum("ij,ij->i", moved, moved))
        found[start : start + rows][found[start : start + rows] < TINY] = 0

    with ThreadPoolExecutor(cores()) as threads:
        for _ in threads.map(work, range(0, n, rows)):
            pass
    return found


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


# -- the loops ---------------------------------------------------------------------------------------------------------

_FAST = {"nsz", "reassoc", "contract"}


def _compiled(name: str, widen):
    """The two loops for features that `widen` reads."""

    def weighted(x, pulls, squares, factors, allowed, error, upper, largest):
        for i in range(len(x)):
            if not allowed[i]:
                upper[i] = -np.inf
                continue
            row, score = x[i], np.float32(0)
            for f in range(len(pulls)):
                pull, square = pulls[f], squares[f]
                along, across = np.float32(0), np.float32(0)
                for j in range(len(row)):
                    value = widen(row[j])
                    along += pull[j] * value
                    across += square[j] * value * value
                score += factors[f] * along / max(np.sqrt(across), np.float32(EPS))
            upper[i] = score + error
            largest[i // BLOCK] = max(largest[i // BLOCK], score - error)

    def normed(x, pulls, shifts, factors, norms, offset, allowed, error, upper, largest):
        for i in range(len(x)):
            if not allowed[i]:
                upper[i] = -np.inf
                continue
            row, score, lost = x[i], np.float32(0), error
            if norms[i] > 0:
                for f in range(len(pulls)):
                    pull, along = pulls[f], np.float32(0)
                    for j in range(len(row)):
                        along += pull[j] * widen(row[j])
                    score += factors[f] * (along - shifts[f]) / norms[i]
                lost = error * (np.float32(1) + offset / norms[i])
            upper[i] = score + lost
            largest[i // BLOCK] = max(largest[i // BLOCK], score - lost)

    for function in (weighted, normed):
        function.__name__ = function.__qualname__ = f"{function.__name__}_{name}"
    return (njit(cache=True, nogil=True, fastmath=_FAST)(function) for function in (weighted, normed))


_weighted, _normed = _compiled("float", as_it_is)
_weighted_half, _normed_half = _compiled("half", widened)
