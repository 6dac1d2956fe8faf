"""Principal components of a representation, standardised: the shared features of posterior, neighbours, layout and probes.

The covariance is gathered in one streaming pass in float64 (D×D, exact), so cost is N·D² and memory D² whatever N is.
"""

import numpy as np

#: Rows of a representation held at once, so that a memory-mapped file is streamed.
CHUNK = 65536
#: A component whose variance is below this share of the first one's is left out: it is rounding, not signal.
RANK_TOLERANCE = 1e-10


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
    n, dimension = vectors.shape
    used = int(valid.sum())
    if used == 0:
        return np.zeros((n, 1), np.float32)
    total, product = np.zeros(dimension), np.zeros((dimension, dimension))
    shift = np.asarray(vectors[np.flatnonzero(valid)[0]], np.float64)
    for start in range(0, n, CHUNK):
        block = np.asarray(vectors[start : start + CHUNK], np.float64)[valid[start : start + CHUNK]] - shift
        total += block.sum(axis=0)
        product += block.T @ block
    mean = total / used
    variance, axes = np.linalg.eigh(product / used - np.outer(mean, mean))
    variance, axes = variance[::-1][:count], axes[:, ::-1][:, :count]
    keep = variance > RANK_TOLERANCE * max(variance[0], np.finfo(np.float64).tiny)
    keep[0] = True
    variance, axes = variance[keep], axes[:, keep]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    scaled = (axes / np.sqrt(np.maximum(variance, np.finfo(np.float32).tiny))).astype(np.float32)
    offset = ((shift + mean) @ scaled).astype(np.float32)
    components = np.zeros((n, scaled.shape[1]), np.float32)
    for start in range(0, n, CHUNK):
        part = slice(start, start + CHUNK)
        components[part] = np.asarray(vectors[part], np.float32) @ scaled - offset
        components[part][~valid[part]] = 0
    return components
