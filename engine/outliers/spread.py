"""Distance from the bulk of the survey, in units of its own spread in that direction: Mahalanobis', robust.

A covariance of all objects would be stretched by the outliers that it is to find. So the objects nearest to the
middle, three quarters of them, give a new middle and covariance, from which the nearest three quarters are chosen
again, until they stay: the concentration steps of Rousseeuw & Van Driessen 1999 (Technometrics 41, 212), from one
robust beginning (median and median absolute deviation, as in Hubert et al. 2012, J. Comput. Graph. Stat. 21, 618) in
place of their many random ones, so that the result is always the same. The covariance is shrunk towards a round one
by Ledoit & Wolf 2004 (J. Multivar. Anal. 88, 365): a great deal for few objects, not noticeably for many.

Cost: a few seconds at most for the covariance, from `SAMPLE` objects; then one pass, N·d².
"""

from __future__ import annotations

import numpy as np

from engine.jobs import Progress, silent

#: Objects that give the covariance, and the share of them that makes the bulk.
SAMPLE, BULK = 20_000, 0.75
#: Concentration steps at most; it takes about ten.
STEPS = 50
CHUNK = 65_536


def mahalanobis(features: np.ndarray, valid: np.ndarray, *, seed: int = 0, progress: Progress = silent) -> np.ndarray:
    """Distance of each object from the middle of the bulk.

    Parameters
    ----------
    features : (N, d) float
        Features that do not vary say nothing.
    valid : (N,) bool
        At least two of them.

    Returns
    -------
    (N,) float32
        Scaled so that its median over the objects is that of a Gaussian of as many dimensions (about √d); NaN where
        not valid.
    """
    from scipy.stats import chi2

    n, rows = len(features), np.flatnonzero(valid)
    rng = np.random.default_rng(seed)
    some = rows if len(rows) <= SAMPLE else np.sort(rng.choice(rows, SAMPLE, replace=False))
    middle, factor = bulk(np.asarray(features[some], np.float64))
    score = np.full(n, np.nan, np.float32)
    for start in range(0, n, CHUNK):
        part = slice(start, start + CHUNK)
        away = (np.asarray(features[part], np.float64) - middle) @ factor
        score[part] = np.where(valid[part], np.sqrt((away * away).sum(axis=1)), np.nan)
        progress(min(start + CHUNK, n), n, "distance from the bulk")
    median = float(np.median(score[some]))
    return score * np.float32(np.sqrt(chi2.median(factor.shape[1])) / median) if median > 0 else score


def bulk(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Middle and inverse spread of the bulk of some points.

    Parameters
    ----------
    points : (n, d) float64

    Returns
    -------
    middle : (d,) float64
    factor : (d, r) float64
        |(x − middle) · factor| is the distance; r ≤ d directions in which the bulk varies at all.
    """
    middle, scale = np.median(points, axis=0), points.std(axis=0)
    deviation = 1.4826 * np.median(np.abs(points - middle), axis=0)
    scale = np.where(deviation > 1e-6 * scale, deviation, scale)
    factor = np.diag(1 / np.where(scale > 0, scale, np.inf))
    count, chosen = max(2, round(BULK * len(points))), None
    for _ in range(STEPS):
        distance = (((points - middle) @ factor) ** 2).sum(axis=1)
        nearest = np.sort(np.argpartition(distance, count - 1)[:count])
        if chosen is not None and np.array_equal(nearest, chosen):
            break
        chosen = nearest
        middle, factor = _shrunk(points[chosen], points)
    return middle, factor


def _shrunk(chosen: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and inverse spread of the chosen points, the spread shrunk in units in which every feature varies alike."""
    from sklearn.covariance import ledoit_wolf

    unit = points.std(axis=0)
    unit = np.where(unit > 0, unit, np.inf)
    middle = chosen.mean(axis=0)
    kept = np.flatnonzero(np.isfinite(unit))
    if not len(kept):
        return middle, np.zeros((points.shape[1], 1))
    covariance, _ = ledoit_wolf((chosen - middle)[:, kept] / unit[kept], assume_centered=True)
    variance, axes = np.linalg.eigh(covariance)
    varying = variance > 1e-10 * max(float(variance[-1]), 1e-300)
    if not varying.any():  # the bulk is one point: distances in units of all
        variance, varying = np.ones_like(variance), np.ones_like(varying)
    factor = np.zeros((points.shape[1], int(varying.sum())))
    factor[kept] = axes[:, varying] / np.sqrt(variance[varying]) / unit[kept, None]
    return middle, factor
