"""A look at FITS: a file of many images, a folder of files, or files and images that are bands of one object.

Cost: the headers of every file; pixels only where several images of a file may be the object.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from engine.data.arrays.file_sets import in_order
from engine.data.filters import by_wavelength, wavelength
from engine.data.fits.bands import band_file_ids, band_files, band_folders, natural
from engine.data.fits.hdus import Hdu
from engine.data.fits.headers import LIST_OF_OBJECTS, Examined, examine, position, reason_of
from engine.data.references import (
    NOTHING,
    Asked,
    Found,
    Place,
    Rejected,
    Root,
    extent,
    named_bands,
    names_to_ids,
    require_some,
    some,
    without_extension,
)
from engine.errors import UserError
from engine.jobs import Progress, silent


def look(place: Place, asked: Asked = NOTHING, progress: Progress = silent) -> Found:
    """Find out what a folder of FITS files, or one file, holds.

    Raises
    ------
    UserError
        If none can be read, or bands do not fit.
    """
    if place.root.is_file():
        return _look_at_one(place.root, asked.bands)
    folders = band_folders(place.names)
    if folders and all(wavelength(folder) is not None for folder in folders):
        return _look_at_bands(place.root, folders, asked.bands, progress)
    files, passed = band_files(place.names)
    if files:
        found = _look_at_bands(
            place.root, {b: list(of.values()) for b, of in files.items()}, asked.bands, progress, files
        )
        words = f"{len(passed):,} files beside those of the bands were passed over (such as {some(passed)})"
        return dataclasses.replace(found, notes=(*found.notes, *([words] if passed else [])))
    if folders:  # of unknown names, but most objects are in every one
        return _look_at_bands(place.root, folders, asked.bands, progress)
    return _look_at_files(place, asked.bands, progress)


@dataclass(frozen=True)
class _Objects:
    """Objects of files as they are found: one item of each list an object.

    Attributes
    ----------
    bands : list of {band: image}
        Empty if images are no bands.
    """

    ids: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    images: list[Hdu] = field(default_factory=list)
    where: list[tuple[float, float]] = field(default_factory=list)
    bands: list[dict[str, Hdu]] = field(default_factory=list)

    def add(self, stem: str, name: str, examined: Examined) -> None:
        """Add the objects of one file."""
        if examined.by_band:
            for key, bands in examined.by_band.items():
                first = bands[by_wavelength(list(bands))[0]]
                alone = len(examined.by_band) == 1
                where = (examined.ra, examined.dec) if alone else position(first, first)
                self._one(stem if alone else f"{stem}[{key}]", name, first, where, bands)
            return
        many = len(examined.images) > LIST_OF_OBJECTS
        repeated = len({h.name or h.index for h in examined.images}) < len(examined.images)
        for hdu in examined.images if many else examined.images[:1]:
            where = position(hdu, hdu) if many else (examined.ra, examined.dec)
            of_file = hdu.index if repeated else hdu.name or hdu.index
            self._one(f"{stem}[{of_file}]" if many else stem, name, hdu, where, {})

    def _one(self, key: str, name: str, hdu: Hdu, where: tuple[float, float], bands: dict[str, Hdu]) -> None:
        self.ids.append(key)
        self.files.append(name)
        self.images.append(hdu)
        self.where.append(where)
        self.bands.append(bands)

    def without(self, good: Sequence[bool]) -> _Objects:
        """Those that are good."""
        rows = [k for k, ok in enumerate(good) if ok]
        return _Objects(
            [self.ids[k] for k in rows],
            [self.files[k] for k in rows],
            [self.images[k] for k in rows],
            [self.where[k] for k in rows],
            [self.bands[k] for k in rows],
        )


def _look_at_one(path: Path, bands: Sequence[str] | None) -> Found:
    """One file: each HDU an object, or a single cutout, or images that are bands."""
    try:
        examined = examine(str(path))
    except Exception as error:  # unpacking and astropy raise many kinds on what is damaged
        raise UserError(
            f"{path} cannot be read as FITS ({reason_of(error)})", "check that the file is whole"
        ) from error
    objects = _Objects()
    objects.add(without_extension(path.name), path.name, examined)
    rejected: list[Rejected] = []
    found = _of_objects(path, objects, {path.name: examined}, bands, rejected)
    del found.references["pixels_file"]
    if len(found.ids) > 1:  # the file's own name says nothing
        names = [i.rpartition("[")[2].rstrip("]") for i in found.ids]
        numbers = [str(k) for k in found.references["pixels_index"]]
        unique = len(set(names)) == len(names)
        found = dataclasses.replace(found, ids=names if unique else numbers)
    return found


def _look_at_files(place: Place, bands: Sequence[str] | None, progress: Progress) -> Found:
    """A folder of files: each an object, or a list of them."""
    good, rejected = _examine_all(place.root, place.names, progress)
    require_some(list(good), rejected, place.root, "FITS images")
    objects = _Objects()
    for (name, examined), stem in zip(good.items(), names_to_ids(list(good))):
        objects.add(stem, name, examined)
    return dataclasses.replace(_of_objects(place.root, objects, good, bands, rejected), files=len(place.names))


def _of_objects(
    root: Path, objects: _Objects, good: dict[str, Examined], bands: Sequence[str] | None, rejected: list[Rejected]
) -> Found:
    """Objects that are alike, and what they have in common; the others are rejected."""
    banded = 2 * sum(map(bool, objects.bands)) > len(objects.ids)
    planes = 1 if banded else Counter(_planes(h) for h in objects.images).most_common(1)[0][0]
    alike = [(bool(b) == banded) and _planes(h) == planes for b, h in zip(objects.bands, objects.images)]
    most = "have an image a band" if banded else f"have {planes} planes"
    for name, hdu, ok in zip(objects.files, objects.images, alike):
        if not ok:
            file = f"HDU {hdu.index}" if root.is_file() else name
            rejected.append(Rejected(file, f"HDU {hdu.index} has {_planes(hdu)} planes, most {most}"))
    objects = objects.without(alike)
    sky = np.array(objects.where).reshape(-1, 2)
    references: dict[str, list | np.ndarray] = {"pixels_file": objects.files}
    references["pixels_index"] = [h.index for h in objects.images]
    notes = [
        f"{name} ends with {e.left:,} bytes that are no HDU: it may be cut short or damaged"
        for name, e in good.items()
        if e.left and len(e.images) > LIST_OF_OBJECTS
    ]
    if banded:
        names, pixels, indices = _image_bands(objects.bands, bands, notes)
        references |= indices
    else:
        names, pixels = _band_names(bands, planes, [good[name] for name in dict.fromkeys(objects.files)])
    return Found(
        "fits",
        root,
        objects.ids,
        references,
        names,
        True,
        _sizes(objects.images),
        sky[:, 0],
        sky[:, 1],
        pixels=pixels,
        rejected=tuple(rejected),
        notes=tuple(notes),
    )


def _image_bands(
    of_objects: list[dict[str, Hdu]], asked: Sequence[str] | None, notes: list[str]
) -> tuple[tuple[str, ...], dict, dict[str, np.ndarray]]:
    """Bands of objects whose images are bands, and the HDU of each, -1 for none."""
    there = Counter(band for bands in of_objects for band in bands)
    order = by_wavelength(list(there)) if asked is None else list(asked)
    unknown = [band for band in order if band not in there]
    if unknown:
        raise UserError(f"no image is called {some(unknown)}", f"choose among: {', '.join(there)}")
    indices = {
        f"pixels_index_{band}": np.array([b[band].index if band in b else -1 for b in of_objects]) for band in order
    }
    partial = sum(any(band not in bands for band in order) for bands in of_objects)
    if partial:
        notes.append(f"{partial:,} objects lack the image of a band; it reads as missing")
    return tuple(order), {"layout": "band-images"}, indices


def _look_at_bands(
    root: Path,
    folders: dict[str, list[str]],
    bands: Sequence[str] | None,
    progress: Progress,
    files: dict[str, dict[str, str]] | None = None,
) -> Found:
    """A file a band: those of one object are found by what is left of their names without the band.

    `files`, band → {id: file}, tells where that has been found already.
    """
    order = by_wavelength(list(folders)) if bands is None else list(bands)
    unknown = [b for b in order if b not in folders]
    if unknown:
        raise UserError(f"{root} has no files of the band {some(unknown)}", f"choose among: {', '.join(folders)}")
    good, rejected = _examine_all(root, [n for band in order for n in folders[band]], progress)
    require_some(list(good), rejected, root, "FITS images")
    if files is None:
        keys = band_file_ids({band: [n for n in folders[band] if n in good] for band in order})
    else:
        keys = {band: {key: n for key, n in files[band].items() if n in good} for band in order}
    objects = sorted({key for band in keys.values() for key in band}, key=natural)
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
        except (
            Exception
        ) as error:  # unpacking and astropy raise many kinds on what is damaged; one file never stops a run
            rejected.append(Rejected(name, reason_of(error)))
        progress(done, len(names), "checking FITS files")
    return good, rejected


def _planes(hdu: Hdu) -> int:
    return hdu.shape[0] if len(hdu.shape) == 3 else 1


def _sizes(images: list[Hdu]) -> tuple[tuple[int, int], tuple[int, int]]:
    return extent((h.shape[-2], h.shape[-1]) for h in images)


def _band_names(asked: Sequence[str] | None, planes: int, examined: Sequence[Examined]) -> tuple[tuple[str, ...], dict]:
    """Bands of one plane or of a cube, and the header's ``planes`` if those are in another order."""
    if planes > 1:
        told = next((e.planes for e in examined if e.planes is not None and len(e.planes) == planes), None)
        return in_order(named_bands(asked, planes, told or (f"band{k + 1}" for k in range(planes))), True)
    same = {e.filter for e in examined} - {None}
    one = next(iter(same)) if len(same) == 1 else None
    return named_bands(asked, planes, (one or "band",)), {}
