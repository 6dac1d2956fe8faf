"""How much a look at each object is worth: acquisition functions over a Gaussian-process posterior, and their best.

Each function takes the posterior mean and standard deviation elementwise, so ranking N objects costs O(N). `ACQUISITIONS`
names them, `MEANINGS` says in a line what each looks for. `top` takes the highest scores, as published; `diverse` tells the
model after each pick what it expects there, so that the next pick is not its twin. `engine.learning.batches` makes whole
batches of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.special import erfcx, log_ndtr, ndtr

from engine.errors import UserError
from engine.learning.leaders import leaders

#: Below this z the expected improvement is an asymptotic series; above it the closed form loses fewer than 13 digits.
FAR = -20.0
#: Objects among which a diverse batch is chosen, as a multiple of its size, and the least number of them.
CANDIDATES = 50
LEAST_CANDIDATES = 1000
#: Trade-offs as published on ratings 0-5, in units of responses 0-1: Walmsley et al. 2022, Lochner & Rudnick 2025.
WALMSLEY, PROTEGE = 0.5 / 5, 3 / 5


def log_expected_improvement(mean: np.ndarray, sd: np.ndarray, *, best: float, tradeoff: float = 0.0) -> np.ndarray:
    """Logarithm of the expected improvement over the best response seen so far.

    EI = (μ − y⁺ − τ) Φ(z) + σ φ(z),   z = (μ − y⁺ − τ) / σ        (Walmsley et al. 2022, MNRAS 513, 1581)

    Taken in the log because EI underflows below z ≈ −14 in float32 and −38 in float64, where a ranking would tie at
    zero (Ament et al. 2023, arXiv:2310.20708).

    Parameters
    ----------
    mean, sd : (n,) float64
        Posterior of the response, sd > 0.
    best : float
        Largest response labelled so far, y⁺.
    tradeoff : float, default 0
        τ ≥ 0, in units of the responses; larger explores more. On ratings 0-5, Walmsley+22 use 0.5 and Protege 3;
        responses here are ratings divided by 5, so these are 0.1 and 0.6.

    Returns
    -------
    (n,) float64
    """
    mean, sd = np.asarray(mean, np.float64), np.asarray(sd, np.float64)
    return np.log(sd) + _log_improvement((mean - best - tradeoff) / sd)


def _log_improvement(z: np.ndarray) -> np.ndarray:
    """log(φ(z) + z Φ(z)), accurate for every finite z."""
    z = np.asarray(z, np.float64)
    result = np.empty_like(z)
    near, far = z > -1, z < FAR
    middle = ~near & ~far
    a = z[near]
    result[near] = np.log(np.exp(-0.5 * a**2) / np.sqrt(2 * np.pi) + a * ndtr(a))
    a = -z[middle]  # φ(a) (1 − a Φ(−a) / φ(a)), and Φ(−a) / φ(a) is a scaled erfc
    result[middle] = _log_density(a) + np.log1p(-a * np.sqrt(np.pi / 2) * erfcx(a / np.sqrt(2)))
    result[far] = _log_improvement_far(-z[far])
    return result


def _log_improvement_far(a: np.ndarray) -> np.ndarray:
    """Asymptotic series of log(φ(a) − a Φ(−a)): φ(a)/a² (1 − 3/a² + 15/a⁴ − 105/a⁶ + …), a ≥ −FAR."""
    inverse = 1 / a**2
    series = np.zeros_like(a)
    for odd in (15, 13, 11, 9, 7, 5, 3):
        series = -odd * inverse * (1 + series)
    return _log_density(a) - 2 * np.log(a) + np.log1p(series)


def _log_density(a: np.ndarray) -> np.ndarray:
    return -0.5 * a**2 - 0.5 * np.log(2 * np.pi)


def upper_confidence(mean: np.ndarray, sd: np.ndarray, *, best: float = 1.0, weight: float = 1.0) -> np.ndarray:
    """Upper confidence bound μ + β σ (Auer 2002), β = `weight`."""
    return np.asarray(mean, np.float64) + weight * np.asarray(sd, np.float64)


def log_probability(mean: np.ndarray, sd: np.ndarray, *, best: float = 1.0, threshold: float = 0.5) -> np.ndarray:
    """Logarithm of the probability that the response exceeds `threshold`: log Φ((μ − t) / σ)."""
    return log_ndtr((np.asarray(mean, np.float64) - threshold) / np.asarray(sd, np.float64))


def entropy(mean: np.ndarray, sd: np.ndarray, *, best: float = 1.0, threshold: float = 0.5) -> np.ndarray:
    """Entropy in bits of whether the response exceeds `threshold`: highest where the model cannot tell."""
    log_yes = log_probability(mean, sd, threshold=threshold)
    log_no = log_ndtr((threshold - np.asarray(mean, np.float64)) / np.asarray(sd, np.float64))
    return -(np.exp(log_yes) * log_yes + np.exp(log_no) * log_no) / np.log(2)


def disagreement(
    mean: np.ndarray, sd: np.ndarray, *, best: float = 1.0, noise: float = 0.02, threshold: float = 0.5
) -> np.ndarray:
    """Bits that a verdict would tell about the model (BALD): entropy of the verdict less what is chance in it anyway.

    The verdict is whether f + ε exceeds the threshold, f ~ N(μ, σ² − σ_n²) what the model does not know, ε ~ N(0, σ_n²)
    what nobody can. In units of σ_n, with m and s² the mean and variance of f there and C² = π ln 2 / 2,

        H[Φ(m / √(s² + 1))] − C exp(−m² / 2(s² + C²)) / √(s² + C²)

    Source: Houlsby et al. 2011 (arXiv:1112.5745), equation 3; the second term is within 0.01 bits of the integral.

    Parameters
    ----------
    noise : float
        σ_n², variance of the white noise in `sd`.
    """
    scale = np.sqrt(max(noise, 1e-12))
    m = (np.asarray(mean, np.float64) - threshold) / scale
    s2 = np.maximum(np.square(sd, dtype=np.float64) / scale**2 - 1, 0)
    c2 = np.pi * np.log(2) / 2
    known = np.sqrt(c2 / (s2 + c2)) * np.exp(-0.5 * m**2 / (s2 + c2))
    return np.maximum(entropy(m, np.sqrt(s2 + 1), threshold=0.0) - known, 0)


def greedy(mean: np.ndarray, sd: np.ndarray, *, best: float = 1.0) -> np.ndarray:
    """The posterior mean itself: what is most like what was labelled yes."""
    return np.asarray(mean, np.float64)


def random(mean: np.ndarray, sd: np.ndarray, *, best: float = 1.0, seed: int = 0) -> np.ndarray:
    """A random order, for an unbiased check of what the others find."""
    return np.random.default_rng(seed).random(len(mean))


#: Name → function of (mean, sd, *, best, …).
ACQUISITIONS: dict[str, Callable[..., np.ndarray]] = {
    "mean": greedy,
    "expected-improvement": log_expected_improvement,
    "walmsley": partial(log_expected_improvement, tradeoff=WALMSLEY),
    "protege": partial(log_expected_improvement, tradeoff=PROTEGE),
    "upper-confidence": upper_confidence,
    "probability": log_probability,
    "entropy": entropy,
    "bald": disagreement,
    "random": random,
}
#: What each looks for, in a line.
MEANINGS = {
    "mean": "what is most like the labelled yes",
    "expected-improvement": "what may beat the best response so far (log-EI)",
    "walmsley": "log-EI with the trade-off of Walmsley+22, 0.5 of 5",
    "protege": "log-EI with the trade-off of Protege, 3 of 5: far from what is known",
    "upper-confidence": "what is likely or unknown: mean + sd",
    "probability": "what is most surely a yes: P(response > 0.5)",
    "entropy": "what the model cannot tell: the boundary",
    "bald": "what a label would teach the model most",
    "random": "no model at all: a check on the others",
}


def choose(name: str) -> Callable[..., np.ndarray]:
    """Return the acquisition function called `name`.

    Raises
    ------
    UserError
        If there is none.
    """
    if name not in ACQUISITIONS:
        raise UserError(f"there is no acquisition {name!r}", f"choose one of: {', '.join(ACQUISITIONS)}")
    return ACQUISITIONS[name]


def top(scores: np.ndarray, count: int, *, allowed: np.ndarray | None = None) -> np.ndarray:
    """Rows of the highest scores, the highest first; ties in row order.

    Parameters
    ----------
    scores : (N,) float
    count : int
        Fewer come back if fewer are allowed.
    allowed : (N,) bool, optional
    """
    return leaders(np.asarray(scores), count, allowed=allowed)


def diverse(model, score: Callable[..., np.ndarray], count: int, *, allowed: np.ndarray, scores=None) -> np.ndarray:
    """A batch by kriging believer: pick the best, tell the model its own mean there, pick again (Ginsbourger et al.
    2010).

    The pretended labels shrink σ around each pick and leave μ alone. They live on a copy of the posterior over the
    candidates (the best `CANDIDATES` × count objects) and the labels, so the survey's posterior is not touched and N
    does not matter.

    Parameters
    ----------
    model : Posterior or ClassPosterior
    score : callable
        Acquisition: a model → (n,) scores of its objects, higher is better.
    count : int
    allowed : (N,) bool
    scores : (N,) float, optional
        `score(model)`, where it is known.

    Returns
    -------
    (≤ count,) int64
    """
    scores = score(model) if scores is None else scores
    pool = top(scores, max(CANDIDATES * count, LEAST_CANDIDATES), allowed=allowed)
    small, _ = model.restricted(pool)
    left, picked = np.ones(len(pool), bool), []
    for _ in range(min(count, len(pool))):
        pick = int(top(score(small)[: len(pool)], 1, allowed=left)[0])
        small.believe(pick)
        left[pick] = False
        picked.append(pick)
    return pool[picked]
