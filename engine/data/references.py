"""References: what a look at a source found, and the way from a name in objects.parquet back to a file below the root.

A survey keeps names relative to its root; a survey that came from somebody else must not be able to read files of this
machine, so that a name with ``..``, an absolute one, or a link that leaves the root is refused.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from engine.errors import UserError

IMAGES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp")
FITS = (
    *(".fits", ".fit", ".fts", ".fz"),
    *(f".{kind}.{how}" for kind in ("fits", "fit", "fts") for how in ("gz", "bz2", "fz")),
)
HDF5 = (".h5", ".hdf5", ".hdf", ".he5")
ARRAYS = (".npz", ".npy")
#: kind of source → how its files' names end.
ENDINGS = {"images": IMAGES, "fits": FITS, "hdf5": HDF5, "npz": ARRAYS, "zarr": (".zarr/", ".zarr")}

#: Kinds of which one file holds many objects.
CONTAINERS = ("hdf5", "npz", "zarr")
#: Files of which one shows that a folder is a Zarr store: versions 3 and 2.
STORE = ("zarr.json", ".zgroup", ".zarray")

#: Objects with a file of each sort of trouble that a message names, before "and n more".
SHOWN = 3


@dataclass(frozen=True)
class Rejected:
    """A file that was left out, and why."""

    file: str
    reason: str


@dataclass(frozen=True)
class Place:
    """Where a source is.

    Attributes
    ----------
    root : path
        A file, or the folder below which the files are.
    names : tuple of str
        Files below it, relative; none if the root is a file.
    """

    root: Path
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Asked:
    """What a person says of a source, beyond where it is.

    Attributes
    ----------
    bands : names, optional
        Names of the bands, or which band folders to use and in which order.
    dataset : str, optional
        Array of images in a file that has several.
    table : table, optional
        The catalogue: a mosaic is cut at its positions.
    size : int, optional
        Side of the boxes cut from a mosaic, pixels.
    id_column : str, optional
        Column of a catalogue without pixels that holds the ids.
    """

    bands: Sequence[str] | None = None
    dataset: str | None = None
    table: pa.Table | None = None
    size: int | None = None
    id_column: str | None = None


#: What is asked when nobody says anything.
NOTHING = Asked()


@dataclass(frozen=True)
class Found:
    """What a look at a source found: everything a survey needs but its catalogue.

    Attributes
    ----------
    kind : str
        A key of `engine.data.cutouts.SOURCES`.
    root : path
        Folder or file that holds the pixels.
    ids : list of N str
    references : dict
        Columns ``pixels_*`` of objects.parquet, each of N values.
    bands : tuple of str
    science : bool
    sizes : least and largest (height, width) of a cutout, pixels
    ra, dec : (N,) float64, deg
        NaN where the source does not say.
    columns : table of N rows, optional
        Catalogue columns that came with the pixels.
    pixels : dict
        More of the header's ``[pixels]`` section.
    rejected : tuple of Rejected
    rows : (N,) int64, optional
        Row of `Asked.table` that each object is, where the objects are made of its rows: nothing is left to join.
    notes : tuple of str
        What a person should know: files passed over, bands guessed.
    files : int
        Files looked at.
    following : str
        What to do with the survey first, a command in which SURVEY stands for it; empty if that is to embed it.
    """

    kind: str
    root: Path
    ids: list[str]
    references: dict[str, list | np.ndarray]
    bands: tuple[str, ...]
    science: bool
    sizes: tuple[tuple[int, int], tuple[int, int]]
    ra: np.ndarray
    dec: np.ndarray
    columns: pa.Table | None = None
    pixels: dict = field(default_factory=dict)
    rejected: tuple[Rejected, ...] = ()
    rows: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    files: int = 1
    following: str = ""


def is_text(name: str) -> bool:
    """Whether a name can be written down: in another encoding than UTF-8 it holds lone surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def kind_of(name: str) -> str | None:
    """Kind of source a file's name stands for, None if none; that of a folder ends with a slash: a store."""
    low = name.lower()
    if low.endswith("/"):
        return "zarr"
    return next((kind for kind, endings in ENDINGS.items() if low.endswith(endings)), None)


def without_extension(name: str) -> str:
    """Drop the extension of an image, FITS or array file; other dots belong to the name."""
    low = name.lower()
    known = [e for endings in ENDINGS.values() for e in endings if low.endswith(e)]
    longest = max((len(e) for e in known), default=0)
    return name[: len(name) - longest] if longest < len(name) else name


def extent(shapes: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Least and largest height and width of cutouts: ((height, width), (height, width))."""
    heights, widths = zip(*shapes)
    return (min(heights), min(widths)), (max(heights), max(widths))


def names_to_ids(names: list[str]) -> list[str]:
    """Ids of files: their stems where those are unique, else their paths, else their paths with extension."""
    stems = [without_extension(os.path.basename(n)) for n in names]
    if len(set(stems)) == len(stems):
        return stems
    paths = [without_extension(n) for n in names]
    return paths if len(set(paths)) == len(paths) else list(names)


def is_store(path: str | Path) -> bool:
    """Whether a folder is a Zarr store."""
    return any(os.path.isfile(os.path.join(path, name)) for name in STORE)


def walk(root: Path) -> Iterator[str]:
    """Names of the files below `root`, relative to it, sorted; hidden ones and surveys are passed over.

    A Zarr store is one name, with a slash at its end; what is inside is its own affair.
    """
    return (name for name, link in entries(root) if not link)


def entries(root: Path) -> Iterator[tuple[str, bool]]:
    """Like `walk`, and links to folders, which are not followed: (name, whether it is one)."""
    for folder, inner, names in os.walk(root):
        prefix = os.path.relpath(folder, root).replace(os.sep, "/") + "/"
        inner[:] = sorted(d for d in inner if not d.startswith(".") and not d.endswith(".survey"))
        links = [d for d in inner if os.path.islink(os.path.join(folder, d))]
        yield from (((prefix + d).removeprefix("./"), True) for d in links)
        stores = [d for d in inner if d not in links and is_store(os.path.join(folder, d))]
        yield from (((prefix + d + "/").removeprefix("./"), False) for d in stores)
        inner[:] = [d for d in inner if d not in stores and d not in links]
        for name in sorted(names):
            if not name.startswith("."):
                yield (prefix + name).removeprefix("./"), False


class Root:
    """A folder whose files may be read by relative name, and nothing outside it."""

    def __init__(self, path: Path):
        self.path = path
        self._real = os.path.realpath(path)

    def file(self, name: str) -> str:
        """Path of a file below the root.

        Raises
        ------
        ValueError
            If the name leads outside: absolute, with ``..``, or through a link; or to a pipe, a socket or a device, of
            which reading may never end.
        """
        if os.path.isabs(name) or ".." in name.replace("\\", "/").split("/"):
            raise ValueError("its name leads outside the folder of the survey's pixels")
        path = os.path.join(self._real, name)
        real = os.path.realpath(path)
        if real != path and not real.startswith(self._real.rstrip(os.sep) + os.sep):
            raise ValueError("it is a link to a place outside the folder of the survey's pixels")
        with suppress(OSError):  # what is not there is told where it is opened
            if stat.S_IFMT(os.stat(path).st_mode) not in (stat.S_IFREG, stat.S_IFDIR):
                raise ValueError("it is neither a file nor a folder")
        return path


def some(names: Iterable[str]) -> str:
    """A few names for a message, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def named_bands(bands: Iterable[str] | None, count: int, default: Iterable[str]) -> tuple[str, ...]:
    """Names of bands as the user gave them, or the default.

    Raises
    ------
    UserError
        If the user's are not `count`, or repeat.
    """
    names = tuple(bands) if bands is not None else tuple(default)
    if len(names) != count:
        raise UserError(
            f"{len(names)} bands are named ({', '.join(names)}) but the cutouts have {count}",
            f"name {count} with --bands",
        )
    if len(set(names)) != len(names):
        raise UserError(f"band names repeat: {', '.join(names)}", "give each band its own name with --bands")
    return names


def require_some(ids: list[str], rejected: list[Rejected], place: Path, what: str) -> None:
    """Refuse a source of which nothing can be read.

    Raises
    ------
    UserError
    """
    if ids:
        return
    if rejected:
        raise UserError(
            f"none of the {len(rejected):,} {what} in {place} can be read "
            f"(such as {rejected[0].file}: {rejected[0].reason})",
            "check that they are whole, or give another folder",
        )
    raise UserError(f"there are no {what} in {place}", "give the folder or file that holds the cutouts")
