"""Few corners that carry an outline's shape, against the recursive rule of the textbook."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.search.handles import departures, handles


def wavy(corners=300, seed=0):
    rng = np.random.default_rng(seed)
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    radius = 3 + np.cos(3 * angle) + 0.4 * np.sin(7 * angle) + rng.normal(0, 0.01, corners)
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]) + 5


def textbook(ring, start, stop, tolerance):
    """Douglas and Peucker, recursively."""
    between = np.arange(start + 1, stop if stop > start else stop + len(ring)) % len(ring)
    if not len(between):
        return []
    distance = departures(ring[between], ring[start], ring[stop])
    far = int(between[np.argmax(distance)])
    if distance.max() <= tolerance:
        return []
    return [far, *textbook(ring, start, far, tolerance), *textbook(ring, far, stop, tolerance)]


@pytest.mark.parametrize("seed", range(5))
def test_without_a_limit_it_is_the_textbooks_rule(seed):
    ring = wavy(seed=seed)
    found = handles(ring, most=1000, tolerance=0.01)
    first = int(np.argmax(((ring - ring.mean(0)) ** 2).sum(1)))
    second = int(np.argmax(((ring - ring[first]) ** 2).sum(1)))
    limit = 0.01 * np.ptp(ring, axis=0).max()
    expected = {first, second, *textbook(ring, first, second, limit), *textbook(ring, second, first, limit)}
    assert set(found.tolist()) == expected


@given(st.integers(3, 400), st.integers(3, 30), st.integers(0, 99))
def test_never_more_than_asked_for_and_always_corners(corners, most, seed):
    found = handles(wavy(corners, seed), most=most)
    assert len(found) <= max(most, 4) and len(found) >= 3
    assert (np.diff(found) > 0).all() and found.min() >= 0 and found.max() < corners


def test_a_drawn_lasso_has_at_most_24_and_stays_close():
    ring = wavy()
    chosen = ring[handles(ring)]
    assert len(chosen) <= 24
    nearest = np.min([departures(ring, chosen[k - 1], chosen[k]) for k in range(len(chosen))], axis=0)
    assert nearest.max() < 0.05 * np.ptp(ring, axis=0).max()


def test_few_corners_are_all_handles_and_a_point_is_no_trouble():
    assert handles([[0, 0], [1, 0], [1, 1], [0, 1]]).tolist() == [0, 1, 2, 3]
    assert len(handles(np.ones((50, 2)))) >= 2
