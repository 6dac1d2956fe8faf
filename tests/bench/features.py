"""Features like a representation's, to measure on."""

import numpy as np


def galaxies(n: int, dimension: int, seed: int = 0) -> np.ndarray:
    """Features like a representation's: a bent 12-dimensional sheet with noise, (n, dimension) float32, standardised."""
    rng = np.random.default_rng(seed)
    inner = rng.normal(size=(n, 12)).astype(np.float32)
    turn = rng.normal(size=(12, dimension)).astype(np.float32)
    x = inner @ turn + np.sin(inner[:, :1] * 2) @ rng.normal(size=(1, dimension)).astype(np.float32)
    x += 0.3 * rng.standard_normal((n, dimension), np.float32)
    return (x - x.mean(0)) / x.std(0)
