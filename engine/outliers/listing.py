"""The strangest objects, re-weighted by labels or not.

Cost: with labels one pass over the features (`engine.outliers.reweighting`), without them a sort.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import UserError
from engine.outliers.scoring import JOINT, METHODS, Made, kept

if TYPE_CHECKING:
    import pandas as pd

    from engine.survey import Survey


@dataclass(frozen=True)
class Weighed:
    """A score of strangeness, and what labels make of it.

    Attributes
    ----------
    made : Made
        What the score is.
    score : (N,) float32
        NaN where an object has no vector.
    order : (N,) float32
        What objects are listed by, the highest first: the score, or from 0 to 5 what it becomes by labels.
    hidden : (N,) bool
        Objects that look like artefacts; none unless asked for.
    rated, artefacts : int
        Labels that had a say, artefacts among them.
    """

    made: Made
    score: np.ndarray
    order: np.ndarray
    hidden: np.ndarray
    rated: int = 0
    artefacts: int = 0

    def rows(self) -> np.ndarray:
        """Objects that have a score and are not hidden, (n,) int64 in order of the row."""
        return np.flatnonzero(np.isfinite(self.order) & ~self.hidden)


def strangest(
    survey: Survey, top: int = 25, *, by: str = "", target: str | None = None, hide_artefacts: bool = False
) -> pd.DataFrame:
    """The strangest objects by the scores that are kept, as a table.

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
    weighed = weigh(survey, find(survey, by), target or "", reweight=target is not None, hide_artefacts=hide_artefacts)
    rows = weighed.rows()
    rows = rows[np.argsort(-weighed.order[rows], kind="stable")[:top]]
    found = survey.table(rows, ["id", "ra", "dec"])
    found.insert(1, weighed.made.score, weighed.score[rows])
    if target is not None:
        found.insert(2, "reweighted", weighed.order[rows])
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


def weigh(
    survey: Survey, made: Made, target: str = "", *, reweight: bool = True, hide_artefacts: bool = False
) -> Weighed:
    """Let labels move a score, and hide what looks like artefacts.

    Parameters
    ----------
    survey : Survey
    made : Made
    target : str
        Whose labels count, beside what is labelled an artefact.
    reweight, hide_artefacts : bool

    Returns
    -------
    Weighed
    """
    from engine.learning.features import features
    from engine.outliers import reweighting

    score = np.array(survey.score(made.score), np.float32)
    hidden = np.zeros(len(score), bool)
    found = survey.representation(made.representation)
    valid = np.asarray(found.valid, bool)
    given = reweighting.opinions(survey.labels, target).among(valid)
    rows = reweighting.artefacts(survey.labels, target)
    rows = rows[valid[rows]]
    order = score
    if (reweight and len(given)) or (hide_artefacts and len(rows)):
        seen = features(found)
        if reweight:
            order = reweighting.reweighted(score, seen, given)
        if hide_artefacts:
            hidden = reweighting.like_artefacts(seen, rows, others=np.setdiff1d(given.rows, rows), valid=valid)
    elif reweight:
        order = reweighting.rescaled(score)
    return Weighed(made, score, order, hidden, len(given), len(rows))
