"""The images that make a mosaic: which HDUs of which files show the sky, and in which band.

What shows no sky is set aside by its name (weights, masks, errors). The band of an image is told, in this order, by the
name of its HDU, its filter card, the name of its file, or its folder: by the first of them that names every image and
leaves no two of one band on the same pixels. Bands of a cube are its planes.

Cost: one pass over the headers. No pixel is read.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.data.boxes import unfit_for_gzip
from engine.data.filters import LETTERS, by_wavelength, wavelength
from engine.data.fits import COMPANIONS, MOST_PLANES
from engine.data.grids import WCS_CARD, Grid, grid
from engine.data.hdus import Hdu, open_fits, read_hdus
from engine.data.references import Place, Rejected, Root, named_bands, some, without_extension
from engine.errors import UserError
from engine.jobs import Progress, silent

#: Words in names of files and HDUs that show no sky, or not as it was observed.
NOT_SKY = set(
    "err error errors rms sigma unc uncert std wht wt weight weights wgt wei ivar invvar var variance varmap mask masks msk "
    "maskbits flag flags flg dq bpm expmap exptime nexp nimage cov coverage depth galdepth psfdepth psfsize model blobmodel "
    "chi2 num bgmod resid residual residuals seg segm segmap segmentation bkg ctx con".split()
)
_HUBBLE = re.compile(r"f\d{3,4}(w2|lp|w|m|n|x|r)", re.I)
_FILTER_CARDS = ("FILTER", "BAND", "FILTNAM", "FILTER1", "FILTER2")
#: What filter cards say where they say nothing.
_NO_FILTER = ("CLEAR", "NONE", "N/A", "MULTI", "UNKNOWN")
#: Cards that name the planes of a cube; their numbers begin with 0 or 1.
_PLANE_CARDS = ("BAND", "FILTER", "FILT", "CHAN", "PLANE")

Key = tuple


@dataclass(frozen=True)
class Tile:
    """One band of one image of the sky.

    Attributes
    ----------
    file : str
        Relative to the root; the file's name if the root is a file.
    index, plane : int
        HDU, and plane of it.
    band : str
    grid : Grid
        The same object for images on the same pixels.
    """

    file: str
    index: int
    plane: int
    band: str
    grid: Grid


@dataclass(frozen=True)
class Tiling:
    """The images of a mosaic.

    Attributes
    ----------
    tiles : tuple of Tile
    bands : tuple of str
        In order of wavelength, or as they were asked for.
    rejected : tuple of Rejected
    notes : tuple of str
    files : int
        Files looked at.
    """

    tiles: tuple[Tile, ...]
    bands: tuple[str, ...]
    rejected: tuple[Rejected, ...]
    notes: tuple[str, ...]
    files: int


@dataclass(frozen=True)
class SkyImage:
    """An image with a celestial WCS."""

    file: str
    hdu: Hdu
    primary: Hdu
    grid: Grid

    @property
    def planes(self) -> int:
        return self.hdu.shape[0] if len(self.hdu.shape) == 3 else 1


def find_tiles(place: Place, bands: Sequence[str] | None = None, progress: Progress = silent) -> Tiling:
    """Find the images of a mosaic.

    Parameters
    ----------
    place : Place
        A FITS file, or a folder and the FITS files in it.
    bands : names, optional
        Which bands, in which order; else all.
    progress : callable

    Raises
    ------
    UserError
        If no image lies on the sky, or a band that is asked for is not there.
    """
    names = list(place.names) if place.root.is_dir() else [place.root.name]
    images, rejected, notes = _images(place, names, progress)
    if not images:
        raise _no_sky(place, names, rejected)
    planes = Counter(image.planes for image in images).most_common(1)[0][0]
    rejected += [
        Rejected(_where(i), f"{i.planes} planes where most have {planes}") for i in images if i.planes != planes
    ]
    images = [image for image in images if image.planes == planes]
    if planes > 1:
        found, labels = images, _of_planes(images, planes, bands)
        named = [(image, plane, labels[plane]) for image in found for plane in range(planes)]
    else:
        named = [(image, 0, label) for image, label in zip(images, _of_images(images, bands)) if label is not None]
        known = {id(image) for image, _, _ in named}
        rejected += [Rejected(_where(i), "which band it shows is not known") for i in images if id(i) not in known]
    if bands is not None and len(bands) == 1 and len({label for _, _, label in named}) == 1:
        named = [(image, plane, bands[0]) for image, plane, _ in named]  # the only band is called as one likes
    order = _order([label for _, _, label in named], bands, place)
    tiles, twice = _once([Tile(i.file, i.hdu.index, plane, label, i.grid) for i, plane, label in named])
    if twice:
        notes.append(
            f"{len(twice):,} images lie exactly on another one of the same band and were passed over "
            f"({some(f'{tile.file}, HDU {tile.index}' for tile in twice)})"
        )
    tiles = [tile for band in order for tile in tiles if tile.band == band]
    zipped = sorted({tile.file for tile in tiles if tile.file.lower().endswith(".gz")})
    if zipped:
        notes.append(
            f"{len(zipped):,} images are .gz, which are unpacked whole into memory: "
            f"unpacked with gunzip they are read faster ({some(zipped)})"
        )
    return Tiling(tuple(tiles), tuple(order), tuple(rejected), tuple(notes), len(names))


# -- images -----------------------------------------------------------------------------------------------------------


def _images(place: Place, names: list[str], progress: Progress) -> tuple[list[SkyImage], list[Rejected], list[str]]:
    """All images of the sky, what cannot be used, and notes."""
    below = Root(place.root)
    grids: dict[Key, Grid | None] = {}
    images: list[SkyImage] = []
    rejected: list[Rejected] = []
    empty, aside = [], [name for name in names if _not_sky(without_extension(name))]
    aside = aside if len(aside) < len(names) else []  # then the word means something else
    passed = set(aside)
    for done, name in enumerate(names, 1):
        progress(done, len(names), "checking FITS files")
        if name in passed:
            continue
        try:
            found = images_in(str(place.root) if place.root.is_file() else below.file(name), name, grids)
        except (OSError, ValueError, EOFError, KeyError, TypeError) as error:
            rejected.append(Rejected(name, str(error) or type(error).__name__))
            continue
        if found is None:
            empty.append(name)
        elif not found:
            rejected.append(Rejected(name, "no image in it has a celestial WCS"))
        images += found or []
    notes = []
    if aside:
        notes.append(f"{len(aside):,} files of weights, masks and the like were passed over ({some(aside)})")
    if empty:
        notes.append(f"{len(empty):,} files hold no image and were passed over ({some(empty)})")
    return images, rejected, notes


def images_in(path: str, name: str, grids: dict[Key, Grid | None]) -> list[SkyImage] | None:
    """Images of one file; None if it holds none, an empty list if none of them lies on the sky."""
    with open_fits(path) as stream:
        hdus = read_hdus(stream)
    images = [h for h in hdus if h.shape]
    if not images:
        return None
    sky = [h for h in images if not _not_sky(h.name)] or images
    alone = hdus[0] if len(sky) == 1 else None  # some writers leave the WCS in the primary header
    found = []
    for hdu in sky:
        source = hdu if "CRVAL1" in hdu.cards or alone is None else alone
        key = (
            hdu.shape[-2:],
            *((k, v.partition(" /")[0].strip()) for k, v in source.cards.items() if WCS_CARD.match(k)),
        )
        if key not in grids:
            grids[key] = grid(hdu, alone)
        where = grids[key]
        if where is not None:
            found.append(SkyImage(name, hdu, hdus[0], where))
    _require_whole(path, found)
    return found


def _require_whole(path: str, images: list[SkyImage]) -> None:
    """Refuse what cannot be read.

    Raises
    ------
    ValueError
    """
    zipped = path.lower().endswith(".gz")
    for image in images:
        if image.planes > MOST_PLANES:
            raise ValueError(f"it has {image.planes:,} planes: it is a cube of spectra, no image in a few bands")
        if zipped and (refusal := unfit_for_gzip(image.hdu)):
            raise ValueError(refusal)
        if not zipped and os.path.getsize(path) < image.hdu.start + image.hdu.size:
            raise ValueError("the file is cut short")


def _not_sky(name: str) -> bool:
    """Whether a file or HDU is a weight, mask or the like, by its name."""
    words = [word.rstrip("0123456789") for word in _words(name)]
    return bool(COMPANIONS.match(name)) or any(word.lower() in NOT_SKY for word in words)


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[^A-Za-z0-9]+", name) if word]


def _where(image: SkyImage) -> str:
    return f"{image.file}[{image.hdu.name or image.hdu.index}]"


def _once(tiles: list[Tile]) -> tuple[list[Tile], list[Tile]]:
    """Tiles of which each band has one on a grid, and the others."""
    kept: dict[Key, Tile] = {}
    twice = [tile for tile in tiles if kept.setdefault((tile.band, id(tile.grid)), tile) is not tile]
    return list(kept.values()), twice


def _no_sky(place: Place, names: list[str], rejected: list[Rejected]) -> UserError:
    said = f" (such as {rejected[0].file}: {rejected[0].reason})" if rejected else ""
    return UserError(
        f"none of the {len(names):,} FITS files in {place.root} can be cut at positions on the sky{said}",
        "boxes need images with a celestial WCS (CTYPE, CRVAL, CRPIX, CD): solve their astrometry first, "
        "or give cutouts, a file each",
    )


# -- bands ------------------------------------------------------------------------------------------------------------


def _of_images(images: list[SkyImage], asked: Sequence[str] | None) -> list[str | None]:
    """The band of each image, None where it cannot be told."""
    wanted = {} if asked is None else {band.lower(): band for band in asked}
    ways: list[Callable[[SkyImage], str | None]] = [
        lambda i: _named(reversed(_words(i.hdu.name)), wanted),
        lambda i: _of_card(i, wanted),
        lambda i: _named(reversed(_words(_stem(i))), wanted),
        lambda i: _named(_words(_stem(i)), wanted),
        lambda i: _named(reversed(_words(i.file.rpartition("/")[0])), wanted),
    ]
    told = [[way(image) for image in images] for way in ways]
    whole = [labels for labels in told if all(label is not None for label in labels)]
    apart = [labels for labels in whole if _apart(images, labels)]
    if apart or whole:
        return (apart or whole)[0]
    first = [next((label for label in each if label is not None), None) for each in zip(*told)]
    if any(label is not None for label in first):
        return first
    return list(_of_differences(images) or _one_band(images, asked))


def _apart(images: list[SkyImage], labels: Sequence[str | None]) -> bool:
    """Whether no two images of one band are on the same pixels."""
    return len({(id(image.grid), label) for image, label in zip(images, labels)}) == len(images)


def _named(words, wanted: dict[str, str]) -> str | None:
    """The first word that is a filter, or a band that is asked for."""
    words = list(words)
    short = [re.sub(r"(?<=.)_?band$", "", word, flags=re.I) for word in words]
    for word in short:
        if word.lower() in wanted:
            return wanted[word.lower()]
    return next((word for word in short if word.lower() in LETTERS or _HUBBLE.fullmatch(word)), None)


def _of_card(image: SkyImage, wanted: dict[str, str]) -> str | None:
    """The band as filter cards say it: a short name where there is one (``g DECam SDSS c0001 4720.0`` → ``g``)."""
    for hdu in (image.hdu, image.primary):
        for key in _FILTER_CARDS:
            text = hdu.get(key)
            if not isinstance(text, str) or not text.strip() or text.strip().upper().startswith(_NO_FILTER):
                continue
            text = text.strip()
            if text.lower() in wanted:
                return wanted[text.lower()]
            words = _words(text)
            return _named([*words[:1], *words[:0:-1]], wanted) or "_".join(words) or None
    return None


def _of_differences(images: list[SkyImage]) -> list[str] | None:
    """Bands by what differs in the names of images on the same pixels, if there are such; None if there are not."""
    groups: dict[int, list[SkyImage]] = {}
    for image in images:
        groups.setdefault(id(image.grid), []).append(image)
    names: dict[int, str] = {}
    for group in groups.values():
        paths = [f"{without_extension(i.file)}/{i.hdu.name or i.hdu.index}" for i in group]
        head = _shared(paths)
        tail = _shared([p[head:][::-1] for p in paths])
        for image, path in zip(group, paths):
            names[id(image)] = "_".join(_words(_whole_words(path, head, len(path) - tail))) or "band"
    sets = {tuple(sorted(names[id(i)] for i in group)) for group in groups.values()}
    told = len(sets) == 1 and len(next(iter(sets))) > 1
    return [names[id(image)] for image in images] if told else None


def _shared(texts: list[str]) -> int:
    """Length of what all texts begin with."""
    low, high = min(texts), max(texts)  # what these two share, all between them share
    return next((k for k, (a, b) in enumerate(zip(low, high)) if a != b), min(len(low), len(high)))


def _whole_words(path: str, start: int, stop: int) -> str:
    """A part of a path, widened to whole words."""
    while start > 0 and path[start - 1].isalnum():
        start -= 1
    while stop < len(path) and path[stop].isalnum():
        stop += 1
    return path[start:stop]


def _one_band(images: list[SkyImage], asked: Sequence[str] | None) -> list[str]:
    return [asked[0] if asked is not None and len(asked) == 1 else "band"] * len(images)


def _of_planes(images: list[SkyImage], planes: int, asked: Sequence[str] | None) -> list[str]:
    """Names of the planes of cubes, in the order of the planes."""
    named = _of_plane_cards(images[0], planes) or _of_letters(_stem(images[0]), planes)
    if asked is None:
        return named or [f"band{k + 1}" for k in range(planes)]
    if named and {b.lower() for b in asked} <= {b.lower() for b in named}:
        wanted = {band.lower(): band for band in asked}
        return [wanted.get(band.lower(), band) for band in named]
    return list(named_bands(asked, planes, ()))


def _of_plane_cards(image: SkyImage, planes: int) -> list[str] | None:
    for hdu in (image.hdu, image.primary):
        joined = hdu.get("BANDS")
        if isinstance(joined, str):
            parts = (
                re.split(r"[,;\s]+", joined.strip()) if re.search(r"[,;\s]", joined.strip()) else list(joined.strip())
            )
            if len(set(parts)) == planes == len(parts):
                return parts
        for key in _PLANE_CARDS:
            for first in (0, 1):
                names = [hdu.get(f"{key}{first + k}") for k in range(planes)]
                if all(isinstance(name, str) and name.strip() for name in names) and len(set(names)) == planes:
                    return [name.strip() for name in names]
    return None


def _of_letters(stem: str, planes: int) -> list[str] | None:
    """Bands of a name such as ``field_griz``."""
    for word in reversed(_words(stem)):
        if len(word) == planes == len(set(word)) and all(letter.lower() in LETTERS for letter in word):
            return list(word)
    return None


def _stem(image: SkyImage) -> str:
    return without_extension(image.file.rpartition("/")[2])


def _order(labels: list[str], asked: Sequence[str] | None, place: Place) -> list[str]:
    """Bands in order.

    Raises
    ------
    UserError
        If one that is asked for is not there.
    """
    there = list(dict.fromkeys(labels))
    if asked is None:
        known = [band for band in there if wavelength(band) is not None]
        return by_wavelength(known) + [band for band in there if band not in known]
    missing = [band for band in asked if band not in there]
    if missing:
        raise UserError(
            f"{place.root} has no image of the band {some(missing)}",
            f"choose among: {', '.join(there)}; the band is told by the HDU's name, its FILTER card, or the file's name",
        )
    return list(named_bands(asked, len(asked), ()))
