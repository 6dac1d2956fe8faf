"""The sky on a plane: astropy's projections, wherever the wrap, the poles and the unknown are; lines where they belong."""

import numpy as np
import pytest
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import UserError
from engine.maps.layouts.sky import HORIZON, Sky, graticule


def astropys(sky, ra, dec):
    wcs = WCS(naxis=2)
    kind = {"aitoff": "AIT", "tangent": "TAN"}[sky.projection]
    wcs.wcs.ctype = [f"RA---{kind}", f"DEC--{kind}"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = [sky.ra, sky.dec], [0, 0], [-1, 1]
    return np.stack(wcs.wcs_world2pix(ra, dec, 0), axis=1) + 1


@settings(max_examples=30, deadline=None)
@given(ra=st.floats(0, 360), dec=st.floats(-90, 90), seed=st.integers(0, 99))
def test_tangent_equals_astropy(ra, dec, seed):
    rng, sky = np.random.default_rng(seed), Sky("tangent", ra, dec)
    xy = rng.uniform(-60, 60, (200, 2))
    ras, decs = sky.unproject(xy)
    assert np.allclose(sky.project(ras, decs), xy, atol=1e-6)
    assert np.allclose(sky.project(ras + 360, decs), astropys(sky, ras, decs), atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(ra=st.floats(0, 360), seed=st.integers(0, 99))
def test_aitoff_equals_astropy(ra, seed):
    rng, sky = np.random.default_rng(seed), Sky("aitoff", ra, 0.0)
    ras, decs = rng.uniform(0, 360, 300), np.degrees(np.arcsin(rng.uniform(-1, 1, 300)))
    xy = sky.project(ras, decs)
    assert np.allclose(xy, astropys(sky, ras, decs), atol=1e-6)
    again = sky.unproject(xy)
    assert np.allclose((again[0] - ras + 180) % 360, 180, atol=1e-6) and np.allclose(again[1], decs, atol=1e-6)


def test_right_ascension_increases_to_the_left():
    for sky in (Sky("tangent", 359.9, 10), Sky("aitoff", 359.9, 0)):
        x = sky.project(np.array([359.5, 0.5, 1.5]), np.full(3, 10.0))[:, 0]
        assert x[0] > 0 > x[1] > x[2]


def test_what_has_no_place():
    ra, dec = np.array([10, np.nan, 10, 10, 190, np.inf]), np.array([0, 0, np.nan, 91, 0, 0])
    found = Sky("tangent", 10, 0).project(ra, dec)
    assert np.isfinite(found[0]).all() and np.isnan(found[1:]).all()
    whole = Sky("aitoff", 10, 0).project(ra, dec)
    assert np.isfinite(whole[[0, 4]]).all() and np.isnan(whole[[1, 2, 3, 5]]).all()
    assert np.isfinite(Sky("aitoff", 10, 0).project([0.0, 50.0], [90.0, -90.0])).all()
    beyond = Sky("tangent", 0, 90).project([0.0, 0.0], [90 - HORIZON + 1e-9, 90 - HORIZON - 1e-6])
    assert np.isfinite(beyond[0]).all() and np.isnan(beyond[1]).all()


def test_the_projection_that_suits():
    rng = np.random.default_rng(0)
    field = Sky.of((359.5 + rng.uniform(0, 1, 100)) % 360, rng.uniform(-1, 1, 100))
    assert field.projection == "tangent" and abs((field.ra + 180) % 360 - 180) < 0.2 and abs(field.dec) < 0.2
    cap = Sky.of(rng.uniform(0, 360, 500), rng.uniform(80, 90, 500))
    assert cap.projection == "tangent" and cap.dec > 85
    # a survey around RA 0 with nothing from 60 to 300: the cut must not go through it
    wide = Sky.of((rng.uniform(-60, 60, 900)) % 360, rng.uniform(-60, 60, 900))
    assert wide.projection == "aitoff" and abs((wide.ra + 180) % 360 - 180) < 5
    assert Sky.of(np.array([10.0, np.nan]), np.array([5.0, 1.0])) == Sky("tangent", 10.0, pytest.approx(5.0))
    assert Sky.of([0.0], [0.0], projection="aitoff", centre=(-30.0, 40.0)) == Sky("aitoff", 330.0, 0.0)
    assert Sky.of([0.0], [0.0], projection="tangent", centre=(-30.0, 40.0)) == Sky("tangent", 330.0, 40.0)


def test_refusals():
    for words, arguments in {
        "no object has a position": ([np.nan], [0.0], {}),
        "projection": ([0.0], [0.0], {"projection": "mercator"}),
        "no position": ([0.0], [0.0], {"centre": (0.0, 91.0)}),
    }.items():
        ra, dec, options = arguments
        with pytest.raises(UserError, match=words):
            Sky.of(np.array(ra), np.array(dec), **options)


def seconds(text):
    """An angle of its words, in degrees."""
    sign = -1 if text.startswith("−") else 1
    text = text.lstrip("+−")
    parts = [float(p or 0) for p in text.translate(str.maketrans("ʰᵐˢ°′″", "      ")).split()]
    return sign * sum(p / 60**k for k, p in enumerate(parts)) * (15 if "ʰ" in text else 1)


@pytest.mark.parametrize(
    "sky, view",
    [
        (Sky("tangent", 150, 2), (-0.5, -0.4, 0.5, 0.4)),
        (Sky("tangent", 0, 0), (-3, -2, 3, 2)),
        (Sky("tangent", 12, -90), (-5, -5, 5, 5)),
        (Sky("tangent", 80, 60), (-0.003, -0.002, 0.003, 0.002)),
        (Sky("aitoff", 180, 0), (-170, -90, 170, 90)),
        (Sky("aitoff", 0, 0), (-20, 20, 30, 55)),
    ],
)
def test_lines_lie_where_their_labels_say(sky, view):
    found = graticule(sky, view)
    kinds = [label.kind for label in found.labels]
    assert 2 <= kinds.count("ra") <= 40 and 2 <= kinds.count("dec") <= 20
    unit = (view[2] - view[0]) / 1000
    for label in found.labels:
        assert view[0] <= label.x <= view[2] and view[1] <= label.y <= view[3]
        ra, dec = sky.unproject(np.array([[label.x, label.y]]))
        said = seconds(label.text)
        if label.kind == "dec":
            assert abs(dec[0] - said) < 5 * unit
        else:
            assert abs((ra[0] - said + 180) % 360 - 180) * np.cos(np.radians(dec[0])) < 5 * unit
    for line in found.lines:
        assert np.isfinite(line).all() and len(line) > 1
        assert np.hypot(*np.diff(line, axis=0).T).max() < 90  # none across the map from rim to rim


def test_a_view_off_the_sky_has_no_lines():
    assert graticule(Sky("aitoff", 0, 0), (400, 400, 410, 410)).lines == []


def test_as_a_layout(make_survey):
    survey = make_survey(6, columns={"ra": [359, 0.5, 1, np.nan, 0, 2], "dec": [0, 1, -1, 0, np.nan, 0.5]})
    xy = survey.layout("sky")
    assert survey.layouts == ["sky"] and xy.dtype == np.float32
    assert np.isnan(xy[[3, 4]]).all() and np.isfinite(xy[[0, 1, 2, 5]]).all() and np.abs(xy[[0, 5]]).max() < 2
    from engine.maps.layout import read_meta

    meta = read_meta(survey, "sky")
    assert meta["projection"] == "tangent" and len(meta["centre"]) == 2 and meta["placed"] == 4
    survey.layout("sky", projection="aitoff")
    assert survey.layouts[0] == "sky-2"
