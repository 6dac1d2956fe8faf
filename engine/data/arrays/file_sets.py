"""One survey of one file of named arrays, or of many: what their meanings have in common, and its objects.

Files belong to one survey if they agree about what a cutout is: the images array and its axes, bands, mask. Those that do
not agree with most objects are rejected by name, those that cannot be read as well. Ids come from a column that never
repeats in the whole survey, else from the files' names and the rows in them.

Cost: the columns of all files, in memory.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.data.arrays.named import Meaning, NamedArrays, understand
from engine.data.catalogue import DEC_NAMES, ID_NAMES, RA_NAMES, text_id
from engine.data.filters import by_wavelength
from engine.data.references import Asked, Found, Place, Rejected, Root, extent, names_to_ids, require_some, some
from engine.errors import UserError
from engine.jobs import Progress

#: Columns that number the objects of one file, taken for ids if no usual one can be.
COUNTING_NAMES = ("inds", "idx", "gid")


def look_at(
    kind: str,
    place: Place,
    opened: Callable[[Path], AbstractContextManager[NamedArrays]],
    asked: Asked,
    progress: Progress,
) -> Found:
    """Find out what one file holds, or many below a folder.

    Parameters
    ----------
    kind : str
        A key of `engine.data.cutouts.SOURCES`.
    place : Place
    opened : callable
        A file's arrays; raises a `UserError` if it cannot be read.
    asked : Asked
    progress : callable

    Raises
    ------
    UserError
        If none of the files can be understood.
    """
    if not place.names:
        try:
            with opened(place.root) as arrays:
                meaning = understand(arrays, asked)
        except UserError:
            raise
        except Exception as error:  # as of one of many
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(f"{place.root} cannot be read ({reason})", "check that the file is whole") from error
        return _found(kind, place.root, [meaning], None, place, [])
    below, meanings, rejected = Root(place.root), {}, []
    for done, name in enumerate(place.names, 1):
        try:
            with opened(Path(below.file(name))) as arrays:
                meanings[name] = understand(arrays, asked)
        except UserError as error:
            rejected.append(Rejected(name, error.problem))
        except (
            Exception
        ) as error:  # HDF5, Zarr, zip: each raises its own on what is damaged; one file never stops a run
            rejected.append(Rejected(name, str(error) or type(error).__name__))
        progress(done, len(place.names), "looking at files")
    require_some(list(meanings), rejected, place.root, "files of images")
    alike = _alike(meanings, rejected)
    return _found(kind, place.root, list(alike.values()), list(alike), place, rejected)


def _alike(meanings: dict[str, Meaning], rejected: list[Rejected]) -> dict[str, Meaning]:
    """The files that agree with most objects about what a cutout is; the others are rejected by name."""
    objects: Counter = Counter()
    for meaning in meanings.values():
        objects[_what(meaning)] += meaning.count
    most = max(objects, key=lambda what: objects[what])
    for name, meaning in meanings.items():
        if _what(meaning) != most:
            differing = [
                f"{words} {_said(mine)} where most objects have {_said(other)}"
                for words, mine, other in zip(
                    ("its images are called", "bands", "a mask", "pictures"), _what(meaning), most
                )
                if mine != other
            ]
            rejected.append(Rejected(name, "; ".join(differing)))
    return {name: meaning for name, meaning in meanings.items() if _what(meaning) == most}


def _what(meaning: Meaning) -> tuple:
    return ((meaning.images, meaning.layout), meaning.bands, meaning.mask, not meaning.science)


def _said(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return {True: "8-bit pictures", False: "flux", None: "none"}.get(value, str(value))


def _found(
    kind: str, root: Path, meanings: list[Meaning], names: list[str] | None, place: Place, rejected: list[Rejected]
) -> Found:
    """Join the meanings of files that agree."""
    first = meanings[0]
    counts = [m.count for m in meanings]
    columns = _joined_columns(meanings)
    rows = np.concatenate([np.arange(count) for count in counts])
    references: dict[str, list | np.ndarray] = {}
    if names is not None:
        references["pixels_file"] = np.repeat(np.array(names, object), counts)
    references["pixels_index"] = rows
    kept, ids, ra, dec = found_columns(columns, _called(names, counts))
    bands, pixels = in_order(first.bands, first.science)
    sides = sorted({m.side for m in meanings})
    return Found(
        kind,
        root,
        ids,
        references,
        bands,
        first.science,
        extent(sides),
        ra,
        dec,
        columns=kept,
        pixels=first.pixels | pixels | ({} if names is None else {"many": True}),
        rejected=tuple(rejected),
        notes=_notes(meanings, root),
        files=max(1, len(place.names)),
    )


def in_order(bands: Sequence[str], science: bool) -> tuple[tuple[str, ...], dict]:
    """Bands in order of wavelength, and the header's ``planes`` if that is not the order of the planes.

    Colours of pictures stay as they are: red comes first there.
    """
    ordered = by_wavelength(bands) if science else list(bands)
    if list(ordered) == list(bands):
        return tuple(bands), {}
    return tuple(ordered), {"planes": [list(bands).index(band) for band in ordered]}


def _notes(meanings: list[Meaning], root: Path) -> tuple[str, ...]:
    notes = list(dict.fromkeys(note for meaning in meanings for note in meaning.notes))
    vectors = meanings[0].vectors
    if vectors and len(meanings) == 1:
        notes.append(
            f"vectors in {some(vectors)} are no columns: adopt them with "
            f"`python -m engine embed SURVEY --vectors {root} --columns {vectors[0]}`"
        )
    elif vectors:
        notes.append(f"arrays of vectors were left out: {some(vectors)}")
    return tuple(notes)


def _joined_columns(meanings: list[Meaning]) -> pa.Table:
    """One table; what a file does not have is null, and a column of different types is text."""
    tables = [m.columns for m in meanings]
    if len(tables) == 1:
        return tables[0]
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException:
        return pa.concat_tables([_as_text(t, tables) for t in tables], promote_options="permissive")


def _as_text(table: pa.Table, tables: list[pa.Table]) -> pa.Table:
    for k, name in enumerate(table.column_names):
        kinds = {str(t.schema.field(name).type) for t in tables if name in t.column_names}
        if len(kinds) > 1 and "string" in kinds:
            table = table.set_column(k, name, table[name].cast(pa.string()))
    return table


def _called(names: list[str] | None, counts: list[int]) -> list[str]:
    """What objects are called if no column tells: by the files' names and the rows in them."""
    if names is None:
        return [str(row) for row in range(counts[0])]
    return [f"{stem}[{row}]" for stem, count in zip(names_to_ids(names), counts) for row in range(count)]


def found_columns(columns: pa.Table, called: list[str]) -> tuple[pa.Table | None, list[str], np.ndarray, np.ndarray]:
    """Tell ids and positions among the columns that came with the pixels.

    Parameters
    ----------
    columns : table of N rows
    called : N str
        Ids if no column of usual name never repeats.

    Returns
    -------
    columns : table or None
        Those that are left.
    ids : N str
    ra, dec : (N,) float64, deg
        NaN where the columns do not say.
    """
    id_name, ids = _ids(columns, called)
    ra, dec = (_take(columns, usual) for usual in (RA_NAMES, DEC_NAMES))
    used = {n for n in (id_name, ra, dec) if n is not None and n.lower() in ("id", "ra", "dec")}
    kept = [n for n in columns.column_names if n and n not in used]
    return columns.select(kept) if kept else None, ids, _degrees(columns, ra), _degrees(columns, dec)


def _ids(columns: pa.Table, called: list[str]) -> tuple[str | None, list[str]]:
    """The column of ids: one of usual name that does not repeat."""
    usual = list(_usual(columns, (*ID_NAMES, *COUNTING_NAMES)))
    if any(
        n.lower() == "brickid" for n in columns.column_names
    ):  # Legacy Surveys number the objects of each brick anew
        usual = [n for n in usual if n.lower() != "objid"] + [n for n in usual if n.lower() == "objid"]
    for name in usual:
        ids = id_texts(columns[name])
        if ids is not None:
            return name, ids
    return None, called


def id_texts(column: pa.ChunkedArray) -> list[str] | None:
    """A column's values as ids, None if some are missing or repeat."""
    if column.null_count:
        return None
    if pa.types.is_integer(column.type):
        column = column.cast(pa.string())
    elif not pa.types.is_string(column.type):
        column = pa.chunked_array([pa.array([text_id(v) for v in column.to_pylist()], pa.string())])
    if pc.any(pc.equal(column, "")).as_py() or pc.count_distinct(column).as_py() < len(column):
        return None
    return column.to_pylist()


def _usual(columns: pa.Table, wanted: Sequence[str]) -> Iterator[str]:
    """Columns of usual names, the most usual first."""
    by_name = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in columns.column_names}
    return (by_name[name] for name in wanted if name in by_name)


def _take(columns: pa.Table, wanted: Sequence[str]) -> str | None:
    return next(_usual(columns, wanted), None)


def _degrees(columns: pa.Table, name: str | None) -> np.ndarray:
    kind = None if name is None else columns.schema.field(name).type
    if kind is None or not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return np.full(columns.num_rows, np.nan)
    return columns[name].cast(pa.float64()).to_numpy()
