"""Pictures of objects larger than a thumbnail: in colour, one a band, or many of one size, under any stretch.

All go through `engine.data.stretch`. Pixels that are missing in every band shown are transparent (PNG), so that the
page can hatch what lies beneath; a picture without any is a JPEG, four times smaller. Reading and stretching one
424×424 colour cutout takes about 25 ms, a hundred for the gallery about 1 s: call from a thread.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from engine.data import thumbnails
from engine.data.cutouts import Unreadable, read_batch, resample
from engine.data.stretch import DEFAULT, Calibration, Stretch, to_rgb
from engine.survey import Survey

#: Largest side of a picture, pixels; larger cutouts are averaged down.
LARGEST = 1024
#: JPEG quality of a portrait: nothing of the picture's own grain may come from the compression.
QUALITY = 93
#: Limits of what a person may set; the page's sliders use them too.
SOFTNESS = (0.1, 100.0)
GAIN = (0.1, 10.0)


@dataclass(frozen=True)
class Portrait:
    """One object, as large as its cutout.

    Attributes
    ----------
    width, height : int
        Of the cutout, pixels; 0 if it could not be read.
    colour : bytes
        JPEG or PNG; empty if it could not be read.
    bands : tuple of (str, bytes)
        Name and grey picture of each band; the picture is empty where the band is missing. No item if there is one band
        only, or if all bands are the same.
    missing : float
        Share of the pixels, over all bands, that are missing.
    problem : str
        Why it could not be read; empty if it could.
    """

    width: int
    height: int
    colour: bytes
    bands: tuple[tuple[str, bytes], ...]
    missing: float
    problem: str = ""


def portrait(survey: Survey, row: int, *, stretch: Stretch = DEFAULT) -> Portrait:
    """Render one object at the size of its pixels.

    Parameters
    ----------
    row : int
        Row number of the object.
    stretch : Stretch

    Returns
    -------
    Portrait
        With `problem` set, instead of an exception, if the pixels cannot be read.
    """
    source = survey.cutouts
    cutout = source.read(np.array([row]))[0]
    if isinstance(cutout, Unreadable):
        return Portrait(0, 0, b"", (), 1.0, cutout.reason)
    if not np.isfinite(cutout).any():
        return Portrait(0, 0, b"", (), 1.0, "no finite pixel")
    height, width = cutout.shape[1:]
    if max(height, width) > LARGEST:
        cutout = resample(cutout, LARGEST)
    calibration = Calibration.of(survey.header["pixels"], len(cutout))
    bands: tuple[tuple[str, bytes], ...] = ()
    if len(cutout) > 1 and not all(np.array_equal(cutout[0], band, equal_nan=True) for band in cutout[1:]):
        bands = tuple(
            (name, _one(cutout[b : b + 1], band_calibration(calibration, b), source.science, stretch))
            for b, name in enumerate(source.bands)
        )
    colour = _one(cutout, calibration, source.science, stretch)
    return Portrait(width, height, colour, bands, float(1 - np.isfinite(cutout).mean()))


def small_pictures(
    survey: Survey, rows: np.ndarray, *, size: int = thumbnails.SIDE, stretch: Stretch = DEFAULT
) -> list[bytes]:
    """Render objects as thumbnails under another stretch; empty where the pixels cannot be read."""
    source = survey.cutouts
    pixels, readable, _ = read_batch(source, np.asarray(rows), size)
    calibration = Calibration.of(survey.header["pixels"], len(source.bands))
    drawn = to_rgb(pixels, calibration, science=source.science, stretch=stretch)
    return [thumbnails.encode(picture) if good else b"" for picture, good in zip(drawn, readable)]


def band_calibration(calibration: Calibration, band: int) -> Calibration:
    """The calibration of one band alone."""
    part = slice(band, band + 1)
    return Calibration(calibration.background[part], calibration.noise[part], calibration.bright[part])


def set_stretch(stretch: Stretch, changes: dict) -> Stretch:
    """Change some settings of a stretch, kept within their limits; what is not understood is left as it was."""
    wanted: dict[str, Any] = {}
    for name, (low, high) in (("softness", SOFTNESS), ("gain", GAIN)):
        try:
            value = float(changes[name])
        except (KeyError, TypeError, ValueError):
            continue
        if np.isfinite(value):
            wanted[name] = min(max(value, low), high)
    if isinstance(changes.get("invert"), bool):
        wanted["invert"] = changes["invert"]
    return replace(stretch, **wanted)


def _one(cutout: np.ndarray, calibration: Calibration, science: bool, stretch: Stretch) -> bytes:
    known = np.isfinite(cutout).any(axis=0)
    if not known.any():
        return b""
    return _encode(to_rgb(cutout[None], calibration, science=science, stretch=stretch)[0], known)


def _encode(picture: np.ndarray, known: np.ndarray) -> bytes:
    stream = io.BytesIO()
    if known.all():
        Image.fromarray(picture).save(stream, "JPEG", quality=QUALITY, subsampling=0)
    else:
        alpha = np.where(known, np.uint8(255), np.uint8(0))
        Image.fromarray(np.dstack([picture, alpha])).save(stream, "PNG", compress_level=1)
    return stream.getvalue()
