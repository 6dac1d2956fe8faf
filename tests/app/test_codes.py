"""Codes of labels: following the log equals reading it anew, and ratings and classes have codes of their own."""

import numpy as np
import pytest
from galaxies import COUNT, fresh_store, make_survey

from app.hunt.codes import LabelCodes
from engine.learning import targets
from engine.learning.targets import Target


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_survey(tmp_path_factory.mktemp("codes")).path


@pytest.fixture
def survey(folder, tmp_path):
    return fresh_store(folder, tmp_path).survey


@pytest.mark.parametrize("kind", ["verdicts", "ratings", "classes", ""])
def test_following_the_log_equals_reading_it_anew(survey, kind):
    rng = np.random.default_rng(3)
    classes = ("disc", "ring") if kind == "classes" else ()
    if kind:
        targets.declare(survey, Target("t", kind, classes))
    values = {"verdicts": ["yes", "no"], "ratings": ["0", "4"], "classes": [*classes, "bar"], "": ["yes", "2", "disc"]}
    followed = LabelCodes(survey)
    for _ in range(80):
        act = rng.integers(5)
        if act < 3:
            rows = rng.choice(COUNT, int(rng.choice([1, 3])), replace=False)
            value = str(rng.choice([*values[kind], "unsure"]))
            survey.labels.add(rows, "t", value, ids=[f"g{r}" for r in rows], user="ann")
        else:
            (survey.labels.undo if act == 3 else survey.labels.redo)("ann", "t")
        fresh = LabelCodes(survey)
        if followed.target("t") == fresh.target("t"):  # what is nowhere declared may be taken otherwise after a restart
            np.testing.assert_array_equal(followed.of("t"), fresh.of("t"))
            assert followed.counts("t") == fresh.counts("t")
        np.testing.assert_array_equal(followed.rows("t"), fresh.rows("t"))


def test_many_labels_at_once_are_read_all_together(survey, monkeypatch):
    codes = LabelCodes(survey)
    monkeypatch.setattr("engine.learning.labels.MANY", 10)
    codes.of("t")
    survey.labels.add(np.arange(50), "t", "no", ids=[f"g{r}" for r in range(50)], user="ann")
    assert codes.counts("t")["no"] == 50 and codes.rows("t").tolist() == list(range(50))


def test_ratings_and_classes_have_codes(survey):
    codes = LabelCodes(survey)
    targets.declare(survey, Target("odd", "ratings"))
    survey.labels.add([3, 4], "odd", ["0", "5"], ids=["g3", "g4"], user="ann")
    assert [codes.names("odd")[c] for c in codes.of("odd")[[3, 4, 5]]] == ["rated 0", "rated 5", "unlabelled"]
    targets.declare(survey, Target("shape", "classes", ("disc", "ring")))
    survey.labels.add([3, 4], "shape", ["ring", "blob"], ids=["g3", "g4"], user="ann")
    assert [codes.names("shape")[c] for c in codes.of("shape")[[3, 4]]] == ["ring", "other"]
    targets.declare(survey, Target("shape", "classes", ("disc", "ring", "blob")))
    assert codes.names("shape")[codes.of("shape")[4]] == "blob"
