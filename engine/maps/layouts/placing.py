"""New objects on a layout that is there: each among the objects that are most like it.

An object begins at the mean position of its nearest placed neighbours, weighted by the memberships of UMAP's graph
(`engine.maps.layouts.fuzzy`), and for UMAP and densMAP then moves for some epochs among points that stay where they are,
as umap-learn's ``transform`` does. Where it comes to lie does not depend on the other new objects.

The neighbours are looked for among the placed objects of the nearest cells (k-means): nine in ten of them are found, and
where an object comes to lie asks for no more (`tests/engine/test_placing.py`).

Cost: a scan of `CELLS` / `LOOKED_AT` of the placed objects for each new one (`engine.maps.scan`), and some epochs over its
neighbours; memory is that of the placed objects and of `CHUNK` new ones.
"""

from __future__ import annotations

from dataclasses import dataclass

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
#: Cells that the placed objects are sorted into, those looked at for a new object, and the fewest objects that are sorted.
CELLS, LOOKED_AT, SORTED = 256, 16, 20_000
#: k-means: objects that place the middles, and rounds.
MIDDLES_FROM, ROUNDS = 20_000, 8


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
    k, cells = min(NEIGHBOURS, len(placed)), Cells.of(placed, seed=seed)
    found = np.empty((len(features), 2), np.float32)
    for start in range(0, len(features), CHUNK):
        part = slice(start, start + CHUNK)
        indices, distances = cells.nearest(np.asarray(features[part], np.float32), k)
        found[part] = _settled(indices, _weights(distances), xy, settle, seed)
        progress(min(start + CHUNK, len(features)), len(features), "placing the rest")
    return found


@dataclass(frozen=True)
class Cells:
    """Placed objects sorted by the nearest of some middles.

    Attributes
    ----------
    points : (n, d) float32
    middles : (c, d) float32
    members : list of c (m,) int64
        Numbers of the objects in each cell.
    """

    points: np.ndarray
    middles: np.ndarray
    members: list[np.ndarray]

    @classmethod
    def of(cls, points: np.ndarray, *, seed: int = 0) -> Cells:
        """Sort objects; few of them make one cell."""
        points = np.ascontiguousarray(points, np.float32)
        if len(points) < SORTED:
            return cls(points, points[:1], [np.arange(len(points))])
        random = np.random.default_rng(seed)
        some = points[random.choice(len(points), min(MIDDLES_FROM, len(points)), replace=False)]
        middles = some[:CELLS].copy()
        for _ in range(ROUNDS):
            cell = scan.nearest(some, middles, 1)[0][:, 0]
            for number in np.unique(cell):
                middles[number] = some[cell == number].mean(axis=0)
        cell = scan.nearest(points, middles, 1)[0][:, 0]
        order = np.argsort(cell, kind="stable")
        return cls(points, middles, np.split(order, np.cumsum(np.bincount(cell, minlength=CELLS))[:-1]))

    def nearest(self, features: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest objects of each new one among the cells nearest to its own; arguments as `scan.nearest`."""
        if len(self.members) == 1 or not len(features):
            return scan.nearest(features, self.points, k)
        indices, distances = np.empty((len(features), k), np.int32), np.empty((len(features), k), np.float32)
        cell = scan.nearest(features, self.middles, 1)[0][:, 0]
        around = scan.nearest(self.middles, self.middles, len(self.middles))[0]
        for number in np.unique(cell):
            own, wide = np.flatnonzero(cell == number), LOOKED_AT
            while len(near := np.sort(np.concatenate([self.members[c] for c in around[number, :wide]]))) < k:
                wide *= 2
            found, distances[own] = scan.nearest(features[own], self.points[near], k)
            indices[own] = near[found]
        return indices, distances


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
