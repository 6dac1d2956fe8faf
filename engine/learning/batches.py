"""The next batch to look at: the best of an acquisition, some that explore, some drawn at random, or a cold start.

Rare objects are found by looking where the model hopes for them, and are missed where it has never looked. So a share of each
batch explores: drawn where the posterior is least certain (probability ∝ σ⁴ without noise: the spread of k-means++, Arthur &
Vassilvitskii 2007). Another share is drawn at random from all unlabelled objects, whatever the model says of them: the only
labels that tell without bias what the hunt misses. Both are spread evenly, counted in labels, so that who labels one object at
a time explores as much as who labels batches. Before the first yes there is nothing to hope for, and the batch is a cold start.

Cost: one partition of the scores, O(N); whatever is drawn one by one is drawn among a few thousand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from engine.learning.acquisition import diverse, top
from engine.learning.dirichlet import ClassPosterior
from engine.learning.posterior import Posterior
from engine.learning.steering import Steering

#: Why an object is in a batch.
HOW = ("best", "explore", "random", "cold")
#: Objects drawn at random among which the exploring ones are chosen, so that their cost does not grow with the survey.
EXPLORED = 4000
#: Multiples of it, modulo one, are spread evenly however many there are.
GOLDEN = 0.5 * (np.sqrt(5) - 1)
#: Objects among which the farthest from all that were looked at are chosen one after another.
FARTHEST = 1000


@dataclass(frozen=True)
class Batch:
    """Objects to look at, in the order in which to do it.

    Attributes
    ----------
    rows : (n,) int64
    how : (n,) str
        Why each is there, one of `HOW`.
    """

    rows: np.ndarray
    how: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Situation:
    """What a batch is chosen from.

    Attributes
    ----------
    model : Posterior or ClassPosterior
    scores : (N,) float
        The acquisition of every object.
    score : callable
        The acquisition: a model → scores of its objects.
    free : (N,) bool
        Objects that may be shown: readable, and without a label.
    shunned : (N,) bool, optional
        Free ones that are likely artefacts: taken last, and only drawn by chance.
    along : (N,) float
        The first component.
    outlying : (N,) float, optional
        How strange each object is; NaN where it is unknown.
    found : bool
        Whether there is a yes.
    """

    model: Posterior | ClassPosterior
    scores: np.ndarray
    score: Callable[..., np.ndarray]
    free: np.ndarray
    along: np.ndarray
    found: bool
    shunned: np.ndarray | None = None
    outlying: np.ndarray | None = None


def next_batch(now: Situation, n: int, steering: Steering, rng: np.random.Generator) -> Batch:
    """Choose the next objects.

    Parameters
    ----------
    now : Situation
    n : int
        Fewer come back if fewer are free.
    steering : Steering
    rng : numpy.random.Generator

    Returns
    -------
    Batch
        Distinct free objects.
    """
    n = min(int(n), int(np.count_nonzero(now.free)))
    if n <= 0:
        return Batch(np.zeros(0, np.int64), np.zeros(0, object))
    labels = len(now.model)
    how = _reasons(labels, n, now.found, steering)
    rows, left = np.empty(n, np.int64), now.free.copy()

    def place(kind: str, chosen: np.ndarray) -> None:
        rows[how == kind] = chosen
        left[chosen] = False

    place("random", draw(left, int((how == "random").sum()), rng))  # first: whatever the model thinks of them
    clear = left if now.shunned is None else _without(left, now.shunned, n)
    if now.found:
        place("best", _best(now, int((how == "best").sum()), clear, steering))
        clear &= left
        place("explore", spread(now.model, int((how == "explore").sum()), clear, rng))
    else:
        place("cold", COLD[steering.cold_start](now, int((how == "cold").sum()), clear, rng))
    return Batch(rows, how)


def _reasons(labels: int, n: int, found: bool, steering: Steering) -> np.ndarray:
    """Why each of the next n objects will be there, (n,) str: the exploring share is one of those not drawn at random."""
    how = np.full(n, "best" if found else "cold", object)
    surprising = turns(labels, n, steering.surprise)
    how[surprising] = "random"
    if found:
        others = np.flatnonzero(~surprising)
        before = labels - int(np.floor(labels * steering.surprise + 1e-9))
        how[others[turns(before, len(others), steering.explore)]] = "explore"
    return how


def turns(labels: int, n: int, share: float) -> np.ndarray:
    """Which of the next n objects are of a share, (n,) bool, `labels` having been given: evenly spaced, and no chance
    in it."""
    return np.diff(np.floor((labels + np.arange(n + 1)) * share + 1e-9)) > 0


def draw(free: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw distinct free rows, each as likely as any other, (≤ count,) int64; a large survey is not listed for it."""
    rows = np.zeros(0, np.int64)
    for _ in range(20 if count else 0):
        drawn = rng.integers(len(free), size=count + count // 4 + 16)
        rows = np.append(rows, drawn[free[drawn]])
        _, first = np.unique(rows, return_index=True)
        rows = rows[np.sort(first)]
        if len(rows) >= count:
            return rows[:count]
    pool = np.flatnonzero(free)
    return rng.permutation(pool)[:count].astype(np.int64)


def spread(model, count: int, free: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw objects one by one where the posterior is uncertain, given those drawn before."""
    if count <= 0:
        return np.zeros(0, np.int64)
    pool = draw(free, max(EXPLORED, count), rng)
    small, _ = model.restricted(pool)
    left, picked = np.ones(len(pool)), []
    for _ in range(min(count, len(pool))):
        weight = (small.latent_sd[: len(pool)] ** 2).clip(1e-12) ** 2 * left
        pick = int(rng.choice(len(pool), p=weight / weight.sum()))
        small.believe(pick)
        left[pick] = 0
        picked.append(pick)
    return pool[picked]


def _without(left: np.ndarray, shunned: np.ndarray, n: int) -> np.ndarray:
    """Those left that are not shunned, or all of them where that would be too few."""
    clear = left & ~shunned
    return clear if np.count_nonzero(clear) >= n else left.copy()


def _best(now: Situation, count: int, free: np.ndarray, steering: Steering) -> np.ndarray:
    if steering.batch == "diverse":
        return diverse(now.model, now.score, count, allowed=free, scores=now.scores)
    return top(now.scores, count, allowed=free)


def _spaced(now: Situation, count: int, free: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One object from each of `count` equal parts along the first component (Lochner & Rudnick 2025), the first few of them
    spread over it as well: who is shown ten of two hundred sees both ends."""
    if count <= 0:
        return np.zeros(0, np.int64)
    rows = np.flatnonzero(free)
    order = rows[np.argsort(now.along[rows], kind="stable")]
    spaced = np.array([rng.choice(part) for part in np.array_split(order, count)], np.int64)
    return spaced[np.argsort(np.argsort((np.arange(count) * GOLDEN) % 1))]


def _strange(now: Situation, count: int, free: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The strangest first."""
    if now.outlying is None:
        return _anywhere(now, count, free, rng)
    return top(np.where(np.isfinite(now.outlying), now.outlying, -np.inf), count, allowed=free)


def _anywhere(now: Situation, count: int, free: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Along the first component, then always what is farthest from everything looked at.

    While every answer is no, the posterior has nothing to say but where it is uncertain: going there crosses the survey's
    outskirts first, where what is rare tends to lie. Dwarfs that are 0.1 % of simulated surveys (10,000 and 50,000 objects):
    the first is met within 15-21 labels; drawn with a chance that grows with the uncertainty, within 24-84, or not in 200
    (five hunts of eight).
    """
    if not len(now.model):
        return _spaced(now, count, free, rng)
    pool = top(now.model.latent_sd, max(FARTHEST, 50 * count), allowed=free)
    small, _ = now.model.restricted(pool)
    left, picked = np.ones(len(pool), bool), []
    for _ in range(min(count, len(pool))):
        pick = int(top(small.latent_sd[: len(pool)], 1, allowed=left)[0])
        small.believe(pick)
        left[pick] = False
        picked.append(pick)
    return pool[np.array(picked, np.int64)]


def _by_chance(now: Situation, count: int, free: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return draw(free, count, rng)


#: Cold start → how it chooses.
COLD = {"spread": _anywhere, "pc1": _spaced, "outliers": _strange, "random": _by_chance}
