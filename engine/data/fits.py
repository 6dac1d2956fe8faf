"""Cutouts that are FITS images: a file an object, a file an object and band, or an HDU an object.

Three ways in which survey teams keep them, told apart by the columns of references:

``pixels_file`` (and ``pixels_index``, the HDU)
    One file an object; a cube holds its bands as planes.
``pixels_file_BAND`` for each band (and ``pixels_index``)
    One folder a band; no file means that the band is missing, and reads as NaN.
``pixels_index`` alone
    The root is one file, its HDUs are objects.

A header's celestial WCS gives the position of a cutout's middle. RA and DEC cards are a second choice: they are often
where the telescope pointed.
"""

from __future__ import annotations

import os
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from engine.data.cutouts import Unreadable
from engine.data.filters import by_wavelength, wavelength
from engine.data.hdus import Hdu, open_fits, read_hdus, read_pixels
from engine.data.references import (
    NOTHING,
    Asked,
    Found,
    Place,
    Rejected,
    Root,
    named_bands,
    names_to_ids,
    require_some,
    some,
    without_extension,
)
from engine.data.tangent import world
from engine.errors import UserError
from engine.jobs import Progress, silent

if TYPE_CHECKING:
    from astropy.wcs import WCS

    from engine.survey import Survey

T = TypeVar("T")

#: A file with more images than this is a list of objects; with fewer, an image and what belongs to it (model, weight).
LIST_OF_OBJECTS = 10
#: Planes of a cube that are taken for bands, at most.
MOST_PLANES = 64
#: Names of extensions that are no picture of the sky.
COMPANIONS = re.compile(
    r"^(err|error|dq|wht|weight|var|variance|ivar|mask|con|ctx|samp|time|model|residual.*|psf|sigma|rms)\d*$", re.I
)
#: Names of extensions that show what a fit made of an object, and what follows them (a band).
_DERIVED = re.compile(r"^(model|residuals?|resid|subtracted)(?: ?map| ?image)?((?:[_\- ]\w{1,12}|\d{0,2})\s*)$", re.I)
#: Share of exactly-zero pixels above which a cutout's zeros look like a hole in the coverage.
HOLE = 0.01

_WCS_CARD = re.compile(
    r"^(WCSAXES|(CTYPE|CRVAL|CRPIX|CDELT|CUNIT|CROTA)\d|(CD|PC)\d_\d|PV\d_\d+|LONPOLE|LATPOLE"
    r"|RADESYS|RADECSYS|EQUINOX|EPOCH)$"
)
_SIP_CARD = re.compile(r"^[AB]P?_(ORDER|\d_\d)$")
_RA_CARDS, _DEC_CARDS = ("RA_OBJ", "RA_TARG", "OBJRA", "RA"), ("DEC_OBJ", "DEC_TARG", "OBJDEC", "DEC")
_FILTER_CARDS = ("FILTER", "BAND", "FILTNAM", "FILTER1", "FILTER2")


class FitsFiles:
    """FITS images below a folder, or the HDUs of one file."""

    def __init__(self, survey: Survey, root: Path):
        pixels = survey.header["pixels"]
        self.bands = tuple(survey.bands)
        self.science = bool(pixels["science"])
        self._zero_is_missing = bool(pixels.get("zero_is_missing", False))
        self._index = survey.column("pixels_index")
        self._single: list[Hdu] | None = None
        self._path = root
        if root.is_file():
            self._files: list[np.ndarray] | None = None
        else:
            self._root = Root(root)
            layout = pixels.get("layout", "one")
            columns = [f"pixels_file_{band}" for band in self.bands] if layout == "band-folders" else ["pixels_file"]
            self._files = [survey.column(column) for column in columns]

    def read(self, rows: Sequence[int] | np.ndarray) -> list[np.ndarray | Unreadable]:
        """Read cutouts; see `engine.data.cutouts.CutoutSource`."""
        with ExitStack() as stack:
            opened: dict = {}
            return [self._object(int(row), opened, stack) for row in rows]

    def wcs(self, row: int) -> WCS | None:
        """Celestial WCS of a cutout (of its first band that is there); see `engine.data.cutouts.CutoutSource`."""
        asked = self._with_headers(row, lambda _stream, hdus, index, _path: celestial(hdus[index]))
        return next((wcs for wcs in asked if wcs is not None), None)

    def units(self, row: int) -> tuple[str, ...]:
        """Unit of each band's pixels as its header says it (BUNIT), empty where it does not."""
        asked = self._with_headers(row, lambda _stream, hdus, index, _path: str(hdus[index].get("BUNIT", "")).strip())
        found = tuple(unit or "" for unit in asked)
        return found if len(found) == len(self.bands) else found[:1] * len(self.bands)

    def companions(self, row: int) -> dict[str, np.ndarray]:
        """Model and residual that lie in the object's own file; see `engine.data.cutouts.CutoutSource`."""
        return next((found for found in self._with_headers(row, companions) if found), {})

    def _with_headers(self, row: int, ask: Callable[..., T]) -> Iterator[T | None]:
        """``ask(stream, hdus, index, path)`` of each of an object's files; None for one that cannot be read."""
        index = int(self._index[row])
        for name in [""] if self._files is None else [column[row] for column in self._files]:
            try:
                path = str(self._path) if self._files is None else self._root.file(name)
                with open_fits(path) as stream:
                    answer = ask(stream, self._headers(stream), index, path)
            except (OSError, ValueError, EOFError, KeyError, TypeError, IndexError):
                answer = None  # why not is said where the pixels are read
            yield answer

    def _object(self, row: int, opened: dict, stack: ExitStack) -> np.ndarray | Unreadable:
        index = int(self._index[row])
        names = [""] if self._files is None else [column[row] for column in self._files]
        planes: list[np.ndarray | None] = []
        for name in names:
            if not isinstance(name, str):
                planes.append(None)
                continue
            try:
                planes.append(self._image(name, index, opened, stack))
            except (OSError, ValueError, EOFError, KeyError, TypeError) as error:
                return Unreadable(f"{name or self._path.name}: {_reason(error)}")
        return self._stacked(planes, names)

    def _image(self, name: str, index: int, opened: dict, stack: ExitStack) -> np.ndarray:
        path = str(self._path) if self._files is None else self._root.file(name)
        if len(self._files or ()) > 1 or (self._files is not None and index <= LIST_OF_OBJECTS):
            with open_fits(path) as own:
                return self._pixels(own, read_hdus(own, index), index, path)
        if path not in opened:  # objects that share a file share its headers
            shared = stack.enter_context(open_fits(path))
            opened[path] = shared, self._headers(shared)
        stream, hdus = opened[path]
        return self._pixels(stream, hdus, index, path)

    def _headers(self, stream) -> list[Hdu]:
        if self._files is not None:
            return read_hdus(stream)
        if self._single is None:
            self._single = read_hdus(stream)
        return self._single

    def _pixels(self, stream, hdus: list[Hdu], index: int, path: str) -> np.ndarray:
        if index >= len(hdus):
            raise ValueError(f"it has no HDU {index}")
        pixels = read_pixels(stream, hdus[index], path)
        if self._zero_is_missing:
            pixels = np.where(pixels == 0, np.float32(np.nan), pixels)
        return pixels

    def _stacked(self, planes: list[np.ndarray | None], names: list) -> np.ndarray | Unreadable:
        """Join the bands of one object; a missing one is NaN."""
        there = [p for p in planes if p is not None]
        if not there:
            return Unreadable("no band has a file")
        shape = there[0].shape[1:]
        if any(p.shape[1:] != shape for p in there):
            sizes = ", ".join(sorted({f"{p.shape[1]}×{p.shape[2]}" for p in there}))
            return Unreadable(f"its bands differ in size ({sizes})")
        cutout = np.concatenate([np.full((1, *shape), np.nan, np.float32) if p is None else p for p in planes])
        if len(cutout) != len(self.bands):
            return Unreadable(f"{names[0] or self._path.name}: {len(cutout)} planes for {len(self.bands)} bands")
        return cutout


def companions(stream, hdus: list[Hdu], index: int, path: str) -> dict[str, np.ndarray]:
    """Models and residuals of an image that are kept in its file.

    They are told by EXTNAME or, as GALFIT writes it, by the OBJECT card (``model``, ``residual map``), and have the
    image's size.

    Returns
    -------
    dict
        ``model``, ``residual``, or such a name with what follows it (``residual_r``) → (h, w) float32.
    """
    shape = hdus[index].shape[-2:]
    found: dict[str, np.ndarray] = {}
    if sum(bool(h.shape) for h in hdus) > LIST_OF_OBJECTS:
        return found
    for hdu in hdus:
        told = next((m for m in map(_DERIVED.match, (hdu.name, str(hdu.get("OBJECT", "")).strip())) if m), None)
        if told is None or hdu.index == index or hdu.shape != shape:
            continue
        name = ("model" if told[1].lower() == "model" else "residual") + told[2].lower().rstrip()
        found.setdefault(name, read_pixels(stream, hdu, path)[0])
    return found


def _reason(error: Exception) -> str:
    return "the file is gone" if isinstance(error, FileNotFoundError) else str(error) or type(error).__name__


# -- looking at a source ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Examined:
    """What a FITS file's headers say.

    Attributes
    ----------
    images : list of Hdu
        Those that hold an image; the chosen one first unless it is a list of objects.
    ra, dec : float, deg
        Middle of the chosen image, NaN where unknown.
    filter : str or None
    """

    images: list[Hdu]
    ra: float
    dec: float
    filter: str | None


def examine(path: str) -> Examined:
    """Read a file's headers, choose its image, and find its position.

    The chosen image is the extension called SCI, else the first that is not constant: CANDELS' primary is all zero.

    Raises
    ------
    ValueError, OSError
        If it is no FITS file, holds no image, or is cut short.
    """
    with open_fits(path) as stream:
        hdus = read_hdus(stream)
        images = [h for h in hdus if h.shape and (len(h.shape) == 2 or h.shape[0] <= MOST_PLANES)]
        if not images:
            raise ValueError("it holds no image")
        if len(images) <= LIST_OF_OBJECTS:
            chosen = _choose(stream, images, path)
            images = [chosen, *(h for h in images if h is not chosen)]
        chosen = images[0]
        if not path.lower().endswith(".gz") and os.path.getsize(path) < max(h.start + h.size for h in images):
            raise ValueError("the file is cut short")
    ra, dec = position(chosen, hdus[0])
    return Examined(images, ra, dec, _filter(chosen, hdus[0]))


def _choose(stream, images: list[Hdu], path: str) -> Hdu:
    named = [h for h in images if h.name.upper() == "SCI"]
    if named or len(images) == 1:
        return (named or images)[0]
    likely = [h for h in images if not COMPANIONS.match(h.name)] or images
    for hdu in likely:
        pixels = read_pixels(stream, hdu, path)
        known = pixels[np.isfinite(pixels)]
        if known.size and known.min() < known.max():
            return hdu
    return likely[0]


def _filter(*hdus: Hdu) -> str | None:
    for hdu in hdus:
        for key in _FILTER_CARDS:
            name = hdu.get(key)
            if isinstance(name, str) and name.strip() and not name.strip().upper().startswith("CLEAR"):
                return name.strip()
    return None


def position(hdu: Hdu, primary: Hdu) -> tuple[float, float]:
    """Position of the middle of an image.

    Parameters
    ----------
    hdu, primary : Hdu
        The image, and the file's first HDU, where RA and DEC cards may be instead.

    Returns
    -------
    ra, dec : float, deg
        NaN where the headers do not say.
    """
    found = _wcs_middle(hdu)
    if found is not None:
        return found
    for source in (hdu, primary):
        for ra_key, dec_key in zip(_RA_CARDS, _DEC_CARDS):
            found = _degrees(source.get(ra_key), source.get(dec_key))
            if found is not None:
                return found
    return np.nan, np.nan


def celestial(hdu: Hdu) -> WCS | None:
    """The celestial WCS of an image; None if it has none, or one that makes no sense."""
    if "CRVAL1" not in hdu.cards or not hdu.shape:
        return None
    from astropy.io import fits
    from astropy.wcs import WCS

    header = fits.Header()
    sip = str(hdu.get("CTYPE1", "")).endswith("-SIP")
    for key in hdu.cards:
        if _WCS_CARD.match(key) or (sip and _SIP_CARD.match(key)):
            header[key] = hdu.get(key)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wcs = WCS(header).celestial
            if wcs.naxis != 2:
                return None
            wcs.array_shape = hdu.shape[-2:]
            return wcs
    except Exception:  # the library raises many kinds on odd headers; a cutout without a position is still a cutout
        return None


def _wcs_middle(hdu: Hdu) -> tuple[float, float] | None:
    wcs = celestial(hdu)
    if wcs is None:
        return None
    height, width = hdu.shape[-2:]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            lon, lat = world(wcs, (width - 1) / 2, (height - 1) / 2)
    except Exception:  # as in `celestial`
        return None
    return (float(lon) % 360, float(lat)) if np.isfinite(lon) and np.isfinite(lat) else None


def _degrees(ra, dec) -> tuple[float, float] | None:
    from engine.data.catalogue import sexagesimal

    if isinstance(ra, str) and isinstance(dec, str):
        ra, dec = sexagesimal(ra, hours=True), sexagesimal(dec, hours=False)
    plain = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (ra, dec))
    return (float(ra) % 360, float(dec)) if plain and abs(dec) <= 90 and -180 <= ra <= 360 else None


def look(place: Place, asked: Asked = NOTHING, progress: Progress = silent) -> Found:
    """Find out what a folder of FITS files, or one file, holds.

    Raises
    ------
    UserError
        If none can be read, or bands do not fit.
    """
    if place.root.is_file():
        return _look_at_list(place.root, asked.bands)
    folders = _band_folders(place.names)
    if folders:
        return _look_at_bands(place.root, folders, asked.bands, progress)
    return _look_at_files(place, asked.bands, progress)


def _look_at_list(path: Path, bands: Sequence[str] | None) -> Found:
    """One file: each HDU an object, or a single cutout."""
    try:
        examined = examine(str(path))
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} cannot be read as FITS ({_reason(error)})", "check that the file is whole") from error
    many = len(examined.images) > LIST_OF_OBJECTS
    images = examined.images if many else examined.images[:1]
    planes = Counter(_planes(h) for h in images).most_common(1)[0][0]
    rejected = tuple(
        Rejected(f"HDU {h.index}", f"{_planes(h)} planes where the others have {planes}")
        for h in images
        if _planes(h) != planes
    )
    images = [h for h in images if _planes(h) == planes]
    extnames = [h.name for h in images]
    named = all(extnames) and len(set(extnames)) == len(extnames) and many
    ids = extnames if named else [str(h.index) for h in images] if many else [without_extension(path.name)]
    where = np.array([position(h, h) for h in images]).reshape(-1, 2)
    band = _band_names(bands, planes, [examined.filter])
    return Found(
        "fits",
        path,
        ids,
        {"pixels_index": [h.index for h in images]},
        band,
        True,
        _sizes(images),
        where[:, 0],
        where[:, 1],
        rejected=rejected,
    )


def _look_at_files(place: Place, bands: Sequence[str] | None, progress: Progress) -> Found:
    """A folder of files: each an object, or a list of them."""
    root, names = place.root, place.names
    good, rejected = _examine_all(root, names, progress)
    require_some(list(good), rejected, root, "FITS images")
    planes = Counter(_planes(e.images[0]) for e in good.values()).most_common(1)[0][0]
    files: list[str] = []
    images: list[Hdu] = []
    where: list[tuple[float, float]] = []
    ids: list[str] = []
    for (name, examined), stem in zip(good.items(), names_to_ids(list(good))):
        many = len(examined.images) > LIST_OF_OBJECTS
        for hdu in examined.images if many else examined.images[:1]:
            if _planes(hdu) != planes:
                rejected.append(Rejected(name, f"HDU {hdu.index} has {_planes(hdu)} planes, most have {planes}"))
                continue
            files.append(name)
            images.append(hdu)
            where.append(position(hdu, hdu) if many else (examined.ra, examined.dec))
            ids.append(f"{stem}[{hdu.name or hdu.index}]" if many else stem)
    sky = np.array(where).reshape(-1, 2)
    band = _band_names(bands, planes, [e.filter for e in good.values()])
    return Found(
        "fits",
        root,
        ids,
        {"pixels_file": files, "pixels_index": [h.index for h in images]},
        band,
        True,
        _sizes(images),
        sky[:, 0],
        sky[:, 1],
        rejected=tuple(rejected),
        files=len(names),
    )


def _look_at_bands(root: Path, folders: dict[str, list[str]], bands: Sequence[str] | None, progress: Progress) -> Found:
    """One folder a band: files of one object are found by what is left of their names without the band."""
    order = by_wavelength(list(folders)) if bands is None else list(bands)
    unknown = [b for b in order if b not in folders]
    if unknown:
        raise UserError(f"{root} has no folder for the band {some(unknown)}", f"choose among: {', '.join(folders)}")
    good, rejected = _examine_all(root, [n for band in order for n in folders[band]], progress)
    require_some(list(good), rejected, root, "FITS images")
    keys = band_file_ids({band: [n for n in folders[band] if n in good] for band in order})
    objects = sorted({key for band in keys.values() for key in band}, key=_natural)
    chosen = [[keys[band].get(key) for band in order] for key in objects]
    first = [next(n for n in names if n is not None) for names in chosen]
    index = [good[n].images[0].index for n in first]
    references: dict[str, list | np.ndarray] = {"pixels_index": index}
    references |= {f"pixels_file_{band}": [names[k] for names in chosen] for k, band in enumerate(order)}
    partial = sum(any(n is None for n in names) for names in chosen)
    notes = (f"{partial:,} objects lack the file of a band; it reads as missing",) if partial else ()
    return Found(
        "fits",
        root,
        objects,
        references,
        tuple(order),
        True,
        _sizes([e.images[0] for e in good.values()]),
        np.array([good[n].ra for n in first]),
        np.array([good[n].dec for n in first]),
        pixels={"layout": "band-folders"},
        rejected=tuple(rejected),
        notes=notes,
        files=sum(len(folders[b]) for b in order),
    )


def _examine_all(root: Path, names: Sequence[str], progress: Progress) -> tuple[dict[str, Examined], list[Rejected]]:
    below = Root(root)
    good: dict[str, Examined] = {}
    rejected: list[Rejected] = []
    for done, name in enumerate(names, 1):
        try:
            good[name] = examine(below.file(name))
        except (OSError, ValueError, EOFError, KeyError, TypeError) as error:
            rejected.append(Rejected(name, _reason(error)))
        progress(done, len(names), "checking FITS files")
    return good, rejected


def _band_folders(names: Sequence[str]) -> dict[str, list[str]]:
    """Files by folder, if the folders are bands: all names are filters, or most objects occur in every one."""
    folders: dict[str, list[str]] = {}
    for name in names:
        folder, slash, _ = name.rpartition("/")
        if not slash or "/" in folder:
            return {}
        folders.setdefault(folder, []).append(name)
    if len(folders) < 2:
        return {}
    if all(wavelength(f) is not None for f in folders):
        return folders
    keys = [set(found) for found in band_file_ids(folders).values()]
    return folders if 2 * len(set.intersection(*keys)) > max(map(len, keys)) else {}


def band_file_ids(folders: dict[str, list[str]]) -> dict[str, dict[str, str]]:
    """Tell which files of band folders show the same object.

    The band's name is cut from each stem, then what all stems begin and end with, at separators:
    ``f115w/ceers_f115w_29700.fits`` → ``29700``.

    Parameters
    ----------
    folders : dict
        Band → file names ``BAND/STEM.fits``.

    Returns
    -------
    dict
        Band → {id: file name}.
    """
    cut: dict[str, dict[str, str]] = {}
    for band, names in folders.items():
        without = re.compile(rf"(^|[_\-. ])(?:{re.escape(band)})(?=$|[_\-. ])", re.I)
        stems = {without_extension(n.rpartition("/")[2]): n for n in names}
        cut[band] = {without.sub("", stem).strip("_-. ") or stem: name for stem, name in stems.items()}
    everything = [stem for names in cut.values() for stem in names]
    head, tail = _common_head(everything), _common_head([s[::-1] for s in everything])
    trimmed = {band: {s[head : len(s) - tail] or s: n for s, n in names.items()} for band, names in cut.items()}
    collides = any(len(trimmed[b]) != len(cut[b]) for b in cut)
    return cut if collides else trimmed


def _common_head(stems: list[str]) -> int:
    """Length of what all stems begin with, up to a separator; 0 for a single stem."""
    if len(set(stems)) < 2:
        return 0
    low, high = min(stems), max(stems)  # what these two share, all between them share
    same = next((k for k, (a, b) in enumerate(zip(low, high)) if a != b), min(len(low), len(high)))
    common = low[:same]
    return max(common.rfind(mark) for mark in "_-. ") + 1


def _natural(key: str) -> tuple:
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", key) if part)


def _planes(hdu: Hdu) -> int:
    return hdu.shape[0] if len(hdu.shape) == 3 else 1


def _sizes(images: list[Hdu]) -> tuple[tuple[int, int], tuple[int, int]]:
    shapes = [(h.shape[-2], h.shape[-1]) for h in images]
    return min(shapes), max(shapes)


def _band_names(bands: Sequence[str] | None, planes: int, filters: Sequence[str | None]) -> tuple[str, ...]:
    same = set(filters) - {None}
    one = next(iter(same)) if len(same) == 1 else None
    return named_bands(bands, planes, (one or "band",) if planes == 1 else (f"band{k + 1}" for k in range(planes)))


def zeros_are_holes(cutouts: Sequence[np.ndarray]) -> bool:
    """Whether exact zeros mean "not observed": some planes are riddled with them, most have none.

    Mosaics (CEERS among them) store zero outside their coverage; pixels of real sky are almost never exactly zero.
    """
    share = np.array([float((plane == 0).mean()) for cutout in cutouts for plane in cutout])
    return bool((share > HOLE).any() and np.median(share) == 0)
