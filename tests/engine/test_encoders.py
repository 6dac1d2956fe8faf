"""The registry, and what every encoder owes: finite vectors whatever the pixels, the same alone as in a batch."""

import numpy as np
import pytest

from engine.data.cutouts import resample_batch
from engine.data.stretch import Calibration
from engine.encoders import ENCODERS, load
from engine.errors import UserError


def calibration(bands: int) -> Calibration:
    return Calibration(np.zeros(bands), np.full(bands, 0.5), np.full(bands, 50.0))


def galaxies(count: int, bands: int, side: int, *, seed: int = 0) -> np.ndarray:
    """Gaussian blobs over noise, (count, bands, side, side)."""
    rng = np.random.default_rng(seed)
    axis = np.arange(side) - (side - 1) / 2
    radius = rng.uniform(1, 5, (count, 1, 1, 1))
    light = rng.exponential(20, (count, bands, 1, 1)) * np.exp(-0.5 * (axis[:, None] ** 2 + axis**2) / radius**2)
    return (light + rng.normal(0, 0.5, (count, bands, side, side))).astype(np.float32)


def encoded(encoder, pixels: np.ndarray, *, science: bool = True) -> np.ndarray:
    small = resample_batch(pixels, encoder.size)
    return encoder(encoder.prepare(small, calibration(pixels.shape[1]), science)).numpy()


def ready(name: str, bands: int, science: bool = True):
    """An encoder, fitted if it wants that."""
    encoder = load(name)
    if encoder.sample:
        encoder.fit(resample_batch(galaxies(40, bands, 40), encoder.size), calibration(bands), science)
    return encoder


def test_an_unknown_encoder_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match=r"no encoder 'resnet'.*skysieve-base, pixels"):
        load("resnet")


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5, 7, 12])
def test_any_number_of_bands_gives_finite_vectors_of_the_stated_length(name, bands):
    encoder = ready(name, bands)
    vectors = encoded(encoder, galaxies(6, bands, 50))
    assert vectors.shape == (6, encoder.dimension) and vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    assert np.ptp(vectors, axis=0).max() > 0.1


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("side", [(1, 1), (2, 2), (3, 7), (63, 65), (150, 20)])
@pytest.mark.parametrize("science", [True, False])
def test_any_size_gives_finite_vectors(name, side, science):
    encoder = ready(name, 3, science)
    pixels = galaxies(2, 3, 150)[..., : side[0], : side[1]]
    assert np.isfinite(encoded(encoder, pixels, science=science)).all()


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("science", [True, False])
def test_missing_and_absurd_pixels_give_finite_vectors(name, science):
    pixels = galaxies(9, 3, 64)
    pixels[0, 1] = np.nan
    pixels[1] = np.nan
    pixels[2, :, 20:] = np.nan
    pixels[3] = 7.0
    pixels[4] = 0.0
    pixels[5] = 3e38
    pixels[6, 0, 5, 5] = np.inf
    pixels[7, 2, 5, 5] = -np.inf
    pixels[8, :, ::2] = np.nan
    encoder = ready(name, 3, science)
    vectors = encoder(encoder.prepare(resample_batch(pixels, encoder.size), calibration(3), science)).numpy()
    assert np.isfinite(vectors).all()
    assert np.isfinite(vectors.astype(encoder.dtype)).all()


@pytest.mark.parametrize("name", ENCODERS)
def test_noise_of_zero_does_not_divide_by_zero(name):
    encoder = ready(name, 1)
    flat = Calibration(np.zeros(1), np.full(1, 1e-38), np.ones(1))
    pixels = resample_batch(galaxies(3, 1, 64), encoder.size)
    assert np.isfinite(encoder(encoder.prepare(pixels, flat, True)).numpy()).all()


@pytest.mark.parametrize("name", ENCODERS)
def test_a_batch_gives_what_its_cutouts_give_one_by_one(name):
    encoder = ready(name, 3)
    pixels = galaxies(12, 3, 64)
    together = encoded(encoder, pixels)
    alone = np.concatenate([encoded(encoder, pixels[k : k + 1]) for k in range(12)])
    assert np.abs(together - alone).max() <= 0.05 * together.std()


@pytest.mark.parametrize("name", ENCODERS)
def test_two_of_one_name_agree_to_the_bit(name):
    first, second = ready(name, 3), ready(name, 3)
    pixels = galaxies(20, 3, 64)
    assert first.identity == second.identity
    assert np.array_equal(encoded(first, pixels), encoded(second, pixels))
