"""Which band an image of a mosaic shows, by what people call HDUs, filters, files and folders.

The band is told, in this order, by the name of the HDU, its filter card, the name of its file, or its folder: by the first
of them that names every image and leaves no two of one band on the same pixels (cards are copied, and names repeat).
Bands of a cube are its planes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.data.filters import LETTERS, by_wavelength, wavelength
from engine.data.fits.headers import filters
from engine.data.references import named_bands, some, without_extension
from engine.errors import UserError

if TYPE_CHECKING:
    from engine.data.mosaics.tiling import SkyImage

_HUBBLE = re.compile(r"f\d{3,4}(w2|lp|w|m|n|x|r)", re.I)
#: Cards that name the planes of a cube; their numbers begin with 0 or 1.
_PLANE_CARDS = ("BAND", "FILTER", "FILT", "CHAN", "PLANE")


def words(name: str) -> list[str]:
    """Words of a name: runs of letters and digits."""
    return [word for word in re.split(r"[^A-Za-z0-9]+", name) if word]


def of_images(images: list[SkyImage], asked: Sequence[str] | None) -> list[str | None]:
    """The band of each image, None where it cannot be told."""
    wanted = {} if asked is None else {band.lower(): band for band in asked}
    ways: list[Callable[[SkyImage], str | None]] = [
        lambda i: _named(reversed(words(i.hdu.name)), wanted),
        lambda i: _of_card(i, wanted),
        lambda i: _named(reversed(words(_stem(i))), wanted),
        lambda i: _named(words(_stem(i)), wanted),
        lambda i: _named(reversed(words(i.file.rpartition("/")[0])), wanted),
    ]
    told = [[way(image) for image in images] for way in ways]

    def worth(labels: list[str | None]) -> tuple[bool, bool, bool]:
        return set(wanted.values()) <= set(labels), None not in labels, _apart(images, labels)

    best = max(told, key=worth)  # the first of equals
    filled = [next((label for label in each if label is not None), None) for each in zip(best, *told)]
    if any(label is not None for label in filled):
        return filled
    return list(_of_differences(images) or _one_band(images, asked))


def _apart(images: list[SkyImage], labels: Sequence[str | None]) -> bool:
    """Whether no two images of one band are on the same pixels."""
    return len({(id(image.grid), label) for image, label in zip(images, labels)}) == len(images)


def _named(names: Iterable[str], wanted: dict[str, str]) -> str | None:
    """The first word that is a filter, or a band that is asked for."""
    short = [re.sub(r"(?<=.)_?band$", "", word, flags=re.I) for word in names]
    for word in short:
        if word.lower() in wanted:
            return wanted[word.lower()]
    return next((word for word in short if word.lower() in LETTERS or _HUBBLE.fullmatch(word)), None)


def _of_card(image: SkyImage, wanted: dict[str, str]) -> str | None:
    """The band as filter cards say it: a short name where there is one (``g DECam SDSS c0001 4720.0`` → ``g``)."""
    for text in filters(image.hdu, image.primary):
        if text.lower() in wanted:
            return wanted[text.lower()]
        parts = words(text)
        return _named([*parts[:1], *parts[:0:-1]], wanted) or "_".join(parts) or None
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
            names[id(image)] = "_".join(words(_whole_words(path, head, len(path) - tail))) or "band"
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


def of_planes(images: list[SkyImage], planes: int, asked: Sequence[str] | None) -> list[str]:
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
    for word in reversed(words(stem)):
        if len(word) == planes == len(set(word)) and all(letter.lower() in LETTERS for letter in word):
            return list(word)
    return None


def _stem(image: SkyImage) -> str:
    return without_extension(image.file.rpartition("/")[2])


def in_order(labels: list[str], asked: Sequence[str] | None, root: Path) -> list[str]:
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
            f"{root} has no image of the band {some(missing)}",
            f"choose among: {', '.join(there)}; the band is told by the HDU's name, its FILTER card, or the file's name",
        )
    return list(named_bands(asked, len(asked), ()))
