"""What a method of layout is given, and what all of them share: principal coordinates, a start, a frame for the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from engine.jobs import Progress, silent
from engine.maps.components import principal_axes, project

if TYPE_CHECKING:
    from engine.survey import Survey

#: Half the width of a layout, in its own units: the bulk of the points lies within ± RADIUS.
RADIUS = 10.0
#: Percentile of the distance from the middle (the larger of the two axes') that is brought to RADIUS.
BULK = 98.0
#: Noise added to a start, as a share of its extent: objects with the same vector must be able to part.
JITTER = 1e-5
#: Objects whose vectors place the principal axes; a million vectors of 512 would take ten seconds otherwise.
AXES_FROM = 100_000

#: ``show(positions of the survey (N, 2), words, epochs done, epochs in all)``: look at the layout as it grows.
Show = Callable[[np.ndarray, str, int, int], None]


def unseen(xy: np.ndarray, words: str, done: int, total: int) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class Settings:
    """What a person can choose.

    Attributes
    ----------
    seed : int
        Of the random numbers; the same seed gives the same layout on the same machine.
    neighbours : int
        UMAP, densMAP: objects in a neighbourhood, itself among them; more shows coarser structure.
    min_dist : float
        UMAP, densMAP: how close two points may come, 0 (tight clumps) to 1.
    perplexity : float
        t-SNE: effective number of neighbours.
    sample : int or None
        Objects to fit on, the rest placed among them; 0: all; None: all up to a size
        (`engine.maps.layouts.estimates.sample_for`).
    columns : (str, str) or None
        ``columns``: names of x and y.
    log : tuple of 'x', 'y'
        ``columns``: axes of which log₁₀ is taken.
    projection : 'auto', 'aitoff' or 'tangent'
        ``sky``.
    centre : (float, float) or None
        ``sky``: right ascension and declination of the middle, deg; that of the data if None.
    """

    seed: int = 0
    neighbours: int = 15
    min_dist: float = 0.1
    perplexity: float = 30.0
    sample: int | None = None
    columns: tuple[str, str] | None = None
    log: tuple[str, ...] = ()
    projection: str = "auto"
    centre: tuple[float, float] | None = None


@dataclass(frozen=True)
class Task:
    """One layout to make."""

    survey: Survey
    representation: str | None
    settings: Settings
    device: str | None = None
    progress: Progress = silent
    show: Show = field(default=unseen)


@dataclass(frozen=True)
class Start:
    """The two leading principal coordinates of the objects that have a vector.

    Attributes
    ----------
    xy : (n, 2) float32
    rows : (n,) int64
        Their rows.
    """

    xy: np.ndarray
    rows: np.ndarray


def principal(task: Task) -> Start:
    """Where every layout of vectors begins."""
    found = task.survey.representation(task.representation)
    valid = np.asarray(found.valid)
    rows = np.flatnonzero(valid)
    some = rows
    if len(rows) > AXES_FROM:
        some = np.sort(np.random.default_rng(task.settings.seed).choice(rows, AXES_FROM, replace=False))
    near = np.asarray(found.vectors[some]) if len(some) < len(valid) else found.vectors
    axes = principal_axes(near, np.ones(len(near), bool), 2)
    xy = np.zeros((len(rows), 2), np.float32)
    coordinates = project(found.vectors, valid, axes.mean, axes.directions * (axes.variance > 0))[rows]
    xy[:, : coordinates.shape[1]] = coordinates
    return Start(xy, rows)


def jittered(start: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """A start with a little noise, so that no two points coincide and neither axis is flat; extent near 10."""
    extent = np.abs(start).max()
    scaled = start * (RADIUS / extent) if extent > 0 else start
    share = JITTER if (np.ptp(start, axis=0) > JITTER * extent).all() else 1.0
    return (scaled + random.normal(scale=RADIUS * share, size=start.shape)).astype(np.float32)


def frame(xy: np.ndarray) -> tuple[np.ndarray, float]:
    """Middle (2,) and scale that bring the bulk of some points, (n, 2), within ± RADIUS."""
    if not len(xy):
        return np.zeros(2, np.float32), 1.0
    middle = np.median(xy, axis=0)
    reach = np.abs(xy - middle).max(axis=1)
    size = np.percentile(reach, BULK) or reach.max()
    return middle, float(RADIUS / size) if size > 0 else 1.0


def framed(xy: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """Centre and scale points, and put them into their rows; (count, 2) float32, NaN elsewhere."""
    layout = np.full((count, 2), np.nan, np.float32)
    middle, scale = frame(xy)
    layout[rows] = (xy - middle) * scale
    return layout
