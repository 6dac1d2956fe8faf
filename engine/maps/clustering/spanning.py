"""Minimum spanning trees under mutual reachability: what HDBSCAN reads its clusters off.

The mutual reachability of two objects is the largest of their distance and their *core distances*, each the distance
to the m-th nearest object, itself counted: max(c_i, c_j, d_ij) (Campello, Moulavi & Sander 2013). In the plane the tree
is exact, by Borůvka's rounds: every component asks for its nearest object outside. The m nearest of each object, found
first, answer most of these questions; a tree of boxes over the points along a Z curve answers the rest, and never looks
into a box whose points are of the same component, too far away, or too lonely. On a graph of neighbours the tree is
that of the graph's edges, exact for the graph; what no edge joins is a tree of its own. Of edges of one reachability
(there are many: all that a lonely object's core distance decides) the shorter comes first, so that the tree is the same
however it is found, and an object between two clusters goes with the nearer one.

Cost in the plane: O(n log n) in practice; memory about 200 bytes an object.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numba
import numpy as np

from engine.jobs import Progress, silent

#: Points in the smallest box.
LEAF = 16
#: Neighbours listed for each point, at least: the first rounds are answered from them.
LISTED = 12
#: Bits of the Z curve along an axis.
BITS = 26
#: Points searched between two reports of progress.
CHUNK = 1 << 17
#: Boxes that wait on a path from the root: two a level, and 2³⁰ points have 27 levels.
DEPTH = 64


@dataclass(frozen=True)
class Tree:
    """A spanning tree, or several, of n objects.

    Attributes
    ----------
    count : int
        n.
    ends : (m, 2) int32
        The objects that each edge joins; m ≤ n − 1.
    length : (m,) float64
        Mutual reachability along each, ascending.
    """

    count: int
    ends: np.ndarray
    length: np.ndarray


@dataclass(frozen=True)
class Boxes:
    """Points along a Z curve, and the boxes around 16, 32, 64, … of them.

    Attributes
    ----------
    order : (n,) int64
        Which point stands at each place.
    x, y : (n,) float64
        Coordinates, in that order.
    sides : (4, 2·leaves) float64
        x0, x1, y0, y1 of box 1 (all points), of its halves 2 and 3, and so on; the children of box t are 2t and 2t + 1.
    """

    order: np.ndarray
    x: np.ndarray
    y: np.ndarray
    sides: np.ndarray

    @classmethod
    def build(cls, xy: np.ndarray) -> Boxes:
        """Sort points, (n, 2) and finite, along the curve."""
        points = np.asarray(xy, np.float64)
        order = np.argsort(_z_curve(points), kind="stable")
        x, y = (np.ascontiguousarray(points[order, axis]) for axis in (0, 1))
        leaves = 1
        while leaves * LEAF < len(x):
            leaves *= 2
        sides = np.full((4, 2 * leaves), np.inf)
        sides[1::2] = -np.inf
        begins = np.arange(0, len(x), LEAF)
        lowest = slice(leaves, leaves + len(begins))
        for axis, values in enumerate((x, y)):
            sides[2 * axis, lowest] = np.minimum.reduceat(values, begins)
            sides[2 * axis + 1, lowest] = np.maximum.reduceat(values, begins)
        _join_boxes(sides)
        return cls(order, x, y, sides)


def nearest(boxes: Boxes, xy: np.ndarray, k: int, *, progress: Progress = silent) -> tuple[np.ndarray, np.ndarray]:
    """The k points nearest to each of some places.

    Parameters
    ----------
    boxes : Boxes
        Of at least k points.
    xy : (q, 2) float

    Returns
    -------
    (q, k) int32, (q, k) float64
        Places of the points in the order of `boxes`, nearest first, and their distances squared.
    """
    places = np.ascontiguousarray(xy, np.float64)
    found, square = np.empty((len(places), k), np.int32), np.empty((len(places), k))
    parts = [slice(begin, begin + CHUNK) for begin in range(0, len(places), CHUNK)]

    def search(part: slice) -> None:
        _nearest(places[part], boxes.x, boxes.y, boxes.sides, found[part], square[part])

    with ThreadPoolExecutor(_threads()) as pool:
        for number, _ in enumerate(pool.map(search, parts)):
            progress(min((number + 1) * CHUNK, len(places)), len(places), "neighbours on the map")
    return found, square


def plane_tree(xy: np.ndarray, min_samples: int, *, progress: Progress = silent) -> Tree:
    """The minimum spanning tree of points in the plane under mutual reachability; exact.

    Parameters
    ----------
    xy : (n, 2) float
        Finite.
    min_samples : int
        m, the point itself counted; 1 makes it the Euclidean tree.
    """
    n = len(xy)
    if n < 2:
        return Tree(n, np.empty((0, 2), np.int32), np.empty(0))
    boxes = Boxes.build(xy)
    listed = min(n, max(min_samples, LISTED) + 1)
    near, square = nearest(boxes, np.column_stack([boxes.x, boxes.y]), listed, progress=progress)
    core = np.sqrt(square[:, min(min_samples, n) - 1])
    reach = np.sqrt(square[:, -1]) if listed < n else np.full(n, np.inf)
    del square
    ends, length = _boruvka(boxes, near, core, reach, progress)
    shortest = np.lexsort([length[:, 1], length[:, 0]])
    return Tree(n, boxes.order[ends[shortest]].astype(np.int32), length[shortest, 0])


def graph_tree(indices: np.ndarray, distances: np.ndarray, min_samples: int, *, progress: Progress = silent) -> Tree:
    """The minimum spanning tree (or trees) of a graph of neighbours under mutual reachability; exact for the graph.

    Parameters
    ----------
    indices : (n, k) int
        Nearest first, without the object itself; −1 where there is none.
    distances : (n, k) float
    min_samples : int
        m, the object itself counted; at most k + 1 counts.
    """
    n, k = indices.shape
    rank = min(min_samples - 1, k) - 1
    core = np.asarray(distances[:, rank], np.float64) if rank >= 0 else np.zeros(n)
    core[~np.isfinite(core)] = np.inf  # fewer neighbours than asked for: alone
    near, apart = np.ascontiguousarray(indices, np.int32), np.ascontiguousarray(distances, np.float32)
    component = np.arange(n, dtype=np.int32)
    ends, length, made = np.empty((max(n - 1, 0), 2), np.int32), np.empty((max(n - 1, 0), 2)), 0
    while True:
        joined = _graph_round(near, apart, core, component, ends, length, made)
        progress(joined, max(n - 1, 1), "spanning tree")
        if joined == made:
            break
        made = joined
    shortest = np.lexsort([length[:made, 1], length[:made, 0]])
    return Tree(n, ends[shortest], length[shortest, 0])


def _threads() -> int:
    return min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


# -- points along a curve, and boxes around them ----------------------------------------------------------------------


def _z_curve(points: np.ndarray) -> np.ndarray:
    """Place of each point on a Z curve: the bits of its two coordinates in turn, (n,) uint64."""
    low = points.min(axis=0)
    extent = float((points - low).max()) or 1.0
    cell = ((points - low) * ((1 << BITS) - 1) / extent).astype(np.uint64)
    for shift, mask in (
        (16, 0x0000FFFF0000FFFF),
        (8, 0x00FF00FF00FF00FF),
        (4, 0x0F0F0F0F0F0F0F0F),
        (2, 0x3333333333333333),
        (1, 0x5555555555555555),
    ):
        cell = (cell | (cell << np.uint64(shift))) & np.uint64(mask)
    return cell[:, 0] | (cell[:, 1] << np.uint64(1))


def _join_boxes(sides: np.ndarray) -> None:
    """Fill in every box above the smallest, in place."""
    end = sides.shape[1]
    while end > 2:
        half = end // 2
        lower = sides[:, half:end].reshape(4, -1, 2)
        sides[0::2, half // 2 : half] = lower[0::2].min(axis=2)
        sides[1::2, half // 2 : half] = lower[1::2].max(axis=2)
        end = half


@numba.njit(cache=True, nogil=True, inline="always")
def _apart(sides, box, x, y):
    """Distance squared from a place to a box; infinite for an empty one."""
    dx = max(sides[0, box] - x, x - sides[1, box], 0.0)
    dy = max(sides[2, box] - y, y - sides[3, box], 0.0)
    return dx * dx + dy * dy


@numba.njit(cache=True, nogil=True)
def _nearest(places, x, y, sides, found, square):
    """Fill in the nearest points of each place, nearest first."""
    k, leaves = found.shape[1], sides.shape[1] // 2
    waiting, bound = np.empty(DEPTH, np.int64), np.empty(DEPTH)
    for i in range(len(places)):
        px, py = places[i, 0], places[i, 1]
        square[i, :] = np.inf
        found[i, :] = -1
        waiting[0], bound[0], top = 1, 0.0, 1
        while top > 0:
            top -= 1
            box = waiting[top]
            if bound[top] >= square[i, k - 1]:
                continue
            if box >= leaves:
                begin = (box - leaves) * LEAF
                for j in range(begin, min(begin + LEAF, len(x))):
                    d = (x[j] - px) ** 2 + (y[j] - py) ** 2
                    if d < square[i, k - 1]:
                        place = k - 1
                        while place > 0 and square[i, place - 1] > d:
                            square[i, place], found[i, place] = square[i, place - 1], found[i, place - 1]
                            place -= 1
                        square[i, place], found[i, place] = d, j
                continue
            one, other = 2 * box, 2 * box + 1
            d_one, d_other = _apart(sides, one, px, py), _apart(sides, other, px, py)
            if d_one > d_other:
                one, other, d_one, d_other = other, one, d_other, d_one
            for child, d in ((other, d_other), (one, d_one)):  # the nearer is looked at first
                if d < square[i, k - 1]:
                    waiting[top], bound[top] = child, d
                    top += 1


# -- Borůvka's rounds -------------------------------------------------------------------------------------------------


def _boruvka(boxes: Boxes, near, core, reach, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
    """Edges of the tree, as places along the curve, with their reachability and distance."""
    n = len(core)
    component = np.arange(n, dtype=np.int32)
    # the nearest outside, if known, and what it cannot be nearer than: reachability and distance
    best, least = np.full(n, -1, np.int32), np.column_stack([core, np.zeros(n)])
    own = np.empty(boxes.sides.shape[1], np.int32)
    lonely = _least(core, boxes.sides.shape[1] // 2)
    ends, length, made = np.empty((n - 1, 2), np.int32), np.empty((n - 1, 2)), 0
    while made < n - 1:
        _owners(component, own)
        made = _round(
            boxes.x, boxes.y, boxes.sides, lonely, own, near, core, reach, component, best, least, ends, length, made
        )
        progress(made, n - 1, "spanning tree")
    return ends, length


def _least(values: np.ndarray, leaves: int) -> np.ndarray:
    """Smallest value of the points in every box, (2·leaves,)."""
    least = np.full(2 * leaves, np.inf)
    begins = np.arange(0, len(values), LEAF)
    least[leaves : leaves + len(begins)] = np.minimum.reduceat(values, begins)
    end = 2 * leaves
    while end > 2:
        half = end // 2
        least[half // 2 : half] = least[half:end].reshape(-1, 2).min(axis=1)
        end = half
    return least


@numba.njit(cache=True, nogil=True)
def _owners(component, own):
    """The component that all points of a box are of, −1 if there are several, −2 if it is empty."""
    leaves = len(own) // 2
    for leaf in range(leaves):
        begin, end = leaf * LEAF, min((leaf + 1) * LEAF, len(component))
        owner = -2
        for j in range(begin, end):
            if owner == -2:
                owner = component[j]
            elif owner != component[j]:
                owner = -1
                break
        own[leaves + leaf] = owner
    for box in range(leaves - 1, 0, -1):
        one, other = own[2 * box], own[2 * box + 1]
        own[box] = one if one == other or other == -2 else -1


@numba.njit(cache=True, nogil=True, inline="always")
def _before(w, d, limit_w, limit_d):
    """Whether an edge of reachability w and distance d comes before another."""
    return w < limit_w or (w == limit_w and d < limit_d)


@numba.njit(cache=True, nogil=True, inline="always")
def _root(component, i):
    """The component that i is in by now; a component is known by its first point."""
    i = component[i]
    while component[i] != i:
        component[i] = component[component[i]]
        i = component[i]
    return i


@numba.njit(cache=True, nogil=True)
def _join(component, begin, end, shortest, ends, length, made):
    """Join every component with the one its shortest edge leads to; the number of edges afterwards."""
    for c in range(len(component)):
        if begin[c] >= 0:
            a, b = _root(component, begin[c]), _root(component, end[c])
            if a != b:  # else both have chosen the same edge
                component[max(a, b)] = min(a, b)
                ends[made, 0], ends[made, 1] = begin[c], end[c]
                length[made] = shortest[c]
                made += 1
    for i in range(len(component)):
        component[i] = _root(component, i)
    return made


@numba.njit(cache=True, nogil=True)
def _round(x, y, sides, lonely, own, near, core, reach, component, best, least, ends, length, made):
    """Join every component with its nearest; the number of edges afterwards."""
    n = len(core)
    shortest = np.full((n, 2), np.inf)
    begin, end = np.full(n, -1, np.int32), np.full(n, -1, np.int32)
    for i in range(n):  # what is known from the round before
        c = component[i]
        if best[i] >= 0 and component[best[i]] == c:
            best[i] = -1
        if best[i] >= 0 and _before(least[i, 0], least[i, 1], shortest[c, 0], shortest[c, 1]):
            shortest[c], begin[c], end[c] = least[i], i, best[i]
    for i in range(n):
        c = component[i]
        if best[i] >= 0 or not _before(least[i, 0], least[i, 1], shortest[c, 0], shortest[c, 1]):
            continue
        j, w, d = _listed(i, near, core, component, x, y)
        if w > reach[i]:  # an object that is not in the list may be nearer
            if not _before(w, d, shortest[c, 0], shortest[c, 1]):
                j, w, d = -1, shortest[c, 0], shortest[c, 1]
            j, w, d = _search(i, j, w, d, x, y, sides, lonely, own, core, component)
        best[i], least[i, 0], least[i, 1] = j, w, d
        if j >= 0 and _before(w, d, shortest[c, 0], shortest[c, 1]):
            shortest[c], begin[c], end[c] = least[i], i, j
    return _join(component, begin, end, shortest, ends, length, made)


@numba.njit(cache=True, nogil=True)
def _listed(i, near, core, component, x, y):
    """Nearest of the listed neighbours that is of another component, its reachability and distance."""
    found, least, apart = -1, np.inf, np.inf
    for j in near[i]:
        if component[j] != component[i]:
            d = np.sqrt((x[i] - x[j]) ** 2 + (y[i] - y[j]) ** 2)
            w = max(d, core[i], core[j])
            if _before(w, d, least, apart):
                found, least, apart = j, w, d
    return found, least, apart


@numba.njit(cache=True, nogil=True)
def _search(i, found, least, apart, x, y, sides, lonely, own, core, component):
    """Nearest point of another component that comes before what was found; that, if none does."""
    leaves, c = len(own) // 2, component[i]
    waiting = np.empty(DEPTH, np.int64)
    bound = np.empty((DEPTH, 2))
    waiting[0], top = 1, 1
    bound[0] = 0.0
    while top > 0:
        top -= 1
        box = waiting[top]
        if not _before(bound[top, 0], bound[top, 1], least, apart):
            continue
        if box >= leaves:
            begin = (box - leaves) * LEAF
            for j in range(begin, min(begin + LEAF, len(x))):
                if component[j] != c:
                    d = np.sqrt((x[i] - x[j]) ** 2 + (y[i] - y[j]) ** 2)
                    w = max(d, core[i], core[j])
                    if _before(w, d, least, apart):
                        found, least, apart = j, w, d
            continue
        one, other = 2 * box, 2 * box + 1
        d_one, d_other = np.sqrt(_apart(sides, one, x[i], y[i])), np.sqrt(_apart(sides, other, x[i], y[i]))
        if d_one > d_other:
            one, other, d_one, d_other = other, one, d_other, d_one
        for child, d in ((other, d_other), (one, d_one)):
            w = max(d, lonely[child], core[i])
            if own[child] != c and own[child] != -2 and _before(w, d, least, apart):
                waiting[top], bound[top, 0], bound[top, 1] = child, w, d
                top += 1
    return found, least, apart


@numba.njit(cache=True, nogil=True)
def _graph_round(near, apart, core, component, ends, length, made):
    """One of Borůvka's rounds over the edges of a graph; the number of edges afterwards."""
    n, k = near.shape
    shortest = np.full((n, 2), np.inf)
    begin, end = np.full(n, -1, np.int32), np.full(n, -1, np.int32)
    for i in range(n):
        for e in range(k):
            j = near[i, e]
            if j < 0 or component[i] == component[j]:
                continue
            d = np.float64(apart[i, e])
            w = max(core[i], core[j], d)
            for c in (component[i], component[j]):
                if _before(w, d, shortest[c, 0], shortest[c, 1]):
                    shortest[c, 0], shortest[c, 1], begin[c], end[c] = w, d, i, j
    return _join(component, begin, end, shortest, ends, length, made)
