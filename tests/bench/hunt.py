"""From a label to the next objects, beside what peers do."""

from importlib.metadata import version

import numpy as np

from tests.bench.features import galaxies
from tests.bench.measure import Figure, compare


def label_to_ranking(full: bool) -> list[Figure]:
    """One more label: new mean and sd over the survey, against refitting and predicting as Protege does."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Matern, WhiteKernel

    from engine.learning.kernels import Kernel
    from engine.learning.posterior import Posterior

    n, labels = (1_000_000 if full else 100_000), 200
    x = galaxies(n, 40)
    rng = np.random.default_rng(1)
    rows = rng.choice(n, labels + 1, replace=False)
    y = (x[rows, 0] > 1).astype(float)
    kernel = Kernel("matern", variance=1.0, length=6.0, noise=0.05)
    ours = Posterior(x, kernel)
    ours.extend(rows[:-1], y[:-1])

    def append():
        if len(ours) > labels:
            ours.pop()
        ours.append(rows[-1], y[-1])
        return ours.mean, ours.sd

    def refit():
        model = GaussianProcessRegressor(Matern(length_scale=6.0, nu=1.5) + WhiteKernel(0.05), optimizer=None).fit(
            x[rows], y
        )
        parts = [model.predict(x[a : a + 20_000], return_std=True) for a in range(0, n, 20_000)]
        return tuple(np.concatenate(p) for p in zip(*parts))

    def agree(mine, theirs):
        error = max(np.abs(a - b).max() for a, b in zip(mine, theirs))
        assert error < 1e-3, error
        return f"largest difference of mean and sd {error:.0e}"

    return [
        compare(
            f"a label → mean and sd of {n:,} objects (200 labels, 40 components; ours includes an undo)",
            f"scikit-learn {version('scikit-learn')} GPR refit (hyper-parameters kept) + predict",
            append,
            refit,
            agree,
            pairs=3,
        )
    ]
