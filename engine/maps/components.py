"""Principal components of a representation: the shared features of posterior, neighbours, layout and probes.

The covariance is gathered in one streaming pass in float64 (D×D, exact), so cost is N·D² and memory D² whatever N is.
"""

from dataclasses import dataclass

import numpy as np

#: Rows of a representation held at once, so that a memory-mapped file is streamed.
CHUNK = 65536
#: A component whose variance is below this share of the first one's is left out: it is rounding, not signal.
RANK_TOLERANCE = 1e-10


@dataclass(frozen=True)
class Axes:
    """Leading principal axes of some vectors.

    Attributes
    ----------
    mean : (D,) float64
    directions : (D, d) float64
        Unit vectors, by falling variance; each one's largest loading is positive, which fixes its sign.
    variance : (d,) float64
        Along each; zero for vectors that are all alike (to float32 rounding).
    """

    mean: np.ndarray
    directions: np.ndarray
    variance: np.ndarray


def principal_axes(vectors: np.ndarray, valid: np.ndarray, count: int) -> Axes:
    """Find the leading principal axes.

    Parameters
    ----------
    vectors : (N, D) float
        May be memory-mapped.
    valid : (N,) bool
        Rows to use.
    count : int
        Axes wanted; no more than D and the rank are returned, and at least one.
    """
    n, dimension = vectors.shape
    used = int(np.count_nonzero(valid))
    if used == 0:
        return Axes(np.zeros(dimension), np.zeros((dimension, 1)), np.zeros(1))
    total, product = np.zeros(dimension), np.zeros((dimension, dimension))
    shift = np.asarray(vectors[np.flatnonzero(valid)[0]], np.float64)
    for start in range(0, n, CHUNK):
        block = np.asarray(vectors[start : start + CHUNK], np.float64)[valid[start : start + CHUNK]] - shift
        total += block.sum(axis=0)
        product += block.T @ block
    offset = total / used
    mean = shift + offset
    variance, axes = np.linalg.eigh(product / used - np.outer(offset, offset))
    variance, axes = variance[::-1][:count], axes[:, ::-1][:, :count]
    rounding = (np.finfo(np.float32).eps * np.linalg.norm(mean)) ** 2
    keep = variance > max(RANK_TOLERANCE * variance[0], rounding)
    variance = np.where(keep, variance, 0.0)
    keep[0] = True
    variance, axes = variance[keep], axes[:, keep]
    return Axes(mean, axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]), variance)


def project(vectors: np.ndarray, valid: np.ndarray, mean: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Coordinates of vectors along some directions, ``(x − mean) · directions``, streamed.

    Returns
    -------
    (N, d) float32
        Zero in rows that are not valid.
    """
    mean, directions = np.asarray(mean, np.float32), np.asarray(directions, np.float32)
    coordinates = np.zeros((len(vectors), directions.shape[1]), np.float32)
    for start in range(0, len(vectors), CHUNK):
        part = slice(start, start + CHUNK)
        coordinates[part] = (np.asarray(vectors[part], np.float32) - mean) @ directions
        coordinates[part][~valid[part]] = 0
    return coordinates


def principal_coordinates(vectors: np.ndarray, valid: np.ndarray, count: int) -> np.ndarray:
    """Project on the leading principal components, in the units of the vectors: distances are (nearly) kept.

    Returns
    -------
    (N, d) float32
        Zero mean; zero in rows that are not valid.
    """
    axes = principal_axes(vectors, valid, count)
    return project(vectors, valid, axes.mean, axes.directions * (axes.variance > 0))


def balanced_coordinates(vectors: np.ndarray, valid: np.ndarray, count: int) -> np.ndarray:
    """Project on the leading principal components, each divided by the fourth root of its variance.

    Half way between the vectors as they are, in which a few directions (brightness, size) decide every distance, and
    standard components, in which the last direction counts as much as the first.

    Returns
    -------
    (N, d) float32
        Zero mean; standard deviation along each is the square root of what it was; zero in rows that are not valid.
    """
    return project(vectors, valid, *balanced_axes(vectors, valid, count))


def balanced_axes(vectors: np.ndarray, valid: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,) and directions (D, d) that `project` takes to give balanced coordinates, also of other vectors."""
    axes = principal_axes(vectors, valid, count)
    scale = np.where(axes.variance > 0, np.where(axes.variance > 0, axes.variance, 1.0) ** -0.25, 0.0)
    return axes.mean, axes.directions * scale


def standard_components(vectors: np.ndarray, valid: np.ndarray, count: int) -> np.ndarray:
    """Project on the leading principal components and scale each to zero mean and unit variance.

    Parameters
    ----------
    vectors : (N, D) float
        May be memory-mapped.
    valid : (N,) bool
        Rows to use; the others come back as zero.
    count : int
        Components wanted; at most D, the number of valid rows and the rank are returned.

    Returns
    -------
    (N, d) float32
        Signs are fixed: each component's largest loading is positive.
    """
    return project(vectors, valid, *standard_axes(vectors, valid, count))


def standard_axes(vectors: np.ndarray, valid: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,) and directions (D, d) that `project` takes to give standard components, also of other vectors."""
    axes = principal_axes(vectors, valid, count)
    scale = np.where(axes.variance > 0, 1 / np.sqrt(np.where(axes.variance > 0, axes.variance, 1.0)), 0.0)
    return axes.mean, axes.directions * scale
