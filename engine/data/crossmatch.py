"""Which catalogue row belongs to which object: by id, and by position on the sky.

Ids are compared as text, whole numbers written one way (``100008`` = ``"100008"`` = ``100008.0``), file names without
folders and extension. What has no partner by id is matched by position, to the nearest row within a radius. Nothing is
lost in silence: `Match` counts what is alone on either side, what repeats, and what repeats with other values.

Cost: hash joins, O(N + M); positions by a k-d tree of unit vectors, O(N log M).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from engine.data.catalogue import (
    HDU_NAMES,
    ID_NAMES,
    column_named,
    positions,
    simple_name,
    text_ids,
)
from engine.data.references import some
from engine.data.sky.directions import unit_vectors
from engine.errors import UserError

#: Distance within which a position names an object, arcsec: half a typical ground-based seeing disc.
RADIUS = 1.0
#: How objects are matched: by id and then position, by id only, by position only.
WAYS = ("auto", "id", "position")
#: Right ascensions no larger than this may be hours.
DAY = 24.0
#: Two positions further apart than this are not one, deg; nearer than a tenth of it they may be (other epoch, other middle).
APART = 1.0


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
    unused : (K,) int64
        Catalogue rows that belong to no object and repeat none that does.
    repeated : int
        Further rows, equal to an earlier one, that were passed over.
    differing : tuple of str
        Ids of objects with several rows whose values differ; the first one was taken.
    shared : int
        Objects that share their row with another one.
    hours : bool
        Whether the catalogue's right ascensions are hours.
    """

    rows: np.ndarray
    column: str | None = None
    by_position: int = 0
    unused: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    repeated: int = 0
    differing: tuple[str, ...] = ()
    shared: int = 0
    hours: bool = False


def match(
    table: pa.Table,
    ids: Sequence[str],
    *,
    ra: np.ndarray,
    dec: np.ndarray,
    id_column: str | None = None,
    way: str = "auto",
    radius: float = RADIUS,
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
    way : str
        One of `WAYS`.
    radius : float, arcsec
        A row matches an object by position if it is the nearest, and nearer than this.
    hdus : (file name, HDU numbers), optional
        Where objects are HDUs of one file: a column that numbers them joins, too.
    place : str
        What messages call the catalogue.

    Raises
    ------
    UserError
        If the column does not exist, the radius is no distance, or no row belongs to any object.
    """
    if way not in WAYS:
        raise UserError(f"objects cannot be matched by {way!r}", f"choose one of: {', '.join(WAYS)}")
    if not 0 < radius < 3600:
        raise UserError(f"{radius} arcsec is no radius to match within", "give more than 0 and less than 3600 arcsec")
    rows, column = np.full(len(ids), -1, np.int64), None
    if way != "position":
        column, rows = _by_id(table, ids, id_column, hdus, place)
    found = Match(rows, column, hours=_in_hours(table, rows, ra, dec, radius))
    if way != "id":
        rows, by_position = _join_positions(table, rows, ra, dec, radius, hours=found.hours)
        found = replace(found, rows=rows, by_position=by_position)
    if not (rows >= 0).any():
        raise _nothing_matches(table, ids, column, place, way)
    return _counted(table, found, hdus)


def _by_id(
    table: pa.Table, ids: Sequence[str], id_column: str | None, hdus, place: str
) -> tuple[str | None, np.ndarray]:
    if id_column is None:
        column, rows = _best_column(table, ids, hdus)
        return (column, rows) if column is not None else _best_column(table, ids, hdus, spelled=_without_zeros)
    column = _column(table, id_column, place)
    rows = _join(ids, text_ids(table[column]))
    return column, rows if (rows >= 0).any() else _join(ids, text_ids(table[column]), spelled=_without_zeros)


def _as_written(keys: np.ndarray) -> np.ndarray:
    return keys


def _without_zeros(keys: np.ndarray) -> np.ndarray:
    """Whole numbers without the zeros that pad them, anything else as it is."""
    return np.array([re.sub(r"^0+(?=\d+$)", "", key) for key in keys], object)


def _counted(table: pa.Table, found: Match, hdus) -> Match:
    """The same, with what repeats, is shared, and is left over."""
    by_id = (found.rows >= 0).sum() > found.by_position
    used, times = np.unique(found.rows[found.rows >= 0], return_counts=True)
    repeated, differing = np.zeros(0, np.int64), tuple[str, ...]()
    if by_id and found.column is not None:
        repeated, differing = _repeats(table, found.column, found.rows, hdus)
    left = np.ones(table.num_rows, bool)
    left[used] = left[repeated] = False
    return replace(
        found,
        column=found.column if by_id else None,
        unused=np.flatnonzero(left),
        repeated=len(repeated),
        differing=differing,
        shared=int(times[times > 1].sum()),
    )


def _column(table: pa.Table, name: str, place: str) -> str:
    if name in table.column_names:
        return name
    alike = [c for c in table.column_names if c.lower() == name.strip().lower()]
    if len(alike) == 1:
        return alike[0]
    raise UserError(f"{place} has no column {name!r}", f"choose the id column among: {', '.join(table.column_names)}")


def _best_column(
    table: pa.Table, ids: Sequence[str], hdus, *, spelled: Callable[[np.ndarray], np.ndarray] = _as_written
) -> tuple[str | None, np.ndarray]:
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
            found = _join(ids, text_ids(table[column]), spelled=spelled)
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


def _join(
    ids: Sequence[str], keys: np.ndarray, *, spelled: Callable[[np.ndarray], np.ndarray] = _as_written
) -> np.ndarray:
    """First row of each id, both spelled alike; ids that are paths also match keys with more folders in front, or none.

    Returns
    -------
    (N,) int64
        -1 where there is none.
    """
    wanted, keys = spelled(text_ids(pa.array([str(i) for i in ids], pa.string()))), spelled(keys)
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


def _repeats(table: pa.Table, column: str, rows: np.ndarray, hdus) -> tuple[np.ndarray, tuple[str, ...]]:
    """Find rows that repeat the id of a matched one, and name the ids whose rows differ."""
    keys = pd.Series(text_ids(table[column]), dtype=object)
    matched = np.unique(rows[rows >= 0])
    again = np.array(keys.duplicated(keep=False) & (keys != ""))
    again[matched] = False
    extra = np.flatnonzero(again)
    extra = extra[pd.Index(keys[extra]).isin(keys[matched])] if len(extra) else extra
    if len(extra) == 0 or (hdus is not None and simple_name(column) in HDU_NAMES):
        return np.zeros(0, np.int64), ()
    first = {key: int(row) for row, key in zip(matched, keys[matched])}
    frame = table.take(pa.array(np.concatenate([extra, [first[k] for k in keys[extra]]]))).to_pandas()
    late, early = frame.iloc[: len(extra)].reset_index(drop=True), frame.iloc[len(extra) :].reset_index(drop=True)
    same = ((late == early) | (late.isna() & early.isna())).all(axis=1).to_numpy(dtype=bool)
    return extra, tuple(dict.fromkeys(keys[extra[~same]]))


def _join_positions(
    table: pa.Table, rows: np.ndarray, ra: np.ndarray, dec: np.ndarray, radius: float, *, hours: bool = False
) -> tuple[np.ndarray, int]:
    """Match objects that are still alone to the nearest row within a radius, arcsec."""
    alone = (rows < 0) & np.isfinite(ra) & np.isfinite(dec)
    table_ra, table_dec, _ = positions(table, hours=hours)
    known = np.flatnonzero(np.isfinite(table_ra))
    if not alone.any() or len(known) == 0:
        return rows, 0
    from scipy.spatial import cKDTree

    tree = cKDTree(unit_vectors(table_ra[known], table_dec[known]))
    chord = 2 * np.sin(np.radians(radius / 3600) / 2)
    distance, nearest = tree.query(unit_vectors(ra[alone], dec[alone]), distance_upper_bound=chord)
    found = np.where(np.isfinite(distance), np.append(known, -1)[nearest], -1)
    rows = rows.copy()
    rows[alone] = found
    return rows, int((found >= 0).sum())


def _in_hours(table: pa.Table, rows: np.ndarray, ra: np.ndarray, dec: np.ndarray, radius: float) -> bool:
    """Whether right ascensions without a unit are hours: only as hours do they agree with where the objects are."""
    as_degrees, table_dec, names = positions(table)
    known = as_degrees[np.isfinite(as_degrees)]
    if names is None or not len(known) or known.max() > DAY or pa.types.is_string(table[names[0]].type):
        return False
    as_hours = positions(table, hours=True)[0]
    pairs = np.flatnonzero((rows >= 0) & np.isfinite(ra) & np.isfinite(dec))
    if len(pairs):
        degrees, hours = (
            float(np.nanmedian(_separation(ra[pairs], dec[pairs], v[rows[pairs]], table_dec[rows[pairs]])))
            for v in (as_degrees, as_hours)
        )
        return degrees > APART and hours < APART / 10
    alone = np.full(len(ra), -1)
    by_degrees, by_hours = (_join_positions(table, alone, ra, dec, radius, hours=h)[1] for h in (False, True))
    return by_hours > by_degrees


def _separation(ra: np.ndarray, dec: np.ndarray, other_ra: np.ndarray, other_dec: np.ndarray) -> np.ndarray:
    """Angle between positions, deg."""
    chord = np.linalg.norm(unit_vectors(ra, dec) - unit_vectors(other_ra, other_dec), axis=1)
    return np.degrees(2 * np.arcsin(np.clip(chord / 2, 0, 1)))


def _nothing_matches(table: pa.Table, ids: Sequence[str], column: str | None, place: str, way: str) -> UserError:
    columns = ", ".join(table.column_names)
    if way == "position":
        return UserError(
            f"no row of {place} lies at the position of an object",
            "give a larger --radius (arcsec), or join by id; objects and rows must both have positions",
        )
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
