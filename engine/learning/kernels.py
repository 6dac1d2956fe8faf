"""How alike two objects are: stationary kernels with white noise, and their hyper-parameters from the labels.

k(x, x') = s² g(‖x − x'‖ / l) + σ_n² δ(x, x'), one length l for all features, g one of `FAMILIES`.

Hyper-parameters maximise the marginal likelihood that scikit-learn's `GaussianProcessRegressor` computes, in float64,
times a broad log-normal prior (two labels say nothing about four numbers; two hundred say more than the prior). M
labels cost O(M³) a step: 0.1 s in all for 100, a few seconds for `LABELS_TO_FIT`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.spatial.distance import cdist
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process import kernels as reference

from engine.errors import UserError
from engine.learning.passes import one_thread

#: More labels than this are thinned before hyper-parameters are fitted: four numbers need no more, and the cost is
#: cubic.
LABELS_TO_FIT = 600
#: White noise is at least this share of the kernel's variance, so that factors in float64 and streams in float32 stay
#: exact.
NOISE_FLOOR = 3e-3
#: Width of the prior in the logarithm of the hyper-parameters: a factor of 2.7 either way is one standard deviation, of the
#: rational quadratic's shape, of which labels say least, 1.6.
PRIOR_WIDTH, SHAPE_WIDTH = 1.0, 0.5
#: Hyper-parameters stay within this factor of the prior's centre.
REACH = 50.0


def _rational_quadratic(squared: torch.Tensor, length: float, shape: float) -> torch.Tensor:
    return squared.mul_(0.5 / (shape * length**2)).log1p_().mul_(-shape).exp_()


def _matern(squared: torch.Tensor, length: float, shape: float) -> torch.Tensor:
    scaled = squared.sqrt_().mul_(np.sqrt(3) / length)
    return torch.exp(-scaled).mul_(scaled.add_(1))


def _rbf(squared: torch.Tensor, length: float, shape: float) -> torch.Tensor:
    return squared.mul_(-0.5 / length**2).exp_()


#: Family → g(squared distance, length, shape), which may overwrite its first argument.
FAMILIES: dict[str, Callable[[torch.Tensor, float, float], torch.Tensor]] = {
    "rational-quadratic": _rational_quadratic,
    "matern": _matern,
    "rbf": _rbf,
}


@dataclass(frozen=True)
class Kernel:
    """A kernel and its hyper-parameters.

    Attributes
    ----------
    family : {"rational-quadratic", "matern", "rbf"}
        g(r) = (1 + r²/2αl²)^−α; (1 + √3 r/l) exp(−√3 r/l), Matérn with ν = 3/2; exp(−r²/2l²).
    variance : float
        s², in squared units of the responses.
    length : float
        l, in units of the features.
    noise : float
        σ_n², in squared units of the responses.
    shape : float
        α of the rational quadratic; the others have none.
    """

    family: str
    variance: float
    length: float
    noise: float
    shape: float = 1.0

    def __post_init__(self):
        if self.family not in FAMILIES:
            raise UserError(f"there is no kernel {self.family!r}", f"choose one of: {', '.join(FAMILIES)}")

    def of_squared_distance(self, squared: torch.Tensor) -> torch.Tensor:
        """Covariance without noise at squared distances; may overwrite its argument."""
        return FAMILIES[self.family](squared.clamp_(min=0), self.length, self.shape).mul_(self.variance)

    def between(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Covariance without noise between few objects, (m, d) × (n, d) float64 → (m, n) float64."""
        squared = (
            cdist(a, b, "sqeuclidean") / self.length**2
        )  # NumPy's: torch would wake its threads, and wait for them
        if self.family == "rational-quadratic":
            return self.variance * (1 + squared / (2 * self.shape)) ** -self.shape
        if self.family == "matern":
            scaled = np.sqrt(3 * squared)
            return self.variance * (1 + scaled) * np.exp(-scaled)
        return self.variance * np.exp(-0.5 * squared)

    def scikit_learn(self) -> reference.Kernel:
        """The same kernel as scikit-learn writes it."""
        stationary = {
            "rational-quadratic": lambda: reference.RationalQuadratic(self.length, self.shape),
            "matern": lambda: reference.Matern(self.length, nu=1.5),
            "rbf": lambda: reference.RBF(self.length),
        }[self.family]()
        return reference.ConstantKernel(self.variance) * stationary + reference.WhiteKernel(self.noise)


@dataclass(frozen=True)
class Refit:
    """New hyper-parameters: what they were, what they are, and from how many labels."""

    before: Kernel
    after: Kernel
    labels: int


def prior(family: str, dimension: int) -> Kernel:
    """Kernel to start from, for responses in 0-1 and `dimension` features of unit variance.

    Its length is the distance of two random objects, √(2d), so that the first labels rank everything; its noise allows for a
    person, or a vote, that is wrong in one of ten. Found within 200 labels, beside half the length, a fifth of the noise and
    half the width: Galaxy Zoo 2 merger 86 (79), ring 56 (45), irregular 82 (67), odd 103 (80); dwarfs of simulated surveys
    the same or more (see docs/hunting.md).
    """
    return Kernel(family, variance=0.2, length=float(np.sqrt(2 * dimension)), noise=0.1, shape=3.0)


def fit(
    features: np.ndarray,
    responses: np.ndarray,
    *,
    family: str = "rational-quadratic",
    mean: float = 0.0,
    noise: np.ndarray | None = None,
) -> Kernel:
    """Fit the hyper-parameters to labels.

    Parameters
    ----------
    features : (M, d) float
    responses : (M,) float
        From 0 to 1.
    mean : float
        Prior mean of the responses.
    noise : (M,) float, optional
        Variance of a noise of its own that each label has, besides the white noise.

    Returns
    -------
    Kernel
        The prior's if the labels hold fewer than two different responses.
    """
    start = prior(family, features.shape[1])
    if len(np.unique(responses)) < 2:
        return start
    kept = np.unique(np.linspace(0, len(responses) - 1, min(len(responses), LABELS_TO_FIT)).astype(int))
    x, y = np.asarray(features, np.float64)[kept], np.asarray(responses, np.float64)[kept] - mean
    # optimizer=None, and our own search: scikit-learn's warns whenever a parameter meets a bound, as the noise well may
    own = 1e-10 if noise is None else np.asarray(noise, np.float64)[kept]  # scikit-learn's own least value
    model = GaussianProcessRegressor(start.scikit_learn(), optimizer=None, alpha=own).fit(x, y)
    centre = model.kernel_.theta
    shapes = [h.name.endswith("alpha") for h in model.kernel_.hyperparameters for _ in range(h.n_elements)]
    widths = np.where(shapes, SHAPE_WIDTH, PRIOR_WIDTH)

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = model.log_marginal_likelihood(theta, eval_gradient=True, clone_kernel=False)
        away = (theta - centre) / widths
        return 0.5 * away @ away - value, away / widths - gradient

    bounds = [(c - np.log(REACH), c + np.log(REACH)) for c in centre]
    with one_thread:  # the other core is for whoever labels meanwhile
        found = minimize(loss, centre, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 60})
    return _read(family, model.kernel_.clone_with_theta(found.x))


def _read(family: str, fitted: reference.Kernel) -> Kernel:
    """Turn a fitted scikit-learn kernel into ours."""
    values = fitted.get_params()
    variance = float(values["k1__k1__constant_value"])
    return Kernel(
        family,
        variance=variance,
        length=float(values["k1__k2__length_scale"]),
        noise=max(float(values["k2__noise_level"]), NOISE_FLOOR * variance),
        shape=float(values.get("k1__k2__alpha", 1.0)),
    )
