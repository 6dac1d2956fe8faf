"""One label's pass over the survey on a CPU, fused: kernel row, product with V, mean and variance in one reading.

A block of V lies together in memory, label after label (`engine.learning.field` says how), so that the product reads it as
fast as the memory gives it: 200,000 objects and 200 labels took 35 ms of one core with a row of V a label, 6 ms so. Each
block stays in the first caches from its kernel row to its share of mean and variance. The functions hold no lock, and
threads call them for different blocks.
"""

from __future__ import annotations

import numpy as np
from numba import njit

#: Objects that go through together: their row stays in the first cache.
STRIP = 1024
#: Sums may be reordered and products fused, but NaN stays NaN.
_FAST = {"reassoc", "contract", "arcp", "nsz"}
RATIONAL, MATERN, RBF = 0, 1, 2
_ZERO, _ONE, _TWO = np.float32(0), np.float32(1), np.float32(2)


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def covariance(features, half_norms, point, half_norm, first, last, family, scale, power, variance, row):
    """k(point, objects first … last) into `row`: ½‖x‖² + ½‖x*‖² − x·x*, then the kernel of it; float32.

    `scale` and `power` are those of `parameters`.
    """
    for i in range(first, last):
        product = _ZERO
        for j in range(features.shape[1]):
            product += features[i, j] * point[j]
        row[i - first] = max(_TWO * (half_norms[i] + half_norm - product), _ZERO)
    if family == RATIONAL:
        for i in range(last - first):
            row[i] = variance * np.exp(power * np.log(_ONE + scale * row[i]))
    elif family == MATERN:
        for i in range(last - first):
            r = scale * np.sqrt(row[i])
            row[i] = variance * (_ONE + r) * np.exp(-r)
    else:
        for i in range(last - first):
            row[i] = variance * np.exp(scale * row[i])


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def subtract(chunk, count, weights, at, first, last, row):
    """Row −= weightsᵀ V for `count` lines of one block's chunk, (CHUNK, width); `at` is where the weights begin."""
    width, k = last - first, 0
    while k + 4 <= count:
        w0, w1, w2, w3 = weights[at + k], weights[at + k + 1], weights[at + k + 2], weights[at + k + 3]
        for i in range(width):
            row[i] -= (
                w0 * np.float32(chunk[k, first + i])
                + w1 * np.float32(chunk[k + 1, first + i])
                + w2 * np.float32(chunk[k + 2, first + i])
                + w3 * np.float32(chunk[k + 3, first + i])
            )
        k += 4
    while k < count:
        w0 = weights[at + k]
        for i in range(width):
            row[i] -= w0 * np.float32(chunk[k, first + i])
        k += 1


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def append(
    features,
    half_norms,
    chunks,
    stored,
    weights,
    quantum,
    label,
    family,
    scale,
    power,
    variance,
    inverse,
    z,
    mean,
    spread,
    a,
    b,
):
    """Add one label for objects a … b (a is a block's first): its line of V is stored, mean and variance follow.

    Parameters
    ----------
    features : (N, d) float32
    half_norms : (N,) float32
    chunks : list of (blocks, CHUNK, width) float32 or int16
    stored : int
        Lines of V that are there; the new one comes next.
    weights : (stored,) float32
        New row of the factor, times `quantum`.
    quantum : float32
        What one unit of V stands for: 1, or the step of int16.
    label : int
        The labelled object.
    family, scale, power : see `parameters`
    variance, inverse : float32
        The kernel's variance, and 1 / λ.
    z : (C,) float64
    mean : (C, N) float64
    spread : (N,) float64
        Variance of each object, changed as `mean` is.
    """
    height, width = chunks[0].shape[1], chunks[0].shape[2]
    row = np.empty(STRIP, np.float32)
    for first in range(a, b, STRIP):
        last = min(first + STRIP, b)
        block, inside = first // width, first % width
        covariance(
            features, half_norms, features[label], half_norms[label], first, last, family, scale, power, variance, row
        )
        for number in range((stored + height - 1) // height):
            count = min(height, stored - number * height)
            subtract(chunks[number][block], count, weights, number * height, inside, inside + last - first, row)
        line = chunks[stored // height][block, stored % height]
        if quantum == _ONE:
            for i in range(last - first):
                row[i] *= inverse
                line[inside + i] = row[i]
        else:
            for i in range(last - first):
                unit = np.rint(row[i] * inverse / quantum)
                line[inside + i] = unit
                row[i] = unit * quantum
        _account(row, first, last, z, mean, spread, 1.0)


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def withdraw(chunk, line, quantum, z, mean, spread, a, b):
    """Take a line of V out of mean and variance again, for objects a … b: to the bit what `append` put in."""
    width = chunk.shape[2]
    row = np.empty(STRIP, np.float32)
    for first in range(a, b, STRIP):
        last = min(first + STRIP, b)
        block, inside = first // width, first % width
        for i in range(last - first):
            row[i] = chunk[block, line, inside + i] * quantum
        _account(row, first, last, z, mean, spread, -1.0)


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def _account(row, first, last, z, mean, spread, sign):
    for c in range(len(z)):
        weight = sign * z[c]
        for i in range(last - first):
            mean[c, first + i] += weight * row[i]
    for i in range(last - first):
        spread[first + i] -= sign * (np.float64(row[i]) * np.float64(row[i]))


def parameters(family: str, length: float, shape: float) -> tuple[int, np.float32, np.float32]:
    """A kernel's family as a number, what multiplies the (squared) distance, and the power of the rational quadratic."""
    if family == "rational-quadratic":
        return RATIONAL, np.float32(0.5 / (shape * length**2)), np.float32(-shape)
    if family == "matern":
        return MATERN, np.float32(np.sqrt(3) / length), _ONE
    return RBF, np.float32(-0.5 / length**2), _ONE
