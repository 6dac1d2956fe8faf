"""Whatever is broken is named, nothing else is lost, and nothing crashes, hangs or fills the memory."""

import signal

import broken_arrays
import broken_catalogues
import broken_fits
import broken_hdf5
import broken_pictures
import pytest
from broken_inputs import judge

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
