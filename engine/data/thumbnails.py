"""Thumbnails: one small JPEG an object, in shards of 4096, written as a survey is embedded.

A shard is one file: an index of n+1 offsets (uint32, little-endian, from the start of the pictures), then the pictures. It is
memory-mapped; reading a hundred thumbnails is a hundred slices. 10⁶ objects take about 2 GB in 245 files.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from engine import files

#: Objects in a shard.
SHARD = 4096
#: Largest side of a thumbnail, pixels.
SIDE = 96
#: JPEG quality: 85 keeps low surface brightness free of visible blocks.
QUALITY = 85

_MAGIC = b"SKYTHUMB"


def encode(picture: np.ndarray) -> bytes:
    """Encode an (H, W, 3) uint8 picture as JPEG."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=QUALITY, subsampling=0)
    return stream.getvalue()


class Thumbnails:
    """The thumbnails of a survey of `count` objects, kept in `folder`."""

    def __init__(self, folder: Path, count: int):
        self.folder = folder
        self.count = count
        self._open: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    @property
    def shards(self) -> int:
        """Number of shards of a complete set."""
        return -(-self.count // SHARD)

    def path(self, shard: int) -> Path:
        """File of a shard."""
        return self.folder / f"{shard:06d}.thumbs"

    def has(self, shard: int) -> bool:
        """Whether a shard has been written."""
        return self.path(shard).is_file()

    @property
    def complete(self) -> bool:
        """Whether every object has its thumbnail (which may be empty: unreadable)."""
        return all(self.has(shard) for shard in range(self.shards))

    def write(self, shard: int, pictures: Sequence[bytes]) -> None:
        """Write a whole shard, atomically; an empty picture stands for an unreadable object."""
        offsets = np.concatenate([[0], np.cumsum([len(p) for p in pictures], dtype=np.uint64)]).astype("<u4")
        with files.atomic_path(self.path(shard)) as temporary, open(temporary, "wb") as stream:
            stream.write(_MAGIC + len(pictures).to_bytes(8, "little"))
            stream.write(offsets.tobytes())
            stream.writelines(pictures)

    def _shard(self, shard: int) -> tuple[np.ndarray, np.ndarray] | None:
        if shard not in self._open:
            if not self.has(shard):
                return None
            raw = np.memmap(self.path(shard), np.uint8, "r")
            if raw[:8].tobytes() != _MAGIC:
                return None
            count = int.from_bytes(raw[8:16].tobytes(), "little")
            body = 16 + 4 * (count + 1)
            self._open[shard] = raw[16:body].view("<u4"), raw[body:]
        return self._open[shard]

    def read(self, rows: Sequence[int] | np.ndarray) -> list[bytes]:
        """JPEG bytes of objects, in order; empty where there is no thumbnail."""
        found = []
        for row in rows:
            shard, position = divmod(int(row), SHARD)
            entry = self._shard(shard)
            if entry is None or position + 1 >= len(entry[0]):
                found.append(b"")
            else:
                offsets, body = entry
                found.append(body[offsets[position] : offsets[position + 1]].tobytes())
        return found
