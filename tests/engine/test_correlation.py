"""The 2-point correlation: counts against a loop, the Gaussian against its formula, the score on points of known make."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist
from scipy.special import erf

from engine import UserError
from engine.maps.correlation import EDGES, TILE, gaussian_pairs, pair_counts, two_point


def clusters(count: int, spread: float, *, n: int = 2000, d: int = 16, seed: int = 0) -> np.ndarray:
    """Points of `count` Gaussian clusters whose centres are drawn from N(0, 1)."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, d))[rng.integers(count, size=n)] + spread * rng.normal(size=(n, d))


def student(freedom: int, *, n: int = 2000, d: int = 16, seed: int = 0) -> np.ndarray:
    """Points of a multivariate Student-t: one cluster with heavy tails."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) / np.sqrt(rng.chisquare(freedom, size=n) / freedom)[:, None]


def binned(distances: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Counts of edge ≤ r < next edge, in double precision."""
    return np.histogram(distances[distances < edges[-1]], edges)[0]


@pytest.mark.parametrize("d", [1, 2, 5, 8, 13])
@pytest.mark.parametrize("n", [2, TILE - 1, TILE + 1])
def test_pairs_are_counted_as_a_loop_counts_them(d, n):
    points = np.random.default_rng(d).normal(size=(n, d))
    edges = np.linspace(0, 2 * np.sqrt(d), 41)
    ours, slow = pair_counts(points, edges), binned(pdist(points), edges)
    assert np.abs(ours - slow).max() <= 2  # float32 may put a pair at an edge on its other side
    assert abs(ours.sum() - slow.sum()) <= 1


def test_pairs_with_others_are_counted_as_a_loop_counts_them():
    rng = np.random.default_rng(0)
    points, others = rng.normal(size=(TILE + 88, 3)), rng.normal(size=(2 * TILE + 5, 3)) + 1
    edges = np.linspace(0, 4, 31)
    assert np.abs(pair_counts(points, edges, others=others) - binned(cdist(points, others).ravel(), edges)).max() <= 2


def test_counts_do_not_depend_on_the_order_of_the_points():
    points = np.random.default_rng(1).normal(size=(1500, 6))
    edges = np.linspace(0, 5, EDGES)
    assert np.array_equal(pair_counts(points, edges), pair_counts(points[::-1], edges))


def test_points_at_one_place_are_pairs_at_distance_zero():
    edges = np.linspace(0, 1, 11)
    assert pair_counts(np.ones((30, 2)), edges).tolist() == [30 * 29 // 2] + [0] * 9


def test_gaussian_pairs_follow_their_formulas():
    r = np.linspace(0, 6, 30)
    assert gaussian_pairs(np.eye(2) * 0.7, r) == pytest.approx(1 - np.exp(-(r**2) / 2.8), abs=1e-12)
    assert gaussian_pairs(np.array([[2.0]]), r) == pytest.approx(erf(r / np.sqrt(8)), abs=1e-12)


@pytest.mark.parametrize("sd", [(1.0, 0.05), (3.0, 1.0, 0.3), (2.0, 1.0, 1.0, 0.5, 0.5, 0.2)])
def test_gaussian_pairs_are_those_of_a_sample(sd):
    rng = np.random.default_rng(3)
    turn, _ = np.linalg.qr(rng.normal(size=(len(sd), len(sd))))
    points = rng.normal(size=(4000, len(sd))) * sd @ turn
    edges = np.linspace(0, 2 * max(sd), 21)
    expected = np.diff(gaussian_pairs(turn.T @ np.diag(np.square(sd)) @ turn, edges))
    assert pair_counts(points, edges) / (4000 * 3999 / 2) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("sd", [np.ones(16), np.arange(1, 17) ** 2.0], ids=["round", "long"])
def test_one_gaussian_scores_nothing(sd):
    found = two_point(np.random.default_rng(4).normal(size=(4000, 16)) * sd)
    assert abs(found.score) < 1 and abs(found.landy_szalay) < 2 and abs(found.null_score) < 1
    assert found.objects == 1200 and found.components == 2 and len(found.xi) == EDGES - 1
    inside = (found.xi >= found.null[0]) & (found.xi <= found.null[1])
    assert inside.mean() > 0.9


def test_clusters_and_heavy_tails_both_score():
    """The published checks: 8 tight clusters ≈ 101, Student-t with 3 degrees of freedom ≈ 89 without any cluster.

    Both depend on the draw of the centres and of the far points by half their value; so do these tolerances.
    """
    tight = [two_point(clusters(8, 0.1, n=3000, seed=s)) for s in range(3)]
    heavy = [two_point(student(3, n=3000, seed=s)) for s in range(3)]
    assert 60 < np.mean([f.score for f in tight]) < 250
    assert 25 < np.mean([f.score for f in heavy]) < 160
    assert all(f.score > 20 * f.null_sd and f.score > f.error for f in tight)
    assert np.mean([f.landy_szalay for f in heavy]) < np.mean([f.score for f in heavy])


def test_clusters_bump_at_their_size_and_blur_with_it():
    tight, loose = two_point(clusters(8, 0.1)), two_point(clusters(8, 0.5))
    assert tight.score > 2 * loose.score > 0
    assert tight.xi[:5].mean() > 3 and abs(tight.xi[-20:].mean()) < 1


def test_more_clusters_score_lower():
    assert two_point(clusters(8, 0.05)).score > two_point(clusters(60, 0.05)).score


def test_more_components_tell_clusters_that_two_hide():
    """Two long directions without structure hide the clusters in the third and fourth."""
    rng = np.random.default_rng(5)
    points = np.column_stack([rng.normal(size=(3000, 2)) * 20, clusters(6, 0.02, n=3000, d=2, seed=3)])
    hidden, seen = two_point(points), two_point(points / points.std(axis=0), components=4, nulls=5)
    assert abs(hidden.score) < 5 * hidden.null_sd + 1
    assert seen.components == 4 and seen.score > 10 * seen.null_sd


def test_bins_without_reference_are_not_measured():
    found = two_point(np.random.default_rng(6).normal(size=(600, 12)), components=12, nulls=3)
    assert np.isnan(found.xi[0]) and np.isfinite(found.score) and np.isfinite(found.error)


def test_score_does_not_depend_on_units_and_axes():
    points = clusters(5, 0.2, d=6)
    turn, _ = np.linalg.qr(np.random.default_rng(7).normal(size=(6, 6)))
    plain, turned = two_point(points), two_point(points @ turn * 300 + 5)
    assert turned.score == pytest.approx(plain.score, rel=0.01)
    assert turned.r == pytest.approx(plain.r, rel=1e-3)


def test_the_seed_decides():
    points = clusters(5, 0.2)
    assert two_point(points, seed=3).score == two_point(points, seed=3).score
    assert two_point(points, seed=3).score != two_point(points, seed=4).score


def test_too_few_and_collapsed_vectors_are_refused():
    with pytest.raises(UserError, match="cannot be told from noise"):
        two_point(np.random.default_rng(0).normal(size=(50, 8)))
    with pytest.raises(UserError, match="most vectors are the same"):
        two_point(np.full((500, 8), 0.3))
