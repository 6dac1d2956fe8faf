"""Verdicts: the one place that turns a key, a click or a whole selection into labels of the current target.

A label is on disk when `Labelling.label` returns (about 2 ms for one object, 1 s for 100,000); ranking anew is the
store's worker's business. What goes wrong becomes a notice and an `Outcome` that says so; nothing is raised at a view.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from app.background import Background
from app.state import State
from engine.errors import UserError

#: Verdicts a key can give, and their codes (`app.store.LABEL_CODES`).
VERDICTS = {"yes": 1, "no": 2, "unsure": 3}
#: The target under which what is no galaxy is noted, whatever is hunted.
ARTEFACT = "artefact"
#: Objects one confirmation may label; more is a query's work, not an eye's.
MOST = 200_000


@dataclass(frozen=True)
class Outcome:
    """What became of a verdict.

    Attributes
    ----------
    rows : (n,) int64
        Objects whose label changed; empty if it failed or there was nothing to undo.
    problem : str
        Why nothing was written; empty if it was.
    """

    rows: np.ndarray
    problem: str = ""

    @property
    def good(self) -> bool:
        """Whether it is on disk."""
        return not self.problem


NOTHING = np.zeros(0, np.int64)


class Labelling:
    """Labels objects for a session.

    Parameters
    ----------
    state : State
        Its `target` and `user` are written with each label, its `notice` tells what failed. (Its `labels_version` rises
        when the store tells every session of the change.)
    store : Store
    """

    def __init__(self, state: State, store):
        self.state = state
        self.store = store
        self._later = 0

    def label(self, rows, value: str, *, view: dict | None = None, target: str | None = None) -> Outcome:
        """Give objects a verdict.

        Parameters
        ----------
        rows : (n,) int
            Row numbers.
        value : 'yes' | 'no' | 'unsure'
        view : dict, optional
            Where it was given (tab, order, position): kept in the log with the layout and the stretch.
        target : str, optional
            The session's, if not given; a confirmation names the one it was asked for.
        """
        try:
            write = self._writing(rows, value, view, target)
            return Outcome(write())
        except UserError as error:
            return self._failed(error)

    def label_later(
        self,
        rows,
        value: str,
        background: Background,
        done: Callable[[Outcome], None],
        *,
        view: dict | None = None,
        target: str | None = None,
    ) -> None:
        """Like `label`, in the session's thread; ``done(outcome)`` is called on the event loop."""
        self._later += 1
        try:
            write = self._writing(rows, value, view, target)
        except UserError as error:
            done(self._failed(error))
            return
        background.run(
            f"label {self._later}", write, lambda rows: done(Outcome(rows)), lambda error: done(self._failed(error))
        )

    def undo(self) -> Outcome:
        """Take back the session's last verdict on the current target, one object or a whole selection."""
        try:
            undone = self.store.undo(self.state.user, self.state.target)
        except UserError as error:
            return self._failed(error)
        if undone is None:
            self.state.notice = ("info", f"Nothing to undo for ‘{self.state.target}’.")
            return Outcome(NOTHING)
        rows = np.asarray(undone.rows, np.int64)
        if len(rows) > 1:
            self.state.notice = ("info", f"Took back {len(rows):,} labels of ‘{self.state.target}’.")
        return Outcome(rows)

    def _writing(self, rows, value: str, view: dict | None, target: str | None) -> Callable[[], np.ndarray]:
        """Check, and return what writes: it touches nothing of the session, so that a thread can call it."""
        rows = self._checked(rows, value)
        options = {"target": target or self.state.target, "user": self.state.user, "view": self._view(view)}

        def write() -> np.ndarray:
            try:
                self.store.label(rows, value, **options)
            except OSError as error:
                raise UserError(
                    f"the label could not be written ({error})", "free some space, then label it again"
                ) from error
            return rows

        return write

    def _checked(self, rows, value: str) -> np.ndarray:
        rows = np.atleast_1d(np.asarray(rows, np.int64))
        if value not in VERDICTS:
            raise UserError(f"{value!r} is no verdict", f"use one of: {', '.join(VERDICTS)}")
        if not self.state.target.strip():
            raise UserError("no target is set", "name what you are looking for in the top bar, such as ‘dwarf’")
        if rows.size == 0:
            raise UserError("there is no object to label", "click one, or select some on the map")
        if rows.size > MOST:
            raise UserError(
                f"{rows.size:,} objects are too many to label at once",
                f"select at most {MOST:,} and look at them first",
            )
        if rows.min() < 0 or rows.max() >= self.store.n:
            raise UserError("the object is not in this survey", "reload the page")
        return rows

    def _view(self, view: dict | None) -> dict:
        return {"tab": self.state.tab, "sort": self.state.sort, "layout": self.state.layout, **(view or {})}

    def _failed(self, error: UserError) -> Outcome:
        self.state.notice = ("error", f"Not saved: {error}")
        return Outcome(NOTHING, str(error))
