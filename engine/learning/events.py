"""A log of events in one SQLite file: appended to, never rewritten; many threads and processes may share it.

What the events mean is `engine.learning.labels`' business; here is how they are kept. Write-ahead mode, one transaction a
write, on the disk when it returns: a crash loses nothing that was acknowledged, and readers never wait for writers.
"""

from __future__ import annotations

import datetime
import json
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.errors import UserError

#: Seconds that a writer waits for another process's transaction before it gives up.
PATIENCE = 15.0

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


class EventLog:
    """The file of a log; see the module. May be shared by threads.

    Parameters
    ----------
    path : path
        The SQLite file. It is made by the first event, so that looking at a survey writes nothing.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._reading, self._writing = threading.RLock(), threading.RLock()
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None

    @property
    def version(self) -> int:
        """Number of the last event, 0 for an empty log; changes when and only when the log does. Costs microseconds."""
        return self._read("SELECT MAX(event) FROM events")[0][0] or 0 if self.path.exists() else 0

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


def append(connection: sqlite3.Connection, lines: Iterable[tuple]) -> range:
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


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


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
