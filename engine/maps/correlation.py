"""The 2-point correlation of a representation: how hard is it to describe as one Gaussian?

Borrowed from cosmology. Pairs of objects are counted by distance and compared with the pairs of a Gaussian of the same
mean and covariance:

    ξ(r) = (N_PR / N_DP) · DD(r) / RR(r) − 1        score = Σ ξ(rᵢ) ± Σ σ(rᵢ)

A bump in ξ is a clustering at that separation; one Gaussian, round or not, scores zero. Read the score with the curve:
heavy tails without any cluster raise it as well (a Student-t with 3 degrees of freedom as much as 8 tight clusters do),
more clusters in the same space lower it, and it sees only the leading principal components.

Two departures from the published procedure, neither a change of what is estimated: RR is known exactly, since the
difference of two draws of N(μ, Σ) is a draw of N(0, 2Σ), so that no reference is sampled for it; and components,
scale and bins are found once on all objects, so that the sub-samples are averaged at equal separations. Beside it
stands the estimator of Landy & Szalay 1993 (ApJ 412, 64), 1 + (DD − 2 DR) / RR, whose variance is smaller at the edges.

Cost: all n²/2 pairs of a sub-sample are counted, blocked and in float32: 1.2 · 10⁹ pairs a second and core in 8
dimensions. Trees prune nothing above 6 dimensions, and little in 2 at separations as large as these.

Source: Mohale & Lochner 2024 (MNRAS 530, 1274) for the idea; ``TPCF`` score, its settings and bins as their author
presented them.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import numba
import numpy as np
import torch
from scipy.special import gammainc, ndtri
from scipy.stats import qmc

from engine.errors import UserError
from engine.maps.components import principal_coordinates

#: The author's settings: share of the objects in a sub-sample, how many of them, edges of the bins, the percentile of
#: the distance from the centre that half the largest separation is, and points of the reference for each object.
FRACTION, SUBSAMPLES, EDGES, PERCENTILE, REFERENCE = 0.3, 5, 100, 68.0, 5
#: Most objects in a sub-sample, and in the reference of one so large: ξ is then known far better than it varies.
MOST, MOST_REFERENCE = 20_000, 20_000
#: Fewest objects in a sub-sample that say anything about 99 bins.
LEAST = 30
#: Gaussian draws behind the null band.
NULLS = 20
#: Columns of pairs held in the first-level cache at once.
TILE = 512
#: Coordinates added in one pass over a tile.
AT_ONCE = 4
#: Directions that the Gaussian's pair distribution is averaged over: on a quarter of the circle, the others being alike,
#: and log2 of them in more dimensions.
QUARTER, SPHERE = 512, 12


@dataclass(frozen=True)
class Correlation:
    """ξ(r) of a representation, and what a single Gaussian would have given.

    Attributes
    ----------
    r : (B,) float64
        Centres of the bins, in units of twice the largest distance from the centre.
    xi, xi_landy_szalay : (B,) float64
        Mean over the sub-samples; NaN where the reference has no pair (many components, small r).
    sd : (B,) float64
        Standard deviation of `xi` between the sub-samples.
    null : (2, B) float64
        Lower and upper limit that ξ of a Gaussian sample of the same size stays within 95 times in 100.
    score, error : float
        Σ ξ and Σ sd.
    landy_szalay : float
        Σ of `xi_landy_szalay`.
    null_score, null_sd : float
        Mean and standard deviation of the score of such Gaussian samples.
    components : int
        Principal components the distances are taken in.
    objects : int
        In each sub-sample.
    """

    r: np.ndarray
    xi: np.ndarray
    xi_landy_szalay: np.ndarray
    sd: np.ndarray
    null: np.ndarray
    score: float
    error: float
    landy_szalay: float
    null_score: float
    null_sd: float
    components: int
    objects: int


def two_point(
    vectors: np.ndarray,
    *,
    components: int = 2,
    fraction: float = FRACTION,
    subsamples: int = SUBSAMPLES,
    nulls: int = NULLS,
    seed: int = 0,
) -> Correlation:
    """Measure the 2-point correlation of a representation against one Gaussian.

    Parameters
    ----------
    vectors : (n, D) float
        Finite; rows of unreadable objects left out.
    components : int, default 2
        Principal components; 2 is the author's choice.
    fraction : float
        Share of the objects in each sub-sample, at most `MOST` of them.
    subsamples, nulls : int
        Sub-samples (at least 2), and Gaussian samples for the null band (at least 2).

    Returns
    -------
    Correlation

    Raises
    ------
    UserError
        If there are too few vectors, or most of them are the same.
    """
    count = min(round(fraction * len(vectors)), MOST)
    if count < LEAST:
        raise UserError(
            f"the 2-point correlation of {len(vectors):,} vectors cannot be told from noise",
            f"give at least {round(LEAST / fraction):,}, or a larger fraction",
        )
    points, edges = _scaled(vectors, components)
    rng = np.random.default_rng(seed)
    found = [_estimate(points[rng.choice(len(points), count, replace=False)], edges, rng) for _ in range(subsamples)]
    xi, landy_szalay = (np.stack(curves) for curves in zip(*found))
    covariance = np.cov(points.T).reshape(points.shape[1], -1)
    empty = np.array([_plain(_draws(covariance, count, rng), edges) for _ in range(nulls)])
    scores = np.nansum(empty, axis=1)
    return Correlation(
        r=(edges[1:] + edges[:-1]) / 2,
        xi=xi.mean(axis=0),
        xi_landy_szalay=landy_szalay.mean(axis=0),
        sd=xi.std(axis=0, ddof=1),
        null=np.percentile(empty, [2.5, 97.5], axis=0),
        score=float(np.nansum(xi.mean(axis=0))),
        error=float(np.nansum(xi.std(axis=0, ddof=1))),
        landy_szalay=float(np.nansum(landy_szalay.mean(axis=0))),
        null_score=float(scores.mean()),
        null_sd=float(scores.std(ddof=1)),
        components=points.shape[1],
        objects=count,
    )


def _scaled(vectors: np.ndarray, components: int) -> tuple[np.ndarray, np.ndarray]:
    """Leading coordinates, divided by twice the largest distance from the centre, and the edges of the bins.

    Raises
    ------
    UserError
        If most vectors are the same.
    """
    points = principal_coordinates(vectors, np.ones(len(vectors), bool), components).astype(np.float64)
    points -= points.mean(axis=0)
    radius = np.linalg.norm(points, axis=1)
    reach = 2 * np.percentile(radius, PERCENTILE)
    if reach <= 0:
        raise UserError(
            "most vectors are the same, so that they have no 2-point correlation",
            "look at the encoder: its training may have collapsed",
        )
    scale = 2 * radius.max()
    return points / scale, np.linspace(0, reach / scale, EDGES)


def _estimate(points: np.ndarray, edges: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """ξ of some points, (B,), plain and by Landy & Szalay."""
    covariance = np.cov(points.T).reshape(points.shape[1], -1)
    expected = _expected(covariance, edges, len(points))
    data = pair_counts(points, edges) / _pairs(len(points))
    reference = _draws(covariance, min(REFERENCE * len(points), max(len(points), MOST_REFERENCE)), rng)
    cross = pair_counts(points, edges, others=reference + points.mean(axis=0)) / (len(points) * len(reference))
    return data / expected - 1, (data - 2 * cross) / expected + 1


def _plain(points: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """ξ of some points, (B,), without Landy & Szalay's."""
    expected = _expected(np.cov(points.T).reshape(points.shape[1], -1), edges, len(points))
    return pair_counts(points, edges) / _pairs(len(points)) / expected - 1


def _expected(covariance: np.ndarray, edges: np.ndarray, count: int) -> np.ndarray:
    """Share of a Gaussian's pairs in each bin; NaN where the published reference would hold less than one."""
    share = np.diff(gaussian_pairs(covariance, edges))
    return np.where(share * _pairs(REFERENCE * count) >= 1, share, np.nan)


def _pairs(count: int) -> int:
    return count * (count - 1) // 2


def _draws(covariance: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Points of N(0, covariance), (count, d)."""
    variance, axes = np.linalg.eigh(covariance)
    return rng.normal(size=(count, len(variance))) * np.sqrt(np.maximum(variance, 0)) @ axes.T


def gaussian_pairs(covariance: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Share of the pairs of a Gaussian that are closer than r.

    The difference of two draws is N(0, 2Σ); along a direction u in the space where that is round, the distance is
    ρ √(2 uᵀΣu) with ρ² distributed as χ² of d degrees of freedom. So P(|δ| < r) is the mean of F_χ²(r² / 2 uᵀΣu) over
    all u: on the circle a periodic sum, exact to rounding; in more dimensions a quasi-random one (Sobol points), good
    to a tenth in bins that hold a millionth of the pairs and far better in others.

    Parameters
    ----------
    covariance : (d, d) float64
    r : (R,) float64

    Returns
    -------
    (R,) float64
    """
    variance = np.maximum(np.linalg.eigvalsh(covariance), 0)
    along = 2 * _directions(len(variance)) ** 2 @ variance
    half_square = 0.5 * np.square(np.asarray(r, np.float64))[:, None] / np.maximum(along, np.finfo(float).tiny)
    if len(variance) == 2:
        return -np.expm1(-half_square).mean(axis=1)
    return gammainc(len(variance) / 2, half_square).mean(axis=1)


@cache
def _directions(dimension: int) -> np.ndarray:
    """Unit vectors spread evenly, (U, dimension)."""
    if dimension == 1:
        return np.ones((1, 1))
    if dimension == 2:
        angle = (np.arange(QUARTER) + 0.5) * (np.pi / 2 / QUARTER)
        return np.column_stack([np.cos(angle), np.sin(angle)])
    normal = ndtri(qmc.Sobol(dimension, rng=0).random_base2(SPHERE).clip(1e-12, 1 - 1e-12))
    return normal / np.linalg.norm(normal, axis=1, keepdims=True)


def pair_counts(points: np.ndarray, edges: np.ndarray, *, others: np.ndarray | None = None) -> np.ndarray:
    """Count pairs by distance: all pairs of `points`, or of each point with each of `others`.

    Parameters
    ----------
    points : (n, d) float
        Best of zero mean; distances are taken in float32.
    edges : (B + 1,) float64
        Evenly spaced from 0; a pair at r counts in the bin with edge ≤ r < next edge.
    others : (m, d) float, optional

    Returns
    -------
    (B,) int64
    """
    bins = len(edges) - 1
    first = _columns(points)
    second = first if others is None else _columns(others)
    per_unit = np.float32(bins / edges[-1])
    blocks = [(k, min(k + TILE, first.shape[1])) for k in range(0, first.shape[1], TILE)]

    def counted(block: tuple[int, int]) -> np.ndarray:
        return _count(first, second, *block, others is None, per_unit, bins)

    with ThreadPoolExecutor(min(torch.get_num_threads(), os.cpu_count() or 1)) as pool:
        return sum(pool.map(counted, blocks), np.zeros(bins, np.int64))


def _columns(points: np.ndarray) -> np.ndarray:
    """Coordinates as rows, (d, n) float32, filled up with zeros to a multiple of `AT_ONCE`."""
    columns = np.ascontiguousarray(np.asarray(points).T, np.float32)
    return np.pad(columns, ((0, -len(columns) % AT_ONCE), (0, 0)))


@numba.njit(cache=True, nogil=True)
def _count(points, others, start, stop, triangle, per_unit, bins):
    """Histogram of the distances of points start … stop to all others (with `triangle`: to those after them)."""
    square, index = np.empty(TILE, np.float32), np.empty(TILE, np.uint32)
    lanes = np.zeros((4, bins + 1), np.uint64)  # the last bin holds what is farther away
    for tile in range(start if triangle else 0, others.shape[1], TILE):
        high = min(tile + TILE, others.shape[1])
        for i in range(start, stop):
            low = max(tile, i + 1) if triangle else tile
            if low >= high:
                continue
            some = square[: high - low]
            some[:] = 0
            for k in range(0, len(points), AT_ONCE):
                near = others[k, low:high], others[k + 1, low:high], others[k + 2, low:high], others[k + 3, low:high]
                _add(some, near, (points[k, i], points[k + 1, i], points[k + 2, i], points[k + 3, i]))
            _to_bins(some, index, per_unit, np.float32(bins))
            _scatter(index[: high - low], lanes)
    return lanes.sum(axis=0)[:bins].astype(np.int64)


# Each of these loops is compiled by itself: inside the loops above the compiler no longer vectorises them (11 times
# slower). The order of additions is fixed, so that counts do not depend on threads or machine.


@numba.njit(cache=True, nogil=True, inline="never", fastmath={"contract"})
def _add(square, columns, x):
    """Add four coordinates' squared differences; columns one by one, so that each is known to be contiguous."""
    a, b, c, d = columns
    p, q, r, s = x
    for j in range(len(square)):
        e, f, g, h = a[j] - p, b[j] - q, c[j] - r, d[j] - s
        square[j] += (e * e + f * f) + (g * g + h * h)


@numba.njit(cache=True, nogil=True, inline="never", fastmath={"nnan", "ninf", "nsz"})
def _to_bins(square, index, per_unit, top):
    """Squared distance → number of the bin, `top` for what lies beyond."""
    for j in range(len(square)):
        index[j] = np.uint32(min(np.sqrt(square[j]) * per_unit, top))


@numba.njit(cache=True, nogil=True, inline="never")
def _scatter(index, lanes):
    """Count bins in four histograms in turn: increments of one bin then wait for each other a quarter as often."""
    whole = len(index) - len(index) % 4
    for j in range(0, whole, 4):
        lanes[0, index[j]] += np.uint64(1)
        lanes[1, index[j + 1]] += np.uint64(1)
        lanes[2, index[j + 2]] += np.uint64(1)
        lanes[3, index[j + 3]] += np.uint64(1)
    for j in range(whole, len(index)):
        lanes[0, index[j]] += np.uint64(1)
