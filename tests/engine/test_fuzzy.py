"""The fuzzy graph: that of umap-learn, number for number, and what it means."""

import warnings

import numpy as np
import pytest

from engine.maps.layouts.fuzzy import fuzzy_graph, memberships, scales
from engine.maps.neighbours import exact


def reference(indices, distances):
    """The graph by umap-learn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from umap.umap_ import fuzzy_simplicial_set

        n = len(indices)
        own = np.arange(n, dtype=np.int32)[:, None]
        return fuzzy_simplicial_set(
            np.zeros((n, 2), np.float32),
            indices.shape[1] + 1,
            np.random.RandomState(0),
            "euclidean",
            knn_indices=np.concatenate([own, indices], axis=1),
            knn_dists=np.concatenate([np.zeros((n, 1), np.float32), distances], axis=1),
        )[0]


def cases():
    rng = np.random.default_rng(0)
    yield "blobs", (rng.normal(size=(6, 10)) * 5)[np.arange(900) % 6] + rng.normal(size=(900, 10)), 14
    yield "line", np.outer(np.arange(300), [1.0, 2.0]), 9
    yield "twins", np.repeat(rng.normal(size=(150, 4)), 3, axis=0), 5
    yield "scales", rng.normal(size=(400, 5)) * 10.0 ** rng.uniform(-4, 4, (400, 1)), 10
    yield "pairs", rng.normal(size=(60, 3)), 1


@pytest.mark.parametrize("name, x, k", list(cases()), ids=lambda value: value if isinstance(value, str) else "")
def test_equals_umap_learn(name, x, k):
    near = exact((x - x.mean(axis=0)).astype(np.float32), k)
    mine, theirs = fuzzy_graph(near.indices, near.distances), reference(near.indices, near.distances)
    assert abs(mine - theirs).max() < 1e-5
    assert abs(mine - mine.T).max() < 1e-6 and mine.data.min() > 0 and mine.data.max() <= 1 + 1e-6


def test_memberships_sum_to_the_logarithm_of_the_neighbours():
    near = exact(np.random.default_rng(1).normal(size=(500, 6)).astype(np.float32), 14)
    own = np.concatenate([np.zeros((500, 1), np.float32), near.distances], axis=1)
    scale, offset = scales(own)
    assert np.array_equal(offset, near.distances[:, 0])
    strength = memberships(near.distances, scale, offset)
    assert np.allclose(strength.sum(axis=1), np.log2(15), atol=1e-3)
    assert (strength[:, 0] == 1).all() and (np.diff(strength, axis=1) <= 0).all()


def test_who_has_no_neighbour_has_no_edge():
    indices = np.array([[1, 2], [0, 2], [0, 1], [-1, -1]], np.int32)
    distances = np.where(indices < 0, np.inf, 1).astype(np.float32)
    graph = fuzzy_graph(indices, distances)
    assert graph[3].nnz == 0 and graph[:, 3].nnz == 0 and graph[:3, :3].nnz == 6
