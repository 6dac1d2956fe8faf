"""Why an object is where it is in the ranking: which labels pull its mean, how sure it is, and what its label would change.

The mean of a Gaussian process is a sum over labels, μ(x) = m + Σ_i α_i k(x, x_i) with α = (K + diag σ_i²)⁻¹ (y − m): each label's
term is its pull, up or down, and prior, pulls and the rest add up to the mean. A pull is not a label's opinion: of two yes side by
side, each carries half.

What the object's own label would change follows from the same formula by which it would be appended: with c_i the posterior
covariance of object i and this one, μ_i moves by c_i (y − μ) / (σ² + σ_n²). As |c_i| ≤ σ_i σ, most objects are known not to
cross the line between no and yes (0.5), and only the others are looked at: all of them, or `SAMPLE` at random, which is then said.

Cost: M³/3 for the weights (200 labels: 1 ms), and a pass over mean and sd of all objects.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from engine.errors import UserError
from engine.learning.dirichlet import ClassPosterior, noise
from engine.learning.lessons import FOUND

if TYPE_CHECKING:
    from engine.learning.interest import Interest
    from engine.learning.posterior import Posterior

#: Objects at most whose crossing is followed one by one.
SAMPLE = 10_000


@dataclass(frozen=True)
class Neighbour:
    """A labelled object near by.

    Attributes
    ----------
    row : int
    id, label : str
    distance : float
        In the features that the model sees; two random objects are about √(2·features) apart.
    pull : float
        What its label adds to the mean (for classes, to the function behind the class that is hunted).
    """

    row: int
    id: str
    label: str
    distance: float
    pull: float


@dataclass(frozen=True)
class Change:
    """What a label of this object would do to the means of all others.

    Attributes
    ----------
    label : str
        "yes" or "no"; with classes, the one that is hunted or another.
    up, down : int
        Objects that would come to be predicted likely (mean from 0.5 on; of classes, the function behind the one that is hunted),
        and cease to be.
    exact : bool
        Whether every candidate was followed, or `SAMPLE` at random and the rest inferred.
    """

    label: str
    up: int
    down: int
    exact: bool


@dataclass(frozen=True)
class Reasons:
    """Why an object is where it is; see the module.

    Attributes
    ----------
    row : int
    id, target : str
    hunted : str
        The class that mean and pulls speak of; empty without classes.
    label : str
        Its own label, empty if none.
    drawn : str
        Why it was suggested, see `engine.learning.batches.HOW`; empty if it was not.
    mean, sd : float
    rank, of : int
        Place among all readable objects by mean, 1 the highest; how many they are.
    labels : int
        Labels that the model holds.
    prior : float
        What is expected without any label.
    neighbours : tuple of Neighbour
        The nearest labelled objects, the nearest first.
    rest : float
        The pulls of all other labels together.
    changes : tuple of Change
        For a yes and for a no; empty if it is labelled.
    """

    row: int
    id: str
    target: str
    hunted: str
    label: str
    drawn: str
    mean: float
    sd: float
    rank: int
    of: int
    labels: int
    prior: float
    neighbours: tuple[Neighbour, ...]
    rest: float
    changes: tuple[Change, ...]

    def facts(self) -> dict:
        """The same as a document."""
        return asdict(self)

    def words(self) -> str:
        """The same in words, a line each."""
        what = f"‘{self.target}: {self.hunted}’" if self.hunted else f"‘{self.target}’"
        lines = [
            f"{self.id}: {what} {self.mean:.2f} ± {self.sd:.2f}, place {self.rank:,} of {self.of:,} by the mean"
            + (f"; labelled {self.label}" if self.label else "")
        ]
        if not self.labels:
            return "\n".join([*lines, "No label teaches anything yet: every object is expected alike."])
        lines += [f"  {n.label:>10} {n.id}  distance {n.distance:.2f}  pull {n.pull:+.3f}" for n in self.neighbours]
        others = self.labels - len(self.neighbours)
        lines.append(f"  prior {self.prior:.2f}, the other {others:,} labels {self.rest:+.3f}")
        lines += [
            f"  a {c.label} would make {c.up:,} more objects likely, {c.down:,} fewer"
            + ("" if c.exact else " (estimated)")
            for c in self.changes
        ]
        return "\n".join(lines)


def reasons(interest: Interest, which: str | int, *, neighbours: int = 8) -> Reasons:
    """Why an object is where it is.

    Parameters
    ----------
    interest : Interest
    which : str or int
        Id, or row.
    neighbours : int
        Labelled objects to name.

    Returns
    -------
    Reasons

    Raises
    ------
    UserError
        If there is no such object, or its pixels were unreadable.
    """
    row = int(interest.survey.rows([which])[0]) if isinstance(which, str) else int(which)
    name = str(interest.survey.ids[row])
    if not interest.valid[row]:
        raise UserError(f"nothing is known of {name!r}: its pixels could not be read", "choose another object")
    with interest.held() as model:
        latent = model.latent[model.hunted] if isinstance(model, ClassPosterior) else model
        mean, sd = model.mean, float(model.sd[row])
        current = interest.log.current(interest.target)
        said = dict(zip(current.rows.tolist(), current.values.tolist()))
        near, rest = _near(interest, latent, row, said, neighbours)
        return Reasons(
            row=row,
            id=name,
            target=interest.target,
            hunted=interest.classes[model.hunted] if isinstance(model, ClassPosterior) else "",
            label=str(said.get(row, "")),
            drawn=interest.drawn(row),
            mean=float(mean[row]),
            sd=sd,
            rank=1 + int(np.count_nonzero(mean[interest.valid] > mean[row])),
            of=int(np.count_nonzero(interest.valid)),
            labels=len(model),
            prior=float(latent.prior_mean),
            neighbours=near,
            rest=rest,
            changes=() if row in said else _changes(interest, latent, row, isinstance(model, ClassPosterior)),
        )


def _near(
    interest: Interest, model: Posterior, row: int, said: dict[int, str], count: int
) -> tuple[tuple[Neighbour, ...], float]:
    """The nearest labelled objects with their pulls, and the pull of all others."""
    if not len(model):
        return (), 0.0
    rows = np.asarray(model.rows, np.int64)
    known, here = interest.seen(rows), interest.seen(np.array([row]))
    pull = pulls(model, known, here)
    distance = np.sqrt(np.square(known - here).sum(axis=1))
    chosen = np.argsort(distance, kind="stable")[:count]
    ids = interest.survey.ids
    near = tuple(
        Neighbour(
            int(rows[i]), str(ids[int(rows[i])]), str(said.get(int(rows[i]), "")), float(distance[i]), float(pull[i])
        )
        for i in chosen
    )
    return near, float(pull.sum() - pull[chosen].sum())


def pulls(model: Posterior, known: np.ndarray, here: np.ndarray) -> np.ndarray:
    """What each label adds to the mean of one object.

    Parameters
    ----------
    model : Posterior
    known : (M, d) float64
        Features of the labelled objects.
    here : (1, d) float64
        Features of the object.

    Returns
    -------
    (M,) float64
        With the prior mean they add up to the posterior mean.
    """
    covariance = model.kernel.between(known, known)
    covariance[np.diag_indices_from(covariance)] += model.noise
    weights = cho_solve(cho_factor(covariance, lower=True), model.responses - model.prior_mean)
    return weights * model.kernel.between(here, known)[0]


def _changes(interest: Interest, model: Posterior, row: int, classes: bool) -> tuple[Change, ...]:
    """What a yes and a no would do; see the module."""
    mean, sd = model.mean, model.latent_sd
    answers = {"yes": 1.0, "no": 0.0}
    white = model.kernel.noise
    variance = {
        word: sd[row] ** 2 + white + (float(noise(np.array(y))) if classes else 0) for word, y in answers.items()
    }
    force = {word: (y - mean[row]) / variance[word] for word, y in answers.items()}
    reach = sd * (sd[row] * max(map(abs, force.values())))
    candidates = np.flatnonzero((np.abs(mean - FOUND) <= reach) & interest.valid)
    exact = len(candidates) <= SAMPLE
    followed = candidates if exact else np.random.default_rng(row).choice(candidates, SAMPLE, replace=False)
    small, _ = model.restricted(np.append(followed, row))
    before = small.mean[: len(followed)]
    small.append(
        len(followed), small.mean[len(followed)] + 1, white
    )  # one above what is expected: covariances, over σ² + σ_n²
    covariance = (small.mean[: len(followed)] - before) * (sd[row] ** 2 + white)
    scale = len(candidates) / max(len(followed), 1)
    return tuple(_change(word, before, before + covariance * force[word], scale, exact) for word in answers)


def _change(word: str, before: np.ndarray, after: np.ndarray, scale: float, exact: bool) -> Change:
    """Count those that cross 0.5."""
    up, down = (after >= FOUND) & (before < FOUND), (after < FOUND) & (before >= FOUND)
    return Change(word, round(np.count_nonzero(up) * scale), round(np.count_nonzero(down) * scale), exact)
