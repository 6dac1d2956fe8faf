"""Embedding: one pass over the pixels of a survey that makes its vectors and its thumbnails.

Threads read, resample and encode pictures ahead of the network, so that neither waits for the other. Work is done in
shards of 4096 objects, each written whole; a run that was killed goes on from the next shard and ends with the same
bytes, since batches never cross a shard and what was chosen (batch, device, the components of ``pixels``) is kept
beside the shards.

Cost: one read of every cutout; memory a few batches, whatever the number of objects.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load_file, save
from threadpoolctl import threadpool_limits

from engine import device as devices
from engine import files
from engine.data import thumbnails as thumbs
from engine.data.cutouts import CutoutSource, Unreadable, read_batch
from engine.data.stretch import Calibration, to_rgb
from engine.encoders import Encoder, check_bands, load
from engine.errors import UserError
from engine.jobs import Progress, silent

if TYPE_CHECKING:
    from engine.survey import Representation, Survey

#: Cutouts through the network at once: on a CPU few enough that the activations stay in the allocator's reach.
BATCH = {"cpu": 128, "cuda": 1024, "mps": 512}
#: Cutouts held at their own size by one thread.
READ = 64
#: Threads that read ahead.
READERS = min(4, os.cpu_count() or 1)
#: Why an object that was read has no vector.
NOT_FINITE = "the encoder gives no finite vector of it"
#: Unreadable objects named in problems.json.
PROBLEMS_NAMED = 100


def embed(
    survey: Survey,
    encoder: str = "skysieve-base",
    *,
    device: str | None = None,
    batch_size: int | None = None,
    size: int | None = None,
    name: str | None = None,
    thumbnails: bool = True,
    progress: Progress = silent,
) -> Representation:
    """Make a representation of a survey, and its thumbnails.

    A finished representation by the same encoder is returned at once; an unfinished one is continued.

    Parameters
    ----------
    survey : Survey
    encoder : str
        As `engine.encoders.load` takes it: a registered name, one trained on this survey, hf:…, timm:…, a file.
    device : {"cuda", "mps", "cpu"}, optional
        The best one present if not given.
    batch_size : int, optional
        Cutouts through the network at once.
    size : int, optional
        Pixels a side, for a foreign network that takes several.
    name : str, optional
        Name of the representation; the encoder's if not given.
    thumbnails : bool
        Make the thumbnails that are missing as well.

    Returns
    -------
    Representation
        Objects that could not be read have a zero vector and ``valid`` False; ``problems.json`` says why.

    Raises
    ------
    UserError
        If the encoder or device is unknown, it cannot take the survey's bands, the name is taken by another encoder, or
        no object can be read.
    """
    from engine.survey import check_name

    started = time.monotonic()
    place = devices.choose(device)
    network = load(encoder, models=survey.path / "models", size=size)
    check_bands(network, survey.bands)
    network.to(place)
    folder = survey.path / "representations" / check_name(name or network.name)
    finished = _finished(folder, network)
    if finished and (not thumbnails or survey.thumbnails.complete):
        return survey.representation(folder.name)
    settings = {
        "encoder": network.name,
        "identity": network.identity,
        "objects": len(survey),
        "device": place.type,
        "batch": batch_size or BATCH[place.type],
    }
    calibration = Calibration.of(survey.header["pixels"], len(survey.bands))
    run = _Pass(survey, network, calibration, folder / ".shards", settings, vectors=not finished, thumbnails=thumbnails)
    with _terminable():
        if not finished:
            run.begin(progress)
        done = run.go(progress)
    if not finished:
        _assemble(folder, survey, network, settings)
    seconds = time.monotonic() - started
    survey.record_run(
        "embed",
        settings | {"name": folder.name, "thumbnails": thumbnails},
        seconds=seconds,
        results={"embedded": done, "rate": round(done / seconds, 1)},
    )
    return survey.representation(folder.name)


def draw_thumbnails(survey: Survey, *, progress: Progress = silent) -> None:
    """Make the thumbnails that are missing, and nothing else: for vectors that came from elsewhere."""
    if survey.thumbnails.complete:
        return
    calibration = Calibration.of(survey.header["pixels"], len(survey.bands))
    unused = load("pixels")  # the pass wants an encoder; this one has no weights to load
    settings = {"batch": BATCH["cpu"]}
    run = _Pass(survey, unused, calibration, survey.thumbnails.folder, settings, vectors=False, thumbnails=True)
    with _terminable():
        run.go(progress)


def _finished(folder: Path, encoder: Encoder) -> bool:
    """Whether `folder` holds this encoder's vectors, complete.

    Raises
    ------
    UserError
        If it holds another's: neighbours, layouts and models may rest on them.
    """
    if not (folder / "meta.json").is_file():
        return False
    meta = files.read_json(folder / "meta.json")
    if meta.get("identity") != encoder.identity:
        raise UserError(
            f"the representation {folder.name!r} was made by another version of {meta.get('encoder')!r}",
            f"choose another name for the new one, or delete {folder} and what was made from it",
        )
    return True


# -- reading -----------------------------------------------------------------------------------------------------------


@dataclass
class _Held:
    """Cutouts in memory as a source, so that they are read once and resampled to two sizes."""

    bands: tuple[str, ...]
    science: bool
    cutouts: dict[int, np.ndarray | Unreadable]

    def read(self, rows: Sequence[int] | np.ndarray) -> list[np.ndarray | Unreadable]:
        return [self.cutouts[int(row)] for row in rows]


@dataclass(frozen=True)
class _Read:
    """A batch that was read: the network's input, which rows are readable, why not, and the encoded thumbnails."""

    rows: np.ndarray
    prepared: torch.Tensor | None
    readable: np.ndarray
    problems: dict[int, str]
    pictures: list[bytes]


def _read(
    source: CutoutSource, rows: np.ndarray, encoder: Encoder | None, calibration: Calibration, thumbnails: bool
) -> _Read:
    """Read a batch, `READ` cutouts of full size at a time."""
    parts = [
        _read_part(source, rows[k : k + READ], encoder, calibration, thumbnails) for k in range(0, len(rows), READ)
    ]
    prepared = None if encoder is None else torch.cat([p.prepared for p in parts if p.prepared is not None])
    problems = {row: reason for p in parts for row, reason in p.problems.items()}
    pictures = [picture for p in parts for picture in p.pictures]
    return _Read(rows, prepared, np.concatenate([p.readable for p in parts]), problems, pictures)


def _read_part(
    source: CutoutSource, rows: np.ndarray, encoder: Encoder | None, calibration: Calibration, thumbnails: bool
) -> _Read:
    held = _Held(source.bands, source.science, dict(zip(rows.tolist(), source.read(rows))))
    pictures = _pictures(held, rows, calibration) if thumbnails else []
    if encoder is None:
        return _Read(rows, None, np.ones(len(rows), bool), {}, pictures)
    pixels, readable, problems = read_batch(held, rows, encoder.size)
    return _Read(rows, encoder.prepare(pixels, calibration, source.science), readable, problems, pictures)


def _pictures(held: _Held, rows: np.ndarray, calibration: Calibration) -> list[bytes]:
    """Encode thumbnails: at the cutout's own size, or `thumbs.SIDE` where that is less; empty where unreadable."""
    by_side: dict[int, list[int]] = {}
    for position, row in enumerate(rows.tolist()):
        cutout = held.cutouts[row]
        if not isinstance(cutout, Unreadable):
            by_side.setdefault(min(thumbs.SIDE, max(cutout.shape[1:])), []).append(position)
    encoded = [b""] * len(rows)
    for side, positions in by_side.items():
        pixels, readable, _ = read_batch(held, rows[positions], side)
        for position, known, picture in zip(positions, readable, to_rgb(pixels, calibration, science=held.science)):
            encoded[position] = thumbs.encode(picture) if known else b""
    return encoded


def _one_core() -> None:
    """Let the calling thread compute on one core: teams of threads under readers would hinder the network."""
    torch.get_num_threads()  # torch sets a new thread's team when first asked, and would undo the limit later
    threadpool_limits(1, user_api="openmp")


def _ahead(tasks: Iterator[Callable[[], _Read]]) -> Generator[_Read, None, None]:
    """Run tasks in threads, a few ahead, and yield what they give in order; stops them when the consumer stops."""
    pool = ThreadPoolExecutor(READERS, thread_name_prefix="reader", initializer=_one_core)
    coming: deque[Future[_Read]] = deque()
    try:
        for task in tasks:
            coming.append(pool.submit(task))
            if len(coming) > READERS:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


# -- the pass ----------------------------------------------------------------------------------------------------------


class _Pass:
    """One pass over a survey: what is to be done, shard by shard, and where it is kept until all is there."""

    def __init__(
        self,
        survey: Survey,
        encoder: Encoder,
        calibration: Calibration,
        folder: Path,
        settings: dict,
        *,
        vectors: bool,
        thumbnails: bool,
    ):
        self.survey, self.encoder, self.calibration = survey, encoder, calibration
        self.folder, self.settings = folder, settings
        self.vectors, self.thumbnails = vectors, thumbnails
        self.pictures = survey.thumbnails

    def begin(self, progress: Progress) -> None:
        """Take up what an earlier run with the same settings left, or start afresh; fit the encoder if need be."""
        kept = self.folder / "settings.json"
        if not kept.is_file() or files.read_json(kept) != self.settings:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        for left in self.folder.glob(".*.partial"):  # of a run that was killed while it wrote
            left.unlink(missing_ok=True)
        if self.encoder.sample:
            self._fit(progress)
        files.write_json(kept, self.settings)

    def _fit(self, progress: Progress) -> None:
        learned = self.folder / "encoder.safetensors"
        if learned.is_file():
            self.encoder.restore(load_file(learned))
        else:
            self.encoder.fit(self._sample(progress), self.calibration, self.survey.cutouts.science)
            with files.atomic_path(learned) as temporary:
                temporary.write_bytes(save(self.encoder.state()))
        self.encoder.to(torch.device(self.settings["device"]))

    def _sample(self, progress: Progress) -> np.ndarray:
        """Readable cutouts, (n, C, size, size), chosen at random with a fixed seed.

        Raises
        ------
        UserError
            If none is readable.
        """
        count = min(self.encoder.sample, len(self.survey))
        rows = np.sort(np.random.default_rng(0).choice(len(self.survey), count, replace=False))
        found = []
        source = self.survey.cutouts
        problems: dict[int, str] = {}
        for start in range(0, count, READ):
            pixels, readable, part = read_batch(source, rows[start : start + READ], self.encoder.size)
            found.append(pixels[readable])
            problems |= part
            progress(min(start + READ, count), count, "sampling")
        sample = np.concatenate(found)
        if len(sample) == 0:
            raise _nothing_readable(len(self.survey), next(iter(problems.values())))
        return sample

    def go(self, progress: Progress) -> int:
        """Work through the shards that are not there yet; returns how many objects that were."""
        todo = [shard for shard in range(self.pictures.shards) if self._wants(shard)]
        count = len(self.survey)
        done = count - sum(self._length(shard) for shard in todo)
        first = done
        progress(done, count, "embedding")
        with closing(_ahead(self._tasks(todo))) as batches:
            for shard in todo:
                read: list[_Read] = []
                vectors: list[np.ndarray] = []
                for batch in islice(batches, -(-self._length(shard) // self.settings["batch"])):
                    if batch.prepared is not None:
                        part, batch = self._encode(batch, batch.prepared)
                        vectors.append(part)
                    read.append(batch)
                    done += len(batch.rows)
                    progress(done, count, "embedding")
                self._keep(shard, read, vectors)
        return done - first

    def _length(self, shard: int) -> int:
        return min(thumbs.SHARD, len(self.survey) - shard * thumbs.SHARD)

    def _wants(self, shard: int) -> bool:
        return self._wants_vectors(shard) or self._wants_pictures(shard)

    def _wants_vectors(self, shard: int) -> bool:
        return self.vectors and not _vectors(self.folder, shard).is_file()

    def _wants_pictures(self, shard: int) -> bool:
        return self.thumbnails and not self.pictures.has(shard)

    def _tasks(self, todo: list[int]) -> Iterator[Callable[[], _Read]]:
        source, size = self.survey.cutouts, self.settings["batch"]
        for shard in todo:
            start, stop = shard * thumbs.SHARD, shard * thumbs.SHARD + self._length(shard)
            encoder = self.encoder if self._wants_vectors(shard) else None
            wanted = self._wants_pictures(shard)
            for first in range(start, stop, size):
                rows = np.arange(first, min(first + size, stop))
                yield partial(_read, source, rows, encoder, self.calibration, wanted)

    def _encode(self, batch: _Read, prepared: torch.Tensor) -> tuple[np.ndarray, _Read]:
        """Vectors of a batch, and the batch without what is no longer needed.

        An object whose vector is not finite, as it is stored, is one that could not be encoded: no representation ever
        holds a NaN, whatever network someone brings.
        """
        vectors = _stored(self.encoder(prepared).float().cpu().numpy(), self.encoder.dtype)
        finite = np.isfinite(vectors).all(axis=1)
        problems = {int(row): NOT_FINITE for row in batch.rows[batch.readable & ~finite]} | batch.problems
        readable = batch.readable & finite
        vectors[~readable] = 0
        return vectors, replace(batch, prepared=None, readable=readable, problems=problems)

    def _keep(self, shard: int, read: list[_Read], vectors: list[np.ndarray]) -> None:
        """Write a shard; its vectors last, since they say that it is complete."""
        if self._wants_pictures(shard):
            self.pictures.write(shard, [p for r in read for p in r.pictures])
        if vectors:
            problems = {row: reason for r in read for row, reason in r.problems.items()}
            files.write_json(_problems(self.folder, shard), sorted(problems.items())[:PROBLEMS_NAMED])
            files.write_npy(_valid(self.folder, shard), np.concatenate([r.readable for r in read]))
            files.write_npy(_vectors(self.folder, shard), np.concatenate(vectors))


def _stored(vectors: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Vectors as they are kept; what overflows there becomes infinite, and is found out."""
    with np.errstate(over="ignore"):
        return vectors.astype(dtype)


def _vectors(folder: Path, shard: int) -> Path:
    return folder / f"{shard:06d}.npy"


def _valid(folder: Path, shard: int) -> Path:
    return folder / f"{shard:06d}.valid.npy"


def _problems(folder: Path, shard: int) -> Path:
    return folder / f"{shard:06d}.problems.json"


def _assemble(folder: Path, survey: Survey, encoder: Encoder, settings: dict) -> None:
    """Join the shards; meta.json comes last, and with it the representation is there.

    Raises
    ------
    UserError
        If no object was readable.
    """
    shards, count = folder / ".shards", len(survey)
    numbers = range(survey.thumbnails.shards)
    valid = np.concatenate([files.read_npy(_valid(shards, k)) for k in numbers])
    problems = [p for k in numbers for p in files.read_json(_problems(shards, k))][:PROBLEMS_NAMED]
    if not valid.any():
        shutil.rmtree(folder, ignore_errors=True)
        raise _nothing_readable(count, problems[0][1])
    with files.atomic_path(folder / "vectors.npy") as temporary:
        joined = np.lib.format.open_memmap(temporary, "w+", encoder.dtype, (count, encoder.dimension))
        for k in numbers:
            joined[k * thumbs.SHARD : (k + 1) * thumbs.SHARD] = files.read_npy(_vectors(shards, k))
        joined.flush()
    files.write_npy(folder / "valid.npy", valid)
    ids = survey.ids
    named = [{"id": ids[row].as_py(), "reason": reason} for row, reason in problems]
    files.write_json(folder / "problems.json", {"unreadable": int((~valid).sum()), "first": named})
    if encoder.sample:
        with files.atomic_path(folder / "encoder.safetensors") as temporary:
            shutil.copyfile(shards / "encoder.safetensors", temporary)
    from engine.survey import version

    files.write_json(
        folder / "meta.json",
        settings
        | {
            "dimension": encoder.dimension,
            "size": encoder.size,
            "dtype": str(encoder.dtype),
            "bands": list(survey.bands),
            "unreadable": int((~valid).sum()),
            "version": version(),
            "torch": torch.__version__,
        },
    )
    shutil.rmtree(shards, ignore_errors=True)


def _nothing_readable(count: int, reason: str) -> UserError:
    return UserError(
        f"none of the {count:,} objects could be read (the first: {reason})",
        "check that the pixels are where survey.toml says, with `doctor`",
    )


@contextmanager
def _terminable() -> Iterator[None]:
    """Turn SIGTERM into KeyboardInterrupt: a cancelled job stops its threads and leaves no half-written file."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(signum, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
