"""Exemplars: which objects stand for each part of a layout, at every scale.

A square around the layout is cut in four, each part in four again, 26 times over. The exemplar of a cell is one of its
four parts' exemplars: the one nearest to the mean of all objects in the cell (`engine.maps.typical`). So an object that
stands for a cell stands for the smaller one around it, too: who zooms in keeps what was shown. Each object has one
number, the coarsest level at which it is an exemplar; at level k those with a number up to k are one a cell.

Cost: sorting by the cells, then one pass with a stack of at most 27 cells: seconds for 10⁶ objects, most of it reading
their vectors. A view is some hundred binary searches, whatever N is. Stored beside the layout, memory-mapped.

Source: the order of a quadtree's cells, Morton 1966 (IBM); nested levels of detail as in Nanocubes and map labelling
(Been, Daiches & Yap 2006, IEEE TVCG 12, 773: what is shown stays while zooming in).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numba
import numpy as np

from engine import files
from engine.jobs import Progress, silent
from engine.maps.typical import Likeness, basis_of, fingerprint_of, likeness

if TYPE_CHECKING:
    from engine.survey import Survey

#: Halvings of the square: 2²⁶ cells a side, finer than float32 positions.
DEPTH = 26
#: Objects whose cells are found at once.
CHUNK = 1 << 18
#: Most cells that one view may ask for.
MOST_CELLS = 1 << 20


@dataclass(frozen=True)
class Chosen:
    """The exemplars of a view.

    Attributes
    ----------
    level : int
        Of the cells: 2^level a side.
    rows : (n,) int64
        An object for each cell that has one.
    cells : (n, 2) int64
        Column and line of its cell, from the lower left of the square.
    """

    level: int
    rows: np.ndarray
    cells: np.ndarray


@dataclass(frozen=True)
class Exemplars:
    """The objects of a layout by level, then by cell.

    Attributes
    ----------
    lower : (2,) float64
        Corner of the square.
    size : float
        Its side, in the layout's units.
    rows : (M,) int64
        Placed objects: first the exemplar of the whole, then what level 1 adds, and so on.
    codes : (M,) uint64
        Their cells at level `DEPTH`, in Morton's order within a level.
    starts : (DEPTH + 3,) int64
        Where each level begins. The last holds objects that share their place with another, never shown.
    basis : str
        The representation that says what is typical; empty: positions.
    """

    lower: np.ndarray
    size: float
    rows: np.ndarray
    codes: np.ndarray
    starts: np.ndarray
    basis: str

    @classmethod
    def build(cls, xy: np.ndarray, alike: Likeness) -> Exemplars:
        """Order the objects of a layout.

        Parameters
        ----------
        xy : (N, 2) float32
            Rows with a NaN or infinite coordinate are left out.
        alike : Likeness
            Of N rows.
        """
        placed = np.flatnonzero(np.isfinite(xy).all(axis=1))
        lower, size = _square(xy, placed)
        codes = np.empty(len(placed), np.uint64)
        for start in range(0, len(placed), CHUNK):
            part = slice(start, start + CHUNK)
            codes[part] = morton(*_cells_of(xy[placed[part]], lower, size, DEPTH).T)
        order = np.argsort(codes, kind="stable")
        codes, rows = codes[order], placed[order]
        level = _levels(codes, rows, np.ascontiguousarray(alike.features), np.ascontiguousarray(alike.known))
        order = np.argsort(level, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(level, minlength=DEPTH + 2))]).astype(np.int64)
        return cls(lower, size, rows[order], codes[order], starts, alike.basis)

    def __len__(self) -> int:
        return len(self.rows)

    def level(self, side: float) -> int:
        """The finest level whose cells are at least `side` across, in the layout's units; 0 to `DEPTH`."""
        return int(np.clip(np.floor(np.log2(self.size / side)), 0, DEPTH)) if side > 0 else DEPTH

    def side(self, level: int) -> float:
        """Side of a level's cells, in the layout's units."""
        return self.size / 2**level

    def within(self, level: int, x0: float, y0: float, x1: float, y1: float) -> Chosen:
        """The exemplars of the cells that a box touches.

        Raises
        ------
        ValueError
            If these are more than `MOST_CELLS`: the level is too fine for the box.
        """
        first, last = _cells_of(np.array([[x0, y0], [x1, y1]]), self.lower, self.size, level).astype(np.int64)
        wide, high = last - first + 1
        if wide * high > MOST_CELLS:
            raise ValueError(f"{wide * high:,} cells at level {level}")
        columns, lines = (a.ravel() for a in np.meshgrid(first[0] + np.arange(wide), first[1] + np.arange(high)))
        shift = np.uint64(2 * (DEPTH - level))
        begin = morton(columns.astype(np.uint64), lines.astype(np.uint64)) << shift
        rows = np.full(len(begin), -1, np.int64)
        for k in range(level + 1):
            codes = self.codes[self.starts[k] : self.starts[k + 1]]
            if len(codes):
                place = np.minimum(np.searchsorted(codes, begin), len(codes) - 1)
                here = (codes[place] >= begin) & (codes[place] >> shift == begin >> shift)
                rows[here] = self.rows[self.starts[k] + place[here]]
        found = rows >= 0
        return Chosen(level, rows[found], np.stack([columns[found], lines[found]], axis=1))

    # -- on disk ------------------------------------------------------------------------------------------------------

    def save(self, folder: Path, facts: dict) -> None:
        """Keep the order in `folder`; what says whether it still holds, `facts`, is written last."""
        (folder / "exemplars.json").unlink(missing_ok=True)
        files.write_npy(folder / "rows.npy", self.rows)
        files.write_npy(folder / "codes.npy", self.codes)
        said = {"lower": self.lower.tolist(), "size": self.size, "starts": self.starts.tolist(), "basis": self.basis}
        files.write_json(folder / "exemplars.json", {**said, "facts": facts})

    @classmethod
    def load(cls, folder: Path, facts: dict) -> Exemplars | None:
        """Open what was saved, memory-mapped; None if there is none, or the facts are no longer these."""
        if not (folder / "exemplars.json").is_file():
            return None
        said = files.read_json(folder / "exemplars.json")
        if said.get("facts") != facts:
            return None
        rows, codes = (np.asarray(files.read_npy(folder / f"{name}.npy")) for name in ("rows", "codes"))
        lower, starts = np.array(said["lower"], np.float64), np.array(said["starts"], np.int64)
        if len(starts) != DEPTH + 3 or not len(rows) == len(codes) == starts[-1]:
            return None
        return cls(lower, float(said["size"]), rows, codes, starts, said["basis"])


def exemplars(survey: Survey, layout: str, *, progress: Progress = silent) -> Exemplars:
    """The exemplars of a layout: read if they are stored and hold, else made and stored.

    Raises
    ------
    UserError
        If there is no such layout.
    """
    xy = survey.layout_xy(layout)
    basis = basis_of(survey, layout)
    facts = {
        "depth": DEPTH,
        "positions": f"{xy.shape} {zlib.crc32(np.ascontiguousarray(xy).data):08x}",
        "vectors": fingerprint_of(survey, basis),
    }
    folder = survey.path / "layouts" / layout / "exemplars"
    found = Exemplars.load(folder, facts)
    if found is None:
        found = Exemplars.build(np.asarray(xy), likeness(survey, layout, progress=progress))
        try:
            found.save(folder, facts)
        except OSError:  # a survey that may not be written to: made again for the next process
            return found
        found = Exemplars.load(folder, facts) or found  # mapped: what is not looked at takes no memory
    return found


# -- cells -------------------------------------------------------------------------------------------------------------


def _square(xy: np.ndarray, placed: np.ndarray) -> tuple[np.ndarray, float]:
    """Lower corner and side of a square that holds all placed points; a unit square if there is none."""
    if len(placed) == 0:
        return np.zeros(2), 1.0
    points = xy if len(placed) == len(xy) else xy[placed]
    low, high = points.min(axis=0).astype(np.float64), points.max(axis=0).astype(np.float64)
    size = float((high - low).max())
    return low, size * (1 + 1e-9) if size > 0 else 1.0


def _cells_of(xy: np.ndarray, lower: np.ndarray, size: float, level: int) -> np.ndarray:
    """Column and line of positions, (n, 2) uint64; those beyond the square belong to its edge."""
    place = np.floor((xy.astype(np.float64) - lower) / size * 2.0**level)
    return np.clip(place, 0, 2**level - 1).astype(np.uint64)


def morton(column: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Interleave the bits of cells' columns and lines, (n,) uint64 below 2³¹ each: cells of one parent are together."""
    return _spaced(column) | (_spaced(line) << np.uint64(1))


def _spaced(values: np.ndarray) -> np.ndarray:
    """Put a zero between the bits of numbers below 2³²."""
    found = np.asarray(values, np.uint64)
    for shift, mask in (
        (16, 0x0000FFFF0000FFFF),
        (8, 0x00FF00FF00FF00FF),
        (4, 0x0F0F0F0F0F0F0F0F),
        (2, 0x3333333333333333),
        (1, 0x5555555555555555),
    ):
        found = (found | (found << np.uint64(shift))) & np.uint64(mask)
    return found


# -- levels ------------------------------------------------------------------------------------------------------------


@numba.njit(cache=True, nogil=True)
def _common(a, b):
    """The finest level at which two cells of level DEPTH are in one; `DEPTH` if they are the same."""
    different, level = a ^ b, DEPTH
    while different:
        different >>= np.uint64(2)
        level -= 1
    return level


@numba.njit(cache=True, nogil=True)
def _nearest(candidates, rows, features, known, total, count):
    """The candidate (a place in `rows`) nearest to the mean total / count; the first of equals, or of unknown ones."""
    best, least = candidates[0], np.inf
    for place in candidates:
        row = rows[place]
        if known[row]:
            distance = 0.0
            for d in range(features.shape[1]):
                offset = np.float64(features[row, d]) * count - total[d]  # whole numbers stay whole
                distance += offset * offset
            if distance < least:
                best, least = place, distance
    return best


@numba.njit(cache=True, nogil=True)
def _levels(codes, rows, features, known):
    """The coarsest level at which each object, sorted by its cell, is an exemplar; (M,) uint8, DEPTH + 1 for never.

    Only cells that part into several occupied ones matter. Those that are still open at an object lie in one another:
    a stack. Each keeps the sum of its objects' features and the exemplars of its parts; when it closes, the nearest to
    the mean goes on to the cell around it, and the others have their level.
    """
    m, width = len(codes), features.shape[1]
    level = np.zeros(m, np.uint8)
    depth, parts, number = (
        np.zeros(DEPTH + 2, np.int64),
        np.zeros((DEPTH + 2, 4), np.int64),
        np.zeros(DEPTH + 2, np.int64),
    )
    total, count = np.zeros((DEPTH + 3, width)), np.zeros(DEPTH + 3)  # the last: of what has closed, or one object
    last, top = DEPTH + 2, -1
    for i in range(m):
        winner, count[last], total[last] = i, 0.0, 0.0
        if known[rows[i]]:
            count[last] = 1.0
            for d in range(width):
                total[last, d] = np.float64(features[rows[i], d])
        shared = _common(codes[i], codes[i + 1]) if i + 1 < m else -1
        while top >= 0 and depth[top] > shared:  # these cells end here
            count[top] += count[last]
            total[top] += total[last]
            parts[top, min(number[top], 3)] = winner
            candidates = parts[top, : number[top] + 1]
            if depth[top] == DEPTH:  # any number of objects at one place, one after another
                candidates = np.arange(i - number[top], i + 1)
            winner = _nearest(candidates, rows, features, known, total[top], count[top])
            for place in candidates:
                if place != winner:
                    level[place] = depth[top] + 1
            count[last], total[last] = count[top], total[top]
            top -= 1
        if shared < 0:
            break
        if top < 0 or depth[top] < shared:  # and one begins
            top += 1
            depth[top], number[top], count[top], total[top] = shared, 0, 0.0, 0.0
        if depth[top] < DEPTH:
            parts[top, number[top]] = winner
        number[top] += 1
        count[top] += count[last]
        total[top] += total[last]
    return level
