"""Levels and pictures: known inputs, and properties a picture must have."""

from itertools import pairwise

import numpy as np
import pytest

from engine.data.stretch import Calibration, Stretch, calibrate, three_channels, to_rgb


def gaussian(rng, n=40, bands=2, size=32, core=200.0):
    """Cutouts of sky N(10, 2²) in band 0 and N(-1, 0.5²) in band 1, with a bright core."""
    sky, noise = np.array([10.0, -1.0])[:bands, None, None], np.array([2.0, 0.5])[:bands, None, None]
    cutouts = sky + noise * rng.normal(size=(n, bands, size, size))
    cutouts[:, :, 14:18, 14:18] += core
    return list(cutouts.astype(np.float32))


def test_calibration_of_a_known_gaussian():
    found = calibrate(gaussian(np.random.default_rng(0)))
    np.testing.assert_allclose(found.background, [10, -1], atol=0.1)
    np.testing.assert_allclose(found.noise, [2, 0.5], rtol=0.05)
    np.testing.assert_allclose(found.bright, [200, 200], rtol=0.05)


def test_missing_pixels_and_cutouts_do_not_move_the_levels():
    cutouts = gaussian(np.random.default_rng(0))
    whole = calibrate(cutouts)
    cutouts[0][:] = np.nan
    cutouts[1][0] = np.nan
    for cutout in cutouts:
        cutout[:, :3] = np.nan
    found = calibrate(cutouts)
    np.testing.assert_allclose(found.background, whole.background, atol=0.1)
    np.testing.assert_allclose(found.noise, whole.noise, rtol=0.05)


@pytest.mark.parametrize("value", [0.0, -3.0, np.nan])
def test_constant_or_missing_images_give_usable_levels(value):
    found = calibrate([np.full((1, 16, 16), value, np.float32)])
    assert np.isfinite(found.background).all() and (found.noise > 0).all() and (found.bright > 0).all()
    assert to_rgb(np.full((1, 1, 4, 4), value, np.float32), found, science=True).shape == (1, 4, 4, 3)


def test_levels_survive_the_header():
    levels = calibrate(gaussian(np.random.default_rng(0)))
    again = Calibration.of(levels.header(), 2)
    for key in ("background", "noise", "bright"):
        np.testing.assert_allclose(getattr(again, key), getattr(levels, key), rtol=1e-7)


def slow_channels(pixels):
    count = pixels.shape[0]
    groups = {1: [[0], [0], [0]], 2: [[0], [0, 1], [1]], 3: [[0], [1], [2]]}.get(count)
    if groups is None:
        edges = [int(np.round(k * count / 3)) for k in range(4)]
        groups = [list(range(a, b)) for a, b in pairwise(edges)]
    out = np.full((3, *pixels.shape[1:]), np.nan)
    for y in range(pixels.shape[1]):
        for x in range(pixels.shape[2]):
            means = []
            for group in groups:
                known = [pixels[b, y, x] for b in group if np.isfinite(pixels[b, y, x])]
                means.append(sum(known) / len(known) if known else None)
            there = [m for m in means if m is not None]
            for c, mean in enumerate(means):
                out[c, y, x] = mean if mean is not None else sum(there) / len(there) if there else np.nan
    return out


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5, 7])
def test_channels_equal_the_means_written_out(bands):
    rng = np.random.default_rng(bands)
    pixels = rng.normal(size=(2, bands, 5, 4)).astype(np.float32)
    pixels[rng.random(pixels.shape) < 0.3] = np.nan
    np.testing.assert_allclose(three_channels(pixels), np.stack([slow_channels(p) for p in pixels]), atol=1e-6)


ONE = Calibration(np.array([5.0]), np.array([1.0]), np.array([100.0]))
THREE = Calibration(np.zeros(3), np.ones(3), np.full(3, 100.0))


def test_brighter_flux_never_gives_a_darker_pixel():
    flux = np.linspace(0, 400, 512, dtype=np.float32).reshape(1, 1, 1, 512)
    shown = to_rgb(flux, ONE, science=True)[0, 0, :, 0].astype(int)
    assert (np.diff(shown) >= 0).all() and shown[0] == 0 and shown[-1] == 255


def test_the_bright_level_is_white_and_the_sky_is_black():
    flux = np.array([5, 105], np.float32).reshape(1, 1, 1, 2)
    assert to_rgb(flux, ONE, science=True)[0, 0, :, 0].tolist() == [0, 255]


COLOURED = np.array([50, 100, 200], np.float32).reshape(1, 3, 1, 1)  # the last band is the reddest


def test_the_reddest_band_is_red_and_ratios_are_kept():
    red, green, blue = to_rgb(0.05 * COLOURED, THREE, science=True)[0, 0, 0].astype(float)
    noise = 1 / 100
    assert red > green > blue
    expected = np.array([0.05, 0.025]) + noise
    np.testing.assert_allclose([green / red, blue / red], expected / (0.1 + noise), atol=0.01)


def test_a_core_whitens_and_never_darkens():
    flux = COLOURED * np.linspace(0, 20, 400, dtype=np.float32).reshape(1, 1, 1, 400)
    picture = to_rgb(flux, THREE, science=True)[0, 0].astype(float)
    assert (np.diff(picture.mean(axis=1)) >= -0.5).all() and (picture[-1] == 255).all()
    assert (np.diff(picture, axis=1) <= 0).all(), "the hue turns over"


def test_light_below_the_noise_is_grey_and_above_it_coloured():
    faint = np.array([0, 0, 0.5], np.float32).reshape(1, 3, 1, 1)  # noise sd is 1
    grey = to_rgb(faint, THREE, science=True, stretch=Stretch(gain=20))[0, 0, 0].astype(float)
    coloured = to_rgb(20 * faint, THREE, science=True)[0, 0, 0].astype(float)
    assert grey.min() > 0.6 * grey.max() and coloured.min() < 0.1 * coloured.max()


def test_missing_pixels_look_like_sky():
    flux = np.full((1, 3, 2, 2), 100, np.float32)
    flux[0, :, 0, 0] = np.nan
    picture = to_rgb(flux, THREE, science=True)
    assert picture[0, 0, 0].tolist() == [0, 0, 0] and picture[0, 1, 1].min() > 200


def test_pictures_are_shown_as_they_are():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5)).astype(np.float32)
    shown = to_rgb(pixels, Calibration.of({}, 3), science=False)
    np.testing.assert_array_equal(shown, np.moveaxis(pixels, 1, -1).astype(np.uint8))
    inverted = to_rgb(pixels, Calibration.of({}, 3), science=False, stretch=Stretch(invert=True))
    assert inverted.shape == shown.shape
