"""A catalogue without pixels: a survey of positions, columns and vectors.

Every object is there with its id, position and columns, is labelled, ranked and exported like any other; its picture is
empty. A representation comes from vectors that were made elsewhere, often in the same file: columns of lists, or families
of numbered columns such as ``pca_0 … pca_39``, which `engine.encoders.vectors` adopts.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine.data import catalogue as catalogues
from engine.data.arrays.file_sets import id_texts
from engine.data.cutouts import Unreadable
from engine.data.references import NOTHING, Asked, Found, Place
from engine.errors import UserError
from engine.jobs import Progress, silent

if TYPE_CHECKING:
    from engine.survey import Survey

#: Numbered columns from which on a family is a vector; more than `MANY` of them are no columns of the survey.
FEW, MANY = 2, 16
_NO_PIXELS = Unreadable("the survey has no pixels")


class NoPixels:
    """The source of a survey that has no pixels: every object is unreadable, and nothing is wrong."""

    def __init__(self, survey: Survey, root: Path):
        self.bands: tuple[str, ...] = ()
        self.science = True

    def read(self, rows: Sequence[int] | np.ndarray) -> list[np.ndarray | Unreadable]:
        """Read cutouts; see `engine.data.cutouts.CutoutSource`."""
        return [_NO_PIXELS] * len(rows)


def look(place: Place, asked: Asked = NOTHING, progress: Progress = silent) -> Found:
    """Find out what a catalogue holds.

    Raises
    ------
    UserError
        If it cannot be read, is empty, or has no such id column.
    """
    path = place.root
    table = catalogues.read(path)
    progress(1, 1, "reading the catalogue")
    families = _families(table)
    vectors = [*_lists(path), *(f"{stem}*" for stem in families)]
    ids, id_name, notes = _ids(table, asked.id_column)
    notes = [*catalogues.notes_of(table), *notes]
    ra, dec, used = catalogues.positions(table)
    following = _following(table, vectors, path, (id_name, *(used or ())))
    if vectors:
        notes.append(f"there are vectors in {', '.join(vectors)}: `python -m engine {following}` adopts them")
    dropped = [name for members in families.values() if len(members) > MANY for name in members]
    if dropped:
        notes.append(f"{len(dropped):,} columns of vectors are not kept as columns of the catalogue")
    ours = {"id", "ra", "dec"}
    known = [n for n in (id_name, *(used or ())) if n is not None and n in ours]
    kept = [n for n in table.column_names if n not in known and n not in dropped]
    return Found(
        "table",
        path,
        ids,
        {},
        (),
        True,
        ((0, 0), (0, 0)),
        ra,
        dec,
        columns=table.select(kept) if kept else None,
        pixels={"root": "."},
        notes=tuple(notes),
        following=following,
    )


def _following(table: pa.Table, vectors: list[str], path: Path, known: tuple[str | None, ...]) -> str:
    """The command that gives the survey a map: of vectors in the same file, or of two columns."""
    if vectors:
        return f"embed SURVEY --vectors {shlex.quote(str(path))} --columns {shlex.quote(vectors[0])}"
    kinds = {f.name: f.type for f in table.schema if f.name not in known}
    numbers = [name for name, kind in kinds.items() if pa.types.is_floating(kind) or pa.types.is_integer(kind)]
    numbers = numbers if len(numbers) > 1 else ["ra", "dec"] if len(known) > 1 else []
    if not numbers:
        return "embed SURVEY --vectors FILE"
    return f"layout SURVEY --method columns --columns {shlex.quote(numbers[0])} {shlex.quote(numbers[1])}"


def _ids(table: pa.Table, asked: str | None) -> tuple[list[str], str | None, list[str]]:
    """Ids of the rows: the column asked for, or one of usual name that does not repeat, or the rows' numbers.

    Raises
    ------
    UserError
        If the column asked for is not there, or cannot be ids.
    """
    if asked is not None:
        if asked not in table.column_names:
            raise UserError(f"the table has no column {asked!r}", f"choose one of: {', '.join(table.column_names)}")
        ids = id_texts(table[asked])
        if ids is None:
            raise UserError(
                f"values of the column {asked!r} repeat or are missing", "name another column with --id-column"
            )
        return ids, asked, []
    usual = {catalogues.simple_name(n): n for n in reversed(table.column_names)}
    for name in (usual[n] for n in catalogues.ID_NAMES if n in usual):
        ids = id_texts(table[name])
        if ids is not None:
            return ids, name, []
    words = "no column holds ids that never repeat: objects are called by their row, or name one with --id-column"
    return [str(row) for row in range(table.num_rows)], None, [words]


def _families(table: pa.Table) -> dict[str, list[str]]:
    """Families of numbered columns of numbers, all numbers from 0 or 1 on: what they begin with → their names."""
    found: dict[str, dict[int, str]] = {}
    for known in table.schema:
        numbered = re.fullmatch(r"(.*?[^0-9])(\d+)", known.name)
        if numbered and pa.types.is_floating(known.type):
            found.setdefault(numbered[1], {})[int(numbered[2])] = known.name
    return {
        stem: [members[k] for k in sorted(members)]
        for stem, members in found.items()
        if len(members) >= FEW and min(members) <= 1 and max(members) - min(members) == len(members) - 1
    }


def _lists(path: Path) -> list[str]:
    """Columns of vectors of a Parquet or FITS file, which a catalogue leaves out."""
    low = path.name.lower()
    if low.endswith((".parquet", ".pq")):
        schema = pq.read_schema(path)
        return [f.name for f in schema if _is_vector(f.type)]
    if low.endswith((".fits", ".fit", ".fits.gz")):
        from astropy.table import Table

        from engine.quiet import quietly

        with quietly():
            table = Table.read(path, format="fits")
        return [n for n in table.colnames if table[n].ndim == 2 and table[n].dtype.kind in "iuf"]
    return []


def _is_vector(kind: pa.DataType) -> bool:
    lists = pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return lists and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))
