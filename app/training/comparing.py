"""Two representations beside each other: what each is, how good it is, how far they agree, and an object's neighbours in both.

Everything is asked of the engine; what takes seconds is kept for as long as the vectors are the same. Call off the event loop.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.maps.agreement import agreement
from engine.search.similar import similar
from engine.survey import Survey

#: Neighbours shown of an object.
NEAR = 12
#: Objects a representation is measured on: what a training's checkpoints are measured on, too.
MEASURED = 2_000


@dataclass(frozen=True)
class Near:
    """The neighbours of an object in one representation, nearest first.

    Attributes
    ----------
    rows : (k,) int64
    score : (k,) float32
    problem : str
        Why there is none.
    """

    rows: np.ndarray
    score: np.ndarray
    problem: str = ""


class Comparison:
    """Facts about the representations of a survey, kept once they are known."""

    def __init__(self, survey: Survey):
        self._survey = survey
        self._lock = threading.Lock()
        self._kept: dict[tuple, object] = {}

    def facts(self, name: str) -> dict:
        """What a representation is: encoder, dimension, objects with a vector, bytes on disk."""
        found = self._survey.representation(name)
        meta = found.meta
        return {
            "encoder": str(meta.get("encoder", "")),
            "dimension": int(found.vectors.shape[1]),
            "kind": str(found.vectors.dtype),
            "objects": int(np.count_nonzero(found.valid)),
            "bytes": (found.folder / "vectors.npy").stat().st_size,
        }

    def agreement(self, first: str, second: str) -> dict:
        """How far two representations agree on neighbours; see `engine.maps.agreement`."""
        if first == second:
            return {}

        def measure() -> dict:
            found = agreement(self._survey.representation(first), self._survey.representation(second))
            return {"mean": found.mean, "error": found.error, "chance": found.chance, "objects": len(found.rows)}

        return self._once(("agreement", *sorted((first, second)), *map(self._stamp, sorted((first, second)))), measure)

    def quality(self, name: str) -> dict[str, float]:
        """2-point score, linear probes and RankMe, as at a training's checkpoints; see `engine.training.monitor`."""
        return self._once(("quality", name, self._stamp(name)), lambda: quality(self._survey, name))

    def near(self, name: str, row: int, count: int = NEAR) -> Near:
        """The objects most like one."""
        from engine.errors import UserError

        try:
            rows, score = similar(self._survey, np.array([row], np.int64), top=count, representation=name)
        except UserError as error:
            return Near(np.zeros(0, np.int64), np.zeros(0, np.float32), str(error))
        return Near(np.asarray(rows, np.int64), np.asarray(score, np.float32))

    def _stamp(self, name: str) -> int:
        path: Path = self._survey.path / "representations" / name / "vectors.npy"
        return path.stat().st_mtime_ns if path.exists() else 0

    def _once(self, key: tuple, make):
        with self._lock:
            if key not in self._kept:
                self._kept[key] = make()
            return self._kept[key]


def sample(survey: Survey, valid: np.ndarray, count: int = MEASURED, seed: int = 0) -> np.ndarray:
    """Rows of objects that have a vector, at most `count`, rising."""
    rows = np.flatnonzero(valid)
    if len(rows) > count:
        rows = np.sort(np.random.default_rng(seed).choice(rows, count, replace=False))
    return rows


def quality(survey: Survey, name: str) -> dict[str, float]:
    """Measure a representation on a sample of its objects."""
    from engine.training import monitor

    found = survey.representation(name)
    rows = sample(survey, np.asarray(found.valid))
    vectors = np.asarray(found.vectors[rows], np.float32)
    return monitor.measure(vectors, monitor.label_columns(survey, rows))
