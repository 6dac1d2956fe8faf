"""The table of objects: what the source says of each, joined to its catalogue row.

A column keeps what the catalogue says of it (unit, description, UCD). Positions are the catalogue's where it has them.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from engine.data import catalogue as catalogues
from engine.data.crossmatch import Match
from engine.data.references import Found
from engine.survey import REFERENCE_PREFIX

#: What every survey says of its own columns.
OWN = {
    "ra": {"unit": "deg", "description": "right ascension (ICRS)", "ucd": "pos.eq.ra;meta.main"},
    "dec": {"unit": "deg", "description": "declination (ICRS)", "ucd": "pos.eq.dec;meta.main"},
}


def objects(found: Found, table: pa.Table | None = None, match: Match | None = None) -> pa.Table:
    """Put the table of objects together.

    Parameters
    ----------
    found : Found
        N objects.
    table : table, optional
        The catalogue.
    match : Match, optional
        Which of its rows belongs to each object.

    Returns
    -------
    table of N rows
        ``id``, ``ra`` and ``dec`` (deg, NaN where unknown), references, catalogue columns.
    """
    ids, ra, dec, columns = found.ids, found.ra, found.dec, found.columns
    if table is not None and match is not None:
        ids = _ids_of_catalogue(found, table, match)
        ra, dec, used = _positions(table, match, ra, dec)
        columns = _with_columns(columns, table.take(pa.array(match.rows, mask=match.rows < 0)), used)
    good = (np.abs(dec) <= 90) & np.isfinite(ra)
    own = {
        "id": pa.array([str(i) for i in ids], pa.string()),
        "ra": pa.array(np.where(good, ra % 360, np.nan)),
        "dec": pa.array(np.where(good, dec, np.nan)),
    }
    own |= {key: pa.array(values) for key, values in found.references.items()}
    fields = {name: catalogues.field(name, values.type, OWN.get(name)) for name, values in own.items()}
    data: dict[str, pa.Array | pa.ChunkedArray] = dict(own)
    others = pa.table({}) if columns is None else columns
    for known in others.schema:
        values = others[known.name]
        if known.name == "id" and np.array_equal(catalogues.text_ids(values), np.asarray(data["id"])):
            continue
        name = _free_name(known.name, data)
        data[name], fields[name] = values, known.with_name(name)
    return pa.table(list(data.values()), schema=pa.schema(list(fields.values())))


def _ids_of_catalogue(found: Found, table: pa.Table, match: Match) -> list[str]:
    """HDUs that were joined by number take the catalogue's ids, if it has some that do not repeat."""
    if match.column is None or catalogues.simple_name(match.column) not in catalogues.HDU_NAMES:
        return found.ids
    named = catalogues.column_named(table, ("ident", "id", "objid", "objectid", "sourceid"))
    if named is None or (match.rows < 0).any():
        return found.ids
    ids = [catalogues.text_id(v) for v in table[named].take(pa.array(match.rows)).to_pylist()]
    return ids if len(set(ids)) == len(ids) else found.ids


def _positions(table: pa.Table, match: Match, ra: np.ndarray, dec: np.ndarray):
    """Positions: the catalogue's where it has one, else the source's; and the columns they came from."""
    table_ra, table_dec, columns = catalogues.positions(table, hours=match.hours)
    table_ra, table_dec = (np.append(v, np.nan)[match.rows] for v in (table_ra, table_dec))
    known = np.isfinite(table_ra) & np.isfinite(table_dec)
    return np.where(known, table_ra, ra), np.where(known, table_dec, dec), columns


def _with_columns(own: pa.Table | None, joined: pa.Table, positions: tuple[str, str] | None) -> pa.Table:
    """Catalogue columns beside those that came with the pixels; positions and equal columns are not kept twice."""
    columns = {} if own is None else {known.name: (own[known.name], known) for known in own.schema}
    for known in joined.schema:
        name, values = known.name, joined[known.name]
        if positions is not None and name in positions and name.lower() in ("ra", "dec"):
            continue
        if name in columns and _equal(columns[name][0], values):
            continue
        name = name if name not in columns else f"{name}_catalogue"
        columns[name] = values, known.with_name(name)
    return pa.table(
        [values for values, _ in columns.values()], schema=pa.schema([known for _, known in columns.values()])
    )


def _equal(one: pa.ChunkedArray, other: pa.ChunkedArray) -> bool:
    """Whether two columns hold the same values, of whatever type."""
    try:
        return one.combine_chunks().equals(other.cast(one.type).combine_chunks())
    except pa.ArrowInvalid:
        return False


def _free_name(name: str, taken: dict) -> str:
    """A name that is not one of ours: the catalogue's own id column keeps its values under another name."""
    ours = name in taken or name.startswith(REFERENCE_PREFIX)
    return f"catalogue_{name}" if ours else name
