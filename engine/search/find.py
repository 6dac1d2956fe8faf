"""What a person typed, found in a survey: ids, a place on the sky, or a condition.

``g0012, g0044`` are ids; ``150.11 2.20 30"`` and ``10:00:26 +02:12:00 1 arcmin`` all that lies within a circle on the sky,
without a radius the object nearest to the place; anything else is a condition (`engine.search.query`). They are tried in
this order, so that an id that looks like a number is still an id.

Cost of a place: one pass over the positions, O(N).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine.data.catalogue import sexagesimal
from engine.errors import UserError
from engine.search.query import select

if TYPE_CHECKING:
    from engine.survey import Survey

#: The nearest object is meant if it is no further than this, arcsec; beyond, the place is empty.
NEAREST = 60.0
#: Units of a radius, arcsec.
UNITS = {"deg": 3600.0, "°": 3600.0, "arcmin": 60.0, "'": 60.0, "′": 60.0, "arcsec": 1.0, '"': 1.0, "″": 1.0}

_RADIUS = re.compile(rf"[\s,]+(\d+(?:\.\d*)?|\.\d+)\s*({'|'.join(map(re.escape, UNITS))})\s*$")
#: Angles in text, nothing a name or a condition could be.
_ANGLES = re.compile(r"[\d\s.,:hmsd°'′\"″+−-]+")


@dataclass(frozen=True)
class Found:
    """Objects found.

    Attributes
    ----------
    rows : (n,) int64
        Ascending.
    how : dict
        Their origin: kind 'ids', 'place' or 'query', and the text.
    """

    rows: np.ndarray
    how: dict


@dataclass(frozen=True)
class Place:
    """A circle on the sky.

    Attributes
    ----------
    ra, dec : float
        Middle, deg.
    radius : float or None
        arcsec; None: the nearest object.
    """

    ra: float
    dec: float
    radius: float | None = None


def find(survey: Survey, text: str) -> Found:
    """Objects that a text asks for.

    Raises
    ------
    UserError
        If it is none of the three, or the nearest object is too far away.
    """
    text = text.strip()
    try:
        rows = survey.rows(part.strip() for part in text.split(","))
        return Found(np.unique(rows), {"kind": "ids", "query": text})
    except UserError:
        place = read_place(text)
    if place is None:
        return Found(select(survey, text), {"kind": "query", "query": text})
    return Found(around(survey, place), {"kind": "place", "query": text})


def read_place(text: str) -> Place | None:
    """Read a position, and a radius if there is one: degrees, or hours and degrees in sexagesimal; None if it is none."""
    radius = _RADIUS.search(text)
    tokens = [t for t in re.split(r"[\s,]+", text[: radius.start()] if radius else text) if t]
    if len(tokens) not in (2, 6) or not _ANGLES.fullmatch(" ".join(tokens)):
        return None
    half = len(tokens) // 2
    pair = (" ".join(tokens[:half]), " ".join(tokens[half:]).replace("−", "-"))
    ra, dec = sexagesimal(pair[0], hours=True), sexagesimal(pair[1], hours=False)
    if ra is None or dec is None or not (-180 <= ra <= 360 and -90 <= dec <= 90):
        return None
    return Place(ra % 360, dec, float(radius[1]) * UNITS[radius[2]] if radius else None)


def around(survey: Survey, place: Place) -> np.ndarray:
    """Objects within a circle, ascending; without a radius the nearest one.

    Raises
    ------
    UserError
        If the survey has no positions, or nothing is near.
    """
    distance = separation(survey.column("ra"), survey.column("dec"), place.ra, place.dec)
    if not np.isfinite(distance).any():
        raise UserError("the objects of this survey have no positions on the sky", "search by id or by a condition")
    if place.radius is not None:
        return np.flatnonzero(distance <= place.radius)
    nearest = int(np.nanargmin(distance))
    if distance[nearest] > NEAREST:
        raise UserError(
            f"no object lies within {NEAREST:.0f} arcsec of this place (the nearest: {distance[nearest] / 3600:.3g} deg)",
            'check the position, or give a radius, such as 150.11 2.20 30"',
        )
    return np.array([nearest], np.int64)


def separation(ra: np.ndarray, dec: np.ndarray, ra0: float, dec0: float) -> np.ndarray:
    """Distances on the sphere from one place, arcsec.

    2 arcsin √(sin²(Δδ/2) + cos δ cos δ₀ sin²(Δα/2)), which keeps its digits at small angles.

    Parameters
    ----------
    ra, dec : (N,) float64, deg
    ra0, dec0 : float, deg

    Returns
    -------
    (N,) float64
        NaN where a position is.
    """
    a, d = np.radians(np.asarray(ra, np.float64)), np.radians(np.asarray(dec, np.float64))
    a0, d0 = np.radians(ra0), np.radians(dec0)
    haversine = np.sin((d - d0) / 2) ** 2 + np.cos(d) * np.cos(d0) * np.sin((a - a0) / 2) ** 2
    return np.degrees(2 * np.arcsin(np.sqrt(np.clip(haversine, 0, 1)))) * 3600
