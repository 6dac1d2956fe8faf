"""Isolation forest: what is parted from the rest by few random cuts is strange.

Liu, Ting & Zhou 2008 (ICDM, doi:10.1109/ICDM.2008.17), as scikit-learn has it. A tree sees 256 objects whatever the
survey's size, so the forest is grown on a random part of it; then every object falls through every tree. A cut goes
along one feature between its extremes, so that scaling the features changes nothing, but rotating them does: here
they are principal components.

Cost: see `docs/hunting.md`; memory is that of a chunk, whatever the survey's size.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from engine.jobs import Progress, silent

#: Trees, and objects a tree sees.
TREES, SEEN = 200, 256
#: Objects that fall through the forest together.
CHUNK = 16_384


def isolation(
    features: np.ndarray, valid: np.ndarray, *, trees: int = TREES, seed: int = 0, progress: Progress = silent
) -> np.ndarray:
    """How easily each object is isolated.

    Parameters
    ----------
    features : (N, d) float
        May be memory-mapped.
    valid : (N,) bool
        At least two of them.
    trees : int
    seed : int

    Returns
    -------
    (N,) float32
        From 0 to 1, about 0.5 and below for the usual; NaN where not valid.

    Source
    ------
    Liu et al. 2008, eq. 2; the negative of scikit-learn's ``score_samples``.
    """
    n, rows = len(features), np.flatnonzero(valid)
    rng = np.random.default_rng(seed)
    some = rows if len(rows) <= trees * SEEN else np.sort(rng.choice(rows, trees * SEEN, replace=False))
    grown, seen = _grown(np.asarray(features[some], np.float32), trees, seed)
    usual = len(grown) * float(_unsuccessful(np.array([seen]))[0])
    score = np.full(n, np.nan, np.float32)

    def fall(start: int) -> int:
        part, good = slice(start, start + CHUNK), np.flatnonzero(valid[start : start + CHUNK])
        chunk = np.ascontiguousarray(np.asarray(features[part], np.float32)[good])
        depth = np.zeros(len(chunk))
        for tree, depths in grown:
            depth += depths[tree.apply(chunk)]
        score[start + good] = 2.0 ** (-depth / usual)
        return min(start + CHUNK, n)

    with ThreadPoolExecutor(os.cpu_count() or 1) as cores:
        for done in cores.map(fall, range(0, n, CHUNK)):
            progress(done, n, "isolation forest")
    return score


def _grown(points: np.ndarray, trees: int, seed: int) -> tuple[list, int]:
    """Trees, each with the depth that every node stands for, and how many objects a tree has seen.

    scikit-learn's own ``score_samples`` sets the filters of Python's warnings, which are the process's, so that it
    cannot be called by several threads.
    """
    from sklearn.ensemble import IsolationForest

    seen = min(SEEN, len(points))
    forest = IsolationForest(n_estimators=trees, max_samples=seen, random_state=seed).fit(points)
    return [(tree.tree_, _depths(tree.tree_)) for tree in forest.estimators_], seen


def _depths(tree) -> np.ndarray:
    """Cuts above each node, and those that would part what is left in it, (nodes,) float64."""
    depth = np.zeros(tree.node_count)
    for node in range(tree.node_count):  # children come after their parent
        for child in (tree.children_left[node], tree.children_right[node]):
            if child >= 0:
                depth[child] = depth[node] + 1
    return depth + _unsuccessful(tree.n_node_samples)


def _unsuccessful(counts: np.ndarray) -> np.ndarray:
    """Mean number of cuts that part one of so many objects from the others: Liu et al. 2008, eq. 1."""
    counts = np.asarray(counts, np.float64)
    many = np.maximum(counts, 3)
    mean = 2 * (np.log(many - 1) + np.euler_gamma) - 2 * (many - 1) / many
    return np.where(counts <= 1, 0.0, np.where(counts <= 2, 1.0, mean))
