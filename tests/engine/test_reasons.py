"""Why an object is where it is: the pulls add up to the mean, and what a label would change is what it then changes."""

import numpy as np
import pytest

from engine.errors import UserError
from engine.learning import reasons as reasons_module
from engine.learning import targets
from engine.learning.interest import Interest
from engine.learning.reasons import reasons
from engine.learning.targets import Target

N = 500


@pytest.fixture
def survey(make_survey):
    random = np.random.default_rng(0)
    vectors, valid = random.normal(size=(N, 6)), np.ones(N, bool)
    vectors[:40] += 2.5  # the rare ones
    valid[7] = False
    survey = make_survey(N, vectors=vectors, valid=valid)
    yield survey
    survey.labels.close()


def say(survey, rows, values, target="dwarf"):
    survey.labels.add(rows, target, values, ids=[f"o{row}" for row in rows], user="ann")


@pytest.fixture
def hunt(survey):
    say(survey, [0, 1, 2, 100, 200, 300, 400], ["yes", "yes", "unsure", "no", "no", "no", "no"])
    return Interest(survey, "dwarf")


@pytest.mark.parametrize("row", [5, 150, 0])
@pytest.mark.parametrize("count", [3, 100])
def test_prior_and_pulls_and_the_rest_are_the_mean(hunt, row, count):
    found = reasons(hunt, f"o{row}", neighbours=count)
    assert found.mean == pytest.approx(hunt.mean[row]) and found.sd == pytest.approx(hunt.sd[row])
    assert found.prior + sum(n.pull for n in found.neighbours) + found.rest == pytest.approx(found.mean, abs=1e-4)
    assert len(found.neighbours) == min(count, 7) and found.labels == 7
    distances = [n.distance for n in found.neighbours]
    assert distances == sorted(distances)
    assert found.rank == 1 + (hunt.mean > hunt.mean[row]).sum() and found.of == N - 1


def test_a_yes_pulls_up_and_a_no_pulls_down(hunt):
    near = {n.id: n for n in reasons(hunt, "o5", neighbours=7).neighbours}
    assert near["o0"].pull > 0 and near["o0"].label == "yes" and near["o2"].label == "unsure"
    assert min(near.values(), key=lambda n: n.distance).label in ("yes", "unsure")


@pytest.mark.parametrize("row", [5, 20, 250])
def test_what_it_says_a_label_would_change_is_what_the_label_changes(survey, hunt, row):
    found = reasons(hunt, row)
    for change in found.changes:
        before = hunt.mean
        say(survey, [row], [change.label])
        hunt.sync()
        after = hunt.mean
        survey.labels.undo("ann")
        hunt.sync()
        assert change.exact
        assert change.up == ((after >= 0.5) & (before < 0.5)).sum()
        assert change.down == ((after < 0.5) & (before >= 0.5)).sum()
    assert sum(c.up + c.down for c in found.changes) > 0 or row == 250


def test_a_sample_stands_for_the_rest(hunt, monkeypatch):
    exact = reasons(hunt, 5).changes
    monkeypatch.setattr(reasons_module, "SAMPLE", 30)
    about = reasons(hunt, 5).changes
    assert not about[0].exact and about[0].up == pytest.approx(exact[0].up, abs=40)


def test_a_labelled_object_has_nothing_to_change(hunt):
    found = reasons(hunt, "o0")
    assert found.label == "yes" and found.changes == () and found.neighbours[0].id == "o0"
    assert "labelled yes" in found.words()


def test_without_a_label_nothing_pulls(survey):
    found = reasons(Interest(survey, "lens"), "o5")
    assert found.neighbours == () and found.mean == found.prior == 0 and "No label" in found.words()


def test_of_classes_the_one_that_is_hunted_is_explained(survey):
    targets.declare(survey, Target("kind", "classes", ("dwarf", "spiral")))
    say(survey, [0, 1, 2, 100, 200, 300], ["dwarf"] * 3 + ["spiral"] * 3, target="kind")
    hunt = Interest(survey, "kind", hunted="dwarf")
    found = reasons(hunt, "o5", neighbours=6)
    assert found.hunted == "dwarf" and found.mean == pytest.approx(hunt.mean[5]) and found.mean > 0.5
    with hunt.held() as model:
        assert found.prior + sum(n.pull for n in found.neighbours) == pytest.approx(model.latent[0].mean[5], abs=1e-4)
    assert [c.label for c in found.changes] == ["yes", "no"] and "dwarf" in found.words()


def test_what_cannot_be_explained_is_told(hunt):
    with pytest.raises(UserError, match="could not be read"):
        reasons(hunt, "o7")
    with pytest.raises(UserError, match="o9999"):
        reasons(hunt, "o9999")
