"""The strangest objects as a table, re-weighted by labels or not.

Cost: with labels one pass over the features (`engine.outliers.reweighting`), without them a sort.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from engine.errors import UserError
from engine.outliers.scoring import JOINT, METHODS, Made, kept

if TYPE_CHECKING:
    from engine.survey import Survey


def strangest(
    survey: Survey, top: int = 25, *, by: str = "", target: str | None = None, hide_artefacts: bool = False
) -> pd.DataFrame:
    """The strangest objects by the scores that are kept.

    Parameters
    ----------
    survey : Survey
    top : int
    by : str
        A method whose score decides; all of them together if empty.
    target : str, optional
        Re-weight by the labels of this target and by what is labelled an artefact.
    hide_artefacts : bool
        Leave out what looks like what is labelled an artefact.

    Returns
    -------
    DataFrame
        id, the score (and ``reweighted``), ra, dec; the strangest first.

    Raises
    ------
    UserError
        If that score is not kept.
    """
    made = find(survey, by)
    score = np.array(survey.score(made.score), np.float32)
    order, hidden = score, np.zeros(len(score), bool)
    if target is not None or hide_artefacts:
        order, hidden = weighed(survey, made, score, target, hide_artefacts)
    candidates = np.flatnonzero(np.isfinite(order) & ~hidden)
    rows = candidates[np.argsort(-order[candidates], kind="stable")[:top]]
    found = survey.table(rows, ["id", "ra", "dec"])
    found.insert(1, made.score, score[rows])
    if target is not None:
        found.insert(2, "reweighted", order[rows])
    return found


def find(survey: Survey, method: str = "") -> Made:
    """What is known of a method's score, by default of the joint one.

    Raises
    ------
    UserError
        If there is no such method, or its score is not kept.
    """
    if method and method not in (JOINT, *METHODS):
        raise UserError(f"there is no outlier method {method!r}", f"choose one of: {', '.join(METHODS)}")
    for made in kept(survey):
        if made.method == (method or JOINT):
            return made
    wanted = f" --methods {method}" if method in METHODS else ""
    raise UserError(
        f"no outlier score{f' by {method}' if method else ''} is kept",
        f"make it with `python -m engine outliers {survey.path}{wanted}`",
    )


def weighed(
    survey: Survey, made: Made, score: np.ndarray, target: str | None, hide_artefacts: bool
) -> tuple[np.ndarray, np.ndarray]:
    """A score re-weighted by the labels of a target, (N,) float32, and which objects are to be hidden, (N,) bool."""
    from engine.learning.features import features
    from engine.outliers import reweighting

    found = survey.representation(made.representation)
    seen, valid = features(found), np.asarray(found.valid, bool)
    given = reweighting.opinions(survey.labels, target or "").among(valid)
    rows = reweighting.artefacts(survey.labels, target or "")
    rows = rows[valid[rows]]
    order = reweighting.reweighted(score, seen, given) if target is not None else score
    others = np.setdiff1d(given.rows, rows)
    hidden = reweighting.like_artefacts(seen, rows, others=others) if hide_artefacts else np.zeros(len(score), bool)
    return order, hidden
