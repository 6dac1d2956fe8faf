"""How the map is coloured: one `Colouring` turns points in view into a picture and into the legend that explains it.

Density counts objects; a number is averaged a pixel; categories are mixed. The scale of a number is fixed by the
whole column, so colours mean the same in every view; density is equalised in each view.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from app.columns import Values
from app.hunt.ranking import RANKED
from app.map import scales, shade
from app.map.raster import Points, View, disc_radius, spread
from app.map.sums import Brought, Sums
from app.theme import category_colours, density_scale, theme, value_scale
from engine.maps.drawing.tiles import TileIndex
from engine.search import region

#: Scales by kind, the one that suits it first.
SCALES = {"density": scales.SCALES, "number": scales.SCALES[::-1], "category": ("mixed", "top")}
#: What people call the learner's numbers.
TITLES = {"density": "density", "mean": "predicted mean", "sd": "uncertainty (sd)", "acquisition": "acquisition"}
#: Radius added to members of a selection and to labelled objects, pixels, so that few among many are seen.
LIFT = 0.8
#: Members, as a share of the pixels, from which on they are drawn no larger than the rest.
CROWDED = 0.05
#: Sets of points whose sums are kept: all and the selected, and those before them.
KEPT = 3
#: Place on the density scale of an object with nothing around it.
LONELY = 0.1
#: Objects that a density should rest on, on average.
NEIGHBOURS = 12


@dataclass(frozen=True)
class Picture:
    """A drawn view.

    Attributes
    ----------
    rgba : (H, W, 4) uint8
        First row lowest y.
    counts : (K,) int64
        Objects in the view, without the margin that was asked for; by category where there are some, the unknown last.
    densest : (least, most), optional
        Objects a pixel at the ends of a density's scale; None if it is equalised.
    """

    rgba: np.ndarray
    counts: np.ndarray
    densest: tuple[float, float] | None = None


class Colouring:
    """Colours of a map.

    What it needs of a layout (values in the order of its tiles, counts by category) is made when that is first drawn, and
    kept: draw in one thread.

    Parameters
    ----------
    values : Values or None
        None colours by density.
    dark : bool
        Theme.
    scale : str
        'equalised', 'log' or 'linear' for densities and numbers, 'mixed' or 'top' for categories; anything else: what
        suits the kind.
    statistic : {"mean", "max", "min"}
        What a pixel shows of numbers: of their mean a rare high one can be lost, not of the highest.
    """

    def __init__(self, values: Values | None, *, dark: bool, scale: str = "", statistic: str = "mean"):
        self.values = values
        self.dark = dark
        self.statistic = statistic
        self.scale = scale if scale in SCALES[self.kind] else SCALES[self.kind][0]
        self._sums: list[Sums] = []  # of what was drawn last, the newest first

    @property
    def kind(self) -> str:
        """'density', 'number' or 'category'."""
        return "density" if self.values is None else self.values.kind

    @cached_property
    def palette(self) -> np.ndarray:
        """Colours from low to high, (L, 3) uint8."""
        if self.values is None:
            return density_scale(self.dark)
        return value_scale(self.dark, self.values.name in RANKED)

    @property
    def given(self) -> Values:
        """The values, where the kind says that there are some."""
        if self.values is None:
            raise ValueError("density has no values of its own")
        return self.values

    @cached_property
    def limits(self) -> tuple[float, float]:
        """Values at the ends of the scale."""
        return scales.value_range(self.given.array, self.scale)

    @cached_property
    def _table(self) -> np.ndarray:
        return scales.value_table(self.palette, self.given.array, self.scale)

    @cached_property
    def colours(self) -> np.ndarray:
        """Colour of each category code, the unknown one last, (K, 3) uint8."""
        named = category_colours(self.given.categories, self.dark)
        return np.array([scales.rgb(colour) for colour in (*named, theme(self.dark).unknown)], np.uint8)

    def sums(self, points: Points) -> Sums:
        """Who adds up these points by the colouring's values; parts of a layout share what was brought to it."""
        found = next((sums for sums in self._sums if sums.points is points), None)
        if found is None:
            found = Sums(points, None if self.values is None else self._bring(points.index))
        self._sums = [found, *(sums for sums in self._sums if sums is not found)][:KEPT]
        return found

    def _bring(self, index: TileIndex) -> Brought:
        known = next((sums.brought for sums in self._sums if sums.points.index is index), None)
        colours = self.colours if self.kind == "category" else np.empty((0, 3), np.uint8)
        return known or Brought(self.given, index, colours)

    def rescaled(self, scale: str, statistic: str) -> Colouring:
        """The same on another scale, with what was brought to the layout."""
        found = Colouring(self.values, dark=self.dark, scale=scale, statistic=statistic)
        found._sums = list(self._sums)
        return found

    # -- drawing ------------------------------------------------------------------------------------------------------

    def draw(
        self, points: Points, view: View, *, margin: tuple[int, int] = (0, 0), radius: float | None = None
    ) -> Picture:
        """Draw points.

        Parameters
        ----------
        margin : columns, rows
            Pixels on every side that are drawn but not counted.
        radius : float, optional
            Of a point, in pixels; by how many are in view if not given.
        """
        inner = view.padded(-margin[0], -margin[1])
        sums = self.sums(points)
        counts = sums.within(inner.box)
        visible = int(counts.sum())
        if radius is None:
            radius = disc_radius(visible, inner.width, inner.height)
        if self.kind == "density":
            rgba, ends = self._density(sums, view, radius, density_reach(visible, inner.width, inner.height))
            return Picture(rgba, counts, ends)
        return Picture((self._number if self.kind == "number" else self._category)(sums, view, radius), counts)

    def _density(self, sums: Sums, view: View, radius: float, reach: int):
        count = sums.counts(view)
        local = shade.smooth(count, reach)
        coverage = spread(count, [count], radius)[0] if radius > 0.5 else count.astype(np.float32)
        ends = None if self.scale == "equalised" else shade.ends(coverage, local, self.scale)
        return shade.shade_count(coverage, local, self.palette, LONELY, scale=self.scale), ends

    def _number(self, sums: Sums, view: View, radius: float) -> np.ndarray:
        planes: tuple[np.ndarray, ...] = sums.sums(view) if self.statistic == "mean" else self._extremes(sums, view)
        weight, mean = shade.means(*(spread(planes[0], planes, radius) if radius > 0.5 else planes))
        grey = np.array(scales.rgb(theme(self.dark).unknown), np.uint8)
        return shade.shade_value(weight, mean, self._table, self.limits, grey, shade.FLOOR)

    def _extremes(self, sums: Sums, view: View) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Points a pixel, and its extreme as the sum of one known value."""
        extreme = sums.extremes(view, self.statistic)
        known = np.isfinite(extreme)
        return sums.counts(view), np.where(known, extreme, np.float32(0)), known.astype(np.float32)

    def _category(self, sums: Sums, view: View, radius: float) -> np.ndarray:
        if self.scale == "top":
            weight, top = sums.commonest(view)
            mixed = shade.mixed(weight, top, self.colours)
        else:
            weight, mixed = sums.mixtures(view)
        if radius > 0.5:
            mixed = np.moveaxis(spread(weight, [mixed[..., c] for c in range(4)], radius), 0, -1)
            weight = mixed[..., 0]
        return shade.shade_category(mixed, shade.FLOOR, weight)

    def of(self, rows: np.ndarray) -> np.ndarray | None:
        """Colour of each of some objects, (n, 3) uint8; None for density, which is no one object's."""
        if self.values is None:
            return None
        found = self.values.array[rows]
        if self.kind == "category":
            return self.colours[np.where(found >= 0, found, len(self.colours) - 1)]
        known = np.isfinite(found)
        place = scales.position(np.where(known, found, 0.0).astype(np.float64), self.values.array, self.scale)
        colours = self.palette[(place * (len(self.palette) - 1)).astype(np.int64)]
        return np.where(known[:, None], colours, np.array(scales.rgb(theme(self.dark).unknown), np.uint8))

    def words(self, row: int) -> str:
        """Value of one object, in words; empty for density."""
        if self.values is None or self.values.name == "label":
            return ""
        value = self.values.array[row]
        if self.kind == "category":
            text = self.values.categories[value] if value >= 0 else self.values.missing
        else:
            text = f"{value:.4g} {self.values.unit}".strip() if np.isfinite(value) else "unknown"
        return f"{TITLES.get(self.values.name, self.values.name)} {text}"


def density_reach(visible: int, width: int, height: int) -> int:
    """Pixels over which objects are counted: as many as hold a dozen on average, 0 (the pixel itself) to 16."""
    if visible <= 0:
        return 0
    return int(np.clip(0.5 * (np.sqrt(NEIGHBOURS * width * height / visible) - 1), 0, 16))


def member_radius(radius: float, members: int, width: int, height: int) -> float:
    """Radius of a member of the selection: larger than the others' by `LIFT`, as long as there are few in view."""
    return radius + LIFT * float(np.clip(1 - members / (CROWDED * width * height), 0, 1))


def with_selection(rest: Picture, members: Picture) -> np.ndarray:
    """Members of a selection bright, the rest dimmed, (H, W, 4) uint8."""
    return shade.over(members.rgba, rest.rgba, shade.DIMMED)


_warming = threading.Lock()
_warm = threading.Event()
#: Points that are drawn to have everything compiled.
FEW = 10


def warm() -> None:
    """Compile what the first picture needs, on ten points, and then, in a thread of its own, what may come after it.

    Once a process; once a machine it takes seconds, since compiled code is kept (numba's cache).
    """
    with _warming:
        if _warm.is_set():
            return
        Colouring(None, dark=True).draw(_few(), View(0, 0, 1, 1, 24, 24), radius=2)
        _warm.set()
    threading.Thread(target=warm_all, name="skysieve-warm", daemon=True).start()


def warm_all() -> None:
    """Compile everything that draws and selects."""
    points, view = _few(), View(0, 0, 1, 1, 24, 24)
    region.inside(points.index, np.array([[0, 0], [1, 0], [0, 1]]))
    points.index.nearest(0.5, 0.5, 0.1)
    for values in (
        None,
        Values("x", "number", np.zeros(FEW, np.float32)),
        Values("k", "category", np.zeros(FEW, np.int8), ("a",)),
    ):
        for part in (points, Points.of_rows(points.index, np.arange(FEW // 2))):
            for radius in (0.5, 2):
                picture = Colouring(values, dark=True).draw(part, view, radius=radius)
    with_selection(picture, picture)


def _few() -> Points:
    return Points(TileIndex.build(np.random.default_rng(0).random((FEW, 2)).astype(np.float32)))


def is_warm() -> bool:
    """Whether a first frame can be drawn without compiling."""
    return _warm.is_set()
