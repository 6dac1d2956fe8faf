"""Outliers in the app: the tab, its controls, and what labels do to them."""

import numpy as np
import pytest
from galaxies import COUNT, UNREADABLE, fresh_store, make_survey
from test_gallery import Page

from app.frames import unpack
from app.hunt.outlying import Asked, OutlyingView
from app.jobs import Job
from engine.outliers.scoring import METHODS, outliers


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_survey(tmp_path_factory.mktemp("outlying")).path


@pytest.fixture
def store(folder, tmp_path):
    return fresh_store(folder, tmp_path)


@pytest.fixture
def scored(store):
    outliers(store.survey)
    return store


class Controls:
    """A page on the outliers, and its controls."""

    def __init__(self, store, **state):
        self.page = Page(store, tab="outliers", **state)
        self.state = self.page.state
        self.view = OutlyingView(self.state, store)

    @property
    def shown(self) -> dict:
        return unpack(self.view.view.frame)[0]

    def says(self, kind, **message):
        self.view.view._handle_msg({"type": kind, **message})

    @property
    def rows(self) -> list[int]:
        return self.page.shown["rows"]


def test_without_scores_one_button_says_what_it_will_do(store, monkeypatch):
    controls = Controls(store)
    assert controls.page.shown["title"] == "What is strange here?" and controls.rows == []
    shown = controls.shown
    assert shown["kept"] == [] and shown["can"] and f"{COUNT:,} objects" in shown["words"] and "rings" in shown["words"]
    started = []
    monkeypatch.setattr(store.jobs, "start", lambda *given: started.append(given))
    controls.says("compute")
    assert started == [("Outliers", "outliers", "--representation", "rings")]


def test_while_they_are_computed_the_controls_say_how_far(store, monkeypatch):
    job = Job(1, "Outliers", ("outliers", "x"), state="running", stage="isolation forest", done=30, total=40)
    monkeypatch.setattr(store.jobs, "all", lambda: [job])
    controls = Controls(store)
    assert controls.shown["running"] == "Isolation forest 75 %"
    outliers(store.survey, ["knn"])
    monkeypatch.setattr(store.jobs, "all", list)
    store.publish("done", "outliers")
    assert controls.shown["running"] is None and len(controls.shown["kept"]) == 2
    assert len(controls.rows) == 100 and UNREADABLE not in controls.rows


def test_a_job_that_failed_says_why(store, monkeypatch):
    job = Job(1, "Outliers", ("outliers", "x"), state="failed", message="the disk is full: make room.")
    monkeypatch.setattr(store.jobs, "all", lambda: [job])
    assert "disk is full" in Controls(store).shown["problem"]


def test_the_strangest_come_first_by_the_score_that_is_chosen(scored):
    controls = Controls(scored)
    assert [k["method"] for k in controls.shown["kept"]] == ["", *METHODS]
    for method in ("", *METHODS):
        controls.says("method", method=method)
        score = scored.survey.score(f"outlier_{method}" if method else "outlier")
        expected = np.argsort(-np.nan_to_num(score, nan=-np.inf), kind="stable")[:100]
        np.testing.assert_array_equal(score[controls.rows], score[expected])
        assert float(controls.page.shown["texts"][0].replace(",", "")) == pytest.approx(
            score[controls.rows[0]], rel=0.01
        )
    controls.says("method", method="nonsense")
    assert controls.state.strange_by == [*METHODS][-1]
    assert controls.page.shown["total"] == COUNT - 1


def test_labels_move_the_list_when_it_is_sorted_anew(scored):
    controls = Controls(scored)
    before = controls.rows
    assert "Label some" in controls.shown["status"]
    for row in before[:3]:
        controls.page.says("label", row=row, value="no", token=row)
    assert controls.rows == before and controls.page.heard_last("changed")["stale"] is True
    assert "3 labels for ‘dwarf’" in controls.shown["status"]
    controls.page.says("refresh")
    after = controls.rows
    assert after != before and all(after.index(row) > 10 for row in before[:3] if row in after)
    assert "re-weighted" in controls.page.shown["captions"][0]
    controls.says("reweighted", on=False)
    assert controls.rows == before and "re-weighted" not in controls.page.shown["captions"][0]


def test_what_looks_like_artefacts_is_hidden_and_counted(scored):
    controls = Controls(scored)
    controls.says("hide", on=True)
    assert "nothing is labelled an artefact yet" in controls.shown["status"]
    bad = controls.rows[:4]
    scored.label(bad, "yes", target="artefact", user="me")
    controls.page.says("refresh")
    controls.view.refresh()
    assert not set(bad) & set(controls.rows)
    hidden = COUNT - 1 - controls.page.shown["total"]
    assert (
        hidden >= 4 and f"{hidden:,} hidden" in controls.shown["status"] and "4 artefacts" in controls.shown["status"]
    )
    controls.says("hide", on=False)
    assert controls.page.shown["total"] == COUNT - 1


def test_answers_are_kept_until_something_changes(scored, monkeypatch):
    asked = Asked()
    first = scored.outlying.strangest(asked, "dwarf")
    assert scored.outlying.strangest(asked, "dwarf") is first
    scored.label([3], "no", target="dwarf", user="me")
    second = scored.outlying.strangest(asked, "dwarf")
    assert second is not first and second.rated == 1
    plain = scored.outlying.strangest(Asked(reweighted=False), "dwarf")
    scored.label([4], "no", target="dwarf", user="me")
    assert scored.outlying.strangest(Asked(reweighted=False), "dwarf") is plain
    outliers(scored.survey, ["knn"], neighbours=3)
    assert scored.outlying.strangest(Asked("knn", reweighted=False), "dwarf").made.settings["neighbours"] == 3


def test_another_order_still_lists_them_all(scored):
    controls = Controls(scored)
    controls.state.sort = "mag"
    values = scored.values("mag", "dwarf").array[controls.rows]
    assert (np.diff(values) >= 0).all()


def test_what_makes_no_sense_is_ignored(scored):
    controls = Controls(scored)
    for message in ({}, {"type": "nonsense"}, {"type": "method"}, {"type": "method", "method": 3}):
        controls.view.view._handle_msg(message)
    assert controls.state.strange_by == ""


def test_the_scores_can_colour_the_map(scored):
    assert "outlier_lof" in scored.value_names()["Scores"]
    values = scored.values("outlier", "dwarf")
    assert values.kind == "number" and np.isnan(values.array[UNREADABLE]) and np.nanmax(values.array) <= 1
