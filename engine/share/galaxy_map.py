"""The map of galaxies: a layout drawn with the galaxies themselves, at print size.

The page is cut into square cells. In ``grid`` each cell that has objects shows the most typical of them
(`engine.maps.typical`), side by side; in ``true`` the pictures lie where their objects are, the most typical of the widest
places first, and none over another. Objects far out (one in a thousand on each side, where they would squeeze the rest)
are left out, and counted.

Cost: reading the pixels of what is shown (6,000 pixels of 96 each are some 2,000 objects: seconds); written a band at a
time, so that memory does not grow with the page. A layout of 10⁷ objects adds what `engine.maps.typical` needs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numba
import numpy as np
from PIL import Image

from engine import files
from engine.data.pictures.stretch import Stretch
from engine.errors import UserError
from engine.jobs import Progress, silent
from engine.maps.exemplars import exemplars
from engine.maps.typical import likeness, most_typical
from engine.share.pictures import Picture, Written, drawn_objects, names_of, nothing_readable, provenance, require_free
from engine.share.png import Bands
from engine.survey import Survey

#: Ways to place the pictures, and the page's colours by name.
ARRANGEMENTS = ("grid", "true")
GROUNDS = {"black": (0, 0, 0), "white": (255, 255, 255)}
#: What lies under the pictures.
BACKGROUNDS = ("none", "density")
#: Pixels that a page may be wide, and a picture.
WIDTHS, CELLS = (200, 40_000), (16, 512)
#: Share of the objects that may be left out on each side, and how much wider than the rest they have to make the page
#: for that.
TAIL, SQUEEZED = 0.001, 1.25
#: Longest side of a page, in units of the other: a layout of two columns with units of their own fills the page instead.
LONGEST = 3.0
#: Space between pictures and around the page, as a share of a cell.
GAP, EDGE = 0.03, 0.5
#: Cells of the density, in pixels of a page's cell; its colour where it is densest, by ground.
FINE = 8
DENSE = {"black": (62, 104, 148), "white": (150, 176, 208)}


@dataclass(frozen=True)
class Page:
    """Where everything lies.

    Attributes
    ----------
    width, height : int
        Pixels.
    cell : int
        Side of a picture with the space around it, pixels.
    rows : (n,) int64
        Objects, from the top downwards.
    left, top : (n,) int64
        Corner of each one's cell, pixels.
    x, y : (M,) float32
        Where every object on the page is, pixels.
    outside : int
        Objects left out.
    """

    width: int
    height: int
    cell: int
    rows: np.ndarray
    left: np.ndarray
    top: np.ndarray
    x: np.ndarray = field(repr=False)
    y: np.ndarray = field(repr=False)
    outside: int = 0


def write_galaxy_map(
    survey: Survey,
    place: str | Path,
    *,
    layout: str | None = None,
    width: int = 6000,
    cell: int = 96,
    arrangement: str = "grid",
    ground: str = "black",
    background: str = "none",
    stretch: Stretch | None = None,
    dpi: float = 300.0,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Written:
    """Write the map of galaxies of a layout as a PNG.

    Parameters
    ----------
    place : path
        Ends in ``.png``.
    layout : str, optional
        The newest if not given.
    width, cell : int
        Of the page, and of a picture with the space around it; pixels. The page is as high as the layout needs.
    arrangement : 'grid' | 'true'
        Pictures side by side, or where their objects are.
    ground : 'black' | 'white'
    background : 'none' | 'density'
        What lies under the pictures.
    stretch : Stretch, optional
        The survey's own if not given.
    dpi : float
        Pixels an inch in print; it says how large the picture is printed, and changes no pixel.

    Raises
    ------
    UserError
        If there is no such layout, nothing is placed or readable, a setting makes no sense, or the file is there.
    """
    place, stretch = Path(place), survey.stretch if stretch is None else stretch
    _check(survey, place, width, cell, arrangement, ground, background, dpi)
    stretch.require_bands(survey.bands)
    require_free([place], overwrite)
    names = survey.layouts
    if layout is None and not names:
        raise UserError(f"{survey.path} has no layout yet", f"make one with `python -m engine layout {survey.path}`")
    name = names[0] if layout is None else layout
    page = lay_out(survey, name, width=width, cell=cell, arrangement=arrangement, progress=progress)
    said = provenance(survey, stretch, page.rows.tolist()) | {
        "Title": f"Map of {survey.name}",
        "Layout": name,
        "Comment": f"{len(page.rows):,} of {len(survey):,} objects, each the most typical of its place",
    }
    bad: list[int] = []
    size = cell - max(1, round(GAP * cell))
    drawn = drawn_objects(survey, page.rows, stretch, size, progress)
    with files.atomic_path(place) as temporary, open(temporary, "wb") as stream:
        with Bands(stream, page.width, page.height, dpi=dpi, said=said) as bands:
            for band in _bands(page, drawn, size, ground, background, bad):
                bands.write(band)
        if len(bad) == len(page.rows):
            raise nothing_readable(survey, bad)
    return Written(place, len(page.rows) - len(bad), tuple(names_of(survey, bad)))


def _check(survey: Survey, place: Path, width, cell, arrangement, ground, background, dpi) -> None:
    if not survey.bands:
        raise UserError(f"{survey.path} was made of a table and has no pixels", "export a catalogue instead")
    if place.suffix.lower() != ".png":
        raise UserError(f"{place} does not end in .png", "a map of galaxies is one PNG: give a name that ends so")
    for what, value, (low, high) in (("width", width, WIDTHS), ("cell", cell, CELLS)):
        if not low <= value <= high:
            raise UserError(f"a {what} of {value} pixels makes no picture", f"give {low} to {high:,}")
    if 2 * cell > width:
        raise UserError(f"{width} pixels have no room for cells of {cell}", "make the page wider or the cells smaller")
    if not 1 <= dpi <= 10_000:
        raise UserError(f"{dpi:g} pixels an inch cannot be printed", "give 1 to 10,000; 300 is usual")
    known = (
        ("arrangement", arrangement, ARRANGEMENTS),
        ("ground", ground, GROUNDS),
        ("background", background, BACKGROUNDS),
    )
    for what, value, choices in known:
        if value not in choices:
            raise UserError(f"there is no {what} {value!r}", f"choose one of: {', '.join(choices)}")


# -- where everything lies ---------------------------------------------------------------------------------------------


def lay_out(
    survey: Survey, layout: str, *, width: int, cell: int, arrangement: str = "grid", progress: Progress = silent
) -> Page:
    """Plan a page; arguments as in `write_galaxy_map`.

    Raises
    ------
    UserError
        If there is no such layout, or nothing is placed in it.
    """
    xy = np.asarray(survey.layout_xy(layout), np.float32)
    placed = np.flatnonzero(np.isfinite(xy).all(axis=1))
    if len(placed) == 0:
        raise UserError(f"the layout {layout!r} places no object", "choose another layout")
    x0, x1 = _span(xy[placed, 0])
    y0, y1 = _span(xy[placed, 1])
    edge = round(EDGE * cell)
    columns = (width - 2 * edge) // cell
    ratio = float(np.clip((y1 - y0) / (x1 - x0), 1 / LONGEST, LONGEST))
    lines = max(1, math.ceil(columns * ratio))
    left = (width - columns * cell) // 2
    # pixels from the top left of the cells; units equal along both axes but for a layout that would be a strip
    x = (xy[placed, 0] - x0) * np.float32(columns * cell / (x1 - x0))
    y = (y1 - xy[placed, 1]) * np.float32(columns * ratio * cell / (y1 - y0)) + np.float32(
        (lines - columns * ratio) * cell / 2
    )
    inside = (x >= 0) & (x <= columns * cell) & (y >= 0) & (y <= lines * cell)
    x, y, rows = x[inside], y[inside], placed[inside]
    if arrangement == "grid":
        chosen, corner = _gridded(survey, layout, rows, x, y, cell, columns, lines, progress)
    else:
        chosen, corner = _apart(survey, layout, rows, x, y, cell, columns, lines, progress)
    order = np.lexsort((corner[:, 0], corner[:, 1]))
    corner = corner[order] + [left, edge]
    height = lines * cell + 2 * edge
    outside = len(placed) - len(rows)
    return Page(width, height, cell, chosen[order], corner[:, 0], corner[:, 1], x + left, y + edge, outside)


def _span(values: np.ndarray) -> tuple[float, float]:
    """Ends of an axis: all objects, unless few of them would squeeze the rest."""
    low, high = float(values.min()), float(values.max())
    sample = values[:: max(1, len(values) // 200_000)]
    aside = min(math.ceil(TAIL * len(sample)), (len(sample) - 1) // 2)
    inner = np.partition(sample, [aside, len(sample) - 1 - aside])[[aside, len(sample) - 1 - aside]].astype(np.float64)
    if high - low > SQUEEZED * (inner[1] - inner[0]) > 0:
        margin = 0.02 * (inner[1] - inner[0])
        low, high = max(low, float(inner[0]) - margin), min(high, float(inner[1]) + margin)
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _gridded(survey, layout, rows, x, y, cell, columns, lines, progress) -> tuple[np.ndarray, np.ndarray]:
    """The most typical object of each cell, and the cell's corner, (n, 2)."""
    alike = likeness(survey, layout, progress=progress)
    column = np.minimum((x / cell).astype(np.int64), columns - 1)
    line = np.minimum((y / cell).astype(np.int64), lines - 1)
    found = most_typical(line * columns + column, alike.features[rows], alike.known[rows], columns * lines)
    cells = np.flatnonzero(found >= 0)
    return rows[found[cells]], np.stack([cells % columns, cells // columns], axis=1) * cell


def _apart(survey, layout, rows, x, y, cell, columns, lines, progress) -> tuple[np.ndarray, np.ndarray]:
    """Objects that have room where they are, those first that stand for the widest places; corners, (n, 2)."""
    order = exemplars(survey, layout, progress=progress)
    place = np.full(int(order.rows.max()) + 1, -1, np.int64)
    place[rows] = np.arange(len(rows))
    first = place[order.rows]
    first = first[first >= 0]
    corner = np.stack([x, y], axis=1)[first].astype(np.float64) - cell / 2
    corner = np.rint(np.clip(corner, 0, [(columns - 1) * cell, (lines - 1) * cell])).astype(np.int64)
    kept = not_overlapping(corner, cell, columns, lines)
    return rows[first[kept]], corner[kept]


@numba.njit(cache=True, nogil=True)
def not_overlapping(corner, cell, columns, lines):
    """Which squares are kept if each gives way to those before it, (n,) bool.

    Two that begin in the same bin, one square wide, overlap: so a bin holds one at most, and nine are looked at.
    """
    bins = np.full((lines + 2, columns + 2), -1, np.int64)
    kept = np.zeros(len(corner), np.bool_)
    for k in range(len(corner)):
        x, y = corner[k]
        column, line = x // cell + 1, y // cell + 1
        free = True
        for j in range(line - 1, line + 2):
            for i in range(column - 1, column + 2):
                other = bins[j, i]
                if other >= 0 and abs(corner[other, 0] - x) < cell and abs(corner[other, 1] - y) < cell:
                    free = False
        if free:
            kept[k] = True
            bins[line, column] = k
    return kept


# -- drawing -----------------------------------------------------------------------------------------------------------


def _bands(
    page: Page, drawn: Iterator[Picture], size: int, ground: str, background: str, bad: list[int]
) -> Iterator[np.ndarray]:
    """The page from the top downwards, a band of one cell at a time, (h, width, 3) uint8; `bad` takes what cannot be read."""
    below = _Density(page, ground) if background == "density" else None
    aside = (page.cell - size) // 2
    open_ones: list[tuple[Image.Image, int, int]] = []
    following = 0
    for top in range(0, page.height, page.cell):
        high = min(page.cell, page.height - top)
        paper = Image.new("RGB", (page.width, high), GROUNDS[ground]) if below is None else below.band(top, high)
        while following < len(page.rows) and page.top[following] + aside < top + high:
            picture = next(drawn)
            if picture.image is None:
                bad.append(picture.row)
            else:
                corner = int(page.left[following]) + aside, int(page.top[following]) + aside
                open_ones.append((picture.image, *corner))
            following += 1
        for image, x, y in open_ones:
            paper.paste(image, (x, y - top), image)
        open_ones = [one for one in open_ones if one[2] + size > top + high]
        yield np.asarray(paper)


class _Density:
    """Where the objects are, counted in fine cells and drawn softly under the pictures."""

    def __init__(self, page: Page, ground: str):
        self.page = page
        self.step = max(1, page.cell // FINE)
        shape = -(-page.height // self.step), -(-page.width // self.step)
        column = np.clip(page.x / self.step, 0, shape[1] - 1).astype(np.int64)
        line = np.clip(page.y / self.step, 0, shape[0] - 1).astype(np.int64)
        count = np.bincount(line * shape[1] + column, minlength=shape[0] * shape[1]).reshape(shape)
        share = np.log1p(count) / np.log1p(count.max())
        low, high = np.array(GROUNDS[ground], np.float64), np.array(DENSE[ground], np.float64)
        self.picture = Image.fromarray(np.rint(low + share[:, :, None] * (high - low)).astype(np.uint8))

    def band(self, top: int, high: int) -> Image.Image:
        """A part of it at the page's size."""
        box = (0.0, top / self.step, self.page.width / self.step, (top + high) / self.step)
        return self.picture.resize((self.page.width, high), Image.Resampling.BILINEAR, box=box)
