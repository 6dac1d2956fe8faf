"""Cutouts in a Zarr store: an images array whose first axis is the object, alone or in a group with others.

Versions 3 and 2 of the format, on this machine's disk: a folder with ``zarr.json``, ``.zgroup`` or ``.zarray`` in it.
Arrays are read in slabs that end where chunks do (`engine.data.arrays.slabs`), sharded and compressed ones as well; a damaged
chunk spoils its own rows. What the arrays mean is told by `engine.data.arrays.named`. No store elsewhere is opened.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.data.arrays.file_sets import look_at
from engine.data.arrays.named import BANDS_NAMES, NamedArrays, split_names
from engine.data.arrays.slabs import Stack, StackedRows, checked_planes, guess_layout
from engine.data.references import NOTHING, Asked, Found, Place, Root, is_store
from engine.errors import UserError
from engine.jobs import Progress, silent
from engine.quiet import quietly

if TYPE_CHECKING:
    import zarr

    from engine.survey import Survey

#: Arrays of a store that are looked at, at most.
MOST_ARRAYS = 4096
#: The array of a store that is one array and has no name.
ALONE = "images"


class ZarrRows(StackedRows):
    """Rows of one array of a Zarr store, or of many stores.

    Raises
    ------
    UserError
        If the store cannot be opened or has no such array.
    """

    def __init__(self, survey: Survey, root: Path):
        super().__init__(survey, root, _open_stack)


def _open_stack(path: Path, pixels: dict, bands: int, share: int) -> Stack:
    arrays = _arrays(path)
    for name in filter(None, (pixels["dataset"], pixels.get("mask"))):
        if name not in arrays:
            raise UserError(
                f"{path} has no array {name!r}", "correct `dataset` in survey.toml, or ingest the source again"
            )
    images = arrays[pixels["dataset"]]
    layout = pixels.get("layout") or guess_layout(images.shape, bands)
    return Stack(
        images.shape,
        layout,
        _reader(images),
        mask=_reader(arrays[pixels["mask"]]) if pixels.get("mask") else None,
        planes=checked_planes(pixels, images.shape, layout, path),
        height=max(1, images.chunks[0]),
    )


def _reader(array: zarr.Array) -> Callable[[int, int], np.ndarray]:
    def block(first: int, stop: int) -> np.ndarray:
        return np.asarray(array[first:stop])

    return block


def look(place: Place, asked: Asked = NOTHING, progress: Progress = silent) -> Found:
    """Find out what a Zarr store holds, or the stores below a folder.

    Raises
    ------
    UserError
        If none can be read or holds an images array, or bands do not fit.
    """
    return look_at("zarr", place, named_arrays, asked, progress)


@contextmanager
def named_arrays(path: Path) -> Iterator[NamedArrays]:
    """A store's arrays.

    Raises
    ------
    UserError
        If it cannot be read.
    """
    found = _arrays(path)

    def bands_of(name: str) -> Sequence[str] | None:
        told = next((value for key, value in found[name].attrs.items() if key.lower() in BANDS_NAMES), None)
        return None if told is None else split_names(told if isinstance(told, str) else np.asarray(told))

    yield NamedArrays(
        path,
        {name: (array.shape, _plain_type(array)) for name, array in found.items()},
        read=lambda name, rows=slice(None): np.asarray(found[name][rows]),
        bands_of=bands_of,
        stored=lambda name: _bytes_of(path if name == ALONE and not (path / name).is_dir() else path / name),
    )


def _plain_type(array: zarr.Array) -> np.dtype:
    """Text of any length (NumPy's own string type, or objects) as objects."""
    return np.dtype(object) if array.dtype.kind in "TO" else array.dtype


def _arrays(path: Path) -> dict[str, zarr.Array]:
    """Arrays of a store by name, in any depth of groups; the group's attributes are theirs, too, if they have none.

    Raises
    ------
    UserError
        If it is no store, or damaged.
    """
    import zarr

    if not is_store(path):
        raise UserError(f"{path} is no Zarr store", "give a folder with zarr.json, .zgroup or .zarray in it")
    try:
        with quietly():  # data types and codecs that are no standard yet are read all the same
            store = zarr.open(_inside(path), mode="r")
            return {ALONE: store} if isinstance(store, zarr.Array) else dict(_below(store, path, ""))
    except UserError:
        raise
    except Exception as error:  # JSON, key, type and codec errors: whatever a damaged document leads to
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path} cannot be read as a Zarr store ({reason})", "check that it is whole") from error


def _inside(path: Path) -> zarr.storage.LocalStore:
    """A store of which no chunk and no document may be a link to a place outside of it."""
    from zarr.storage import LocalStore

    below = Root(path)

    class Inside(LocalStore):
        async def get(self, key, prototype=None, byte_range=None):
            below.file(key)
            return await super().get(key, prototype, byte_range)

        async def get_partial_values(self, prototype, key_ranges):
            asked = list(key_ranges)
            for key, _ in asked:
                below.file(key)
            return await super().get_partial_values(prototype, asked)

    return Inside(path, read_only=True)


def _below(group: zarr.Group, folder: Path, prefix: str) -> Iterator[tuple[str, zarr.Array]]:
    """Arrays of a group, found on the disk: a store that was consolidated may list others than there are."""
    import zarr

    for name in sorted(
        entry.name for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False) and is_store(entry.path)
    ):
        item = group[name]
        if isinstance(item, zarr.Group):
            yield from _below(item, folder / name, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", item


def _bytes_of(folder: Path) -> int:
    """Bytes of a folder's files."""
    return sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(folder) for name in names)
