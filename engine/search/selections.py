"""Selections: named sets of objects, and how each came to be.

One selection is two files in ``selections/``: ``NAME.json`` (how, when, how many) and the rows it names, an .npy
file. The rows are written first under a name of their own and the JSON replaces the old one at a stroke, so that a
selection is never half new. It is a set: rows ascend and none repeats. It knows nothing of layouts, so it survives
another one.
"""

from __future__ import annotations

import datetime
import json
import uuid
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine import files
from engine.errors import UserError
from engine.survey import check_name

if TYPE_CHECKING:
    from engine.survey import Survey


@dataclass(frozen=True)
class Selection:
    """A named set of objects.

    Attributes
    ----------
    name : str
    rows : (n,) int64
        Ascending, without repeats.
    how : dict
        How it came to be: ``{"query": …}``, ``{"layout": …, "polygon": [[x, y], …]}``, ``{"union": […]}``; plain JSON.
    created : str
        When, ISO 8601, UTC.
    """

    name: str
    rows: np.ndarray
    how: dict
    created: str

    @classmethod
    def of(cls, name: str, rows: np.ndarray, *, how: dict) -> Selection:
        """Make a selection of rows in any order, repeats allowed.

        Raises
        ------
        UserError
            If the name cannot name a file.
        """
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        return cls(check_name(name), np.unique(np.asarray(rows, np.int64)), how, now)

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Summary:
    """What is known of a stored selection without reading its rows."""

    name: str
    count: int
    how: dict
    created: str


# -- on disk ----------------------------------------------------------------------------------------------------------


def save(survey: Survey, selection: Selection, *, overwrite: bool = True) -> None:
    """Store a selection.

    Raises
    ------
    UserError
        If one of that name exists and must not be overwritten, or the rows are not the survey's.
    """
    folder = _folder(survey)
    header = folder / f"{check_name(selection.name)}.json"
    if header.exists() and not overwrite:
        raise UserError(f"there is a selection {selection.name!r} already", "choose another name, or overwrite it")
    _require_rows(selection.rows, len(survey), selection.name)
    rows = f"{selection.name}.{uuid.uuid4().hex[:12]}.npy"
    files.write_npy(folder / rows, np.unique(np.asarray(selection.rows, np.int64)))
    before = _rows_file(header)
    files.write_json(
        header,
        {
            "name": selection.name,
            "count": len(selection.rows),
            "rows": rows,
            "how": json.loads(json.dumps(selection.how, default=_plain)),
            "created": selection.created,
        },
    )
    if before is not None:
        before.unlink(missing_ok=True)


def load(survey: Survey, name: str) -> Selection:
    """Read a selection.

    Raises
    ------
    UserError
        If there is none of that name, or its files are damaged.
    """
    header = _existing(survey, name)
    try:
        document = files.read_json(header)
        rows = np.array(files.read_npy(header.parent / Path(document["rows"]).name, mapped=False), np.int64)
        selection = Selection(document["name"], rows, document["how"], document["created"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"the selection {name!r} cannot be read ({error})", "delete it and select again") from error
    _require_rows(selection.rows, len(survey), name)
    return selection


def listing(survey: Survey) -> list[Summary]:
    """The stored selections, the newest first; damaged ones are left out."""
    found = []
    for header in _folder(survey).glob("*.json"):
        try:
            document = files.read_json(header)
            found.append(Summary(document["name"], int(document["count"]), document["how"], document["created"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return sorted(sorted(found, key=lambda s: s.name), key=lambda s: s.created, reverse=True)


def delete(survey: Survey, name: str) -> None:
    """Delete a selection; its objects stay.

    Raises
    ------
    UserError
        If there is none of that name.
    """
    header = _existing(survey, name)
    rows = _rows_file(header)
    header.unlink()
    if rows is not None:
        rows.unlink(missing_ok=True)


# -- algebra ----------------------------------------------------------------------------------------------------------


def union(name: str, *parts: Selection) -> Selection:
    """Objects in any of the parts."""
    return Selection.of(
        name,
        np.concatenate([np.empty(0, np.int64), *(p.rows for p in parts)]),
        how={"union": [_origin(p) for p in parts]},
    )


def intersect(name: str, *parts: Selection) -> Selection:
    """Objects in every one of the parts, of which there is at least one."""
    return Selection.of(
        name, reduce(np.intersect1d, (p.rows for p in parts)), how={"intersect": [_origin(p) for p in parts]}
    )


def subtract(name: str, first: Selection, *others: Selection) -> Selection:
    """Objects in the first and in none of the others."""
    return Selection.of(
        name,
        reduce(np.setdiff1d, (p.rows for p in others), first.rows),
        how={"subtract": [_origin(p) for p in (first, *others)]},
    )


def invert(name: str, selection: Selection, *, count: int) -> Selection:
    """Objects of a survey of `count` that are not in the selection."""
    return Selection.of(name, np.setdiff1d(np.arange(count), selection.rows), how={"invert": [_origin(selection)]})


def _origin(selection: Selection) -> dict:
    return {"name": selection.name, "how": selection.how}


# -- inner workings ---------------------------------------------------------------------------------------------------


def _folder(survey: Survey) -> Path:
    return survey.path / "selections"


def _existing(survey: Survey, name: str) -> Path:
    header = _folder(survey) / f"{check_name(name)}.json"
    if not header.is_file():
        there = ", ".join(s.name for s in listing(survey)) or "none yet"
        raise UserError(f"there is no selection {name!r}", f"choose one of: {there}")
    return header


def _rows_file(header: Path) -> Path | None:
    """The file of rows a stored selection refers to, inside its own folder; None if that cannot be told."""
    try:
        return header.parent / Path(files.read_json(header)["rows"]).name
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _require_rows(rows: np.ndarray, count: int, name: str) -> None:
    if len(rows) and (rows.min() < 0 or rows.max() >= count):
        raise UserError(
            f"the selection {name!r} holds objects that are not in this survey of {count:,}",
            "select again in this survey",
        )


def _plain(value):
    """NumPy's arrays and numbers as JSON."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be kept in a selection")
