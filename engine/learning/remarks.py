"""Remarks on objects: comments, and what a person wants to see again. They belong to the object, not to one target.

Both are events of the label log, under two names that are no targets (`engine.learning.labels.RESERVED`): a program that
knows nothing of them sees two targets more. A comment is also what was written with a label (``comment=``). What stands is
kept in memory and follows the log by its new events alone: microseconds after each label, however long the log is.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from engine.errors import UserError
from engine.learning.events import EventLog, append, now
from engine.learning.labels import COMMENTS, RESERVED, REVIEWS, LabelLog, check_user

#: Characters of a comment.
LONGEST = 2000

_NEW = f"""
SELECT event, row, user, target, time, comment, undoes FROM events AS e WHERE event > ? AND (
    (kind <> 'undo' AND (comment <> '' OR target IN {RESERVED!r}))
    OR (kind = 'undo' AND EXISTS (
        SELECT 1 FROM events AS t WHERE t.event = e.undoes AND (t.comment <> '' OR t.target IN {RESERVED!r}))))
ORDER BY event
"""


@dataclass(frozen=True)
class Comment:
    """What somebody wrote about an object: row, user, time (ISO 8601, UTC), text."""

    row: int
    user: str
    time: str
    text: str


class Remarks:
    """Comments and reviews of one survey. May be shared by threads.

    Parameters
    ----------
    log : LabelLog
    """

    def __init__(self, log: LabelLog):
        self._log = log
        self._lock = threading.Lock()
        self._seen = 0
        self._comments: dict[int, Comment] = {}  # event → what stands
        self._of: dict[int, list[int]] = {}  # row → events of its comments
        self._reviews: dict[str, dict[int, int]] = {}  # user → row → event
        self._flagged: dict[int, tuple[str, int]] = {}  # event → user and row

    # -- writing ------------------------------------------------------------------------------------------------------

    def comment(self, row: int, text: str, *, id: str, user: str) -> None:
        """Write what the user has to say of an object, in place of what the same user said alone before.

        Parameters
        ----------
        row : int
        text : str
            Empty: take back what was said.
        id : str
            Of the same object.
        user : str

        Raises
        ------
        UserError
            If the text is too long, or the log cannot be written.
        """
        text = text.strip()
        if len(text) > LONGEST:
            raise UserError(f"the comment has {len(text):,} characters", f"write at most {LONGEST:,}")
        self._replace(COMMENTS, row, user, id, text or None)

    def review(self, row: int, later: bool, *, id: str, user: str) -> None:
        """Note that the user wants to see an object again, or does no longer."""
        self._replace(REVIEWS, row, user, id, "" if later else None)

    def _replace(self, target: str, row: int, user: str, name: str, text: str | None) -> None:
        """Take back what stands of one kind, object and user, and write what comes in its place, as one transaction."""
        check_user(user)
        if text is None and not self._log.path.exists():
            return
        log: EventLog = self._log
        with log._transaction() as connection:
            old = connection.execute(
                "SELECT event FROM standing WHERE row = ? AND target = ? AND user = ?", (row, target, user)
            ).fetchall()
            batch, time = f"{now()} {row}", now()
            line = (time, user, row, name, target)
            lines: list[tuple] = [(*line, "", "undo", event, batch, None, None, None, None) for (event,) in old]
            if text is not None:
                value = ("yes", "verdict") if target == REVIEWS else ("comment", "class")
                lines.append((*line, *value, None, batch, None, None, None, text or None))
            append(connection, lines)

    # -- reading ------------------------------------------------------------------------------------------------------

    def comments(self, row: int) -> list[Comment]:
        """Comments on an object, the newest first."""
        with self._lock:
            self._follow()
            return [self._comments[event] for event in reversed(self._of.get(int(row), []))]

    def texts(self, rows: Iterable[int]) -> list[str]:
        """The newest comment on each object, empty where there is none."""
        with self._lock:
            self._follow()
            found = [self._of.get(int(row)) for row in rows]
            return [self._comments[events[-1]].text if events else "" for events in found]

    def commented(self, words: str = "") -> np.ndarray:
        """Objects with a comment that has these words, in any case and order; the newest first, (n,) int64."""
        wanted = words.casefold().split()
        with self._lock:
            self._follow()
            said = [c for c in reversed(self._comments.values()) if all(w in c.text.casefold() for w in wanted)]
        return np.array(list(dict.fromkeys(c.row for c in said)), np.int64)

    def to_review(self, user: str) -> np.ndarray:
        """Objects that the user wants to see again, the newest first, (n,) int64."""
        with self._lock:
            self._follow()
            return np.array(list(reversed(self._reviews.get(user, {}))), np.int64)

    def reviewed_later(self, rows: Sequence[int] | np.ndarray, user: str) -> np.ndarray:
        """Whether the user wants to see each object again, (n,) bool."""
        with self._lock:
            self._follow()
            flagged = self._reviews.get(user, {})
            return np.array([int(row) in flagged for row in rows], bool)

    def _follow(self) -> None:
        """Take what the log says since."""
        version = self._log.version
        if version == self._seen:
            return
        for event, row, user, target, time, comment, undoes in self._log._read(_NEW, (self._seen,)):
            if undoes is not None:
                self._forget(undoes)
            elif target == REVIEWS:
                self._reviews.setdefault(user, {})[row] = event
                self._flagged[event] = (user, row)
            else:
                self._comments[event] = Comment(row, user, time, comment)
                self._of.setdefault(row, []).append(event)
        self._seen = version

    def _forget(self, event: int) -> None:
        if event in self._comments:
            self._of[self._comments.pop(event).row].remove(event)
        elif event in self._flagged:
            user, row = self._flagged.pop(event)
            if self._reviews[user].get(row) == event:
                del self._reviews[user][row]
