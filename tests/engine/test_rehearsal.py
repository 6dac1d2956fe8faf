"""Rehearsed hunts: every method looks at each object once, finds what is easy, and leaves the survey's labels alone."""

import json

import numpy as np
import pytest

from engine.cli import main
from engine.errors import UserError
from engine.learning.rehearsal import Rehearsal, rehearse, repeats, summary
from engine.learning.rivals import RIVALS

N, RARE = 400, 30


@pytest.fixture
def survey(make_survey):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(N, 8))
    vectors[:RARE] += 3
    made = make_survey(N, vectors=vectors, valid=np.arange(N) != 50, columns={"rare": np.arange(N) < RARE})
    yield made
    made.labels.close()


TRUTH = np.arange(N) < RARE


@pytest.mark.parametrize("method", ["skysieve", *RIVALS])
def test_a_hunt_shows_every_object_once_and_the_same_again_for_its_seed(survey, method):
    run = rehearse(survey, TRUTH, method=method, labels=60, batch=10, seed=3)
    assert len(run.rows) == len(np.unique(run.rows)) == 60 and 50 not in run.rows
    np.testing.assert_array_equal(run.hits, TRUTH[run.rows])
    assert run.total == RARE and run.within(60) == run.hits.sum() and run.found[0] == 0
    np.testing.assert_array_equal(run.rows, rehearse(survey, TRUTH, method=method, labels=60, seed=3).rows)
    if method != "random":
        assert run.within(60) > 15
    assert not survey.labels.path.exists()


def test_it_ends_when_everything_was_looked_at(survey):
    assert len(rehearse(survey, TRUTH, method="random", labels=1000).rows) == N - 1


def test_ratings_teach_too(survey):
    ratings = np.where(TRUTH, 4, 1)
    assert rehearse(survey, TRUTH, labels=60, ratings=ratings).within(60) > 15
    with pytest.raises(UserError, match="no ratings"):
        rehearse(survey, TRUTH, ratings=ratings + 5)


@pytest.mark.parametrize("truth", [np.zeros(N, bool), np.ones(3, bool), np.ones(N)])
def test_a_truth_that_makes_no_sense_is_refused(survey, truth):
    with pytest.raises(UserError):
        rehearse(survey, truth)


def test_an_unknown_method_is_refused(survey):
    with pytest.raises(UserError, match="no method"):
        rehearse(survey, TRUTH, method="guess")


def test_kept_hunts_are_not_run_again_and_a_cut_line_is_left_out(survey, tmp_path, monkeypatch):
    keep = tmp_path / "kept" / "hunts.jsonl"
    say = {"called": "rare", "methods": ["random", "isolation-forest"], "labels": 20, "keep": keep}
    first = repeats(survey, TRUTH, seeds=range(2), **say)
    keep.write_text(keep.read_text() + '{"key": ["made", 4')
    counted = []
    monkeypatch.setattr("engine.learning.rehearsal.rehearse", lambda *a, **o: counted.append(o) or rehearse(*a, **o))
    again = repeats(survey, TRUTH, seeds=range(3), **say)
    assert len(counted) == 7 and all(o["seed"] == 2 for o in counted)
    assert [r.rows.tolist() for r in again if r.seed < 2] == [r.rows.tolist() for r in first]
    assert len(repeats(survey, TRUTH, seeds=range(3), **say)) == 21 and len(counted) == 7


def test_a_summary_has_means_errors_and_the_best_forest():
    def run(name, seed, hits):
        return Rehearsal(name, seed, np.arange(4), np.array(hits, bool), 9)

    runs = [
        run("a", 0, [1, 0, 0, 0]),
        run("a", 1, [1, 1, 1, 0]),
        run("f x", 0, [0, 0, 0, 0]),
        run("f y", 0, [0, 0, 1, 1]),
    ]
    rows = {row["method"]: row for row in summary(runs, [1, 4])}
    assert rows["a"]["found"] == [1, 2] and rows["a"]["error"] == [0, pytest.approx(1.0)]
    assert rows["f"]["setting"] == "y" and rows["f"]["found"] == [0, 2]


def test_the_commands_tell_both(survey, capsys):
    assert (
        main(
            [
                "rehearse",
                str(survey.path),
                "--truth",
                "rare",
                "--labels",
                "50",
                "--repeats",
                "2",
                "--json",
                "--progress",
                "none",
            ]
        )
        == 0
    )
    said = json.loads(capsys.readouterr().out)
    assert said["hunted"] == RARE and [row["method"] for row in said["methods"]] == ["skysieve", "random"]
    assert main(["curves", str(survey.path), "--target", "t"]) == 2
    survey.labels.add([0, 100], "t", ["yes", "no"], ids=["o0", "o100"], user="ann")
    capsys.readouterr()
    assert main(["curves", str(survey.path), "--target", "t", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["found"] == [0, 1, 1]
