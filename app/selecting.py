"""How a session's selection changes: one step after another, off the event loop, and back again.

Outlines, queries and kept selections replace what is selected, add to it, are taken out of it or cut it down; it can be
inverted, grown by neighbours and shrunk to its core. Steps are taken in the order they were asked for, each upon what
the one before has left, even if that has not been shown yet. Whoever else sets `State.selection` (a cluster's name, say)
makes a step as well. The last `REMEMBERED` are kept, in few bytes, to go back to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import panel as pn
import param

from app.background import Background
from app.state import State
from app.store import Store
from engine.errors import UserError
from engine.maps.neighbours import stored
from engine.search import growing, origins, sets
from engine.search.find import Found

#: Steps that can be taken back.
REMEMBERED = 20
#: Objects whose neighbours are found on the spot (2 s); more are found by a job, with progress.
AT_ONCE = 20_000


@dataclass(frozen=True)
class Step:
    """A selection of the past: its members, as bits where that is smaller, and its origin."""

    rows: np.ndarray | None
    bits: bool
    how: dict

    @classmethod
    def of(cls, rows: np.ndarray | None, how: dict, count: int) -> Step:
        """Remember a selection of a survey of `count`."""
        bits = rows is not None and sets.is_large(rows, count)
        return cls(sets.packed(rows, count) if rows is not None and bits else rows, bits, how)

    def members(self, count: int) -> np.ndarray | None:
        """The selection again, (n,) int64, or None."""
        return sets.unpacked(self.rows, count) if self.rows is not None and self.bits else self.rows


class NoNeighbours(UserError):
    """The neighbours are not known yet, and finding them is a job."""


class Selecting(param.Parameterized):
    """The steps of one session; both its maps, its rail and its keys ask here.

    Parameters
    ----------
    state : State
    store : Store
    """

    held: param.Selector = param.Selector(
        default="", objects=["", *sets.MODES], doc="Mode that keys are held for: it counts for the outline being drawn."
    )
    past = param.Integer(0, doc="Steps that can be taken back.")
    future = param.Integer(0, doc="Steps taken back that can be taken again.")

    def __init__(self, state: State, store: Store, **params):
        super().__init__(**params)
        self.state, self.store = state, store
        self._work = Background(pn.state.curdoc)
        self._steps = 0
        self._back: deque[Step] = deque(maxlen=REMEMBERED)
        self._forth: list[Step] = []
        self._head: tuple[np.ndarray | None, dict] = (state.selection, state.selection_how)
        self._now = Step.of(*self._head, store.n)
        self._own = self._quiet = self._dragging = False
        self._wanted: tuple[dict, np.ndarray | None] | None = None
        state.param.watch(self._changed, ["selection", "selection_how"])

    def close(self) -> None:
        """End what belongs to the session."""
        self._work.close()

    @property
    def mode(self) -> str:
        """How the next outline meets the selection; where there is none, it begins one."""
        return self.held or self.state.combining

    # -- steps ---------------------------------------------------------------------------------------------------------

    def choose(
        self,
        find: Callable[[], Found],
        *,
        mode: str | None = None,
        done: Callable[[Found], None] | None = None,
        failed: Callable[[UserError], None] | None = None,
    ) -> None:
        """Find objects, and join them to the selection.

        Parameters
        ----------
        find : callable
            Called in the session's thread.
        mode : str, optional
            One of `engine.search.sets.MODES`; the session's if not given, whatever keys are held.
        done, failed : callable, optional
            Take what was found by itself, and what went wrong; a notice tells it if nobody does.
        """
        mode = mode or self.state.combining

        def work() -> tuple[Found, Found]:
            found = find()
            return found, self._joined(mode, found)

        def shown(both: tuple[Found, Found]) -> None:
            self._take(both[1].rows, both[1].how)
            if done is not None:
                done(both[0])

        self._step(work, shown, failed)

    def _joined(self, mode: str, found: Found) -> Found:
        """What is found, joined to the newest selection; in the session's thread."""
        rows, how = self._head
        if rows is not None and mode != "replace":
            members = sets.combine(mode, rows, sets.of(found.rows), count=self.store.n)
            found = Found(members, origins.joined(mode, how, found.how))
        self._head = found.rows, found.how
        return found

    def invert(self) -> None:
        """Select what is not selected, and nothing else; everything, if nothing is."""

        def work() -> Found:
            rows, how = self._head
            members = sets.invert(np.zeros(0, np.int64) if rows is None else rows, count=self.store.n)
            everything = {"kind": "members", "words": "all objects"}
            self._head = members, everything if rows is None else origins.changed("invert", how)
            return Found(*self._head)

        self._step(work, lambda found: self._take(found.rows, found.how))

    def clear(self) -> None:
        """Select nothing."""
        if self.state.selection is not None:
            self._take(None, {})

    def grow(self, k: int = growing.GROW_BY) -> None:
        """Add the k nearest neighbours of every member."""
        self._by_neighbours({"kind": "grow", "k": k})

    def shrink(self, k: int = growing.JUDGED_BY, share: float = growing.SHARE) -> None:
        """Keep the members of whose k nearest neighbours at least a share are members."""
        self._by_neighbours({"kind": "shrink", "k": k, "share": share})

    def _by_neighbours(self, how: dict) -> None:
        if self.state.selection is None:
            self.state.notice = ("info", "Select something first: it then grows, or shrinks, by its neighbours.")
            return
        name = self.store.representation
        how = how | {"representation": name or ""}
        if self.store.n <= AT_ONCE:
            self.state.notice = ("info", "Looking at the neighbours …")

        def work() -> Found:
            return self._by_graph(how)

        self._step(work, lambda found: self._take(found.rows, found.how), partial(self._missing, how))

    def _by_graph(self, how: dict) -> Found:
        rows, before = self._head
        if self.store.n > AT_ONCE and stored(self.store.survey, how["representation"], k=how["k"]) is None:
            raise NoNeighbours("the neighbours of the objects are not known yet", "wait until they are found")
        members = growing.changed(self.store.survey, np.zeros(0, np.int64) if rows is None else rows, how)
        details = {name: value for name, value in how.items() if name != "kind"}
        self._head = members, origins.changed(how["kind"], before, **details)
        return Found(*self._head)

    # -- neighbours that have to be found first ------------------------------------------------------------------------

    def _missing(self, how: dict, error: UserError) -> None:
        if not isinstance(error, NoNeighbours):
            self._say(error)
            return
        self._wanted = how, self.state.selection
        options = ["--representation", how["representation"], "--k", str(max(how["k"], growing.WIDTH))]
        self.store.jobs.start("Neighbours", "neighbours", *options)
        self.state.notice = (
            "info",
            f"Finding the neighbours of {self.store.n:,} objects first; the selection follows when they are known.",
        )

    def heard(self, command: str) -> None:
        """A command has ended: what waited for it goes on, if the selection is still the one that was meant."""
        if command != "neighbours" or self._wanted is None:
            return
        (how, rows), self._wanted = self._wanted, None
        if rows is not self.state.selection:
            self.state.notice = ("info", "The neighbours are known now: grow or shrink the selection again.")
            return
        retry = UserError("the neighbours were not found", "look at the jobs in the rail, and try again")
        self._step(
            lambda: self._by_graph(how),
            lambda found: self._take(found.rows, found.how),
            lambda error: self._say(retry if isinstance(error, NoNeighbours) else error),
        )

    # -- an outline under the hand -------------------------------------------------------------------------------------

    def drag(self, find: Callable[[], Found], *, final: bool, done: Callable[[bool], None]) -> None:
        """Show a selection while its outline is dragged: the newest wins, and all of it is one step back.

        ``done(good)`` is called when it shows, or has failed; not for one that a newer one overtook.
        """

        def work() -> Found:
            found = find()
            self._head = found.rows, found.how
            return found

        def shown(found: Found) -> None:
            self._take(found.rows, found.how, dragging=not final)
            done(True)

        def failed(error: UserError) -> None:
            self._dragging = False
            self._say(error)
            done(False)

        self._work.run("drag", work, shown, failed)

    def settle(self, rows: np.ndarray | None, how: dict) -> None:
        """Show what a page had before it was reloaded: no step, nothing to go back from."""
        self._head = rows, how
        self._settle(rows, how)

    def _settle(self, rows: np.ndarray | None, how: dict) -> None:
        self._quiet = True
        try:
            self._take(rows, how)
        finally:
            self._quiet = False

    # -- back and forth ------------------------------------------------------------------------------------------------

    def back(self) -> None:
        """Take the last step back."""
        if not self._back:
            self.state.notice = ("info", "There is no earlier selection to go back to.")
            return
        self._forth.append(self._now)
        self._travel(self._back.pop())

    def forth(self) -> None:
        """Take a step again that was taken back."""
        if self._forth:
            self._back.append(self._now)
            self._travel(self._forth.pop())

    def _travel(self, to: Step) -> None:
        self._now = to
        self._count()

        def work() -> np.ndarray | None:
            rows = to.members(self.store.n)
            self._head = rows, to.how
            return rows

        def shown(rows: np.ndarray | None) -> None:
            if self._now is to:  # else a newer step has been taken meanwhile
                self._settle(rows, to.how)

        self._step(work, shown)

    # -- inner workings ------------------------------------------------------------------------------------------------

    def _step(self, work, shown, failed: Callable[[UserError], None] | None = None) -> None:
        self._steps += 1  # a key of its own: every step is taken, none is overtaken
        self._work.run(f"step {self._steps}", work, shown, failed or self._say)

    def _say(self, error: UserError) -> None:
        self.state.notice = ("error", str(error))

    def _take(self, rows: np.ndarray | None, how: dict, *, dragging: bool = False) -> None:
        """Show a selection of our own making."""
        begins = dragging and not self._dragging
        quiet = self._quiet or (self._dragging and not begins)
        self._dragging = dragging
        self._own, self._quiet, before = True, quiet, self._quiet
        try:
            tab = {} if rows is None else {"tab": "selection"}
            self.state.param.update(selection=rows, selection_how=how, **tab)
        finally:
            self._own, self._quiet = False, before

    def _changed(self, *events) -> None:
        rows, how = self.state.selection, self.state.selection_how
        if not any(event.name == "selection" for event in events):  # it is only called otherwise
            self._now = replace(self._now, how=how)
            if self._head[0] is rows:  # no step is under way
                self._head = rows, how
            return
        if not self._own:
            self._head = rows, how
        now = Step.of(rows, how, self.store.n)
        if not self._quiet and not (rows is None and self._now.rows is None):
            self._back.append(self._now)
            self._forth.clear()
        self._now = now
        self._count()

    def _count(self) -> None:
        self.param.update(past=len(self._back), future=len(self._forth))
