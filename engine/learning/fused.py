"""One label's pass over the survey on a CPU, fused: kernel row, product with V, mean and variance in one reading.

A block of V lies together in memory, label after label (`engine.learning.field` says how), so that the product reads it as
fast as the memory gives it: 200,000 objects and 200 labels took 35 ms of one core with a row of V a label, 6 ms so. Each
block stays in the first caches from its kernel row to its share of mean and variance. The functions hold no lock, and
threads call them for different blocks. Loops are over slices that the compiler knows to be contiguous and never indexed below zero:
else it gathers, at a third of the speed.
"""

from __future__ import annotations

import numpy as np
from numba import njit

#: Sums may be reordered and products fused, but NaN stays NaN.
_FAST = {"reassoc", "contract", "arcp", "nsz"}
RATIONAL, MATERN, RBF = 0, 1, 2
_ZERO, _ONE, _TWO = np.float32(0), np.float32(1), np.float32(2)


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def covariance(features, half_norms, point, half_norm, family, scale, power, variance, row):
    """k(point, objects) into `row`: ½‖x‖² + ½‖x*‖² − x·x*, then the kernel of it; float32.

    `scale` and `power` are those of `parameters`.
    """
    for i in range(len(row)):
        product = _ZERO
        for j in range(features.shape[1]):
            product += features[i, j] * point[j]
        row[i] = max(_TWO * (half_norms[i] + half_norm - product), _ZERO)
    if family == RATIONAL:
        for i in range(len(row)):
            row[i] = variance * np.exp(power * np.log(_ONE + scale * row[i]))
    elif family == MATERN:
        for i in range(len(row)):
            r = scale * np.sqrt(row[i])
            row[i] = variance * (_ONE + r) * np.exp(-r)
    else:
        for i in range(len(row)):
            row[i] = variance * np.exp(scale * row[i])


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def subtract(lines, weights, row):
    """Row −= weightsᵀ lines: (k, n) of V, (k,), (n,). Four lines at a time, so that the row is read a quarter as often."""
    k = 0
    while k + 4 <= len(weights):
        w0, w1, w2, w3 = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
        a, b, c, d = lines[k], lines[k + 1], lines[k + 2], lines[k + 3]
        for i in range(len(row)):
            row[i] -= w0 * np.float32(a[i]) + w1 * np.float32(b[i]) + w2 * np.float32(c[i]) + w3 * np.float32(d[i])
        k += 4
    while k < len(weights):
        w0, a = weights[k], lines[k]
        for i in range(len(row)):
            row[i] -= w0 * np.float32(a[i])
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
    strip = np.empty(width, np.float32)
    for first in range(a, b, width):
        last, block = min(first + width, b), first // width
        row = strip[: last - first]
        covariance(
            features[first:last],
            half_norms[first:last],
            features[label],
            half_norms[label],
            family,
            scale,
            power,
            variance,
            row,
        )
        for number in range((stored + height - 1) // height):
            subtract(chunks[number][block], weights[number * height : (number + 1) * height], row)
        line = chunks[stored // height][block, stored % height]
        if quantum == _ONE:
            for i in range(len(row)):
                row[i] *= inverse
                line[i] = row[i]
        else:
            for i in range(len(row)):
                unit = np.rint(row[i] * inverse / quantum)
                line[i] = np.int16(unit)
                row[i] = unit * quantum
        _account(row, z, mean, spread, first, 1.0)


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def withdraw(chunk, line, quantum, z, mean, spread, a, b):
    """Take a line of V out of mean and variance again, for objects a … b: to the bit what `append` put in."""
    width = chunk.shape[2]
    strip = np.empty(width, np.float32)
    for first in range(a, b, width):
        row, stored = strip[: min(width, b - first)], chunk[first // width, line]
        for i in range(len(row)):
            row[i] = stored[i] * quantum
        _account(row, z, mean, spread, first, -1.0)


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def _account(row, z, mean, spread, first, sign):
    last = first + len(row)
    for c in range(len(z)):
        weight, column = sign * z[c], mean[c][first:last]
        for i in range(len(row)):
            column[i] += weight * row[i]
    left = spread[first:last]
    for i in range(len(row)):
        left[i] -= sign * (np.float64(row[i]) * np.float64(row[i]))


def parameters(family: str, length: float, shape: float) -> tuple[int, np.float32, np.float32]:
    """A kernel's family as a number, what multiplies the (squared) distance, and the power of the rational quadratic."""
    if family == "rational-quadratic":
        return RATIONAL, np.float32(0.5 / (shape * length**2)), np.float32(-shape)
    if family == "matern":
        return MATERN, np.float32(np.sqrt(3) / length), _ONE
    return RBF, np.float32(-0.5 / length**2), _ONE
