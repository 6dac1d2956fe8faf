"""Counts in view equal a scan of all points, by category and not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.maps.drawing import bits, census
from engine.maps.drawing.points import Points
from engine.maps.drawing.tiles import TileIndex

KINDS = 4


@pytest.fixture(scope="module", params=[1, 9, 256])
def layout(request):
    rng = np.random.default_rng(0)
    xy = rng.normal(size=(30_000, 2)).astype(np.float32)
    xy[::101] = np.nan
    codes = rng.integers(0, KINDS, len(xy)).astype(np.uint8)
    return xy, codes, TileIndex.build(xy, side=request.param)


def boxes(rng, count):
    for x, y, w, h in rng.normal(size=(count, 4)):
        yield x, x + abs(w), y, y + abs(h)
    yield -9.0, 9.0, -9.0, 9.0
    yield 5.0, 6.0, 5.0, 6.0
    yield 1.0, 0.0, 0.0, 1.0  # no box


@pytest.mark.parametrize("step", [1, 16, 1024])
def test_equals_a_scan(layout, step):
    xy, codes, index = layout
    rows = np.flatnonzero(codes != 2)[::3]
    for points, own in ((Points(index), np.arange(len(xy))), (Points.of_rows(index, rows), rows)):
        counted = census.Census(points, index.ordered(codes), kinds=KINDS, step=step)
        plain = census.Census(points)
        for x0, x1, y0, y1 in boxes(np.random.default_rng(1), 25):
            x, y = xy[own].astype(np.float64).T
            inside = (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
            expected = np.bincount(codes[own][inside], minlength=KINDS)
            assert np.array_equal(counted.within((x0, x1, y0, y1)), expected)
            assert plain.within((x0, x1, y0, y1)) == [inside.sum()]


def test_nothing_is_counted_as_nothing():
    index = TileIndex.build(np.full((3, 2), np.nan, np.float32))
    assert census.Census(Points(index), np.empty(0, np.uint8), kinds=KINDS).within((0, 1, 0, 1)).tolist() == [0] * KINDS


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 300), st.data())
def test_bits_are_a_set_in_order(count, data):
    rows = data.draw(st.lists(st.integers(0, count - 1), max_size=60))
    marked = bits.empty(count)
    for row in rows:
        bits.mark.py_func(marked, row)
    assert bits.rows(marked).tolist() == sorted(set(rows))
