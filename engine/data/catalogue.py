"""A catalogue: read from any table format astronomers use, its columns understood, and joined to objects.

Joining is by id: ids are compared as text, whole numbers written one way (``100008`` = ``"100008"`` = ``100008.0``),
file names without folders and extension. What has no partner by id is matched by position, to the nearest row within
`TOLERANCE`. Hash joins: O(N + M); positions by a k-d tree, O(N log M).
"""

from __future__ import annotations

import csv
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from engine.data.references import some, without_extension
from engine.errors import UserError

#: Distance within which a position names an object, arcsec: half a typical ground-based seeing disc.
TOLERANCE = 1.0

#: Usual names of columns, in lower case without punctuation; the first that occurs is taken.
RA_NAMES = (
    "ra",
    "radeg",
    "raj2000",
    "rightascension",
    "alphaj2000",
    "alpha",
    "raicrs",
    "radegrees",
    "radegree",
    "meanra",
    "ramean",
    "objra",
    "rafk5",
    "racen",
)
DEC_NAMES = (
    "dec",
    "decdeg",
    "de",
    "dej2000",
    "decj2000",
    "declination",
    "deltaj2000",
    "delta",
    "deicrs",
    "decicrs",
    "decdegrees",
    "decdegree",
    "decl",
    "meandec",
    "decmean",
    "objdec",
    "decfk5",
    "deccen",
)
ID_NAMES = (
    "id",
    "objid",
    "objectid",
    "galaxyid",
    "sourceid",
    "ident",
    "fullid",
    "file",
    "filename",
    "image",
    "imagefile",
    "imagename",
    "cutout",
    "path",
    "filepath",
    "galid",
    "dr7objid",
    "dr8objid",
    "targetid",
    "specobjid",
    "iauname",
    "designation",
    "name",
    "object",
    "assetid",
    "subjectid",
    "catalogid",
    "number",
    "idstr",
    "stem",
)
#: Columns that number the extensions of one file, from zero (GalSim's name first).
HDU_NAMES = ("galhdu", "hdu", "hdunum", "hduindex", "ext", "extnum", "extension")

CATALOGUES = (
    ".csv",
    ".tsv",
    ".txt",
    ".dat",
    ".ecsv",
    ".parquet",
    ".pq",
    ".fits",
    ".fit",
    ".fits.gz",
    ".vot",
    ".votable",
    ".xml",
)


@dataclass(frozen=True)
class Match:
    """Which catalogue row belongs to each object.

    Attributes
    ----------
    rows : (N,) int64
        Catalogue row of each object, -1 for none.
    column : str or None
        The id column that was used, None if only positions were.
    by_position : int
        Objects matched by position.
    unused : int
        Catalogue rows that belong to no object.
    repeated : int
        Further rows, equal to an earlier one, that were passed over.
    """

    rows: np.ndarray
    column: str | None
    by_position: int
    unused: int
    repeated: int


# -- reading ----------------------------------------------------------------------------------------------------------


def read(path: str | Path) -> pa.Table:
    """Read a catalogue.

    Parameters
    ----------
    path : path
        CSV, TSV, ECSV, Parquet, FITS or VOTable, told by its name.

    Returns
    -------
    table
        Blanks around names and strings are gone; masked values are null; columns of vectors are left out.

    Raises
    ------
    UserError
        If it is missing, of an unknown kind, damaged or empty.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no catalogue {path}", "check the path")
    reader = _reader(path)
    if reader is None:
        raise UserError(
            f"{path.name} is not a catalogue of a known kind", f"give one ending in {', '.join(CATALOGUES)}"
        )
    try:
        table = _tidied(reader(path))
    except UserError:
        raise
    except Exception as error:  # five formats, five libraries, each with errors of its own
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"the catalogue {path} cannot be read ({reason})",
            "check that it is whole and that its ending says its format",
        ) from error
    if table.num_rows == 0 or table.num_columns == 0:
        raise UserError(f"the catalogue {path} is empty", "give one with a row for each object")
    return table


def _reader(path: Path):
    low = path.name.lower()
    if low.endswith((".parquet", ".pq")):
        return pq.read_table
    if low.endswith((".csv", ".tsv", ".txt", ".dat")):
        return _read_text
    if low.endswith(".ecsv"):
        return lambda p: _read_astropy(p, "ascii.ecsv")
    if low.endswith((".vot", ".votable", ".xml")):
        return lambda p: _read_astropy(p, "votable")
    if low.endswith((".fits", ".fit", ".fits.gz")):
        return lambda p: _read_astropy(p, "fits")
    return None


def _read_text(path: Path) -> pa.Table:
    """Read delimited text; integers stay whole even where some are missing, so that long ids keep their digits."""
    with open(path, encoding="utf-8-sig") as stream:
        head = stream.readline()
        if head.startswith("# %ECSV"):
            return _read_astropy(path, "ascii.ecsv")
        if head.startswith("#"):
            return _read_astropy(path, "ascii")
        mark = max("\t,;|", key=head.count)
        if head.count(mark) == 0 and len(head.split()) > 1:
            return _read_astropy(path, "ascii")
        stream.seek(0)
        names = [name.strip() for name in next(csv.reader(stream, delimiter=mark))]
    taken: dict[str, int] = {}
    for k, name in enumerate(names):
        name = name or f"column{k + 1}"
        taken[name] = taken.get(name, 0) + 1
        names[k] = name if taken[name] == 1 else f"{name}_{taken[name]}"
    parse = pyarrow.csv.ParseOptions(delimiter=mark, newlines_in_values=False)
    options = pyarrow.csv.ReadOptions(column_names=names, skip_rows=1)
    return pyarrow.csv.read_csv(
        path,
        read_options=options,
        parse_options=parse,
        convert_options=pyarrow.csv.ConvertOptions(strings_can_be_null=False),
    )


def _read_astropy(path: Path, kind: str) -> pa.Table:
    from astropy.table import Table

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # units and headers astropy does not know are no concern of a join
        table = Table.read(path, format=kind)
    return pa.table({name: _arrow(table[name]) for name in table.colnames if table[name].ndim == 1})


def _arrow(column) -> pa.Array:
    values = plain(np.ma.getdata(np.asanyarray(column)))
    mask = np.ma.getmaskarray(column) if np.ma.isMaskedArray(column) else None
    factor = _to_degrees(getattr(column, "unit", None), values.dtype)
    return pa.array(values if factor is None else values * factor, mask=mask)


def _to_degrees(unit, dtype: np.dtype) -> float | None:
    """Factor that brings angles in hours or radians to degrees, None for anything else."""
    if unit is None or dtype.kind != "f":
        return None
    return {"hourangle": 15.0, "rad": float(np.degrees(1.0))}.get(str(unit))


def plain(values: np.ndarray) -> np.ndarray:
    """Values in native byte order; bytes and objects as text without blanks around it."""
    values = np.asarray(values)
    if values.dtype.kind in "SO":
        text = (v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values)
        return np.array([t.strip() for t in text], object)
    if values.dtype.kind == "U":
        return np.array([str(v).strip() for v in values], object)
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _tidied(table: pa.Table) -> pa.Table:
    """Blanks stripped from names and text; nested columns and pandas' index left out."""
    kept: dict[str, pa.ChunkedArray] = {}
    for name in table.column_names:
        column = table[name]
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_nested(column.type) or name.startswith("__index_level_"):
            continue
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            column = pc.utf8_trim_whitespace(column.cast(pa.string()))
        kept.setdefault(name.strip(), column)
    return pa.table(kept)


# -- understanding ----------------------------------------------------------------------------------------------------


def simple_name(name: str) -> str:
    """A column's name for comparing: lower case, no punctuation, no unit in brackets but degrees."""
    return re.sub(r"[^a-z0-9]", "", re.sub(r"[\[(]\s*(?:deg|degrees?|°)\s*[\])]", "", name.lower()))


def column_named(table: pa.Table, names: Sequence[str]) -> str | None:
    """The column whose name is among usual ones, None if there is none."""
    by_name: dict[str, str] = {}
    for name in table.column_names:
        by_name.setdefault(simple_name(name), name)
    return next((by_name[n] for n in names if n in by_name), None)


def positions(table: pa.Table) -> tuple[np.ndarray, np.ndarray, tuple[str, str] | None]:
    """Positions of a catalogue's rows.

    Returns
    -------
    ra, dec : (M,) float64, deg
        RA from 0 to 360; NaN where unknown or impossible.
    columns : (ra column, dec column) or None
    """
    names = column_named(table, RA_NAMES), column_named(table, DEC_NAMES)
    if names[0] is None or names[1] is None:
        nowhere = np.full(table.num_rows, np.nan)
        return nowhere, nowhere.copy(), None
    ra, dec = _angles(table[names[0]], hours=True), _angles(table[names[1]], hours=False)
    good = (np.abs(dec) <= 90) & (ra >= -180) & (ra <= 360)
    return np.where(good, ra % 360, np.nan), np.where(good, dec, np.nan), (names[0], names[1])


def _angles(column: pa.ChunkedArray, *, hours: bool) -> np.ndarray:
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_decimal(column.type):
        return column.cast(pa.float64()).to_numpy()
    found = [sexagesimal(v, hours=hours) if isinstance(v, str) else None for v in column.to_pylist()]
    return np.array([np.nan if v is None else v for v in found], np.float64)


def sexagesimal(text: str, *, hours: bool) -> float | None:
    """Read an angle written as text: ``12:34:56.7``, ``12h34m56.7s``, ``+12 34 56`` or plain degrees.

    Parameters
    ----------
    text : str
    hours : bool
        Whether sexagesimal means hours, as for right ascension.

    Returns
    -------
    float or None
        Degrees; None if it is no angle.
    """
    parts = [p for p in re.split(r"[:hdms°'\"′″\s]+", text.strip().lower()) if p]
    try:
        numbers = [float(p) for p in parts]
    except ValueError:
        return None
    if not 1 <= len(numbers) <= 3:
        return None
    if len(numbers) == 1:
        return numbers[0]
    value = sum(abs(n) / 60**k for k, n in enumerate(numbers))
    return (-value if parts[0].startswith("-") else value) * (15 if hours else 1)


# -- joining ----------------------------------------------------------------------------------------------------------


def text_id(value) -> str:
    """An id as text, whole numbers written one way: ``100008.0`` → ``"100008"``."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    text = str(value).strip()
    return re.sub(r"\.0+$", "", text) if re.fullmatch(r"[+-]?\d+\.0+", text) else text


def text_ids(column: pa.ChunkedArray) -> np.ndarray:
    """Ids of a column as text, (M,) object; empty where there is none."""
    if pa.types.is_integer(column.type):
        return column.cast(pa.string()).fill_null("").to_numpy().astype(object)
    return np.array(["" if v is None or v != v else without_extension(text_id(v)) for v in column.to_pylist()], object)


def match(
    table: pa.Table,
    ids: Sequence[str],
    *,
    ra: np.ndarray,
    dec: np.ndarray,
    id_column: str | None = None,
    hdus: tuple[str, Sequence[int] | np.ndarray] | None = None,
    place: str = "the catalogue",
) -> Match:
    """Find the catalogue row of each object.

    Parameters
    ----------
    table : table of M rows
    ids : N str
        Ids of the objects.
    ra, dec : (N,) float64, deg
        Positions of the objects, NaN where unknown.
    id_column : str, optional
        Column to join on; else the one of a usual name that matches most objects.
    hdus : (file name, HDU numbers), optional
        Where objects are HDUs of one file: a column that numbers them joins, too.
    place : str
        What messages call the catalogue.

    Raises
    ------
    UserError
        If the column does not exist, no row belongs to any object, or an id occurs twice with different values.
    """
    column: str | None
    if id_column is not None:
        column = _column(table, id_column, place)
        rows = _join(ids, text_ids(table[column]))
    else:
        column, rows = _best_column(table, ids, hdus)
    repeated = _repeats(table, column, rows, place, hdus) if column is not None else 0
    rows, by_position = _join_positions(table, rows, ra, dec)
    if not (rows >= 0).any():
        raise _nothing_matches(table, ids, column, place)
    unused = table.num_rows - repeated - len(np.unique(rows[rows >= 0]))
    by_id = (rows >= 0).sum() > by_position
    return Match(rows, column if by_id else None, by_position, int(unused), repeated)


def _column(table: pa.Table, name: str, place: str) -> str:
    if name in table.column_names:
        return name
    alike = [c for c in table.column_names if c.lower() == name.strip().lower()]
    if len(alike) == 1:
        return alike[0]
    raise UserError(f"{place} has no column {name!r}", f"choose the id column among: {', '.join(table.column_names)}")


def _best_column(table: pa.Table, ids: Sequence[str], hdus) -> tuple[str | None, np.ndarray]:
    """The column that matches most objects: of usual name first, then any other that matches at least half of them."""
    hdu_column = _hdu_join(table, hdus)
    if hdu_column is not None:
        return hdu_column
    usual = [c for n in ID_NAMES for c in table.column_names if simple_name(c) == n]
    rows, count, best = np.full(len(ids), -1), 0, None
    counted = list(ids) == [str(k) for k in range(len(ids))]  # row numbers: any column of integers would match
    others = [c for c in table.column_names if c not in usual and not counted and _can_be_id(table[c])]
    for columns, least in ((usual, 1), (others, (len(ids) + 1) // 2)):
        for column in columns:
            found = _join(ids, text_ids(table[column]))
            matched = int((found >= 0).sum())
            if matched > count and matched >= least:
                rows, count, best = found, matched, column
        if best is not None:
            break
    return best, rows


def _can_be_id(column: pa.ChunkedArray) -> bool:
    kind = column.type
    return (pa.types.is_integer(kind) or pa.types.is_string(kind)) and len(pc.unique(column)) == len(column)


def _hdu_join(table: pa.Table, hdus) -> tuple[str, np.ndarray] | None:
    """Join on a column of HDU numbers, if the catalogue is one of this file."""
    column = column_named(table, HDU_NAMES)
    if hdus is None or column is None or not pa.types.is_integer(table[column].type):
        return None
    file, numbers = hdus
    names = column_named(table, ("galfilename", "filename", "file"))
    mine = np.ones(table.num_rows, bool)
    if names is not None:
        mine = np.array([str(v).rpartition("/")[2] == file for v in table[names].to_pylist()])
    keys = np.where(mine, text_ids(table[column]), "")
    rows = _join([str(n) for n in numbers], keys)
    return (column, rows) if (rows >= 0).any() else None


def _join(ids: Sequence[str], keys: np.ndarray) -> np.ndarray:
    """First row of each id; ids that are paths also match keys with more folders in front, or none.

    Returns
    -------
    (N,) int64
        -1 where there is none.
    """
    wanted = np.array([text_id(without_extension(i)) for i in ids], object)
    rows = np.full(len(wanted), -1, np.int64)
    left = pd.Series(keys).astype(object)
    while True:  # drop one folder from the front of every key until none is left
        first = left[~left.duplicated() & (left != "")]
        found = pd.Index(first.to_numpy()).get_indexer(wanted[rows < 0])
        rows[rows < 0] = np.where(found >= 0, np.append(first.index.to_numpy(), -1)[found], -1)
        deeper = left.str.contains("/", regex=False).fillna(False).astype(bool)
        if not deeper.any():
            return rows
        left = left.where(~deeper, left.str.split("/", n=1).str[-1])


def _repeats(table: pa.Table, column: str, rows: np.ndarray, place: str, hdus) -> int:
    """Count rows that repeat the id of a matched one; refuse them if their values differ."""
    keys = pd.Series(text_ids(table[column]))
    matched = np.unique(rows[rows >= 0])
    again = keys.isin(set(keys[matched])) & keys.duplicated() & (keys != "")
    again[matched] = False
    extra = np.flatnonzero(again.to_numpy())
    if len(extra) == 0 or (hdus is not None and simple_name(column) in HDU_NAMES):
        return 0
    first = {key: int(row) for row, key in zip(matched, keys[matched])}
    frame = table.take(pa.array(np.concatenate([extra, [first[k] for k in keys[extra]]]))).to_pandas()
    late, early = frame.iloc[: len(extra)].reset_index(drop=True), frame.iloc[len(extra) :].reset_index(drop=True)
    same = ((late == early) | (late.isna() & early.isna())).all(axis=1).to_numpy(dtype=bool)
    if not same.all():
        names = some(repr(k) for k in dict.fromkeys(keys[extra[~same]]))
        raise UserError(
            f"{place} gives different rows to the same id in its column {column!r} ({names})",
            "keep one row for each object, or name another column with --id-column",
        )
    return len(extra)


def _join_positions(table: pa.Table, rows: np.ndarray, ra: np.ndarray, dec: np.ndarray) -> tuple[np.ndarray, int]:
    """Match objects that are still alone to the nearest row within `TOLERANCE`."""
    alone = (rows < 0) & np.isfinite(ra) & np.isfinite(dec)
    table_ra, table_dec, _ = positions(table)
    known = np.flatnonzero(np.isfinite(table_ra))
    if not alone.any() or len(known) == 0:
        return rows, 0
    from scipy.spatial import cKDTree

    tree = cKDTree(_unit_vectors(table_ra[known], table_dec[known]))
    chord = 2 * np.sin(np.radians(TOLERANCE / 3600) / 2)
    distance, nearest = tree.query(_unit_vectors(ra[alone], dec[alone]), distance_upper_bound=chord)
    found = np.where(np.isfinite(distance), np.append(known, -1)[nearest], -1)
    rows = rows.copy()
    rows[alone] = found
    return rows, int((found >= 0).sum())


def _unit_vectors(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    lon, lat = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


def _nothing_matches(table: pa.Table, ids: Sequence[str], column: str | None, place: str) -> UserError:
    columns = ", ".join(table.column_names)
    if column is None:
        return UserError(
            f"no column of {place} holds the ids of the images (such as {some(map(repr, ids))})",
            f"name the id column with --id-column, one of: {columns}",
        )
    examples = some(repr(v) for v in text_ids(table[column])[:3])
    return UserError(
        f"no row of {place} belongs to an image: its column {column!r} has {examples}, the images are "
        f"{some(map(repr, ids))}",
        f"name another id column with --id-column, one of: {columns}",
    )
