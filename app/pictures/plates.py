"""Plates: the decoded pixels of objects in view, kept so that another stretch of a whole page is drawn at once.

Reading and shrinking a hundred cutouts takes a second; drawing and encoding them from here a tenth of that, on as many
cores as there are. What was used longest ago is forgotten beyond `BYTES`.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch

from engine.data.pictures.stretch import Calibration, Stretch, cutout_limits, to_rgb
from engine.data.pictures.thumbnails import SIDE, encode, shrink
from engine.encoders.inference import one_core
from engine.survey import Survey

#: Bytes of pixels that are kept; a page of a hundred objects in seven bands takes 26 MB.
BYTES = 256 << 20
#: Objects drawn by one thread at a time: few, so that every core has work.
TOGETHER = 8


@dataclass
class Plate:
    """One object.

    Attributes
    ----------
    pixels : (C, side, side) float32, or None
        None if it could not be read.
    scale : float
        Pixels of the cutout in one of these.
    limits : dict
        Of this cutout, by way and share; the last that was asked for.
    """

    pixels: np.ndarray | None
    scale: float = 1.0
    limits: dict[tuple[str, float], np.ndarray | None] = field(default_factory=dict)


class Plates:
    """The plates of a survey."""

    def __init__(self, survey: Survey):
        self._survey = survey
        self._lock = threading.Lock()
        self._plates: OrderedDict[int, Plate] = OrderedDict()
        self._bytes = 0

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(max(1, torch.get_num_threads()), "skysieve-plates", initializer=one_core)

    def draw(self, rows: Sequence[int] | np.ndarray, stretch: Stretch) -> list[bytes]:
        """Draw objects; any thread may ask.

        Returns
        -------
        list of bytes
            JPEGs of at most `SIDE` pixels a side, in order; empty where the pixels cannot be read.

        Raises
        ------
        UserError
            If the pixels are gone, or the stretch names a band that is not there.
        """
        wanted = [int(row) for row in rows]
        plates = self._take(wanted)
        groups: dict[tuple, list[int]] = {}
        for place, plate in enumerate(plates):
            if plate.pixels is not None:
                groups.setdefault((plate.pixels.shape, plate.scale), []).append(place)
        parts = [part for places in groups.values() for part in _parts(places)]
        found = [b""] * len(wanted)
        for places, pictures in zip(
            parts, self._pool.map(lambda p: self._drawn([plates[k] for k in p], stretch), parts)
        ):
            for place, picture in zip(places, pictures):
                found[place] = picture
        return found

    def hold(self, rows: Sequence[int] | np.ndarray) -> None:
        """Read objects that will be drawn soon."""
        self._take([int(row) for row in rows])

    def _drawn(self, plates: list[Plate], stretch: Stretch) -> list[bytes]:
        source = self._survey.cutouts
        pixels = np.stack([plate.pixels for plate in plates if plate.pixels is not None])
        calibration = Calibration.of(self._survey.header["pixels"], len(source.bands))
        limits = None if stretch.limits == "survey" else np.stack([_limits(plate, stretch) for plate in plates])
        pictures = to_rgb(
            pixels,
            calibration,
            science=source.science,
            stretch=stretch,
            bands=source.bands,
            scale=plates[0].scale,
            limits=limits,
        )
        return [encode(picture) for picture in pictures]

    # -- what is kept --------------------------------------------------------------------------------------------------

    def _take(self, rows: list[int]) -> list[Plate]:
        """The plates of rows, read where they are not there."""
        with self._lock:
            have = {row: self._plates[row] for row in rows if row in self._plates}
            for row in have:
                self._plates.move_to_end(row)
        missing = [row for row in rows if row not in have]
        for read in self._pool.map(self._read, _parts(missing)):
            have |= read
            with self._lock:
                self._keep(read)
        return [have[row] for row in rows]

    def _read(self, rows: list[int]) -> dict[int, Plate]:
        source = self._survey.cutouts
        cutouts = getattr(source, "read_raw", source.read)(np.array(rows, np.int64))
        found = {row: Plate(None) for row in rows}
        for small in shrink(cutouts, SIDE):
            for place, pixels in zip(small.places, small.pixels):
                if np.isfinite(pixels).any():
                    found[rows[place]] = Plate(pixels.copy(), small.scale)
        return found

    def _keep(self, read: dict[int, Plate]) -> None:
        for row, plate in read.items():
            old = self._plates.pop(row, None)
            self._bytes += _size(plate) - (0 if old is None else _size(old))
            self._plates[row] = plate
        while self._bytes > BYTES and len(self._plates) > 1:
            self._bytes -= _size(self._plates.popitem(last=False)[1])


def _size(plate: Plate) -> int:
    return 0 if plate.pixels is None else plate.pixels.nbytes


def _parts(items: list[int]) -> Iterator[list[int]]:
    return (items[k : k + TOGETHER] for k in range(0, len(items), TOGETHER))


def _limits(plate: Plate, stretch: Stretch) -> np.ndarray:
    """Limits of one cutout, found once a setting."""
    key = stretch.limits, stretch.percent
    found = plate.limits.get(key)
    if found is None:
        assert plate.pixels is not None
        of_one = cutout_limits(plate.pixels[None], stretch)
        assert of_one is not None
        found = of_one[0]
        plate.limits = {key: found}
    return found
