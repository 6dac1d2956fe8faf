"""Limits of cutouts against astropy's and NumPy's."""

import numpy as np
import pytest
import torch
from astropy.visualization import ZScaleInterval

from engine.data.pictures.limits import limits_of, percentile, zscale


def images(pixels, seed=0):
    """Rows of noise, with sources, with gaps, constant, of two values, of one pixel, of none."""
    rng = np.random.default_rng(seed)
    values = rng.normal(5, 1, (24, pixels)).astype(np.float32)
    values[:, ::7] += rng.exponential(20, values[:, ::7].shape)
    values[12:][rng.random((12, pixels)) < 0.3] = np.nan
    values[3], values[4, : pixels // 2], values[4, pixels // 2 :] = 3, 1, 2
    values[5, 1:], values[6] = np.nan, np.nan
    return values


@pytest.mark.parametrize("pixels", [3, 11, 64, 999, 1000, 4096, 9216])
def test_zscale_is_astropys(pixels):
    values = images(pixels)
    found = zscale(torch.from_numpy(values)).numpy()
    for row, limits in zip(values, found):
        if np.isfinite(row).any():
            np.testing.assert_allclose(limits, ZScaleInterval().get_limits(row), rtol=1e-5, atol=1e-5)
        else:
            assert np.isnan(limits).all()


@pytest.mark.parametrize("percent", [50.0, 90.0, 99.5, 100.0])
@pytest.mark.parametrize("pixels", [3, 64, 4096])
def test_percentile_is_numpys(pixels, percent):
    values = images(pixels)
    values = np.delete(values, 6, axis=0)
    expected = np.nanpercentile(values.astype(np.float64), [50 - percent / 2, 50 + percent / 2], axis=1).T
    np.testing.assert_allclose(percentile(torch.from_numpy(values), percent).numpy(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("how", ["zscale", "percentile"])
def test_a_cutouts_limits_do_not_depend_on_its_company(how):
    pixels = torch.from_numpy(images(36).reshape(8, 3, 6, 6))
    together = limits_of(pixels, how, 99.0)
    assert together.shape == (8, 3, 2)
    for k in range(8):
        np.testing.assert_array_equal(limits_of(pixels[k : k + 1], how, 99.0)[0], together[k])


def test_zscale_of_real_galaxies(shared_data):
    from astropy.io import fits

    files = sorted((shared_data / "ceers_fits" / "f200w").glob("*.fits"))[:12]
    for path in files:
        data = np.asarray(fits.getdata(path), np.float32)
        ours = zscale(torch.from_numpy(data.reshape(1, -1)))[0].numpy()
        np.testing.assert_allclose(ours, ZScaleInterval().get_limits(data), rtol=1e-4, atol=1e-6)
