"""Outlines changed by hand: the members of each new form, and nothing far away."""

import numpy as np
import pytest
from shapely import Polygon, contains_xy

from app.selections.editing import Editing
from app.selections.selecting import Selecting
from app.state import State
from app.store import Store
from engine.search import origins
from engine.search.find import Found
from engine.search.members import members


@pytest.fixture
def session(own_survey):
    store = Store(own_survey.path)
    state = State(layout=own_survey.layouts[0])
    selecting = Selecting(state, store)
    changes = []
    editing = Editing(state, store, selecting, lambda: changes.append(1))
    editing.changes = changes
    editing.selecting = selecting
    yield editing
    editing.close()


def square(editing, share=0.5, dx=0.0):
    """A square around the middle of the layout."""
    x0, y0, x1, y1 = editing.store.placed(editing.state.layout).bounds
    x, y, r = (x0 + x1) / 2 + dx * (x1 - x0), (y0 + y1) / 2, share * (x1 - x0) / 2
    return np.array([[x - r, y - r], [x + r, y - r], [x + r, y + r], [x - r, y + r]])


def draw(editing, ring, mode="replace", kind="polygon", layout=None):
    how = origins.shape(kind, layout or editing.state.layout, ring)
    rows = members(editing.store.survey, how)
    editing.selecting.choose(lambda: Found(rows, how), mode=mode)


def inside(editing, ring):
    xy = editing.store.placed(editing.state.layout).xy.astype(float)
    return set(np.flatnonzero(contains_xy(Polygon(ring), *xy.T)).tolist())


def test_the_members_follow_each_form_and_letting_go_is_one_step(session):
    draw(session, square(session))
    session.begin(session.state.layout)
    assert session.edited.handles.tolist() == [0, 1, 2, 3] and session.edited.number == 1
    done = []
    for k, share in enumerate((0.55, 0.6, 0.7)):
        ring = square(session, share)
        session.move("polygon", ring.tolist(), final=k == 2, done=lambda: done.append(1))
        assert set(session.state.selection.tolist()) == inside(session, ring) and len(done) == k + 1
    assert np.array_equal(session.edited.shape.polygon, ring) and session.edited.number == 1
    assert session.selecting.past == 2
    session.end()
    assert session.edited is None and set(session.state.selection.tolist()) == inside(session, ring)


def test_only_the_edited_outline_of_a_tree_changes(session):
    left, right = square(session, 0.3, -0.2), square(session, 0.3, 0.1)
    draw(session, left)
    session.selecting.choose(lambda: Found(np.arange(0, 600, 7), {"kind": "query", "query": "id != ''"}), mode="add")
    session.state.selection_how = origins.put(
        session.state.selection_how, (1,), {"kind": "ids", "query": ",".join(session.store.ids(np.arange(0, 600, 7)))}
    )
    draw(session, right, "subtract")
    session.begin(session.state.layout)
    assert session.edited.shape.path == (1,) and session.edited.shape.takes
    wider = square(session, 0.5, 0.1)
    session.move("polygon", wider.tolist(), final=True, done=lambda: None)
    expected = (inside(session, left) | set(range(0, 600, 7))) - inside(session, wider)
    assert set(session.state.selection.tolist()) == expected
    session.begin(session.state.layout, (0, 0))
    assert session.edited.shape.path == (0, 0)


def test_a_box_is_changed_as_a_box(session):
    ring = square(session)
    draw(session, ring, kind="box")
    session.begin(session.state.layout)
    assert session.edited.shape.kind == "box"
    session.move("box", square(session, 0.8).tolist(), final=True, done=lambda: None)
    assert session.state.selection_how["kind"] == "box"
    assert set(session.state.selection.tolist()) >= inside(session, square(session, 0.8))


def test_a_kept_name_is_given_up_where_members_change(session):
    draw(session, square(session))
    session.state.selection_how = {**session.state.selection_how, "name": "mine"}
    draw(session, square(session, 0.2, 0.3), "add")
    session.begin(session.state.layout, (0,))
    session.move("polygon", square(session, 0.6).tolist(), final=True, done=lambda: None)
    assert origins.words(session.state.selection_how) == "lasso + lasso"


def test_going_back_while_editing_shows_the_form_before(session):
    first = square(session)
    draw(session, first)
    session.begin(session.state.layout)
    session.move("polygon", square(session, 0.7).tolist(), final=True, done=lambda: None)
    session.selecting.back()
    assert np.array_equal(session.edited.shape.polygon, first) and session.edited.number == 2
    session.selecting.clear()
    assert session.edited is None


@pytest.mark.parametrize(
    "prepare, words",
    [
        (lambda s: None, "no outline to change"),
        (lambda s: s.state.select(np.arange(3), kind="query", query="mag_r < 9"), "has no outline"),
        (lambda s: s.state.select(np.arange(3), **origins.shape("box", "other", square(s))), "drawn on other"),
        (lambda s: s.state.select(np.arange(3), **origins.shape("box", s.state.layout, square(s))), "no longer what"),
        (
            lambda s: s.state.select(
                np.arange(3), kind="add", parts=[origins.shape("box", s.state.layout, square(s)), {"kind": "magic"}]
            ),
            "cannot be found again",
        ),
    ],
)
def test_what_cannot_be_edited_is_said_and_left_alone(session, prepare, words):
    prepare(session)
    before = session.state.selection
    session.begin(session.state.layout)
    assert session.edited is None and words in session.state.notice[1]
    assert session.state.selection is before


@pytest.mark.parametrize(
    "ring", [[], [[0, 1]], "abc", None, [[0, 1], [1, None], [2, 2]], [[0, 1], [1, 2], [3, float("nan")]]]
)
def test_a_form_that_is_none_changes_nothing(session, ring):
    draw(session, square(session))
    session.begin(session.state.layout)
    before, done = session.state.selection, []
    session.move("polygon", ring, final=False, done=lambda: done.append(1))
    assert session.state.selection is before and done == [1]
