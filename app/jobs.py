"""Jobs: commands that run beside the app, one at a time, each in a process group of its own.

The app runs what a person could have typed (``python -m engine …``), reads the JSON lines it writes to stderr
(`engine.jobs.Reporter`), and can cancel it: SIGTERM, and SIGKILL a second later. What a command has finished stays on
disk.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, cast

#: Seconds between asking a command to stop and ending it; a training ends its step and writes a checkpoint.
PATIENCE = 1.0
PATIENT = {"train": 30.0, "finetune": 30.0}
#: Lines of a command's last words that are kept.
KEPT_LINES = 40
#: Finished jobs that are remembered.
REMEMBERED = 20


@dataclass(frozen=True)
class Job:
    """One command and how far it is.

    Attributes
    ----------
    title : str
        What people call it.
    arguments : tuple of str
        After ``python -m engine``.
    state : 'waiting' | 'running' | 'done' | 'failed' | 'cancelled'
    stage, done, total, rate, left
        The last report: rate per second, left in seconds (None: not known).
    message : str
        Why it failed, with the remedy.
    """

    number: int
    title: str
    arguments: tuple[str, ...]
    state: str = "waiting"
    stage: str = ""
    done: int = 0
    total: int = 0
    rate: float = 0.0
    left: float | None = None
    message: str = ""
    started: float = 0.0
    seconds: float = 0.0

    @property
    def fraction(self) -> float | None:
        """Share of the stage that is done, 0-1; None before the first report."""
        return min(1.0, self.done / self.total) if self.total > 0 else None

    @property
    def command(self) -> str:
        """What a person would type."""
        return shlex.join(["python", "-m", "engine", *self.arguments])

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state in ("done", "failed", "cancelled")


class Jobs:
    """Runs commands for one survey, one after another.

    Parameters
    ----------
    survey : path
        The survey folder, given to every command.
    on_change : callable, optional
        Called without arguments, from the job's thread, when a job's state or progress changed.
    on_done : callable, optional
        Called with the command's name, from the job's thread, when one ended well or was cancelled.
    program : sequence of str
        What is run; the arguments follow it.
    """

    def __init__(
        self,
        survey: Path,
        *,
        on_change: Callable[[], None] | None = None,
        on_done: Callable[[str], None] | None = None,
        program: Sequence[str] = (sys.executable, "-m", "engine"),
    ):
        self.survey = survey
        self.program = tuple(program)
        self._on_change = on_change or (lambda: None)
        self._on_done = on_done or (lambda command: None)
        self._lock = threading.Lock()
        self._jobs: dict[int, Job] = {}
        self._process: subprocess.Popen | None = None
        self._running: int | None = None
        self._count = 0

    def start(self, title: str, command: str, *options: str) -> Job:
        """Queue ``python -m engine COMMAND SURVEY OPTIONS``; one that waits or runs already is returned instead."""
        return self.queue(title, command, str(self.survey), *options)

    def queue(self, title: str, *arguments: str) -> Job:
        """Queue ``python -m engine ARGUMENTS``; one that waits or runs already is returned instead."""
        with self._lock:
            for job in self._jobs.values():
                if job.arguments == arguments and not job.over:
                    return job
            self._count += 1
            job = self._jobs[self._count] = Job(self._count, title, arguments)
            for number in [n for n, j in self._jobs.items() if j.over][:-REMEMBERED]:
                del self._jobs[number]
            if self._running is None:
                self._running = job.number
                threading.Thread(target=self._work, name="skysieve-jobs", daemon=True).start()
        self._on_change()
        return job

    def all(self) -> list[Job]:
        """Every job that is remembered, the newest first."""
        with self._lock:
            return sorted(self._jobs.values(), key=lambda j: -j.number)

    @property
    def current(self) -> Job | None:
        """The job that runs, or None."""
        with self._lock:
            return self._jobs.get(self._running) if self._running is not None else None

    def cancel(self, number: int) -> None:
        """Stop a job that runs, or take one that waits out of the queue."""
        with self._lock:
            job = self._jobs.get(number)
            if job is None or job.over:
                return
            self._jobs[number] = replace(job, state="cancelled")
            process = self._process if number == self._running else None
        if process is not None:
            patience = PATIENT.get(job.arguments[0], PATIENCE)
            threading.Thread(target=end, args=(process, patience), daemon=True).start()
        self._on_change()

    def stop(self) -> None:
        """End what runs and empty the queue: the server is going down."""
        with self._lock:
            process = self._process
            job = self._jobs.get(self._running) if self._running is not None else None
            self._jobs = {n: j if j.over else replace(j, state="cancelled") for n, j in self._jobs.items()}
        if process is not None:
            end(process, PATIENT.get(job.arguments[0], PATIENCE) if job is not None else PATIENCE)

    # -- the jobs' thread ----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            with self._lock:
                waiting = [j for j in self._jobs.values() if j.state == "waiting"]
                if not waiting:
                    self._running = None
                    break
                job = min(waiting, key=lambda j: j.number)
                self._running = job.number
            self._run(job)
        self._on_change()

    def _run(self, job: Job) -> None:
        started = time.monotonic()
        words: deque[str] = deque(maxlen=KEPT_LINES)
        with self._lock:
            if self._jobs[job.number].over:
                return
            self._process = process = subprocess.Popen(
                [*self.program, *job.arguments, "--progress", "json"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            self._jobs[job.number] = replace(job, state="running", started=time.time())
        self._on_change()
        with cast(IO[str], process.stderr) as spoken:
            for line in spoken:
                self._read(job.number, line, words)
        status = process.wait()
        with self._lock:
            self._process = None
            job = self._jobs[job.number]
            state = "cancelled" if job.state == "cancelled" else "done" if status == 0 else "failed"
            message = "" if state != "failed" else last_words(words, status)
            job = self._jobs[job.number] = replace(
                job, state=state, message=message, seconds=time.monotonic() - started
            )
        if job.state != "failed":
            self._on_done(job.arguments[0])
        self._on_change()

    def _read(self, number: int, line: str, words: deque) -> None:
        report = parse_progress(line)
        if report is None:
            words.append(line.rstrip())
            return
        with self._lock:
            self._jobs[number] = replace(self._jobs[number], **report)
        self._on_change()


def parse_progress(line: str) -> dict | None:
    """Read one line of `engine.jobs.Reporter`; None if it is something else."""
    if not line.startswith("{"):
        return None
    try:
        event = json.loads(line)
        return {
            "stage": str(event["stage"]),
            "done": int(event["done"]),
            "total": int(event["total"]),
            "rate": float(event["rate"] or 0),
            "left": None if event["left"] is None else float(event["left"]),
        }
    except (ValueError, KeyError, TypeError):
        return None


def last_words(words: Sequence[str], status: int) -> str:
    """What a command said last: a problem and its remedy, or the last line of a trace."""
    spoken = [w.strip() for w in words if w.strip()]
    if not spoken:
        return f"the command ended with status {status} and said nothing"
    try:
        said = json.loads(spoken[-1])
        return f"{said['error']}: {said['remedy']}."
    except (ValueError, KeyError, TypeError):
        return spoken[-1]


def end(process: subprocess.Popen, patience: float = PATIENCE) -> None:
    """Ask a process group to stop; end it if it does not within `patience` seconds."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
        except ProcessLookupError:
            return
        try:
            process.wait(patience)
            return
        except subprocess.TimeoutExpired:
            continue
