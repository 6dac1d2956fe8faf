"""What labels teach: responses for the posterior, and bringing it to what the log says now with as little work as
possible.

yes 1, no 0, a rating r/5; a class teaches the posterior of every class. Of two labels of one object, by one user or two, the
last that stands counts. An "unsure" teaches nothing: see `UNSURE_NOISE`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.learning.labels import Current
from engine.learning.posterior import Posterior
from engine.learning.targets import Target

#: A response from here on counts as a yes when labels must be thinned, and when asking whether anything was found.
FOUND = 0.5


@dataclass(frozen=True)
class Lessons:
    """Labels that teach, in the order in which they were given.

    Attributes
    ----------
    rows : (m,) int64
    responses : (m,) float64
        What the posterior learns; of classes, each one's number.
    """

    rows: np.ndarray
    responses: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, kept: np.ndarray) -> Lessons:
        """Some of them, in order."""
        return Lessons(self.rows[kept], self.responses[kept])


def lessons(current: Current, target: Target, valid: np.ndarray) -> Lessons:
    """What a target's labels teach.

    Parameters
    ----------
    current : Current
        Labels that stand.
    target : Target
    valid : (N,) bool
        Objects that have features.
    """
    if target.kind == "classes":
        number = {name: code for code, name in enumerate(target.classes)}
        responses = np.array(
            [number.get(v, np.nan) if k == "class" else np.nan for v, k in zip(current.values, current.kinds)],
            np.float64,
        )
    else:
        responses = current.responses
    usable = np.isfinite(responses)
    usable[usable] = valid[current.rows[usable]]
    return Lessons(current.rows[usable], responses[usable])


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


def bring(posterior: Posterior, said: Lessons) -> None:
    """Make the posterior hold exactly these labels: append, pop or revise."""
    wanted = dict(zip(said.rows.tolist(), said.responses.tolist()))
    gone = next((i for i, row in enumerate(posterior.rows) if row not in wanted), len(posterior))
    posterior.pop(len(posterior) - gone)
    now = np.array([wanted[row] for row in posterior.rows])
    if not np.array_equal(now, posterior.responses):
        posterior.revise(now)
    held = set(posterior.rows)
    new = [row for row in wanted if row not in held]
    posterior.extend(new, [wanted[row] for row in new])
