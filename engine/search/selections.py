"""Selections that stay: named sets of objects, how each came to be, and the colour it is drawn in.

One selection is two files in ``selections/``: ``NAME.json`` (how, when, how many, colour) and its rows, an .npy file of
row numbers, or of a bit a row of the survey where that is smaller (`engine.search.sets`). The rows are written first
under a name of their own and the JSON replaces the old one at a stroke, so that a selection is never half new. It is a
set: rows ascend and none repeats. It is kept as members *and* as geometry (`engine.search.origins`): another layout,
or none, changes nothing about who belongs to it.
"""

from __future__ import annotations

import datetime
import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from dataclasses import replace as changed
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine import files
from engine.errors import UserError
from engine.search import origins, sets
from engine.survey import check_name

if TYPE_CHECKING:
    from engine.survey import Survey

#: What a damaged file can raise when it is read.
DAMAGED = (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True)
class Selection:
    """A named set of objects.

    Attributes
    ----------
    name : str
    rows : (n,) int64
        Ascending, without repeats.
    how : dict
        How it came to be, plain JSON; see `engine.search.origins`.
    created : str
        When, ISO 8601, UTC.
    colour : str
        ``#rrggbb``; empty: none was chosen.
    """

    name: str
    rows: np.ndarray
    how: dict
    created: str
    colour: str = ""

    @classmethod
    def of(cls, name: str, rows: np.ndarray, *, how: dict, colour: str = "") -> Selection:
        """Make a selection of rows in any order, repeats allowed.

        Raises
        ------
        UserError
            If the name cannot name a file, or the colour is none.
        """
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        return cls(check_name(name), sets.of(rows), how, now, check_colour(colour))

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Summary:
    """What is known of a stored selection without reading its rows; `problem` says why it cannot be read, if so."""

    name: str
    count: int
    how: dict
    created: str
    colour: str = ""
    problem: str = field(default="", compare=False)


def check_colour(colour: str) -> str:
    """Return `colour` if it is ``#rrggbb`` or empty, else refuse it.

    Raises
    ------
    UserError
    """
    if colour and not re.fullmatch(r"#[0-9a-fA-F]{6}", colour):
        raise UserError(f"{colour!r} is no colour", "write it as #rrggbb, such as #e69f00")
    return colour.lower()


# -- on disk ----------------------------------------------------------------------------------------------------------


def save(survey: Survey, selection: Selection, *, overwrite: bool = True) -> None:
    """Store a selection.

    Raises
    ------
    UserError
        If one of that name exists and must not be overwritten, or the rows are not the survey's.
    """
    folder, count = _folder(survey), len(survey)
    header = folder / f"{check_name(selection.name)}.json"
    if header.exists() and not overwrite:
        raise UserError(f"there is a selection {selection.name!r} already", "choose another name, or overwrite it")
    members = sets.of(selection.rows)
    _require_rows(members, count, selection.name)
    bits = sets.is_large(members, count)
    rows = f"{selection.name}.{uuid.uuid4().hex[:12]}.npy"
    files.write_npy(folder / rows, sets.packed(members, count) if bits else members)
    before = _rows_file(header)
    written = {"name": selection.name, "count": len(members), "rows": rows, "of": count, "bits": bits}
    try:
        _write_header(header, written, selection.how, selection.created, selection.colour)
    except BaseException:
        (folder / rows).unlink(missing_ok=True)
        raise
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
        rows = _read_rows(header.parent / Path(document["rows"]).name, document)
        colour = check_colour(str(document.get("colour", "")))
        selection = Selection(
            str(document["name"]), rows, origins.checked(document["how"]), str(document["created"]), colour
        )
    except (*DAMAGED, UserError) as error:
        raise UserError(f"the selection {name!r} cannot be read ({error})", "delete it and select again") from error
    _require_rows(selection.rows, len(survey), name)
    return selection


def listing(survey: Survey, *, damaged: bool = False) -> list[Summary]:
    """The stored selections, the newest first.

    Parameters
    ----------
    damaged : bool
        Whether those that cannot be read are listed, last, with what is wrong with them.
    """
    found = [_summary(header) for header in sorted(_folder(survey).glob("*.json"))]
    good = sorted((s for s in found if not s.problem), key=lambda s: s.created, reverse=True)
    return good + [s for s in found if s.problem and damaged]


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


def rename(survey: Survey, name: str, to: str) -> None:
    """Give a selection another name. Killed half-way, it is there under both.

    Raises
    ------
    UserError
        If there is none of that name, one of the other name, or the name cannot name a file.
    """
    if check_name(to) == name:
        return
    save(survey, changed(load(survey, name), name=to), overwrite=False)
    delete(survey, name)


def recolour(survey: Survey, name: str, colour: str) -> None:
    """Draw a selection in another colour, ``#rrggbb``.

    Raises
    ------
    UserError
        If there is none of that name, its file is damaged, or the colour is none.
    """
    header = _existing(survey, name)
    colour = check_colour(colour)
    try:
        files.write_json(header, files.read_json(header) | {"colour": colour})
    except DAMAGED as error:
        raise UserError(f"the selection {name!r} cannot be read ({error})", "delete it and select again") from error


# -- algebra ----------------------------------------------------------------------------------------------------------


def union(name: str, *parts: Selection) -> Selection:
    """Objects in any of the parts."""
    return _joined(name, "add", parts, np.union1d)


def intersect(name: str, *parts: Selection) -> Selection:
    """Objects in every one of the parts, of which there is at least one."""
    return _joined(name, "intersect", parts, np.intersect1d)


def subtract(name: str, first: Selection, *others: Selection) -> Selection:
    """Objects in the first and in none of the others."""
    return _joined(name, "subtract", (first, *others), np.setdiff1d)


def invert(name: str, selection: Selection, *, count: int) -> Selection:
    """Objects of a survey of `count` that are not in the selection."""
    rows = sets.invert(selection.rows, count=count)
    return Selection.of(name, rows, how=origins.changed("invert", origin(selection)))


def origin(selection: Selection) -> dict:
    """How a selection came to be, as a part of another one: it carries the selection's name."""
    return {**selection.how, "name": selection.name}


def _joined(name: str, mode: str, parts: tuple[Selection, ...], join: Callable) -> Selection:
    rows = reduce(join, (p.rows for p in parts)) if parts else np.empty(0, np.int64)
    return Selection.of(name, rows, how=reduce(lambda a, b: origins.joined(mode, a, b), map(origin, parts), {}))


# -- inner workings ---------------------------------------------------------------------------------------------------


def _folder(survey: Survey) -> Path:
    return survey.path / "selections"


def _existing(survey: Survey, name: str) -> Path:
    header = _folder(survey) / f"{check_name(name)}.json"
    if not header.is_file():
        there = ", ".join(s.name for s in listing(survey)) or "none yet"
        raise UserError(f"there is no selection {name!r}", f"choose one of: {there}")
    return header


def _summary(header: Path) -> Summary:
    try:
        document = files.read_json(header)
        if not (header.parent / Path(document["rows"]).name).is_file():
            raise ValueError("the file of its rows is gone")
        colour, how = check_colour(str(document.get("colour", ""))), origins.checked(document["how"])
        return Summary(str(document["name"]), int(document["count"]), how, str(document["created"]), colour)
    except (*DAMAGED, UserError) as error:
        return Summary(header.stem, 0, {}, "", problem=f"{type(error).__name__}: {error}")


def _write_header(header: Path, written: dict, how: dict, created: str, colour: str) -> None:
    how = json.loads(json.dumps(how, default=_plain))
    files.write_json(header, written | {"how": how, "created": created, "colour": colour})


def _read_rows(path: Path, document: dict) -> np.ndarray:
    stored = np.array(files.read_npy(path))  # mapped first: a header that claims more than the file holds is refused
    if document.get("bits"):
        rows = sets.unpacked(stored, int(document["of"]))
    elif stored.ndim == 1 and stored.dtype.kind in "iu":
        rows = sets.of(stored)
    else:
        raise ValueError(f"{stored.shape} {stored.dtype} are no row numbers")
    if len(rows) != int(document["count"]):
        raise ValueError(f"{len(rows):,} rows where there should be {int(document['count']):,}")
    return rows


def _rows_file(header: Path) -> Path | None:
    """The file of rows a stored selection refers to, inside its own folder; None if that cannot be told."""
    try:
        return header.parent / Path(files.read_json(header)["rows"]).name
    except DAMAGED:
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
