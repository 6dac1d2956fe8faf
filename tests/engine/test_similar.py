"""Likeness: the formula written out object by object, what may be found, and what must not come back."""

import numpy as np
import pytest

from engine.errors import UserError
from engine.search.likeness.space import PRIOR_OBJECTS, UNLIKE_SHARE, query_weights
from engine.search.similar import find_similar, similar


def by_hand(features, like, unlike=()):
    """The formula, one object after another, in float64."""
    x = np.asarray(features, np.float64)

    def score(rows):
        t = x[rows].mean(axis=0)
        deviations = ((x[rows] - t) ** 2).sum(axis=0)
        w = 1 / ((deviations + PRIOR_OBJECTS) / (len(rows) - 1 + PRIOR_OBJECTS))
        w /= w.sum()
        return np.array([sum(w * t * o) / (np.sqrt(sum(w * t * t)) * np.sqrt(sum(w * o * o))) for o in x])

    found = score(np.asarray(like))
    return found - UNLIKE_SHARE * score(np.asarray(unlike)) if len(unlike) else found


@pytest.fixture
def survey(make_survey):
    vectors = np.random.default_rng(2).normal(size=(300, 6))
    return make_survey(300, vectors=vectors, columns={"snr": np.arange(300.0)})


@pytest.mark.parametrize(("like", "unlike"), [([7], []), ([1, 5, 9, 20], []), ([3], [4]), ([1, 5, 9], [20, 30])])
def test_scores_and_order_equal_the_formula(survey, like, unlike):
    rows, score = similar(survey, like, unlike=unlike, top=500)
    expected = by_hand(survey.representation().components(), like, unlike)
    others = np.setdiff1d(np.arange(300), [*like, *unlike])
    assert np.array_equal(rows, others[np.lexsort((others, -expected[others]))])
    assert np.allclose(score, expected[rows], atol=1e-12)


def test_one_query_is_the_cosine_of_whole_vectors_about_their_mean(survey):
    v = np.asarray(survey.representation().vectors, np.float64)
    v = v - v.mean(axis=0)
    cosine = v @ v[7] / np.linalg.norm(v, axis=1) / np.linalg.norm(v[7])
    rows, score = similar(survey, [7], top=20, features="vectors")
    assert np.array_equal(rows, np.argsort(-cosine, kind="stable")[1:21])
    assert np.allclose(score, cosine[rows], atol=1e-9)
    assert (survey.representation().folder / "lengths.npy").exists()


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
    assert (lower <= 1.5).all()
    everything, _ = similar(survey, [26], top=1000)
    assert sorted(everything) == sorted(set(np.flatnonzero(valid)) - {26})
    assert len(similar(survey, [26], top=0)[0]) == 0
    found = survey.similar(["o26"], unlike=["o51"], top=3)
    assert list(found.columns) == ["id", "score", "ra", "dec"] and len(found) == 3


def test_filters_are_those_of_the_whole_list_filtered(survey):
    whole, _ = similar(survey, [7], top=300)
    survey.labels.add(np.arange(250), "dwarf", "no", ids=[f"o{k}" for k in range(250)], user="me")
    for options, kept in (
        ({"within": np.arange(50, 80)}, (whole >= 50) & (whole < 80)),
        ({"query": "snr >= 200"}, whole >= 200),
        ({"unlabelled": "dwarf"}, whole >= 250),
        ({"unlabelled": "dwarf", "query": "snr < 280", "within": np.arange(240, 300)}, (whole >= 250) & (whole < 280)),
    ):
        assert similar(survey, [7], top=300, **options)[0].tolist() == whole[kept].tolist()
    assert len(similar(survey, [7], within=[])[0]) == 0
    with pytest.raises(UserError, match="column"):
        similar(survey, [7], query="nothing > 3")
    with pytest.raises(UserError, match="not in this survey"):
        similar(survey, [7], within=[300])


def test_a_place_is_its_nearest_object_and_says_how_far(survey):
    ra, dec = (survey.column(name)[20] for name in ("ra", "dec"))
    found = find_similar(survey, near=(ra, dec + 2 / 3600), top=5)
    assert found.rows.tolist() == similar(survey, [20], top=5)[0].tolist()
    assert found.query.like.tolist() == [20] and "o20, 2.00 arcsec" in found.notes[0]
    assert "2.00 arcsec" in survey.similar(near=(ra, dec + 2 / 3600)).attrs["notes"][0]
    with pytest.raises(UserError, match="within 60 arcsec"):
        find_similar(survey, near=(200, 60))
    with pytest.raises(UserError, match="no place on the sky"):
        find_similar(survey, near=(20, 95))


def test_what_lies_close_together_comes_once(make_survey):
    rng = np.random.default_rng(3)
    n = 60
    ra = 150 + np.repeat(np.arange(n // 3), 3) * 0.1 + np.tile([0, 1, 2], n // 3) / 3600
    survey = make_survey(n, vectors=rng.normal(size=(n, 4)), columns={"ra": ra, "dec": np.full(n, 2.0)})
    whole, _ = similar(survey, [0], top=n)
    slow, places = [], [ra[0]]
    for row in whole:  # one object after another, against every one kept
        if all(abs(ra[row] - place) * np.cos(np.radians(2)) * 3600 > 5 for place in places):
            slow.append(int(row))
            places.append(ra[row])
    for top in (3, 10, n):
        rows, score = similar(survey, [0], top=top, min_separation=5)
        assert rows.tolist() == slow[:top] and (np.diff(score) <= 0).all()
    assert len(slow) == n // 3 - 1
    with pytest.raises(UserError, match="no separation"):
        similar(survey, [0], min_separation=-1)


def test_refusals(make_survey):
    survey = make_survey(5, vectors=np.eye(5), valid=[True, True, True, True, False])
    with pytest.raises(UserError, match="could be read"):
        similar(survey, [4])
    with pytest.raises(UserError, match="at least one"):
        similar(survey, [])
    with pytest.raises(UserError, match="not in this survey"):
        similar(survey, [5])
    with pytest.raises(UserError, match="reckoned by"):
        similar(survey, [1], features="colours")


def test_objects_all_alike_have_no_score(make_survey):
    survey = make_survey(4, vectors=np.ones((4, 3)))
    for features in ("components", "vectors"):
        rows, score = similar(survey, [0], features=features)
        assert rows.tolist() == [1, 2, 3] and (score == 0).all()


def test_a_representation_that_is_made_again_is_opened_again(survey):
    first = survey.spaces.of()
    assert survey.spaces.of() is first and survey.spaces.of("given") is first
    (first.representation.folder / "meta.json").write_text('{"encoder": "given", "again": true}')
    assert survey.spaces.of() is not first
