"""From a source of cutouts and a catalogue to a survey: look, join, measure, write.

Nothing is copied: the survey refers to the pixels where they are. One pass over the headers finds what can be read; a
damaged file is counted, named in ``ingest-report.json`` and left out. Levels for the pictures are measured on a sample.
The survey appears whole, or not at all.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from engine import files
from engine.data import catalogue as catalogues
from engine.data import fitting
from engine.data.crossmatch import DAY, RADIUS, Match
from engine.data.crossmatch import match as match_rows
from engine.data.cutouts import CutoutSource, Unreadable, open_source, read_batch
from engine.data.look import look
from engine.data.objects import objects
from engine.data.pictures.stretch import Calibration, calibrate, to_rgb
from engine.data.pictures.thumbnails import SIDE, encode
from engine.data.references import Asked, Found, Root, is_text
from engine.data.report import LISTED, Report, sentence
from engine.errors import UserError, one_line
from engine.jobs import Progress, silent
from engine.survey import REFERENCE_PREFIX, Survey, version

REPORT = "ingest-report.json"
#: Cutouts on which background, noise and bright level are measured; medians over so many are good to a few per cent.
SAMPLE = 256
#: Values of those cutouts together, at most: large ones must not fill the memory.
MOST_SAMPLED = 1 << 27
#: Rows from which on right ascensions that all lie below 24 look like hours.
MANY = 20


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

    @cached_property
    def cutouts(self) -> CutoutSource:
        """The pixels, read where they are."""
        return open_source(self)


@dataclass(frozen=True)
class Ingested:
    """A new survey (None for a dry run), its draft, and how it came to be."""

    survey: Survey | None
    draft: Draft
    details: Report

    @property
    def report(self) -> dict:
        """The report as a JSON document."""
        return self.details.document()

    def text(self) -> str:
        """The report for people, and what to do next."""
        lines = [one_line(sentence(line)) for line in self.details.lines()]
        if self.survey is None:
            return "\n".join([*lines, "Nothing was written"])
        following = (self.details.following or "embed SURVEY").replace("SURVEY", shlex.quote(str(self.survey.path)))
        return "\n".join([*lines, f"Next: python -m engine {following}"])


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
    join: str = "auto",
    radius: float = RADIUS,
    fit: str = "resample",
    side: int | None = None,
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
    join : str
        How objects find their catalogue row: by id and then by position (``auto``), by ``id`` only, by ``position`` only.
    radius : float, arcsec
        A row matches by position if it is the nearest one, and nearer than this.
    fit, side : str, int
        How cutouts of different sizes are brought to one: see `engine.data.fitting.chosen`.
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
    source, path = Path(source), Path(path)
    for place in map(str, filter(None, (source, path, catalogue))):
        if not is_text(place):
            shown = os.fsencode(place).decode("utf-8", "backslashreplace")
            raise UserError(f"the path {shown} is not UTF-8", "rename its folders so that a survey can refer to it")
    if not dry_run:
        _require_place(path)
    beside: Path | None = None
    table: pa.Table | None = None
    notes: list[str] = []
    if catalogue is not None:
        table = catalogues.read(catalogue)
    elif source.exists():
        beside, table, notes = _beside(source)
    catalogue = catalogue or beside
    found = look(source, Asked(bands, dataset, table, size, id_column), progress=progress)
    if beside is not None and found.kind == "table" and beside.resolve() == found.root:
        beside = catalogue = table = None  # it is the survey itself
    if catalogue is None and id_column is not None and found.kind != "table":
        raise UserError(f"an id column ({id_column}) is given but no catalogue", "name the table with --catalogue")
    match = None
    if table is not None:
        try:
            match = _match(found, table, id_column=id_column, way=join, radius=radius, place=str(catalogue))
        except UserError as error:
            if beside is None or id_column is not None:
                raise
            notes.append(_not_used(beside, error.problem))
            beside = catalogue = table = None
    if beside is not None:
        notes.append(f"used {beside}, which lies beside the images")
    found = dataclasses.replace(found, notes=(*notes, *found.notes))
    pixels = {"kind": found.kind, "root": str(found.root), "bands": list(found.bands), "science": found.science}
    found = _fitted(found, fit, side)
    draft = Draft(path, {"pixels": pixels | found.pixels}, objects(found, table, match))
    pixels, notes = _measured(draft, found, progress)
    draft = dataclasses.replace(draft, header={"pixels": pixels})
    report = _report(source, found, draft, notes)
    if table is not None and match is not None:
        report = _with_match(report, str(catalogue), draft, table, match)
    return Ingested(None if dry_run else _written(draft, name, report), draft, report)


def _fitted(found: Found, fit: str, side: int | None) -> Found:
    """The same, with how its cutouts are brought to one size.

    Raises
    ------
    UserError
        If they cannot be.
    """
    if not found.bands or (found.kind == "mosaic" and fit == "resample" and side is None):
        return found
    if found.kind == "mosaic":
        raise UserError("boxes cut from mosaics have one size already", "choose it with --size instead of --fit")
    pixels, words = fitting.chosen(fit, side, found.sizes)
    return dataclasses.replace(found, pixels=found.pixels | pixels, notes=(*found.notes, *filter(None, [words])))


def samples(draft: Draft, count: int = 10, *, side: int = SIDE) -> list[tuple[str, bytes]]:
    """A few objects to look at, evenly spread: ids and JPEG thumbnails; empty for what cannot be read."""
    if not draft.bands:
        return []
    rows = _spread(draft.objects.num_rows, count)
    pixels, readable, _ = read_batch(draft.cutouts, rows, side)
    calibration = Calibration.of(draft.header["pixels"], len(draft.bands))
    pictures = to_rgb(pixels, calibration, science=bool(draft.header["pixels"]["science"]))
    ids = draft.objects["id"].take(pa.array(rows)).to_pylist()
    return [(i, encode(picture) if good else b"") for i, picture, good in zip(ids, pictures, readable)]


def _spread(total: int, count: int) -> np.ndarray:
    """At most `count` row numbers, evenly spread."""
    return np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(np.int64))


def _require_place(path: Path) -> None:
    """Refuse a destination that exists or cannot be written, before any work is done."""
    if path.exists() or path.is_symlink():
        raise UserError(f"{path} already exists", "choose another name, or delete it first")
    above = next(p for p in path.absolute().parents if p.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise UserError(f"{path} cannot be made: {above} cannot be written to", "choose another place for the survey")


def _beside(source: Path) -> tuple[Path | None, pa.Table | None, list[str]]:
    """The first catalogue that lies beside the images (or one folder up from ``images/``) and can be read.

    Returns
    -------
    path, table
        None if there is no such catalogue.
    notes : list of str
        Those that cannot be read: nobody asked for them.
    """
    folders = [source if source.is_dir() else source.parent]
    if source.resolve().name == "images":
        folders.append(source.resolve().parent)
    notes: list[str] = []
    for path in (p for folder in folders for p in sorted(folder.iterdir())):
        low = path.name.lower()
        if not (low.startswith(("catalogue.", "catalog.")) and low.endswith(catalogues.CATALOGUES) and path.is_file()):
            continue
        try:
            Root(path.parent).file(path.name)
            return path, catalogues.read(path), notes
        except UserError as error:
            notes.append(_not_used(path, error.problem))
        except ValueError as error:
            notes.append(_not_used(path, str(error)))
    return None, None, notes


def _not_used(path: Path, problem: str) -> str:
    return f"{path}, which lies beside the images, was not used: {problem}"


# -- joining and reporting --------------------------------------------------------------------------------------------


def _match(found: Found, table: pa.Table, **options) -> Match:
    """Which catalogue row belongs to each object."""
    if found.rows is not None:
        return Match(found.rows, unused=np.setdiff1d(np.arange(table.num_rows), found.rows))
    one_file = found.kind == "fits" and found.root.is_file()
    hdus = (found.root.name, found.references["pixels_index"]) if one_file else None
    return match_rows(table, found.ids, ra=found.ra, dec=found.dec, hdus=hdus, **options)


def _report(source: Path, found: Found, draft: Draft, notes: list[str]) -> Report:
    schema = draft.objects.schema
    seen = [known for known in schema if not known.name.startswith(REFERENCE_PREFIX)]
    return Report(
        source=str(source),
        kind=found.kind,
        objects=draft.objects.num_rows,
        files=found.files,
        bands=list(found.bands),
        smallest=list(map(int, found.sizes[0])),
        largest=list(map(int, found.sizes[1])),
        positions=int(np.isfinite(draft.column("ra")).sum()),
        columns=[
            {"name": known.name, "type": str(known.type), "unit": catalogues.facts_of(known).get("unit", "")}
            for known in seen
        ],
        rejected=[dataclasses.asdict(r) for r in found.rejected],
        notes=[*found.notes, *notes],
        following=found.following,
    )


def _with_match(report: Report, place: str, draft: Draft, table: pa.Table, match: Match) -> Report:
    """The same, with how the catalogue was joined."""
    alone = np.flatnonzero(match.rows < 0)
    unused = match.unused[:LISTED]
    names = catalogues.column_named(table, catalogues.ID_NAMES) if match.column is None else match.column
    listed = catalogues.text_ids(table[names].take(pa.array(unused))) if names is not None else unused
    notes = [*report.notes, *catalogues.notes_of(table)]
    if match.hours:
        notes.append("right ascensions of the catalogue are hours: they were multiplied by 15")
    elif odd := _odd_positions(table):
        notes.append(odd)
    return dataclasses.replace(
        report,
        catalogue=place,
        id_column=match.column,
        matched=len(match.rows) - len(alone),
        matched_by_position=match.by_position,
        without_row=len(alone),
        without_image=len(match.unused),
        repeated_rows=match.repeated,
        differing=list(match.differing),
        shared_rows=match.shared,
        without_row_ids=draft.objects["id"].take(pa.array(alone[:LISTED])).to_pylist(),
        without_image_rows=[str(i) for i in listed],
        notes=notes,
    )


def _odd_positions(table: pa.Table) -> str:
    """What is wrong with a catalogue's positions, empty if nothing is."""
    ra, dec, columns = catalogues.positions(table)
    if columns is None:
        return ""
    lost = int((~np.isfinite(ra) | ~np.isfinite(dec)).sum())
    given = sum(table[name].null_count == 0 for name in columns) == len(columns)
    said = []
    if lost and given:
        said.append(f"{lost:,} catalogue rows have an impossible position (RA beyond 0 to 360 deg, Dec beyond ±90 deg)")
    known = ra[np.isfinite(ra)]
    if len(known) >= MANY and known.max() <= DAY and np.ptp(known) > DAY / 2:
        said.append(
            f"right ascensions run from {known.min():.2f} to {known.max():.2f}: if they are hours, give them in degrees"
        )
    return "; ".join(said)


# -- measuring and writing --------------------------------------------------------------------------------------------


def _measured(draft: Draft, found: Found, progress: Progress) -> tuple[dict, list[str]]:
    """The ``[pixels]`` section with levels measured on a sample, and notes about it.

    Raises
    ------
    UserError
        If no cutout of the sample can be read.
    """
    pixels = dict(draft.header["pixels"])
    if draft.objects.num_rows == 0:
        raise UserError(f"{found.root} holds no object", "check that the source holds readable images")
    if not found.bands:
        return pixels, []
    rows = _spread(draft.objects.num_rows, SAMPLE)
    progress(0, len(rows), "measuring levels")
    cutouts = _sampled(draft.cutouts, rows, found)
    good = [c for c in cutouts if not isinstance(c, Unreadable)]
    bad = [c.reason for c in cutouts if isinstance(c, Unreadable)]
    progress(len(rows), len(rows), "measuring levels")
    if not good:
        raise UserError(
            f"none of {len(cutouts):,} cutouts of {found.root} can be read (such as {bad[0]})",
            "check that the files are whole",
        )
    notes = [f"{len(bad)} of a sample of {len(cutouts):,} cutouts cannot be read (such as {bad[0]})"] if bad else []
    if found.kind in ("fits", "mosaic"):
        from engine.data.fits.files import zeros_are_holes

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


def _sampled(source: CutoutSource, rows: np.ndarray, found: Found) -> list[np.ndarray | Unreadable]:
    """Cutouts of a sample; fewer, in any order, where they would hold more than `MOST_SAMPLED` values."""
    largest = max(1, len(found.bands) * int(np.prod(found.sizes[1])))
    step = max(1, MOST_SAMPLED // largest)
    if step >= len(rows):
        return source.read(rows)
    order, held = np.random.default_rng(0).permutation(rows), 0
    cutouts: list[np.ndarray | Unreadable] = []
    while len(cutouts) < len(order) and held < MOST_SAMPLED:
        read = source.read(order[len(cutouts) : len(cutouts) + step])
        held += sum(c.size for c in read if not isinstance(c, Unreadable))
        cutouts += read
    return cutouts


def _written(draft: Draft, name: str | None, report: Report) -> Survey:
    provenance = {"command": "ingest", "source": report.source, "skysieve": version()}
    if report.catalogue is not None:
        provenance["catalogue"] = report.catalogue
    try:
        return Survey.create(
            draft.path,
            draft.objects,
            name=name,
            pixels=draft.header["pixels"],
            provenance=provenance,
            fill=lambda folder: files.write_json(folder / REPORT, report.document()),
        )
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise UserError(
            f"{draft.path} cannot be written ({error.strerror or error})",
            "make room on the disk, or choose another place" if full else "choose another place",
        ) from error
