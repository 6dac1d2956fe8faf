"""How a selection changes: modes, neighbours, steps back and forth, and what is remembered of them."""

import threading

import numpy as np
import pytest

from app.selections.selecting import AT_ONCE, REMEMBERED, Selecting, Step
from app.state import State
from app.store import Store
from engine.errors import UserError
from engine.maps.neighbours import neighbours
from engine.search import growing, origins
from engine.search.find import Found


@pytest.fixture
def selecting(own_survey):
    store = Store(own_survey.path)
    found = Selecting(State(layout=own_survey.layouts[0], tab="labelled"), store)
    yield found
    found.close()


def leaf(name):
    return {"kind": "query", "query": name}


def choose(selecting, rows, name="x", **options):
    selecting.choose(lambda: Found(np.array(sorted(rows), np.int64), leaf(name)), **options)


def rows(selecting):
    found = selecting.state.selection
    return None if found is None else found.tolist()


def test_the_first_outline_begins_the_selection_whatever_the_mode(selecting):
    selecting.state.combining = "subtract"
    choose(selecting, [1, 2, 3])
    assert rows(selecting) == [1, 2, 3] and selecting.state.selection_how == leaf("x")
    assert selecting.state.tab == "selection"


def test_modes_join_and_keys_go_before_the_button(selecting):
    choose(selecting, range(6), "a")
    for mode, other, expected in [
        ("add", [8], [0, 1, 2, 3, 4, 5, 8]),
        ("subtract", [0, 8], [1, 2, 3, 4, 5]),
        ("intersect", [2, 3, 9], [2, 3]),
        ("replace", [7], [7]),
    ]:
        selecting.state.combining = mode
        choose(selecting, other, mode)
        assert rows(selecting) == expected
    selecting.state.combining = "replace"
    selecting.held = "add"
    assert selecting.mode == "add"  # of an outline; a query goes by the button
    choose(selecting, [1], mode=selecting.mode)
    choose(selecting, [2])
    assert rows(selecting) == [2]


def test_the_origin_tells_the_whole_way(selecting):
    for mode, name in (("replace", "a"), ("add", "b"), ("subtract", "c")):
        choose(selecting, [1, 2], name, mode=mode)
    selecting.invert()
    assert origins.words(selecting.state.selection_how) == "all but ((a + b) − c)"
    assert rows(selecting) == list(range(selecting.store.n))


def test_inverting_nothing_is_everything_and_clearing_is_nothing(selecting):
    selecting.invert()
    assert len(selecting.state.selection) == selecting.store.n
    selecting.invert()
    assert rows(selecting) == []
    selecting.clear()
    assert rows(selecting) is None and selecting.state.selection_how == {}


def test_back_and_forth_go_through_every_step_and_clearing_is_one(selecting):
    choose(selecting, [1])
    choose(selecting, [2], mode="add")
    selecting.clear()
    selecting.clear()  # nothing to clear: no step
    assert (selecting.past, selecting.future) == (3, 0)
    seen = []
    for _ in range(3):
        selecting.back()
        seen.append(rows(selecting))
    assert seen == [[1, 2], [1], None] and (selecting.past, selecting.future) == (0, 3)
    selecting.back()
    assert "no earlier" in selecting.state.notice[1] and rows(selecting) is None
    selecting.forth()
    selecting.forth()
    assert rows(selecting) == [1, 2] and selecting.state.selection_how["kind"] == "add"
    choose(selecting, [5])
    selecting.forth()  # a new step has taken the place of what lay ahead
    assert rows(selecting) == [5] and (selecting.past, selecting.future) == (3, 0)


def test_whoever_selects_makes_a_step_and_the_next_one_joins_it(selecting):
    selecting.state.select(np.array([4, 5]), kind="cluster", name="blue")
    choose(selecting, [9], mode="add")
    assert rows(selecting) == [4, 5, 9]
    selecting.back()
    assert rows(selecting) == [4, 5] and selecting.state.selection_how == {"kind": "cluster", "name": "blue"}
    selecting.back()
    assert rows(selecting) is None


def test_no_more_steps_are_kept_than_said(selecting):
    for k in range(REMEMBERED + 15):
        choose(selecting, [k])
    assert selecting.past == REMEMBERED
    for _ in range(REMEMBERED):
        selecting.back()
    assert rows(selecting) == [14]


def test_a_drag_is_one_step_however_many_forms_it_had(selecting):
    choose(selecting, [1])
    done = []
    for k in (2, 3, 4):
        found = Found(np.array([k]), leaf(str(k)))
        selecting.drag(lambda found=found: found, final=k == 4, done=done.append)
        assert rows(selecting) == [k]
    assert done == [True] * 3 and selecting.past == 2
    selecting.back()
    assert rows(selecting) == [1]

    def gone():
        raise UserError("the layout is gone", "make it again")

    selecting.drag(gone, final=True, done=done.append)
    assert done[-1] is False and "gone" in selecting.state.notice[1] and rows(selecting) == [1]


def test_many_members_are_remembered_in_few_bytes():
    members = np.flatnonzero(np.random.default_rng(0).random(1_000_000) < 0.4)
    step = Step.of(members, {}, 1_000_000)
    assert step.rows.nbytes == 125_000 and np.array_equal(step.members(1_000_000), members)
    few = Step.of(members[:10], {}, 1_000_000)
    assert few.rows is not None and np.array_equal(few.members(1_000_000), members[:10])
    assert Step.of(None, {}, 1_000_000).members(1_000_000) is None


def test_growing_and_shrinking_go_by_the_neighbours_in_use(selecting):
    near = neighbours(selecting.store.survey, k=15).indices
    choose(selecting, range(20))
    selecting.grow(4)
    assert np.array_equal(selecting.state.selection, growing.grow(np.arange(20), near, k=4))
    grown = selecting.state.selection
    selecting.shrink(10, 0.6)
    assert np.array_equal(selecting.state.selection, growing.shrink(grown, near, k=10, share=0.6))
    how = selecting.state.selection_how
    assert how["kind"] == "shrink" and how["representation"] == selecting.store.representation
    selecting.clear()
    selecting.grow()
    assert "Select something first" in selecting.state.notice[1]


def test_neighbours_that_are_not_known_are_a_job_and_the_step_follows(selecting, monkeypatch):
    started = []
    monkeypatch.setattr("app.selections.selecting.AT_ONCE", 0)
    monkeypatch.setattr(selecting.store.jobs, "start", lambda *words: started.append(words))
    choose(selecting, range(5))
    selecting.grow(3)
    assert started[0][:2] == ("Neighbours", "neighbours") and rows(selecting) == [0, 1, 2, 3, 4]
    assert "first" in selecting.state.notice[1]
    near = neighbours(selecting.store.survey, k=15).indices
    selecting.heard("layout")
    assert len(selecting.state.selection) == 5
    selecting.heard("neighbours")
    assert np.array_equal(selecting.state.selection, growing.grow(np.arange(5), near, k=3))
    selecting.heard("neighbours")  # once
    assert selecting.past == 2 and AT_ONCE > 0


def test_another_selection_meanwhile_is_left_as_it_is(selecting, monkeypatch):
    monkeypatch.setattr("app.selections.selecting.AT_ONCE", 0)
    monkeypatch.setattr(selecting.store.jobs, "start", lambda *words: None)
    choose(selecting, range(5))
    selecting.grow(3)
    choose(selecting, [7])
    neighbours(selecting.store.survey, k=15)
    selecting.heard("neighbours")
    assert rows(selecting) == [7] and "grow or shrink the selection again" in selecting.state.notice[1]


def test_what_cannot_be_found_is_a_notice_or_is_told_to_who_asked(selecting):
    def fails():
        raise UserError("there is no column 'x'", "look again")

    selecting.choose(fails)
    assert selecting.state.notice[0] == "error"
    told = []
    selecting.choose(fails, failed=told.append)
    assert "no column" in str(told[0]) and rows(selecting) is None


def test_steps_asked_for_in_a_hurry_are_taken_one_upon_the_other(selecting):
    """With results held back on their way to the page, each step still joins what the one before has left."""
    held, work = [], selecting._work
    work.document = object()
    work._post = held.append
    choose(selecting, [1, 2], "a")
    choose(selecting, [3], "b", mode="add")
    selecting.back()
    choose(selecting, [7], "c", mode="add")
    selecting.invert()
    for _ in range(5):
        ready = threading.Event()
        work._executor.submit(ready.set)
        assert ready.wait(10) and len(held) == 1
        held.pop()()
    assert rows(selecting) == [0, *range(3, 7), *range(8, selecting.store.n)]
    assert origins.words(selecting.state.selection_how) == "all but (a + c)" and not selecting._busy


def test_a_page_that_comes_back_has_nothing_to_go_back_from(selecting):
    selecting.settle(np.array([3]), leaf("x"))
    assert rows(selecting) == [3] and selecting.past == 0
    choose(selecting, [4], mode="add")
    assert rows(selecting) == [3, 4]
    selecting.back()
    assert rows(selecting) == [3]
