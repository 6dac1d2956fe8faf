"""The page on surveys: the command a form makes, a look in a process of its own, and steps that follow each other."""

import base64
import io
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

from app.surveys import making
from app.surveys.making import Making
from app.surveys.opening import ingest_arguments, told
from app.surveys.places import Places
from app.surveys.preview import Preview
from engine.cli import _parser
from engine.errors import UserError


@pytest.fixture
def places(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for k in range(4):
        Image.fromarray(rng.integers(0, 256, (12, 12), np.uint8)).save(folder / f"{k}.png")
    (folder / "bad.png").write_bytes(b"no picture")
    return Places.of([tmp_path])


def test_the_form_makes_the_command_a_person_could_type(places, tmp_path):
    fields = {
        "source": "pictures",
        "folder": str(tmp_path),
        "name": "a b",
        "bands": "g, r",
        "radius": "2.5",
        "join": "id",
        "size": "48",
    }
    (tmp_path / "c.csv").write_text("id\n1\n")
    arguments = ingest_arguments(places, fields | {"catalogue": "c.csv", "id_column": "my id"})
    args = _parser().parse_args(arguments)
    assert (args.source, args.survey) == (tmp_path / "pictures", tmp_path / "a b.survey")
    assert (args.catalogue, args.id_column, args.bands) == (tmp_path / "c.csv", "my id", ["g", "r"])
    assert (args.radius, args.join, args.size) == (2.5, "id", 48)


@pytest.mark.parametrize(
    "change, problem",
    [
        ({"source": "../x"}, "outside"),
        ({"folder": "/"}, "outside"),
        ({"folder": "none"}, "no folder"),
        ({"catalogue": "../c.csv"}, "outside"),
        ({"name": "../x"}, "cannot be used as a name"),
        ({"name": "-x/y"}, "cannot be used as a name"),
        ({"radius": "wide"}, "no radius"),
        ({"radius": "nan"}, "no radius"),
        ({"size": "-1"}, "no size"),
        ({"name": "there"}, "already exists"),
    ],
)
def test_a_form_that_cannot_be_is_refused(places, tmp_path, change, problem):
    (tmp_path / "there.survey").mkdir()
    with pytest.raises(UserError, match=problem):
        ingest_arguments(places, {"source": "pictures", "folder": "", "name": "new"} | change)


def looked(arguments):
    came, found = threading.Event(), []
    look = Preview(lambda report: None, lambda document: (found.append(document), came.set()))
    look.start(arguments)
    assert came.wait(60)
    return found[0]


def test_a_look_reports_with_pictures_and_writes_nothing(places, tmp_path):
    found = looked(ingest_arguments(places, {"source": "pictures", "name": "new"}))
    assert found["objects"] == 4 and [r["file"] for r in found["rejected"]] == ["bad.png"]
    assert [s["id"] for s in found["samples"]] == ["0", "1", "2", "3"]
    assert Image.open(io.BytesIO(base64.b64decode(found["samples"][0]["jpeg"]))).size == (96, 96)
    assert not (tmp_path / "new.survey").exists()


def test_a_look_at_nothing_says_why(places, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "holds no images" in looked(ingest_arguments(places, {"source": "empty", "name": "new"}))["problem"]


def test_a_look_that_is_stopped_says_nothing_more(places):
    found = []
    look = Preview(lambda report: None, found.append)
    look.start(ingest_arguments(places, {"source": "pictures", "name": "new"}))
    look.stop()
    until(lambda: not [t for t in threading.enumerate() if t.name == "skysieve-look"])
    assert not found


def until(condition, seconds=60.0):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.02)


def test_steps_follow_each_other_and_stop_at_the_first_that_fails(places, tmp_path, monkeypatch):
    """A small program stands for the engine: it writes its name, and fails if it is told to."""
    program = "import sys; print(sys.argv[1]); open(sys.argv[2], 'a').write(sys.argv[1]); sys.exit('fail' in sys.argv)"
    monkeypatch.setattr(making, "Jobs", lambda path, **o: making_jobs(path, program, **o))
    log = str(tmp_path / "log")
    good = Making(tmp_path / "a.survey", [(f"step {k}", (k, log)) for k in "abc"])
    until(lambda: good.state != "running")
    assert good.state == "done" and (tmp_path / "log").read_text() == "abc"
    bad = Making(tmp_path / "b.survey", [("d", ("d", log)), ("e", ("e", log, "fail")), ("f", ("f", log))])
    until(lambda: bad.state != "running")
    assert bad.state == "failed" and (tmp_path / "log").read_text() == "abcde"
    said = told(places, bad)
    assert [s["state"] for s in said["steps"]] == ["done", "failed", "waiting"] and said["address"] == ""


def making_jobs(path, program, **options):
    from app.jobs import Jobs

    return Jobs(path, program=(sys.executable, "-c", program), **options)
