"""Cutouts in a NumPy file: one images array in an .npz with its catalogue columns beside it, or an .npy alone.

An .npy is memory-mapped; an .npz is unpacked into memory when the survey's cutouts are first opened, so that it suits
some gigabytes at most. Nothing is ever unpickled. Other arrays as long as the images become catalogue columns, as in
HDF5 (`engine.data.hdf5`): both are a set of named arrays, which `look_at_arrays` reads the meaning of.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from engine.data.catalogue import DEC_NAMES, ID_NAMES, RA_NAMES, plain, text_id
from engine.data.cutouts import Unreadable
from engine.data.hdf5 import bands_first, guess_layout
from engine.data.references import NOTHING, Asked, Found, Place, named_bands
from engine.errors import UserError
from engine.jobs import Progress, silent

if TYPE_CHECKING:
    from engine.survey import Survey

#: Usual names of an images array, the most telling first; Galaxy10 says images, sky_embeddings cutouts.
IMAGE_NAMES = ("images", "cutouts", "image", "cutout", "stamps", "pixels", "img", "imgs", "data", "x", "x_train")
#: Usual names of an array of band names.
BANDS_NAMES = ("bands", "band", "filters", "channels")
#: Smallest side of an image, pixels; what is smaller is a table.
SMALLEST = 4


class ArrayRows:
    """Rows of one array of a NumPy file (column ``pixels_index``).

    Raises
    ------
    UserError
        If the file cannot be read, or has no such array.
    """

    def __init__(self, survey: Survey, root: Path):
        pixels = survey.header["pixels"]
        self.bands = tuple(survey.bands)
        self.science = bool(pixels["science"])
        self._index = np.asarray(survey.column("pixels_index"), np.int64)
        arrays = open_arrays(root)
        name = pixels["dataset"]
        if name not in arrays:
            raise UserError(f"{root} has no array {name!r}", f"correct `dataset` in {survey.path / 'survey.toml'}")
        self._images = _array(arrays, name, root)
        self._layout = pixels.get("layout") or guess_layout(self._images.shape, len(self.bands))

    def read(self, rows: Sequence[int] | np.ndarray) -> list[np.ndarray | Unreadable]:
        """Read cutouts; see `engine.data.cutouts.CutoutSource`."""
        index = self._index[np.asarray(rows, np.int64)]
        there = (index >= 0) & (index < len(self._images))
        block = iter(bands_first(np.asarray(self._images[index[there]]), self._layout))
        return [next(block) if ok else Unreadable(f"the array has {len(self._images):,} rows") for ok in there]


def open_arrays(path: Path) -> Mapping[str, np.ndarray]:
    """Open a NumPy file as named arrays; an .npy holds one, called ``images``.

    Raises
    ------
    UserError
        If it is damaged, or holds Python objects.
    """
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(
            f"{path} cannot be read as a NumPy file ({error})",
            "save plain arrays with numpy.save or numpy.savez, not Python objects",
        ) from error
    return {"images": found} if isinstance(found, np.ndarray) else found


def _array(arrays: Mapping[str, np.ndarray], name: str, path: Path) -> np.ndarray:
    try:
        return arrays[name]
    except Exception as error:  # a damaged member: zip, zlib and numpy each raise their own
        raise UserError(
            f"the array {name!r} of {path} cannot be read ({error})",
            "save plain arrays again with numpy.savez, not Python objects",
        ) from error


def look(place: Place, asked: Asked = NOTHING, progress: Progress = silent) -> Found:
    """Find out what a NumPy file holds.

    Raises
    ------
    UserError
        If it cannot be read, holds no images array, or bands do not fit.
    """
    path = place.root
    arrays = open_arrays(path)
    loaded = {name: _array(arrays, name, path) for name in arrays}
    shapes = {name: (a.shape, a.dtype) for name, a in loaded.items()}
    return look_at_arrays("npz", path, shapes, lambda name: loaded[name], asked)


def look_at_arrays(
    kind: str,
    path: Path,
    shapes: Mapping[str, tuple[tuple[int, ...], np.dtype]],
    read: Callable[[str], np.ndarray],
    asked: Asked,
    *,
    bands_of: Callable[[str], Sequence[str] | None] = lambda name: None,
) -> Found:
    """Read the meaning of named arrays: which are images, bands, ids, positions, catalogue columns.

    Parameters
    ----------
    kind, path
        Of the source.
    shapes : mapping
        Name → (shape, dtype) of every array.
    read : callable
        Reads one array whole; only called for small ones.
    asked : Asked
        Bands and images array as the user named them.
    bands_of : callable
        Bands that an attribute of an array names, None if none does.

    Returns
    -------
    Found

    Raises
    ------
    UserError
        If there is no images array, or bands do not fit.
    """
    name = asked.dataset or _images_name(path, shapes)
    if name not in shapes:
        raise UserError(f"{path} has no array {name!r}", f"choose one of: {', '.join(shapes)}")
    shape, dtype = shapes[name]
    told_bands = bands_of(name) or _bands_array(shapes, read)
    layout = guess_layout(shape, len(asked.bands or told_bands or ()) or None)
    planes = 1 if layout == "NHW" else shape[1] if layout == "NCHW" else shape[3]
    pictures = dtype == np.uint8 and planes in (1, 3)
    if told_bands is None or len(told_bands) != planes:
        told_bands = _default_bands(planes, pictures)
    side = (shape[2], shape[3]) if layout == "NCHW" else (shape[1], shape[2])
    columns, notes = _columns(shapes, read, shape[0], name)
    ids = _take(columns, ID_NAMES, unique=True)
    ra, dec = _take(columns, RA_NAMES), _take(columns, DEC_NAMES)
    rows = np.arange(shape[0])
    return Found(
        kind,
        path,
        [text_id(v) for v in ids] if ids is not None else [str(r) for r in rows],
        {"pixels_index": rows},
        named_bands(asked.bands, planes, told_bands),
        not pictures,
        (side, side),
        _degrees(ra, shape[0]),
        _degrees(dec, shape[0]),
        columns=pa.table({k: pa.array(v) for k, v in columns.items()}) if columns else None,
        pixels={"dataset": name, "layout": layout},
        notes=notes,
    )


def _images_name(path: Path, shapes: Mapping) -> str:
    likely = [
        n
        for n, (shape, dtype) in shapes.items()
        if len(shape) in (3, 4) and dtype.kind in "uif" and shape[0] > 0 and _is_image(shape)
    ]
    if not likely:
        raise UserError(
            f"{path} holds no array of images",
            f"it needs one of shape (N, bands, height, width); it has: "
            f"{', '.join(f'{n} {shape}' for n, (shape, _) in list(shapes.items())[:8]) or 'nothing'}",
        )
    usual = [n for wanted in IMAGE_NAMES for n in likely if n.rpartition("/")[2].lower() == wanted]
    return usual[0] if usual else max(likely, key=lambda n: np.prod(shapes[n][0], dtype=np.float64))


def _is_image(shape: tuple[int, ...]) -> bool:
    sides = shape[1:] if len(shape) == 3 else sorted(shape[1:])[1:]
    return min(sides) >= SMALLEST


def _bands_array(shapes: Mapping, read: Callable) -> tuple[str, ...] | None:
    for name, (shape, dtype) in shapes.items():
        if name.rpartition("/")[2].lower() in BANDS_NAMES and len(shape) == 1 and dtype.kind in "USO":
            return tuple(str(v) for v in plain(read(name)))
    return None


def _default_bands(planes: int, pictures: bool) -> tuple[str, ...]:
    if pictures:
        return ("grey",) if planes == 1 else ("R", "G", "B")
    return ("band",) if planes == 1 else tuple(f"band{k + 1}" for k in range(planes))


def _columns(shapes: Mapping, read: Callable, count: int, images: str) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """One-dimensional arrays of N values, by their short names where these are unique."""
    long = [n for n, (shape, dtype) in shapes.items() if n != images and shape == (count,) and dtype.kind in "biufUSO"]
    short = [n.rpartition("/")[2] for n in long]
    names = [s if short.count(s) == 1 else re.sub(r"/+", "_", n.strip("/")) for n, s in zip(long, short)]
    columns = {name: plain(read(n)) for n, name in zip(long, names)}
    wide = [n for n, (shape, _) in shapes.items() if n != images and len(shape) > 1 and shape[0] == count]
    notes = (f"arrays that are not one number an object were left out: {', '.join(wide)}",) if wide else ()
    return columns, notes


def _take(columns: dict[str, np.ndarray], names: Sequence[str], *, unique: bool = False) -> np.ndarray | None:
    """Take a column of a usual name out of `columns`."""
    by_name = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in columns}
    for wanted in names:
        name = by_name.get(wanted)
        if name is None or (unique and len({text_id(v) for v in columns[name]}) < len(columns[name])):
            continue
        return columns.pop(name) if name.lower() in ("id", "ra", "dec") else columns[name]
    return None


def _degrees(values: np.ndarray | None, count: int) -> np.ndarray:
    if values is None or values.dtype.kind not in "iuf":
        return np.full(count, np.nan)
    return values.astype(np.float64)
