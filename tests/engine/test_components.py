"""Principal components: scikit-learn's, streamed."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from engine.maps import components
from engine.maps.components import balanced_coordinates, principal_axes, principal_coordinates, standard_components


@pytest.fixture
def vectors():
    rng = np.random.default_rng(0)
    return (rng.normal(size=(400, 12)) * np.linspace(3, 0.2, 12) @ rng.normal(size=(12, 12)) + 50).astype(np.float32)


def test_equal_scikit_learn_up_to_sign(vectors):
    valid = np.ones(400, bool)
    valid[::11] = False
    oracle = PCA(5, svd_solver="full").fit(vectors[valid].astype(np.float64))
    expected = oracle.transform(vectors[valid].astype(np.float64))
    found = principal_coordinates(vectors, valid, 5)
    assert (found[~valid] == 0).all()
    signs = np.sign((found[valid] * expected).sum(axis=0))
    assert np.allclose(found[valid] * signs, expected, atol=1e-3)
    axes = principal_axes(vectors, valid, 5)
    assert np.allclose(axes.variance, oracle.explained_variance_ * (valid.sum() - 1) / valid.sum(), rtol=1e-5)
    assert (axes.directions[np.abs(axes.directions).argmax(axis=0), range(5)] > 0).all()


def test_standard_components_are_standard_and_uncorrelated(vectors):
    found = standard_components(vectors, np.ones(400, bool), 40)
    assert found.shape == (400, 12)
    assert np.allclose(found.mean(axis=0), 0, atol=1e-4)
    assert np.allclose(found.T @ found / 400, np.eye(12), atol=2e-3)


def test_balanced_coordinates_are_half_way(vectors):
    valid = np.ones(400, bool)
    plain, found, standard = (
        f(vectors, valid, 6) for f in (principal_coordinates, balanced_coordinates, standard_components)
    )
    assert np.allclose(found**2, plain * standard, rtol=1e-2, atol=1e-3)
    assert np.allclose(found.std(axis=0), np.sqrt(plain.std(axis=0)), rtol=1e-3)


def test_streaming_changes_nothing(vectors, monkeypatch):
    valid = np.arange(400) % 3 > 0
    whole = standard_components(vectors, valid, 8)
    monkeypatch.setattr(components, "CHUNK", 7)
    assert np.allclose(standard_components(vectors, valid, 8), whole, atol=1e-4)


def test_all_coordinates_keep_distances(vectors):
    found = principal_coordinates(vectors, np.ones(400, bool), 12)
    expected = np.linalg.norm(vectors[0] - vectors, axis=1)
    assert np.allclose(np.linalg.norm(found[0] - found, axis=1), expected, rtol=1e-3)


@pytest.mark.parametrize("value", [0.0, 1 / 3, 1e4])
def test_vectors_all_alike_have_nothing_to_tell(value):
    alike = np.full((20, 5), value, np.float32)
    for made in (standard_components, principal_coordinates, balanced_coordinates):
        found = made(alike, np.ones(20, bool), 3)
        assert found.shape == (20, 1) and (found == 0).all()


def test_rank_and_few_rows():
    flat = np.outer(np.arange(10), [1, 2, 3]).astype(np.float32)
    assert standard_components(flat, np.ones(10, bool), 3).shape == (10, 1)
    assert (standard_components(flat, np.zeros(10, bool), 3) == 0).all()
    one = np.zeros(10, bool)
    one[4] = True
    assert (standard_components(flat, one, 3) == 0).all()
