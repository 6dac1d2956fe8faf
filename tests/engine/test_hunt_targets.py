"""How a target is labelled: declared, or as its labels are."""

import json

import pytest

from engine.errors import UserError
from engine.learning import targets
from engine.learning.targets import Target


@pytest.fixture
def survey(make_survey):
    return make_survey(40)


def test_a_target_that_is_nowhere_takes_verdicts(survey):
    assert targets.read(survey, "dwarf") == Target("dwarf") and targets.names(survey) == []


@pytest.mark.parametrize(
    "values, kind, classes",
    [
        (["yes", "no", "unsure"], "verdicts", ()),
        (["3", "5", "0"], "ratings", ()),
        (["ring", "merger", "ring"], "classes", ("merger", "ring")),
        (["ring", "ring", "ring"], "verdicts", ()),  # one class alone says nothing of the others
    ],
)
def test_one_that_is_only_labelled_is_taken_by_its_labels(survey, values, kind, classes):
    survey.labels.add(range(3), "odd", values, ids=survey.ids[:3], user="me")
    assert targets.read(survey, "odd") == Target("odd", kind, classes)
    assert targets.names(survey) == ["odd"]


def test_what_is_declared_counts_and_stays(survey):
    survey.labels.add([1], "odd", "yes", ids=survey.ids[1:2], user="me")
    targets.declare(survey, Target("odd", "classes", ("ring", "merger", "shell")))
    targets.declare(survey, Target("dwarf", "ratings"))
    assert targets.read(survey, "odd").classes == ("ring", "merger", "shell")
    assert targets.read(survey, "dwarf").kind == "ratings" and targets.names(survey) == ["dwarf", "odd"]


@pytest.mark.parametrize(
    "kind, classes",
    [
        ("stars", ()),
        ("classes", ("one",)),
        ("classes", ("a", "a")),
        ("classes", tuple("abcdefghij")),
        ("classes", ("yes", "no")),
        ("classes", ("1", "2")),
        ("verdicts", ("a", "b")),
    ],
)
def test_what_makes_no_sense_is_refused(kind, classes):
    with pytest.raises(UserError):
        Target("odd", kind, classes)


@pytest.mark.parametrize("text", ["{", "[]", '{"odd": 3}', '{"odd": {"kind": "stars"}}', '{"odd": {}}'])
def test_a_damaged_file_is_told(survey, text):
    (survey.path / targets.FILE).write_text(text)
    with pytest.raises(UserError):
        targets.read(survey, "odd")


def test_the_file_is_plain(survey):
    targets.declare(survey, Target("odd", "classes", ("ring", "merger")))
    assert json.loads((survey.path / targets.FILE).read_text()) == {
        "odd": {"kind": "classes", "classes": ["ring", "merger"]}
    }
