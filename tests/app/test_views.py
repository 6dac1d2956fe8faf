"""The views of an object against what they are made of: every picture is `to_rgb`'s, every number the file's."""

import io

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from galaxies import BANDLESS, HOLE, SIDE, UNREADABLE, make_survey
from PIL import Image

from app.inspector import subject as subjects
from app.inspector import views
from app.inspector.subject import Subject
from app.inspector.views import Painter, View, blinked, card, louder, smoother
from engine.data.fits.files import look
from engine.data.pictures.settings import CURVES, DEFAULT, LIMITS, Stretch
from engine.data.pictures.stretch import Calibration, to_rgb
from engine.data.references import Place
from engine.survey import Survey

BANDS = ("g", "r", "z")
COLUMNS, ROWS = 14, 10  # of the fitted object


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    return make_survey(tmp_path_factory.mktemp("views"))


@pytest.fixture
def fitted(tmp_path):
    """An object with image, model and residual in one FITS file, and with a WCS; it lies at x 4, y 6.5."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:ROWS, :COLUMNS]
    model = (50 * np.exp(-((x - 4) ** 2 + (y - 6.5) ** 2) / 8)).astype("f4")
    image = model + rng.normal(size=model.shape).astype("f4")
    planes = [np.zeros_like(image), image, model, image - model]
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 34.4, "CRVAL2": -5.2, "CRPIX1": 5.0})
    header.update({"CRPIX2": 7.5, "CDELT1": -1e-4, "CDELT2": 1e-4, "BUNIT": "nJy", "FILTER": "F160W"})
    names = ("", "image", "model", "residual map")
    hdus = [fits.PrimaryHDU(planes[0]), *(fits.ImageHDU(p, header) for p in planes[1:])]
    for hdu, name in zip(hdus, names):
        hdu.header["OBJECT"] = name
    (tmp_path / "in").mkdir()
    fits.HDUList(hdus).writeto(tmp_path / "in" / "a.fits")
    found = look(Place(tmp_path / "in", ("a.fits",)))
    objects = pd.DataFrame({"id": found.ids, "ra": [34.4], "dec": [-5.2]} | found.references)
    levels = {"background": [0.5], "noise": [1.0], "bright": [50.0]}
    pixels = {"kind": "fits", "root": str(found.root), "bands": list(found.bands), "science": True}
    return Survey.create(tmp_path / "fit.survey", objects, pixels=pixels | levels), planes


def opened(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def exact(survey, row, stretch=DEFAULT):
    cutout = survey.cutouts.read([row])[0]
    calibration = Calibration.of(survey.header["pixels"], len(cutout))
    return to_rgb(cutout[None], calibration, science=True, stretch=stretch, bands=survey.bands)[0]


def drawn(subject, stretch=DEFAULT) -> dict[str, View]:
    return {view.key: view for view in Painter(subject, stretch).views()}


# -- pictures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stretch", [DEFAULT, Stretch(invert=True), Stretch(rgb=("z", "r", "g"), weights=(("g", 2.0),))]
)
def test_colour_binned_and_smoothed_are_what_the_stretch_makes(survey, stretch):
    subject = Subject(survey, 0)
    found = Painter(subject, stretch).portrait()
    assert (found.width, found.height, found.missing, found.problem) == (SIDE, SIDE, 0.0, "")
    np.testing.assert_array_equal(opened(found.colour), exact(survey, 0, stretch))
    others = drawn(subject, stretch)
    assert list(others) == ["band:g", "band:r", "band:z", "binned", "smoothed", "enhanced"]
    for key, more in (("binned", {"bin": 2}), ("smoothed", {"smooth": 1.5})):
        settings = Stretch(**{**vars(stretch), **more})
        np.testing.assert_array_equal(opened(others[key].picture), exact(survey, 0, settings))
    np.testing.assert_array_equal(opened(others["enhanced"].picture), exact(survey, 0, louder(stretch)))
    assert all(view.extent == (0, 0, SIDE, SIDE) for view in others.values())


def test_a_band_is_grey_by_its_own_levels_whatever_is_chosen_for_colour(survey):
    cutout = survey.cutouts.read([7])[0]
    levels = Calibration.of(survey.header["pixels"], 3)
    found = drawn(Subject(survey, 7), Stretch(gain=1.5, rgb=("z", "z", "g"), weights=(("r", 0.0),)))
    for b, name in enumerate(BANDS):
        own = Calibration(*(np.atleast_1d(v[b]) for v in (levels.background, levels.noise, levels.bright)))
        alone = to_rgb(cutout[None, b : b + 1], own, science=True, stretch=Stretch(gain=1.5))[0, ..., 0]
        np.testing.assert_array_equal(opened(found[f"band:{name}"].picture), alone)


def test_missing_pixels_are_transparent_and_counted(survey):
    subject = Subject(survey, HOLE)
    found = Painter(subject).portrait()
    gone = ~np.isfinite(survey.cutouts.read([HOLE])[0]).any(axis=0)
    assert found.missing == pytest.approx(36 / SIDE**2)
    for picture in (found.colour, drawn(subject)["band:r"].picture, drawn(subject)["binned"].picture):
        np.testing.assert_array_equal(opened(picture)[..., -1] == 0, gone)


def test_a_missing_band_is_empty_and_named_and_does_not_blink(survey):
    subject = Subject(survey, BANDLESS)
    listed = Painter(subject).views()
    assert Painter(subject).portrait().missing == pytest.approx(1 / 3)
    assert [view.title for view in listed if not view.picture] == ["r"]
    assert blinked(listed) == ["band:g", "band:z"]


def test_unreadable_says_why(survey):
    subject = Subject(survey, UNREADABLE)
    found = Painter(subject).portrait()
    assert found.colour == b"" and "rows" in found.problem and Painter(subject).views() == []


def test_large_cutouts_are_averaged_down_and_keep_their_geometry(survey, monkeypatch):
    monkeypatch.setattr(views, "LARGEST", 10)
    subject = Subject(survey, 0)
    found = Painter(subject).portrait()
    assert opened(found.colour).shape == (8, 8, 3) and found.width == SIDE
    blocks = survey.cutouts.read([0])[0].reshape(3, SIDE // 3, 3, SIDE // 3, 3).mean((2, 4))
    twin = to_rgb(blocks[None], Calibration.of(survey.header["pixels"], 3), science=True)[0]
    np.testing.assert_allclose(opened(found.colour).astype(int), twin, atol=1)
    assert drawn(subject)["smoothed"].extent == (0, 0, SIDE, SIDE)


@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("curve", CURVES)
def test_every_stretch_draws_every_view(fitted, survey, curve, limits):
    stretch = Stretch(curve=curve, limits=limits, bin=4, smooth=31.0, gain=100.0, softness=0.01)
    for subject in (Subject(fitted[0], 0), Subject(survey, HOLE)):
        assert all(view.picture for view in Painter(subject, stretch).views())
    assert louder(stretch).gain == 100.0 and smoother(Stretch(smooth=32.0)).smooth == 32.0


def test_what_lies_around_is_drawn_about_the_same_middle(survey, monkeypatch):
    sky = np.random.default_rng(5).normal(size=(3, 3 * SIDE, 3 * SIDE)).astype("f4")
    sky[:, :SIDE] = np.nan
    monkeypatch.setattr(survey.cutouts, "context", lambda row, factor: sky, raising=False)
    found = drawn(Subject(survey, 0))
    assert found["context"].extent == (-SIDE, -SIDE, 3 * SIDE, 3 * SIDE) == found["enhanced"].extent
    picture = opened(found["context"].picture)
    twin = to_rgb(sky[None], Calibration.of(survey.header["pixels"], 3), science=True)[0]
    np.testing.assert_array_equal(picture[..., :3][SIDE:], twin[SIDE:])
    assert (picture[:SIDE, :, 3] == 0).all()
    monkeypatch.setattr(survey.cutouts, "context", lambda row, factor: None)
    assert "context" not in drawn(Subject(survey, 0))


def test_a_residual_is_grey_where_nothing_is_left_and_turns_with_its_sign(fitted):
    survey, planes = fitted
    subject = Subject(survey, 0)
    picture = opened(drawn(subject)["residual"].picture).astype(int)
    level = Calibration.of(survey.header["pixels"], 1)
    for sign, residual in ((1, planes[3]), (-1, -planes[3])):
        assert (
            np.sign(picture - 128)[np.abs(planes[3]) > 0.2] == sign * np.sign(residual)[np.abs(residual) > 0.2]
        ).all()
    bright = to_rgb((level.background[0] + np.abs(planes[3]))[None, None].astype("f4"), level, science=True)[0, ..., 0]
    np.testing.assert_allclose(np.abs(picture - 128), bright / 2, atol=1)
    subject.companions["residual"] = np.zeros((ROWS, COLUMNS), "f4")
    assert (opened(drawn(subject, Stretch(limits="zscale"))["residual"].picture) == 128).all()


def test_a_model_is_drawn_as_the_object_is(fitted):
    survey, planes = fitted
    subject = Subject(survey, 0)
    subject.companions["model"] = planes[1]
    for stretch in (DEFAULT, Stretch(limits="percentile", curve="log")):
        colour = opened(Painter(subject, stretch).portrait().colour)[..., 0]
        np.testing.assert_array_equal(opened(drawn(subject, stretch)["model"].picture), colour)


# -- which views ------------------------------------------------------------------------------------------------------


def listed(*keys, **known):
    return [View(key, key, b"x", known.get(key[-1], 1.0), (0, 0, 1, 1)) for key in keys]


def test_the_card_has_six_views_where_there_are_six():
    seven = listed(*(f"band:{k}" for k in range(7)), "binned", "smoothed", "enhanced")
    assert card(seven) == ["colour", "binned", "smoothed", "band:3", "enhanced", "band:0"]
    partly = listed("band:a", "band:b", "band:c", "band:d", "binned", "smoothed", "enhanced", c=0.2, d=0.1)
    assert card(partly) == ["colour", "binned", "smoothed", "band:b", "enhanced", "band:a"]
    mosaic = listed("band:g", "band:r", "binned", "smoothed", "context", "enhanced")
    assert card(mosaic) == ["colour", "binned", "smoothed", "band:r", "context", "enhanced"]
    fit = listed("binned", "smoothed", "model", "residual", "enhanced")
    assert card(fit) == ["colour", "binned", "smoothed", "model", "residual", "enhanced"]
    assert card(listed("binned", "smoothed", "enhanced")) == ["colour", "binned", "smoothed", "enhanced"]


def test_bands_blink_or_else_the_fit():
    assert blinked(listed("band:g", "band:r", "binned", "model")) == ["band:g", "band:r"]
    assert blinked(listed("binned", "smoothed", "model", "residual_r")) == ["colour", "model", "residual_r"]
    assert blinked(listed("binned", "smoothed", "enhanced")) == ["colour", "binned", "smoothed", "enhanced"]


# -- numbers ----------------------------------------------------------------------------------------------------------


def sent(subject):
    found = subject.numbers()
    return found, np.frombuffer(found.data, np.dtype(found.kind).newbyteorder("<")).reshape(found.shape)


def test_numbers_are_the_pixels(survey):
    found, values = sent(Subject(survey, HOLE))
    np.testing.assert_array_equal(values, survey.cutouts.read([HOLE])[0])
    assert (found.kind, found.block, found.names, found.units) == ("float32", 1, BANDS, ("", "", ""))


def test_numbers_of_a_fit_have_its_model_and_residual_and_their_unit(fitted):
    survey, planes = fitted
    found, values = sent(Subject(survey, 0))
    np.testing.assert_array_equal(values, planes[1:])
    assert found.names == ("F160W", "model", "residual") and found.units == ("nJy",) * 3


def test_whole_numbers_are_sent_in_a_byte(survey, monkeypatch):
    picture = np.random.default_rng(0).integers(0, 256, (3, 5, 6)).astype("f4")
    monkeypatch.setattr(survey.cutouts, "read", lambda rows: [picture])
    found, values = sent(Subject(survey, 0))
    assert found.kind == "uint8"
    np.testing.assert_array_equal(values, picture)


def test_too_many_numbers_are_sent_as_means_of_blocks(survey, monkeypatch):
    monkeypatch.setattr(subjects, "MOST_BYTES", 3 * 4 * 9 * 9)
    found, values = sent(Subject(survey, HOLE))
    cutout = survey.cutouts.read([HOLE])[0]
    assert found.block == 3 and values.shape == (3, 8, 8)
    for y in range(8):
        for x in range(8):
            block = cutout[:, 3 * y : 3 * y + 3, 3 * x : 3 * x + 3].reshape(3, 9)
            np.testing.assert_allclose(values[:, y, x], np.nan if np.isnan(block).all() else np.nanmean(block, 1), 1e-5)


def test_the_object_is_where_the_catalogue_says(fitted, survey):
    subject = Subject(fitted[0], 0)
    assert subject.place == pytest.approx((4.0, 6.5), abs=1e-6) and subject.scale == pytest.approx(0.36, rel=1e-4)
    assert Subject(survey, 0).place == ((SIDE - 1) / 2, (SIDE - 1) / 2) and Subject(survey, 0).scale is None
