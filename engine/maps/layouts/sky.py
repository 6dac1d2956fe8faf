"""The sky on a plane: Aitoff's projection for all of it, the tangent plane for a field, and lines to read positions by.

Both are those of FITS (Calabretta & Greisen 2002, A&A 395, 1077): AIT (sec. 5.4.3, the Hammer-Aitoff projection) with the
equator horizontal, TAN (sec. 5.1.3) about any centre. Coordinates are degrees in the plane, x to the right, and right
ascension increases to the left, as one sees the sky. Equal to `astropy.wcs` to 10⁻⁹ deg
(`tests/engine/test_sky.py`), without its cost for a million objects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from engine.errors import UserError

PROJECTIONS = ("auto", "aitoff", "tangent")
#: Objects no farther than this from their middle, deg, are shown on the tangent plane by default.
FIELD = 30.0
#: Farther than this from the centre, deg, the tangent plane shows nothing: it would stretch tenfold and more.
HORIZON = 85.0
#: Points a line is drawn through.
POINTS = 121
#: Points a side at which a view is looked at to see which part of the sky it shows.
PROBES = 25
#: Distances between lines: declination (deg), right ascension (deg, whole hours, minutes and seconds).
DEC_STEPS = (*(s / k for k in (1, 60, 3600) for s in (30, 10, 5, 2, 1)), 0.5 / 3600, 0.2 / 3600, 0.1 / 3600)
RA_STEPS = (
    *(30.0, 15.0, 7.5, 2.5, 1.25),
    *(15 * s / k for k in (60, 3600) for s in (2, 1, 0.5, 1 / 6, 1 / 12)),
    *(15 * s / 3600 for s in (0.02, 0.01)),
)


@dataclass(frozen=True)
class Sky:
    """A projection and its centre.

    Attributes
    ----------
    projection : 'aitoff' or 'tangent'
    ra, dec : float
        Of the point at (0, 0), deg; Aitoff's declination is 0.
    """

    projection: str
    ra: float
    dec: float

    @classmethod
    def of(
        cls,
        ra: np.ndarray,
        dec: np.ndarray,
        *,
        projection: str = "auto",
        centre: tuple[float, float] | None = None,
    ) -> Sky:
        """The projection that suits some positions.

        Parameters
        ----------
        ra, dec : (n,) float, deg
            NaN where unknown; right ascension of any turn.
        projection : {'auto', 'aitoff', 'tangent'}
            ``auto``: the tangent plane if all are within `FIELD` of the centre, else Aitoff.
        centre : (ra, dec), optional
            Deg. If not given: the mean direction for the tangent plane; for Aitoff the right ascension that puts the
            widest gap at the rim. Aitoff takes the right ascension only.

        Raises
        ------
        UserError
            If there is no such projection, the centre is no position, or no object has one.
        """
        if projection not in PROJECTIONS:
            raise UserError(f"there is no projection {projection!r}", f"choose one of: {', '.join(PROJECTIONS)}")
        if centre is not None and not (np.isfinite(centre).all() and abs(centre[1]) <= 90):
            raise UserError(f"the centre {centre} is no position", "give right ascension and declination in degrees")
        known = _known(ra, dec)
        if not known.any():
            raise UserError("no object has a position on the sky", "ingest a catalogue with columns `ra` and `dec`")
        vectors = _directions(np.asarray(ra, np.float64)[known], np.asarray(dec, np.float64)[known])
        middle = centre if centre is not None else _mean_direction(vectors)
        if projection == "auto":
            far = (vectors @ _directions(*np.array(middle)[:, None])[0]).min() < np.cos(np.radians(FIELD))
            projection = "aitoff" if far else "tangent"
        if projection == "aitoff":
            turn = centre[0] if centre is not None else _behind_gap(np.asarray(ra, np.float64)[known])
            return cls("aitoff", float(turn % 360), 0.0)
        return cls("tangent", float(middle[0] % 360), float(middle[1]))

    def project(self, ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
        """Positions in the plane.

        Parameters
        ----------
        ra, dec : (n,) float, deg

        Returns
        -------
        (n, 2) float64, deg
            NaN where a position is unknown, no position, or beyond the tangent plane's horizon.
        """
        ra, dec = np.asarray(ra, np.float64), np.asarray(dec, np.float64)
        known = _known(ra, dec)
        turn = np.radians((np.where(known, ra, self.ra) - self.ra + 180) % 360 - 180)
        height = np.radians(np.where(known, dec, 0))
        xy = _aitoff(turn, height) if self.projection == "aitoff" else _tangent(turn, height, np.radians(self.dec))
        xy[~known] = np.nan
        return xy

    def unproject(self, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Right ascension (0-360) and declination, deg, (n,) each, of places in the plane (n, 2); NaN off the sky."""
        x, y = -np.radians(np.asarray(xy, np.float64)).T
        turn, height = _of_aitoff(x, -y) if self.projection == "aitoff" else _of_tangent(x, -y, np.radians(self.dec))
        return (np.degrees(turn) + self.ra) % 360, np.degrees(height)


def _known(ra, dec) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return np.isfinite(ra) & (np.abs(dec) <= 90)


def _directions(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Unit vectors, (n, 3)."""
    turn, height = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(height) * np.cos(turn), np.cos(height) * np.sin(turn), np.sin(height)], axis=1)


def _mean_direction(vectors: np.ndarray) -> tuple[float, float]:
    x, y, z = vectors.mean(axis=0)
    return float(np.degrees(np.arctan2(y, x)) % 360), float(np.degrees(np.arctan2(z, np.hypot(x, y))))


def _behind_gap(ra: np.ndarray) -> float:
    """The right ascension opposite the middle of the widest gap: the map is cut where nothing is."""
    turns = np.unique(ra % 360)
    gaps = np.diff(np.append(turns, turns[0] + 360))
    widest = int(np.argmax(gaps))
    return float((turns[widest] + gaps[widest] / 2 + 180) % 360)


def _aitoff(turn: np.ndarray, height: np.ndarray) -> np.ndarray:
    stretch = np.sqrt(2 / (1 + np.cos(height) * np.cos(turn / 2)))
    return np.degrees(np.stack([-2 * stretch * np.cos(height) * np.sin(turn / 2), stretch * np.sin(height)], axis=1))


def _of_aitoff(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn from the centre and height, rad, of x (to the left) and y."""
    square = 1 - (x / 4) ** 2 - (y / 2) ** 2
    z = np.sqrt(np.where(square >= 0.5 - 1e-9, square, np.nan))
    return 2 * np.arctan2(x * z / 2, 2 * z**2 - 1), np.arcsin(np.clip(y * z, -1, 1))


def _tangent(turn: np.ndarray, height: np.ndarray, centre: float) -> np.ndarray:
    depth = np.sin(height) * np.sin(centre) + np.cos(height) * np.cos(centre) * np.cos(turn)
    with np.errstate(invalid="ignore"):
        depth = np.where(depth >= np.cos(np.radians(HORIZON)), depth, np.nan)
        left = np.cos(height) * np.sin(turn) / depth
        up = (np.sin(height) * np.cos(centre) - np.cos(height) * np.sin(centre) * np.cos(turn)) / depth
    return np.degrees(np.stack([-left, up], axis=1))


def _of_tangent(x: np.ndarray, y: np.ndarray, centre: float) -> tuple[np.ndarray, np.ndarray]:
    level = np.cos(centre) - y * np.sin(centre)
    return np.arctan2(x, level), np.arctan2(np.sin(centre) + y * np.cos(centre), np.hypot(x, level))


# -- lines to read positions by ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Label:
    """Words at a place of the plane: which line this is."""

    x: float
    y: float
    text: str
    kind: str  # 'ra', 'dec'


@dataclass(frozen=True)
class Graticule:
    """Lines of equal right ascension and of equal declination in a view.

    Attributes
    ----------
    lines : list of (n, 2) float64
        In the plane, deg.
    labels : list of Label
    """

    lines: list[np.ndarray]
    labels: list[Label]


def graticule(
    sky: Sky, view: tuple[float, float, float, float], *, lines: int = 6, hours: bool = True, margin: float = 0.0
) -> Graticule:
    """Lines for a part of the plane, with labels at its edges.

    Parameters
    ----------
    sky : Sky
    view : x0, y0, x1, y1
        Deg.
    lines : int
        Lines of each kind to aim at; no more than about twice as many come.
    hours : bool
        Right ascension in hours, minutes and seconds; else in degrees.
    margin : float
        How far the lines go beyond the view on every side, as a share of its size; labels stay inside.
    """
    seen = _seen(sky, view)
    if seen is None:
        return Graticule([], [])
    dec_step, ra_step = _step(DEC_STEPS, (seen[3] - seen[2]) / lines), _step(RA_STEPS, 2 * seen[1] / lines)
    dx, dy = margin * (view[2] - view[0]), margin * (view[3] - view[1])
    middle, reach, low, high = _seen(sky, (view[0] - dx, view[1] - dy, view[2] + dx, view[3] + dy)) or seen
    all_around = reach >= 180
    found, labels = [], []
    heights = np.clip(np.linspace(low - dec_step, high + dec_step, POINTS), -90, 90)
    turns = np.linspace(middle - min(reach * 1.2, 180), middle + min(reach * 1.2, 180), POINTS)
    for ra in _multiples(middle - reach, middle + reach, ra_step, full=all_around):
        line = sky.project(np.full(POINTS, ra), heights)
        found += _pieces(line)
        labels += _label(line, view, _ra_words(ra % 360, ra_step, hours), "ra", across=all_around)
    for dec in _multiples(low, high, dec_step):
        if abs(dec) < 90:
            line = sky.project(turns, np.full(POINTS, dec))
            found += _pieces(line)
            labels += _label(line, view, _dec_words(dec, dec_step), "dec")
    if sky.projection == "aitoff":
        found += _rim(sky)
    return Graticule(found, labels)


def _seen(sky: Sky, view) -> tuple[float, float, float, float] | None:
    """Middle and half width in right ascension, lowest and highest declination of a view, deg; None off the sky."""
    x0, y0, x1, y1 = view
    x, y = np.meshgrid(np.linspace(x0, x1, PROBES), np.linspace(y0, y1, PROBES))
    ra, dec = sky.unproject(np.stack([x.ravel(), y.ravel()], axis=1))
    on = np.isfinite(ra) & np.isfinite(dec)
    if not on.any():
        return None
    low, high = float(dec[on].min()), float(dec[on].max())
    middle = float(ra[on][np.argmin(np.hypot(x.ravel() - (x0 + x1) / 2, y.ravel() - (y0 + y1) / 2)[on])])
    reach = float(np.abs((ra[on] - middle + 180) % 360 - 180).max())
    for pole in (-90.0, 90.0):
        at = sky.project(np.array([sky.ra]), np.array([pole]))[0]
        if x0 <= at[0] <= x1 and y0 <= at[1] <= y1:
            low, high, reach = min(low, pole), max(high, pole), 180.0
    if reach > 150:  # the rim is somewhere inside
        middle, reach = sky.ra, 180.0
    return middle, reach, low, high


def _step(steps: tuple[float, ...], wanted: float) -> float:
    return next((s for s in reversed(steps) if s >= wanted), steps[0])


def _multiples(low: float, high: float, step: float, *, full: bool = False) -> np.ndarray:
    if full:
        return np.arange(0, 360, step)
    return np.arange(np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9) + 1) * step


def _pieces(line: np.ndarray) -> list[np.ndarray]:
    """A line cut where it leaves the plane and where it jumps from one rim to the other."""
    good = np.isfinite(line).all(axis=1)
    jump = np.abs(np.diff(line[:, 0], prepend=line[:1, 0])) > 90
    parts = np.split(np.arange(len(line)), np.flatnonzero(jump | ~good))
    return [kept for part in parts if len(kept := line[part[good[part]]]) > 1]


def _label(line: np.ndarray, view, text: str, kind: str, *, across: bool = False) -> list[Label]:
    """Words at the end of a line: below for right ascension (in the middle where all lines meet), at the right for declination."""
    x0, y0, x1, y1 = view
    good = np.flatnonzero(np.isfinite(line).all(axis=1))
    order: Callable = (
        (lambda p: abs(p[1])) if across else (lambda p: abs(p[1] - y0)) if kind == "ra" else (lambda p: -p[0])
    )
    fine = _refined(line[good], 8)
    inside = fine[(fine[:, 0] >= x0) & (fine[:, 0] <= x1) & (fine[:, 1] >= y0) & (fine[:, 1] <= y1)]
    if not len(inside):
        return []
    x, y = min(inside, key=order)
    return [Label(float(x), float(y), text, kind)]


def _refined(line: np.ndarray, times: int) -> np.ndarray:
    """A line with more points on it."""
    if len(line) < 2:
        return line
    at = np.linspace(0, len(line) - 1, (len(line) - 1) * times + 1)
    return np.stack([np.interp(at, np.arange(len(line)), axis) for axis in line.T], axis=1)


def _rim(sky: Sky) -> list[np.ndarray]:
    """The edge of the whole sky."""
    heights = np.linspace(-90, 90, POINTS)
    rim = _aitoff(np.full(POINTS, np.pi), np.radians(heights))
    return [rim, rim * [-1, 1]]


def _ra_words(ra: float, step: float, hours: bool) -> str:
    if not hours:
        return f"{round(ra, 9):.{_decimals(step)}f}°"
    seconds = round(ra * 240, 3) % 86400
    h, rest = divmod(seconds, 3600)
    m, s = divmod(rest, 60)
    text = f"{h:.0f}ʰ"
    if step % 15:
        text += f"{m:02.0f}ᵐ"
    if step % 0.25:
        text += f"{s:04.1f}ˢ" if step < 15 / 3600 else f"{s:02.0f}ˢ"
    return text


def _dec_words(dec: float, step: float) -> str:
    tenths = round(abs(dec) * 36000)
    degrees, rest = divmod(tenths, 36000)
    minutes, tenths = divmod(rest, 600)
    text = f"{'−' if dec < -1e-9 else '+' if dec > 1e-9 else ''}{degrees}°"
    if step < 1:
        text += f"{minutes:02d}′"
    if step < 1 / 60:
        text += f"{tenths / 10:04.1f}″" if step < 1 / 3600 else f"{tenths / 10:02.0f}″"
    return text


def _decimals(step: float) -> int:
    return int(np.clip(np.ceil(-np.log10(step) + 0.5), 0, 6))
