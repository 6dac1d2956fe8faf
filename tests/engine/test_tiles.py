"""Tiles: every view holds what a scan of all points finds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.maps.drawing.tiles import TileIndex


def scan(xy, x0, x1, y0, y1):
    """Rows in a closed box, the obvious way."""
    x, y = np.asarray(xy, np.float64).T
    return np.flatnonzero((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1))


@pytest.fixture
def xy(rng):
    points = rng.normal(size=(5000, 2)).astype(np.float32)
    points[::97] = np.nan
    points[5] = np.inf
    points[7] = 1e6  # a far outlier must not squeeze the rest into one tile
    return points


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.mark.parametrize("side", [1, 7, 256, 1000])
def test_boxes_equal_a_scan(xy, rng, side):
    index = TileIndex.build(xy, side=side)
    placed = np.where(np.isfinite(xy).all(axis=1, keepdims=True), xy, np.nan)
    for x, y, w, h in rng.normal(size=(60, 4)):
        box = x, x + abs(w), y, y + abs(h)
        assert np.array_equal(index.rows_in(*box), scan(placed, *box))
    assert np.array_equal(index.rows_in(-np.inf, np.inf, -np.inf, np.inf), np.flatnonzero(np.isfinite(xy).all(axis=1)))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), max_size=40), st.tuples(*[st.integers(-5, 5)] * 4))
def test_points_on_the_border_are_inside(points, corners):
    xy = np.array(points, np.float32).reshape(-1, 2)
    x0, x1, y0, y1 = *sorted(corners[:2]), *sorted(corners[2:])
    assert np.array_equal(TileIndex.build(xy, side=4).rows_in(x0, x1, y0, y1), scan(xy, x0, x1, y0, y1))


def test_slices_are_ranges_in_order_and_join_up(xy):
    index = TileIndex.build(xy, side=16)
    ranges = index.slices(-0.5, 0.5, -0.7, 0.1)
    assert (ranges[:, 1] > ranges[:, 0]).all() and (ranges[1:, 0] > ranges[:-1, 1]).all()
    everything = index.slices(-1e9, 1e9, -1e9, 1e9)
    assert np.array_equal(everything, [[0, len(index)]])
    assert len(index.slices(1, 0, 0, 1)) == 0


def test_an_outlier_does_not_squeeze_the_grid(xy):
    index = TileIndex.build(xy)
    assert (np.diff(index.starts) > 0).sum() > 2000


def test_nearest_equals_a_scan(xy, rng):
    index = TileIndex.build(xy)
    placed = np.where(np.isfinite(xy).all(axis=1, keepdims=True), xy, np.inf).astype(np.float64)
    for place in rng.normal(size=(50, 2)):
        distance = np.hypot(*(placed - place).T)
        found = index.nearest(*place, 0.02)
        assert found == (int(distance.argmin()) if distance.min() <= 0.02 else None)
    assert index.nearest(0, 0, 1e-9) is None


def test_columns_travel_both_ways(xy):
    index = TileIndex.build(xy)
    assert np.array_equal(index.ordered(np.arange(len(xy))), index.order)
    assert np.array_equal(index.order[index.position[index.order]], index.order)
    assert (index.position[~np.isfinite(xy).all(axis=1)] == -1).all()
    assert np.array_equal(index.ordered(xy), np.stack([index.x, index.y], axis=1))


@pytest.mark.parametrize("xy", [np.empty((0, 2)), [[np.nan, 0]], [[2, 3]], [[1, 1]] * 5, [[0, 1], [0, 2]]])
def test_few_and_equal_points(xy):
    xy = np.array(xy, np.float32).reshape(-1, 2)
    index = TileIndex.build(xy)
    finite = np.flatnonzero(np.isfinite(xy).all(axis=1))
    assert np.array_equal(index.rows_in(-9, 9, -9, 9), finite)
    assert len(index.rows_in(50, 51, 50, 51)) == 0
    assert index.nearest(50, 50, 0.1) is None


def test_kept_on_disk_as_it_was(xy, tmp_path):
    assert TileIndex.load(tmp_path) is None
    index = TileIndex.build(xy)
    index.save(tmp_path)
    again = TileIndex.load(tmp_path)
    for name in ("order", "x", "y", "starts", "lower", "scale", "bounds"):
        assert np.array_equal(getattr(again, name), getattr(index, name)), name
    assert np.array_equal(again.rows_in(0, 1, 0, 1), index.rows_in(0, 1, 0, 1))


def test_side_is_checked(xy):
    with pytest.raises(ValueError, match="1025"):
        TileIndex.build(xy, side=1025)
