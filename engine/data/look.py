"""A look at a source: which kind it is, and what it holds; nothing is written, and of the pixels little is read.

Each kind of source is a module that has a ``look(place, asked, progress)`` of its own; here is decided which of them is
asked. A folder is of the kind that most of its objects seem to be: a file that may hold many counts as `MANY`.
"""

from __future__ import annotations

import dataclasses
import os
from importlib import import_module
from pathlib import Path

from engine.data.catalogue import CATALOGUES, is_hats
from engine.data.cutouts import SOURCES
from engine.data.fits.hdus import holds_tables_only
from engine.data.mosaics.cutting import is_mosaic
from engine.data.references import (
    ARRAYS,
    CONTAINERS,
    FITS,
    HDF5,
    IMAGES,
    NOTHING,
    Asked,
    Found,
    Place,
    Rejected,
    Root,
    entries,
    is_store,
    is_text,
    kind_of,
    some,
)
from engine.errors import UserError
from engine.jobs import Progress, silent

#: Files that one file which may hold many objects counts for.
MANY = 50
#: Endings of tables in a folder; text files and XML may be anything.
TABLES = (".csv", ".tsv", ".ecsv", ".parquet", ".pq", ".vot", ".votable", ".fits", ".fit", ".fits.gz")


def look(source: str | Path, asked: Asked = NOTHING, *, progress: Progress = silent) -> Found:
    """Find out what a folder or file holds: the kind of source, its objects, bands, sizes and problems.

    Parameters
    ----------
    source : path
        Folder of images or FITS (sub-folders are searched), or one file that holds many cutouts.
    asked : Asked
        What a person says of it.
    progress : callable

    Raises
    ------
    UserError
        If there is nothing there that can be read.
    """
    source = Path(source)
    if not source.exists():
        raise UserError(f"there is no folder or file {source}", "check the path")
    whole = source.is_file() or (source / "survey.toml").is_file() or is_store(source) or is_hats(source)
    names, rejected, notes = ([], [], []) if whole else _below(source.resolve())
    kind, place, passed = _contents(source, names, boxes=asked.size is not None)
    if kind == "fits" and is_mosaic(place, asked):
        kind = "mosaic"
    module = import_module(SOURCES[kind].split(":")[0])
    found = module.look(place, asked, progress)
    return dataclasses.replace(
        found,
        notes=(*notes, *passed, *found.notes),
        rejected=(*rejected, *found.rejected),
        files=found.files + len(rejected),
    )


def _below(source: Path) -> tuple[list[str], list[Rejected], list[str]]:
    """Names of what is below a folder, those that cannot be written down, and notes about links."""
    found = list(entries(source))
    links = [name for name, link in found if link]
    names = [name for name, link in found if not link]
    odd = [name for name in names if not is_text(name)]
    names = [name for name in names if is_text(name)] if odd else names
    rejected = [
        Rejected(os.fsencode(name).decode("utf-8", "backslashreplace"), "its name is not UTF-8: rename it")
        for name in odd
        if kind_of(name) is not None
    ]
    words = f"{len(links):,} links to folders were not followed ({some(links)}): give those folders themselves"
    return names, rejected, [words] if links else []


def _contents(source: Path, found: list[str], *, boxes: bool = False) -> tuple[str, Place, list[str]]:
    """Kind and place of a source, and notes about what was passed over; FITS if boxes are wanted and there is any."""
    if source.is_file():
        return _of_file(source.resolve()), Place(source.resolve()), []
    if (source / "survey.toml").is_file():
        raise UserError(f"{source} is a survey already", "open it, or give the folder that holds the cutouts")
    source = source.resolve()
    if is_store(source):
        return "zarr", Place(source), []
    if is_hats(source):
        return "table", Place(source), []
    by_kind: dict[str, list[str]] = {kind: [] for kind in SOURCES}
    for name in found:
        kind = kind_of(name)
        if kind is not None and not _is_catalogue(name, kind):
            by_kind[kind].append(name)
    kind = max(by_kind, key=lambda k: len(by_kind[k]) * (MANY if k in CONTAINERS else 1))
    kind = "fits" if boxes and by_kind["fits"] else kind
    chosen = by_kind[kind]
    if not chosen or (kind == "fits" and len(chosen) == 1 and _of_file(source / chosen[0]) == "table"):
        return "table", Place(_inside(source, _only_table(source, found))), []
    others = {k: n for k, n in by_kind.items() if k != kind and n}
    notes = [
        f"{len(other):,} {k} files beside the {kind} ones were passed over ({some(other)})"
        for k, other in others.items()
    ]
    if kind in CONTAINERS:
        one = len(chosen) == 1
        return (
            kind,
            Place(_inside(source, chosen[0])) if one else Place(source, tuple(n.rstrip("/") for n in chosen)),
            notes,
        )
    if all(n.startswith("images/") for n in chosen):  # the folder of a data set: images/ and a catalogue beside it
        return kind, Place(source / "images", tuple(n.removeprefix("images/") for n in chosen)), notes
    return kind, Place(source, tuple(chosen)), notes


def _inside(source: Path, name: str) -> Path:
    """The one file of a folder.

    Raises
    ------
    UserError
        If it is a link out of the folder.
    """
    try:
        return Path(Root(source).file(name))
    except ValueError as error:
        raise UserError(f"{source / name} cannot be read: {error}", "give the file itself") from error


def _of_file(source: Path) -> str:
    """Kind of a source that is one file.

    Raises
    ------
    UserError
        If it is none.
    """
    kind = kind_of(source.name)
    if kind == "fits" and source.name.lower().endswith(CATALOGUES) and holds_tables_only(source):
        return "table"
    if kind is None and source.name.lower().endswith(CATALOGUES):
        return "table"
    if kind is None or kind == "images":
        raise UserError(
            f"{source} is not a file that holds many cutouts",
            "give the folder of the images, a FITS, HDF5, .npz or .npy file, or a catalogue",
        )
    return kind


def _only_table(source: Path, names: list[str]) -> str:
    """The one table of a folder without images.

    Raises
    ------
    UserError
        If there is none, or several.
    """
    tables = [n for n in names if n.lower().endswith(TABLES)]
    if len(tables) == 1:
        return tables[0]
    if tables:
        raise UserError(
            f"{source} holds no images and {len(tables):,} tables", f"give one of them: {', '.join(tables[:5])}"
        )
    raise UserError(
        f"{source} holds no images",
        f"give a folder of cutouts ({', '.join((*IMAGES, *FITS[:1]))}), "
        f"or a file of them ({', '.join((*HDF5[:2], *ARRAYS))}, .zarr, .fits), or a catalogue",
    )


def _is_catalogue(name: str, kind: str) -> bool:
    """Whether a FITS file is the catalogue that lies beside the images."""
    return kind == "fits" and name.lower().rpartition("/")[2].startswith(("catalog.", "catalogue."))
