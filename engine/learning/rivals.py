"""Published loops, as their authors describe them, to stand beside ours in a rehearsal (`engine.learning.rehearsal`).

===================  ====================================================================================================
``random``           objects in a random order
``protege``          Lochner & Rudnick 2025 (arXiv:2411.04188): Matérn ν = 3/2 + white noise, expected improvement with a
                     trade-off of 3 on ratings 0-5, beginning with objects evenly spaced along the first component
``walmsley``         Walmsley et al. 2022 (MNRAS 513, 1581): rational quadratic + white noise, expected improvement with a
                     trade-off of 0.5, beginning with a random batch
``isolation-forest``  the strangest first by an isolation forest (Liu, Ting & Zhou 2008); nothing is learned
===================  ====================================================================================================

The Gaussian processes see 40 standardised principal components, and are scikit-learn's `GaussianProcessRegressor`, with
hyper-parameters from its own optimiser, as the papers' codes have it. Expected improvement is taken in the log, which keeps
their order where theirs underflows to ties: the rival is a little better for it, never worse.

Cost: a fit and a prediction of all objects after each batch.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Kernel, Matern, RationalQuadratic, WhiteKernel

from engine.errors import UserError
from engine.learning.acquisition import log_expected_improvement, top
from engine.maps.components import standard_components
from engine.survey import COMPONENTS, Representation

#: Objects predicted at once: bounds the memory of scikit-learn's posterior.
PREDICTED = 20_000
#: The method that is rehearsed with each of its settings.
FOREST = "isolation-forest"
#: What an isolation forest may be given, and how many trees and objects a tree: the best for a row is the baseline.
FOREST_FEATURES = ("components", "vectors")
FOREST_SETTINGS: tuple[tuple[int, int | str], ...] = ((100, "auto"), (500, "auto"), (500, 4096))


class InOrder:
    """Objects in an order that no label changes.

    Parameters
    ----------
    order : (n,) int64
    """

    def __init__(self, order: np.ndarray):
        self.order, self.done = order, 0

    def propose(self, count: int) -> np.ndarray:
        """The next in order."""
        return self.order[self.done : self.done + count]

    def learn(self, rows: np.ndarray, ratings: np.ndarray) -> None:
        """Go on; nothing is learned."""
        self.done += len(rows)


class ExpectedImprovement:
    """A Gaussian process of scikit-learn's, refitted after each batch, and the plain top of the expected improvement.

    Parameters
    ----------
    features : (n, d) float
    valid : (n,) bool
        Objects that may be proposed.
    kernel : Kernel
        Of scikit-learn's; its values are where the optimiser begins, each time anew.
    tradeoff : float
        In units of ratings 0-5.
    spaced : bool
        Begin with objects evenly spaced along the first component; else at random.
    seed : int
    """

    def __init__(
        self, features: np.ndarray, valid: np.ndarray, *, kernel: Kernel, tradeoff: float, spaced: bool, seed: int
    ):
        self.features, self.free = features, valid.copy()
        self.kernel, self.tradeoff, self.spaced = kernel, tradeoff, spaced
        self.rng = np.random.default_rng(seed)
        self.rows, self.ratings = np.zeros(0, np.int64), np.zeros(0)

    def propose(self, count: int) -> np.ndarray:
        """The cold start, then the highest expected improvement."""
        if not len(self.rows):
            return self._first(count)
        with warnings.catch_warnings():  # the optimiser meets its bounds while all ratings are alike
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = GaussianProcessRegressor(self.kernel, random_state=int(self.rng.integers(2**31)))
            model.fit(self.features[self.rows], self.ratings)
        score = np.empty(len(self.features))
        best = float(self.ratings.max())
        for start in range(0, len(score), PREDICTED):
            part = slice(start, start + PREDICTED)
            mean, sd = _predict(model, self.features[part])
            score[part] = log_expected_improvement(mean, sd, best=best, tradeoff=self.tradeoff)
        return top(score, count, allowed=self.free)

    def learn(self, rows: np.ndarray, ratings: np.ndarray) -> None:
        """Take ratings 0-5."""
        self.rows, self.ratings = np.append(self.rows, rows), np.append(self.ratings, np.asarray(ratings, float))
        self.free[rows] = False

    def _first(self, count: int) -> np.ndarray:
        free = np.flatnonzero(self.free)
        if not self.spaced:
            return self.rng.permutation(free)[:count]
        order = free[np.argsort(self.features[free, 0], kind="stable")]
        return np.array([self.rng.choice(part) for part in np.array_split(order, min(count, len(order)))], np.int64)


def _predict(model: GaussianProcessRegressor, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    with warnings.catch_warnings():  # a variance below zero by rounding is set to zero, and told
        warnings.filterwarnings("ignore", "Predicted variances smaller than 0")
        mean, sd = model.predict(features, return_std=True)
    return mean, np.maximum(sd, 1e-9)


def _random(found: Representation, seed: int) -> InOrder:
    return InOrder(np.random.default_rng(seed).permutation(np.flatnonzero(found.valid)))


def _protege(found: Representation, seed: int) -> ExpectedImprovement:
    return ExpectedImprovement(
        *_standard(found), kernel=Matern(nu=1.5) + WhiteKernel(), tradeoff=3.0, spaced=True, seed=seed
    )


def _walmsley(found: Representation, seed: int) -> ExpectedImprovement:
    return ExpectedImprovement(
        *_standard(found), kernel=RationalQuadratic() + WhiteKernel(), tradeoff=0.5, spaced=False, seed=seed
    )


def _forest(
    found: Representation, seed: int, *, features: str = "components", trees: int = 100, samples: int | str = "auto"
) -> InOrder:
    """The strangest first; see `FOREST_FEATURES` and `FOREST_SETTINGS`."""
    x, valid = _standard(found) if features == "components" else (found.vectors, np.asarray(found.valid, bool))
    rows = np.flatnonzero(valid)
    x = np.asarray(x[rows], np.float32)
    samples = samples if isinstance(samples, str) else min(samples, len(rows))
    forest = IsolationForest(n_estimators=trees, max_samples=samples, random_state=seed).fit(x)
    return InOrder(rows[np.argsort(forest.score_samples(x), kind="stable")])


def _standard(found: Representation) -> tuple[np.ndarray, np.ndarray]:
    valid = np.asarray(found.valid, bool)
    return standard_components(found.vectors, valid, COMPONENTS), valid


#: Name → maker, ``maker(representation, seed, **options)``.
RIVALS: dict[str, Callable] = {
    "random": _random,
    "protege": _protege,
    "walmsley": _walmsley,
    FOREST: _forest,
}


def make(name: str, found: Representation, *, seed: int, **options):
    """A published loop over a representation.

    Raises
    ------
    UserError
        If there is none of that name.
    """
    if name not in RIVALS:
        raise UserError(f"there is no method {name!r}", f"choose one of: skysieve, {', '.join(RIVALS)}")
    return RIVALS[name](found, seed, **options)
