"""Comments and reviews: what stands is what a replay of the whole log says, after a restart too, and labels are untouched."""

import numpy as np
import pytest

from engine.errors import UserError
from engine.learning.labels import LabelLog
from engine.learning.remarks import Remarks


@pytest.fixture
def log(tmp_path):
    log = LabelLog(tmp_path / "labels.sqlite")
    yield log
    log.close()


@pytest.fixture
def remarks(log):
    return Remarks(log)


def test_a_comment_is_kept_replaced_found_and_taken_back(log, remarks):
    remarks.comment(7, " A blue ring ", id="g7", user="ann")
    remarks.comment(3, "tidal tail, ring?", id="g3", user="ann")
    remarks.comment(7, "yes, blue", id="g7", user="bob")
    assert [(c.user, c.text) for c in remarks.comments(7)] == [("bob", "yes, blue"), ("ann", "A blue ring")]
    assert remarks.texts([3, 5, 7]) == ["tidal tail, ring?", "", "yes, blue"]
    assert remarks.commented("RING").tolist() == [3, 7] and remarks.commented("ring blue").tolist() == [7]
    remarks.comment(7, "no ring", id="g7", user="ann")
    assert [c.text for c in remarks.comments(7)] == ["no ring", "yes, blue"]
    remarks.comment(7, "", id="g7", user="ann")
    assert remarks.texts([7]) == ["yes, blue"]
    with pytest.raises(UserError, match="characters"):
        remarks.comment(7, "x" * 2001, id="g7", user="ann")


def test_a_comment_written_with_a_label_goes_with_it(log, remarks):
    log.add([4], "dwarf", "yes", ids=["g4"], user="ann", comment="very blue")
    assert remarks.texts([4]) == ["very blue"]
    log.undo("ann", "dwarf")
    assert remarks.texts([4]) == [""]
    log.redo("ann", "dwarf")
    assert remarks.texts([4]) == ["very blue"]


def test_reviews_are_a_persons_own(remarks):
    for row in (4, 9, 2):
        remarks.review(row, True, id=f"g{row}", user="ann")
    remarks.review(9, True, id="g9", user="bob")
    remarks.review(4, False, id="g4", user="ann")
    assert remarks.to_review("ann").tolist() == [2, 9] and remarks.to_review("bob").tolist() == [9]
    assert remarks.reviewed_later([2, 4, 9], "ann").tolist() == [True, False, True]


def test_labels_and_their_undo_know_nothing_of_them(log, remarks):
    log.add([1], "dwarf", "yes", ids=["g1"], user="ann")
    remarks.comment(1, "odd", id="g1", user="ann")
    remarks.review(1, True, id="g1", user="ann")
    assert log.targets() == {"dwarf": {"yes": 1}}
    assert log.undo("ann").target == "dwarf" and log.undo("ann") is None
    with pytest.raises(UserError):
        log.add([1], "comment", "yes", ids=["g1"], user="ann")


def test_looking_writes_nothing(log, remarks):
    remarks.review(1, False, id="g1", user="ann")
    assert remarks.comments(1) == [] and remarks.commented().tolist() == [] and not log.path.exists()


def test_following_the_log_equals_reading_it_anew(log, remarks):
    rng = np.random.default_rng(0)
    for _ in range(150):
        row, user = int(rng.integers(6)), str(rng.choice(["ann", "bob"]))
        act = rng.integers(5)
        if act == 0:
            remarks.comment(row, str(rng.choice(["", "ring", "tail"])), id=f"g{row}", user=user)
        elif act == 1:
            remarks.review(row, bool(rng.integers(2)), id=f"g{row}", user=user)
        elif act == 2:
            log.add([row], "dwarf", "yes", ids=[f"g{row}"], user=user, comment=str(rng.choice(["", "with it"])))
        else:
            (log.undo if act == 3 else log.redo)(user, "dwarf")
        fresh = Remarks(log)
        assert remarks.texts(range(6)) == fresh.texts(range(6))
        assert remarks.commented().tolist() == fresh.commented().tolist()
        assert [remarks.to_review(u).tolist() for u in ("ann", "bob")] == [
            fresh.to_review(u).tolist() for u in ("ann", "bob")
        ]


def test_commands_comment_list_and_redo(tmp_path, capsys):
    from engine import Survey
    from engine.cli import main

    path = tmp_path / "a.survey"
    assert main(["simulate", str(path), "--objects", "40", "--progress", "none"]) == 0
    name = Survey.open(path).ids[3].as_py()
    for more in ([name, "a blue ring"], [name, "--later"], ["--find", "ring"], [name]):
        assert main(["remark", str(path), *more]) == 0
    said = capsys.readouterr().out
    assert said.count("a blue ring") == 2 and "To review later (cli)" in said
    assert main(["remark", str(path), name, "", "--seen"]) == 0 and main(["remark", str(path)]) == 0
    assert "No comment" in capsys.readouterr().out
    for command in ([f"{name}=yes"], ["--undo"], ["--redo"]):
        assert main(["label", str(path), *command, "--target", "dwarf"]) == 0
    assert Survey.open(path).labels.targets() == {"dwarf": {"yes": 1}}
