"""Honest curves: intervals hold the truth as often as they say, whatever the hunt did; figures equal their slow twins."""

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor

from engine.learning.curves import Curves, _held_out, curves, measure
from engine.learning.estimates import LEAST_RANDOM, _at_most, left_by_chance
from engine.learning.interest import Interest


def hunted(rng, n, total, labels, share):
    """A greedy hunt by a noisy score in which a share of the labels is drawn at random: rows, what they are, by chance."""
    truth = np.zeros(n, bool)
    truth[rng.choice(n, total, replace=False)] = True
    score = truth * 1.5 + rng.normal(size=n)
    free, rows, chance = np.ones(n, bool), [], []
    order = np.argsort(-score)
    for _ in range(labels):
        at_random = rng.random() < share
        row = rng.choice(np.flatnonzero(free)) if at_random else order[free[order].argmax()]
        free[row] = False
        rows.append(row)
        chance.append(at_random)
    rows, chance = np.array(rows), np.array(chance)
    return truth, score, rows, truth[rows], chance


@pytest.mark.parametrize("total, share", [(20, 0.3), (150, 0.3), (600, 0.5)])
def test_the_interval_of_what_is_left_holds_the_truth(total, share):
    rng = np.random.default_rng(total)
    held, errors = [], []
    for _ in range(80):
        truth, _, rows, positive, chance = hunted(rng, 1500, total, 150, share)
        if chance.sum() < LEAST_RANDOM:
            continue
        said = measure("t", rows, positive, chance, objects=1500).left_random
        left = int(truth.sum() - positive.sum())
        held.append(said.low - 0.5 <= left <= said.high + 0.5)
        errors.append(said.value - left)
    assert np.mean(held) >= 0.85
    errors = np.array(errors)
    if total > 20:  # of few, the cut at none left shows
        assert abs(errors.mean()) < 4 * errors.std() / np.sqrt(len(errors))


def test_the_models_interval_holds_the_truth_where_the_score_is_all_there_is_to_know():
    rng = np.random.default_rng(0)
    held = []
    for _ in range(50):
        truth, score, rows, positive, chance = hunted(rng, 1500, 150, 250, 0.4)
        said = measure("t", rows, positive, chance, objects=1500, mean=score, held_out=score[rows])
        held.append(said.left_model.low <= truth.sum() - positive.sum() <= said.left_model.high)
    assert np.mean(held) >= 0.75  # 0.83 of 120: a model's band, not a sample's


def test_precision_among_the_unlabelled_is_what_it_is_and_the_published_one_flatters():
    rng = np.random.default_rng(1)
    honest, published, true = [], [], []
    for _ in range(25):
        truth, score, rows, positive, chance = hunted(rng, 1500, 150, 250, 0.4)
        said = measure("t", rows, positive, chance, objects=1500, mean=score, held_out=score[rows])
        at = int(np.argmin(np.abs(said.ranks - 50)))
        free = np.ones(1500, bool)
        free[rows] = False
        best = np.flatnonzero(free)[np.argsort(-score[free])][: said.ranks[at]]
        true.append(truth[best].mean())
        honest.append(said.precision.value[at])
        published.append(said.published[at])
        assert np.all(np.diff(said.recall.value) >= -1e-9) and said.recall.value[-1] == pytest.approx(1)
        assert np.all(said.precision.low <= said.precision.high)
    assert abs(np.mean(honest) - np.mean(true)) < 0.06
    assert np.mean(published) > np.mean(true) + 0.2


def test_too_few_random_labels_give_a_sentence_and_no_number():
    rows = np.arange(30)
    said = measure("t", rows, rows < 3, np.arange(30) < LEAST_RANDOM - 1, objects=100)
    assert said.left_random is None and said.left_model is None and said.rate is None
    assert measure("t", rows[:0], rows[:0] < 0, rows[:0] < 0, objects=100).found.tolist() == [0]


def test_poisson_binomial_equals_the_binomial_of_one_chance():
    from scipy.stats import binom

    for hits in (-1, 0, 3, 12):
        assert _at_most(np.full(12, 0.3), hits) == pytest.approx(binom.cdf(hits, 12, 0.3))


def test_nothing_found_and_everything_found_at_random():
    none = left_by_chance(np.zeros(30, int), np.arange(1000, 970, -1), np.zeros(30, bool), 0, 970)
    assert none.value == none.low == 0 and 60 < none.high < 120
    every = left_by_chance(np.arange(30), np.arange(1000, 970, -1), np.ones(30, bool), 30, 970)
    assert every.value == every.high == 970 and every.low > 800


def test_held_out_means_equal_those_of_processes_without_the_label(make_survey):
    rng = np.random.default_rng(2)
    survey = make_survey(200, vectors=rng.normal(size=(200, 6)))
    rows = np.arange(24)
    values = ["yes" if row % 3 == 0 else "no" for row in rows]
    survey.labels.add(rows, "t", values, ids=[f"o{row}" for row in rows], user="ann")
    hunt = Interest(survey, "t")
    x, y = hunt.seen(rows), (rows % 3 == 0).astype(float)
    found = _held_out(hunt, rows)
    for left in range(0, 24, 5):
        others = rows != left
        twin = GaussianProcessRegressor(hunt.kernel.scikit_learn(), optimizer=None).fit(x[others], y[others])
        assert found[left] == pytest.approx(twin.predict(x[left : left + 1])[0], abs=1e-5)
    survey.labels.close()


def test_a_log_is_told_in_words_and_as_a_table(make_survey):
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(400, 6))
    vectors[:60] += 2
    survey = make_survey(400, vectors=vectors)
    first = curves(survey, "t")
    assert isinstance(first, Curves) and first.labels == 0 and "0 found in 0 labels" in first.text()
    rows = rng.permutation(400)[:60]
    drawn = [{"drawn": "random"} if k % 2 else None for k in range(60)]
    values = ["yes" if row < 60 else "no" for row in rows]
    survey.labels.add(rows, "t", values, ids=[f"o{row}" for row in rows], user="ann", view=drawn)
    said = curves(survey, "t")
    assert said.random == 30 and said.yes == int((rows < 60).sum()) and said.found[-1] == said.yes
    assert said.left_random.low <= 60 - said.yes <= said.left_random.high
    assert "drawn at random" in said.text() and "flatters" in said.text()
    lines = said.table().splitlines()
    assert lines[0] == "curve,x,value,low,high" and f"found,60,{said.yes},," in lines
    assert said.facts()["left_random"]["value"] == said.left_random.value
    survey.labels.close()


def test_ratings_unsure_and_one_class_only_have_clear_states(make_survey):
    survey = make_survey(50, vectors=np.random.default_rng(4).normal(size=(50, 3)))
    survey.labels.add(
        range(8), "t", ["0", "2", "3", "5", "4", "1", "0", "0"], ids=[f"o{k}" for k in range(8)], user="a"
    )
    survey.labels.add([9], "t", "unsure", ids=["o9"], user="a")
    said = curves(survey, "t")
    assert said.yes == 3 and said.labels == 9 and "it takes 5 yes" in said.text()
    survey.labels.close()
