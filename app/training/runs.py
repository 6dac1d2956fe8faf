"""Trainings as they are on disk: each folder in ``models/`` is followed as it grows, a little at a time.

A training writes one line a record (``history.jsonl``, ``quality.jsonl``) and a picture a checkpoint; what is new is read
from where the last look ended. A resumed one cuts its history back to its checkpoint: the line before that place is then
no longer the one that was read, and the file is read from its beginning. Cost: a `stat` a file and look; memory 8 bytes a
number of the history.
"""

from __future__ import annotations

import json
import math
import os
import threading
import time
from array import array
from collections.abc import Callable
from pathlib import Path

import numpy as np

#: Bytes of a file read in one look; the rest follows with the next.
SLAB = 4 << 20
#: Points of a curve that are drawn.
POINTS = 400
#: Seconds without a record after which a training that is no job of ours is taken to have stopped.
QUIET = 90.0


class Lines:
    """A file of JSON objects, one a line, that another process appends to and may cut back.

    Parameters
    ----------
    path : path
    keep : callable
        ``keep(record)`` takes each record, a dict.
    anew : callable
        Called when the file is no longer what was read: what was kept is to be forgotten.
    """

    def __init__(self, path: Path, keep: Callable[[dict], None], anew: Callable[[], None]):
        self._path, self._keep, self._anew = path, keep, anew
        self._end = 0
        self._last = b""
        self._stamp: tuple | None = None

    def read(self) -> bool:
        """Take what is new; whether there was anything."""
        try:
            status = self._path.stat()
        except OSError:
            return self._forget()
        stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
        if stamp == self._stamp:
            return False
        with open(self._path, "rb") as file:
            changed = self._cut(file) and self._forget()
            file.seek(self._end)
            slab = file.read(SLAB)
        whole = slab[: slab.rfind(b"\n") + 1]
        for line in whole.splitlines():
            record = _record(line)
            if record is not None:
                self._keep(record)
        if whole:
            self._end += len(whole)
            self._last = whole[whole.rfind(b"\n", 0, -1) + 1 :]
        self._stamp = stamp if len(slab) < SLAB else None
        return bool(whole) or changed

    def _cut(self, file) -> bool:
        """Whether what was read is not there any more."""
        if not self._end:
            return False
        file.seek(self._end - len(self._last))
        return file.read(len(self._last)) != self._last

    def _forget(self) -> bool:
        had = self._end > 0
        self._end, self._last, self._stamp = 0, b"", None
        if had:
            self._anew()
        return had


def _record(line: bytes) -> dict | None:
    """One line as a dict; None if it is something else (a line torn by a full disk must not end the look)."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


class Run:
    """One training's folder.

    Attributes
    ----------
    settings : dict
        ``settings.json``; empty if it cannot be read.
    card : dict or None
        ``encoder.json``, there once the training is finished.
    last : dict
        The newest record of the history.
    quality : list of dict
        One a checkpoint.
    pictures : list of int
        Steps that have a picture, rising.
    version : int
        Rises with every change.
    touched : float
        When the newest record was written, seconds since 1970.
    """

    def __init__(self, folder: Path):
        self.folder, self.name = folder, folder.name
        self.version = 0
        self.settings: dict = {}
        self.card: dict | None = None
        self.last: dict = {}
        self.quality: list[dict] = []
        self.pictures: list[int] = []
        self.touched = 0.0
        self._steps, self._seconds, self._losses = array("d"), array("d"), array("d")
        self._history = Lines(folder / "history.jsonl", self._add, self._drop)
        self._measured = Lines(folder / "quality.jsonl", self.quality.append, self.quality.clear)
        self._stamps: dict[str, float] = {}

    def look(self) -> bool:
        """Take what is new in the folder; whether there was anything."""
        changed = self._json("settings.json", lambda found: setattr(self, "settings", found or {}))
        changed |= self._json("encoder.json", lambda found: setattr(self, "card", found))
        if self._history.read():
            changed, self.touched = True, _modified(self.folder / "history.jsonl")
        changed |= self._measured.read()
        changed |= self._look_for_pictures()
        self.version += changed
        return changed

    @property
    def begun(self) -> float:
        """When its settings were written, seconds since 1970."""
        return self._stamps.get("settings.json") or self._stamps.get("encoder.json", 0.0)

    @property
    def quiet(self) -> bool:
        """Whether nothing was written for `QUIET` seconds."""
        return time.time() - max(self.touched, self.begun) > QUIET

    @property
    def decodes(self) -> bool:
        """Whether it is finished and has a decoder to look through."""
        backbone = (self.card or {}).get("backbone")
        return isinstance(backbone, dict) and backbone.get("backbone") == "autoencoder"

    @property
    def steps(self) -> int:
        """Steps the training is to take; 0 if that is not known."""
        found = self.settings.get("steps")
        return int(found) if isinstance(found, (int, float)) and math.isfinite(found) else 0

    def curve(self, points: int = POINTS) -> dict[str, np.ndarray]:
        """The loss in at most `points` points: step, seconds and loss, each (n,) float64, means of neighbouring records."""
        arrays = [np.array(values) for values in (self._steps, self._seconds, self._losses)]
        good = np.isfinite(arrays[2])
        return dict(zip(("step", "seconds", "loss"), thinned([values[good] for values in arrays], points)))

    def picture(self, step: int) -> bytes:
        """The picture of a step, PNG; empty if it is gone or of no sensible size."""
        path = self.folder / "pictures" / f"{step:06d}.png"
        try:
            return path.read_bytes() if path.stat().st_size <= 2 * SLAB else b""
        except OSError:
            return b""

    def _add(self, record: dict) -> None:
        self.last = record
        for kept, key in ((self._steps, "step"), (self._seconds, "seconds"), (self._losses, "loss")):
            kept.append(_number(record.get(key)))

    def _drop(self) -> None:
        self.last = {}
        for kept in (self._steps, self._seconds, self._losses):
            del kept[:]

    def _json(self, name: str, take: Callable[[dict | None], None]) -> bool:
        path = self.folder / name
        stamp = _modified(path)
        if stamp == self._stamps.get(name, 0.0):
            return False
        self._stamps[name] = stamp
        try:
            take(_record(path.read_bytes()))
        except OSError:
            take(None)
        return True

    def _look_for_pictures(self) -> bool:
        folder = self.folder / "pictures"
        stamp = _modified(folder)
        if stamp == self._stamps.get("pictures", 0.0):
            return False
        self._stamps["pictures"] = stamp
        found = sorted(int(p.stem) for p in folder.glob("*.png") if p.stem.isdigit())
        changed, self.pictures = found != self.pictures, found
        return changed


def _modified(path: Path) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def _number(value) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan


def thinned(columns: list[np.ndarray], points: int) -> list[np.ndarray]:
    """Columns of one length, in at most `points` rows: means over stretches of (nearly) equal length; the last row stays.

    The last row stays as it is, so that a curve ends where the training is.
    """
    n = len(columns[0])
    if n <= points:
        return columns
    starts = np.linspace(0, n - 1, points, dtype=np.int64)[:-1]
    counts = np.diff([*starts, n - 1])
    return [np.append(np.add.reduceat(column[:-1], starts) / counts, column[-1]) for column in columns]


class Runs:
    """The trainings of a survey, followed for every session at once.

    Parameters
    ----------
    folder : path
        The survey's ``models/``; it need not exist.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._lock = threading.Lock()
        self._runs: dict[str, Run] = {}

    def look(self) -> list[Run]:
        """What there is now, the newest training first; reads files, so not on the event loop."""
        with self._lock:
            names = [p.name for p in self.folder.iterdir() if _is_training(p)] if self.folder.is_dir() else []
            self._runs = {name: self._runs.get(name) or Run(self.folder / name) for name in names}
            for run in self._runs.values():
                run.look()
            return sorted(self._runs.values(), key=lambda run: (run.begun, run.name), reverse=True)

    def get(self, name: str) -> Run | None:
        """One of them, as it was at the last look."""
        return self._runs.get(name)


def _is_training(folder: Path) -> bool:
    """Whether a folder of ``models/`` is a training's: settings first, or an encoder that came without any."""
    return not folder.name.startswith(".") and any((folder / n).is_file() for n in ("settings.json", "encoder.json"))
