"""The views of one object: in colour, a band each, binned, smoothed, enhanced, what lies around it, model and residual.

All pictures go through `engine.data.pictures.stretch`. Small ones are PNG: magnified, every pixel is what it is. Pixels that are
missing in all bands shown are transparent, so that the page can hatch what lies beneath. The colour picture is asked for
first, the others after it, so that the page shows something meanwhile: of seven bands of 100×100 pixels 4 ms and 15 ms.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from app.inspector.subject import WIDE, Subject, means
from engine.data.pictures.calibration import Calibration
from engine.data.pictures.settings import DEFAULT, RANGES, Stretch
from engine.data.pictures.stretch import cutout_limits, to_rgb

#: Largest side of a picture, pixels; larger cutouts are averaged down.
LARGEST = 1024
#: Largest side of a picture kept without loss, pixels; JPEG of this quality beyond.
LOSSLESS, QUALITY = 160, 93
#: Side of the blocks of the binned view, and sd of the smoothed one, pixels.
BIN, SMOOTH = 2, 1.5
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
    known : float
        Share of its pixels that are known.
    extent : (left, top, width, height)
        What it covers, in pixels of the cutout, from the outer edge of its first pixel.
    """

    key: str
    title: str
    picture: bytes
    known: float
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


class Painter:
    """Draws an object under one stretch.

    Limits that a stretch finds in the cutout are found once, and are those of all its views.

    Parameters
    ----------
    subject : Subject
    stretch : Stretch
    """

    def __init__(self, subject: Subject, stretch: Stretch = DEFAULT):
        self.subject = subject
        self.stretch = stretch
        if not subject.problem:
            self._limits = cutout_limits(subject.cutout[None], stretch)
            self._calibration = Calibration.of(subject.survey.header["pixels"], len(subject.cutout))

    def portrait(self) -> Portrait:
        """Draw it in colour; `Portrait.problem` says why not, if its pixels cannot be read."""
        subject = self.subject
        if subject.problem:
            return Portrait(0, 0, b"", 1.0, subject.problem)
        missing = float(1 - np.isfinite(subject.cutout).mean())
        return Portrait(*subject.size, self._colour("", "", subject.cutout, self.stretch).picture, missing)

    def views(self) -> list[View]:
        """Draw all views but the colour one, which is `portrait`'s."""
        subject, stretch = self.subject, self.stretch
        if subject.problem:
            return []
        pixels, around = subject.cutout, subject.around
        blocks = replace(stretch, bin=max(stretch.bin, BIN))
        drawn = [
            *self._bands(),
            self._colour("binned", f"binned, {BIN}×{BIN} px", pixels, blocks),
            self._colour("smoothed", f"smooth, {SMOOTH:g} px", pixels, smoother(stretch)),
        ]
        if around is not None:
            drawn.append(self._colour("context", f"around, {WIDE}× as wide", around, stretch, WIDE))
            pixels = around
        factor = 1 if around is None else WIDE
        return [
            *drawn,
            *self._companions(),
            self._colour("enhanced", "faint, binned and smoothed", pixels, louder(stretch), factor),
        ]

    def _bands(self) -> list[View]:
        pixels = self.subject.cutout
        return [self._grey(f"band:{name}", name, pixels[b : b + 1], b) for b, name in enumerate(self.subject.bands)]

    def _companions(self) -> list[View]:
        """Model as the object itself, residual around middle grey; by the levels of the middle band."""
        middle = len(self.subject.cutout) // 2
        return [
            (self._signed if name.startswith("residual") else self._grey)(
                name, name.replace("_", " "), plane[None], middle
            )
            for name, plane in self.subject.companions.items()
        ]

    def _view(self, key: str, title: str, picture: np.ndarray, known: np.ndarray, factor: int = 1) -> View:
        width, height = self.subject.size
        extent = ((1 - factor) / 2 * width, (1 - factor) / 2 * height, factor * width, factor * height)
        return View(key, title, encode(picture, known) if known.any() else b"", float(known.mean()), extent)

    def _colour(self, key: str, title: str, pixels: np.ndarray, stretch: Stretch, factor: int = 1) -> View:
        return self._view(key, title, *self._draw(pixels, self._calibration, stretch, self._limits), factor)

    def _grey(self, key: str, title: str, plane: np.ndarray, band: int) -> View:
        """One band by its own levels; (1, h, w)."""
        return self._view(key, title, *self._levels(plane, band))

    def _signed(self, key: str, title: str, plane: np.ndarray, band: int) -> View:
        """A residual: nothing left is middle grey, light left over is brighter, light taken too much is darker."""
        zero = np.float32(self._calibration.background[band] if self._limits is None else self._limits[0, band, 0])
        (above, known), (below, _) = (self._levels(zero + sign * plane, band) for sign in (1, -1))
        return self._view(key, title, (128 + (above.astype(np.int16) - below) / 2).clip(0, 255).astype(np.uint8), known)

    def _levels(self, plane: np.ndarray, band: int) -> tuple[np.ndarray, np.ndarray]:
        """Grey levels (h, w) uint8 of one plane, and where it is known."""
        plain = replace(self.stretch, rgb=None, weights=(), colour=DEFAULT.colour)
        limits = None if self._limits is None else self._limits[:, band : band + 1]
        picture, known = self._draw(plane, band_calibration(self._calibration, band), plain, limits)
        return picture[..., 0], known

    def _draw(self, pixels, calibration: Calibration, stretch: Stretch, limits) -> tuple[np.ndarray, np.ndarray]:
        """A picture (h, w, 3) uint8 of (C, h, w) pixels, `LARGEST` a side at most, and where it is known."""
        source = self.subject.source
        block = -(-max(pixels.shape[1:]) // LARGEST)
        if block > 1:
            pixels = means(pixels, block)
        bands = source.bands if len(pixels) == len(source.bands) else None
        drawn = to_rgb(
            pixels[None], calibration, science=source.science, stretch=stretch, bands=bands, scale=block, limits=limits
        )
        return drawn[0], np.isfinite(pixels).any(axis=0)


def card(views: Sequence[View]) -> list[str]:
    """Keys of the views that a card shows, six at most; one band stands for all, of those that show most of the object."""
    known = {view.key: view.known for view in views if view.picture}
    bands = [key for key in known if key.startswith("band:")]
    full = [key for key in bands if known[key] > max(known[b] for b in bands) - 0.01]
    residuals, models = ([key for key in known if key.startswith(name)] for name in ("residual", "model"))
    middle = full[len(full) // 2 : len(full) // 2 + 1]
    wanted = [
        "colour",
        "binned",
        "smoothed",
        *middle,
        "context",
        *models[:1],
        *residuals[:1],
        "enhanced",
        *full,
        *bands,
    ]
    return [key for key in dict.fromkeys(wanted) if key == "colour" or key in known][:CARD]


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
