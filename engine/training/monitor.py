"""How good is a representation by now? What training records at every checkpoint.

Without labels: the 2-point correlation score (`engine.maps.correlation`), and RankMe, the number of directions that
are in use. With labels: linear probes and companions (`engine.learning.probes`) on principal components, the features
of every model here; logistic and ridge on `COMPONENTS` standardised ones, neighbours and clusters on balanced ones.

A column of a catalogue becomes a `Question`: yes or no, which class, or how much.

Cost: 0.25 s a question and 0.5 s besides, for 2,000 vectors on one core.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from engine.data.catalogue import DEC_NAMES, HDU_NAMES, ID_NAMES, RA_NAMES, simple_name
from engine.errors import UserError
from engine.learning import probes
from engine.maps.components import balanced_coordinates, standard_components
from engine.maps.correlation import two_point

if TYPE_CHECKING:
    from engine.survey import Survey

#: Principal components that questions are answered from (Walmsley et al. 2022: 40).
COMPONENTS = 40
#: Fewest objects of a class, and of a number, that a probe is asked about.
LEAST, LEAST_NUMBERS = 15, 50
#: A fraction is a yes above this, if that leaves at least `SHARE` of the objects on each side; else above its
#: `PERCENTILE`.
THRESHOLD, SHARE, PERCENTILE = 0.5, 0.05, 80.0
#: Most values of a column that names classes.
CLASSES = 20
#: Most questions made of one catalogue: each costs time at every checkpoint.
QUESTIONS = 24
#: Coordinates and book-keeping that are no property of what is seen, in the form of `simple_name`.
NO_LABELS = {
    *(RA_NAMES + DEC_NAMES + ID_NAMES + HDU_NAMES),
    *("glon", "glat", "l", "b", "elon", "elat", "x", "y", "xpos", "ypos", "row", "column", "index", "tile", "field"),
    *("healpix", "ccd", "chip", "run", "rerun", "camcol", "plate", "mjd", "fiber", "split", "sample", "url", "seed"),
}


@dataclass(frozen=True)
class Question:
    """What is asked of a representation.

    Attributes
    ----------
    name : str
    kind : str
        ``yes/no``, ``class`` or ``number``.
    rule : str
        How the answers came from the values, in words.
    known : (n,) bool
        Objects whose answer is known.
    answers : (n,) array
        Bool, codes of classes, or float64; of no meaning where not known.
    """

    name: str
    kind: str
    rule: str
    known: np.ndarray
    answers: np.ndarray


def measure(vectors: np.ndarray, targets: Mapping[str, np.ndarray], *, seed: int = 0) -> dict[str, float]:
    """Measure a representation.

    Parameters
    ----------
    vectors : (n, D) float
        Finite; rows of unreadable objects left out. A few thousand are enough.
    targets : mapping
        Name → (n,) values: bool, classes (text or integers), fractions of 0-1 or other numbers; None or NaN where not
        known. See `question` for how they are read; those with too few of a class are left out.

    Returns
    -------
    dict
        ``two_point``, ``two_point_error``, ``two_point_landy_szalay`` (left out where there are too few vectors or most
        are the same) and ``rankme``; with targets also ``probe NAME`` (area under the ROC curve; of a number R²) and
        ``probe``, the mean of the areas (of R², if there are numbers only); with yes/no's or classes ``neighbours`` and
        ``clusters`` (`probes.neighbour_accuracy` and `probes.cluster_accuracy`) and ``davies_bouldin``, each averaged
        over them. All finite.
    """
    vectors = np.asarray(vectors, np.float32)
    figures = _unlabelled(vectors, seed)
    questions = [q for q in (question(name, values) for name, values in targets.items()) if q is not None]
    if questions:
        everything = np.ones(len(vectors), bool)
        figures |= _probed(standard_components(vectors, everything, COMPONENTS), questions, seed)
        figures |= _companions(balanced_coordinates(vectors, everything, COMPONENTS), questions, seed)
    return {name: float(value) for name, value in figures.items() if np.isfinite(value)}


def _unlabelled(vectors: np.ndarray, seed: int) -> dict[str, float]:
    figures = {}
    try:
        found = two_point(vectors, seed=seed)
        figures = {
            "two_point": found.score,
            "two_point_error": found.error,
            "two_point_landy_szalay": found.landy_szalay,
        }
    except UserError:  # a handful of objects, or a collapsed encoder: RankMe says so
        pass
    return figures | {"rankme": rankme(vectors)}


def _probed(features: np.ndarray, questions: list[Question], seed: int) -> dict[str, float]:
    """Each question's linear probe, and their mean."""
    areas, explained = {}, {}
    for q in questions:
        x, y = features[q.known], q.answers[q.known]
        if q.kind == "number":
            explained[f"probe {q.name}"] = probes.regress(x, y, bootstraps=0, seed=seed).r2
        else:
            areas[f"probe {q.name}"] = probes.classify(x, y, bootstraps=0, seed=seed).auc
    return {"probe": float(np.mean(list((areas or explained).values())))} | areas | explained


def _companions(features: np.ndarray, questions: list[Question], seed: int) -> dict[str, float]:
    """Neighbours, clusters and Davies-Bouldin, averaged over the questions that have classes."""
    found: dict[str, list[float]] = {"neighbours": [], "clusters": [], "davies_bouldin": []}
    clusters: dict[tuple[int, bytes], np.ndarray] = {}  # the same for all questions with as many classes
    for q in questions:
        if q.kind == "number":
            continue
        x, y = features[q.known], q.answers[q.known]
        key = len(np.unique(y)), np.packbits(q.known).tobytes()
        if key not in clusters:
            clusters[key] = probes.clustered(x, key[0], seed=seed)
        found["neighbours"].append(probes.neighbour_accuracy(x, y))
        found["clusters"].append(probes.cluster_accuracy(clusters[key], y))
        found["davies_bouldin"].append(probes.davies_bouldin(x, y))
    return {name: float(np.mean(values)) for name, values in found.items() if values}


def rankme(vectors: np.ndarray) -> float:
    """How many directions a representation uses: exp of the entropy of its singular values.

    exp(− Σ pₖ log pₖ),   pₖ = σₖ / Σ σ        (Garrido et al. 2023, arXiv:2210.02885, eq. 1)

    From 1 (all vectors along one line) to min(n, D) (all directions alike); 0 for vectors that are all zero.

    Parameters
    ----------
    vectors : (n, D) float
    """
    vectors = np.asarray(vectors, np.float64)
    smaller = vectors.T @ vectors if vectors.shape[0] >= vectors.shape[1] else vectors @ vectors.T
    singular = np.sqrt(np.maximum(np.linalg.eigvalsh(smaller), 0.0))
    if singular.sum() == 0:
        return 0.0
    share = singular / singular.sum()
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))


def question(name: str, values: np.ndarray) -> Question | None:
    """Make a question of a column's values.

    - bool, text, or integers of at most `CLASSES` values: which class (two of them: yes or no). Classes of fewer than
      `LEAST` objects are taken as unknown.
    - Fractions, within 0-1 and of more than two values: whether it is above one half; where that leaves less than one
      object in twenty on a side, whether it is in its upper fifth (above the 80th percentile).
    - Other numbers: how much.

    Parameters
    ----------
    name : str
    values : (n,) array
        None, NaN or masked where not known.

    Returns
    -------
    Question, or None if too little is known to ask it.
    """
    values = np.ma.filled(values, np.nan) if np.ma.isMaskedArray(values) else np.asarray(values)
    if values.dtype.kind in "OSUT":
        known = np.array([v is not None and v == v and str(v) != "" for v in values])
        return _of_classes(name, np.array([str(v) for v in values]), known)
    known = np.isfinite(values)
    distinct = np.unique(values[known])
    if values.dtype.kind == "b" or (len(distinct) <= CLASSES and np.array_equal(distinct, np.round(distinct))):
        return _of_classes(name, values, known)
    if distinct.size and values.dtype.kind == "f" and distinct[0] >= 0 and distinct[-1] <= 1:
        return _of_fraction(name, values, known)
    if values.dtype.kind in "iuf" and known.sum() >= LEAST_NUMBERS:
        return Question(name, "number", "its value", known, values.astype(np.float64))
    return None


def _of_classes(name: str, values: np.ndarray, known: np.ndarray) -> Question | None:
    classes, codes, counts = np.unique(values[known], return_inverse=True, return_counts=True)
    if len(classes) > CLASSES:
        return None
    kept = counts >= LEAST
    if kept.sum() < 2:
        return None
    answers = np.zeros(len(values), np.int64)
    answers[known] = codes
    known = known.copy()
    known[known] = kept[codes]
    names = ", ".join(str(c) for c in classes[kept])
    return Question(name, "yes/no" if kept.sum() == 2 else "class", f"one of {names}", known, answers)


def _of_fraction(name: str, values: np.ndarray, known: np.ndarray) -> Question | None:
    share = (values[known] > THRESHOLD).mean()
    least = max(SHARE, LEAST / known.sum())
    if least <= share <= 1 - least:
        level, words = THRESHOLD, f"above {THRESHOLD}"
    else:
        level = float(np.percentile(values[known], PERCENTILE))
        words = f"above {level:.3g}, its upper fifth"
    answers = np.nan_to_num(values) > level
    yes = answers[known].sum()
    if min(yes, known.sum() - yes) < LEAST:
        return None
    return Question(name, "yes/no", words, known, answers)


def label_columns(survey: Survey, rows: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Columns of a survey's catalogue that say what an object is: vote fractions, and classes of few values.

    Never ids, coordinates, references to pixels, or other book-keeping. Measured numbers (magnitudes, redshifts) are no
    labels; hand them to `measure` by name if they are of interest.

    Parameters
    ----------
    survey : Survey
    rows : (n,) int, optional
        Objects to read; all if not given.

    Returns
    -------
    dict
        Name → (n,) values; at most `QUESTIONS`, a ``truth`` first and then in the order of the catalogue.
    """
    found = {}
    for column in sorted(survey.columns, key=lambda c: c != "truth"):
        if simple_name(column) in NO_LABELS or _nested_or_time(survey.schema.field(column).type):
            continue
        read = survey.arrow([column])[column]
        if pa.types.is_dictionary(read.type):
            read = read.cast(read.type.value_type)
        values = (read if rows is None else read.take(pa.array(rows))).to_numpy()
        asked = question(column, values)
        if asked is not None and asked.kind != "number":
            found[column] = values
        if len(found) == QUESTIONS:
            break
    return found


def _nested_or_time(kind: pa.DataType) -> bool:
    return pa.types.is_nested(kind) or pa.types.is_temporal(kind) or pa.types.is_binary(kind)
