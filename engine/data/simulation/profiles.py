"""Light profiles on pixels: what `engine.data.simulation.simulate` paints galaxies and stars with.

Every profile is a batch: K sources of one kind become a (K, side, side) float32 array in one call. Coordinates are in
pixels, pixel (0, 0) has its centre at x = y = 0. Profiles of known integral are scaled so that the whole plane sums to
one; light that falls off the frame is lost, as on the sky. Cost: an exponential and a logarithm a pixel and source.
NumPy rather than torch: its functions leave the interpreter free, so that slabs of objects run in threads, which share
a busy machine better than threads inside every operation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft, special

#: Side of the patch around a cusp that is evaluated on subpixels, and subpixels a side of each of its pixels.
PATCH, SUBPIXELS = 7, 6
#: A Sersic profile needs subpixels where it is this small (pixels) or this cuspy (index).
SMALL, CUSPY = 6.0, 1.5
#: Smallest squared radius, in units of the effective radius: the logarithm must stay finite at the centre.
TINY = 1e-8


@dataclass(frozen=True)
class Ellipses:
    """Places, sizes and orientations of K sources.

    Attributes
    ----------
    x, y : (K,) float
        Centre, pixels.
    radius : (K,) float
        Scale along the major axis, pixels; what it means is the profile's to say.
    ratio : (K,) float
        Minor over major axis, 0-1.
    angle : (K,) float
        Of the major axis from +x, radians.
    """

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    ratio: np.ndarray
    angle: np.ndarray

    def plane(self, side: int) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates in each source's own plane, along its axes, in units of its radius: two (K, side, side)."""
        axis = np.arange(side, dtype=np.float32)
        return self._turned(axis[None, None, :] - column(self.x), axis[None, :, None] - column(self.y))

    def _turned(self, dx: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        cos, sin = np.cos(self.angle) / self.radius, np.sin(self.angle) / self.radius
        major = dx * column(cos) + dy * column(sin)
        minor = dy * column(cos / self.ratio) - dx * column(sin / self.ratio)
        return major, minor

    def subset(self, which: np.ndarray) -> Ellipses:
        """Some of them."""
        return Ellipses(*(np.asarray(v)[which] for v in (self.x, self.y, self.radius, self.ratio, self.angle)))


def column(values: np.ndarray) -> np.ndarray:
    """(K,) numbers as a (K, 1, 1) float32 array."""
    return np.asarray(values, np.float32)[:, None, None]


def sersic_b(index: np.ndarray) -> np.ndarray:
    """b(n): the effective radius holds half the light; better than 1e-4 for n > 0.4 (Ciotti & Bertin 1999)."""
    return 2 * index - 1 / 3 + 4 / (405 * index) + 46 / (25515 * index**2) + 131 / (1148175 * index**3)


def sersic(shape: Ellipses, index: np.ndarray, side: int) -> np.ndarray:
    """I(r) ∝ exp(−b (r/rₑ)^(1/n)), rₑ the half-light semi-major axis; integral one.

    The pixels around a cusp are averages over subpixels; elsewhere the profile is smooth on the scale of a pixel.

    Parameters
    ----------
    shape : Ellipses
        K sources; `radius` is rₑ.
    index : (K,) float
        n, 0.4-8.
    side : int

    Returns
    -------
    (K, side, side) float32
    """
    index = np.asarray(index, np.float64)
    b = sersic_b(index)
    total = np.log(2 * np.pi * index * shape.radius**2 * shape.ratio) + special.gammaln(2 * index)
    total -= 2 * index * np.log(b)

    def intensity(which: slice | np.ndarray, major: np.ndarray, minor: np.ndarray) -> np.ndarray:
        value = _squared(major, minor)
        np.log(np.maximum(value, TINY, out=value), out=value)
        value *= column(0.5 / index[which])
        np.exp(value, out=value)
        value *= column(-b[which])
        value -= column(total[which])
        return np.exp(value, out=value)

    profile = intensity(slice(None), *shape.plane(side))
    cusps = np.flatnonzero((shape.radius < SMALL) | (index > CUSPY))
    if len(cusps):
        _refine(profile, shape, cusps, intensity)
    return profile


def _refine(profile: np.ndarray, shape: Ellipses, cusps: np.ndarray, intensity) -> None:
    """Put averages over subpixels into the PATCH × PATCH pixels around the centres of `cusps`."""
    side = profile.shape[-1]
    some = shape.subset(cusps)
    left, top = (np.rint(v).astype(np.int64) - PATCH // 2 for v in (some.x, some.y))
    fine = (np.arange(PATCH * SUBPIXELS, dtype=np.float32) + 0.5) / SUBPIXELS - 0.5
    major, minor = some._turned(fine[None, None, :] + column(left - some.x), fine[None, :, None] + column(top - some.y))
    blocks = intensity(cusps, major, minor).reshape(len(cusps), PATCH, SUBPIXELS, PATCH, SUBPIXELS)
    patch = blocks.mean(axis=(2, 4))
    source, rows, columns = np.broadcast_arrays(
        cusps[:, None, None], top[:, None, None] + np.arange(PATCH)[:, None], left[:, None, None] + np.arange(PATCH)
    )
    inside = (rows >= 0) & (rows < side) & (columns >= 0) & (columns < side)
    profile[source[inside], rows[inside], columns[inside]] = patch[inside]


def arms(
    shape: Ellipses,
    count: np.ndarray,
    pitch: np.ndarray,
    phase: np.ndarray,
    sharpness: np.ndarray,
    ragged: np.ndarray,
    side: int,
) -> np.ndarray:
    """Logarithmic spiral arms of an exponential disc, fading inside; sums to one on the frame.

    I ∝ r e^(−1.2 r) [½ (1 + cos(m (θ − ln r / tan p) + φ))]^s, r in units of `radius`, with ragged edges: the phase
    wanders by `ragged` radians along the arm.

    Parameters
    ----------
    shape : Ellipses
        `radius` is the disc's half-light radius; `ratio` its inclination.
    count, pitch, phase, sharpness, ragged : (K,) float
        m, p (radians), φ (radians), s, and the wander (radians).
    """
    major, minor = shape.plane(side)
    theta, radius = np.arctan2(minor, major), np.maximum(np.hypot(major, minor), 0.05)
    winding = np.log(radius)
    wander = column(ragged) * (np.sin(5 * winding + column(phase)) + np.sin(3 * theta + 2 * column(phase)))
    angle = column(count) * (theta - winding / column(np.tan(pitch))) + column(phase) + wander
    crest = np.maximum(0.5 + 0.5 * np.cos(angle), 1e-6) ** column(sharpness)
    return _summing_to_one(crest * radius * np.exp(-1.2 * radius))


def annulus(shape: Ellipses, width: np.ndarray, towards: np.ndarray, spread: np.ndarray, side: int) -> np.ndarray:
    """A ring (large `spread`) or an arc: Gaussian across, Gaussian along; sums to one on the frame.

    Parameters
    ----------
    shape : Ellipses
        `radius` is the ring's.
    width : (K,) float
        Standard deviation across, in units of the radius.
    towards, spread : (K,) float
        Where the arc is brightest, and its standard deviation along, radians in the ring's plane.
    """
    major, minor = shape.plane(side)
    across = (np.hypot(major, minor) - 1) / column(width)
    along = np.arctan2(minor, major) - column(towards)
    along -= 2 * np.pi * np.rint(along / (2 * np.pi))
    return _summing_to_one(np.exp(-0.5 * across**2 - 0.5 * (along / column(spread)) ** 2))


def edge_on(shape: Ellipses, side: int) -> np.ndarray:
    """A disc seen from its side, I ∝ |u| K₁(|u|) sech²(v) (van der Kruit & Searle 1981); integral one.

    `radius` is the radial scale length h; `ratio` the vertical scale height over h.
    """
    major, minor = shape.plane(side)
    along = np.maximum(np.abs(major), 1e-3)
    profile = along * special.k1(along) / np.cosh(minor.clip(-20, 20)) ** 2
    return profile / column(2 * np.pi * shape.radius**2 * shape.ratio)


def lane(shape: Ellipses, height: np.ndarray, shift: np.ndarray, side: int) -> np.ndarray:
    """A dust lane's opacity, 0-1: Gaussian of `height` at `shift`, both in scale heights, fading along the disc."""
    major, minor = shape.plane(side)
    return np.exp(-0.5 * ((minor - column(shift)) / column(height)) ** 2 - 0.5 * (major / 2.2) ** 2)


def moffat(
    x: np.ndarray, y: np.ndarray, fwhm: np.ndarray, beta: np.ndarray, ratio: np.ndarray, angle: np.ndarray, side: int
) -> np.ndarray:
    """Seeing, I ∝ (1 + r²/α²)^−β, α = FWHM / (2 √(2^(1/β) − 1)) (Moffat 1969); integral one. (K, side, side)."""
    alpha = fwhm / (2 * np.sqrt(2 ** (1 / beta) - 1))
    major, minor = Ellipses(x, y, alpha / np.sqrt(ratio), ratio, angle).plane(side)
    peak = (beta - 1) / (np.pi * alpha**2)
    profile = _squared(major, minor)
    np.log1p(profile, out=profile)
    profile *= column(-beta)
    profile += column(np.log(peak))
    return np.exp(profile, out=profile)


def blobs(x: np.ndarray, y: np.ndarray, width: np.ndarray, flux: np.ndarray, side: int) -> np.ndarray:
    """Round Gaussian blobs, J on each of P stamps: one matrix product a stamp, as a Gaussian is separable.

    Parameters
    ----------
    x, y, width : (P, J) float
        Centres and standard deviations, pixels.
    flux : (P, J, B) float

    Returns
    -------
    (P, B, side, side) float32
    """
    axis = np.arange(side)

    def across(centre: np.ndarray) -> np.ndarray:
        shape = np.exp(-0.5 * ((axis - centre[..., None]) / width[..., None]) ** 2)
        return shape / (np.sqrt(2 * np.pi) * width[..., None])

    rows = np.moveaxis(flux, 2, 1)[..., None] * across(y)[:, None]
    return np.einsum("pbjy,pjx->pbyx", rows, across(x)).astype(np.float32)


def convolve(light: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Cyclic convolution of frames with kernels centred on pixel side // 2; both (..., side, side)."""
    spectrum = fft.rfft2(light)
    spectrum *= fft.rfft2(fft.ifftshift(kernel, axes=(-2, -1)))
    return fft.irfft2(spectrum, s=light.shape[-2:], overwrite_x=True)


def _summing_to_one(profile: np.ndarray) -> np.ndarray:
    return profile / np.maximum(profile.sum(axis=(1, 2), keepdims=True), 1e-12)


def _squared(major: np.ndarray, minor: np.ndarray) -> np.ndarray:
    """Squared radius; spends its arguments."""
    major *= major
    minor *= minor
    major += minor
    return major
