"""Sets of objects as ascending row numbers, and their algebra.

A set is (n,) int64, ascending, without repeats. Small ones are merged by sorting; large ones are marked in an array of
one byte a row of the survey, which costs O(n + N) without a sort: four million of ten million objects in tens of
milliseconds, where sorting takes a second.

On disk a large set is a bit a row of the survey (`packed`): 1.2 MB for ten million objects, whatever it holds.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from engine.errors import UserError

#: Below this share of the survey, in all sets together, sorting is quicker than marking.
FEW = 1 / 50
#: A set is kept as bits where that is smaller than eight bytes a member, in surveys of so many objects.
BITS, BITS_FROM = 1 / 64, 4096


def of(rows) -> np.ndarray:
    """Rows in any order, repeats allowed, as a set; not copied if they are one."""
    rows = np.asarray(rows, np.int64).reshape(-1)
    return rows if is_set(rows) else np.unique(rows)


def is_set(rows: np.ndarray) -> bool:
    """Whether rows ascend without repeats."""
    return bool((rows[1:] > rows[:-1]).all())


def unite(first: np.ndarray, second: np.ndarray, *, count: int) -> np.ndarray:
    """Rows in either set.

    Parameters
    ----------
    first, second : (n,), (m,) int64
        Sets of rows below `count`.
    count : int
        N, objects of the survey.

    Returns
    -------
    (k,) int64
    """
    if _few(first, second, count=count):
        return np.union1d(first, second)
    chosen = marked(first, count)
    chosen[second] = True
    return np.flatnonzero(chosen)


def intersect(first: np.ndarray, second: np.ndarray, *, count: int) -> np.ndarray:
    """Rows in both sets; arguments as in `unite`."""
    if _few(first, second, count=count):
        return np.intersect1d(first, second, assume_unique=True)
    shorter, longer = sorted((first, second), key=len)
    return shorter[marked(longer, count)[shorter]]


def subtract(first: np.ndarray, second: np.ndarray, *, count: int) -> np.ndarray:
    """Rows in the first set that are not in the second; arguments as in `unite`."""
    if _few(first, second, count=count):
        return np.setdiff1d(first, second, assume_unique=True)
    return first[~marked(second, count)[first]]


def invert(rows: np.ndarray, *, count: int) -> np.ndarray:
    """Rows of the survey that are not in a set."""
    chosen = np.ones(count, bool)
    chosen[rows] = False
    return np.flatnonzero(chosen)


def replace(first: np.ndarray, second: np.ndarray, *, count: int) -> np.ndarray:
    """The second set: what an outline does to a selection when nothing else is asked."""
    return second


#: How a new set meets the one before.
MODES: dict[str, Callable[..., np.ndarray]] = {
    "replace": replace,
    "add": unite,
    "subtract": subtract,
    "intersect": intersect,
}


def combine(mode: str, first: np.ndarray, second: np.ndarray, *, count: int) -> np.ndarray:
    """Join two sets by one of `MODES`.

    Raises
    ------
    UserError
        If there is no such mode.
    """
    if mode not in MODES:
        raise UserError(f"selections cannot be joined by {mode!r}", f"choose one of: {', '.join(MODES)}")
    return MODES[mode](first, second, count=count)


def marked(rows: np.ndarray, count: int) -> np.ndarray:
    """Which rows of the survey are in a set, (N,) bool."""
    chosen = np.zeros(count, bool)
    chosen[rows] = True
    return chosen


def _few(first: np.ndarray, second: np.ndarray, *, count: int) -> bool:
    return len(first) + len(second) < FEW * count


# -- as bits ----------------------------------------------------------------------------------------------------------


def is_large(rows: np.ndarray, count: int) -> bool:
    """Whether a set takes less room as bits."""
    return count >= BITS_FROM and len(rows) > BITS * count


def packed(rows: np.ndarray, count: int) -> np.ndarray:
    """A set as a bit a row, (ceil(N / 8),) uint8."""
    return np.packbits(marked(rows, count))


def unpacked(bits: np.ndarray, count: int) -> np.ndarray:
    """The set that `packed` packed.

    Raises
    ------
    ValueError
        If these are not the bits of `count` rows.
    """
    if bits.dtype != np.uint8 or bits.shape != ((count + 7) // 8,):
        raise ValueError(f"{bits.shape} {bits.dtype} are not the bits of {count:,} rows")
    return np.flatnonzero(np.unpackbits(bits, count=count))
