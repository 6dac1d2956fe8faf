"""Astrometry: the celestial WCS that a header states, between pixels and the sky, and of pieces of an image.

Positions are ICRS. FK5 of J2000 is taken for it, which it is to 0.02 arcsec: catalogues of such images give positions as they
were measured on them. Other frames (galactic, FK4, FK5 of another equinox) are transformed.

Source: the WCS papers (Calabretta & Greisen 2002, A&A 395, 1077); SIP: Shupe et al. 2005, ASPC 347, 491.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from engine.data.fits.hdus import Hdu
from engine.quiet import quietly

if TYPE_CHECKING:
    from astropy.wcs import WCS

#: Cards that a celestial WCS is made of. Whatever else is in a header cannot spoil it.
WCS_CARD = re.compile(
    r"^(WCSAXES|NAXIS|(CTYPE|CRVAL|CRPIX|CDELT|CUNIT|CROTA|NAXIS)\d|(CD|PC)\d_\d|P[VS]\d_\d+|LONPOLE|LATPOLE"
    r"|RADESYS|RADECSYS|EQUINOX|EPOCH|WAT\d_\d{3})$"
)
SIP_CARD = re.compile(r"^[AB]P?_(ORDER|DMAX|\d_\d)$")
NUMBER = re.compile(r"^(CRVAL|CRPIX|CDELT|CD|PC)\d")


def celestial(hdu: Hdu) -> WCS | None:
    """The celestial WCS of an image's two axes, in their order, either of which may be the right ascension.

    SIP coefficients count only where CTYPE says so (``-SIP``): drizzling takes the distortion out and leaves them behind.
    None if the header has no such WCS, or one that makes no sense.
    """
    if "CRVAL1" not in hdu.cards or "CTYPE1" not in hdu.cards:
        return None
    sip = str(hdu.get("CTYPE1", "")).strip().endswith("-SIP")
    cards = {key: text for key, text in hdu.cards.items() if WCS_CARD.match(key) or (sip and SIP_CARD.match(key))}
    if any(NUMBER.match(key) and isinstance(hdu.get(key, ""), str) for key in cards):
        return None  # the library would take it for zero
    text = "".join(f"{key:8}= {value:70}"[:80] for key, value in cards.items())
    try:
        return _two_axes(text)
    except Exception:  # the library raises many kinds on odd headers; a cutout without a position is still a cutout
        return None


def _two_axes(text: str) -> WCS | None:
    from astropy.io import fits
    from astropy.wcs import WCS

    with quietly():
        wcs = WCS(fits.Header.fromstring(text))
        wcs = wcs if wcs.naxis == 2 else wcs.sub([1, 2])
        wcs.wcs.set()
    return wcs if {wcs.wcs.lng, wcs.wcs.lat} == {0, 1} else None


def sky(wcs: WCS, x, y) -> tuple[np.ndarray, np.ndarray]:
    """RA (0-360) and Dec, deg, of 0-based pixels; NaN where the projection has no sky."""
    with np.errstate(all="ignore"), quietly():
        axes = wcs.all_pix2world(np.asarray(x, np.float64), np.asarray(y, np.float64), 0)
    lon, lat = (np.asarray(axes[k], np.float64) for k in (wcs.wcs.lng, wcs.wcs.lat))
    frame = _frame(wcs)
    if frame is None:
        return lon % 360, lat
    from astropy.coordinates import SkyCoord

    good = np.isfinite(lon) & np.isfinite(lat)
    there = SkyCoord(np.where(good, lon, 0), np.where(good, lat, 0), unit="deg", frame=frame).icrs
    return np.where(good, there.ra.deg, np.nan), np.where(good, there.dec.deg, np.nan)


def pixels(wcs: WCS, ra: np.ndarray, dec: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """0-based pixels of positions (deg); far from the image they may be nonsense, on the far side of the sky too."""
    lon, lat = ra, dec
    frame = _frame(wcs)
    if frame is not None:
        from astropy.coordinates import SkyCoord

        there = SkyCoord(ra, dec, unit="deg").transform_to(frame)
        lon, lat = there.spherical.lon.deg, there.spherical.lat.deg
    world = (lon, lat) if wcs.wcs.lng < wcs.wcs.lat else (lat, lon)
    with np.errstate(all="ignore"), quietly():
        x, y = wcs.all_world2pix(*world, 0, quiet=True)
    return x, y


def _frame(wcs: WCS):
    """The frame of a WCS that is not ICRS to 0.02 arcsec; None if it is."""
    from astropy.wcs.utils import wcs_to_celestial_frame

    frame = wcs_to_celestial_frame(wcs)
    j2000 = frame.name == "fk5" and abs(frame.equinox.jyear - 2000) < 1e-3
    return None if frame.name == "icrs" or j2000 else frame


def cut_out(wcs: WCS, x: int, y: int, width: int, height: int) -> WCS:
    """The same WCS for a box whose first pixel is (x, y), which may lie outside of the image."""
    from astropy.wcs import Sip

    wcs = wcs.deepcopy()
    wcs.wcs.crpix = wcs.wcs.crpix - [x, y]
    if wcs.sip is not None:
        sip = wcs.sip
        wcs.sip = Sip(sip.a, sip.b, sip.ap, sip.bp, sip.crpix - [x, y])
    wcs.pixel_shape = (width, height)
    return wcs


def rescaled(wcs: WCS, factor: float, size: int) -> WCS:
    """The same WCS for an image resampled to `size` pixels a side, each `factor` old ones wide; its edges stay."""
    from astropy.wcs import Sip

    def bend(terms: np.ndarray | None) -> np.ndarray | None:
        if terms is None:
            return None
        p, q = np.indices(terms.shape)  # Σ A (f u)^p (f v)^q = f Σ A' u^p v^q
        return terms * factor ** (p + q - 1.0)

    wcs = wcs.deepcopy()
    wcs.wcs.crpix = (wcs.wcs.crpix - 0.5) / factor + 0.5
    if wcs.wcs.has_cd():
        wcs.wcs.cd = wcs.wcs.cd * factor
    else:  # the matrix, not CDELT: TPV's terms come between the two in wcslib
        wcs.wcs.pc = wcs.wcs.pc * factor
    if wcs.sip is not None:
        sip = wcs.sip
        wcs.sip = Sip(bend(sip.a), bend(sip.b), bend(sip.ap), bend(sip.bp), (sip.crpix - 0.5) / factor + 0.5)
    wcs.pixel_shape = (size, size)
    return wcs
