"""Portraits: size, missing pixels, bands, limits; small pictures equal the thumbnails' own path."""

import io

import numpy as np
import pytest
from galaxies import BANDLESS, HOLE, SIDE, UNREADABLE, make_survey
from PIL import Image

from app import pictures
from engine.data.cutouts import read_batch
from engine.data.stretch import DEFAULT, Calibration, Stretch, to_rgb
from engine.data.thumbnails import encode


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    return make_survey(tmp_path_factory.mktemp("pictures"))


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_a_whole_cutout_is_an_opaque_picture_of_its_own_size(survey):
    found = pictures.portrait(survey, 0)
    assert (found.width, found.height, found.missing, found.problem) == (SIDE, SIDE, 0.0, "")
    image = opened(found.colour)
    assert image.format == "JPEG" and image.size == (SIDE, SIDE)
    cutout = survey.cutouts.read([0])[0]
    exact = to_rgb(cutout[None], Calibration.of(survey.header["pixels"], 3), science=True)[0]
    assert np.abs(np.asarray(image).astype(int) - exact).mean() < 6  # JPEG, on noise


def test_missing_pixels_are_transparent_and_counted(survey):
    found = pictures.portrait(survey, HOLE)
    alpha = np.asarray(opened(found.colour))[..., 3]
    np.testing.assert_array_equal(alpha == 0, ~np.isfinite(survey.cutouts.read([HOLE])[0]).any(axis=0))
    assert found.missing == pytest.approx(36 / SIDE**2)


def test_each_band_is_grey_and_a_missing_one_is_empty(survey):
    found = pictures.portrait(survey, BANDLESS)
    assert [name for name, _ in found.bands] == ["g", "r", "z"]
    assert found.bands[1][1] == b"" and found.missing == pytest.approx(1 / 3)
    grey = np.asarray(opened(found.bands[0][1])).astype(int)
    assert np.ptp(grey, axis=-1).max() <= 2


def test_unreadable_says_why(survey):
    found = pictures.portrait(survey, UNREADABLE)
    assert found.colour == b"" and "rows" in found.problem


def test_inverting_turns_the_sky_white(survey):
    plain, inverted = (
        np.asarray(opened(pictures.portrait(survey, 1, stretch=s).colour)).astype(float)
        for s in (DEFAULT, Stretch(invert=True))
    )
    np.testing.assert_allclose(plain + inverted, 255, atol=16)


def test_large_cutouts_are_averaged_down(survey, monkeypatch):
    monkeypatch.setattr(pictures, "LARGEST", 10)
    found = pictures.portrait(survey, 0)
    assert opened(found.colour).size == (10, 10) and found.width == SIDE


def test_small_pictures_equal_the_thumbnails_path(survey):
    rows = np.array([0, UNREADABLE, 2])
    found = pictures.small_pictures(survey, rows, size=32)
    pixels, _, _ = read_batch(survey.cutouts, rows, 32)
    drawn = to_rgb(pixels, Calibration.of(survey.header["pixels"], 3), science=True)
    assert found == [encode(drawn[0]), b"", encode(drawn[2])]


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"softness": 1e9, "gain": -4}, Stretch(softness=pictures.SOFTNESS[1], gain=pictures.GAIN[0])),
        ({"softness": "x", "gain": float("nan"), "invert": "yes"}, DEFAULT),
        ({"invert": True, "unknown": 1}, Stretch(invert=True)),
    ],
)
def test_settings_stay_within_their_limits(changes, expected):
    assert pictures.set_stretch(DEFAULT, changes) == expected
