"""Cutouts that are pictures: JPEG, PNG, TIFF, WebP or BMP files in a folder.

Colour gives the bands R, G, B; grey gives one, ``grey``. Eight-bit pictures are taken as stretched already (0-255);
16-bit and floating-point ones as linear flux, kept in full. Files are decoded by a few threads: the decoder lets go of
the interpreter, so that a batch costs its decoding divided by the cores (2-3 thousand small JPEGs a second and core).
"""

from __future__ import annotations

import ctypes
import logging
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, _imaging

from engine.data.cutouts import LONGEST, Unreadable
from engine.data.references import (
    NOTHING,
    Asked,
    Found,
    Place,
    Rejected,
    Root,
    extent,
    named_bands,
    names_to_ids,
    require_some,
)
from engine.jobs import Progress, silent
from engine.quiet import quietly

if TYPE_CHECKING:
    from engine.survey import Survey

#: Largest picture taken for a cutout, pixels: a small file can claim to be one that fills the memory.
MOST_PIXELS = 4096 * 4096
#: Threads that decode; more than the cores of a small machine only compete.
THREADS = min(8, os.cpu_count() or 1)
#: Formats that are decoded, whatever a file is called: others bring decoders that nobody needs (or run a program).
FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP")
#: PIL's modes of more than 8 bits a pixel; all are grey.
DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
GREY = ("L", "1", "LA", *DEEP)
#: End of a whole file, looked for in its last bytes; without it the file is decoded to find out.
ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
TAIL = 64

#: Pillow logs what is wrong with a file before it raises it; unless somebody listens, that would be printed.
logging.getLogger("PIL").addHandler(logging.NullHandler())
with suppress(OSError, AttributeError):  # and libtiff, which Pillow is linked to, prints
    ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)


def open_image(path: str) -> Image.Image:
    """Open a picture's header.

    Raises
    ------
    ValueError
        If it is too large for a cutout.
    OSError
        If it is no picture.
    """
    try:
        image = Image.open(path, formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"it claims more than {MOST_PIXELS:,} pixels, too many for a cutout") from error
    if image.width * image.height > MOST_PIXELS or max(image.size) > LONGEST:
        image.close()
        raise ValueError(f"it claims {image.width}×{image.height} pixels, too many for a cutout")
    return image


def decode(path: str, bands: int, *, science: bool = False) -> np.ndarray:
    """Decode one picture.

    Parameters
    ----------
    path : str
    bands : int
        1 for grey, 3 for colour.
    science : bool
        If false, 16-bit values are brought to 0-255.

    Returns
    -------
    (bands, h, w) float32
    """
    with open_image(path) as image:
        deep = image.mode in DEEP
        if not deep:
            if image.mode == "P" and "transparency" in image.info:  # as Pillow advises
                image = image.convert("RGBA")
            image = image.convert("L" if bands == 1 else "RGB")
        pixels = np.asarray(image)
    planes = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
    if planes.shape[0] < bands:
        planes = np.repeat(planes, bands, axis=0)
    planes = np.ascontiguousarray(planes, np.float32)
    if deep and not science and pixels.dtype.kind != "f":
        planes /= 257.0  # 65535 → 255
    return planes


class ImageFiles:
    """Pictures below a folder, one an object (column ``pixels_file``)."""

    def __init__(self, survey: Survey, root: Path):
        self.bands = tuple(survey.bands)
        self.science = bool(survey.header["pixels"]["science"])
        self._files = survey.column("pixels_file")
        self._root = Root(root)
        self._pool: ThreadPoolExecutor | None = None

    def read(self, rows: Sequence[int] | np.ndarray) -> list[np.ndarray | Unreadable]:
        """Read cutouts; see `engine.data.cutouts.CutoutSource`."""
        names = [self._files[int(row)] for row in rows]
        if len(names) < 4 or THREADS == 1:
            with quietly():
                return [self._one(name) for name in names]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="decode")
        with quietly():  # of odd metadata
            return list(self._pool.map(self._one, names))

    def _one(self, name: str) -> np.ndarray | Unreadable:
        try:
            return decode(self._root.file(name), len(self.bands), science=self.science)
        except Exception as error:  # decoders raise whatever they like on damaged bytes; one bad file never stops a run
            return Unreadable(f"{name}: {_reason(error)}")


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "the file is gone"
    text = str(error).split("\n")[0] or type(error).__name__
    return "not a readable picture" if text.startswith("cannot identify image file") else text


def check(path: str) -> tuple[str, int, int]:
    """Check a picture cheaply: its header, and that its end is there.

    Returns
    -------
    mode : str
        As PIL calls it.
    height, width : int

    Raises
    ------
    Exception
        As the decoder gives it, if the file is damaged.
    """
    with open_image(path) as image:
        mark = ENDS.get(image.format or "")
        if mark is not None:
            with open(path, "rb") as stream:
                stream.seek(max(0, os.path.getsize(path) - TAIL))
                whole = mark in stream.read()
            if not whole:  # trailing bytes, or cut short: only decoding tells
                image.load()
        return image.mode, image.height, image.width


def look(place: Place, asked: Asked = NOTHING, progress: Progress = silent) -> Found:
    """Find out what a folder of pictures holds, reading headers only.

    Raises
    ------
    UserError
        If none can be read, or the names of bands do not fit.
    """
    root, names = place.root, place.names
    below = Root(root)

    def checked(name: str) -> tuple[str, int, int] | Rejected:
        try:
            return check(below.file(name))
        except Exception as error:  # as in reading
            return Rejected(name, _reason(error))

    good: list[str] = []
    modes: Counter[str] = Counter()
    rejected: list[Rejected] = []
    shapes: list[tuple[int, int]] = []
    with quietly(), ThreadPoolExecutor(THREADS) as pool:
        for done, (name, outcome) in enumerate(zip(names, pool.map(checked, names)), 1):
            if isinstance(outcome, Rejected):
                rejected.append(outcome)
            else:
                good.append(name)
                modes[outcome[0]] += 1
                shapes.append(outcome[1:])
            progress(done, len(names), "checking images")
    require_some(good, rejected, root, "images")
    deep, grey = (sum(modes[m] for m in which) for which in (DEEP, GREY))
    science = deep * 2 > len(good)
    is_grey = grey * 2 > len(good) or _colourless(below, good)
    names_of_bands = named_bands(asked.bands, 1 if is_grey else 3, ("grey",) if is_grey else ("R", "G", "B"))
    nowhere = np.full(len(good), np.nan)
    return Found(
        "images",
        root,
        names_to_ids(good),
        {"pixels_file": good},
        names_of_bands,
        science,
        extent(shapes),
        nowhere,
        nowhere.copy(),
        rejected=tuple(rejected),
        files=len(names),
    )


def _colourless(root: Root, names: list[str], sample: int = 32) -> bool:
    """Whether pictures stored in colour are grey after all: the channels of a sample are equal."""
    for name in names[:: max(1, len(names) // sample)]:
        try:
            pixels = decode(root.file(name), 3)
        except Exception:  # found and told when the cutouts are read
            continue
        if np.abs(pixels - pixels[:1]).max() > 0:
            return False
    return True
