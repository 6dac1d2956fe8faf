"""Sums a pixel equal datashader's, border rules included, whatever the points and whatever the view."""

import datashader as ds
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.maps.drawing import aggregate
from engine.maps.drawing.points import Points, View
from engine.maps.drawing.tiles import TileIndex

KINDS = 7


def layouts():
    """Points of every sort that a layout may have."""
    rng = np.random.default_rng(3)
    random = rng.normal(size=(4000, 2))
    clustered = np.concatenate([rng.normal(c, 0.05, (900, 2)) for c in rng.normal(size=(5, 2))])
    lattice = np.stack(np.meshgrid(np.arange(-20, 21), np.arange(-20, 21)), axis=-1).reshape(-1, 2) / 10
    holes = random.copy()
    holes[::7] = np.nan
    holes[3], holes[4] = (np.inf, 0), (0, -np.inf)
    far = np.concatenate([random, [[1e6, 0], [0, -1e30], [3e38, 3e38]]])
    line = np.stack([random[:, 0], np.full(len(random), 0.25)], axis=1)
    return {
        "random": random,
        "clustered": clustered,
        "on the pixels' borders": lattice,
        "not placed": holes,
        "far outliers": far,
        "a line": line,
        "all in one place": np.full((3000, 2), 0.5),
        "one": np.array([[0.1, 0.2]]),
        "none": np.empty((0, 2)),
    }


LAYOUTS = {name: xy.astype(np.float32) for name, xy in layouts().items()}
VIEWS = [
    View(-5, -5, 7, 7, 60, 40),
    View(-2, -2, 2, 2, 40, 40),  # the lattice lies on its pixels' borders, and on its own
    View(0.1, -0.3, 0.6, 0.5, 30, 31),
    View(-0.11, 0.2, 0.13, 0.3, 17, 9),
    View(0.5, 0.5, 0.5 + 1e-7, 0.5 + 1e-7, 5, 5),
    View(-1e30, -1e30, 1e30, 1e30, 11, 7),
    View(20, 20, 21, 21, 8, 8),
]


def reference(xy, view, column=None, reduction=None):
    frame = pd.DataFrame({"x": xy[:, 0], "y": xy[:, 1]})
    if column is not None:
        frame["c"] = column
    x0, x1, y0, y1 = view.box
    return ds.Canvas(view.width, view.height, (x0, x1), (y0, y1)).points(frame, "x", "y", reduction or ds.count())


@pytest.fixture(params=LAYOUTS)
def xy(request):
    return LAYOUTS[request.param]


@pytest.fixture
def parts(xy):
    """The layout and a fifth of it, each as points and as positions."""
    rows = np.flatnonzero(np.random.default_rng(1).random(len(xy)) < 0.2)
    index = TileIndex.build(xy, side=16)
    return (xy, np.arange(len(xy)), Points(index)), (xy[rows], rows, Points.of_rows(index, rows))


@pytest.mark.parametrize("view", VIEWS)
def test_counts_equal_datashader(parts, view):
    for xy, _, points in parts:
        found = aggregate.counts(points, view)
        assert found.dtype == np.uint32 and np.array_equal(found, reference(xy, view).values)


@pytest.mark.parametrize("view", VIEWS)
def test_sums_equal_datashader(xy, parts, view):
    values = np.random.default_rng(5).normal(size=len(xy)).astype(np.float32)
    values[::5] = np.nan
    for own, rows, points in parts:
        count, total, known = aggregate.sums(points, view, points.index.ordered(values))
        both = reference(own, view, values[rows], ds.summary(total=ds.sum("c"), known=ds.count("c")))
        assert np.array_equal(count, reference(own, view).values)
        assert np.array_equal(known, both["known"].values)
        assert np.allclose(total, np.nan_to_num(both["total"].values), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("view", VIEWS)
def test_categories_equal_datashader(xy, parts, view):
    rng = np.random.default_rng(5)
    codes, table = rng.integers(0, KINDS, len(xy)).astype(np.uint8), rng.integers(0, 256, (KINDS, 3)).astype(np.uint8)
    for own, rows, points in parts:
        kinds = pd.Categorical.from_codes(codes[rows].astype(np.int8), categories=range(KINDS))
        layers = reference(own, view, kinds, ds.by("c", ds.count())).values.astype(np.int64)
        ordered = points.index.ordered(codes)
        assert np.array_equal(
            aggregate.mixtures(points, view, ordered, table), np.dstack([layers.sum(axis=2), layers @ table])
        )
        count, top = aggregate.commonest(points, view, ordered, KINDS)
        assert np.array_equal(count, layers.sum(axis=2))
        assert np.array_equal(top, np.where(layers.any(axis=2), layers.argmax(axis=2), 255))  # argmax: the lowest wins


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-8, 8), st.integers(-8, 8)), min_size=1, max_size=30),
    st.tuples(st.integers(-9, 3), st.integers(1, 9), st.integers(-9, 3), st.integers(1, 9)),
    st.sampled_from([1.0, 0.1, 1 / 3]),
    st.integers(1, 12),
)
def test_points_on_borders_equal_datashader(lattice, box, unit, size):
    xy = (np.array(lattice) * unit).astype(np.float32)
    x0, width, y0, height = (side * unit for side in box)
    view = View(x0, y0, x0 + width, y0 + height, size, size)
    found = aggregate.counts(Points(TileIndex.build(xy, side=4)), view)
    assert np.array_equal(found, reference(xy, view).values)


def test_strips_of_the_commonest_do_not_show(monkeypatch):
    xy, view = LAYOUTS["random"], View(-2, -2, 2, 2, 50, 60)
    codes = np.random.default_rng(2).integers(0, KINDS, len(xy)).astype(np.uint8)
    points = Points(TileIndex.build(xy))
    whole = aggregate.commonest(points, view, points.index.ordered(codes), KINDS)
    monkeypatch.setattr(aggregate, "COUNTERS", 7 * 50 * KINDS)
    strips = aggregate.commonest(points, view, points.index.ordered(codes), KINDS)
    assert all(np.array_equal(a, b) for a, b in zip(whole, strips))


def test_a_view_can_be_grown_and_cut():
    view = View(0, 0, 10, 5, 100, 50)
    wide = view.grown(0.15)
    assert wide.unit == pytest.approx(view.unit)
    assert ((wide.width - view.width) % 2, (wide.height - view.height) % 2) == (0, 0)
    assert wide.padded(-15, -8).box == pytest.approx(view.box)


def test_a_part_holds_its_rows_once():
    xy = LAYOUTS["not placed"]
    index = TileIndex.build(xy)
    rows = np.array([9, 5, 5, 0, 3, 2000])  # 0 and 3 have no place
    part = Points.of_rows(index, rows)
    assert sorted(part.rows) == [5, 9, 2000] and (np.diff(part.positions) > 0).all()
    assert len(Points.of_rows(index, np.empty(0, np.int64))) == 0
    assert len(Points.of_rows(index, np.arange(len(xy)))) == len(index)
