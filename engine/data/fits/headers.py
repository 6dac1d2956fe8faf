"""What the headers of a FITS file say: its images and which of them is the object's, bands, position, companions.

A header's celestial WCS gives the position of a cutout's middle. RA and DEC cards are a second choice: they are often
where the telescope pointed.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from engine.data.arrays.named import split_names
from engine.data.cutouts import LONGEST
from engine.data.fits.bands import is_companion, split_bands
from engine.data.fits.hdus import BLOCK, TYPES, Hdu, open_fits, read_hdus, read_pixels
from engine.data.sky.astrometry import celestial, sky
from engine.data.sky.tangent import deproject

#: A file with more images than this is a list of objects; with fewer, an image and what belongs to it (model, weight).
LIST_OF_OBJECTS = 10
#: Values of a cutout, at most: a small file can claim to be one that fills the memory.
MOST_CUTOUT = 1 << 26
#: Planes of a cube that are taken for bands, at most.
MOST_PLANES = 64
#: Names of extensions that show what a fit made of an object, and what follows them (a band).
_DERIVED = re.compile(r"^(model|residuals?|resid|subtracted)(?: ?map| ?image)?((?:[_\- ]\w{1,12}|\d{0,2})\s*)$", re.I)
#: Cards that make a WCS more than a tangent plane with a linear map.
_MORE_CARD = re.compile(r"^(A|B|AP|BP)_ORDER$|^PV\d_\d+$|^CROTA\d$|^(CPDIS|CQDIS|DP|DQ|D2IM)\w*$|^CTYPE[3-9]$")
_RA_CARDS, _DEC_CARDS = ("RA_OBJ", "RA_TARG", "OBJRA", "RA"), ("DEC_OBJ", "DEC_TARG", "OBJDEC", "DEC")
_FILTER_CARDS = ("FILTER", "BAND", "FILTNAM", "FILTER1", "FILTER2")
#: What they say where they say nothing.
_NO_FILTER = ("CLEAR", "NONE", "N/A", "MULTI", "UNKNOWN")


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
    by_band : dict
        Object → {band: image}, where images of the file are bands; the object is ``""`` if there is one.
    planes : tuple of str or None
        Bands of a cube's planes, if the header tells them.
    left : int
        Bytes at the end of the file that are no HDU.
    """

    images: list[Hdu]
    ra: float
    dec: float
    filter: str | None
    by_band: dict[str, dict[str, Hdu]] = field(default_factory=dict)
    planes: tuple[str, ...] | None = None
    left: int = 0


def examine(path: str) -> Examined:
    """Read a file's headers, choose its image, and find its position.

    The chosen image is the extension called SCI, else the first that is not constant: CANDELS' primary is all zero.

    Raises
    ------
    ValueError, OSError
        If it is no FITS file, holds no image, or its image is cut short or too large. Images after the first of a list of
        objects may still be.
    """
    with open_fits(path) as stream:
        hdus = read_hdus(stream)
        images = [h for h in hdus if h.shape and (len(h.shape) == 2 or h.shape[0] <= MOST_PLANES)]
        if len(images) <= LIST_OF_OBJECTS:
            images = _readable(images)
        by_band = images_by_band(images, hdus[0])
        if by_band:
            images = [hdu for bands in by_band.values() for hdu in bands.values()]
        elif len(images) <= LIST_OF_OBJECTS:
            chosen = _choose(stream, images, path)
            images = [chosen, *(h for h in images if h is not chosen)]
        chosen, left = images[0], 0
        if isinstance(stream, io.BufferedReader):  # what is packed has another length
            length = os.path.getsize(path)
            needed = images if len(by_band) == 1 else [chosen]
            if length < max(h.start + h.size for h in needed):
                raise ValueError("the file is cut short")
            left = max(0, length - hdus[-1].start - -(-hdus[-1].size // BLOCK) * BLOCK)
    ra, dec = position(chosen, hdus[0])
    return Examined(images, ra, dec, next(filters(chosen, hdus[0]), None), by_band, _plane_names(chosen, hdus[0]), left)


def _readable(images: list[Hdu]) -> list[Hdu]:
    """Those that can be read as cutouts.

    Raises
    ------
    ValueError
        If there is none.
    """
    good = [h for h in images if (h.compressed or h.get("BITPIX") in TYPES) and not too_large(h.shape)]
    if good:
        return good
    if not images:
        raise ValueError("it holds no image")
    if too_large(images[0].shape):
        words = "×".join(map(str, images[0].shape))
        raise ValueError(
            f"an image of {words} is too large for a cutout: cut boxes from it with --catalogue and --size"
        )
    raise ValueError(f"it has BITPIX {images[0].get('BITPIX')}")


def too_large(shape: Sequence[int]) -> bool:
    """Whether an image of a shape is no cutout."""
    return bool(np.prod(shape, dtype=np.float64) > MOST_CUTOUT or max(shape, default=0) > LONGEST)


def images_by_band(images: list[Hdu], primary: Hdu) -> dict[str, dict[str, Hdu]]:
    """Images of a file that are bands of one object or of several, told by EXTNAME, else by FILTER cards of their own.

    Returns
    -------
    dict
        Object → {band: image}; empty if they are not bands.
    """
    flat = [h for h in images if len(h.shape) == 2 and not is_companion(h.name)]
    if len(flat) < 2:
        return {}
    told: Sequence[tuple[str, str] | None] | None = (
        split_bands([h.name for h in flat]) if all(h.name for h in flat) else None
    )
    if told is None:
        said = [next(filters(h), None) for h in flat]
        distinct = len({name for name in said if name}) == len(said) > 1
        told = [("", name) for name in said if name] if distinct else None
    found: dict[str, dict[str, Hdu]] = {}
    for hdu, pair in zip(flat, told or ()):
        if pair is not None:
            found.setdefault(pair[0], {})[pair[1]] = hdu
    return found


def _plane_names(hdu: Hdu, primary: Hdu) -> tuple[str, ...] | None:
    """Names of a cube's planes: ``BANDS = 'grz'``, or a numbered card a plane (``BAND0`` …, ``FILTER1`` …)."""
    if len(hdu.shape) != 3:
        return None
    for source in (hdu, primary):
        for key in ("BANDS", "FILTERS", "BAND", "FILTER"):
            told = split_names(source.get(key))
            if told is not None and len(told) == hdu.shape[0] == len(set(told)):
                return tuple(told)
        for key, first in (("BAND", 0), ("BAND", 1), ("FILTER", 0), ("FILTER", 1), ("FILT", 1), ("PLANE", 1)):
            numbered = [source.get(f"{key}{first + k}") for k in range(hdu.shape[0])]
            if all(isinstance(n, str) and n.strip() for n in numbered) and len(set(numbered)) == len(numbered):
                return tuple(str(n).strip() for n in numbered)
    return None


def _choose(stream, images: list[Hdu], path: str) -> Hdu:
    named = [h for h in images if h.name.upper() == "SCI"]
    if named or len(images) == 1:
        return (named or images)[0]
    likely = [h for h in images if not is_companion(h.name)] or images
    for hdu in likely:
        try:
            pixels = read_pixels(stream, hdu, path)
        except Exception:  # astropy raises many kinds on damaged tiles; another image may be whole
            continue
        known = pixels[np.isfinite(pixels)]
        if known.size and known.min() < known.max():
            return hdu
    return likely[0]


def filters(*hdus: Hdu) -> Iterator[str]:
    """What the filter cards of some headers say, in order, where they say something."""
    for hdu in hdus:
        for key in _FILTER_CARDS:
            name = hdu.get(key)
            if isinstance(name, str) and name.strip() and not name.strip().upper().startswith(_NO_FILTER):
                yield name.strip()


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


def plain_tangent(hdu: Hdu, x: float, y: float) -> tuple[float, float] | None:
    """Position of a 0-based pixel of a plain tangent plane, ten times faster than by a WCS object.

    Returns
    -------
    ra, dec : float, deg
        ICRS; None where the header says more than a reference point and a linear map: distortions, another projection,
        frame, equinox, unit or pole.
    """
    get = hdu.get
    plain = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "deg", "CUNIT2": "deg", "LONPOLE": 180.0}
    if any(get(key, usual) != usual for key, usual in plain.items()) or "CTYPE1" not in hdu.cards:
        return None
    if get("RADESYS", get("RADECSYS", "ICRS")) not in ("ICRS", "FK5") or get("EQUINOX", get("EPOCH", 2000.0)) != 2000.0:
        return None
    if any(_MORE_CARD.match(key) for key in hdu.cards) or get("WCSAXES", 2) != 2:
        return None
    values = [get(key) for key in ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2")]
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values) or not abs(values[1]) < 90:
        return None
    ra, dec, *reference = values
    linear = _linear(hdu)
    if linear is None:
        return None
    east, north = linear @ (np.array([x + 1.0, y + 1.0]) - reference) * 3600
    lon, lat = deproject(east, north, ra, dec)
    return float(lon), float(lat)


def _linear(hdu: Hdu) -> np.ndarray | None:
    """From pixels to degrees on the tangent plane, (2, 2): CD, or PC times CDELT; None if it is not plain."""
    cd, pc = (any(re.match(rf"{name}\d_\d$", key) for key in hdu.cards) for name in ("CD", "PC"))
    if cd and pc:
        return None
    name, other = ("CD", 0.0) if cd else ("PC", 1.0)
    matrix = np.array([[hdu.get(f"{name}{i}_{j}", other * (i == j)) for j in (1, 2)] for i in (1, 2)], object)
    steps = np.array([1.0, 1.0] if cd else [hdu.get("CDELT1", 1.0), hdu.get("CDELT2", 1.0)], object)
    try:
        found = matrix.astype(np.float64) * steps.astype(np.float64)[:, None]
    except (TypeError, ValueError):
        return None
    good = np.isfinite(found).all() and np.linalg.det(found) != 0
    return found if good else None


def _wcs_middle(hdu: Hdu) -> tuple[float, float] | None:
    if "CRVAL1" in hdu.cards and hdu.shape:
        found = plain_tangent(hdu, (hdu.shape[-1] - 1) / 2, (hdu.shape[-2] - 1) / 2)
        if found is not None:
            return found
    wcs = celestial(hdu)
    if wcs is None:
        return None
    height, width = hdu.shape[-2:]
    try:
        lon, lat = sky(wcs, (width - 1) / 2, (height - 1) / 2)
    except Exception:  # as in `celestial`
        return None
    return (float(lon), float(lat)) if np.isfinite(lon) and np.isfinite(lat) else None


def _degrees(ra, dec) -> tuple[float, float] | None:
    from engine.data.catalogue import sexagesimal

    ra = sexagesimal(ra, hours=True) if isinstance(ra, str) else ra
    dec = sexagesimal(dec, hours=False) if isinstance(dec, str) else dec
    plain = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (ra, dec))
    return (float(ra) % 360, float(dec)) if plain and abs(dec) <= 90 and -180 <= ra <= 360 else None


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


def reason_of(error: Exception) -> str:
    return "the file is gone" if isinstance(error, FileNotFoundError) else str(error) or type(error).__name__
