"""Mosaics: boxes around the positions of a catalogue, cut from large images when they are read.

An object is cut, in each band, from the image on which it is farthest from the edge (images may overlap, and bands have
other pixels). The side s counts pixels of the finest band; a box of another scale covers the same angle, s · finest / scale
pixels, and is resampled to s. With x the object's 0-based pixel,

    x₀ = ⌈x − s/2⌉,    the box is the pixels x₀ … x₀ + s − 1

(as in `astropy.nddata.Cutout2D`), so that the object lies within half a pixel of the box's middle, and no pixel is
interpolated where scales are equal. What is beyond the edge of the image is NaN. Corners are kept with the objects:
reading needs no WCS.

References, for each band: ``pixels_file_BAND`` (none where the object is on no image of the band), ``pixels_index_BAND`` (HDU),
``pixels_plane_BAND``, ``pixels_x_BAND`` and ``pixels_y_BAND`` (the corner x₀, y₀), ``pixels_side_BAND``.
``[pixels]`` has ``side`` (s) and ``scale`` (arcsec a pixel).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from engine.data.cutouts import Unreadable, resample_batch
from engine.data.fits.hdus import Hdu, open_fits, read_hdus
from engine.data.mosaics.boxes import Boxes
from engine.data.mosaics.cutting import look as look  # what every kind of source has
from engine.data.references import Root
from engine.data.sky.astrometry import celestial, cut_out, rescaled

if TYPE_CHECKING:
    from astropy.wcs import WCS

    from engine.survey import Survey


class MosaicBoxes:
    """Boxes of large FITS images."""

    def __init__(self, survey: Survey, root: Path):
        pixels = survey.header["pixels"]
        self.bands = tuple(survey.bands)
        self.science = bool(pixels["science"])
        self._side = int(pixels["side"])
        self._zero_is_missing = bool(pixels.get("zero_is_missing", False))
        self._path, self._below = root, None if root.is_file() else Root(root)
        self._boxes = Boxes()
        self._of_band = [_Band.of(survey, band) for band in self.bands]
        self._wcs_of = lru_cache(maxsize=64)(self._read_wcs)

    def read(self, rows: Sequence[int] | np.ndarray) -> list[np.ndarray | Unreadable]:
        """Read cutouts; see `engine.data.cutouts.CutoutSource`."""
        return self._read(np.asarray(rows, np.int64), 1)

    def context(self, row: int, factor: float) -> np.ndarray | None:
        """The sky around an object, `factor` times as wide; see `engine.data.cutouts.CutoutSource`."""
        found = self._read(np.array([row], np.int64), factor)[0]
        return None if isinstance(found, Unreadable) else found

    def wcs(self, row: int) -> WCS | None:
        """The WCS of a cutout: that of its finest band, moved to the corner of its box."""
        there = [band for band in self._of_band if band.files[row] >= 0]
        if not there:
            return None
        band = max(there, key=lambda b: int(b.sides[row]))
        x, y, side = (int(v[row]) for v in (band.x, band.y, band.sides))
        try:
            whole = self._wcs_of(band.names[band.files[row]], int(band.indices[row]))
        except Exception:  # the library raises many kinds, and a file may be gone
            return None
        if whole is None:
            return None
        moved = cut_out(whole, x, y, side, side)
        return moved if side == self._side else rescaled(moved, side / self._side, self._side)

    def units(self, row: int) -> tuple[str, ...]:
        """Unit of each band's pixels as its header says it (BUNIT), empty where it does not."""
        units = []
        for band in self._of_band:
            try:
                cards = self._hdu(band.names[band.files[row]], int(band.indices[row])) if band.files[row] >= 0 else None
            except (OSError, ValueError, EOFError):
                cards = None
            units.append("" if cards is None else str(cards.get("BUNIT", "")).strip())
        return tuple(units)

    def _read(self, rows: np.ndarray, factor: float) -> list[np.ndarray | Unreadable]:
        """Boxes `factor` times as wide as the cutouts of some rows, around the same middles."""
        size = round(self._side * factor)
        pixels = np.full((len(rows), len(self.bands), size, size), np.nan, np.float32)
        trouble: dict[int, str] = {}
        for k, band in enumerate(self._of_band):
            for (file, index, plane, side), at in band.by_image(rows).items():
                wide = round(side * factor)
                corners = np.stack([band.x[rows[at]], band.y[rows[at]]], axis=1) - (wide - side) // 2
                name = band.names[file]
                try:
                    boxes = self._boxes.read(self._file(name), index, plane, corners, wide)
                except Exception as error:  # as many kinds as there are ways in which a file can be damaged
                    reason = "the file is gone" if isinstance(error, FileNotFoundError) else str(error)
                    trouble |= dict.fromkeys(at, f"{name}: {reason or type(error).__name__}")
                    continue
                if self._zero_is_missing:
                    boxes[boxes == 0] = np.nan
                pixels[at, k] = boxes if side == self._side else resample_batch(boxes[:, None], size)[:, 0]
        return [Unreadable(trouble[at]) if at in trouble else cutout for at, cutout in enumerate(pixels)]

    def _file(self, name: str) -> str:
        return str(self._path) if self._below is None else self._below.file(name)

    def _read_wcs(self, name: str, index: int) -> WCS | None:
        with open_fits(self._file(name)) as stream:
            hdus = read_hdus(stream, index)
        return celestial(hdus[index] if "CRVAL1" in hdus[index].cards else hdus[0])

    def _hdu(self, name: str, index: int) -> Hdu:
        with open_fits(self._file(name)) as stream:
            return read_hdus(stream, index)[index]


@dataclass(frozen=True)
class _Band:
    """Where the boxes of one band are, N of each.

    Attributes
    ----------
    names : list of str
        Files.
    files : (N,) int
        Number in `names`, -1 for an object that the band does not show.
    indices, planes, x, y, sides : (N,) int
        HDU, plane of it, corner and side.
    """

    names: list[str]
    files: np.ndarray
    indices: np.ndarray
    planes: np.ndarray
    x: np.ndarray
    y: np.ndarray
    sides: np.ndarray

    @classmethod
    def of(cls, survey: Survey, band: str) -> _Band:
        """Read the references of a band."""
        files = pa.array(survey.column(f"pixels_file_{band}"), pa.string()).dictionary_encode()
        numbers = files.indices.fill_null(-1).to_numpy()
        columns = (survey.column(f"pixels_{what}_{band}") for what in ("index", "plane", "x", "y", "side"))
        return cls(files.dictionary.to_pylist(), numbers, *(np.asarray(c, np.int64) for c in columns))

    def by_image(self, rows: np.ndarray) -> dict[tuple[int, int, int, int], list[int]]:
        """Positions in `rows` of the boxes of each image: (file, HDU, plane, side) → positions."""
        found: dict[tuple[int, int, int, int], list[int]] = {}
        keys = zip(*(v[rows].tolist() for v in (self.files, self.indices, self.planes, self.sides)))
        for at, key in enumerate(keys):
            if key[0] >= 0:
                found.setdefault(key, []).append(at)
        return found
