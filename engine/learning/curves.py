"""How a hunt goes, told honestly: what was found, how good the ranking is on what nobody has looked at, how much is left.

Labels gathered by a hunt are no fair sample: they were chosen to be yes. Three estimates stand side by side, each named:

- **random**: from the labels drawn at random among all unlabelled objects (`surprise` of the steering). A draw that saw n_t
  objects without a label, after f_t had been found, meets a yes with probability (K − f_t) / n_t, K being how many there are in
  all: so f_t + n_t y_t is unbiased for K whatever the hunt did between the draws (importance weights of active testing, Kossen et
  al. 2021, arXiv:2103.05331). Its 90 % interval inverts the exact distribution of the number of yes (Clopper & Pearson 1934), and
  is too wide rather than too narrow.
- **model**: the probability of a yes against the posterior mean, a logistic curve fitted to the labels with each one's mean as the
  others predict it (leave-one-out, Rasmussen & Williams 2006, eq. 5.12), summed over the unlabelled objects. Sharp, and wrong
  wherever the model has never looked: what lies in a clump that no label is near is not counted. Bands: 200 bootstraps.
- **published**: precision among the N highest, counting those that are labelled already, as Walmsley et al. 2022 and Protege
  quote it. It flatters: the top of a ranking is what was labelled yes.

Cost: M² for the labels' means, one histogram over the survey: 0.2 s for 1,000,000 objects and 500 labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve

if TYPE_CHECKING:
    from engine.learning.interest import Interest
    from engine.survey import Survey

#: Level of all intervals.
LEVEL = 0.9
BOOTSTRAPS = 200
#: Labels drawn at random from which the number left is estimated; of a model's estimate, labels of each kind.
LEAST_RANDOM, LEAST_EACH = 20, 5
#: Bins of the posterior mean, and ranks at which curves are given.
BINS, RANKS = 2000, 60
#: A response from here on is a yes.
YES = 0.5


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
class Curves:
    """How a hunt goes; see the module.

    Attributes
    ----------
    target : str
    objects, labels, yes : int
        Readable objects; how many of them are labelled, and found.
    random, random_yes : int
        Labels drawn at random, and the yes among them.
    found : (labels + 1,) int64
        Found within the first 0, 1, … labels.
    left_random, left_model : Estimate or None
        How many are still to find.
    ranks : (r,) int64
        Numbers of unlabelled objects, the highest mean first.
    precision, recall : Band or None
        Among so many unlabelled objects, by the model.
    precision_random : Band or None
        The same precision, by the labels drawn at random.
    published : (r,) float or None
        Precision among the highest `ranks` of all objects, those already labelled counted.
    words : tuple of str
        What this says, a sentence each.
    """

    target: str
    objects: int
    labels: int
    yes: int
    random: int
    random_yes: int
    found: np.ndarray
    left_random: Estimate | None = None
    left_model: Estimate | None = None
    ranks: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    precision: Band | None = None
    recall: Band | None = None
    precision_random: Band | None = None
    published: np.ndarray | None = None
    words: tuple[str, ...] = ()

    @property
    def rate(self) -> float | None:
        """Yes a label that a random order would give, by the better estimate there is."""
        left = self.left_random or self.left_model
        return None if left is None or not self.objects else (self.yes + left.value) / self.objects

    def facts(self) -> dict:
        """The same as one document of plain numbers."""
        said = {"rate": self.rate, **asdict(self)}
        return {name: _plain(value) for name, value in said.items()}

    def text(self) -> str:
        """The same in words."""
        return "\n".join(self.words)

    def table(self) -> str:
        """The curves as CSV: one column a curve, rows by labels given and by rank."""
        lines = ["curve,x,value,low,high"]
        lines += [f"found,{n},{v},," for n, v in enumerate(self.found.tolist())]
        for name in ("precision", "recall", "precision_random"):
            band = getattr(self, name)
            if band is not None:
                rows = zip(self.ranks.tolist(), band.value, band.low, band.high)
                lines += [f"{name},{n},{v:.6g},{a:.6g},{b:.6g}" for n, v, a, b in rows]
        if self.published is not None:
            lines += [f"published,{n},{v:.6g},," for n, v in zip(self.ranks.tolist(), self.published)]
        return "\n".join(lines).replace("nan", "") + "\n"


def curves(
    survey: Survey,
    target: str,
    *,
    interest: Interest | None = None,
    representation: str | None = None,
    seed: int = 0,
) -> Curves:
    """Measure a hunt by its label log.

    Parameters
    ----------
    survey : Survey
    target : str
    interest : Interest, optional
        The hunt's loop if it is at hand; else it is made, where the survey has a representation.
    representation : str, optional
        The newest if not given.
    seed : int
        Of the bootstraps.
    """
    if interest is None and survey.representations:
        interest = survey.interest(target, representation=representation)
    log = survey.labels if interest is None else interest.log
    valid = np.ones(len(survey), bool) if interest is None else interest.valid
    current, drawn = log.current(target), log.drawn(target)
    kept = valid[current.rows]
    rows, positive = current.rows[kept], _positive(current, interest)[kept]
    by_chance = np.array([drawn.get(event) == "random" for event in current.events[kept].tolist()], bool)
    if interest is None:
        return _told(measure(target, rows, positive, by_chance, objects=int(valid.sum())))
    interest.sync()
    mean = interest.mean
    return _told(
        measure(
            target,
            rows,
            positive,
            by_chance,
            objects=int(valid.sum()),
            mean=mean,
            held_out=_held_out(interest, rows),
            seed=seed,
        )
    )


def measure(
    target: str,
    rows: np.ndarray,
    positive: np.ndarray,
    by_chance: np.ndarray,
    *,
    objects: int,
    mean: np.ndarray | None = None,
    held_out: np.ndarray | None = None,
    seed: int = 0,
) -> Curves:
    """The same of plain arrays.

    Parameters
    ----------
    rows : (m,) int64
        Labelled objects, in the order in which they were labelled.
    positive, by_chance : (m,) bool
        Whether each is a yes; whether it was drawn at random from all without a label.
    objects : int
        How many there are.
    mean : (N,) float, optional
        Posterior mean of every object, NaN where unreadable.
    held_out : (m,) float, optional
        The labelled objects' means as the other labels predict them, NaN where unknown.
    seed : int
    """
    found = np.concatenate([[0], np.cumsum(positive)]).astype(np.int64)
    before = np.flatnonzero(by_chance)
    left = None
    if len(before) >= LEAST_RANDOM:
        left = left_by_chance(found[before], objects - before, positive[before], int(found[-1]), objects - len(rows))
    said = {
        "target": target,
        "objects": objects,
        "labels": len(rows),
        "yes": int(found[-1]),
        "random": len(before),
        "random_yes": int(positive[before].sum()),
        "found": found,
        "left_random": left,
    }
    if mean is None or held_out is None:
        return Curves(**said)
    usable = np.isfinite(held_out)
    if min(positive[usable].sum(), (~positive[usable]).sum()) < LEAST_EACH:
        return Curves(**said)
    return Curves(**said, **_by_model(mean, rows, positive, by_chance, held_out, np.random.default_rng(seed)))


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


def _by_model(mean, rows, positive, by_chance, held_out, rng: np.random.Generator) -> dict:
    """What the model says of the unlabelled objects."""
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
    return {
        "left_model": Estimate(float(yes[0, -1]), float(low), float(high)),
        "ranks": ranks,
        "precision": _band(at / ranks),
        "recall": _band(at / np.maximum(yes[:, -1:], 1e-12)),
        "precision_random": _sampled(held_out[by_chance & usable], positive[by_chance & usable], least, rng),
        "published": _published(mean, rows, positive, slopes[0], ranks),
    }


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


def _published(mean, rows, positive, slope: np.ndarray, ranks: np.ndarray) -> np.ndarray:
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


# -- from a hunt ------------------------------------------------------------------------------------------------------


def _positive(current, interest: Interest | None) -> np.ndarray:
    """Which labels are a yes: yes, a rating from 3 on, or the class that is looked for."""
    hunted = "" if interest is None or not interest.classes else interest.steering.hunted or interest.classes[0]
    with np.errstate(invalid="ignore"):
        return (current.responses >= YES) & (current.values != "unsure") | (current.values == hunted)


def _held_out(interest: Interest, rows: np.ndarray) -> np.ndarray:
    """Posterior means of labelled objects as the other labels predict them, (m,), NaN for those that teach nothing."""
    result = np.full(len(rows), np.nan)
    if interest.classes:
        return result
    with interest.held() as posterior:
        known, y = np.asarray(posterior.rows, np.int64), np.asarray(posterior.responses, np.float64)
        kernel, prior_mean = posterior.kernel, posterior.prior_mean
        noise = posterior.noise.copy()
    if not len(known):
        return result
    x = np.asarray(interest.seen(known), np.float64)
    covariance = kernel.between(x, x)
    covariance[np.diag_indices_from(covariance)] += noise
    inverse = cho_solve(cho_factor(covariance), np.eye(len(known)))
    means = y - (inverse @ (y - prior_mean)) / np.diag(inverse)
    place = {int(row): number for number, row in enumerate(known)}
    for number, row in enumerate(rows.tolist()):
        if row in place:
            result[number] = means[place[row]]
    return result


# -- in words ---------------------------------------------------------------------------------------------------------


def _told(said: Curves) -> Curves:
    from dataclasses import replace

    return replace(said, words=tuple(_sentences(said)))


def _sentences(said: Curves) -> list[str]:
    words = [f"{said.yes:,} found in {said.labels:,} labels, of {said.objects:,} objects."]
    left = said.left_random
    if left is not None:
        words.append(
            f"By {said.random:,} objects drawn at random ({said.random_yes:,} yes): about {left.value:,.0f} still to find, "
            f"between {left.low:,.0f} and {left.high:,.0f} (90 %)."
        )
    else:
        words.append(
            f"{said.random:,} labels were drawn at random; {LEAST_RANDOM} are the least from which to say without bias what the "
            "hunt misses. Raise the share of surprises (suggest --surprise 0.1)."
        )
    if said.left_model is not None:
        m = said.left_model
        words.append(
            f"By the model: about {m.value:,.0f} still to find, between {m.low:,.0f} and {m.high:,.0f} (90 %), not counting what "
            "lies where it has never looked."
        )
    elif said.yes < LEAST_EACH or said.labels - said.yes < LEAST_EACH:
        words.append(f"The model says nothing yet: it takes {LEAST_EACH} yes and {LEAST_EACH} no.")
    else:
        words.append("The model's figures are for yes and no, or ratings: here are none.")
    if said.precision is not None and said.published is not None:
        at = int(np.argmin(np.abs(said.ranks - 100)))
        words.append(
            f"Of the {said.ranks[at]:,} highest without a label {said.precision.value[at]:.0%} are expected to be yes "
            f"({said.precision.low[at]:.0%} to {said.precision.high[at]:.0%}). The published way, which counts the labelled, says "
            f"{said.published[at]:.0%}: it flatters, since a hunt labels the top of its own ranking."
        )
    return words


def _plain(value):
    """For JSON: NumPy as lists, what is not finite as None."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return [_plain(v) for v in value.tolist()]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return list(value) if isinstance(value, tuple) else value
