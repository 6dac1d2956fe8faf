"""What a search for likeness starts from, and what it leaves out.

A `Query` has objects to be like and unlike, by row, and `Example`s: vectors of what is no object of the survey as a whole (an
uploaded image, a region of a cutout). A place on the sky becomes the object nearest to it. `Filters` say what may be found.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.data.cutouts import Unreadable
from engine.errors import UserError
from engine.search.find import NEAREST, separation
from engine.search.likeness import uploads
from engine.search.likeness.encoding import SameEncoder, views, within

if TYPE_CHECKING:
    from engine.survey import Survey

NOTHING = np.zeros(0, np.int64)
#: Objects turned eight ways at once, at most: each is read and encoded.
MOST_TURNED = 100


@dataclass(frozen=True)
class Example:
    """Something to be like that is no object of the survey as a whole.

    Attributes
    ----------
    name : str
        What to call it.
    vector : (D,) float
        As the representation's encoder gives it.
    representation : str
        Whose vector it is.
    row : int
        The object it is a part of, −1 if of none: that object is never found by it.
    pixels : (C, h, w) float32
        What was encoded, to be shown, and to be turned.
    notes : tuple of str
        What was done to it.
    """

    name: str
    vector: np.ndarray = field(repr=False)
    representation: str
    row: int = -1
    pixels: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 0), np.float32), repr=False)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Query:
    """What to be like, and unlike.

    Attributes
    ----------
    like, unlike : (n,) int64
        Rows.
    examples : tuple of Example
        More to be like.
    """

    like: np.ndarray = field(default_factory=lambda: NOTHING)
    unlike: np.ndarray = field(default_factory=lambda: NOTHING)
    examples: tuple[Example, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to be like."""
        return len(self.like) + len(self.examples) > 0

    def more(self, row: int) -> Query:
        """The same, and like an object."""
        return replace(self, like=_with(self.like, row), unlike=self.unlike[self.unlike != row])

    def less(self, row: int) -> Query:
        """The same, and unlike an object."""
        return replace(self, like=self.like[self.like != row], unlike=_with(self.unlike, row))

    def without(self, row: int) -> Query:
        """The same without an object."""
        return replace(self, like=self.like[self.like != row], unlike=self.unlike[self.unlike != row])

    @property
    def rows(self) -> np.ndarray:
        """Objects that are never results: those asked for, and those that examples are parts of."""
        parts = [example.row for example in self.examples if example.row >= 0]
        return np.unique(np.concatenate([self.like, self.unlike, np.array(parts, np.int64)]))


@dataclass(frozen=True)
class Filters:
    """What may be found.

    Attributes
    ----------
    within : (n,) int64, optional
        Only these rows.
    query : str
        Only what meets this condition (`engine.search.query`), such as ``snr > 10``; empty: all.
    unlabelled : str
        A target: nothing that has a label for it; empty: all.
    min_separation : float
        arcsec: of objects closer together than this on the sky only the one most alike, and none so close to one that is
        asked for; 0: all.
    """

    within: np.ndarray | None = None
    query: str = ""
    unlabelled: str = ""
    min_separation: float = 0.0

    def allowed(self, survey: Survey) -> np.ndarray:
        """Objects that may be found, (N,) bool, but for what lies close together.

        Raises
        ------
        UserError
            If the condition cannot be answered, or a row is not in the survey.
        """
        count = len(survey)
        if self.within is None:
            found = np.ones(count, bool)
        else:
            rows = np.asarray(self.within, np.int64)
            require_rows(rows, count, "an object to search among")
            found = np.zeros(count, bool)
            found[rows] = True
        if self.query.strip():
            from engine.search.query import select

            met = np.zeros(count, bool)
            met[select(survey, self.query)] = True
            found &= met
        if self.unlabelled:
            labelled = np.asarray(survey.labels.current(self.unlabelled).rows, np.int64)
            found[labelled] = False
        return found


def _with(rows: np.ndarray, row: int) -> np.ndarray:
    return rows if row in rows else np.append(rows, np.int64(row))


def require_rows(rows: np.ndarray, count: int, what: str) -> None:
    """Refuse rows that are not in a survey of `count`.

    Raises
    ------
    UserError
    """
    if len(rows) and (rows.min() < 0 or rows.max() >= count):
        raise UserError(f"{what} is not in this survey of {count:,}", "give rows of this survey")


# -- what is no object as a whole --------------------------------------------------------------------------------------


def of_image(survey: Survey, image: str | Path | uploads.Upload, *, representation: str | None = None) -> Example:
    """An example from a file.

    Raises
    ------
    UserError
        If it cannot be read as a cutout of this survey, or there is no encoder for it.
    """
    encoder = SameEncoder(survey, survey.representation(representation))
    found = image if isinstance(image, uploads.Upload) else uploads.read(survey, image)
    return Example(found.name, encoder.vectors([found.pixels])[0], encoder.name, -1, found.pixels, found.notes)


def of_region(
    survey: Survey, row: int, box: tuple[float, float, float, float], *, representation: str | None = None
) -> Example:
    """An example from a part of an object's cutout.

    Parameters
    ----------
    row : int
    box : x0, y0, x1, y1
        Pixels of the cutout, from the outer edge of its first one.

    Raises
    ------
    UserError
        If the object cannot be read, the box is too small, or there is no encoder for it.
    """
    encoder = SameEncoder(survey, survey.representation(representation))
    cutout = _cutout(survey, row)
    x0, y0, x1, y1 = within(box, cutout.shape)
    name = f"part of {survey.ids[int(row)].as_py()}"
    return Example(name, encoder.part(cutout, (x0, y0, x1, y1)), encoder.name, int(row), cutout[:, y0:y1, x0:x1])


def at_place(survey: Survey, ra: float, dec: float, *, radius: float = NEAREST) -> tuple[int, float]:
    """The object nearest to a place on the sky, and how far it is.

    Parameters
    ----------
    ra, dec : float, deg
    radius : float, arcsec

    Returns
    -------
    row : int
    distance : float, arcsec

    Raises
    ------
    UserError
        If the survey has no positions, the place is none, or nothing is so near.
    """
    if not (np.isfinite([ra, dec]).all() and -180 <= ra <= 360 and -90 <= dec <= 90):
        raise UserError(f"{ra} {dec} is no place on the sky", "give RA from 0 to 360 and Dec from −90 to 90, deg")
    distance = separation(survey.column("ra"), survey.column("dec"), ra % 360, dec)
    if not np.isfinite(distance).any():
        raise UserError("the objects of this survey have no positions on the sky", "search by id")
    nearest = int(np.nanargmin(distance))
    if distance[nearest] > radius:
        far = distance[nearest]
        words = f"{far:.1f} arcsec" if far < 3600 else f"{far / 3600:.3g} deg"
        raise UserError(
            f"no object lies within {radius:g} arcsec of this place (the nearest is {words} away)",
            "check the position, or give a larger radius",
        )
    return nearest, float(distance[nearest])


def turned(survey: Survey, query: Query, *, representation: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of a query's objects and examples, each the mean over its eight positions: to be like, and unlike.

    Returns
    -------
    (m, D) float64, (q, D) float64

    Raises
    ------
    UserError
        If one cannot be read, there are more than `MOST_TURNED`, or there is no encoder.
    """
    if len(query.like) + len(query.unlike) + len(query.examples) > MOST_TURNED:
        raise UserError(f"at most {MOST_TURNED} objects can be turned", "leave augmentation out, or some objects")
    encoder = SameEncoder(survey, survey.representation(representation))

    def mean(cutout: np.ndarray) -> np.ndarray:
        return np.asarray(encoder.vectors(views(cutout)), np.float64).mean(axis=0)

    like = [mean(_cutout(survey, row)) for row in query.like]
    like += [mean(e.pixels) if e.row < 0 else np.asarray(e.vector, np.float64) for e in query.examples]
    unlike = [mean(_cutout(survey, row)) for row in query.unlike]
    dimension = survey.representation(representation).vectors.shape[1]
    return tuple(np.array(part).reshape(-1, dimension) for part in (like, unlike))  # type: ignore[return-value]


def _cutout(survey: Survey, row: int) -> np.ndarray:
    require_rows(np.array([row]), len(survey), "an object")
    if not survey.bands:
        raise UserError("this survey has no pixels", "search from whole objects")
    cutout = survey.cutouts.read([int(row)])[0]
    if isinstance(cutout, Unreadable):
        raise UserError(
            f"the pixels of {survey.ids[int(row)].as_py()} cannot be read: {cutout.reason}", "use another object"
        )
    return cutout
