"""Objects that will probably be looked at next, made ready while this one is: who labels five a second waits for none.

A thread of its own reads them, one after another, so that what is on the screen is never kept waiting by what is not.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from app.background import Background
from app.inspector.subject import Subject
from app.inspector.views import Painter, Portrait
from engine.data.pictures.stretch import Stretch
from engine.errors import UserError
from engine.survey import Survey

#: Objects kept ready.
KEPT = 8


@dataclass(frozen=True)
class Ready:
    """An object that was read before it was asked for: what is known of it with its thumbnail, its pixels, its picture."""

    known: tuple[dict, bytes]
    subject: Subject
    stretch: Stretch
    portrait: Portrait


class Ahead:
    """Reads what comes next.

    Parameters
    ----------
    survey : Survey
    known : callable
        ``known(row)`` → catalogue row and thumbnail of an object; called in the thread.
    background : Background
    """

    def __init__(self, survey: Survey, known: Callable[[int], tuple[dict, bytes]], background: Background):
        self._survey, self._known, self._background = survey, known, background
        self._ready: OrderedDict[int, Ready] = OrderedDict()

    def expect(self, rows: Sequence[int] | np.ndarray, stretch: Stretch) -> None:
        """Make objects ready, the first first; newer wishes replace older ones."""
        wanted = [int(row) for row in rows]
        missing = [row for row in wanted if self.of(row, stretch) is None]
        if missing:
            self._read(missing[0], missing[1:], stretch)

    def _read(self, row: int, rest: list[int], stretch: Stretch) -> None:
        def work() -> Ready:
            found = self.of(row, None)
            subject = found.subject if found else Subject(self._survey, row)
            return Ready(self._known(row), subject, stretch, Painter(subject, stretch).portrait())

        def done(found: Ready) -> None:
            self._ready[row] = found
            while len(self._ready) > KEPT:
                self._ready.popitem(last=False)
            if rest:
                self._read(rest[0], rest[1:], stretch)

        def failed(error: UserError) -> None:
            """Told when the object is looked at."""

        self._background.run("ahead", work, done, failed)

    def of(self, row: int, stretch: Stretch | None) -> Ready | None:
        """What is ready of an object, drawn under a stretch (None: any)."""
        found = self._ready.get(row)
        return found if found is not None and stretch in (None, found.stretch) else None
