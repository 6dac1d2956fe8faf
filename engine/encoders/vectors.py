"""Vectors that were made elsewhere: a file of them becomes a representation like any other.

What the file may be, by its ending, and where its ids are:

    .npy                        (M, D) numbers; ids in ``NAME.ids.npy`` or ``NAME.ids.txt`` beside it
    .npz, .hdf5 .h5             an array of two axes; ids in an array of one axis and as many entries
    .parquet, .fits             one column of vectors, or D columns of numbers; ids in a column
    .csv .tsv .ecsv .vot …      D columns of numbers; ids in a column

Objects are found by id, compared as `engine.data.catalogue` compares them (``100008`` = ``100008.0``, file names without
folder and ending). A file without ids must have a row for each object, in the survey's order. An object without a vector
is not ``valid``: it stays in every table, and has no place on the map.

Cost: the file once in memory (npy: mapped), a hash join O(N + M).
"""

from __future__ import annotations

import hashlib
import re
import shutil
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine import files
from engine.data import catalogue, crossmatch
from engine.errors import UserError
from engine.jobs import Progress, silent
from engine.survey import Survey, check_name, version

#: Rows copied at once.
CHUNK = 65536
#: Objects without a vector named in problems.json.
PROBLEMS_NAMED = 100

FORMATS = (".npy", ".npz", ".h5", ".hdf5", *catalogue.CATALOGUES)


@dataclass(frozen=True)
class Given:
    """What a file holds.

    Attributes
    ----------
    vectors : (M, D) numbers
        May be memory-mapped.
    ids : table of M rows or None
        Columns that may hold the ids; None if the file has none.
    columns : sequence of str
        Where the vectors were.
    """

    vectors: np.ndarray
    ids: pa.Table | None
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """How a file of vectors was joined to a survey.

    Attributes
    ----------
    representation : str
    objects, dimension : int
        N and D.
    matched : int
        Objects that have a vector.
    unmatched : int
        Objects that are not in the file.
    not_finite : int
        Objects whose vector there is not finite.
    unused : int
        Vectors of no object of the survey.
    duplicates : int
        Further vectors of an object that has one: the first in the file was taken.
    id_column : str or None
        None: by row.
    columns : tuple of str
    """

    representation: str
    objects: int
    dimension: int
    matched: int
    unmatched: int
    not_finite: int
    unused: int
    duplicates: int
    id_column: str | None
    columns: tuple[str, ...]

    def text(self) -> str:
        """The same in words."""
        how = f"by {self.id_column!r}" if self.id_column else "row by row"
        words = [
            f"Representation {self.representation!r}: {self.matched:,} of {self.objects:,} objects have a vector of "
            f"{self.dimension:,} numbers, joined {how}."
        ]
        if self.not_finite:
            words.append(f"{self.not_finite:,} vectors are not finite and were left out.")
        if self.unused:
            words.append(f"{self.unused:,} vectors belong to no object of this survey.")
        if self.duplicates:
            words.append(f"{self.duplicates:,} repeat an id; the first of each was taken.")
        return " ".join(words)


def adopt(
    survey: Survey,
    file: str | Path,
    *,
    id_column: str | None = None,
    columns: Sequence[str] | None = None,
    name: str | None = None,
    progress: Progress = silent,
) -> Report:
    """Make a representation of vectors in a file.

    Parameters
    ----------
    survey : Survey
    file : path
    id_column : str, optional
        Column (or dataset) of ids; the one that matches best if not given.
    columns : sequence of str, optional
        Columns (or the dataset) of numbers, ``*`` for any letters; the only vectors there, or the only numbered columns,
        if not given.
    name : str, optional
        Name of the representation; the file's if not given.

    Raises
    ------
    UserError
        If the file cannot be read, it is not clear what in it is meant, no object is in it, or the name is taken.
    """
    started = time.monotonic()
    path = Path(file)
    given = read(path, id_column=id_column, columns=columns)
    rows, column, duplicates, unused = _joined(survey, given, id_column, path)
    folder = survey.path / "representations" / check_name(name or path.name.split(".")[0])
    settings: dict = {
        "encoder": "vectors",
        "identity": _identity(path, given.columns, column),
        "objects": len(survey),
        "source": str(path.resolve()),
        "columns": list(given.columns),
        "id_column": column,
    }
    _require_free(folder, settings["identity"])
    valid = _write(folder, given.vectors, rows, progress)
    matched, unmatched = int(valid.sum()), int((rows < 0).sum())
    report = Report(
        representation=folder.name,
        objects=len(survey),
        dimension=given.vectors.shape[1],
        matched=matched,
        unmatched=unmatched,
        not_finite=len(survey) - matched - unmatched,
        unused=unused,
        duplicates=duplicates,
        id_column=column,
        columns=given.columns,
    )
    _finish(survey, folder, settings, report, rows, valid)
    seconds = time.monotonic() - started
    survey.record_run("embed", settings | {"name": folder.name}, seconds=seconds, results=vars(report))
    return report


def _require_free(folder: Path, identity: str) -> None:
    """Refuse a name that another representation has: neighbours, layouts and models may rest on it."""
    meta = folder / "meta.json"
    if meta.is_file() and files.read_json(meta).get("identity") != identity:
        raise UserError(
            f"there is a representation {folder.name!r} already, made of something else",
            f"choose another --name, or delete {folder} and what was made from it",
        )


def _identity(path: Path, columns: Sequence[str], id_column: str | None) -> str:
    with open(path, "rb") as stream:
        whole = hashlib.file_digest(stream, "sha256").hexdigest()
    return hashlib.sha256(repr((whole, tuple(columns), id_column)).encode()).hexdigest()[:16]


# -- joining -----------------------------------------------------------------------------------------------------------


def _joined(survey: Survey, given: Given, id_column: str | None, path: Path) -> tuple[np.ndarray, str | None, int, int]:
    """Row of each object in the file (-1 for none), the column of ids, and how many rows repeat or belong to none."""
    count = len(given.vectors)
    if given.ids is None:
        if count != len(survey):
            raise UserError(
                f"{path.name} has {count:,} vectors and no ids, the survey has {len(survey):,} objects",
                "give one vector an object in the survey's order, or ids beside them "
                f"({path.stem}.ids.txt, one a line, for npy)",
            )
        return np.arange(count), None, 0, 0
    ids = survey.ids.to_pylist()
    if id_column is None and count == len(survey) and _row_by_row(survey, ids, path):
        return np.arange(count), None, 0, 0
    best: crossmatch.Match | None = None
    for least, columns in _candidates(given.ids, ids, id_column, path):
        for column in columns:
            found = _match(given.ids, ids, column)
            if found is not None and _count(found) >= least and (best is None or _count(found) > _count(best)):
                best = found
        if best is not None:
            return best.rows, best.column, best.repeated, len(best.unused)
    shown = {c: given.ids[c][0].as_py() for c in given.ids.column_names}
    raise UserError(
        f"no vector of {path.name} belongs to an object: the survey's ids are like {ids[0]!r}, there it is "
        + ", ".join(f"{c} {v!r}" for c, v in list(shown.items())[:5]),
        "name the column of ids with --id-column",
    )


def _row_by_row(survey: Survey, ids: list[str], path: Path) -> bool:
    """Whether the survey was made of this very table, which has no ids: its objects are called by their row."""
    source = survey.header.get("provenance", {}).get("source")
    return not survey.bands and ids[0] == "0" and ids[-1] == str(len(ids) - 1) and Path(source or "").name == path.name


def _candidates(table: pa.Table, ids: list[str], id_column: str | None, path: Path) -> list[tuple[int, list[str]]]:
    """Columns that may hold the ids, the likelier first, and how many objects each must match at least."""
    names = table.column_names
    if id_column is not None:
        if id_column not in names:
            raise UserError(f"{path.name} has no ids {id_column!r}", f"choose one of: {', '.join(names) or 'none'}")
        return [(1, [id_column])]
    usual = [n for known in catalogue.ID_NAMES for n in names if catalogue.simple_name(n) == known]
    counted = ids == [str(k) for k in range(len(ids))]  # row numbers: any column of integers would match
    return [(1, usual), ((len(ids) + 1) // 2, [] if counted else [n for n in names if n not in usual])]


def _match(table: pa.Table, ids: list[str], column: str) -> crossmatch.Match | None:
    """Objects found by one column alone, None if none is."""
    nowhere = np.full(len(ids), np.nan)
    try:
        return crossmatch.match(table.select([column]), ids, ra=nowhere, dec=nowhere, id_column=column)
    except UserError:
        return None


def _count(found: crossmatch.Match) -> int:
    return int((found.rows >= 0).sum())


# -- writing -----------------------------------------------------------------------------------------------------------


def _write(folder: Path, vectors: np.ndarray, rows: np.ndarray, progress: Progress) -> np.ndarray:
    """Write the vectors in the survey's order; returns which objects have one, (N,) bool."""
    dtype = np.dtype(np.float16 if vectors.dtype == np.float16 else np.float32)
    valid = np.zeros(len(rows), bool)
    with files.atomic_path(folder / "vectors.npy") as temporary:
        made = np.lib.format.open_memmap(temporary, "w+", dtype, (len(rows), vectors.shape[1]))
        for start in range(0, len(rows), CHUNK):
            part = rows[start : start + CHUNK]
            with np.errstate(over="ignore", invalid="ignore"):  # what does not fit becomes infinite, and is left out
                found = np.asarray(vectors[np.maximum(part, 0)]).astype(dtype)
            good = (part >= 0) & np.isfinite(found).all(axis=1)
            made[start : start + CHUNK] = np.where(good[:, None], found, 0)
            valid[start : start + CHUNK] = good
            progress(min(start + CHUNK, len(rows)), len(rows), "joining")
        made.flush()
        if not valid.any():
            raise UserError("no object has a vector that is finite", "check the columns with --columns")
    files.write_npy(folder / "valid.npy", valid)
    return valid


def _finish(survey: Survey, folder: Path, settings: dict, report: Report, rows: np.ndarray, valid: np.ndarray) -> None:
    """Say which objects have no vector, and that the representation is whole."""
    ids = survey.ids
    named = [
        {"id": ids[int(k)].as_py(), "reason": "its vector is not finite" if rows[k] >= 0 else "no vector in the file"}
        for k in np.flatnonzero(~valid)[:PROBLEMS_NAMED]
    ]
    files.write_json(folder / "problems.json", {"unreadable": int((~valid).sum()), "first": named})
    counts = {key: getattr(report, key) for key in ("matched", "unmatched", "not_finite", "unused", "duplicates")}
    about = {
        "dimension": report.dimension,
        "dtype": str(files.read_npy(folder / "vectors.npy").dtype),
        "bands": list(survey.bands),
        "unreadable": int((~valid).sum()),
        "version": version(),
    }
    shutil.rmtree(folder / ".shards", ignore_errors=True)  # of an embedding of this name that was given up
    files.write_json(folder / "meta.json", settings | counts | about)


# -- reading -----------------------------------------------------------------------------------------------------------


def read(path: str | Path, *, id_column: str | None = None, columns: Sequence[str] | None = None) -> Given:
    """Read a file of vectors.

    Parameters
    ----------
    path : path
    id_column : str, optional
        Never taken for numbers.
    columns : sequence of str, optional
        As `adopt` takes them.

    Raises
    ------
    UserError
        If it is missing, of an unknown kind or damaged, or it is not clear what is meant.
    """
    path = Path(path)
    low = path.name.lower()
    if not path.is_file():
        raise UserError(f"there is no file {path}", "check the path")
    if not low.endswith(FORMATS):
        raise UserError(f"{path.name} holds no vectors of a known kind", f"give one ending in {', '.join(FORMATS)}")
    try:
        found = _columns(path)
    except UserError:
        raise
    except Exception as error:  # six formats, six libraries, each with errors of its own
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{path} cannot be read ({reason})",
            "check that it is whole and that its ending says its format; arrays of Python objects are never loaded",
        ) from error
    chosen = _chosen(found, columns, id_column, path)
    vectors = _stacked([found[name] for name in chosen])
    if len(vectors) == 0:
        raise UserError(f"{path.name} is empty", "give one with a vector for each object")
    others = {k: v for k, v in found.items() if k not in chosen and len(v) == len(vectors) and _is_id(v)}
    table = pa.table({k: pa.array(catalogue.plain(v)) for k, v in others.items()}) if others else None
    return Given(vectors, table, tuple(chosen))


def _columns(path: Path) -> dict[str, np.ndarray]:
    """Every column, array or dataset of a file by name; vectors have two axes."""
    low = path.name.lower()
    if low.endswith(".npy"):
        return {path.name: files.read_npy(path)} | _ids_beside(path)
    if low.endswith(".npz"):
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    if low.endswith((".h5", ".hdf5")):
        return _hdf5(path)
    if low.endswith((".parquet", ".pq")):
        return _arrow(pq.read_table(path, memory_map=True))
    if low.endswith((".fits", ".fit", ".fits.gz")):
        return _fits(path)
    return _arrow(catalogue.read(path))


def _ids_beside(path: Path) -> dict[str, np.ndarray]:
    """Ids of the rows of an npy file, empty if there are none."""
    array, text = path.with_suffix(".ids.npy"), path.with_suffix(".ids.txt")
    if array.is_file():
        return {"ids": files.read_npy(array, mapped=False)}
    if text.is_file():
        return {"ids": np.array(text.read_text(encoding="utf-8").split("\n")[: len(files.read_npy(path))], object)}
    return {}


def _hdf5(path: Path) -> dict[str, np.ndarray]:
    import h5py

    found: dict[str, np.ndarray] = {}

    def visit(name: str, item) -> None:
        if not isinstance(item, h5py.Dataset) or item.ndim not in (1, 2) or item.size == 0:
            return
        if item.dtype.names:
            rows = item[()]
            found.update({field: rows[field] for field in item.dtype.names if rows[field].ndim in (1, 2)})
        else:
            found[name] = item.asstr()[()] if h5py.check_string_dtype(item.dtype) else item[()]

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return found


def _fits(path: Path) -> dict[str, np.ndarray]:
    from astropy.table import Table

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # units and headers astropy does not know are no concern of a join
        table = Table.read(path, format="fits")
    return {name: _filled(table[name]) for name in table.colnames if table[name].ndim in (1, 2)}


def _filled(column) -> np.ndarray:
    """A column of a table with NaN, or nothing, where it is masked."""
    values = catalogue.plain(np.ma.getdata(np.asanyarray(column))) if column.ndim == 1 else np.ma.getdata(column)
    mask = np.ma.getmaskarray(column) if np.ma.isMaskedArray(column) else None
    if mask is None or not mask.any():
        return np.asarray(values)
    if values.dtype.kind == "f":
        return np.where(mask, np.nan, values)
    known = values.astype(object)
    known[mask] = None
    return known


def _arrow(table: pa.Table) -> dict[str, np.ndarray]:
    found = {}
    for name in table.column_names:
        column = table[name]
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if (
            pa.types.is_list(column.type)
            or pa.types.is_large_list(column.type)
            or pa.types.is_fixed_size_list(column.type)
        ):
            vectors = _lists(column)
            if vectors is not None:
                found[name] = vectors
        elif not pa.types.is_nested(column.type):
            found[name] = column.to_numpy()
    return found


def _lists(column: pa.ChunkedArray) -> np.ndarray | None:
    """A column of lists as (M, D) numbers, NaN where there is no list; None if they are not all of one length."""
    lengths = np.unique([n for n in pa.compute.list_value_length(column).to_numpy() if n == n and n is not None])
    if len(lengths) != 1 or not _is_number(column.type.value_type):
        return None
    made = np.full((len(column), int(lengths[0])), np.nan, _number_type(column.type.value_type))
    known = ~column.is_null().to_numpy()
    made[known] = pa.compute.list_flatten(column.drop_null()).to_numpy().reshape(-1, int(lengths[0]))
    return made


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or pa.types.is_integer(kind)


def _number_type(kind: pa.DataType) -> np.dtype:
    return np.dtype(kind.to_pandas_dtype() if pa.types.is_floating(kind) else np.float64)


# -- choosing ----------------------------------------------------------------------------------------------------------


def _is_id(values: np.ndarray) -> bool:
    """Whether a column can hold ids: text or whole numbers."""
    return values.ndim == 1 and values.dtype.kind in "iuSUO"


def _chosen(
    found: Mapping[str, np.ndarray], wanted: Sequence[str] | None, id_column: str | None, path: Path
) -> list[str]:
    """Names of the columns that hold the vectors.

    Raises
    ------
    UserError
        If one that is wanted is not there, or more than one choice is possible.
    """
    numbers = [k for k, v in found.items() if k != id_column and v.dtype.kind in "fiu"]
    if wanted:
        chosen = [k for pattern in wanted for k in _in_order([k for k in numbers if fnmatchcase(k, pattern)])]
        for pattern in wanted:
            if not any(fnmatchcase(k, pattern) for k in numbers):
                raise UserError(f"{path.name} has no numbers {pattern!r}", f"choose among: {_some(numbers)}")
        return list(dict.fromkeys(chosen))
    matrices = [k for k in numbers if found[k].ndim == 2]
    if len(matrices) == 1:
        return matrices
    if len(matrices) > 1:
        raise UserError(f"{path.name} holds several arrays of vectors", f"name one with --columns: {_some(matrices)}")
    families: dict[str, list[str]] = {}
    for name in numbers:
        numbered = re.fullmatch(r"(.*?)\d+", name)
        if numbered and found[name].dtype.kind == "f":
            families.setdefault(numbered[1], []).append(name)
    large = [names for names in families.values() if len(names) > 1]
    if len(large) == 1:
        return _in_order(large[0])
    raise UserError(
        f"it is not clear which numbers of {path.name} are the vectors",
        f"name them with --columns, such as 'pca_*', among: {_some(numbers)}",
    )


def _in_order(names: Sequence[str]) -> list[str]:
    """Names by the number they end in, 2 before 10."""
    return sorted(names, key=lambda name: [int(t) if t.isdigit() else t for t in re.split(r"(\d+)", name)])


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "") or "none"


def _stacked(parts: Sequence[np.ndarray]) -> np.ndarray:
    """(M, D) numbers of columns of one or two axes; one matrix is left as it is, mapped or not."""
    if len(parts) == 1 and parts[0].ndim == 2:
        return parts[0]
    kind = np.float16 if all(p.dtype == np.float16 for p in parts) else np.float32
    with np.errstate(over="ignore"):
        columns = [np.asarray(p).astype(kind).reshape(len(p), -1) for p in parts]
    return np.concatenate(columns, axis=1)
