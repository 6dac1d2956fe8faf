"""A survey that is being made: ingest, then vectors, then a map, each a command, the next only after the one before.

It goes on when the page that asked is closed: whoever opens the page again sees how far it is.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from app.jobs import Job, Jobs

#: Ways to a survey of this process, by where it will be.
_makings: dict[Path, Making] = {}
_lock = threading.Lock()


class Making:
    """The commands that lead to a survey.

    Parameters
    ----------
    path : path
        The survey folder.
    steps : sequence of (title, arguments)
        Arguments follow ``python -m engine``.
    """

    def __init__(self, path: Path, steps: Sequence[tuple[str, tuple[str, ...]]]):
        self.path = path
        self.steps = tuple(steps)
        self.jobs = Jobs(path, on_change=self._next)
        self._started: list[int] = []
        self._lock = threading.Lock()
        self._next()

    def _next(self) -> None:
        """Start the next step when the one before has ended well."""
        known = {job.number: job for job in self.jobs.all()}
        with self._lock:
            if len(self._started) == len(self.steps):
                return
            if self._started and known[self._started[-1]].state != "done":
                return
            title, arguments = self.steps[len(self._started)]
            self._started.append(len(self._started) + 1)  # jobs are numbered from one, in this order
        self.jobs.queue(title, *arguments)

    def all(self) -> list[Job | None]:
        """The job of each step, None for one that has not begun."""
        known = {job.number: job for job in self.jobs.all()}
        return [known.get(number) for number in range(1, len(self.steps) + 1)]

    @property
    def state(self) -> str:
        """'running', 'done', 'failed' or 'cancelled'."""
        states = [job.state if job is not None else "waiting" for job in self.all()]
        wrong = next((state for state in states if state in ("failed", "cancelled")), None)
        return wrong or ("done" if all(state == "done" for state in states) else "running")

    def cancel(self) -> None:
        """Stop; what is finished stays."""
        if self.jobs.current is not None:
            self.jobs.cancel(self.jobs.current.number)


def make(path: Path, steps: Sequence[tuple[str, tuple[str, ...]]]) -> Making:
    """Begin to make a survey; one that is being made already is returned instead."""
    with _lock:
        going = _makings.get(path)
        if going is None or going.state != "running":
            _makings[path] = Making(path, steps)
        return _makings[path]


def makings() -> list[Making]:
    """Every survey made by this process, the newest first."""
    with _lock:
        return list(_makings.values())[::-1]


def stop() -> None:
    """End what runs: the server is going down."""
    for making in makings():
        making.jobs.stop()
