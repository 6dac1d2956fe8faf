"""Layouts seen as they grow: looks rise, are never listed, and go whatever happens."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from engine import files
from engine.maps.layouts import previews
from engine.maps.layouts.previews import Preview, clear, look


@pytest.fixture
def at_once(monkeypatch):
    """Every look is written."""
    monkeypatch.setattr(previews, "EVERY", 0.0)
    monkeypatch.setattr(previews, "SHARE", 1e9)


@pytest.mark.parametrize("method", ["umap", "tsne"])
def test_looks_rise_and_end_with_the_layout(make_survey, monkeypatch, at_once, method):
    rng = np.random.default_rng(0)
    survey = make_survey(300, vectors=rng.normal(size=(300, 6)), valid=np.arange(300) > 4)
    folder, seen, listed = survey.path / "layouts", [], []

    def watch(*step):
        found = look(folder, seen[-1].number if seen else 0)
        if found is not None:
            seen.append(found)
            listed.append(survey.layouts)

    xy = survey.layout(method, preview=True, progress=watch)
    assert seen[0].words == "PCA" and seen[0].total == 0
    assert len({one.number for one in seen}) == len(seen) > 5
    assert seen[-1].words in ("UMAP", "t-SNE") and 0 < seen[-1].done <= seen[-1].total
    assert all(np.array_equal(np.isfinite(one.xy).all(axis=1), np.arange(300) > 4) for one in seen)
    assert all(names == [] for names in listed)
    assert np.abs(seen[-1].xy[10:] - xy[10:]).mean() < 1  # the last look is nearly the layout
    assert look(folder) is None and sorted(p.name for p in folder.iterdir()) == [f"{method}-given"]


def test_nothing_is_written_unless_asked(make_survey, at_once):
    survey = make_survey(60, vectors=np.random.default_rng(0).normal(size=(60, 4)))
    found = []
    survey.layout("umap", progress=lambda *step: found.append(look(survey.path / "layouts")))
    assert found and not any(found)


def test_a_failure_and_what_a_killed_process_left(tmp_path, at_once):
    with pytest.raises(RuntimeError), Preview(tmp_path, "umap-x") as preview:
        preview.show(np.zeros((3, 2), np.float32), "PCA", 0, 0)
        assert look(tmp_path).name == "umap-x"
        raise RuntimeError
    assert look(tmp_path) is None
    Preview(tmp_path, "left").show(np.zeros((3, 2), np.float32), "UMAP", 3, 9)
    assert look(tmp_path).done == 3
    with Preview(tmp_path, "left"):
        assert look(tmp_path) is None
    Preview(tmp_path, "left").show(np.zeros((3, 2), np.float32), "UMAP", 3, 9)
    files.write_json(tmp_path / ".other.preview" / "preview.json", {"number": "nonsense"})
    clear(tmp_path)
    assert not list(tmp_path.glob(".*"))


def test_looks_are_not_written_too_often(tmp_path):
    with Preview(tmp_path, "umap-x") as preview:
        for done in range(50):
            preview.show(np.zeros((3, 2), np.float32), "UMAP", done, 50)
        assert look(tmp_path).number == 1


def test_cancelled_it_leaves_nothing(make_survey):
    survey = make_survey(30_000, vectors=np.random.default_rng(0).normal(size=(30_000, 8)).astype(np.float32))
    folder = survey.path / "layouts"
    command = [sys.executable, "-m", "engine", "layout", str(survey.path), "--preview", "--progress", "json"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    for line in process.stderr:
        if line.startswith("{") and json.loads(line)["stage"] == "UMAP":
            break
    assert look(folder) is not None
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 143
    process.stderr.close()
    assert time.monotonic() - started < 8  # half a second where nothing else runs
    assert list(folder.iterdir()) == [] and survey.layouts == []
