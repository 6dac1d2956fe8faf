"""Sums a pixel of some points by one column: from the points in view or from pyramids, whichever costs less.

What a column needs of a layout (its values in the order of the tiles, a directory of its categories, pyramids) is made
when it is first drawn, in the thread that draws: 0.3 s for 10⁷ objects. It is kept as long as the colouring.
"""

from __future__ import annotations

from functools import cached_property

import datashader as ds
import numpy as np
import pandas as pd

from app.columns import Values
from engine.maps.drawing import aggregate
from engine.maps.drawing.census import Census
from engine.maps.drawing.points import Points, View
from engine.maps.drawing.pyramid import FEWEST, Pyramid, cells
from engine.maps.drawing.tiles import TileIndex, frozen


class Brought:
    """A column in the order of a layout's tiles, and its pyramids.

    Parameters
    ----------
    values : Values
    index : TileIndex
    colours : (K, 3) uint8
        Of the categories, the unknown one last; of no use for numbers.
    """

    def __init__(self, values: Values, index: TileIndex, colours: np.ndarray):
        self.values, self.index, self.colours = values, index, colours

    @cached_property
    def column(self) -> np.ndarray:
        """Numbers (M,) float32, NaN where unknown; or categories (M,) uint8, K − 1 where unknown."""
        found = self.index.ordered(self.values.array)
        if self.values.kind == "category":
            return frozen(np.where(found < 0, len(self.colours) - 1, found).astype(np.uint8))
        finite = np.isfinite(found)
        if not finite.all():
            found[~finite] = np.nan
        return frozen(found)

    @cached_property
    def numbers(self) -> tuple[Pyramid, Pyramid | None]:
        """Sum of the known numbers, and how many are known (None: all)."""
        side = self._side
        total, known = Pyramid.build(self.index, self.column, side=side), np.isfinite(self.column)
        return total, None if known.all() else Pyramid.build(self.index, known, side=side)

    @cached_property
    def mixtures(self) -> list[Pyramid]:
        """Sums of red, green and blue."""
        return [Pyramid.build(self.index, self.colours[self.column, c], side=self._side) for c in range(3)]

    @cached_property
    def counts(self) -> Pyramid:
        """Points, on the same cells."""
        return Pyramid.build(self.index, side=self._side)

    @property
    def _side(self) -> int:
        """Half as many cells a side as for counts: there are several of these."""
        return cells(len(self.index)) // 2


class Sums:
    """Sums a pixel of some points.

    Parameters
    ----------
    points : Points
    brought : Brought, optional
        Not for densities.
    """

    def __init__(self, points: Points, brought: Brought | None = None):
        self.points, self._given = points, brought

    @property
    def brought(self) -> Brought:
        """The column, where there is one."""
        if self._given is None:
            raise ValueError("a density has no column")
        return self._given

    @cached_property
    def _census(self) -> Census:
        if self._given is None or self._given.values.kind != "category":
            return Census(self.points)
        return Census(self.points, self._given.column, kinds=len(self._given.colours))

    def within(self, box: tuple[float, float, float, float]) -> np.ndarray:
        """Objects in a box, (K,) int64: by category where there are some, the unknown last."""
        return self._census.within(box)

    def counts(self, view: View) -> np.ndarray:
        """Points a pixel, (H, W) uint32."""
        pyramid = self.points.pyramid
        if pyramid is not None and self._pays(pyramid, view):
            return pyramid.counts(view)
        return aggregate.counts(self.points, view)

    def sums(self, view: View) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Points a pixel, sum of the column and number of known values, whose ratio is the mean; three (H, W)."""
        brought = self.brought
        if not self._pays(self.points.pyramid, view) or not self._pays(brought.counts, view):
            return aggregate.sums(self.points, view, brought.column)
        total, known = brought.numbers
        return brought.counts.counts(view), total.raw(view), (brought.counts if known is None else known).raw(view)

    def extremes(self, view: View, statistic: str) -> np.ndarray:
        """The largest ('max') or smallest ('min') known value a pixel, (H, W) float32, NaN where there is none.

        By datashader, over the points near the view: 0.1 s for 10⁷.
        """
        canvas = ds.Canvas(view.width, view.height, view.box[:2], view.box[2:])
        frame = pd.DataFrame(self._near(view), copy=False)
        reduction = {"max": ds.max, "min": ds.min}[statistic]
        return canvas.points(frame, "x", "y", reduction("c")).values.astype(np.float32)

    def _near(self, view: View) -> dict[str, np.ndarray]:
        """Coordinates and values of the points in the tiles of a view, copied: numba compiles anew for read-only arrays."""
        points, index = self.points, self.points.index
        chosen = points.positions
        ranges = [slice(*limits) for limits in points.ranges(view.box)]
        parts = ranges if chosen is None else [chosen[part] for part in ranges]
        columns = {"x": index.x, "y": index.y, "c": self.brought.column}
        return {
            name: np.concatenate([values[part] for part in parts]) if parts else np.empty(0, values.dtype)
            for name, values in columns.items()
        }

    def mixtures(self, view: View) -> tuple[np.ndarray, np.ndarray]:
        """Points a pixel (H, W); and how many make up the sums of red, green and blue, and these, (H, W, 4)."""
        brought = self.brought
        if not self._pays(self.points.pyramid, view) or not self._pays(brought.counts, view):
            found = aggregate.mixtures(self.points, view, brought.column, brought.colours)
            return found[..., 0], found
        planes = [brought.counts, *brought.mixtures]
        mixed = np.empty((view.height, view.width, 4), np.result_type(*(plane.sums for plane in planes)))
        for channel, plane in enumerate(planes):
            plane.raw(view, mixed[..., channel])
        return brought.counts.counts(view), mixed

    def commonest(self, view: View) -> tuple[np.ndarray, np.ndarray]:
        """Points a pixel, and the category that most of them have; see `engine.maps.drawing.aggregate.commonest`."""
        return aggregate.commonest(self.points, view, self.brought.column, len(self.brought.colours))

    def _pays(self, pyramid: Pyramid | None, view: View) -> bool:
        """Whether there are so many points in view that their pyramid is quicker, and the pixels are large enough for it."""
        if pyramid is None or not pyramid.resolves(view):
            return False
        ranges = self.points.ranges(view.box)
        return int((ranges[:, 1] - ranges[:, 0]).sum()) > FEWEST
