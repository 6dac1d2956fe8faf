"""A selection spelled out: where it begins, and one step after another, as the command line and scripts write it.

An operand is what `engine.search.find` reads (ids, a place on the sky, a condition), ``@NAME`` for a kept selection, or
``@LAYOUT:FILE.json`` for an outline on a layout: a JSON list of [x, y] corners, four numbers x0, y0, x1, y1 for a box.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import UserError
from engine.jobs import Progress, silent
from engine.search import growing, origins, selections, sets
from engine.search.find import Found, find
from engine.search.members import members

if TYPE_CHECKING:
    from engine.survey import Survey

#: Steps that take an operand, and those that change what is there.
JOINING = ("add", "subtract", "intersect")
CHANGING = ("invert", "grow", "shrink")
#: Bytes of an outline's file: more is no outline.
LARGEST = 16 << 20


def spell(
    survey: Survey,
    begin: str | None,
    steps: Sequence[tuple[str, str | dict]] = (),
    *,
    representation: str | None = None,
    progress: Progress = silent,
) -> Found:
    """Members and origin of a selection that is spelled out.

    Parameters
    ----------
    survey : Survey
    begin : str, optional
        An operand; all objects if not given.
    steps : sequence of (step, operand or numbers)
        ``("add", "mag_r < 20")``, ``("subtract", "@stars")``, ``("invert", {})``, ``("grow", {"k": 5, "hops": 1})``,
        ``("shrink", {"k": 10, "share": 0.5})``.
    representation : str, optional
        Whose neighbours; the newest if not given.

    Returns
    -------
    Found

    Raises
    ------
    UserError
        If an operand cannot be read, or a step is not known.
    """
    found = _everything(len(survey)) if begin is None else operand(survey, begin)
    for step, given in steps:
        if step in JOINING:
            other = operand(survey, str(given))
            rows = sets.combine(step, found.rows, other.rows, count=len(survey))
            found = Found(rows, origins.joined(step, found.how, other.how))
        elif step in CHANGING and isinstance(given, dict):
            found = change(survey, found, step, given, representation=representation, progress=progress)
        else:
            raise UserError(f"there is no step {step!r}", f"use one of: {', '.join((*JOINING, *CHANGING))}")
    return found


def change(
    survey: Survey,
    found: Found,
    step: str,
    numbers: dict,
    *,
    representation: str | None = None,
    progress: Progress = silent,
) -> Found:
    """Invert, grow or shrink a selection."""
    if step == "invert":
        return Found(sets.invert(found.rows, count=len(survey)), origins.changed("invert", found.how))
    details = numbers | ({"representation": representation} if representation else {})
    how = origins.changed(step, found.how, **details)
    return Found(growing.changed(survey, found.rows, how, progress=progress), how)


def operand(survey: Survey, text: str) -> Found:
    """Members and origin of one operand.

    Raises
    ------
    UserError
        If it cannot be read.
    """
    if not text.startswith("@"):
        return find(survey, text)
    layout, colon, file = text[1:].partition(":")
    if colon:
        how = _outline(layout, Path(file))
        return Found(members(survey, how), how)
    kept = selections.load(survey, layout)
    return Found(kept.rows, selections.origin(kept))


def _outline(layout: str, path: Path) -> dict:
    problem = UserError(
        f"{str(path)!r} is no outline", "give a JSON file of corners [[x, y], …], or of a box [x0, y0, x1, y1]"
    )
    try:
        if path.stat().st_size > LARGEST:
            raise problem
        corners = np.asarray(json.loads(path.read_text(encoding="utf-8")), np.float64)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise problem from error
    if corners.shape == (4,):
        x0, y0, x1, y1 = corners
        corners, kind = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]), "box"
    else:
        kind = "polygon"
    how = {"kind": kind, "layout": layout, "polygon": corners.tolist()}
    if origins.outline(how) is None:
        raise problem
    return how


def _everything(count: int) -> Found:
    return Found(np.arange(count), {"kind": "members", "words": "all objects"})
