"""A simulated survey: thousands of small g, r, z cutouts of known truth, as a ground-based camera would see them.

Each stamp is light from the sky (`engine.data.simulation.morphology`), blurred by that night's seeing (Moffat, 0.9-1.6 arcsec, its
own in each band), with neighbours, sky residuals, photon and correlated sky noise, and what goes wrong: trails, bleeds,
cosmic rays, missing edges and bands. Depth is that of a wide imaging survey (5σ for a point: g 24.5, r 24.0, z 23.2),
0.262 arcsec a pixel. About 3 % are dwarfs of low surface brightness: the rare thing to look for. Faint distant
galaxies, spirals of low surface brightness, ghosts and sky residuals resemble them.

Objects are made in slabs, each with its own random stream, so that the result depends on the seed alone and slabs can
be made in threads. Cost: about 1.7 ms of one core an object at 64 × 64; memory is a few slabs' when writing a survey.
"""

from __future__ import annotations

import os
import tempfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from engine.data.pictures.stretch import calibrate
from engine.data.simulation import blemishes, morphology, profiles
from engine.data.simulation.morphology import ZERO_POINT, Canvas, Members
from engine.errors import UserError
from engine.jobs import Progress, silent
from engine.survey import Survey, version

BANDS = ("g", "r", "z")
#: Arcseconds a pixel.
PIXEL_SCALE = 0.262
#: Standard deviation of the sky a pixel, and level of the sky before it is subtracted, nanomaggies, in g, r, z.
SKY_NOISE = np.array([0.0046, 0.0073, 0.0152])
SKY_LEVEL = np.array([0.109, 0.30, 1.73])
#: Pixels go no higher than this in g, r, z, nanomaggies (a star of r ≈ 16).
SATURATION = np.array([7.0, 12.0, 20.0])
#: Share of each pixel's noise that the next one gets, along each axis: resampled images have correlated noise.
BLEND = 0.1
#: Noise of the sum over an aperture, over what it were without correlation.
APERTURE_NOISE = (1 + 2 * BLEND) ** 2 / (1 + 2 * BLEND**2)
#: Pixels around a stamp that are rendered and cut off, so that the convolution does not wrap around into it.
MARGIN = 8
#: Objects rendered at once: small enough for the cache, and the unit of the random streams.
SLAB = 64
#: Dwarfs are at least this significant within their half-light radius; fainter ones nobody could label.
DWARF_SIGNAL = 9.0
#: Mean effective surface brightness (mag/arcsec²) of dwarfs.
DWARF_SURFACE_BRIGHTNESS = (23.6, 25.8)
#: Share of the objects that are no dwarf.
MIX = {
    "elliptical": 0.28,
    "spiral": 0.42,
    "edge-on": 0.09,
    "star": 0.08,
    "artefact": 0.05,
    "merger": 0.035,
    "ring": 0.02,
    "lens": 0.025,
}
#: Objects a square degree, and the centre of the patch (deg).
DENSITY = 9000.0
CENTRE = (150.1, 2.2)
#: Objects the calibration is measured on.
CALIBRATION_SAMPLE = 512

Rng = np.random.Generator


def generate(
    n: int, *, seed: int = 1, dwarf_fraction: float = 0.03, size: int = 64, progress: Progress = silent
) -> tuple[np.ndarray, pd.DataFrame]:
    """Make simulated objects in memory.

    Parameters
    ----------
    n : int
    seed : int
        The result depends on nothing else but the other arguments.
    dwarf_fraction : float
        Exactly ``round(n * dwarf_fraction)`` are dwarfs.
    size : int
        Pixels a side, at least 32.

    Returns
    -------
    pixels : (n, 3, size, size) float16
        g, r, z in nanomaggies, sky subtracted, NaN where missing.
    table : DataFrame of n rows
        ``id``, ``ra``, ``dec`` (deg); measured ``mag_r``, ``colour_gr``, ``radius`` (arcsec); ``truth`` (class),
        ``truth_mag_r``, ``truth_radius`` (half light, arcsec), ``truth_sb`` (mean within it, mag/arcsec²),
        ``truth_redshift``; NaN where there is no such thing.

    Raises
    ------
    UserError
        If an argument makes no sense.
    """
    _check(n, dwarf_fraction, size)
    population = _population(n, np.random.default_rng([seed, 0]), dwarf_fraction)
    pixels = np.empty((n, len(BANDS), size, size), np.float16)
    measured = []
    for start, slab in _slabs(population, seed, size):
        pixels[start : start + len(slab)] = slab
        measured.append(_measure(slab))
        progress(start + len(slab), n, "simulating")
    return pixels, _table(population, pd.concat(measured, ignore_index=True))


def simulate(
    path: str | Path,
    n: int = 6000,
    *,
    seed: int = 1,
    dwarf_fraction: float = 0.03,
    size: int = 64,
    name: str | None = None,
    progress: Progress = silent,
) -> Survey:
    """Write a simulated survey: a folder that holds its own pixels, in ``cutouts.h5``.

    Parameters
    ----------
    path : path
        Folder to make; it must not exist.
    n, seed, dwarf_fraction, size
        See `generate`: the objects are the same.
    name : str, optional
        "Simulated survey" if not given.

    Raises
    ------
    UserError
        If the folder exists or an argument makes no sense.
    """
    path = Path(path)
    _check(n, dwarf_fraction, size)
    if path.exists():
        raise UserError(f"{path} already exists", "choose another name, or delete it first")
    path.parent.mkdir(parents=True, exist_ok=True)
    population = _population(n, np.random.default_rng([seed, 0]), dwarf_fraction)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", suffix=".pixels", dir=path.parent) as scratch:
        cutouts = Path(scratch) / "cutouts.h5"
        measured, sample = _write_pixels(cutouts, population, seed, size, progress)
        pixels = {
            "kind": "hdf5",
            "root": "cutouts.h5",
            "dataset": "images",
            "bands": list(BANDS),
            "science": True,
            "pixel_scale": PIXEL_SCALE,
            "zero_point": ZERO_POINT,
            **calibrate(sample).header(),
        }
        provenance = {
            "command": "simulate",
            "simulated": True,
            "seed": seed,
            "dwarf_fraction": dwarf_fraction,
            "size": size,
            "version": version(),
        }
        table = _table(population, measured)
        table["pixels_index"] = np.arange(n, dtype=np.int32)
        return Survey.create(
            path,
            table,
            name=name or "Simulated survey",
            pixels=pixels,
            provenance=provenance,
            fill=lambda folder: os.replace(cutouts, folder / cutouts.name),
        )


def _write_pixels(
    path: Path, population: pd.DataFrame, seed: int, size: int, progress: Progress
) -> tuple[pd.DataFrame, list[np.ndarray]]:
    """Render into an HDF5 file; return what was measured, and a sample of cutouts for the calibration."""
    import h5py

    n = len(population)
    measured, sample, every = [], [], max(1, n // CALIBRATION_SAMPLE)
    with h5py.File(path, "w") as stream:
        chunk = (min(SLAB, n), len(BANDS), size, size)
        images = stream.create_dataset("images", (n, len(BANDS), size, size), np.float16, chunks=chunk)
        for start, slab in _slabs(population, seed, size):
            images[start : start + len(slab)] = slab
            measured.append(_measure(slab))
            sample += [slab[k].astype(np.float32) for k in range(-start % every, len(slab), every)]
            progress(start + len(slab), n, "simulating")
    return pd.concat(measured, ignore_index=True), sample


def _check(n: int, dwarf_fraction: float, size: int) -> None:
    if n < 1:
        raise UserError(f"a survey of {n} objects cannot be simulated", "ask for one or more")
    if not 0 <= dwarf_fraction <= 1:
        raise UserError(f"a dwarf fraction of {dwarf_fraction} makes no sense", "give a number between 0 and 1")
    if size < 32:
        raise UserError(f"cutouts of {size} pixels are too small for these galaxies", "give a size of 32 or more")


# -- who is there -----------------------------------------------------------------------------------------------------


def _population(n: int, rng: Rng, dwarf_fraction: float) -> pd.DataFrame:
    """Draw class, magnitude, radius, colours, redshift and place of every object."""
    truth = _classes(n, rng, dwarf_fraction)
    drawn = np.empty((n, 5))
    for kind in (*MIX, "dwarf"):
        rows = np.flatnonzero(truth == kind)
        drawn[rows] = _draw(kind, len(rows), rng)
    people = pd.DataFrame(drawn, columns=["mag", "radius", "gr", "rz", "redshift"])
    people["truth"] = truth
    people["artefact"] = np.where(truth == "artefact", rng.choice(list(blemishes.ARTEFACTS), n), "")
    bleeding = people["artefact"] == "bleed"
    people.loc[bleeding, "mag"] = rng.uniform(12.0, 14.5, bleeding.sum())
    people["ra"], people["dec"] = _places(n, rng, truth)
    return people


def _classes(n: int, rng: Rng, dwarf_fraction: float) -> np.ndarray:
    """Class of each object: exact counts (largest remainders), in random order."""
    dwarfs = round(n * dwarf_fraction)
    wanted = np.array(list(MIX.values())) / sum(MIX.values()) * (n - dwarfs)
    counts = np.floor(wanted).astype(int)
    counts[np.argsort(counts - wanted, kind="stable")[: n - dwarfs - counts.sum()]] += 1
    truth = np.repeat(np.array([*MIX, "dwarf"], object), [*counts, dwarfs])
    return rng.permutation(truth)


def _draw(kind: str, k: int, rng: Rng) -> np.ndarray:
    """(k, 5): r magnitude, half-light radius (arcsec), g−r, r−z, redshift, of one class."""
    if kind == "dwarf":
        return _draw_dwarfs(k, rng)
    if kind == "star":
        gr = rng.beta(1.6, 1.4, k) * 1.7 - 0.15
        rz = 0.05 + 0.55 * gr + 1.3 * np.maximum(gr - 1.2, 0) + rng.normal(0, 0.04, k)
        return np.stack([_magnitudes(rng, k, 13.8, 21.5, 0.12), np.zeros(k), gr, rz, np.full(k, np.nan)], axis=1)
    bright, faint, intercept, slope, absolute, red = {
        "elliptical": (16.4, 22.0, 2.3, -0.150, -21.6, 0.72),
        "spiral": (16.0, 22.2, 3.1, -0.135, -20.9, 0.45),
        "edge-on": (16.3, 21.5, 3.6, -0.125, -20.6, 0.62),
        "merger": (16.5, 20.0, 3.0, -0.100, -21.0, 0.45),
        "ring": (16.3, 19.5, 3.3, -0.070, -20.8, 0.50),
        "lens": (17.6, 20.0, 1.5, -0.100, -22.9, 0.62),
        "artefact": (16.4, 21.0, 2.3, -0.150, -21.6, 0.60),
    }[kind]
    mag = _magnitudes(rng, k, bright, faint, 0.2)
    radius = intercept * 10 ** (slope * (mag - 17.3) + rng.normal(0, 0.14, k))
    if kind == "spiral":  # discs of low surface brightness, the dwarfs' nearest kin
        radius *= np.where(rng.random(k) < 0.08, rng.uniform(1.4, 2.6, k), 1.0)
    redshift = _redshift(mag - absolute - rng.normal(0, 0.6, k))
    gr = red + 1.3 * redshift * (1 if kind in ("elliptical", "lens") else 0.5) + rng.normal(0, 0.07, k)
    rz = 0.25 + 0.55 * gr + rng.normal(0, 0.05, k)
    if kind == "artefact":
        redshift = np.full(k, np.nan)
    return np.stack([mag, radius.clip(0.25, 7), gr, rz, redshift], axis=1)


def _draw_dwarfs(k: int, rng: Rng) -> np.ndarray:
    """Surface brightness from the bright limit to where the dwarf would drown, size first."""
    radius = 10 ** rng.normal(np.log10(3.1), 0.14, k).clip(np.log10(2.0), np.log10(7.0))
    brightest, faintest = DWARF_SURFACE_BRIGHTNESS
    brightness = rng.uniform(brightest, np.minimum(faintest, _limit(radius)))
    blue = rng.random(k) < 0.6
    gr = np.where(blue, rng.normal(0.33, 0.07, k), rng.normal(0.6, 0.05, k))
    rz = 0.1 + 0.55 * gr + rng.normal(0, 0.04, k)
    return np.stack([_magnitude(brightness, radius), radius, gr, rz, rng.uniform(0.002, 0.02, k)], axis=1)


def _limit(radius: np.ndarray) -> np.ndarray:
    """Surface brightness at which the r light within `radius` (arcsec) is `DWARF_SIGNAL` times its noise."""
    area = np.pi * (radius / PIXEL_SCALE) ** 2
    level = DWARF_SIGNAL * APERTURE_NOISE * SKY_NOISE[1] / np.sqrt(area)
    return ZERO_POINT - 2.5 * np.log10(level / PIXEL_SCALE**2)


def _magnitude(brightness: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Total magnitude of mean effective surface brightness (mag/arcsec²) and half-light radius (arcsec)."""
    return brightness - 2.5 * np.log10(2 * np.pi * radius**2)


def _surface_brightness(mag: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """The inverse of `_magnitude`."""
    return mag + 2.5 * np.log10(2 * np.pi * radius**2)


def _magnitudes(rng: Rng, k: int, bright: float, faint: float, slope: float) -> np.ndarray:
    """Magnitudes between two limits with number counts dN/dm ∝ 10^(slope m)."""
    return bright + np.log10(1 + rng.random(k) * (10 ** (slope * (faint - bright)) - 1)) / slope


def _redshift(modulus: np.ndarray) -> np.ndarray:
    """Redshift of a distance modulus, d_L ≈ (c z / H₀)(1 + z / 2), H₀ = 70 km/s/Mpc: good to 10 % below z = 0.6."""
    hubble_lengths = 10 ** ((modulus - 25) / 5) * 70 / 299792.458
    return np.sqrt(1 + 2 * hubble_lengths) - 1


def _places(n: int, rng: Rng, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """RA and Dec (deg) on a square patch around `CENTRE`: a field, and groups that early types and dwarfs prefer."""
    side = np.sqrt(n / DENSITY)
    xy = rng.uniform(-0.5, 0.5, (n, 2)) * side
    groups = rng.uniform(-0.5, 0.5, (max(1, n // 150), 2)) * side
    member = rng.random(n) < np.where(np.isin(truth, ["elliptical", "dwarf", "lens"]), 0.4, 0.12)
    around = groups[rng.integers(0, len(groups), n)] + rng.standard_t(4, (n, 2)) * 0.02
    xy = np.where(member[:, None], (around + side / 2) % side - side / 2, xy)
    dec = CENTRE[1] + xy[:, 1]
    return CENTRE[0] + xy[:, 0] / np.cos(np.radians(dec)), dec


def _table(population: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
    """The catalogue: what a pipeline would have measured, and the truth."""
    p = population
    artefact = p["truth"] == "artefact"
    radius = p["radius"].where(~artefact & (p["truth"] != "star"))
    return pd.DataFrame(
        {
            "id": [f"SIM-{k + 1:06d}" for k in range(len(p))],
            "ra": p["ra"],
            "dec": p["dec"],
            **measured,
            "truth": p["truth"],
            "truth_mag_r": p["mag"].where(~artefact),
            "truth_radius": radius,
            "truth_sb": _surface_brightness(p["mag"], radius),
            "truth_redshift": p["redshift"],
        }
    )


# -- what the camera sees ---------------------------------------------------------------------------------------------


def _slabs(population: pd.DataFrame, seed: int, size: int) -> Iterator[tuple[int, np.ndarray]]:
    """Render slab by slab, a thread a core: first row, (≤ SLAB, 3, size, size) float16."""

    def render(start: int) -> tuple[int, np.ndarray]:
        part = population.iloc[start : start + SLAB]
        return start, _render(part, np.random.default_rng([seed, 1, start // SLAB]), size)

    starts = iter(range(0, len(population), SLAB))
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        waiting = deque(pool.submit(render, start) for start in islice(starts, 2 * threads))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(render, start) for start in islice(starts, 1))


def _render(people: pd.DataFrame, rng: Rng, size: int) -> np.ndarray:
    """One slab, from the sky to the stored pixels."""
    stamps, side = len(people), size + 2 * MARGIN
    canvas = Canvas(stamps, len(BANDS), side)
    seeing = _seeing(rng, stamps)
    centre = (side - 1) / 2 + rng.normal(0, 0.6, (stamps, 2)).clip(-2, 2)
    _paint(canvas, rng, people, centre)
    inner = slice(MARGIN, side - MARGIN)
    sky = np.ascontiguousarray(_observe(canvas, seeing)[..., inner, inner])
    _spikes(sky, canvas, MARGIN)
    missing = np.zeros(sky.shape, bool)
    for k, spoil in enumerate(blemishes.faults(rng, people["artefact"].to_numpy())):
        if spoil:
            spoil(blemishes.Stamp(sky[k], missing[k], SKY_NOISE, centre[k] - MARGIN), rng)
    sky += _residual_sky(rng, stamps, size)
    pixels = np.minimum(sky + _noise(rng, sky), profiles.column(SATURATION)).astype(np.float16)
    pixels[missing] = np.nan
    return pixels


def _seeing(rng: Rng, stamps: int) -> dict[str, np.ndarray]:
    """Moffat parameters of each stamp and band, (stamps, bands): FWHM 0.9-1.6 arcsec, best in z, nearly round."""
    night = rng.normal(0, 0.12, (stamps, 1)) + rng.normal(0, 0.03, (stamps, len(BANDS)))
    fwhm = (np.array([1.24, 1.18, 1.13]) * np.exp(night)).clip(0.9, 1.6) / PIXEL_SCALE
    beta = rng.uniform(2.7, 4.0, (stamps, 1)) + rng.normal(0, 0.1, fwhm.shape)
    return {
        "fwhm": fwhm,
        "beta": beta,
        "ratio": rng.uniform(0.93, 1.0, fwhm.shape),
        "angle": rng.uniform(0, np.pi, fwhm.shape),
    }


def _paint(canvas: Canvas, rng: Rng, people: pd.DataFrame, centre: np.ndarray) -> None:
    """Put every object, at `centre` (stamps, 2), and its neighbours on the canvas."""
    stamps, truth = len(people), people["truth"].to_numpy()
    radius, mag, gr, rz = people[["radius", "mag", "gr", "rz"]].to_numpy().T
    everyone = Members(np.arange(stamps), centre[:, 0], centre[:, 1], radius / PIXEL_SCALE, mag, gr, rz)
    drawn_as = np.where(people["artefact"] == "edge", "spiral", np.where(people["artefact"] == "bleed", "star", truth))
    for kind, painter in morphology.PAINTERS.items():
        rows = np.flatnonzero(drawn_as == kind)
        if len(rows):
            painter(canvas, rng, everyone.subset(rows))
    morphology.paint_neighbours(canvas, rng, _neighbours(rng, stamps, canvas.side))


def _neighbours(rng: Rng, stamps: int, side: int) -> Members:
    """0-4 others a stamp, faint ones more often, none nearer than 2.5 arcsec to the middle."""
    stamp = np.repeat(np.arange(stamps), np.minimum(rng.poisson(1.5, stamps), 4))
    k = len(stamp)
    mag = _magnitudes(rng, k, 17.5, 24.0, 0.25)
    radius = 1.9 * 10 ** (-0.14 * (mag - 18) + rng.normal(0, 0.15, k)) / PIXEL_SCALE
    distance, theta = np.sqrt(rng.uniform(9.5**2, (0.6 * side) ** 2, k)), rng.uniform(0, 2 * np.pi, k)
    gr = np.clip(rng.normal(0.75, 0.28, k), 0.1, 1.6)
    middle = (side - 1) / 2
    return Members(
        stamp,
        middle + distance * np.cos(theta),
        middle + distance * np.sin(theta),
        radius,
        mag,
        gr,
        0.15 + 0.55 * gr + rng.normal(0, 0.1, k),
    )


def _observe(canvas: Canvas, seeing: dict[str, np.ndarray]) -> np.ndarray:
    """Blur the light and add the points: (stamps, bands, side, side)."""
    bands, stamps, side, _ = canvas.light.shape
    flat = {key: value.T.ravel() for key, value in seeing.items()}
    middle = np.full(stamps * bands, side // 2, float)
    kernel = profiles.moffat(middle, middle, **flat, side=side)
    sky = profiles.convolve(canvas.light, kernel.reshape(canvas.light.shape))
    for x, y, stamp, flux in canvas.points:
        lit = np.flatnonzero(flux[:, 0] > 0)
        for band in range(bands):
            seen = {key: value[stamp[lit], band] for key, value in seeing.items()}
            image = profiles.moffat(x[lit], y[lit], **seen, side=side) * profiles.column(flux[lit, band])
            for row, number in enumerate(stamp[lit]):
                sky[band, number] += image[row]
    return np.moveaxis(sky, 0, 1)


def _spikes(sky: np.ndarray, canvas: Canvas, margin: int) -> None:
    """Diffraction spikes, a cross at 45°, of stars bright enough to show them."""
    size = sky.shape[-1]
    for x, y, stamp, flux in canvas.points:
        for k in np.flatnonzero(flux[:, 1] > 100):
            for angle in (np.pi / 4, 3 * np.pi / 4):
                along, across = blemishes.line(x[k] - margin, y[k] - margin, angle, size)
                spike = np.exp(-0.5 * (across / 0.9) ** 2) / (1 + np.abs(along) / 3) ** 1.8
                sky[stamp[k]] += profiles.column(4e-4 * flux[k]) * spike


def _residual_sky(rng: Rng, stamps: int, size: int) -> np.ndarray:
    """What sky subtraction leaves: a plane and a bowl, a few tenths of the noise; four times that near bright stars."""
    down, across = np.meshgrid(*[np.linspace(-1, 1, size)] * 2, indexing="ij")
    shapes = np.stack([np.ones_like(down), across, down, across**2 + down**2 - 2 / 3]).astype(np.float32)
    strength = np.where(rng.random((stamps, 1, 1)) < 0.06, 0.45, 0.12)
    shared, own = rng.normal(0, 1, (stamps, 1, 4)), rng.normal(0, 1, (stamps, len(BANDS), 4))
    weight = strength * (0.9 * shared + 0.35 * own) * SKY_NOISE[:, None]
    return np.einsum("sbk,kyx->sbyx", weight.astype(np.float32), shapes)


def _noise(rng: Rng, sky: np.ndarray) -> np.ndarray:
    """Sky and photon noise, slightly correlated between adjacent pixels as resampled images are."""
    stamps, bands, size, _ = sky.shape
    white = rng.standard_normal((stamps, bands, size + 2, size + 2), np.float32)
    rows = white[:, :, 1:-1] + BLEND * (white[:, :, :-2] + white[:, :, 2:])
    unit = (rows[..., 1:-1] + BLEND * (rows[..., :-2] + rows[..., 2:])) / (1 + 2 * BLEND**2)
    depth = (SKY_NOISE * rng.lognormal(0, 0.1, (stamps, bands))).astype(np.float32)[..., None, None]
    return unit * np.sqrt(1 + np.maximum(sky, 0) / profiles.column(SKY_LEVEL)) * depth


# -- what a pipeline measures -----------------------------------------------------------------------------------------


def _measure(pixels: np.ndarray) -> pd.DataFrame:
    """Aperture photometry of the object in the middle.

    The aperture is the circle of highest signal to noise; the magnitude is taken in 2.5 times that, the colour within
    it, the radius is where half of the magnitude's flux lies. NaN where a band is missing or the flux is not positive.

    Parameters
    ----------
    pixels : (S, 3, size, size) float16

    Returns
    -------
    DataFrame of ``mag_r``, ``colour_gr`` and ``radius`` (arcsec), float32
    """
    size = pixels.shape[-1]
    radii = np.arange(1.0, size / 2 - 1)
    axis = np.arange(size) - (size - 1) / 2
    distance = np.hypot(axis[None], axis[:, None])
    order = np.argsort(distance, axis=None, kind="stable")
    area = np.searchsorted(np.sort(distance, axis=None), radii, side="right")
    growth_g, growth_r = (_growth(pixels[:, band], distance, order, area) for band in (0, 1))
    rows = np.arange(len(pixels))
    best = (growth_r / np.sqrt(area)).argmax(axis=1)
    outer = np.minimum(np.rint(2.5 * radii[best]).astype(int) - 1, len(radii) - 1)
    total = growth_r[rows, outer]
    half = (growth_r >= 0.5 * total[:, None]).argmax(axis=1)
    before = np.where(half > 0, growth_r[rows, np.maximum(half - 1, 0)], 0.0)
    step = growth_r[rows, half] - before
    radius = half + np.divide(0.5 * total - before, step, out=np.ones(len(rows)), where=step > 0)
    good = np.isfinite(pixels[:, 1]).any(axis=(1, 2)) & (total > 0)
    blue = good & np.isfinite(pixels[:, 0]).any(axis=(1, 2)) & (growth_g[rows, best] > 0) & (growth_r[rows, best] > 0)
    mag, colour = np.full((2, len(rows)), np.nan)
    mag[good] = ZERO_POINT - 2.5 * np.log10(total[good])
    colour[blue] = -2.5 * np.log10(growth_g[rows, best][blue] / growth_r[rows, best][blue])
    columns = {"mag_r": mag, "colour_gr": colour, "radius": np.where(good, radius * PIXEL_SCALE, np.nan)}
    return pd.DataFrame({name: np.round(values, 3).astype(np.float32) for name, values in columns.items()})


def _growth(images: np.ndarray, distance: np.ndarray, order: np.ndarray, area: np.ndarray) -> np.ndarray:
    """Flux above the sky within circles of `area` pixels, (S, len(area)); missing pixels and images count as zero.

    The sky is the median of the corners; `order` sorts the pixels by distance from the middle.
    """
    flat = images.reshape(len(images), -1).astype(np.float64)
    corners = flat[:, (distance > images.shape[-1] * 0.56).ravel()]
    some = np.isfinite(corners).any(axis=1)
    sky = np.zeros(len(flat))
    sky[some] = np.nanmedian(corners[some], axis=1)
    sorted_out = np.nan_to_num((flat - sky[:, None])[:, order[: area[-1]]], nan=0.0)
    return np.add.reduceat(sorted_out, np.concatenate([[0], area[:-1]]), axis=1).cumsum(axis=1)
