"""The pipeline of the embedding pass: cutouts are read, resampled and drawn ahead of the network, which never waits.

    rows → [readers: pixels → thumbnails, network's input] → [network] → vectors, in order

On a CPU there are as many readers as cores and as many networks, each a thread on one core; the system gives the cores
to whoever has work. On an accelerator one thread feeds the network from pinned memory; copies there and back overlap
with the work, and several batches are under way.

Cost: memory a few tasks of `TASK` cutouts (`AHEAD_BYTES` at most), whatever the number of objects.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from engine.data.cutouts import CutoutSource, Unreadable, read_batch
from engine.data.pictures import thumbnails as thumbs
from engine.data.pictures.stretch import DEFAULT, Calibration, Stretch
from engine.encoders import Encoder
from engine.encoders.inference import memory_told, one_core

#: Cutouts held at their own size by one thread.
READ = 64
#: Cutouts in a task, at least: fewer than that make a call of the library dear; more, and the first network waits longer.
TASK = 64
#: Bytes of the networks' inputs that wait to be encoded, at most.
AHEAD_BYTES = 1 << 31
#: Why an object that was read has no vector.
NOT_FINITE = "the encoder gives no finite vector of it"


@dataclass(frozen=True)
class Task:
    """Rows, and what is wanted of them."""

    rows: np.ndarray
    vectors: bool
    pictures: bool


@dataclass(frozen=True)
class Made:
    """What became of a task.

    Attributes
    ----------
    rows : (n,) int64
    vectors : (n, D) or None
        In the encoder's dtype, zero where not readable; None if they were not wanted.
    readable : (n,) bool
    problems : dict
        Row → reason, for those that are not.
    pictures : list of bytes
        Encoded thumbnails, empty where unreadable; an empty list if they were not wanted.
    """

    rows: np.ndarray
    vectors: np.ndarray | None
    readable: np.ndarray
    problems: dict[int, str]
    pictures: list[bytes]


@dataclass(frozen=True)
class _Read:
    """A task that was read: the network's input, which rows are readable, why not, and the encoded thumbnails."""

    rows: np.ndarray
    prepared: torch.Tensor | None
    readable: np.ndarray
    problems: dict[int, str]
    pictures: list[bytes]


@dataclass(frozen=True)
class _Encoded:
    """Vectors on their way to this side, and the event that says when they are here (None: they are)."""

    read: _Read
    vectors: torch.Tensor | None
    here: torch.cuda.Event | None


class Pipeline:
    """Reads and encodes tasks in threads.

    Parameters
    ----------
    source : CutoutSource
    encoder : Encoder or None
        On its device; None if no task wants vectors.
    calibration : Calibration
    device : torch.device
    batch : int
        Cutouts through the network at once: what decides the last bits of the vectors.
    padded : bool
        Fill short batches up: a compiled network wants one length.
    stretch : Stretch
        Of the thumbnails.
    """

    def __init__(
        self,
        source: CutoutSource,
        encoder: Encoder | None,
        calibration: Calibration,
        *,
        device: torch.device,
        batch: int,
        padded: bool = False,
        stretch: Stretch = DEFAULT,
    ):
        self.stretch = stretch
        self.source, self.encoder, self.calibration = source, encoder, calibration
        self.device, self.batch, self.padded = device, batch, padded
        self.cores = max(1, torch.get_num_threads())
        self.networks = self.cores if device.type == "cpu" else 1
        self.seconds = 0.0
        self._waits: list[float] = []

    @property
    def task(self) -> int:
        """Rows that a task should have."""
        return -(-TASK // self.batch) * self.batch

    @property
    def waited(self) -> float:
        """Share of the time so far that the networks waited for something to encode, 0-1."""
        return min(1.0, sum(self._waits) / (self.networks * self.seconds)) if self.seconds else 0.0

    def run(self, tasks: Iterable[Task]) -> Generator[Made, None, None]:
        """Work through tasks and yield what became of them, in order; stops its threads when the consumer stops.

        Raises
        ------
        OutOfMemory
            If the device cannot hold a batch.
        """
        readers = ThreadPoolExecutor(self.cores, "reader", initializer=one_core)
        networks = ThreadPoolExecutor(self.networks, "network", initializer=self._network_thread)
        coming: deque[Future[_Encoded]] = deque()
        ahead, started = self._ahead(), time.monotonic()
        try:
            for task in tasks:
                coming.append(networks.submit(self._encode, readers.submit(self._read, task)))
                if len(coming) > ahead:
                    yield self._made(coming.popleft().result())
            while coming:
                yield self._made(coming.popleft().result())
        finally:
            self.seconds += time.monotonic() - started
            readers.shutdown(wait=True, cancel_futures=True)
            networks.shutdown(wait=True, cancel_futures=True)

    def _ahead(self) -> int:
        """Tasks under way at once."""
        wanted = 2 * self.cores + self.networks
        if self.encoder is None:
            return wanted
        values = self.task * max(4, len(self.source.bands)) * self.encoder.size**2
        return max(2, min(wanted, AHEAD_BYTES // (4 * values)))

    def _network_thread(self) -> None:
        if self.device.type == "cpu":
            one_core()

    # -- reading ------------------------------------------------------------------------------------------------------

    def _read(self, task: Task) -> _Read:
        """Read a task, `READ` cutouts of full size at a time."""
        parts = [self._read_part(task, task.rows[k : k + READ]) for k in range(0, len(task.rows), READ)]
        prepared = torch.cat([p.prepared for p in parts if p.prepared is not None]) if task.vectors else None
        if prepared is not None and self.device.type == "cuda":
            prepared = prepared.pin_memory()
        problems = {row: reason for p in parts for row, reason in p.problems.items()}
        pictures = [picture for p in parts for picture in p.pictures]
        return _Read(task.rows, prepared, np.concatenate([p.readable for p in parts]), problems, pictures)

    def _read_part(self, task: Task, rows: np.ndarray) -> _Read:
        source = self.source
        cutouts = getattr(source, "read_raw", source.read)(rows)
        held = _Held(source.bands, source.science, dict(zip(rows.tolist(), cutouts)))
        pictures = self._pictures(cutouts) if task.pictures else []
        if self.encoder is None or not task.vectors:
            return _Read(rows, None, np.ones(len(rows), bool), {}, pictures)
        pixels, readable, problems = read_batch(held, rows, self.encoder.size)
        prepared = self.encoder.prepare(pixels, self.calibration, source.science)
        return _Read(rows, prepared, readable, problems, pictures)

    def _pictures(self, cutouts: Sequence[np.ndarray | Unreadable]) -> list[bytes]:
        """Encoded thumbnails, empty where unreadable."""
        source = self.source
        return thumbs.draw(cutouts, self.calibration, science=source.science, stretch=self.stretch, bands=source.bands)

    # -- encoding -----------------------------------------------------------------------------------------------------

    def _encode(self, coming: Future[_Read]) -> _Encoded:
        """Send a task through the network, batch by batch."""
        started = time.monotonic()
        read = coming.result()
        self._waits.append(time.monotonic() - started)
        if read.prepared is None or self.encoder is None:
            return _Encoded(read, None, None)
        with memory_told():
            parts = [self._batch(self.encoder, part) for part in read.prepared.split(self.batch)]
            vectors = torch.cat(parts).float()
            if vectors.device.type != "cuda":
                return _Encoded(read, vectors.cpu(), None)
            here = torch.empty(vectors.shape, dtype=vectors.dtype, pin_memory=True)
            here.copy_(vectors, non_blocking=True)
            event = torch.cuda.Event()
            event.record()
            return _Encoded(read, here, event)

    def _batch(self, encoder: Encoder, prepared: torch.Tensor) -> torch.Tensor:
        if not self.padded or len(prepared) == self.batch:
            return encoder(prepared)
        filling = prepared[-1:].expand(self.batch - len(prepared), *prepared.shape[1:])
        return encoder(torch.cat([prepared, filling]))[: len(prepared)]

    def _made(self, encoded: _Encoded) -> Made:
        """Vectors as they are stored.

        An object whose vector is not finite then is one that could not be encoded: no representation ever holds a NaN,
        whatever network someone brings.
        """
        read = encoded.read
        if encoded.vectors is None or self.encoder is None:
            return Made(read.rows, None, read.readable, read.problems, read.pictures)
        if encoded.here is not None:
            with memory_told():
                encoded.here.synchronize()
        with np.errstate(over="ignore"):  # what overflows becomes infinite, and is found out
            vectors = encoded.vectors.numpy().astype(self.encoder.dtype)
        finite = np.isfinite(vectors).all(axis=1)
        problems = {int(row): NOT_FINITE for row in read.rows[read.readable & ~finite]} | read.problems
        readable = read.readable & finite
        vectors[~readable] = 0
        return Made(read.rows, vectors, readable, problems, read.pictures)


@dataclass
class _Held:
    """Cutouts in memory as a source, so that they are read once and resampled to two sizes."""

    bands: tuple[str, ...]
    science: bool
    cutouts: dict[int, np.ndarray | Unreadable]

    def read(self, rows: Sequence[int] | np.ndarray) -> list[np.ndarray | Unreadable]:
        return [self.cutouts[int(row)] for row in rows]
