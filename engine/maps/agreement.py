"""How far two representations agree on what is near what.

Two encoders are alike, for a map or a search, if an object has the same neighbours in both:

    share(i) = |near_A(i) ∩ near_B(i)| / k,        agreement = mean over i

with the k nearest of a sample of n objects among themselves, in the coordinates that layouts and neighbours use. Two
representations that know nothing of each other share k / (n − 1) by chance. It is symmetric, needs no label, and does not
ask for vectors of one length. Cost: n²·d multiplications each, whatever the size of the survey: a second for 5,000.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import UserError
from engine.maps.components import balanced_coordinates
from engine.maps.neighbours import COORDINATES, exact

if TYPE_CHECKING:
    from engine.survey import Representation

#: Neighbours compared.
NEAR = 15
#: Objects compared.
SAMPLE = 5_000


@dataclass(frozen=True)
class Agreement:
    """Agreement of two representations.

    Attributes
    ----------
    rows : (n,) int64
        Objects compared: those that both have a vector of, or a random sample of them; rising.
    share : (n,) float32
        Share of neighbours in common, 0-1.
    mean : float
    error : float
        Standard error of the mean.
    chance : float
        What two unrelated ones would have.
    """

    rows: np.ndarray
    share: np.ndarray
    chance: float

    @property
    def mean(self) -> float:
        return float(self.share.mean())

    @property
    def error(self) -> float:
        return float(self.share.std() / np.sqrt(len(self.share)))


def agreement(
    first: Representation, second: Representation, *, k: int = NEAR, sample: int = SAMPLE, seed: int = 0
) -> Agreement:
    """Compare the neighbours in two representations of one survey.

    Parameters
    ----------
    first, second : Representation
    k : int
        Neighbours an object.
    sample : int
        Objects compared at most.

    Raises
    ------
    UserError
        If they are not of one survey, or fewer than k + 2 objects have a vector in both.
    """
    if len(first.vectors) != len(second.vectors):
        raise UserError(
            f"{first.name!r} and {second.name!r} have vectors of different objects", "compare two of one survey"
        )
    both = np.flatnonzero(np.asarray(first.valid) & np.asarray(second.valid))
    if len(both) < k + 2:
        raise UserError(
            f"{first.name!r} and {second.name!r} have {len(both):,} objects in common",
            f"embed the survey again so that there are more than {k + 1}",
        )
    if len(both) > sample:
        both = np.sort(np.random.default_rng(seed).choice(both, sample, replace=False))
    share = in_common(_near(first, both, k), _near(second, both, k)) / np.float32(k)
    return Agreement(both.astype(np.int64), share, k / (len(both) - 1))


def in_common(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How many of the neighbours in one row of two graphs are the same, (n,) int64; −1 is no neighbour.

    Parameters
    ----------
    first, second : (n, k) int
        Neighbours, each once in a row.
    """
    joined = np.sort(np.concatenate([first, second], axis=1), axis=1)
    return np.count_nonzero((joined[:, 1:] == joined[:, :-1]) & (joined[:, 1:] >= 0), axis=1)


def _near(found: Representation, rows: np.ndarray, k: int) -> np.ndarray:
    vectors = np.asarray(found.vectors[rows], np.float32)
    return exact(balanced_coordinates(vectors, np.ones(len(rows), bool), COORDINATES), k).indices
