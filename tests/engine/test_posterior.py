"""The posterior equals scikit-learn's, however the labels came: at once, in parts, one by one, or taken back."""

import threading

import numpy as np
import pytest
import torch
from scipy.optimize import check_grad
from sklearn.gaussian_process import GaussianProcessRegressor

from engine.errors import UserError
from engine.learning import field, kernels, passes, room
from engine.learning.kernels import FAMILIES, Kernel
from engine.learning.posterior import Posterior
from engine.learning.room import CHUNK, FULL, MOST_LABELS, Storage, most_labels, storage

N, D = 700, 12
random = np.random.default_rng(5)
FEATURES = random.normal(size=(N, D)).astype(np.float32)
FEATURES[7] *= 40  # an outlier, as artefacts are
ROWS = random.choice(N, 201, replace=False)
RESPONSES = (FEATURES[ROWS, 0] + 0.5 * random.normal(size=len(ROWS)) > 0.6).astype(float)


@pytest.fixture(params=list(FAMILIES))
def kernel(request):
    return Kernel(request.param, variance=0.4, length=3.0, noise=0.03, shape=1.7)


@pytest.fixture(params=[1 << 30, 150])
def block(request, monkeypatch):
    """One block of objects, or many and a short one at the end."""
    monkeypatch.setattr(field, "WIDTH", 256)
    monkeypatch.setattr(field, "PIECE", request.param)


def scikit_learn(kernel, rows, responses, mean):
    model = GaussianProcessRegressor(kernel.scikit_learn(), optimizer=None, alpha=0)
    model.fit(FEATURES[rows].astype(float), responses - mean)
    expected, sd = model.predict(FEATURES.astype(float), return_std=True)
    return expected + mean, sd


def agree(model, rows, responses, *, atol=1e-5):
    mean, sd = scikit_learn(model.kernel, rows, responses, model.prior_mean)
    np.testing.assert_allclose(model.mean, mean, atol=atol)
    np.testing.assert_allclose(model.sd, sd, atol=atol)


@pytest.mark.parametrize("mean", [0.0, 0.2])
def test_it_equals_scikit_learn(kernel, block, mean):
    model = Posterior(FEATURES, kernel, mean=mean)
    model.extend(ROWS, RESPONSES)
    agree(model, ROWS, RESPONSES)


def test_labels_may_come_in_any_parts(kernel, block):
    model, at = Posterior(FEATURES, kernel), 0
    for size in (1, 1, 0, 61, 2, 1, 128, 1, 5, 1):
        model.extend(ROWS[at : at + size], RESPONSES[at : at + size])
        at += size
    for row, response in zip(ROWS[at:], RESPONSES[at:]):
        model.append(row, response)
    assert len(model) == len(ROWS) and len(model._field._chunks) == -(-len(ROWS) // CHUNK)
    agree(model, ROWS, RESPONSES)


def test_with_as_little_noise_as_is_allowed(kernel):
    quiet = Kernel(kernel.family, variance=0.4, length=6.0, noise=0.4 * kernels.NOISE_FLOOR)
    model = Posterior(FEATURES, quiet)
    for row, response in zip(ROWS, RESPONSES):
        model.append(row, response)
    agree(model, ROWS, RESPONSES, atol=1e-4)


def test_popping_returns_to_where_it_was(kernel):
    model = Posterior(FEATURES, kernel)
    model.extend(ROWS[:50], RESPONSES[:50])
    mean, sd = model.mean, model.sd
    for row, response in zip(ROWS[50:], RESPONSES[50:]):
        model.append(row, response)
    model.pop(len(ROWS) - 50)
    np.testing.assert_allclose(model.mean, mean, atol=1e-12)
    np.testing.assert_allclose(model.sd, sd, atol=1e-12)
    model.extend(ROWS[60:90], RESPONSES[60:90])
    kept = np.r_[ROWS[:50], ROWS[60:90]]
    agree(model, kept, np.r_[RESPONSES[:50], RESPONSES[60:90]])
    model.pop(1000)
    assert len(model) == 0 and not model._field._chunks
    np.testing.assert_allclose(model.mean, 0, atol=1e-6)
    np.testing.assert_allclose(model.sd, np.sqrt(kernel.variance + kernel.noise), atol=1e-6)


def test_it_does_not_drift_over_thousands_of_labels_and_undos():
    model = Posterior(FEATURES, Kernel("matern", variance=0.4, length=3.0, noise=0.01))
    model.extend(ROWS[:30], RESPONSES[:30])
    for _ in range(400):
        for row in ROWS[30:36]:
            model.append(row, 1.0)
        model.pop(6)
    agree(model, ROWS[:30], RESPONSES[:30])


def test_changing_a_response_equals_having_said_it_at_first(kernel, block):
    model = Posterior(FEATURES, kernel)
    model.extend(ROWS, RESPONSES)
    changed = RESPONSES.copy()
    changed[[3, 70, -1]] = 0.6
    model.revise(changed)
    agree(model, ROWS, changed)
    model.append(0 if 0 not in ROWS else 1, 1.0)
    model.pop()
    agree(model, ROWS, changed)


def test_a_part_of_it_thinks_ahead_as_the_whole_would(kernel):
    model = Posterior(FEATURES, kernel)
    model.extend(ROWS[:100], RESPONSES[:100])
    part = np.setdiff1d(np.arange(200, 320), ROWS)
    small, kept = model.restricted(part)
    before = model.mean
    np.testing.assert_array_equal(kept[: len(part)], part)
    small.append(5, 1.0)
    model_after = Posterior(FEATURES, kernel)
    model_after.extend(ROWS[:100], RESPONSES[:100])
    model_after.append(part[5], 1.0)
    np.testing.assert_allclose(small.mean, model_after.mean[kept], atol=1e-5)
    np.testing.assert_allclose(small.sd, model_after.sd[kept], atol=1e-5)
    np.testing.assert_array_equal(model.mean, before)
    small.pop(3)
    assert len(model) == 100


def test_the_same_object_twice_is_two_measurements(kernel):
    model = Posterior(FEATURES, kernel)
    for response in (1.0, 0.0, 1.0):
        model.append(4, response)
    agree(model, np.array([4, 4, 4]), np.array([1.0, 0.0, 1.0]))


def test_without_labels_it_is_the_prior(kernel):
    model = Posterior(FEATURES, kernel, mean=0.1)
    model.pop()
    model.extend([], [])
    assert (model.mean == 0.1).all() and np.allclose(model.sd, np.sqrt(0.43))


def test_features_are_shared_not_copied():
    shared = torch.from_numpy(FEATURES)
    assert Posterior(shared, Kernel("rbf", 1, 1, 0.1)).features.data_ptr() == shared.data_ptr()


def test_kernels_equal_scikit_learns(kernel):
    a, b = FEATURES[:30].astype(float), FEATURES[20:60].astype(float)
    np.testing.assert_allclose(kernel.between(a, b), kernel.scikit_learn()(a, b), rtol=1e-12)
    with pytest.raises(UserError, match="rational-quadratic, matern, rbf"):
        Kernel("tea", 1, 1, 1)


@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("responses", [[1], [1, 1, 1], [0, 0, 0], [0, 1], [1, 0, 0, 0, 0, 0, 0, 0], [0.2, 0.2, 1, 0]])
def test_few_labels_give_hyper_parameters_near_the_prior(family, responses):
    fitted = kernels.fit(FEATURES[: len(responses)], np.array(responses, float), family=family)
    start = kernels.prior(family, D)
    for name in ("variance", "length", "noise"):
        assert 1 / 4 < getattr(fitted, name) / getattr(start, name) < 4, name
    if len(set(responses)) == 1:
        assert fitted == start


def test_many_labels_overrule_the_prior():
    true = Kernel("rbf", variance=0.2, length=5.0, noise=0.004)
    x = random.normal(size=(350, 3)) * 4
    factor = np.linalg.cholesky(true.between(x, x) + true.noise * np.eye(len(x)))
    fitted = kernels.fit(x, factor @ random.normal(size=len(x)), family="rbf")
    assert fitted.length == pytest.approx(5.0, rel=0.25)
    assert fitted.noise == pytest.approx(0.004, rel=0.3)


def test_fitting_climbs_along_the_true_gradient(monkeypatch):
    seen = {}
    monkeypatch.setattr(
        kernels,
        "minimize",
        lambda loss, start, **more: seen.update(loss=loss, start=start) or type("Found", (), {"x": start}),
    )
    kernels.fit(FEATURES[ROWS[:40]], RESPONSES[:40])
    for step in (0.0, 0.4):
        theta = seen["start"] + step
        assert check_grad(lambda t: seen["loss"](t)[0], lambda t: seen["loss"](t)[1], theta) < 1e-3


def test_hyper_parameters_of_many_labels_are_fitted_on_some_of_them(monkeypatch):
    monkeypatch.setattr(kernels, "LABELS_TO_FIT", 40)
    fitted = kernels.fit(FEATURES[ROWS], RESPONSES)
    assert fitted.noise >= kernels.NOISE_FLOOR * fitted.variance


def noisy_twin(kernel, rows, responses, noise, mean=0.0):
    """Everything at once in float64: K + diag(noise), solved as the textbook has it."""
    x, everything = FEATURES[rows].astype(float), FEATURES.astype(float)
    across = kernel.between(everything, x)
    solved = np.linalg.solve(kernel.between(x, x) + np.diag(noise), np.column_stack([across.T, responses - mean]))
    latent = kernel.variance - np.einsum("nm,mn->n", across, solved[:, : len(everything)])
    return across @ solved[:, len(everything) :].squeeze() + mean, np.sqrt(latent + kernel.noise)


def test_each_label_has_a_noise_of_its_own(kernel, block):
    rows, responses = ROWS[:70], RESPONSES[:70].copy()
    noise = np.exp(np.random.default_rng(2).uniform(np.log(0.003), np.log(3), 70))
    model = Posterior(FEATURES, kernel, mean=0.1)
    model.extend(rows[:40], responses[:40], noise[:40])
    model.append(rows[40], responses[40], noise[40])
    model.extend(ROWS[100:105], RESPONSES[100:105], 0.5)
    model.pop(5)
    model.extend(rows[41:], responses[41:], noise[41:])
    responses[[0, 50]] = 0.3
    model.revise(responses)
    mean, sd = noisy_twin(kernel, rows, responses, noise, 0.1)
    np.testing.assert_allclose(model.mean, mean, atol=1e-4)
    np.testing.assert_allclose(model.sd, sd, atol=1e-4)
    np.testing.assert_allclose(model.latent_sd**2 + kernel.noise, sd**2, atol=1e-4)
    np.testing.assert_array_equal(model.noise, noise)
    with pytest.raises(ValueError, match="above zero"):
        model.append(3, 1.0, 0.0)


def test_several_outputs_are_as_many_posteriors(kernel, block):
    """Appended, taken back, revised and restricted: each column as if it were alone."""
    rows, responses = ROWS[:80], np.random.default_rng(3).normal(size=(80, 3))
    together = Posterior(FEATURES, kernel, mean=np.array([0.0, 0.2, -1.0]), outputs=3)
    together.extend(rows[:50], responses[:50])
    together.append(rows[50], responses[50], 0.7)
    together.extend(rows[60:70], responses[60:70])
    together.pop(10)
    changed = responses[:51] + 0.1
    together.revise(changed)
    small, kept = together.restricted(np.arange(20))
    assert together.mean.shape == (N, 3) and together.responses.shape == (51, 3)
    for column, mean in enumerate([0.0, 0.2, -1.0]):
        alone = Posterior(FEATURES, kernel, mean=mean)
        alone.extend(rows[:50], changed[:50, column])
        alone.append(rows[50], changed[50, column], 0.7)
        np.testing.assert_allclose(together.mean[:, column], alone.mean, atol=1e-5)
        np.testing.assert_allclose(together.sd, alone.sd, atol=1e-5)
        np.testing.assert_allclose(small.mean[:, column], alone.mean[kept], atol=1e-5)
    with pytest.raises(ValueError, match=r"should be \(1, 3\)"):
        together.append(5, 1.0)


def scattered(model, rows, responses):
    """Labels in, out, revised and in again, one by one and together."""
    model.extend(rows[:20], responses[:20] + 1)
    for row, response in zip(rows[20:60], responses[20:60]):
        model.append(row, response)
    model.pop(25)
    model.revise(responses[:35])
    model.extend(rows[35:], responses[35:])
    return model


@pytest.mark.parametrize("kept", [0, CHUNK, 4 * CHUNK])
def test_lines_that_do_not_fit_are_computed_again(kernel, block, kept):
    """Whatever is kept of V, the posterior is the same; only the time differs."""
    model = scattered(Posterior(FEATURES, kernel, keep=Storage("float32", kept)), ROWS[:90], RESPONSES[:90])
    assert model._field.lines == min(kept, 90) == CHUNK * len(model._field._chunks)
    agree(model, ROWS[:90], RESPONSES[:90], atol=5e-5)
    small, which = model.restricted(np.arange(30))
    small.append(3, 1.0)
    model.append(3, 1.0)
    np.testing.assert_allclose(small.mean, model.mean[which], atol=1e-4)
    model.pop(91)
    np.testing.assert_allclose(model.mean, 0, atol=1e-5)


@pytest.mark.parametrize("kept", [CHUNK, 200])
def test_half_the_memory_costs_little_precision(kernel, block, kept):
    model = scattered(Posterior(FEATURES, kernel, keep=Storage("int16", kept)), ROWS[:90], RESPONSES[:90])
    whole = scattered(Posterior(FEATURES, kernel, keep=Storage("float32", 200)), ROWS[:90], RESPONSES[:90])
    np.testing.assert_allclose(model.mean, whole.mean, atol=1e-3)
    np.testing.assert_allclose(model.sd**2, whole.sd**2, atol=5e-4 * kernel.variance)
    rows = np.argsort(-model.mean)[:50]
    for said, slow in zip(model.exactly(rows), scikit_learn(kernel, ROWS[:90], RESPONSES[:90], 0.0)):
        np.testing.assert_allclose(said, slow[rows], atol=1e-6)
    if kept == 200:
        assert 2 * sum(c.nbytes for c in model._field._chunks) == sum(c.nbytes for c in whole._field._chunks)
        mean, sd = model.mean, model.sd
        model.append(11, 1.0)
        model.pop()
        np.testing.assert_allclose(model.mean, mean, atol=1e-13)
        np.testing.assert_allclose(model.sd, sd, atol=1e-13)


@pytest.mark.parametrize("kind", ["float32", "int16"])
def test_one_label_at_a_time_equals_all_together(kernel, kind):
    """The fused pass and the product of blocks are each other's twins, over several blocks and strips."""
    features = np.random.default_rng(0).normal(size=(9000, 5)).astype(np.float32)
    one, all_, many = (Posterior(features, kernel, outputs=2, keep=Storage(kind, 64)) for _ in range(3))
    responses = np.random.default_rng(1).normal(size=(40, 2))
    for row in range(40):
        one.append(100 * row, responses[row])
    all_.extend(100 * np.arange(40), responses)
    many.extend(100 * np.arange(40), responses, patient=True)
    bound = 1e-4 if kind == "float32" else 3e-3  # responses of unit variance, features that are close together
    np.testing.assert_allclose(one.mean, all_.mean, atol=bound)
    np.testing.assert_allclose(one.sd, all_.sd, atol=bound)
    np.testing.assert_array_equal(many.mean, all_.mean)


def test_memory_is_bounded_and_known():
    cpu = torch.device("cpu")
    for n in (0, 1, 1000, 10**5, 10**6, 10**7, 10**9):
        kept = storage(n, cpu)
        share = kept.lines * kept.bytes * n
        assert kept.lines >= CHUNK and (share <= room.MEMORY_SHARE * room.memory(cpu) or kept.lines == CHUNK)
        assert (kept.kind == "float32") == (4 * FULL * max(n, 1) <= room.MEMORY_SHARE * room.memory(cpu))
        assert CHUNK <= most_labels(n, cpu, outputs=3) <= most_labels(n, cpu) <= MOST_LABELS
    model = Posterior(FEATURES, Kernel("rbf", 1, 3, 0.1), keep=Storage("int16", CHUNK))
    empty = model.nbytes
    model.extend(ROWS, RESPONSES)
    assert model.nbytes - empty - model._factor.nbytes == 2 * CHUNK * model._field._width


def test_thousands_of_labels(kernel):
    rows = np.random.default_rng(9).integers(0, N, 2000)
    model = Posterior(FEATURES, kernel, keep=Storage("float32", 1600))
    model.extend(rows[:-2], (FEATURES[rows[:-2], 0] > 0) * 1.0)
    model.append(rows[-2], 1.0)
    model.append(rows[-1], 0.0)
    agree(model, rows, model.responses, atol=1e-4)


def test_a_pass_in_the_background_lets_others_go_first():
    order, started, go_on = [], threading.Event(), threading.Event()

    def slowly(part):
        order.append(f"background {part}")
        started.set()
        if part == 0:
            assert go_on.wait(20)

    def at_once(part):
        order.append("now")
        go_on.set()
        while not order.count("background 0"):
            pass

    worker = threading.Thread(target=passes.patiently, args=(slowly, range(3)))
    worker.start()
    assert started.wait(20)
    passes.now(at_once, [0])
    worker.join(20)
    assert order == ["background 0", "now", "background 1", "background 2"]


def test_what_goes_wrong_in_a_pass_is_raised():
    def broken(part):
        raise ZeroDivisionError

    for run in (passes.now, passes.here, passes.patiently):
        with pytest.raises(ZeroDivisionError):
            run(broken, range(9))


@pytest.mark.parametrize("family", list(FAMILIES))
def test_awkward_features_and_labels_give_numbers(family):
    """Constant features, duplicates, and the same vector said to be both."""
    features = np.zeros((300, 4), np.float32)
    features[:100] = 1.5
    features[100] = 1e6
    model = Posterior(features, Kernel(family, 0.25, 1.0, kernels.NOISE_FLOOR * 0.25))
    for row in range(60):
        model.append(row, float(row % 2))
    model.extend([0, 0, 0, 100, 100, 250], [1, 0, 1, 1, 0, 1])
    model.revise(1 - model.responses)
    model.pop(3)
    assert np.isfinite(model.mean).all() and np.isfinite(model.sd).all() and (model.latent_sd >= 0).all()
    np.testing.assert_allclose(model.mean[:100], np.delete(model.responses, -1)[:62].mean(), atol=0.02)


def test_every_part_of_a_pass_is_done_once():
    for run in (passes.now, passes.here, passes.patiently):
        for count in (1, 2, 37):
            done = []
            run(done.append, range(count))
            assert sorted(done) == list(range(count))
