"""From the points in view to sums a pixel: counts, the mean of a column, mixtures and the commonest of categories.

Pixel of a point: column = ⌊(x − x0) · W / (x1 − x0)⌋, row likewise, in float64 and by the very operations of
``datashader.Canvas.points``, whose counts these equal pixel for pixel: a point on the upper border of the view falls into
the last pixel, one beyond into none. The first row is the lowest y.

Points come in tile order, so a view reads a few slices of memory and writes to a strip of the picture that fits a cache.
They go through in blocks: a block's pixel numbers are found first, by vector instructions, then added. Cost on one core:
1 ns a point near the view for counts, 2 ns with a column; and the pixels.
"""

from __future__ import annotations

import sys

import numpy as np
from numba import njit

from engine.maps.drawing.points import Points, View

#: Points that go through together: their pixel numbers and columns stay in the first cache.
BLOCK = 1024
#: Counters that `commonest` holds at once: the picture goes through it in strips of so many pixels times categories.
COUNTERS = 2**19
#: Two sums share a word, so that one addition does both: this one's place is in its upper half.
_HIGH = np.uint64(32)


def counts(points: Points, view: View) -> np.ndarray:
    """Points a pixel, (H, W) uint32."""
    out = np.zeros(view.height * view.width + 1, np.uint32)
    x, y, positions, ranges = _source(points, view)
    _count(x, y, positions, ranges, view.box, (view.height, view.width), out)
    return _picture(out, view)


def sums(points: Points, view: View, column: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points a pixel, and the sum of a column over those where it is known.

    Parameters
    ----------
    points : Points
    view : View
    column : (M,) float32
        One value for each point of the index, in tile order; NaN where unknown.

    Returns
    -------
    count : (H, W) uint32
    total : (H, W) float64
    known : (H, W) uint32
    """
    size = view.height * view.width + 1
    numbers, total = np.zeros(size, np.uint64), np.zeros(size, np.float64)
    x, y, positions, ranges = _source(points, view)
    _sum(x, y, positions, ranges, view.box, (view.height, view.width), column, numbers, total)
    both = _halves(_picture(numbers, view))
    return both[..., 0], _picture(total, view), both[..., 1]


def mixtures(points: Points, view: View, codes: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Points a pixel, and three sums of what their categories have in a table: their colours.

    Parameters
    ----------
    codes : (M,) uint8
        Category of each point of the index, in tile order, below K.
    table : (K, 3) uint8

    Returns
    -------
    (H, W, 4) uint32
        Count, then the three sums; exact as long as no pixel holds more than 2²⁴ points.
    """
    out = np.zeros((view.height * view.width + 1, 2), np.uint64)
    red, green, blue = np.asarray(table).astype(np.uint64).T
    weights = np.stack([np.uint64(1) + (red << _HIGH), green + (blue << _HIGH)], axis=1)
    x, y, positions, ranges = _source(points, view)
    _mix(x, y, positions, ranges, view.box, (view.height, view.width), codes, weights, out)
    return _halves(_picture(out, view)).reshape(view.height, view.width, 4)


def commonest(points: Points, view: View, codes: np.ndarray, kinds: int) -> tuple[np.ndarray, np.ndarray]:
    """Points a pixel, and the category that most of them have; the lowest code where several have as many.

    The picture goes through in strips, so that the counts of all categories are never there at once.

    Parameters
    ----------
    codes : (M,) uint8
        In tile order, below `kinds`.
    kinds : int
        Number of categories, at most 255.

    Returns
    -------
    count : (H, W) uint32
    top : (H, W) uint8
        255 where there is no point.
    """
    count = np.zeros((view.height, view.width), np.uint32)
    top = np.full((view.height, view.width), 255, np.uint8)
    rows = max(1, COUNTERS // (view.width * kinds))
    buffer = np.empty((rows * view.width + 1, kinds), np.uint32)
    x, y, positions, _ = _source(points, view)
    x0, x1, y0, _ = view.box
    unit = view.unit[1]
    for low in range(0, view.height, rows):
        high = min(low + rows, view.height)
        # one pixel more on either side: which of its points are of this strip is decided as for the whole picture
        ranges = points.ranges((x0, x1, y0 + (low - 1) * unit, y0 + (high + 1) * unit))
        buffer[:] = 0
        _count_kinds(x, y, positions, ranges, view.box, (view.height, view.width), low, high, codes, buffer)
        _winners(buffer, count[low:high], top[low:high])
    return count, top


def _halves(words: np.ndarray) -> np.ndarray:
    """The two numbers below 2³² that each uint64 holds, the low one first; (..., 2) uint32, a view."""
    pairs = words.view(np.uint32).reshape(*words.shape, 2)
    return pairs if sys.byteorder == "little" else pairs[..., ::-1]


def _source(points: Points, view: View):
    """Coordinates, positions and ranges, as the kernels take them."""
    return points.index.x, points.index.y, points.positions, points.ranges(view.box)


def _picture(sums: np.ndarray, view: View) -> np.ndarray:
    """A flat picture without its last place, which took what is out of view."""
    return sums[:-1].reshape(view.height, view.width, *sums.shape[1:])


# -- the kernels; `positions` is None for all points, and the branch is then not compiled ------------------------------


@njit(cache=True, nogil=True)
def _pixels(x, y, box, shape, out):
    """Pixel number of each point, H · W out of view. By datashader's own operations, written without branches."""
    x0, x1, y0, y1 = box
    sx, sy = shape[1] / (x1 - x0), shape[0] / (y1 - y0)
    tx, ty = -x0 * sx, -y0 * sy
    last_column, last_row = np.float64(shape[1] - 1), np.float64(shape[0] - 1)
    width, nowhere = np.float64(shape[1]), np.float64(shape[0] * shape[1])
    for k in range(x.size):
        px, py = np.float64(x[k]), np.float64(y[k])
        inside = (px >= x0) & (px <= x1) & (py >= y0) & (py <= y1)
        column = min(np.trunc(px * sx + tx), last_column)
        row = min(np.trunc(py * sy + ty), last_row)
        pixel = row * width + column
        out[k] = np.int32(pixel if inside else nowhere)


@njit(cache=True, nogil=True)
def _take(values, positions, begin, end, out):
    """Values of a block of points."""
    if positions is None:
        return values[begin:end]
    for k in range(end - begin):
        out[k] = values[positions[begin + k]]
    return out[: end - begin]


@njit(cache=True, nogil=True)
def _count(x, y, positions, ranges, box, shape, out):
    pixel = np.empty(BLOCK, np.int32)
    xs, ys = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    for r in range(len(ranges)):
        for begin in range(ranges[r, 0], ranges[r, 1], BLOCK):
            end = min(begin + BLOCK, ranges[r, 1])
            _pixels(_take(x, positions, begin, end, xs), _take(y, positions, begin, end, ys), box, shape, pixel)
            for k in range(end - begin):
                out[np.uint32(pixel[k])] += np.uint32(1)


@njit(cache=True, nogil=True)
def _sum(x, y, positions, ranges, box, shape, column, numbers, total):
    """Add each point's value to `total`, and 1 to the low half of `numbers`, to the high half where it is known."""
    pixel = np.empty(BLOCK, np.int32)
    xs, ys, vs = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    for r in range(len(ranges)):
        for begin in range(ranges[r, 0], ranges[r, 1], BLOCK):
            end = min(begin + BLOCK, ranges[r, 1])
            _pixels(_take(x, positions, begin, end, xs), _take(y, positions, begin, end, ys), box, shape, pixel)
            values = _take(column, positions, begin, end, vs)
            for k in range(end - begin):
                p, v = np.uint32(pixel[k]), values[k]
                known = v == v
                total[p] += np.float64(v if known else np.float32(0))
                numbers[p] += (np.uint64(known) << _HIGH) + np.uint64(1)


@njit(cache=True, nogil=True)
def _mix(x, y, positions, ranges, box, shape, codes, weights, out):
    """Add to each pixel the two words of the point's category."""
    pixel = np.empty(BLOCK, np.int32)
    xs, ys, cs = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32), np.empty(BLOCK, np.uint8)
    for r in range(len(ranges)):
        for begin in range(ranges[r, 0], ranges[r, 1], BLOCK):
            end = min(begin + BLOCK, ranges[r, 1])
            _pixels(_take(x, positions, begin, end, xs), _take(y, positions, begin, end, ys), box, shape, pixel)
            kinds = _take(codes, positions, begin, end, cs)
            for k in range(end - begin):
                p, kind = np.uint32(pixel[k]), np.uint32(kinds[k])
                out[p, 0] += weights[kind, 0]
                out[p, 1] += weights[kind, 1]


@njit(cache=True, nogil=True)
def _count_kinds(x, y, positions, ranges, box, shape, low, high, codes, out):
    """Count by category in the rows low ≤ row < high of the picture; the last place of `out` takes the rest."""
    pixel = np.empty(BLOCK, np.int32)
    xs, ys, cs = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32), np.empty(BLOCK, np.uint8)
    first, beyond, rest = low * shape[1], high * shape[1], len(out) - 1
    for r in range(len(ranges)):
        for begin in range(ranges[r, 0], ranges[r, 1], BLOCK):
            end = min(begin + BLOCK, ranges[r, 1])
            _pixels(_take(x, positions, begin, end, xs), _take(y, positions, begin, end, ys), box, shape, pixel)
            kinds = _take(codes, positions, begin, end, cs)
            for k in range(end - begin):
                p = np.int64(pixel[k])
                out[np.uint32(p - first if first <= p < beyond else rest), np.uint32(kinds[k])] += np.uint32(1)


@njit(cache=True, nogil=True)
def _winners(counted, count, top):
    """Of the counts by category of each pixel, their sum and the largest."""
    height, width = count.shape
    for i in range(height):
        for j in range(width):
            own = counted[i * width + j]
            best, total = np.uint32(0), np.uint32(0)
            for kind in range(own.size):
                n = own[kind]
                total += n
                if n > best:
                    best = n
                    top[i, j] = kind
            count[i, j] = total
