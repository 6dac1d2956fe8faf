"""PNG files written a band of rows at a time, so that a picture of any size needs the memory of one band.

Source: W3C, Portable Network Graphics (Third Edition), 2025; rows are filtered by their left neighbours (type 1).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import IO

import numpy as np

#: Effort of the compression, 1-9: beyond 6 files of galaxies hardly shrink.
EFFORT = 6
INCH = 0.0254  # m


class Bands:
    """A PNG of three colours under way; use as a context.

    Parameters
    ----------
    stream : binary file
    width, height : int
        Pixels.
    dpi : float
        Pixels an inch in print.
    said : mapping of str to str
        Text chunks.
    """

    def __init__(self, stream: IO[bytes], width: int, height: int, *, dpi: float, said: Mapping[str, str]):
        self.stream, self.width, self.height = stream, width, height
        self.written = 0
        self._packer = zlib.compressobj(EFFORT)
        stream.write(b"\x89PNG\r\n\x1a\n")
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        metre = round(dpi / INCH)
        self._chunk(b"pHYs", struct.pack(">IIB", metre, metre, 1))
        for key, text in said.items():
            self._chunk(b"iTXt", key.encode("latin-1") + b"\0\0\0\0\0" + text.encode())

    def __enter__(self) -> Bands:
        return self

    def __exit__(self, kind, *error) -> None:
        if kind is None:
            self.end()

    def write(self, rows: np.ndarray) -> None:
        """Add rows, (h, width, 3) uint8, from the top downwards.

        Raises
        ------
        ValueError
            If they have another width, or are more than the picture has.
        """
        if rows.shape[1:] != (self.width, 3) or self.written + len(rows) > self.height:
            raise ValueError(f"rows of shape {rows.shape} after {self.written} of {self.height} × {self.width}")
        self.written += len(rows)
        flat = np.ascontiguousarray(rows, np.uint8).reshape(len(rows), -1)
        filtered = np.empty((len(rows), 1 + flat.shape[1]), np.uint8)
        filtered[:, 0] = 1
        filtered[:, 1:4] = flat[:, :3]
        np.subtract(flat[:, 3:], flat[:, :-3], out=filtered[:, 4:])
        self._data(self._packer.compress(filtered.tobytes()))

    def end(self) -> None:
        """Write what is left.

        Raises
        ------
        ValueError
            If rows are missing.
        """
        if self.written != self.height:
            raise ValueError(f"{self.written} of {self.height} rows")
        self._data(self._packer.flush())
        self._chunk(b"IEND", b"")

    def _data(self, packed: bytes) -> None:
        if packed:
            self._chunk(b"IDAT", packed)

    def _chunk(self, kind: bytes, body: bytes) -> None:
        self.stream.write(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)))
