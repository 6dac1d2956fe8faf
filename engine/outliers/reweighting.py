"""Strangeness, re-weighted by what a person thinks of some objects: Astronomaly's neighbour score, over the whole survey.

With S the score of strangeness from 0 to 5, U the person's rating from 0 to 5 as it is predicted for every object,
and d the distance to the nearest rated one,

    Ŝ = S · tanh(δ − 1 + artanh f),    f = 0.1 + 0.85 U/5,    δ = exp(α d / mean d)

(Lochner & Bassett 2021, Astronomy and Computing 36, 100481, sec. 3.3). Beside a rated object (d = 0) the person
decides: Ŝ = S·f, a tenth of S if they disliked it and nearly all if they liked it. Far from all of them Ŝ = S: the
algorithm does. U is kept from 0.1 to 5.

What is ours, measured on simulated surveys and Galaxy Zoo 2 (``docs/hunting.md``): S is a rank, not the score
stretched linearly; U comes from a Gaussian process instead of a random forest; α is 0.3 instead of 1. In 40
dimensions most distances are near their mean, and with α = 1 a label says nothing of its surroundings: of 100 dwarfs
among 10,000 objects 200 labels then find 21, with 0.3 they find 83.

Cost: one pass over features in tiles of objects × labels, for d and U together: N·m·d multiplications; 1,000,000
objects and 200 labels 0.5 s of two cores.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from engine.errors import UserError
from engine.learning import kernels
from engine.outliers.scoring import ranks

if TYPE_CHECKING:
    from engine.learning.labels import LabelLog

#: How fast the algorithm takes over with distance; 1 is published.
ALPHA = 0.3
#: Ratings go from 0 to this.
TOP = 5.0
#: Least predicted rating.
LEAST = 0.1
#: Objects of a tile.
TILE = 4096
#: Squared distances below this share of an object's squared norm are computed again, by differences.
NEAR = 0.01
#: What is labelled with one of these words, or "yes" for a target of such a name, is no object of the sky.
ARTEFACT = ("artefact", "artifact")
#: Objects drawn at random that stand for what is no artefact: at least so many, and so many for each artefact.
BACKGROUND, BACKGROUND_SHARE = 200, 10
#: Predicted rating, of 5 for an artefact, from which an object looks like one.
LIKE = 2.0
#: Trees of the random forest.
TREES = 200


@dataclass(frozen=True)
class Opinions:
    """What a person thinks of some objects.

    Attributes
    ----------
    rows : (m,) int64
    ratings : (m,) float64
        From 0, of no interest, to 5.
    """

    rows: np.ndarray
    ratings: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def among(self, valid: np.ndarray) -> Opinions:
        """Those on objects that have features."""
        good = valid[self.rows]
        return Opinions(self.rows[good], self.ratings[good])


def opinions(log: LabelLog, target: str) -> Opinions:
    """What the labels of a target say, and those that call something an artefact whatever is looked for.

    yes is 5, no 0, a rating itself, "unsure" nothing. A class is 5 unless it is `ARTEFACT`, which is 0, as is an
    object labelled yes for a target of that name.
    """
    found = {int(row): 0.0 for row in artefacts(log, target)}
    current = log.current(target)
    for row, value, kind in zip(current.rows.tolist(), current.values, current.kinds):
        rating = _rating(str(value), str(kind), target)
        if rating is not None:
            found[row] = rating
    return _opinions(found)


def artefacts(log: LabelLog, target: str) -> np.ndarray:
    """Rows of what is labelled an artefact, for a target or in general, (m,) int64 in order of the row."""
    rows: set[int] = set()
    for name in {target, *(name for name in log.targets() if name.lower() in ARTEFACT)}:
        current = log.current(name)
        rows |= {int(row) for row, value in zip(current.rows, current.values) if _is_artefact(str(value), name)}
    return np.array(sorted(rows), np.int64)


def _is_artefact(value: str, target: str) -> bool:
    return value.lower() in ARTEFACT or (target.lower() in ARTEFACT and value == "yes")


def _rating(value: str, kind: str, target: str) -> float | None:
    if target.lower() in ARTEFACT:  # looking for artefacts, one wants to see them
        return {"yes": TOP, "no": 0.0}.get(value) if kind == "verdict" else None
    if value.lower() in ARTEFACT:
        return 0.0
    if kind == "rating":
        return float(value)
    return {"yes": TOP, "no": 0.0}.get(value) if kind == "verdict" else TOP


def _opinions(found: dict[int, float]) -> Opinions:
    return Opinions(np.array(list(found), np.int64), np.array(list(found.values()), np.float64))


def reweighted(
    score: np.ndarray,
    features: np.ndarray,
    given: Opinions,
    *,
    alpha: float = ALPHA,
    linear: bool = False,
    model: str = "gp",
    seed: int = 0,
) -> np.ndarray:
    """Move a score of strangeness by opinions.

    Parameters
    ----------
    score : (N,) float
        Higher is stranger; NaN where unknown.
    features : (N, d) float32
        As `engine.learning.features.features` gives them.
    given : Opinions
        On objects that have features; none leave the score as it is, but for its scale.
    alpha : float
        Above 0.
    linear : bool
        Stretch the score linearly from 0 to 5, as published, instead of by rank.
    model : {"gp", "forest"}
        What predicts the ratings; the forest is published, and takes 20 s for 1,000,000 objects.
    seed : int
        Of the forest.

    Returns
    -------
    (N,) float32
        From 0 to 5; NaN where the score is.

    Source
    ------
    Lochner & Bassett 2021, eq. 1-3.
    """
    strange = rescaled(score, linear=linear)
    if not len(given):
        return strange
    if model == "gp":
        distance, predicted = nearest_and_predicted(features, given)
    elif model == "forest":
        distance, _ = nearest_and_predicted(features, given)
        predicted = forest(features, given, seed=seed)
    else:
        raise UserError(f"there is no model {model!r}", "choose one of: gp, forest")
    known = np.isfinite(strange)
    return strange * factor(predicted, distance, float(distance[known].mean()) if known.any() else 1.0, alpha=alpha)


def rescaled(score: np.ndarray, *, linear: bool = False) -> np.ndarray:
    """A score from 0 to 5, (N,) float32: by rank, or linearly between its extremes; all alike: 0."""
    if not linear:
        return (TOP * ranks(score)).astype(np.float32)
    known = np.isfinite(score)
    low, high = (float(score[known].min()), float(score[known].max())) if known.any() else (0.0, 0.0)
    return (TOP * (score - low) / (high - low if high > low else 1.0)).astype(np.float32)


def factor(predicted: np.ndarray, distance: np.ndarray, mean: float, *, alpha: float = ALPHA) -> np.ndarray:
    """What strangeness is multiplied by: tanh(δ − 1 + artanh f), from f beside a rated object to 1 far from all; see the module.

    Parameters
    ----------
    predicted : (N,) float
        U, from 0 to 5; what is outside 0.1-5 is taken as the end.
    distance : (N,) float
        d, 0 or more.
    mean : float
        Mean of d over the survey; if it is 0, everything is rated.

    Returns
    -------
    (N,) float32
    """
    f = 0.1 + 0.85 * np.clip(predicted, LEAST, TOP) / TOP
    away = (
        np.expm1(np.minimum(alpha * distance / mean, 20.0)) if mean > 0 else np.zeros_like(distance)
    )  # e²⁰: tanh is 1
    return np.tanh(away + np.arctanh(f)).astype(np.float32)


def nearest_and_predicted(features: np.ndarray, given: Opinions) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the nearest rated object, and the rating that a Gaussian process predicts, in one pass.

    The process has prior mean 0 (what was never seen is of no interest) and the kernel of `rating_kernel`.

    Returns
    -------
    (N,) float32, (N,) float32
        Exactly 0 at the rated objects themselves; from about 0 to about 5.
    """
    n, rows = len(features), given.rows
    kernel = rating_kernel(features.shape[1])
    points = np.asarray(features[rows], np.float32)
    exact = points.astype(np.float64)
    covariance = kernel.between(exact, exact) + kernel.noise * np.eye(len(rows))
    pull = torch.from_numpy(kernel.variance * np.linalg.solve(covariance, given.ratings)).float()
    turned, square = torch.from_numpy(points).T, torch.from_numpy((points * points).sum(axis=1))
    distance, predicted = np.empty(n, np.float32), np.empty(n, np.float32)

    def work(start: int) -> None:
        part = slice(start, start + TILE)
        block = torch.from_numpy(np.array(features[part], np.float32))
        norms = (block * block).sum(dim=1)
        squared = torch.addmm(square, block, turned, alpha=-2).add_(norms[:, None]).clamp_(min=0)
        least = squared.amin(dim=1)
        near = (least < NEAR * norms).nonzero()[:, 0]  # few: the product rounds there
        least[near] = (block[near] - turned.T[squared[near].argmin(dim=1)]).square_().sum(dim=1)
        distance[part] = least.sqrt_().numpy()
        # α = 1 makes the rational quadratic a reciprocal, which takes half the time of a logarithm and an exponential
        predicted[part] = (squared.mul_(0.5 / kernel.length**2).add_(1).reciprocal_() @ pull).numpy()

    _each(range(0, n, TILE), work)
    distance[rows] = 0
    return distance, predicted


def rating_kernel(dimension: int) -> kernels.Kernel:
    """What a rating says of its surroundings, for features of unit mean variance.

    Two random objects are √(2d) apart; the length is the half of that, so that a label speaks for its surroundings
    only: the strangest are far from one another. Fitted hyper-parameters found no more.
    """
    return kernels.Kernel(
        "rational-quadratic", variance=0.25, length=float(np.sqrt(dimension / 2)), noise=0.02, shape=1.0
    )


def forest(features: np.ndarray, given: Opinions, *, seed: int = 0) -> np.ndarray:
    """The rating that a random forest of 200 trees predicts, as published, (N,) float32."""
    from sklearn.ensemble import RandomForestRegressor

    grown = RandomForestRegressor(TREES, random_state=seed).fit(features[given.rows], given.ratings)
    trees = [tree.tree_ for tree in grown.estimators_]  # the forest's own `predict` cannot be called by several threads
    found = np.empty(len(features), np.float32)

    def work(start: int) -> None:
        block = np.ascontiguousarray(features[start : start + TILE], np.float32)
        found[start : start + TILE] = np.mean([tree.predict(block).ravel() for tree in trees], axis=0)

    _each(range(0, len(features), TILE), work)
    return found


def like_artefacts(
    features: np.ndarray, rows: np.ndarray, *, others: np.ndarray | None = None, valid: np.ndarray | None = None
) -> np.ndarray:
    """Which objects look like what is labelled an artefact.

    A few rejections alone would speak for all that is strange. So the process is told as well that objects drawn at
    random are none, which nearly all of them are, and what it then takes for two fifths an artefact looks like one.
    On simulated surveys of 10,000 objects, 15 labels hid 60-70 % of the artefacts among the 200 strangest and 1-2 %
    of the rest.

    Parameters
    ----------
    features : (N, d) float32
    rows : (m,) int64
        Artefacts; none: nothing looks like one.
    others : (q,) int64, optional
        Labelled as something else; never among the result.
    valid : (N,) bool, optional
        Objects that have features; all if not given.

    Returns
    -------
    (N,) bool
        The artefacts themselves are among them.
    """
    if not len(rows):
        return np.zeros(len(features), bool)
    others = np.zeros(0, np.int64) if others is None else others
    free = np.ones(len(features), bool) if valid is None else valid.copy()
    free[rows] = free[others] = False
    pool = np.flatnonzero(free)
    count = min(len(pool), max(BACKGROUND, BACKGROUND_SHARE * len(rows)))
    drawn = np.random.default_rng(0).choice(pool, count, replace=False)
    told = np.concatenate([rows, others, drawn]).astype(np.int64)
    ratings = np.zeros(len(told))
    ratings[: len(rows)] = TOP
    found = nearest_and_predicted(features, Opinions(told, ratings))[1] > LIKE
    found[rows], found[others] = True, False
    return found


def _each(starts: range, work: Callable[[int], None]) -> None:
    for done in [_cores().submit(work, start) for start in starts]:
        done.result()


@cache
def _cores() -> ThreadPoolExecutor:
    """One thread a core, each of which runs torch's operations alone."""
    return ThreadPoolExecutor(os.cpu_count() or 1, "reweighting", initializer=torch.set_num_threads, initargs=(1,))
