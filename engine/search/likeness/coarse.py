"""Unit vectors, a byte a number: which objects can be among the best is seen in half the bytes of float16.

An object's unit vector u (about the mean) is kept as s·c, c whole numbers from −127 to 127, with the length r of what is
lost. For a query q, |q·u − s q·c| ≤ |q| r, whatever the vectors look like. So an object whose upper bound is below the k-th
largest lower bound cannot be among the best k. With 512 numbers r is about 0.006; the few objects that are left (tens to
thousands of a million) are scored from their own vectors (`engine.search.likeness.scan`): the answer is the same as without.

Cost: N·(d + 8) bytes, made in one pass over the vectors and kept beside them; one query reads them once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numba import njit

from engine import files
from engine.search.likeness import scan
from engine.search.likeness.halves import as_it_is, readable, widened
from engine.search.likeness.scan import BLOCK, SLAB, TINY, UNIT, Form, cores, kth, rounding

#: Largest whole number that is kept.
FULL = 127


@dataclass(frozen=True)
class Coarse:
    """Unit vectors of all objects, coarsely.

    Attributes
    ----------
    codes : (N, d) int8
    scale, lost : (N,) float32
        s and r; both 0 where an object has no direction.
    """

    codes: np.ndarray
    scale: np.ndarray
    lost: np.ndarray

    def candidates(self, query: np.ndarray, allowed: np.ndarray, top: int) -> np.ndarray:
        """Rows that may be among the best `top` by u·query, (n,) int64, ascending; all allowed ones if they are not more.

        Parameters
        ----------
        query : (d,) float64
        allowed : (N,) bool
        top : int
        """
        n, d = self.codes.shape
        upper, largest = np.empty(n, np.float32), np.full(-(-n // BLOCK), -np.inf, np.float32)
        length = float(np.linalg.norm(query))
        error = np.float32(2 * length * rounding(d) + 16 * UNIT * (length + 1))
        q, reach = query.astype(np.float32), np.float32(length * (1 + 1e-6))

        def work(part: slice) -> None:
            blocks = largest[part.start // BLOCK : -(-part.stop // BLOCK)]
            _bounds(
                self.codes[part], self.scale[part], self.lost[part], q, reach, allowed[part], error, upper[part], blocks
            )

        _each_slab(n, d, work)
        least = kth(largest, top) if top <= len(largest) else -np.inf
        return np.flatnonzero((upper >= least) & (upper > -np.inf))


def best(
    rough: Coarse,
    features: np.ndarray,
    forms: Sequence[Form],
    allowed: np.ndarray,
    top: int,
    *,
    norms: np.ndarray,
    mean: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The allowed objects with the largest scores, looked through coarsely first; see `engine.search.likeness.scan.best`."""
    most = scan.FEW * len(allowed)
    if np.count_nonzero(allowed) > most:
        rows = rough.candidates(np.sum([form.factor * form.pull for form in forms], axis=0), allowed, top)
        if len(rows) <= most:
            few = np.ones(len(rows), bool)
            places, score = scan.best(features[rows], forms, few, top, norms=norms[rows], mean=mean)
            return rows[places], score
    return scan.best(features, forms, allowed, top, norms=norms, mean=mean)


def make(features: np.ndarray, mean: np.ndarray, codes: np.ndarray | None = None) -> Coarse:
    """Keep unit vectors coarsely.

    Parameters
    ----------
    features : (N, d) float16 or float32
    mean : (d,) float64
    codes : (N, d) int8, optional
        Where to write them.
    """
    n, d = features.shape
    codes = np.empty((n, d), np.int8) if codes is None else codes
    scale, lost = np.empty(n, np.float32), np.empty(n, np.float32)
    x, encode = readable(features), _encode_half if features.dtype == np.float16 else _encode
    _each_slab(n, 4 * d, lambda part: encode(x[part], mean, codes[part], scale[part], lost[part]))
    return Coarse(codes, scale, lost)


def kept(folder: Path, features: np.ndarray, mean: np.ndarray) -> Coarse:
    """The same from the files beside a representation's vectors, made if they are not there."""
    place, numbers = folder / "coarse.npy", folder / "coarse-scale.npy"
    if not numbers.exists():
        with files.atomic_path(place) as temporary:
            codes = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.int8, shape=features.shape)
            made = make(features, mean, codes)
            codes.flush()
        files.write_npy(numbers, np.stack([made.scale, made.lost]))  # last: the codes are whole
    scale, lost = np.asarray(files.read_npy(numbers))
    return Coarse(files.read_npy(place), scale, lost)


def _each_slab(n: int, row: int, work: Callable[[slice], None]) -> None:
    """Call `work` with slices of the rows, a thread a core; whole blocks of rows of `row` bytes."""
    rows = max(BLOCK, SLAB // max(1, row) // BLOCK * BLOCK)
    with ThreadPoolExecutor(cores()) as threads:
        for _ in threads.map(work, [slice(a, min(a + rows, n)) for a in range(0, n, rows)]):
            pass


@njit(cache=True, nogil=True, fastmath={"nsz", "reassoc", "contract"})
def _bounds(codes, scale, lost, query, reach, allowed, error, upper, largest):
    for i in range(len(codes)):
        if not allowed[i]:
            upper[i] = -np.inf
            continue
        row, along = codes[i], np.float32(0)
        for j in range(len(row)):
            along += query[j] * np.float32(row[j])
        score, band = scale[i] * along, reach * lost[i] + error
        upper[i] = score + band
        largest[i // BLOCK] = max(largest[i // BLOCK], score - band)


def _compiled(name: str, widen):
    """The loop that encodes features which `widen` reads."""

    def encode(x, mean, codes, scale, lost):
        for i in range(len(x)):
            row = x[i]
            square, peak = 0.0, 0.0
            for j in range(len(row)):
                moved = np.float64(widen(row[j])) - mean[j]
                square += moved * moved
                peak = max(peak, abs(moved))
            length = np.sqrt(square)
            if not length > TINY:
                codes[i] = 0
                scale[i] = lost[i] = np.float32(0)
                continue
            step = np.float32(peak / length / FULL)
            missed = 0.0
            for j in range(len(row)):
                unit = (np.float64(widen(row[j])) - mean[j]) / length
                code = min(max(np.rint(unit / step), -FULL), FULL)
                codes[i, j] = np.int8(code)
                missed += (unit - np.float64(step) * code) ** 2
            scale[i] = step
            lost[i] = np.float32(np.sqrt(missed) * (1 + 1e-6) + 1e-12)

    encode.__name__ = encode.__qualname__ = f"encode_{name}"
    return njit(cache=True, nogil=True)(encode)


_encode, _encode_half = _compiled("float", as_it_is), _compiled("half", widened)
