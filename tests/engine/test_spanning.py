"""Spanning trees under mutual reachability, against the slow and obvious; HDBSCAN's clusters, against scikit-learn's."""

import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree
from scipy.spatial.distance import cdist
from sklearn.cluster import HDBSCAN
from sklearn.metrics import adjusted_rand_score

from engine.maps.clustering.clusters import plane_clusters
from engine.maps.clustering.hierarchy import by_size, flat_clusters
from engine.maps.clustering.spanning import Boxes, Tree, graph_tree, nearest, plane_tree
from engine.maps.neighbours import exact


def blobs(n, *, k=8, noise=0.1, seed=0):
    """Gaussian blobs of different sizes on an even ground, (n, 2) float32."""
    random = np.random.default_rng(seed)
    middles, sizes = random.uniform(-8, 8, (k, 2)), random.uniform(0.2, 1, k)
    m = int(n * (1 - noise))
    which = random.integers(0, k, m)
    inside = middles[which] + sizes[which][:, None] * random.normal(size=(m, 2))
    return np.concatenate([inside, random.uniform(-10, 10, (n - m, 2))]).astype(np.float32)


def reachability(xy, min_samples):
    """Mutual reachability of all pairs, and their distances."""
    apart = cdist(xy.astype(float), xy.astype(float))
    core = np.sort(apart, axis=1)[:, min(min_samples, len(xy)) - 1]
    return np.maximum(np.maximum(apart, core[:, None]), core[None]), apart


SHAPES = {
    "blobs": blobs(700, seed=1),
    "line": np.column_stack([np.linspace(0, 1, 200) ** 3, np.zeros(200)]).astype(np.float32),
    "grid": np.stack(np.meshgrid(np.arange(15.0), np.arange(15.0)), axis=-1).reshape(-1, 2).astype(np.float32),
    "doubles": np.repeat(blobs(60, seed=2), 5, axis=0),
    "one place": np.zeros((90, 2), np.float32),
    "far apart": np.concatenate([blobs(100, seed=3) * 1e-4, blobs(100, seed=4) + 5000]),
    "two": np.array([[0, 0], [3, 4]], np.float32),
}


@pytest.mark.parametrize("min_samples", [1, 5, 17])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_tree_in_the_plane_is_as_short_as_the_shortest(shape, min_samples):
    xy = SHAPES[shape]
    tree = plane_tree(xy, min_samples)
    weights, _ = reachability(xy, min_samples)
    assert len(tree.ends) == len(xy) - 1 and (np.diff(tree.length) >= 0).all()
    assert np.allclose(weights[tree.ends[:, 0], tree.ends[:, 1]], tree.length)
    graph = np.zeros((len(xy), len(xy)))
    graph[tree.ends[:, 0], tree.ends[:, 1]] = 1
    assert connected_components(graph, directed=False)[0] == 1
    lengths = _prim(weights)
    assert np.allclose(np.sort(tree.length), np.sort(lengths))


def _prim(weights):
    """Lengths of a minimum spanning tree, by the oldest way there is."""
    n = len(weights)
    inside, nearest_ = np.zeros(n, bool), weights[0].copy()
    inside[0] = True
    lengths = []
    for _ in range(n - 1):
        j = np.where(inside, np.inf, nearest_).argmin()
        lengths.append(nearest_[j])
        inside[j] = True
        nearest_ = np.minimum(nearest_, weights[j])
    return np.array(lengths)


@pytest.mark.parametrize("shape", ["blobs", "doubles", "grid"])
def test_nearest_points_are_those_of_a_full_search(shape):
    xy = SHAPES[shape]
    boxes, places = Boxes.build(xy), blobs(50, seed=9)
    found, square = nearest(boxes, places, 7)
    full = cdist(places.astype(float), xy.astype(float)) ** 2
    assert np.allclose(square, np.sort(full, axis=1)[:, :7])
    assert np.allclose(np.take_along_axis(full, boxes.order[found], axis=1), square)


def test_a_point_or_none_is_no_tree():
    for n in (0, 1):
        tree = plane_tree(np.zeros((n, 2), np.float32), 5)
        assert tree.count == n and len(tree.ends) == 0
        assert flat_clusters(tree, 5).tolist() == [-1] * n


def test_the_tree_of_a_graph_is_scipys():
    points = np.random.default_rng(0).normal(size=(400, 6)).astype(np.float32)
    near = exact(points, 10)
    core = near.distances[:, 3]
    weights = np.full((400, 400), np.inf)
    for i, (row, apart) in enumerate(zip(near.indices, near.distances)):
        weights[i, row] = np.maximum(np.maximum(core[i], core[row]), apart)
    weights = np.minimum(weights, weights.T)
    tree = graph_tree(near.indices, near.distances, 5)
    oracle = minimum_spanning_tree(np.where(np.isfinite(weights), weights, 0))
    assert len(tree.ends) == oracle.nnz and tree.length.sum() == pytest.approx(oracle.sum(), rel=1e-6)


def test_parts_that_no_edge_joins_are_clusters_of_their_own():
    points = np.concatenate([blobs(60, k=1, noise=0, seed=s) + 1000 * s for s in range(3)])
    near = exact(points, 6)
    codes = flat_clusters(graph_tree(near.indices, near.distances, 5), 20)
    assert adjusted_rand_score(codes, np.repeat(range(3), 60)) > 0.9 and codes.max() >= 2


@pytest.mark.parametrize("min_size", [5, 25, 100])
@pytest.mark.parametrize("min_samples", [1, 5, 15])
def test_clusters_are_scikit_learns_where_no_two_edges_are_alike(min_samples, min_size):
    """Mutual reachability has many ties, which scikit-learn breaks as they come: told apart by the distance, as here."""
    xy = blobs(900, seed=3)
    weights, apart = reachability(xy, min_samples)
    weights = weights + 1e-9 * apart
    np.fill_diagonal(weights, 0)
    oracle = HDBSCAN(min_cluster_size=min_size, min_samples=1, metric="precomputed", copy=True).fit_predict(weights)
    codes = flat_clusters(plane_tree(xy, min_samples), min_size)
    assert adjusted_rand_score(oracle, codes) == 1.0
    assert np.array_equal(oracle < 0, codes < 0)


@pytest.mark.parametrize("min_samples, least", [(1, 1.0), (10, 0.99)])
def test_clusters_are_scikit_learns_of_the_points(min_samples, least):
    xy = blobs(1500, seed=5)
    oracle = HDBSCAN(min_cluster_size=30, min_samples=min_samples, copy=True).fit_predict(xy.astype(float))
    assert adjusted_rand_score(oracle, plane_clusters(xy, 30, min_samples=min_samples)) >= least


def test_the_finest_clusters_are_scikit_learns_leaves():
    xy = blobs(1500, seed=6)
    options = {"min_cluster_size": 20, "min_samples": 1, "cluster_selection_method": "leaf", "copy": True}
    oracle = HDBSCAN(**options).fit_predict(xy.astype(float))
    assert adjusted_rand_score(oracle, plane_clusters(xy, 20, min_samples=1, choice="finest")) == 1.0


def test_a_sample_finds_the_same_clusters():
    xy = blobs(20_000, k=6, seed=7)
    whole, few = plane_clusters(xy, 400), plane_clusters(xy, 400, sample=6_000)
    assert adjusted_rand_score(whole, few) >= 0.95


def test_the_order_of_the_objects_does_not_matter():
    xy = blobs(1200, seed=8)
    codes, shuffle = plane_clusters(xy, 30), np.random.default_rng(1).permutation(len(xy))
    assert adjusted_rand_score(codes[shuffle], plane_clusters(xy[shuffle], 30)) == 1.0


def test_clusters_are_numbered_by_falling_size():
    assert by_size(np.array([7, 7, 2, -1, 2, 2, 9, 9])).tolist() == [1, 1, 0, -1, 0, 0, 2, 2]
    assert by_size(np.full(3, -1)).tolist() == [-1] * 3
    counts = np.bincount(plane_clusters(blobs(1500, seed=12), 20) + 1)[1:]
    assert (np.diff(counts) <= 0).all()


def test_an_unknown_choice_is_refused():
    with pytest.raises(ValueError, match="choice"):
        flat_clusters(Tree(0, np.empty((0, 2), np.int32), np.empty(0)), 5, choice="best")
