"""Suggestions as a queue: batch after batch, each a page, and the next one made while this one is looked at.

An order is never changed under the reader's eyes: a batch that was shown stays as it is, and can be gone back to. What is
offered next may change with every ranking until it is taken. Nothing that was shown comes again before the list is made anew.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

#: Offers that the browser may still take: the newest, and those on their way when it decided.
KEPT = 16


class Batches:
    """Batches that were shown, in order; stands where an `app.gallery.listing.Listing` does.

    Parameters
    ----------
    first : (n,) int64
        Rows of the first batch; none: there is nothing to suggest.
    """

    def __init__(self, first: np.ndarray):
        self._batches = [np.asarray(first, np.int64)]
        self._offers: OrderedDict[int, np.ndarray] = OrderedDict()

    @property
    def rows(self) -> np.ndarray:
        """Every object that was shown, (n,) int64."""
        return np.concatenate(self._batches)

    def __len__(self) -> int:
        return sum(len(batch) for batch in self._batches)

    @property
    def pages(self) -> int:
        """Batches so far."""
        return len(self._batches)

    def page(self, number: int) -> np.ndarray:
        """Rows of a batch, counted from 0; the nearest if there is no such."""
        return self._batches[min(max(number, 0), self.pages - 1)]

    def start(self, number: int) -> int:
        """Objects before a batch."""
        return sum(len(batch) for batch in self._batches[:number])

    def place(self, row: int) -> tuple[int, int] | None:
        """Batch and position of an object, the newest time it was shown; None if it was not."""
        for number in reversed(range(self.pages)):
            found = np.flatnonzero(self._batches[number] == row)
            if len(found):
                return number, int(found[0])
        return None

    def fresh(self, suggested: np.ndarray, size: int) -> np.ndarray:
        """The first of the suggested objects that were not shown yet, (≤ size,) int64."""
        suggested = np.asarray(suggested, np.int64)
        return suggested[~np.isin(suggested, self.rows)][:size]

    def offer(self, number: int, rows: np.ndarray) -> None:
        """Remember what the browser may go on with."""
        self._offers[number] = np.asarray(rows, np.int64)
        while len(self._offers) > KEPT:
            self._offers.popitem(last=False)

    @property
    def offered(self) -> np.ndarray:
        """The newest offer, (n,) int64; empty if there is none."""
        return next(reversed(self._offers.values())) if self._offers else np.zeros(0, np.int64)

    def take(self, number: int) -> bool:
        """Go on with an offer; False if it is not known any more."""
        rows = self._offers.get(number)
        if rows is None:
            return False
        self.append(rows)
        return True

    def append(self, rows: np.ndarray) -> None:
        """Go on with these rows."""
        self._offers.clear()
        self._batches.append(np.asarray(rows, np.int64))
