"""Small pictures of objects: those the survey has stored, else drawn from the pixels and kept for a while."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from app.pictures.plates import Plates
from engine.data.pictures.stretch import DEFAULT, Stretch
from engine.data.pictures.thumbnails import SHARD
from engine.errors import UserError
from engine.survey import Survey

log = logging.getLogger(__name__)

#: Pictures drawn under the survey's own stretch that are kept (about 3 kB each).
RENDERED = 4096


class Thumbs:
    """Small pictures of a survey's objects, stored or not."""

    def __init__(self, survey: Survey):
        self._survey = survey
        self._lock = threading.Lock()
        self._rendered: OrderedDict[int, bytes] = OrderedDict()
        self._plates = Plates(survey)
        self._open()

    def _open(self) -> None:
        self._stored = self._survey.thumbnails
        try:
            self.stretch = self._survey.stretch
            self.stretch.require_bands(self._survey.bands)
        except UserError as error:  # `doctor` says it too; the survey can be looked at all the same
            log.warning("%s", error)
            self.stretch = DEFAULT
        self._as_stored = self._stored.stretch == self.stretch.text()

    def read(self, rows: Sequence[int] | np.ndarray, stretch: Stretch | None = None) -> list[bytes]:
        """JPEG bytes of objects, in order; empty if unreadable.

        Parameters
        ----------
        rows : sequence of int
        stretch : Stretch, optional
            The survey's own if not given.

        Raises
        ------
        UserError
            If they have to be drawn, and the pixels are gone or the stretch names a band that is not there.
        """
        if stretch is not None and stretch != self.stretch:
            return self._plates.draw(rows, stretch)
        found = self._stored.read(rows) if self._as_stored else [b""] * len(rows)
        missing = [
            int(row)
            for row, picture in zip(rows, found)
            if not picture and not (self._as_stored and self._stored.has(int(row) // SHARD))
        ]
        if missing:
            self._render([row for row in missing if row not in self._rendered])
            found = [p or self._rendered.get(int(row), b"") for row, p in zip(rows, found)]
        return found

    def hold(self, rows: Sequence[int] | np.ndarray) -> None:
        """Read the pixels of objects that will soon be drawn under one stretch after another."""
        self._plates.hold(rows)

    def reopen(self) -> None:
        """Look again for what is stored: a command may have made it, or another stretch."""
        try:
            self._survey.header = Survey.open(self._survey.path).header
        except UserError as error:
            log.warning("%s", error)
        with self._lock:
            before = self.stretch
            self._open()
            if self.stretch != before:
                self._rendered.clear()

    def _render(self, rows: list[int]) -> None:
        pictures = self._plates.draw(rows, self.stretch)
        with self._lock:
            self._rendered.update(zip(rows, pictures))
            while len(self._rendered) > RENDERED:
                self._rendered.popitem(last=False)
