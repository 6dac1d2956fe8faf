"""Whatever is broken is named, nothing else is lost, and nothing crashes, hangs or fills the memory."""

import broken_pictures
import pytest
from broken_inputs import judge

CASES = [case for module in (broken_pictures,) for case in module.cases()]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_broken_is_named_and_nothing_is_lost(tmp_path, capfd, case):
    judge(case, tmp_path)
    assert capfd.readouterr() == ("", "")


def test_there_are_enough_of_them():
    assert len({case.name for case in CASES}) == len(CASES) >= 300
