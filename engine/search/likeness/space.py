"""The space in which likeness is reckoned: the features of a representation, kept open between queries.

``components``
    Standardised principal components, 40 at most, as published (Walmsley et al. 2022; sky_embeddings). The default.
``vectors``
    The encoder's whole vectors, about their mean: the cosine of full vectors.

Which finds more of an object's own kind depends on the survey (`docs/hunting.md` has the table): components where several
objects are given, or their kind shows in few directions; whole vectors where one object is given of a survey as the encoder
knows them.

Cost: opening a space maps its files. What is missing is made once and kept beside the vectors: components (one pass,
N·D²), the axes that take a vector from outside into them, lengths (one pass, N·D), and from `COARSE_FROM` objects on whole
vectors a byte a number (`engine.search.likeness.coarse`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from engine import files
from engine.errors import UserError
from engine.maps.components import CHUNK, standard_axes
from engine.search.likeness import coarse, scan
from engine.search.likeness.scan import Form
from engine.survey import COMPONENTS

if TYPE_CHECKING:
    from engine.survey import Representation, Survey

#: Ways to reckon likeness.
KINDS = ("components", "vectors")
#: Objects that the survey's own variance counts for, when that of the queries is estimated.
PRIOR_OBJECTS = 4.0
#: Objects from which whole vectors are looked through coarsely first.
COARSE_FROM = 100_000
#: Share of the likeness to what is not wanted that is taken off. Measured: 1/2 finds more than 1, 1/4, or a linear
#: classifier of positives, negatives and 500 random objects, over three surveys together (`docs/hunting.md`).
UNLIKE_SHARE = 0.5


@dataclass(frozen=True)
class Space:
    """Features of all objects of a survey, for likeness.

    Attributes
    ----------
    representation : Representation
    kind : str
        One of `KINDS`.
    features : (N, d) float32 or float16
    valid : (N,) bool
        Objects that have a vector.
    """

    representation: Representation
    kind: str
    features: np.ndarray = field(repr=False)
    valid: np.ndarray = field(repr=False)

    @classmethod
    def open(cls, representation: Representation, kind: str = "components") -> Space:
        """The space of a representation.

        Raises
        ------
        UserError
            If there is no such kind.
        """
        if kind not in KINDS:
            raise UserError(f"likeness cannot be reckoned by {kind!r}", f"choose one of: {', '.join(KINDS)}")
        features = representation.components() if kind == "components" else representation.vectors
        return cls(representation, kind, features, np.asarray(representation.valid))

    def at(self, rows: np.ndarray) -> np.ndarray:
        """Coordinates of objects, (m, d) float64."""
        found = np.asarray(self.features[rows], np.float64)
        return found if self.kind == "components" else found - self.mean

    def place(self, vectors: np.ndarray) -> np.ndarray:
        """Coordinates of vectors that the same encoder gave of anything else, (m, D) → (m, d) float64."""
        vectors = np.asarray(vectors, np.float64)
        if self.kind == "vectors":
            return vectors - self.mean
        mean, directions = self._axes
        return (vectors - mean) @ directions

    @cached_property
    def mean(self) -> np.ndarray:
        """Mean vector of the objects that have one, (D,) float64."""
        vectors, total = self.representation.vectors, np.zeros(self.representation.vectors.shape[1])
        for start in range(0, len(vectors), CHUNK):
            total += np.asarray(vectors[start : start + CHUNK]).sum(axis=0, dtype=np.float64)  # zero where not valid
        return total / max(1, int(self.valid.sum()))

    @cached_property
    def norms(self) -> np.ndarray | None:
        """Length of every object's vector about the mean, (N,) float32; None for components, whose norm depends on the
        query.
        """
        if self.kind == "components":
            return None
        stored = self.representation.folder / "lengths.npy"
        if not stored.exists():
            files.write_npy(stored, scan.lengths(self.features, self.mean))
        return np.asarray(files.read_npy(stored))

    @cached_property
    def rough(self) -> coarse.Coarse:
        """Unit vectors about the mean, a byte a number."""
        return coarse.kept(self.representation.folder, self.features, self.mean)

    @cached_property
    def _axes(self) -> tuple[np.ndarray, np.ndarray]:
        stored = self.representation.folder / f"axes-{COMPONENTS}.npy"
        if not stored.exists():
            found = standard_axes(self.representation.vectors, self.representation.valid, COMPONENTS)
            files.write_npy(stored, np.column_stack(found))
        axes = np.asarray(files.read_npy(stored))
        return axes[:, 0], axes[:, 1:]

    def form(self, chosen: np.ndarray, *, factor: float = 1.0) -> Form:
        """The score that asks for likeness to the mean of some coordinates, (m, d)."""
        target = chosen.mean(axis=0)
        if self.kind == "vectors":
            pull = target / max(float(np.linalg.norm(target)), scan.EPS)
            return Form(pull, shift=float(pull @ self.mean), factor=factor)
        weights = query_weights(chosen)
        weighted = weights * target
        return Form(weighted / max(float(np.sqrt(weighted @ target)), scan.EPS), square=weights, factor=factor)

    def forms(self, like: np.ndarray, unlike: np.ndarray) -> list[Form]:
        """The score of likeness to some coordinates (m, d) and unlikeness to others (q, d), q ≥ 0."""
        found = [self.form(like)]
        return [*found, self.form(unlike, factor=-UNLIKE_SHARE)] if len(unlike) else found

    def best(self, forms: list[Form], allowed: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
        """The allowed objects with the largest scores; see `engine.search.likeness.scan.best`."""
        if self.kind == "components":
            return scan.best(self.features, forms, allowed, top)
        norms = self.norms
        if norms is not None and np.count_nonzero(allowed) >= COARSE_FROM:
            return coarse.best(self.rough, self.features, forms, allowed, top, norms=norms, mean=self.mean)
        return scan.best(self.features, forms, allowed, top, norms=norms, mean=self.mean)


def query_weights(chosen: np.ndarray) -> np.ndarray:
    """Weight of each component, (d,) float64 of sum 1, from the queries' features, (m, d).

    One over their variance, drawn towards that of the whole survey, which is 1, as if by `PRIOR_OBJECTS` objects more.
    """
    others = len(chosen) - 1
    scatter = chosen.var(axis=0) * len(chosen)
    weights = 1 / ((scatter + PRIOR_OBJECTS) / (others + PRIOR_OBJECTS))
    return weights / weights.sum()


class Spaces:
    """The spaces of a survey, opened once: files stay mapped, so that a second query touches no disk.

    Parameters
    ----------
    survey : Survey
    """

    def __init__(self, survey: Survey):
        self._survey = survey
        self._open: dict[tuple[str, str], tuple[tuple[int, int], Space]] = {}

    def of(self, representation: str | None = None, kind: str = "components") -> Space:
        """A space, by default of the newest representation; opened anew if the representation was made again.

        Raises
        ------
        UserError
            If there is no such representation or kind.
        """
        names = self._survey.representations
        name = names[0] if representation is None and names else representation
        known = self._open.get((name, kind)) if name in names else None
        if known is not None and known[0] == self._stamp(str(name)):
            return known[1]
        opened = Space.open(self._survey.representation(name), kind)
        name = opened.representation.name
        self._open[name, kind] = self._stamp(name), opened
        return opened

    def _stamp(self, name: str) -> tuple[int, int]:
        """What changes when a representation is made anew."""
        found = (self._survey.path / "representations" / name / "meta.json").stat()
        return found.st_mtime_ns, found.st_ino
