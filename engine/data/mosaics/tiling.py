"""The images that make a mosaic: which HDUs of which files show the sky, and in which band.

What shows no sky is set aside by its name (weights, masks, errors); bands are told by `engine.data.mosaics.bands`.

Cost: one pass over the headers. No pixel is read.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from engine.data.fits.bands import COMPANIONS
from engine.data.fits.hdus import Hdu, open_fits, packed, read_hdus
from engine.data.fits.headers import MOST_PLANES
from engine.data.mosaics.bands import in_order, of_images, of_planes, words
from engine.data.mosaics.boxes import too_packed
from engine.data.mosaics.grids import Grid, grid
from engine.data.references import Place, Rejected, Root, some, without_extension
from engine.data.sky.astrometry import SIP_CARD, WCS_CARD
from engine.errors import UserError
from engine.jobs import Progress, silent

#: Words in names of files and HDUs that show no sky, or not as it was observed.
NOT_SKY = set(
    "err error errors rms sigma unc uncert std wht wt weight weights wgt wei ivar invvar var variance varmap mask masks msk "
    "maskbits flag flags flg dq bpm expmap exptime nexp nimage cov coverage depth galdepth psfdepth psfsize model blobmodel "
    "chi2 num bgmod resid residual residuals seg segm segmap segmentation bkg ctx con".split()
)

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
        found, labels = images, of_planes(images, planes, bands)
        named = [(image, plane, labels[plane]) for image in found for plane in range(planes)]
    else:
        named = [(image, 0, label) for image, label in zip(images, of_images(images, bands)) if label is not None]
        known = {id(image) for image, _, _ in named}
        rejected += [Rejected(_where(i), "which band it shows is not known") for i in images if id(i) not in known]
    if bands is not None and len(bands) == 1 and len({label for _, _, label in named}) == 1:
        named = [(image, plane, bands[0]) for image, plane, _ in named]  # the only band is called as one likes
    order = in_order([label for _, _, label in named], bands, place.root)
    tiles, twice = _once([Tile(i.file, i.hdu.index, plane, label, i.grid) for i, plane, label in named])
    if twice:
        notes.append(
            f"{len(twice):,} images lie exactly on another one of the same band and were passed over "
            f"({some(f'{tile.file}, HDU {tile.index}' for tile in twice)})"
        )
    tiles = [tile for band in order for tile in tiles if tile.band == band]
    zipped = sorted({tile.file for tile in tiles if packed(tile.file)})
    if zipped:
        notes.append(
            f"{len(zipped):,} files are packed (.gz, .bz2), and have to be unpacked whole into memory: "
            f"unpack them first (gunzip, bunzip2) to read them faster ({some(zipped)})"
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
            *(
                (k, v.partition(" /")[0].strip())
                for k, v in source.cards.items()
                if WCS_CARD.match(k) or SIP_CARD.match(k)
            ),
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
    zipped = packed(path)
    for image in images:
        if image.planes > MOST_PLANES:
            raise ValueError(f"it has {image.planes:,} planes: it is a cube of spectra, no image in a few bands")
        if zipped and (refusal := too_packed(image.hdu)):
            raise ValueError(refusal)
        if not zipped and os.path.getsize(path) < image.hdu.start + image.hdu.size:
            raise ValueError("the file is cut short")


def _not_sky(name: str) -> bool:
    """Whether a file or HDU is a weight, mask or the like, by its name."""
    stems = {word.rstrip("0123456789").lower() for word in words(name)}
    return bool(COMPANIONS.match(name) or stems & NOT_SKY)


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
