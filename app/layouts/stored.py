"""Layouts ready to draw: positions, and the placed objects in the order of their tiles, kept in memory once read."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from engine.maps.drawing.points import Points
from engine.maps.drawing.pyramid import Pyramid, counted
from engine.maps.drawing.tiles import TileIndex
from engine.maps.exemplars import Exemplars, exemplars
from engine.maps.layout import tiles
from engine.survey import Survey


@dataclass(frozen=True)
class Placed:
    """A layout, ready to draw.

    Attributes
    ----------
    xy : (N, 2) float32
        In row order, NaN where an object has no place.
    index : TileIndex
        Placed rows in the order of the tiles (`index.order`).
    pyramid : Pyramid, optional
        How many lie where, of layouts with very many objects.
    """

    name: str
    xy: np.ndarray
    index: TileIndex
    pyramid: Pyramid | None = None

    @cached_property
    def points(self) -> Points:
        """All placed objects, as they are drawn."""
        return Points(self.index, pyramid=self.pyramid)

    @property
    def order(self) -> np.ndarray:
        """Row numbers in the order of the tiles, (M,) int."""
        return self.index.order

    @cached_property
    def bounds(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 of all placed objects; a unit square when there is none."""
        if len(self.index) == 0:
            return 0.0, 0.0, 1.0, 1.0
        x0, x1, y0, y1 = (float(v) for v in self.index.bounds)
        return x0, y0, x1, y1


class Layouts:
    """The layouts of a survey, each read once."""

    def __init__(self, survey: Survey):
        self._survey = survey
        self._lock = threading.Lock()
        self._placed: dict[str, Placed] = {}
        self._ordering = threading.Lock()
        self._exemplars: dict[str, Exemplars] = {}

    def placed(self, name: str) -> Placed:
        """A layout in tile order, read on the first call; sorted if it was stored without tiles (0.3 s for 10⁷ objects).

        Raises
        ------
        UserError
            If there is no such layout.
        """
        found = self._placed.get(name)
        if found is None:
            found = self._read(name)
            with self._lock:
                self._placed[name] = found
        return found

    def _read(self, name: str) -> Placed:
        xy = np.asarray(self._survey.layout_xy(name), np.float32)
        index = tiles(self._survey, name)  # as mapped from the files: what is drawn is read, and nothing twice
        return Placed(name, xy, index, counted(self._survey.path / "layouts" / name / "tiles", index))

    def ready(self, name: str) -> Placed | None:
        """The layout if it has been read already, else None."""
        return self._placed.get(name)

    def exemplars(self, name: str) -> Exemplars:
        """The objects that stand for each part of a layout; made on the first call ever (3 s for 10⁶ objects).

        Raises
        ------
        UserError
            If there is no such layout.
        """
        with self._ordering:  # two maps ask at once, and one of them should do the work
            found = self._exemplars.get(name)
            if found is None:
                found = self._exemplars[name] = exemplars(self._survey, name)
            return found

    def clear(self) -> None:
        """Forget what was read: a command may have made it anew."""
        with self._lock:
            self._placed.clear()
            self._exemplars.clear()
