"""Positions on the sky as directions: chords between them are distances, at the poles and across RA 0 too."""

from __future__ import annotations

import numpy as np


def unit_vectors(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Directions of positions.

    Parameters
    ----------
    ra, dec : (…) float, deg

    Returns
    -------
    (…, 3) float64
    """
    lon, lat = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)
