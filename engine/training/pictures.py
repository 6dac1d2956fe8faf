"""What a method makes of a few cutouts, as one picture: a row a cutout, a column a view, all of a row on one scale.

The scale of a row is that of its first column, from its 1st to its 99.7th percentile, so that what a network draws can
be held against what there was. What is masked is dark grey, in each colour by itself where there are three bands:
the galaxy stays the brightest.
"""

from __future__ import annotations

import numpy as np

from engine.data.pictures.stretch import three_channels

#: Least pixels a side that a cutout is shown with, and pixels between two.
SIDE, GAP = 64, 2
#: Percentiles of a row's first column that become black and white.
BLACK, WHITE = 1.0, 99.7
#: What stands for a masked pixel, and what is between cutouts: 0-1.
MASKED, BETWEEN = 0.2, 0.06


def mosaic(views: np.ndarray, *, science: bool) -> np.ndarray:
    """Lay cutouts out as a picture.

    Parameters
    ----------
    views : (rows, columns, C, S, S) float32
        As `engine.training.Method.picture` gives them, NaN where masked.
    science : bool
        Bands run from blue to red, as those of flux do; pictures are red first.

    Returns
    -------
    (H, W, 3) uint8
    """
    rows, columns, _, size, _ = views.shape
    channels = _three(views.reshape(-1, *views.shape[2:]))[:, :: -1 if science else 1]
    shown = np.stack([_stretched(row) for row in channels.reshape(rows, columns, 3, size, size)])
    times = -(-SIDE // size)
    shown = np.moveaxis(shown, 2, -1).repeat(times, axis=2).repeat(times, axis=3)
    pitch = size * times + GAP
    canvas = np.full((rows * pitch - GAP, columns * pitch - GAP, 3), BETWEEN, np.float32)
    for row in range(rows):
        for column in range(columns):
            top, left = row * pitch, column * pitch
            canvas[top : top + pitch - GAP, left : left + pitch - GAP] = shown[row, column]
    return (canvas * 255 + 0.5).astype(np.uint8)


def _three(pixels: np.ndarray) -> np.ndarray:
    """Fold bands into three; with three, a masked band stays masked instead of taking the mean of the others."""
    return pixels if pixels.shape[1] == 3 else three_channels(pixels)


def _stretched(row: np.ndarray) -> np.ndarray:
    """(columns, 3, S, S) → the same, 0-1."""
    known = row[0][np.isfinite(row[0])]
    low, high = np.percentile(known, (BLACK, WHITE)) if known.size else (0.0, 1.0)
    scaled = np.clip((row - low) / max(high - low, 1e-6), 0.0, 1.0)
    return np.where(np.isfinite(row), scaled, MASKED)
