"""Columns of a catalogue as questions and answers."""

import numpy as np
import pandas as pd
import pytest

from engine.errors import UserError
from engine.training.targets import CLASSES, read_targets


@pytest.fixture
def survey(make_survey):
    rng = np.random.default_rng(0)
    n = 60
    kind = pd.Categorical(rng.choice(["E", "S", "Irr"], n))
    odd = pd.array(rng.random(n) < 0.2, dtype="boolean")
    odd[3] = pd.NA
    return make_survey(
        n,
        columns={
            "kind": kind,
            "odd": odd,
            "Class1.1": rng.random(n),
            "Class1.2": np.where(np.arange(n) < 5, np.nan, rng.random(n)),
            "bar_strong_count": rng.integers(0, 9, n),
            "bar_weak_count": rng.integers(0, 9, n),
            "stage": rng.integers(-2, 4, n),
            "mag": 20 + rng.random(n),
            "comment": [f"note {k}" for k in range(n)],
            "ccd": rng.integers(0, 2, n),
            "same": np.zeros(n),
        },
    )


def test_what_looks_like_votes_and_classes_is_learned_if_nothing_is_named(survey):
    answers, values = read_targets(survey)
    assert answers == {
        "kind": ["kind=E", "kind=Irr", "kind=S"],
        "odd": ["odd"],
        "Class1": ["Class1.1", "Class1.2"],
        "bar_count": ["bar_strong_count", "bar_weak_count"],
    }
    assert {k: v.shape for k, v in values.items()} == {k: (60, len(v)) for k, v in answers.items()}
    assert all(v.dtype == np.float32 for v in values.values())


def test_values_are_those_of_the_catalogue(survey):
    _, values = read_targets(survey, ["Class1.1", "Class1.2", "odd", "kind", "stage"])
    assert np.isnan(values["Class1"][:5, 1]).all() and np.isfinite(values["Class1"][:, 0]).all()
    np.testing.assert_array_equal(values["Class1"][5:, 1], survey.column("Class1.2")[5:].astype(np.float32))
    assert np.isnan(values["odd"][3]) and set(values["odd"][4:, 0]) == {0.0, 1.0}
    assert (values["kind"].sum(axis=1) == 1).all()
    kinds = np.array(["E", "Irr", "S"])[values["kind"].argmax(axis=1)]
    assert kinds.tolist() == survey.column("kind").tolist()
    assert values["stage"].shape == (60, 6)  # a few whole numbers are classes


@pytest.mark.parametrize(
    "columns, said",
    [
        (["mag"], "'mag' holds neither fractions.*20.* to 20"),
        (["comment"], f"60 different values.*2 to {CLASSES} classes"),
        (["absent"], "no column 'absent'"),
        (["id"], "choose other"),
    ],
)
def test_what_cannot_be_learned_is_refused_by_name(survey, columns, said):
    with pytest.raises(UserError, match=said):
        read_targets(survey, columns)


def test_a_survey_without_votes_says_so(make_survey):
    with pytest.raises(UserError, match="no column of votes or classes"):
        read_targets(make_survey(5))
