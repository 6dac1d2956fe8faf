"""The last layer of a classifier: a linear map of a vector to answers, its closed-form start, and how right it is.

    answer = W (v − mean) / sd + b

A yes/no is one logit, K classes are K, a number is itself in units of its spread. The start minimises, over vectors v
that stay what they are,

    Σ w_i · cross-entropy + |W|² / 2C    (logistic)      or      Σ (error)² + α |W|²    (ridge),

with C or α chosen by cross-validation; w_i makes every class weigh alike. What is learned so are odds among classes that
are equally common, so `Head.answers` puts back how common they were among the labels.

Cost: 25 small logistic fits or one singular value decomposition.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import rankdata
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold, StratifiedKFold
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, smooth_l1_loss

from engine.training.truth import Truth

#: Inverse strengths of the penalty that cross-validation chooses from (per vector of D standardised features).
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
#: Objects the strength is chosen on, at most.
CHOSEN_ON = 2000
#: Smallest standard deviation of a feature, as a share of the largest: one that does not vary must not divide by zero.
FLAT = 1e-4
#: Median absolute deviation → standard deviation of a Gaussian.
MAD_TO_SD = 1.4826
#: Draws of the bootstrap behind every error.
DRAWS = 200


class Head(nn.Module):
    """A linear layer over standardised vectors.

    Parameters
    ----------
    dimension : int
        D.
    outputs : int
        1 for a verdict or a number, else the number of classes.

    Attributes
    ----------
    mean, sd : (D,) buffers
        Of the vectors it was started on.
    frequency : (K,) buffer
        How common each class was among the labels; empty for a number.
    centre, spread : buffers
        A number is centre + spread · output.
    strength : buffer
        λ of the penalty λ |W|² / 2 beside the *mean* loss, as cross-validation chose it.
    """

    mean: torch.Tensor
    sd: torch.Tensor
    frequency: torch.Tensor
    centre: torch.Tensor
    spread: torch.Tensor
    strength: torch.Tensor

    def __init__(self, dimension: int, outputs: int, *, classes: int = 0):
        super().__init__()
        self.linear = nn.Linear(dimension, outputs)
        self.register_buffer("mean", torch.zeros(dimension))
        self.register_buffer("sd", torch.ones(dimension))
        self.register_buffer("frequency", torch.full((classes,), 1 / max(classes, 1)))
        self.register_buffer("centre", torch.zeros(()))
        self.register_buffer("spread", torch.ones(()))
        self.register_buffer("strength", torch.zeros(()))

    def forward(self, vectors: torch.Tensor, keep: torch.Tensor | None = None) -> torch.Tensor:
        """(B, D) → (B, outputs); `keep`, (B, D), multiplies the standardised features: dropout."""
        features = (vectors - self.mean) / self.sd
        return self.linear(features if keep is None else features * keep)

    @torch.no_grad()
    def answers(self, outputs: torch.Tensor) -> torch.Tensor:
        """(B, outputs) → (B, K) probabilities of each class (a verdict: no, yes), or (B, 1) numbers."""
        if len(self.frequency) == 0:
            return self.centre + self.spread * outputs
        logits = torch.cat([torch.zeros_like(outputs), outputs], dim=1) if outputs.shape[1] == 1 else outputs
        return torch.softmax(logits + torch.log(self.frequency), dim=1)

    @property
    def penalty(self) -> torch.Tensor:
        """What its slopes cost beside the mean loss."""
        return self.strength * self.linear.weight.square().sum() / 2

    def scaled(self, values: torch.Tensor) -> torch.Tensor:
        """Numbers in units of their spread: what the outputs are compared with."""
        return (values - self.centre) / self.spread


def weights(truth: Truth) -> np.ndarray:
    """Weight of each object, (n,): every class has the same in all, the mean is one."""
    if truth.kind == "number":
        return np.ones(len(truth))
    counts = np.bincount(truth.values, minlength=len(truth.classes))
    return (len(truth) / ((counts > 0).sum() * np.maximum(counts, 1)))[truth.values]


def losses(head: Head, outputs: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Loss of each object, (B,), unweighted: cross-entropy, or a smooth L1 for numbers."""
    if len(head.frequency) == 0:
        return smooth_l1_loss(outputs[:, 0], head.scaled(values).to(outputs.dtype), reduction="none")
    if outputs.shape[1] == 1:
        return binary_cross_entropy_with_logits(outputs[:, 0], values.to(outputs.dtype), reduction="none")
    return cross_entropy(outputs, values, reduction="none")


def started(vectors: np.ndarray, truth: Truth, *, frequency: np.ndarray | None = None, seed: int = 0) -> Head:
    """The best head over vectors that stay what they are.

    Parameters
    ----------
    vectors : (n, D) float
    truth : Truth
        n objects.
    frequency : (K,) float, optional
        How common each class is; counted in `truth` if not given.
    seed : int
        Of the folds on which the strength is chosen.

    Returns
    -------
    Head
    """
    vectors = np.asarray(vectors, np.float64)
    mean, sd = vectors.mean(axis=0), vectors.std(axis=0)
    sd = np.maximum(sd, FLAT * max(sd.max(), 1e-12))
    features = (vectors - mean) / sd
    classes = len(truth.classes)
    head = Head(vectors.shape[1], classes if truth.kind == "classes" else 1, classes=classes)
    if truth.kind == "number":
        centre, spread = float(truth.values.mean()), float(truth.values.std()) or 1.0
        slope, offset, strength = _ridge(features, (truth.values - centre) / spread, seed)
        head.centre.fill_(centre)
        head.spread.fill_(spread)
    else:
        slope, offset, strength = _logistic(features, truth.values, len(head.linear.bias), seed)
        counts = np.bincount(truth.values, minlength=classes) if frequency is None else np.asarray(frequency)
        head.frequency.copy_(torch.from_numpy(np.maximum(counts / counts.sum(), 1e-6)))
    with torch.no_grad():
        head.strength.fill_(strength / len(vectors))
        head.mean.copy_(torch.from_numpy(mean))
        head.sd.copy_(torch.from_numpy(sd))
        head.linear.weight.copy_(torch.from_numpy(slope))
        head.linear.bias.copy_(torch.from_numpy(offset))
    return head


def _logistic(
    features: np.ndarray, values: np.ndarray, outputs: int, seed: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Slopes (outputs, D) and offsets (outputs,) of the penalised logistic fit, and 1/C; classes that are absent get a
    slope of zero and an offset that says never.
    """
    few = _few(len(values), seed)
    folds = _folds(values[few])
    strength = STRENGTHS[1]
    if folds is not None:
        splits = list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(few, values[few]))
        strength = min(STRENGTHS, key=lambda c: _logistic_risk(features[few], values[few], splits, c))
    model = _fit_logistic(features, values, strength)
    if outputs == 1:
        return model.coef_, model.intercept_, 1 / strength
    slope, offset = np.zeros((outputs, features.shape[1])), np.full(outputs, -20.0)
    if len(model.classes_) == 2:  # one logit becomes two
        slope[model.classes_[1]], offset[model.classes_] = model.coef_[0], (0.0, model.intercept_[0])
    else:
        slope[model.classes_], offset[model.classes_] = model.coef_, model.intercept_
    return slope, offset, 1 / strength


def _fit_logistic(features: np.ndarray, values: np.ndarray, strength: float) -> LogisticRegression:
    with warnings.catch_warnings():  # a fit that is not quite at its minimum is a start all the same
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=strength, class_weight="balanced", max_iter=200, tol=1e-4).fit(features, values)


def _logistic_risk(features: np.ndarray, values: np.ndarray, splits: list, strength: float) -> float:
    """Mean over classes of the cross-entropy of objects that were left out."""
    told = np.empty(len(values))
    for train, test in splits:
        model = _fit_logistic(features[train], values[train], strength)
        probability = model.predict_proba(features[test])
        told[test] = -np.log(probability[np.arange(len(test)), np.searchsorted(model.classes_, values[test])] + 1e-12)
    return float(np.mean([told[values == value].mean() for value in np.unique(values)]))


def _ridge(features: np.ndarray, values: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Slopes (1, D) and offset (1,) of the ridge fit, and α."""
    few = _few(len(values), seed)
    splits = list(KFold(min(5, len(few)), shuffle=True, random_state=seed).split(few))

    def risk(strength: float) -> float:
        errors = [
            Ridge(1 / strength).fit(features[few[a]], values[few[a]]).predict(features[few[b]]) - values[few[b]]
            for a, b in splits
        ]
        return float(np.mean(np.concatenate(errors) ** 2))

    strength = min(STRENGTHS, key=risk)
    model = Ridge(1 / strength).fit(features, values)
    return model.coef_[None], np.atleast_1d(model.intercept_), 1 / strength


def _few(count: int, seed: int) -> np.ndarray:
    if count <= CHOSEN_ON:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, CHOSEN_ON, replace=False))


def _folds(values: np.ndarray) -> int | None:
    """Folds that every class can be split into, at most five; None if one class is a single object."""
    least = int(np.bincount(values)[np.unique(values)].min())
    return min(5, least) if least >= 2 else None


# -- how right it is ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figure:
    """A measured figure and its standard error (bootstrap over objects)."""

    value: float
    error: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ± {self.error:.3f}"


def figures(answers: np.ndarray, truth: Truth, *, seed: int = 0) -> dict[str, Figure]:
    """How right some answers are.

    Parameters
    ----------
    answers : (n, K) or (n, 1) float
        As `Head.answers` gives them.
    truth : Truth
        n objects.

    Returns
    -------
    dict
        Classes and verdicts: ``auc`` (area under the ROC curve; of several classes the mean of each against the rest)
        and ``accuracy``. Numbers: ``r2``, ``nmad`` (1.4826 times the median absolute deviation of the errors, in units
        of the number) and ``bias`` (their median).
    """
    rng = np.random.default_rng(seed)
    draws = [rng.integers(len(truth), size=len(truth)) for _ in range(DRAWS)]
    measures = NUMBER_MEASURES if truth.kind == "number" else CLASS_MEASURES
    found = {}
    for name, measure in measures.items():
        spread = [measure(answers[d], truth.values[d]) for d in draws]
        known = [s for s in spread if np.isfinite(s)]
        found[name] = Figure(measure(answers, truth.values), float(np.std(known)) if known else float("nan"))
    return found


def area(answers: np.ndarray, values: np.ndarray) -> float:
    """Area under the ROC curve, mean over the classes there are of each against the rest; NaN if there is only one."""
    there = np.unique(values)
    if len(there) < 2:
        return float("nan")
    if answers.shape[1] == 2:
        return _pairs_in_order(answers[:, 1], values == 1)
    return float(np.mean([_pairs_in_order(answers[:, k], values == k) for k in there]))


def _pairs_in_order(score: np.ndarray, true: np.ndarray) -> float:
    """Share of the pairs of a true and an untrue object in which the true one scores higher; ties count half."""
    count, others = int(true.sum()), int((~true).sum())
    return float((rankdata(score)[true].sum() - count * (count + 1) / 2) / (count * others))


def _accuracy(answers: np.ndarray, values: np.ndarray) -> float:
    return float((answers.argmax(axis=1) == values).mean())


def r_squared(answers: np.ndarray, values: np.ndarray) -> float:
    """Share of the variance that is explained; NaN if there is none."""
    variance = float(((values - values.mean()) ** 2).mean())
    return 1 - float(((answers[:, 0] - values) ** 2).mean()) / variance if variance > 0 else float("nan")


def _nmad(answers: np.ndarray, values: np.ndarray) -> float:
    errors = answers[:, 0] - values
    return float(MAD_TO_SD * np.median(np.abs(errors - np.median(errors))))


def _bias(answers: np.ndarray, values: np.ndarray) -> float:
    return float(np.median(answers[:, 0] - values))


CLASS_MEASURES = {"auc": area, "accuracy": _accuracy}
NUMBER_MEASURES = {"r2": r_squared, "nmad": _nmad, "bias": _bias}


def merit(answers: np.ndarray, truth: Truth) -> float:
    """The one figure that a tuned network must not lose: area under the ROC curve, or R²."""
    return r_squared(answers, truth.values) if truth.kind == "number" else area(answers, truth.values)
