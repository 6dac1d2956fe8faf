"""The scan for nearest points: those of a full table, whatever the sizes of queries, points and blocks."""

import numpy as np
import pytest

from engine.maps import scan


def slow(queries, points, k, own):
    table = np.sqrt(((queries[:, None].astype(float) - points[None].astype(float)) ** 2).sum(axis=2))
    if own:
        np.fill_diagonal(table, np.inf)
    order = np.argsort(table, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(table, order, axis=1)


@pytest.mark.parametrize(
    "m, n, d, k", [(300, 1100, 8, 15), (1, 1, 3, 1), (257, 33, 5, 33), (1030, 2050, 40, 4), (5, 70, 1, 2)]
)
def test_equals_the_table_of_distances(m, n, d, k):
    rng = np.random.default_rng(m)
    queries, points = rng.normal(size=(m, d)).astype(np.float32), rng.normal(size=(n, d)).astype(np.float32)
    steps = []
    indices, distances = scan.nearest(queries, points, k, progress=lambda *step: steps.append(step))
    order, expected = slow(queries, points, k, own=False)
    assert np.array_equal(indices, order) and np.allclose(distances, expected, rtol=1e-5)
    assert steps[-1] == (m, m, "neighbours")


def test_a_point_is_not_its_own_neighbour_and_equal_ones_come_in_order():
    points = np.repeat(np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32), 40, axis=0)
    indices, distances = scan.nearest(points, points, 39, own=True)
    expected, _ = slow(points, points, 39, own=True)
    assert np.array_equal(indices, expected) and (distances == 0).all()


def test_nothing_to_look_for():
    none = scan.nearest(np.empty((0, 3), np.float32), np.ones((4, 3), np.float32), 2)
    assert none[0].shape == (0, 2) and none[1].shape == (0, 2)
