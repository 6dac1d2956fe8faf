"""A layout as it grows, for who looks on: positions so far, written beside the layouts now and then.

``layouts/.NAME.preview/`` holds ``xy.npy`` and ``preview.json``, each replaced whole; the name begins with a dot, so that
nobody takes it for a layout. It goes when the layout is finished, cancelled or has failed; what a killed process left is
removed by the next one, and by `clear`.
"""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine import files

#: Seconds between two looks, and the largest share of the time that writing them may take.
EVERY, SHARE = 1.5, 0.05


@dataclass(frozen=True)
class Look:
    """A layout as it was a moment ago.

    Attributes
    ----------
    name : str
        Of the layout to be.
    number : int
        Rises with each look.
    words : str
        The method: 'PCA' before the first epoch.
    done, total : int
        Epochs; 0 and 0 before the first.
    xy : (N, 2) float32
    """

    name: str
    number: int
    words: str
    done: int
    total: int
    xy: np.ndarray


class Preview:
    """Writes looks at one layout; use it as a context, which removes them at its end.

    Parameters
    ----------
    folder : path
        The survey's ``layouts``.
    name : str
        Of the layout.
    """

    def __init__(self, folder: Path, name: str):
        self._folder, self._name = folder / f".{name}.preview", name
        self._number = 0
        self._next = 0.0

    def __enter__(self) -> Preview:
        shutil.rmtree(self._folder, ignore_errors=True)
        return self

    def __exit__(self, *_error) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def show(self, xy: np.ndarray, words: str, done: int, total: int) -> None:
        """Write a look, unless the last one is too young; the arguments are those of `engine.maps.layouts.task.Show`."""
        started = time.monotonic()
        if started < self._next:
            return
        self._number += 1
        files.write_npy(self._folder / "xy.npy", xy)
        files.write_json(
            self._folder / "preview.json",
            {"name": self._name, "number": self._number, "words": words, "done": done, "total": total},
        )
        now = time.monotonic()
        self._next = now + max(EVERY, (now - started) / SHARE)


def look(folder: Path, after: int = 0) -> Look | None:
    """The newest look in a survey's ``layouts``, if there is one with a number above `after` (of a layout that is made).

    Parameters
    ----------
    folder : path
    after : int
        Number of the look that is known.
    """
    for place in sorted(folder.glob(".*.preview")):
        with suppress(FileNotFoundError, ValueError, KeyError):  # it may go at any moment
            said = files.read_json(place / "preview.json")
            if said["number"] > after:
                xy = np.array(files.read_npy(place / "xy.npy", mapped=False))
                return Look(said["name"], said["number"], said["words"], said["done"], said["total"], xy)
    return None


def clear(folder: Path) -> None:
    """Remove every look: no layout is being made."""
    for place in folder.glob(".*.preview"):
        shutil.rmtree(place, ignore_errors=True)
