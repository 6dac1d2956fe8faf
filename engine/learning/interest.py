"""The loop: labels of one target in, a ranking of the whole survey and the next objects to look at out.

`Interest` joins the label log, the posterior over the survey and an acquisition. The log is the truth: `sync` brings
the posterior to what the log says now, by appending, popping or revising labels (milliseconds), whoever wrote them.
Refitting the hyper-parameters takes seconds and is apart (`needs_refit`, `refit`), so that an application does it in
another thread: the old posterior answers until the new one is ready.

What labels teach is in `engine.learning.lessons`, how a batch is chosen in `engine.learning.batches`, and what one can choose
about it in `engine.learning.steering`. Another target, "artefact" by default, keeps this one away from what is no object of the
sky: what is labelled so is not suggested, and what its posterior takes for an artefact, more than this one's for a find, comes
last. Finds of this target are taken for a no there, lest a few artefacts bury what looks like them.

The defaults were measured on simulated surveys (180 dwarfs of 6,000; share found within 400 labels; radial profiles,
then pixels as representation): plain mean 0.89 and 0.82; with one object in ten exploring 0.86, 0.79, and more where
the rare kind falls into several clumps; expected improvement 0.85, 0.21: with yes and no, nothing improves on a yes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch

from engine.errors import UserError
from engine.learning import acquisition as acquisitions
from engine.learning import dirichlet, kernels, scores, steering
from engine.learning import features as seen
from engine.learning import targets as declared
from engine.learning.batches import Batch, Situation, next_batch
from engine.learning.dirichlet import ClassPosterior
from engine.learning.kernels import Refit
from engine.learning.labels import Current, LabelLog, parse_value
from engine.learning.leaders import RISING, leaders_by
from engine.learning.lessons import FOUND, Lessons, bring, lessons, thinned
from engine.learning.posterior import Posterior
from engine.learning.room import most_labels
from engine.learning.steering import Steering
from engine.survey import COMPONENTS, Representation, Survey, check_name

#: Hyper-parameters are refitted when the number of labels has grown by this share, and by `REFIT_LEAST`.
REFIT_SHARE = 0.2
REFIT_LEAST = 5
#: Score in which the survey keeps how strange each object is.
OUTLIER = "outlier"


class Interest:
    """The active-learning loop for one target; see the module. May be shared by threads.

    Parameters
    ----------
    survey : Survey
    target : str
        What is looked for.
    representation : str, optional
        The newest if not given.
    components : int, default 40
        Principal components the model sees (40 worked best in Walmsley et al. 2022); see `features`.
    kernel : {"rational-quadratic", "matern", "rbf"}
    acquisition, explore, surprise, batch, cold_start, hunted, artefact : optional
        How batches are chosen, see `engine.learning.steering.Steering`. What is not given is as kept for the target in the
        survey, else by default (with a `log` of its own: by default).
    options : dict, optional
        Options of the acquisition, such as ``{"tradeoff": 0.1}``.
    device : str, optional
        Where to compute; an NVIDIA card if there is one, else the CPU.
    seed : int
        Of the exploring part; the same labels and seed give the same suggestions.
    log : LabelLog, optional
        Where the labels are: the survey's own log if not given. A rehearsal brings one of its own, and leaves the
        survey as it was.
    like : Interest, optional
        Another one of the same survey: features are shared with it, if it sees the same.
    against : str, optional
        Another target, whose finds are taken for a no here: what is a dwarf is no artefact.

    Attributes
    ----------
    refitted : Refit, optional
        What the last new hyper-parameters changed; None before the first.
    left_out : int
        Labels that the model does not learn from because there are more than it has room and time for.

    Raises
    ------
    UserError
        If there is no such representation, kernel, acquisition or device.
    """

    def __init__(
        self,
        survey: Survey,
        target: str,
        *,
        representation: str | None = None,
        components: int = COMPONENTS,
        kernel: str = "rational-quadratic",
        acquisition: str | None = None,
        explore: float | None = None,
        surprise: float | None = None,
        batch: str | None = None,
        cold_start: str | None = None,
        hunted: str | None = None,
        artefact: str | None = None,
        options: dict | None = None,
        device: str | None = None,
        seed: int = 0,
        log: LabelLog | None = None,
        like: Interest | None = None,
        against: str = "",
    ):
        self.log = survey.labels if log is None else log
        self.survey, self.target, self._against = survey, check_name(target), against
        found = survey.representation(representation)
        self.representation = found.name
        self.valid = np.asarray(found.valid, bool)
        self.steering = (steering.read(survey, target) if log is None else Steering()).changed(
            acquisition=acquisition,
            explore=explore,
            surprise=surprise,
            batch=batch,
            cold_start=cold_start,
            hunted=hunted,
            artefact=artefact,
        )
        self.seed, self._options = seed, dict(options or {})
        self._lock, self._fitting = threading.RLock(), threading.Lock()
        self._components, self._family = components, kernel
        shared = self._shared(like, device)
        self._features = shared if shared is not None else _features(found, components, device)
        self.classes: tuple[str, ...] = ()
        self._posterior: Posterior | ClassPosterior = self._model()
        self._labelled = np.zeros(len(survey), bool)
        self._artefacts: Interest | None = None
        self._drawn: dict[int, str] = {}
        self._version, self._fitted = -1, 0
        self.refitted: Refit | None = None
        self.left_out = 0
        self.sync()
        if self.needs_refit():
            self.refit()

    def _model(self) -> Posterior | ClassPosterior:
        """An untaught model with hyper-parameters to start from: of a target's classes, or of its responses."""
        kernel = kernels.prior(self._family, self._features.shape[1])
        if not self.classes:
            return Posterior(self._features, kernel)
        return ClassPosterior(self._features, [kernel] * len(self.classes), hunted=self._hunted())

    def _hunted(self) -> int:
        """Number of the class that is looked for."""
        return self.classes.index(self.steering.hunted) if self.steering.hunted in self.classes else 0

    @property
    def _most(self) -> int:
        """Labels that there is room and time for."""
        return most_labels(len(self._features), self._features.device, outputs=max(len(self.classes), 1))

    def _shared(self, like: Interest | None, device: str | None) -> torch.Tensor | None:
        """Features in memory already, if they are the same."""
        if like is None or device is not None or self._sees() != like._sees():
            return None
        return like._features

    def _sees(self) -> tuple:
        return self.survey.path, self.representation, self._components

    def __repr__(self) -> str:
        yes = int((self._posterior.responses >= FOUND).sum())
        return f"<Interest in {self.target!r}: {len(self._posterior):,} labels, {yes:,} yes, {self.representation}>"

    # -- what it says -------------------------------------------------------------------------------------------------

    @property
    def kernel(self) -> kernels.Kernel:
        """The kernel and its hyper-parameters."""
        return self._posterior.kernel

    @property
    def mean(self) -> np.ndarray:
        """Expected response of every object (yes 1, no 0, rating / 5), (N,) float64, NaN if pixels were unreadable."""
        with self._lock:
            return self._known(self._posterior.mean)

    @property
    def sd(self) -> np.ndarray:
        """Its standard deviation, label noise included, (N,) float64."""
        with self._lock:
            return self._known(self._posterior.sd)

    def acquisition(self) -> np.ndarray:
        """How much each object is worth a look, (N,) float64; higher is better."""
        with self._lock:
            return self._known(self._acquire(self._posterior))

    def _known(self, values: np.ndarray) -> np.ndarray:
        return np.where(self.valid, values, np.nan)

    def _acquire(self, model: Posterior | ClassPosterior, name: str = "") -> np.ndarray:
        """The acquisition of a model's objects: this survey's, or some of it thought ahead."""
        name = name or self.steering.acquisition
        if isinstance(model, ClassPosterior) and name in ("entropy", "bald"):
            return model.entropy() if name == "entropy" else model.disagreement()
        noise = {"noise": model.kernel.noise} if name == "bald" else {}
        return acquisitions.choose(name)(model.mean, model.sd, best=self._best(), **noise, **self._options)

    def _best(self) -> float:
        """The largest response so far."""
        return float(self._posterior.responses.max(initial=0.0))

    def said(self) -> scores.Said:
        """Mean, sd and acquisition as they are now, for who keeps them; see `engine.learning.scores.Said`."""
        with self._lock:
            name, mean, sd = self.steering.acquisition, self.mean, self.sd
            if name == "random" or (isinstance(self._posterior, ClassPosterior) and name in ("entropy", "bald")):
                everything = self._known(self._acquire(self._posterior))
                told = scores.Said(mean, sd, lambda _mean, _sd: everything)
                assert told.acquisition is everything  # not elementwise: it is of all objects, from now on
                return told
            noise = {"noise": self.kernel.noise} if name == "bald" else {}
            return scores.Said(
                mean, sd, partial(acquisitions.choose(name), best=self._best(), **noise, **self._options)
            )

    @property
    def nbytes(self) -> int:
        """Bytes of memory that its models take; features are shared."""
        other = self._artefacts
        return self._posterior.nbytes + (0 if other is None else other.nbytes)

    @property
    def found(self) -> bool:
        """Whether there is a yes to learn from."""
        with self._lock:
            return bool((self._posterior.responses >= FOUND).any())

    def steer(self, **choices) -> Steering:
        """Choose anew how batches are chosen; see `engine.learning.steering.Steering`. Nothing is kept in the survey."""
        with self._lock:
            self.steering = self.steering.changed(**choices)
            if isinstance(self._posterior, ClassPosterior):
                self._posterior.hunted = self._hunted()
            return self.steering

    def probabilities(self) -> np.ndarray:
        """Probability of each class of the target, (N, C) float32 in the order of `classes`, NaN where pixels were unreadable.

        Raises
        ------
        UserError
            If the target has no classes.
        """
        with self._lock:
            self.sync()
            if not isinstance(self._posterior, ClassPosterior):
                raise UserError(f"{self.target!r} has no classes", "label it with classes, or declare them")
            return np.where(self.valid[:, None], self._posterior.probabilities(), np.float32(np.nan))

    # -- labels -------------------------------------------------------------------------------------------------------

    def label(self, labels: Mapping[str, Any], *, user: str, comment: str | None = None) -> None:
        """Write labels to the log, and learn from them.

        Parameters
        ----------
        labels : mapping
            id → value, as `engine.learning.labels.parse_value` reads it. Numbers are ratings 0-5 if one of them is
            larger than 1, or if the target has been rated before.
        user : str
        comment : str, optional
        """
        if not labels:
            return
        rows = self.survey.rows(labels)
        self.log.add(
            rows,
            self.target,
            self._values(labels),
            ids=labels,
            user=user,
            comment=comment,
            representation=self.representation,
            view=[{"drawn": self.drawn(row)} if self.drawn(row) else None for row in rows.tolist()],
        )
        self.sync()
        if self.needs_refit():
            self.refit()

    def drawn(self, row: int) -> str:
        """Why an object was suggested, one of `engine.learning.batches.HOW`; empty if it was not. Kept with its label."""
        return self._drawn.get(row, "")

    def _values(self, labels: Mapping[str, Any]) -> list[str]:
        """Values as text, with numbers read as verdicts or as ratings."""
        values = list(labels.values())
        numbers = [v for v in values if not isinstance(v, (str, bool, np.bool_))]
        rated = any(parse_value(v)[1] == "rating" for v in numbers)
        if numbers and not rated:
            rated = "rating" in self.log.current(self.target).kinds
        return [parse_value(str(int(v)) if rated and any(v is n for n in numbers) else v)[0] for v in values]

    def sync(self) -> bool:
        """Learn what the log says now.

        Returns
        -------
        bool
            True if there was anything new.
        """
        with self._lock:
            version = self.log.version
            if version == self._version:
                return False
            current = self.log.current(self.target)
            self._labelled[:] = False
            self._labelled[current.rows] = True
            target = declared.read(self.survey, self.target, current)
            if target.classes != self.classes:
                self.classes, self._fitted = target.classes, 0
                self._posterior = self._model()
            bring(self._posterior, self._taught(current, target, self._posterior.rows, self._most))
            self._version = version
            return True

    def _taught(self, current: Current, target: declared.Target, held: list[int], most: int) -> Lessons:
        """Labels to learn from: all that say something, or as many as fit, keeping those that the posterior holds."""
        said = lessons(current, target, self.valid)
        if self._against:
            said = said.and_against(self._finds(self._against))
        yes = said.responses == self._hunted() if self.classes else said.responses >= FOUND
        self.left_out = max(0, len(said) - self._most)
        return thinned(said, held, most, yes)

    def _finds(self, name: str) -> np.ndarray:
        """Rows labelled as what another target looks for, or as any of its classes."""
        current = self.log.current(name)
        target = declared.read(self.survey, name, current)
        said = lessons(current, target, self.valid).certain
        return said.rows if target.kind == "classes" else said.rows[said.responses >= FOUND]

    # -- hyper-parameters ---------------------------------------------------------------------------------------------

    def needs_refit(self) -> bool:
        """Whether there are enough new labels for new hyper-parameters to be worth their seconds."""
        with self._lock:
            new = abs(len(self._posterior) - self._fitted)
            return self._tells() and new >= max(REFIT_LEAST, REFIT_SHARE * self._fitted)

    def _tells(self) -> bool:
        """Whether labels say anything about how far one reaches: a yes, or two classes."""
        model = self._posterior
        return len(np.unique(model.codes)) > 1 if isinstance(model, ClassPosterior) else self.found

    def refit(self) -> None:
        """Fit the hyper-parameters anew and recompute the posterior: seconds; others may use this object meanwhile."""
        with self._fitting:
            with self._lock:
                current = self.log.current(self.target)
                target = declared.read(self.survey, self.target, current)
                said = self._taught(current, target, [], int(0.8 * self._most))
                classes = self.classes
            if target.classes != classes:  # they are new: the next sync begins with them
                return
            fresh = self._fitted_model(said.certain)
            bring(fresh, said, patient=True)
            with self._lock:
                if self.classes == classes:
                    self.refitted = Refit(self._posterior.kernel, fresh.kernel, len(said))
                    self._posterior, self._fitted, self._version = fresh, len(said), -1
                self.sync()
            if self._artefacts is not None and self._artefacts.needs_refit():
                self._artefacts.refit()

    def _fitted_model(self, said: Lessons) -> Posterior | ClassPosterior:
        """A model with hyper-parameters fitted to lessons, not yet taught."""
        x = self.seen(said.rows)
        if not self.classes:
            return Posterior(self._features, kernels.fit(x, said.responses, family=self._family))
        fitted, shares = dirichlet.fit(x, said.responses, len(self.classes), family=self._family)
        return ClassPosterior(self._features, fitted, shares=shares, hunted=self._hunted())

    # -- what next ----------------------------------------------------------------------------------------------------

    def next_batch(self, n: int = 10, **choices) -> Batch:
        """The objects to look at next, and why each: none is labelled, and every one was readable.

        Parameters
        ----------
        n : int
        **choices
            Steering of this batch only, such as ``batch="diverse"``; see `engine.learning.steering.Steering`.

        Returns
        -------
        Batch
        """
        with self._lock:
            self.sync()
            how, model = self.steering.changed(**choices), self._posterior
            mean = model.mean
            free, shunned = self._free(how.artefact, mean)
            now = Situation(
                model,
                self._scores(model, mean, how, free if shunned is None else free & ~shunned, n),
                partial(self._acquire, name=how.acquisition),
                free,
                self._features[:, 0].cpu().numpy(),
                self.found,
                shunned,
                self._outlying() if how.cold_start == "outliers" and not self.found else None,
            )
            batch = next_batch(now, n, how, np.random.default_rng([self.seed, len(model)]))
            self._drawn.update(zip(batch.rows.tolist(), batch.how.tolist()))
            return batch

    def _scores(self, model, mean: np.ndarray, how: Steering, clear: np.ndarray, n: int) -> np.ndarray:
        """The acquisition of every object, or of as many as can be in the batch, and −∞ for the others."""
        if how.acquisition == "mean":
            return mean
        enough = 2 * n  # some of the best may be drawn by chance before
        if how.acquisition not in RISING or how.batch == "diverse" or np.count_nonzero(clear) < enough:
            return self._acquire(model, how.acquisition)
        score = partial(acquisitions.choose(how.acquisition), best=self._best(), **self._options)
        rows, found = leaders_by(score, mean, model.sd, enough, allowed=clear)
        scores = np.full(len(mean), -np.inf)
        scores[rows] = found
        return scores

    def next_rows(self, n: int = 10, *, diverse: bool | None = None) -> np.ndarray:
        """Rows to look at next, (≤ n,) int64, the most wanted first; see `next_batch`.

        Parameters
        ----------
        n : int
        diverse : bool, optional
            None: as steered. True: a kriging-believer batch of the acquisition. False: its plain top, as published.
        """
        plain: dict[str, Any] = {"explore": 0.0, "surprise": 0.0, "batch": "diverse" if diverse else "best"}
        return self.next_batch(n, **({} if diverse is None else plain)).rows

    def _free(self, artefact: str, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Objects that may be suggested, and which of them are likelier artefacts than finds."""
        free = self.valid & ~self._labelled
        if not artefact or artefact == self.target:
            return free, None
        rows = self._finds(artefact)
        if not len(rows):
            self._artefacts = None
            return free, None
        free[rows] = False
        if self._artefacts is None or self._artefacts.target != artefact:
            self._artefacts = Interest(
                self.survey,
                artefact,
                representation=self.representation,
                components=self._components,
                kernel=self._family,
                artefact="",
                against=self.target,
                seed=self.seed,
                log=self.log,
                like=self,
            )
        with self._artefacts.held() as other:
            blemished = other.mean
        return free, (blemished >= FOUND) & (blemished > mean)

    @contextmanager
    def held(self) -> Iterator[Posterior | ClassPosterior]:
        """The model, up to date with the log, and left alone by other threads as long as it is held."""
        with self._lock:
            self.sync()
            yield self._posterior

    def seen(self, rows: np.ndarray) -> np.ndarray:
        """What the model sees of some objects, (n, d) float64."""
        index = torch.from_numpy(np.asarray(rows, np.int64)).to(self._features.device)
        return self._features[index].cpu().double().numpy()

    def _outlying(self) -> np.ndarray | None:
        return np.asarray(self.survey.score(OUTLIER)) if OUTLIER in self.survey.scores else None

    # -- tables -------------------------------------------------------------------------------------------------------

    def suggest(self, n: int = 10, diverse: bool | None = None) -> pd.DataFrame:
        """The next objects to look at: id, row, mean, sd, acquisition, drawn, ra, dec; see `next_rows`."""
        with self._lock:
            table = self._table(self.next_rows(n, diverse=diverse))
            table.insert(5, "drawn", [self._drawn[row] for row in table["row"]])
            return table

    def ranking(self) -> pd.DataFrame:
        """All objects that were readable, the most interesting first, as `suggest` has them and with their label.

        Labelled objects are in it: a precision quoted from a ranking should say whether it counts them.
        """
        with self._lock:
            self.sync()
            table = self._table(acquisitions.top(self._posterior.mean, len(self.survey), allowed=self.valid))
            current = self.log.current(self.target)
            labels = pd.Series(current.values, index=current.rows, dtype=object)
            table["label"] = labels.reindex(table["row"]).to_numpy()
            return table

    def _table(self, rows: np.ndarray) -> pd.DataFrame:
        table = self.survey.table(rows, ["id", "ra", "dec"])
        added = {"row": rows, "mean": self.mean[rows], "sd": self.sd[rows], "acquisition": self.acquisition()[rows]}
        if self.classes:
            chances = self.probabilities()[rows]
            added |= {f"p {name}": chances[:, code] for code, name in enumerate(self.classes)}
        for place, (name, values) in enumerate(added.items(), start=1):
            table.insert(place, name, values)
        return table

    def store(self) -> None:
        """Keep mean, sd and acquisition as scores of the survey, up to date with the log; see `engine.learning.scores`."""
        with self._lock:
            self.sync()
            said = {"mean": self.mean, "sd": self.sd, "acquisition": self.acquisition()}
            event = self._version
        scores.keep(self.survey, self.target, said, event=event, representation=self.representation)


def _features(found: Representation, components: int, device: str | None) -> torch.Tensor:
    """What the model sees of a representation, where it computes."""
    return torch.from_numpy(seen.features(found, components)).to(seen.device(device))
