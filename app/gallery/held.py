"""Which pictures the browser has: none is sent twice, and none that may be shown is forgotten."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

#: Pictures the browser is trusted to keep (about 3 kB each).
KEPT = 600


class Held:
    """Rows of the pictures that the browser has, the least lately shown first."""

    def __init__(self):
        self._rows: OrderedDict[int, None] = OrderedDict()

    def missing(self, rows: Iterable[int]) -> list[int]:
        """Which of these the browser has not."""
        return [int(row) for row in rows if int(row) not in self._rows]

    def note(self, sent: Iterable[int], shown: Iterable[int]) -> list[int]:
        """Note pictures that were sent; what the browser may forget, never one of these or of those that are shown."""
        for row in [*(int(row) for row in shown), *sent]:
            self._rows[row] = None
            self._rows.move_to_end(row)
        return [self._rows.popitem(last=False)[0] for _ in range(max(0, len(self._rows) - KEPT))]

    def clear(self) -> None:
        """The browser has nothing any more."""
        self._rows.clear()
