"""Probes: each against a slow twin, and on points whose answer is known."""

from itertools import permutations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from engine import UserError
from engine.learning import probes


def points(apart: float, *, n: int = 400, d: int = 6, classes: int = 2, seed: int = 0):
    """Gaussian points of equal classes, whose centres are `apart` along axes of their own."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % classes
    return rng.normal(size=(n, d)) + apart * np.eye(classes, d)[truth], truth


def test_separate_classes_are_read_off_and_equal_ones_are_not():
    apart = probes.classify(*points(12.0, classes=3))
    assert apart.accuracy == 1 and apart.auc == 1 and apart.classes.tolist() == [0, 1, 2]
    alike = probes.classify(*points(0.0))
    assert abs(alike.auc - 0.5) < 0.1 and abs(alike.accuracy - 0.5) < 0.1
    assert alike.probability.sum(axis=1) == pytest.approx(np.ones(400))


def test_probe_equals_scikit_learns_nested_search():
    features, truth = points(1.0, n=300)
    slow, areas = np.zeros(len(truth)), []
    search = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        {"logisticregression__C": list(probes.INVERSE_PENALTIES)},
        scoring="neg_log_loss",
        cv=StratifiedKFold(probes.INNER_FOLDS, shuffle=True, random_state=0),
    )
    for train, test in StratifiedKFold(5, shuffle=True, random_state=0).split(features, truth):
        slow[test] = search.fit(features[train], truth[train]).predict_proba(features[test])[:, 1]
        areas.append(roc_auc_score(truth[test], slow[test]))
    found = probes.classify(features, truth)
    assert found.probability[:, 1] == pytest.approx(slow, abs=1e-3)
    assert found.auc == pytest.approx(np.mean(areas), abs=1e-3)


def test_nothing_is_learned_from_the_test_split():
    """As many features as objects: what leaks would be found at once."""
    rng = np.random.default_rng(1)
    found = probes.classify(rng.normal(size=(120, 120)), np.arange(120) % 2)
    assert found.auc < 0.65 and np.all(found.inverse_penalty == min(probes.INVERSE_PENALTIES))


def test_standardising_is_learned_from_the_training_split():
    rng = np.random.default_rng(2)
    train, test = rng.normal(3, 5, size=(50, 4)), rng.normal(-1, 2, size=(20, 4))
    train[:, 3] = 7.0
    known, unseen = probes.standardised(train, test)
    assert known[:, :3].mean(axis=0) == pytest.approx(np.zeros(3), abs=1e-12)
    assert known[:, :3].std(axis=0) == pytest.approx(np.ones(3))
    assert unseen[:, 0] == pytest.approx((test[:, 0] - train[:, 0].mean()) / train[:, 0].std())
    assert not known[:, 3].any() and not unseen[:, 3].any()


def test_units_do_not_matter():
    features, truth = points(1.0)
    scaled = probes.classify(features * np.array([1e-4, 1, 1, 1, 1, 1e5]), truth)
    assert scaled.auc == pytest.approx(probes.classify(features, truth).auc, abs=1e-6)


@pytest.mark.parametrize("ties", [False, True])
def test_area_is_that_of_scikit_learn(ties):
    rng = np.random.default_rng(3)
    truth = rng.integers(3, size=200)
    probability = rng.random((200, 3)) + np.eye(3)[truth]
    probability = np.round(probability, 1) if ties else probability
    probability /= probability.sum(axis=1, keepdims=True)
    assert probes.area(probability, truth) == pytest.approx(roc_auc_score(truth, probability, multi_class="ovr"))
    pair = probability[:, :2]
    assert probes.area(pair, (truth == 1).astype(int)) == pytest.approx(roc_auc_score(truth == 1, pair[:, 1]))


def test_bootstrap_error_is_that_of_a_share():
    found = probes.classify(*points(1.0, n=600))
    assert found.accuracy_error == pytest.approx(np.sqrt(found.accuracy * (1 - found.accuracy) / 600), rel=0.25)
    assert 0 < found.auc_error < 0.05
    assert np.isnan(probes.classify(*points(1.0), bootstraps=0).auc_error)


def test_regression_explains_what_there_is_to_explain():
    rng = np.random.default_rng(4)
    features = rng.normal(size=(1500, 8))
    values = 3 * features[:, 0] - 4 * features[:, 5] + 2.5 * rng.normal(size=1500) + 100
    found = probes.regress(features, values)
    assert found.r2 == pytest.approx(25 / (25 + 6.25), abs=3 * found.r2_error + 0.02)
    assert found.nmad == pytest.approx(2.5, rel=0.1) and abs(found.bias) < 0.3 and found.outliers < 0.01
    nothing = probes.regress(rng.normal(size=(300, 100)), rng.normal(size=300))
    assert -0.3 < nothing.r2 < 0.1


def test_residuals_of_redshifts_are_shares_of_one_plus_z():
    rng = np.random.default_rng(5)
    features = rng.normal(size=(800, 3))
    redshift = 1.5 + 0.3 * features[:, 0]
    redshift[:40] += 2.0  # catastrophic
    found = probes.regress(features, redshift, redshift=True)
    residual = (found.predicted - redshift) / (1 + redshift)
    assert found.bias == pytest.approx(np.median(residual))
    assert found.nmad == pytest.approx(1.4826 * np.median(np.abs(residual - np.median(residual))))
    assert found.outliers == pytest.approx(0.05, abs=0.005)


def test_more_labels_do_better_and_every_class_is_labelled():
    features, truth = points(1.2, n=900, d=30)
    truth = np.where(np.arange(900) < 8, 2, truth)  # a rare third class
    found = probes.label_efficiency(features, truth, labels=(25, 100, 400, 5000), draws=4)
    assert found.labels.tolist() == [25, 100, 400] and found.accuracy.shape == found.auc.shape == (3, 4)
    assert np.isfinite(found.auc).all()
    assert np.all(np.diff(found.accuracy.mean(axis=1)) > 0)


def test_drawn_labels_are_a_split():
    codes = np.array([0] * 50 + [1] * 50 + [2] * 2)
    for seed in range(20):
        train, test = probes._drawn(codes, 5, np.random.default_rng(seed))
        assert len(train) == 5 and sorted([*train, *test]) == list(range(102)) and set(codes[train]) == {0, 1, 2}


def test_neighbours_vote_as_a_loop_votes():
    features, truth = points(1.5, n=150, classes=3)
    features = features.astype(np.float32)
    right = [[], [], []]
    for row in range(len(truth)):
        distance = np.linalg.norm(features - features[row], axis=1)
        distance[row] = np.inf
        votes = np.bincount(truth[np.argsort(distance)[:15]], minlength=3) / np.bincount(truth)
        right[truth[row]].append(votes.argmax() == truth[row])
    assert probes.neighbour_accuracy(features, truth) == pytest.approx(np.mean([np.mean(r) for r in right]))


def test_a_rare_class_can_win_a_vote():
    features, _ = points(0.0, n=500)
    truth = np.arange(500) < 20
    features[truth, 0] += 4
    assert probes.neighbour_accuracy(features, truth) > 0.9
    assert abs(probes.neighbour_accuracy(points(0.0, n=500)[0], truth) - 0.5) < 0.2


def test_clusters_are_matched_as_trying_all_matchings_does():
    rng = np.random.default_rng(6)
    truth = rng.integers(3, size=90)
    clusters = np.where(rng.random(90) < 0.6, (truth + 1) % 3, rng.integers(3, size=90))
    best = max(
        np.mean([(clusters[truth == k] == order[k]).mean() for k in range(3)]) for order in permutations(range(3))
    )
    assert probes.cluster_accuracy(clusters, truth) == pytest.approx(best)


def test_separate_classes_are_clusters():
    features, truth = points(15.0, classes=4)
    assert probes.cluster_accuracy(probes.clustered(features, 4), truth) == 1
    assert (
        probes.davies_bouldin(*points(15.0)) < probes.davies_bouldin(*points(3.0)) < probes.davies_bouldin(*points(0.3))
    )


def test_what_cannot_be_probed_is_refused():
    features, truth = points(1.0, n=40)
    with pytest.raises(UserError, match="one class"):
        probes.classify(features, np.zeros(40))
    with pytest.raises(UserError, match="has 2 objects"):
        probes.classify(features, np.arange(40) < 2)
    with pytest.raises(UserError, match="cannot be regressed on"):
        probes.regress(features, np.ones(40))
    with pytest.raises(UserError, match="leave none to test on"):
        probes.label_efficiency(features, truth, labels=(200,))
