"""The blocks of a FITS file: its headers, and where the pixels of each image lie.

A cutout is one small image behind one header, and a survey has millions. Reading just that, tolerantly, is several
times faster than a library that validates every card, and odd cards (SDSS and CANDELS headers are full of them) do not
make it fail. Compressed images go to astropy. FITS standard 4.0 (Pence et al. 2010, A&A 524, A42), sec. 3-4.
"""

from __future__ import annotations

import bz2
import gzip
import io
import os
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from engine.quiet import quietly

BLOCK = 2880
CARD = 80
#: Blocks in a header, at most: a file that is not FITS must not be searched to its end. CANDELS headers take 130.
MOST_BLOCKS = 20_000
#: Values in one image, at most: a header may claim anything.
MOST_VALUES = 1 << 28
#: Axes of an image, at most (standard, sec. 4.4.1).
MOST_AXES = 999
#: Bytes that a packed file may unpack to.
MOST_BYTES = 1 << 34

TYPES = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}


@dataclass(frozen=True)
class Hdu:
    """One header-and-data unit.

    Attributes
    ----------
    index : int
        Number in the file; 0 is the primary one.
    cards : dict
        Keyword → value field as written.
    start, size : int
        Where its data begin, and their bytes.
    """

    index: int
    cards: dict[str, str]
    start: int
    size: int

    def get(self, key: str, default=None):
        """Value of a card: str, bool, int or float; the default where it is missing or makes no sense."""
        text = self.cards.get(key)
        return default if text is None else _value(text, default)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the image, slowest axis first, without leading axes of one; empty if it holds none."""
        if "XTENSION" in self.cards and self.get("XTENSION") != "IMAGE" and not self.compressed:
            return ()
        prefix = "ZNAXIS" if self.compressed else "NAXIS"
        shape = self.axes(prefix)[::-1]
        while len(shape) > 2 and shape[0] == 1:
            shape = shape[1:]
        return shape if len(shape) in (2, 3) and min(shape) > 0 else ()

    def axes(self, prefix: str = "NAXIS") -> tuple[int, ...]:
        """Lengths of the axes, fastest first; empty if there is none, or one makes no sense."""
        count = self.whole(prefix)
        axes = [self.whole(f"{prefix}{k + 1}") for k in range(count if 0 < count <= MOST_AXES else 0)]
        return tuple(axes) if all(0 <= length < 1 << 62 for length in axes) else ()

    def whole(self, key: str, default: int = 0) -> int:
        """Value of a card that is a whole number; the default where it is missing or another thing."""
        value = self.get(key, default)
        return value if isinstance(value, int) and not isinstance(value, bool) else default

    @property
    def compressed(self) -> bool:
        """Whether it is a compressed image in a table."""
        return self.get("ZIMAGE", False) is True

    @property
    def name(self) -> str:
        """EXTNAME, empty if it has none."""
        return str(self.get("EXTNAME", "")).strip()


def _value(text: str, default):
    """Read the value field of a card: the text behind ``= ``, with its comment."""
    text = text.strip()
    if text.startswith("'"):
        quoted = re.match(r"((?:[^']|'')*)", text[1:])
        return quoted[1].replace("''", "'").rstrip() if quoted else default
    text = text.split("/")[0].strip()
    if text in ("T", "F"):
        return text == "T"
    for kind in (int, lambda number: float(number.replace("D", "E").replace("d", "e"))):
        try:
            return kind(text)
        except ValueError:
            continue
    return default


def packed(path: str) -> bool:
    """Whether a file is packed as a whole, so that its length says nothing."""
    return str(path).lower().endswith((".gz", ".bz2"))


def open_fits(path: str) -> BinaryIO | gzip.GzipFile:
    """Open a FITS file, unpacking gzip and bzip2 on the way, whatever its name says."""
    stream = open(path, "rb")
    begins = stream.peek(3)[:3]
    if begins[:2] == b"\x1f\x8b" or begins == b"BZh":
        stream.close()
        return bz2.open(path, "rb") if begins == b"BZh" else gzip.open(path, "rb")  # type: ignore[return-value]
    return stream


def holds_tables_only(path: str | Path) -> bool:
    """Whether a FITS file has a table and no image; false for what cannot be read."""
    try:
        with open_fits(str(path)) as stream:
            hdus = read_hdus(stream)
    except (OSError, ValueError, EOFError, zlib.error):
        return False
    tables = [h for h in hdus if h.get("XTENSION") in ("BINTABLE", "TABLE") and not h.compressed]
    return bool(tables) and not any(h.shape for h in hdus)


def read_hdus(stream: BinaryIO | gzip.GzipFile, last: int | None = None) -> list[Hdu]:
    """Read the headers of a FITS file.

    Parameters
    ----------
    stream : binary file
    last : int, optional
        Stop after the HDU of this number.

    Raises
    ------
    ValueError
        If it is no FITS file. What follows a damaged later header is left out.
    """
    found: list[Hdu] = []
    start = 0
    while last is None or len(found) <= last:
        if start > MOST_BYTES and not isinstance(stream, io.BufferedReader):
            raise ValueError(f"it unpacks to more than {MOST_BYTES / 1e9:.0f} GB")
        try:
            stream.seek(start)
            read = _read_cards(stream, first=not found)
        except (OSError, EOFError, zlib.error):  # of what is packed, the rest is damaged
            if not found:
                raise
            break
        if read is None:
            if not found:
                raise ValueError("it is not a FITS file")
            break
        cards, length = read
        hdu = Hdu(len(found), cards, start + length, 0)
        hdu = Hdu(hdu.index, cards, hdu.start, _data_bytes(hdu))
        found.append(hdu)
        start = hdu.start + -(-hdu.size // BLOCK) * BLOCK
    return found


def _read_cards(stream: BinaryIO | gzip.GzipFile, *, first: bool) -> tuple[dict[str, str], int] | None:
    cards: dict[str, str] = {}
    for number in range(MOST_BLOCKS):
        block = stream.read(BLOCK).decode("latin-1")
        if number == 0 and not block.startswith("SIMPLE" if first else "XTENSION"):
            return None
        for at in range(0, len(block), CARD):
            key = block[at : at + 8].rstrip()
            if key == "END":
                return cards, (number + 1) * BLOCK
            if block[at + 8 : at + 10] == "= ":
                cards.setdefault(key, block[at + 10 : at + CARD])
        if len(block) < BLOCK:
            return None
    return None


def _data_bytes(hdu: Hdu) -> int:
    """Bytes of the data as the header claims them: never less than nothing, and no more than a file can have."""
    axes = hdu.axes()
    if not axes:
        return 0
    values = 1
    for axis in axes:
        values *= axis
    claimed = abs(hdu.whole("BITPIX", 8)) // 8 * hdu.whole("GCOUNT", 1) * (hdu.whole("PCOUNT") + values)
    return min(max(0, claimed), 1 << 62)


def read_pixels(stream: BinaryIO | gzip.GzipFile, hdu: Hdu, path: str) -> np.ndarray:
    """Read the image of an HDU.

    Parameters
    ----------
    stream : binary file
    hdu : Hdu
        Of this file.
    path : str
        The file again, for images that only astropy unpacks.

    Returns
    -------
    (C, h, w) float32
        One plane for a two-dimensional image. BSCALE and BZERO applied, BLANK as NaN.

    Raises
    ------
    ValueError
        If it holds no image, or is cut short.
    """
    shape = hdu.shape
    if not shape:
        raise ValueError(f"HDU {hdu.index} holds no image")
    count = int(np.prod(shape, dtype=np.int64))
    if count > MOST_VALUES:
        raise ValueError(f"HDU {hdu.index} claims {'×'.join(map(str, shape))} values, too many for a cutout")
    if hdu.compressed:
        return _planes(_through_astropy(path, hdu.index), shape)
    kind = np.dtype(TYPES.get(hdu.get("BITPIX"), "V1"))
    if kind.kind == "V":
        raise ValueError(f"HDU {hdu.index} has BITPIX {hdu.get('BITPIX')}")
    stream.seek(hdu.start)
    raw = stream.read(count * kind.itemsize)
    if len(raw) < count * kind.itemsize:
        raise ValueError("the file is cut short")
    return _planes(scaled(np.frombuffer(raw, kind), hdu), shape)


def mapped(path: str, hdu: Hdu) -> np.ndarray:
    """Map the image of an HDU that is not compressed, as it lies in the file.

    Returns
    -------
    (C, h, w) memory map
        Of the file's own type, read-only; `scaled` turns a part of it into numbers.

    Raises
    ------
    ValueError
        If it holds no image, or is cut short: to touch what is missing would end the process.
    """
    kind = np.dtype(TYPES.get(hdu.get("BITPIX"), "V1"))
    if not hdu.shape or hdu.compressed or kind.kind == "V":
        raise ValueError(f"HDU {hdu.index} holds no image that can be mapped")
    if os.path.getsize(path) < hdu.start + int(np.prod(hdu.shape, dtype=np.int64)) * kind.itemsize:
        raise ValueError("the file is cut short")
    return _planes(np.memmap(path, kind, "r", hdu.start, hdu.shape), hdu.shape)


def scaled(raw: np.ndarray, hdu: Hdu) -> np.ndarray:
    """Values of an HDU as numbers: float32 of the same shape, BSCALE and BZERO applied, BLANK as NaN."""
    scale, zero, blank = _factor(hdu, "BSCALE", 1.0), _factor(hdu, "BZERO", 0.0), hdu.get("BLANK")
    blank = blank if isinstance(blank, int) else None
    with np.errstate(over="ignore", invalid="ignore"):
        if scale == 1 and zero == 0 and (raw.dtype.kind == "f" or blank is None):
            return raw.astype(np.float32)
        values = raw.astype(np.float64) * scale + zero
        if blank is not None and raw.dtype.kind != "f":
            values[raw == blank] = np.nan
        return values.astype(np.float32)


def _factor(hdu: Hdu, key: str, default: float) -> float:
    """BSCALE or BZERO.

    Raises
    ------
    ValueError
        If it is no number: what the pixels mean is then not known.
    """
    value = hdu.get(key, default)
    if isinstance(value, bool | str) or not abs(float(value)) < np.inf:
        raise ValueError(f"HDU {hdu.index} has {key} {value}")
    return float(value)


def _planes(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return values.reshape(shape if len(shape) == 3 else (1, *shape))


def _through_astropy(path: str, index: int) -> np.ndarray:
    from astropy.io import fits

    with quietly(), fits.open(path, memmap=False, ignore_missing_end=True) as file:
        return np.asarray(file[index].data, np.float32)
