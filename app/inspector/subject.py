"""One object before the camera: its pixels, where they lie on the sky, and what else its source knows of it.

Each is read once, when it is first asked for; the pictures drawn of it (`app.inspector.views`) may change with every
move of a slider. Reading seven bands of 100×100 pixels takes 3 ms, their WCS, units and position 5 ms: call from a thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from engine.data.cutouts import Unreadable
from engine.data.pictures.smoothing import binned
from engine.data.sky.tangent import Tangent, tangent
from engine.survey import Survey

#: Bytes of an object's numbers that are sent, at most; beyond, means of blocks of pixels.
MOST_BYTES = 1 << 19
#: How many times as wide as the cutout what lies around it is shown.
WIDE = 3


@dataclass(frozen=True)
class Numbers:
    """The pixels of an object, for the page to look up.

    Attributes
    ----------
    data : bytes
        (C, h, w), little-endian.
    kind : str
        ``float32`` or ``uint8``.
    shape : (C, h, w)
    block : int
        Side of the blocks of the cutout's pixels whose means they are; 1: the pixels themselves.
    names, units : tuple of C str
        Bands, then what is kept beside them.
    """

    data: bytes
    kind: str
    shape: tuple[int, ...]
    block: int
    names: tuple[str, ...]
    units: tuple[str, ...]


class Subject:
    """One object of a survey.

    Parameters
    ----------
    survey : Survey
    row : int
        Row number of the object.
    """

    def __init__(self, survey: Survey, row: int):
        self.survey = survey
        self.row = row
        self.source = survey.cutouts

    # -- pixels --------------------------------------------------------------------------------------------------------

    @cached_property
    def problem(self) -> str:
        """Why the pixels cannot be shown; empty if they can."""
        if isinstance(self._read, Unreadable):
            return self._read.reason
        return "" if np.isfinite(self._read).any() else "no finite pixel"

    @cached_property
    def _read(self) -> np.ndarray | Unreadable:
        found = self.source.read(np.array([self.row]))[0]
        return found if isinstance(found, Unreadable) else np.array(found, np.float32)  # its own: some are mapped files

    @property
    def cutout(self) -> np.ndarray:
        """The pixels, (C, h, w) float32."""
        assert not isinstance(self._read, Unreadable)
        return self._read

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, pixels."""
        return self.cutout.shape[2], self.cutout.shape[1]

    @cached_property
    def bands(self) -> tuple[str, ...]:
        """Bands that differ: none if there is one only, or if all are the same (grey saved as colour)."""
        first, *others = self.cutout
        alike = all(np.array_equal(first, band, equal_nan=True) for band in others)
        return () if alike else tuple(self.source.bands)

    @cached_property
    def around(self) -> np.ndarray | None:
        """What lies around it, `WIDE` times as wide, (C, H, W); None where there is no more."""
        ask = getattr(self.source, "context", None)
        return ask(self.row, WIDE) if ask else None

    @cached_property
    def companions(self) -> dict[str, np.ndarray]:
        """Images of the object that are kept beside it, such as a model, each (h, w)."""
        ask = getattr(self.source, "companions", None)
        found = ask(self.row) if ask else {}
        return {name: plane for name, plane in found.items() if plane.shape == self.cutout.shape[1:]}

    # -- what they mean ------------------------------------------------------------------------------------------------

    @cached_property
    def sky(self) -> Tangent | None:
        """Where its pixels lie on the sky, if the source knows."""
        ask = getattr(self.source, "wcs", None)
        wcs = ask(self.row) if ask else None
        return None if wcs is None else tangent(wcs, *self.size)

    @property
    def scale(self) -> float | None:
        """Arcsec a pixel, if it is known."""
        if self.sky is not None:
            return self.sky.scale
        pixels = self.survey.header["pixels"]
        told = pixels.get("scale", pixels.get("pixel_scale"))
        return float(told) if isinstance(told, int | float) and told > 0 else None

    @property
    def place(self) -> tuple[float, float]:
        """The object's position, 0-based pixels: that of the catalogue where it is on the cutout, else the middle."""
        width, height = self.size
        if self.sky is not None:
            ra, dec = (float(self.survey.column(name)[self.row]) for name in ("ra", "dec"))
            x, y = self.sky.pixel(ra, dec)
            if -0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5:
                return x, y
        return (width - 1) / 2, (height - 1) / 2

    @property
    def units(self) -> tuple[str, ...]:
        """Unit of each band's pixels, empty where it is not known."""
        ask = getattr(self.source, "units", None)
        return tuple(ask(self.row)) if ask else ("",) * len(self.cutout)

    def numbers(self) -> Numbers:
        """The pixels themselves, or means of blocks of them where they would be more than `MOST_BYTES`."""
        pixels = self.cutout
        if self.companions:
            pixels = np.concatenate([pixels, np.stack(list(self.companions.values()))])
        whole = bool((pixels == np.clip(np.rint(pixels), 0, 255)).all())  # false where one is missing
        kind = np.dtype(np.uint8 if whole else "<f4")
        block, sent = 1, pixels
        while sent.size * kind.itemsize > MOST_BYTES:
            block, kind = block + 1, np.dtype("<f4")
            sent = means(pixels, block)
        beside = len(self.companions)
        names = (*self.source.bands, *(name.replace("_", " ") for name in self.companions))
        units = (*self.units, *self.units[:1] * beside)
        return Numbers(sent.astype(kind).tobytes(), kind.name, sent.shape, block, names, units)


def means(pixels: np.ndarray, block: int) -> np.ndarray:
    """Means of the known pixels of blocks, (C, h, w) float32 → (C, ⌈h/block⌉, ⌈w/block⌉) float32."""
    return binned(torch.from_numpy(np.ascontiguousarray(pixels, np.float32)), block).numpy()
