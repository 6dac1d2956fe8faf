"""New objects on a layout that is there: each among the objects that are most like it.

An object begins at the mean position of its nearest placed neighbours, weighted by the memberships of UMAP's graph
(`engine.maps.layouts.fuzzy`), and for UMAP and densMAP then moves for some epochs among points that stay where they are,
as umap-learn's ``transform`` does. Where it comes to lie does not depend on the other new objects.

Cost: a scan of the placed objects for each new one (`engine.maps.scan`), and some epochs over its neighbours; memory is
that of the placed objects and of `CHUNK` new ones.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse

from engine.jobs import Progress, silent
from engine.maps import scan
from engine.maps.layouts import descent
from engine.maps.layouts.fuzzy import memberships, scales

#: Neighbours that an object is placed by.
NEIGHBOURS = 15
#: Epochs, and the length of their first step (umap-learn's, for large surveys).
EPOCHS, RATE = 30, 0.25
#: New objects placed together.
CHUNK = 32_768


def place(
    features: np.ndarray,
    placed: np.ndarray,
    xy: np.ndarray,
    *,
    settle: tuple[float, float] | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> np.ndarray:
    """Positions of new objects.

    Parameters
    ----------
    features : (m, d) float32
        Of the new objects.
    placed : (n, d) float32
        Of those that have a position.
    xy : (n, 2) float
        Their positions; with `settle` in UMAP's own units, in which neighbours lie about 1 apart.
    settle : (a, b), optional
        Let the new objects move by UMAP's forces (`descent.curve`); without it they stay at the mean.
    seed : int

    Returns
    -------
    (m, 2) float32
    """
    k = min(NEIGHBOURS, len(placed))
    found = np.empty((len(features), 2), np.float32)
    for start in range(0, len(features), CHUNK):
        part = slice(start, start + CHUNK)
        indices, distances = scan.nearest(features[part], placed, k)
        found[part] = _settled(indices, _weights(distances), xy, settle, seed)
        progress(min(start + CHUNK, len(features)), len(features), "placing the rest")
    return found


def _weights(distances: np.ndarray) -> np.ndarray:
    """Memberships of new objects in the surroundings of their neighbours, (m, k); the nearest counts as 1."""
    own = np.concatenate([np.zeros((len(distances), 1), np.float32), distances], axis=1)
    scale, offset = scales(own)
    return memberships(distances, scale, offset)


def _settled(indices, weights, xy, settle, seed) -> np.ndarray:
    total = weights.sum(axis=1, keepdims=True)
    mean = ((weights / total)[:, :, None] * xy[indices]).sum(axis=1).astype(np.float32)
    if settle is None:
        return mean
    n, (m, k) = len(xy), indices.shape
    pointers = np.concatenate([np.zeros(n, np.int64), np.arange(m + 1) * k])
    graph = scipy.sparse.csr_matrix((weights.ravel(), indices.ravel(), pointers), shape=(n + m, n + m))
    start = np.concatenate([np.asarray(xy, np.float32), mean])
    a, b = settle
    return descent.descend(graph, start, epochs=EPOCHS, a=a, b=b, seed=seed, rate=RATE, fixed=n)[n:]
