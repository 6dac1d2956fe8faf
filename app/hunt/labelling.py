"""Answers: the one place that turns a key, a click or a whole selection into labels of the current target.

What a target takes decides the keys: verdicts y, n, u; ratings their digits 0-5; classes the digits from 1; u, unsure, in all of
them. A label is on disk when `Labelling.label` returns (about 2 ms for one object, 1 s for 100,000); ranking anew is the
store's worker's business. What goes wrong becomes a notice and an `Outcome` that says so; nothing is raised at a view.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from app.background import Background
from app.hunt.codes import codes_of
from app.state import State
from engine.errors import UserError
from engine.learning.labels import TOP_RATING, Undone
from engine.learning.targets import Target

#: Verdicts a key can give, and their codes (`app.hunt.codes.LABEL_CODES`).
VERDICTS = {"yes": 1, "no": 2, "unsure": 3}
#: The target under which what is no galaxy is noted, whatever is hunted.
ARTEFACT = "artefact"
#: Objects one confirmation may label; more is a query's work, not an eye's, and every session reads them all anew: a million
#: took 8 s to write, 700 MB in the log, and as long to take back.
MOST = 200_000

_SIGNS = {"yes": ("y", "✓"), "no": ("n", "×"), "unsure": ("u", "?")}


@dataclass(frozen=True)
class Answer:
    """One thing that can be said of an object: the key that says it, the value in the log, its sign, and its code."""

    key: str
    value: str
    sign: str
    code: int


@dataclass(frozen=True)
class Outcome:
    """What became of a label.

    Attributes
    ----------
    rows : (n,) int64
        Objects whose label changed; empty if it failed or there was nothing to undo.
    problem : str
        Why nothing was written; empty if it was.
    undone : Undone, optional
        After an undo or a redo: of what, and which labels.
    """

    rows: np.ndarray
    problem: str = ""
    undone: Undone | None = None

    @property
    def good(self) -> bool:
        """Whether it is on disk."""
        return not self.problem


NOTHING = np.zeros(0, np.int64)


def answers(target: Target) -> tuple[Answer, ...]:
    """What can be said of an object, in the order of the keys."""
    codes = codes_of(target)
    if target.kind == "verdicts":
        keyed = []
    elif target.kind == "ratings":
        keyed = [(str(k), str(k)) for k in range(TOP_RATING + 1)]
    else:
        keyed = [(str(k), name) for k, name in enumerate(target.classes, start=1)]
    said = [Answer(key, value, key, codes[value]) for key, value in keyed]
    words = VERDICTS if target.kind == "verdicts" else ("unsure",)
    return (*said, *(Answer(_SIGNS[word][0], word, _SIGNS[word][1], codes[word]) for word in words))


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

    def label(
        self, rows, value: str | Sequence[str], *, view: dict | None = None, target: str | None = None
    ) -> Outcome:
        """Label objects, as one batch that one undo takes back.

        Parameters
        ----------
        rows : (n,) int
            Row numbers.
        value : str or n of them
            See `answers`.
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
        value: str | Sequence[str],
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
        """Take back the user's last label of the current target, or artefact; one object or a whole selection."""
        return self._stepped(self.store.undo, "Took back", "Nothing to undo")

    def redo(self) -> Outcome:
        """Give again what `undo` took back last."""
        return self._stepped(self.store.redo, "Gave again", "Nothing to redo")

    def _stepped(self, step, words: str, nothing: str) -> Outcome:
        target = self.state.target
        try:
            undone = step(self.state.user, tuple({target, ARTEFACT}))
        except UserError as error:
            return self._failed(error)
        if undone is None:
            self.state.notice = ("info", f"{nothing} for ‘{target}’.")
            return Outcome(NOTHING)
        rows = np.asarray(undone.rows, np.int64)
        if len(rows) > 1:
            self.state.notice = ("info", f"{words} {len(rows):,} labels of ‘{undone.target}’.")
        return Outcome(rows, undone=undone)

    def artefact(self, row: int, on: bool, *, view: dict | None = None) -> Outcome:
        """Say that an object is an artefact, or is none, whatever is hunted."""
        return self.label([row], "yes" if on else "no", view=view, target=ARTEFACT)

    def comment(self, row: int, text: str) -> Outcome:
        """Write a comment on an object; an empty one takes back what was said."""
        return self._remark(row, lambda: self.store.comment(row, text, user=self.state.user))

    def review(self, row: int, later: bool) -> Outcome:
        """Note whether to see an object again."""
        return self._remark(row, lambda: self.store.review(row, later, user=self.state.user))

    def _remark(self, row: int, write: Callable[[], None]) -> Outcome:
        try:
            self._inside(np.array([row]))
            write()
            return Outcome(np.array([row]))
        except (UserError, OSError) as error:
            return self._failed(error)

    def _writing(self, rows, value, view: dict | None, target: str | None) -> Callable[[], np.ndarray]:
        """Check, and return what writes: it touches nothing of the session, so that a thread can call it."""
        target = self.state.target if target is None else target
        rows = self._checked(rows, value, target)
        options = {"target": target, "user": self.state.user, "view": self._view(view)}

        def write() -> np.ndarray:
            try:
                self.store.label(rows, value, **options)
            except OSError as error:
                raise UserError(
                    f"the label could not be written ({error})", "free some space, then label it again"
                ) from error
            return rows

        return write

    def _checked(self, rows, value, target: str) -> np.ndarray:
        rows = np.atleast_1d(np.asarray(rows, np.int64))
        if not target.strip():
            raise UserError("no target is set", "name what you are looking for in the top bar, such as ‘dwarf’")
        if rows.size == 0:
            raise UserError("there is no object to label", "click one, or select some on the map")
        if rows.size > MOST:
            raise UserError(
                f"{rows.size:,} objects are too many to label at once",
                f"select at most {MOST:,} and look at them first",
            )
        known = [answer.value for answer in answers(self.store.target(target))]
        for one in {value} if isinstance(value, str) else set(value):
            if one not in known:
                raise UserError(f"{one!r} is no label of ‘{target}’", f"use one of: {', '.join(known)}")
        self._inside(rows)
        return rows

    def _inside(self, rows: np.ndarray) -> None:
        if rows.min() < 0 or rows.max() >= self.store.n:
            raise UserError("the object is not in this survey", "reload the page")

    def _view(self, view: dict | None) -> dict:
        return {"tab": self.state.tab, "sort": self.state.sort, "layout": self.state.layout, **(view or {})}

    def _failed(self, error: Exception) -> Outcome:
        self.state.notice = ("error", f"Not saved: {error}")
        return Outcome(NOTHING, str(error))
