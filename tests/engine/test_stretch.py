"""Levels and pictures: known inputs, and properties a picture must have."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from engine.data.pictures.stretch import Calibration, Stretch, calibrate, cutout_limits, three_channels, to_rgb
from engine.errors import UserError


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


# -- as it was: the arithmetic of the default picture, written out in NumPy ---------------------------------------------


def default_picture(pixels, calibration, science):
    """The default picture, step by step; stored thumbnails and foreign encoders rest on its bits."""
    white = calibration.bright if science else np.full(pixels.shape[1], 255.0)
    black = calibration.background if science else np.zeros(pixels.shape[1])
    black, white = (np.asarray(v, np.float32)[None, :, None, None] for v in (black, white))
    with np.errstate(over="ignore", invalid="ignore"):
        level = (np.asarray(pixels, np.float32) - black) / white
    level = np.where(np.isfinite(pixels), np.clip(level, -1e6, 1e6), np.float32(np.nan))
    channels = np.nan_to_num(slow_three(level), nan=0.0)
    if not science:
        return np.moveaxis((np.clip(channels, 0, 1) * 255 + 0.5).astype(np.uint8), 1, -1)
    channels = channels[:, ::-1]
    noise = np.maximum(calibration.noise / calibration.bright, 1e-6)
    softening, fading = 3.0 * float(np.median(noise)), float(noise.max())
    intensity = np.maximum(channels.mean(axis=1, keepdims=True), 0.0)
    shown = np.minimum(np.arcsinh(intensity / softening) / np.arcsinh(1 / softening), 1.0)
    picture = np.maximum(shown * (channels + fading) / (intensity + fading), 0.0)
    picture /= np.maximum(picture.max(axis=1, keepdims=True), 1.0)
    mean = picture.mean(axis=1, keepdims=True)
    lifted = np.clip((shown - mean) / np.maximum(1.0 - mean, 1e-6), 0.0, 1.0)
    picture = np.clip(picture + lifted * (1.0 - picture), 0, 1)
    return np.moveaxis((picture * 255 + 0.5).astype(np.uint8), 1, -1)


def slow_three(level):
    def mean(part):
        known = np.isfinite(part)
        total, count = np.where(known, part, 0).sum(1), known.sum(1)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)

    count = level.shape[1]
    edges = np.linspace(0, count, 4).round().astype(int)
    folded = {
        1: lambda: np.repeat(level, 3, axis=1),
        2: lambda: np.stack([level[:, 0], mean(level), level[:, 1]], 1),
        3: lambda: level,
    }.get(count, lambda: np.stack([mean(level[:, a:b]) for a, b in pairwise(edges)], 1))()
    return np.where(np.isfinite(folded), folded, mean(folded)[:, None])


def sky_and_blob(bands, count=9, side=24, holes=False, science=True):
    rng = np.random.default_rng(bands + 10 * holes)
    y, x = np.mgrid[:side, :side] - side / 2
    pixels = rng.uniform(5, 500, (count, bands, 1, 1)) * np.exp(-(x**2 + y**2) / 40) + rng.normal(
        10, 2, (count, bands, side, side)
    )
    pixels = pixels.astype(np.float32) if science else rng.integers(0, 256, pixels.shape).astype(np.float32)
    if holes:
        pixels[rng.random(pixels.shape) < 0.1] = np.nan
        pixels[0], pixels[1, 0], pixels[2], pixels[3] = np.nan, np.nan, 1e38, -np.inf
    levels = rng.uniform(5, 15, bands), rng.uniform(1, 3, bands), rng.uniform(100, 300, bands)
    return pixels, Calibration(*levels)


@pytest.mark.parametrize("science", [True, False])
@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("bands", [1, 2, 3, 4, 7, 13])
def test_the_default_picture_is_the_same_to_the_last_bit(bands, holes, science):
    pixels, levels = sky_and_blob(bands, holes=holes, science=science)
    expected = default_picture(pixels, levels, science)
    np.testing.assert_array_equal(to_rgb(pixels, levels, science=science), expected)
    np.testing.assert_array_equal(to_rgb(torch.from_numpy(pixels), levels, science=science).numpy(), expected)
    for kept in (pixels.astype(">f4"), pixels.astype(np.float64), np.asfortranarray(pixels)):
        np.testing.assert_array_equal(to_rgb(kept, levels, science=science), default_picture(kept, levels, science))


def test_blocks_are_one_picture(monkeypatch):
    pixels, levels = sky_and_blob(4, holes=True)
    for text in ("", "limits=zscale", "smooth=1,bin=2"):
        stretch = Stretch.from_text(text)
        whole = to_rgb(pixels, levels, science=True, stretch=stretch)
        monkeypatch.setattr("engine.data.pictures.stretch.BLOCK", 1)
        np.testing.assert_array_equal(to_rgb(pixels, levels, science=True, stretch=stretch), whole)
        monkeypatch.undo()


def test_no_cutout_is_no_picture():
    assert to_rgb(np.zeros((0, 3, 5, 5), np.float32), THREE, science=True).shape == (0, 5, 5, 3)


# -- settings ----------------------------------------------------------------------------------------------------------


CURVES = {
    "asinh": lambda x, b: np.arcsinh(x / b) / np.arcsinh(1 / b),
    "log": lambda x, b: np.log1p(x / b) / np.log1p(1 / b),
    "sqrt": lambda x, b: np.sqrt(x),
    "linear": lambda x, b: x,
}


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize(
    "settings", [{}, {"softness": 1.0, "gain": 0.7}, {"black": -2.0, "white": 1.5}, {"black": 4.0}]
)
def test_a_grey_level_is_the_curves_formula(curve, settings):
    stretch = Stretch(curve=curve, **settings)
    flux = np.linspace(0, 250, 300, dtype=np.float32).reshape(1, 1, 1, 300)
    noise, black = 1 / 100, stretch.black / 100
    span = stretch.white - black
    level = np.maximum(((flux[0, 0, 0].astype(float) - 5) / 100 - black) / span, 0)
    expected = 255 * np.clip(stretch.gain * CURVES[curve](level, stretch.softness * noise / span), 0, 1)
    shown = to_rgb(flux, ONE, science=True, stretch=stretch)[0, 0, :, 0]
    np.testing.assert_allclose(shown, expected, atol=0.51)


def test_lupton_is_astropys():
    from astropy.visualization import make_lupton_rgb

    rng = np.random.default_rng(3)
    pixels = rng.gamma(0.5, 0.3, (1, 3, 40, 40)).astype(np.float32) - np.float32(0.05)
    q, linear = 8.0, 0.5
    plain = Calibration(np.zeros(3), np.full(3, 0.01), np.ones(3))
    softening = linear / q
    gain = 0.1 / np.arcsinh(0.1 * q) * np.arcsinh(1 / softening)
    stretch = Stretch(colour="lupton", softness=softening / 0.01, gain=gain, rgb=("r", "g", "b"))
    ours = to_rgb(pixels, plain, science=True, stretch=stretch, bands=("r", "g", "b"))[0].astype(int)
    theirs = make_lupton_rgb(*pixels[0].astype(float), minimum=0, stretch=linear, Q=q).astype(int)
    assert np.abs(ours - theirs).max() <= 1  # theirs is cut off, ours rounded


NAMES = ("g", "r", "i", "z")


def test_bands_are_chosen_and_weighed():
    pixels, levels = sky_and_blob(4)
    picked = to_rgb(pixels, levels, science=True, stretch=Stretch(rgb=("z", "g", "r")), bands=NAMES)
    order = [1, 0, 3]  # three bands are shown reddest first
    alone = Calibration(*(v[order] for v in (levels.background, levels.noise, levels.bright)))
    np.testing.assert_array_equal(picked, to_rgb(pixels[:, order], alone, science=True))
    grey = to_rgb(pixels, levels, science=True, stretch=Stretch(rgb=("i",)), bands=NAMES)
    one = Calibration(*(v[2:3] for v in (levels.background, levels.noise, levels.bright)))
    np.testing.assert_array_equal(grey, to_rgb(pixels[:, 2:3], one, science=True))
    weights = (("g", 0.5), ("z", 2.0))
    weighed = to_rgb(pixels, levels, science=True, stretch=Stretch(weights=weights), bands=NAMES)
    factor = np.array([0.5, 1, 1, 2])
    brighter = Calibration(levels.background * 0, levels.noise * factor, levels.bright)
    flux = (pixels - levels.background.astype(np.float32)[:, None, None]) * factor.astype(np.float32)[:, None, None]
    assert np.abs(weighed.astype(int) - to_rgb(flux, brighter, science=True)).max() <= 1


def test_a_chosen_band_that_is_missing_takes_the_mean_of_the_others():
    pixels, levels = sky_and_blob(4)
    pixels[:, 1] = np.nan
    picture = to_rgb(pixels, levels, science=True, stretch=Stretch(rgb=("z", "r", "g")), bands=NAMES)
    assert picture[:, 12, 12].min() > 0


@pytest.mark.parametrize("stretch", [Stretch(rgb=("q",)), Stretch(weights=(("q", 2.0),))])
def test_a_band_that_is_not_there_is_refused(stretch):
    with pytest.raises(UserError, match="g, r, i, z"):
        to_rgb(np.zeros((1, 4, 4, 4), np.float32), THREE, science=True, stretch=stretch, bands=NAMES)


@pytest.mark.parametrize("how", ["zscale", "percentile"])
def test_limits_of_the_cutout_are_shown_black_and_white(how):
    pixels, levels = sky_and_blob(1, side=48)
    stretch = Stretch(limits=how, curve="linear", percent=98.0)
    found = cutout_limits(pixels, stretch)[:, 0]
    shown = to_rgb(pixels, levels, science=True, stretch=stretch)[..., 0]
    level = (pixels[:, 0] - found[:, :1, None]) / (found[:, 1:, None] - found[:, :1, None])
    np.testing.assert_allclose(shown, 255 * np.clip(level, 0, 1), atol=0.51)
    np.testing.assert_array_equal(
        to_rgb(pixels, levels, science=True, stretch=stretch, limits=cutout_limits(pixels, stretch))[..., 0], shown
    )
    assert cutout_limits(pixels, Stretch()) is None


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan])
@pytest.mark.parametrize("how", ["zscale", "percentile"])
def test_a_constant_cutout_has_a_picture_under_its_own_limits(value, how):
    picture = to_rgb(np.full((2, 3, 6, 6), value, np.float32), THREE, science=True, stretch=Stretch(limits=how))
    assert np.ptp(picture) == 0


def test_smoothing_and_binning_mean_the_same_at_every_size():
    """A cutout drawn at half its size takes half the sigma and half the block."""
    pixels, levels = sky_and_blob(3, side=48)
    full = to_rgb(pixels, levels, science=True, stretch=Stretch(bin=4, smooth=1.5))
    halved = pixels.reshape(*pixels.shape[:2], 24, 2, 24, 2).mean((3, 5))
    half = to_rgb(halved, levels, science=True, stretch=Stretch(bin=4, smooth=1.5), scale=2.0)
    assert np.abs(full[:, ::2, ::2].astype(int) - half).mean() < 4
    np.testing.assert_array_equal(full[:, ::4, ::4], full[:, 3::4, 3::4])


def test_pictures_take_every_setting():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (2, 3, 8, 8)).astype(np.float32)
    none = Calibration.of({}, 3)
    as_it_is = to_rgb(pixels, none, science=False)

    def drawn(**settings):
        return to_rgb(pixels, none, science=False, stretch=Stretch(**settings), bands=("R", "G", "B"))

    np.testing.assert_array_equal(drawn(invert=True), 255 - as_it_is)
    np.testing.assert_array_equal(drawn(rgb=("B", "G", "R")), as_it_is[..., ::-1])
    np.testing.assert_array_equal(drawn(curve="linear"), as_it_is)
    np.testing.assert_allclose(drawn(gain=0.5), as_it_is / 2, atol=0.51)
    np.testing.assert_allclose(drawn(black=51, white=0.6), np.clip((as_it_is - 51.0) / 102, 0, 1) * 255, atol=0.51)
    np.testing.assert_allclose(drawn(softness=3.001), as_it_is, atol=1)  # no jump where the slider leaves its place
    assert drawn(softness=0.5).mean() > as_it_is.mean() > drawn(limits="survey", gain=0.9).mean()
    assert np.ptp(drawn(smooth=3.0)) < np.ptp(as_it_is)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(
    "text", ["", "limits=zscale,smooth=1.5", "curve=log,bin=2,rgb=z r g,colour=lupton", "limits=percentile"]
)
def test_an_accelerator_draws_the_same(text):
    pixels, levels = sky_and_blob(4, holes=True)
    options = {"science": True, "stretch": Stretch.from_text(text), "bands": NAMES}
    there = to_rgb(torch.from_numpy(pixels).cuda(), levels, **options)
    assert there.is_cuda
    assert np.abs(there.cpu().numpy().astype(int) - to_rgb(pixels, levels, **options)).max() <= 1
