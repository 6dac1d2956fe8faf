"""Skies of many cameras: cutouts for training in which everything that is not the object varies.

The simulated survey (`engine.data.simulation.simulate`) is one camera's. An encoder for all of them must see the same objects
under any pixel scale, seeing, depth and set of filters, and as any picture an archive makes of them. So each cutout here
has its own: half-light radius (3-25 % of the side), signal, seeing (1.1-5 pixels), noise in each band, neighbours and
foreground stars; each picture its own cut levels, stretch, balance of colours and JPEG quality.

The painters of the simulated survey serve again (`engine.data.simulation.morphology`); *resolved* dwarfs are new: nearby galaxies
that fall apart into stars,

    n ∝ exp(−b (r/r_h)^(1/m)) positions,   dN/dL ∝ L^−α between L_max/300 and L_max,

over an unresolved remainder, and the field of stars and star clusters that they must be told from.

Cost: about 6 ms of one core an object at 128 × 128; slabs are made in threads, each with its own random stream.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

from engine.data.cutouts import resample_batch
from engine.data.simulation import morphology, profiles
from engine.data.simulation.morphology import ZERO_POINT, Canvas, Members
from engine.jobs import Progress, silent

#: Kinds of objects and their shares.
MIX = {
    "resolved": 0.17,
    "stars": 0.06,
    "dwarf": 0.11,
    "elliptical": 0.11,
    "spiral": 0.15,
    "edge-on": 0.09,
    "ring": 0.08,
    "merger": 0.10,
    "star": 0.09,
    "nothing": 0.04,
}
KINDS = tuple(MIX)
#: What is known of each object, in the order of `Skies.quantities`; NaN where there is no such thing.
QUANTITIES = ("log radius", "log signal", "log stars", "colour")
#: Objects rendered at once, all at one pixel scale.
SLAB = 32
#: Pixels around a cutout that are rendered and cut off.
MARGIN = 6
#: Sides that cutouts are rendered at, before they are brought to the size asked for: large ones are more common.
SIDES = (40, 56, 72, 96, 128, 160)
SIDE_SHARES = (0.06, 0.10, 0.14, 0.22, 0.28, 0.20)

Rng = np.random.Generator


@dataclass(frozen=True)
class Skies:
    """Simulated cutouts.

    Attributes
    ----------
    flux : (n, 3, S, S) float16
        Bluest band first, in units of the sky's noise in the middle band.
    pictures : (n, 3, S, S) uint8
        The same, reddest first, as an archive might show them.
    kinds : (n,) int64
        Index in `KINDS`.
    quantities : (n, 4) float32
        See `QUANTITIES`: logarithms of the half-light radius in sides, of the mean signal to noise a pixel within it,
        of the number of stars (resolved only), and blue − middle in magnitudes.
    """

    flux: np.ndarray
    pictures: np.ndarray
    kinds: np.ndarray
    quantities: np.ndarray


def skies(count: int, *, seed: int, size: int = 128, progress: Progress = silent) -> Skies:
    """Make cutouts in memory; the result depends on the arguments alone, not on the number of threads."""
    made = Skies(
        np.empty((count, 3, size, size), np.float16),
        np.empty((count, 3, size, size), np.uint8),
        np.empty(count, np.int64),
        np.empty((count, len(QUANTITIES)), np.float32),
    )
    for start, slab in _slabs(count, seed, size):
        part = slice(start, start + len(slab.kinds))
        made.flux[part], made.pictures[part] = slab.flux, slab.pictures
        made.kinds[part], made.quantities[part] = slab.kinds, slab.quantities
        progress(part.stop, count, "simulating skies")
    return made


def _slabs(count: int, seed: int, size: int) -> Iterator[tuple[int, Skies]]:
    def make(start: int) -> tuple[int, Skies]:
        return start, _slab(min(SLAB, count - start), np.random.default_rng([seed, 7, start // SLAB]), size)

    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(make, range(0, count, SLAB))


def _slab(stamps: int, rng: Rng, size: int) -> Skies:
    side = int(rng.choice(SIDES, p=SIDE_SHARES))
    kinds = rng.choice(len(KINDS), stamps, p=list(MIX.values()))
    people, quantities = _people(rng, kinds, side)
    canvas = Canvas(stamps, 3, side + 2 * MARGIN)
    fwhm = np.exp(rng.uniform(np.log(1.1), np.log(np.minimum(5.0, side / 16)), stamps))
    quantities[:, 2] = _paint(canvas, rng, people, kinds, side)
    flux = _expose(canvas, rng, fwhm)[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
    flux = resample_batch(np.ascontiguousarray(flux), size)
    pictures = np.stack([picture(image, rng) for image in flux])
    return Skies(flux.clip(-6e4, 6e4).astype(np.float16), pictures, kinds, quantities)


def _people(rng: Rng, kinds: np.ndarray, side: int) -> tuple[Members, np.ndarray]:
    """Size, brightness and colour of each object; the noise of the middle band is one nanomaggie a pixel."""
    k = len(kinds)
    name = np.array(KINDS, object)[kinds]
    spread = np.isin(name, ["resolved", "dwarf"])
    share = np.exp(rng.normal(np.log(np.where(spread, 0.13, 0.08)), 0.5, k)).clip(0.02, 0.3)
    radius = np.maximum(share * side, 1.0)
    signal = 10 ** np.where(spread, rng.uniform(-0.6, 1.3, k), rng.uniform(-0.1, 2.2, k))
    point = name == "star"
    total = np.where(point, 10 ** rng.uniform(1.3, 4.5, k), signal * 2 * np.pi * radius**2)
    gr = np.where(spread, rng.normal(0.45, 0.25, k), rng.normal(0.65, 0.35, k)).clip(-0.4, 1.8)
    rz = 0.1 + 0.5 * gr + rng.normal(0, 0.15, k)
    centre = (side + 2 * MARGIN - 1) / 2 + rng.normal(0, 0.02 * side, (2, k)).clip(-0.08 * side, 0.08 * side)
    members = Members(np.arange(k), centre[0], centre[1], radius, ZERO_POINT - 2.5 * np.log10(total), gr, rz)
    quantities = np.full((k, len(QUANTITIES)), np.nan, np.float32)
    thing = ~np.isin(name, ["stars", "nothing"])
    quantities[thing, 3] = gr[thing]
    quantities[thing & ~point, 0] = np.log10(radius / side)[thing & ~point]
    quantities[thing & ~point, 1] = np.log10(signal)[thing & ~point]
    return members, quantities


def _paint(canvas: Canvas, rng: Rng, people: Members, kinds: np.ndarray, side: int) -> np.ndarray:
    """Put every object and what surrounds it on the canvas; the logarithm of the number of stars of the resolved."""
    stars = np.full(len(kinds), np.nan, np.float32)
    for index, kind in enumerate(KINDS):
        rows = np.flatnonzero(kinds == index)
        if len(rows) == 0:
            continue
        if kind in morphology.PAINTERS:
            morphology.PAINTERS[kind](canvas, rng, people.subset(rows))
        elif kind == "resolved":
            stars[rows] = [_resolve(canvas, rng, people.subset(rows[k : k + 1])) for k in range(len(rows))]
        elif kind == "stars":
            for row in rows:
                _scatter(canvas, rng, int(row), int(10 ** rng.uniform(0.8, 2.5)), 10 ** rng.uniform(1.5, 3.5))
    for row in np.flatnonzero(rng.random(len(kinds)) < 0.5):  # foreground stars
        _scatter(canvas, rng, int(row), int(rng.poisson(2.5)), 10 ** rng.uniform(1.5, 3.5))
    morphology.paint_neighbours(canvas, rng, _neighbours(rng, len(kinds), canvas.side))
    return stars


def _resolve(canvas: Canvas, rng: Rng, dwarf: Members) -> float:
    """A galaxy of stars, over what of it stays unresolved; returns the logarithm of their number."""
    number = int(10 ** rng.uniform(1.0, 3.3))
    ratio, angle = rng.uniform(0.4, 1.0, 1), rng.uniform(0, np.pi, 1)
    smooth = rng.choice([0.0, rng.uniform(0.05, 0.9)], p=[0.35, 0.65])
    body = dwarf.ellipses(ratio, angle, scale=1 / np.sqrt(ratio))
    if smooth:
        canvas.sersic(body, rng.uniform(0.5, 1.3, 1), dwarf.stamp, dwarf.flux(smooth))
    radius = _radii(rng, number) * dwarf.radius[0] / np.sqrt(ratio[0])
    theta = rng.uniform(0, 2 * np.pi, number)
    u, v = radius * np.cos(theta), radius * np.sin(theta) * ratio[0]
    x = dwarf.x[0] + u * np.cos(angle[0]) - v * np.sin(angle[0])
    y = dwarf.y[0] + u * np.sin(angle[0]) + v * np.cos(angle[0])
    light = _luminosities(rng, number)
    light *= max(10 ** rng.uniform(0.8, 2.6) / light.max(), dwarf.flux(1 - smooth)[0, 1] / light.sum())
    colour = dwarf.gr[0] + 0.3 + rng.normal(0, 0.2, number) - 0.9 * (rng.random(number) < 0.12)
    _deposit(canvas, int(dwarf.stamp[0]), x, y, light, colour)
    return float(np.log10(number))


def _radii(rng: Rng, number: int) -> np.ndarray:
    """Radii in half-light radii: an exponential disc, or a Plummer sphere with its wings cut."""
    if rng.random() < 0.6:
        return rng.gamma(2.0, 1 / 1.678, number)
    return (1 / np.sqrt(1 / rng.uniform(0.0, 0.95, number) - 1 + 1e-9)).clip(0, 6)


def _luminosities(rng: Rng, number: int) -> np.ndarray:
    """dN/dL ∝ L^−α between L_max / 300 and L_max, α of 1.5-2.1, largest one near 1."""
    power = 1 - rng.uniform(1.5, 2.1)
    low = (1 / 300) ** power
    return (low + rng.random(number) * (1 - low)) ** (1 / power)


def _scatter(canvas: Canvas, rng: Rng, stamp: int, number: int, brightest: float) -> None:
    """Stars anywhere on a stamp."""
    if number:
        x, y = rng.uniform(-0.5, canvas.side - 0.5, (2, number))
        _deposit(canvas, stamp, x, y, brightest * _luminosities(rng, number), rng.normal(0.8, 0.45, number))


def _deposit(canvas: Canvas, stamp: int, x: np.ndarray, y: np.ndarray, light: np.ndarray, colour: np.ndarray) -> None:
    """Add points as light, shared by the four nearest pixels; the seeing comes later. `light` in the middle band."""
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    tint = 10 ** (-0.4 * np.stack([colour, np.zeros_like(colour), -(0.1 + 0.5 * colour)]))
    for dx in (0, 1):
        for dy in (0, 1):
            weight = np.abs(1 - dx - (x - left)) * np.abs(1 - dy - (y - top))
            inside = (left + dx >= 0) & (left + dx < canvas.side) & (top + dy >= 0) & (top + dy < canvas.side)
            for band in range(3):
                np.add.at(
                    canvas.light[band, stamp],
                    ((top + dy)[inside], (left + dx)[inside]),
                    (tint[band] * light * weight)[inside],
                )


def _neighbours(rng: Rng, stamps: int, side: int) -> Members:
    """0-4 others a stamp, smaller than the object, anywhere but in its middle."""
    stamp = np.repeat(np.arange(stamps), np.minimum(rng.poisson(1.0, stamps), 4))
    k = len(stamp)
    radius = np.maximum(side * np.exp(rng.normal(np.log(0.02), 0.5, k)), 0.5)
    total = 10 ** rng.uniform(-0.3, 1.5, k) * 2 * np.pi * radius**2
    distance, theta = side * np.sqrt(rng.uniform(0.16**2, 0.6**2, k)), rng.uniform(0, 2 * np.pi, k)
    gr, middle = rng.normal(0.75, 0.35, k), (side - 1) / 2
    return Members(
        stamp,
        middle + distance * np.cos(theta),
        middle + distance * np.sin(theta),
        radius,
        ZERO_POINT - 2.5 * np.log10(total),
        gr,
        0.1 + 0.5 * gr + rng.normal(0, 0.15, k),
    )


def _expose(canvas: Canvas, rng: Rng, fwhm: np.ndarray) -> np.ndarray:
    """Seeing, noise of each band, photon noise: (stamps, 3, side, side) float32, in units of the middle band's noise."""
    stamps, side = len(fwhm), canvas.side
    width = fwhm[:, None] * np.exp(rng.normal(0, 0.08, (stamps, 3)))
    flat = {
        "fwhm": width.ravel(),
        "beta": np.repeat(rng.uniform(2.3, 4.8, stamps), 3),
        "ratio": rng.uniform(0.9, 1.0, 3 * stamps),
        "angle": rng.uniform(0, np.pi, 3 * stamps),
    }
    middle = np.full(3 * stamps, side // 2, float)
    kernel = profiles.moffat(middle, middle, **flat, side=side).reshape(stamps, 3, side, side)
    sky = profiles.convolve(np.ascontiguousarray(np.moveaxis(canvas.light, 0, 1)), kernel)
    for x, y, stamp, flux in canvas.points:
        for k in np.flatnonzero(flux[:, 1] > 0):
            for band in range(3):
                seen = profiles.moffat(
                    x[k : k + 1],
                    y[k : k + 1],
                    width[stamp[k], band : band + 1],
                    flat["beta"][3 * stamp[k] : 3 * stamp[k] + 1],
                    np.ones(1),
                    np.zeros(1),
                    side,
                )
                sky[stamp[k], band] += flux[k, band] * seen[0]
    depth = np.array([0.7, 1.0, 1.6]) * np.exp(rng.normal(0, 0.35, (stamps, 3)))
    depth /= depth[:, 1:2]
    photons = 10 ** rng.uniform(1.0, 3.5, (stamps, 1, 1, 1))  # sky level in units of its own noise
    spread = depth[..., None, None] * np.sqrt(1 + np.maximum(sky, 0) / photons)
    noise = rng.standard_normal(sky.shape, np.float32)
    smooth = rng.random(stamps) < 0.3  # of resampled images: correlated
    noise[smooth] = (noise[smooth] + np.roll(noise[smooth], 1, 2) + np.roll(noise[smooth], 1, 3)) / np.sqrt(3)
    full = 10 ** rng.uniform(2.5, 4.5, (stamps, 1, 1, 1))  # where the detector saturates
    return np.minimum(sky + spread * noise, full).astype(np.float32)


# -- pictures ----------------------------------------------------------------------------------------------------------


def picture(flux: np.ndarray, rng: Rng) -> np.ndarray:
    """One of the many pictures that archives make of (3, S, S) flux: (3, S, S) uint8, reddest first.

    Cut levels between the sky and a high percentile or the maximum, of all bands together or of each; linear, square
    root, asinh or logarithmic; one in eight grey, one in three as JPEG of a modest quality.
    """
    image = np.asarray(flux, np.float32)[::-1]
    apart = rng.random() < 0.5
    axes = (1, 2) if apart else None
    sky = np.median(image, axis=axes, keepdims=True)
    noise = 1.48 * np.median(np.abs(image - sky), axis=axes, keepdims=True)
    black = sky + rng.uniform(-2.5, 2.0) * noise
    top = np.percentile(image, rng.choice([98.0, 99.5, 99.9, 100.0]), axis=axes, keepdims=True)
    scaled = ((image - black) / np.maximum(top - black, 3 * noise + 1e-6)).clip(0, None)
    scaled = _stretched(scaled, rng).clip(0, 1)
    if rng.random() < 0.125:
        scaled = np.repeat(scaled[rng.integers(3)][None], 3, axis=0)
    pixels = (255 * scaled + 0.5).astype(np.uint8)
    return _compressed(pixels, int(rng.integers(60, 96))) if rng.random() < 0.35 else pixels


def _stretched(scaled: np.ndarray, rng: Rng) -> np.ndarray:
    kind = rng.random()
    if kind < 0.3:
        return scaled
    if kind < 0.5:
        return np.sqrt(scaled)
    if kind < 0.94:
        softness = 10 ** rng.uniform(-2.5, 0.0)
        if rng.random() < 0.5:  # Lupton et al. 2004: the mean is stretched, the colour kept
            mean = scaled.mean(axis=0, keepdims=True)
            return scaled * (np.arcsinh(mean / softness) / np.arcsinh(1 / softness) / np.maximum(mean, 1e-6))
        return np.arcsinh(scaled / softness) / np.arcsinh(1 / softness)
    return np.log1p(scaled * 1000) / np.log(1001)


def _compressed(pixels: np.ndarray, quality: int) -> np.ndarray:
    held = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(np.moveaxis(pixels, 0, -1))).save(held, "JPEG", quality=quality)
    return np.moveaxis(np.asarray(Image.open(held)), -1, 0)
