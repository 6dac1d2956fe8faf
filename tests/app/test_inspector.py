"""The inspector: what it says of an object, when it says nothing, and its arithmetic against astropy."""

import numpy as np
import pytest
from astropy.coordinates import Angle, SkyCoord
from galaxies import BANDLESS, COUNT, SIDE, UNREADABLE, fresh_store, make_survey
from hypothesis import given
from hypothesis import strategies as st

from app.frames import unpack
from app.inspector.view import InspectorView, catalogue_row, local_time, position, shown
from app.state import State
from engine.data.pictures.settings import Stretch
from engine.learning import targets
from engine.learning.targets import Target


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_survey(tmp_path_factory.mktemp("inspector")).path


@pytest.fixture
def store(folder, tmp_path):
    return fresh_store(folder, tmp_path)


@pytest.fixture
def view(store):
    state = State(target="dwarf", user="me")
    store.subscribe(lambda kind, detail: state.param.update(labels_version=state.labels_version + 1))
    view = InspectorView(state, store)
    view.said = []
    view.drawer.send = lambda kind, **message: view.said.append({"type": kind, **message})
    return view


def test_a_closed_drawer_costs_nothing(view):
    view.state.cursor = 3
    assert view.drawer.frame == view.drawer.picture == view.drawer.near == b""


def test_without_a_cursor_it_says_so(view):
    view.state.inspecting = True
    assert unpack(view.drawer.frame)[0]["row"] == -1


def test_an_object_is_shown_with_all_that_is_known(view, store):
    view.state.param.update(cursor=7, inspecting=True)
    header, pictures = unpack(view.drawer.frame)
    assert (header["row"], header["id"], header["code"]) == (7, "g0007", 0)
    assert pictures == store.thumbnails([7])
    facts = {fact["name"]: fact for fact in header["catalogue"]}
    assert set(facts) == {"mag", "kind", "note"} and facts["mag"]["unit"] == "mag"
    assert float(facts["mag"]["value"]) == store.survey.column("mag")[7]
    portrait, drawn = unpack(view.drawer.picture)
    assert (portrait["row"], portrait["width"], portrait["title"], len(drawn)) == (7, SIDE, "colour", 1)
    others, drawn = unpack(view.drawer.views)
    assert [v["title"] for v in others["views"]][:3] == ["g", "r", "z"] and all(drawn)
    assert others["blinks"] == ["band:g", "band:r", "band:z"] and len(others["card"]) == 6
    numbers, (values,) = unpack(view.drawer.numbers)
    assert (numbers["row"], numbers["shape"], numbers["sky"]) == (7, [3, SIDE, SIDE], None)
    np.testing.assert_array_equal(np.frombuffer(values, "<f4"), store.survey.cutouts.read([7])[0].ravel())
    near, thumbnails = unpack(view.drawer.near)
    assert 7 not in near["rows"] and len(thumbnails) == len(near["rows"]) == 12
    assert near["score"] == sorted(near["score"], reverse=True)


def test_missing_bands_and_unreadable_pixels(view):
    view.state.param.update(cursor=BANDLESS, inspecting=True)
    assert unpack(view.drawer.picture)[0]["missing"] == pytest.approx(1 / 3)
    header, drawn = unpack(view.drawer.views)
    assert header["views"][1]["title"] == "r" and drawn[1] == b""
    view.state.cursor = UNREADABLE
    header, drawn = unpack(view.drawer.picture)
    assert header["problem"] and drawn == [b""]
    assert unpack(view.drawer.views)[0]["views"] == [] and view.drawer.numbers == b""


def test_a_label_shows_in_code_scores_and_history(view, store):
    view.state.param.update(cursor=9, inspecting=True)
    view.drawer._handle_msg({"type": "label", "row": 9, "value": "yes"})
    said = view.said[-1]
    assert (said["type"], said["row"], said["code"]) == ("changed", 9, 1)
    assert said["history"][0]["value"] == "yes" and said["history"][0]["user"] == "me"
    assert "±" in said["scores"][0]["value"]
    view.drawer._handle_msg({"type": "undo"})
    assert view.said[-1]["code"] == 0 and view.said[-1]["history"][0]["value"] == "took it back"
    assert store.survey.labels.history(9)[0].view["tab"] == "inspector"


def test_an_object_is_shown_even_if_the_labels_cannot_be_read(view, store):
    (store.survey.path / "labels.sqlite").write_bytes(b"not a database, but as long as one " * 100)
    view.state.param.update(cursor=7, inspecting=True)
    assert unpack(view.drawer.frame)[0]["id"] == "g0007"
    assert view.state.notice[0] == "error"


def test_the_pictures_follow_the_sessions_stretch_and_the_numbers_stay(view):
    view.state.param.update(cursor=1, inspecting=True)
    before = unpack(view.drawer.picture)[1] + unpack(view.drawer.views)[1]
    view.drawer.numbers = b""
    view.state.stretch = Stretch(softness=1.0, gain=3.0, invert=True)
    header, (colour,) = unpack(view.drawer.picture)
    assert header["stretch"] == "softness=1,gain=3,invert=yes"
    after = [colour, *unpack(view.drawer.views)[1]]
    assert len(before) == len(after) and all(new != old for new, old in zip(after, before))
    assert view.drawer.numbers == b""  # sent once an object
    view.drawer._handle_msg({"type": "stretching"})
    assert view.state.stretching


def test_its_messages_move_the_session(view):
    view.state.param.update(cursor=1, inspecting=True)
    view.drawer._handle_msg({"type": "similar", "row": 1})
    assert view.state.tab == "similar" and list(view.state.query_rows) == [1]
    view.drawer._handle_msg({"type": "cursor", "row": 2})
    assert view.state.cursor == 2 and unpack(view.drawer.frame)[0]["row"] == 2
    view.drawer._handle_msg({"type": "cursor", "row": COUNT})
    assert view.state.cursor == 2
    view.drawer._handle_msg({"type": "part", "row": 1, "box": [2, 3, 9, 12.5]})
    assert view.state.region == (1, 2.0, 3.0, 9.0, 12.5) and view.state.tab == "similar"
    for odd in (None, [1, 2], ["a", 1, 2, 3]):
        view.drawer._handle_msg({"type": "part", "row": 2, "box": odd})
    assert view.state.region[0] == 1
    view.drawer._handle_msg({"type": "close"})
    assert not view.state.inspecting


def test_a_row_is_read_from_its_own_group(store):
    whole = store.survey.table()
    for row in (0, 101, COUNT - 1):
        assert catalogue_row(store.survey, row) == whole.iloc[row].to_dict()


@given(st.floats(0, 360, exclude_max=True), st.floats(-90, 90))
def test_positions_read_back_to_within_their_rounding(ra, dec):
    text = position(ra, dec)
    plain = text["ra_sexagesimal"].translate(str.maketrans({"ʰ": "h", "ᵐ": "m", "ˢ": "s"}))
    arc = text["dec_sexagesimal"].translate(str.maketrans({"−": "-", "°": "d", "′": "m", "″": "s"}))
    back = SkyCoord(Angle(plain), Angle(arc))
    assert back.separation(SkyCoord(ra, dec, unit="deg")).arcsec < 0.11
    assert "60" not in (text["ra_sexagesimal"][3:5], text["ra_sexagesimal"][6:8], text["dec_sexagesimal"][-5:-3])


@pytest.mark.parametrize(
    "ra, dec, ra_text, dec_text",
    [
        (0.0, -0.00001, "00ʰ00ᵐ00.00ˢ", "−00°00′00.0″"),
        (359.9999999, 89.99999, "00ʰ00ᵐ00.00ˢ", "+90°00′00.0″"),
        (83.63308, 22.0145, "05ʰ34ᵐ31.94ˢ", "+22°00′52.2″"),
    ],
)
def test_positions_as_people_write_them(ra, dec, ra_text, dec_text):
    text = position(ra, dec)
    assert (text["ra_sexagesimal"], text["dec_sexagesimal"]) == (ra_text, dec_text)


def test_unknown_positions_and_values():
    assert position(None, 1.0) is None and position(np.nan, 1.0) is None
    values = (None, float("nan"), True, 3, 0.1234567891, "a")
    assert [shown(v) for v in values] == ["–", "–", "yes", "3", "0.1234568", "a"]


def test_times_are_local_to_the_minute():
    assert local_time("no time") == "no time"
    assert len(local_time("2026-01-02T03:04:05+00:00")) == 16


def test_what_comes_next_is_read_before_it_is_asked_for(view, store, monkeypatch):
    view.state.param.update(cursor=7, inspecting=True, expected=np.array([8, 9, UNREADABLE]))
    monkeypatch.setattr(view, "_known", None)  # nothing is read any more
    pictures = {}
    for row in (8, 9):
        view.state.cursor = row
        assert unpack(view.drawer.frame)[0]["row"] == row
        header, drawn = unpack(view.drawer.picture)
        assert header["row"] == row and drawn[0]
        pictures[row] = drawn[0]
    view.state.stretch = Stretch(invert=True)
    assert unpack(view.drawer.picture)[1][0] != pictures[9]  # never one of another stretch
    monkeypatch.undo()
    view.state.param.update(stretch=Stretch(), expected=None, cursor=3)
    view.state.cursor = 8
    assert unpack(view.drawer.picture)[1][0] == pictures[8]


def test_comments_and_ratings_are_shown(view, store):
    targets.declare(store.survey, Target("dwarf", "ratings"))
    view.state.param.update(cursor=7, inspecting=True)
    store.comment(7, "a blue ring", user="ann")
    view.drawer._handle_msg({"type": "label", "row": 7, "value": "4"})
    said = view.said[-1]
    assert [comment["text"] for comment in said["comments"]] == ["a blue ring"]
    assert next(c for c in said["choices"] if c["code"] == said["code"])["value"] == "4"
    assert [line["value"] for line in said["history"]] == ["4", "a blue ring"]
