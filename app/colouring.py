"""How the map is coloured: one `Colouring` turns points in view into a picture and into the legend that explains it.

Density counts objects; a number is averaged a pixel; categories are mixed. The scale of a number is fixed by the
whole column, so colours mean the same in every view; density is equalised in each view.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from app import shade
from app.columns import Values
from app.ranking import RANKED
from app.raster import LAYERS, Points, View, aggregate, disc_radius, spread
from app.theme import category_colours, density_scale, theme, value_scale
from engine.maps.tiles import TileIndex
from engine.search import region

#: What people call the learner's numbers.
TITLES = {"density": "density", "mean": "predicted mean", "sd": "uncertainty (sd)", "acquisition": "acquisition"}
#: Radius added to members of a selection and to labelled objects, pixels, so that few among many are seen.
LIFT = 0.8
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
    counts : (1,) or (LAYERS,) int64
        Objects drawn, by category where there are some, inside the margin that was asked for.
    """

    rgba: np.ndarray
    counts: np.ndarray


class Colouring:
    """Colours of a map.

    Parameters
    ----------
    values : Values or None
        None colours by density.
    dark : bool
        Theme.
    """

    def __init__(self, values: Values | None, *, dark: bool):
        self.values = values
        self.dark = dark

    @property
    def kind(self) -> str:
        """'density', 'number' or 'category'."""
        return "density" if self.values is None else self.values.kind

    @cached_property
    def scale(self) -> np.ndarray:
        """Colours from low to high, (L, 3) uint8."""
        if self.values is None:
            return density_scale(self.dark)
        return value_scale(self.dark, self.values.name in RANKED)

    @property
    def _given(self) -> Values:
        """The values, where the kind says that there are some."""
        if self.values is None:
            raise ValueError("density has no values of its own")
        return self.values

    @cached_property
    def limits(self) -> tuple[float, float]:
        """Values at the ends of the scale."""
        return shade.value_range(self._given.array)

    @cached_property
    def colours(self) -> np.ndarray:
        """Colour of each category code, the unknown one last, (LAYERS, 3) float32."""
        table = np.full((LAYERS, 3), shade.rgb(theme(self.dark).unknown), np.float32)
        for code, colour in enumerate(category_colours(self._given.categories, self.dark)):
            table[code] = shade.rgb(colour)
        return table

    def column(self, points: Points) -> np.ndarray | None:
        """What `draw` needs of the values, in the order of the points: keep it as long as the points stay."""
        if self.values is None:
            return None
        column = points.column(self.values.array)
        return np.where(column < 0, LAYERS - 1, column).astype(np.int8) if self.kind == "category" else column

    def draw(
        self,
        points: Points,
        column: np.ndarray | None,
        view: View,
        *,
        margin: tuple[int, int] = (0, 0),
        radius: float | None = None,
    ) -> Picture:
        """Draw points.

        Parameters
        ----------
        column
            From `column`, for these points.
        margin : columns, rows
            Pixels on every side that are drawn but not counted.
        radius : float, optional
            Of a point, in pixels; by how many are in view if not given.
        """
        aside, above = margin
        inner = (slice(above, view.height - above), slice(aside, view.width - aside))
        if self.kind == "density":
            sums = aggregate(points, view)[:, :, None]
            counts = sums[inner].sum(axis=(0, 1), dtype=np.int64)
        elif self.kind == "number":
            sums = aggregate(points, view, numbers=column)
            counts = sums[inner][:, :, 0].sum(dtype=np.float64, keepdims=True).astype(np.int64).ravel()
        else:
            layers = aggregate(points, view, codes=column)
            counts = layers[inner].sum(axis=(0, 1), dtype=np.int64)
            sums = shade.mix_categories(layers, self.colours)
        if radius is None:
            radius = disc_radius(int(counts.sum()), view.width - 2 * aside, view.height - 2 * above)
        drawn = spread(sums, radius)
        if self.kind == "density":
            reach = density_reach(int(counts.sum()), view.width, view.height)
            local = shade.smooth(sums[:, :, 0], reach)
            return Picture(shade.shade_count(drawn[:, :, 0], local, self.scale, LONELY), counts)
        return Picture(self._shaded(drawn), counts)

    def _shaded(self, sums: np.ndarray) -> np.ndarray:
        if self.kind == "number":
            weight, total, known = (np.ascontiguousarray(sums[:, :, c]) for c in range(3))
            grey = np.array(shade.rgb(theme(self.dark).unknown), np.uint8)
            return shade.shade_value(weight, total, known, self.scale, *self.limits, grey, shade.FLOOR)
        return shade.shade_category(sums, shade.FLOOR)

    def legend(self, counts: np.ndarray, target: str) -> dict:
        """What the overlay shows: title, counts in view, and the scale or the categories with theirs."""
        if self.values is None:
            stops = [f"rgb({','.join(map(str, c))})" for c in self.scale[30::45]]
            return {
                "kind": "scale",
                "title": "density",
                "stops": stops,
                "low": "sparse",
                "high": "dense",
                "total": int(counts.sum()),
            }
        name = self.values.name
        title = TITLES.get(name, name)
        if name in RANKED or name == "label":
            title = f"{title} · {target}"
        if self.kind == "number":
            known = bool(np.isfinite(self.values.array[:: max(1, len(self.values.array) // 100_000)]).any())
            stops = [f"rgb({','.join(map(str, c))})" for c in self.scale[:: max(1, len(self.scale) // 8)]]
            lo, hi = self.limits
            unit = f" {self.values.unit}" if self.values.unit else ""
            low, high = (f"{lo:.3g}{unit}", f"{hi:.3g}{unit}") if known else ("no value yet", "")
            return {
                "kind": "scale",
                "title": title,
                "stops": stops,
                "low": low,
                "high": high,
                "total": int(counts.sum()),
            }
        colours = category_colours(self._given.categories, self.dark)
        items = [
            {"name": n, "colour": c, "count": int(counts[k])}
            for k, (n, c) in enumerate(zip(self.values.categories, colours))
        ]
        rest = int(counts[LAYERS - 1])
        if rest:
            items.append(
                {
                    "name": "unlabelled" if name == "label" else self.values.missing,
                    "colour": theme(self.dark).unknown,
                    "count": rest,
                }
            )
        return {"kind": "items", "title": title, "items": items, "total": int(counts.sum())}

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


def with_selection(rest: Picture, members: Picture) -> np.ndarray:
    """Members of a selection bright, the rest dimmed, (H, W, 4) uint8."""
    return shade.over(members.rgba, rest.rgba, shade.DIMMED)


_warming = threading.Lock()
_warm = threading.Event()


def warm() -> None:
    """Compile what drawing needs, on ten points; once a process (2 s, because datashader's own code cannot be cached)."""
    with _warming:
        if _warm.is_set():
            return
        xy = np.random.default_rng(0).random((10, 2)).astype(np.float32)
        points, view = Points(TileIndex.build(xy)), View(0, 0, 1, 1, 24, 24)
        region.inside(points.index, np.array([[0, 0], [1, 0], [0, 1]]))
        for values in (
            None,
            Values("x", "number", xy[:, 0].copy()),
            Values("k", "category", np.zeros(10, np.int8), ("a",)),
        ):
            colouring = Colouring(values, dark=True)
            picture = colouring.draw(points, colouring.column(points), view, radius=2)
        with_selection(picture, picture)
        _warm.set()


def is_warm() -> bool:
    """Whether a frame can be drawn without compiling first."""
    return _warm.is_set()
