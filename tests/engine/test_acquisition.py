"""Acquisition functions against numerical integration, far into the tail, and batches against the slow obvious way."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from engine.errors import UserError
from engine.learning import acquisition
from engine.learning.acquisition import ACQUISITIONS, _log_improvement, choose, diverse, entropy, top
from engine.learning.kernels import Kernel
from engine.learning.posterior import Posterior


def integral(z):
    """log ∫ (t)₊ φ(t − z) dt, with φ(z) taken out so that nothing underflows: h(z) = φ(z) ∫₀^∞ t exp(z t − t²/2) dt."""
    width = 1 / max(1.0, -z)
    value, _ = quad(
        lambda t: t * np.exp(z * t - t**2 / 2),
        0,
        60 * width + max(0, 2 * z),
        epsabs=0,
        epsrel=1e-12,
        limit=400,
        points=[width, max(z, 0) + width],
    )
    return norm.logpdf(z) + np.log(value)


@pytest.mark.parametrize("z", [8, 3, 1, 0, -0.5, -0.999, -1, -1.001, -5, -12, -19.99, -20.01, -30, -38, -100, -1e3])
def test_log_expected_improvement_equals_its_integral(z):
    assert _log_improvement(np.array([float(z)]))[0] == pytest.approx(integral(float(z)), rel=1e-10, abs=1e-10)


def test_log_expected_improvement_keeps_its_order_where_float32_is_long_zero():
    z = -np.logspace(-2, 7, 4000)
    values = _log_improvement(z)
    assert np.isfinite(values).all() and (np.diff(values) < 0).all()
    assert (np.exp(values[z < -40]) == 0).all(), "and the plain one would tie here"


def test_log_expected_improvement_in_units_of_the_responses():
    mean, sd = np.array([0.2, 0.7, 1.3]), np.array([0.1, 0.5, 0.2])
    z = (mean - 1.1) / sd
    expected = (mean - 1.1) * norm.cdf(z) + sd * norm.pdf(z)
    np.testing.assert_allclose(np.exp(choose("expected-improvement")(mean, sd, best=1.0, tradeoff=0.1)), expected)


def test_the_others_are_their_formulas():
    mean, sd = np.array([0.0, 0.5, 0.9]), np.array([0.2, 0.5, 0.1])
    np.testing.assert_allclose(choose("upper-confidence")(mean, sd, best=1, weight=2.0), mean + 2 * sd)
    p = norm.sf(0.5, mean, sd)
    np.testing.assert_allclose(np.exp(choose("probability")(mean, sd, best=1)), p)
    np.testing.assert_allclose(entropy(mean, sd), -p * np.log2(p) - (1 - p) * np.log2(1 - p))
    assert entropy(np.array([0.5]), np.array([0.1]))[0] == pytest.approx(1.0)
    assert entropy(np.array([-1e3, 1e3]), np.array([0.1, 0.1])).tolist() == [0, 0]
    np.testing.assert_array_equal(choose("mean")(mean, sd, best=1), mean)


@pytest.mark.parametrize("name", ACQUISITIONS)
def test_every_acquisition_ranks_and_mutates_nothing(name):
    mean, sd = np.linspace(-1, 2, 50), np.linspace(0.01, 1, 50)
    copies = mean.copy(), sd.copy()
    scores = choose(name)(mean, sd, best=1.0)
    assert scores.shape == (50,) and scores.dtype == np.float64 and np.isfinite(scores).all()
    np.testing.assert_array_equal((mean, sd), copies)
    np.testing.assert_array_equal(scores, choose(name)(mean, sd, best=1.0))


def test_an_unknown_acquisition_is_refused_with_those_there_are():
    with pytest.raises(UserError, match="mean, expected-improvement"):
        choose("tea")


def test_top_equals_sorting_everything():
    random = np.random.default_rng(0)
    for n, count in ((1, 1), (50, 7), (50, 50), (50, 80), (50, 0)):
        scores = random.integers(0, 9, n).astype(float)  # with ties
        allowed = random.random(n) < 0.7
        expected = [i for i in sorted(range(n), key=lambda i: (-scores[i], i)) if allowed[i]][:count]
        assert top(scores, count, allowed=allowed).tolist() == expected
        assert top(scores, count).tolist() == sorted(range(n), key=lambda i: (-scores[i], i))[:count]


def test_a_diverse_batch_equals_appending_beliefs_to_the_whole_posterior(monkeypatch):
    random = np.random.default_rng(1)
    features = random.normal(size=(300, 4)).astype(np.float32)
    model = Posterior(features, Kernel("matern", variance=0.3, length=1.5, noise=0.02))
    model.extend(np.arange(12), random.random(12))
    allowed = np.arange(300) >= 12

    def score(model):
        return model.mean + 2 * model.sd

    picked = diverse(model, score, 8, allowed=allowed)
    slow, left = [], allowed.copy()
    for _ in range(8):
        slow.append(int(top(score(model), 1, allowed=left)[0]))
        model.append(slow[-1], model.mean[slow[-1]])
        left[slow[-1]] = False
    assert picked.tolist() == slow
    model.pop(8)
    plain = top(score(model), 8, allowed=allowed)
    assert picked[0] == plain[0] and picked.tolist() != plain.tolist()
    monkeypatch.setattr(acquisition, "LEAST_CANDIDATES", 20)
    monkeypatch.setattr(acquisition, "CANDIDATES", 2)
    few = diverse(model, score, 8, allowed=allowed)
    assert len(set(few.tolist())) == 8 and allowed[few].all()


def test_beliefs_leave_the_mean_alone():
    features = np.random.default_rng(2).normal(size=(100, 3)).astype(np.float32)
    model = Posterior(features, Kernel("rbf", variance=0.3, length=1.5, noise=0.02))
    model.extend([0, 1, 2], [1, 0, 0])
    mean, sd = model.mean, model.sd
    model.append(50, mean[50])
    np.testing.assert_allclose(model.mean, mean, atol=1e-6)
    assert (model.sd <= sd + 1e-9).all() and model.sd[50] < sd[50]


def test_published_trade_offs_are_those_of_ratings():
    """EI on ratings 0-5 with τ = 0.5 and 3 ranks as EI on responses r / 5 with ours."""
    random = np.random.default_rng(0)
    mean, sd = random.normal(2.5, 1, 200), random.uniform(0.2, 1.5, 200)
    for name, tradeoff in (("walmsley", 0.5), ("protege", 3.0)):
        published = (mean - 5 - tradeoff) * norm.cdf((mean - 5 - tradeoff) / sd) + sd * norm.pdf(
            (mean - 5 - tradeoff) / sd
        )
        np.testing.assert_allclose(5 * np.exp(choose(name)(mean / 5, sd / 5, best=1.0)), published, rtol=1e-7)


@pytest.mark.parametrize("noise", [0.01, 0.05])
def test_disagreement_is_what_a_verdict_tells_about_the_model(noise):
    """H(y) − E_f H(y | f) by integration; y: whether f + ε exceeds one half."""
    for mean in (-0.3, 0.2, 0.5, 0.9):
        for unknown in (0.001, 0.05, 0.3):
            f = np.linspace(mean - 8 * np.sqrt(unknown), mean + 8 * np.sqrt(unknown), 20_001)
            weight = norm.pdf(f, mean, np.sqrt(unknown)) * (f[1] - f[0])
            p = np.clip(norm.sf(0.5, f, np.sqrt(noise)), 1e-300, 1 - 1e-16)
            inside = (-(p * np.log2(p) + (1 - p) * np.log2(1 - p)) * weight).sum()
            sd = np.sqrt(unknown + noise)
            whole = entropy(np.array([mean]), np.array([sd]))[0]
            told = choose("bald")(np.array([mean]), np.array([sd]), best=1.0, noise=noise)[0]
            assert told == pytest.approx(whole - inside, abs=0.02)


def test_disagreement_differs_from_entropy_where_only_noise_is_left():
    mean = np.array([0.5, 0.5])
    sd = np.sqrt(np.array([0.02 + 1e-6, 0.02 + 0.2]))
    assert entropy(mean, sd) == pytest.approx([1, 1])
    told = choose("bald")(mean, sd, best=1.0, noise=0.02)
    assert told[0] < 0.01 and told[1] > 0.5
