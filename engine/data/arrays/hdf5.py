"""Cutouts in HDF5: an images dataset whose first axis is the object, in one file or in many below a folder.

A file stays open and is read in slabs (`engine.data.arrays.slabs`). The library lets in one thread at a time; compressed chunks
are unpacked outside of it (`engine.data.arrays.chunks`), where every thread has its own core. What the datasets mean is told by
`engine.data.arrays.named`: the names of Galaxy10, sky_embeddings, ssl-legacysurvey and the Multimodal Universe are known.

A dataset that lies in another file (external or virtual, or behind a link) is never read: the file may come from anybody.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from engine.data.arrays.chunks import KEPT, Chunks, unpackable
from engine.data.arrays.file_sets import look_at
from engine.data.arrays.heaps import check_heaps
from engine.data.arrays.named import BANDS_NAMES, NamedArrays, is_stack, split_names
from engine.data.arrays.slabs import Stack, StackedRows, checked_planes, guess_layout
from engine.data.references import NOTHING, Asked, Found, Place
from engine.errors import UserError
from engine.jobs import Progress, silent

if TYPE_CHECKING:
    from engine.survey import Survey

#: Bytes of chunks that the library keeps: a chunk larger than that is unpacked anew for every slab in it.
CACHE = 1 << 26


class Hdf5Rows(StackedRows):
    """Rows of one dataset of an HDF5 file, or of many files.

    Parameters
    ----------
    survey : Survey
    root : path
        The HDF5 file, or the folder of many.

    Raises
    ------
    UserError
        If the file cannot be opened or has no such dataset.
    """

    def __init__(self, survey: Survey, root: Path):
        super().__init__(survey, root, _open_stack)


def _open_stack(path: Path, pixels: dict, bands: int, share: int) -> Stack:
    try:
        file = h5py.File(path, "r", rdcc_nbytes=CACHE // share)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read as HDF5 ({error})", "restore the file, or ingest the source again"
        ) from error
    images = _dataset(file, pixels["dataset"], path)
    mask = _dataset(file, pixels["mask"], path) if pixels.get("mask") else None
    layout = pixels.get("layout") or guess_layout(images.shape, bands)
    lock = threading.Lock()
    return Stack(
        images.shape,
        layout,
        _reader(images, lock, KEPT // share),
        mask=None if mask is None else _reader(mask, lock, KEPT // share),
        planes=checked_planes(pixels, images.shape, layout, path),
        height=images.chunks[0] if images.chunks else 1,
    )


def _dataset(file: h5py.File, name: str, path: Path) -> h5py.Dataset:
    if not isinstance(own(file, name), h5py.Dataset):
        raise UserError(
            f"{path} has no dataset {name!r}", "correct `dataset` in survey.toml, or ingest the source again"
        )
    return file[name]


def own(file: h5py.File, name: str):
    """An item of the file, None if there is none or it lies in another file."""
    item = file
    for part in name.strip("/").split("/"):
        if not isinstance(item, h5py.Group) or not isinstance(item.get(part, getlink=True), h5py.HardLink):
            return None
        item = item[part]
    if isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
        return None
    return item


def _reader(dataset: h5py.Dataset, lock: threading.Lock, kept: int) -> Callable[[int, int], np.ndarray]:
    """Rows of a dataset in its own type, by any number of threads."""
    chunks = Chunks(dataset, kept=kept) if unpackable(dataset) else None

    def block(first: int, stop: int) -> np.ndarray:
        if chunks is not None:
            # what is wrong with a chunk, h5py says better, or can read it
            with suppress(OSError, ValueError, KeyError, RuntimeError, zlib.error):
                return chunks.rows(first, stop)
        with lock:
            return dataset[first:stop]

    return block


def look(place: Place, asked: Asked = NOTHING, progress: Progress = silent) -> Found:
    """Find out what an HDF5 file holds, or the files below a folder.

    Raises
    ------
    UserError
        If none can be read or holds an images dataset, or bands do not fit.
    """
    if not place.names:
        from engine.data.arrays.hdf5_objects import look_at_objects

        with named_arrays(place.root) as arrays, h5py.File(place.root, "r") as file:
            found = None if _has_stack(arrays) else look_at_objects(place.root, file, arrays.shapes, asked)
        if found is not None:
            return found
    return look_at("hdf5", place, named_arrays, asked, progress)


def _has_stack(arrays: NamedArrays) -> bool:
    """Whether an array holds the images of many objects: in no group, or one of many rows."""
    stacks = [n for n, (shape, dtype) in arrays.shapes.items() if is_stack(shape) and dtype.kind in "uif"]
    return any(len(arrays.shapes[n][0]) == 4 or "/" not in n for n in stacks)


@contextmanager
def named_arrays(path: Path) -> Iterator[NamedArrays]:
    """A file's datasets as named arrays, while it is open.

    Raises
    ------
    UserError
        If it cannot be read.
    """
    try:
        check_heaps(path)
        file = h5py.File(path, "r")
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as HDF5 ({error})", "check that the file is whole") from error
    with file:
        shapes: dict[str, tuple[tuple[int, ...], np.dtype]] = {}

        def note(name: str, item) -> None:
            known = isinstance(item, h5py.Dataset) and item.shape is not None
            if known and not item.external and not item.is_virtual:
                shapes[name] = item.shape, _plain_type(item.dtype)

        def bands_of(name: str) -> Sequence[str] | None:
            for attributes in (file[name].attrs, file[name].parent.attrs, file.attrs):
                told = next((attributes[key] for key in attributes if key.lower() in BANDS_NAMES), None)
                if told is not None:
                    return split_names(told)
            return None

        try:
            file.visititems(note)
        except Exception as error:  # the library raises many kinds on what is damaged
            raise UserError(f"{path} cannot be read as HDF5 ({error})", "check that the file is whole") from error
        yield NamedArrays(
            path,
            shapes,
            read=lambda name, rows=slice(None): file[name][rows],
            bands_of=bands_of,
            stored=lambda name: file[name].id.get_storage_size(),
        )


def _plain_type(dtype: np.dtype) -> np.dtype:
    """Text of any length is objects; other objects (rows of unequal length, references) are of no use here."""
    if dtype.kind != "O":
        return dtype
    return np.dtype(object) if h5py.check_string_dtype(dtype) is not None else np.dtype("V1")
