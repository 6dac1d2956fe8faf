"""From sums a pixel to colours: three shaders, written for numba because datashader's own cost more than the
aggregation.

Each takes what fell on every pixel of the screen (weight = how many objects, soft at a point's edge) and gives RGBA as
uint8, a word a pixel. The weight is sorted into `BINS` steps of its square root, and all that depends on it is a table
of as many entries; a value goes through a table in the same way. Cost: 1-2 ns a pixel that holds something.

count
    colour = LUT(S(n)), n the objects around the pixel and S a scale from 0 to 1: *equalised*, the cumulative
    distribution of n in view, so that every shade covers as many pixels as any other and faint structure and dense cores
    both show; *log*; or *linear*.
value
    colour = table(v), v the mean of the pixel's objects; pixels without a known value are grey.
category
    colour = mean of the categories' colours, weighted by their counts.

In the last two the opacity rises with the equalised weight, from `FLOOR` up.
"""

import numpy as np
from numba import njit

from app.map.scales import BINS, FIRST, LEAST, SHIFT, along, equalised, least, words

#: Opacity of the sparsest pixel: a lone object must still be seen.
FLOOR = 0.55
#: Pixels whose distribution is taken: of more, only some lines.
SAMPLED = 300_000
#: Share of the opacity and colour that is left of objects outside the selection.
DIMMED = 0.28
# where opacity lies in the word of a pixel, on this machine
_OPACITY = np.array([0, 0, 0, 1], np.uint8).view(np.uint32)[0]


def shade_count(coverage, local, lut, floor, *, scale="equalised"):
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
    scale : one of `SCALES`

    Returns
    -------
    (H, W, 4) uint8
    """
    bins, number, peak = _sorted(coverage, local)
    share = equalised(number) if scale == "equalised" else along(number, peak, scale)
    colours = words(lut[((floor + (1 - floor) * share) * (len(lut) - 1)).astype(np.int64)])
    out = np.zeros(coverage.shape, np.uint32)
    _paint_table(coverage, bins, colours, out)
    return out.view(np.uint8).reshape(*coverage.shape, 4)


def shade_value(weight, mean, table, limits, grey, floor):
    """Colour pixels by the mean value of their objects.

    Parameters
    ----------
    weight, mean : (H, W) float32
        Objects, and the mean of the values that are known (NaN: none is).
    table : (STEPS,) uint32
        From `value_table`.
    limits : (lo, hi)
        Values at the table's ends.
    grey : (3,) uint8
        Colour of pixels where no value is known.
    floor : float
        Opacity of the sparsest pixel.

    Returns
    -------
    (H, W, 4) uint8
    """
    bins, number, _ = _sorted(weight, weight)
    opacity = (255 * (floor + (1 - floor) * equalised(number))).astype(np.float32)
    lo, hi = limits
    rescale = np.float32(1 / (hi - lo) if hi > lo else 0.0)
    out = np.zeros(weight.shape, np.uint32)
    _paint_values(weight, mean, bins, opacity, table, np.float32(lo), rescale, words(grey[None])[0], out)
    return out.view(np.uint8).reshape(*weight.shape, 4)


def shade_category(sums, floor, weight=None):
    """Colour pixels by the categories in them.

    Parameters
    ----------
    sums : (H, W, 4) uint32 or float32
        Weight, then the sums of red, green and blue (0-255).
    weight : (H, W), optional
        What the opacity follows, if it is not that weight.
    floor : float
        Opacity of the sparsest pixel.

    Returns
    -------
    (H, W, 4) uint8
    """
    weight = np.ascontiguousarray(sums[..., 0] if weight is None else weight, np.float32)
    bins, number, _ = _sorted(weight, weight)
    opacity = (255 * (floor + (1 - floor) * equalised(number))).astype(np.float32)
    out = np.zeros((*weight.shape, 4), np.uint8)
    _paint_mixtures(sums, bins, opacity, out)
    return out


def over(front, back, dimmed):
    """Lay one picture over another, the one behind dimmed: members of a selection over the rest. (H, W, 4) uint8 each."""
    out = np.zeros(front.shape, np.uint8)
    _over(front, back, np.float32(dimmed), out)
    return out


def ends(coverage, local, scale: str) -> tuple[float, float]:
    """Weights at the ends of a density's logarithmic or linear scale; see `shade_count`."""
    _, number, peak = _sorted(coverage, local)
    return least(number, peak, scale), float(peak)


def _sorted(shown, weight):
    """Bin of each pixel's weight, the number of shown pixels of each bin (of some lines, if there are many), the peak."""
    bins, number = np.zeros(weight.shape, np.uint16), np.zeros(BINS, np.int64)
    return bins, number, _sort(shown, weight, max(1, weight.size // SAMPLED), bins, number)


def means(count, total, known):
    """Weight and mean of every pixel from its sums, two (H, W) float32; the mean is NaN where nothing is known."""
    weight, mean = np.empty(count.shape, np.float32), np.empty(count.shape, np.float32)
    _mean(count, total, known, weight, mean)
    return weight, mean


def mixed(count, top, colours):
    """Sums as of a mixture, of pixels that have one category each: count and that many of its colour, (H, W, 4) uint32."""
    out = np.zeros((*count.shape, 4), np.uint32)
    _mix(count, top, colours, out)
    return out


def smooth(counts, reach):
    """Count the objects around each pixel: two running means of 2·reach + 1 pixels along each axis, (H, W) float32.

    In integers, so that nothing drifts (a count past what they can hold is cut; no scale shows such a difference). Cost
    is that of four passes, whatever the reach; beyond the edge there is nothing.
    """
    if reach < 1:
        return counts.astype(np.float32)
    now, found = np.empty(counts.shape, np.uint32), np.empty(counts.shape, np.float32)
    _smooth_lines(counts, reach, now)
    _smooth_columns(now, reach)
    _smooth_columns(now, reach)
    return np.multiply(now, np.float32(1 / (2 * reach + 1) ** 4), out=found)


# -- the kernels; they write into what NumPy gave, whose large pages cost a tenth of compiled code's own ---------------


@njit(cache=True, nogil=True)
def _sort(shown, weight, step, bins, number):
    """Fill in bins and numbers; return the peak."""
    height, width = weight.shape
    peak = np.float32(0)
    for i in range(height):
        line, see = weight[i], shown[i]
        for j in range(width):
            w = line[j] if see[j] > 0 else np.float32(0)
            peak = w if w > peak else peak
    if peak <= 0:
        return peak
    scale, last = np.float32(BINS - 1) / np.sqrt(peak), np.float32(BINS - 1)
    for i in range(height):
        line, own = weight[i], bins[i]
        for j in range(width):
            own[j] = np.uint16(np.int32(min(np.sqrt(max(line[j], np.float32(0))) * scale, last)))
    for i in range(0, height, step):
        see, own = shown[i], bins[i]
        for j in range(width):
            if see[j] > 0:
                number[own[j]] += 1
    if number.sum() == 0:  # the few that are shown are on other lines
        number[BINS - 1] = 1
    return peak


@njit(cache=True, nogil=True)
def _paint_table(coverage, bins, colours, out):
    height, width = coverage.shape
    for i in range(height):
        cover, own, line = coverage[i], bins[i], out[i]
        for j in range(width):
            if cover[j] > 0:
                opacity = np.uint32(np.int32(np.float32(255) * min(cover[j], np.float32(1))))
                line[j] = colours[own[j]] | opacity * _OPACITY


@njit(cache=True, nogil=True)
def _paint_values(weight, mean, bins, opacity, table, lo, rescale, grey, out):
    height, width = weight.shape
    least, one = np.float32(LEAST), np.float32(1)
    for i in range(height):
        many, own, values, line = weight[i], bins[i], mean[i], out[i]
        for j in range(width):
            if many[j] > 0:
                v = values[j]
                colour = grey
                if v == v:
                    share = np.float32(min(max((v - lo) * rescale, least), one))
                    colour = table[(np.float32(share).view(np.uint32) >> SHIFT) - FIRST]
                dense = np.uint32(np.int32(opacity[own[j]] * min(many[j], one)))
                line[j] = colour | dense * _OPACITY


@njit(cache=True, nogil=True)
def _paint_mixtures(sums, bins, opacity, out):
    height, width = sums.shape[:2]
    for i in range(height):
        for j in range(width):
            w = np.float32(sums[i, j, 0])
            if w > 0:
                share = np.float32(1) / w
                for c in range(3):
                    out[i, j, c] = np.uint8(
                        min(np.float32(255), np.float32(sums[i, j, c + 1]) * share + np.float32(0.5))
                    )
                out[i, j, 3] = np.uint8(opacity[bins[i, j]] * min(w, np.float32(1)))


@njit(cache=True, nogil=True)
def _mean(count, total, known, weight, mean):
    height, width = count.shape
    for i in range(height):
        for j in range(width):
            weight[i, j] = np.float32(count[i, j])
            k = np.float32(known[i, j])
            mean[i, j] = np.float32(total[i, j]) / k if k > 0 else np.float32(np.nan)


@njit(cache=True, nogil=True)
def _mix(count, top, colours, out):
    height, width = count.shape
    for i in range(height):
        for j in range(width):
            if count[i, j] > 0:
                out[i, j, 0] = count[i, j]
                for c in range(3):
                    out[i, j, c + 1] = count[i, j] * np.uint32(colours[top[i, j], c])


@njit(cache=True, nogil=True)
def _smooth_lines(counts, reach, now):
    """Running sums of 2·reach + 1 pixels along the lines, twice."""
    height, width = counts.shape
    window = 2 * reach + 1
    most = np.uint32(2**32 // window**4)
    padded = np.zeros(width + 2 * reach + 1, np.uint32)
    for i in range(height):
        for j in range(width):
            padded[reach + 1 + j] = min(np.uint32(counts[i, j]), most)
        for _ in range(2):
            total = np.uint32(0)
            for j in range(min(reach, width)):
                total += padded[reach + 1 + j]
            for j in range(width):
                total += padded[j + window] - padded[j]
                now[i, j] = total
            padded[reach + 1 : reach + 1 + width] = now[i]


@njit(cache=True, nogil=True)
def _smooth_columns(now, reach):
    """Running sums of 2·reach + 1 pixels along the columns, in place."""
    height, width = now.shape
    ring = np.zeros((reach + 1, width), np.uint32)  # lines that the sum still holds but the picture no longer
    total = np.zeros(width, np.uint32)
    for i in range(min(reach, height)):
        total += now[i]
    for i in range(height):
        gone = ring[i % (reach + 1)]
        if i + reach < height:
            coming = now[i + reach]
            for j in range(width):
                total[j] += coming[j]
        for j in range(width):
            total[j] -= gone[j]
            gone[j] = now[i, j]
            now[i, j] = total[j]


@njit(cache=True, nogil=True)
def _over(front, back, dimmed, out):
    height, width = front.shape[:2]
    for i in range(height):
        for j in range(width):
            top, below = front[i, j, 3], back[i, j, 3]
            if top == 255:
                for c in range(4):
                    out[i, j, c] = front[i, j, c]
            elif top or below:
                a = np.float32(top) * np.float32(1 / 255)
                b = np.float32(below) * np.float32(1 / 255) * dimmed * (1 - a)
                total = a + b
                share = np.float32(1) / total
                for c in range(3):
                    mixed = (front[i, j, c] * a + back[i, j, c] * b) * share
                    out[i, j, c] = np.uint8(mixed + np.float32(0.5))
                out[i, j, 3] = np.uint8(255 * total + np.float32(0.5))
