"""Points of a layout sorted into tiles, so that drawing and selecting touch only what is near.

A grid of side × side tiles covers the layout; points are kept in tile order, row by row, and ``starts[t]`` is where
tile t begins. A view then is at most `side` slices of contiguous memory. The tile number of a coordinate is a
monotone function of it (clipped at the edges), so a slice never misses a point, and far outliers cannot squeeze the
rest into one tile: the grid spans the bulk of the points, its outer tiles reach to infinity.

Cost: building is one counting sort, O(N); a view is O(points in it + tiles in it).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from engine import files

#: Tiles a side; 256² tile numbers fit uint16, which NumPy sorts by radix.
SIDE = 256
#: Share of the points, in percent, beyond the grid on each side; outer tiles hold them.
TAIL = 0.1
#: Points looked at to place the grid.
SAMPLE = 100_000
#: A view of more than this share of the points is drawn whole: copying the slices would cost more.
WHOLE = 0.8


@dataclass(frozen=True)
class TileIndex:
    """Placed points of a layout in tile order.

    Attributes
    ----------
    count : int
        N, rows of the layout, placed or not.
    side : int
        Tiles a side.
    lower, scale : (2,) float64
        Tile of a coordinate: ``clip(floor((x − lower) · scale), 0, side − 1)``.
    bounds : (4,) float64
        x0, x1, y0, y1: extent of the points; zeros if there are none.
    order : (M,) int64
        Row of each point, M ≤ N the points with a finite position.
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

    @classmethod
    def build(cls, xy: np.ndarray, *, side: int = SIDE) -> TileIndex:
        """Sort the points of a layout into tiles.

        Parameters
        ----------
        xy : (N, 2) float32
            Rows with a NaN or infinite coordinate are left out.
        side : int
            Tiles a side, 1 to 256.
        """
        if not 1 <= side <= SIDE:
            raise ValueError(f"side is {side}, not in 1..{SIDE}")
        xy = np.asarray(xy, np.float32)
        placed = np.flatnonzero(np.isfinite(xy).all(axis=1))
        x, y = (np.ascontiguousarray(xy[:, axis] if len(placed) == len(xy) else xy[placed, axis]) for axis in (0, 1))
        grid = [_axis(x, side), _axis(y, side)]
        lower, scale = np.array([g[0] for g in grid]), np.array([g[1] for g in grid])
        tile = _tile(y, lower[1], scale[1], side) * np.uint16(side) + _tile(x, lower[0], scale[0], side)
        sorting = np.argsort(tile, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(tile, minlength=side * side))]).astype(np.int64)
        bounds = np.array([x.min(), x.max(), y.min(), y.max()] if len(x) else [0, 0, 0, 0], np.float64)
        return cls(len(xy), side, lower, scale, bounds, placed[sorting], x[sorting], y[sorting], starts)

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
        if not (x1 >= x0 and y1 >= y0) or len(self) == 0:
            return np.empty((0, 2), np.int64)
        column = _tile(np.array([x0, x1]), self.lower[0], self.scale[0], self.side).astype(np.int64)
        row = _tile(np.array([y0, y1]), self.lower[1], self.scale[1], self.side).astype(np.int64)
        first = np.arange(row[0], row[1] + 1) * self.side
        ranges = np.stack([self.starts[first + column[0]], self.starts[first + column[1] + 1]], axis=1)
        ranges = ranges[ranges[:, 1] > ranges[:, 0]]
        breaks = np.flatnonzero(ranges[1:, 0] > ranges[:-1, 1])  # neighbours that touch become one range
        begin = np.concatenate([[0], breaks + 1])[: len(ranges)]
        end = np.concatenate([breaks, [len(ranges) - 1]])[: len(ranges)]
        return np.stack([ranges[begin, 0], ranges[end, 1]], axis=1)

    def view(self, x0: float, x1: float, y0: float, y1: float) -> slice | np.ndarray:
        """Points to draw for a box: an index into ``x``, ``y``, ``order`` and any column taken by `ordered`.

        Returns
        -------
        slice or (n,) int64
            ``slice(None)`` where most points are in view, so that nothing is copied.
        """
        ranges = self.slices(x0, x1, y0, y1)
        if (ranges[:, 1] - ranges[:, 0]).sum() > WHOLE * len(self):
            return slice(None)
        return _positions(ranges)

    def rows_in(self, x0: float, x1: float, y0: float, y1: float) -> np.ndarray:
        """Rows of the objects inside a box, its border included, ascending.

        Returns
        -------
        (n,) int64
        """
        near = _positions(self.slices(x0, x1, y0, y1))
        # in float64: compared with float32, the sides of the box would be rounded
        x, y = self.x[near].astype(np.float64), self.y[near].astype(np.float64)
        return np.sort(self.order[near[(x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)]])

    def nearest(self, x: float, y: float, radius: float, radius_y: float | None = None) -> int | None:
        """Row of the object nearest to a place, or None if none is within reach.

        Parameters
        ----------
        x, y : float
        radius, radius_y : float
            Reach along x and y, the half axes of an ellipse (a circle on the screen); `radius_y` is `radius` if not
            given.
        """
        reach_y = radius if radius_y is None else radius_y
        near = _positions(self.slices(x - radius, x + radius, y - reach_y, y + reach_y))
        if len(near) == 0:
            return None
        distance = ((self.x[near] - x) / radius) ** 2 + ((self.y[near] - y) / reach_y) ** 2
        best = int(np.argmin(distance))
        return int(self.order[near[best]]) if distance[best] <= 1 else None

    # -- between rows and points --------------------------------------------------------------------------------------

    def ordered(self, column: np.ndarray) -> np.ndarray:
        """A column of the survey, (N,), brought into tile order, (M,)."""
        return np.take(column, self.order, axis=0)

    @cached_property
    def position(self) -> np.ndarray:
        """Where each row's point is in tile order, (N,) int64; −1 where it has no position."""
        position = np.full(self.count, -1, np.int64)
        position[self.order] = np.arange(len(self.order))
        return position

    # -- on disk ------------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Keep the index in `folder` (beside the layout); the grid is written last and so says that it is whole."""
        (folder / "grid.json").unlink(missing_ok=True)
        for name in ("order", "x", "y", "starts"):
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
        grid = files.read_json(folder / "grid.json")
        arrays = {name: np.asarray(files.read_npy(folder / f"{name}.npy")) for name in ("order", "x", "y", "starts")}
        vectors = {name: np.array(grid[name], np.float64) for name in ("lower", "scale", "bounds")}
        return cls(count=grid["count"], side=grid["side"], **vectors, **arrays)


def _axis(values: np.ndarray, side: int) -> tuple[float, float]:
    """Lower edge and tiles per unit of the grid along one axis."""
    if len(values) == 0:
        return 0.0, 0.0
    sample = values[:: max(1, len(values) // SAMPLE)]
    low, high = np.percentile(sample, [TAIL, 100 - TAIL]).astype(np.float64)
    margin = 0.05 * (high - low)
    low, high = max(low - margin, float(values.min())), min(high + margin, float(values.max()))
    return low, side / (high - low) if high > low else 0.0


def _tile(values: np.ndarray, lower: float, scale: float, side: int) -> np.ndarray:
    """Tile of each coordinate along one axis; monotone in the coordinate, which the slices rely on."""
    with np.errstate(over="ignore", invalid="ignore"):
        place = (values.astype(np.float32) - np.float32(lower)) * np.float32(scale)
    return np.clip(np.nan_to_num(place, nan=0.0), 0, side - 1).astype(np.uint16)


def _positions(ranges: np.ndarray) -> np.ndarray:
    """All positions of some ranges, in order."""
    if len(ranges) == 0:
        return np.empty(0, np.int64)
    return np.concatenate([np.arange(begin, end) for begin, end in ranges])
