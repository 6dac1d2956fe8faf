"""What labels teach, and that bringing a model to them gives what learning them at once gives."""

import numpy as np
import pytest

from engine.learning.kernels import Kernel
from engine.learning.labels import Current
from engine.learning.lessons import UNSURE_NOISE, Lessons, bring, lessons, thinned
from engine.learning.posterior import Posterior
from engine.learning.targets import Target

VALID = np.arange(50) != 4


def current(values, kinds):
    n = len(values)
    return Current(
        np.arange(n), np.array(values, object), np.array(kinds, object), np.array(["ann"] * n, object), np.arange(n)
    )


def test_verdicts_and_ratings_and_what_says_nothing():
    given = current(["yes", "no", "unsure", "4", "no", "ring"], ["verdict"] * 3 + ["rating", "verdict", "class"])
    said = lessons(given, Target("odd"), VALID)
    assert said.rows.tolist() == [0, 1, 2, 3] and said.responses.tolist() == [1, 0, 0.5, 0.8]
    assert said.extra.tolist() == [0, 0, UNSURE_NOISE, 0] and said.certain.rows.tolist() == [0, 1, 3]
    assert lessons(given, Target("odd"), VALID, unsure=np.inf).rows.tolist() == [0, 1, 3]
    classes = lessons(given, Target("odd", "classes", ("merger", "ring")), VALID)
    assert classes.rows.tolist() == [5] and classes.responses.tolist() == [1]


def test_finds_of_another_are_a_no_here_unless_something_was_said():
    said = Lessons(np.array([1, 2]), np.array([1.0, 0.0]), np.zeros(2)).and_against(np.array([2, 1, 9]))
    assert said.rows.tolist() == [1, 2, 9] and said.responses.tolist() == [1, 0, 0]


@pytest.mark.parametrize("seed", range(6))
def test_bringing_a_model_along_is_learning_at_once(seed):
    """Any walk through the label log: labels come, go, change their value, and become unsure."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(50, 3)).astype(np.float32)
    kernel = Kernel("rbf", variance=0.3, length=1.5, noise=0.02)
    model, said = Posterior(x, kernel), {}
    for _ in range(25):
        for row in random.choice(50, random.integers(1, 4), replace=False):
            if random.random() < 0.3:
                said.pop(int(row), None)
            else:
                value = random.choice([0.0, 0.5, 1.0])
                said[int(row)] = (value, UNSURE_NOISE if value == 0.5 else 0.0)
        rows = np.array(list(said), np.int64)
        told = np.array(list(said.values())).reshape(-1, 2)
        bring(model, Lessons(rows, told[:, 0], told[:, 1]))
        twin = Posterior(x, kernel)
        twin.extend(rows, told[:, 0], told[:, 1] + kernel.noise)
        assert sorted(model.rows) == sorted(said)
        np.testing.assert_allclose(model.mean, twin.mean, atol=2e-5)
        np.testing.assert_allclose(model.sd, twin.sd, atol=2e-5)


def test_thinning_keeps_what_is_held_and_what_is_rare():
    said = Lessons(np.arange(100), (np.arange(100) < 5).astype(float), np.zeros(100))
    kept = thinned(said, [50, 60], 20, said.responses > 0.5)
    assert len(kept) == 20 and {50, 60, 0, 1, 2, 3, 4} <= set(kept.rows.tolist())
    assert (np.diff(kept.rows) > 0).all() and thinned(said, [], 200, said.responses > 0.5) is said
