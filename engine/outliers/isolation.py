"""Isolation forest: what is parted from the rest by few random cuts is strange.

Liu, Ting & Zhou 2008 (ICDM, doi:10.1109/ICDM.2008.17), as scikit-learn has it. A tree sees 256 objects whatever the
survey's size, so the forest is grown on a random part of it; then every object falls through every tree. A cut goes
along one feature between its extremes, so that scaling the features changes nothing, but rotating them does: here
they are principal components.

Cost: see `docs/hunting.md`; memory is that of a chunk, whatever the survey's size.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from engine.jobs import Progress, silent

#: Trees, and objects a tree sees.
TREES, SEEN = 200, 256
#: Objects that fall through the forest together.
CHUNK = 16_384


def isolation(
    features: np.ndarray, valid: np.ndarray, *, trees: int = TREES, seed: int = 0, progress: Progress = silent
) -> np.ndarray:
    """How easily each object is isolated.

    Parameters
    ----------
    features : (N, d) float
        May be memory-mapped.
    valid : (N,) bool
        At least two of them.
    trees : int
    seed : int

    Returns
    -------
    (N,) float32
        From 0 to 1, about 0.5 and below for the usual; NaN where not valid.

    Source
    ------
    Liu et al. 2008, eq. 2; the negative of scikit-learn's ``score_samples``.
    """
    from sklearn.ensemble import IsolationForest

    n, rows = len(features), np.flatnonzero(valid)
    rng = np.random.default_rng(seed)
    some = rows if len(rows) <= trees * SEEN else np.sort(rng.choice(rows, trees * SEEN, replace=False))
    forest = IsolationForest(n_estimators=trees, max_samples=min(SEEN, len(some)), random_state=seed)
    forest.fit(np.asarray(features[some], np.float32))
    score = np.full(n, np.nan, np.float32)

    def fall(start: int) -> int:
        part = slice(start, start + CHUNK)
        good = valid[part]
        if good.any():
            score[part][good] = -forest.score_samples(np.asarray(features[part], np.float32)[good])
        return min(start + CHUNK, n)

    with ThreadPoolExecutor(os.cpu_count() or 1) as cores:
        for done in cores.map(fall, range(0, n, CHUNK)):
            progress(done, n, "isolation forest")
    return score
