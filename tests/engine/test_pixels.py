"""The pixels encoder: exact components, and its state."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from engine.data.pictures.stretch import Calibration
from engine.encoders import pixels as module
from engine.encoders.pixels import Pixels

CALIBRATION = Calibration(np.array([1.0, 2.0]), np.array([0.5, 0.1]), np.array([10.0, 10.0]))


def sample(count: int, *, rank: int = 5, seed: int = 0) -> np.ndarray:
    """Cutouts whose asinh-scaled pixels have a few components, so that randomised and exact SVD agree."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(count, rank)) * 2.0 ** -np.arange(rank) @ rng.normal(size=(rank, 2 * 32 * 32)) * 0.1
    noise, background = CALIBRATION.noise[:, None, None], CALIBRATION.background[:, None, None]
    return (np.sinh(signal.reshape(count, 2, 32, 32)) * noise + background).astype(np.float32)


def test_it_is_the_exact_principal_components_of_the_scaled_pixels():
    cutouts = sample(80)
    encoder = Pixels()
    encoder.fit(cutouts, CALIBRATION, True)
    vectors = encoder(encoder.prepare(cutouts, CALIBRATION, True)).numpy()
    scaled = np.arcsinh((cutouts - CALIBRATION.background[:, None, None]) / CALIBRATION.noise[:, None, None])
    exact = PCA(5, svd_solver="full").fit_transform(scaled.reshape(80, -1).astype(np.float64))
    agreement = np.abs(np.sum(exact * vectors[:, :5], axis=0)) / np.sum(exact**2, axis=0)
    assert agreement == pytest.approx(1, abs=1e-3)


def test_a_missing_pixel_is_the_sky():
    cutouts = sample(10)
    holed = cutouts.copy()
    holed[:, 1, 3:9, 4] = np.nan
    filled = cutouts.copy()
    filled[:, 1, 3:9, 4] = CALIBRATION.background[1]
    encoder = Pixels()
    assert torch.equal(encoder.prepare(holed, CALIBRATION, True), encoder.prepare(filled, CALIBRATION, True))


@pytest.mark.parametrize("cutouts", [sample(1), np.zeros((7, 2, 32, 32), np.float32), np.full((7, 2, 32, 32), np.nan)])
def test_a_sample_without_variance_still_encodes(cutouts):
    encoder = Pixels()
    encoder.fit(cutouts, CALIBRATION, True)
    vectors = encoder(encoder.prepare(sample(4), CALIBRATION, True))
    assert vectors.shape == (4, encoder.dimension) and torch.isfinite(vectors).all()


def test_many_bands_fit_on_fewer_cutouts(monkeypatch):
    monkeypatch.setattr(module, "SAMPLE_VALUES", 20 * 2048)
    encoder, small = Pixels(), Pixels()
    encoder.fit(sample(80), CALIBRATION, True)
    small.fit(sample(80)[:20], CALIBRATION, True)
    assert torch.equal(encoder.axes, small.axes)


def test_state_brings_back_the_same_encoder():
    encoder, other = Pixels(), Pixels()
    encoder.fit(sample(80), CALIBRATION, True)
    other.restore(encoder.state())
    batch = encoder.prepare(sample(9, seed=3), CALIBRATION, True)
    assert torch.equal(encoder(batch), other(batch))
