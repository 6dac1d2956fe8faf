"""From labels to a ranking, off the event loop: the Gaussian process of each target, and what it suggests to look at.

Ranking runs in one thread (the newest request of a target replaces one that waits), fitting the hyper-parameters in
another: the old ones go on ranking meanwhile. Subscribers hear ('ranking', target).

The posteriors of the targets in use stay in memory, within `engine.learning.room.MEMORY_SHARE` of it: the one not used for the
longest time goes first.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import asdict, dataclass, field
from functools import partial

import numpy as np
import torch

from app.background import Latest
from app.changes import Changes
from app.hunt.codes import LabelCodes
from engine.learning import steering
from engine.learning.interest import Interest
from engine.learning.room import MEMORY_SHARE, memory
from engine.learning.scores import Said
from engine.learning.steering import Steering
from engine.survey import Survey

#: Values that the learner makes, one number an object.
RANKED = ("mean", "sd", "acquisition")
#: Objects a ranking suggests in advance.
SUGGESTED = 200


@dataclass(frozen=True)
class Ranking:
    """What the learner says about every object, at one moment.

    Attributes
    ----------
    said : Said
        Mean, sd and acquisition.
    suggested : (n,) int64
        Rows worth a look next, best first; no labelled one among them.
    how : (n,) str
        Why each of them is there, see `engine.learning.batches.HOW`.
    counts : dict
        Labels by value that it knows.
    news : str
        What changed about the model itself, in words; empty if nothing did.
    """

    target: str
    said: Said
    suggested: np.ndarray
    how: np.ndarray
    counts: dict[str, int] = field(default_factory=dict)
    news: str = ""

    @property
    def mean(self) -> np.ndarray:
        """Expected response, (N,) float64."""
        return self.said.mean

    @property
    def sd(self) -> np.ndarray:
        """Its standard deviation, (N,) float64."""
        return self.said.sd

    @property
    def acquisition(self) -> np.ndarray:
        """How much each object is worth a look, (N,) float64."""
        return self.said.acquisition


class Rankings:
    """The newest ranking of every target of a survey."""

    def __init__(self, survey: Survey, codes: LabelCodes, changes: Changes):
        self._survey, self._codes, self._changes = survey, codes, changes
        self._lock = threading.Lock()
        self._ranker = Latest("skysieve-rank")
        self._fitter = Latest("skysieve-fit")
        self._interests: OrderedDict[str, Interest] = OrderedDict()
        self._rankings: dict[str, Ranking] = {}
        self._representation: str | None = None

    def use(self, representation: str | None) -> None:
        """Learn from another representation (None: the newest), beginning with the targets that have a ranking."""
        with self._lock:
            self._representation = representation
            self._interests.clear()
            targets = list(self._rankings)
        for target in targets:
            self.rerank(target)

    def ranking(self, target: str) -> Ranking | None:
        """The newest ranking, or None (one is then being made: wait for 'ranking')."""
        found = self._rankings.get(target)
        if found is None:
            self.rerank(target)
        return found

    def suggestions(self, target: str, n: int) -> np.ndarray:
        """Rows to look at next, best first, none of them labelled; empty until a ranking is there."""
        ranking = self.ranking(target)
        if ranking is None:
            return np.zeros(0, np.int64)
        codes = self._codes.of(target)
        return ranking.suggested[codes[ranking.suggested] == 0][:n]

    def news(self, target: str) -> str:
        """What changed about the model of a target, in words."""
        found = self._rankings.get(target)
        return "" if found is None else found.news

    def drawn(self, target: str, rows: np.ndarray) -> list[str]:
        """Why each object was suggested, see `engine.learning.batches.HOW`; empty of those that were not."""
        found = self._interests.get(target)
        return ["" if found is None else found.drawn(int(row)) for row in rows]

    def steering(self, target: str) -> Steering:
        """How a target's suggestions are chosen."""
        found = self._interests.get(target)
        return steering.read(self._survey, target) if found is None else found.steering

    def steer(self, target: str, **choices) -> None:
        """Choose anew how a target's suggestions are chosen; kept in the survey. Its next ranking goes by it.

        Raises
        ------
        UserError
            If there is no such choice, or it cannot be kept.
        """
        chosen = self.steering(target).changed(**choices)
        steering.keep(self._survey, target, chosen)
        if target in self._interests:
            self._interests[target].steer(**asdict(chosen))
        self._changes.publish("steering", target)
        self.rerank(target)

    def labelled(self, target: str) -> None:
        """Rank a target anew after a label, and those that it keeps artefacts away from."""
        self.rerank(target)
        for name, other in list(self._interests.items()):
            if name != target and other.steering.artefact == target:
                self.rerank(name)

    def rerank(self, target: str) -> None:
        """Rank in the thread."""
        self._ranker.submit(f"rank {target}", partial(self._rank, target))

    def keep(self, ranking: Ranking) -> None:
        """Replace the ranking of a target, and tell."""
        self._rankings[ranking.target] = ranking
        self._changes.publish("ranking", ranking.target)

    def keep_scores(self, target: str) -> None:
        """Write mean, sd and acquisition of a target into the survey, as an export wants them (call it in a thread)."""
        interest = self.interest(target)
        interest.sync()
        interest.store()
        self._changes.publish("scores")

    def interest(self, target: str) -> Interest:
        """The active-learning loop of a target, made on the first call: seconds for a large survey, so in a thread."""
        found = self._interests.get(target)
        if found is None:
            wanted = self._representation
            like = next(iter(self._interests.values()), None)
            found = self._survey.interest(target, representation=wanted, like=like)
            with self._lock:
                if wanted == self._representation:  # else it was changed meanwhile, and is ranked anew
                    found = self._interests.setdefault(target, found)
        return found

    def clear(self) -> None:
        """Begin anew from the newest representation: a command may have made one."""
        with self._lock:
            self._interests.clear()

    def _rank(self, target: str) -> None:
        with self._changes.reporting():
            interest = self.interest(target)
            interest.sync()
            batch = interest.next_batch(min(SUGGESTED, len(self._survey)))
            counts = self._codes.counts(target)
            self.keep(Ranking(target, interest.said(), batch.rows, batch.how, counts, _news(interest)))
            self._let_go(target)
            if interest.needs_refit():
                self._fitter.submit(f"fit {target}", partial(self._fit, target))

    def _fit(self, target: str) -> None:
        with self._changes.reporting():
            self.interest(target).refit()
            self.rerank(target)

    def _let_go(self, target: str) -> None:
        """Drop the targets not used for the longest time, until what is left fits; they are learned anew when wanted."""
        with self._lock:
            if target in self._interests:
                self._interests.move_to_end(target)
            room = MEMORY_SHARE * memory(torch.device("cpu"))
            while len(self._interests) > 1 and sum(kept.nbytes for kept in self._interests.values()) > room:
                dropped, _ = self._interests.popitem(last=False)
                self._rankings.pop(dropped, None)


def _news(interest: Interest) -> str:
    """What the last refit changed, and what is left out, in words."""
    words = []
    if interest.refitted is not None:
        before, after = interest.refitted.before, interest.refitted.after
        words.append(f"model refitted: length {before.length:.2g} → {after.length:.2g}, noise {after.noise:.2g}")
    if interest.left_out:
        words.append(f"{interest.left_out:,} labels left out: no room for more")
    return " · ".join(words)
