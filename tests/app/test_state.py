"""State: what changes together, what a reload restores."""

import json

import numpy as np
import pytest

from app.state import RESTORED, TABS, State


def test_a_selection_changes_in_one_go():
    state, seen = State(tab="labelled"), []
    state.param.watch(lambda *events: seen.append({e.name for e in events}), ["selection", "selection_how", "tab"])
    state.select([3, 1], kind="query", query="a > 1")
    assert seen == [{"selection", "selection_how", "tab"}]
    assert state.selection.dtype == np.int64 and state.selection_how == {"kind": "query", "query": "a > 1"}
    state.select(None)
    assert state.selection is None and state.selection_how == {}


def test_equal_arrays_are_still_a_change():
    state, seen = State(), []
    state.param.watch(lambda event: seen.append(event.new), "selection")
    for _ in range(2):
        state.select(np.arange(3))
    assert len(seen) == 2


def test_what_is_restored_exists_and_can_be_written_in_an_address():
    state = State(view=(0.0, 1.0, 2.0, 3.0), cursor=4)
    assert set(RESTORED) <= set(state.param)
    assert len(set(RESTORED.values())) == len(RESTORED)
    for name in RESTORED:
        json.dumps(getattr(state, name))


def test_the_user_can_be_named(monkeypatch):
    monkeypatch.setenv("SKYSIEVE_USER", "caroline")
    assert State().user == "caroline"
    assert State(user="william").user == "william"


def test_the_gallery_shows_only_its_tabs():
    with pytest.raises(ValueError):
        State(tab="nothing")
    assert State().tab in TABS
