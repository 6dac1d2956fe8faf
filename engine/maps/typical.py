"""What is typical of a place: the object nearest to the mean of all objects there, as a representation sees them.

Objects are compared by their leading principal coordinates, each divided by the fourth root of its variance (as the
neighbours are, see `engine.maps.components`), kept as whole numbers: sums of those are exact, so that what is chosen
depends on nothing but the objects. Where there is no representation, positions take their place: typical is then what
lies nearest to the middle of its neighbours.

Cost: one pass over the vectors in blocks, N·D·16 multiplications (principal axes come from a sample), and 32 bytes an
object kept.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from engine import files
from engine.jobs import Progress, silent
from engine.maps.components import principal_axes

if TYPE_CHECKING:
    from engine.survey import Survey

#: Coordinates compared.
COORDINATES = 16
#: Objects that the principal axes are taken from, evenly spread over the survey.
SAMPLE = 20_000
#: Largest whole number of a coordinate, and how far beyond the sample's it reaches.
WHOLE, REACH = 32_000, 1.5
#: Numbers of the vectors held at once: 16 MB in float32 (in smaller blocks the threads wait for each other).
BLOCK = 1 << 22


@dataclass(frozen=True)
class Likeness:
    """Coordinates in which objects are compared.

    Attributes
    ----------
    features : (N, d) int16 or float32
        Coordinates, by row.
    known : (N,) bool
        Objects that have some. The others count for nothing, and stand for a place only where nobody else can.
    basis : str
        The representation they come from; empty: positions.
    fingerprint : str
        Tells one set of vectors from another.
    """

    features: np.ndarray
    known: np.ndarray
    basis: str
    fingerprint: str


def basis_of(survey: Survey, layout: str) -> str:
    """The representation by which a layout's objects are compared: its own, else the newest, else none (empty)."""
    names = survey.representations
    meta = survey.path / "layouts" / layout / "meta.json"
    own = files.read_json(meta).get("representation") if meta.is_file() else None
    return own if own in names else (names[0] if names else "")


def fingerprint_of(survey: Survey, basis: str) -> str:
    """A checksum of vectors spread over the survey, as `Likeness.fingerprint`."""
    if not basis:
        return "positions"
    vectors = survey.representation(basis).vectors
    rows = np.unique(np.linspace(0, len(vectors) - 1, 512).astype(np.int64)) if len(vectors) else np.zeros(0, int)
    return f"{basis} {vectors.shape} {zlib.crc32(np.ascontiguousarray(vectors[rows]).tobytes()):08x}"


def likeness(survey: Survey, layout: str, *, progress: Progress = silent) -> Likeness:
    """Coordinates for the objects of a layout.

    Raises
    ------
    UserError
        If there is no such layout.
    """
    basis = basis_of(survey, layout)
    if basis:
        found = survey.representation(basis)
        known: np.ndarray = np.asarray(found.valid)
        if known.any():
            features = compared(found.vectors, known, progress=progress)
            return Likeness(features, known, basis, fingerprint_of(survey, basis))
    xy = np.asarray(survey.layout_xy(layout), np.float32)
    placed = np.asarray(np.isfinite(xy).all(axis=1))
    return Likeness(xy, placed, "", fingerprint_of(survey, ""))


def compared(
    vectors: np.ndarray, valid: np.ndarray, *, count: int = COORDINATES, progress: Progress = silent
) -> np.ndarray:
    """Balanced principal coordinates of vectors as whole numbers.

    Parameters
    ----------
    vectors : (N, D) float
        May be memory-mapped; read once, in order.
    valid : (N,) bool
        At least one.
    count : int
        Coordinates wanted.

    Returns
    -------
    (N, min(count, D)) int16
        One unit the same along every axis; zero in rows that are not valid.
    """
    rows = np.flatnonzero(valid)
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows))).astype(np.int64))]
    sample = np.asarray(vectors[rows], np.float32)
    axes = principal_axes(sample, np.ones(len(rows), bool), count)
    varies = axes.variance > 0
    directions = axes.directions * np.where(varies, np.where(varies, axes.variance, 1.0) ** -0.25, 0.0)
    extent = np.abs((sample - axes.mean) @ directions).max()
    unit = WHOLE / (REACH * extent) if extent > 0 else 1.0
    found = np.zeros((len(vectors), directions.shape[1]), np.int16)
    turn = (directions * unit).astype(np.float32)
    middle = (axes.mean @ (directions * unit)).astype(np.float32)
    step = max(1, BLOCK // vectors.shape[1])
    for start in range(0, len(vectors), step):
        part = slice(start, start + step)
        # copied, because a mapped file may not be written to; NumPy turns float16 into float32 four times slower
        block = torch.from_numpy(np.array(vectors[part])).float().numpy() @ turn - middle
        block[~valid[part]] = 0
        np.clip(np.rint(block, out=block), -WHOLE, WHOLE, out=block)
        found[part] = block
        progress(min(start + step, len(vectors)), len(vectors), "comparing")
    return found


def most_typical(groups: np.ndarray, features: np.ndarray, known: np.ndarray, count: int) -> np.ndarray:
    """The object of each group nearest to the group's mean.

    Parameters
    ----------
    groups : (n,) int
        Group of each object, 0 to count − 1; negative: none.
    features : (n, d)
    known : (n,) bool
        Objects whose features count.
    count : int

    Returns
    -------
    (count,) int64
        Place of the object among those given, the first of equals; −1 where a group is empty. Where nothing is known
        of a group's objects, its first.
    """
    weight = (known & (groups >= 0)).astype(np.float64)
    place = np.where(groups >= 0, groups, 0)
    size = np.maximum(np.bincount(place, weight, count), 1.0)
    distance = np.zeros(len(groups))
    for column in features.T:
        value = np.where(known, column, 0).astype(np.float64)
        distance += (value - (np.bincount(place, weight * value, count) / size)[place]) ** 2
    distance[~known] = np.inf
    inside = np.flatnonzero(groups >= 0)
    order = inside[np.lexsort((distance[inside], groups[inside]))]
    first = np.flatnonzero(np.diff(groups[order], prepend=-1))
    found = np.full(count, -1, np.int64)
    found[groups[order[first]]] = order[first]
    return found
