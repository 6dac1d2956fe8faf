"""From a source of cutouts and a catalogue to a survey: look, join, measure, write.

Nothing is copied: the survey refers to the pixels where they are. One pass over the headers finds what can be read; a
damaged file is counted, named in ``ingest-report.json`` and left out. Levels for the pictures are measured on a sample.
The survey appears whole, or not at all.
"""

from __future__ import annotations

import dataclasses
import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import pyarrow as pa

from engine import files
from engine.data import catalogue as catalogues
from engine.data.cutouts import SOURCES, CutoutSource, Unreadable
from engine.data.look import look
from engine.data.references import Asked, Found
from engine.data.stretch import calibrate
from engine.errors import UserError
from engine.jobs import Progress, silent
from engine.survey import REFERENCE_PREFIX, Survey, version

REPORT = "ingest-report.json"
#: Cutouts on which background, noise and bright level are measured; medians over so many are good to a few per cent.
SAMPLE = 256


@dataclass(frozen=True)
class Report:
    """What an ingest found and did; the document ``ingest-report.json``.

    Attributes
    ----------
    source, kind : str
    objects : int
    files : int
        Files looked at.
    bands : list of str
    smallest, largest : [height, width]
        Pixels of the smallest and the largest cutout.
    positions : int
        Objects whose position is known.
    catalogue : str or None
    id_column : str or None
    matched, matched_by_position : int
        Objects with a catalogue row; those among them found by position rather than id.
    without_row : int
        Objects that the catalogue does not know.
    without_image : int
        Catalogue rows that belong to no object.
    repeated_rows : int
        Catalogue rows equal to an earlier one.
    rejected : list of {file, reason}
    notes : list of str
    """

    source: str
    kind: str
    objects: int
    files: int
    bands: list[str]
    smallest: list[int]
    largest: list[int]
    positions: int
    catalogue: str | None = None
    id_column: str | None = None
    matched: int = 0
    matched_by_position: int = 0
    without_row: int = 0
    without_image: int = 0
    repeated_rows: int = 0
    rejected: list[dict] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)

    def document(self) -> dict:
        """The report as a JSON document."""
        return dataclasses.asdict(self)

    def lines(self) -> list[str]:
        """The report for people, a sentence a line."""
        small, large = ("×".join(map(str, s)) for s in (self.smallest, self.largest))
        size = small if small == large else f"{small} to {large}"
        said = [
            f"{self.objects:,} objects in {len(self.bands)} band{'s' * (len(self.bands) != 1)} "
            f"({' '.join(self.bands)}), {size} pixels, {self.positions:,} with a position"
        ]
        if self.catalogue is not None:
            how = f"by {self.id_column}" if self.id_column else "by position"
            if self.matched_by_position and self.id_column:
                how += f", {self.matched_by_position:,} of them by position"
            said.append(
                f"{self.catalogue}: {self.matched:,} matched {how}; "
                f"objects without a row: {self.without_row:,}, rows without an object: {self.without_image:,}"
            )
        if self.repeated_rows:
            said.append(f"{self.repeated_rows:,} catalogue rows repeat an earlier one")
        if self.rejected:
            first = self.rejected[0]
            said.append(
                f"{len(self.rejected):,} left out because they cannot be read "
                f"(such as {first['file']}: {first['reason']})"
            )
        return said + self.notes


@dataclass(frozen=True)
class Ingested:
    """A new survey (None for a dry run), and how it came to be."""

    survey: Survey | None
    details: Report

    @property
    def report(self) -> dict:
        """The report as a JSON document."""
        return self.details.document()

    def text(self) -> str:
        """The report for people, and what to do next."""
        lines = [line[:1].upper() + line[1:] + "." for line in self.details.lines()]
        following = "Nothing was written" if self.survey is None else f"Next: python -m engine embed {self.survey.path}"
        return "\n".join([*lines, following])


@dataclass(frozen=True)
class Draft:
    """A survey that is not written yet: as much of it as a cutout source reads."""

    path: Path
    header: dict
    objects: pa.Table

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands."""
        return tuple(self.header["pixels"]["bands"])

    def column(self, name: str) -> np.ndarray:
        """One column of the objects."""
        return self.objects[name].to_numpy()


def ingest(
    source: str | Path,
    path: str | Path,
    *,
    catalogue: str | Path | None = None,
    id_column: str | None = None,
    name: str | None = None,
    dataset: str | None = None,
    bands: Sequence[str] | None = None,
    size: int | None = None,
    dry_run: bool = False,
    progress: Progress = silent,
) -> Ingested:
    """Make a survey of a source of cutouts.

    Parameters
    ----------
    source : path
        See `look`.
    path : path
        Survey folder to make; it must not exist.
    catalogue : path, optional
        Table to join. If not given, a ``catalogue.*`` or ``catalog.*`` beside the images is used.
    id_column : str, optional
        Its column of ids; else found.
    name : str, optional
        What to call the survey; else its folder's name.
    dataset, bands, size
        See `engine.data.references.Asked`.
    dry_run : bool
        Look, join and report, but write nothing.
    progress : callable

    Returns
    -------
    Ingested

    Raises
    ------
    UserError
        Before anything is written: nothing readable, no match with the catalogue, ids that repeat, a destination that
        exists or cannot be written.
    """
    path = Path(path)
    if not dry_run:
        _require_place(path)
    source = Path(source)
    beside = None if catalogue is not None or not source.exists() else _catalogue_beside(source)
    catalogue = catalogue or beside
    if catalogue is None and id_column is not None:
        raise UserError(f"an id column ({id_column}) is given but no catalogue", "name the table with --catalogue")
    rows = None if catalogue is None else catalogues.read(catalogue)
    found = look(source, Asked(bands, dataset, rows, size), progress=progress)
    if beside is not None:
        found = dataclasses.replace(found, notes=(*found.notes, f"used {beside}, which lies beside the images"))
    table, report = _joined(found, source, rows, catalogue, id_column)
    pixels = {"kind": found.kind, "root": str(found.root), "bands": list(found.bands), "science": found.science}
    pixels |= found.pixels
    pixels, notes = _measured(Draft(path, {"pixels": pixels}, table), found, progress)
    report = dataclasses.replace(report, notes=[*report.notes, *notes])
    if dry_run:
        return Ingested(None, report)
    return Ingested(_written(path, table, name, pixels, report), report)


def _require_place(path: Path) -> None:
    """Refuse a destination that exists or cannot be written, before any work is done."""
    if path.exists() or path.is_symlink():
        raise UserError(f"{path} already exists", "choose another name, or delete it first")
    above = next(p for p in path.absolute().parents if p.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise UserError(f"{path} cannot be made: {above} cannot be written to", "choose another place for the survey")


def _catalogue_beside(source: Path) -> Path | None:
    """The catalogue that lies beside the images (or one folder up from ``images/``), if there is exactly one."""
    folders = [source if source.is_dir() else source.parent]
    if source.resolve().name == "images":
        folders.append(source.resolve().parent)
    for folder in folders:
        found = [
            p
            for p in sorted(folder.iterdir())
            if p.is_file()
            and p.name.lower().endswith(catalogues.CATALOGUES)
            and p.name.lower().startswith(("catalogue.", "catalog."))
        ]
        if found:
            return found[0]
    return None


# -- joining ----------------------------------------------------------------------------------------------------------


def _joined(
    found: Found, source: Path, table: pa.Table | None, catalogue: str | Path | None, id_column: str | None
) -> tuple[pa.Table, Report]:
    """The table of objects, and the report up to here."""
    ids, ra, dec, columns = found.ids, found.ra, found.dec, found.columns
    if table is not None:
        match = _match(found, table, str(catalogue), id_column)
        ids = _ids_of_catalogue(found, table, match)
        ra, dec, used = _positions(table, match, ra, dec)
        columns = _with_columns(columns, table.take(pa.array(match.rows, mask=match.rows < 0)), used)
    good = (np.abs(dec) <= 90) & np.isfinite(ra)
    data = {
        "id": pa.array([str(i) for i in ids], pa.string()),
        "ra": pa.array(np.where(good, ra % 360, np.nan)),
        "dec": pa.array(np.where(good, dec, np.nan)),
    }
    data |= {key: pa.array(values) for key, values in found.references.items()}
    if columns is not None:
        same_id = "id" in columns.column_names and list(catalogues.text_ids(columns["id"])) == [str(i) for i in ids]
        data |= {_free_name(name, data): columns[name] for name in columns.column_names if name != "id" or not same_id}
    report = Report(
        source=str(source),
        kind=found.kind,
        objects=len(ids),
        files=found.files,
        bands=list(found.bands),
        smallest=list(map(int, found.sizes[0])),
        largest=list(map(int, found.sizes[1])),
        positions=int(good.sum()),
        rejected=[dataclasses.asdict(r) for r in found.rejected],
        notes=list(found.notes),
    )
    if table is not None:
        matched = int((match.rows >= 0).sum())
        report = dataclasses.replace(
            report,
            catalogue=str(catalogue),
            id_column=match.column,
            matched=matched,
            matched_by_position=match.by_position,
            without_row=len(ids) - matched,
            without_image=match.unused,
            repeated_rows=match.repeated,
        )
    return pa.table(data), report


def _match(found: Found, table: pa.Table, place: str, id_column: str | None) -> catalogues.Match:
    """Which catalogue row belongs to each object."""
    if found.rows is not None:
        return catalogues.Match(found.rows, id_column, 0, table.num_rows - len(np.unique(found.rows)), 0)
    one_file = found.kind == "fits" and found.root.is_file()
    hdus = (found.root.name, found.references["pixels_index"]) if one_file else None
    return catalogues.match(table, found.ids, ra=found.ra, dec=found.dec, id_column=id_column, hdus=hdus, place=place)


def _ids_of_catalogue(found: Found, table: pa.Table, match: catalogues.Match) -> list[str]:
    """HDUs that were joined by number take the catalogue's ids, if it has some that do not repeat."""
    if match.column is None or catalogues.simple_name(match.column) not in catalogues.HDU_NAMES:
        return found.ids
    named = catalogues.column_named(table, ("ident", "id", "objid", "objectid", "sourceid"))
    if named is None or (match.rows < 0).any():
        return found.ids
    ids = [catalogues.text_id(v) for v in table[named].take(pa.array(match.rows)).to_pylist()]
    return ids if len(set(ids)) == len(ids) else found.ids


def _positions(table: pa.Table, match: catalogues.Match, ra: np.ndarray, dec: np.ndarray):
    """Positions: the catalogue's where it has one, else the source's; and the columns they came from."""
    table_ra, table_dec, columns = catalogues.positions(table)
    table_ra, table_dec = (np.append(v, np.nan)[match.rows] for v in (table_ra, table_dec))
    known = np.isfinite(table_ra) & np.isfinite(table_dec)
    return np.where(known, table_ra, ra), np.where(known, table_dec, dec), columns


def _with_columns(own: pa.Table | None, joined: pa.Table, positions: tuple[str, str] | None) -> pa.Table:
    """Catalogue columns beside those that came with the pixels; positions and equal columns are not kept twice."""
    columns = {} if own is None else {name: own[name] for name in own.column_names}
    for name in joined.column_names:
        if positions is not None and name in positions and name.lower() in ("ra", "dec"):
            continue
        if name in columns and columns[name].to_pylist() == joined[name].to_pylist():
            continue
        columns[name if name not in columns else f"{name}_catalogue"] = joined[name]
    return pa.table(columns)


def _free_name(name: str, taken: dict) -> str:
    """A name that is not one of ours: the catalogue's own id column keeps its values under another name."""
    ours = name in taken or name.startswith(REFERENCE_PREFIX)
    return f"catalogue_{name}" if ours else name


# -- measuring and writing --------------------------------------------------------------------------------------------


def _measured(draft: Draft, found: Found, progress: Progress) -> tuple[dict, list[str]]:
    """The ``[pixels]`` section with levels measured on a sample, and notes about it.

    Raises
    ------
    UserError
        If no cutout of the sample can be read.
    """
    pixels = dict(draft.header["pixels"])
    count = draft.objects.num_rows
    if count == 0:
        raise UserError(f"{found.root} holds no object", "check that the source holds readable images")
    rows = np.unique(np.linspace(0, count - 1, min(SAMPLE, count)).round().astype(np.int64))
    progress(0, len(rows), "measuring levels")
    cutouts = _read_sample(draft, found, rows)
    good = [c for c in cutouts if not isinstance(c, Unreadable)]
    bad = [c.reason for c in cutouts if isinstance(c, Unreadable)]
    progress(len(rows), len(rows), "measuring levels")
    if not good:
        raise UserError(
            f"none of {len(rows):,} cutouts of {found.root} can be read (such as {bad[0]})",
            "check that the files are whole",
        )
    notes = [f"{len(bad)} of a sample of {len(rows):,} cutouts cannot be read (such as {bad[0]})"] if bad else []
    if found.kind == "fits":
        from engine.data.fits import zeros_are_holes

        if zeros_are_holes(good):
            pixels["zero_is_missing"] = True
            good = [np.where(c == 0, np.float32(np.nan), c) for c in good]
            notes.append(
                "pixels that are exactly zero are taken as missing "
                "(if they are not, set zero_is_missing = false in survey.toml)"
            )
    if found.science:
        pixels |= calibrate(good).header()
    return pixels, notes


def _read_sample(draft: Draft, found: Found, rows: np.ndarray) -> list[np.ndarray | Unreadable]:
    module, factory = SOURCES[found.kind].split(":")
    source: CutoutSource = getattr(import_module(module), factory)(draft, found.root)
    return source.read(rows)


def _written(path: Path, table: pa.Table, name: str | None, pixels: dict, report: Report) -> Survey:
    provenance = {"command": "ingest", "source": report.source, "skysieve": version()}
    if report.catalogue is not None:
        provenance["catalogue"] = report.catalogue
    try:
        return Survey.create(
            path,
            table,
            name=name,
            pixels=pixels,
            provenance=provenance,
            fill=lambda folder: files.write_json(folder / REPORT, report.document()),
        )
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise UserError(
            f"{path} cannot be written ({error.strerror or error})",
            "make room on the disk, or choose another place" if full else "choose another place",
        ) from error
