"""Neighbours: those of a full table of distances, computed once."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from engine import files
from engine.errors import UserError
from engine.maps import neighbours as module
from engine.maps.neighbours import Neighbours, _without_self, approximate, exact, neighbours


def slow(features, k):
    """Nearest neighbours by the whole table of distances in float64."""
    x = np.asarray(features, np.float64)
    distance = np.sqrt(((x[:, None] - x[None]) ** 2).sum(axis=2))
    np.fill_diagonal(distance, np.inf)
    order = np.argsort(distance, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(distance, order, axis=1)


@pytest.mark.parametrize("n, k, d", [(1500, 15, 8), (1000, 5, 40), (40, 39, 3), (333, 1, 2), (2, 1, 2)])
def test_equal_the_table_of_distances(n, k, d):
    features = np.random.default_rng(n).normal(size=(n, d)).astype(np.float32)
    found = exact(features, k)
    order, distance = slow(features, k)
    assert np.array_equal(found.indices, order)
    assert np.allclose(found.distances, distance, rtol=1e-5)
    assert found.indices.dtype == np.int32 and found.distances.dtype == np.float32


def test_groups_and_blocks_change_nothing(monkeypatch):
    features = np.random.default_rng(1).normal(size=(700, 6)).astype(np.float32)
    order, _ = slow(features, 4)
    monkeypatch.setattr(module, "GROUP", 3)
    monkeypatch.setattr(module, "BLOCK", {"cpu": 2000})
    steps = []
    graph = Neighbours(np.empty((700, 4), np.int32), np.empty((700, 4), np.float32))
    module._by_groups(features, 4, graph, torch.device("cpu"), lambda *step: steps.append(step))
    assert np.array_equal(graph.indices, order)
    assert steps[-1] == (700, 700, "neighbours") and len(steps) > 10


def test_near_duplicates_keep_their_digits():
    """Far from the others, the product form alone would say that these are at distance zero, or NaN."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(400, 10)).astype(np.float32) * 100
    features[200:] = features[:200] + rng.normal(size=(200, 10)).astype(np.float32) * 1e-3
    found = exact(features, 1)
    order, distance = slow(features, 1)
    assert np.array_equal(found.indices, order) and np.allclose(found.distances, distance, rtol=1e-4)


def test_equal_objects_come_in_order_of_their_rows():
    found = exact(np.zeros((5, 3), np.float32), 3)
    assert found.indices.tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2], [0, 1, 2]]
    assert (found.distances == 0).all()


def test_an_object_is_not_its_own_neighbour_wherever_it_stands():
    found = np.array([[0, 1, 2], [2, 0, 1], [1, 0, -1]])
    distance = np.array([[0, 1, 2.0], [0.5, 1, 0], [0.5, 2, 0]])
    near = _without_self(found, distance, 2)
    assert near.indices.tolist() == [[1, 2], [2, 0], [1, 0]]
    assert near.distances.tolist() == [[1, 2], [0.5, 1], [0.5, 2]]
    assert _without_self(found[:, :2], distance[:, :2], 2).indices.tolist() == [[1, -1], [2, 0], [1, 0]]


@pytest.mark.slow  # pynndescent compiles for half a minute
def test_approximate_finds_nearly_all():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(1500, 3)) @ rng.normal(size=(3, 20)) + rng.normal(size=(1500, 20)) * 0.1
    features = features.astype(np.float32)
    found, (order, _) = approximate(features, 10), slow(features, 10)
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.indices, order)])
    assert recall > 0.95
    assert (found.indices != np.arange(1500)[:, None]).all()
    assert (np.diff(found.distances, axis=1) >= 0).all()
    assert np.array_equal(found.indices, approximate(features, 10).indices)


def test_of_a_survey_invalid_rows_are_nobodys_neighbour(make_survey):
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(60, 6)).astype(np.float32) + 5
    valid = np.arange(60) % 7 > 0
    survey = make_survey(60, vectors=vectors, valid=valid)
    found = neighbours(survey, k=4)
    rows = np.flatnonzero(valid)
    coordinates = PCA(6, svd_solver="full").fit_transform(vectors[valid].astype(np.float64))
    order, distance = slow(coordinates / np.sqrt(coordinates.std(axis=0)), 4)
    assert np.array_equal(found.indices[valid], rows[order])
    assert np.allclose(found.distances[valid], distance, rtol=1e-4)
    assert (found.indices[~valid] == -1).all() and np.isinf(found.distances[~valid]).all()


def test_computed_once(make_survey, monkeypatch):
    rng = np.random.default_rng(3)
    survey = make_survey(50, vectors=rng.normal(size=(50, 6)))
    wide = neighbours(survey, k=8)
    runs = []
    monkeypatch.setattr(module, "_nearest", lambda *a, keep=module._nearest: runs.append(1) or keep(*a))
    narrow = neighbours(survey, k=3)
    assert not runs and narrow.k == 3
    assert np.array_equal(narrow.indices, wide.indices[:, :3])
    assert neighbours(survey, k=12).k == 12 and len(runs) == 1
    vectors = survey.representation().folder / "vectors.npy"
    files.write_npy(vectors, rng.normal(size=(50, 6)).astype(np.float32))
    assert not np.array_equal(neighbours(survey, k=3).indices, narrow.indices) and len(runs) == 2


@pytest.mark.parametrize("n", [1, 2, 3])
def test_tiny_surveys(make_survey, n):
    found = neighbours(make_survey(n, vectors=np.eye(n)), k=5)
    assert found.indices.shape == (n, 5)
    assert ((found.indices >= 0).sum(axis=1) == n - 1).all() and np.isinf(found.distances[:, n - 1 :]).all()


def test_refusals(make_survey):
    with pytest.raises(UserError, match="at least 1"):
        neighbours(make_survey(3, vectors=np.eye(3)), k=0)
    with pytest.raises(UserError, match="embed"):
        neighbours(make_survey(3, name="bare"))
