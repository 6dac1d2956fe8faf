"""Sums of a map are the same whether they come from the points or from pyramids, and members' are their own."""

import numpy as np
import pytest

from app.columns import Values
from app.map import sums as module
from app.map.colouring import Colouring, member_radius
from app.map.raster import Points, View
from app.map.sums import Brought, Sums
from engine.maps.drawing import pyramid
from engine.maps.drawing.pyramid import Pyramid
from engine.maps.drawing.tiles import TileIndex

COLOURS = np.array([[250, 10, 0], [0, 200, 30], [10, 20, 220], [70, 70, 70]], np.uint8)
VIEW = View(-2.2, -1.9, 2.3, 2.1, 61, 53)


@pytest.fixture
def layout(monkeypatch):
    for where in (module, pyramid):
        monkeypatch.setattr(where, "FEWEST", 1000)
    monkeypatch.setattr(pyramid, "SIDES", (1024, 1024))
    rng = np.random.default_rng(0)
    xy = rng.normal(size=(50_000, 2)).astype(np.float32)
    index = TileIndex.build(xy)
    return xy, Points(index), Points(index, pyramid=Pyramid.build(index))


def number(xy):
    values = (xy[:, 0] * 3).astype(np.float32)
    values[::11], values[5] = np.nan, np.inf
    return Values("x", "number", values)


def category(xy):
    codes = np.clip((xy[:, 0] + 1).astype(np.int8), -1, 2)
    codes[::7] = -1
    return Values("k", "category", codes, ("a", "b", "c"))


def close(first, second, *, within):
    """Whether two pictures differ by little on average, where either has something."""
    some = (first > 0) | (second > 0)
    return np.abs(first[some] - second[some]).mean() <= within


def test_counts(layout):
    _, plain, tall = layout
    first, second = Sums(plain).counts(VIEW).astype(float), Sums(tall).counts(VIEW).astype(float)
    assert not np.array_equal(first, second)  # else no pyramid was used
    assert abs(first.sum() / second.sum() - 1) < 0.01 and np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.95


def test_means(layout):
    xy, plain, tall = layout
    brought = Brought(number(xy), plain.index, COLOURS[:0])
    means = []
    for points in (plain, tall):
        _, total, known = Sums(points, brought).sums(VIEW)
        means.append(np.divide(total, known, out=np.zeros(total.shape), where=known > 3))
    both = (means[0] != 0) & (means[1] != 0)
    assert np.abs(means[0] - means[1])[both].mean() < 0.1 and both.mean() > 0.5


def test_all_known_is_a_pyramid_less(layout):
    xy, _, tall = layout
    values = Values("x", "number", xy[:, 0].copy())
    brought = Brought(values, tall.index, COLOURS[:0])
    assert brought.numbers[1] is None
    _, total, known = Sums(tall, brought).sums(VIEW)
    mean = (total / np.maximum(known, 1))[:, 20:40]
    assert np.abs(mean - np.linspace(VIEW.x0, VIEW.x1, 61)[20:40])[known[:, 20:40] > 0].mean() < 0.05


def test_mixtures(layout):
    xy, plain, tall = layout
    brought = Brought(category(xy), plain.index, COLOURS)
    pictures = []
    for points in (plain, tall):
        weight, mixed = Sums(points, brought).mixtures(VIEW)
        assert weight.shape == mixed.shape[:2] == (53, 61) and mixed.shape[2] == 4
        pictures.append(mixed[..., 1:] / np.maximum(mixed[..., :1], 1.0))
    assert close(*pictures, within=12)


def test_counts_by_category_are_exact_either_way(layout):
    xy, plain, tall = layout
    values = category(xy)
    x0, x1, y0, y1 = VIEW.box
    inside = ((xy >= [x0, y0]) & (xy <= [x1, y1])).all(axis=1)
    expected = [(inside & (values.array == k)).sum() for k in (0, 1, 2, -1)]
    for points in (plain, tall):
        assert Sums(points, Brought(values, points.index, COLOURS)).within(VIEW.box).tolist() == expected


def test_members_are_drawn_point_by_point(layout):
    xy, _, tall = layout
    part = Points.of_rows(tall.index, np.arange(0, len(xy), 5))
    assert np.array_equal(Sums(part).counts(VIEW), Sums(Points(tall.index, part.positions)).counts(VIEW))
    assert Sums(part).within((-9, 9, -9, 9)) == [10_000]


@pytest.mark.parametrize("kind", ["density", "number", "category"])
@pytest.mark.parametrize("scale", ["", "equalised", "log", "linear", "mixed", "top"])
def test_every_kind_on_every_scale(layout, kind, scale):
    xy, plain, tall = layout
    values = {"density": None, "number": number(xy), "category": category(xy)}[kind]
    pictures = [Colouring(values, dark=True, scale=scale).draw(p, VIEW, radius=0.5).rgba for p in (plain, tall)]
    assert pictures[0].shape == (53, 61, 4) and close(*(p.astype(float) for p in pictures), within=30)


def test_crowded_members_are_no_larger():
    assert member_radius(1.0, 0, 100, 100) > member_radius(1.0, 200, 100, 100) > 1
    assert member_radius(0.5, 5000, 100, 100) == 0.5


def test_selections_that_are_gone_are_let_go(layout):
    import gc
    import weakref

    xy, _, tall = layout
    colouring = Colouring(category(xy), dark=True)
    shared = colouring.sums(tall).brought
    gone = []
    for k in range(6):
        part = Points.of_rows(tall.index, np.arange(k, len(xy), 7))
        colouring.draw(tall, VIEW, radius=0.5)
        colouring.draw(part, VIEW, radius=0.5)
        assert colouring.sums(part).brought is shared
        gone.append(weakref.ref(part))
    del part
    gc.collect()
    assert sum(ref() is not None for ref in gone) <= 2


@pytest.mark.parametrize("statistic", ["max", "min"])
def test_extremes_by_hand(layout, statistic):
    """The largest and smallest value a pixel, of all and of some objects, by a loop over the objects."""
    xy, plain, _ = layout
    values = number(xy)
    brought = Brought(values, plain.index, COLOURS[:0])
    some = np.arange(0, len(xy), 3)
    for points, rows in ((plain, np.arange(len(xy))), (Points.of_rows(plain.index, some), some)):
        found = Sums(points, brought).extremes(VIEW, statistic)
        column = ((xy[rows, 0].astype(float) - VIEW.x0) / VIEW.unit[0]).astype(int)
        line = ((xy[rows, 1].astype(float) - VIEW.y0) / VIEW.unit[1]).astype(int)
        inside = (column >= 0) & (column < VIEW.width) & (line >= 0) & (line < VIEW.height)
        inside &= (xy[rows] > [VIEW.x0, VIEW.y0]).all(axis=1) & np.isfinite(values.array[rows])
        start, better = (-np.inf, np.maximum) if statistic == "max" else (np.inf, np.minimum)
        expected = np.full((VIEW.height, VIEW.width), start)
        better.at(expected, (line[inside], column[inside]), values.array[rows][inside])
        expected[~np.isfinite(expected)] = np.nan
        assert np.array_equal(found, expected.astype(np.float32), equal_nan=True)


def test_a_rare_high_value_is_lost_in_the_mean_but_not_in_the_highest(layout):
    xy, plain, _ = layout
    values = Values("x", "number", np.zeros(len(xy), np.float32))
    values.array[np.argmin(np.abs(xy).sum(axis=1))] = 1.0  # one in the densest place
    view, drawn = View(-1, -1, 1, 1, 9, 9), {}
    for statistic in ("mean", "max"):
        colouring = Colouring(values, dark=True, statistic=statistic)
        drawn[statistic] = colouring.draw(plain, view, radius=0.5).rgba[4, 4, :3].astype(int)
        assert (colouring.palette[-1] == drawn[statistic]).all() == (statistic == "max")
