"""The fuzzy graph that UMAP unfolds: how strongly each object belongs to its neighbours' surroundings.

For each object i the nearest neighbour's distance ρᵢ counts as nothing, and the scale σᵢ is such that the memberships
``exp(−(d − ρᵢ)/σᵢ)`` of its k neighbours sum to log₂ k (McInnes et al. 2018, arXiv:1802.03426, algorithms 2 and 3). The
memberships of i in j and of j in i are joined as probabilities: a + b − ab.

The numbers are those of umap-learn's `fuzzy_simplicial_set` (its bisection, its tolerance, its float32), without its
import and compilation, which take half a minute. Cost: some twenty exponentials an edge, in NumPy, a block of objects at
a time (100,000 × 15: a second).
"""

from __future__ import annotations

import numpy as np
import scipy.sparse

#: Bisection: steps, and how near to log₂ k the sum must come (umap-learn's).
STEPS, TOLERANCE = 64, 1e-5
#: The scale is at least this share of the mean distance (umap-learn's).
SMALLEST_SCALE = 1e-3
#: Objects whose scales are found together: their distances stay in the cache.
BLOCK = 8192


def scales(distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scale and offset of each object's memberships.

    Parameters
    ----------
    distances : (n, k) float32
        To the nearest neighbours, nearest first, the object itself (0) in the first column.

    Returns
    -------
    (n,) float32, (n,) float32
        σ and ρ.
    """
    distances = np.asarray(distances, np.float32)
    finite = np.where(np.isfinite(distances), distances, 0)
    offset = np.where(finite > 0, finite, np.inf).min(axis=1, initial=np.inf)
    offset = np.where(np.isfinite(offset), offset, 0).astype(np.float32)
    scale = np.empty(len(distances), np.float32)
    overall = float(finite.mean(dtype=np.float64)) if finite.size else 0.0
    for start in range(0, len(distances), BLOCK):
        part = slice(start, start + BLOCK)
        found = _bisected((distances[part, 1:] - offset[part, None]).astype(np.float64), distances.shape[1])
        mean = np.where(offset[part] > 0, finite[part].mean(axis=1), overall)
        scale[part] = np.maximum(found, SMALLEST_SCALE * mean)
    return scale, offset


def _bisected(beyond: np.ndarray, k: int) -> np.ndarray:
    """The scale at which memberships at distances `beyond` the offset, (m, k − 1), sum to log₂ k; (m,) float64."""
    target = np.log2(k)
    low, high, middle = np.zeros(len(beyond)), np.full(len(beyond), np.inf), np.ones(len(beyond))
    left = np.arange(len(beyond))
    for _ in range(STEPS):
        at = middle[left]
        with np.errstate(over="ignore", divide="ignore"):
            total = np.where(beyond[left] > 0, np.exp(-np.maximum(beyond[left], 0) / at[:, None]), 1.0).sum(axis=1)
        open_ = np.abs(total - target) >= TOLERANCE
        left, at, over = left[open_], at[open_], (total > target)[open_]
        if not len(left):
            break
        high[left] = np.where(over, at, high[left])
        low[left] = np.where(over, low[left], at)
        with np.errstate(invalid="ignore"):
            middle[left] = np.where(np.isinf(high[left]), 2 * at, (low[left] + high[left]) / 2)
    return middle


def memberships(distances: np.ndarray, scale: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """How strongly an object belongs to each neighbour's surroundings.

    Parameters
    ----------
    distances : (n, k) float32
    scale, offset : (n,) float32
        Of `scales`.

    Returns
    -------
    (n, k) float32
        0 to 1; 0 where the distance is infinite.
    """
    beyond = distances - offset[:, None]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        strength = np.exp(-np.maximum(beyond, 0) / scale[:, None])
    strength = np.where((beyond <= 0) | (scale[:, None] == 0), np.float32(1), strength)
    return np.where(np.isfinite(distances), strength, 0).astype(np.float32)


def fuzzy_graph(indices: np.ndarray, distances: np.ndarray) -> scipy.sparse.csr_matrix:
    """The graph of a survey's neighbours.

    Parameters
    ----------
    indices : (n, k − 1) int
        Nearest neighbours of each object, nearest first, itself not among them; −1 for none.
    distances : (n, k − 1) float32
        Infinite where there is none.

    Returns
    -------
    (n, n) scipy.sparse.csr_matrix, float32
        Symmetric, entries 0 to 1, none stored that is 0, columns in order.
    """
    n, width = indices.shape
    own = np.concatenate([np.zeros((n, 1), np.float32), distances], axis=1)  # umap counts an object as its own first
    scale, offset = scales(own)
    strength = memberships(np.asarray(distances, np.float32), scale, offset)
    strength[indices < 0] = 0
    rows = np.repeat(np.arange(n, dtype=np.int32), width)
    columns = np.where(indices < 0, 0, indices).astype(np.int32).ravel()
    graph = scipy.sparse.csr_matrix((strength.ravel(), (rows, columns)), shape=(n, n), dtype=np.float32)
    graph.eliminate_zeros()
    back = graph.T.tocsr()
    joined = graph + back - graph.multiply(back)
    joined.eliminate_zeros()
    joined.sort_indices()
    return joined.tocsr()
