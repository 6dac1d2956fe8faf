"""Lasso: member for member what exact arithmetic and shapely say."""

from fractions import Fraction

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import UserError
from engine.maps.drawing.tiles import TileIndex
from engine.search.region import _exact_orientation, _orientation, box, inside


def even_odd(point, ring):
    """Even-odd rule in rational arithmetic, a point on an edge being outside: the slow, obvious twin."""
    px, py = map(Fraction, point)
    crossings = 0
    for a, b in zip(ring, [*ring[1:], ring[0]]):
        (ax, ay), (bx, by) = ((Fraction(u), Fraction(v)) for u, v in (a, b))
        turn = (bx - ax) * (py - ay) - (by - ay) * (px - ax)
        if turn == 0 and min(ax, bx) <= px <= max(ax, bx) and min(ay, by) <= py <= max(ay, by):
            return False
        if (ay > py) != (by > py) and (turn > 0) == (by > ay):
            crossings += 1
    return crossings % 2 == 1


def slow(xy, ring):
    """Rows inside, by the twin."""
    ring = [(float(x), float(y)) for x, y in ring]
    return np.array([i for i, p in enumerate(xy.tolist()) if np.isfinite(p).all() and even_odd(p, ring)], np.int64)


def star(rng, vertices, *, radius=1.0, jagged=0.4):
    """A random polygon that does not cross itself: angles in order, radii at random."""
    angle = np.sort(rng.uniform(0, 2 * np.pi, vertices))
    reach = radius * rng.uniform(1 - jagged, 1 + jagged, vertices)
    return np.stack([reach * np.cos(angle), reach * np.sin(angle)], axis=1)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("vertices", [3, 20, 500])
def test_equals_shapely(seed, vertices):
    rng = np.random.default_rng(seed)
    xy = rng.normal(size=(20_000, 2)).astype(np.float32)
    xy[::50] = np.nan
    polygon = star(rng, vertices) + rng.normal(size=2)
    known = np.isfinite(xy[:, 0])
    expected = np.zeros(len(xy), bool)
    expected[known] = shapely.contains_xy(shapely.Polygon(polygon), *xy[known].astype(np.float64).T)
    assert np.array_equal(inside(TileIndex.build(xy), polygon), np.flatnonzero(expected))
    assert np.array_equal(inside(xy, polygon), np.flatnonzero(expected))


@pytest.mark.parametrize("side", [1, 8, 40, 256])
@pytest.mark.parametrize("scale, offset", [(1, 0), (1e-3, 7), (1e6, -3e6)])
def test_tiles_taken_as_a_whole_hold_what_their_points_do(side, scale, offset):
    rng = np.random.default_rng(side)
    xy = (rng.normal(size=(40_000, 2)) * scale + offset).astype(np.float32)
    index = TileIndex.build(xy, side=side)
    for vertices, jagged in ((4, 0.0), (60, 0.2), (500, 0.4)):
        polygon = star(rng, vertices, radius=1.5, jagged=jagged) * scale + offset
        expected = shapely.contains_xy(shapely.Polygon(polygon), *xy.astype(np.float64).T)
        assert np.array_equal(inside(index, polygon), np.flatnonzero(expected))


@pytest.mark.parametrize("seed", range(6))
def test_polygon_that_crosses_itself_equals_rational_arithmetic(seed):
    rng = np.random.default_rng(seed)
    xy = rng.normal(size=(400, 2)).astype(np.float32)
    polygon = rng.normal(size=(12, 2))
    expected = slow(xy, polygon)
    assert 0 < len(expected) < 400
    assert np.array_equal(inside(TileIndex.build(xy), polygon), expected)
    assert np.array_equal(inside(xy, polygon), expected)


lattice = st.tuples(st.integers(-4, 4), st.integers(-4, 4))


@settings(max_examples=100, deadline=None)
@given(st.lists(lattice, min_size=3, max_size=9), st.sampled_from([1.0, 0.1, 1 / 3, 1e-5]))
def test_points_on_vertices_and_edges_equal_rational_arithmetic(vertices, unit):
    """Lattice points lie on edges, on vertices, on a line with them; outlines touch, cross and run back."""
    xy = np.stack(np.meshgrid(np.arange(-5, 6), np.arange(-5, 6)), axis=-1).reshape(-1, 2) * unit
    ring = np.array(vertices) * unit
    assert np.array_equal(inside(xy, ring), slow(xy, ring))


@settings(max_examples=40, deadline=None)
@given(st.lists(lattice, min_size=3, max_size=8))
def test_valid_polygons_with_points_on_the_outline_equal_shapely(vertices):
    polygon = shapely.Polygon(vertices)
    if not polygon.is_valid:
        return
    xy = np.stack(np.meshgrid(np.arange(-5, 6), np.arange(-5, 6)), axis=-1).reshape(-1, 2).astype(np.float32)
    expected = np.flatnonzero(shapely.contains_xy(polygon, *xy.astype(np.float64).T))
    assert np.array_equal(inside(TileIndex.build(xy, side=5), np.array(vertices)), expected)


def test_orientation_where_rounding_misleads():
    """Points within a few units in the last place of a line: the sign is that of rational arithmetic."""
    rng = np.random.default_rng(0)
    unsure = 0
    for _ in range(300):
        a, b = rng.normal(size=(2, 2))
        p = a + rng.uniform() * (b - a)
        p = p + rng.integers(-2, 3, 2) * np.spacing(p)
        (ax, ay), (bx, by), (px, py) = ([Fraction(v) for v in u] for u in (a, b, p))
        exact = (ax - px) * (by - py) - (ay - py) * (bx - px)
        sign = (exact > 0) - (exact < 0)
        plain = (a[0] - p[0]) * (b[1] - p[1]) - (a[1] - p[1]) * (b[0] - p[0])
        unsure += np.sign(plain) != sign
        assert _orientation(*a, *b, *p) == _exact_orientation(*a, *b, *p) == sign
    assert unsure > 10  # else the test would prove nothing


def test_few_vertices_and_flat_polygons_hold_nothing():
    xy = np.random.default_rng(0).uniform(size=(50, 2)).astype(np.float32)
    for polygon in ([[0, 0]], [[0, 0], [1, 1]], [[0, 0], [1, 0], [0.5, 0]], [[0.5, 0.5]] * 4):
        assert len(inside(xy, np.array(polygon, float))) == 0
    assert len(inside(np.empty((0, 2), np.float32), np.array([[0, 0], [1, 0], [0, 1.0]]))) == 0
    assert len(inside(TileIndex.build(xy), np.array([[9, 9], [10, 9], [9, 10.0]]))) == 0


def test_box_includes_its_border_in_any_order():
    xy = np.array([[0, 0], [1, 1], [2, 2], [np.nan, 1]], np.float32)
    for points in (xy, TileIndex.build(xy)):
        assert box(points, 1, 0, 0, 1).tolist() == [0, 1]


@pytest.mark.parametrize("polygon", [[], [[1, 2, 3]], [[0, 0], [1, np.nan], [2, 2]], [1, 2, 3]])
def test_what_is_no_polygon_is_refused(polygon):
    with pytest.raises(UserError, match="polygon"):
        inside(np.zeros((3, 2)), np.array(polygon, float))
