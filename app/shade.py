"""From sums a pixel to colours: three shaders, written for numba because datashader's own cost more than the
aggregation.

Each takes float32 sums on the grid of the screen (weight = how many objects fell on the pixel, soft at a point's
edge) and gives RGBA as uint8. All are one pass over H×W pixels: 1-8 ms for 1000×800.

count
    colour = LUT(F(n)), n the objects around the pixel and F its cumulative distribution in view: every shade covers as many
    pixels as any other, so that faint structure and dense cores both show.
value
    colour = LUT((v − lo) / (hi − lo)), v the mean of the pixel's objects; pixels without a known value are grey.
category
    colour = mean of the categories' colours, weighted by their counts.

In the last two the opacity rises with F(weight), from `FLOOR` up.
"""

import numpy as np
from numba import njit

#: Opacity of the sparsest pixel: a lone object must still be seen.
FLOOR = 0.55
#: Bins of the distribution of weights.
BINS = 2048
#: Share of the opacity and colour that is left of objects outside the selection.
DIMMED = 0.28


@njit(cache=True, nogil=True)
def _equalised(weight, peak):
    """Cumulative share of the pixels above zero, by weight in BINS steps of a square-root scale; (BINS,) in 0-1."""
    counts = np.zeros(BINS, np.float64)
    scale = (BINS - 1) / np.sqrt(peak) if peak > 0 else 0.0
    for value in weight.flat:
        if value > 0:
            counts[int(np.sqrt(value) * scale)] += 1
    total = counts.sum()
    if total == 0:
        return counts
    rank = np.cumsum(counts)
    first = rank[np.argmax(counts > 0)]
    span = total - first
    if span <= 0:
        return np.ones(BINS)
    return (rank - first) / span


@njit(cache=True, nogil=True)
def shade_count(coverage, local, lut, floor):
    """Colour pixels by how many objects are around them.

    Parameters
    ----------
    coverage : (H, W) float32
        How much of a pixel the drawn points cover; 1 or more is opaque.
    local : (H, W) float32
        Objects around each pixel (`smooth`), or in it.
    lut : (L, 3) uint8
    floor : float
        Position on the scale of the loneliest object, 0-1.

    Returns
    -------
    (H, W, 4) uint8
    """
    height, width = coverage.shape
    out = np.zeros((height, width, 4), np.uint8)
    weight = np.where(coverage > 0, local, 0).astype(np.float32)
    peak = weight.max()
    if peak <= 0:
        return out
    rank = _equalised(weight, peak)
    scale = (BINS - 1) / np.sqrt(peak)
    last = len(lut) - 1
    for i in range(height):
        for j in range(width):
            if coverage[i, j] > 0:
                share = rank[int(np.sqrt(max(weight[i, j], np.float32(0))) * scale)]
                colour = lut[int((floor + (1 - floor) * share) * last)]
                out[i, j, 0], out[i, j, 1], out[i, j, 2] = colour[0], colour[1], colour[2]
                out[i, j, 3] = np.uint8(255 * min(1.0, coverage[i, j]))
    return out


@njit(cache=True, nogil=True)
def smooth(counts, reach):
    """Count the objects around each pixel: two running means of 2·reach + 1 pixels along each axis, (H, W) float32.

    Cost is that of four passes, whatever the reach; beyond the edge there is nothing.
    """
    height, width = counts.shape
    now = counts.astype(np.float32)
    if reach < 1:
        return now
    share = np.float32(1.0 / (2 * reach + 1))
    for _ in range(2):
        for i in range(height):
            line = now[i].copy()
            total = line[:reach].sum()
            for j in range(width):
                if j + reach < width:
                    total += line[j + reach]
                if j - reach - 1 >= 0:
                    total -= line[j - reach - 1]
                now[i, j] = max(total, np.float32(0)) * share
        column = np.zeros(width, np.float32)
        lines = now.copy()
        for i in range(min(reach, height)):
            column += lines[i]
        for i in range(height):
            if i + reach < height:
                column += lines[i + reach]
            if i - reach - 1 >= 0:
                column -= lines[i - reach - 1]
            now[i] = np.maximum(column, np.float32(0)) * share
    return now


@njit(cache=True, nogil=True)
def shade_value(weight, total, known, lut, lo, hi, grey, floor):
    """Colour pixels by the mean value of their objects.

    Parameters
    ----------
    weight, total, known : (H, W) float32
        Objects, sum of the values that are known, number of those.
    lut : (L, 3) uint8
    lo, hi : float
        Values at the ends of the scale.
    grey : (3,) uint8
        Colour of pixels where no value is known.
    floor : float
        Opacity of the sparsest pixel.

    Returns
    -------
    (H, W, 4) uint8
    """
    height, width = weight.shape
    out = np.zeros((height, width, 4), np.uint8)
    peak = weight.max()
    if peak <= 0:
        return out
    rank = _equalised(weight, peak)
    ranks = (BINS - 1) / np.sqrt(peak)
    last = len(lut) - 1
    scale = last / (hi - lo) if hi > lo else 0.0
    for i in range(height):
        for j in range(width):
            w = weight[i, j]
            if w > 0:
                colour = grey
                if known[i, j] > 0:
                    step = (total[i, j] / known[i, j] - lo) * scale
                    colour = lut[int(min(max(step, 0.0), last))]
                out[i, j, 0], out[i, j, 1], out[i, j, 2] = colour[0], colour[1], colour[2]
                opacity = floor + (1 - floor) * rank[int(np.sqrt(w) * ranks)]
                out[i, j, 3] = np.uint8(255 * min(1.0, w) * opacity)
    return out


@njit(cache=True, nogil=True)
def mix_categories(counts, colours):
    """Fold counts by category into a weight and a colour sum: (H, W, K) → (H, W, 4) float32, weight first."""
    height, width, layers = counts.shape
    out = np.zeros((height, width, 4), np.float32)
    for i in range(height):
        for j in range(width):
            for k in range(layers):
                n = counts[i, j, k]
                if n > 0:
                    out[i, j, 0] += n
                    for c in range(3):
                        out[i, j, c + 1] += n * colours[k, c]
    return out


@njit(cache=True, nogil=True)
def shade_category(sums, floor):
    """Colour pixels by the categories in them.

    Parameters
    ----------
    sums : (H, W, 4) float32
        Weight, then the sums of red, green and blue (0-255), as `mix_categories` gives them.
    floor : float
        Opacity of the sparsest pixel.

    Returns
    -------
    (H, W, 4) uint8
    """
    height, width = sums.shape[:2]
    out = np.zeros((height, width, 4), np.uint8)
    weight = sums[:, :, 0]
    peak = weight.max()
    if peak <= 0:
        return out
    rank = _equalised(weight, peak)
    ranks = (BINS - 1) / np.sqrt(peak)
    for i in range(height):
        for j in range(width):
            w = weight[i, j]
            if w > 0:
                for c in range(3):
                    out[i, j, c] = np.uint8(min(255.0, sums[i, j, c + 1] / w + 0.5))
                opacity = floor + (1 - floor) * rank[int(np.sqrt(w) * ranks)]
                out[i, j, 3] = np.uint8(255 * min(1.0, w) * opacity)
    return out


@njit(cache=True, nogil=True)
def over(front, back, dimmed):
    """Lay one picture over another, the one behind dimmed: members of a selection over the rest. (H, W, 4) uint8 each."""
    out = np.empty_like(front)
    height, width = front.shape[:2]
    for i in range(height):
        for j in range(width):
            a = front[i, j, 3] / 255.0
            b = back[i, j, 3] / 255.0 * dimmed * (1 - a)
            total = a + b
            for c in range(3):
                mixed = (front[i, j, c] * a + back[i, j, c] * b) / total if total > 0 else 0.0
                out[i, j, c] = np.uint8(mixed + 0.5)
            out[i, j, 3] = np.uint8(255 * total + 0.5)
    return out


def value_range(values: np.ndarray) -> tuple[float, float]:
    """Ends of a colour scale: the 2nd and 98th percentile of what is known, from at most 10⁵ values.

    Fixed for a column, so that the scale does not move with the view. (0, 1) when nothing is known.
    """
    sample = values[:: max(1, len(values) // 100_000)]
    sample = sample[np.isfinite(sample)]
    if sample.size == 0:
        return 0.0, 1.0
    lo, hi = (float(v) for v in np.percentile(sample, [2, 98]))
    if not hi > lo:
        lo, hi = float(sample.min()), float(sample.max())
    return (lo, hi) if hi > lo else (lo - 0.5, lo + 0.5)


def ramp(anchors: list[str], steps: int = 256) -> np.ndarray:
    """Interpolate colours ('#rrggbb') to a table, (steps, 3) uint8."""
    points = np.array([rgb(a) for a in anchors], np.float64)
    at = np.linspace(0, len(anchors) - 1, steps)
    table = np.stack([np.interp(at, np.arange(len(anchors)), points[:, c]) for c in range(3)], axis=1)
    return (table + 0.5).astype(np.uint8)


def rgb(colour: str) -> tuple[int, int, int]:
    """'#rrggbb' as three numbers 0-255."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return red, green, blue
