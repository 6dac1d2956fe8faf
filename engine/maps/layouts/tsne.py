"""t-SNE (van der Maaten & Hinton 2008) by openTSNE (Poličar et al. 2019), on our own neighbours, seen as it grows."""

from __future__ import annotations

import os
import warnings

import numpy as np

from engine.maps.layouts.task import Task
from engine.maps.layouts.unfolding import Problem, unfold

#: Epochs of early exaggeration and after it, and the exaggeration (the defaults of openTSNE).
EPOCHS = (250, 500)
EXAGGERATION = 12.0
#: Objects below which one thread is faster than waiting for others.
THREADED = 5000
#: Neighbours for each unit of perplexity.
NEIGHBOURS = 3
#: Epochs between two looks.
LOOK = 10


def tsne(task: Task) -> tuple[np.ndarray, dict]:
    """t-SNE, started from the principal coordinates."""
    xy, said = unfold(task, "t-SNE", "tsne", lambda n: int(NEIGHBOURS * _perplexity(task, n)), _fit, settle=None)
    placed = int(np.isfinite(xy).all(axis=1).sum())
    used = {"perplexity": task.settings.perplexity}
    if "fallback" not in said:
        used = {"perplexity": _perplexity(task, said.get("fitted", placed)), "epochs": sum(EPOCHS)}
    return xy, used | said


def _perplexity(task: Task, n: int) -> float:
    return min(task.settings.perplexity, (n - 1) / NEIGHBOURS)


def _fit(problem: Problem) -> np.ndarray:
    """Affinities and their embedding; (n, 2)."""
    from openTSNE import TSNEEmbedding
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    n, total = len(problem.start), sum(EPOCHS)
    jobs = 1 if n < THREADED else os.cpu_count() or 1
    problem.task.progress(0, total, "t-SNE")
    begin = problem.start.astype(np.float64)
    begin *= 1e-4 / begin[:, 0].std()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openTSNE warns of what cannot be changed from here
        affinities = PerplexityBasedNN(
            perplexity=_perplexity(problem.task, n),
            n_jobs=jobs,
            random_state=problem.seed,
            knn_index=PrecomputedNeighbors(problem.indices, problem.distances.astype(np.float64)),
        )
        embedding = TSNEEmbedding(
            begin,
            affinities,
            n_jobs=jobs,
            random_state=problem.seed,
            learning_rate="auto",
            dof=1,
            negative_gradient_method="auto",
        )
        done = 0
        for epochs, exaggeration, momentum in ((EPOCHS[0], EXAGGERATION, 0.5), (EPOCHS[1], 1, 0.8)):

            def look(iteration, error, xy, done=done):
                problem.show(np.asarray(xy), done + iteration, total)

            embedding = embedding.optimize(
                epochs, exaggeration=exaggeration, momentum=momentum, callbacks=[look], callbacks_every_iters=LOOK
            )
            done += epochs
    problem.show(np.asarray(embedding), total, total)
    return np.asarray(embedding)
