"""Where to cut: from the images of a mosaic and the positions of a catalogue to the corner of every box.

An object that is on no image is left out, and counted; one on the images of some bands only has the others missing.
Which pixels make a box is said in `engine.data.mosaics.source`.

Cost: the headers once, then one WCS transform of each object for each pixel grid near it (`engine.data.mosaics.grids`).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from engine.data.catalogue import ID_NAMES, positions, simple_name, text_ids
from engine.data.crossmatch import match
from engine.data.mosaics.grids import Grid, Placed, place
from engine.data.mosaics.tiling import Tile, Tiling, find_tiles, images_in
from engine.data.references import NOTHING, Asked, Found, Place, Root, without_extension
from engine.data.sky.directions import unit_vectors
from engine.errors import UserError
from engine.jobs import Progress, silent

#: Side of the boxes where nobody says, pixels.
SIDE = 64
#: Side from which an image counts as large, pixels, and how many files are asked for theirs.
LARGE, EXAMPLES = 512, 16
#: An image shows one object if that is as near to its middle, as a share of its side.
CENTRAL = 0.1
#: Pixels by which the inverse of a WCS may miss a whole number.
WHOLE = 1e-6


def is_mosaic(source: Place, asked: Asked) -> bool:
    """Whether FITS files are images to cut boxes from, and not cutouts.

    They are if a size of the boxes is asked for; or if they are large images on the sky, fewer than the catalogue has
    positions, and not named each after the object in its middle.
    """
    if asked.table is None or asked.size is not None:
        return asked.size is not None
    ra, dec, columns = positions(asked.table)
    names = list(source.names) if source.root.is_dir() else [source.root.name]
    if columns is None or len(names) >= np.isfinite(ra).sum():
        return False
    chosen = [names[k] for k in np.unique(np.linspace(0, len(names) - 1, EXAMPLES).astype(int))]
    large, small = {}, 0
    for name in chosen:
        sides = _grids(source, name)
        big = [found for found in sides if found.height * found.width >= LARGE**2]
        small += len(sides) > len(big)
        if big:
            large[name] = big[0]
    return len(large) > small and 2 * _named_after(large, asked.table, ra, dec) < len(large)


def _grids(source: Place, name: str) -> list[Grid]:
    """Grids of the images of one file, none if it cannot be read."""
    try:
        path = str(source.root) if source.root.is_file() else Root(source.root).file(name)
        return [image.grid for image in images_in(path, name, {}) or []]
    except (OSError, ValueError, EOFError, KeyError, TypeError):
        return []


def _named_after(grids: dict[str, Grid], table: pa.Table, ra: np.ndarray, dec: np.ndarray) -> int:
    """How many images are named after a row of the catalogue that is in their middle, or has no position."""
    nowhere = np.full(len(grids), np.nan)
    ids = [without_extension(name.rpartition("/")[2]) for name in grids]
    try:
        rows = match(table, ids, ra=nowhere, dec=nowhere, way="id").rows
    except UserError:  # no row has such an id
        return 0
    apart = np.linalg.norm(unit_vectors(ra, dec)[rows] - np.stack([g.middle for g in grids.values()]), axis=1)
    near = np.array([CENTRAL * max(g.height, g.width) * g.scale for g in grids.values()])
    return int(((rows >= 0) & ~(np.degrees(apart) * 3600 > near)).sum())


def look(source: Place, asked: Asked = NOTHING, progress: Progress = silent) -> Found:
    """Find the images of a mosaic, and the box of each object of the catalogue.

    Raises
    ------
    UserError
        If there is no catalogue, or none with positions; no image on the sky; no object on any of them.
    """
    if asked.table is None:
        raise UserError(f"nothing says where to cut boxes from {source.root}", "name a catalogue with --catalogue")
    ra, dec, columns = positions(asked.table)
    if columns is None:
        raise UserError(
            f"the catalogue has no positions to cut at (its columns: {', '.join(asked.table.column_names)})",
            "call two of its columns ra and dec, in degrees",
        )
    tiling = find_tiles(source, asked.bands, progress)
    grids = list({id(tile.grid): tile.grid for tile in tiling.tiles}.values())
    placed = _place(tiling, grids, ra, dec, progress)
    inside = np.asarray((placed.image >= 0).any(axis=0))
    if not inside.any():
        raise _outside(source, tiling, grids, asked.table)
    rows, ids, notes = _identified(asked.table, np.flatnonzero(inside), asked.id_column)
    side = asked.size or SIDE
    references, told = _boxes(tiling, placed, rows, side)
    scale = min(grid.scale for grid in grids)
    size = f"boxes of {side} pixels a side, {side * scale:.3g} arcsec ({scale:.3g} a pixel)"
    size += "" if asked.size else "; choose another side with --size"
    return Found(
        "mosaic",
        source.root,
        ids,
        references,
        tiling.bands,
        True,
        ((side, side), (side, side)),
        ra[rows],
        dec[rows],
        pixels={"side": side, "scale": round(scale, 6)},
        rejected=tiling.rejected,
        rows=rows,
        notes=(size, *_left_out(asked.table, ra, inside), *told, *notes, *tiling.notes),
        files=tiling.files,
    )


def _place(tiling: Tiling, grids: list[Grid], ra: np.ndarray, dec: np.ndarray, progress: Progress) -> Placed:
    numbers = {id(grid): k for k, grid in enumerate(grids)}
    images = [(tiling.bands.index(tile.band), numbers[id(tile.grid)]) for tile in tiling.tiles]
    return place(grids, images, ra, dec, lambda done, total: progress(done, total, "finding objects on the images"))


def _boxes(tiling: Tiling, placed: Placed, rows: np.ndarray, side: int) -> tuple[dict, list[str]]:
    """References to the boxes of some objects, and notes on what they miss."""
    finest = min(tile.grid.scale for tile in tiling.tiles)
    sides = np.array([max(1, round(side * finest / tile.grid.scale)) for tile in tiling.tiles])
    references: dict[str, list | np.ndarray] = {}
    over, partial = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    for k, band in enumerate(tiling.bands):
        image = placed.image[k, rows]
        there = image >= 0
        own = sides[image]
        corners = [_corner(v[k, rows], own) for v in (placed.x, placed.y)]
        ends = [np.array([getattr(t.grid, name) for t in tiling.tiles])[image] for name in ("width", "height")]
        for corner, end in zip(corners, ends):
            over |= there & ((corner < 0) | (corner + own > end))
        partial |= ~there
        files = np.array([*(tile.file for tile in tiling.tiles), None], object)
        values = {"file": files[image], "x": corners[0], "y": corners[1], "side": own}
        values |= {what: np.array([getattr(t, what) for t in tiling.tiles])[image] for what in ("index", "plane")}
        for what, column in values.items():
            references[f"pixels_{what}_{band}"] = (
                column if what == "file" else np.where(there, column, 0).astype(np.int32)
            )
    return references, [*_of_scales(tiling.tiles, sides, side), *_missing(over, partial)]


def _corner(pixel: np.ndarray, side: np.ndarray) -> np.ndarray:
    """First pixel of the box of a side around each pixel. What is a whole pixel but for the last digits counts as one."""
    return np.ceil(np.nan_to_num(pixel) - side / 2 - WHOLE).astype(np.int64)


def _of_scales(tiles: tuple[Tile, ...], sides: np.ndarray, side: int) -> list[str]:
    """What is resampled."""
    other = {(t.band, int(own)): t.grid.scale for t, own in zip(tiles, sides) if own != side}
    return [
        f"{band} has pixels of {scale:.3g} arcsec: its boxes of {own} pixels are resampled to {side}"
        for (band, own), scale in other.items()
    ]


def _missing(over: np.ndarray, partial: np.ndarray) -> list[str]:
    notes = []
    if over.any():
        notes.append(f"{over.sum():,} boxes reach over the edge of their image; what is beyond reads as missing")
    if partial.any():
        notes.append(f"{partial.sum():,} objects are on no image of a band; it reads as missing")
    return notes


# -- what to call objects ---------------------------------------------------------------------------------------------


def _identified(table: pa.Table, rows: np.ndarray, column: str | None) -> tuple[np.ndarray, list[str], list[str]]:
    """Ids of rows: of a column that tells them apart, else row numbers; rows that repeat another are dropped.

    Raises
    ------
    UserError
        If the column that is asked for does not exist, or does not tell them apart.
    """
    if column is not None and column not in table.column_names:
        raise UserError(
            f"the catalogue has no column {column!r}", f"choose the id column among: {', '.join(table.column_names)}"
        )
    usual = [name for usual in ID_NAMES for name in table.column_names if simple_name(name) == usual]
    ra, dec, _ = positions(table)
    for name in [column] if column is not None else usual:
        ids = text_ids(table[name].take(pa.array(rows)))
        first = _first_of_each(ids, ra[rows], dec[rows])
        if len(set(ids[first])) == len(first) and "" not in set(ids):
            again = len(rows) - len(first)
            repeat = [f"{again:,} catalogue rows repeat the id and position of an earlier one and were passed over"]
            return rows[first], [str(i) for i in ids[first]], repeat if again else []
    if column is not None:
        raise UserError(
            f"the column {column!r} does not tell the objects apart: ids in it repeat or are empty",
            "name another with --id-column, or none: objects are then called by their row",
        )
    return (
        rows,
        [str(row) for row in rows],
        ["objects are called by their row in the catalogue, counted from 0: no column of ids tells them apart"],
    )


def _first_of_each(ids: np.ndarray, ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Positions of rows that repeat no earlier one."""
    first: dict[tuple, int] = {}
    for at, key in enumerate(zip(ids, ra.tolist(), dec.tolist())):
        first.setdefault(key, at)
    return np.fromiter(first.values(), np.int64, len(first))


def _left_out(table: pa.Table, ra: np.ndarray, inside: np.ndarray) -> list[str]:
    """Notes on rows that are on no image."""
    unknown = ~np.isfinite(ra)
    outside = np.flatnonzero(~inside & ~unknown)
    notes = []
    if len(outside):
        name = next((n for usual in ID_NAMES for n in table.column_names if simple_name(n) == usual), None)
        few = outside[:4]
        called = [f"row {k}" for k in few] if name is None else list(text_ids(table[name].take(pa.array(few))))
        more = f" and {len(outside) - 3:,} more" if len(outside) > 3 else ""
        notes.append(f"{len(outside):,} objects are outside the mosaic ({', '.join(map(str, called[:3]))}{more})")
    if unknown.any():
        notes.append(f"{unknown.sum():,} catalogue rows have no position")
    return notes


# -- when nothing is inside -------------------------------------------------------------------------------------------


def _outside(source: Place, tiling: Tiling, grids: list[Grid], table: pa.Table) -> UserError:
    """Say where the images are, where the catalogue is, and what may be wrong with its positions."""
    ra, dec, columns = positions(table)
    assert columns is not None
    outline = [grid.outline() for grid in grids]
    images = extent(np.concatenate([o[0] for o in outline]), np.concatenate([o[1] for o in outline]))
    remedy = "give a catalogue of this part of the sky, with positions in degrees"
    most = np.isfinite(ra).sum() / 2
    guesses = {
        "the catalogue's right ascensions look like hours: multiply them by 15": (ra * 15, dec),
        "the catalogue's positions look like radians: give them in degrees": (np.degrees(ra), np.degrees(dec)),
        f"right ascension and declination look exchanged: exchange the names of the columns {columns[0]} and {columns[1]}": (
            dec % 360,
            ra,
        ),
    }
    for guess, (lon, lat) in guesses.items():
        good = (np.abs(lat) <= 90) & (lon < 360)
        placed = _place(tiling, grids, np.where(good, lon, np.nan), np.where(good, lat, np.nan), silent)
        if (placed.image >= 0).any(axis=0).sum() >= max(1, most):
            remedy = guess
            break
    return UserError(
        f"no object of the catalogue is on an image of {source.root}: the images are at {images}, "
        f"the catalogue ({columns[0]}, {columns[1]}) is at {extent(ra, dec)}",
        remedy,
    )


def extent(ra: np.ndarray, dec: np.ndarray) -> str:
    """The part of the sky that positions (deg) cover, for a message: ``RA 359.9 to 0.2, Dec -1.1 to 1.2``."""
    good = np.isfinite(ra) & np.isfinite(dec)
    if not good.any():
        return "no known position"
    around = np.unique(ra[good] % 360)
    gaps = np.diff(around, append=around[0] + 360)
    widest = int(gaps.argmax())  # the arc is what is left without the widest gap
    first, last = around[(widest + 1) % len(around)], around[widest]
    return f"RA {first:.4f} to {last:.4f}, Dec {dec[good].min():+.4f} to {dec[good].max():+.4f} deg"
