"""Steering above the suggestions, and why this one: what the browser is told, and what its messages do."""

import shutil
import time

import numpy as np
import pytest
from galaxies import COUNT, UNREADABLE, make_survey

from app.frames import unpack
from app.hunt import steering as bar
from app.hunt.reasons import ReasonsView, sentences
from app.hunt.steering import SteeringView
from app.state import State
from app.store import Store
from engine.learning import steering, targets
from engine.learning.reasons import Change, Reasons
from engine.learning.steering import Steering
from engine.learning.targets import Target


@pytest.fixture(scope="module")
def blobs(tmp_path_factory):
    return make_survey(tmp_path_factory.mktemp("steered")).path


@pytest.fixture
def store(blobs, tmp_path):
    store = Store(shutil.copytree(blobs, tmp_path / "own.survey"))
    yield store
    store.survey.labels.close()


@pytest.fixture
def view(store):
    state = State(target="dwarf", user="me")
    renewed = []
    view = SteeringView(state, store, lambda: renewed.append(state.target))
    view.renewed = renewed
    yield view
    view.close()


def said(part) -> dict:
    return unpack(part.frame)[0]


def ranked(store, target, good=lambda ranking: True, patience=30.0):
    limit = time.monotonic() + patience
    while (found := store.ranking(target)) is None or not good(found):
        assert time.monotonic() < limit, "no such ranking came"
        time.sleep(0.02)
    return found


def test_it_tells_targets_choices_and_a_line(view, store):
    told = said(view.bar)
    assert told["target"] == "dwarf" and [t["name"] for t in told["targets"]] == ["dwarf"]
    assert told["line"] == "mean · 5 % explored · 0 % random"
    assert {a["name"] for a in told["acquisitions"]} >= {"mean", "bald", "walmsley", "protege", "random"}
    store.label([1, 2], "yes", target="lens", user="me")
    view.show()
    lens = next(t for t in said(view.bar)["targets"] if t["name"] == "lens")
    assert lens["labels"] == 2 and lens["words"] == "2 yes"


def test_every_acquisition_has_a_short_name():
    from engine.learning.acquisition import ACQUISITIONS

    assert set(bar.NAMES) == set(ACQUISITIONS)


def test_choices_are_kept_and_rank_anew(view, store):
    ranked(store, "dwarf")
    view._receive({"type": "steer", "acquisition": "bald", "surprise": 0.5, "explore": 0, "rows": [1]})
    assert steering.read(store.survey, "dwarf") == Steering(acquisition="bald", surprise=0.5, explore=0.0)
    assert said(view.bar)["line"] == "BALD · 0 % explored · 50 % random"
    ranked(store, "dwarf", lambda r: abs((r.how == "random").sum() - len(r.how) / 2) <= 1)
    assert Store(store.survey.path).rankings.steering("dwarf").acquisition == "bald", "a restart remembers"


def test_why_an_object_was_suggested_is_kept_with_its_label(view, store):
    view._receive({"type": "steer", "surprise": 1.0})
    found = ranked(store, "dwarf", lambda r: r.how[0] == "random")
    row = int(found.suggested[0])
    store.label([row], "no", target="dwarf", user="me", view={"tab": "suggestions"})
    event = store.survey.labels.history(row)[-1]
    assert event.view == {"tab": "suggestions", "drawn": "random"}
    store.label([UNREADABLE], "no", target="dwarf", user="me", view={"tab": "selection"})
    assert store.survey.labels.history(UNREADABLE)[-1].view == {"tab": "selection"}


@pytest.mark.parametrize(
    "message",
    [
        {"type": "steer", "acquisition": "tea"},
        {"type": "steer", "explore": 3},
        {"type": "steer", "explore": "x"},
        {"type": "steer", "hunted": [1]},
        {"type": "new", "name": "../x"},
        {"type": "new", "name": ""},
        {"type": "new", "name": "odd", "kind": "tea"},
        {"type": "new", "name": "odd", "kind": "classes", "classes": "one"},
        {"type": "new"},
    ],
)
def test_what_makes_no_sense_becomes_a_notice(view, message):
    before = said(view.bar)
    view._receive(message)
    assert view.state.notice[0] == "error" and said(view.bar) == before and view.state.target == "dwarf"
    view._receive({"type": "tea"})
    view._receive({})


def test_a_new_target_is_declared_and_hunted(view, store):
    heard = []
    store.subscribe(lambda kind, detail: heard.append((kind, detail)))
    view._receive({"type": "new", "name": " kind ", "kind": "classes", "classes": "spiral, ring ,merger,"})
    assert targets.read(store.survey, "kind") == Target("kind", "classes", ("spiral", "ring", "merger"))
    assert view.state.target == "kind" and ("targets", "kind") in heard
    assert said(view.bar)["line"] == "spiral · mean · 5 % explored · 0 % random"
    view._receive({"type": "steer", "hunted": "ring"})
    assert said(view.bar)["line"].startswith("ring · ")
    view._receive({"type": "target", "name": "dwarf"})
    assert view.state.target == "dwarf" and said(view.bar)["target"] == "dwarf"


def test_show_now_lists_anew_when_the_ranking_is_there(view, store):
    first = ranked(store, "dwarf")
    view._receive({"type": "now"})
    assert view.renewed == []
    ranked(store, "dwarf", lambda r: r is not first)
    view.state.ranking_version += 1
    view.state.ranking_version += 1
    assert view.renewed == ["dwarf"]


def test_another_sessions_choice_is_shown(view, store):
    store.rankings.steer("dwarf", batch="diverse")
    view.heard("steering", "dwarf")
    assert "diverse" in said(view.bar)["line"]


# -- why this one ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def why(store):
    mag = np.asarray(store.survey.column("mag"))
    rows = np.array([row for row in np.argsort(mag) if row != UNREADABLE])
    state = State(target="dwarf", user="me", inspecting=False)
    store.label(rows[:6], "yes", target="dwarf", user="me")
    store.label(rows[-6:], "no", target="dwarf", user="me")
    view = ReasonsView(state, store)
    view.rows = rows
    yield view
    view.close()


def test_it_explains_the_object_in_focus(why, store):
    ranked(store, "dwarf")
    assert not why.part.frame, "nothing is made while the drawer is closed"
    row = int(why.rows[20])
    why.state.param.update(cursor=row, inspecting=True)
    header, pictures = unpack(why.part.frame)
    assert header["row"] == row and len(header["neighbours"]) == len(pictures) == 7 and all(pictures)
    assert f"of {COUNT - 1}" in header["place"] and header["change"].count("A ") == 2
    near = header["neighbours"][0]
    why._receive({"type": "inspect", "row": near["row"]})
    assert why.state.cursor == near["row"] and said(why.part)["label"] == near["label"]
    for wrong in ({"type": "inspect", "row": COUNT}, {"type": "inspect", "row": "x"}, {"type": "inspect"}, {}):
        why._receive(wrong)
    assert why.state.cursor == near["row"]


def test_what_it_cannot_explain_it_says(why, store):
    why.state.param.update(cursor=UNREADABLE, inspecting=True)
    ranked(store, "dwarf")
    why.show()
    assert "could not be read" in said(why.part)["note"]
    why.state.cursor = -1
    assert said(why.part)["row"] == -1


def test_while_there_is_no_ranking_it_says_so(why, monkeypatch, store):
    monkeypatch.setattr(store, "ranking", lambda target: None)
    why.state.param.update(cursor=1, inspecting=True)
    assert said(why.part)["note"] == "Ranking …"


def test_numbers_in_words():
    changes = Change("yes", 40, 2, False), Change("no", 0, 0, True)
    words = sentences(Reasons(1, "g1", "dwarf", "", "", "random", 0.7, 0.2, 3, 100, 9, 0.0, (), -0.25, changes))
    assert words["place"] == "place 3 of 100"
    assert "drawn at random" in words["balance"] and "9 labels add −0.25" in words["balance"]
    yes, no = (
        "A yes would make about 40 more and about 2 fewer likely.",
        "A no would make none more and none fewer likely.",
    )
    assert words["change"] == f"{yes} {no}"
