"""A byte a number: no object that is among the best is lost, and what is kept is little."""

import numpy as np
import pytest

from engine.search.likeness import coarse, scan, space
from engine.search.similar import similar


def unit(x, mean):
    moved = np.asarray(x, np.float64) - mean
    length = np.linalg.norm(moved, axis=1, keepdims=True)
    return np.divide(moved, length, out=np.zeros_like(moved), where=length > 0)


@pytest.fixture(params=[np.float32, np.float16])
def vectors(request):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(4000, 6)) @ rng.normal(size=(6, 96)) + 0.3 * rng.normal(size=(4000, 96)) + 2
    x[7] = x[900]
    x[50, 3] = 60  # one number far above its fellows: the others are kept badly, and the bound says so
    return x.astype(request.param)


def test_what_is_lost_is_known(vectors):
    mean = vectors.mean(axis=0, dtype=np.float64)
    made = coarse.make(vectors, mean)
    lost = np.linalg.norm(unit(vectors, mean) - made.scale[:, None].astype(float) * made.codes, axis=1)
    assert np.all(made.lost >= lost) and np.allclose(made.lost, lost, rtol=1e-4, atol=1e-9)
    assert np.median(lost) < 0.01 and np.abs(made.codes).max() == coarse.FULL


@pytest.mark.parametrize("top", [1, 25, 300, 5000])
def test_none_of_the_best_is_missing(vectors, top):
    rng = np.random.default_rng(top)
    mean = vectors.mean(axis=0, dtype=np.float64)
    made, allowed = coarse.make(vectors, mean), rng.random(4000) < 0.7
    for query in (unit(vectors[7:8], mean)[0], 3 * rng.normal(size=96), rng.normal(size=96) * 1e-3):
        score = np.where(allowed, unit(vectors, mean) @ query, -np.inf)
        best = np.lexsort((np.arange(4000), -score))[: min(top, int(allowed.sum()))]
        rows = made.candidates(query, allowed, top)
        assert set(best.tolist()) <= set(rows.tolist()) and allowed[rows].all()


def test_what_is_left_is_little(vectors):
    mean = vectors.mean(axis=0, dtype=np.float64)
    rows = coarse.make(vectors, mean).candidates(unit(vectors[7:8], mean)[0], np.ones(4000, bool), 5)
    assert len(rows) < 400


def test_objects_at_the_mean_have_no_direction():
    x = np.ones((600, 8), np.float32)
    made = coarse.make(x, np.ones(8))
    assert not made.codes.any() and not made.scale.any() and not made.lost.any()
    assert len(made.candidates(np.ones(8), np.ones(600, bool), 3)) == 600


@pytest.mark.parametrize("unlike", [[], [5, 9]])
def test_a_search_is_the_same_with_it_and_without(make_survey, vectors, monkeypatch, unlike):
    survey = make_survey(4000, vectors=vectors, valid=np.arange(4000) % 50 != 13)
    plain = similar(survey, [7], unlike=unlike, top=40, features="vectors")
    assert not (survey.representation().folder / "coarse.npy").exists()
    monkeypatch.setattr(space, "COARSE_FROM", 100)
    monkeypatch.setattr(scan, "FEW", 0.5)
    for _ in range(2):  # made, then read from the disk
        survey.spaces.__init__(survey)
        found = similar(survey, [7], unlike=unlike, top=40, features="vectors")
        assert np.array_equal(found[0], plain[0]) and np.allclose(found[1], plain[1], rtol=1e-6)
    assert (survey.representation().folder / "coarse.npy").exists()
