"""Strangeness from the neighbours: how far they are, and how much denser they lie than the object itself.

Both read the graph of nearest neighbours that layouts and selections share (`engine.maps.neighbours`). The mean
distance finds what lies alone anywhere; the local outlier factor (Breunig et al. 2000, SIGMOD,
doi:10.1145/335191.335388) finds what lies alone beside a dense place, and is 1 within any even density.
scikit-learn's definition, but for one thing: a local reach is at least `FLOOR` of the median one, so that a few equal
objects do not make all that is beside them a million times as strange.

Cost: two passes over the graph, 0.1 s for 1,000,000 objects and 15 neighbours; the distances themselves are the
graph's.
"""

from __future__ import annotations

import numpy as np

from engine.maps.neighbours import Neighbours

#: Least mean reach, as a share of the median one.
FLOOR = 1e-3
#: Objects looked at together.
CHUNK = 131_072


def mean_distance(graph: Neighbours) -> np.ndarray:
    """Mean distance to the neighbours, (N,) float32 in the units of the features; NaN for an object without any."""
    score = np.full(len(graph.indices), np.nan, np.float32)
    for part in _parts(len(score)):
        known, distance = graph.indices[part] >= 0, graph.distances[part]
        score[part] = _mean(distance, known)
    return score


def local_outlier_factor(graph: Neighbours) -> np.ndarray:
    """How many times denser an object's neighbours lie than it does.

    Parameters
    ----------
    graph : Neighbours

    Returns
    -------
    (N,) float32
        1 where the density is even, larger beside what is denser; NaN for an object without neighbours.

    Source
    ------
    Breunig et al. 2000, definitions 5-7; the negative of scikit-learn's ``negative_outlier_factor_``.
    """
    n = len(graph.indices)
    width = (graph.indices >= 0).sum(axis=1)
    own = np.where(width > 0, graph.distances[np.arange(n), np.maximum(width, 1) - 1], np.nan).astype(np.float32)
    reach = np.full(n, np.nan)
    for part in _parts(n):
        near = graph.indices[part]
        reach[part] = _mean(np.maximum(graph.distances[part], own[near]), near >= 0)
    known = np.isfinite(reach)
    if not known.any():
        return reach.astype(np.float32)
    floor = FLOOR * float(np.median(reach[known]))
    if floor == 0:  # most objects are equal to others: all of the same density but those that are alone
        floor = FLOOR * float(reach[known].max()) or 1.0
    reach = np.maximum(reach, floor)
    score = np.full(n, np.nan, np.float32)
    for part in _parts(n):
        near = graph.indices[part]
        score[part] = reach[part] * _mean(1 / reach[near], near >= 0)
    return score


def _parts(n: int) -> list[slice]:
    return [slice(start, start + CHUNK) for start in range(0, n, CHUNK)]


def _mean(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Mean of the known values of each row, NaN for none."""
    count = known.sum(axis=1)
    total = np.where(known, values, 0.0).sum(axis=1, dtype=np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
