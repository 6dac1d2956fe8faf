"""Cutouts: where the pixels of objects are, and how they become arrays of one shape.

A source reads cutouts where they lie; nothing is copied. Each kind is one file and one line in `SOURCES`. The ``[pixels]``
section of the survey's header says which kind it is:

``kind``
    A key of `SOURCES`.
``root``
    Folder or file that holds the pixels, absolute, or relative to the survey folder (self-contained surveys).
``bands``
    Names, in order of wavelength; for JPEG colours ``R``, ``G``, ``B``.
``science``
    True for linear flux; false for pictures that are stretched already (0-255).
``fit``, ``side``
    How cutouts of different sizes are brought to one: see `engine.data.fitting`.
``background``, ``noise``, ``bright``
    One number a band, in the units of the pixels, measured on a sample at ingest (`engine.data.pictures.stretch.calibrate`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from engine.errors import UserError

if TYPE_CHECKING:
    from engine.data.ingest import Draft
    from engine.survey import Survey

#: kind → "module:factory"; a factory is called with (survey, root) and imported only when needed.
SOURCES = {
    "images": "engine.data.images:ImageFiles",
    "fits": "engine.data.fits.files:FitsFiles",
    "mosaic": "engine.data.mosaics.source:MosaicBoxes",
    "hdf5": "engine.data.arrays.hdf5:Hdf5Rows",
    "hdf5-objects": "engine.data.arrays.hdf5_objects:Hdf5Objects",
    "npz": "engine.data.arrays.npz:ArrayRows",
    "npy": "engine.data.arrays.npy_files:NpyFiles",
    "zarr": "engine.data.arrays.zarrs:ZarrRows",
    "table": "engine.data.tables:NoPixels",
}


#: Pixels a side of a cutout, at most; no camera makes a longer one, and a damaged header does.
LONGEST = 1 << 16


@dataclass(frozen=True)
class Unreadable:
    """An object whose pixels could not be read, and why."""

    reason: str


class CutoutSource(Protocol):
    """Reads cutouts by row number.

    A source may also have

    ``read_raw(rows)``
        The same numbers in the type and order in memory in which they are kept, (C, h, w) by shape alone:
        `read_batch` then converts them once, into the batch.
    ``wcs(row)``
        An `astropy.wcs.WCS` of the cutout's pixels (celestial), None where it is not known.
    ``context(row, factor)``
        What lies around: the cutout with `factor` times its sides, (C, h·factor, w·factor) float32, NaN where nothing
        is known; None where there is no more.
    ``companions(row)``
        Further images of the object that are kept beside it, such as ``residual`` and ``model``: {name: (h, w) float32}.
    ``units(row)``
        Unit of each band's pixels, as the file says it: C of str, empty where it does not.
    """

    bands: tuple[str, ...]
    science: bool

    def read(self, rows: Sequence[int] | np.ndarray) -> list[np.ndarray | Unreadable]:
        """Read cutouts.

        Returns
        -------
        list of (C, h, w) float32
            In the order of `rows`, each of its own size, NaN where a pixel or a whole band is missing; an `Unreadable`
            in place of what could not be read. Never raises for one bad file.
        """
        ...


def open_source(survey: Survey | Draft) -> CutoutSource:
    """Open the cutouts of a survey, or of one that is being made.

    Raises
    ------
    UserError
        If the kind is unknown, or the place it names is gone.
    """
    pixels = survey.header["pixels"]
    kind = pixels["kind"]
    if kind not in SOURCES:
        raise UserError(
            f"{survey.path} keeps its pixels as {kind!r}, which is not known here",
            f"update Skysieve (it knows {', '.join(SOURCES)})",
        )
    root = Path(pixels["root"])
    if not root.is_absolute():
        root = survey.path / root
    if not root.exists():
        raise UserError(
            f"the pixels of {survey.path} are gone: {root} does not exist",
            "put them back, or correct `root` in its survey.toml",
        )
    module, factory = SOURCES[kind].split(":")
    source = getattr(import_module(module), factory)(survey, root)
    if pixels.get("fit") in ("crop", "pad"):
        from engine.data.fitting import Fitted

        return Fitted(source, int(pixels["side"]))
    return source


def require_pixels(survey: Survey) -> None:
    """Refuse to look at the pixels of a survey that has none.

    Raises
    ------
    UserError
    """
    if not survey.bands:
        raise UserError(
            f"{survey.path} was made of a table and has no pixels",
            f"give it vectors that were made elsewhere: python -m engine embed {survey.path} --vectors FILE",
        )


def resample(cutout: np.ndarray, size: int) -> np.ndarray:
    """Bring a cutout to size × size: padded with NaN to a square, then area-averaged or interpolated.

    Missing pixels carry no weight; an output pixel is NaN where less than half of what it covers is known.

    Parameters
    ----------
    cutout : (C, h, w) float32
    size : int
        Pixels a side of the result.

    Returns
    -------
    (C, size, size) float32
    """
    return resample_batch(cutout[None], size)[0]


def resample_batch(cutouts: np.ndarray, size: int) -> np.ndarray:
    """Like `resample`, for many cutouts of one shape: (B, C, h, w) → (B, C, size, size)."""
    height, width = cutouts.shape[-2:]
    if height == width == size:
        return np.ascontiguousarray(cutouts, np.float32)
    pixels = torch.from_numpy(np.require(cutouts, np.float32, ["C", "W"]))  # what is mapped read-only is copied
    # ten times cheaper than asking every pixel; an overflow only costs time
    if height == width and bool(torch.isfinite(pixels.sum())):
        return _scaled(pixels, size, size).numpy()
    known = torch.isfinite(pixels)
    weight = _squared(known.float(), size)
    total = _squared(torch.where(known, pixels, torch.zeros(())), size)
    return torch.where(weight >= 0.5, total / weight.clamp(min=0.5), torch.nan).numpy()


def _scaled(image: torch.Tensor, height: int, width: int) -> torch.Tensor:
    return torch.nn.functional.interpolate(image, (height, width), mode="bilinear", antialias=True, align_corners=False)


def _squared(image: torch.Tensor, size: int) -> torch.Tensor:
    """Pad with zeros to a square and scale; first along the longer axis, so that the square of a strip is never made."""
    height, width = image.shape[-2:]
    side = max(height, width)
    before = (side - min(height, width)) // 2
    after = side - min(height, width) - before
    if width > height:
        image = torch.nn.functional.pad(_scaled(image, height, size), (0, 0, before, after))
    elif height > width:
        image = torch.nn.functional.pad(_scaled(image, size, width), (before, after))
    return _scaled(image, size, size)


def read_batch(source: CutoutSource, rows: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """Read cutouts and bring them to one size.

    Returns
    -------
    pixels : (B, C, size, size) float32
        NaN where missing; all NaN for what could not be read.
    readable : (B,) bool
        False for what could not be read, or has no finite pixel.
    problems : dict
        Row number → reason, for those.
    """
    pixels = np.empty((len(rows), len(source.bands), size, size), np.float32)
    problems: dict[int, str] = {}
    of_shape: dict[tuple[int, ...], tuple[list[int], list[np.ndarray]]] = {}
    for position, cutout in enumerate(getattr(source, "read_raw", source.read)(rows)):
        if isinstance(cutout, Unreadable) or max(cutout.shape) > LONGEST:
            long = (
                ""
                if isinstance(cutout, Unreadable)
                else f"{cutout.shape[1]}×{cutout.shape[2]} pixels are too many a side"
            )
            problems[int(rows[position])] = getattr(cutout, "reason", long)
            pixels[position] = np.nan
        else:
            positions, cutouts = of_shape.setdefault(cutout.shape, ([], []))
            positions.append(position)
            cutouts.append(cutout)
    for shape, (positions, cutouts) in of_shape.items():
        if shape[1:] == (size, size):
            for position, cutout in zip(positions, cutouts):
                pixels[position] = cutout
        else:
            pixels[positions] = resample_batch(np.stack(cutouts), size)
    readable = np.asarray(
        np.isfinite(pixels[:, :, size // 2, size // 2]).any(axis=1)
    )  # nearly always enough, and costs nothing
    readable[~readable] = np.isfinite(pixels[~readable]).any(axis=(1, 2, 3))
    for row in np.asarray(rows)[~readable]:
        problems.setdefault(int(row), "no finite pixel")
    return pixels, readable, problems
