"""Verdicts: what reaches the log, what is refused and how it is said."""

import numpy as np
import pytest
from galaxies import COUNT, fresh_store, make_survey

from app.background import Background
from app.hunt.labelling import MOST, Labelling
from app.state import State


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_survey(tmp_path_factory.mktemp("labelling")).path


@pytest.fixture
def store(folder, tmp_path):
    return fresh_store(folder, tmp_path)


@pytest.fixture
def labelling(store):
    return Labelling(State(target="dwarf", user="me", tab="suggestions", sort="-mag", layout="umap"), store)


def test_a_verdict_is_on_disk_with_where_it_was_given(labelling, store):
    assert labelling.label([7], "yes", view={"page": 2}).good
    event = store.survey.labels.history(7)[-1]
    assert (event.id, event.target, event.value, event.user, event.layout) == ("g0007", "dwarf", "yes", "me", "umap")
    assert event.view == {"tab": "suggestions", "sort": "-mag", "layout": "umap", "page": 2}
    assert store.label_codes("dwarf")[7] == 1


def test_undo_takes_back_one_stroke_at_a_time(labelling, store):
    labelling.label([1], "no")
    labelling.label(np.arange(10), "yes")
    undone = labelling.undo()
    assert sorted(undone.rows) == list(range(10)) and "10 labels" in labelling.state.notice[1]
    assert store.label_codes("dwarf")[1] == 2 and store.label_counts("dwarf")["yes"] == 0
    assert list(labelling.undo().rows) == [1]
    nothing = labelling.undo()
    assert nothing.good and len(nothing.rows) == 0 and labelling.state.notice[0] == "info"


def test_undo_leaves_other_targets_alone(labelling, store):
    labelling.label([1], "yes")
    labelling.state.target = "ring"
    assert len(labelling.undo().rows) == 0
    assert store.label_codes("dwarf")[1] == 1


@pytest.mark.parametrize(
    "rows, value, says",
    [
        ([], "yes", "no object"),
        ([1], "perhaps", "is no label"),
        ([COUNT], "yes", "not in this survey"),
        ([-1], "no", "not in"),
        (np.zeros(MOST + 1, int), "yes", "too many"),
    ],
)
def test_what_is_refused_is_said_and_nothing_written(labelling, store, rows, value, says):
    outcome = labelling.label(rows, value)
    assert not outcome.good and says in outcome.problem
    assert labelling.state.notice[0] == "error" and "Not saved" in labelling.state.notice[1]
    assert store.survey.labels.version == 0


def test_without_a_target_nothing_is_labelled(labelling):
    labelling.state.target = "  "
    assert "target" in labelling.label([1], "yes").problem


def test_a_full_disk_is_said(labelling, store, monkeypatch):
    def full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.survey.labels, "add", full)
    outcome = labelling.label([1], "yes")
    assert not outcome.good and "space" in outcome.problem


def test_a_damaged_log_is_said(labelling, store):
    (store.survey.path / "labels.sqlite").write_bytes(b"not a database, but as long as one " * 100)
    outcome = labelling.label([2], "yes")
    assert not outcome.good and labelling.state.notice[0] == "error"


def test_label_later_is_the_same_as_label(labelling, store):
    done = []
    labelling.label_later(np.arange(50), "unsure", Background(), done.append)
    assert done[0].good and store.label_counts("dwarf")["unsure"] == 50
    labelling.label_later([], "yes", Background(), done.append)
    assert not done[1].good
