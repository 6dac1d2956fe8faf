"""Scores of strangeness: equal to scikit-learn's where it has them, found what was planted, kept and joined."""

import json

import numpy as np
import pytest
from scipy.stats import chi2, spearmanr

from engine import files
from engine.cli import main
from engine.errors import UserError
from engine.maps.neighbours import Neighbours, exact
from engine.outliers import density, residual, scoring, spread
from engine.outliers.isolation import isolation
from engine.outliers.listing import find, strangest


def cloud(n=600, d=8, seed=0):
    """A Gaussian with other spreads along other directions, (n, d) float32."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) * np.geomspace(3, 0.3, d)).astype(np.float32)


@pytest.fixture
def planted():
    """A cloud, five objects far from it, and which they are."""
    x = cloud(400)
    rows = np.array([7, 80, 199, 300, 399])
    x[rows] += np.random.default_rng(1).choice([-1, 1], (5, 8)) * 12
    return x, rows


# -- methods -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [5, 15])
def test_local_outlier_factor_is_scikit_learns(k):
    from sklearn.neighbors import LocalOutlierFactor

    x = cloud()
    ours = density.local_outlier_factor(exact(x, k))
    theirs = -LocalOutlierFactor(n_neighbors=k).fit(x.astype(np.float64)).negative_outlier_factor_
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)


def test_mean_distance_is_that_of_all_pairs():
    x = cloud(200)
    slow = np.sort(np.linalg.norm(x[:, None].astype(float) - x[None], axis=2), axis=1)[:, 1:11].mean(axis=1)
    np.testing.assert_allclose(density.mean_distance(exact(x, 10)), slow, rtol=1e-5)


def test_duplicates_do_not_blow_up_what_lies_beside_them():
    x = cloud(300)
    x[:40] = x[0]
    score = density.local_outlier_factor(exact(x, 10))
    assert np.isfinite(score).all() and score.max() <= 1 / density.FLOOR * 10
    all_alike = density.local_outlier_factor(exact(np.ones((30, 3), np.float32), 5))
    np.testing.assert_allclose(all_alike, 1)


def test_objects_without_neighbours_have_no_density():
    graph = Neighbours(np.full((3, 2), -1, np.int32), np.full((3, 2), np.inf, np.float32))
    assert np.isnan(density.mean_distance(graph)).all() and np.isnan(density.local_outlier_factor(graph)).all()


def test_isolation_forest_is_scikit_learns_whatever_the_chunks(monkeypatch):
    from sklearn.ensemble import IsolationForest

    x = cloud()
    monkeypatch.setattr("engine.outliers.isolation.CHUNK", 97)
    ours = isolation(x, np.ones(len(x), bool), trees=50, seed=3)
    theirs = IsolationForest(n_estimators=50, max_samples=256, random_state=3).fit(x)
    np.testing.assert_allclose(ours, -theirs.score_samples(x), rtol=1e-6)


def test_mahalanobis_of_a_gaussian_is_its_own():
    rng = np.random.default_rng(2)
    mixing = rng.normal(size=(6, 6))
    x = rng.normal(size=(8000, 6)) @ mixing
    inverse = np.linalg.inv(mixing.T @ mixing)
    true = np.sqrt(np.einsum("ij,jk,ik->i", x, inverse, x))
    ours = spread.mahalanobis(x, np.ones(len(x), bool))
    np.testing.assert_allclose(np.median(ours), np.sqrt(chi2.median(6)), rtol=1e-5)
    np.testing.assert_allclose(ours, true, rtol=0.1)


def test_mahalanobis_is_not_led_astray_by_a_fifth_of_the_objects():
    """Outliers in one clump stretch an ordinary covariance until they are no outliers."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(1000, 5))
    x[:200] = rng.normal(size=(200, 5)) * 0.1 + 8
    ours = spread.mahalanobis(x, np.ones(1000, bool))
    assert ours[:200].min() > 2 * ours[200:].max()
    centred = x - x.mean(axis=0)
    classic = np.sqrt(np.einsum("ij,jk,ik->i", centred, np.linalg.inv(np.cov(x.T)), centred))
    assert classic[:200].max() < classic[200:].max()


@pytest.mark.parametrize("n, d", [(5, 20), (12, 40), (40, 40)])
def test_mahalanobis_of_few_objects_is_shrunk_and_finite(n, d):
    x = cloud(n, d)
    x[:, 0] = 4  # constant
    score = spread.mahalanobis(x, np.ones(n, bool))
    assert np.isfinite(score).all() and score.max() < 100 * np.median(score)


def test_plane_residual_is_what_the_plane_leaves(monkeypatch):
    rng = np.random.default_rng(4)
    x = (rng.normal(size=(300, 2)) @ rng.normal(size=(2, 10)) * 5 + 0.01 * rng.normal(size=(300, 10))).astype(
        np.float32
    )
    x[11, :] += 3 * np.linalg.svd(x, full_matrices=True)[2][-1].astype(np.float32)
    monkeypatch.setattr(residual, "CHUNK", 64)
    score, kept = residual.plane_residual(x, np.ones(300, bool))
    assert kept <= 2 and score.argmax() == 11
    centred = x - x.mean(axis=0, dtype=np.float64)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:kept]
    np.testing.assert_allclose(score, np.linalg.norm(centred - centred @ axes.T @ axes, axis=1), rtol=1e-3)


def test_one_dimension_has_nothing_left_out():
    score, kept = residual.plane_residual(cloud(50, 1), np.ones(50, bool))
    assert kept == 0 and np.isfinite(score).all()


# -- the survey --------------------------------------------------------------------------------------------------------


def test_all_methods_find_what_was_planted_and_the_joint_score_is_the_mean_of_their_ranks(make_survey, planted):
    x, rows = planted
    valid = np.arange(400) != 50
    survey = make_survey(400, vectors=x, valid=valid)
    made = scoring.outliers(survey)
    assert [m.method for m in made] == [*scoring.METHODS, scoring.JOINT]
    for one in made:
        score = survey.score(one.score)
        assert np.isnan(score[50]) and np.isfinite(score[valid]).all()
        if one.method not in ("lof", "reconstruction"):
            assert set(np.argsort(-np.nan_to_num(score))[:5]) == set(rows), one.method
    slow = np.mean([scoring.ranks(survey.score(m.score)) for m in made[:-1]], axis=0)
    np.testing.assert_allclose(survey.score("outlier"), slow, rtol=1e-6)
    assert set(survey.outliers(["knn"], top=5)["id"]) == {f"o{r}" for r in rows}
    assert [m.method for m in scoring.kept(survey)] == [scoring.JOINT, *scoring.METHODS]


def test_ranks_are_shares_that_are_less_strange():
    np.testing.assert_allclose(scoring.ranks(np.array([3.0, 1.0, np.nan, 1.0, 9.0])), [2 / 3, 1 / 6, np.nan, 1 / 6, 1])


def test_the_neighbours_are_those_that_are_stored(make_survey):
    from engine.maps import neighbours

    survey = make_survey(80, vectors=cloud(80))
    graph = neighbours.neighbours(survey, k=15)
    before = (survey.path / "neighbours" / "given" / "distances.npy").stat().st_mtime_ns
    scoring.outliers(survey, ["knn"])
    assert (survey.path / "neighbours" / "given" / "distances.npy").stat().st_mtime_ns == before
    np.testing.assert_allclose(survey.score("outlier_knn"), graph.distances.mean(axis=1), rtol=1e-5)


def test_few_objects_are_scored_and_too_few_are_told(make_survey):
    survey = make_survey(6, vectors=cloud(6, 3))
    scoring.outliers(survey)
    assert all(np.isfinite(survey.score(m.score)).all() for m in scoring.kept(survey))
    with pytest.raises(UserError, match="at least"):
        scoring.outliers(make_survey(4, vectors=cloud(4), name="four"))
    with pytest.raises(UserError, match="same"):
        scoring.outliers(make_survey(30, vectors=np.ones((30, 5)), name="alike"))
    with pytest.raises(UserError, match="no representation"):
        scoring.outliers(make_survey(30, name="bare"))


def test_constant_features_and_duplicates_leave_finite_scores(make_survey):
    x = cloud(60)
    x[:, 3], x[20:40] = 1, x[0]
    survey = make_survey(60, vectors=x)
    scoring.outliers(survey)
    for made in scoring.kept(survey):
        assert np.isfinite(survey.score(made.score)).all(), made.method


@pytest.mark.parametrize("options", [{"methods": ["nonsense"]}, {"methods": []}, {"neighbours": 1}])
def test_what_makes_no_sense_is_refused(make_survey, options):
    with pytest.raises(UserError):
        scoring.outliers(make_survey(20, vectors=cloud(20)), **options)


def test_scores_of_a_representation_that_changed_are_not_offered(make_survey):
    survey = make_survey(40, vectors=cloud(40))
    scoring.outliers(survey, ["knn", "isolation"])
    assert len(scoring.kept(survey)) == 3 and find(survey, "knn").settings["graph"] == "exact"
    (survey.path / scoring.FOLDER / "knn.json").write_text("{")
    assert [m.method for m in scoring.kept(survey)] == [scoring.JOINT, "isolation"]
    files.write_json(survey.path / "representations" / "given" / "meta.json", {"encoder": "another"})
    assert scoring.kept(survey) == []
    with pytest.raises(UserError, match="no outlier score"):
        strangest(survey)
    with pytest.raises(UserError, match="no outlier method"):
        find(survey, "nonsense")


def test_an_autoencoders_own_drawing_is_compared_with_the_pixels(own_survey):
    from engine.training.run import train

    train(own_survey, "vae", name="drawn", steps=2, batch=16, size=16, device="cpu")
    own_survey.embed("drawn")
    scoring.outliers(own_survey, ["reconstruction"], representation="drawn", device="cpu")
    made = find(own_survey, "reconstruction")
    assert made.settings == {"of": "pixels", "decoder": "drawn"}
    score, encoder = (
        own_survey.score(made.score),
        residual.autoencoder_of(own_survey, own_survey.representation("drawn")),
    )
    assert np.isfinite(score).mean() > 0.95
    row = int(np.nanargmax(score))
    import torch

    from engine.data.cutouts import read_batch
    from engine.data.pictures.stretch import Calibration

    pixels, _, _ = read_batch(own_survey.cutouts, np.array([row]), encoder.size)
    seen = encoder.prepare(pixels, Calibration.of(own_survey.header["pixels"], 3), True)
    with torch.no_grad():
        drawn = encoder.network.decode(encoder.network(seen)).numpy()
    assert np.sqrt(np.nanmean((drawn - seen.numpy()) ** 2)) == pytest.approx(score[row], rel=1e-4)


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_command_computes_lists_and_keeps_a_record(make_survey, planted, capsys):
    x, rows = planted
    survey = make_survey(400, vectors=x)
    assert main(["outliers", str(survey.path), "--methods", "knn", "isolation", "--top", "5", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert {o["id"] for o in said["objects"]} == {f"o{r}" for r in rows}
    assert [s["score"] for s in said["scores"]] == ["outlier_knn", "outlier_isolation", "outlier"]
    record = json.loads(next((survey.path / "runs").glob("*-outliers.json")).read_text())
    assert set(record["results"]) == {"outlier_knn", "outlier_isolation", "outlier"}
    ids = [f"o{r}" for r in rows]
    survey.labels.add(rows[:1], "odd", "no", ids=ids[:1], user="me")
    assert main(["outliers", str(survey.path), "--kept", "--target", "odd", "--by", "knn", "--top", "4"]) == 0
    told = capsys.readouterr().out
    assert ids[0] not in told.split() and "reweighted" in told
    assert main(["outliers", str(survey.path), "--kept", "--by", "lof"]) == 2


def test_a_score_orders_queries_and_rises_with_strangeness(make_survey, planted):
    x, rows = planted
    survey = make_survey(400, vectors=x)
    scoring.outliers(survey, ["mahalanobis", "knn"])
    from engine.search.find import find as search

    assert set(rows) <= set(search(survey, "outlier > 0.95").rows.tolist())
    assert spearmanr(survey.score("outlier_knn"), survey.score("outlier_mahalanobis")).statistic > 0.5
