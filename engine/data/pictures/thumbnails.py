"""Thumbnails: one small JPEG an object, in shards of 4096, written as a survey is embedded.

A shard is one file: an index of n+1 offsets (uint32, little-endian, from the start of the pictures), then the pictures. It is
memory-mapped; reading a hundred thumbnails is a hundred slices. 10⁶ objects take about 2 GB in 245 files.

A set is drawn with one stretch, which ``stretch.json`` beside the shards names. When a survey is given another stretch, a
second set grows beside the first, and takes its place when it is whole.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from engine import files
from engine.data.cutouts import Unreadable, resample_batch
from engine.data.pictures.stretch import DEFAULT, Calibration, Stretch, to_rgb

#: Objects in a shard.
SHARD = 4096
#: Largest side of a thumbnail, pixels.
SIDE = 96
#: JPEG quality: 85 keeps low surface brightness free of visible blocks.
QUALITY = 85

#: Names beside a set of thumbnails: what it was drawn with, the set that will follow it, and the one before it.
DRAWN_WITH, NEXT, BEFORE = "stretch.json", ".thumbnails.next", ".thumbnails.before"

_MAGIC = b"SKYTHUMB"


def encode(picture: np.ndarray) -> bytes:
    """Encode an (H, W, 3) uint8 picture as JPEG."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=QUALITY, subsampling=0)
    return stream.getvalue()


@dataclass(frozen=True)
class Small:
    """Cutouts of one size, brought to the size they are drawn at.

    Attributes
    ----------
    places : list of n int
        Where each stands among the cutouts that were given.
    pixels : (n, C, side, side) float32
        NaN where missing.
    scale : float
        Pixels of the cutout in one of these.
    """

    places: list[int]
    pixels: np.ndarray
    scale: float


def shrink(cutouts: Sequence[np.ndarray | Unreadable], size: int = SIDE) -> list[Small]:
    """Bring cutouts to at most `size` pixels a side, those of one shape together; none is enlarged."""
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for place, cutout in enumerate(cutouts):
        if not isinstance(cutout, Unreadable):
            by_shape.setdefault(cutout.shape, []).append(place)
    made = []
    for shape, places in by_shape.items():
        longest = max(shape[1:])
        side = min(size, longest)
        pixels = resample_batch(np.stack([np.asarray(cutouts[k], np.float32) for k in places]), side)
        made.append(Small(places, pixels, longest / side))
    return made


def draw(
    cutouts: Sequence[np.ndarray | Unreadable],
    calibration: Calibration,
    *,
    science: bool,
    stretch: Stretch = DEFAULT,
    bands: Sequence[str] | None = None,
    size: int = SIDE,
) -> list[bytes]:
    """Draw and encode cutouts, as `engine.data.pictures.stretch.to_rgb` does; empty where nothing could be read.

    Parameters
    ----------
    cutouts : sequence of (C, h, w) or Unreadable
    size : int
        Largest side, pixels.

    Returns
    -------
    list of bytes
        JPEGs, in order.
    """
    encoded = [b""] * len(cutouts)
    for small in shrink(cutouts, size):
        drawn = to_rgb(small.pixels, calibration, science=science, stretch=stretch, bands=bands, scale=small.scale)
        for place, pixels, picture in zip(small.places, small.pixels, drawn):
            if np.isfinite(pixels).any():
                encoded[place] = encode(picture)
    return encoded


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

    @property
    def stretch(self) -> str:
        """What they are drawn with, as `Stretch.text` writes it; empty: the default."""
        said = self.folder / DRAWN_WITH
        return str(files.read_json(said).get("stretch", "")) if said.is_file() else ""

    def shows(self, stretch: Stretch) -> bool:
        """Whether the set is complete and drawn with this stretch."""
        return self.complete and self.stretch == stretch.text()

    def drawn_with(self, stretch: Stretch) -> Thumbnails:
        """The set to write to for this stretch: this one, or its successor; what was left of it is taken up again."""
        text = stretch.text()
        following = Thumbnails(self.folder.with_name(NEXT), self.count)
        if not self.folder.is_dir():
            if following.folder.is_dir() and following.stretch == text:  # killed between the two renames of `replace`
                following.folder.rename(self.folder)
            elif text:
                files.write_json(self.folder / DRAWN_WITH, {"stretch": text})
            return self
        if self.stretch == text:
            return self
        if not (following.folder / DRAWN_WITH).is_file() or following.stretch != text:
            shutil.rmtree(following.folder, ignore_errors=True)
            files.write_json(following.folder / DRAWN_WITH, {"stretch": text})
        return following

    def replace(self, following: Thumbnails) -> None:
        """Let a complete set take this one's place; killed in between, the next run finishes it."""
        if following.folder == self.folder or not following.folder.is_dir():  # another process was quicker
            return
        before = self.folder.with_name(BEFORE)
        shutil.rmtree(before, ignore_errors=True)
        self.folder.rename(before)
        following.folder.rename(self.folder)
        self._open.clear()
        shutil.rmtree(before, ignore_errors=True)

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
