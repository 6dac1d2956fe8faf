"""Cutouts in an HDF5 file that has a group, or a dataset, an object: ``/123/image``, ``/123/g``, ``/123/HSC-G/HDU0/DATA``.

The header's ``[pixels]`` names the datasets below each object's group (``datasets``: one, or one a band; empty where the
object is a dataset itself) and the axes of one image (``layout``, as if it were a stack of one); the column
``pixels_path`` names the group. Attributes of the groups, and single numbers in them, become columns of the catalogue.

Cost: a look visits every item of the file; reading is one dataset at a time, for one thread at a time.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pyarrow as pa

from engine.data.arrays.file_sets import found_columns, in_order
from engine.data.arrays.hdf5 import own
from engine.data.arrays.named import IMAGE_NAMES, MOST_VALUES, NO_IMAGES, SMALLEST, as_column
from engine.data.arrays.slabs import bands_first, guess_layout, planes_of
from engine.data.cutouts import Unreadable, resample
from engine.data.filters import wavelength
from engine.data.references import Asked, Found, Rejected, extent, named_bands
from engine.errors import UserError

if TYPE_CHECKING:
    from engine.survey import Survey

#: Share of the objects that must have a dataset for it to be their image or a band.
USUAL = 0.5

Shapes = Mapping[str, tuple[tuple[int, ...], np.dtype]]


class Hdf5Objects:
    """One group an object of an HDF5 file.

    Raises
    ------
    UserError
        If the file cannot be opened.
    """

    def __init__(self, survey: Survey, root: Path):
        pixels = survey.header["pixels"]
        self.bands = tuple(survey.bands)
        self.science = bool(pixels["science"])
        self._datasets, self._layout, self._planes = pixels["datasets"], pixels["layout"], pixels.get("planes")
        self._paths = survey.column("pixels_path")
        self._lock = threading.Lock()
        try:
            self._file = h5py.File(root, "r")
        except OSError as error:
            raise UserError(
                f"{root} cannot be read as HDF5 ({error})", "restore the file, or ingest the source again"
            ) from error

    def read(self, rows: Sequence[int] | np.ndarray) -> list[np.ndarray | Unreadable]:
        """Read cutouts; see `engine.data.cutouts.CutoutSource`."""
        with self._lock:
            return [self._object(str(self._paths[row])) for row in rows]

    def _object(self, path: str) -> np.ndarray | Unreadable:
        try:
            parts = [self._image(f"{path}/{name}".rstrip("/")) for name in self._datasets]
        except Exception as error:  # the library raises many kinds on what is damaged
            return Unreadable(f"{path}: {error}")
        there = [p for p in parts if p is not None]
        if not there:
            return Unreadable(f"{path}: it has no image")
        shape = max((p.shape[1:] for p in there), key=lambda s: s[0] * s[1])
        if any(p.shape[1:] != shape for p in there):
            side = max(shape)
            if side * side > MOST_VALUES:
                return Unreadable(f"{path}: its bands differ in size, one has {side:,} pixels a side")
            parts = [p if p is None or p.shape[1:] == (side, side) else resample(p, side) for p in parts]
            shape = (side, side)
        cutout = np.concatenate([np.full((1, *shape), np.nan, np.float32) if p is None else p for p in parts])
        if len(cutout) != len(self.bands):
            return Unreadable(f"{path}: {len(cutout)} planes for {len(self.bands)} bands")
        return cutout if self._planes is None else cutout[list(self._planes)]

    def _image(self, path: str) -> np.ndarray | None:
        """One image, (C, h, w) float32; None if it is not there."""
        item = own(self._file, path)
        if not isinstance(item, h5py.Dataset):
            return None
        if item.ndim not in (2, 3) or item.size == 0 or item.size > MOST_VALUES:
            raise ValueError(f"an array of {'×'.join(map(str, item.shape))} is no image")
        layout = "NHW" if item.ndim == 2 else self._layout if self._layout != "NHW" else guess_layout((1, *item.shape))
        return bands_first(item[()][None], layout)[0]


def split(shapes: Shapes) -> tuple[str, dict[str, dict[str, str]]]:
    """Tell objects from what each of them has.

    Parameters
    ----------
    shapes : mapping
        Name → (shape, dtype) of every dataset of a file.

    Returns
    -------
    above : str
        The group that holds the objects.
    objects : dict
        Object → {name below it: dataset}, for datasets that can be images.
    """
    images = [n for n, (shape, dtype) in shapes.items() if _is_image(shape) and dtype.kind in "uif"]
    parts = [n.split("/") for n in images]
    depth = 0
    while parts and all(len(p) > depth + 1 for p in parts) and len({p[depth] for p in parts}) == 1:
        depth += 1
    objects: dict[str, dict[str, str]] = {}
    for name, part in zip(images, parts):
        objects.setdefault(part[depth], {})["/".join(part[depth + 1 :])] = name
    return "/".join(parts[0][:depth]) if parts else "", objects


def _is_image(shape: tuple[int, ...]) -> bool:
    sides = shape if len(shape) == 2 else sorted(shape)[1:]
    return len(shape) in (2, 3) and min(shape) > 0 and min(sides) >= SMALLEST and bool(np.prod(shape) <= MOST_VALUES)


def look_at_objects(path: Path, file: h5py.File, shapes: Shapes, asked: Asked) -> Found | None:
    """Find out what a file with a group an object holds; None if it is not such a file."""
    above, objects = split(shapes)
    names = Counter(name for there in objects.values() for name in there)
    usual = [n for n, times in names.items() if times >= USUAL * len(objects) and not NO_IMAGES.search(n.lower())]
    if len(objects) < 2 or not usual:
        return None
    chosen = _datasets(usual, asked)
    good = {key: there for key, there in objects.items() if any(name in there for name in chosen.values())}
    shape = shapes[next(there[n] for there in good.values() for n in chosen.values() if n in there)][0]
    layout = guess_layout((1, *shape), len(asked.bands or ()) or None)
    planes = planes_of((1, *shape), layout)
    dtypes = {shapes[there[n]][1] for there in good.values() for n in chosen.values() if n in there}
    pictures = dtypes == {np.dtype(np.uint8)} and planes in (1, 3) and len(chosen) == 1
    default = list(chosen) if len(chosen) > 1 else _default(planes, pictures)
    bands, order = in_order(named_bands(asked.bands, len(default), default), not pictures)
    sides = sorted(_side(shapes[there[n]][0], layout) for there in good.values() for n in chosen.values() if n in there)
    prefix = f"{above}/" if above else ""
    paths = [prefix + key for key in good]
    columns, ids, ra, dec = found_columns(_columns(file, paths, shapes), list(good))
    return Found(
        "hdf5-objects",
        path,
        ids,
        {"pixels_path": paths},
        bands,
        not pictures,
        extent(sides),
        ra,
        dec,
        columns=columns,
        pixels={"datasets": list(chosen.values()), "layout": layout} | order,
        rejected=tuple(Rejected(prefix + key, "it has no image") for key in objects if key not in good),
    )


def _datasets(usual: list[str], asked: Asked) -> dict[str, str]:
    """Band → dataset below each object: those that are called after filters, else the most telling one."""
    found: dict[str, str] = {}
    for name in sorted(usual):
        band = next((w for w in name.split("/") if w and wavelength(w) is not None), None)
        if band is not None:
            found.setdefault(band, name)
    if len(found) > 1:
        return found
    if asked.dataset is not None:
        if asked.dataset not in usual:
            raise UserError(f"the objects have no array {asked.dataset!r}", f"choose one of: {', '.join(usual)}")
        return {"": asked.dataset}
    short = {name: name.rpartition("/")[2].lower() for name in usual}
    likely = [n for wanted in IMAGE_NAMES for n in usual if short[n] == wanted]
    return {"": (likely or sorted(usual))[0]}


def _default(planes: int, pictures: bool) -> list[str]:
    if pictures:
        return ["grey"] if planes == 1 else ["R", "G", "B"]
    return ["band"] if planes == 1 else [f"band{k + 1}" for k in range(planes)]


def _side(shape: tuple[int, ...], layout: str) -> tuple[int, int]:
    return (shape[0], shape[1]) if len(shape) == 2 or layout == "NHWC" else (shape[1], shape[2])


def _columns(file: h5py.File, paths: list[str], shapes: Shapes) -> pa.Table:
    """Attributes of the objects, and single values below them."""
    rows: list[dict[str, Any]] = []
    for path in paths:
        item = file[path]
        row = {name: value for name, value in item.attrs.items() if np.ndim(value) == 0}
        if isinstance(item, h5py.Group):
            single = [name for name in item if shapes.get(f"{path}/{name}", ((0,), None))[0] == ()]
            row |= {name: item[name][()] for name in single}
        rows.append(row)
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({n: _column([row.get(n) for row in rows]) for n in names} or {"": pa.nulls(len(paths))})


def _column(values: list) -> pa.Array:
    kinds = {np.asarray(v).dtype.kind for v in values if v is not None}
    if kinds and kinds <= set("biuf"):
        made = [None if v is None else np.asarray(v).item() for v in values]
        return pa.array([None if v is None else float(v) for v in made] if len(kinds) > 1 else made)
    if not kinds or not kinds <= set("SUO"):
        return pa.nulls(len(values))
    return as_column(np.array(["" if v is None else re.sub(r"\0+$", "", _text(v)) for v in values], object))


def _text(value: Any) -> str:
    value = value.item() if isinstance(value, np.generic) else value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
