"""Boxes of large images, read where they lie: the pixels of a mosaic around an object.

Plain images are mapped into memory, and only the rows of a box are touched. Of a compressed image (``.fz``) only the
tiles that the box meets are unpacked; once that has been as many pixels as the image has, it is unpacked whole and kept,
so that no order of reading costs more than twice the best. A ``.gz`` or ``.bz2`` cannot be entered in the middle: it is
unpacked whole at once. What is kept is bounded by `KEPT` bytes, open files by `OPEN`; a file that has changed is opened anew.

Any number of threads may read; a process that was forked opens its own files, so that nothing shares a place in a file.
"""

from __future__ import annotations

import os
import re
import threading
import weakref
from collections import OrderedDict
from concurrent.futures import Future
from typing import Protocol

import numpy as np

from engine.data.fits.hdus import TYPES, Hdu, mapped, open_fits, packed, read_hdus, scaled
from engine.quiet import quietly

#: Images that are open at once, at most: a process may often have 1024 files, and others want some.
OPEN = 256
#: Bytes of unpacked images that are kept.
KEPT = 1 << 30

#: Cards without which no box can be read; the others need not be kept.
_CARDS = re.compile(r"^(BITPIX|Z?NAXIS\d?|BSCALE|BZERO|BLANK|ZIMAGE|XTENSION)$")

Key = tuple[str, int]
Stamp = tuple[int, int, int]


class Closed(Exception):
    """The image was closed to make room, between being found and being read."""


class Image(Protocol):
    """An image that gives boxes."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Planes, height and width."""
        ...

    @property
    def kept(self) -> int:
        """Bytes of unpacked pixels that it holds."""
        ...

    def part(self, plane: int, y: slice, x: slice) -> np.ndarray:
        """Pixels of a box that lies inside, (h, w) float32; blank ones are NaN."""
        ...

    def close(self) -> None:
        """Let go of the file and of what is kept."""
        ...


class Plain:
    """An image as it lies in a file, or in memory: (C, h, w) of the file's own type."""

    def __init__(self, raw: np.ndarray, hdu: Hdu, kept: int = 0):
        self._raw, self._hdu, self.shape, self.kept = raw, hdu, raw.shape, kept

    def part(self, plane: int, y: slice, x: slice) -> np.ndarray:
        """See `Image`."""
        return scaled(self._raw[plane, y, x], self._hdu)

    def close(self) -> None:
        """Nothing: a map goes when the last box has been read."""


class Compressed:
    """A tile-compressed image (FITS standard 4.0, sec. 10.1), unpacked by astropy."""

    def __init__(self, path: str, hdu: Hdu):
        from astropy.io import fits

        with quietly():
            self._file = fits.open(path, memmap=False, ignore_missing_end=True)
            self._section = self._file[hdu.index].section
            self._tile = self._file[hdu.index].tile_shape[-2:]
        weakref.finalize(self, self._file.close)
        height, width = hdu.shape[-2:]
        self.shape = (hdu.shape[0] if len(hdu.shape) == 3 else 1, height, width)
        self._lock, self._unpacked, self._closed = threading.Lock(), 0, False
        self._whole: np.ndarray | None = None

    @property
    def kept(self) -> int:
        """See `Image`."""
        return 0 if self._whole is None else self._whole.nbytes

    def part(self, plane: int, y: slice, x: slice) -> np.ndarray:
        """See `Image`."""
        with self._lock:
            if self._closed:
                raise Closed
            if self._whole is None and self._unpacked >= np.prod(self.shape) <= KEPT // 4:
                self._whole = np.stack([self._read(k, slice(None), slice(None)) for k in range(self.shape[0])])
            if self._whole is not None:
                return self._whole[plane, y, x].copy()
            tiles = [-(-s.stop // t) - s.start // t for s, t in zip((y, x), self._tile)]
            self._unpacked += int(np.prod(tiles) * np.prod(self._tile))
            return self._read(plane, y, x)

    def _read(self, plane: int, y: slice, x: slice) -> np.ndarray:
        leading = self._section.ndim - 2  # axes of one before the planes
        with quietly():
            return np.asarray(self._section[(*(0,) * (leading - 1), *(plane,) * (leading > 0), y, x)], np.float32)

    def close(self) -> None:
        """See `Image`."""
        with self._lock:
            self._closed, self._whole = True, None
            self._file.close()


class Boxes:
    """Boxes of images that are opened when they are first asked for."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._process, self._lock = os.getpid(), threading.Lock()
        self._images: OrderedDict[Key, tuple[Stamp, Future[Image]]] = OrderedDict()
        self._headers: dict[Key, tuple[Stamp, Hdu]] = {}
        self._kept: dict[Key, int] = {}  # bytes of those that keep any

    def read(self, path: str, index: int, plane: int, corners: np.ndarray, side: int) -> np.ndarray:
        """Read boxes of an image.

        Parameters
        ----------
        path : str
        index : int
            The HDU.
        plane : int
        corners : (n, 2) int
            x and y of the first pixel of each box, 0-based; a box may reach over the edge, or lie beside the image.
        side : int

        Returns
        -------
        (n, side, side) float32
            NaN where blank and beyond the edge.

        Raises
        ------
        OSError, ValueError, EOFError
            If the file is gone, damaged or cut short.
        """
        image = self._image(path, index)
        found = np.full((len(corners), side, side), np.nan, np.float32)
        if plane >= image.shape[0]:
            raise ValueError(f"HDU {index} has no plane {plane}")
        height, width = image.shape[-2:]
        for box, (x, y) in zip(found, np.asarray(corners).tolist()):
            left, right = max(x, 0), min(x + side, width)
            low, high = max(y, 0), min(y + side, height)
            if left >= right or low >= high:
                continue
            while True:
                try:
                    part = image.part(plane, slice(low, high), slice(left, right))
                    break
                except Closed:
                    image = self._image(path, index)
            box[low - y : high - y, left - x : right - x] = part
        self._make_room((path, index), image.kept)
        return found

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            held, self._images, self._kept = self._images, OrderedDict(), {}
        _close(image for _, image in held.values())

    def _image(self, path: str, index: int) -> Image:
        """An open image; opened by one thread, while others that want it wait."""
        if os.getpid() != self._process:
            self._start()
        stat = os.stat(path)
        key, stamp = (path, index), (stat.st_size, stat.st_mtime_ns, stat.st_ino)
        with self._lock:
            stale = None
            if key in self._images and self._images[key][0] != stamp:
                stale = self._images.pop(key)[1]
                self._kept.pop(key, None)
            mine = key not in self._images
            future: Future[Image] = self._images.setdefault(key, (stamp, Future()))[1]
            self._images.move_to_end(key)
        if stale is not None:
            _close([stale])
        if mine:
            try:
                future.set_result(_opened(path, self._header(key, stamp)))
            except BaseException as error:
                with self._lock:
                    self._images.pop(key, None)
                future.set_exception(error)
        return future.result()

    def _header(self, key: Key, stamp: Stamp) -> Hdu:
        """What is needed of a header; read once, since a file of a large survey is opened many times."""
        known = self._headers.get(key)
        if known is not None and known[0] == stamp:
            return known[1]
        path, index = key
        with open_fits(path) as stream:
            hdus = read_hdus(stream, index)
        if index >= len(hdus) or not hdus[index].shape:
            raise ValueError(f"HDU {index} holds no image")
        hdu = hdus[index]
        hdu = Hdu(index, {k: text for k, text in hdu.cards.items() if _CARDS.match(k)}, hdu.start, hdu.size)
        self._headers[key] = stamp, hdu
        return hdu

    def _make_room(self, newest: Key, kept: int) -> None:
        """Close the images that were asked for longest ago, if there are too many or too much is kept."""
        gone = []
        with self._lock:
            if kept and newest in self._images:
                self._kept[newest] = kept
            while len(self._images) > OPEN or sum(self._kept.values()) > KEPT:
                key = next(iter(self._images))
                if key == newest or not self._images[key][1].done():
                    break
                gone.append(self._images.pop(key)[1])
                self._kept.pop(key, None)
        _close(gone)


def _close(images) -> None:
    for future in images:
        if future.done() and future.exception() is None:
            future.result().close()


def _opened(path: str, hdu: Hdu) -> Image:
    if packed(path):
        with open_fits(path) as stream:
            return _unpacked_whole(stream, hdu)
    return Compressed(path, hdu) if hdu.compressed else Plain(mapped(path, hdu), hdu)


def _unpacked_whole(stream, hdu: Hdu) -> Plain:
    refusal = too_packed(hdu)
    if refusal:
        raise ValueError(refusal)
    stream.seek(hdu.start)
    raw = stream.read(hdu.size)
    kind = np.dtype(TYPES[hdu.get("BITPIX")])
    count = int(np.prod(hdu.shape, dtype=np.int64))
    if len(raw) < count * kind.itemsize:
        raise ValueError("the file is cut short")
    shape = hdu.shape if len(hdu.shape) == 3 else (1, *hdu.shape)
    return Plain(np.frombuffer(raw, kind, count).reshape(shape), hdu, len(raw))


def too_packed(hdu: Hdu) -> str:
    """Why an image cannot be read out of a file that is packed as a whole; empty if it can."""
    if hdu.compressed or hdu.get("BITPIX") not in TYPES:
        return "it is packed twice: unpack the file first (gunzip, bunzip2)"
    if hdu.size > KEPT // 2:
        return f"unpacked it takes {hdu.size / 1e9:.1f} GB of memory: unpack the file on disk (gunzip, bunzip2)"
    return ""
