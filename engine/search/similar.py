"""Objects like some, and unlike others.

One query object: the cosine between its standardised components and everyone's. Several: the target is their mean t,
and a component counts for more the better they agree on it,

    score(x) = Σ w·t·x / (√Σ w·t² · √Σ w·x²),    w = 1/var of the queries, Σ w = 1

(Walmsley et al. 2022, MNRAS 513, 1581; sky_embeddings). The variance of few objects is mostly chance, so it is drawn
towards that of the whole survey, which is 1; with one object the weights are equal and the score is the cosine. The
same score for the objects to be unlike is subtracted. Cost: one pass, N·d.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import UserError

if TYPE_CHECKING:
    from engine.survey import Survey

#: Objects that the survey's own variance counts for, when that of the queries is estimated.
PRIOR_OBJECTS = 4.0
#: Rows scored at once.
CHUNK = 262_144
#: Smallest norm divided by: an object at the survey's mean is like nothing.
EPS = 1e-12


def similar(
    survey: Survey,
    rows: Sequence[int] | np.ndarray,
    *,
    unlike: Sequence[int] | np.ndarray = (),
    top: int = 25,
    representation: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Rank objects by likeness.

    Parameters
    ----------
    survey : Survey
    rows : (m,) int
        Objects to be like, at least one.
    unlike : (q,) int
        Objects to be unlike.
    top : int
        Objects wanted.
    representation : str, optional
        The newest if not given.

    Returns
    -------
    rows : (n,) int64
        The most similar first, n ≤ top; without the queries, and without objects whose pixels could not be read.
    score : (n,) float32
        From −1 to 1; with `unlike`, from −2 to 2.

    Raises
    ------
    UserError
        If no query is given, or none of them has a vector.
    """
    found = survey.representation(representation)
    valid = np.array(found.valid)
    like, unlike = (np.unique(np.asarray(r, np.int64)) for r in (rows, unlike))
    features = found.components()
    score = likeness(features, _usable(like, valid, "like"))
    if len(unlike):
        score -= likeness(features, _usable(unlike, valid, "unlike"))
    valid[like] = valid[unlike] = False
    return _best(score, valid, top)


def likeness(features: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Score of every object against the mean of some; see the module.

    Parameters
    ----------
    features : (N, d) float32
        Standardised: zero mean and unit variance over the survey.
    queries : (m,) int
        Rows, at least one.

    Returns
    -------
    (N,) float32
    """
    chosen = np.asarray(features[queries], np.float64)
    target, weights = chosen.mean(axis=0), query_weights(chosen)
    weighted = weights * target
    pull = (weighted / max(np.sqrt(weighted @ target), EPS)).astype(np.float32)
    square = weights.astype(np.float32)
    score = np.empty(len(features), np.float32)
    for start in range(0, len(features), CHUNK):
        block = np.asarray(features[start : start + CHUNK])
        score[start : start + CHUNK] = (block @ pull) / np.maximum(np.sqrt((block * block) @ square), EPS)
    return score


def query_weights(chosen: np.ndarray) -> np.ndarray:
    """Weight of each component, (d,) float64 of sum 1, from the queries' features, (m, d)."""
    others = len(chosen) - 1
    scatter = chosen.var(axis=0) * len(chosen)
    weights = 1 / ((scatter + PRIOR_OBJECTS) / (others + PRIOR_OBJECTS))
    return weights / weights.sum()


def _usable(rows: np.ndarray, valid: np.ndarray, what: str) -> np.ndarray:
    if len(rows) == 0:
        raise UserError("there is no object to be like", "give at least one")
    if rows[0] < 0 or rows[-1] >= len(valid):
        raise UserError(f"an object to be {what} is not in this survey of {len(valid):,}", "give rows of this survey")
    usable = rows[valid[rows]]
    if len(usable) == 0:
        raise UserError(f"none of the objects to be {what} could be read, so none has a vector", "give another one")
    return usable


def _best(score: np.ndarray, allowed: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
    """The `top` best allowed rows, equal scores in order of the row."""
    candidates = np.flatnonzero(allowed)
    if len(candidates) > top > 0:
        cut = np.partition(score[candidates], len(candidates) - top)[len(candidates) - top]
        candidates = candidates[score[candidates] >= cut]
    order = np.argsort(-score[candidates], kind="stable")[: max(top, 0)]
    return candidates[order], score[candidates[order]]
