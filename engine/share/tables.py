"""Catalogues to leave with: FITS, VOTable, Parquet, ECSV or CSV, by the suffix of the file.

A catalogue has the id and position of each object, its catalogue columns, its current label for each target and its
scores. It is put together once, as an Arrow table whose fields carry units and whose gaps are gaps, and then written
by the format's own library; units and provenance go where the format has room for them (CSV has none). A file is
whole or absent.

Cost: the columns of the objects exported, read once.
"""

from __future__ import annotations

import datetime
import itertools
import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine import files
from engine.data.catalogue import facts_of
from engine.data.catalogue import field as known_field
from engine.errors import UserError
from engine.learning import scores
from engine.maps.clustering import clusters
from engine.search.query import LABEL_PREFIX
from engine.search.query import select as select_query
from engine.survey import version

if TYPE_CHECKING:
    from astropy.table import Table

    from engine.survey import Survey

#: Scores of a target begin with these (`engine.learning.interest`); the first one is what a ranking is by.
SCORE_PREFIXES = ("mean_", "sd_", "acquisition_", "p_")
#: Unit, unified content descriptor (IVOA) and description of the columns every survey has.
KNOWN_FIELDS = {
    "id": {"ucd": "meta.id;meta.main", "description": "identifier"},
    "ra": {"unit": "deg", "ucd": "pos.eq.ra;meta.main", "description": "right ascension (ICRS)"},
    "dec": {"unit": "deg", "ucd": "pos.eq.dec;meta.main", "description": "declination (ICRS)"},
}
#: Characters of a FITS keyword; longer ones of the provenance are cut.
KEYWORD = 8


def export(
    survey: Survey,
    path: str | Path,
    *,
    rows: np.ndarray | None = None,
    query: str | None = None,
    selection: str | None = None,
    target: str | None = None,
    ranking: bool = False,
    columns: Sequence[str] | None = None,
    layout: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a catalogue of some or all objects.

    Parameters
    ----------
    survey : Survey
    path : path
        Its suffix says the format: see `FORMATS`.
    rows : (n,) int, optional
        Objects, in the order wanted.
    query, selection : str, optional
        Only objects that meet a condition; only those of a stored selection. All that are given must hold.
    target : str, optional
        Labels and scores of this target only; of all targets if not given.
    ranking : bool
        In the order of the target's posterior mean, the highest first, with a column ``rank`` from 1.
    columns : names, optional
        Catalogue columns, labels (``label_dwarf``), clusters (``cluster_CLUSTERING``, by name) and scores wanted, beside
        id, ra and dec; all if not given.
    layout : str, optional
        Add positions in this layout, ``map_x`` and ``map_y``.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    Path

    Raises
    ------
    UserError
        If the suffix or a column is not known, the file exists, no object is left, or there is no ranking yet.
    """
    path = Path(path)
    write = _writer(path, overwrite)
    chosen = chosen_rows(survey, rows, query, selection)
    ranked = _ranked(survey, chosen, target) if ranking else chosen
    table = _catalogue(survey, ranked, target, columns, layout, ranking)
    meta = _provenance(
        survey,
        len(chosen),
        {
            "query": query,
            "selection": selection,
            "target": target,
            "ranking": SCORE_PREFIXES[0] + str(target) if ranking else None,
            "layout": layout,
        },
    )
    with files.atomic_path(path) as temporary:
        write(temporary, table, meta)
    return path


def _writer(path: Path, overwrite: bool) -> Callable[[Path, pa.Table, dict], None]:
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise UserError(f"the format of {path.name} is not known", f"end its name in one of: {', '.join(FORMATS)}")
    if path.is_dir():
        raise UserError(f"{path} is a folder", "give the name of a file in it")
    if path.exists() and not overwrite:
        raise UserError(f"{path} already exists", "choose another name, or overwrite it")
    return FORMATS[suffix]


# -- which objects ----------------------------------------------------------------------------------------------------


def chosen_rows(survey: Survey, rows, query: str | None, selection: str | None) -> np.ndarray:
    """Objects that meet everything asked for, in the order given.

    Raises
    ------
    UserError
        If a row is not in the survey, or none is left.
    """
    from engine.search import selections

    chosen = np.arange(len(survey)) if rows is None else np.asarray(rows, np.int64)
    if len(chosen) and (chosen.min() < 0 or chosen.max() >= len(survey)):
        raise UserError(f"an object to export is not in this survey of {len(survey):,}", "give rows of this survey")
    if selection is not None:
        chosen = chosen[np.isin(chosen, selections.load(survey, selection).rows)]
    if query is not None:
        chosen = chosen[np.isin(chosen, select_query(survey, query))]
    if len(chosen) == 0:
        raise UserError("there is no object to export", "select at least one, or loosen the query")
    return chosen


def _ranked(survey: Survey, rows: np.ndarray, target: str | None) -> np.ndarray:
    """Objects by falling posterior mean of the target, those without one last."""
    if target is None:
        raise UserError("a ranking is of one target", "name it")
    name = SCORE_PREFIXES[0] + target
    if name not in scores.learned(survey) and name not in survey.scores:
        raise UserError(
            f"there is no ranking for {target!r} yet",
            f"label some objects first: `python -m engine label {survey.path} --target {target} ID=yes`",
        )
    mean = np.asarray(scores.score(survey, name)[rows], np.float64)
    return rows[np.argsort(np.where(np.isnan(mean), np.inf, -mean), kind="stable")]


# -- which columns ----------------------------------------------------------------------------------------------------


def _catalogue(survey: Survey, rows: np.ndarray, target, columns, layout: str | None, ranking: bool) -> pa.Table:
    """Everything to be written, one Arrow table."""
    data: dict[str, pa.Array] = {}
    if ranking:
        data["rank"] = pa.array(np.arange(1, len(rows) + 1))
    for name, values in _columns(survey, rows, target, columns):
        # a score or label may be called what a catalogue column is called: neither is lost
        data[name if name not in data else f"skysieve_{name}"] = values
    if layout is not None:
        xy = survey.layout_xy(layout)[rows]
        data |= {"map_x": pa.array(xy[:, 0], from_pandas=True), "map_y": pa.array(xy[:, 1], from_pandas=True)}
    told = {known.name: facts_of(known) for known in survey.schema}
    fields = [known_field(name, values.type, KNOWN_FIELDS.get(name, told.get(name))) for name, values in data.items()]
    return pa.table(list(data.values()), schema=pa.schema(fields))


def _columns(survey: Survey, rows: np.ndarray, target, columns) -> Iterator[tuple[str, pa.Array]]:
    """Names and values: id, ra, dec and the catalogue's, then labels, then clusters, then scores."""
    targets = [t for t in survey.labels.targets() if target in (None, t)]
    there = sorted({*scores.learned(survey), *survey.scores})
    told = [s for s in there if target is None or s in {p + target for p in SCORE_PREFIXES}]
    own = [*(c for c in KNOWN_FIELDS if c in survey.columns), *(c for c in survey.columns if c not in KNOWN_FIELDS)]
    grouped = {clusters.PREFIX + name: name for name in sorted(survey.clusters)}
    wanted = _wanted(columns, [*own, *(LABEL_PREFIX + t for t in targets), *grouped, *told])
    taken = survey.arrow([c for c in own if wanted(c)]).take(pa.array(rows))
    for name in taken.column_names:
        yield name, _plain(taken[name].combine_chunks())
    for t in targets:
        if wanted(LABEL_PREFIX + t):
            yield LABEL_PREFIX + t, _labels(survey, rows, t)
    for name, clustering in grouped.items():
        if wanted(name):
            yield name, _clusters(survey, rows, clustering)
    for name in told:
        if wanted(name):
            yield name, pa.array(np.asarray(scores.score(survey, name)[rows]), from_pandas=True)  # NaN is a gap


def _wanted(columns: Sequence[str] | None, there: Sequence[str]) -> Callable[[str], bool]:
    if columns is None:
        return lambda name: True
    unknown = [c for c in columns if c not in there]
    if unknown:
        raise UserError(f"there is no column {unknown[0]!r} to export", f"choose among: {', '.join(there)}")
    return lambda name: name in columns or name in KNOWN_FIELDS


def _labels(survey: Survey, rows: np.ndarray, target: str) -> pa.Array:
    current = survey.labels.current(target)
    labels = np.full(len(survey), None, object)
    labels[current.rows] = current.values
    return pa.array(labels[rows], pa.string())


def _clusters(survey: Survey, rows: np.ndarray, clustering: str) -> pa.Array:
    """Names of the clusters that objects are in, null where in none."""
    found = clusters.read(survey, clustering)
    codes = np.asarray(found.codes)[rows]
    indices = pa.array(np.where(codes < 0, 0, codes).astype(np.int32), mask=codes < 0)
    return pa.DictionaryArray.from_arrays(indices, pa.array([*found.names, ""], pa.string())).dictionary_decode()


def _plain(values: pa.Array) -> pa.Array:
    """A column in a type that every format has: truth, numbers or text."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        return _plain(values.dictionary_decode())
    if pa.types.is_floating(kind):
        values = values.cast(pa.float32()) if pa.types.is_float16(kind) else values
        return pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_string(kind):
        return values
    if pa.types.is_decimal(kind):
        return values.cast(pa.float64())
    if pa.types.is_nested(kind):
        return pa.array([None if v is None else json.dumps(v, default=str) for v in values.to_pylist()], pa.string())
    return values.cast(pa.string())


def _provenance(survey: Survey, count: int, asked: dict) -> dict[str, str | int]:
    """Where the catalogue comes from; keys fit FITS."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    meta: dict[str, str | int] = {
        "origin": f"Skysieve {version()}",
        "survey": survey.name,
        "created": now,
        "objects": count,
    }
    return meta | {key[:KEYWORD]: value for key, value in asked.items() if value is not None}


# -- formats: (path, table, provenance) → a file ----------------------------------------------------------------------


def _parquet(path: Path, table: pa.Table, meta: dict) -> None:
    import pyarrow.parquet as pq

    pq.write_table(
        table.replace_schema_metadata({"skysieve": json.dumps(meta, ensure_ascii=False)}), path, compression="zstd"
    )


def _csv(path: Path, table: pa.Table, meta: dict) -> None:
    import pyarrow.csv

    pyarrow.csv.write_csv(table, path, pyarrow.csv.WriteOptions(quoting_style="needed"))


def _ecsv(path: Path, table: pa.Table, meta: dict) -> None:
    _astropy(table, meta).write(path, format="ascii.ecsv", overwrite=True)


def _votable(path: Path, table: pa.Table, meta: dict) -> None:
    from astropy.io.votable import from_table
    from astropy.io.votable.exceptions import VOWarning
    from astropy.io.votable.tree import Info

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VOWarning)  # a name that is no XML identifier gets one beside it
        document = from_table(_astropy(table, {}), table_id="objects")
    infos = [Info(name=key, value=str(value)) for key, value in meta.items()]
    document.resources[0].infos.extend(infos)
    document.to_xml(str(path))


def _fits(path: Path, table: pa.Table, meta: dict) -> None:
    """FITS knows ASCII only: other characters are written as Python escapes, and the header says so."""
    from astropy.io import fits

    plain, escaped = _for_fits(table)
    made = _astropy(plain, {})
    for column in made.columns.values():
        if column.dtype.kind in "iu" and hasattr(column, "mask"):
            column.fill_value = np.iinfo(column.dtype).min if column.dtype.kind == "i" else np.iinfo(column.dtype).max
    hdu = fits.table_to_hdu(made)
    for key, value in meta.items():
        hdu.header[key[:KEYWORD].upper()] = value if isinstance(value, int) else _ascii(value)
    hdu.header["RADESYS"] = "ICRS"
    if escaped:
        hdu.header["HISTORY"] = _ascii(f"non-ASCII text is escaped as in Python in: {', '.join(escaped)}")
    with open(path, "wb") as stream:
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(stream)


def _for_fits(table: pa.Table) -> tuple[pa.Table, list[str]]:
    """A table that FITS can hold, and the names of the columns whose text had to be escaped.

    A FITS truth value cannot be missing: a column of them with gaps becomes 1, 0 and null. Names are ASCII, and
    different even when case is ignored, as FITS does.
    """
    escaped: list[str] = []
    taken: set[str] = set()
    fields, arrays = [], []
    for field, values in zip(table.schema, table.columns):
        if pa.types.is_boolean(field.type) and values.null_count:
            values = values.cast(pa.int8()).cast(pa.int16())
        elif pa.types.is_string(field.type) and not pc.all(pc.string_is_ascii(pc.fill_null(values, ""))).as_py():
            values = pa.chunked_array([[None if v is None else _ascii(v) for v in values.to_pylist()]], pa.string())
            escaped.append(field.name)
        name = _untaken(_ascii(field.name), taken)
        taken.add(name.lower())
        fields.append(pa.field(name, values.type, metadata=field.metadata))
        arrays.append(values)
    return pa.table(arrays, schema=pa.schema(fields)), escaped


def _untaken(name: str, taken: set[str]) -> str:
    """A column name, numbered if it is taken."""
    numbered = (name if number == 1 else f"{name}_{number}" for number in itertools.count(1))
    return next(n for n in numbered if n.lower() not in taken)


def _ascii(text: str) -> str:
    printable = "".join(ch if ch.isprintable() else " " for ch in str(text))
    return printable.encode("ascii", "backslashreplace").decode("ascii")


def _astropy(table: pa.Table, meta: dict) -> Table:
    """The same as an astropy table: units, gaps masked, gaps of floats NaN."""
    from astropy.table import Column, MaskedColumn, Table

    made = Table(meta=dict(meta))
    for field in table.schema:
        values = table[field.name].combine_chunks()
        missing = values.is_null().to_numpy(zero_copy_only=False)
        facts = {k.decode(): v.decode() for k, v in (field.metadata or {}).items()}
        options = {"name": field.name, "unit": facts.get("unit"), "description": facts.get("description")}
        if "ucd" in facts:
            options["meta"] = {"ucd": facts["ucd"]}
        data = _numpy(values)
        masked = missing.any() and data.dtype.kind != "f"
        made.add_column(MaskedColumn(data, mask=missing, **options) if masked else Column(data, **options))
    return made


def _numpy(values: pa.Array) -> np.ndarray:
    """Values as NumPy has them; NaN, 0, False or "" where there is none."""
    if pa.types.is_string(values.type):
        return np.array(pc.fill_null(values, "").to_pylist(), np.str_)
    if pa.types.is_floating(values.type):
        return values.to_numpy(zero_copy_only=False)
    empty = False if pa.types.is_boolean(values.type) else 0
    return pc.fill_null(values, pa.scalar(empty, values.type)).to_numpy(zero_copy_only=False)


#: Suffix → writer; a new format is a function and a line here.
FORMATS: dict[str, Callable[[Path, pa.Table, dict], None]] = {
    ".fits": _fits,
    ".vot": _votable,
    ".xml": _votable,
    ".parquet": _parquet,
    ".ecsv": _ecsv,
    ".csv": _csv,
}
