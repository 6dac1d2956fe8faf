"""The few corners of an outline that say its shape: by them a lasso of hundreds of points is changed by hand.

Douglas and Peucker's rule, largest departures first (Douglas & Peucker 1973, Cartographica 10, 112): between two chosen
corners the one farthest from the straight line is chosen next, until none is farther than the tolerance or there are
enough. The outline itself stays as it was drawn: the corners between two chosen ones move along with them.

Cost: O(V) a chosen corner.
"""

from __future__ import annotations

import heapq

import numpy as np

#: Chosen corners at most: what an eye can overlook and a hand can grasp.
MOST = 24
#: Departure that is let pass, as a share of the outline's larger extent.
TOLERANCE = 0.008


def handles(polygon: np.ndarray, *, most: int = MOST, tolerance: float = TOLERANCE) -> np.ndarray:
    """Corners of a closed outline that carry its shape.

    Parameters
    ----------
    polygon : (V, 2) float
        In order; the last joins the first.
    most : int
        At most so many, at least 3.
    tolerance : float
        As a share of the larger extent.

    Returns
    -------
    (h,) int64
        Ascending numbers of corners, h ≤ most; all of them if V ≤ 4.
    """
    ring = np.asarray(polygon, np.float64)
    if len(ring) <= 4:
        return np.arange(len(ring))
    extent = float(np.ptp(ring, axis=0).max())
    first = int(np.argmax(((ring - ring.mean(axis=0)) ** 2).sum(axis=1)))
    second = int(np.argmax(((ring - ring[first]) ** 2).sum(axis=1)))
    chosen, heap = {first, second}, list[tuple]()
    for start, stop in ((first, second), (second, first)):
        _offer(heap, ring, start, stop)
    while heap and len(chosen) < most:
        departure, start, far, stop = heapq.heappop(heap)
        if -departure <= tolerance * extent and len(chosen) >= 3:
            break
        chosen.add(far)
        _offer(heap, ring, start, far)
        _offer(heap, ring, far, stop)
    return np.array(sorted(chosen))


def _offer(heap: list, ring: np.ndarray, start: int, stop: int) -> None:
    """Remember the corner between two chosen ones that departs most from their line."""
    between = np.arange(start + 1, stop if stop > start else stop + len(ring)) % len(ring)
    if len(between) == 0:
        return
    distance = departures(ring[between], ring[start], ring[stop])
    far = int(np.argmax(distance))
    heapq.heappush(heap, (-float(distance[far]), start, int(between[far]), stop))


def departures(points: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distances of points (n, 2) from the stretch between a and b, (n,)."""
    along = b - a
    length = float(along @ along)
    t = np.clip((points - a) @ along / length, 0, 1) if length > 0 else np.zeros(len(points))
    return np.hypot(*(points - a - t[:, None] * along).T)
