"""Jobs: progress, order, failure with its remedy, cancelling; a small program stands for `python -m engine`."""

import json
import sys
import time

import pytest

from app.jobs import Jobs, parse_progress

PROGRAM = """
import json, signal, sys, time
arguments = sys.argv[1:]
def say(**event): print(json.dumps(event), file=sys.stderr, flush=True)
say(stage="work", done=1, total=4, rate=2.0, left=1.5)
if "deaf" in arguments: signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "fail" in arguments:
    say(error="the disk is full", remedy="free some space")
    sys.exit(2)
if "crash" in arguments: raise ValueError("no such thing")
while "long" in arguments or "deaf" in arguments: time.sleep(0.05)
say(stage="work", done=4, total=4, rate=2.0, left=0.0)
"""


@pytest.fixture
def jobs(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    finished = []
    found = Jobs(tmp_path / "a.survey", on_done=finished.append, program=(sys.executable, str(tmp_path / "program.py")))
    found.finished = finished
    yield found
    found.stop()


def until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def state(jobs, number):
    return next(j for j in jobs.all() if j.number == number)


def test_one_after_another_and_done(jobs):
    first, second = jobs.start("First", "embed"), jobs.start("Second", "layout", "--method", "umap")
    until(lambda: state(jobs, second.number).state == "done")
    assert state(jobs, first.number).state == "done" and jobs.finished == ["embed", "layout"]
    assert state(jobs, second.number).fraction == 1.0
    assert state(jobs, second.number).command.startswith("python -m engine layout ")


def test_the_same_job_is_not_queued_twice(jobs):
    job = jobs.start("Layout", "layout", "long")
    assert jobs.start("Layout", "layout", "long").number == job.number


def test_failure_says_the_remedy(jobs):
    job = jobs.start("Bad", "embed", "fail")
    until(lambda: state(jobs, job.number).over)
    assert state(jobs, job.number).state == "failed"
    assert state(jobs, job.number).message == "the disk is full: free some space."
    assert jobs.finished == []


def test_a_crash_shows_its_last_words(jobs):
    job = jobs.start("Bad", "embed", "crash")
    until(lambda: state(jobs, job.number).over)
    assert state(jobs, job.number).message == "ValueError: no such thing"


@pytest.mark.parametrize("how", ["long", "deaf"])
def test_cancel_ends_the_process(jobs, how):
    job = jobs.start("Long", "embed", how)
    until(lambda: state(jobs, job.number).done == 1)
    process = jobs._process
    time.sleep(0.2)  # the deaf one closes its ears after its first report
    jobs.cancel(job.number)
    until(lambda: process.poll() is not None, 5)
    until(lambda: jobs.current is None)
    assert state(jobs, job.number).state == "cancelled"


def test_one_that_waits_can_be_taken_out(jobs):
    first, second = jobs.start("Long", "embed", "long"), jobs.start("Next", "layout")
    jobs.cancel(second.number)
    jobs.cancel(first.number)
    until(lambda: jobs.current is None)
    assert [state(jobs, j.number).state for j in (first, second)] == ["cancelled", "cancelled"]


def test_only_progress_is_read_as_progress():
    line = json.dumps({"stage": "embed", "done": 3, "total": 9, "rate": None, "left": None})
    assert parse_progress(line) == {"stage": "embed", "done": 3, "total": 9, "rate": 0.0, "left": None}
    for other in ("", "text", "{", '{"error": "x", "remedy": "y"}', "[1]"):
        assert parse_progress(other) is None
