"""What labels teach: responses for the posterior, and bringing it to what the log says now with as little work as
possible.

yes 1, no 0, a rating r/5; a class teaches the posterior of every class. Of two labels of one object, by one user or two, the
last that stands counts. An "unsure" is a weak 0.5: measured on simulated surveys whose rare kind fades into the common one, with
"unsure" given wherever the truth is between 0.25 and 0.75, 200 labels, 16 repeats, beside ignoring them: 2.8 ± 2.0 more yes
found than 58 where four labels in ten are unsure (an earlier kernel prior: 2.1 ± 1.0 more than 67; 0.4 ± 0.6 more than 100 where
they are rarer), and as many or fewer with more noise than `UNSURE_NOISE`: a small gain, and no loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.learning.dirichlet import ClassPosterior
from engine.learning.labels import Current
from engine.learning.posterior import Posterior
from engine.learning.targets import Target

#: A response from here on counts as a yes when labels must be thinned, and when asking whether anything was found.
FOUND = 0.5
#: Variance of the noise of an "unsure", whose response is 0.5.
UNSURE_NOISE = 0.1


@dataclass(frozen=True)
class Lessons:
    """Labels that teach, in the order in which they were given.

    Attributes
    ----------
    rows : (m,) int64
    responses : (m,) float64
        What the posterior learns; of classes, each one's number.
    extra : (m,) float64
        Variance of a noise that comes to the kernel's, in squared units of the responses: above zero for weak labels.
    """

    rows: np.ndarray
    responses: np.ndarray
    extra: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, kept: np.ndarray) -> Lessons:
        """Some of them: those of a mask, or of places, in that order."""
        return Lessons(self.rows[kept], self.responses[kept], self.extra[kept])

    def and_against(self, rows: np.ndarray) -> Lessons:
        """The same and a no for each of some objects that these say nothing of."""
        new = rows[~np.isin(rows, self.rows)]
        nothing = np.zeros(len(new))
        return Lessons(np.append(self.rows, new), np.append(self.responses, nothing), np.append(self.extra, nothing))

    @property
    def certain(self) -> Lessons:
        """Without the weak ones."""
        return self.part(self.extra == 0)


def lessons(current: Current, target: Target, valid: np.ndarray, *, unsure: float = UNSURE_NOISE) -> Lessons:
    """What a target's labels teach.

    Parameters
    ----------
    current : Current
        Labels that stand.
    target : Target
    valid : (N,) bool
        Objects that have features.
    unsure : float
        Noise of an "unsure", a variance; infinite: it teaches nothing.
    """
    if target.kind == "classes":
        number = {name: code for code, name in enumerate(target.classes)}
        responses = np.array(
            [number.get(v, np.nan) if k == "class" else np.nan for v, k in zip(current.values, current.kinds)],
            np.float64,
        )
        extra = np.zeros(len(responses))
    else:
        responses = current.responses
        weak = np.array([v == "unsure" and np.isfinite(unsure) for v in current.values], bool)
        responses, extra = np.where(weak, 0.5, responses), np.where(weak, unsure, 0.0)
    usable = np.isfinite(responses)
    usable[usable] = valid[current.rows[usable]]
    return Lessons(current.rows[usable], responses[usable], extra[usable])


def thinned(said: Lessons, held: list[int], most: int, yes: np.ndarray) -> Lessons:
    """At most `most` of the lessons: those held already, then yes and no in equal parts as far as there are, at random.

    Chance is a hash of the row, so that the choice hardly changes when a label is added.

    Parameters
    ----------
    held : list of int
        Rows that the posterior holds.
    yes : (m,) bool
        Which are positive: the rare ones, to keep.
    """
    if len(said) <= most:
        return said
    chance = (said.rows * np.int64(2654435761)) % np.int64(2**32)
    rank = np.empty(len(said))
    for kind in (yes, ~yes):
        rank[np.flatnonzero(kind)[np.argsort(chance[kind])]] = np.arange(kind.sum())
    return said.part(np.sort(np.lexsort((rank, ~np.isin(said.rows, held)))[:most]))


def bring(model: Posterior | ClassPosterior, said: Lessons, *, patient: bool = False) -> None:
    """Make a model hold exactly these labels: append, pop or revise.

    A label that is gone, or has another noise now, takes those after it along, which are appended again. A `patient` model
    learns in the background, and lets others go first.
    """
    if isinstance(model, ClassPosterior):
        _bring_classes(model, said, patient)
        return
    rows, noise = said.rows.tolist(), (model.kernel.noise + said.extra).tolist()
    wanted = dict(zip(rows, zip(said.responses.tolist(), noise)))
    stale = (
        i for i, row in enumerate(model.rows) if row not in wanted or not np.isclose(model.noise[i], wanted[row][1])
    )
    model.pop(len(model) - next(stale, len(model)))
    now = np.array([wanted[row][0] for row in model.rows])
    if not np.array_equal(now, model.responses):
        model.revise(now)
    held = set(model.rows)
    new = [row for row in wanted if row not in held]
    told = np.array([wanted[row] for row in new]).reshape(-1, 2)
    model.extend(new, told[:, 0], told[:, 1], patient=patient)


def _bring_classes(model: ClassPosterior, said: Lessons, patient: bool) -> None:
    wanted = dict(zip(said.rows.tolist(), said.responses.tolist()))
    stale = (i for i, row in enumerate(model.rows) if row not in wanted)
    model.pop(len(model) - next(stale, len(model)))
    now = np.array([wanted[row] for row in model.rows])
    if not np.array_equal(now, model.codes):
        model.revise(now)
    held = set(model.rows)
    new = [row for row in wanted if row not in held]
    model.extend(new, [wanted[row] for row in new], patient=patient)
