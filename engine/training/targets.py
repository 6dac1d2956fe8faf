"""What a supervised method learns: questions, and what is known of the answers to each.

A question is a set of columns that belong together by their names (`engine.training.votes.questions`): votes or vote
fractions for its answers, or one column of yes and no. A column of words, or of a few whole numbers, is a question
whose answers are its classes. Each answer is a number, NaN where it is not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from engine.data.catalogue import simple_name
from engine.errors import UserError
from engine.training.monitor import NO_LABELS
from engine.training.votes import questions

if TYPE_CHECKING:
    from engine.survey import Survey

#: Most classes of a column; more are names or comments.
CLASSES = 50
#: Columns of every survey, which nothing is learned from.
PLACE = frozenset({"id", "ra", "dec"})
#: Endings of the names of columns that hold votes: whole numbers of any other name are measured quantities.
VOTES = ("_count", "_votes", "-votes")


def read_targets(survey: Survey, columns: Sequence[str] = ()) -> tuple[dict[str, list[str]], dict[str, np.ndarray]]:
    """Read what a supervised method is to learn.

    Parameters
    ----------
    survey : Survey
    columns : sequence of str
        The columns to learn; all that look like votes or classes if none are given.

    Returns
    -------
    answers : dict
        Question → its answers: columns, or ``COLUMN=CLASS``.
    values : dict
        Question → (N, k) float32, NaN where unknown.

    Raises
    ------
    UserError
        If a column does not exist or cannot be learned, or there is none to learn.
    """
    if set(columns) & PLACE:
        raise UserError("id, ra and dec say nothing of what an object looks like", "choose other --targets")
    wanted = list(columns) or [c for c in survey.columns if c not in PLACE and _votes_or_classes(survey, c)]
    answers: dict[str, list[str]] = {}
    values: dict[str, np.ndarray] = {}
    for name, members in questions(wanted).items():
        answers[name], values[name] = _question(survey, members)
    if not answers:
        raise UserError(
            f"{survey.path} has no column of votes or classes to learn from",
            "join a catalogue at ingest, or name columns with --targets",
        )
    return answers, values


def _votes_or_classes(survey: Survey, column: str) -> bool:
    """Whether a column is learned without being named: fractions, votes, yes and no, words of a few kinds."""
    given = _column(survey, column).dropna()
    if simple_name(column) in NO_LABELS or given.nunique() < 2:
        return False
    if not pd.api.types.is_numeric_dtype(given):
        return given.nunique() <= CLASSES
    inside = bool(given.between(0, 1).all())
    return inside or (column.endswith(VOTES) and bool(((given >= 0) & (given % 1 == 0)).all()))


def _column(survey: Survey, name: str) -> pd.Series:
    values = pd.Series(survey.column(name))
    truths = values.dtype == object and values.dropna().map(type).isin((bool, np.bool_)).all()
    return values.astype("boolean").astype("Float32") if truths else values  # yes, no and not known


def _question(survey: Survey, columns: list[str]) -> tuple[list[str], np.ndarray]:
    """Names and values of a question's answers.

    Raises
    ------
    UserError
        If a column holds neither fractions nor counts nor classes.
    """
    given = [_column(survey, column) for column in columns]
    if len(columns) == 1 and not _numbers(given[0]):
        return _classes(columns[0], given[0])
    for column, values in zip(columns, given):
        known = values.dropna()
        if not pd.api.types.is_numeric_dtype(known):
            raise UserError(f"the column {column!r} holds words among votes", "name it by itself, or leave it out")
        whole = bool((known % 1 == 0).all())
        if (known < 0).any() or (not whole and (known > 1).any()):
            raise UserError(
                f"the column {column!r} holds neither fractions (0-1), nor votes, nor classes "
                f"(it runs from {known.min():g} to {known.max():g})",
                "leave it out of --targets; `finetune` learns measured quantities",
            )
    return columns, np.stack([values.to_numpy(np.float32, na_value=np.nan) for values in given], axis=1)


def _numbers(values: pd.Series) -> bool:
    """Whether a column by itself is to be taken as numbers: yes and no, or fractions."""
    known = values.dropna()
    return pd.api.types.is_numeric_dtype(known) and not bool((known % 1 == 0).all() and (known > 1).any())


def _classes(column: str, values: pd.Series) -> tuple[list[str], np.ndarray]:
    codes, classes = pd.factorize(values, sort=True)
    if not 2 <= len(classes) <= CLASSES:
        raise UserError(
            f"the column {column!r} has {len(classes):,} different values, which are no classes to learn",
            f"choose columns of 2 to {CLASSES} classes, votes or fractions with --targets",
        )
    found = np.eye(len(classes), dtype=np.float32)[codes]
    found[codes < 0] = np.nan
    return [f"{column}={name}" for name in classes], found
