"""A look at a source: which kind it is, and what it holds; nothing is written, and of the pixels little is read.

Each kind of source is a module that has a ``look(place, asked, progress)`` of its own; here is decided which of them is
asked. A folder is of the kind that most of its files are.
"""

from __future__ import annotations

import dataclasses
from importlib import import_module
from pathlib import Path

from engine.data.cutouts import SOURCES
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
    kind_of,
    walk,
)
from engine.errors import UserError
from engine.jobs import Progress, silent


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
    kind, place, notes = _contents(Path(source))
    module = import_module(SOURCES[kind].split(":")[0])
    found = module.look(place, asked, progress)
    return dataclasses.replace(found, notes=(*notes, *found.notes))


def _contents(source: Path) -> tuple[str, Place, list[str]]:
    """Kind and place of a source, and notes about what was passed over."""
    if not source.exists():
        raise UserError(f"there is no folder or file {source}", "check the path")
    if source.is_file():
        kind = kind_of(source.name)
        if kind is None or kind == "images":
            raise UserError(
                f"{source} is not a file that holds many cutouts",
                "give the folder of the images, or a FITS, HDF5, .npz or .npy file",
            )
        return kind, Place(source.resolve()), []
    if (source / "survey.toml").is_file():
        raise UserError(f"{source} is a survey already", "open it, or give the folder that holds the cutouts")
    source = source.resolve()
    names = [n for n in walk(source) if kind_of(n) is not None]
    by_kind = {kind: [n for n in names if kind_of(n) == kind and not _is_catalogue(n, kind)] for kind in SOURCES}
    kind = max(by_kind, key=lambda k: len(by_kind[k]))
    chosen = by_kind[kind]
    if not chosen:
        raise UserError(
            f"{source} holds no images",
            f"give a folder of cutouts ({', '.join((*IMAGES, *FITS[:1]))}), "
            f"or a file of them ({', '.join((*HDF5[:2], *ARRAYS))}, .fits)",
        )
    others = {k: n for k, n in by_kind.items() if k != kind and n}
    notes = [f"{len(other):,} {k} files beside the {kind} ones were passed over" for k, other in others.items()]
    if kind in CONTAINERS:
        if len(chosen) > 1:
            raise UserError(f"{source} holds {len(chosen)} {kind} files", f"give one of them: {', '.join(chosen[:5])}")
        return kind, Place(source / chosen[0]), notes
    if all(n.startswith("images/") for n in chosen):  # the folder of a data set: images/ and a catalogue beside it
        return kind, Place(source / "images", tuple(n.removeprefix("images/") for n in chosen)), notes
    return kind, Place(source, tuple(chosen)), notes


def _is_catalogue(name: str, kind: str) -> bool:
    """Whether a FITS file is the catalogue that lies beside the images."""
    return kind == "fits" and name.lower().rpartition("/")[2].startswith(("catalog.", "catalogue."))
