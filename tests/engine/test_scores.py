"""Scores that the learner makes are there when named, and never older than the labels."""

import numpy as np
import pytest

from engine import Survey, UserError
from engine.learning import scores
from engine.search.query import names, select, values


@pytest.fixture
def labelled(own_survey):
    ids = own_survey.ids.take([0, 1, 2, 3]).to_pylist()
    own_survey.labels.add(np.arange(4), "dwarf", ["yes", "no", "no", "yes"], ids=ids, user="me")
    return own_survey


def test_named_without_having_been_stored(labelled):
    assert "mean_dwarf" not in labelled.scores and "mean_dwarf" in names(labelled)
    mean = values(labelled, "mean_dwarf")
    np.testing.assert_allclose(mean, labelled.interest("dwarf").mean, rtol=1e-6)
    assert set(select(labelled, "mean_dwarf > 0.5")) == set(np.flatnonzero(mean > 0.5))
    assert scores.up_to_date(labelled, "dwarf")


def test_a_new_label_or_an_undo_makes_them_anew(labelled):
    before = np.array(scores.score(labelled, "mean_dwarf"))
    labelled.labels.add([7], "dwarf", "yes", ids=["x"], user="me")
    assert not scores.up_to_date(labelled, "dwarf")
    after = np.array(scores.score(labelled, "mean_dwarf"))
    assert after[7] > before[7]
    labelled.labels.undo("me", "dwarf")
    assert not scores.up_to_date(labelled, "dwarf")
    np.testing.assert_allclose(scores.score(labelled, "mean_dwarf"), before, atol=1e-5)


def test_another_targets_labels_change_nothing(labelled):
    scores.score(labelled, "sd_dwarf")
    labelled.labels.add([9], "lens", "yes", ids=["x"], user="me")
    assert scores.up_to_date(labelled, "dwarf") and not scores.up_to_date(labelled, "lens")


def test_what_is_not_there_is_refused(labelled):
    with pytest.raises(UserError, match="no score 'mean_ghost'"):
        scores.score(labelled, "mean_ghost")


def test_a_survey_without_representation_has_none(tmp_path):
    from engine.data.simulation.simulate import simulate

    survey = simulate(tmp_path / "bare.survey", 40)
    survey.labels.add([0], "dwarf", "yes", ids=["x"], user="me")
    assert scores.learned(Survey.open(survey.path)) == {}
