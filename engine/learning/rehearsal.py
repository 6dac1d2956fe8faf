"""A hunt rehearsed: where the truth is known, an oracle labels in place of a person, and what is found is counted.

`rehearse` runs the very loop that a person uses, `engine.learning.interest.Interest`, on a label log of its own (the
survey is left as it was), or one of the published loops in `engine.learning.rivals` under the same rules: the same batches,
the same oracle, no object twice. What comes back is the order in which objects were shown.

Cost: that of the loop. 200 labels in batches of 10 on 5,000 objects take about 3 s of one core, on a million about a
minute; the published loops take several times as long, since they refit and predict after each batch.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from engine.errors import UserError
from engine.jobs import Progress, silent
from engine.learning import rivals
from engine.learning.interest import Interest
from engine.learning.labels import TOP_RATING, LabelLog
from engine.survey import Survey

#: Our own loop among the methods.
OURS = "skysieve"
#: What a rehearsal calls the target in its log, and who labels there.
TARGET, ORACLE = "rehearsed", "oracle"


class Hunter(Protocol):
    """A way to choose what to look at next."""

    def propose(self, count: int) -> np.ndarray:
        """Rows to look at next, (≤ count,) int64, the most wanted first; none of them learned before."""
        ...

    def learn(self, rows: np.ndarray, ratings: np.ndarray) -> None:
        """Take the oracle's word on some rows, ratings from 0 to 5 (yes is 5, no is 0)."""
        ...


@dataclass(frozen=True)
class Rehearsal:
    """What a rehearsed hunt found.

    Attributes
    ----------
    method : str
    seed : int
    rows : (m,) int64
        The objects in the order in which they were shown.
    hits : (m,) bool
        Which of them were what is hunted.
    total : int
        How many of those the survey holds.
    """

    method: str
    seed: int
    rows: np.ndarray
    hits: np.ndarray
    total: int

    @property
    def found(self) -> np.ndarray:
        """Found within the first 0, 1, … m labels, (m + 1,) int64."""
        return np.concatenate([[0], np.cumsum(self.hits)])

    def within(self, labels: int) -> int:
        """Found within so many labels, or within all if there were fewer."""
        return int(self.found[min(labels, len(self.rows))])


def rehearse(
    survey: Survey,
    truth: np.ndarray,
    *,
    method: str = OURS,
    labels: int = 200,
    batch: int = 10,
    seed: int = 0,
    ratings: np.ndarray | None = None,
    representation: str | None = None,
    progress: Progress = silent,
    **options,
) -> Rehearsal:
    """Hunt with an oracle in place of the person.

    Parameters
    ----------
    survey : Survey
        Needs a representation; its label log is neither read nor written.
    truth : (N,) bool
        What is hunted.
    method : str
        ``"skysieve"`` or a key of `engine.learning.rivals.RIVALS`.
    labels : int
        How many objects the oracle labels.
    batch : int
        Objects shown at once.
    seed : int
        Decides cold starts, ties and whatever else is left to chance.
    ratings : (N,) int, optional
        What the oracle says, 0 to 5; if not given it says yes and no.
    representation : str, optional
        The newest if not given.
    **options
        Of `Interest` (acquisition, explore, kernel, …), or of the published loop.

    Returns
    -------
    Rehearsal

    Raises
    ------
    UserError
        If the truth is not one value an object, nothing is hunted, or there is no such method.
    """
    truth = _checked(truth, len(survey))
    said = np.where(truth, TOP_RATING, 0) if ratings is None else np.asarray(ratings, np.int64)
    if len(said) != len(truth) or said.min() < 0 or said.max() > TOP_RATING:
        raise UserError("these are no ratings of the survey's objects", f"give one from 0 to {TOP_RATING} an object")
    with tempfile.TemporaryDirectory(prefix="skysieve-rehearsal-") as folder:
        if method == OURS:
            hunter: Hunter = _Ours(survey, Path(folder), ratings is not None, representation, seed, options)
        else:
            hunter = rivals.make(method, survey.representation(representation), seed=seed, **options)
        rows = _run(hunter, said, labels, batch, progress)
        if isinstance(hunter, _Ours):
            hunter.log.close()
    return Rehearsal(method, seed, rows, truth[rows], int(truth.sum()))


def _checked(truth: np.ndarray, n: int) -> np.ndarray:
    truth = np.asarray(truth)
    if truth.shape != (n,) or truth.dtype != bool:
        raise UserError(f"the truth has shape {truth.shape} and type {truth.dtype}", f"give {n:,} times true or false")
    if not truth.any():
        raise UserError("nothing in this survey is what is hunted", "loosen the condition that says what is")
    return truth


def _run(hunter: Hunter, said: np.ndarray, labels: int, batch: int, progress: Callable) -> np.ndarray:
    shown: list[int] = []
    while len(shown) < labels:
        rows = hunter.propose(min(batch, labels - len(shown)))
        if not len(rows):  # everything was looked at
            break
        shown += rows.tolist()
        hunter.learn(rows, said[rows])
        progress(len(shown), labels, "rehearsing")
    return np.array(shown, np.int64)


class _Ours:
    """The loop that the app and the commands run, with the oracle's labels in a log in `folder`."""

    def __init__(self, survey: Survey, folder: Path, rated: bool, representation: str | None, seed: int, options: dict):
        self.log = LabelLog(folder / "labels.sqlite")
        self.rated = rated
        self.interest = Interest(survey, TARGET, representation=representation, seed=seed, log=self.log, **options)

    def propose(self, count: int) -> np.ndarray:
        return self.interest.next_rows(count)

    def learn(self, rows: np.ndarray, ratings: np.ndarray) -> None:
        values = [str(r) if self.rated else ("yes" if r else "no") for r in ratings.tolist()]
        self.log.add(rows, TARGET, values, ids=[str(row) for row in rows.tolist()], user=ORACLE)
        self.interest.sync()
        if self.interest.needs_refit():
            self.interest.refit()


# -- many of them -----------------------------------------------------------------------------------------------------


def repeats(
    survey: Survey,
    truth: np.ndarray,
    *,
    called: str,
    methods: Sequence[str],
    seeds: Iterable[int],
    keep: Path | None = None,
    labels: int = 200,
    batch: int = 10,
    progress: Progress = silent,
    **options,
) -> list[Rehearsal]:
    """Rehearse several methods from several seeds; an isolation forest with each of its settings.

    Parameters
    ----------
    called : str
        What the truth is called in the file.
    keep : path, optional
        JSON lines, one a hunt, written as each ends. Hunts that it has, of the same survey, truth, labels and batch, are read
        from it: an interrupted run goes on where it was.
    **options
        See `rehearse`.

    Returns
    -------
    list of Rehearsal
        By method (those of a forest called ``isolation-forest SETTING``), then seed.
    """
    known = _read_kept(keep)
    wanted = [(name, method, setting, seed) for name, method, setting in _settings(methods) for seed in seeds]
    runs = []
    for number, (name, method, setting, seed) in enumerate(wanted):
        key = _key(survey, called, name, seed, labels, batch, options.get("representation"))
        if key not in known:
            done = rehearse(
                survey, truth, method=method, labels=labels, batch=batch, seed=seed, **{**options, **setting}
            )
            known[key] = (done.rows.tolist(), done.hits.tolist())
            if keep is not None:
                _append_kept(keep, key, known[key])
        rows, hits = known[key]
        runs.append(Rehearsal(name, seed, np.array(rows, np.int64), np.array(hits, bool), int(truth.sum())))
        progress(number + 1, len(wanted), "rehearsing")
    return runs


def summary(runs: Sequence[Rehearsal], labels: Sequence[int]) -> list[dict]:
    """Mean found within so many labels, and its standard error, a dict a method; of a forest's settings the best one.

    The best is that of most found within the last number of labels: chosen knowing the answer, to the forest's advantage.
    """
    rows: dict[str, dict] = {}
    for name in dict.fromkeys(run.method for run in runs):
        found = np.array([[run.within(n) for n in labels] for run in runs if run.method == name], float)
        error = found.std(axis=0, ddof=1) / np.sqrt(len(found)) if len(found) > 1 else np.full(len(labels), np.nan)
        method, _, setting = name.partition(" ")
        row = {"method": method, "repeats": len(found), "found": found.mean(axis=0).tolist(), "error": error.tolist()}
        row |= {"setting": setting} if setting else {}
        if method not in rows or row["found"][-1] > rows[method]["found"][-1]:
            rows[method] = row
    return list(rows.values())


def _settings(methods: Sequence[str]) -> list[tuple[str, str, dict]]:
    """Name, method and options of what is to be rehearsed."""
    wanted: list[tuple[str, str, dict]] = []
    for method in methods:
        if method != rivals.FOREST:
            wanted.append((method, method, {}))
            continue
        for features in rivals.FOREST_FEATURES:
            for trees, samples in rivals.FOREST_SETTINGS:
                setting = {"features": features, "trees": trees, "samples": samples}
                wanted.append((f"{method} {features}, {trees} trees of {samples}", method, setting))
    return wanted


def _key(survey: Survey, called: str, name: str, seed: int, labels: int, batch: int, representation) -> tuple:
    found = representation or survey.representations[0]
    return (survey.name, len(survey), found, called, name, seed, labels, batch)


def _read_kept(keep: Path | None) -> dict[tuple, tuple[list, list]]:
    """Hunts of a file; a last line that was cut off by a kill is left out."""
    known: dict[tuple, tuple[list, list]] = {}
    if keep is None or not keep.exists():
        return known
    for line in keep.read_text(encoding="utf-8").splitlines():
        try:
            said = json.loads(line)
            known[tuple(said["key"])] = (said["rows"], said["hits"])
        except (ValueError, KeyError, TypeError):
            continue
    return known


def _append_kept(keep: Path, key: tuple, hunt: tuple[list, list]) -> None:
    keep.parent.mkdir(parents=True, exist_ok=True)
    broken = keep.exists() and keep.stat().st_size and not keep.read_bytes().endswith(b"\n")
    with keep.open("a", encoding="utf-8") as stream:
        rows, hits = hunt
        line = json.dumps({"key": list(key), "rows": rows, "hits": [int(h) for h in hits]})
        stream.write(("\n" if broken else "") + line + "\n")
