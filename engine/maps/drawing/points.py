"""What is drawn: a view of the plane on a grid of pixels, and the points of a layout, all of them or a part.

A part (the members of a selection) is a list of positions in the tiles' order, 4 bytes a member: coordinates and columns
are read through it and never copied. Making one costs a look at every point's row in a set of bits, 20 ms for 10⁷.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from engine.maps.drawing import bits
from engine.maps.drawing.tiles import TileIndex, frozen, joined, ranges_of_tiles

if TYPE_CHECKING:
    from engine.maps.drawing.pyramid import Pyramid


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
        return self.padded(columns, rows)

    def padded(self, columns: int, rows: int) -> View:
        """The view with so many pixels more on every side; fewer if negative."""
        dx, dy = self.unit[0] * columns, self.unit[1] * rows
        return View(
            self.x0 - dx, self.y0 - dy, self.x1 + dx, self.y1 + dy, self.width + 2 * columns, self.height + 2 * rows
        )

    @property
    def unit(self) -> tuple[float, float]:
        """Width and height of a pixel in the layout's coordinates."""
        return (self.x1 - self.x0) / self.width, (self.y1 - self.y0) / self.height

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x0, x1, y0, y1."""
        return float(self.x0), float(self.x1), float(self.y0), float(self.y1)


class Points:
    """Points of a layout in tile order, or a part of them.

    Parameters
    ----------
    index : TileIndex
    positions : (m,) int, ascending, optional
        Which of its points, all if not given.
    pyramid : Pyramid, optional
        How many lie where, of very many points.
    """

    def __init__(self, index: TileIndex, positions: np.ndarray | None = None, *, pyramid: Pyramid | None = None):
        self.index, self.pyramid = index, pyramid
        self.positions = None if positions is None else frozen(positions)

    @classmethod
    def of_rows(cls, index: TileIndex, rows: np.ndarray) -> Points:
        """The points of some objects, in any order, repeats allowed; those without a position are left out."""
        chosen = bits.empty(index.count)
        _mark(frozen(np.asarray(rows, np.int64)), chosen)
        found = np.empty(min(len(rows), len(index)), index.order.dtype)
        return cls(index, found[: _find(index.order, chosen, found)])

    def __len__(self) -> int:
        return len(self.index if self.positions is None else self.positions)

    @property
    def rows(self) -> np.ndarray:
        """Row of each point, in tile order."""
        return self.index.order if self.positions is None else self.index.order[self.positions]

    def ranges(self, box: tuple[float, float, float, float]) -> np.ndarray:
        """Ranges of these points that hold all that are in a box (x0, x1, y0, y1), and some just outside; (s, 2) int64."""
        return self._own(self.index.slices(*box))

    def parted(self, box: tuple[float, float, float, float]) -> tuple[np.ndarray, np.ndarray]:
        """The same in two: ranges that lie in the box as a whole, and those of tiles that its border crosses."""
        first, last, low, high = self.index.tiles(*box)
        starts, side = self.index.starts, self.index.side
        around = [
            (first, last, low, low),
            (first, last, high, high if high > low else low - 1),
            (first, first, low + 1, high - 1),
            (last, last if last > first else first - 1, low + 1, high - 1),
        ]
        border = np.concatenate([ranges_of_tiles(starts, tiles, side) for tiles in around])
        within = ranges_of_tiles(starts, (first + 1, last - 1, low + 1, high - 1), side)
        return self._own(joined(within)), self._own(border[border[:, 1] > border[:, 0]])

    def _own(self, ranges: np.ndarray) -> np.ndarray:
        """Ranges of the index's points as ranges of these."""
        if self.positions is None:
            return ranges
        return np.searchsorted(self.positions, ranges.astype(self.positions.dtype))  # another type would copy them all


@njit(cache=True, nogil=True)
def _mark(rows, chosen):
    for row in rows:
        bits.mark(chosen, row)


@njit(cache=True, nogil=True)
def _find(order, chosen, found):
    """Positions of the rows that are marked, ascending; how many."""
    n = 0
    for i in range(len(order)):
        if n == len(found):
            break
        row = np.int64(order[i])
        found[n] = i
        n += np.int64((chosen[row >> 6] >> np.uint64(row & 63)) & np.uint64(1))
    return n
