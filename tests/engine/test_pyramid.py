"""Pyramids: exact where cells and pixels agree, and true to the points elsewhere."""

import numpy as np
import pytest

from engine.maps.drawing import aggregate, pyramid
from engine.maps.drawing.points import Points, View
from engine.maps.drawing.pyramid import Pyramid
from engine.maps.drawing.tiles import TileIndex

SIDE = 256


@pytest.fixture(scope="module")
def xy():
    rng = np.random.default_rng(3)
    points = np.concatenate([rng.normal(size=(60_000, 2)), rng.normal(1.5, 0.3, (20_000, 2))]).astype(np.float32)
    points[::97] = np.nan
    points[5] = 1e6, -1e6  # beyond the grid, as are one in a thousand
    return points


@pytest.fixture(scope="module")
def points(xy):
    return Points(TileIndex.build(xy))


@pytest.fixture(scope="module")
def built(points):
    return Pyramid.build(points.index, side=SIDE)


def aligned(built, cells, columns, rows, *, at=(0, 0)):
    """A view whose pixels are `cells` × `cells` of the grid, from a cell on."""
    unit = (built.upper - built.lower) / built.side
    x0, y0 = built.lower + unit * at
    width, height = unit * cells * (columns, rows)
    return View(x0, y0, x0 + width, y0 + height, columns, rows)


def test_the_whole_grid_is_counted_exactly(points, built):
    for cells in (2, 4, 8):
        view = aligned(built, cells, SIDE // cells, SIDE // cells)
        assert np.array_equal(built.counts(view), aggregate.counts(points, view))


@pytest.mark.parametrize("at", [(0, 0), (16, 64), (-40, 100), (200, -32)])
def test_views_on_the_cells_borders_are_exact(points, built, at):
    view = aligned(built, 2, 60, 50, at=at)
    found, exact = built.counts(view), aggregate.counts(points, view)
    # a point within a rounding of a border may fall on its other side
    assert np.abs(found.astype(int) - exact).sum() <= 2 and int(found.sum()) == pytest.approx(int(exact.sum()), abs=2)


def test_any_view_holds_as_many_points_and_in_their_places(points, built):
    rng = np.random.default_rng(0)
    for _ in range(30):
        x0, y0 = rng.uniform(-3, 0, 2)
        view = View(x0, y0, x0 + 3.1, y0 + 2.3, int(rng.integers(20, 45)), int(rng.integers(15, 35)))
        assert built.resolves(view)
        found, exact = built.counts(view), aggregate.counts(points, view)
        assert int(found.sum()) == pytest.approx(int(exact.sum()), rel=0.01)
        assert np.corrcoef(found.ravel(), exact.ravel())[0, 1] > 0.95
        assert found.max() <= 1.5 * exact.max()


def test_a_flat_density_shows_no_pattern():
    rng = np.random.default_rng(0)
    flat = Points(TileIndex.build(rng.uniform(size=(400_000, 2)).astype(np.float32)))
    built = Pyramid.build(flat.index, side=SIDE)
    found = built.counts(View(0.1, 0.1, 0.9, 0.9, 89, 89)).astype(float)  # 2.3 cells a pixel: some take two, some three
    assert np.abs(found.mean(axis=0) / found.mean() - 1).max() < 0.08  # 50 objects a pixel, 89 pixels a column: 1.5 %


def test_a_lone_object_stays_one(points, built):
    view = View(-4, -4, 4, 4, 100, 100)
    found, exact = built.counts(view), aggregate.counts(points, view)
    lone = (found == 1).sum() / (exact == 1).sum()
    assert 0.8 < lone < 1.2 and (found > 0).sum() == pytest.approx((exact > 0).sum(), rel=0.05)


@pytest.mark.parametrize("kind", [np.uint8, np.float32, bool])
def test_sums_of_values_are_exact_on_the_cells_borders(points, kind):
    rng = np.random.default_rng(1)
    values = rng.integers(0, 2 if kind is bool else 255, len(points.index)).astype(kind)
    if kind is np.float32:
        values[::3] = np.nan
    built = Pyramid.build(points.index, values, side=SIDE)
    assert built.sums.dtype == (np.float64 if kind is np.float32 else np.uint32)
    view = aligned(built, 4, 64, 64)
    _, total, _ = aggregate.sums(points, view, values.astype(np.float32))
    assert np.allclose(built.raw(view), total)


def test_halved_it_has_the_same_sums(points, built):
    view = aligned(built, 4, 64, 64)
    assert built.halved().side == SIDE // 2
    assert np.array_equal(built.halved().counts(view), built.counts(view))


def test_fine_views_and_flat_layouts_are_left_to_the_points(points, built):
    assert built.resolves(View(-3, -3, 3, 3, 80, 80)) and not built.resolves(View(-3, -3, 3, 3, 800, 80))
    for xy in ([[0.0, 1], [1, 1], [2, 1]], [[1.0, 1]], np.empty((0, 2))):
        layout = Points(TileIndex.build(np.array(xy, np.float32)))
        flat = Pyramid.build(layout.index, side=4)
        assert not flat.resolves(View(-3, -3, 3, 3, 2, 2))
        assert flat.counts(View(-3, -3, 3, 3, 2, 2)).shape == (2, 2)


def test_as_many_cells_as_points():
    assert [pyramid.cells(n) for n in (1, 4_000_000, 5_000_000, 10_000_000, 10**8)] == [2048, 2048, 4096, 4096, 8192]


class TestKept:
    @pytest.fixture(autouse=True)
    def few(self, monkeypatch):
        monkeypatch.setattr(pyramid, "FEWEST", 1000)
        monkeypatch.setattr(pyramid, "SIDES", (SIDE, SIDE))

    def test_it_comes_back_as_it_was(self, points, built, tmp_path):
        pyramid.store(tmp_path, points.index)
        again, view = Pyramid.load(tmp_path, points.index), View(-3, -3, 3, 3, 50, 50)
        assert np.array_equal(again.counts(view), built.counts(view))
        assert np.array_equal(pyramid.counted(tmp_path, points.index).sums, built.sums)

    @pytest.mark.parametrize("harm", ["gone", "cut", "rows", "text", "other points", "none", "shape"])
    def test_a_damaged_or_foreign_one_is_built_anew(self, xy, points, built, tmp_path, harm):
        pyramid.store(tmp_path, points.index)
        table, about, index = tmp_path / "pyramid.npy", tmp_path / "pyramid.json", points.index
        if harm == "gone":
            table.unlink()
        elif harm == "cut":
            table.write_bytes(table.read_bytes()[:-1000])
        elif harm == "rows":
            np.save(table, np.asarray(built.sums)[::-1])
        elif harm == "shape":
            np.save(table, np.asarray(built.sums)[:, :-4])
        elif harm == "text":
            about.write_text("[1, 2")
        elif harm == "none":
            about.write_text("{}")
        else:
            moved = xy.copy()
            moved[::2] += 0.01
            index = TileIndex.build(moved)
        assert Pyramid.load(tmp_path, index) is None
        assert pyramid.counted(tmp_path, index).counts(View(-3, -3, 3, 3, 9, 9)).sum() > 0

    def test_few_points_need_none(self, tmp_path, points):
        pyramid.store(tmp_path, points.index)
        few = TileIndex.build(np.random.default_rng(0).normal(size=(500, 2)))
        pyramid.store(tmp_path, few)
        assert pyramid.counted(tmp_path, few) is None and not list(tmp_path.iterdir())
