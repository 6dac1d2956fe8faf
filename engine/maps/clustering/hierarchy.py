"""HDBSCAN: clusters of any shape, and what belongs to none, read off a spanning tree.

Cut at ever shorter lengths, a spanning tree falls apart. A part of fewer than `min_size` objects has left its cluster;
where two larger ones come apart, two clusters are born. A cluster's stability is the time that its objects spend in it,
with λ = 1 / length for a clock:  S(C) = Σ (λ_leaves(p) − λ_birth(C));  of a cluster and its descendants those are taken
that have the larger sum (Campello, Moulavi & Sander 2013, PAKDD; McInnes & Healy 2017). The whole is no cluster.

Cost: O(n) after the edges are sorted.
"""

from __future__ import annotations

import numba
import numpy as np

from engine.maps.clustering.spanning import Tree

#: How clusters are chosen: the most stable set, or those that nothing divides any further.
CHOICES = ("stable", "finest")


def flat_clusters(tree: Tree, min_size: int, *, choice: str = "stable") -> np.ndarray:
    """Clusters of a spanning tree.

    Parameters
    ----------
    tree : Tree
        Of n objects; what it does not join is apart at any distance.
    min_size : int
        Objects in the smallest cluster, at least 2.
    choice : 'stable' | 'finest'

    Returns
    -------
    (n,) int32
        The largest cluster is 0, then by falling size; −1 where an object is in none.
    """
    if choice not in CHOICES:
        raise ValueError(f"choice is {choice!r}, not one of {CHOICES}")
    if tree.count == 0:
        return np.empty(0, np.int32)
    ends, length = _whole(tree)
    positive = length[length > 0]
    shortest = positive[0] if len(positive) else 1.0  # objects at one place: as if apart by the next length
    left, right, size = _linkage(ends, tree.count)
    cluster, leaves, parent, birth, sizes = _condense(left, right, size, length, tree.count, max(2, min_size), shortest)
    chosen = _choose(cluster, leaves, parent, birth, sizes, choice == "finest")
    return by_size(chosen[cluster])


def by_size(codes: np.ndarray) -> np.ndarray:
    """The same clusters, numbered by falling size (equal ones by their first object); negative stays −1."""
    codes = np.asarray(codes)
    known = codes >= 0
    if not known.any():
        return np.full(len(codes), -1, np.int32)
    counts = np.bincount(codes[known])
    first = np.full(len(counts), len(codes))
    np.minimum.at(first, codes[known], np.flatnonzero(known))
    ranked = np.lexsort([first, -counts])
    number = np.full(len(counts), -1, np.int32)
    number[ranked] = np.arange(len(counts))
    return np.where(known, number[np.where(known, codes, 0)], -1).astype(np.int32)


def _whole(tree: Tree) -> tuple[np.ndarray, np.ndarray]:
    """Edges of one tree: what was apart is joined at an infinite length."""
    missing = tree.count - 1 - len(tree.ends)
    if missing == 0:
        return tree.ends, tree.length
    roots = _roots(tree.ends, tree.count)
    bridges = np.column_stack([roots[:-1], roots[1:]]).astype(np.int32)
    return np.concatenate([tree.ends, bridges]), np.concatenate([tree.length, np.full(missing, np.inf)])


@numba.njit(cache=True, nogil=True)
def _find(above, i):
    while above[i] != i:
        above[i] = above[above[i]]
        i = above[i]
    return i


@numba.njit(cache=True, nogil=True)
def _roots(ends, count):
    """One object of each tree of a forest."""
    above = np.arange(count)
    for e in range(len(ends)):
        above[_find(above, ends[e, 0])] = _find(above, ends[e, 1])
    return np.array([i for i in range(count) if above[i] == i])


@numba.njit(cache=True, nogil=True)
def _linkage(ends, count):
    """What each edge joins, shortest first: two objects (below `count`) or joins (`count` + edge); and their sizes."""
    m = len(ends)
    above, node = np.arange(count), np.arange(count)
    size = np.ones(count + m, np.int64)
    left, right = np.empty(m, np.int64), np.empty(m, np.int64)
    for e in range(m):
        a, b = _find(above, ends[e, 0]), _find(above, ends[e, 1])
        left[e], right[e] = node[a], node[b]
        size[count + e] = size[node[a]] + size[node[b]]
        above[b] = a
        node[a] = count + e
    return left, right, size


@numba.njit(cache=True, nogil=True)
def _condense(left, right, size, length, count, min_size, shortest):
    """Which condensed cluster every object leaves, and when; parent, birth and size of each cluster, the whole first."""
    m = len(left)
    most = 1 + 2 * (count // min_size)
    parent, birth, sizes = np.full(most, -1, np.int64), np.zeros(most), np.zeros(most, np.int64)
    sizes[0], made = count, 1
    cluster, fallen = np.zeros(count + m, np.int64), np.full(count + m, np.nan)
    for e in range(m - 1, -1, -1):
        node = count + e
        c = cluster[node]
        a, b = left[e], right[e]
        cluster[a], cluster[b] = c, c
        if not np.isnan(fallen[node]):
            fallen[a], fallen[b] = fallen[node], fallen[node]
            continue
        clock = 1.0 / max(length[e], shortest)
        if size[a] >= min_size and size[b] >= min_size:
            for child in (a, b):
                parent[made], birth[made], sizes[made] = c, clock, size[child]
                cluster[child] = made
                made += 1
            continue
        for child in (a, b):
            if size[child] < min_size:
                fallen[child] = clock
    return cluster[:count], fallen[:count], parent[:made], birth[:made], sizes[:made]


@numba.njit(cache=True, nogil=True)
def _choose(cluster, leaves, parent, birth, sizes, finest):
    """The chosen cluster that each condensed cluster is part of, −1 if none."""
    made = len(parent)
    stability, below = np.zeros(made), np.zeros(made)
    has_children = np.zeros(made, np.bool_)
    for i in range(len(cluster)):
        if not np.isnan(leaves[i]):
            stability[cluster[i]] += leaves[i] - birth[cluster[i]]
    for c in range(1, made):
        stability[parent[c]] += sizes[c] * (birth[c] - birth[parent[c]])
        has_children[parent[c]] = True
    taken = np.zeros(made, np.bool_)
    for c in range(made - 1, 0, -1):  # children have higher numbers
        divided = below[c] > stability[c]
        taken[c] = not has_children[c] if finest else not divided
        below[parent[c]] += below[c] if divided else stability[c]
    chosen = np.full(made, -1, np.int64)
    for c in range(1, made):
        above = chosen[parent[c]]
        chosen[c] = above if above >= 0 else (c if taken[c] else -1)
    return chosen
