"""From points to sums a pixel: datashader aggregates the points in view, small counts are drawn as soft discs.

Points come in tile order (`engine.maps.tiles`), so a view reads a few slices of memory; columns are always called
``c`` (a number) or ``k`` (a category code), because datashader compiles anew for each other name, dtype or list of
categories. Cost of 1000×800 pixels: 3 ms for 10⁶ points, 20 ms for 10⁷ in full view, 3 ms zoomed in; discs cost their
area for each point.
"""

from __future__ import annotations

from dataclasses import dataclass

import datashader as ds
import numpy as np
import pandas as pd
from numba import njit

from engine.maps.tiles import TileIndex

#: Layers of a count by category: as many codes as there are colours, and a last one for unknown.
LAYERS = 21
_KINDS = pd.CategoricalDtype(list(range(LAYERS)))


@dataclass(frozen=True)
class View:
    """A part of the plane, and the pixels it is drawn on."""

    x0: float
    y0: float
    x1: float
    y1: float
    width: int
    height: int

    def grown(self, share: float) -> View:
        """The view with a margin on every side, as a share of its size, so that a pan does not uncover blank edges."""
        columns, rows = round(self.width * share), round(self.height * share)
        dx, dy = (self.x1 - self.x0) * columns / self.width, (self.y1 - self.y0) * rows / self.height
        return View(
            self.x0 - dx, self.y0 - dy, self.x1 + dx, self.y1 + dy, self.width + 2 * columns, self.height + 2 * rows
        )

    @property
    def unit(self) -> tuple[float, float]:
        """Width and height of a pixel in the layout's coordinates."""
        return (self.x1 - self.x0) / self.width, (self.y1 - self.y0) / self.height


class Points:
    """Points of a layout in tile order, or a part of them: what is drawn in one layer.

    Parameters
    ----------
    index : TileIndex
    positions : (m,) int64, ascending, optional
        Which of its points, all if not given.
    """

    def __init__(self, index: TileIndex, positions: np.ndarray | None = None):
        self.index = index
        self.positions = positions
        self.x = index.x if positions is None else index.x[positions]
        self.y = index.y if positions is None else index.y[positions]

    @classmethod
    def of_rows(cls, index: TileIndex, rows: np.ndarray) -> Points:
        """The points of some objects; those without a position are left out."""
        positions = index.position[rows]
        return cls(index, np.sort(positions[positions >= 0]))

    def __len__(self) -> int:
        return len(self.x)

    def column(self, values: np.ndarray) -> np.ndarray:
        """A column of the survey, (N,), for these points."""
        order = self.index.order if self.positions is None else self.index.order[self.positions]
        return np.take(values, order)

    def near(self, view: View) -> slice | np.ndarray:
        """Index of the points in a view, and some just outside it."""
        if self.positions is None:
            return self.index.view(view.x0, view.x1, view.y0, view.y1)
        ranges = self.index.slices(view.x0, view.x1, view.y0, view.y1)
        begin, end = (np.searchsorted(self.positions, ranges[:, side]) for side in (0, 1))
        if (end - begin).sum() > 0.8 * len(self):
            return slice(None)
        parts = [np.arange(a, b) for a, b in zip(begin, end) if b > a]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def inside(self, view: View, near: slice | np.ndarray) -> np.ndarray:
        """Which of the points `near` a view are in it, bool."""
        x, y = self.x[near], self.y[near]
        return (x >= view.x0) & (x <= view.x1) & (y >= view.y0) & (y <= view.y1)


def aggregate(
    points: Points,
    view: View,
    *,
    numbers: np.ndarray | None = None,
    codes: np.ndarray | None = None,
    near: slice | np.ndarray | None = None,
) -> np.ndarray:
    """Sum points a pixel.

    Parameters
    ----------
    points : Points
    view : View
    numbers : (m,) float32, optional
        One value a point; NaN where unknown.
    codes : (m,) int8, optional
        One category a point, 0 to `LAYERS` − 1.
    near : optional
        `points.near(view)`, if it is known already.

    Returns
    -------
    (H, W) uint32 counts; with `numbers` (H, W, 3) float32: count, sum and number of known values; with `codes`
    (H, W, LAYERS) uint32. The first row is the lowest y.
    """
    near = points.near(view) if near is None else near
    canvas = ds.Canvas(view.width, view.height, (view.x0, view.x1), (view.y0, view.y1))
    columns = {"x": points.x[near], "y": points.y[near]}
    if codes is not None:
        columns["k"] = pd.Categorical.from_codes(codes[near], dtype=_KINDS)
        frame = pd.DataFrame(columns, copy=False)
        return canvas.points(frame, "x", "y", ds.by("k", ds.count())).values
    if numbers is not None:
        columns["c"] = numbers[near]
        frame = pd.DataFrame(columns, copy=False)
        found = canvas.points(frame, "x", "y", ds.summary(n=ds.count(), total=ds.sum("c"), known=ds.count("c")))
        return np.stack(
            [found["n"].values, np.nan_to_num(found["total"].values), found["known"].values], axis=-1
        ).astype(np.float32)
    return canvas.points(pd.DataFrame(columns, copy=False), "x", "y", ds.count()).values


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


@njit(cache=True, nogil=True)
def stamp(sums, weights):
    """Draw every pixel of `sums` as a disc.

    out[i, j] = Σ sums[i − a, j − b] · weights[a, b]: a correlation that visits only pixels with something in them.

    Parameters
    ----------
    sums : (H, W, C) float32
        Pixels whose channel 0 is zero are skipped.
    weights : (S, S) float32
        S odd.

    Returns
    -------
    (H, W, C) float32
    """
    height, width, channels = sums.shape
    reach = weights.shape[0] // 2
    out = np.zeros_like(sums)
    for i in range(height):
        for j in range(width):
            if sums[i, j, 0] == 0:
                continue
            for a in range(max(0, i - reach), min(height, i + reach + 1)):
                for b in range(max(0, j - reach), min(width, j + reach + 1)):
                    w = weights[a - i + reach, b - j + reach]
                    if w > 0:
                        for c in range(channels):
                            out[a, b, c] += w * sums[i, j, c]
    return out


def spread(sums: np.ndarray, radius: float) -> np.ndarray:
    """Draw sums as discs of a radius in pixels; half a pixel changes nothing."""
    sums = np.ascontiguousarray(sums, np.float32)
    return sums if radius <= 0.5 else stamp(sums, disc(radius))
