"""The sky across one cutout: its pixels on the plane that touches the sky at its middle.

A WCS of any projection, with distortions, is evaluated exactly on a small grid of the cutout's pixels; a polynomial of
third degree through these points on the tangent plane then says where any pixel lies, in two dozen multiplications.
It is sent to the page with the pixels, so that the sky position under the pointer costs no question to the server. Across a
cutout (arcminutes) the polynomial is good to a thousandth of a pixel; `Tangent.error` says how good, and where it is
worse than `WORST` there is no `Tangent`. A millisecond a cutout.

Gnomonic projection: Calabretta & Greisen 2002, A&A 395, 1077, sec. 5.1.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine.data.sky.astrometry import sky

if TYPE_CHECKING:
    from astropy.wcs import WCS

#: Exponents of x and y in the order of the coefficients.
TERMS = ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2), (3, 0), (2, 1), (1, 2), (0, 3))
#: Points a side of the grid on which the WCS is evaluated; the polynomial is tested halfway between them.
GRID = 9
#: Pixels: a larger error means that this is no small piece of sky.
WORST = 0.01
#: Steps that turn a position into a pixel, and how far out it may lie: sides of the cutout.
NEWTON, NEAR = 4, 4.0
ARCSEC = 3600.0


@dataclass(frozen=True)
class Tangent:
    """Where the pixels of a cutout lie on the sky.

    Attributes
    ----------
    ra, dec : float, deg
        Of the middle, ICRS; the plane touches the sky here.
    middle : (float, float)
        x and y of the middle, 0-based pixels.
    half : float
        Pixels that the polynomial's variables are divided by.
    east, north : tuple of 10 float, arcsec
        Coefficients of `TERMS` in u = (x − middle) / half, v = (y − middle) / half; plane coordinates, east and north.
    scale : float, arcsec
        Side of a square as large as the middle pixel.
    error : float, pixels
        Largest distance from the WCS.
    """

    ra: float
    dec: float
    middle: tuple[float, float]
    half: float
    east: tuple[float, ...]
    north: tuple[float, ...]
    scale: float
    error: float

    def plane(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates on the plane, arcsec to the east and to the north of the middle, of 0-based pixels."""
        terms = _terms(x, y, self.middle, self.half)
        return terms @ np.array(self.east), terms @ np.array(self.north)

    def sky(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """RA and Dec (deg) of 0-based pixels."""
        return deproject(*self.plane(x, y), self.ra, self.dec)

    def pixel(self, ra: float, dec: float) -> tuple[float, float]:
        """The 0-based pixel of a position (deg); NaN where it is not near."""
        aim = np.array(project(ra, dec, self.ra, self.dec))
        coefficients = np.array([self.east, self.north])
        linear = coefficients[:, 1:3]
        at = np.linalg.solve(linear, aim - coefficients[:, 0])
        for _ in range(NEWTON):  # the plane is nearly linear: each step gains several digits
            x, y = (self.middle[k] + self.half * at[k] for k in (0, 1))
            at = at + np.linalg.solve(linear, aim - np.array(self.plane(x, y)))
        if not np.hypot(*at) <= NEAR:  # also where it is NaN
            return np.nan, np.nan
        return float(self.middle[0] + self.half * at[0]), float(self.middle[1] + self.half * at[1])

    def header(self) -> dict:
        """The same for JSON."""
        return {**vars(self), "middle": list(self.middle), "east": list(self.east), "north": list(self.north)}


def tangent(wcs: WCS, width: int, height: int) -> Tangent | None:
    """Describe the sky across a cutout.

    Parameters
    ----------
    wcs : astropy.wcs.WCS
        Of its pixels; celestial, of any projection and frame.
    width, height : int
        Of the cutout, pixels.

    Returns
    -------
    Tangent or None
        None where the WCS says nothing of these pixels, or not as smoothly as a cutout's sky must be.
    """
    middle = ((width - 1) / 2, (height - 1) / 2)
    half = max(width, height) / 2
    ra, dec = (float(v) for v in sky(wcs, *middle))
    if not (np.isfinite(ra) and np.isfinite(dec)):
        return None
    x, y = _grid(width, height, GRID)
    plane = np.stack(project(*sky(wcs, x, y), ra, dec), axis=-1)
    if not np.isfinite(plane).all():
        return None
    fit, *_ = np.linalg.lstsq(_terms(x, y, middle, half), plane, rcond=None)
    scale = float(np.sqrt(abs(np.linalg.det(fit[1:3])))) / half
    if not scale > 0:
        return None
    x, y = _grid(width, height, GRID - 1, inset=0.5 / (GRID - 1))
    between = np.stack(project(*sky(wcs, x, y), ra, dec), axis=-1)
    error = float(np.hypot(*(between - _terms(x, y, middle, half) @ fit).T).max()) / scale
    if not error <= WORST:
        return None
    east, north = (tuple(float(c) for c in column) for column in fit.T)
    return Tangent(ra, dec, middle, half, east, north, scale, error)


def project(ra, dec, ra0: float, dec0: float) -> tuple[np.ndarray, np.ndarray]:
    """Gnomonic projection: arcsec to the east and to the north of (ra0, dec0); NaN on the far side of the sky."""
    turn, lat, lat0 = np.deg2rad(np.asarray(ra) - ra0), np.deg2rad(dec), np.deg2rad(dec0)
    depth = np.sin(lat0) * np.sin(lat) + np.cos(lat0) * np.cos(lat) * np.cos(turn)
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = np.where(depth > 0, depth, np.nan)
        east = np.cos(lat) * np.sin(turn) / depth
        north = (np.cos(lat0) * np.sin(lat) - np.sin(lat0) * np.cos(lat) * np.cos(turn)) / depth
    return np.rad2deg(east) * ARCSEC, np.rad2deg(north) * ARCSEC


def deproject(east, north, ra0: float, dec0: float) -> tuple[np.ndarray, np.ndarray]:
    """The inverse of `project`: RA (0-360) and Dec, deg."""
    xi, eta = (np.deg2rad(np.asarray(v, np.float64) / ARCSEC) for v in (east, north))
    lat0 = np.deg2rad(dec0)
    depth = np.cos(lat0) - eta * np.sin(lat0)
    ra = ra0 + np.rad2deg(np.arctan2(xi, depth))
    dec = np.arctan2(np.sin(lat0) + eta * np.cos(lat0), np.hypot(xi, depth))
    return ra % 360.0, np.rad2deg(dec)


def _grid(width: int, height: int, count: int, inset: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Points over the cutout from edge to edge, (count²,) each of x and y."""
    share = np.linspace(inset, 1 - inset, count)
    x, y = np.meshgrid(share * width - 0.5, share * height - 0.5)
    return x.ravel(), y.ravel()


def _terms(x, y, middle: tuple[float, float], half: float) -> np.ndarray:
    u, v = (np.asarray(x, np.float64) - middle[0]) / half, (np.asarray(y, np.float64) - middle[1]) / half
    return np.stack([u**i * v**j for i, j in TERMS], axis=-1)
