"""UMAP (McInnes et al. 2018, arXiv:1802.03426) and densMAP (Narayan et al. 2021): the fuzzy graph, unfolded.

UMAP is our own (`fuzzy`, `descent`): there at once, seen as it grows. densMAP, which keeps dense regions dense, is
umap-learn's; its import and compilation take half a minute, and it is seen only when it has ended.
"""

from __future__ import annotations

import io
import warnings

import numpy as np

from engine.jobs import Progress
from engine.maps.layouts import descent
from engine.maps.layouts.fuzzy import fuzzy_graph
from engine.maps.layouts.task import Task
from engine.maps.layouts.unfolding import Problem, unfold

#: Objects up to which a survey is small, and the epochs of small and large ones (the defaults of umap-learn).
SMALL, EPOCHS_SMALL, EPOCHS_LARGE = 10_000, 500, 200
#: densMAP: weight of the term that keeps densities, the share of epochs with it, and its floor (umap-learn's).
DENSITY_WEIGHT, DENSITY_SHARE, DENSITY_FLOOR = 2.0, 0.3, 0.1


def epochs_for(n: int) -> int:
    """Epochs for n objects."""
    return EPOCHS_SMALL if n <= SMALL else EPOCHS_LARGE


def umap(task: Task) -> tuple[np.ndarray, dict]:
    """UMAP, started from the principal coordinates."""
    return _unfold(task, "UMAP", "umap", _umap)


def densmap(task: Task) -> tuple[np.ndarray, dict]:
    """densMAP, by umap-learn on our own neighbours."""
    return _unfold(task, "densMAP", "densmap", _densmap)


def _unfold(task: Task, words: str, method: str, fit) -> tuple[np.ndarray, dict]:
    wanted = task.settings
    a, b = descent.curve(1.0, wanted.min_dist)
    xy, said = unfold(task, words, method, lambda n: wanted.neighbours - 1, fit, settle=(a, b))
    used = {"neighbours": wanted.neighbours, "min_dist": wanted.min_dist}
    if "fallback" not in said:
        used["epochs"] = epochs_for(said.get("fitted", int(np.isfinite(xy).all(axis=1).sum())))
    return xy, used | said


def _umap(problem: Problem) -> np.ndarray:
    wanted, n = problem.task.settings, len(problem.start)
    problem.task.progress(0, n, "fuzzy graph")
    graph = fuzzy_graph(problem.indices, problem.distances)
    a, b = descent.curve(1.0, wanted.min_dist)
    epochs = epochs_for(n)
    return descent.descend(
        graph,
        _spread(problem.start),
        epochs=epochs,
        a=a,
        b=b,
        seed=problem.seed,
        each=lambda done, xy: problem.show(xy, done, epochs),
    )


def _spread(start: np.ndarray) -> np.ndarray:
    """Both axes brought to 0-10, as umap-learn does."""
    low, high = start.min(axis=0), start.max(axis=0)
    return (10 * (start - low) / np.where(high > low, high - low, 1)).astype(np.float32)


def _densmap(problem: Problem) -> np.ndarray:
    wanted, n = problem.task.settings, len(problem.start)
    epochs = epochs_for(n) + 200  # as umap-learn does: densities take longer
    problem.task.progress(0, epochs, "densMAP: compiling")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of umap and numba, about what the caller chose or cannot change
        from umap.umap_ import fuzzy_simplicial_set, simplicial_set_embedding

        random = np.random.RandomState(problem.seed)
        own = np.arange(n, dtype=np.int32)[:, None]  # umap counts an object as its own first neighbour
        knn = np.concatenate([own, problem.indices], axis=1)
        far = np.concatenate([np.zeros((n, 1), np.float32), problem.distances], axis=1)
        graph, _, _, lengths = fuzzy_simplicial_set(
            problem.start, knn.shape[1], random, "euclidean", knn_indices=knn, knn_dists=far, return_dists=True
        )
        density = {"lambda": DENSITY_WEIGHT, "frac": DENSITY_SHARE, "var_shift": DENSITY_FLOOR, "graph_dists": lengths}
        a, b = descent.curve(1.0, wanted.min_dist)
        bar = {
            "file": _EpochStream(problem.task.progress, epochs, "densMAP"),
            "disable": False,
            "bar_format": "{n_fmt}\n",
            "mininterval": 0.1,
        }
        return simplicial_set_embedding(
            problem.start, graph, 2, 1.0, a, b, 1.0, 5, epochs, problem.start, random, "euclidean", {}, True, density,
            False, parallel=False, tqdm_kwds=bar,
        )[0]  # fmt: skip


class _EpochStream(io.StringIO):
    """Where umap's progress bar writes, one epoch number a line: passed on as progress."""

    def __init__(self, progress: Progress, total: int, stage: str):
        super().__init__()
        self.progress, self.total, self.stage = progress, total, stage

    def write(self, text: str) -> int:
        """Pass on the epoch, if the bar has written one."""
        word = text.strip("\r\n \x1b[A")
        if word.isdigit():
            self.progress(int(word), self.total, self.stage)
        return len(text)
