"""Aggregation of the points in view equals counting all points one by one; discs equal their definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.raster import LAYERS, Points, View, aggregate, disc, disc_radius, spread
from engine.maps.tiles import TileIndex


@pytest.fixture(scope="module")
def layout():
    rng = np.random.default_rng(3)
    xy = np.concatenate([rng.normal(0, 1, (3000, 2)), rng.normal(4, 0.3, (2000, 2))]).astype(np.float32)
    xy[::97] = np.nan
    return xy


def counted(xy: np.ndarray, view: View, weights=None) -> np.ndarray:
    """The slow twin: every point of the layout, pixel by pixel."""
    out = np.zeros((view.height, view.width))
    dx, dy = view.unit
    for row, (x, y) in enumerate(xy.astype(np.float64)):
        if view.x0 <= x <= view.x1 and view.y0 <= y <= view.y1:
            i, j = min(int((y - view.y0) / dy), view.height - 1), min(int((x - view.x0) / dx), view.width - 1)
            out[i, j] += 1 if weights is None else weights[row]
    return out


VIEWS = [
    View(-5, -5, 7, 7, 60, 40),
    View(3.5, 3.5, 4.5, 4.5, 30, 30),
    View(-0.11, 0.2, 0.13, 0.3, 17, 9),
    View(20, 20, 21, 21, 8, 8),
]


@pytest.mark.parametrize("view", VIEWS)
def test_counts_equal_counting_every_point(layout, view):
    points = Points(TileIndex.build(layout))
    assert np.array_equal(aggregate(points, view), counted(layout, view))


@pytest.mark.parametrize("view", VIEWS[:3])
def test_a_part_of_the_points_is_counted_as_if_it_were_all(layout, view):
    rows = np.flatnonzero(np.random.default_rng(1).random(len(layout)) < 0.2)
    points = Points.of_rows(TileIndex.build(layout), rows)
    assert np.array_equal(aggregate(points, view), counted(layout[rows], view))


def test_numbers_give_count_sum_and_known(layout):
    view, rng = VIEWS[0], np.random.default_rng(5)
    values = rng.normal(size=len(layout)).astype(np.float32)
    values[::7] = np.nan
    points = Points(TileIndex.build(layout))
    found = aggregate(points, view, numbers=points.column(values))
    known = np.isfinite(values)
    assert np.array_equal(found[:, :, 0], counted(layout, view))
    assert np.allclose(found[:, :, 1], counted(layout, view, np.where(known, values, 0)), atol=1e-3)
    assert np.array_equal(found[:, :, 2], counted(layout, view, known))


def test_categories_add_up_to_the_counts(layout):
    view = VIEWS[1]
    codes = np.random.default_rng(5).integers(0, LAYERS, len(layout)).astype(np.int8)
    points = Points(TileIndex.build(layout))
    found = aggregate(points, view, codes=points.column(codes))
    assert found.shape == (view.height, view.width, LAYERS)
    assert np.array_equal(found.sum(axis=2), counted(layout, view))
    assert np.array_equal(found[:, :, 4], counted(layout, view, codes == 4))


def test_an_empty_layout_draws_nothing():
    points = Points(TileIndex.build(np.full((5, 2), np.nan, np.float32)))
    assert aggregate(points, VIEWS[0]).sum() == 0


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
    assert np.allclose(spread(sums, radius), sums if radius <= 0.5 else slow, atol=1e-5)


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
