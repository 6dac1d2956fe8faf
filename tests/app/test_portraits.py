"""Thumbnails on the map without a browser: which, where, when; marks, stretch, clicks; what is sent and what is not."""

from types import SimpleNamespace

import numpy as np
import pytest

from app.frames import unpack
from app.map import portraits as made
from app.map.portraits import CELL, LARGEST, MOST, SHARE, SPACE, Gathered, crowded, gather
from app.map.view import MapView
from app.state import State
from app.store import Store
from engine.data.pictures.stretch import Stretch
from engine.errors import UserError
from engine.maps.drawing.tiles import TileIndex
from engine.maps.exemplars import Exemplars
from engine.maps.typical import Likeness

SIZE = (700, 500)


@pytest.fixture(scope="module")
def cloud():
    draw = np.random.default_rng(2)
    xy = (draw.normal(size=(20_000, 2)) + draw.integers(-2, 3, (20_000, 2))).astype(np.float32)
    xy[::97] = np.nan
    features = draw.integers(-500, 500, (len(xy), 4)).astype(np.int16)
    return xy, Exemplars.build(xy, Likeness(features, np.ones(len(xy), bool), "", ""))


@pytest.fixture
def view(own_survey):
    import holoviews as hv

    hv.extension("bokeh")
    state = State(layout=own_survey.layouts[0], target="dwarf", portraits="on")
    found = MapView(state, Store(own_survey.path))
    found.panel()
    found.look((0.0, 0.0, 1.0, 1.0), SIZE)
    yield found
    found.close()


def shown(view) -> dict:
    return unpack(view._portraits.frame)[0]


def near(view, share):
    """Look at the middle part of the layout."""
    x0, y0, x1, y1 = view.shown.view
    x, y, dx, dy = (x0 + x1) / 2, (y0 + y1) / 2, share * (x1 - x0) / 2, share * (y1 - y0) / 2
    view._portraits.look((x - dx, y - dy, x + dx, y + dy), SIZE)


@pytest.mark.parametrize("share", [1.0, 0.3, 0.05])
@pytest.mark.parametrize("size", [(604, 668), (1190, 1028), (2900, 2000)])
def test_each_lies_over_its_object_inside_its_cell_and_none_over_another(cloud, share, size):
    xy, found = cloud
    width = 9.0 * share
    view = (-width / 2, -width / 2 * size[1] / size[0], width / 2, width / 2 * size[1] / size[0])
    got = gather(found, xy, view, size)
    boxes = got.boxes(view, size)
    assert len(boxes)
    left, top, side = boxes.T
    unit = size[0] / (view[2] - view[0])
    cell = got.side * unit
    assert got.level == 0 or max(CELL, np.sqrt(size[0] * size[1] / MOST)) <= cell
    assert side[0] == pytest.approx(min(SHARE * cell, LARGEST))
    at = np.stack([(got.xy[:, 0] - view[0]) * unit, (view[3] - got.xy[:, 1]) * unit], axis=1)
    assert ((at >= boxes[:, :2] - SPACE - 1e-6) & (at <= boxes[:, :2] + side[:, None] + SPACE + 1e-6)).all()
    low = (got.lower[0] + got.side * got.cells[:, 0] - view[0]) * unit
    assert (left >= low + SPACE - 1e-6).all() and (left + side <= low + cell - SPACE + 1e-6).all()
    apart = np.abs(boxes[:, None, :2] - boxes[None, :, :2]).max(axis=2) + 1e9 * np.eye(len(boxes))
    assert (apart >= side[0]).all()
    visible = (left + side > 0) & (left < size[0]) & (top + side > 0) & (top < size[1])
    assert visible.sum() <= 1.6 * MOST


def test_the_one_under_a_position_is_found_and_only_there(cloud):
    xy, found = cloud
    view = (-1.0, -1.0 * 5 / 7, 1.0, 5 / 7)
    got = gather(found, xy, view, SIZE)
    left, top, side = got.boxes(view, SIZE).T
    draw = np.random.default_rng(0)
    hits = 0
    for column, line in draw.random((300, 2)) * SIZE:
        x, y = view[0] + column / SIZE[0] * 2, view[3] - line / SIZE[1] * 10 / 7
        over = np.flatnonzero((column >= left) & (column < left + side) & (line >= top) & (line < top + side))
        assert got.at(x, y, view, SIZE) == (over[0] if len(over) else -1)
        hits += len(over)
    assert hits > 50


def test_the_middle_comes_first(cloud):
    xy, found = cloud
    view = (-1.0, -0.7, 1.0, 0.7)
    got = gather(found, xy, view, SIZE)
    away = np.abs(got.xy / [2.0, 1.4]).max(axis=1)
    assert (np.diff(away) >= 0).all()


@pytest.mark.parametrize("box", [(-1, -1, 1, 1), (-0.1, 0, 0.1, 0.3), (50, 50, 60, 60), (-100, -100, 100, 100)])
def test_crowded_counts_as_a_slow_twin_would(cloud, box):
    xy, _ = cloud
    index = TileIndex.build(xy)
    x0, y0, x1, y1 = box
    count = ((xy >= [x0, y0]) & (xy <= [x1, y1])).all(axis=1).sum()
    for most in (0, max(0, count - 1), count, count + 1):
        assert crowded(index, box, most) == (count > most)


def test_they_appear_by_themselves_where_there_is_room_and_stay_a_little_longer(own_survey, monkeypatch):
    state = State(layout=own_survey.layouts[0])
    found = MapView(state, Store(own_survey.path))
    found.look((0.0, 0.0, 1.0, 1.0), SIZE)
    assert found._portraits._gathered is None  # 600 objects in few cells
    monkeypatch.setattr(made, "FEW", 1e9)
    monkeypatch.setattr(made, "TOO_MANY", 1e9)
    found._portraits._gather_now()
    assert len(shown(found)["rows"]) > 10
    monkeypatch.setattr(made, "FEW", 0)  # those that are there go by the other number
    found._portraits._gather_now()
    assert len(shown(found)["rows"]) > 10
    monkeypatch.setattr(made, "TOO_MANY", 0)
    found._portraits._gather_now()
    assert len(shown(found)["rows"]) == 0
    found.close()


def test_pictures_are_the_objects_own_and_are_sent_once(view):
    header = shown(view)
    rows = header["rows"]
    assert len(rows) > 10 and header["ids"] == view.store.ids(rows)
    sent = {}

    def heard(event):
        got, pictures = unpack(event.new)
        assert not set(got["rows"]) & set(sent)
        sent.update(zip(got["rows"], pictures))

    view._portraits.param.watch(heard, "pictures")
    view._portraits._heard({"type": "again"})
    assert list(sent) == rows
    assert list(sent.values()) == view.store.thumbnails(rows)
    near(view, 0.5)
    assert set(sent) >= set(shown(view)["rows"])
    before = len(sent)
    near(view, 0.50001)
    assert len(sent) == before


def test_what_the_browser_may_forget_is_never_what_is_shown(view, monkeypatch):
    monkeypatch.setattr(made, "KEPT", 90)
    for share in (1.0, 0.6, 0.3, 0.15, 0.08, 0.04, 1.0):
        near(view, share)
        header = shown(view)
        assert not set(header["drop"]) & set(header["rows"])
        assert len(view._portraits._sent) <= max(90, len(header["rows"]))


def test_another_stretch_draws_the_same_places_anew(view):
    rows, number = shown(view)["rows"], shown(view)["number"]
    pictures = []
    view._portraits.param.watch(lambda event: pictures.append(unpack(event.new)), "pictures")
    stretch = Stretch.from_text("invert=true")
    view.state.stretch = stretch
    got = {row: p for header, all_of in pictures for row, p in zip(header["rows"], all_of)}
    assert shown(view)["number"] == number and list(got) == rows
    assert [got[row] for row in rows] == view.store.pictures(rows, stretch)
    assert {header["epoch"] for header, _ in pictures} == {1}


def test_labels_and_members_are_marked(view):
    rows = np.array(shown(view)["rows"])
    view.store.label([int(rows[3])], "yes", target="dwarf", user="tester")
    view.state.labels_version += 1
    marks = view._portraits.marks
    assert marks["codes"][3] == 1 and sum(marks["codes"]) == 1 and not marks["selecting"]
    heard = []
    view._portraits.send = lambda kind, **message: heard.append((kind, message))
    view.state.select(rows[:5], kind="query")
    kind, message = heard[-1]
    assert kind == "marked" and message["members"].tolist() == [k < 5 for k in range(len(rows))]
    assert view._portraits.marks["selecting"]


@pytest.mark.parametrize("colour", ["truth", "mag_r"])
def test_edges_have_the_maps_colours(view, colour):
    heard = []
    view._portraits.send = lambda kind, **message: heard.append((kind, message))
    view.state.colour = colour
    rows = shown(view)["rows"]
    tints = heard[-1][1]["tints"]
    values = view.store.values(colour, "dwarf").array[rows]
    assert len(tints) == len(rows) and len(set(tints)) > 1
    for tint, value in zip(tints, values):  # the same value, the same colour
        assert all(other == tint for other, v in zip(tints, values) if v == value)
    view.state.colour = "density"
    assert heard[-1][1]["tints"] is None


def test_a_click_on_a_thumbnail_is_on_its_object_and_a_double_click_lists_its_like(view):
    got, looked = view._portraits._gathered, view._portraits._looked
    (x0, y0, x1, y1), (width, height) = looked
    left, top, side = got.boxes(*looked).T
    for place in range(0, len(got.rows), 7):  # a corner, where another object may be nearer
        x = x0 + (left[place] + 0.95 * side[place]) / width * (x1 - x0)
        y = y1 - (top[place] + 0.05 * side[place]) / height * (y1 - y0)
        view._pointer.tapped(SimpleNamespace(x=x, y=y))
        assert view.state.cursor == got.rows[place] and not view.state.inspecting
        assert view._portraits.cursor == got.rows[place]
        view._heard({"type": "hover", "x": x, "y": y})
        assert view.state.hovered == got.rows[place] and view.overlay.card["id"] == view.store.ids([got.rows[place]])[0]
    view._pointer.tapped_twice(SimpleNamespace(x=x, y=y))
    assert view.state.tab == "similar" and view.state.query_rows.tolist() == [got.rows[place]]


def test_the_key_goes_through_the_ways_and_off_means_none(view):
    assert view.overlay.portraits == "on"
    view._heard({"type": "portraits"})
    assert view.shown.portraits == "off" and view.overlay.portraits == "off" and shown(view)["rows"] == []
    x, y = view.store.placed(view.state.layout).xy[3].astype(float)
    assert view._portraits.at(x, y) == -1
    view._heard({"type": "portraits"})
    assert view.shown.portraits == "auto" and view.state.notice[0] == "info"


def test_another_layout_takes_them_away_and_brings_its_own(view):
    first = set(shown(view)["rows"])
    view.store.survey.layout("columns", columns=("ra", "dec"))
    other = next(n for n in view.store.layouts() if n != view.state.layout)
    view.state.layout = other
    view.look(view.shown.view, SIZE)
    xy = view.store.placed(other).xy
    header = shown(view)
    assert header["rows"] and set(header["rows"]) != first
    assert np.allclose(header["xy"], xy[header["rows"]])
    view.state.layout = ""
    assert shown(view)["rows"] == []


def test_unreadable_pixels_leave_the_dot(view, monkeypatch):
    monkeypatch.setattr(view.store, "pictures", lambda rows, stretch: [b""] * len(rows))
    view._portraits._heard({"type": "again"})
    got = view._portraits._gathered
    assert view._portraits.at(*got.xy[0]) == -1


def test_pixels_that_are_gone_are_told(view, monkeypatch):
    def gone(rows, stretch):
        raise UserError("the pixels are gone", "bring them back")

    monkeypatch.setattr(view.store, "pictures", gone)
    view._portraits._heard({"type": "again"})
    assert view.state.notice == ("error", "the pixels are gone: bring them back.") or "gone" in view.state.notice[1]


def test_a_survey_without_pixels_has_none(make_table):
    state = State(layout=make_table.layouts[0], portraits="on")
    found = MapView(state, Store(make_table.path))
    found.look((0.0, 0.0, 1.0, 1.0), SIZE)
    assert found.overlay.portraits == "" and found._portraits._gathered is None
    found.close()


@pytest.fixture
def make_table(tmp_path):
    import pandas as pd

    from engine import Survey

    draw = np.random.default_rng(1)
    objects = {"id": [f"o{k}" for k in range(50)], "ra": draw.random(50), "dec": draw.random(50)}
    survey = Survey.create(
        tmp_path / "t.survey", pd.DataFrame(objects), pixels={"kind": "none", "root": ".", "bands": []}
    )
    survey.layout("columns", columns=("ra", "dec"))
    return survey


def test_boxes_of_nothing_are_none():
    empty = Gathered(0, np.zeros(2), 1.0, np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros((0, 2), np.int64))
    assert empty.boxes((0, 0, 1, 1), SIZE).shape == (0, 3) and empty.at(0.5, 0.5, (0, 0, 1, 1), SIZE) == -1
