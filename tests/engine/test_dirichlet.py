"""Classes: the formulas of the paper, probabilities against sampling and against the truth, and the loop with classes."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.stats import gamma, lognorm

from engine.errors import UserError
from engine.learning import dirichlet, targets
from engine.learning.dirichlet import ClassPosterior, expected_softmax
from engine.learning.interest import Interest
from engine.learning.kernels import prior
from engine.learning.targets import Target

N, D, C = 3000, 4, 3


def world(seed=0):
    """Classes that overlap: features, true probabilities, classes drawn by them."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(N, D)).astype(np.float32)
    logit = 1.5 * x @ random.normal(size=(D, C)) + np.sin(2 * x[:, :1]) * np.array([1, -1, 0.5])
    p = np.exp(logit - logit.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return x, p, np.array([random.choice(C, p=row) for row in p])


def taught(x, y, rows, *, hunted=0):
    kernels, shares = dirichlet.fit(x[rows].astype(float), y[rows], C, family="rational-quadratic")
    model = ClassPosterior(torch.from_numpy(x), kernels, shares=shares, hunted=hunted)
    model.extend(rows, y[rows])
    return model


@pytest.fixture(scope="module")
def fitted():
    x, p, y = world()
    rows = np.random.default_rng(1).choice(N, 200, replace=False)
    return taught(x, y, rows), x, p, y, rows


@pytest.mark.parametrize("concentration", [0.01, 1.01, 7])
def test_log_targets_match_the_moments_of_the_gamma_variate(concentration):
    mean, variance = dirichlet._observed(concentration)
    normal = lognorm(np.sqrt(variance), scale=np.exp(mean))
    assert normal.mean() == pytest.approx(gamma(concentration).mean()) and normal.var() == pytest.approx(
        gamma(concentration).var()
    )


def test_probabilities_equal_sampling_nearly(fitted):
    model, _, _, _, rows = fitted
    some = np.setdiff1d(np.arange(N), rows)[:400]
    drawn = model.sampled(some, draws=3000)
    p = model.probabilities()
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    assert np.abs(drawn.mean(axis=0) - p[some]).max() < 0.06
    assert np.abs(drawn.std(axis=0)[:, 0] - model.sd[some]).max() < 0.09


def test_two_classes_are_a_logistic_of_a_gaussian():
    mean, variance = np.array([[1.0], [0.0]]), np.array([[2.0], [1.0]])
    f = np.random.default_rng(0).normal(1, np.sqrt(3), 2_000_000)
    s = 1 / (1 + np.exp(-f))
    p, spread = expected_softmax(mean, variance)
    assert p[0, 0] == pytest.approx(s.mean(), abs=0.01) and spread[0, 0] == pytest.approx(s.var(), abs=0.01)
    assert p[1, 0] == pytest.approx(1 - p[0, 0]) and spread[1, 0] == pytest.approx(spread[0, 0])


def test_probabilities_are_calibrated_against_the_truth():
    """Over several worlds, of the unlabelled objects said to be of a class with p, the share p is."""
    said, true = [], []
    for seed in range(4):
        x, _, y = world(seed)
        rows = np.random.default_rng(seed).choice(N, 150, replace=False)
        rest = np.setdiff1d(np.arange(N), rows)
        said.append(taught(x, y, rows).probabilities()[rest].ravel())
        true.append(np.eye(C)[y[rest]].ravel())
    said, true = np.concatenate(said), np.concatenate(true)
    edges = np.linspace(0, 1, 6)
    for low, high in pairwise(edges):
        inside = (said >= low) & (said < high)
        assert true[inside].mean() == pytest.approx(said[inside].mean(), abs=0.12)
    baseline = -np.log(np.bincount(y, minlength=C)[y] / N).mean()
    assert -np.log(said[true == 1]).mean() < 0.8 * baseline


def test_labels_appended_taken_back_and_changed_are_labels_given_at_once(fitted):
    model, x, _, y, rows = fitted
    kernels = [p.kernel for p in model.latent]
    shares = [p.prior_mean for p in model.latent]
    step = ClassPosterior(torch.from_numpy(x), kernels, shares=np.array(shares))
    wrong = y[rows].copy()
    wrong[5] = (wrong[5] + 1) % C
    for row, code in zip(rows[:20], wrong[:20]):
        step.extend([row], [code])
    step.extend(rows[20:], wrong[20:])
    step.extend(rows[:1], [0])
    step.pop()
    step.revise(y[rows])
    assert list(step.rows) == rows.tolist() and len(step) == 200
    np.testing.assert_allclose(step.probabilities(), model.probabilities(), atol=2e-4)


def test_entropy_and_disagreement(fitted):
    model, _, _, _, rows = fitted
    some = np.setdiff1d(np.arange(N), rows)[:300]
    p = model.probabilities()[some]
    np.testing.assert_allclose(model.entropy()[some], -(p * np.log2(p)).sum(axis=1), atol=1e-4)
    drawn = model.sampled(some, draws=3000)
    inside = -(drawn * np.log2(drawn + 1e-300)).sum(axis=2).mean(axis=0)
    mean = drawn.mean(axis=0)
    exact = -(mean * np.log2(mean)).sum(axis=1) - inside
    assert np.abs(model.disagreement()[some] - exact).max() < 0.2
    assert np.corrcoef(model.disagreement()[some], exact)[0, 1] > 0.95


def test_what_is_unknown_is_as_the_shares_say():
    far = ClassPosterior(torch.zeros((5, 2)), [prior("rbf", 2)] * 3)
    np.testing.assert_allclose(far.probabilities(), 1 / 3, atol=1e-6)


@pytest.fixture
def survey(make_survey):
    random = np.random.default_rng(0)
    vectors = random.normal(size=(300, 5))
    vectors[:40] += [4, 0, 0, 0, 0]
    vectors[40:80] += [0, 4, 0, 0, 0]
    survey = make_survey(300, vectors=vectors, valid=np.arange(300) != 7)
    targets.declare(survey, Target("kind", "classes", ("spiral", "ring", "merger")))
    yield survey
    survey.labels.close()


def say(survey, rows, values):
    survey.labels.add(rows, "kind", values, ids=[f"o{row}" for row in rows], user="ann")


def test_the_loop_hunts_one_class_or_another(survey):
    hunt = Interest(survey, "kind", explore=0, hunted="ring")
    assert set(hunt.next_batch(10).how) == {"cold"}
    say(survey, [0, 1, 2, 40, 41, 42, 100, 150, 200, 250], ["ring"] * 3 + ["merger"] * 3 + ["spiral"] * 4)
    hunt.sync()
    assert hunt.needs_refit()
    hunt.refit()
    p = hunt.probabilities()
    assert p.shape == (300, 3) and np.isnan(p[7]).all() and np.nansum(p, axis=1)[:5] == pytest.approx(1)
    np.testing.assert_allclose(hunt.mean, p[:, 1], atol=1e-6)
    assert (hunt.next_rows(15) < 40).mean() > 0.8
    hunt.steer(hunted="merger")
    rows = hunt.next_rows(15)
    assert ((rows >= 40) & (rows < 80)).mean() > 0.8
    for name in ("entropy", "bald", "upper-confidence", "protege"):
        for batch in ("best", "diverse"):
            assert len(hunt.next_batch(10, acquisition=name, batch=batch, explore=0.3)) == 10
    table = hunt.suggest(3)
    assert {"p spiral", "p ring", "p merger"} <= set(table.columns)


def test_new_classes_begin_a_new_model(survey):
    say(survey, [0, 1, 40], ["ring", "ring", "spiral"])
    hunt = Interest(survey, "kind")
    assert hunt.probabilities().shape == (300, 3)
    targets.declare(survey, Target("kind", "classes", ("spiral", "ring")))
    say(survey, [100], ["spiral"])
    hunt.sync()
    assert hunt.probabilities().shape == (300, 2) and hunt.classes == ("spiral", "ring")
    with pytest.raises(UserError, match="no classes"):
        Interest(survey, "dwarf").probabilities()


@pytest.mark.parametrize("values", [["ring"], ["ring"] * 5, ["yes", "no", "3", "unsure", "teapot"]])
def test_few_or_foreign_labels_are_borne(survey, values):
    say(survey, list(range(len(values))), values)
    hunt = Interest(survey, "kind", hunted="ring")
    assert np.isfinite(hunt.mean[hunt.valid]).all() and len(hunt.next_batch(5)) == 5
