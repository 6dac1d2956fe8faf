"""Embedding: one pass over the pixels of a survey that makes its vectors and its thumbnails.

The work runs in a pipeline (`engine.encoders.pipeline`), through a network that was made faster (`engine.encoders
.inference`). It is done in shards of 4096 objects, each written whole; a run that was killed goes on from the next shard
and ends with the same bytes, since batches never cross a shard and what was chosen (batch, device, arithmetic, the
components of ``pixels``) is kept beside the shards. A second process that wants the same representation is refused.

Cost: one read of every cutout; memory a few batches, whatever the number of objects.
"""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import nn

from engine import device as devices
from engine import files, locks
from engine.data.cutouts import read_batch, require_pixels
from engine.data.pictures import thumbnails as thumbs
from engine.data.pictures.stretch import Calibration
from engine.encoders import Encoder, check_bands, inference, load
from engine.encoders.pipeline import NOT_FINITE, READ, Made, Pipeline, Task
from engine.errors import UserError
from engine.jobs import Progress, silent

if TYPE_CHECKING:
    from engine.survey import Representation, Survey

__all__ = ["NOT_FINITE", "draw_thumbnails", "embed"]

#: Cutouts through the network at once: on a CPU few enough that what is between two layers stays in the caches of a core.
BATCH = {"cpu": 32, "cuda": 1024, "mps": 512}
#: Objects from which compiling a network for CUDA pays.
COMPILED = 50_000
#: Cutouts that a faster network is compared on.
EXAMPLE = 4
#: Age in seconds of a half-written thumbnail shard that nobody can be writing any more.
ABANDONED = 3600
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
    require_pixels(survey)
    place = devices.choose(device)
    network = load(encoder, models=survey.path / "models", size=size)
    check_bands(network, survey.bands)
    network.to(place)
    folder = survey.path / "representations" / check_name(name or network.name)
    finished = _finished(folder, network)
    if finished and (not thumbnails or survey.thumbnails.shows(survey.stretch)):
        return survey.representation(folder.name)
    with locks.alone(folder.parent / f".{folder.name}.lock", f"the representation {folder.name!r}"), _terminable():
        if not finished and _finished(folder, network):  # by the process that had the lock until now
            return survey.representation(folder.name)
        run = _Pass(survey, network, folder, place, batch_size, vectors=not finished, thumbnails=thumbnails)
        if not finished:
            run.begin(progress)
        done = run.go(progress)
        if not finished:
            _assemble(folder, survey, network, run.settings | {"spec": str(encoder)})
    seconds = time.monotonic() - started
    survey.record_run(
        "embed",
        run.settings | {"name": folder.name, "thumbnails": thumbnails},
        seconds=seconds,
        results={
            "embedded": done,
            "rate": round(done / seconds, 1),
            "batch": run.batch,
            "waited": round(run.waited, 4),
        },
    )
    return survey.representation(folder.name)


def draw_thumbnails(survey: Survey, *, progress: Progress = silent) -> None:
    """Make the thumbnails that are missing, and nothing else: for vectors that came from elsewhere, or another stretch."""
    if not survey.bands or survey.thumbnails.shows(survey.stretch):
        return
    unused = load("pixels")  # the pass wants an encoder; this one has no weights to load
    run = _Pass(survey, unused, survey.thumbnails.folder, torch.device("cpu"), None, vectors=False, thumbnails=True)
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


# -- the pass ----------------------------------------------------------------------------------------------------------


class _Pass:
    """One pass over a survey: what is to be done, shard by shard, and where it is kept until all is there.

    Attributes
    ----------
    settings : dict
        What decides the bytes of the vectors.
    batch : int
        Cutouts through the network at once; less than what the settings say once the device's memory was full.
    """

    def __init__(
        self,
        survey: Survey,
        encoder: Encoder,
        folder: Path,
        device: torch.device,
        batch: int | None,
        *,
        vectors: bool,
        thumbnails: bool,
    ):
        self.survey, self.encoder, self.device = survey, encoder, device
        self.calibration = Calibration.of(survey.header["pixels"], len(survey.bands))
        self.folder, self.pictures = folder / ".shards", survey.thumbnails
        if thumbnails:
            self.pictures = self.pictures.drawn_with(survey.stretch)
        self.vectors, self.thumbnails = vectors, thumbnails
        self.batch = batch or BATCH[device.type]
        self.settings = {
            "encoder": encoder.name,
            "identity": encoder.identity,
            "objects": len(survey),
            "device": device.type,
            "batch": self.batch,
            "arithmetic": self._hasten() if vectors else [],
            "torch": torch.__version__,
        }
        self._times: list[tuple[float, float]] = []  # seconds, share waited

    @property
    def waited(self) -> float:
        """Share of the time that the network waited for something to encode, 0-1."""
        seconds = sum(s for s, _ in self._times)
        return sum(s * share for s, share in self._times) / seconds if seconds else 0.0

    def _hasten(self) -> list[str]:
        """Make the encoder's network faster, if it is one that can be; returns what was done."""
        network = getattr(self.encoder, "network", None)
        if not isinstance(network, nn.Module) or not getattr(self.encoder, "mixed", True):
            return []
        compiled = self.device.type == "cuda" and len(self.survey) >= COMPILED
        count, source = self.batch if compiled else EXAMPLE, self.survey.cutouts
        pixels = _blobs(count, self.calibration, self.encoder.size)
        example = self.encoder.prepare(pixels, self.calibration, source.science).to(self.device)
        return list(inference.hasten(network, example, compiled=compiled))

    def begin(self, progress: Progress) -> None:
        """Take up what an earlier run with the same settings left, or start afresh; fit the encoder if need be."""
        kept = self.folder / "settings.json"
        if not kept.is_file() or files.read_json(kept) != self.settings:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        for left in [*self.folder.glob(".*.partial"), *self.folder.parent.glob(".*.partial")]:
            left.unlink(missing_ok=True)  # of a run that was killed while it wrote: ours is the lock now
        if (self.folder / "batch.json").is_file():
            self.batch = files.read_json(self.folder / "batch.json")
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
        self.encoder.to(self.device)

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
        self._tidy()
        first = self._done()
        while True:
            try:
                self._work(progress)
                made = self._done() - first
                if self.thumbnails:
                    self.survey.thumbnails.replace(self.pictures)
                return made
            except inference.OutOfMemory as error:
                self._halve(error, progress)

    def _done(self) -> int:
        todo = [shard for shard in range(self.pictures.shards) if self._wants(shard)]
        return len(self.survey) - sum(self._length(shard) for shard in todo)

    def _work(self, progress: Progress) -> None:
        todo = [shard for shard in range(self.pictures.shards) if self._wants(shard)]
        count, done = len(self.survey), self._done()
        progress(done, count, "embedding")
        pipeline = Pipeline(
            self.survey.cutouts,
            self.encoder if self.vectors else None,
            self.calibration,
            device=self.device,
            batch=self.batch,
            stretch=self.survey.stretch,
            padded="compiled" in str(self.settings["arithmetic"]),
        )
        try:
            with closing(pipeline.run(self._tasks(todo, pipeline.task))) as coming:
                for shard in todo:
                    made = []
                    for part in islice(coming, -(-self._length(shard) // pipeline.task)):
                        made.append(part)
                        done += len(part.rows)
                        progress(done, count, "embedding")
                    self._keep(shard, made)
        finally:
            self._times.append((pipeline.seconds, pipeline.waited))

    def _halve(self, error: inference.OutOfMemory, progress: Progress) -> None:
        """Go on with half the batch; the shard that was under way is begun again, so that it has one batch throughout.

        Raises
        ------
        UserError
            If there is nothing left to halve.
        """
        if self.batch == 1:
            raise UserError(
                f"one cutout is too much for the memory of the {self.device.type} device",
                "use another --device, a smaller --size or encoder, or end what else fills it",
            ) from error
        self.batch //= 2
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        files.write_json(self.folder / "batch.json", self.batch)
        progress(self._done(), len(self.survey), f"the device's memory was full: {self.batch} at a time from here on")

    def _tidy(self) -> None:
        """Remove thumbnails left half-written by a run that was killed (another's are younger than that)."""
        for left in self.pictures.folder.glob(".*.partial") if self.thumbnails else ():
            with suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > ABANDONED:
                    left.unlink()

    def _length(self, shard: int) -> int:
        return min(thumbs.SHARD, len(self.survey) - shard * thumbs.SHARD)

    def _wants(self, shard: int) -> bool:
        return self._wants_vectors(shard) or self._wants_pictures(shard)

    def _wants_vectors(self, shard: int) -> bool:
        return self.vectors and not _vectors(self.folder, shard).is_file()

    def _wants_pictures(self, shard: int) -> bool:
        return self.thumbnails and not self.pictures.has(shard)

    def _tasks(self, todo: list[int], size: int) -> Iterator[Task]:
        for shard in todo:
            start, stop = shard * thumbs.SHARD, shard * thumbs.SHARD + self._length(shard)
            vectors, pictures = self._wants_vectors(shard), self._wants_pictures(shard)
            for first in range(start, stop, size):
                yield Task(np.arange(first, min(first + size, stop)), vectors, pictures)

    def _keep(self, shard: int, made: list[Made]) -> None:
        """Write a shard; its vectors last, since they say that it is complete."""
        if self._wants_pictures(shard):
            self.pictures.write(shard, [p for m in made for p in m.pictures])
        vectors = [m.vectors for m in made if m.vectors is not None]
        if vectors:
            problems = {row: reason for m in made for row, reason in m.problems.items()}
            files.write_json(_problems(self.folder, shard), sorted(problems.items())[:PROBLEMS_NAMED])
            files.write_npy(_valid(self.folder, shard), np.concatenate([m.readable for m in made]))
            files.write_npy(_vectors(self.folder, shard), np.concatenate(vectors))


def _blobs(count: int, calibration: Calibration, size: int) -> np.ndarray:
    """Cutouts as different as real ones, (count, C, size, size) float32: blobs of all sizes and brightnesses in noise."""
    rng = np.random.default_rng(0)
    sky, noise, bright = (
        np.asarray(v, np.float32)[:, None, None]
        for v in (calibration.background, calibration.noise, calibration.bright)
    )
    axis = (np.arange(size) - (size - 1) / 2) / size
    width = rng.uniform(0.03, 0.3, (count, 1, 1, 1))
    light = rng.uniform(0, 2, (count, len(sky), 1, 1)) * np.exp(-0.5 * (axis[:, None] ** 2 + axis**2) / width**2)
    return (sky + bright * light + noise * rng.standard_normal(light.shape)).astype(np.float32)


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
