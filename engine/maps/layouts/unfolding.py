"""What UMAP, densMAP and t-SNE share: start, neighbours, a fit on all objects or on a sample, and the rest placed.

The sample is uniformly random, so that what is dense stays dense: the map of the sample is the map of the survey with
fewer points. The rest find their places among it (`engine.maps.layouts.placing`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from engine.maps.components import balanced_coordinates
from engine.maps.layouts.estimates import sample_for
from engine.maps.layouts.task import Task, frame, framed, jittered, principal

#: Fewer placed objects than this have no structure to unfold: they get their principal coordinates.
FEWEST = 5


@dataclass(frozen=True)
class Problem:
    """What a method unfolds.

    Attributes
    ----------
    indices, distances : (n, k) int32, float32
        Neighbours of each object among those that are fitted, nearest first; −1 and infinity where there is none.
    start : (n, 2) float32
        Principal coordinates, extent near 10, no two points the same.
    show : callable
        ``show(xy (n, 2), epochs done, epochs in all)``.
    """

    indices: np.ndarray
    distances: np.ndarray
    start: np.ndarray
    seed: int
    show: Callable[[np.ndarray, int, int], None]
    task: Task


Fit = Callable[[Problem], np.ndarray]


def unfold(
    task: Task, words: str, method: str, k: Callable[[int], int], fit: Fit, *, settle: tuple[float, float] | None
) -> tuple[np.ndarray, dict]:
    """Fit, and place what was not fitted.

    Parameters
    ----------
    words : str
        What people call the method.
    k : callable
        Neighbours an object that are needed for n objects.
    fit : callable
        A `Problem` in, (n, 2) positions out.
    settle : (a, b) or None
        How the rest moves among the fitted (see `placing.place`).

    Returns
    -------
    (N, 2) float32, dict
        The layout, and what there is to say of it.
    """
    count = len(task.survey)
    begin = principal(task)
    task.show(framed(begin.xy, begin.rows, count), "PCA", 0, 0)
    if len(begin.rows) < FEWEST:
        return framed(begin.xy, begin.rows, count), {"fallback": "pca"}
    seed = task.settings.seed
    some = _sample(task, method, len(begin.rows))
    rows = begin.rows[some]

    def show(xy: np.ndarray, done: int, total: int) -> None:
        task.progress(done, total, words)
        task.show(framed(xy, rows, count), words, done, total)

    indices, distances = _graph(task, rows, len(some) == len(begin.rows), k(len(rows)))
    random = np.random.RandomState(seed)
    xy = fit(Problem(indices, distances, jittered(begin.xy[some], random), seed, show, task))
    if len(some) == len(begin.rows):
        return framed(xy, begin.rows, count), {"scale": frame(xy)[1]}
    from engine.maps.layouts.placing import place

    features = _coordinates(task)
    rest = np.setdiff1d(begin.rows, rows, assume_unique=True)
    placed = place(features[rest], features[rows], xy, settle=settle, seed=seed, progress=task.progress)
    middle, scale = frame(xy)
    layout = np.full((count, 2), np.nan, np.float32)
    layout[rows], layout[rest] = (xy - middle) * scale, (placed - middle) * scale
    return layout, {"scale": scale, "fitted": len(rows)}


def _sample(task: Task, method: str, n: int) -> np.ndarray:
    """Which of n objects are fitted, ascending."""
    asked = task.settings.sample
    if asked is None:
        dimensions = task.survey.representation(task.representation).vectors.shape[1]
        asked = sample_for(n, dimensions, method, task.settings) or 0
    if asked <= 0 or asked >= n:
        return np.arange(n)
    chosen = np.random.default_rng(task.settings.seed).choice(n, max(asked, FEWEST), replace=False)
    return np.sort(chosen)


def _coordinates(task: Task) -> np.ndarray:
    from engine.maps.neighbours import COORDINATES

    found = task.survey.representation(task.representation)
    return balanced_coordinates(found.vectors, np.asarray(found.valid), COORDINATES)


def _graph(task: Task, rows: np.ndarray, all_of_them: bool, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours among the fitted: the survey's own graph, which is kept, or that of a sample."""
    from engine.maps import neighbours

    if all_of_them:
        near = neighbours.neighbours(task.survey, task.representation, k=k, device=task.device, progress=task.progress)
        return _compact(near.indices, near.distances, rows)
    near = neighbours.nearest_among(_coordinates(task)[rows], k, device=task.device, progress=task.progress)
    width = min(k, len(rows) - 1)
    return near.indices[:, :width], near.distances[:, :width]


def _compact(indices: np.ndarray, distances: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A graph among the valid rows only: renumbered, and without columns that nobody has."""
    number = np.full(len(indices) + 1, -1, np.int32)  # the last entry is for −1
    number[rows] = np.arange(len(rows))
    width = min(indices.shape[1], len(rows) - 1)
    return number[indices[rows, :width]], np.array(distances[rows, :width])
