"""Discs equal their definition, and get smaller as there are more of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.map.raster import View, disc, disc_radius, spread


@given(radius=st.floats(0.5, 6), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_discs_are_a_correlation(radius, seed):
    rng = np.random.default_rng(seed)
    sums = (rng.random((19, 23, 2)) * (rng.random((19, 23, 1)) < 0.1)).astype(np.float32)
    sums[:, :, 0] = np.ceil(sums[:, :, 0])
    weights, slow = disc(radius), np.zeros_like(sums)
    reach = len(weights) // 2
    for i, j in zip(*np.nonzero(sums[:, :, 0])):
        for a in range(-reach, reach + 1):
            for b in range(-reach, reach + 1):
                if 0 <= i + a < 19 and 0 <= j + b < 23:
                    slow[i + a, j + b] += weights[a + reach, b + reach] * sums[i, j]
    drawn = spread(sums[..., 0], [sums[..., 0], sums[..., 1]], radius)
    assert np.allclose(np.moveaxis(drawn, 0, -1), slow, atol=1e-5)


def test_discs_are_round_and_opaque_in_the_middle():
    for radius in (0.5, 1, 2.3, 5.5):
        weights = disc(radius)
        assert weights[len(weights) // 2, len(weights) // 2] == 1
        assert np.array_equal(weights, weights.T) and np.array_equal(weights, weights[::-1])
    assert disc(0.5).shape == (1, 1)


def test_points_grow_as_they_get_few():
    radii = [disc_radius(n, 800, 600) for n in (0, 1, 100, 10_000, 1_000_000)]
    assert radii[1:] == sorted(radii[1:], reverse=True) and radii[1] == 5.5 and radii[-1] == 0.5


def test_a_grown_view_keeps_its_pixels():
    view = View(0, 0, 10, 5, 100, 50)
    wide = view.grown(0.15)
    assert wide.unit == pytest.approx(view.unit)
    assert ((wide.width - view.width) % 2, (wide.height - view.height) % 2) == (0, 0)
