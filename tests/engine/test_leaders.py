"""The best few are the same as those of sorting everything, ties and all."""

import numpy as np
import pytest

from engine.learning.acquisition import ACQUISITIONS, top
from engine.learning.leaders import BLOCK, RISING, leaders, leaders_by

random = np.random.default_rng(8)


def sorted_all(scores, count, allowed):
    rows = np.flatnonzero(allowed)
    return rows[np.argsort(-scores[rows], kind="stable")][:count]


@pytest.mark.parametrize("n", [1, 100, BLOCK, 5 * BLOCK + 3, 40_000])
@pytest.mark.parametrize("kind", ["spread", "ties", "constant", "float32", "infinite"])
def test_leaders_are_the_first_of_all_sorted(n, kind):
    scores = random.normal(size=n)
    if kind == "ties":
        scores = np.round(scores)
    elif kind == "constant":
        scores[:] = 0.25
    elif kind == "float32":
        scores = scores.astype(np.float32)
    elif kind == "infinite":
        scores[::2] = -np.inf
    for allowed in (np.ones(n, bool), random.random(n) < 0.02, np.zeros(n, bool)):
        for count in (0, 1, 7, 200, 2 * n):
            np.testing.assert_array_equal(leaders(scores, count, allowed=allowed), sorted_all(scores, count, allowed))
    np.testing.assert_array_equal(leaders(scores, 5), top(scores, 5))


def posteriors():
    """Means and sds as posteriors have them: an outlier among them, all equal, few values, a narrow cloud."""
    mean, sd = random.normal(size=20_000) * 0.1, random.uniform(0.14, 0.5, 20_000)
    yield "cloud", mean, sd
    yield "outlier", np.where(np.arange(20_000) == 77, 5.0, mean), np.where(np.arange(20_000) == 99, 40.0, sd)
    yield "equal", np.full(20_000, 0.2), np.full(20_000, 0.5)
    yield "few values", np.round(mean, 1), np.round(sd, 1) + 0.1
    yield "certain", 1e-9 * mean + 1, 1e-12 * sd + 0.1
    yield "far below", mean - 30, sd


@pytest.mark.parametrize("acquisition", sorted(RISING))
def test_leaders_by_a_rising_score_are_those_of_the_whole_score(acquisition):
    for name, mean, sd in posteriors():
        for best in (0.0, 1.0):

            def score(m, s, best=best):
                return ACQUISITIONS[acquisition](m, s, best=best)

            everything = score(mean, sd)
            for allowed in (np.ones(len(mean), bool), random.random(len(mean)) < 0.001, np.zeros(len(mean), bool)):
                for count in (0, 1, 10, 200, 10**5):
                    rows, scores = leaders_by(score, mean, sd, count, allowed=allowed)
                    np.testing.assert_array_equal(rows, sorted_all(everything, count, allowed), err_msg=name)
                    np.testing.assert_array_equal(scores, everything[rows])


def test_few_scores_are_computed():
    mean, sd = random.normal(size=50_000) * 0.1, random.uniform(0.14, 0.5, 50_000)
    asked = []

    def score(m, s):
        asked.append(len(m))
        return ACQUISITIONS["protege"](m, s, best=1.0)

    leaders_by(score, mean, sd, 100, allowed=np.ones(50_000, bool))
    assert sum(asked) < 25_000 and asked[-1] < 5_000


@pytest.mark.parametrize("acquisition", sorted(RISING))
def test_what_is_said_to_rise_rises(acquisition):
    mean, sd = random.normal(size=3000), random.uniform(1e-3, 2, 3000)
    score = ACQUISITIONS[acquisition]
    here = score(mean, sd, best=0.5)
    for more in ((mean + 0.01, sd), (mean, sd + 0.01), (mean + 3, sd), (mean, sd * 9)):
        assert (score(*more, best=0.5) >= here - 1e-9 * np.abs(here)).all()
