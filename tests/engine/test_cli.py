"""The command line as a user meets it: in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from engine import Survey, files
from engine.cli import main

ROOT = Path(__file__).resolve().parents[2]


def engine(*arguments, check=True):
    """Run ``python -m engine`` and return (exit status, stdout, stderr)."""
    done = subprocess.run(
        [sys.executable, "-m", "engine", *map(str, arguments)], capture_output=True, text=True, cwd=ROOT
    )
    if check:
        assert done.returncode == 0, done.stderr
    return done.returncode, done.stdout, done.stderr


def test_the_loop_from_the_command_line(tmp_path, capsys):
    """simulate → embed → layout → label → suggest → select → export, each with --json."""
    folder = tmp_path / "demo.survey"

    def run(*arguments):
        assert main([*map(str, arguments), "--json", "--progress", "none"]) == 0
        return json.loads(capsys.readouterr().out)

    assert run("simulate", folder, "--objects", 300, "--seed", 5)["objects"] == 300
    assert run("embed", folder, "--encoder", "pixels")["objects"] == 300
    assert run("layout", folder, "--method", "pca")["placed"] > 290
    survey = Survey.open(folder)
    truth = survey.column("truth")
    first = run("suggest", folder, "--target", "dwarf", "--count", 10)["objects"]
    assert len({o["id"] for o in first}) == 10
    pairs = [f"{o['id']}={'yes' if truth[survey.rows([o['id']])[0]] == 'dwarf' else 'no'}" for o in first]
    assert run("label", folder, "--target", "dwarf", *pairs)["labelled"] == 10
    second = run("suggest", folder, "--target", "dwarf", "--count", 10)["objects"]
    assert not {o["id"] for o in first} & {o["id"] for o in second}
    assert run("select", folder, "truth == 'dwarf'", "--name", "truth")["selected"] == (truth == "dwarf").sum()
    run("export", folder, tmp_path / "out.csv", "--selection", "truth")
    assert len((tmp_path / "out.csv").read_text().splitlines()) >= (truth == "dwarf").sum() + 1
    assert run("label", folder, "--target", "dwarf", "--undo")["undone"] >= 1
    status = run("status", folder)
    assert status["objects"] == 300 and status["layouts"] == ["pca-pixels"]
    assert run("doctor", folder)["faults"] == []


def test_progress_is_json_lines_on_stderr_and_results_are_on_stdout(tmp_path):
    _, out, err = engine("simulate", tmp_path / "a.survey", "--objects", 40, "--json", "--progress", "json")
    assert json.loads(out)["objects"] == 40
    events = [json.loads(line) for line in err.splitlines()]
    assert events and events[-1]["done"] == events[-1]["total"]
    assert {"stage", "done", "total", "rate", "left"} <= set(events[-1])


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["embed", "{}/absent.survey"], "there is no survey folder"),
        (["ingest", "{}/absent", "{}/new.survey"], "absent"),
        (["ingest", "{}/empty", "{}/new.survey"], "empty"),
        (["embed", "{}/empty"], "is not a survey"),
        (["embed", "{}/own.survey", "--encoder", "nonsense"], "skysieve-base"),
        (["layout", "{}/own.survey", "--method", "nonsense"], "umap"),
        (["label", "{}/own.survey", "--target", "dwarf", "NOPE=yes"], "NOPE"),
        (["label", "{}/own.survey", "--target", "dwarf", "NOPE"], "ID=yes"),
        (["label", "{}/own.survey", "--target", "../up", "SIM-000001=yes"], "name"),
        (["select", "{}/own.survey", "nonsense > 3"], "nonsense"),
        (["export", "{}/own.survey", "{}/out.xyz"], ".fits"),
        (["simulate", "{}/own.survey"], "already exists"),
    ],
)
def test_user_errors_are_one_sentence_with_the_remedy_and_status_2(own_survey, tmp_path, capsys, arguments, said):
    (tmp_path / "empty").mkdir()
    before = sorted(p.name for p in tmp_path.iterdir())
    assert main([a.format(tmp_path) for a in arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ") and shown.err.count("\n") == 1 and said in shown.err
    assert sorted(p.name for p in tmp_path.iterdir()) == before  # nothing half-written


def test_newer_format_is_refused(own_survey, capsys):
    files.write_toml(own_survey.path / "survey.toml", own_survey.header | {"format": 999})
    assert main(["status", str(own_survey.path)]) == 2
    assert "update Skysieve" in capsys.readouterr().err
