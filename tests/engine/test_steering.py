"""Steering: what can be chosen, what is refused, and that a target remembers it."""

import json

import pytest

from engine.cli import main
from engine.errors import UserError
from engine.learning import steering
from engine.learning.acquisition import ACQUISITIONS, MEANINGS
from engine.learning.interest import Interest
from engine.learning.labels import LabelLog
from engine.learning.steering import Steering


@pytest.fixture
def survey(make_survey):
    import numpy as np

    survey = make_survey(60, vectors=np.random.default_rng(0).normal(size=(60, 5)))
    yield survey
    survey.labels.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"acquisition": "tea"},
        {"batch": "tea"},
        {"cold_start": "tea"},
        {"explore": -0.1},
        {"explore": 1.5},
        {"surprise": "much"},
        {"surprise": float("nan")},
        {"explore": True},
        {"hunted": 3},
        {"sugar": 1},
    ],
)
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(UserError):
        Steering().changed(**wrong)


def test_nothing_chosen_stays_as_it_was():
    how = Steering(acquisition="bald", explore=0.3)
    assert how.changed(acquisition=None, explore=None) == how and how.changed(explore=0.0).explore == 0


def test_every_acquisition_is_explained():
    assert list(MEANINGS) == list(ACQUISITIONS)


def test_a_target_remembers_how_it_is_steered(survey):
    assert steering.read(survey, "dwarf") == Steering()
    steering.keep(survey, "dwarf", Steering(acquisition="entropy", surprise=0.25))
    steering.keep(survey, "lens", Steering(batch="diverse"))
    assert steering.read(survey, "dwarf") == Steering(acquisition="entropy", surprise=0.25)
    hunt = Interest(survey, "dwarf")
    assert hunt.steering.acquisition == "entropy" and hunt.steering.surprise == 0.25
    assert Interest(survey, "dwarf", acquisition="mean").steering == Steering(surprise=0.25)
    assert Interest(survey, "dwarf", log=LabelLog(survey.path / "other.sqlite")).steering == Steering(), (
        "a rehearsal's is its own"
    )
    with pytest.raises(UserError):
        steering.keep(survey, "../x", Steering())


@pytest.mark.parametrize("text", ["{", "[1]", '{"dwarf": 3}', '{"dwarf": {"sugar": 1}}', '{"dwarf": {"explore": 7}}'])
def test_a_damaged_file_is_told(survey, text):
    (survey.path / steering.FILE).write_text(text)
    with pytest.raises(UserError):
        steering.read(survey, "dwarf")


def run(capsys, *arguments):
    status = main([*map(str, arguments), "--json", "--progress", "none"])
    return status, json.loads(capsys.readouterr().out)


def test_everything_is_reachable_by_command(survey, capsys):
    at = survey.path
    status, _ = run(capsys, "targets", at, "--declare", "kind", "--kind", "classes", "--classes", "spiral", "ring")
    assert status == 0
    run(capsys, "label", at, "--target", "kind", "o1=spiral", "o2=ring", "o3=ring", "--drawn", "random")
    assert {event.view["drawn"] for event in survey.labels.since(0)} == {"random"}
    choices = [
        "--acquisition",
        "bald",
        "--explore",
        "0.5",
        "--surprise",
        "0.2",
        "--batch",
        "diverse",
        "--class",
        "ring",
    ]
    status, said = run(
        capsys, "suggest", at, "--target", "kind", "--count", "10", *choices, "--cold-start", "pc1", "--keep"
    )
    assert status == 0 and len(said["objects"]) == 10
    assert {o["drawn"] for o in said["objects"]} <= {"best", "explore", "random"}
    assert all(
        o["p spiral"] + o["p ring"] == pytest.approx(1, abs=1e-4) and o["mean"] == pytest.approx(o["p ring"])
        for o in said["objects"]
    )
    assert steering.read(survey, "kind") == Steering("bald", 0.5, 0.2, "diverse", "pc1", "ring")
    status, said = run(capsys, "suggest", at, "--target", "kind", "--class", "tea")
    assert status == 2 and "spiral, ring" in said["remedy"]
    status, said = run(capsys, "why", at, "o5", "--target", "kind")
    assert status == 0 and said["hunted"] == "ring" and len(said["neighbours"]) == 3
    status, said = run(capsys, "targets", at)
    assert said["targets"] == [
        {"name": "kind", "kind": "classes", "classes": ["spiral", "ring"], "labels": {"ring": 2, "spiral": 1}}
    ]
    status, _ = run(capsys, "targets", at, "--kind", "ratings")
    assert status == 2
