"""Exemplars: one a cell, kept while zooming in, the most typical; equal to a slow twin that looks at every cell."""

import numpy as np
import pytest

from engine import UserError, files
from engine.maps import exemplars as made
from engine.maps.exemplars import DEPTH, Exemplars, exemplars, morton
from engine.maps.typical import Likeness, compared, likeness, most_typical

rng = np.random.default_rng(0)


def cloud(n, seed=0):
    """Positions in clumps, some outliers, some twins, some without a place."""
    draw = np.random.default_rng(seed)
    xy = draw.normal(size=(n, 2)) * 0.3 + draw.integers(-3, 4, (n, 2))
    xy[: n // 50] *= 40
    xy[n // 2 : n // 2 + n // 10] = xy[: n // 10]
    xy[-n // 20 :] = np.nan
    return xy.astype(np.float32)


def alike(n, dimension=5, seed=1):
    draw = np.random.default_rng(seed)
    return Likeness(draw.integers(-900, 900, (n, dimension)).astype(np.int16), draw.random(n) < 0.9, "given", "x")


def cells(found: Exemplars, xy, level):
    """Cell of every placed object, as the docstring says it."""
    placed = np.flatnonzero(np.isfinite(xy).all(axis=1))
    cell = np.floor((xy[placed].astype(float) - found.lower) / found.size * 2.0**level).astype(int)
    return placed, np.clip(cell, 0, 2**level - 1)


def twin(xy, given: Likeness, found: Exemplars, depth=DEPTH):
    """The exemplar of every cell at every level, from the finest to the coarsest: {level: {cell: row}}."""
    placed, finest = cells(found, xy, DEPTH)
    order = np.lexsort((placed, morton(finest[:, 0].astype(np.uint64), finest[:, 1].astype(np.uint64))))
    placed, finest = placed[order], finest[order]
    levels, below = {}, {int(row): int(row) for row in placed}  # the exemplars of the level below, by themselves
    for level in range(DEPTH, -1, -1):
        groups: dict = {}
        for row, cell in zip(placed.tolist(), (finest >> (DEPTH - level)).tolist()):
            groups.setdefault(tuple(cell), []).append(row)
        winners = {}
        for cell, rows in groups.items():
            counted = [row for row in rows if given.known[row]]
            candidates = [row for row in rows if row in below]
            mean = given.features[counted].astype(float).mean(axis=0) if counted else 0.0
            distance = [
                np.square(given.features[row] - mean).sum() if given.known[row] else np.inf for row in candidates
            ]
            winners[cell] = candidates[int(np.argmin(np.round(distance, 6)))]
        levels[level] = winners
        below = {row: row for row in winners.values()}
    return levels


@pytest.mark.parametrize("seed", range(4))
def test_equal_to_a_slow_twin_that_looks_at_every_cell(seed):
    xy, given = cloud(400, seed), alike(400, seed=seed + 10)
    found = Exemplars.build(xy, given)
    slow = twin(xy, given, found)
    level_of = {}
    for level in range(DEPTH, -1, -1):
        for row in slow[level].values():
            level_of[row] = level
    for level in range(DEPTH + 1):
        here = found.rows[found.starts[level] : found.starts[level + 1]]
        assert set(here.tolist()) == {row for row, k in level_of.items() if k == level}, level
    never = found.rows[found.starts[DEPTH + 1] :]
    assert set(never.tolist()) == set(np.flatnonzero(np.isfinite(xy).all(axis=1)).tolist()) - set(level_of)


@pytest.mark.parametrize("level", [0, 1, 3, 6, 12, DEPTH])
def test_one_a_cell_and_every_occupied_cell_has_one(level):
    xy, given = cloud(3000), alike(3000)
    found = Exemplars.build(xy, given)
    rows = found.rows[: found.starts[level + 1]]
    placed, cell = cells(found, xy, level)
    own = dict(zip(placed.tolist(), map(tuple, cell.tolist())))
    assert len({own[row] for row in rows.tolist()}) == len(rows) == len(set(own.values()))


def test_what_is_shown_stays_shown_while_zooming_in():
    xy, given = cloud(5000), alike(5000)
    found = Exemplars.build(xy, given)
    x0, y0, x1, y1 = -3.0, -3.0, 3.0, 3.0
    shown = set(found.within(6, x0, y0, x1, y1).rows.tolist())
    for level in range(7, 14):
        x0, y0, x1, y1 = (0.8 * v for v in (x0, y0, x1, y1))
        inside = {r for r in shown if x0 <= xy[r, 0] <= x1 and y0 <= xy[r, 1] <= y1}
        shown = set(found.within(level, x0, y0, x1, y1).rows.tolist())
        assert inside <= shown and inside


def test_a_view_holds_the_exemplars_of_its_cells_in_their_cells():
    xy, given = cloud(5000), alike(5000)
    found = Exemplars.build(xy, given)
    for level in (0, 2, 5, 9, 14):
        side = found.side(level)
        box = (-1.3, -0.4, -1.3 + min(40 * side, 4), -0.4 + min(30 * side, 3))
        got = found.within(level, *box)
        placed, cell = cells(found, xy, level)
        own = dict(zip(placed.tolist(), cell.tolist()))
        assert [own[row] for row in got.rows.tolist()] == got.cells.tolist()
        low = np.floor((np.array(box[:2]) - found.lower) / side)
        high = np.floor((np.array(box[2:]) - found.lower) / side)
        inside = ((cell >= low) & (cell <= high)).all(axis=1)
        assert len(got.rows) == len({tuple(c) for c in cell[inside].tolist()})


def test_the_level_is_the_finest_whose_cells_are_large_enough():
    found = Exemplars.build(cloud(100), alike(100))
    for side in (found.size * 3, found.size, found.size / 7, found.size / 1000, found.size / 2**40, 0.0):
        level = found.level(side)
        assert 0 <= level <= DEPTH
        assert level == 0 or found.side(level) >= side
        assert level == DEPTH or found.side(level + 1) < side


def test_unknown_objects_stand_for_a_place_only_where_nobody_else_can():
    xy = np.array([[0, 0], [0.1, 0.1], [5, 5], [9, 9.5]], np.float32)
    given = Likeness(np.zeros((4, 2), np.int16), np.array([False, True, False, True]), "given", "x")
    found = Exemplars.build(xy, given)
    assert found.rows[0] in (1, 3)
    assert set(found.within(1, *xy.min(0), *xy.max(0)).rows.tolist()) >= {1, 3}
    deep = found.within(8, *xy.min(0), *xy.max(0))
    assert set(deep.rows.tolist()) == {0, 1, 2, 3}


def test_twins_at_one_place_have_one_that_is_shown():
    xy = np.full((7, 2), 2.5, np.float32)
    features = np.array([[0], [1], [2], [3], [4], [5], [60]], np.int16)  # mean 10.7, nearest 5
    found = Exemplars.build(xy, Likeness(features, np.ones(7, bool), "given", "x"))
    for level in (0, 5, DEPTH):
        assert found.within(level, 2.5, 2.5, 2.5, 2.5).rows.tolist() == [5]
    assert found.starts[1] == 1 and found.starts[DEPTH + 1] == 1 and found.starts[-1] == 7


@pytest.mark.parametrize("n", [0, 1, 2])
def test_next_to_nothing_is_fine(n):
    xy = np.zeros((n, 2), np.float32)
    found = Exemplars.build(xy, Likeness(xy, np.ones(n, bool), "", "positions"))
    assert len(found.within(3, -1, -1, 1, 1).rows) == min(n, 1)


def test_too_fine_a_level_for_a_box_is_refused():
    found = Exemplars.build(cloud(100), alike(100))
    with pytest.raises(ValueError, match="cells at level"):
        found.within(DEPTH, -100, -100, 100, 100)


def test_the_most_typical_of_groups_equals_a_slow_twin():
    draw = np.random.default_rng(3)
    groups, features, known = draw.integers(-1, 40, 500), draw.normal(size=(500, 4)), draw.random(500) < 0.8
    groups[groups == 7] = 8
    got = most_typical(groups, features, known, 40)
    for group in range(40):
        rows = np.flatnonzero(groups == group)
        counted = rows[known[rows]]
        if not len(rows):
            assert got[group] == -1
        elif not len(counted):
            assert got[group] == rows[0]
        else:
            distance = np.square(features[counted] - features[counted].mean(axis=0)).sum(axis=1)
            assert got[group] == counted[np.argmin(distance)]


def test_coordinates_keep_the_order_of_distances():
    draw = np.random.default_rng(5)
    vectors = (draw.normal(size=(300, 12)) * np.linspace(3, 0.1, 12)).astype(np.float16)
    valid = draw.random(300) < 0.9
    vectors[~valid] = 0
    from engine.maps.components import balanced_coordinates

    full, kept = balanced_coordinates(vectors, valid, 12)[valid], compared(vectors, valid)[valid].astype(float)
    a, b = (np.linalg.norm(x[:, None] - x[None], axis=2) for x in (full, kept))
    scale = b.sum() / a.sum()
    assert np.abs(b - scale * a).max() < 2e-3 * b.max()
    assert not compared(vectors, valid)[~valid].any()


def test_stored_read_back_and_made_anew_when_the_layout_is_another(own_survey, monkeypatch):
    layout = own_survey.layouts[0]
    first = exemplars(own_survey, layout)
    folder = own_survey.path / "layouts" / layout / "exemplars"
    assert (folder / "exemplars.json").is_file() and first.basis == own_survey.representations[0]
    monkeypatch.setattr(made, "likeness", lambda *a, **k: pytest.fail("it was stored"))
    again = exemplars(own_survey, layout)
    assert np.array_equal(first.rows, again.rows) and np.array_equal(first.starts, again.starts)
    monkeypatch.undo()
    xy = np.array(own_survey.layout_xy(layout))
    xy[0] = np.nan
    files.write_npy(own_survey.path / "layouts" / layout / "xy.npy", xy)
    other = exemplars(own_survey, layout)
    assert len(other) == len(first) - 1 and 0 not in other.rows


def test_a_damaged_store_is_made_anew(own_survey):
    layout = own_survey.layouts[0]
    first = exemplars(own_survey, layout)
    folder = own_survey.path / "layouts" / layout / "exemplars"
    files.write_npy(folder / "rows.npy", np.zeros(3, np.int64))
    assert np.array_equal(exemplars(own_survey, layout).rows, first.rows)


def test_a_survey_that_may_not_be_written_to_has_them_too(own_survey, monkeypatch):
    def full(*args):
        raise OSError("read-only")

    monkeypatch.setattr(Exemplars, "save", full)
    assert len(exemplars(own_survey, own_survey.layouts[0]))


def test_without_a_representation_positions_say_what_is_typical(make_survey):
    survey = make_survey(200, columns={"a": rng.normal(size=200), "b": rng.normal(size=200)})
    survey.layout("columns", columns=("a", "b"))
    name = survey.layouts[0]
    given = likeness(survey, name)
    assert given.basis == "" and exemplars(survey, name).basis == ""
    top = exemplars(survey, name)
    xy = survey.layout_xy(name)
    four = top.within(1, *np.nanmin(xy, axis=0), *np.nanmax(xy, axis=0)).rows
    middle = xy.mean(axis=0)
    assert top.rows[0] == four[np.argmin(np.square(xy[four] - middle).sum(axis=1))]


def test_columns_are_compared_by_the_newest_representation(make_survey):
    survey = make_survey(50, columns={"a": rng.normal(size=50), "b": rng.normal(size=50)}, vectors=np.eye(50, 8))
    survey.layout("columns", columns=("a", "b"))
    assert likeness(survey, survey.layouts[0]).basis == "given"


def test_an_unknown_layout_is_refused(make_survey):
    with pytest.raises(UserError, match="no layout"):
        exemplars(make_survey(5), "nothing")
