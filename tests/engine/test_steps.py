"""Selections spelled out: as a library call and as a command."""

import json

import numpy as np
import pytest

from engine.cli import main
from engine.errors import UserError
from engine.search import selections
from engine.search.growing import grow, shrink
from engine.search.steps import spell


@pytest.fixture
def survey(make_survey):
    rng = np.random.default_rng(5)
    survey = make_survey(
        60, columns={"x": np.arange(60.0), "y": np.arange(60.0) % 10}, vectors=rng.normal(size=(60, 6))
    )
    survey.layout("columns", columns=("x", "y"))
    selections.save(survey, selections.Selection.of("low", np.arange(10), how={"kind": "query", "query": "x < 10"}))
    return survey


def test_steps_follow_one_another(survey, tmp_path):
    box = tmp_path / "box.json"
    box.write_text("[19.5, -1, 29.5, 20]")
    lasso = tmp_path / "lasso.json"
    lasso.write_text(json.dumps([[19.5, -1], [24.5, -1], [24.5, 20], [19.5, 20]]))
    layout = survey.layouts[0]
    found = spell(
        survey,
        "x < 20",
        [("subtract", "@low"), ("add", f"@{layout}:{box}"), ("intersect", "y < 8"), ("add", "o59"), ("invert", {})],
    )
    expected = {k for k in range(10, 30) if k % 10 < 8} | {59}
    assert set(found.rows.tolist()) == set(range(60)) - expected and found.how["kind"] == "invert"
    assert spell(survey, f"@{layout}:{lasso}").rows.tolist() == [20, 21, 22, 23, 24]
    assert len(spell(survey, None).rows) == 60


def test_growing_and_shrinking_by_the_stored_graph(survey):
    from engine.maps.neighbours import neighbours

    near = neighbours(survey, k=15).indices
    found = spell(survey, "@low", [("grow", {"k": 4, "hops": 2}), ("shrink", {"k": 6, "share": 0.4})])
    assert np.array_equal(found.rows, shrink(grow(np.arange(10), near, k=4, hops=2), near, k=6, share=0.4))


@pytest.mark.parametrize(
    "begin, steps",
    [
        ("@nothing", []),
        ("x <", []),
        (None, [("twist", {})]),
        (None, [("add", "@umap:/no/such/file.json")]),
        (None, [("shrink", {"share": 7})]),
    ],
)
def test_refusals(survey, begin, steps):
    with pytest.raises(UserError):
        spell(survey, begin, steps)


@pytest.mark.parametrize("text", ["{}", "[]", "[[1, 2]]", '"a"', "[[1, 2], [3], [4, 5]]", "[[1,2],[3,4],[5,NaN]]", "["])
def test_files_that_are_no_outline_are_refused(survey, tmp_path, text):
    path = tmp_path / "outline.json"
    path.write_text(text)
    with pytest.raises(UserError, match="no outline"):
        spell(survey, f"@{survey.layouts[0]}:{path}")


def run(capsys, *arguments):
    status = main([*map(str, arguments), "--json", "--progress", "none"])
    return status, json.loads(capsys.readouterr().out)


def test_the_command_line_selects_keeps_and_tidies(survey, capsys):
    status, said = run(
        capsys, "select", survey.path, "x < 20", "--subtract", "@low", "--grow", 3, "--add", "o59", "--name", "mine"
    )
    kept = selections.load(survey, "mine")
    assert status == 0 and said["selected"] == len(kept.rows) and 59 in kept.rows
    assert kept.how["kind"] == "add" and kept.how["parts"][0]["kind"] == "grow"
    assert run(capsys, "select", survey.path, "--shrink", 5, "--share", 0.9)[0] == 0
    assert run(capsys, "select", survey.path)[0] == 2

    assert {s["name"] for s in run(capsys, "selections", survey.path)[1]["selections"]} == {"mine", "low"}
    run(capsys, "selections", survey.path, "--colour", "low", "#e69f00", "--rename", "low", "faint ones")
    assert selections.load(survey, "faint ones").colour == "#e69f00"
    (survey.path / "selections" / "broken.json").write_text("{")
    _, said = run(capsys, "selections", survey.path, "--delete", "mine")
    assert [(s["name"], bool(s["problem"])) for s in said["selections"]] == [("faint ones", False), ("broken", True)]


def test_the_neighbours_are_found_by_a_command(survey, capsys):
    from engine.maps.neighbours import stored

    assert stored(survey) is None
    status, said = run(capsys, "neighbours", survey.path, "--k", 9)
    assert status == 0 and said["k"] == 9 and stored(survey, k=9).k == 9 and stored(survey, k=10) is None
