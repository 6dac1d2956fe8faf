"""The sky across a cutout against astropy: any projection, frame and distortion, to 0.01 arcsec and 0.01 pixel."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS, Sip

from engine.data.sky.astrometry import sky
from engine.data.sky.tangent import deproject, project, tangent

SIDE = 120


def make_wcs(projection="TAN", *, ra=150.0, dec=2.0, scale=0.2, turn=30.0, lon="RA--", lat="DEC-", away=0.0):
    """A WCS rotated by `turn` degrees; `away` pixels from its own reference point."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [f"{lon}-{projection}", f"{lat}-{projection}"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [SIDE / 2 - away, SIDE / 2 + away / 3]
    angle = np.deg2rad(turn)
    wcs.wcs.cd = scale / 3600 * np.array([[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    wcs.wcs.set()
    return wcs


def with_sip():
    wcs = make_wcs("TAN-SIP", away=1500)
    a = np.zeros((4, 4))
    a[2, 0], a[1, 1], a[0, 3] = 2e-6, -3e-6, 1e-10
    wcs.sip = Sip(a, a.T, None, None, wcs.wcs.crpix)
    return wcs


CASES = {
    "tan": make_wcs(),
    "far from its reference": make_wcs(away=9000),
    "sine": make_wcs("SIN", dec=-40.0, away=3000),
    "plate carrée": make_wcs("CAR", dec=0.0, ra=12.0, away=4000),
    "near the pole": make_wcs(dec=89.98, ra=10.0),
    "across zero": make_wcs(ra=0.001, dec=60.0),
    "distorted": with_sip(),
    "declination first": make_wcs(lon="DEC-", lat="RA--", ra=2.0, dec=150.0),
}


@pytest.mark.parametrize("name", CASES)
def test_pixels_lie_where_astropy_says(name):
    wcs = CASES[name]
    found = tangent(wcs, SIDE, SIDE - 20)
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-0.5, SIDE - 0.5, 300), rng.uniform(-0.5, SIDE - 20.5, 300)
    ours, theirs = SkyCoord(*found.sky(x, y), unit="deg"), wcs.pixel_to_world(x, y)
    theirs = SkyCoord(theirs.ra.deg, theirs.dec.deg, unit="deg")  # the numbers of the header's own frame
    assert ours.separation(theirs).arcsec.max() < 0.002
    assert found.error < 0.01
    there = [found.pixel(*(float(v) for v in pair)) for pair in zip(theirs.ra.deg[:20], theirs.dec.deg[:20])]
    np.testing.assert_allclose(there, np.stack([x, y], 1)[:20], atol=0.01)


def test_the_scale_is_the_side_of_a_pixel():
    assert tangent(make_wcs(scale=0.03), SIDE, SIDE).scale == pytest.approx(0.03, rel=1e-6)


def test_other_frames_become_icrs():
    wcs = make_wcs(lon="GLON", lat="GLAT", ra=120.0, dec=45.0)
    found = tangent(wcs, SIDE, SIDE)
    theirs = wcs.pixel_to_world(7.0, 90.0).icrs
    assert SkyCoord(*found.sky(7.0, 90.0), unit="deg").separation(theirs).arcsec < 0.002
    assert [float(v) for v in sky(wcs, 7.0, 90.0)] == pytest.approx([theirs.ra.deg, theirs.dec.deg], abs=1e-9)


def test_no_sky_no_tangent():
    whole = make_wcs("CAR", scale=20 * 3600 / SIDE * 10, turn=0.0)  # degrees a pixel
    assert tangent(whole, SIDE, SIDE) is None
    beyond = make_wcs("SIN", scale=3600.0 * 3)  # pixels off the sphere
    assert tangent(beyond, SIDE, SIDE) is None


def test_the_far_side_of_the_sky_is_nowhere():
    assert np.isnan(project(190.0, 0.0, 10.0, 0.0)).all()
    found = tangent(make_wcs(), SIDE, SIDE)
    assert np.isnan(found.pixel(330.0, -2.0)).all() and np.isnan(found.pixel(151.0, 2.0)).all()


def test_projecting_and_back():
    rng = np.random.default_rng(2)
    ra, dec = rng.uniform(0, 360, 100), rng.uniform(-89, 89, 100)
    for k in range(100):
        ra1, dec1 = (ra[k] + rng.uniform(-0.3, 0.3)) % 360, np.clip(dec[k] + rng.uniform(-0.3, 0.3), -90, 90)
        back = deproject(*project(ra1, dec1, ra[k], dec[k]), ra[k], dec[k])
        assert SkyCoord(*back, unit="deg").separation(SkyCoord(ra1, dec1, unit="deg")).arcsec < 1e-6
