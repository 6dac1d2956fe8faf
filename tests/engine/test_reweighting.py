"""Re-weighting by opinions: the formula's limits, its parts against slow twins, and artefacts that stay away."""

import numpy as np
import pytest

from engine.errors import UserError
from engine.outliers import reweighting, scoring
from engine.outliers.listing import find, strangest, weigh
from engine.outliers.reweighting import Opinions, factor, nearest_and_predicted, opinions, rescaled, reweighted


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(500, 10)).astype(np.float32)


# -- the formula -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rating", [0.0, 0.1, 1.0, 2.5, 5.0, 7.0, -3.0])
@pytest.mark.parametrize("alpha", [0.1, 1.0, 5.0])
def test_beside_a_rated_object_the_person_decides_and_far_away_the_algorithm(rating, alpha):
    rated, distance = np.full(3, rating), np.array([0.0, 1.0, 1e6])
    found = factor(rated, distance, 1.0, alpha=alpha)
    f = 0.1 + 0.85 * np.clip(rating, 0.1, 5) / 5
    assert found[0] == pytest.approx(f, rel=1e-6) and found[2] == pytest.approx(1)
    assert found[1] == pytest.approx(np.tanh(np.exp(alpha) - 1 + np.arctanh(f)), rel=1e-6)
    assert f < found[1] <= 1


def test_it_rises_with_rating_and_distance():
    ratings, distances = np.meshgrid(np.linspace(0.1, 5, 20), np.linspace(0, 2, 20), indexing="ij")
    found = factor(ratings, distances, 1.0)
    assert (np.diff(found, axis=0) > 0).all() and (np.diff(found, axis=1) > 0).all()


def test_everything_rated_is_no_division_by_zero():
    np.testing.assert_allclose(factor(np.full(4, 5.0), np.zeros(4), 0.0), 0.95, rtol=1e-6)


def test_no_opinion_leaves_the_order(features):
    score = np.random.default_rng(1).normal(size=500)
    score[3] = np.nan
    found = reweighted(score, features, Opinions(np.zeros(0, np.int64), np.zeros(0)))
    assert np.isnan(found[3])
    np.testing.assert_array_equal(np.argsort(found), np.argsort(score))
    assert np.nanmin(found) == 0 and np.nanmax(found) == 5
    np.testing.assert_allclose(rescaled(np.array([2.0, np.nan, 4.0, 3.0]), linear=True), [0, np.nan, 5, 2.5])
    np.testing.assert_allclose(rescaled(np.full(3, 7.0), linear=True), 0)


def test_distances_and_predictions_are_those_of_the_slow_way(features, monkeypatch):
    monkeypatch.setattr(reweighting, "TILE", 64)
    given = Opinions(np.array([4, 100, 333, 7]), np.array([5.0, 0.0, 3.0, 5.0]))
    distance, predicted = nearest_and_predicted(features, given)
    exact = features.astype(np.float64)
    apart = np.linalg.norm(exact[:, None] - exact[given.rows][None], axis=2)
    np.testing.assert_allclose(distance, apart.min(axis=1), rtol=1e-4, atol=1e-6)
    assert (distance[given.rows] == 0).all()
    from sklearn.gaussian_process import GaussianProcessRegressor

    kernel = reweighting.rating_kernel(10).scikit_learn()
    theirs = GaussianProcessRegressor(kernel, optimizer=None).fit(exact[given.rows], given.ratings).predict(exact)
    np.testing.assert_allclose(predicted, theirs, atol=1e-3)


@pytest.mark.parametrize("model", ["gp", "forest"])
def test_what_is_like_the_liked_stays_and_what_is_like_the_disliked_sinks(model):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(300, 6)).astype(np.float32)
    x[:20] += 6  # strange and liked
    x[20:40] -= 6  # strange and disliked
    score = np.linalg.norm(x, axis=1)
    given = Opinions(np.array([0, 1, 2, 20, 21, 22]), np.array([5.0, 5, 5, 0, 0, 0]))
    before, after = rescaled(score), reweighted(score, x, given, model=model)
    assert after[:20].min() > after[20:40].max() and before[:20].min() < before[20:40].max()
    assert (after <= before + 1e-6).all()


def test_the_forest_is_scikit_learns(features, monkeypatch):
    from sklearn.ensemble import RandomForestRegressor

    monkeypatch.setattr(reweighting, "TILE", 64)
    given = Opinions(np.arange(30), np.random.default_rng(3).integers(0, 6, 30).astype(float))
    theirs = RandomForestRegressor(200, random_state=4).fit(features[:30], given.ratings).predict(features)
    np.testing.assert_allclose(reweighting.forest(features, given, seed=4), theirs, rtol=1e-5)


def test_there_is_no_other_model(features):
    with pytest.raises(UserError, match="no model"):
        reweighted(np.arange(500.0), features, Opinions(np.array([1]), np.array([5.0])), model="magic")


# -- opinions ----------------------------------------------------------------------------------------------------------


def say(survey, row, target, value):
    survey.labels.add([row], target, value, ids=survey.ids[row : row + 1], user="me")


def test_labels_become_ratings(make_survey):
    survey = make_survey(30)
    for row, value in enumerate(("yes", "no", "unsure", "3", "ring", "artefact")):
        say(survey, row, "odd", value)
    say(survey, 9, "artefact", "yes")
    say(survey, 0, "artefact", "yes")  # called an artefact, and of interest all the same: the target's own label counts
    say(survey, 10, "artefact", "no")
    say(survey, 11, "another", "no")
    found = opinions(survey.labels, "odd")
    assert dict(zip(found.rows.tolist(), found.ratings.tolist())) == {0: 5, 1: 0, 3: 3, 4: 5, 5: 0, 9: 0}
    assert reweighting.artefacts(survey.labels, "odd").tolist() == [0, 5, 9]
    assert dict(zip(*(a.tolist() for a in vars(opinions(survey.labels, "artefact")).values()))) == {9: 5, 0: 5, 10: 0}
    assert len(found.among(np.arange(30) > 4)) == 2


def test_conflicting_and_equal_opinions_do_no_harm(features):
    features[1] = features[0]
    given = Opinions(np.array([0, 1, 2, 3]), np.array([0.0, 5.0, 5.0, 5.0]))
    assert np.isfinite(reweighted(np.arange(500.0), features, given)).all()


# -- artefacts ---------------------------------------------------------------------------------------------------------


def test_nothing_looks_like_an_artefact_before_there_is_one(features):
    assert not reweighting.like_artefacts(features, np.zeros(0, np.int64)).any()
    found = reweighting.like_artefacts(features, np.array([5]))
    assert found[5] and found.mean() < 0.05


def test_what_is_labelled_otherwise_is_never_hidden(features):
    features[:50] = features[0] + 0.01 * features[:50]
    found = reweighting.like_artefacts(features, np.arange(10), others=np.arange(10, 20))
    assert found[:10].all() and not found[10:20].any()
    valid = np.arange(500) >= 20
    valid[:12] = True
    assert reweighting.like_artefacts(features[:14], np.arange(10), valid=valid[:14])[:10].all()  # few to draw from


@pytest.fixture(scope="module")
def blemished(tmp_path_factory):
    """A simulated survey with planted blemishes, embedded and scored."""
    from engine.data.simulation.simulate import simulate

    survey = simulate(tmp_path_factory.mktemp("blemished") / "blemished.survey", 1000, seed=11, dwarf_fraction=0.02)
    survey.embed("skysieve-base", thumbnails=False)
    scoring.outliers(survey, ["isolation", "mahalanobis"])
    return survey


def test_rejected_artefacts_stay_away_and_what_is_rare_comes_up(blemished):
    survey = blemished
    truth = survey.column("truth")
    plain = survey.rows(strangest(survey, 50)["id"])
    before = np.mean(truth[plain] == "artefact")
    rejected = plain[truth[plain] == "artefact"][:15]
    survey.labels.add(rejected, "artefact", "yes", ids=survey.ids.take(rejected).to_pylist(), user="me")
    after = survey.rows(strangest(survey, 50, target="rare")["id"])
    assert before >= 0.4 and np.mean(truth[after] == "artefact") < 0.6 * before
    assert not set(rejected) & set(after)
    rare = ["dwarf", "lens", "ring", "merger"]
    assert np.isin(truth[after], rare).sum() > 1.3 * np.isin(truth[plain], rare).sum()
    weighed = weigh(survey, find(survey), "rare", hide_artefacts=True)
    assert weighed.artefacts == len(rejected) == weighed.rated and weighed.hidden[rejected].all()
    hidden = [np.mean(weighed.hidden[np.isin(truth, kinds)]) for kinds in (["artefact"], rare)]
    assert hidden[0] > 0.3 and hidden[1] < 0.05
    survey.labels.undo("me")
    assert set(survey.rows(strangest(survey, 50, target="rare")["id"])) == set(plain)
