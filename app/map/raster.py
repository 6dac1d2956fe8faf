"""From points to what is drawn: sums a pixel, small counts as soft discs.

The sums are those of `engine.maps.drawing.aggregate`; a disc is stamped for every pixel that holds something, so that discs cost
their area for each of them and nothing elsewhere. Members of the picture are planes, (C, H, W), weight first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit

from engine.maps.drawing.points import Points, View

__all__ = ["Points", "View", "disc", "disc_radius", "spread"]


def disc_radius(visible: int, width: int, height: int) -> float:
    """Radius of a drawn point in pixels: large when few share the screen, half a pixel (none) when they fill it.

    A point gets a third of the way to its neighbour, were they spread evenly, between 0.5 and 5.5 pixels.
    """
    if visible <= 0:
        return 0.5
    return float(np.clip(0.16 * np.sqrt(width * height / visible), 0.5, 5.5))


def disc(radius: float) -> np.ndarray:
    """Weights of a disc with a soft edge one pixel wide, odd size, 1 in the middle, float32."""
    reach = int(np.ceil(radius + 0.5)) - 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return np.clip(radius + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)


def spread(counts: np.ndarray, planes: Sequence[np.ndarray], radius: float) -> np.ndarray:
    """Draw what is in some pixels as discs.

    out[c, i, j] = Σ planes[c][i − a, j − b] · weights[a, b]: a correlation that visits only pixels with something in them.

    Parameters
    ----------
    counts : (H, W) number
        Pixels where it is zero are skipped.
    planes : C arrays (H, W)
    radius : float
        In pixels; half a pixel changes nothing.

    Returns
    -------
    (C, H, W) float32
    """
    at = np.empty(np.count_nonzero(counts) + 1, np.int64)
    _touched(counts, at)
    at = at[:-1]
    rows, columns = np.divmod(at, counts.shape[1])
    values = np.stack([plane[rows, columns] for plane in planes], axis=1).astype(np.float32)
    out = np.zeros((len(planes), *counts.shape), np.float32)
    _stamp(rows, columns, values, disc(radius), out)
    return out


@njit(cache=True, nogil=True)
def _touched(counts, found):
    """Numbers of the pixels that are not zero, and one place more."""
    height, width = counts.shape
    n = 0
    for i in range(height):
        line = counts[i]
        for j in range(width):
            found[n] = i * width + j
            n += line[j] != 0


@njit(cache=True, nogil=True)
def _stamp(rows, columns, values, weights, out):
    height, width = out.shape[1:]
    reach = weights.shape[0] // 2
    for k in range(len(rows)):
        i, j = rows[k], columns[k]
        for a in range(max(0, i - reach), min(height, i + reach + 1)):
            for b in range(max(0, j - reach), min(width, j + reach + 1)):
                w = weights[a - i + reach, b - j + reach]
                if w > 0:
                    for c in range(values.shape[1]):
                        out[c, a, b] += w * values[k, c]
