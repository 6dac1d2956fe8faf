"""The demo: a simulated survey, made once by the real commands and kept in the user's cache."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from engine.errors import UserError
from engine.survey import Survey

#: Rises when what the commands make changes, so that an old demo is not shown.
VERSION = 2
OBJECTS = 6000


def place() -> Path:
    """Where the demo survey lies."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "skysieve" / f"demo-v{VERSION}.survey"


def prepared() -> Path:
    """The demo survey, made on the first call with progress in the terminal; what is there already is used again.

    Raises
    ------
    UserError
        If a command fails.
    """
    path = place()
    if not path.exists():
        print(f"Making the simulated demo survey in {path} (once, about a minute).", flush=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        _run("simulate", str(path), "--objects", str(OBJECTS))
    survey = Survey.open(path)
    if not survey.representations:
        _run("embed", str(path))
    if not survey.layouts:
        _run("layout", str(path), "--method", "umap")
    return path


def _run(*arguments: str) -> None:
    status = subprocess.run(
        [sys.executable, "-m", "engine", *arguments], stdout=subprocess.DEVNULL, check=False
    ).returncode
    if status:
        raise UserError(
            f"the demo survey could not be made (`{arguments[0]}` ended with status {status})",
            f"free some space or delete {place()}, then start again",
        )
