"""The evaluation's figures, on points whose answer is known."""

import numpy as np
import pytest

from engine.training.evaluate import few_labels, probe, purity


def points(apart: float, *, count: int = 400, rare: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian points, of which `rare` are shifted along the first axis."""
    rng = np.random.default_rng(seed)
    truth = np.arange(count) < rare
    found = rng.normal(size=(count, 6)).astype(np.float32)
    found[truth, 0] += apart
    return found, truth


def test_separate_points_are_told_apart_and_equal_ones_are_not():
    assert probe(*points(12.0)) == pytest.approx((1, 1))
    area, precision = probe(*points(0.0))
    assert 0.35 < area < 0.65 and precision < 0.3


def test_few_labels_find_a_wide_gap():
    assert few_labels(*points(12.0, rare=200), labels=50)[0] > 0.99
    assert 0.4 < few_labels(*points(0.0, rare=200), labels=50)[0] < 0.6


def test_few_labels_by_area_do_not_mind_a_rare_class():
    assert few_labels(*points(12.0), labels=200, score="AUC")[0] > 0.99
    assert 0.3 < few_labels(*points(0.0), labels=200, score="AUC")[0] < 0.7


def test_purity_equals_its_loop():
    found, truth = points(2.0, count=150)
    slow = []
    for row in np.flatnonzero(truth):
        distance = np.linalg.norm(found - found[row], axis=1)
        distance[row] = np.inf
        slow.append(truth[np.argsort(distance)[:10]].mean())
    assert purity(found, truth) == pytest.approx(np.mean(slow))
