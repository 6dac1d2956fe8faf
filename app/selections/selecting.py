"""How a session's selection changes: one step after another, off the event loop, and back again.

Outlines, queries and kept selections replace what is selected, add to it, are taken out of it or cut it down; it can be
inverted, grown by neighbours and shrunk to its core. A step begins when the one before is shown, so that each is taken
upon what a person sees. Whoever else sets `State.selection` (a cluster's name, say) makes a step as well. The last
`REMEMBERED` are kept, in few bytes, to go back to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

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

#: What a step does in the thread, and who takes its result or what went wrong.
Task = tuple[Callable[[], Any], Callable[[Any], None], Callable[[UserError], None]]

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
        self._queue: deque[Callable[[], Task | None]] = deque()
        self._busy = False
        self._back: deque[Step] = deque(maxlen=REMEMBERED)
        self._forth: list[Step] = []
        self._now = Step.of(state.selection, state.selection_how, store.n)
        self._quiet = self._dragging = False
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

        def begin() -> Task:
            rows, how = self.state.selection, self.state.selection_how

            def work() -> tuple[Found, Found]:
                found = find()
                return found, self._joined(mode, rows, how, found)

            def shown(both: tuple[Found, Found]) -> None:
                self._show(both[1])
                if done is not None:
                    done(both[0])

            return work, shown, failed or self._say

        self._step(begin)

    def _joined(self, mode: str, rows: np.ndarray | None, how: dict, found: Found) -> Found:
        """What is found, joined to a selection; where there is none, it is the selection."""
        new = sets.of(found.rows)
        if rows is None or mode == "replace":
            return Found(new, found.how)
        return Found(sets.combine(mode, rows, new, count=self.store.n), origins.joined(mode, how, found.how))

    def invert(self) -> None:
        """Select what is not selected, and nothing else; everything, if nothing is."""

        def begin() -> Task:
            rows, how = self.state.selection, self.state.selection_how
            if rows is None:
                rows, how = np.zeros(0, np.int64), {"kind": "members", "words": "all objects"}
            else:
                how = origins.changed("invert", how)
            return lambda: Found(sets.invert(rows, count=self.store.n), how), self._show, self._say

        self._step(begin)

    def clear(self) -> None:
        """Select nothing."""

        def begin() -> None:
            if self.state.selection is not None:
                self._take(None, {})

        self._step(begin)

    def grow(self, k: int = growing.GROW_BY) -> None:
        """Add the k nearest neighbours of every member."""
        self._by_neighbours({"kind": "grow", "k": k})

    def shrink(self, k: int = growing.JUDGED_BY, share: float = growing.SHARE) -> None:
        """Keep the members of whose k nearest neighbours at least a share are members."""
        self._by_neighbours({"kind": "shrink", "k": k, "share": share})

    def _by_neighbours(self, change: dict) -> None:
        change = change | {"representation": self.store.representation or ""}

        def begin() -> Task | None:
            rows, how = self.state.selection, self.state.selection_how
            if rows is None:
                self.state.notice = ("info", "Select something first: it then grows, or shrinks, by its neighbours.")
                return None
            if not change["representation"]:
                self.state.notice = ("error", "There is no representation yet, and neighbours are those of one.")
                return None
            if self.store.n <= AT_ONCE and not self._known(change):
                self.state.notice = ("info", f"Finding the neighbours of {self.store.n:,} objects …")
            return lambda: self._by_graph(change, rows, how), self._show, lambda error: self._missing(change, error)

        self._step(begin)

    def _by_graph(self, change: dict, rows: np.ndarray, how: dict) -> Found:
        if self.store.n > AT_ONCE and not self._known(change):
            raise NoNeighbours("the neighbours of the objects are not known yet", "wait until they are found")
        details = {name: value for name, value in change.items() if name != "kind"}
        members = growing.changed(self.store.survey, rows, change)
        return Found(members, origins.changed(change["kind"], how, **details))

    def _known(self, change: dict) -> bool:
        return stored(self.store.survey, change["representation"], k=change["k"]) is not None

    # -- neighbours that have to be found first ------------------------------------------------------------------------

    def _missing(self, change: dict, error: UserError) -> None:
        if not isinstance(error, NoNeighbours):
            self._say(error)
            return
        self._wanted = change, self.state.selection
        options = ["--representation", change["representation"], "--k", str(max(change["k"], growing.WIDTH))]
        self.store.jobs.start("Neighbours", "neighbours", *options)
        self.state.notice = (
            "info",
            f"Finding the neighbours of {self.store.n:,} objects first; the selection follows when they are known.",
        )

    def heard(self, command: str) -> None:
        """A command has ended: what waited for it goes on, if the selection is still the one that was meant."""
        if command != "neighbours" or self._wanted is None:
            return
        (change, meant), self._wanted = self._wanted, None

        def begin() -> Task | None:
            rows, how = self.state.selection, self.state.selection_how
            if rows is None or meant is None or rows is not meant:
                self.state.notice = ("info", "The neighbours are known now: grow or shrink the selection again.")
                return None
            return lambda: self._by_graph(change, rows, how), self._show, self._say

        self._step(begin)

    # -- an outline under the hand -------------------------------------------------------------------------------------

    def drag(self, find: Callable[[], Found], *, final: bool, done: Callable[[bool], None]) -> None:
        """Show a selection while its outline is dragged: the newest wins, and all of it is one step back.

        ``done(good)`` is called when it shows, or has failed; not for one that a newer one overtook.
        """

        def shown(found: Found) -> None:
            self._take(found.rows, found.how, dragging=not final)
            done(True)

        def failed(error: UserError) -> None:
            self._dragging = False
            self._say(error)
            done(False)

        self._work.run("drag", find, shown, failed)

    def settle(self, rows: np.ndarray | None, how: dict) -> None:
        """Show what a page had before it was reloaded: no step, nothing to go back from."""
        self._quiet = True
        try:
            self._take(rows, how)
        finally:
            self._quiet = False

    # -- back and forth ------------------------------------------------------------------------------------------------

    def back(self) -> None:
        """Take the last step back."""

        def begin() -> Task | None:
            if not self._back:
                self.state.notice = ("info", "There is no earlier selection to go back to.")
                return None
            self._forth.append(self._now)
            return self._travel(self._back.pop())

        self._step(begin)

    def forth(self) -> None:
        """Take a step again that was taken back."""

        def begin() -> Task | None:
            if not self._forth:
                return None
            self._back.append(self._now)
            return self._travel(self._forth.pop())

        self._step(begin)

    def _travel(self, to: Step) -> Task:
        return lambda: to.members(self.store.n), lambda rows: self.settle(rows, to.how), self._say

    # -- inner workings ------------------------------------------------------------------------------------------------

    def _step(self, begin: Callable[[], Task | None]) -> None:
        """Take a step when those before it are shown; `begin` looks at the selection as it then is."""
        self._queue.append(begin)
        self._go_on()

    def _go_on(self) -> None:
        while self._queue and not self._busy:
            task = self._queue.popleft()()
            if task is not None:
                work, shown, failed = task
                self._busy = True
                self._work.run("step", work, partial(self._end, shown), partial(self._end, failed))

    def _end(self, tell: Callable, result) -> None:
        """A step has come to its end, good or bad."""
        self._busy = False
        try:
            tell(result)
        finally:
            self._go_on()

    def _show(self, found: Found) -> None:
        self._take(found.rows, found.how)

    def _say(self, error: UserError) -> None:
        self.state.notice = ("error", str(error))

    def _take(self, rows: np.ndarray | None, how: dict, *, dragging: bool = False) -> None:
        """Show a selection of our own making."""
        begins = dragging and not self._dragging
        quiet = self._quiet or (self._dragging and not begins)
        self._dragging = dragging
        self._quiet, before = quiet, self._quiet
        try:
            tab = {} if rows is None else {"tab": "selection"}
            self.state.param.update(selection=rows, selection_how=how, **tab)
        finally:
            self._quiet = before

    def _changed(self, *events) -> None:
        rows, how = self.state.selection, self.state.selection_how
        if not any(event.name == "selection" for event in events):  # it is only called otherwise
            self._now = replace(self._now, how=how)
            return
        now = Step.of(rows, how, self.store.n)
        if not self._quiet and not (rows is None and self._now.rows is None):
            self._back.append(self._now)
            self._forth.clear()
        self._now = now
        self._count()

    def _count(self) -> None:
        self.param.update(past=len(self._back), future=len(self._forth))
