"""The curves in a session: what is told in each state, measured off the event loop, for the target that is looked for."""

import time

import numpy as np
import pytest
from galaxies import COUNT, UNREADABLE, make_survey

from app.frames import unpack
from app.hunt.curves import CurvesView, told
from app.state import State
from app.store import Store
from engine.learning.curves import measure


@pytest.fixture
def view(tmp_path):
    (tmp_path / "made").mkdir()
    store = Store(make_survey(tmp_path / "made").path)
    made = CurvesView(State(target="t", tab="suggestions"), store)
    yield made
    made.close()
    store.survey.labels.close()


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def header(view):
    return unpack(view.line.frame)[0] if view.line.frame else {}


def test_without_labels_it_says_so_and_with_labels_it_measures(view):
    until(lambda: header(view).get("state") == "empty")
    rows = np.random.default_rng(1).permutation(COUNT)[:61]
    rows = rows[rows != UNREADABLE][:60]
    ids = [f"g{row:04d}" for row in rows]
    values = ["yes" if row % 4 == 0 else "no" for row in rows]
    view.store.survey.labels.add(rows, "t", values, ids=ids, user="ann", view={"drawn": "random"})
    view.measure()
    until(lambda: header(view).get("state") == "told")
    said = header(view)
    assert said["labels"] == 60 and said["random"] == 60 and said["left_random"]["low"] <= said["left_random"]["high"]
    assert said["table"].startswith("curve,x") and said["precision"]["value"] and said["words"]
    view._receive({"type": "open"})
    assert view.drawer.visible
    view._receive({"type": "close"})
    assert not view.drawer.visible


def test_too_few_labels_are_told_without_numbers():
    rows = np.arange(4)
    found = told("t", measure("t", rows, rows < 1, rows < 0, objects=100))
    assert (
        found["state"] == "told"
        and found["left_random"] is None
        and found["precision"] is None
        and found["rate"] is None
    )


def test_nobody_sees_it_nothing_is_measured(view):
    until(lambda: header(view).get("state") == "empty")
    view.state.tab = "selection"
    view.line.frame = b""
    view.measure()
    time.sleep(0.2)
    assert view.line.frame == b""
