"""UMAP's descent: the forces of the formula, one layout a seed, and maps as good as umap-learn's."""

import warnings

import numpy as np
import pytest
import scipy.sparse
from PIL import Image
from sklearn.datasets import make_swiss_roll
from sklearn.manifold import trustworthiness

from engine.maps.layouts import descent
from engine.maps.layouts.descent import SHARE, curve, descend, forces
from engine.maps.layouts.fuzzy import fuzzy_graph
from engine.maps.neighbours import exact


def test_the_curve_is_umap_learns():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from umap.umap_ import find_ab_params
    for min_dist in (0.0, 0.1, 0.5, 1.0):
        assert np.allclose(curve(1.0, min_dist), find_ab_params(1.0, min_dist), rtol=1e-6)


def test_the_tables_hold_the_forces_of_the_formula():
    a, b = curve(1.0, 0.1)
    pull, push = forces(a, b)
    square = (10.0 ** np.random.default_rng(0).uniform(-8, 8, 2000)).astype(np.float32)
    entry = np.array([descent._entry.py_func(value) for value in square])
    wide = square.astype(np.float64)
    near = 1 / (1 + a * wide**b)
    assert np.allclose(pull[entry], -2 * a * b * wide ** (b - 1) * near, rtol=2 * SHARE)
    assert np.allclose(push[entry], 2 * b * near / (descent.SOFTENING + wide), rtol=2 * SHARE)
    assert descent._entry.py_func(np.float32(0)) == 0
    assert descent._entry.py_func(np.float32(1e30)) == len(pull) - 1


def graph_of(x, k=14):
    near = exact((x - x.mean(axis=0)).astype(np.float32), k)
    return fuzzy_graph(near.indices, near.distances), near


def test_the_same_seed_gives_the_same_layout_with_any_number_of_threads(monkeypatch):
    monkeypatch.setattr(descent, "CHUNK", 100)
    rng = np.random.default_rng(0)
    x, start = rng.normal(size=(730, 5)), rng.normal(size=(730, 2)).astype(np.float32)
    graph, _ = graph_of(x)
    seen = []
    options = {"epochs": 12, "a": 1.58, "b": 0.9}
    one = descend(graph, start, seed=3, threads=1, each=lambda done, xy: seen.append((done, xy.copy())), **options)
    assert np.array_equal(one, descend(graph, start, seed=3, threads=3, **options))
    assert not np.array_equal(one, descend(graph, start, seed=4, **options))
    assert [done for done, _ in seen] == list(range(1, 13)) and np.array_equal(seen[-1][1], one)


def test_an_edge_is_pulled_as_often_as_it_weighs():
    """With tiny steps the way of an object is the number of its pulls times what each one moves it on average."""
    for share in (0.5, 0.25, 0.1):
        weights = np.array([1.0, 1.0, share, share], np.float32)
        graph = scipy.sparse.csr_matrix((weights, ([0, 1, 2, 3], [1, 0, 3, 2])), shape=(4, 4))
        start = np.array([[0, 0], [1, 0], [0, 50], [1, 50]], np.float32)
        moved = np.abs(descend(graph, start, epochs=2000, a=1.58, b=0.9, rate=1e-5) - start)[:, 0]
        assert moved[2:].sum() / moved[:2].sum() == pytest.approx(share, rel=0.2)


def test_the_first_may_stay_where_they_are():
    rng = np.random.default_rng(1)
    graph, _ = graph_of(rng.normal(size=(300, 4)))
    start = rng.normal(size=(300, 2)).astype(np.float32)
    found = descend(graph, start, epochs=10, a=1.58, b=0.9, fixed=200)
    assert np.array_equal(found[:200], start[:200]) and (found[200:] != start[200:]).any(axis=1).all()


def umap_learn(x, near, start):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from umap.umap_ import fuzzy_simplicial_set, simplicial_set_embedding

        n, random = len(x), np.random.RandomState(0)
        own = np.arange(n, dtype=np.int32)[:, None]
        graph = fuzzy_simplicial_set(
            x,
            15,
            random,
            "euclidean",
            knn_indices=np.concatenate([own, near.indices], axis=1),
            knn_dists=np.concatenate([np.zeros((n, 1), np.float32), near.distances], axis=1),
        )[0]
        a, b = curve(1.0, 0.1)
        return simplicial_set_embedding(
            x, graph, 2, 1.0, a, b, 1.0, 5, 300, start.copy(), random, "euclidean", {}, False, {}, False, parallel=False
        )[0]


def blobs(shared_data):
    rng = np.random.default_rng(0)
    return (rng.normal(size=(8, 20)) * 4)[np.arange(1500) % 8] + rng.normal(size=(1500, 20))


def roll(shared_data):
    return make_swiss_roll(1500, noise=0.3, random_state=0)[0]


def galaxies(shared_data):
    """Real galaxies as their own pixels."""
    pictures = sorted((shared_data / "gz2" / "images").glob("*.jpg"))[:1200]
    x = np.stack([np.asarray(Image.open(p).convert("RGB").resize((16, 16)), np.float32).ravel() for p in pictures])
    x -= x.mean(axis=0)
    _, _, axes = np.linalg.svd(x, full_matrices=False)
    return x @ axes[:40].T


@pytest.mark.parametrize("data", [blobs, roll, galaxies])
def test_trustworthy_as_umap_learn(data, shared_data):
    x = data(shared_data).astype(np.float32)
    graph, near = graph_of(x)
    _, _, axes = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    start = (x - x.mean(axis=0)) @ axes[:2].T
    start = (10 * (start - start.min(axis=0)) / np.ptp(start, axis=0)).astype(np.float32)
    mine = descend(graph, start, epochs=300, a=curve(1.0, 0.1)[0], b=curve(1.0, 0.1)[1])
    theirs = umap_learn(x, near, start)
    for k in (5, 15):
        ours, other = trustworthiness(x, mine, n_neighbors=k), trustworthiness(x, theirs, n_neighbors=k)
        assert ours > other - 0.01, (ours, other)
