"""Agreement: the same neighbours, none in common, and what a slow count says."""

from pathlib import Path

import numpy as np
import pytest

from engine import UserError
from engine.maps.agreement import agreement, in_common
from engine.survey import Representation


def representation(vectors, valid=None):
    valid = np.ones(len(vectors), bool) if valid is None else valid
    return Representation("some", Path("some"), vectors.astype(np.float32), valid, {})


def test_the_count_of_common_neighbours_is_that_of_sets():
    rng = np.random.default_rng(1)
    first, second = (np.array([rng.permutation(12)[:5] for _ in range(200)]) for _ in range(2))
    first[3, 2:] = second[3, 1:] = -1
    slow = [len((set(a) & set(b)) - {-1}) for a, b in zip(first.tolist(), second.tolist())]
    assert in_common(first, second).tolist() == slow


def test_a_rotated_and_shifted_representation_agrees_wholly():
    rng = np.random.default_rng(2)
    vectors = rng.normal(size=(300, 6)) * [5, 4, 3, 2, 1, 0.5]
    turn = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    found = agreement(representation(vectors), representation(vectors @ turn + 7))
    assert found.mean > 0.999 and found.rows.tolist() == list(range(300))


def test_unrelated_ones_agree_by_chance_and_either_way_round():
    rng = np.random.default_rng(3)
    first, second = (representation(rng.normal(size=(1000, 5))) for _ in range(2))
    found, back = agreement(first, second), agreement(second, first)
    assert abs(found.mean - found.chance) < 5 * found.error
    assert np.array_equal(found.share, back.share)


def test_objects_without_a_vector_are_left_out_and_a_sample_is_a_sample():
    rng = np.random.default_rng(4)
    vectors, valid = rng.normal(size=(400, 4)), rng.random(400) < 0.8
    found = agreement(representation(vectors, valid), representation(vectors), sample=100)
    assert len(found.rows) == 100 and valid[found.rows].all() and (np.diff(found.rows) > 0).all()
    again = agreement(representation(vectors, valid), representation(vectors), sample=100)
    assert np.array_equal(found.rows, again.rows)


def test_too_few_or_other_objects_are_refused():
    with pytest.raises(UserError, match="in common"):
        agreement(representation(np.ones((10, 3))), representation(np.ones((10, 3))))
    with pytest.raises(UserError, match="different objects"):
        agreement(representation(np.ones((10, 3))), representation(np.ones((11, 3))))
