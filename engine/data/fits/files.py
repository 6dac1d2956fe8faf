"""Cutouts that are FITS images: a file an object, a file an object and band, or an HDU an object.

Four ways in which survey teams keep them, told apart by the header's ``layout`` and the columns of references:

``pixels_file`` (and ``pixels_index``, the HDU)
    One file an object; a cube holds its bands as planes (``planes`` of the header, where their order is another).
``pixels_file_BAND`` for each band (and ``pixels_index``), layout ``band-folders``
    A file a band; no file means that the band is missing, and reads as NaN.
``pixels_file`` and ``pixels_index_BAND`` for each band, layout ``band-images``
    One file an object, an image of it a band; -1 means that the band is missing.
``pixels_index`` (or ``pixels_index_BAND``) alone
    The root is one file, its HDUs are objects.

Bands of one object that differ in size are brought to that of the largest. What a source holds is found out in
`engine.data.fits.look`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from engine.data.cutouts import Unreadable, resample
from engine.data.fits.hdus import Hdu, open_fits, read_hdus, read_pixels
from engine.data.fits.headers import LIST_OF_OBJECTS, companions, reason_of, too_large
from engine.data.fits.look import look
from engine.data.references import Root
from engine.data.sky.astrometry import celestial

if TYPE_CHECKING:
    from astropy.wcs import WCS

    from engine.survey import Survey

__all__ = ["FitsFiles", "look", "zeros_are_holes"]

T = TypeVar("T")

#: Share of exactly-zero pixels above which a cutout's zeros look like a hole in the coverage.
HOLE = 0.01


class FitsFiles:
    """FITS images below a folder, or the HDUs of one file."""

    def __init__(self, survey: Survey, root: Path):
        pixels = survey.header["pixels"]
        self.bands = tuple(survey.bands)
        self.science = bool(pixels["science"])
        self._zero_is_missing = bool(pixels.get("zero_is_missing", False))
        self._index = survey.column("pixels_index")
        self._single: list[Hdu] | None = None
        self._path = root
        self._planes = list(pixels["planes"]) if pixels.get("planes") else None
        self._of_band: list[np.ndarray] | None = None
        if pixels.get("layout") == "band-images":
            self._of_band = [survey.column(f"pixels_index_{band}") for band in self.bands]
        if root.is_file():
            self._files: list[np.ndarray] | None = None
        else:
            self._root = Root(root)
            layout = pixels.get("layout", "one")
            columns = [f"pixels_file_{band}" for band in self.bands] if layout == "band-folders" else ["pixels_file"]
            self._files = [survey.column(column) for column in columns]

    def read(self, rows: Sequence[int] | np.ndarray) -> list[np.ndarray | Unreadable]:
        """Read cutouts; see `engine.data.cutouts.CutoutSource`."""
        with ExitStack() as stack:
            opened: dict = {}
            return [self._object(int(row), opened, stack) for row in rows]

    def wcs(self, row: int) -> WCS | None:
        """Celestial WCS of a cutout: of its first band that is there, or, if sizes differ, of the first of the largest."""
        asked = self._with_headers(row, lambda _stream, hdus, index, _path: celestial(hdus[index]))
        found = [wcs for wcs in asked if wcs is not None]
        return max(found, key=lambda wcs: wcs.array_shape[0] * wcs.array_shape[1], default=None)

    def units(self, row: int) -> tuple[str, ...]:
        """Unit of each band's pixels as its header says it (BUNIT), empty where it does not."""
        asked = self._with_headers(row, lambda _stream, hdus, index, _path: str(hdus[index].get("BUNIT", "")).strip())
        found = tuple(unit or "" for unit in asked)
        return found if len(found) == len(self.bands) else found[:1] * len(self.bands)

    def companions(self, row: int) -> dict[str, np.ndarray]:
        """Model and residual that lie in the object's own file; see `engine.data.cutouts.CutoutSource`."""
        return next((found for found in self._with_headers(row, companions) if found), {})

    def _with_headers(self, row: int, ask: Callable[..., T]) -> Iterator[T | None]:
        """``ask(stream, hdus, index, path)`` of each of an object's files or images; None for one that cannot be read."""
        names = [""] if self._files is None else [column[row] for column in self._files]
        indices = [self._index[row]] if self._of_band is None else [column[row] for column in self._of_band]
        for name, index in [(name, int(index)) for name in names for index in indices]:
            try:
                if index < 0:
                    raise IndexError
                path = str(self._path) if self._files is None else self._root.file(name)
                with open_fits(path) as stream:
                    answer = ask(stream, self._headers(stream), index, path)
            except Exception:  # why not is said where the pixels are read
                answer = None
            yield answer

    def _object(self, row: int, opened: dict, stack: ExitStack) -> np.ndarray | Unreadable:
        if self._of_band is not None:
            return self._images(row, opened, stack)
        index = int(self._index[row])
        names = [""] if self._files is None else [column[row] for column in self._files]
        planes: list[np.ndarray | None] = []
        for name in names:
            if not isinstance(name, str):
                planes.append(None)
                continue
            try:
                planes.append(self._image(name, index, opened, stack))
            except Exception as error:  # unpacking and astropy raise many kinds on what is damaged
                return Unreadable(f"{name or self._path.name}: {reason_of(error)}")
        return self._stacked(planes, names)

    def _images(self, row: int, opened: dict, stack: ExitStack) -> np.ndarray | Unreadable:
        """An object whose bands are images of one file."""
        assert self._of_band is not None
        name = "" if self._files is None else str(self._files[0][row])
        indices = [int(column[row]) for column in self._of_band]
        try:
            planes = [None if k < 0 else self._image(name, k, opened, stack) for k in indices]
        except Exception as error:  # unpacking and astropy raise many kinds on what is damaged
            return Unreadable(f"{name or self._path.name}: {reason_of(error)}")
        return self._stacked(planes, [name])

    def _image(self, name: str, index: int, opened: dict, stack: ExitStack) -> np.ndarray:
        path = str(self._path) if self._files is None else self._root.file(name)
        alone = self._of_band is None and self._files is not None
        if alone and (len(self._files or ()) > 1 or index <= LIST_OF_OBJECTS):
            with open_fits(path) as own:
                return self._pixels(own, read_hdus(own, index), index, path)
        if path not in opened:  # objects that share a file share its headers
            shared = stack.enter_context(open_fits(path))
            opened[path] = shared, self._headers(shared)
        stream, hdus = opened[path]
        return self._pixels(stream, hdus, index, path)

    def _headers(self, stream) -> list[Hdu]:
        if self._files is not None:
            return read_hdus(stream)
        if self._single is None:
            self._single = read_hdus(stream)
        return self._single

    def _pixels(self, stream, hdus: list[Hdu], index: int, path: str) -> np.ndarray:
        if index >= len(hdus):
            raise ValueError(f"it has no HDU {index}")
        if too_large(hdus[index].shape):
            raise ValueError(f"HDU {index} is too large for a cutout")
        pixels = read_pixels(stream, hdus[index], path)
        if self._zero_is_missing:
            pixels = np.where(pixels == 0, np.float32(np.nan), pixels)
        return pixels

    def _stacked(self, planes: list[np.ndarray | None], names: list) -> np.ndarray | Unreadable:
        """Join the bands of one object; a missing one is NaN."""
        there = [p for p in planes if p is not None]
        if not there:
            return Unreadable("no band has a file")
        shape = max((p.shape[1:] for p in there), key=lambda s: s[0] * s[1])
        if any(p.shape[1:] != shape for p in there):
            side = max(shape)
            if too_large((side, side)):
                return Unreadable(
                    f"{names[0] or self._path.name}: its bands differ in size, one has {side:,} pixels a side"
                )
            planes = [p if p is None or p.shape[1:] == (side, side) else resample(p, side) for p in planes]
            shape = (side, side)
        cutout = np.concatenate([np.full((1, *shape), np.nan, np.float32) if p is None else p for p in planes])
        if len(cutout) != len(self.bands):
            return Unreadable(f"{names[0] or self._path.name}: {len(cutout)} planes for {len(self.bands)} bands")
        return cutout if self._planes is None else cutout[self._planes]


def zeros_are_holes(cutouts: Sequence[np.ndarray]) -> bool:
    """Whether exact zeros mean "not observed": some planes are riddled with them, most have none.

    Mosaics (CEERS among them) store zero outside their coverage; pixels of real sky are almost never exactly zero.
    """
    share = np.array([float((plane == 0).mean()) for cutout in cutouts for plane in cutout])
    return bool((share > HOLE).any() and np.median(share) == 0)
