"""Objects apart on the sky: of those that lie close together, the best only.

The same galaxy may be in a survey several times (overlapping tiles, detections of its parts); its copies would fill every
list of what is like it. Walks down the ranking and keeps an object unless one that was kept, or an object asked for, lies
nearer than a separation. Objects without a position are kept.

Cost: a k-d tree of what was kept, asked `BATCH` objects at a time; O(n log n).
"""

from __future__ import annotations

import numpy as np

from engine.errors import UserError

#: Separation unless told otherwise, arcsec.
SEPARATION = 5.0
#: Objects looked at together.
BATCH = 1024
#: Largest separation that is one, arcsec (10 deg).
WIDEST = 36_000.0


def apart(ra: np.ndarray, dec: np.ndarray, separation: float, taken: np.ndarray, *, most: int) -> np.ndarray:
    """Which of ranked positions to keep.

    Parameters
    ----------
    ra, dec : (n,) float, deg
        The best first, NaN where unknown.
    separation : float
        arcsec.
    taken : (m, 2) float, deg
        Positions that nothing may be close to.
    most : int
        Stop at so many.

    Returns
    -------
    (k,) int64
        Ascending numbers of those kept, k ≤ most.

    Raises
    ------
    UserError
        If the separation is none.
    """
    from scipy.spatial import cKDTree

    if not 0 <= separation <= WIDEST:
        raise UserError(f"{separation} arcsec is no separation", f"give 0 to {WIDEST:,.0f} arcsec")
    reach = 2 * np.sin(np.radians(separation / 3600) / 2)
    vectors = unit_vectors(ra, dec)
    kept_at = unit_vectors(*np.reshape(taken, (-1, 2)).T)
    kept_at = kept_at[np.isfinite(kept_at).all(axis=1)]
    known = np.isfinite(vectors).all(axis=1)
    kept: list[int] = []
    for start in range(0, len(vectors), BATCH):
        numbers = np.arange(start, min(start + BATCH, len(vectors)))
        free = np.ones(len(numbers), bool)
        placed = known[numbers]
        if len(kept_at) and placed.any():
            distance, _ = cKDTree(kept_at).query(vectors[numbers[placed]], distance_upper_bound=reach * (1 + 1e-12))
            free[placed] = ~(distance <= reach)
        for k in np.flatnonzero(free):
            if not free[k]:
                continue
            kept.append(int(numbers[k]))
            if len(kept) >= most:
                return np.array(kept, np.int64)
            if placed[k]:  # the rest of the batch must keep away from it
                later = vectors[numbers[k + 1 :]] - vectors[numbers[k]]
                free[k + 1 :] &= ~(np.einsum("ij,ij->i", later, later) <= reach**2)
        chosen = numbers[free & placed]
        kept_at = np.concatenate([kept_at, vectors[chosen]])
    return np.array(kept, np.int64)


def unit_vectors(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Directions, (n, 3) float64, of positions in deg."""
    a, d = np.radians(np.asarray(ra, np.float64)), np.radians(np.asarray(dec, np.float64))
    return np.column_stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])
