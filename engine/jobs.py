"""Progress of long work: how an engine function tells, and how a command passes it on.

An engine function takes `progress`, a callable ``progress(done, total, stage)``, and calls it as often as it likes.
A command makes one that writes to stderr: a line that rewrites itself for a person, or one JSON object a line
(``{"stage", "done", "total", "rate", "left"}``, rate per second, left in seconds) for the app that started it.
"""

import json
import sys
import time
from collections.abc import Callable

Progress = Callable[[int, int, str], None]

#: Seconds between two reports: the app redraws five times a second, a terminal needs no more.
INTERVAL = 0.2


def silent(done: int, total: int, stage: str) -> None:
    """Report nothing; what an engine function does when called from a notebook."""


class Reporter:
    """Write progress to a stream, as JSON lines or as one line for people.

    Parameters
    ----------
    machine : bool
        JSON lines if true.
    stream : file, optional
        Standard error if not given.
    """

    def __init__(self, *, machine: bool = False, stream=None):
        self.machine = machine
        self.stream = stream if stream is not None else sys.stderr
        self.stage: str | None = None
        self.started = 0.0
        self.first = 0
        self.last = 0.0
        self.open_line = False

    def __call__(self, done: int, total: int, stage: str) -> None:
        now = time.monotonic()
        if stage != self.stage:
            self.finish()
            self.stage, self.started, self.first, self.last = stage, now, done, 0.0
        if now - self.last < INTERVAL and done < total:
            return
        self.last = now
        elapsed = now - self.started
        rate = (done - self.first) / elapsed if elapsed > 0 else 0.0
        left = (total - done) / rate if rate > 0 else None
        if self.machine:
            event = {
                "stage": stage,
                "done": int(done),
                "total": int(total),
                "rate": round(rate, 3),
                "left": None if left is None else round(left, 1),
            }
            print(json.dumps(event), file=self.stream, flush=True)
            return
        text = f"{stage}: {done:,} of {total:,}"
        if rate > 0:
            text += f", {rate:,.0f} a second" if rate >= 10 else f", {rate:.2g} a second"
        if left is not None and done < total:
            text += f", {left:,.0f} s left"
        if self.stream.isatty():
            print(f"\r\x1b[K{text}", end="", file=self.stream, flush=True)
            self.open_line = True
        elif done >= total:
            print(text, file=self.stream, flush=True)

    def finish(self) -> None:
        """Close an open terminal line."""
        if self.open_line:
            print(file=self.stream, flush=True)
            self.open_line = False
