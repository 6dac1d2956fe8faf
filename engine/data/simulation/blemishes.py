"""What goes wrong with a simulated cutout: trails, bleeds, edges, cosmic rays, hot columns, ghosts, sky residuals.

Each fault spoils one stamp in place, after the seeing and before the noise. Flux in nanomaggies, lengths in pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from engine.data.simulation.profiles import column

Rng = np.random.Generator


@dataclass(frozen=True)
class Stamp:
    """One cutout on its way to being spoilt.

    Attributes
    ----------
    sky : (bands, size, size) float32
        Flux; changed in place.
    missing : (bands, size, size) bool
        Pixels to become NaN; changed in place.
    noise : (bands,) float
        Standard deviation of the sky.
    centre : (2,) float
        x, y of the object.
    """

    sky: np.ndarray
    missing: np.ndarray
    noise: np.ndarray
    centre: np.ndarray

    def line(self, through: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates along and across a line through a place: two (size, size)."""
        return line(through[0], through[1], angle, self.sky.shape[-1])

    def near_middle(self, rng: Rng, scatter: float = 2.5) -> np.ndarray:
        """A place near the middle: what was catalogued as an object."""
        return (self.sky.shape[-1] - 1) / 2 + rng.normal(0, scatter, 2)

    def band(self, rng: Rng) -> int:
        """A band at random: each is another exposure."""
        return int(rng.integers(len(self.sky)))


def line(x: float, y: float, angle: float, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along and across a line through (x, y) at `angle` from +x: two (size, size) float32."""
    axis = np.arange(size, dtype=np.float32)
    dx, dy = (axis - float(x))[None, :], (axis - float(y))[:, None]
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    return dx * cos + dy * sin, dy * cos - dx * sin


def trail(stamp: Stamp, rng: Rng) -> None:
    """A satellite's trail through the middle, in one band."""
    _trail(stamp, stamp.near_middle(rng), 10 ** rng.uniform(0.5, 1.5), rng)


def faint_trail(stamp: Stamp, rng: Rng) -> None:
    """A faint trail anywhere."""
    _trail(stamp, rng.uniform(0, stamp.sky.shape[-1], 2), rng.uniform(1.5, 4), rng)


def _trail(stamp: Stamp, through: np.ndarray, level: float, rng: Rng) -> None:
    """A trail of `level` times the noise, dashed when the satellite tumbles."""
    along, across = stamp.line(through, rng.uniform(0, np.pi))
    light = np.exp(-0.5 * (across / rng.uniform(1.6, 2.4)) ** 2)
    if rng.random() < 0.2:
        light *= np.sin(along / rng.uniform(2, 5)) > 0
    band = stamp.band(rng)
    stamp.sky[band] += light * stamp.noise[band] * level


def bleed(stamp: Stamp, rng: Rng) -> None:
    """Charge of a saturated star that ran along its columns, differently in each band."""
    along, across = stamp.line(stamp.centre, np.pi / 2)
    sides = 0.5 * (across / rng.uniform(0.7, 2.0)) ** 4
    stamp.sky[:] += np.exp(-sides - (along / rng.uniform(12, 60)) ** 2) * column(rng.uniform(0.05, 4.0, len(stamp.sky)))


def edge(stamp: Stamp, rng: Rng) -> None:
    """The end of the exposure, through the object."""
    quarter = rng.choice([0, 0.5, 1, 1.5]) * np.pi + rng.normal(0, 0.03)
    along, _ = stamp.line(stamp.near_middle(rng), quarter)
    stamp.missing[:, along > rng.uniform(-4, 6)] = True


def corner(stamp: Stamp, rng: Rng) -> None:
    """The end of the exposure, beside the object."""
    along, _ = stamp.line(stamp.near_middle(rng), rng.uniform(0, 2 * np.pi))
    stamp.missing[:, along > rng.uniform(0.28, 0.45) * len(along)] = True


def no_band(stamp: Stamp, rng: Rng) -> None:
    """One band was not observed."""
    stamp.missing[stamp.band(rng)] = True


def cosmic(stamp: Stamp, rng: Rng) -> None:
    """One to three cosmic rays, sharper than the seeing, in one band."""
    band = stamp.band(rng)
    for _ in range(int(rng.integers(1, 4))):
        along, across = stamp.line(stamp.near_middle(rng, 3.5), rng.uniform(0, np.pi))
        length = rng.choice([1.5, 4, 12]) * rng.uniform(0.6, 1.4)
        track = np.exp(-0.5 * (across / 0.45) ** 2) * (np.abs(along) < length)
        stamp.sky[band] += track * stamp.noise[band] * rng.uniform(20, 200)


def hot_column(stamp: Stamp, rng: Rng) -> None:
    """One to three columns that read too high in one band."""
    band, first = stamp.band(rng), round(float(stamp.near_middle(rng)[0]))
    stamp.sky[band, :, first : first + int(rng.integers(1, 4))] += stamp.noise[band] * rng.uniform(6, 60)


def ghost(stamp: Stamp, rng: Rng) -> None:
    """Light of a bright star reflected in the camera: a defocused disc with a hole, stronger in some bands."""
    along, across = stamp.line(stamp.near_middle(rng), 0.0)
    r = np.hypot(along, across) / rng.uniform(12, 28)
    donut = expit((1 - r) * 18) * (1 - 0.8 * expit((rng.uniform(0.25, 0.5) - r) * 18))
    stamp.sky[:] += donut * column(stamp.noise * rng.uniform(0.1, 1.0, len(stamp.noise)) * rng.uniform(1.0, 4.0))


def residual(stamp: Stamp, rng: Rng) -> None:
    """Sky badly subtracted: broad, faint and grey; what a dwarf is most easily taken for."""
    along, across = stamp.line(stamp.near_middle(rng), rng.uniform(0, np.pi))
    wide, ratio = rng.uniform(9, 24), rng.uniform(0.4, 1)
    haze = np.exp(-0.5 * (along / wide) ** 2 - 0.5 * (across / (ratio * wide)) ** 2)
    stamp.sky[:] += haze * column(stamp.noise * rng.uniform(0.6, 1.2, len(stamp.noise)) * rng.uniform(0.8, 2.5))


#: Faults that pass for objects, so that a catalogue has them: the class "artefact".
ARTEFACTS: dict[str, Callable[[Stamp, Rng], None]] = {
    "trail": trail,
    "bleed": bleed,
    "edge": edge,
    "cosmic": cosmic,
    "column": hot_column,
    "ghost": ghost,
    "residual": residual,
}
#: Faults that befall any object, and how often.
MISHAPS: dict[str, tuple[float, Callable[[Stamp, Rng], None]]] = {
    "no band": (0.012, no_band),
    "cosmic": (0.010, cosmic),
    "corner": (0.006, corner),
    "faint trail": (0.006, faint_trail),
}


def faults(rng: Rng, artefact: np.ndarray) -> list[Callable[[Stamp, Rng], None] | None]:
    """What befalls each object: its own fault if it is an artefact (its name, else ""); or a mishap, or nothing."""
    shares, mishaps = zip(*MISHAPS.values())
    which = np.searchsorted(np.cumsum(shares), rng.random(len(artefact)), side="right")
    return [ARTEFACTS[name] if name else [*mishaps, None][k] for name, k in zip(artefact, which)]
