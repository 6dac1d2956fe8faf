"""The label log: who said what about which object, when, and looking at what. Nothing is ever rewritten.

An append-only SQLite table in write-ahead mode. A label is an event; an undo is a compensating event that names the
event it takes back; the current state is a view, *the latest event of an object and target that was not taken back*.
Every write is one transaction and is on the disk when the call returns, so a crash loses nothing that was acknowledged.
Several threads and several processes may write; readers never wait for writers. 100,000 labels in one batch cost about
a second.
"""

from __future__ import annotations

import datetime
import json
import numbers
import sqlite3
import threading
import time
import uuid
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.errors import UserError
from engine.survey import check_name

#: Seconds that a writer waits for another process's transaction before it gives up.
PATIENCE = 15.0
#: Largest rating; ratings are the integers from 0 to it.
TOP_RATING = 5
#: Values of a yes/no target.
VERDICTS = ("yes", "no", "unsure")

_CREATE = """
CREATE TABLE events (
    event INTEGER PRIMARY KEY,
    time TEXT NOT NULL,
    user TEXT NOT NULL,
    row INTEGER NOT NULL,
    id TEXT NOT NULL,
    target TEXT NOT NULL,
    value TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('verdict', 'class', 'rating', 'undo')),
    undoes INTEGER UNIQUE REFERENCES events (event),
    batch TEXT NOT NULL,
    representation TEXT,
    layout TEXT,
    view TEXT,
    comment TEXT,
    CHECK ((kind = 'undo') = (undoes IS NOT NULL))
);
CREATE INDEX events_by_target ON events (target, row);
CREATE INDEX events_by_object ON events (row);
CREATE INDEX events_by_batch ON events (batch);
CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'the label log is append-only'); END;
CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
    BEGIN SELECT RAISE(ABORT, 'the label log is append-only'); END;
CREATE VIEW standing AS
    SELECT * FROM events AS e
    WHERE kind <> 'undo' AND NOT EXISTS (SELECT 1 FROM events AS u WHERE u.undoes = e.event);
CREATE VIEW current_by_user AS
    SELECT row, id, target, user, value, kind, time, MAX(event) AS event FROM standing GROUP BY row, target, user;
CREATE VIEW current AS
    SELECT row, id, target, user, value, kind, time, MAX(event) AS event FROM current_by_user GROUP BY row, target;
"""
# A bare column beside MAX() takes its value from the row that holds the maximum: SQLite documents this.

#: Steps that bring a log from version i to i+1; the last one's number is what `PRAGMA user_version` says.
MIGRATIONS: tuple[str, ...] = (_CREATE,)

_COLUMNS = (
    "time",
    "user",
    "row",
    "id",
    "target",
    "value",
    "kind",
    "undoes",
    "batch",
    "representation",
    "layout",
    "view",
    "comment",
)
_INSERT = f"INSERT INTO events ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"


@dataclass(frozen=True)
class Event:
    """One line of the log; see the module."""

    event: int
    time: str
    user: str
    row: int
    id: str
    target: str
    value: str
    kind: str
    undoes: int | None
    batch: str
    representation: str | None
    layout: str | None
    view: dict | None
    comment: str | None


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
    """What an undo took back.

    Attributes
    ----------
    rows : (m,) int64
    target : str
    values : (m,) object
        The value each row has now: an earlier label, or None.
    """

    rows: np.ndarray
    target: str
    values: np.ndarray


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


class LabelLog:
    """The log of one survey; see the module. May be shared by threads.

    Parameters
    ----------
    path : path
        The SQLite file. It is made by the first label, so that looking at a survey writes nothing.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._reading, self._writing = threading.RLock(), threading.RLock()
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None

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
        view: dict | None = None,
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
        view : dict, optional
            More about that (ranges, colouring, sort); stored as JSON.
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
        check_name(target)
        _check_user(user)
        batch, now = uuid.uuid4().hex, _now()
        seen = None if view is None else json.dumps(view, ensure_ascii=False)
        lines = (
            (now, user, row, name, target, text, kind, None, batch, representation, layout, seen, comment)
            for row, name, (text, kind) in zip(rows.tolist(), ids, values)
        )
        with self._transaction() as connection:
            return Batch(batch, _append(connection, lines))

    def undo(self, user: str, target: str | None = None) -> Undone | None:
        """Take back the user's last batch that has not been taken back yet; call again to go further back.

        Parameters
        ----------
        user : str
        target : str, optional
            Only batches of this target.

        Returns
        -------
        Undone or None
            None if there is nothing left to take back.
        """
        if not self.path.exists():
            return None
        only, values = ("", (user,)) if target is None else ("AND target = ?", (user, target))
        with self._transaction() as connection:
            last = connection.execute(
                f"SELECT batch, target FROM standing WHERE user = ? {only} ORDER BY event DESC LIMIT 1", values
            ).fetchone()
            if last is None:
                return None
            events = connection.execute(
                "SELECT event, row, id FROM standing WHERE batch = ? ORDER BY event", (last[0],)
            ).fetchall()
            batch, now = uuid.uuid4().hex, _now()
            _append(
                connection,
                (
                    (now, user, row, name, last[1], "", "undo", event, batch, None, None, None, None)
                    for event, row, name in events
                ),
            )
            restored = [self._value(connection, row, last[1]) for _, row, _ in events]
        return Undone(np.array([row for _, row, _ in events], np.int64), last[1], _objects(restored))

    @staticmethod
    def _value(connection: sqlite3.Connection, row: int, target: str) -> str | None:
        found = connection.execute(
            "SELECT value FROM standing WHERE row = ? AND target = ? ORDER BY event DESC LIMIT 1", (row, target)
        ).fetchone()
        return None if found is None else found[0]

    # -- reading ------------------------------------------------------------------------------------------------------

    @property
    def version(self) -> int:
        """Number of the last event, 0 for an empty log; changes when and only when the log does. Costs microseconds."""
        return self._read("SELECT MAX(event) FROM events")[0][0] or 0 if self.path.exists() else 0

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
            "SELECT row, value, kind, user, MAX(event) AS event FROM standing WHERE target = ?"
            " GROUP BY row ORDER BY event",
            (target,),
        )
        rows, values, kinds, users, events = zip(*found) if found else ((),) * 5
        return Current(
            np.array(rows, np.int64), _objects(values), _objects(kinds), _objects(users), np.array(events, np.int64)
        )

    def targets(self) -> dict[str, dict[str, int]]:
        """How many objects have which value now: target → value → count."""
        counts: dict[str, dict[str, int]] = {}
        for target, value, count in self._read(
            "SELECT target, value, COUNT(*) FROM current GROUP BY target, value ORDER BY target, value"
        ):
            counts.setdefault(target, {})[value] = count
        return counts

    def history(self, row: int) -> list[Event]:
        """Everything that was said about one object, undos included, oldest first."""
        return _events(self._read("SELECT * FROM events WHERE row = ? ORDER BY event", (int(row),)))

    def since(self, event: int) -> list[Event]:
        """Events after `event`, oldest first."""
        return _events(self._read("SELECT * FROM events WHERE event > ? ORDER BY event", (int(event),)))

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        with self._writing, self._reading:
            for connection in (self._writer, self._reader):
                if connection is not None:
                    connection.close()
            self._writer = self._reader = None

    # -- connections --------------------------------------------------------------------------------------------------

    def _read(self, query: str, values: tuple = ()) -> list[tuple]:
        if not self.path.exists():
            return []
        with self._reading, self._explained():
            if self._reader is None:
                self._reader = self._open_reader()
            return self._reader.execute(query, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """One writing transaction: all of it is on the disk at the end, or nothing if anything was raised."""
        with self._writing, self._explained():
            if self._writer is None:
                self._writer = self._open_writer()
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:  # SQLite itself rolls back when the disk is full
                    self._writer.execute("ROLLBACK")
                raise

    def _connect(self, options: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self.path.resolve().as_uri()}?{options}",
            uri=True,
            timeout=PATIENCE,
            isolation_level=None,
            check_same_thread=False,
        )
        weakref.finalize(self, connection.close)
        return connection

    def _open_writer(self) -> sqlite3.Connection:
        connection = self._connect("mode=rwc")
        _use_write_ahead_log(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        try:
            _migrate(connection, self.path)
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        return connection

    def _open_reader(self) -> sqlite3.Connection:
        try:
            connection = self._connect("mode=rw")
            state = connection.execute("PRAGMA user_version").fetchone()[0]
        except sqlite3.OperationalError:  # a read-only disk cannot hold the shared-memory file beside the log
            connection = self._connect("immutable=1")
            state = connection.execute("PRAGMA user_version").fetchone()[0]
        if state != len(MIGRATIONS):  # another process is making it at this moment, or it is old, or newer than us
            connection.close()
            self._open_writer().close()
            connection = self._connect("mode=rw")
        connection.execute("PRAGMA query_only = ON")
        return connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except sqlite3.DatabaseError as error:
            raise UserError(f"the label log {self.path} cannot be used ({error})", _remedy(str(error))) from error


def _append(connection: sqlite3.Connection, lines: Iterable[tuple]) -> range:
    """Insert events; inside one transaction their numbers are consecutive."""
    first = (connection.execute("SELECT MAX(event) FROM events").fetchone()[0] or 0) + 1
    connection.executemany(_INSERT, lines)
    return range(first, connection.execute("SELECT MAX(event) FROM events").fetchone()[0] + 1)


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead logging; SQLite does not wait for locks here, so we do."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the log to this program's version, inside the transaction that is open."""
    state = connection.execute("PRAGMA user_version").fetchone()[0]
    if state > len(MIGRATIONS):
        raise UserError(
            f"the label log {path} has version {state}, newer than this program's {len(MIGRATIONS)}",
            "update Skysieve and open it again",
        )
    for step in MIGRATIONS[state:]:
        for statement in _statements(step):
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _statements(script: str) -> Iterator[str]:
    """Split SQL where statements end; `executescript` would commit the transaction."""
    collected = ""
    for line in script.splitlines(keepends=True):
        collected += line
        if sqlite3.complete_statement(collected):
            yield collected
            collected = ""


def _events(lines: list[tuple]) -> list[Event]:
    names = ("event", *_COLUMNS)
    return [
        Event(**{**dict(zip(names, line)), "view": None if line[12] is None else json.loads(line[12])})
        for line in lines
    ]


def _objects(values: Iterable) -> np.ndarray:
    values = list(values)
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def _check_user(user: str) -> None:
    if not isinstance(user, str) or not user.strip() or len(user) > 100:
        raise UserError(f"{user!r} cannot be used as the name of a user", "give a name of 1 to 100 characters")


def _remedy(message: str) -> str:
    """What to do about what SQLite says."""
    remedies = {
        "locked": "close other programs that use it, or try again in a moment; the label was not stored",
        "readonly": "allow writing to the survey folder; the label was not stored",
        "full": "make space on the disk; the label was not stored",
        "unable to open": "check that the survey folder exists and can be written",
        "not a database": "restore it from a backup, or move it away to start a new log",
        "malformed": "restore it from a backup, or recover it with `sqlite3 labels.sqlite .recover`",
    }
    unknown = "check the disk and the folder's permissions"
    return next((remedy for word, remedy in remedies.items() if word in message), unknown)
