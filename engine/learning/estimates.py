"""What is left to find, and how good a ranking is on what nobody has labelled: estimates with their intervals.

By objects drawn at random in the course of a hunt (`left_by_chance`), and by a model fitted to all labels (`by_model`); what each
can say, `engine.learning.curves` explains. Plain arrays in, 90 % intervals out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

#: Level of all intervals.
LEVEL = 0.9
BOOTSTRAPS = 200
#: Labels drawn at random from which the number left is estimated; of a model's estimate, labels of each kind.
LEAST_RANDOM, LEAST_EACH = 20, 5
#: Bins of the posterior mean, and ranks at which curves are given.
BINS, RANKS = 2000, 60


@dataclass(frozen=True)
class Estimate:
    """A number with its 90 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Band:
    """A curve with its 90 % band, (r,) float each; NaN where nothing can be said."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class ByModel:
    """What a model says of the unlabelled objects; see `engine.learning.curves.Curves`."""

    left: Estimate
    ranks: np.ndarray
    precision: Band
    recall: Band
    precision_random: Band | None
    published: np.ndarray


# -- by chance --------------------------------------------------------------------------------------------------------


def left_by_chance(
    found: np.ndarray, pool: np.ndarray, positive: np.ndarray, found_now: int, unlabelled: int
) -> Estimate:
    """How many are still to find, from objects drawn at random in the course of a hunt.

    Parameters
    ----------
    found, pool : (k,) int
        Of each draw: how many had been found, and how many objects had no label, it among them.
    positive : (k,) bool
        What each was.
    found_now, unlabelled : int
        How many are found by now, and how many have no label.

    Returns
    -------
    Estimate
        Unbiased but for being cut at 0 and at `unlabelled`; see the module.
    """
    hits = int(positive.sum())
    alpha = (1 - LEVEL) / 2

    def chances(total: float) -> np.ndarray:
        return np.clip((total - found) / pool, 0.0, 1.0)

    value = float((found + pool * positive).mean()) - found_now
    low, high = 0.0, float(unlabelled)
    if hits:
        low = _solve(lambda left: 1 - _at_most(chances(found_now + left), hits - 1) - alpha, unlabelled)
    if hits < len(positive):
        high = _solve(lambda left: alpha - _at_most(chances(found_now + left), hits), unlabelled)
    return Estimate(float(np.clip(value, low, high)), low, high)


def _solve(rising: Callable[[float], float], most: float) -> float:
    """Where a rising function crosses zero between 0 and `most`."""
    low, high = 0.0, float(most)
    if rising(low) >= 0:
        return low
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if rising(middle) >= 0 else (middle, high)
    return high


def _at_most(chances: np.ndarray, hits: int) -> float:
    """Probability of at most so many hits among independent trials of different chances (Poisson binomial)."""
    if hits < 0:
        return 0.0
    law = np.zeros(hits + 1)
    law[0] = 1.0
    for chance in chances.tolist():
        law[1:] = law[1:] * (1 - chance) + law[:-1] * chance
        law[0] *= 1 - chance
    return float(law.sum())


# -- by the model -----------------------------------------------------------------------------------------------------


def by_model(
    mean: np.ndarray,
    rows: np.ndarray,
    positive: np.ndarray,
    by_chance: np.ndarray,
    held_out: np.ndarray,
    rng: np.random.Generator,
) -> ByModel:
    """What the model says of the unlabelled objects; arguments as `engine.learning.curves.measure` has them."""
    usable = np.isfinite(held_out)
    slopes = _logistic(held_out[usable], positive[usable], rng)
    free = np.isfinite(mean)
    free[rows] = False
    counts, edges = np.histogram(mean[free], BINS)
    counts, centres = counts[::-1], (0.5 * (edges[1:] + edges[:-1]))[::-1]
    chance = _sigmoid(slopes[:, :1] + slopes[:, 1:] * centres)
    yes, variance = np.cumsum(counts * chance, axis=1), (counts * chance * (1 - chance)).sum(axis=1)
    total = yes[1:, -1] + rng.normal(size=len(yes) - 1) * np.sqrt(variance[1:])
    low, high = np.quantile(np.clip(total, 0, None), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    seen = np.concatenate([[0], np.cumsum(counts)])
    ranks = np.unique(np.geomspace(1, max(seen[-1], 1), RANKS).round().astype(np.int64))
    at = np.stack([np.interp(ranks, seen, np.concatenate([[0.0], line])) for line in yes])
    least = np.interp(ranks, seen[1:], edges[::-1][1:])
    return ByModel(
        left=Estimate(float(yes[0, -1]), float(low), float(high)),
        ranks=ranks,
        precision=_band(at / ranks),
        recall=_band(at / np.maximum(yes[:, -1:], 1e-12)),
        precision_random=_sampled(held_out[by_chance & usable], positive[by_chance & usable], least, rng),
        published=_published(mean, rows, positive, slopes[0], ranks),
    )


def _band(lines: np.ndarray) -> Band:
    """The first line and the 90 % band of the others."""
    low, high = np.quantile(lines[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return Band(lines[0], low, high)


def _logistic(x: np.ndarray, positive: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Intercept and slope of P(yes | x): of the labels, then of bootstraps, (1 + B, 2), slopes ≥ 0.

    Newton's steps with a weak ridge, so that labels that a threshold parts perfectly give finite numbers.
    """
    m = len(x)
    weights = np.vstack([np.ones(m), rng.multinomial(m, np.full(m, 1 / m), size=BOOTSTRAPS)])
    centre, scale = x.mean(), x.std() or 1.0
    z, y = (x - centre) / scale, positive.astype(float)
    a, b = np.zeros(len(weights)), np.zeros(len(weights))
    for _ in range(25):
        p = _sigmoid(a[:, None] + b[:, None] * z)
        residual, curvature = weights * (y - p), weights * p * (1 - p)
        ga, gb = residual.sum(axis=1) - 0.1 * a, residual @ z - 0.1 * b
        haa, hab, hbb = curvature.sum(axis=1) + 0.1, curvature @ z, curvature @ z**2 + 0.1
        determinant = haa * hbb - hab**2
        a = a + np.clip((hbb * ga - hab * gb) / determinant, -2, 2)
        b = b + np.clip((haa * gb - hab * ga) / determinant, -2, 2)
    b = np.maximum(b, 0)
    return np.stack([a - b * centre / scale, b / scale], axis=1)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(x, -60, 60)))


def _sampled(x: np.ndarray, positive: np.ndarray, least: np.ndarray, rng: np.random.Generator) -> Band | None:
    """Precision above each mean by objects drawn at random: NaN where fewer than `LEAST_EACH` of them lie; None without enough."""
    if len(x) < LEAST_RANDOM or positive.sum() < LEAST_EACH:
        return None
    above = x[:, None] >= least
    weights = np.vstack([np.ones(len(x)), rng.multinomial(len(x), np.full(len(x), 1 / len(x)), size=BOOTSTRAPS)])
    number, hits = weights @ above, (weights * positive) @ above
    lines = hits / np.maximum(number, 1)
    lines[:, number[0] < LEAST_EACH] = np.nan
    return _band(lines)


def _published(
    mean: np.ndarray, rows: np.ndarray, positive: np.ndarray, slope: np.ndarray, ranks: np.ndarray
) -> np.ndarray:
    """Precision among the highest means of all, labelled ones counted by their label and the others by their chance."""
    usable = np.flatnonzero(np.isfinite(mean))
    most = min(int(ranks[-1]), len(usable))
    order = usable[np.argsort(-mean[usable], kind="stable")[:most]] if most < 100_000 else _sorted(mean, usable)
    chance = _sigmoid(slope[0] + slope[1] * mean)
    chance[rows] = positive
    return np.interp(ranks, np.arange(1, len(order) + 1), np.cumsum(chance[order]) / np.arange(1, len(order) + 1))


def _sorted(mean: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Rows by falling mean; of millions, NumPy's vectorised sort of float32 takes a tenth of a second."""
    return usable[np.argsort(-mean[usable].astype(np.float32))]
