"""A picture of millions of points for the price of its pixels: sums over a fine grid, integrated along both axes.

``sums[r, c]`` is the sum over all cells below row r and left of column c (a summed-area table, Crow 1984, SIGGRAPH 18,
207), so that a rectangle of cells of any size costs four look-ups:

    S(r₀..r₁, c₀..c₁) = sums[r₁, c₁] − sums[r₁, c₀] − sums[r₀, c₁] + sums[r₀, c₀]

A pixel is the cells nearest to it. Where it is 2.3 cells wide, some take two columns and some three: counts are scaled by
the pixel's area over that of its cells, and rounded, so that no pattern shows and a lone object stays one. (Interpolating
between the cells' borders took three times as long, no quicker than the points themselves, and blurred lone objects.) A
view whose pixels lie on the borders of cells is drawn exactly as it would be point by point; in any other, positions are
good to half a cell, a quarter of a pixel at most, since finer views are left to `engine.maps.drawing.aggregate`. The grid spans
the bulk of the layout; the few points beyond it are drawn one by one.

Cost: building 6 ns a point and 2 ns a cell, there are about as many cells as points (4096² for 10⁷: 64 MiB of counts);
a picture is 2 ns a pixel, however many points it shows.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numba import njit

from engine import files
from engine.maps.drawing.points import View
from engine.maps.drawing.tiles import TileIndex, frozen

#: Points below which drawing them one by one is as quick: there is no pyramid of fewer.
FEWEST = 2_000_000
#: Cells that a pixel must be wide and high to be drawn from them.
CELLS_A_PIXEL = 2.0
#: Cells a side: as many cells as points or more, between these.
SIDES = (2048, 8192)
#: Every so many-th point is part of the fingerprint that says which points a stored pyramid is of.
PRINTED = 1009


@dataclass(frozen=True, eq=False)
class Pyramid:
    """Sums over a grid, integrated.

    Attributes
    ----------
    lower, upper : (2,) float64
        Corners of the grid.
    sums : (S + 1, S + 1) uint32 or float64
        What lies below each row and left of each column.
    beyond : three (o,) arrays
        x and y (float32) of the points that are not on the grid, and what each adds (as `sums`).
    """

    lower: np.ndarray
    upper: np.ndarray
    sums: np.ndarray
    beyond: tuple[np.ndarray, np.ndarray, np.ndarray]

    @classmethod
    def build(cls, index: TileIndex, values: np.ndarray | None = None, *, side: int | None = None) -> Pyramid:
        """Sum over the cells of a grid that spans the bulk of a layout.

        Parameters
        ----------
        index : TileIndex
        values : (M,) uint8, bool or float32, optional
            What each point adds, in tile order; 1 if not given. NaN adds nothing.
        side : int, optional
            Cells a side, S; as many cells as points if not given.
        """
        side = cells(len(index)) if side is None else side
        lower = index.lower.copy()
        upper = np.where(index.scale > 0, lower + index.side / np.where(index.scale > 0, index.scale, 1), lower)
        if values is not None:
            values = frozen(values.view(np.uint8) if values.dtype == bool else values)
        whole = values is None or (values.dtype.kind in "ub" and int(values.sum(dtype=np.uint64)) < 2**32)
        sums = np.zeros((side + 1, side + 1), np.uint32 if whole and len(index) < 2**32 else np.float64)
        beyond = np.empty(len(index), bool)
        _fill(index.x, index.y, values, lower, upper, sums, beyond)
        _integrate(sums)
        at = np.flatnonzero(beyond)
        added = np.ones(len(at), sums.dtype) if values is None else np.nan_to_num(values[at]).astype(sums.dtype)
        return cls(lower, upper, frozen(sums), (index.x[at], index.y[at], added))

    @property
    def side(self) -> int:
        """Cells a side."""
        return len(self.sums) - 1

    def resolves(self, view: View) -> bool:
        """Whether the pixels of a view are large enough to be drawn from cells."""
        span = self.upper - self.lower
        if not (span > 0).all():
            return False
        return bool((np.array(view.unit) * self.side / span >= CELLS_A_PIXEL).all())

    def counts(self, view: View) -> np.ndarray:
        """Points a pixel, of a pyramid of counts, (H, W) uint32; the first row is the lowest y."""
        out = np.empty((view.height, view.width), np.uint32)
        (columns, wide), (rows, high) = self._edges(0, view), self._edges(1, view)
        _draw(self.sums, rows, columns, high, wide, out)
        _add(*self.beyond, view.box, out)
        return out

    def raw(self, view: View, out: np.ndarray | None = None) -> np.ndarray:
        """Sums over the cells nearest to each pixel: what ratios are taken of, (H, W) of the type of `sums`, or into `out`."""
        out = np.empty((view.height, view.width), self.sums.dtype) if out is None else out
        _draw(self.sums, self._edges(1, view)[0], self._edges(0, view)[0], None, None, out)
        _add(*self.beyond, view.box, out)
        return out

    def halved(self) -> Pyramid:
        """The same on cells twice as wide and high."""
        return Pyramid(self.lower, self.upper, frozen(np.ascontiguousarray(self.sums[::2, ::2])), self.beyond)

    def _edges(self, axis: int, view: View) -> tuple[np.ndarray, np.ndarray]:
        """Cell borders nearest to those of the pixels, (n + 1,) int64, and each pixel's size over that of its cells."""
        low, pixels = ((view.x0, view.width), (view.y0, view.height))[axis]
        span = self.upper[axis] - self.lower[axis]
        scale = self.side / span if span > 0 else 0.0
        edges = np.rint((low - self.lower[axis]) * scale + np.arange(pixels + 1) * (view.unit[axis] * scale))
        share = (view.unit[axis] * scale / np.maximum(np.diff(edges), 1)).astype(np.float32)
        return np.clip(edges, 0, self.side).astype(np.int64), share

    # -- on disk ------------------------------------------------------------------------------------------------------

    def save(self, folder: Path, index: TileIndex) -> None:
        """Keep a pyramid of counts beside the index that it was made of; what says that it is whole comes last."""
        (folder / "pyramid.json").unlink(missing_ok=True)
        files.write_npy(folder / "pyramid.npy", self.sums)
        files.write_json(
            folder / "pyramid.json",
            {
                "lower": self.lower.tolist(),
                "upper": self.upper.tolist(),
                "points": fingerprint(index),
            },
        )

    @classmethod
    def load(cls, folder: Path, index: TileIndex) -> Pyramid | None:
        """Open a pyramid of counts; None if there is none, or it is damaged, or of other points."""
        try:
            about = files.read_json(folder / "pyramid.json")
            sums = files.read_npy(folder / "pyramid.npy")
            lower, upper = (np.array(about[name], np.float64) for name in ("lower", "upper"))
            if lower.shape != (2,) or upper.shape != (2,) or about["points"] != fingerprint(index):
                return None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        beyond = np.empty(len(index), bool)
        _beyond(index.x, index.y, lower, upper, beyond)
        at = np.flatnonzero(beyond)
        single = index.x[at], index.y[at], np.ones(len(at), np.uint32)
        return cls(lower, upper, frozen(sums), single) if _whole(sums, len(index) - len(at)) else None


def _whole(sums: np.ndarray, total: int) -> bool:
    """Whether stored sums can be those of so many points: their shape, and that they rise to that number."""
    if sums.dtype != np.uint32 or sums.ndim != 2 or sums.shape[0] != sums.shape[1] or len(sums) < 2:
        return False
    ends = np.asarray(sums[-1], np.int64), np.asarray(sums[:, -1], np.int64)
    return bool(sums[-1, -1] == total and all(end[0] == 0 and (np.diff(end) >= 0).all() for end in ends))


def cells(count: int) -> int:
    """Cells a side for so many points: a power of two whose square is no less, within `SIDES`."""
    side = SIDES[0]
    while side < SIDES[1] and side**2 < count:
        side *= 2
    return side


def counted(folder: Path, index: TileIndex) -> Pyramid | None:
    """The counts of a stored layout, read if they are there and built if not; None of few points.

    Parameters
    ----------
    folder : Path
        Where the layout's tiles are kept.
    """
    if len(index) < FEWEST:
        return None
    return Pyramid.load(folder, index) or Pyramid.build(index)


def store(folder: Path, index: TileIndex) -> None:
    """Keep the counts of a layout with its tiles, if there are points enough to need them."""
    if len(index) < FEWEST:
        (folder / "pyramid.json").unlink(missing_ok=True)
        (folder / "pyramid.npy").unlink(missing_ok=True)
    else:
        Pyramid.build(index).save(folder, index)


def fingerprint(index: TileIndex) -> str:
    """A few words that no other layout has: how many points, and a checksum of some of them."""
    some = np.concatenate([index.x[::PRINTED], index.y[::PRINTED]])
    return f"{len(index)} points, {zlib.crc32(some.tobytes()):08x} {zlib.crc32(index.bounds.tobytes()):08x}"


# -- the kernels ------------------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def _cell(value, low, high, side):
    """Cell of a coordinate along one axis, by the rule for pixels; −1 beyond the grid."""
    if not (value >= low and value <= high and high > low):
        return -1
    scale = side / (high - low)
    return min(int(value * scale - low * scale), side - 1)


@njit(cache=True, nogil=True)
def _fill(x, y, values, lower, upper, sums, beyond):
    """Add every point to the cell above and right of which it counts; mark those that have none."""
    side = len(sums) - 1
    for i in range(len(x)):
        column = _cell(np.float64(x[i]), lower[0], upper[0], side)
        row = _cell(np.float64(y[i]), lower[1], upper[1], side)
        beyond[i] = column < 0 or row < 0
        if not beyond[i]:
            if values is None:
                sums[row + 1, column + 1] += 1
            elif values[i] == values[i]:
                sums[row + 1, column + 1] += values[i]


@njit(cache=True, nogil=True)
def _beyond(x, y, lower, upper, beyond):
    for i in range(len(x)):
        px, py = np.float64(x[i]), np.float64(y[i])
        across = px >= lower[0] and px <= upper[0] and upper[0] > lower[0]
        beyond[i] = not (across and py >= lower[1] and py <= upper[1] and upper[1] > lower[1])


@njit(cache=True, nogil=True)
def _integrate(sums):
    """Running sums along both axes, in place; the first row and column are zero."""
    side = len(sums) - 1
    for r in range(1, side + 1):
        below, own = sums[r - 1], sums[r]
        total = sums[0, 0]
        for c in range(1, side + 1):
            total += own[c]
            own[c] = total
        for c in range(1, side + 1):
            own[c] += below[c]


@njit(cache=True, nogil=True)
def _draw(sums, rows, columns, high, wide, out):
    """Sum over the cells of each pixel; with `high` and `wide` scaled by its area and rounded, something never to none."""
    height, width = out.shape
    for i in range(height):
        below, above, line = sums[rows[i]], sums[rows[i + 1]], out[i]
        left = above[columns[0]] - below[columns[0]]
        for j in range(width):
            right = above[columns[j + 1]] - below[columns[j + 1]]
            if wide is None:
                line[j] = right - left
            else:
                count = np.float32(right - left)
                line[j] = np.uint32(max(count * high[i] * wide[j] + np.float32(0.5), min(count, np.float32(1))))
            left = right


@njit(cache=True, nogil=True)
def _add(x, y, added, box, out):
    """Add single points to the pixels that they are in; the rule is datashader's."""
    height, width = out.shape
    x0, x1, y0, y1 = box
    sx, sy = width / (x1 - x0), height / (y1 - y0)
    tx, ty = -x0 * sx, -y0 * sy
    for i in range(len(x)):
        px, py = np.float64(x[i]), np.float64(y[i])
        if px >= x0 and px <= x1 and py >= y0 and py <= y1:
            out[min(int(py * sy + ty), height - 1), min(int(px * sx + tx), width - 1)] += added[i]
