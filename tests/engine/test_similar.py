"""Likeness: the formula written out object by object, and what must not come back."""

import numpy as np
import pytest

from engine.errors import UserError
from engine.search.similar import PRIOR_OBJECTS, likeness, query_weights, similar


@pytest.fixture
def features():
    return np.random.default_rng(2).normal(size=(300, 6)).astype(np.float32)


def test_one_query_is_the_cosine(features):
    expected = [features[7] @ x / np.linalg.norm(features[7]) / np.linalg.norm(x) for x in features]
    assert np.allclose(likeness(features, np.array([7])), expected, atol=1e-6)


def test_several_queries_equal_the_formula(features):
    queries = np.array([1, 5, 9, 20])
    t = features[queries].astype(float).mean(axis=0)
    deviations = ((features[queries].astype(float) - t) ** 2).sum(axis=0)
    w = 1 / ((deviations + PRIOR_OBJECTS) / (len(queries) - 1 + PRIOR_OBJECTS))
    w /= w.sum()
    expected = [sum(w * t * x) / (np.sqrt(sum(w * t * t)) * np.sqrt(sum(w * x * x))) for x in features.astype(float)]
    assert np.allclose(likeness(features, queries), expected, atol=1e-6)


def test_components_on_which_queries_agree_count_for_more():
    chosen = np.array([[1, 5.0], [1, -5], [1.01, 0]])
    weights = query_weights(chosen)
    assert weights[0] > 5 * weights[1]
    assert weights.sum() == pytest.approx(1)
    assert np.allclose(query_weights(chosen[:1]), 0.5)


def test_many_queries_approach_the_inverse_variance():
    chosen = np.random.default_rng(0).normal(size=(20_000, 3)) * [0.5, 1, 2]
    expected = 1 / chosen.var(axis=0, ddof=1)
    assert np.allclose(query_weights(chosen), expected / expected.sum(), rtol=1e-2)


def test_chunks_change_nothing(features, monkeypatch):
    whole = likeness(features, np.array([3, 4]))
    monkeypatch.setattr("engine.search.similar.CHUNK", 7)
    assert np.allclose(likeness(features, np.array([3, 4])), whole, atol=1e-6)


def test_ranking_leaves_out_queries_and_the_unreadable(make_survey):
    rng = np.random.default_rng(1)
    centres = 4.0 * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    group = np.repeat(np.arange(4), 25)
    valid = np.ones(100, bool)
    valid[[0, 30]] = False
    survey = make_survey(100, vectors=centres[group] + rng.normal(size=(100, 3)) * 0.3, valid=valid)
    rows, score = similar(survey, [26, 27], top=20)
    assert (group[rows] == 1).all()
    assert not set(rows) & {0, 26, 27, 30}
    assert (np.diff(score) <= 0).all() and len(set(rows)) == 20
    away, lower = similar(survey, [26], unlike=[27, 51], top=98)
    assert not set(away) & {26, 27, 51, 0, 30} and len(away) == 95
    assert (group[away[:10]] != 2).all()
    assert (lower <= 2).all()
    everything, _ = similar(survey, [26], top=1000)
    assert sorted(everything) == sorted(set(np.flatnonzero(valid)) - {26})
    assert len(similar(survey, [26], top=0)[0]) == 0
    found = survey.similar(["o26"], unlike=["o51"], top=3)
    assert list(found.columns) == ["id", "score", "ra", "dec"] and len(found) == 3


def test_refusals(make_survey):
    survey = make_survey(5, vectors=np.eye(5), valid=[True, True, True, True, False])
    with pytest.raises(UserError, match="could be read"):
        similar(survey, [4])
    with pytest.raises(UserError, match="at least one"):
        similar(survey, [])
    with pytest.raises(UserError, match="not in this survey"):
        similar(survey, [5])


def test_objects_all_alike_have_no_score(make_survey):
    survey = make_survey(4, vectors=np.ones((4, 3)))
    rows, score = similar(survey, [0])
    assert len(rows) == 3 and (score == 0).all()
