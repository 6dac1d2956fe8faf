"""A look at a source before anything is made of it: the command's dry run, in a process of its own.

It is what a person could type (``python -m engine ingest SOURCE SURVEY --dry-run --json --samples 10``), so that a damaged
file can take neither the server nor its memory with it, and a look at a million files can be stopped.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import IO, cast

from app.jobs import KEPT_LINES, PATIENCE, end, last_words, parse_progress

#: Pictures shown of what was found.
SAMPLES = 10


class Preview:
    """One look, stopped when another begins.

    Parameters
    ----------
    told : callable
        ``told(progress)`` gets what `app.jobs.parse_progress` gives; from a thread.
    done : callable
        ``done(document)`` gets the report with its samples, or ``{"problem": …}``; from a thread.
    """

    def __init__(self, told: Callable[[dict], None], done: Callable[[dict], None]):
        self._told, self._done = told, done
        self._process: subprocess.Popen | None = None
        self._lock = threading.Lock()
        self._number = 0

    def start(self, arguments: Sequence[str]) -> None:
        """Look at a source; `arguments` follow ``python -m engine``."""
        number = self.stop()
        threading.Thread(target=self._run, args=(number, tuple(arguments)), name="skysieve-look", daemon=True).start()

    def stop(self) -> int:
        """End the look that is under way; nothing more is told of it."""
        with self._lock:
            self._number += 1
            process, self._process = self._process, None
        if process is not None:
            threading.Thread(target=end, args=(process, PATIENCE), daemon=True).start()
        return self._number

    def _run(self, number: int, arguments: tuple[str, ...]) -> None:
        command = [*arguments, "--dry-run", "--json", "--samples", str(SAMPLES), "--progress", "json"]
        words: deque[str] = deque(maxlen=KEPT_LINES)
        with self._lock:
            if number != self._number:
                return
            self._process = process = subprocess.Popen(
                [sys.executable, "-m", "engine", *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        said: list[str] = []

        def read() -> None:
            with cast(IO[str], process.stdout) as document:
                said.append(document.read())

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        with cast(IO[str], process.stderr) as spoken:
            for line in spoken:
                report = parse_progress(line)
                if report is None:
                    words.append(line.rstrip())
                elif number == self._number:
                    self._told(report)
        status = process.wait()
        reader.join()
        if number == self._number:
            self._done(json.loads(said[0]) if status == 0 else {"problem": last_words(words, status)})
