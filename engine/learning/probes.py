"""Probes: what can be read off a representation by something that cannot learn much itself.

A linear probe is a logistic (classes) or ridge (numbers) regression on standardised features. Everything it needs is
learned from the training split alone: mean and scale of the features, and the strength of the penalty, by
cross-validation inside that split. Predictions are for objects that took no part in it (k-fold), so that every object
is predicted once.

Beside the linear ones stand two that learn nothing: a vote of the nearest neighbours, and k-means clusters matched to
the classes. Theirs is the mean over classes of the share that was recognised: of a rare class the plain accuracy is
high whatever is done.

Cost: 50 small fits (5 folds × (3 penalties × 3 inner folds + 1)); 0.4 s for 2,000 × 256 on one core.

Source: algorithms of Walmsley et al. 2022 (MNRAS 513, 1581, sec. 4) and Alain & Bengio 2016 (arXiv:1610.01644) for the
idea of a linear probe; normalised MAD as in Ilbert et al. 2006 (A&A 457, 841).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import rankdata
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import davies_bouldin_score, log_loss
from sklearn.model_selection import KFold, StratifiedKFold

from engine.data.pictures.stretch import MAD_TO_SD
from engine.errors import UserError
from engine.maps.neighbours import exact

#: Inverse penalties of the logistic regression that cross-validation chooses from.
INVERSE_PENALTIES = (0.01, 0.1, 1.0)
#: Penalties of the ridge regression, for standardised features.
RIDGE_PENALTIES = tuple(np.logspace(-1, 4, 11))
FOLDS, INNER_FOLDS = 5, 3
#: Resamplings behind an error.
BOOTSTRAPS = 200
#: A residual of a redshift above this share of 1 + z is an outlier (Ilbert et al. 2006).
OUTLIER = 0.15
#: Labels of a label-efficiency curve.
LABELS = (25, 50, 100, 200, 400, 800)
#: Neighbours that vote.
VOTERS = 15


@dataclass(frozen=True)
class Classification:
    """What a logistic probe reads off.

    Attributes
    ----------
    classes : (K,) array
        In sorted order.
    probability : (n, K) float64
        Of each class, predicted when the object was not in the training split.
    accuracy, accuracy_error : float
        Share of the objects whose most probable class is theirs, and its bootstrap error.
    auc, auc_error : float
        Area under the ROC curve (more than two classes: each against the rest, averaged), the mean over the folds: of
        all objects together it would suffer from the folds' different offsets. And its bootstrap error (NaN if no
        bootstrap was asked for).
    inverse_penalty : (folds,) float64
        C chosen in each fold.
    """

    classes: np.ndarray
    probability: np.ndarray
    accuracy: float
    accuracy_error: float
    auc: float
    auc_error: float
    inverse_penalty: np.ndarray


@dataclass(frozen=True)
class Regression:
    """What a ridge probe reads off.

    Attributes
    ----------
    predicted : (n,) float64
        Predicted when the object was not in the training split.
    r2, r2_error : float
        Share of the variance explained, and its bootstrap error.
    bias, nmad : float
        Median of the residuals and their scaled median absolute deviation, in the units of the values; of a redshift,
        divided by 1 + z.
    outliers : float
        Of a redshift, the share of residuals above `OUTLIER` · (1 + z); else of those beyond 5 nmad.
    """

    predicted: np.ndarray
    r2: float
    r2_error: float
    bias: float
    nmad: float
    outliers: float


@dataclass(frozen=True)
class LabelEfficiency:
    """How a logistic probe does with few labels.

    Attributes
    ----------
    labels : (L,) int64
    accuracy, auc : (L, draws) float64
        On all objects that were not labelled.
    """

    labels: np.ndarray
    accuracy: np.ndarray
    auc: np.ndarray


def classify(
    features: np.ndarray, truth: np.ndarray, *, folds: int = FOLDS, bootstraps: int = BOOTSTRAPS, seed: int = 0
) -> Classification:
    """Read classes off features with a logistic probe.

    Parameters
    ----------
    features : (n, d) float
        Finite.
    truth : (n,) bool, int or str
        The class of each object; every class has at least `folds` objects.
    folds : int
    bootstraps : int
        Resamplings for the errors; 0 for none.

    Returns
    -------
    Classification

    Raises
    ------
    UserError
        If there is one class only, or one has fewer objects than folds.
    """
    classes, codes = _classes(truth, folds)
    probability = np.zeros((len(codes), len(classes)))
    chosen, areas = [], []
    for train, test in StratifiedKFold(folds, shuffle=True, random_state=seed).split(codes[:, None], codes):
        known, unseen = standardised(features[train], features[test])
        chosen.append(_inverse_penalty(known, codes[train], seed))
        probability[test] = _logistic(chosen[-1], known, codes[train]).predict_proba(unseen)
        areas.append(area(probability[test], codes[test]))
    right = probability.argmax(axis=1) == codes
    rng = np.random.default_rng(seed)
    samples = [rng.integers(len(codes), size=len(codes)) for _ in range(bootstraps)]
    return Classification(
        classes=classes,
        probability=probability,
        accuracy=float(right.mean()),
        accuracy_error=_spread([right[s].mean() for s in samples]),
        auc=float(np.mean(areas)),
        auc_error=_spread([area(probability[s], codes[s]) for s in samples if len(np.unique(codes[s])) > 1]),
        inverse_penalty=np.array(chosen),
    )


def regress(
    features: np.ndarray,
    values: np.ndarray,
    *,
    redshift: bool = False,
    folds: int = FOLDS,
    bootstraps: int = BOOTSTRAPS,
    seed: int = 0,
) -> Regression:
    """Read a number off features with a ridge probe.

    Parameters
    ----------
    features : (n, d) float
        Finite.
    values : (n,) float
        Finite, not all the same.
    redshift : bool
        Divide residuals by 1 + value, as is done for redshifts.

    Returns
    -------
    Regression

    Raises
    ------
    UserError
        If there are fewer objects than twice the folds, or the values are all the same.
    """
    values = np.asarray(values, np.float64)
    if len(values) < 2 * folds or np.ptp(values) == 0:
        raise UserError(f"{len(values):,} values cannot be regressed on", "give more of them, not all the same")
    predicted = np.zeros(len(values))
    for train, test in KFold(folds, shuffle=True, random_state=seed).split(features):
        known, unseen = standardised(features[train], features[test])
        predicted[test] = RidgeCV(alphas=RIDGE_PENALTIES).fit(known, values[train]).predict(unseen)
    residual = (predicted - values) / (1 + values if redshift else 1.0)
    bias = float(np.median(residual))
    nmad = float(MAD_TO_SD * np.median(np.abs(residual - bias)))
    rng = np.random.default_rng(seed)
    samples = (rng.integers(len(values), size=len(values)) for _ in range(bootstraps))
    return Regression(
        predicted=predicted,
        r2=_explained(values, predicted),
        r2_error=_spread([_explained(values[s], predicted[s]) for s in samples]),
        bias=bias,
        nmad=nmad,
        outliers=float((np.abs(residual) > (OUTLIER if redshift else 5 * nmad)).mean()),
    )


def label_efficiency(
    features: np.ndarray, truth: np.ndarray, *, labels: Sequence[int] = LABELS, draws: int = 10, seed: int = 0
) -> LabelEfficiency:
    """Accuracy and ROC area on the unlabelled rest, against the number of labels drawn at random.

    Parameters
    ----------
    features : (n, d) float
    truth : (n,) bool, int or str
    labels : sequence of int
        Those that leave fewer than a tenth of the objects to test on are left out.
    draws : int
        Random draws for each. A draw that misses a class is drawn again, as a person would go on labelling.

    Returns
    -------
    LabelEfficiency

    Raises
    ------
    UserError
        If there is one class only, or no number of labels is small enough.
    """
    _, codes = _classes(truth, 2)
    used = np.array([count for count in labels if 2 <= count <= 0.9 * len(codes)], np.int64)
    if not len(used):
        raise UserError(f"{len(codes):,} objects leave none to test on", f"ask for fewer labels than {min(labels)}")
    accuracy, auc = np.zeros((len(used), draws)), np.zeros((len(used), draws))
    for draw in range(draws):
        for row, count in enumerate(used):
            train, test = _drawn(codes, int(count), np.random.default_rng([seed, draw, int(count)]))
            known, unseen = standardised(features[train], features[test])
            model = _logistic(_inverse_penalty(known, codes[train], seed), known, codes[train])
            probability = model.predict_proba(unseen)
            accuracy[row, draw] = (probability.argmax(axis=1) == codes[test]).mean()
            auc[row, draw] = area(probability, codes[test])
    return LabelEfficiency(used, accuracy, auc)


def standardised(train: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
    """Bring features to zero mean and unit variance, both as the training split has them.

    Features that are the same throughout the training split become zero in all of them.
    """
    train = np.asarray(train, np.float64)
    mean, sd = train.mean(axis=0), train.std(axis=0)
    constant = sd <= 1e-9 * np.abs(mean)
    scale = np.where(constant, 0.0, 1 / np.where(constant, 1.0, sd))
    return tuple((np.asarray(x, np.float64) - mean) * scale for x in (train, *others))


def area(probability: np.ndarray, codes: np.ndarray) -> float:
    """Area under the ROC curve; of more than two classes, the mean of each against the rest.

    The chance that an object of the class gets a higher probability than one that is not, ties counting half (Mann &
    Whitney). A class with no object, or with all, is left out of the mean.

    Parameters
    ----------
    probability : (n, K) float
    codes : (n,) int, 0 … K − 1
    """
    found = []
    for k in range(1 if probability.shape[1] == 2 else 0, probability.shape[1]):
        true = codes == k
        inside, outside = int(true.sum()), int((~true).sum())
        if inside and outside:
            above = rankdata(probability[:, k])[true].sum() - inside * (inside + 1) / 2
            found.append(above / (inside * outside))
    return float(np.mean(found)) if found else float("nan")


def neighbour_accuracy(features: np.ndarray, truth: np.ndarray, *, k: int = VOTERS) -> float:
    """Mean over classes of the share that a vote of the k nearest other objects recognises.

    Votes are weighted by one over the number of the class, so that a rare class can win one; equal votes go to the
    class that sorts first.
    """
    classes, codes = _classes(truth, 1)
    near = exact(np.asarray(features, np.float32), min(k, len(codes) - 1)).indices
    votes = np.stack([(codes[near] == c).sum(axis=1) / (codes == c).sum() for c in range(len(classes))], axis=1)
    return _recognised(votes.argmax(axis=1), codes, len(classes))


def cluster_accuracy(clusters: np.ndarray, truth: np.ndarray) -> float:
    """Mean over classes of the share that lies in the cluster of that class, under the best one-to-one matching.

    Parameters
    ----------
    clusters : (n,) int, from 0
        See `clustered`.

    Source: Hungarian matching, Kuhn 1955.
    """
    classes, codes = _classes(truth, 1)
    share = np.zeros((len(classes), int(clusters.max()) + 1))
    np.add.at(share, (codes, clusters), 1.0)
    share /= share.sum(axis=1, keepdims=True)
    rows, columns = linear_sum_assignment(-share)
    return float(share[rows, columns].sum() / len(classes))


def clustered(features: np.ndarray, count: int, *, seed: int = 0) -> np.ndarray:
    """k-means clusters, (n,) int, the best of three starts; no more of them than there are different points."""
    features = np.asarray(features, np.float64)
    count = min(count, len(np.unique(features, axis=0)))
    return KMeans(count, n_init=3, random_state=seed).fit_predict(features)


def davies_bouldin(features: np.ndarray, truth: np.ndarray) -> float:
    """Davies-Bouldin index of the true classes: spread over separation, so smaller is better; NaN of points at one place.

    Source: Davies & Bouldin 1979 (IEEE PAMI 1, 224).
    """
    features = np.asarray(features, np.float64)
    codes = _classes(truth, 1)[1]
    return float(davies_bouldin_score(features, codes)) if np.ptp(features, axis=0).any() else float("nan")


def _classes(truth: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes in sorted order and each object's number among them.

    Raises
    ------
    UserError
        If there is one class only, or one has fewer than `least` objects.
    """
    classes, codes, counts = np.unique(np.asarray(truth), return_inverse=True, return_counts=True)
    if len(classes) < 2:
        raise UserError("all objects are of one class", "give objects of at least two")
    if counts.min() < least:
        rare = classes[counts.argmin()]
        raise UserError(
            f"the class {rare!s} has {counts.min()} objects", f"give at least {least} of it, or leave it out"
        )
    return classes, codes


def _logistic(inverse_penalty: float, features: np.ndarray, codes: np.ndarray) -> LogisticRegression:
    return LogisticRegression(C=inverse_penalty, max_iter=2000).fit(features, codes)


def _inverse_penalty(features: np.ndarray, codes: np.ndarray, seed: int) -> float:
    """The inverse penalty of least log-loss in a cross-validation; the middle one if a class is too rare for that."""
    if np.bincount(codes)[np.unique(codes)].min() < INNER_FOLDS:
        return INVERSE_PENALTIES[len(INVERSE_PENALTIES) // 2]
    labels = np.unique(codes)
    losses = np.zeros(len(INVERSE_PENALTIES))
    for train, test in StratifiedKFold(INNER_FOLDS, shuffle=True, random_state=seed).split(features, codes):
        for index, inverse in enumerate(INVERSE_PENALTIES):
            probability = _logistic(inverse, features[train], codes[train]).predict_proba(features[test])
            losses[index] += log_loss(codes[test], probability, labels=labels)
    return INVERSE_PENALTIES[int(losses.argmin())]


def _drawn(codes: np.ndarray, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows of `count` labels with every class among them, and the rest; the rarest is drawn in if chance does not."""
    order = rng.permutation(len(codes))
    _, first = np.unique(codes[order], return_index=True)
    late = first[first >= count]
    if len(late) and count >= len(first):  # a class was missed: its first object takes the place of a common one's
        common = [k for k in range(count) if k not in set(first)]
        for missed, place in zip(late, reversed(common)):
            order[[place, missed]] = order[[missed, place]]
    return order[:count], order[count:]


def _recognised(guess: np.ndarray, codes: np.ndarray, classes: int) -> float:
    return float(np.mean([(guess[codes == k] == k).mean() for k in range(classes)]))


def _explained(values: np.ndarray, predicted: np.ndarray) -> float:
    around = ((values - values.mean()) ** 2).sum()
    return float(1 - ((values - predicted) ** 2).sum() / around) if around > 0 else float("nan")


def _spread(values: list[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
