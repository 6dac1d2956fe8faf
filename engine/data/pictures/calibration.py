"""Levels of a survey's pixels: sky, noise and a bright level of each band, measured once on a sample.

They are what a picture's black and white rest on, and what a network's input is scaled by. Cost: the sample, sorted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: Median absolute deviation → standard deviation of a Gaussian.
MAD_TO_SD = 1.4826
#: Smallest noise accepted, as a share of the bright level: constant images must not divide by zero.
NOISE_FLOOR = 1e-6
#: Pixels of a cutout that are sorted, at most; medians over so many are good to a thousandth of the noise.
MOST = 1 << 20


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
            border, known = _some(border), _some(image[np.isfinite(image)])
            if border.size == 0 or known.size == 0:
                continue
            median = np.median(border)
            levels[index, :, band] = median, MAD_TO_SD * np.median(np.abs(border - median)), np.percentile(known, 99.5)
    background, noise = (_band_median(levels[:, k]) for k in (0, 1))
    bright = np.array([_percentile(levels[:, 2, b], 90) for b in range(bands)]) - background
    bright = np.where(bright > 0, bright, 1.0)
    return Calibration(background, np.maximum(noise, NOISE_FLOOR * bright), bright)


def _some(values: np.ndarray) -> np.ndarray:
    """At most `MOST` values, evenly spread, as float64: the mean of two may be more than float32 holds."""
    return values[:: -(-len(values) // MOST) or 1].astype(np.float64)


def _percentile(values: np.ndarray, q: float) -> float:
    known = values[np.isfinite(values)]
    return float(np.percentile(known, q)) if known.size else 0.0


def _band_median(values: np.ndarray) -> np.ndarray:
    return np.array([_percentile(values[:, b], 50) for b in range(values.shape[1])])
