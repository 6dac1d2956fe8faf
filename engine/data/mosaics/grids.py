"""Pixel grids on the sky: where the WCS of an image puts its pixels, and which image an object is best cut from.

    (x, y) = WCS⁻¹(RA, Dec), 0-based, the middle of the first pixel at (0, 0); distortions (SIP, TPV, TNX) included

A projection answers for the far side of the sky, too (gnomonic: with finite nonsense), and the inverse of a distortion far
from the image: only objects within the circle around an image are asked of its WCS, and an answer counts only if it leads
back to the object. Images of several bands on the same grid share one answer.

Cost: a k-d tree of the catalogue, O(N log N), and one transform of each object for each grid near it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from engine.data.fits.hdus import Hdu
from engine.data.sky.astrometry import celestial, pixels, sky
from engine.data.sky.directions import unit_vectors

if TYPE_CHECKING:
    from astropy.wcs import WCS

#: Points on each edge, and on each side of the inner lattice, on which the outline of an image is measured.
OUTLINE = 17
#: Radius beyond which an image is taken to cover the sky, deg: no single tangent plane reaches as far.
WIDE = 60.0
#: How near to itself an object must come back from sky to pixel to sky, in pixels. The inverse of SIP is good to 1e-4.
RETURN = 0.1


@dataclass(frozen=True)
class Grid:
    """The pixels of an image on the sky.

    Attributes
    ----------
    wcs : astropy.wcs.WCS
        Of the image's two axes, either of which may be the right ascension.
    height, width : int
        Pixels.
    """

    wcs: WCS
    height: int
    width: int
    _outline: np.ndarray = field(repr=False)

    @property
    def middle(self) -> np.ndarray:
        """Direction of the middle, a unit vector."""
        return self._circle[0]

    @property
    def radius(self) -> float:
        """Radius of a circle around the middle that holds the image, deg; 180 if it is no small piece of sky."""
        return self._circle[1]

    @cached_property
    def _circle(self) -> tuple[np.ndarray, float]:
        known = self._outline[np.isfinite(self._outline).all(axis=1)]
        centre = known.mean(axis=0)
        length = float(np.linalg.norm(centre))
        middle = centre / length if length > 0 else np.array([1.0, 0.0, 0.0])
        radius = float(np.degrees(np.arccos(np.clip((known @ middle).min(), -1, 1)))) * 1.02 + 2 * self.scale / 3600
        return middle, radius if len(known) == len(self._outline) and radius < WIDE else 180.0

    @cached_property
    def scale(self) -> float:
        """Arcsec a pixel: the side of a square as large as the middle pixel."""
        x, y = (self.width - 1) / 2, (self.height - 1) / 2
        east, west, north, south = self.vectors(np.array([x + 0.5, x - 0.5, x, x]), np.array([y, y, y + 0.5, y - 0.5]))
        area = float(np.linalg.norm(np.cross(east - west, north - south)))
        if not np.isfinite(area):  # the middle of an image of the whole sky may be off it
            from astropy.wcs.utils import proj_plane_pixel_area

            area = float(proj_plane_pixel_area(self.wcs)) * np.radians(1) ** 2
        return float(np.degrees(np.sqrt(area)) * 3600)

    def positions(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """RA and Dec (deg) of pixels; NaN where the projection has no sky."""
        return sky(self.wcs, x, y)

    def vectors(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Directions of pixels, (n, 3) unit vectors."""
        return unit_vectors(*self.positions(x, y))

    def pixels(self, ra: np.ndarray, dec: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels of positions near the image.

        Parameters
        ----------
        ra, dec : (n,) float64, deg

        Returns
        -------
        x, y : (n,) float64
            0-based; NaN for what is not on the image.
        """
        x, y = pixels(self.wcs, ra, dec)
        inside = (x >= -0.5) & (x <= self.width - 0.5) & (y >= -0.5) & (y <= self.height - 0.5)
        back = self.vectors(x[inside], y[inside]) - unit_vectors(ra[inside], dec[inside])
        apart = np.degrees(np.linalg.norm(back, axis=1)) * 3600
        inside[inside] = apart <= RETURN * self.scale
        return np.where(inside, x, np.nan), np.where(inside, y, np.nan)

    def outline(self) -> tuple[np.ndarray, np.ndarray]:
        """RA and Dec (deg) of points from edge to edge."""
        return self.positions(*_lattice(self.height, self.width))

    def from_edge(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """How far pixels are from the nearest edge, arcsec; NaN for those that are NaN."""
        least = np.minimum(np.minimum(x + 0.5, self.width - 0.5 - x), np.minimum(y + 0.5, self.height - 0.5 - y))
        return least * self.scale


def grid(hdu: Hdu, primary: Hdu | None = None) -> Grid | None:
    """The pixel grid of an image.

    Parameters
    ----------
    hdu : Hdu
    primary : Hdu, optional
        The file's first HDU, where the WCS may be instead.

    Returns
    -------
    Grid or None
        None without a celestial WCS on the image's two axes.
    """
    if not hdu.shape:
        return None
    height, width = hdu.shape[-2:]
    source = hdu if "CRVAL1" in hdu.cards or primary is None else primary
    wcs = celestial(source)
    if wcs is None:
        return None
    try:
        empty = Grid(wcs, height, width, np.zeros((0, 3)))
        outline = empty.vectors(*_lattice(height, width))
        made = Grid(wcs, height, width, outline)
        good = np.isfinite(outline).any() and 0 < made.scale < np.inf
    except Exception:  # the library raises many kinds on odd headers: such an image is none of the sky
        return None
    return made if good else None


def _lattice(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Points on a lattice from edge to edge."""
    share = np.linspace(0, 1, OUTLINE)
    x, y = np.meshgrid(share * width - 0.5, share * height - 0.5)
    return x.ravel(), y.ravel()


# -- which image an object is cut from --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Placed:
    """Where objects are on the images of several bands.

    Attributes
    ----------
    image : (B, N) int32
        Number of the image that each object is cut from, -1 for none.
    x, y : (B, N) float64
        Its pixel there, 0-based; NaN for none.
    """

    image: np.ndarray
    x: np.ndarray
    y: np.ndarray


def place(grids: list[Grid], images: list[tuple[int, int]], ra: np.ndarray, dec: np.ndarray, progress=None) -> Placed:
    """Choose for each object and band the image on which it is farthest from the edge.

    Parameters
    ----------
    grids : list of Grid
    images : list of (band number, grid number)
    ra, dec : (N,) float64, deg
        NaN where unknown: those are on no image.
    progress : callable, optional
        Told (grids done, grids).
    """
    from scipy.spatial import cKDTree

    bands, count = 1 + max(band for band, _ in images), len(ra)
    placed = Placed(np.full((bands, count), -1, np.int32), *(np.full((bands, count), np.nan) for _ in range(2)))
    best = np.full((bands, count), -np.inf, np.float32)
    known = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
    if len(known) == 0:
        return placed
    tree = cKDTree(unit_vectors(ra[known], dec[known]))
    of_grid: dict[int, list[int]] = {}
    for number, (_, at) in enumerate(images):
        of_grid.setdefault(at, []).append(number)
    for done, (at, numbers) in enumerate(of_grid.items(), 1):
        here = grids[at]
        near = known
        if here.radius < 180:
            chord = 2 * np.sin(np.radians(here.radius) / 2)
            near = known[np.array(tree.query_ball_point(here.middle, chord), np.int64)]
        if len(near):
            x, y = here.pixels(ra[near], dec[near])
            edge = here.from_edge(x, y)
            for number in numbers:
                band = images[number][0]
                better = edge > best[band, near]  # NaN is not
                rows = near[better]
                best[band, rows], placed.image[band, rows] = edge[better], number
                placed.x[band, rows], placed.y[band, rows] = x[better], y[better]
        if progress is not None:
            progress(done, len(of_grid))
    return placed
