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

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from engine.learning.dirichlet import ClassPosterior
from engine.learning.estimates import LEAST_EACH, LEAST_RANDOM, Band, Estimate, by_model, left_by_chance
from engine.learning.labels import Current

if TYPE_CHECKING:
    from engine.learning.interest import Interest
    from engine.survey import Survey

#: A response from here on is a yes.
YES = 0.5


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
        return {name: plain(value) for name, value in said.items()}

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
    said = Curves(
        target=target,
        objects=objects,
        labels=len(rows),
        yes=int(found[-1]),
        random=len(before),
        random_yes=int(positive[before].sum()),
        found=found,
        left_random=left,
    )
    if mean is None or held_out is None:
        return said
    usable = np.isfinite(held_out)
    if min(positive[usable].sum(), (~positive[usable]).sum()) < LEAST_EACH:
        return said
    model = by_model(mean, rows, positive, by_chance, held_out, np.random.default_rng(seed))
    return replace(
        said,
        left_model=model.left,
        ranks=model.ranks,
        precision=model.precision,
        recall=model.recall,
        precision_random=model.precision_random,
        published=model.published,
    )


# -- from a hunt ------------------------------------------------------------------------------------------------------


def _positive(current: Current, interest: Interest | None) -> np.ndarray:
    """Which labels are a yes: yes, a rating from 3 on, or the class that is looked for."""
    hunted = "" if interest is None or not interest.classes else interest.steering.hunted or interest.classes[0]
    with np.errstate(invalid="ignore"):
        return (current.responses >= YES) & (current.values != "unsure") | (current.values == hunted)


def _held_out(interest: Interest, rows: np.ndarray) -> np.ndarray:
    """Posterior means of labelled objects as the other labels predict them, (m,), NaN for those that teach nothing."""
    result = np.full(len(rows), np.nan)
    with interest.held() as posterior:
        if isinstance(posterior, ClassPosterior):
            return result
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
            "hunt misses. Raise the share drawn at random (suggest --surprise 0.1; in the app above the suggestions)."
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


def plain(value):
    """For JSON: NumPy as lists, what is not finite as None."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return [plain(v) for v in value.tolist()]
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
