"""Smoothing and binning against SciPy and against loops; missing pixels have no weight."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from engine.data.pictures.smoothing import binned, smooth, unbinned


def noise(*shape, holes=0.0):
    rng = np.random.default_rng(4)
    values = rng.normal(3, 1, shape)
    values[rng.random(shape) < holes] = np.nan
    return values


@pytest.mark.parametrize("sigma", [0.3, 1.0, 1.5, 4.0])
@pytest.mark.parametrize("holes", [0.0, 0.2])
def test_smoothing_is_scipys_convolution_of_known_over_weight(sigma, holes):
    image = noise(23, 31, holes=holes)
    known = np.isfinite(image)
    options = {"sigma": sigma, "mode": "constant", "truncate": 4.0}
    total = gaussian_filter(np.where(known, image, 0.0), **options)
    expected = np.where(known, total / gaussian_filter(known.astype(float), **options), np.nan)
    np.testing.assert_allclose(smooth(torch.from_numpy(image), sigma).numpy(), expected, rtol=1e-9)


def test_a_constant_stays_constant_beside_holes_and_edges():
    image = torch.full((2, 3, 9, 9), 7.0)
    image[0, 1, 2:5, 3:] = torch.nan
    found = smooth(image, 2.0)
    assert torch.equal(torch.isnan(found), torch.isnan(image))
    np.testing.assert_allclose(found[torch.isfinite(found)], 7.0, rtol=1e-6)
    assert smooth(image, 0.0) is image


def test_each_image_is_smoothed_by_itself():
    images = torch.from_numpy(noise(3, 2, 12, 12, holes=0.1))
    together = smooth(images, 1.5)
    for k in range(3):
        np.testing.assert_allclose(smooth(images[k, 1], 1.5), together[k, 1], rtol=1e-12)


@pytest.mark.parametrize("block", [1, 2, 3, 4, 7])
def test_binning_is_the_mean_of_what_is_known(block):
    image = noise(11, 14, holes=0.4)
    found = binned(torch.from_numpy(image), block).numpy()
    for (j, i), value in np.ndenumerate(found):
        part = image[j * block : (j + 1) * block, i * block : (i + 1) * block]
        known = part[np.isfinite(part)]
        np.testing.assert_allclose(value, known.mean() if known.size else np.nan)
    assert found.shape == (-(-11 // block), -(-14 // block))


def test_blocks_are_drawn_at_the_old_size():
    pictures = torch.arange(2 * 3 * 4 * 3).reshape(2, 3, 4, 3)
    large = unbinned(pictures, 2, 5, 7)
    assert large.shape == (2, 5, 7, 3)
    for j in range(5):
        for i in range(7):
            assert torch.equal(large[:, j, i], pictures[:, j // 2, i // 2])
