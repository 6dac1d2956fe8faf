"""Scores of strangeness: computed, kept, and joined into one.

A method gives every object a number, the higher the stranger, kept as the score ``outlier_METHOD``; beside it lies
``outliers/METHOD.json`` with the representation and the settings that it comes from. Their units have nothing in
common, so the joint score ``outlier`` is a mean of ranks: the share of the survey that is less strange, averaged over
the methods that are kept for the representation. An object without a vector has NaN in all of them.

Cost: see the methods; 1,000,000 objects take minutes, most of them the neighbours if nobody has asked for them
before, and memory for a few numbers an object.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine import device as devices
from engine import files
from engine.errors import UserError
from engine.jobs import Progress, silent
from engine.maps.components import principal_axes

if TYPE_CHECKING:
    from engine.survey import Representation, Survey

#: Name of the joint score, and what the others begin with.
JOINT, PREFIX = "outlier", "outlier_"
FOLDER = "outliers"
#: Neighbours that density is judged by: as many as layouts ask for.
NEIGHBOURS = 15
#: Fewest objects with a vector that can be compared.
FEWEST = 5


@dataclass(frozen=True)
class Task:
    """What a method is given."""

    survey: Survey
    representation: Representation
    valid: np.ndarray
    neighbours: int
    device: str | None
    seed: int
    progress: Progress


@dataclass(frozen=True)
class Method:
    """A way to find what is strange.

    Attributes
    ----------
    title : str
        What people call it.
    words : str
        What it finds, in a sentence.
    run : callable
        Task → (N,) float scores, and its settings.
    """

    title: str
    words: str
    run: Callable[[Task], tuple[np.ndarray, dict]]


@dataclass(frozen=True)
class Made:
    """A score that is kept: of which method, from what, and with which settings.

    Attributes
    ----------
    method : str
        A key of `METHODS`, or `JOINT`.
    representation : str
    identity : str
        Of the representation's encoder: another one under the same name makes the score stale.
    settings : dict
    seconds : float
    """

    method: str
    representation: str
    identity: str
    settings: dict
    seconds: float

    @property
    def score(self) -> str:
        """Name of the score."""
        return score_name(self.method)


def _isolation(task: Task) -> tuple[np.ndarray, dict]:
    from engine.outliers.isolation import SEEN, TREES, isolation

    found = task.representation.components()
    score = isolation(found, task.valid, seed=task.seed, progress=task.progress)
    return score, {"components": found.shape[1], "trees": TREES, "objects a tree": SEEN, "seed": task.seed}


def _from_graph(task: Task, score: Callable) -> tuple[np.ndarray, dict]:
    from engine.maps.neighbours import neighbours

    k = min(task.neighbours, int(task.valid.sum()) - 1)
    graph = neighbours(task.survey, task.representation.name, k=k, device=task.device, progress=task.progress)
    meta = files.read_json(task.survey.path / "neighbours" / task.representation.name / "meta.json")
    return score(graph), {"neighbours": k, "graph": meta["method"]}


def _lof(task: Task) -> tuple[np.ndarray, dict]:
    from engine.outliers.density import local_outlier_factor

    return _from_graph(task, local_outlier_factor)


def _knn(task: Task) -> tuple[np.ndarray, dict]:
    from engine.outliers.density import mean_distance

    return _from_graph(task, mean_distance)


def _reconstruction(task: Task) -> tuple[np.ndarray, dict]:
    from engine.outliers import residual

    encoder = residual.autoencoder_of(task.survey, task.representation)
    if encoder is None:
        score, kept = residual.plane_residual(task.representation.vectors, task.valid, progress=task.progress)
        return score, {"of": "vectors", "components kept": kept, "variance kept": residual.KEPT}
    device = devices.choose(task.device)
    score = residual.pixel_residual(task.survey, encoder, task.valid, device=device, progress=task.progress)
    return score, {"of": "pixels", "decoder": encoder.name}


def _mahalanobis(task: Task) -> tuple[np.ndarray, dict]:
    from engine.outliers.spread import BULK, SAMPLE, mahalanobis

    found = task.representation.components()
    score = mahalanobis(found, task.valid, seed=task.seed, progress=task.progress)
    return score, {"components": found.shape[1], "bulk": BULK, "sample": SAMPLE, "seed": task.seed}


METHODS = {
    "isolation": Method("Isolation forest", "What a few random cuts part from all the rest.", _isolation),
    "lof": Method("Local outlier factor", "What lies alone beside a dense place.", _lof),
    "knn": Method("Neighbour distance", "What has no near neighbour.", _knn),
    "reconstruction": Method(
        "Reconstruction error",
        "What the autoencoder draws badly; without one, what the main components leave out.",
        _reconstruction,
    ),
    "mahalanobis": Method("Mahalanobis distance", "What is far from the bulk, in units of its spread.", _mahalanobis),
}


def outliers(
    survey: Survey,
    methods: Sequence[str] | None = None,
    *,
    representation: str | None = None,
    neighbours: int = NEIGHBOURS,
    device: str | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> list[Made]:
    """Compute scores of strangeness and keep them in the survey.

    Parameters
    ----------
    survey : Survey
    methods : names, optional
        Of `METHODS`; all of them if not given.
    representation : str, optional
        The newest if not given.
    neighbours : int
        For lof and knn; the graph is shared with layouts as long as it has no more.
    device : str, optional
        Where neighbours and reconstructions are computed; the best present if not given.
    seed : int

    Returns
    -------
    list of Made
        The scores that were computed, and the joint one.

    Raises
    ------
    UserError
        If there is no such method or representation, fewer than `FEWEST` objects have a vector, or all vectors are
        the same.
    """
    chosen = list(dict.fromkeys(METHODS if methods is None else methods))
    for name in chosen or [""]:
        if name not in METHODS:
            raise UserError(f"there is no outlier method {name!r}", f"choose among: {', '.join(METHODS)}")
    if neighbours < 2:
        raise UserError(f"{neighbours} neighbours say nothing of a density", "ask for at least 2")
    found = survey.representation(representation)
    valid = np.array(found.valid, bool)
    _check(survey, found, valid)
    task = Task(survey, found, valid, neighbours, device, seed, progress)
    made = [_kept(task, name) for name in chosen]
    return [*made, join(survey, found.name)]


def _check(survey: Survey, found: Representation, valid: np.ndarray) -> None:
    count = int(valid.sum())
    if count < FEWEST:
        raise UserError(
            f"only {count} objects of {survey.path} have a vector in {found.name!r}",
            f"outliers need at least {FEWEST}: embed more objects",
        )
    if principal_axes(found.vectors, valid, 1).variance[0] <= 0:
        raise UserError(
            f"all vectors of {found.name!r} are the same", "nothing is strange in it: embed with another encoder"
        )


def _kept(task: Task, name: str) -> Made:
    """Compute one score and keep it; what says where it is from comes last."""
    started = time.monotonic()
    score, settings = METHODS[name].run(task)
    found = task.representation
    made = Made(name, found.name, _identity(found), settings, round(time.monotonic() - started, 3))
    _write(task.survey, made, np.where(task.valid, score, np.nan))
    return made


def join(survey: Survey, representation: str) -> Made:
    """Make the joint score of all methods that are kept for a representation: the mean of their ranks, from 0 to 1.

    Raises
    ------
    UserError
        If there is none.
    """
    started = time.monotonic()
    names = [made.method for made in kept(survey) if made.representation == representation and made.method != JOINT]
    if not names:
        raise UserError(
            f"no outlier score of {representation!r} is kept", f"run `python -m engine outliers {survey.path}`"
        )
    total, count = np.zeros(len(survey)), np.zeros(len(survey), np.int32)
    for name in names:
        share = ranks(survey.score(score_name(name)))
        known = np.isfinite(share)
        total[known] += share[known]
        count += known
    joint = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    found = survey.representation(representation)
    made = Made(JOINT, representation, _identity(found), {"mean rank of": names}, round(time.monotonic() - started, 3))
    _write(survey, made, joint)
    return made


def ranks(score: np.ndarray) -> np.ndarray:
    """Share of the other objects that have a lower score, (N,) float64, equal ones counted half; NaN stays NaN."""
    from scipy.stats import rankdata

    known = np.isfinite(score)
    share = np.full(len(score), np.nan)
    share[known] = (rankdata(np.asarray(score)[known]) - 1) / max(int(known.sum()) - 1, 1)
    return share


def kept(survey: Survey) -> list[Made]:
    """The scores of strangeness that a survey has, in the order of `METHODS`, the joint one first.

    Scores of a representation that is gone, or was made anew by another encoder, are left out.
    """
    scores, found = set(survey.scores), []
    identities: dict[str, str] = {}
    for name in (JOINT, *METHODS):
        place = survey.path / FOLDER / f"{name}.json"
        if score_name(name) not in scores or not place.is_file():
            continue
        made = _read(place)
        if made is None or made.representation not in survey.representations:
            continue
        if made.representation not in identities:
            identities[made.representation] = _identity(survey.representation(made.representation))
        if made.identity == identities[made.representation]:
            found.append(made)
    return found


def score_name(method: str) -> str:
    """Name of a method's score."""
    return JOINT if method == JOINT else PREFIX + method


def _identity(representation: Representation) -> str:
    return str(representation.meta.get("identity") or representation.meta.get("encoder") or "")


def _write(survey: Survey, made: Made, score: np.ndarray) -> None:
    place = survey.path / FOLDER / f"{made.method}.json"
    place.unlink(missing_ok=True)
    survey.store_score(made.score, score)
    files.write_json(place, asdict(made))


def _read(place) -> Made | None:
    """What a file says of a score; None if it is damaged: the score can be made again."""
    try:
        said = files.read_json(place)
        return Made(
            str(said["method"]),
            str(said["representation"]),
            str(said["identity"]),
            dict(said["settings"]),
            float(said["seconds"]),
        )
    except (ValueError, KeyError, TypeError):
        return None
