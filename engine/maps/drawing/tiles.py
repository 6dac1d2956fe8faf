"""Points of a layout sorted into tiles, so that drawing and selecting touch only what is near.

A grid of side × side tiles covers the layout; points are kept in tile order, row by row, and ``starts[t]`` is where
tile t begins. A view then is at most `side` slices of contiguous memory (a Morton curve would give as many, and no
strip of the picture that fits a cache). The tile number of a coordinate is a monotone function of it (clipped at the
edges), so a slice never misses a point, and far outliers cannot squeeze the rest into one tile: the grid spans the
bulk of the points, its outer tiles reach to infinity.

Cost: building is one counting sort, two passes over the positions without a copy of them (0.6 s for 10⁷ points on one
core), and 12 bytes a point; a view is O(points in it + tiles in it).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numba import njit

from engine import files
from engine.maps.drawing import bits

#: Tiles a side, and the number of points up to which that many are enough: a tile then holds some hundred points.
SIDES = ((256, 2**24), (512, 2**26), (1024, None))
#: Share of the points, in percent, beyond the grid on each side; outer tiles hold them.
TAIL = 0.1
#: Points looked at to place the grid.
SAMPLE = 100_000
#: Arrays of an index that are files of their own, and what they hold.
ARRAYS = {"order": ("int32", "int64"), "x": ("float32",), "y": ("float32",), "starts": ("int64",)}


@dataclass(frozen=True, eq=False)
class TileIndex:
    """Placed points of a layout in tile order. Its arrays are read-only.

    Attributes
    ----------
    count : int
        N, rows of the layout, placed or not.
    side : int
        Tiles a side.
    lower, scale : (2,) float64
        Tile of a coordinate: ``clip(floor((x − lower) · scale), 0, side − 1)``, taken in float32.
    bounds : (4,) float64
        x0, x1, y0, y1: extent of the points; zeros if there are none.
    order : (M,) int32 (int64 where N ≥ 2³¹)
        Row of each point, M ≤ N the points with a finite position; ascending within a tile.
    x, y : (M,) float32
        Their coordinates, in the same order.
    starts : (side² + 1,) int64
        First point of every tile; tile number is ``side · tile_y + tile_x``.
    """

    count: int
    side: int
    lower: np.ndarray
    scale: np.ndarray
    bounds: np.ndarray
    order: np.ndarray
    x: np.ndarray
    y: np.ndarray
    starts: np.ndarray

    def __post_init__(self):
        for name in ARRAYS:  # compiled code then meets one kind of array, whether it came from a file or not
            object.__setattr__(self, name, frozen(getattr(self, name)))

    @classmethod
    def build(cls, xy: np.ndarray, *, side: int | None = None) -> TileIndex:
        """Sort the points of a layout into tiles.

        Parameters
        ----------
        xy : (N, 2) float32
            Rows with a NaN or infinite coordinate are left out. It may be memory-mapped.
        side : int, optional
            Tiles a side, 1 to 1024; by the number of points if not given.

        Raises
        ------
        ValueError
            If `side` is out of range.
        """
        xy = frozen(np.ascontiguousarray(xy, np.float32).reshape(-1, 2))
        side = next(s for s, most in SIDES if most is None or len(xy) <= most) if side is None else side
        if not 1 <= side <= SIDES[-1][0]:
            raise ValueError(f"side is {side}, not in 1..{SIDES[-1][0]}")
        bounds, placed = _extent(xy)
        sample = np.asarray(xy[:: max(1, len(xy) // SAMPLE)])
        sample = sample[np.isfinite(sample).all(axis=1)]
        if len(sample) == 0 and placed:  # the placed few slipped through the sample
            sample = bounds.reshape(2, 2).T
        grid = [_axis(sample[:, axis], bounds[2 * axis], bounds[2 * axis + 1], side) for axis in (0, 1)]
        lower, scale = np.array([g[0] for g in grid]), np.array([g[1] for g in grid])
        starts = _starts(xy, lower, scale, side)
        order = np.empty(placed, np.int32 if len(xy) < 2**31 else np.int64)
        x, y = np.empty(placed, np.float32), np.empty(placed, np.float32)
        _sort(xy, lower, scale, side, starts[:-1].copy(), order, x, y)
        return cls(len(xy), side, lower, scale, bounds, order, x, y, starts)

    def __len__(self) -> int:
        return len(self.order)

    # -- views --------------------------------------------------------------------------------------------------------

    def slices(self, x0: float, x1: float, y0: float, y1: float) -> np.ndarray:
        """Ranges of points, in tile order, that hold every point of a box (and some just outside it).

        Returns
        -------
        (s, 2) int64
            Begin and end of each range, ascending, none empty, none touching the next.
        """
        return joined(ranges_of_tiles(self.starts, self.tiles(x0, x1, y0, y1), self.side))

    def tiles(self, x0: float, x1: float, y0: float, y1: float) -> tuple[int, int, int, int]:
        """First and last column, first and last row of the tiles that a box touches; (0, −1, 0, −1) if it is empty.

        Every point of a tile strictly between these is inside the box.
        """
        if not (x1 >= x0 and y1 >= y0) or len(self) == 0:
            return 0, -1, 0, -1
        corners = ((x0, 0), (x1, 0), (y0, 1), (y1, 1))
        first, last, low, high = (
            int(_tile(np.float32(v), np.float32(self.lower[a]), np.float32(self.scale[a]), self.side))
            for v, a in corners
        )
        return first, last, low, high

    def rows_in(self, x0: float, x1: float, y0: float, y1: float) -> np.ndarray:
        """Rows of the objects inside a box, its border included, ascending.

        Returns
        -------
        (n,) int64
        """
        chosen = bits.empty(self.count)
        _mark_box(self.x, self.y, self.order, self.slices(x0, x1, y0, y1), (x0, x1, y0, y1), chosen)
        return bits.rows(chosen)

    def nearest(self, x: float, y: float, radius: float, radius_y: float | None = None) -> int | None:
        """Row of the object nearest to a place, or None if none is within reach.

        Parameters
        ----------
        x, y : float
        radius, radius_y : float
            Reach along x and y, the half axes of an ellipse (a circle on the screen); `radius_y` is `radius` if not
            given.
        """
        reach = radius if radius_y is None else radius_y
        near = self.slices(x - radius, x + radius, y - reach, y + reach)
        found = _nearest(self.x, self.y, near, float(x), float(y), float(radius), float(reach))
        return int(self.order[found]) if found >= 0 else None

    # -- between rows and points --------------------------------------------------------------------------------------

    def ordered(self, column: np.ndarray) -> np.ndarray:
        """A column of the survey, (N,), brought into tile order, (M,)."""
        return np.take(column, self.order, axis=0)

    @cached_property
    def position(self) -> np.ndarray:
        """Where each row's point is in tile order, (N,) of the type of `order`; −1 where it has no position."""
        position = np.full(self.count, -1, self.order.dtype)
        position[self.order] = np.arange(len(self.order), dtype=self.order.dtype)
        return frozen(position)

    # -- on disk ------------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Keep the index in `folder` (beside the layout); the grid is written last and so says that it is whole."""
        (folder / "grid.json").unlink(missing_ok=True)
        for name in ARRAYS:
            files.write_npy(folder / f"{name}.npy", getattr(self, name))
        files.write_json(
            folder / "grid.json",
            {
                "count": self.count,
                "side": self.side,
                "lower": self.lower.tolist(),
                "scale": self.scale.tolist(),
                "bounds": self.bounds.tolist(),
            },
        )

    @classmethod
    def load(cls, folder: Path) -> TileIndex | None:
        """Open an index that was saved, memory-mapped; None if there is no whole one."""
        if not (folder / "grid.json").is_file():
            return None
        try:
            grid = files.read_json(folder / "grid.json")
            arrays = {name: files.read_npy(folder / f"{name}.npy") for name in ARRAYS}
            vectors = {name: np.array(grid[name], np.float64) for name in ("lower", "scale", "bounds")}
            found = cls(count=int(grid["count"]), side=int(grid["side"]), **vectors, **arrays)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):  # cut short, or not ours: it is built anew
            return None
        return found if _whole(found) else None


def frozen(array: np.ndarray) -> np.ndarray:
    """A read-only view of an array."""
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view


def ranges_of_tiles(starts: np.ndarray, tiles: tuple[int, int, int, int], side: int) -> np.ndarray:
    """Ranges of points of a rectangle of tiles, one a row of tiles, (rows, 2) int64.

    Parameters
    ----------
    starts : (side² + 1,) int64
    tiles : first and last column, first and last row
    """
    first, last, low, high = tiles
    if last < first or high < low:
        return np.empty((0, 2), np.int64)
    row = np.arange(low, high + 1) * side
    return np.stack([starts[row + first], starts[row + last + 1]], axis=1)


def joined(ranges: np.ndarray) -> np.ndarray:
    """The same ranges without empty ones, those that touch joined to one; (s, 2) int64."""
    ranges = ranges[ranges[:, 1] > ranges[:, 0]]
    breaks = np.flatnonzero(ranges[1:, 0] > ranges[:-1, 1])
    begin = np.concatenate([[0], breaks + 1])[: len(ranges)]
    end = np.concatenate([breaks, [len(ranges) - 1]])[: len(ranges)]
    return np.stack([ranges[begin, 0], ranges[end, 1]], axis=1)


def _axis(sample: np.ndarray, least: float, most: float, side: int) -> tuple[float, float]:
    """Lower edge and tiles per unit of the grid along one axis."""
    if len(sample) == 0:
        return 0.0, 0.0
    low, high = np.percentile(sample, [TAIL, 100 - TAIL]).astype(np.float64)
    margin = 0.05 * (high - low)
    low, high = max(low - margin, float(least)), min(high + margin, float(most))
    scale = side / (high - low) if high > low else 0.0
    return low, scale if scale < np.finfo(np.float32).max else 0.0


def _whole(index: TileIndex) -> bool:
    """Whether the arrays of a stored index are of the sizes and types that belong together."""
    points, tiles = len(index.order), index.side**2
    types = all(getattr(index, name).dtype.name in allowed for name, allowed in ARRAYS.items())
    shapes = index.order.shape == index.x.shape == index.y.shape == (points,) and index.starts.shape == (tiles + 1,)
    return bool(types and shapes and points <= index.count and index.starts[0] == 0 and index.starts[-1] == points)


# -- the kernels ------------------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def _tile(value, lower, scale, side):
    """Tile of a coordinate along one axis, all in float32; monotone in the coordinate, which the slices rely on."""
    place = (value - lower) * scale
    if not place > 0:  # NaN too: infinity times zero
        return 0
    return side - 1 if place >= side - 1 else int(place)


@njit(cache=True, nogil=True)
def _extent(xy):
    """x0, x1, y0, y1 of the finite points, zeros if there are none; and how many they are."""
    bounds = np.array([np.inf, -np.inf, np.inf, -np.inf])
    placed = 0
    for i in range(len(xy)):
        x, y = np.float64(xy[i, 0]), np.float64(xy[i, 1])
        if np.isfinite(x) and np.isfinite(y):
            placed += 1
            bounds[0], bounds[1] = min(bounds[0], x), max(bounds[1], x)
            bounds[2], bounds[3] = min(bounds[2], y), max(bounds[3], y)
    return (bounds if placed else np.zeros(4)), placed


@njit(cache=True, nogil=True)
def _tile_of_point(xy, i, lower, scale, side):
    """Tile number of a row, −1 if it has no place."""
    if not (np.isfinite(xy[i, 0]) and np.isfinite(xy[i, 1])):
        return -1
    column = _tile(xy[i, 0], np.float32(lower[0]), np.float32(scale[0]), side)
    return _tile(xy[i, 1], np.float32(lower[1]), np.float32(scale[1]), side) * side + column


@njit(cache=True, nogil=True)
def _starts(xy, lower, scale, side):
    """First point of every tile, (side² + 1,) int64."""
    starts = np.zeros(side * side + 1, np.int64)
    for i in range(len(xy)):
        tile = _tile_of_point(xy, i, lower, scale, side)
        if tile >= 0:
            starts[tile + 1] += 1
    for tile in range(side * side):
        starts[tile + 1] += starts[tile]
    return starts


@njit(cache=True, nogil=True)
def _sort(xy, lower, scale, side, fill, order, x, y):
    """Put every point where its tile has got to; `fill` begins as the starts."""
    for i in range(len(xy)):
        tile = _tile_of_point(xy, i, lower, scale, side)
        if tile >= 0:
            at = fill[tile]
            fill[tile] = at + 1
            order[at], x[at], y[at] = i, xy[i, 0], xy[i, 1]


@njit(cache=True, nogil=True)
def _mark_box(x, y, order, ranges, box, chosen):
    """Mark the rows of the points inside a box; in float64, for in float32 its sides would be rounded."""
    x0, x1, y0, y1 = box
    for r in range(len(ranges)):
        for i in range(ranges[r, 0], ranges[r, 1]):
            px, py = np.float64(x[i]), np.float64(y[i])
            if px >= x0 and px <= x1 and py >= y0 and py <= y1:
                bits.mark(chosen, np.int64(order[i]))


@njit(cache=True, nogil=True)
def _nearest(x, y, ranges, x0, y0, radius, radius_y):
    """Position of the point nearest to a place, −1 if none is within reach."""
    best, found = 1.0, -1
    for r in range(len(ranges)):
        for i in range(ranges[r, 0], ranges[r, 1]):
            distance = ((x[i] - x0) / radius) ** 2 + ((y[i] - y0) / radius_y) ** 2
            if distance < best or (distance == best and found < 0):
                best, found = distance, i
    return found
