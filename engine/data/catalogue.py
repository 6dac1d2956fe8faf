"""A catalogue: read from any table format astronomers use, and its columns understood.

A column's unit, description and content descriptor (UCD) travel with it as the metadata of its Arrow field, a masked
value as a null, from here to what is exported. Which row belongs to which object is told in `engine.data.crossmatch`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engine.data.delimited import encoding_of, first_line, read_delimited, unique_names
from engine.data.references import ENDINGS, without_extension
from engine.errors import UserError
from engine.quiet import quietly

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
#: What is known of a column, beside its values: metadata of its Arrow field.
FACTS = ("unit", "description", "ucd")
#: Where a table keeps what a person should know of it.
NOTES = b"skysieve:notes"
#: Factors that bring angles to degrees, by the unit's name; hours only mean an angle for a right ascension.
ANGLES = {"hourangle": 15.0, "rad": float(np.degrees(1.0)), "arcmin": 1 / 60, "arcsec": 1 / 3600}
HOURS = ("h", "hr", "hour", "hours", "hourangle")
#: Columns that the HATS layout adds for itself.
HATS_COLUMNS = ("_healpix_29", "Norder", "Dir", "Npix")
#: Rows of a HATS catalogue that are read at once, at most.
MOST_ROWS = 20_000_000

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


# -- reading ----------------------------------------------------------------------------------------------------------


def read(path: str | Path) -> pa.Table:
    """Read a catalogue.

    Parameters
    ----------
    path : path
        CSV, TSV, ECSV, Parquet, FITS or VOTable, told by its name; or the folder of a HATS catalogue.

    Returns
    -------
    table
        Blanks around names and strings are gone; masked values are null; fields carry `FACTS` where the file tells
        them; columns of vectors are left out.

    Raises
    ------
    UserError
        If it is missing, of an unknown kind, damaged or empty.
    """
    path = Path(path)
    if not path.is_file() and not is_hats(path):
        raise UserError(f"there is no catalogue {path}", "check the path")
    reader = _read_hats if path.is_dir() else _reader(path)
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
        return lambda p: pq.ParquetFile(p).read()  # unlike `read_table`, also where names repeat
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
    encoding = encoding_of(path)
    head = first_line(path, encoding)
    if head.startswith("# %ECSV"):
        return _read_astropy(path, "ascii.ecsv")
    mark = max("\t,;|", key=head.count)
    if head.startswith("#") or (head.count(mark) == 0 and len(head.split()) > 1):
        return _read_astropy(path, "ascii")
    table, notes = read_delimited(path, mark, encoding=encoding, exact=lambda name: simple_name(name) in ID_NAMES)
    return noted(table, notes)


def _read_astropy(path: Path, kind: str) -> pa.Table:
    from astropy.table import Table

    with quietly():  # units and headers astropy does not know are no concern of a join
        table = Table.read(path, format=kind)
    plain = [name for name in table.colnames if table[name].ndim == 1 and table[name].dtype.kind != "c"]
    made = [_arrow(table[name], name) for name in plain]
    return pa.table([values for values, _ in made], schema=pa.schema([field for _, field in made]))


def _arrow(column, name: str) -> tuple[pa.Array, pa.Field]:
    """A column of astropy's and what is known of it; positions in degrees."""
    values = plain(np.ma.getdata(np.asanyarray(column)))
    mask = np.ma.getmaskarray(column) if np.ma.isMaskedArray(column) else None
    unit = "" if getattr(column, "unit", None) is None else str(column.unit)
    factor = ANGLES.get(unit) if simple_name(name) in (*RA_NAMES, *DEC_NAMES) and values.dtype.kind == "f" else None
    if unit in HOURS and simple_name(name) in RA_NAMES and values.dtype.kind == "f":
        factor = 15.0
    array = pa.array(values if factor is None else values * factor, mask=mask)
    stated = getattr(column, "info", column)
    facts = {
        "unit": unit if factor is None else "deg",
        "description": getattr(stated, "description", None) or "",
        "ucd": (getattr(stated, "meta", None) or {}).get("ucd") or "",
    }
    return array, field(name, array.type, facts)


def field(name: str, kind: pa.DataType, facts: Mapping[str, str] | None = None) -> pa.Field:
    """A column's field with what is known of it; unknown things are left out."""
    told = {key: str((facts or {}).get(key) or "").strip() for key in FACTS}
    return pa.field(name, kind, metadata={key: value for key, value in told.items() if value} or None)


def facts_of(known: pa.Field) -> dict[str, str]:
    """What is known of a column: those of `FACTS` that its field carries."""
    told = {
        key.decode("utf-8", "replace"): value.decode("utf-8", "replace")
        for key, value in (known.metadata or {}).items()
    }
    return {key: told[key] for key in FACTS if key in told}


def is_hats(path: Path) -> bool:
    """Whether a folder is a catalogue in the HATS layout, or a collection of them."""
    return any((path / name).is_file() for name in ("hats.properties", "collection.properties", "properties"))


def _read_hats(path: Path) -> pa.Table:
    with quietly():  # of the library's own, about pandas and about margins it does not have
        try:
            import lsdb
        except ImportError as error:
            raise UserError(
                f"{path} is a HATS catalogue", "install what reads it: pip install 'skysieve[hats]'"
            ) from error
        catalogue = lsdb.open_catalog(path)
        if len(catalogue) > MOST_ROWS:
            raise UserError(
                f"{path} has {len(catalogue):,} rows, more than are read at once ({MOST_ROWS:,})",
                "write the part of the sky that you need to a Parquet file with lsdb, and give that",
            )
        frame = catalogue.compute()
    table = pa.Table.from_pandas(pd.DataFrame(frame), preserve_index=False)
    return table.select([name for name in table.column_names if name not in HATS_COLUMNS])


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
    """Blanks stripped from names and text; bytes as text; nested columns and pandas' index left out."""
    kept: list[tuple[pa.ChunkedArray, pa.Field]] = []
    for column, known in zip(table.columns, table.schema):
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_nested(column.type) or known.name.startswith("__index_level_"):
            continue
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            column = pc.utf8_trim_whitespace(column.cast(pa.string()))
        if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
            column = pc.utf8_trim_whitespace(_as_text(column))
        kept.append((column, known))
    names = unique_names([known.name.strip() for _, known in kept])
    fields = [field(name, column.type, facts_of(known)) for name, (column, known) in zip(names, kept)]
    return noted(pa.table([column for column, _ in kept], schema=pa.schema(fields)), notes_of(table))


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Bytes as text: UTF-8, or else Latin-1."""
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.chunked_array([pa.array([None if v is None else v.decode("latin-1") for v in column.to_pylist()])])


def noted(table: pa.Table, notes: Sequence[str]) -> pa.Table:
    """The same with what a person should know of it, which `notes_of` gives back."""
    return table.replace_schema_metadata({NOTES: json.dumps(list(notes))} if notes else None)


def notes_of(table: pa.Table) -> list[str]:
    """What a person should know of a catalogue that was read: rows that were left out."""
    told = (table.schema.metadata or {}).get(NOTES)
    return [] if told is None else [str(note) for note in json.loads(told)]


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


def positions(table: pa.Table, *, hours: bool = False) -> tuple[np.ndarray, np.ndarray, tuple[str, str] | None]:
    """Positions of a catalogue's rows.

    Parameters
    ----------
    hours : bool
        Whether numbers of the right ascension are hours.

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
    if hours and not pa.types.is_string(table[names[0]].type):
        ra = 15 * ra
    good = (np.abs(dec) <= 90) & (ra >= -180) & (ra <= 360)
    return np.where(good, ra, np.nan) % 360, np.where(good, dec, np.nan), (names[0], names[1])


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


# -- ids --------------------------------------------------------------------------------------------------------------

#: An image's, FITS' or array file's extension at the end of a name that has more than it.
_EXTENSION = "(?i)^(.+?)(?:" + "|".join(re.escape(e) for endings in ENDINGS.values() for e in endings) + ")$"


def text_id(value) -> str:
    """An id as text, whole numbers written one way: ``100008.0`` → ``"100008"``."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    text = str(value).strip()
    return re.sub(r"\.0+$", "", text) if re.fullmatch(r"[+-]?\d+\.0+", text) else text


def text_ids(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """Ids of a column as text without the extensions of files, (M,) object; empty where there is none."""
    kind = column.type
    if pa.types.is_integer(kind):
        return column.cast(pa.string()).fill_null("").to_numpy(zero_copy_only=False).astype(object)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        if not pc.all(pc.string_is_ascii(column)).as_py():  # some systems write é as two characters in names of files
            column = pc.utf8_normalize(column, form="NFC")
        text = pc.replace_substring_regex(pc.utf8_trim_whitespace(column), r"^([+-]?[0-9]+)\.0+$", r"\1")
        return pc.replace_substring_regex(text, _EXTENSION, r"\1").fill_null("").to_numpy(zero_copy_only=False)
    return np.array(["" if v is None or v != v else without_extension(text_id(v)) for v in column.to_pylist()], object)
