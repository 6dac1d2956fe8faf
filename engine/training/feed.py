"""The cutouts that a training learns from: read once, then drawn from again and again.

    survey → readers → SURVEY/cache/…/pixels.npy (n, C, S, S) float16, scaled, memory-mapped → batches, in random order

Reading and resampling a cutout costs a hundred times what drawing it from the cache does, and a training draws each
hundreds of times. The cache is filled in shards, each marked when it is on disk, so that a run that was killed goes on;
it may be deleted whenever no training runs. Which objects a step sees depends on seed and step alone, and a thread
prepares the next batches while the network works.

Cost: 2 C S² bytes an object on disk (24 kB for three bands of 64 pixels); memory a few batches, whatever the number of
objects.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from engine import files
from engine.data.cutouts import CutoutSource, read_batch
from engine.data.pictures.stretch import Calibration
from engine.encoders.scaling import scaled
from engine.errors import UserError
from engine.jobs import Progress, silent
from engine.training import Batch

if TYPE_CHECKING:
    from engine.survey import Survey

#: Cutouts held at their own size by one reader, and the readers.
READ = 64
READERS = min(4, os.cpu_count() or 1)
#: Bytes of the cache that are marked as done at once, and the most objects.
SHARD_BYTES, SHARD = 1 << 26, 4096
#: Batches prepared ahead of the network.
AHEAD = 2
#: Version of what `engine.encoders.scaling` does; a cache of another is not used.
VERSION = 1

T = TypeVar("T")


def ahead(tasks: Iterable[Callable[[], T]], *, threads: int, depth: int) -> Generator[T, None, None]:
    """Run tasks in threads, up to `depth` ahead of the consumer, and yield what they give, in order.

    The threads end when the consumer closes the generator.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="feed", initializer=_one_core)
    coming: deque[Future[T]] = deque()
    try:
        for task in tasks:
            coming.append(pool.submit(task))
            if len(coming) > depth:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _one_core() -> None:
    """Let the calling thread compute on one core: teams of threads under readers would hinder the network."""
    torch.get_num_threads()  # torch sets a new thread's team when first asked, and would undo the limit later
    threadpool_limits(1, user_api="openmp")


# -- the cache ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cutouts:
    """Readable cutouts of a survey, at one size and scaled, on disk.

    Attributes
    ----------
    pixels : (n, C, S, S) float16, memory-mapped
        As `engine.encoders.scaling.scaled` gives them, NaN where missing.
    rows : (n,) int64
        Their row numbers in the survey.
    readable : (n,) bool
        False for what could not be read; its pixels mean nothing.
    """

    pixels: np.ndarray
    rows: np.ndarray
    readable: np.ndarray


def prepare(
    survey: Survey,
    *,
    size: int,
    asinh: bool = True,
    objects: int | None = None,
    progress: Progress = silent,
) -> Cutouts:
    """Bring the cutouts of a survey to one size and scale, once; what is there already is used again.

    Parameters
    ----------
    survey : Survey
    size : int
        Pixels a side.
    asinh : bool
        See `engine.encoders.scaling.scaled`.
    objects : int, optional
        A random sample of so many; all if not given or there are fewer.

    Returns
    -------
    Cutouts

    Raises
    ------
    UserError
        If no object can be read, or the disk is too full.
    """
    rows = _sample(len(survey), objects)
    key = _key(survey, size=size, asinh=asinh, objects=len(rows))
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]
    folder = survey.path / "cache" / f"cutouts-{size}-{digest}"
    shape = (len(rows), len(survey.bands), size, size)
    if not (folder / "readable.npy").is_file():
        _fill(survey, rows, folder, key, shape, asinh, progress)
    readable = files.read_npy(folder / "readable.npy", mapped=False)
    if not readable.any():
        raise UserError(
            f"none of the {len(rows):,} objects could be read",
            "check that the pixels are where survey.toml says, with `doctor`",
        )
    return Cutouts(files.read_npy(folder / "pixels.npy"), rows, readable)


def _sample(count: int, objects: int | None) -> np.ndarray:
    """The same for every seed of a training, so that the cache serves all."""
    if objects is None or objects >= count:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, objects, replace=False))


def _key(survey: Survey, *, size: int, asinh: bool, objects: int) -> dict:
    """What decides the content of a cache."""
    return {
        "version": VERSION,
        "size": size,
        "asinh": asinh,
        "sample": objects,
        "objects": len(survey),
        "pixels": survey.header["pixels"],
    }


def _fill(
    survey: Survey,
    rows: np.ndarray,
    folder: Path,
    key: dict,
    shape: tuple[int, ...],
    asinh: bool,
    progress: Progress,
) -> None:
    """Read what is not in the cache yet; ``readable.npy`` comes last, and with it the cache is whole."""
    pixels = folder / "pixels.npy"
    if not pixels.is_file():
        _make_room(survey.path, 2 * math.prod(shape))
        files.write_json(folder / "key.json", key)
        with files.atomic_path(pixels) as temporary:  # sparse: the shards fill it
            np.lib.format.open_memmap(temporary, "w+", np.float16, shape).flush()
    start, each = pixels.stat().st_size - 2 * math.prod(shape), 2 * math.prod(shape[1:])
    shards = _shards(len(rows), each)
    todo = [k for k in range(len(shards)) if not _mark(folder, k).is_file()]
    done = len(rows) - sum(shards[k].stop - shards[k].start for k in todo)
    source, calibration = survey.cutouts, Calibration.of(survey.header["pixels"], len(survey.bands))
    tasks = (
        partial(_read, source, rows[part.start : part.stop], calibration, asinh, shape[-1])
        for k in todo
        for part in _slabs(shards[k])
    )
    progress(done, len(rows), "reading")
    with closing(ahead(tasks, threads=READERS, depth=READERS)) as slabs, open(pixels, "r+b") as stream:
        for k in todo:
            readable = []
            for part in _slabs(shards[k]):
                values, known = next(slabs)
                stream.seek(start + part.start * each)  # written, not mapped: a full disk is then an error, not a crash
                stream.write(values.tobytes())
                readable.append(known)
                done += len(known)
                progress(done, len(rows), "reading")
            stream.flush()
            os.fsync(stream.fileno())
            files.write_npy(_mark(folder, k), np.concatenate(readable))
    marks = [_mark(folder, k) for k in range(len(shards))]
    files.write_npy(folder / "readable.npy", np.concatenate([files.read_npy(m, mapped=False) for m in marks]))
    for mark in marks:
        mark.unlink()


def _make_room(path: Path, needed: int) -> None:
    free = shutil.disk_usage(path).free
    if needed > free:
        raise UserError(
            f"the cutouts take {needed / 1e9:.1f} GB at this size and the disk of {path} has {free / 1e9:.1f} GB left",
            "learn from a sample (--objects), at a smaller --size, or make room",
        )


def _shards(count: int, each: int) -> list[range]:
    length = min(SHARD, max(READ, SHARD_BYTES // each))
    return [range(k, min(k + length, count)) for k in range(0, count, length)]


def _slabs(shard: range) -> list[range]:
    return [range(k, min(k + READ, shard.stop)) for k in range(shard.start, shard.stop, READ)]


def _mark(folder: Path, shard: int) -> Path:
    return folder / f"done-{shard:06d}.npy"


def _read(
    source: CutoutSource, rows: np.ndarray, calibration: Calibration, asinh: bool, size: int
) -> tuple[np.ndarray, np.ndarray]:
    pixels, readable, _ = read_batch(source, rows, size)
    return scaled(pixels, calibration, source.science, asinh=asinh).numpy().astype(np.float16), readable


# -- the batches -------------------------------------------------------------------------------------------------------


class Feed:
    """Endless batches of cutouts: epoch after epoch, each in its own random order.

    Parameters
    ----------
    cutouts : Cutouts
    targets : mapping
        Name → (N, k) float32 of the whole survey, NaN where unknown; an object with none known is left out.
    batch : int
        Cutouts of a step, over all processes.
    seed : int
    rank, world : int
        This process takes every `world`-th cutout of a batch, from `rank`.

    Raises
    ------
    UserError
        If the batch cannot be shared out evenly, or nothing is left to learn from.
    """

    def __init__(
        self,
        cutouts: Cutouts,
        *,
        targets: Mapping[str, np.ndarray] | None = None,
        batch: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ):
        if batch % world:
            raise UserError(f"a batch of {batch} cannot be shared by {world} processes", f"give --batch as k × {world}")
        self.cutouts, self.batch, self.seed, self.rank, self.world = cutouts, batch, seed, rank, world
        self.targets = {name: np.asarray(v[cutouts.rows], np.float32) for name, v in (targets or {}).items()}
        usable = cutouts.readable.copy()
        if self.targets:
            usable &= np.any([np.isfinite(v).any(axis=1) for v in self.targets.values()], axis=0)
        self.positions = np.flatnonzero(usable)
        if len(self.positions) == 0:
            raise UserError(
                f"no readable object has a value of {', '.join(self.targets)}", "choose other columns with --targets"
            )
        self._order = lru_cache(maxsize=2)(self._permutation)

    def __len__(self) -> int:
        """Objects that are learned from."""
        return len(self.positions)

    def _permutation(self, epoch: int) -> np.ndarray:
        return self.positions[np.random.default_rng([self.seed, epoch]).permutation(len(self.positions))]

    def drawn(self, step: int) -> np.ndarray:
        """Positions in the cache of this process's share of a step's batch."""
        count = len(self.positions)
        places = np.arange(step * self.batch + self.rank, (step + 1) * self.batch, self.world)
        epochs, offsets = places // count, places % count
        found = np.empty(len(places), np.int64)
        for epoch in np.unique(epochs):
            part = epochs == epoch
            found[part] = self._order(int(epoch))[offsets[part]]
        return found

    def gather(self, positions: np.ndarray, device: torch.device) -> Batch:
        """The batch of some cutouts of the cache."""
        return self._on(device, self._taken(positions, pinned=device.type == "cuda"))

    def batches(self, first: int, last: int, device: torch.device) -> Generator[Batch, None, None]:
        """The batches of the steps from `first` to before `last`, prepared ahead by a thread."""
        pinned = device.type == "cuda"
        tasks = (lambda step=step: self._taken(self.drawn(step), pinned=pinned) for step in range(first, last))
        with closing(ahead(tasks, threads=1, depth=AHEAD)) as coming:
            for taken in coming:
                yield self._on(device, taken)

    def _taken(self, positions: np.ndarray, *, pinned: bool) -> Batch:
        """A batch in memory: float32 on a CPU; float16 in pinned memory for an accelerator, which widens it itself."""
        order = np.argsort(positions)  # ascending reads of the mapped file
        pixels = np.empty((len(positions), *self.cutouts.pixels.shape[1:]), np.float16)
        pixels[order] = self.cutouts.pixels[positions[order]]
        tensors = {"": torch.from_numpy(pixels if pinned else pixels.astype(np.float32))}
        tensors |= {f"target {name}": torch.from_numpy(v[positions]) for name, v in self.targets.items()}
        if pinned:
            tensors = {name: tensor.pin_memory() for name, tensor in tensors.items()}
        rows = torch.from_numpy(np.ascontiguousarray(self.cutouts.rows[positions], np.int64))
        return Batch(tensors.pop(""), rows, {name.removeprefix("target "): t for name, t in tensors.items()})

    def _on(self, device: torch.device, batch: Batch) -> Batch:
        return Batch(
            batch.pixels.to(device, non_blocking=True).float(),
            batch.rows.to(device, non_blocking=True),
            {name: target.to(device, non_blocking=True) for name, target in batch.targets.items()},
        )
