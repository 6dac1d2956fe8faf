"""What the arrays of a file mean: which are images, bands, a mask, ids, positions, columns of a catalogue.

HDF5, Zarr and NumPy files all hold arrays by name, and teams give them much the same names. Here a file is a
`NamedArrays`, and `understand` reads its `Meaning`; `engine.data.arrays.file_sets` joins those of many files to one survey.
Recognised are, among others,

    Galaxy10              images (N, H, W, 3) uint8, ans, ra, dec, redshift, pxscale
    sky_embeddings        cutouts (N, C, H, W) float32 with NaN, ra, dec, zspec
    ssl-legacysurvey      images (N, 3, 152, 152) float32 in g, r, z; inds, brickid, objid, flux (N, 3)   (Stein et al. 2021)
    Multimodal Universe   image_array (N, C, H, W), image_band (N, C), image_mask (true where good), object_id, a column each

Cost: the small arrays once; of the images only shapes, and a few rows of a mask.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.data.arrays.slabs import guess_layout, planes_of
from engine.data.catalogue import plain
from engine.data.filters import wavelength
from engine.data.references import Asked, named_bands
from engine.errors import UserError

#: Usual names of an images array, the most telling first; Galaxy10 says images, sky_embeddings cutouts.
IMAGE_NAMES = (
    "images",
    "cutouts",
    "image_array",
    "image_flux",
    "image",
    "cutout",
    "stamps",
    "pixels",
    "img",
    "imgs",
    "flux",
    "data",
    "x",
    "x_train",
)
#: Usual names of an array of band names, one a band or one a band and object.
BANDS_NAMES = ("bands", "band", "filters", "filter", "channels", "image_band", "image_bands", "band_names")
#: Arrays that are as large as the images and are none.
NO_IMAGES = re.compile(
    r"(^|_)(i?var|invvar|err|error|sigma|rms|weights?|wht|masks?|dq|flags?|psf|segm?\w*|model\w*)(_|$)"
)
#: Smallest side of an image, pixels; what is smaller is a table.
SMALLEST = 4
#: Values of one image, at most: a file may claim anything.
MOST_VALUES = 1 << 28
#: Bytes that a file may claim for its images without holding a thousandth of them, and how many times as many as it holds.
CLAIMED, UNPACKED = 1 << 30, 5000
#: Bytes of a small array, at most.
MOST_BYTES = 1 << 31
#: Rows of a mask that are looked at, and the share of good pixels below which it is not what it seems.
MASK_ROWS, MASK_SHARE = 32, 0.5


@dataclass(frozen=True)
class NamedArrays:
    """The arrays of a file.

    Attributes
    ----------
    place : path
    shapes : mapping
        Name → (shape, dtype) of every array.
    read : callable
        ``read(name, rows)``: these rows of an array (a slice; all if not given).
    bands_of : callable
        Bands that the attributes of an array or of its file name, None if none do.
    stored : callable
        Bytes that an array takes in the file, None if that is not known.
    notes : tuple of str
        What a person should know of the file.
    """

    place: Path
    shapes: Mapping[str, tuple[tuple[int, ...], np.dtype]]
    read: Callable[..., np.ndarray]
    bands_of: Callable[[str], Sequence[str] | None] = lambda name: None
    stored: Callable[[str], int | None] = lambda name: None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Meaning:
    """What the arrays of one file mean.

    Attributes
    ----------
    images, layout : str
        Name and axes of the images array.
    count : int
    side : (height, width)
    bands : tuple of str
        In the order of the planes.
    science : bool
    mask : str or None
    columns : table of N rows
    vectors : tuple of str
        Arrays of a vector an object.
    notes : tuple of str
    """

    images: str
    layout: str
    count: int
    side: tuple[int, int]
    bands: tuple[str, ...]
    science: bool
    mask: str | None
    columns: pa.Table
    vectors: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def pixels(self) -> dict[str, Any]:
        """What files of one survey must have in common: the header's section."""
        told = {"dataset": self.images, "layout": self.layout}
        return told | ({"mask": self.mask} if self.mask else {})


# -- one file ---------------------------------------------------------------------------------------------------------


def understand(arrays: NamedArrays, asked: Asked) -> Meaning:
    """Read the meaning of a file's arrays.

    Parameters
    ----------
    arrays : NamedArrays
    asked : Asked
        Bands and images array as the user named them.

    Raises
    ------
    UserError
        If there is no images array, it claims more than can be, or bands do not fit.
    """
    name = _images_name(arrays, asked.dataset)
    shape, dtype = arrays.shapes[name]
    told = arrays.bands_of(name) or _bands_array(arrays, name)
    layout = guess_layout(shape, len(asked.bands or told or ()) or None)
    planes = planes_of(shape, layout)
    _require_possible(arrays, name)
    pictures = dtype == np.uint8 and planes in (1, 3)
    notes = list(arrays.notes)
    if told is None or len(told) != planes or len(set(told)) < planes:
        told = _default_bands(arrays, name, planes, pictures)
        if not pictures and planes > 1 and asked.bands is None:
            notes.append(f"the bands are not named in the file and called {' '.join(told)}: name them with --bands")
    bands = named_bands(asked.bands, planes, told)
    mask, words = _mask(arrays, name, layout)
    columns, vectors, left, broken = _columns(arrays, name, shape[0], bands)
    side = (shape[2], shape[3]) if layout == "NCHW" else (shape[1], shape[2])
    if left:
        notes.append(f"arrays that are not one number an object were left out: {', '.join(left)}")
    notes += [f"a column was left out: {problem}" for problem in broken]
    notes += words
    return Meaning(name, layout, shape[0], side, bands, not pictures, mask, columns, vectors, tuple(notes))


def _images_name(arrays: NamedArrays, asked: str | None) -> str:
    shapes = arrays.shapes
    if asked is not None:
        if asked not in shapes:
            raise UserError(f"{arrays.place} has no array {asked!r}", f"choose one of: {', '.join(shapes) or 'none'}")
        return asked
    likely = [n for n, (shape, dtype) in shapes.items() if is_stack(shape) and dtype.kind in "uif"]
    if not likely:
        raise UserError(
            f"{arrays.place} holds no array of images",
            f"it needs one of shape (N, bands, height, width); it has: "
            f"{', '.join(f'{n} {shape}' for n, (shape, _) in list(shapes.items())[:8]) or 'nothing'}",
        )
    usual = [n for wanted in IMAGE_NAMES for n in likely if _short(n) == wanted]
    pictures = [n for n in likely if not NO_IMAGES.search(_short(n))] or likely
    return usual[0] if usual else max(pictures, key=lambda n: np.prod(shapes[n][0], dtype=np.float64))


def _short(name: str) -> str:
    return name.rpartition("/")[2].lower()


def is_stack(shape: tuple[int, ...]) -> bool:
    """Whether a shape is one of many images."""
    if len(shape) not in (3, 4) or shape[0] == 0:
        return False
    sides = shape[1:] if len(shape) == 3 else sorted(shape[1:])[1:]
    return min(shape) > 0 and min(sides) >= SMALLEST


def _require_possible(arrays: NamedArrays, name: str) -> None:
    """Refuse what a file claims but cannot hold, before any memory is taken.

    Raises
    ------
    UserError
    """
    shape, dtype = arrays.shapes[name]
    words = "×".join(map(str, shape))
    if np.prod(shape[1:], dtype=np.float64) > MOST_VALUES:
        raise UserError(
            f"{arrays.place} claims images of {words} values in {name!r}", "name another array with --dataset"
        )
    claimed = np.prod(shape, dtype=np.float64) * dtype.itemsize
    if claimed <= CLAIMED:
        return
    stored = arrays.stored(name)
    if stored is not None and claimed > UNPACKED * stored:
        raise UserError(
            f"{arrays.place} claims {claimed / 1e9:,.0f} GB of images in {name!r} ({words}) and holds "
            f"{stored / 1e6:,.1f} MB of them",
            "check that the file is whole, or name another array with --dataset",
        )


def split_names(told: Any) -> list[str] | None:
    """Names of bands as an attribute tells them: an array, or one text such as ``g, r, z`` or ``grz``."""
    if np.ndim(told) == 1:
        return [str(v) for v in plain(np.asarray(told))]
    if np.ndim(told) > 1 or not isinstance(told, str | bytes):
        return None
    text = told.decode("utf-8", "replace") if isinstance(told, bytes) else told
    parts = [p for p in re.split(r"[\s,;]+", text.strip("[](){} ")) if p]
    parts = [p.strip("'\"") for p in parts]
    if len(parts) == 1 and wavelength(parts[0]) is None and all(wavelength(letter) for letter in parts[0]):
        return list(parts[0])
    return parts or None


def _bands_array(arrays: NamedArrays, images: str) -> tuple[str, ...] | None:
    """Bands that an array of the file names: one text a band, or the same ones for every object.

    Raises
    ------
    UserError
        If objects have different ones.
    """
    for name, (shape, dtype) in arrays.shapes.items():
        if _short(name) not in BANDS_NAMES or dtype.kind not in "USO" or len(shape) > 2 or 0 in shape:
            continue
        if len(shape) == 0:
            told = split_names(_whole(arrays, name)[()])
            return None if told is None else tuple(told)
        if len(shape) == 1:
            if shape == arrays.shapes[images][0][:1] and shape[0] > MOST_BANDS:  # a column of the catalogue
                continue
            return tuple(str(v) for v in plain(_whole(arrays, name)))
        values = _whole(arrays, name)
        if any((values[:, k] != values[0, k]).any() for k in range(shape[1])):
            raise UserError(
                f"the objects of {arrays.place} have different bands in {name!r}",
                "put objects of the same bands into files of their own",
            )
        return tuple(str(v) for v in plain(values[0]))
    return None


#: Bands of a survey, at most; more names than that are something else.
MOST_BANDS = 64


def _default_bands(arrays: NamedArrays, images: str, planes: int, pictures: bool) -> tuple[str, ...]:
    if pictures:
        return ("grey",) if planes == 1 else ("R", "G", "B")
    names = {_short(n) for n in arrays.shapes}
    if planes == 3 and {"inds", "brickid", "objid"} <= names and _short(images) == "images":
        return ("g", "r", "z")  # ssl-legacysurvey: the file does not say, its paper does (Stein et al. 2021, sec. 2)
    return ("band",) if planes == 1 else tuple(f"band{k + 1}" for k in range(planes))


def _mask(arrays: NamedArrays, images: str, layout: str) -> tuple[str | None, list[str]]:
    """The Multimodal Universe's mask beside ``image_array``, true where a pixel is good."""
    name = re.sub(r"(array|flux)$", "mask", images)
    if not re.search(r"image_(array|flux)$", images) or name not in arrays.shapes:
        return None, []
    shape, dtype = arrays.shapes[name]
    whole = arrays.shapes[images][0]
    if dtype.kind not in "bui" or shape not in (whole, (whole[0], *whole[-2:])) or layout == "NHWC":
        return None, []
    good = np.asarray(arrays.read(name, slice(0, MASK_ROWS))) != 0
    if good.mean() < MASK_SHARE:
        return None, [f"the mask {name} calls {1 - good.mean():.0%} of the pixels bad and was not used"]
    return name, [f"pixels that {name} does not call good read as missing"]


def _whole(arrays: NamedArrays, name: str) -> np.ndarray:
    """A small array.

    Raises
    ------
    UserError
        If it claims not to be small, or is damaged.
    """
    shape, dtype = arrays.shapes[name]
    if np.prod(shape, dtype=np.float64) * max(1, dtype.itemsize) > MOST_BYTES:
        raise UserError(f"{arrays.place} claims too much for its array {name!r}", "check that the file is whole")
    try:
        return np.asarray(arrays.read(name) if shape else arrays.read(name, ()))
    except UserError:
        raise
    except Exception as error:  # HDF5, Zarr and its codecs, zip: each raises its own on what is damaged
        raise UserError(
            f"the array {name!r} of {arrays.place} cannot be read ({error})", "check that the file is whole"
        ) from error


def _columns(
    arrays: NamedArrays, images: str, count: int, bands: Sequence[str]
) -> tuple[pa.Table, tuple[str, ...], list[str], list[str]]:
    """Columns of the catalogue, arrays of vectors, what was left out, and what is wrong with columns that are damaged.

    Arrays of N values are columns by their short names where these are unique; so are those of a value a band
    (``flux`` → ``flux_g``, ``flux_r``).
    """
    rest = {n: (s, d) for n, (s, d) in arrays.shapes.items() if n != images and s[:1] == (count,)}
    short = Counter(n.rpartition("/")[2] for n in rest)
    columns: dict[str, pa.Array] = {}
    vectors, left, broken = [], [], []
    for name, (shape, dtype) in rest.items():
        simple = name.rpartition("/")[2]
        simple = simple if short[simple] == 1 else re.sub(r"/+", "_", name.strip("/"))
        try:
            if shape == (count,) and dtype.names:
                records = _whole(arrays, name)
                columns |= {f: as_column(records[f]) for f in dtype.names if records[f].dtype.kind in "biufUS"}
            elif len(shape) == 1 and dtype.kind in "biufUSO":
                columns[simple] = as_column(_whole(arrays, name))
            elif len(shape) == 2 and shape[1] == len(bands) > 1 and dtype.kind in "biuf":
                values = _whole(arrays, name)
                columns |= {f"{simple}_{band}": as_column(values[:, k]) for k, band in enumerate(bands)}
            elif len(shape) == 2 and shape[1] > 1 and dtype.kind == "f":
                vectors.append(name)
            elif _short(name) not in BANDS_NAMES:
                left.append(name)
        except UserError as error:  # the images are there all the same
            broken.append(error.problem)
    return pa.table(columns) if columns else _no_columns(count), tuple(vectors), left, broken


def _no_columns(count: int) -> pa.Table:
    """A table of rows without columns, as Arrow cannot make one: with a column that is dropped later."""
    return pa.table({"": pa.nulls(count)})


def as_column(values: np.ndarray) -> pa.Array:
    """An array of N values as a column; bytes as text without blanks around it."""
    values = np.asarray(values)
    if values.dtype.kind == "f" and values.dtype.itemsize not in (4, 8):
        values = values.astype(np.float32 if values.dtype.itemsize == 2 else np.float64)
    if values.dtype.kind in "SUO":
        try:
            text = pa.array(values if values.dtype.kind != "U" else values.astype(object)).cast(pa.string())
            return pc.utf8_trim_whitespace(pc.utf8_trim(text, "\0"))
        except (pa.ArrowException, UnicodeDecodeError, UnicodeEncodeError, TypeError):
            pass
    return pa.array(plain(values))
