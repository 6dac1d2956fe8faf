"""What the commands share: what they return, how they are added, numbers that they take."""

from __future__ import annotations

import argparse
import json
from typing import Protocol

#: A command returns what it did, for --json, and the same in words.
Outcome = tuple[dict, str]


class Add(Protocol):
    """Adds a command, named and described as its function is."""

    def __call__(self, run, *, survey: bool = True) -> argparse.ArgumentParser: ...


def table(found) -> Outcome:
    """A table of objects, as a document and as text."""
    return {"objects": json.loads(found.to_json(orient="records"))}, found.to_string(index=False)


def positive(text: str) -> int:
    """A whole number above zero."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def positive_number(text: str) -> float:
    """A finite number above zero."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def share(text: str) -> float:
    """A number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value
