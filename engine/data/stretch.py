"""From flux to a picture: one place for the settings that thumbnails, gallery and inspector share.

A survey is calibrated once, on a sample: per band the sky background, its noise and a bright level. The default picture is
asinh-stretched with one softening for the whole survey, so that a faint galaxy looks faint; three channels are combined as in
Lupton et al. 2004 (PASP 116, 133): the mean intensity is stretched, the ratios of the bands (the colour) are kept. Two departures,
for real data: colour fades where the flux is not above the noise (a noisy sky is grey, not confetti), and where a channel would
pass its maximum the colour whitens rather than darkens, so that the core of a galaxy stays its brightest part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

#: Median absolute deviation → standard deviation of a Gaussian.
MAD_TO_SD = 1.4826
#: Brightest and faintest pixel of a picture, in units of the bright level (of white): sums of them stay finite.
REACH = 1e6
#: Smallest noise accepted, as a share of the bright level: constant images must not divide by zero.
NOISE_FLOOR = 1e-6


@dataclass(frozen=True)
class Calibration:
    """Levels of a survey's pixels, one number a band, in the units of the pixels.

    Attributes
    ----------
    background, noise, bright : (C,) float64
        Median sky, its standard deviation, and the level of a bright object's core above the sky.
    """

    background: np.ndarray
    noise: np.ndarray
    bright: np.ndarray

    @classmethod
    def of(cls, pixels: dict, bands: int) -> Calibration:
        """Read the calibration from the ``[pixels]`` section of a header."""
        defaults = {"background": 0.0, "noise": 1.0, "bright": 255.0}
        return cls(*(np.asarray(pixels.get(key, [default] * bands), np.float64) for key, default in defaults.items()))

    def header(self) -> dict:
        """The same as lists, for the header."""
        return {k: [float(f"{v:.8g}") for v in getattr(self, k)] for k in ("background", "noise", "bright")}


def calibrate(cutouts: Sequence[np.ndarray]) -> Calibration:
    """Measure background, noise and bright level of a sample of cutouts.

    Background and noise come from each cutout's border (its outer eighth on every side), by median and scaled median absolute
    deviation, then the median over cutouts. Bright is the 90th percentile over cutouts of their 99.5th percentile.

    Parameters
    ----------
    cutouts : sequence of (C, h, w) float32
        NaN where missing.

    Returns
    -------
    Calibration
    """
    bands = cutouts[0].shape[0]
    levels = np.full((len(cutouts), 3, bands), np.nan)
    for index, cutout in enumerate(cutouts):
        height, width = cutout.shape[1:]
        inner = np.zeros((height, width), bool)
        inner[height // 8 : height - height // 8, width // 8 : width - width // 8] = True
        for band, image in enumerate(cutout):
            border = image[~inner & np.isfinite(image)] if min(height, width) >= 8 else image[np.isfinite(image)]
            known = image[np.isfinite(image)]
            if border.size == 0 or known.size == 0:
                continue
            median = np.median(border)
            levels[index, :, band] = median, MAD_TO_SD * np.median(np.abs(border - median)), np.percentile(known, 99.5)
    background, noise = (_band_median(levels[:, k]) for k in (0, 1))
    bright = np.array([_percentile(levels[:, 2, b], 90) for b in range(bands)]) - background
    bright = np.where(bright > 0, bright, 1.0)
    return Calibration(background, np.maximum(noise, NOISE_FLOOR * bright), bright)


def _percentile(values: np.ndarray, q: float) -> float:
    known = values[np.isfinite(values)]
    return float(np.percentile(known, q)) if known.size else 0.0


def _band_median(values: np.ndarray) -> np.ndarray:
    return np.array([_percentile(values[:, b], 50) for b in range(values.shape[1])])


def three_channels(pixels: np.ndarray) -> np.ndarray:
    """Fold any number of bands into three, in order: contiguous groups, averaged over the bands that are there.

    One band fills all three; two give (first, mean, second).

    Parameters
    ----------
    pixels : (B, C, H, W) float32
        NaN where missing.

    Returns
    -------
    (B, 3, H, W) float32
        A channel with nothing in it takes the mean of the others; NaN where no band is known.
    """
    count = pixels.shape[1]
    if count == 1:
        return np.repeat(pixels, 3, axis=1)
    if count == 2:
        folded = np.stack([pixels[:, 0], _nanmean(pixels, 1), pixels[:, 1]], axis=1)
    elif count == 3:
        folded = np.array(pixels, np.float32)
    else:
        edges = np.linspace(0, count, 4).round().astype(int)
        folded = np.stack([_nanmean(pixels[:, a:b], 1) for a, b in pairwise(edges)], axis=1)
    missing = ~np.isfinite(folded)
    return np.where(missing, _nanmean(folded, 1)[:, None], folded) if missing.any() else folded


def _nanmean(values: np.ndarray, axis: int) -> np.ndarray:
    known = np.isfinite(values)
    count = known.sum(axis)
    return np.where(count > 0, np.where(known, values, 0).sum(axis) / np.maximum(count, 1), np.nan).astype(np.float32)


@dataclass(frozen=True)
class Stretch:
    """Settings of a picture.

    Attributes
    ----------
    softness : float
        Flux below this many noise sd is shown linearly, above it logarithmically; larger hides faint light.
    gain : float
        Brightness; 1 brings the survey's bright level to white.
    invert : bool
        Dark objects on white, as on a photographic plate.
    """

    softness: float = 3.0
    gain: float = 1.0
    invert: bool = False


DEFAULT = Stretch()


def to_rgb(pixels: np.ndarray, calibration: Calibration, *, science: bool, stretch: Stretch = DEFAULT) -> np.ndarray:
    """Turn cutouts into 8-bit colour pictures.

    Parameters
    ----------
    pixels : (B, C, H, W) float32
        NaN where missing; shown as the sky.
    calibration : Calibration
    science : bool
        False if the pixels are pictures already (0-255): then only gain, softness and inversion are applied.

    Returns
    -------
    (B, H, W, 3) uint8
    """
    if science:
        level = [
            np.asarray(v, np.float32)[None, :, None, None]
            for v in (calibration.background, calibration.noise, calibration.bright)
        ]
        channels = three_channels(_within_reach(pixels, level[0], level[2]))[:, ::-1]  # reddest band → red
        noise = np.maximum(calibration.noise / calibration.bright, NOISE_FLOOR)
        softening = stretch.softness * float(np.median(noise))
        picture = _lupton(np.nan_to_num(channels, nan=0.0), softening, float(noise.max()), stretch.gain)
    else:
        picture = np.nan_to_num(three_channels(_within_reach(pixels, 0, 255)), nan=0.0)
        if stretch != DEFAULT:
            softening = stretch.softness / 3.0
            picture = np.arcsinh(picture / softening) / np.arcsinh(1 / softening) * stretch.gain
    picture = np.clip(picture, 0.0, 1.0)
    if stretch.invert:
        picture = 1.0 - picture
    return np.moveaxis((picture * 255 + 0.5).astype(np.uint8), 1, -1)


def _within_reach(pixels: np.ndarray, black: np.ndarray | float, white: np.ndarray | float) -> np.ndarray:
    """(pixels − black) / white, none beyond `REACH`, NaN where it is not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        level = (np.asarray(pixels, np.float32) - black) / white
    return np.where(np.isfinite(pixels), np.clip(level, -REACH, REACH), np.float32(np.nan))


def _lupton(channels: np.ndarray, softening: float, noise: float, gain: float) -> np.ndarray:
    """Stretch the mean of three channels and colour it; (B, 3, H, W) in units of the bright level → 0-1."""
    intensity = np.maximum(channels.mean(axis=1, keepdims=True), 0.0)
    shown = np.minimum(np.arcsinh(intensity / softening) / np.arcsinh(1 / softening) * gain, 1.0)
    picture = np.maximum(shown * (channels + noise) / (intensity + noise), 0.0)
    picture /= np.maximum(picture.max(axis=1, keepdims=True), 1.0)
    mean = picture.mean(axis=1, keepdims=True)
    white = np.clip((shown - mean) / np.maximum(1.0 - mean, 1e-6), 0.0, 1.0)
    return picture + white * (1.0 - picture)
