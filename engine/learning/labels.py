"""The label log: who said what about which object, when, and looking at what. Nothing is ever rewritten.

A label is an event of an append-only log (`engine.learning.events`); an undo is a compensating event that names the event
it takes back; a redo says the same again, and names the undo. The current state is a view, *the latest event of an object
and target that was not taken back*. 100,000 labels in one batch cost about a second.
"""

from __future__ import annotations

import json
import numbers
import sqlite3
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.errors import UserError
from engine.learning.events import EventLog, append, now
from engine.survey import check_name

#: Largest rating; ratings are the integers from 0 to it.
TOP_RATING = 5
#: Values of a yes/no target.
VERDICTS = ("yes", "no", "unsure")
#: Targets that hold no labels but what `engine.learning.remarks` keeps: older programs see them as targets like others.
COMMENTS, REVIEWS = "comment", "review later"
RESERVED = (COMMENTS, REVIEWS)
#: Rows from which earlier labels are read all together.
MANY = 500
#: As many objects as SQLite can number.
EVERY = 2**63 - 1


@dataclass(frozen=True)
class Batch:
    """Labels given at one stroke: what one undo takes back.

    Attributes
    ----------
    id : str
    events : range
        Their event numbers, in the order of the rows given.
    """

    id: str
    events: range


@dataclass(frozen=True)
class Undone:
    """What an undo took back, or a redo gave again.

    Attributes
    ----------
    rows : (m,) int64
    target : str
    values : (m,) object
        The value each row has now: an earlier label, or None.
    before : (m,) object
        The value that was taken back; None after a redo.
    """

    rows: np.ndarray
    target: str
    values: np.ndarray
    before: np.ndarray


@dataclass(frozen=True)
class Current:
    """The labels of one target that stand, in the order in which they were given.

    Attributes
    ----------
    rows : (m,) int64
    values : (m,) object
        Strings.
    kinds : (m,) object
        ``verdict``, ``class`` or ``rating``.
    users : (m,) object
    events : (m,) int64
    """

    rows: np.ndarray
    values: np.ndarray
    kinds: np.ndarray
    users: np.ndarray
    events: np.ndarray

    @property
    def responses(self) -> np.ndarray:
        """(m,) float64: what the Gaussian process learns from, NaN where it learns nothing."""
        return np.array([response(value, kind) for value, kind in zip(self.values, self.kinds)], np.float64)


def parse_value(value) -> tuple[str, str]:
    """Read a label as people and programs write it.

    Parameters
    ----------
    value : str, bool or number
        ``"yes"``, ``"no"``, ``"unsure"`` in any case; True, False, 1 and 0 mean yes and no; a rating is ``"0"`` to
        ``"5"`` or a whole number from 2 to 5; any other text is a class. (So ratings of 0 and 1 are given as text.)

    Returns
    -------
    value, kind : str
        The value as it is stored, and ``verdict``, ``rating`` or ``class``.

    Raises
    ------
    UserError
        If it is none of these.
    """
    if isinstance(value, (bool, np.bool_)) or (isinstance(value, numbers.Real) and value in (0, 1)):
        return ("yes" if value else "no"), "verdict"
    if isinstance(value, numbers.Real):
        if not float(value).is_integer():
            raise UserError(f"{value!r} is not a label", f"rate with whole numbers from 0 to {TOP_RATING}")
        return _rating(str(int(float(value))))
    if not isinstance(value, str):
        raise UserError(
            f"{value!r} is not a label", f"give yes, no, unsure, a rating from 0 to {TOP_RATING} or a class"
        )
    text = value.strip()
    if text.lower() in VERDICTS:
        return text.lower(), "verdict"
    if text.lstrip("+-").isdecimal():
        return _rating(text)
    return check_name(text), "class"


def _rating(text: str) -> tuple[str, str]:
    if not 0 <= int(text) <= TOP_RATING:
        raise UserError(f"{text} is no rating", f"rate with whole numbers from 0 to {TOP_RATING}")
    return str(int(text)), "rating"


def response(value: str, kind: str) -> float:
    """Return the number a label stands for in the Gaussian process.

    yes → 1, no → 0, a rating r → r/5. Unsure and classes → NaN: they teach it nothing.
    """
    if kind == "rating":
        return int(value) / TOP_RATING
    return {"yes": 1.0, "no": 0.0}.get(value, np.nan) if kind == "verdict" else np.nan


class LabelLog(EventLog):
    """The labels of one survey; see the module, and `engine.learning.events.EventLog`.

    Parameters
    ----------
    path : path
        The SQLite file.
    objects : int, optional
        How many objects the survey has. Labels of others, removed since, stay in the log and count for nothing.
    """

    def __init__(self, path: str | Path, *, objects: int | None = None):
        super().__init__(path)
        self._objects = EVERY if objects is None else objects

    # -- writing ------------------------------------------------------------------------------------------------------

    def add(
        self,
        rows: Sequence[int] | np.ndarray,
        target: str,
        value,
        *,
        ids: Iterable[str],
        user: str,
        representation: str | None = None,
        layout: str | None = None,
        view: dict | Sequence[dict | None] | None = None,
        comment: str | None = None,
    ) -> Batch:
        """Label objects, as one batch that is on the disk when this returns.

        Parameters
        ----------
        rows : (m,) int
        target : str
            What is looked for: "dwarf", "lens", "artefact".
        value : label, or m labels
            See `parse_value`.
        ids : m str
            Ids of the same objects: the log stays readable without the survey.
        user : str
        representation, layout : str, optional
            What the user was looking at.
        view : dict, or m of them, optional
            More about that (ranges, colouring, sort; how the object was drawn); stored as JSON.
        comment : str, optional

        Raises
        ------
        UserError
            If the target, a value or the user cannot be stored, or the log cannot be written.
        """
        rows, ids = np.asarray(rows, np.int64).ravel(), [str(i) for i in ids]
        if len(rows) == 0 or len(rows) != len(ids):
            raise ValueError(f"{len(rows)} rows and {len(ids)} ids")
        one = isinstance(value, str) or np.ndim(value) == 0
        values = [parse_value(value)] * len(rows) if one else [parse_value(v) for v in value]
        if len(values) != len(rows):
            raise ValueError(f"{len(rows)} rows and {len(values)} values")
        if check_name(target) in RESERVED:
            raise UserError(f"{target!r} is the log's own word", "call the target something else")
        return self._add(rows, ids, values, target, user, (representation, layout, view), comment)

    def _add(self, rows, ids, values, target, user, seen, comment) -> Batch:
        """Write a batch; `seen`: representation, layout and view."""
        check_user(user)
        batch, time = uuid.uuid4().hex, now()
        representation, layout, view = seen
        texts = [_json(view)] * len(ids) if view is None or isinstance(view, dict) else [_json(one) for one in view]
        lines = (
            (time, user, row, name, target, value, kind, None, batch, representation, layout, text, comment)
            for row, name, (value, kind), text in zip(np.asarray(rows).tolist(), ids, values, texts, strict=True)
        )
        with self._transaction() as connection:
            return Batch(batch, append(connection, lines))

    def undo(self, user: str, target: str | Sequence[str] | None = None) -> Undone | None:
        """Take back the user's last batch that has not been taken back yet; call again to go further back.

        Parameters
        ----------
        user : str
        target : str or several, optional
            Only batches of these; any if not given.

        Returns
        -------
        Undone or None
            None if there is nothing left to take back.
        """
        if not self.path.exists():
            return None
        only, values = _only(target)
        with self._transaction() as connection:
            last = connection.execute(
                f"SELECT batch, target FROM standing WHERE user = ? {only} ORDER BY event DESC LIMIT 1", (user, *values)
            ).fetchone()
            return None if last is None else self._take_back(connection, user, *last)

    def _take_back(self, connection: sqlite3.Connection, user: str, batch: str, target: str) -> Undone:
        events = connection.execute(
            "SELECT event, row, id, value FROM standing WHERE batch = ? ORDER BY event", (batch,)
        ).fetchall()
        undo, time = uuid.uuid4().hex, now()
        append(
            connection,
            (
                (time, user, row, name, target, "", "undo", event, undo, None, None, None, None)
                for event, row, name, _ in events
            ),
        )
        rows = [row for _, row, _, _ in events]
        return Undone(
            np.array(rows, np.int64),
            target,
            _objects(_values(connection, rows, target)),
            _objects(e[3] for e in events),
        )

    def redo(self, user: str, target: str | Sequence[str] | None = None) -> Undone | None:
        """Give again what the user's last undo took back; call again to go further forward.

        A label given after an undo ends that: there is nothing to redo then.

        Parameters
        ----------
        user : str
        target : str or several, optional
            Only batches of these; any if not given.

        Returns
        -------
        Undone or None
            None if there is nothing to give again.
        """
        if not self.path.exists():
            return None
        with self._transaction() as connection:
            undo = _last_undo(connection, user, target)
            return None if undo is None else self._give_again(connection, user, undo)

    def _give_again(self, connection: sqlite3.Connection, user: str, undo: str) -> Undone:
        events = connection.execute(
            "SELECT row, id, target, value, kind, representation, layout, view, comment FROM events WHERE event IN"
            " (SELECT undoes FROM events WHERE batch = ?) ORDER BY event",
            (undo,),
        ).fetchall()
        batch, time, target = uuid.uuid4().hex, now(), events[0][2]
        rows = [event[0] for event in events]
        before = _values(connection, rows, target)
        view = json.dumps({**json.loads(events[0][7] or "{}"), "redo": undo}, ensure_ascii=False)
        append(
            connection,
            (
                (time, user, row, name, target, value, kind, None, batch, representation, layout, view, comment)
                for row, name, _, value, kind, representation, layout, _, comment in events
            ),
        )
        return Undone(np.array(rows, np.int64), target, _objects(event[3] for event in events), _objects(before))

    # -- reading ------------------------------------------------------------------------------------------------------

    def latest(self, target: str) -> int:
        """Number of the last event of a target, undo included; 0 if there is none."""
        return (
            self._read("SELECT MAX(event) FROM events WHERE target = ?", (target,))[0][0] or 0
            if self.path.exists()
            else 0
        )

    def current(self, target: str) -> Current:
        """The labels of `target` that stand."""
        found = self._read(  # the view `current` of one target, in a form that SQLite answers from an index
            "SELECT row, value, kind, user, MAX(event) AS event FROM standing WHERE target = ? AND row < ?"
            " GROUP BY row ORDER BY event",
            (target, self._objects),
        )
        rows, values, kinds, users, events = zip(*found) if found else ((),) * 5
        return Current(
            np.array(rows, np.int64), _objects(values), _objects(kinds), _objects(users), np.array(events, np.int64)
        )

    def changes(self, target: str, since: int) -> list[tuple[int, str, str, int]] | None:
        """What became of the objects that were labelled, or whose label was taken back, after an event.

        Returns
        -------
        list of (row, value, kind, event), or None
            The label that stands, ``(row, "", "", 0)`` if none does; None if there are more than `MANY`: read `current`.
        """
        touched = self._read(
            "SELECT DISTINCT row FROM events WHERE +target = ? AND event > ? AND row < ? LIMIT ?",
            (target, since, self._objects, MANY + 1),
        )
        if len(touched) > MANY:
            return None
        last = "SELECT value, kind, event FROM standing WHERE row = ? AND target = ? ORDER BY event DESC LIMIT 1"
        found = [(row, self._read(last, (row, target))) for (row,) in touched]
        return [(row, *(stands[0] if stands else ("", "", 0))) for row, stands in found]

    def drawn(self, target: str) -> dict[int, str]:
        """How the objects of labels that stand were drawn: number of the event → "best", "random", … where it was noted."""
        found = self._read(
            "SELECT event, json_extract(view, '$.drawn') FROM standing"
            " WHERE target = ? AND json_extract(view, '$.drawn') IS NOT NULL",
            (target,),
        )
        return dict(found)

    def targets(self) -> dict[str, dict[str, int]]:
        """How many objects have which value now: target → value → count."""
        counts: dict[str, dict[str, int]] = {}
        for target, value, count in self._read(
            "SELECT target, value, COUNT(*) FROM current WHERE row < ? GROUP BY target, value ORDER BY target, value",
            (self._objects,),
        ):
            if target not in RESERVED:
                counts.setdefault(target, {})[value] = count
        return counts


def _json(view: dict | None) -> str | None:
    return None if view is None else json.dumps(view, ensure_ascii=False)


def _only(target: str | Sequence[str] | None) -> tuple[str, tuple]:
    """The condition that an event is of these targets, and its values.

    The plus keeps SQLite from the index of targets: it would sort a million events to find the last.
    """
    names, inside = (
        (RESERVED, "NOT IN") if target is None else ((target,) if isinstance(target, str) else tuple(target), "IN")
    )
    return f"AND +target {inside} ({', '.join('?' * len(names))})", names


def _last_undo(connection: sqlite3.Connection, user: str, target: str | Sequence[str] | None) -> str | None:
    """The batch of the last undo that was not given again, unless a label came after it.

    Goes back a batch at a time: a redo pairs with an undo before it.
    """
    only, values = _only(target)
    paired, before = 0, 2**62
    while True:
        found = connection.execute(
            f"SELECT batch, kind, view FROM events WHERE user = ? {only} AND event < ? ORDER BY event DESC LIMIT 1",
            (user, *values, before),
        ).fetchone()
        if found is None:
            return None
        batch, kind, view = found
        if kind == "undo" and not paired:
            return batch
        if kind != "undo" and "redo" not in json.loads(view or "{}"):
            return None
        paired += -1 if kind == "undo" else 1
        before = connection.execute(
            "SELECT event FROM events WHERE batch = ? ORDER BY event LIMIT 1", (batch,)
        ).fetchone()[0]


def _values(connection: sqlite3.Connection, rows: list[int], target: str) -> list[str | None]:
    """The label of each row that stands now."""
    if len(rows) > MANY:
        standing = connection.execute(
            "SELECT row, value, MAX(event) FROM standing WHERE target = ? GROUP BY row", (target,)
        )
        known = {row: value for row, value, _ in standing}
        return [known.get(row) for row in rows]
    last = "SELECT value FROM standing WHERE row = ? AND target = ? ORDER BY event DESC LIMIT 1"
    found = [connection.execute(last, (row, target)).fetchone() for row in rows]
    return [None if one is None else one[0] for one in found]


def _objects(values: Iterable) -> np.ndarray:
    values = list(values)
    array = np.empty(len(values), object)
    array[:] = values
    return array


def check_user(user: str) -> None:
    """Refuse what is no name of a user."""
    if not isinstance(user, str) or not user.strip() or len(user) > 100:
        raise UserError(f"{user!r} cannot be used as the name of a user", "give a name of 1 to 100 characters")
