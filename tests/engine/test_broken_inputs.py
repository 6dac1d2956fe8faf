"""Whatever is broken is named, nothing else is lost, and nothing crashes, hangs or fills the memory."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import broken_arrays
import broken_catalogues
import broken_fits
import broken_hdf5
import broken_pictures
import numpy as np
import pytest
from broken_inputs import good_pictures, judge

from engine.__main__ import main
from engine.data.ingest import ingest
from engine.errors import UserError

CASES = [
    case
    for module in (broken_pictures, broken_fits, broken_hdf5, broken_arrays, broken_catalogues)
    for case in module.cases()
]
#: Seconds after which a case hangs.
LONG = 20


@pytest.fixture
def not_for_ever():
    """Make a case that does not end fail."""

    def late(signal_number, frame):
        raise AssertionError(f"it takes more than {LONG} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LONG)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_broken_is_named_and_nothing_is_lost(tmp_path, capfd, not_for_ever, case):
    judge(case, tmp_path)
    assert capfd.readouterr() == ("", "")


def test_there_are_enough_of_them():
    assert len({case.name for case in CASES}) == len(CASES) >= 300


# -- where the survey goes, and what is said on a terminal -------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    good_pictures(folder, np.random.default_rng(0))
    return folder


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.mkdir(),
        lambda path: path.write_text("mine"),
        lambda path: path.symlink_to("nothing"),
        lambda path: path.symlink_to("in"),
    ],
    ids=["folder", "file", "dangling link", "link to the pictures"],
)
def test_what_is_there_already_stays_as_it_is(tmp_path, pictures, make):
    make(tmp_path / "made.survey")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="already exists"):
        ingest(pictures, tmp_path / "made.survey")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_survey_inside_its_source_is_no_object_of_the_next(tmp_path, pictures):
    for name in ("a.survey", "b.survey"):
        assert len(ingest(pictures, pictures / name).survey) == 3
    with pytest.raises(UserError, match="is a survey already"):
        ingest(pictures / "a.survey", tmp_path / "c.survey")


@pytest.mark.parametrize("where", ["source", "survey", "catalogue"])
def test_paths_that_are_not_utf8_are_refused(tmp_path, pictures, where):
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe"))
    (tmp_path / "c.csv").write_text("id,mag\ngood0,1\n")
    shutil.copytree(pictures, odd)
    shutil.copy(tmp_path / "c.csv", odd / "c.csv")
    source = odd if where == "source" else pictures
    catalogue = odd / "c.csv" if where == "catalogue" else tmp_path / "c.csv"
    with pytest.raises(UserError, match="not UTF-8") as caught:
        ingest(source, (odd if where == "survey" else tmp_path) / "made.survey", catalogue=catalogue)
    assert "rename" in caught.value.remedy and str(caught.value).encode()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_refused(tmp_path, pictures):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(UserError, match="cannot be written"):
        ingest(pictures, tmp_path / "locked" / "made.survey")


def test_names_cannot_give_orders_to_a_terminal(tmp_path, pictures, capsys):
    (pictures / "\x1b[2Jclear\n.png").write_bytes(b"x")
    with open(os.fsencode(pictures) + b"/\xff.png", "wb") as stream:
        stream.write(b"x")
    assert main(["ingest", str(pictures), str(tmp_path / "made.survey")]) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said and "2 left out" in said and said.encode()
    shutil.rmtree(tmp_path / "made.survey")
    for name in (f"good{k}.png" for k in range(3)):
        (pictures / name).unlink()
    assert main(["ingest", str(pictures), str(tmp_path / "made.survey")]) == 2
    said = capsys.readouterr().err
    assert "\x1b" not in said and [line[:6] for line in said.splitlines()] == ["checki", "error:"]


#: Bytes that a process may take on top of what its imports take.
ROOM = 1 << 30
_IN_LITTLE_MEMORY = """
import resource, sys, tempfile, time, warnings
from pathlib import Path
sys.path.insert(0, sys.argv[1])
warnings.simplefilter("error")
import numpy, torch
import engine.data.ingest, engine.data.catalogue
from broken_inputs import judge
from test_broken_inputs import CASES
told = Path("/proc/self/status").read_text().splitlines()
taken = int(next(line for line in told if line.startswith("VmSize")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (taken + int(sys.argv[2]),) * 2)
failed = []
for case in CASES:
    if case.dangerous:
        with tempfile.TemporaryDirectory(dir=sys.argv[3]) as folder:
            began = time.monotonic()
            try:
                judge(case, Path(folder))
            except Exception as error:
                failed.append(f"{case.name}: {type(error).__name__} {error}")
            if time.monotonic() - began > float(sys.argv[4]):
                failed.append(f"{case.name}: {time.monotonic() - began:.1f} s")
print("\\n".join(failed))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="what a process takes is asked of Linux")
def test_the_most_dangerous_take_little_memory_and_end(tmp_path):
    """In a process that is killed by nothing but its own allocations: none may need more than its imports and 1 GiB."""
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", _IN_LITTLE_MEMORY, str(here), str(ROOM), str(tmp_path), str(LONG)],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"},
        cwd=here.parents[1],
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")
