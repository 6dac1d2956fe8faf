"""Embedding that is killed at random moments, again and again, ends with the bytes of one that was not."""

import random
import subprocess
import sys
import time

import pytest

from engine.data.pictures import thumbnails as thumbs
from engine.data.simulation.simulate import simulate
from engine.encoders.embed import embed

#: Objects in a shard, in these tests.
SHARD = 64

RUN = """
import sys
from engine.data.pictures import thumbnails
thumbnails.SHARD = {shard}
from engine.survey import Survey
survey = Survey.open(sys.argv[1])
print("begins", flush=True)
survey.embed({encoder!r}, batch_size=8)
"""


def start(path, encoder):
    script = RUN.format(shard=SHARD, encoder=encoder)
    process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begins\n"
    return process


def killed(path, encoder, after):
    """Whether a run was killed before it had ended, `after` seconds from its beginning."""
    with start(path, encoder) as process:
        time.sleep(after)
        process.kill()
        return process.wait() != 0


def files_of(survey, encoder):
    """Bytes of what embedding leaves, without what a killed process had half written."""
    folders = survey.path / "representations" / encoder, survey.path / "thumbnails"
    return {p.name: p.read_bytes() for f in folders for p in sorted(f.iterdir()) if not p.name.endswith(".partial")}


def check(tmp_path, encoder, count, kills):
    killed_survey = simulate(tmp_path / "killed.survey", count, seed=3)
    whole = simulate(tmp_path / "whole.survey", count, seed=3)
    started = time.monotonic()
    embed(whole, encoder, batch_size=8)
    seconds = time.monotonic() - started
    moments, landed = random.Random(4), 0
    for _ in range(kills):
        # from before the first shard on, each a part of the way: every run leaves the next one less to do
        landed += killed(killed_survey.path, encoder, moments.uniform(0, 1.5 * seconds / kills))
    embed(killed_survey, encoder, batch_size=8)
    first, second = files_of(killed_survey, encoder), files_of(whole, encoder)
    assert {"vectors.npy", "valid.npy", "problems.json", "meta.json"} <= first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
    assert killed_survey.thumbnails.complete and not (killed_survey.path / "representations" / ".lock").exists()
    return landed


def test_killed_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(thumbs, "SHARD", SHARD)
    check(tmp_path, "pixels", 300, kills=2)


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["skysieve-base", "pixels"])
def test_killed_ten_times(tmp_path, monkeypatch, encoder):
    monkeypatch.setattr(thumbs, "SHARD", SHARD)
    landed = check(tmp_path, encoder, 2000, kills=10)
    assert landed >= 7  # most of the moments were before its end
