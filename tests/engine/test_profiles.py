"""Light profiles against brute force: subpixel sums, direct convolution, one source at a time."""

import numpy as np
import pytest
from scipy import signal

from engine.data.simulation import profiles
from engine.data.simulation.profiles import Ellipses

SIDE = 61


def ellipses(*, radius, ratio=0.7, angle=0.6, x=30.3, y=29.8):
    return Ellipses(*(np.atleast_1d(np.asarray(v, float)) for v in (x, y, radius, ratio, angle)))


def brute_sersic(shape: Ellipses, index: float, side: int, fine: int = 25) -> np.ndarray:
    """Average over fine × fine subpixels of every pixel, in float64."""
    axis = (np.arange(side * fine) + 0.5) / fine - 0.5
    dx, dy = axis[None] - shape.x[0], axis[:, None] - shape.y[0]
    u = (dx * np.cos(shape.angle[0]) + dy * np.sin(shape.angle[0])) / shape.radius[0]
    v = (dy * np.cos(shape.angle[0]) - dx * np.sin(shape.angle[0])) / (shape.radius[0] * shape.ratio[0])
    intensity = np.exp(-profiles.sersic_b(np.float64(index)) * np.hypot(u, v) ** (1 / index))
    return intensity.reshape(side, fine, side, fine).mean(axis=(1, 3))


@pytest.mark.parametrize("index", [0.6, 1.0, 2.5, 4.0])
@pytest.mark.parametrize("radius", [1.5, 4.0, 9.0])
def test_sersic_equals_the_average_over_subpixels(index, radius):
    shape = ellipses(radius=radius)
    ours = profiles.sersic(shape, np.array([index]), SIDE)[0]
    slow = brute_sersic(shape, index, SIDE)
    slow *= ours.sum() / slow.sum()
    # Only the sharpest peak may differ, by what 6 × 6 subpixels leave of a cusp; far below the seeing.
    assert np.abs(ours - slow).max() < 0.03 * slow.max()
    assert np.abs(ours - slow).sum() < 0.01 * slow.sum()


@pytest.mark.parametrize("index, lost", [(0.5, 1e-3), (1.0, 1e-3), (4.0, 0.07)])
def test_sersic_holds_its_flux_and_half_of_it_within_the_effective_radius(index, lost):
    side, radius = 201, 10.0
    image = profiles.sersic(ellipses(radius=radius, ratio=1, x=100, y=100), np.array([index]), side)[0].astype(float)
    assert 1 - lost < image.sum() < 1.002
    y, x = np.indices(image.shape) - 100
    assert image[np.hypot(x, y) <= radius].sum() == pytest.approx(0.5, abs=0.02)


def test_sersic_batch_equals_one_by_one_and_may_leave_the_frame():
    rng = np.random.default_rng(0)
    shape = Ellipses(
        rng.uniform(-10, 70, 9),
        rng.uniform(-10, 70, 9),
        rng.uniform(0.3, 12, 9),
        rng.uniform(0.2, 1, 9),
        rng.uniform(0, 3, 9),
    )
    index = rng.uniform(0.5, 6, 9)
    together = profiles.sersic(shape, index, SIDE)
    assert np.isfinite(together).all() and (together >= 0).all()
    for k in range(9):
        alone = profiles.sersic(shape.subset(np.array([k])), index[[k]], SIDE)[0]
        np.testing.assert_allclose(together[k], alone, rtol=1e-5, atol=1e-12)


def test_moffat_has_its_width_and_its_flux():
    fwhm = np.array([3.5, 5.0, 6.0])
    image = profiles.moffat(np.full(3, 100.0), np.full(3, 100.0), fwhm, np.full(3, 3.0), np.ones(3), np.zeros(3), 201)
    assert image.sum(axis=(1, 2)) == pytest.approx(1, abs=0.01)
    for k, width in enumerate(fwhm):
        half = np.interp(width / 2, np.arange(101), image[k, 100, 100:])
        assert half / image[k, 100, 100] == pytest.approx(0.5, abs=0.02)


def test_edge_on_integrates_to_one():
    image = profiles.edge_on(ellipses(radius=12.0, ratio=0.2, x=150, y=150), 301)[0]
    assert image.sum() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("spread", [0.4, 40.0])
def test_annulus_lies_where_it_should(spread):
    shape = ellipses(radius=15.0, ratio=1, angle=0)
    image = profiles.annulus(shape, np.array([0.1]), np.array([np.pi / 2]), np.array([spread]), SIDE)[0]
    y, x = np.indices(image.shape)
    assert image.sum() == pytest.approx(1, rel=1e-4)
    assert (image * np.hypot(x - 30.3, y - 29.8)).sum() == pytest.approx(15, abs=0.5)
    above = image[y > 30].sum()
    assert above == pytest.approx(1 if spread < 1 else 0.5, abs=0.03)


def test_arms_follow_the_logarithmic_spiral():
    shape, count, pitch, phase = ellipses(radius=12.0, ratio=0.8, angle=0.5, x=30, y=30), 2.0, 0.35, 0.4
    one = [np.array([v]) for v in (count, pitch, phase, 6.0, 0.0)]
    image = profiles.arms(shape, *one, SIDE)[0]
    assert image.sum() == pytest.approx(1, rel=1e-4)
    np.testing.assert_allclose(image, image[::-1, ::-1], atol=1e-6)  # two arms: the same after half a turn
    radius = np.linspace(0.5, 1.6, 30)
    crest = np.log(radius) / np.tan(pitch) - phase / count

    def along(theta: np.ndarray) -> float:
        u, v = 12 * radius * np.cos(theta), 12 * 0.8 * radius * np.sin(theta)
        x, y = 30 + u * np.cos(0.5) - v * np.sin(0.5), 30 + u * np.sin(0.5) + v * np.cos(0.5)
        return image[np.rint(y).astype(int), np.rint(x).astype(int)].mean()

    assert along(crest) > 10 * along(crest + np.pi / count)


def test_blobs_equal_a_loop():
    rng = np.random.default_rng(1)
    x, y = rng.uniform(5, 25, (2, 3, 4))
    width, flux = rng.uniform(0.6, 2, (3, 4)), rng.uniform(0.1, 2, (3, 4, 2))
    axis = np.arange(31)
    slow = np.zeros((3, 2, 31, 31))
    for p in range(3):
        for j in range(4):
            r2 = (axis[None] - x[p, j]) ** 2 + (axis[:, None] - y[p, j]) ** 2
            gaussian = np.exp(-0.5 * r2 / width[p, j] ** 2) / (2 * np.pi * width[p, j] ** 2)
            slow[p] += flux[p, j][:, None, None] * gaussian
    np.testing.assert_allclose(profiles.blobs(x, y, width, flux, 31), slow, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("side", [40, 41])
def test_convolution_equals_the_direct_one_away_from_the_border(side):
    rng = np.random.default_rng(2)
    light = np.zeros((2, side, side), np.float32)
    light[:, 12:-12, 12:-12] = rng.random((2, side - 24, side - 24))
    middle = np.full(2, side // 2, float)
    fwhm, beta, ratio, angle = (np.array(v) for v in ([4.0, 5.0], [3.0, 3.0], [0.9, 0.8], [0.5, 1.0]))
    kernel = profiles.moffat(middle, middle, fwhm, beta, ratio, angle, side)
    kernel[np.abs(kernel) < 1e-4] = 0
    ours = profiles.convolve(light, kernel)
    for k in range(2):
        whole = signal.convolve2d(light[k], kernel[k], mode="full")
        direct = whole[side // 2 : side // 2 + side, side // 2 : side // 2 + side]
        np.testing.assert_allclose(ours[k, 8:-8, 8:-8], direct[8:-8, 8:-8], atol=1e-4)
