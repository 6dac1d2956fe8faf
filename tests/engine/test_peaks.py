"""The densest place of a cluster: always a member, never the empty middle."""

import numpy as np
import pytest

from engine.maps.clustering.peaks import densest, peaks


def ring(n, seed=0):
    """Points on a ring, most of them on its right."""
    random = np.random.default_rng(seed)
    angle = np.where(random.random(n) < 0.6, random.normal(0, 0.2, n), random.uniform(0, 2 * np.pi, n))
    return np.column_stack([np.cos(angle), np.sin(angle)]) + random.normal(scale=0.03, size=(n, 2))


def test_the_place_on_a_ring_is_on_the_ring_where_it_is_fullest():
    places = ring(3000)
    best, extent = densest(places)
    assert places[best][0] > 0.9 and abs(places[best][1]) < 0.3
    assert extent == pytest.approx(2, abs=0.3)
    assert np.hypot(*places.mean(axis=0)) < 0.9  # the mean is not


def test_every_place_is_a_member_of_its_cluster():
    random = np.random.default_rng(1)
    codes = random.integers(-1, 7, 5000)
    xy = (random.normal(size=(5000, 2)) + 10 * codes[:, None]).astype(np.float32)
    xy[random.random(5000) < 0.1] = np.nan
    found = peaks(xy, codes, 7)
    assert np.array_equal(codes[found.rows], np.arange(7))
    assert np.array_equal(found.xy, xy[found.rows]) and np.isfinite(found.xy).all()
    for code in range(7):
        members = xy[(codes == code) & np.isfinite(xy[:, 0])]
        around = (np.hypot(*(members - found.xy[code]).T) < 0.5).mean()
        assert around > 0.7 * max((np.hypot(*(members - m).T) < 0.5).mean() for m in members[::5])


def test_of_two_pieces_the_fuller_wins():
    random = np.random.default_rng(2)
    places = np.concatenate([random.normal(0, 1, (600, 2)), random.normal(50, 0.5, (900, 2))])
    best, _ = densest(places)
    assert np.hypot(*(places[best] - 50)) < 0.4


@pytest.mark.parametrize("places", [[[3, 4]], [[3, 4]] * 50, [[1, 1], [1, 2]]])
def test_few_places_and_one_place_have_one_too(places):
    best, extent = densest(np.array(places, float))
    assert 0 <= best < len(places) and extent >= 0


def test_what_has_no_place_has_none():
    xy = np.full((6, 2), np.nan, np.float32)
    xy[:2] = 1
    found = peaks(xy, np.array([0, 0, 1, 1, -1, 3]), 4)
    assert found.rows.tolist()[1:] == [-1, -1, -1] and np.isnan(found.xy[1:]).all() and found.extent.tolist() == [0] * 4


def test_only_the_rows_asked_for_count():
    xy = np.concatenate([np.zeros((50, 2)), np.ones((30, 2))]).astype(np.float32)
    found = peaks(xy, np.zeros(80, np.int64), 1, rows=np.arange(45, 80))
    assert found.xy[0].tolist() == [1, 1]
