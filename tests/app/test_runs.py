"""Trainings followed on disk: read as they grow, cut back, torn; curves thinned without losing where they end."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.training.runs import SLAB, Lines, Run, Runs, thinned


class Kept:
    """What a reader of lines has kept."""

    def __init__(self, path):
        self.records = []
        self.lines = Lines(path, self.records.append, self.records.clear)


def write(path, records, *, mode="w"):
    with open(path, mode) as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


def test_only_what_is_new_is_read(tmp_path):
    path, kept = tmp_path / "history.jsonl", Kept(tmp_path / "history.jsonl")
    assert not kept.lines.read()
    write(path, [{"step": 1}, {"step": 2}])
    assert kept.lines.read() and not kept.lines.read()
    with open(path, "a") as file:
        file.write('{"step": 3}\n{"st')
    assert kept.lines.read() and [r["step"] for r in kept.records] == [1, 2, 3]
    with open(path, "a") as file:
        file.write('ep": 4}\nnonsense\n[1]\n')
    assert kept.lines.read() and [r["step"] for r in kept.records] == [1, 2, 3, 4]


@settings(max_examples=40, deadline=None)
@given(moves=st.lists(st.tuples(st.sampled_from(["grow", "cut"]), st.integers(0, 6), st.booleans()), max_size=12))
def test_growing_and_cutting_back_always_gives_the_file(tmp_path_factory, moves):
    path = tmp_path_factory.mktemp("run") / "history.jsonl"
    kept, truth, number = Kept(path), [], 0
    for move, count, look in moves:
        if move == "grow":
            fresh = [{"step": len(truth) + k, "loss": number + k} for k in range(count)]
            number += count
            write(path, fresh, mode="a")
            truth += fresh
        else:  # a resumed training writes the file anew up to its checkpoint
            truth = truth[: max(0, len(truth) - count)]
            path.with_suffix(".part").write_text("".join(json.dumps(r) + "\n" for r in truth))
            path.with_suffix(".part").replace(path)
        if look:
            kept.lines.read()
            assert kept.records == truth
    kept.lines.read()
    assert kept.records == truth


def test_a_file_larger_than_a_slab_comes_in_parts(tmp_path):
    records = [{"step": k, "text": "x" * 1000} for k in range(SLAB // 1000 + 500)]
    write(tmp_path / "h.jsonl", records)
    kept = Kept(tmp_path / "h.jsonl")
    assert kept.lines.read() and 0 < len(kept.records) < len(records)
    while kept.lines.read():
        pass
    assert kept.records == records


@settings(max_examples=50, deadline=None)
@given(n=st.integers(0, 3000), points=st.integers(2, 300))
def test_a_thinned_curve_keeps_its_mean_and_its_end(n, points):
    y = np.sin(np.arange(n) / 7.0)
    (thin,) = thinned([y], points)
    assert len(thin) == min(n, points)
    if n > points:
        starts = np.linspace(0, n - 1, points, dtype=np.int64)
        slow = [y[a:b].mean() for a, b in pairwise(starts)] + [y[-1]]
        assert np.allclose(thin, slow)


def make_run(folder, *, steps=100, done=60, card=None, pictures=(20, 40)):
    (folder / "pictures").mkdir(parents=True)
    (folder / "settings.json").write_text(json.dumps({"method": "simmim", "steps": steps}))
    write(
        folder / "history.jsonl",
        [{"step": s, "loss": 1 / s, "seconds": s / 2, "rate": 10.0} for s in range(20, done + 1, 20)],
    )
    write(folder / "quality.jsonl", [{"step": 0, "probe": 0.6}, {"step": 40, "probe": 0.7}])
    for step in pictures:
        (folder / "pictures" / f"{step:06d}.png").write_bytes(b"png%d" % step)
    if card is not None:
        (folder / "encoder.json").write_text(json.dumps(card))


def test_a_run_is_what_lies_in_its_folder(tmp_path):
    make_run(tmp_path / "a")
    run = Run(tmp_path / "a")
    assert run.look() and not run.look()
    version = run.version
    assert run.steps == 100 and run.last["step"] == 60 and run.pictures == [20, 40]
    assert run.curve()["step"].tolist() == [20, 40, 60] and run.curve()["loss"].tolist() == [1 / 20, 1 / 40, 1 / 60]
    assert [r["probe"] for r in run.quality] == [0.6, 0.7]
    assert run.picture(40) == b"png40" and run.picture(41) == b""
    assert run.card is None and not run.decodes
    write(tmp_path / "a" / "history.jsonl", [{"step": 80, "loss": None, "seconds": 40}], mode="a")
    (tmp_path / "a" / "encoder.json").write_text(json.dumps({"backbone": {"backbone": "autoencoder"}}))
    assert run.look() and run.version > version and run.decodes
    assert run.curve()["step"].tolist() == [20, 40, 60], "a loss that is not a number is no point of the curve"


@pytest.mark.parametrize("settings_text", ["", "[]", "{", '{"steps": "many"}', '{"steps": NaN}'])
def test_a_damaged_folder_is_still_a_run(tmp_path, settings_text):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "settings.json").write_text(settings_text)
    (tmp_path / "a" / "history.jsonl").write_bytes(b"\xff\xfe\n{}\n")
    run = Run(tmp_path / "a")
    run.look()
    assert run.steps == 0 and run.quality == []


def test_runs_come_and_go(tmp_path):
    runs = Runs(tmp_path / "models")
    assert runs.look() == []
    make_run(tmp_path / "models" / "a")
    (tmp_path / "models" / "a-classifier-of-others").mkdir()
    (tmp_path / "models" / ".hidden").mkdir()
    assert [run.name for run in runs.look()] == ["a"]
    first = runs.get("a")
    assert runs.look()[0] is first, "a run that is known is read on, not anew"
