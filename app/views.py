"""The views of one object: in colour, a band each, binned, smoothed, enhanced, what lies around it, model and residual.

A `Subject` reads an object's pixels once and draws them as often as the stretch changes. The colour picture is asked for
first, the others after it, and last the numbers themselves: so the page shows something while the rest is drawn, and
says what lies under the pointer without asking. Seven bands of 100×100 pixels take about 40 ms: call from a thread.

All pictures go through `engine.data.stretch`. Small ones are PNG: magnified, every pixel is what it is. Pixels that are
missing in all bands shown are transparent, so that the page can hatch what lies beneath.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from PIL import Image

from engine.data.calibration import Calibration
from engine.data.cutouts import Unreadable
from engine.data.smoothing import binned
from engine.data.stretch import cutout_limits, to_rgb
from engine.data.stretch_settings import DEFAULT, RANGES, Stretch
from engine.data.tangent import Tangent, tangent
from engine.survey import Survey

#: Largest side of a picture, pixels; larger cutouts are averaged down.
LARGEST = 1024
#: Largest side of a picture kept without loss, pixels; JPEG of this quality beyond.
LOSSLESS, QUALITY = 160, 93
#: Bytes of an object's numbers that are sent, at most; beyond, means of blocks of pixels.
MOST_BYTES = 1 << 19
#: Side of the blocks of the binned view, and sd of the smoothed one, pixels.
BIN, SMOOTH = 2, 1.5
#: How many times as wide as the cutout the view of what lies around is.
WIDE = 3
#: What the enhanced view multiplies gain with and divides softness by.
LOUDER = 1.5
#: Views on the card.
CARD = 6


@dataclass(frozen=True)
class View:
    """One picture of an object.

    Attributes
    ----------
    key : str
        ``colour``, ``binned``, ``smoothed``, ``enhanced``, ``context``, ``model``, ``residual`` (with what follows), or
        ``band:`` and a band's name.
    title : str
        What is said of it when small, and after a comma the rest.
    picture : bytes
        PNG or JPEG; empty where every pixel is missing.
    extent : (left, top, width, height)
        What it covers, in pixels of the cutout, from the outer edge of its first pixel.
    """

    key: str
    title: str
    picture: bytes
    extent: tuple[float, float, float, float]


@dataclass(frozen=True)
class Portrait:
    """One object in colour, as large as its cutout.

    Attributes
    ----------
    width, height : int
        Of the cutout, pixels; 0 if it could not be read.
    colour : bytes
        PNG or JPEG; empty if it could not be read.
    missing : float
        Share of the pixels, over all bands, that are missing.
    problem : str
        Why it could not be read; empty if it could.
    """

    width: int
    height: int
    colour: bytes
    missing: float
    problem: str = ""


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
    """One object before the camera.

    Parameters
    ----------
    survey : Survey
    row : int
        Row number of the object.
    """

    def __init__(self, survey: Survey, row: int):
        self.survey = survey
        self.row = row
        self._source = survey.cutouts

    @cached_property
    def problem(self) -> str:
        """Why the pixels cannot be shown; empty if they can."""
        if isinstance(self._read, Unreadable):
            return self._read.reason
        return "" if np.isfinite(self._read).any() else "no finite pixel"

    @cached_property
    def _read(self) -> np.ndarray | Unreadable:
        found = self._source.read(np.array([self.row]))[0]
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
        """Bands with a view of their own: none if there is one only, or if all are the same (grey saved as colour)."""
        first, *others = self.cutout
        alike = all(np.array_equal(first, band, equal_nan=True) for band in others)
        return () if alike else tuple(self._source.bands)

    @cached_property
    def sky(self) -> Tangent | None:
        """Where its pixels lie on the sky, if the source knows."""
        ask = getattr(self._source, "wcs", None)
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

    # -- pictures ------------------------------------------------------------------------------------------------------

    def portrait(self, stretch: Stretch = DEFAULT) -> Portrait:
        """Draw it in colour; `Portrait.problem` says why not, if its pixels cannot be read."""
        if self.problem:
            return Portrait(0, 0, b"", 1.0, self.problem)
        missing = float(1 - np.isfinite(self.cutout).mean())
        return Portrait(*self.size, self._colour(self.cutout, stretch), missing)

    def views(self, stretch: Stretch = DEFAULT) -> list[View]:
        """Draw all views but the colour one, which is `portrait`'s."""
        if self.problem:
            return []
        around = self.around
        wide = self._extent(1 if around is None else WIDE)
        blocks = replace(stretch, bin=max(stretch.bin, BIN))
        views = [
            *self._bands(stretch),
            View("binned", f"binned, {BIN}×{BIN} px", self._colour(self.cutout, blocks), self._extent()),
            View("smoothed", f"smooth, {SMOOTH:g} px", self._colour(self.cutout, smoother(stretch)), self._extent()),
        ]
        if around is not None:
            views.append(View("context", f"around, {WIDE}× as wide", self._colour(around, stretch), wide))
        views += self._companions(stretch)
        enhanced = self._colour(self.cutout if around is None else around, louder(stretch))
        return [*views, View("enhanced", "faint, binned and smoothed", enhanced, wide)]

    @cached_property
    def around(self) -> np.ndarray | None:
        """What lies around it, (C, H, W); None where there is no more."""
        ask = getattr(self._source, "context", None)
        return ask(self.row, WIDE) if ask else None

    @cached_property
    def companions(self) -> dict[str, np.ndarray]:
        """Images of the object that are kept beside it, such as a model, each (h, w)."""
        ask = getattr(self._source, "companions", None)
        found = ask(self.row) if ask else {}
        return {name: plane for name, plane in found.items() if plane.shape == self.cutout.shape[1:]}

    @cached_property
    def _calibration(self) -> Calibration:
        return Calibration.of(self.survey.header["pixels"], len(self.cutout))

    def _extent(self, factor: int = 1) -> tuple[float, float, float, float]:
        width, height = self.size
        return (1 - factor) / 2 * width, (1 - factor) / 2 * height, factor * width, factor * height

    def _bands(self, stretch: Stretch) -> list[View]:
        return [
            View(f"band:{name}", name, self._grey(self.cutout[b : b + 1], b, stretch), self._extent())
            for b, name in enumerate(self.bands)
        ]

    def _companions(self, stretch: Stretch) -> list[View]:
        """Model as the object itself, residual around middle grey."""
        middle = len(self.cutout) // 2
        views = []
        for name, plane in self.companions.items():
            draw = self._signed if name.startswith("residual") else self._grey
            views.append(View(name, name.replace("_", " "), draw(plane[None], middle, stretch), self._extent()))
        return views

    def _limits(self, stretch: Stretch) -> np.ndarray | None:
        """Limits found in the cutout, (1, C, 2): all its views have the same; None where they are the survey's."""
        return cutout_limits(self.cutout[None], stretch)

    def _colour(self, pixels: np.ndarray, stretch: Stretch) -> bytes:
        known = np.isfinite(pixels).any(axis=0)
        if not known.any():
            return b""
        return encode(*_draw(pixels, known, self._calibration, self._source, stretch, self._limits(stretch)))

    def _grey(self, plane: np.ndarray, band: int, stretch: Stretch) -> bytes:
        """One band by its own levels; (1, h, w)."""
        if not np.isfinite(plane).any():
            return b""
        return encode(*self._levels(plane, band, stretch))

    def _signed(self, plane: np.ndarray, band: int, stretch: Stretch) -> bytes:
        """A residual: nothing left is middle grey, light left over is brighter, light taken too much is darker."""
        if not np.isfinite(plane).any():
            return b""
        limits = self._limits(stretch)
        zero = np.float32(self._calibration.background[band] if limits is None else limits[0, band, 0])
        (above, known), (below, _) = (self._levels(zero + sign * plane, band, stretch) for sign in (1, -1))
        return encode((128 + (above.astype(np.int16) - below) / 2).clip(0, 255).astype(np.uint8), known)

    def _levels(self, plane: np.ndarray, band: int, stretch: Stretch) -> tuple[np.ndarray, np.ndarray]:
        """Grey levels (h, w) uint8 of one plane, and where it is known."""
        limits = self._limits(stretch)
        drawn, known = _draw(
            plane,
            np.isfinite(plane[0]),
            band_calibration(self._calibration, band),
            self._source,
            replace(stretch, rgb=None, weights=(), colour=DEFAULT.colour),
            None if limits is None else limits[:, band : band + 1],
        )
        return drawn[..., 0], known

    # -- numbers -------------------------------------------------------------------------------------------------------

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
        names = (*self._source.bands, *(name.replace("_", " ") for name in self.companions))
        ask = getattr(self._source, "units", None)
        units = tuple(ask(self.row)) if ask else ("",) * len(self.cutout)
        middle = units[len(units) // 2]
        return Numbers(
            sent.astype(kind).tobytes(), kind.name, sent.shape, block, names, units + (middle,) * len(self.companions)
        )


def card(views: Sequence[View]) -> list[str]:
    """Keys of the views that a card shows, six at most: one band stands for all, unless there is room."""
    keys = ["colour", *(view.key for view in views)]
    bands = [key for key in keys if key.startswith("band:")]
    residuals, models = ([key for key in keys if key.startswith(name)] for name in ("residual", "model"))
    middle = bands[len(bands) // 2 : len(bands) // 2 + 1]
    wanted = ["colour", "binned", "smoothed", *middle, "context", *models[:1], *residuals[:1], "enhanced", *bands]
    return [key for key in dict.fromkeys(wanted) if key in keys][:CARD]


def blinked(views: Sequence[View]) -> list[str]:
    """Keys of the views that blink: the bands that are there, else the object with its model and residual."""
    there = [view.key for view in views if view.picture]
    bands = [key for key in there if key.startswith("band:")]
    if len(bands) > 1:
        return bands
    fitted = [key for key in there if key.startswith(("model", "residual"))]
    return ["colour", *(fitted or [key for key in there if key in ("binned", "smoothed", "enhanced")])]


def band_calibration(calibration: Calibration, band: int) -> Calibration:
    """The calibration of one band alone."""
    part = slice(band, band + 1)
    return Calibration(calibration.background[part], calibration.noise[part], calibration.bright[part])


def encode(picture: np.ndarray, known: np.ndarray) -> bytes:
    """Compress a picture; what is not known is transparent.

    Parameters
    ----------
    picture : (h, w) or (h, w, 3) uint8
    known : (h, w) bool
    """
    stream = io.BytesIO()
    if not known.all():
        alpha = np.where(known, np.uint8(255), np.uint8(0))
        Image.fromarray(np.dstack([picture, alpha])).save(stream, "PNG", compress_level=1)
    elif max(known.shape) <= LOSSLESS:
        Image.fromarray(picture).save(stream, "PNG", compress_level=1)
    else:
        Image.fromarray(picture).save(stream, "JPEG", quality=QUALITY, subsampling=0)
    return stream.getvalue()


def means(pixels: np.ndarray, block: int) -> np.ndarray:
    """Means of the known pixels of blocks, (C, h, w) float32 → (C, ⌈h/block⌉, ⌈w/block⌉) float32."""
    return binned(torch.from_numpy(np.ascontiguousarray(pixels, np.float32)), block).numpy()


def smoother(stretch: Stretch) -> Stretch:
    """The same, smoothed by `SMOOTH` more."""
    return replace(stretch, smooth=min(math.hypot(stretch.smooth, SMOOTH), RANGES["smooth"][1]))


def louder(stretch: Stretch) -> Stretch:
    """The same for faint light: binned, smoothed, and `LOUDER`."""
    return replace(
        smoother(stretch),
        bin=max(stretch.bin, BIN),
        gain=min(stretch.gain * LOUDER, RANGES["gain"][1]),
        softness=max(stretch.softness / LOUDER, RANGES["softness"][0]),
    )


def _draw(pixels, known, calibration: Calibration, source, stretch: Stretch, limits) -> tuple[np.ndarray, np.ndarray]:
    """A picture (h, w, 3) uint8 of (C, h, w) pixels, `LARGEST` a side at most, and where it is known."""
    block = -(-max(pixels.shape[1:]) // LARGEST)
    if block > 1:
        pixels = means(pixels, block)
        known = np.isfinite(pixels).any(axis=0)
    bands = source.bands if len(pixels) == len(source.bands) else None
    drawn = to_rgb(
        pixels[None], calibration, science=source.science, stretch=stretch, bands=bands, scale=block, limits=limits
    )
    return drawn[0], known
