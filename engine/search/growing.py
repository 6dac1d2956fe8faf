"""Selections that grow by the neighbours of their members, or shrink to their core.

Neighbours are those of a representation (`engine.maps.neighbours`), not of the map: what looks alike, wherever a layout
has put it. To grow by k adds the k nearest of every member; again and again, objects are reached in hops. The core are
the members most of whose k nearest are members, too.

Cost: one look at k neighbours a member, O(n·k), in blocks, so that memory stays at a few MB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.errors import UserError
from engine.jobs import Progress, silent
from engine.search import sets

if TYPE_CHECKING:
    from engine.survey import Survey

#: Neighbours that an object gives, or is judged by, unless told otherwise.
GROW_BY, JUDGED_BY = 5, 10
#: Share of the neighbours that must be members, unless told otherwise.
SHARE = 0.5
#: Neighbours an object that are found at once: as many as layouts ask for, so that one graph serves both.
WIDTH = 15
#: Members looked at together.
BLOCK = 100_000


def grow(rows: np.ndarray, near: np.ndarray, *, k: int = GROW_BY, hops: int = 1) -> np.ndarray:
    """A set and the k nearest of every member.

    Parameters
    ----------
    rows : (n,) int64
        Ascending.
    near : (N, K) int
        Neighbours of every object, nearest first, −1 where there is none; K ≥ k.
    k, hops : int
        Neighbours taken of each; how often.

    Returns
    -------
    (m,) int64
        Ascending, m ≥ n.

    Raises
    ------
    UserError
        If there are fewer than k neighbours an object, or k or hops is no positive number.
    """
    _require(near, k)
    if hops < 1:
        raise UserError(f"a selection cannot grow {hops} times", "ask for at least once")
    chosen, front = sets.marked(rows, len(near)), rows
    for _ in range(hops):
        before = chosen.copy()
        for start in range(0, len(front), BLOCK):
            reached = np.asarray(near[front[start : start + BLOCK], :k]).ravel()
            chosen[reached[reached >= 0]] = True
        front = np.flatnonzero(chosen & ~before)
    return np.flatnonzero(chosen)


def shrink(rows: np.ndarray, near: np.ndarray, *, k: int = JUDGED_BY, share: float = SHARE) -> np.ndarray:
    """Members of a set of whose k nearest at least a share are members.

    Parameters
    ----------
    rows, near
        As in `grow`.
    k : int
    share : float
        0 to 1. Of the neighbours an object has: an object without any has no core to be in, and is left out.

    Returns
    -------
    (m,) int64
        Ascending, m ≤ n.

    Raises
    ------
    UserError
        If there are fewer than k neighbours an object, or the share is none.
    """
    _require(near, k)
    if not 0 < share <= 1:
        raise UserError(f"{share} is no share of the neighbours", "give a number above 0, and at most 1")
    chosen, kept = sets.marked(rows, len(near)), []
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        around = np.asarray(near[block, :k])
        known = (around >= 0).sum(axis=1)
        inside = (chosen[around] & (around >= 0)).sum(axis=1)
        kept.append(block[(known > 0) & (inside >= share * known)])
    return np.concatenate([np.zeros(0, np.int64), *kept])


def changed(survey: Survey, rows: np.ndarray, how: dict, *, progress: Progress = silent) -> np.ndarray:
    """What 'grow' or 'shrink', as an origin writes them, makes of a set; the neighbours are found first if need be.

    Raises
    ------
    UserError
        If there is no representation, or the numbers make no sense.
    """
    from engine.maps.neighbours import neighbours

    try:
        k = int(how.get("k", GROW_BY if how.get("kind") == "grow" else JUDGED_BY))
        hops, share = int(how.get("hops", 1)), float(how.get("share", SHARE))
    except (TypeError, ValueError) as error:
        raise UserError(f"a number of neighbours makes no sense ({error})", "grow or shrink again") from error
    graph = neighbours(survey, how.get("representation"), k=max(k, WIDTH), progress=progress)
    if how.get("kind") == "grow":
        return grow(rows, graph.indices, k=k, hops=hops)
    return shrink(rows, graph.indices, k=k, share=share)


def _require(near: np.ndarray, k: int) -> None:
    if not 1 <= k <= near.shape[1]:
        raise UserError(f"{k} neighbours an object cannot be taken of {near.shape[1]}", "ask for another number")
