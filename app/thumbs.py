"""Small pictures of objects: those the survey has stored, else rendered from the pixels and kept for a while."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from engine.data.cutouts import read_batch
from engine.data.stretch import Calibration, to_rgb
from engine.data.thumbnails import SHARD, SIDE, encode
from engine.survey import Survey

#: Rendered pictures that are kept (about 3 kB each).
RENDERED = 4096
#: Cutouts rendered at once.
BATCH = 256


class Thumbs:
    """Thumbnails of a survey, stored or not."""

    def __init__(self, survey: Survey):
        self._survey = survey
        self._lock = threading.Lock()
        self._rendered: OrderedDict[int, bytes] = OrderedDict()
        self._stored = survey.thumbnails

    def read(self, rows: Sequence[int] | np.ndarray) -> list[bytes]:
        """JPEG bytes of objects, in order; empty if unreadable."""
        found = self._stored.read(rows)
        missing = [int(r) for r, picture in zip(rows, found) if not picture and not self._stored.has(int(r) // SHARD)]
        if missing:
            self._render([r for r in missing if r not in self._rendered])
            found = [p or self._rendered.get(int(r), b"") for r, p in zip(rows, found)]
        return found

    def reopen(self) -> None:
        """Look again for stored ones: a command may have made them."""
        self._stored = self._survey.thumbnails

    def _render(self, rows: list[int]) -> None:
        source, pixels = self._survey.cutouts, self._survey.header["pixels"]
        for start in range(0, len(rows), BATCH):
            part = np.asarray(rows[start : start + BATCH], np.int64)
            cutouts, readable, _ = read_batch(source, part, SIDE)
            pictures = to_rgb(cutouts, Calibration.of(pixels, len(source.bands)), science=source.science)
            with self._lock:
                for row, picture, good in zip(part, pictures, readable):
                    self._rendered[int(row)] = encode(picture) if good else b""
                while len(self._rendered) > RENDERED:
                    self._rendered.popitem(last=False)
