"""What is known of some objects, for a network to learn: the labels of a target, or a column of the catalogue.

Three kinds, one for each kind of answer a network can give:

    verdict    yes or no                 labels yes/no; a column of true/false or 0/1; a condition such as ``z > 0.1``
    classes    one of K names            labels that are classes; a column of text, or of a few whole numbers
    number     anything measured         ratings 0-5; any other column of numbers

What says nothing (unsure, missing, a class too rare to be split in two) is left out and counted.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import UserError
from engine.learning.labels import TOP_RATING

if TYPE_CHECKING:
    from engine.survey import Survey

#: Objects of a class (and of a yes or a no) below which it cannot be split into what is learned and what is checked.
LEAST = 4
#: Objects below which nothing is learned at all.
LEAST_OBJECTS = 12
#: Most classes; a column with more is taken for names, not classes.
MOST_CLASSES = 50
#: A column of whole numbers with at most so many different ones is taken for classes.
FEW_NUMBERS = 10
KINDS = ("verdict", "classes", "number")
NO_YES = ("no", "yes")
#: What `Truth.source` says of the label log.
LABELS = "labels"


@dataclass(frozen=True)
class Truth:
    """What is known, and of which objects.

    Attributes
    ----------
    target : str
    kind : {"verdict", "classes", "number"}
    rows : (n,) int64
        Ascending, each once.
    values : (n,) int64 or float64
        Position in `classes`, or the number.
    classes : tuple of str
        ``("no", "yes")`` for a verdict, empty for a number.
    source : str
        ``labels``, or the column or condition.
    left_out : int
        Objects that had something which says nothing.
    bounds : (low, high) or None
        Of a number that is known to have them: ratings.
    """

    target: str
    kind: str
    rows: np.ndarray
    values: np.ndarray
    classes: tuple[str, ...]
    source: str
    left_out: int = 0
    bounds: tuple[float, float] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, keep: np.ndarray) -> Truth:
        """The same of fewer objects, given by a mask or by positions."""
        return Truth(
            self.target,
            self.kind,
            self.rows[keep],
            self.values[keep],
            self.classes,
            self.source,
            self.left_out,
            self.bounds,
        )

    @property
    def counts(self) -> dict[str, int]:
        """How many objects of each class; of a number, how many there are."""
        if self.kind == "number":
            return {"number": len(self)}
        return {name: int((self.values == k).sum()) for k, name in enumerate(self.classes)}

    @property
    def fingerprint(self) -> str:
        """Hash of what is known: equal if and only if the same would be learned."""
        found = hashlib.sha256(repr((self.target, self.kind, self.classes, self.bounds)).encode())
        found.update(np.ascontiguousarray(self.rows, np.int64).tobytes())
        found.update(np.ascontiguousarray(self.values, np.float64).tobytes())
        return found.hexdigest()[:16]


def of_labels(survey: Survey, target: str) -> Truth:
    """What the label log says of a target now.

    Verdicts, classes or ratings, whichever there are most of; labels of another kind are left out.

    Raises
    ------
    UserError
        If there are too few.
    """
    current = survey.labels.current(target)
    told = current.values != "unsure"
    kinds = Counter(current.kinds[told].tolist())
    if not kinds:
        known = ", ".join(survey.labels.targets()) or "none yet"
        raise UserError(
            f"{survey.path} has no labels for {target!r} (targets with labels: {known})",
            "label a few dozen objects first, or name a catalogue column with --column",
        )
    kind = kinds.most_common(1)[0][0]
    use = told & (current.kinds == kind)
    rows, values = current.rows[use], current.values[use]
    left_out = len(told) - len(rows)
    if kind == "rating":
        return _numbers(target, rows, values.astype(np.float64), LABELS, left_out, bounds=(0.0, float(TOP_RATING)))
    if kind == "verdict":
        return _named(target, "verdict", rows, values, LABELS, left_out)
    return _named(target, "classes", rows, values, LABELS, left_out)


def of_column(survey: Survey, target: str, column: str, *, kind: str | None = None) -> Truth:
    """What a catalogue column (or a stored score) says, or whether a condition on them holds.

    Parameters
    ----------
    column : str
        A name, or a condition as `engine.search.query` takes it; objects that miss a value it asks for are left out.
    kind : {"verdict", "classes", "number"}, optional
        How to take it, where the column's type does not say it right.

    Raises
    ------
    UserError
        If there is no such column, it cannot be taken so, or says too little.
    """
    from engine.search import query

    if kind is not None and kind not in KINDS:
        raise UserError(f"there is no kind of answer {kind!r}", f"choose one of: {', '.join(KINDS)}")
    if column in query.names(survey):
        values = np.asarray(query.values(survey, column))
    else:
        values = _condition(survey, column)
    known = _known(values)
    rows, values = np.flatnonzero(known), values[known]
    left_out = int((~known).sum())
    kind = kind or _kind(values)
    if kind == "number":
        return _numbers(target, rows, _as_numbers(values, column), column, left_out)
    names = _as_verdicts(values, column) if kind == "verdict" else np.array([_name(v) for v in values], object)
    return _named(target, kind, rows, names, column, left_out)


def _condition(survey: Survey, condition: str) -> np.ndarray:
    """Whether a condition holds, (N,) object: True, False, or None where a value it asks for is missing."""
    from engine.search import query

    used = query.columns_used(condition)
    there = query.names(survey)
    if used == [condition.strip()] or not set(used) <= set(there):
        missing = next((name for name in used if name not in there), condition)
        raise UserError(
            f"{survey.path} has no column {missing!r}",
            f"choose one of: {', '.join(survey.columns)} (in a condition, a name with a dot or a space in `backticks`)",
        )
    holds = np.zeros(len(survey), bool)
    holds[query.select(survey, condition)] = True
    known = np.logical_and.reduce([_known(np.asarray(query.values(survey, name))) for name in used])
    found = np.full(len(survey), None, object)
    found[known] = holds[known]
    return found


def _known(values: np.ndarray) -> np.ndarray:
    if values.dtype == object:
        return np.array([v is not None and v == v and v != "" for v in values], bool)
    return np.isfinite(values) if np.issubdtype(values.dtype, np.floating) else np.ones(len(values), bool)


def _kind(values: np.ndarray) -> str:
    """What a column is, by the values it has."""
    if len(values) and all(isinstance(v, (bool, np.bool_)) for v in values[:1000]):
        return "verdict"
    if values.dtype == object or not np.issubdtype(values.dtype, np.number):
        return "classes"
    different = np.unique(values)
    if set(different.tolist()) == {0, 1}:
        return "verdict"
    return "classes" if len(different) <= FEW_NUMBERS and (different % 1 == 0).all() else "number"


def _as_numbers(values: np.ndarray, column: str) -> np.ndarray:
    try:
        return values.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"the column {column!r} holds text, no numbers", "name a column of numbers, or learn its classes"
        ) from error


def _as_verdicts(values: np.ndarray, column: str) -> np.ndarray:
    """True or false, 1 or 0, yes or no → yes or no."""
    words = {"true": "yes", "false": "no", "1": "yes", "0": "no", "yes": "yes", "no": "no"}
    given = [_name(v).lower() for v in values]
    strange = next((v for v in given if v not in words), None)
    if strange is not None:
        raise UserError(
            f"the column {column!r} holds {strange!r}, neither yes nor no",
            "name a column of true and false, or give a condition such as `{column} > 0.5`",
        )
    return np.array([words[v] for v in given], object)


def _name(value) -> str:
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _named(target: str, kind: str, rows: np.ndarray, names: np.ndarray, source: str, left_out: int) -> Truth:
    """Names → positions among the classes; classes with fewer than `LEAST` objects are left out."""
    counts = Counter(names.tolist())
    if len(counts) > MOST_CLASSES:
        raise UserError(
            f"{source} has {len(counts):,} different values, more than {MOST_CLASSES}",
            "name a column of classes, or of numbers with --kind number",
        )
    enough = sorted(name for name, count in counts.items() if count >= LEAST)
    classes = NO_YES if kind == "verdict" else tuple(enough)
    if len(enough) < 2 or sum(counts[name] for name in enough) < LEAST_OBJECTS:
        told = ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items())) or "nothing"
        raise UserError(
            f"{target!r} has too few labels to learn from ({told})",
            f"label at least {LEAST} objects of each class, and {LEAST_OBJECTS} in all",
        )
    use = np.isin(names.astype(str), enough)
    values = np.array([classes.index(name) for name in names[use]], np.int64)
    return _sorted(Truth(target, kind, rows[use], values, classes, source, left_out + int((~use).sum())))


def _numbers(
    target: str,
    rows: np.ndarray,
    values: np.ndarray,
    source: str,
    left_out: int,
    bounds: tuple[float, float] | None = None,
) -> Truth:
    if len(values) < LEAST_OBJECTS:
        raise UserError(
            f"{target!r} has {len(values):,} numbers to learn from", f"give at least {LEAST_OBJECTS} objects one"
        )
    if np.ptp(values) == 0:
        raise UserError(f"every object has the same {target!r}, {values[0]:g}", "give objects that differ")
    return _sorted(Truth(target, "number", rows, values, (), source, left_out, bounds))


def _sorted(truth: Truth) -> Truth:
    return truth.part(np.argsort(truth.rows, kind="stable"))


def thinned(truth: Truth, most: int, *, seed: int) -> Truth:
    """At most `most` objects: rare classes whole before common ones are cut, numbers at random."""
    if len(truth) <= most:
        return truth
    rng = np.random.default_rng(seed)
    if truth.kind == "number":
        return truth.part(np.sort(rng.choice(len(truth), most, replace=False)))
    kept: list[np.ndarray] = []
    left = most
    groups = sorted((np.flatnonzero(truth.values == k) for k in range(len(truth.classes))), key=len)
    for number, group in enumerate(groups):
        share = left // (len(groups) - number)
        kept.append(group if len(group) <= share else rng.choice(group, share, replace=False))
        left -= len(kept[-1])
    return truth.part(np.sort(np.concatenate(kept)))
