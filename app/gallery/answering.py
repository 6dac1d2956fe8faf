"""What the browser says of objects: labels, artefacts, comments, reviews, whole lists, undo and redo.

Each message carries a token. It is answered once it is on the disk, and only once is it done: a message that is sent again,
because no answer came, is answered as before. So a label is neither lost nor given twice.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import cached_property

import numpy as np

from app.hunt.labelling import Labelling, Outcome
from app.state import State

#: Answers that are remembered, for messages that come again.
REMEMBERED = 2000
#: Objects from which a whole selection is labelled in the thread: 100,000 take 1 s.
LATER = 2000
#: What the objects of a tab are called where all of them are meant.
LISTED_AS = {"selection": "selected", "suggestions": "suggested", "similar": "similar"}


class Answering:
    """Takes what the browser says of objects.

    Parameters
    ----------
    view : GalleryView
        Its `listing`, `page` and `grid` are read; it is asked to `reveal` what was undone.
    """

    def __init__(self, view):
        self._view = view
        self._state: State = view.state
        self._labelling = Labelling(view.state, view.store)
        self._answered: OrderedDict[str, dict] = OrderedDict()
        self._asked: tuple[str, np.ndarray, str] | None = None

    @cached_property
    def actions(self) -> dict:
        """What is done with each kind of message."""
        return {
            "label": lambda m: self._once(m, self._label),
            "artefact": lambda m: self._once(m, self._artefact),
            "later": lambda m: self._once(m, self._review),
            "comment": lambda m: self._once(m, self._comment),
            "sift": lambda m: self._once(m, self._sift),
            "undo": lambda m: self._step(self._labelling.undo, "Took back", "taken back"),
            "redo": lambda m: self._step(self._labelling.redo, "Gave again", "given again"),
            "all": self._ask_all,
            "confirm": lambda m: self._label_all(),
            "cancel": lambda m: setattr(self, "_asked", None),
        }

    def _once(self, message: dict, act) -> None:
        token = str(message.get("token"))
        if token not in self._answered:
            outcome: Outcome = act(message)
            answer = {"good": outcome.good, "problem": outcome.problem}
            if outcome.good:  # what failed may be tried again
                self._answered[token] = answer
            while len(self._answered) > REMEMBERED:
                self._answered.popitem(last=False)
        else:
            answer = self._answered[token]
        self._view.grid.send("saved", token=message.get("token"), row=message.get("row"), **answer)

    # -- one object ----------------------------------------------------------------------------------------------------

    def _row(self, message: dict) -> int:
        return row_of(message, self._view.store.n)

    def _where(self) -> dict:
        return {"page": self._view.page, "order": self._state.sort}

    def _label(self, message: dict) -> Outcome:
        row = self._row(message)
        return self._labelling.label([row] if row >= 0 else [], str(message.get("value")), view=self._where())

    def _artefact(self, message: dict) -> Outcome:
        return self._labelling.artefact(self._row(message), bool(message.get("on")), view=self._where())

    def _review(self, message: dict) -> Outcome:
        return self._labelling.review(self._row(message), bool(message.get("on")))

    def _comment(self, message: dict) -> Outcome:
        return self._labelling.comment(self._row(message), str(message.get("text", "")))

    # -- many ----------------------------------------------------------------------------------------------------------

    def _sift(self, message: dict) -> Outcome:
        """A page of objects with a label each, as one batch: what the browser has shown before it was confirmed."""
        rows, values = message.get("rows", []), message.get("values", [])
        good = isinstance(rows, list) and isinstance(values, list) and len(rows) == len(values)
        if not good or not all(isinstance(row, int) for row in rows):
            rows, values = [], []
        view = {**self._where(), "sifted": len(rows)}
        outcome = self._labelling.label(rows, [str(value) for value in values], view=view)
        if outcome.good:
            self._state.notice = ("success", f"Labelled {objects(len(rows))} for ‘{self._state.target}’. z undoes it.")
        return outcome

    def _ask_all(self, message: dict) -> None:
        """First half of labelling a whole list: say what would be done and wait for the confirmation."""
        state = self._state
        whole = state.tab == "selection" and state.selection is not None
        rows = state.selection if whole else self._view.listing.rows
        value, target = str(message.get("value")), state.target
        if len(rows) == 0:
            state.notice = ("info", "There is nothing here to label.")
            return
        self._asked = (value, np.array(rows), target)
        what = objects(len(rows), LISTED_AS.get(state.tab, "listed"))
        self._view.grid.send("ask", value=value, text=f"Label {what} ‘{target}: {value}’?")

    def _label_all(self) -> None:
        if self._asked is None:
            return
        (value, rows, target), self._asked = self._asked, None
        grid = self._view.grid

        def done(outcome: Outcome) -> None:
            grid.send("done", good=outcome.good, problem=outcome.problem)
            if outcome.good:
                self._state.notice = ("success", f"Labelled {objects(len(rows))} ‘{target}: {value}’. z undoes it.")

        if len(rows) < LATER:
            done(self._labelling.label(rows, value, view={"whole": True}, target=target))
            return
        grid.send("busy", text=f"Labelling {objects(len(rows))}…")
        later = self._labelling.label_later
        later(rows, value, self._view.background, done, view={"whole": True}, target=target)

    # -- back and forth ------------------------------------------------------------------------------------------------

    def _step(self, step, did: str, done: str) -> None:
        """Undo or redo; say what it was, and go to the object."""
        outcome: Outcome = step()
        text, follows = "", False
        if outcome.undone is not None:
            text = self._told(outcome.undone, did, done)
            follows = self._view.reveal(int(outcome.rows[0])) if len(outcome.rows) == 1 else False
        self._view.grid.send("undone", good=outcome.good, problem=outcome.problem, text=text, follows=follows)

    def _told(self, undone, did: str, done: str) -> str:
        """What was taken back, or given again."""
        if len(undone.rows) > 1:
            return f"{objects(len(undone.rows))} of ‘{undone.target}’: labels {done}."
        value = undone.before[0] if did == "Took back" else undone.values[0]
        name = self._view.store.ids(undone.rows)[0]
        place = "" if self._view.listing.place(int(undone.rows[0])) else " It is not in this list: Enter opens it."
        return f"{did} ‘{undone.target}: {value}’ for {name}.{place}"


def objects(count: int, kind: str = "") -> str:
    """'1 selected object', '1,234 objects'."""
    return f"{count:,} {kind} {'object' if count == 1 else 'objects'}".replace("  ", " ")


def row_of(message: dict, count: int) -> int:
    """The row a message names, -1 if it names none of this survey."""
    row = message.get("row")
    return row if isinstance(row, int) and 0 <= row < count else -1
