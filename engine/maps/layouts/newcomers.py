"""Objects that came later, or from another survey: their places on a layout that is there.

They are placed among the objects that are most like them (`engine.maps.layouts.placing`), in the principal coordinates of
the survey that has the layout; the objects that have a place keep it. ``pca`` is a projection, and gives new objects
theirs; ``columns`` and ``sky`` are looked up.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import UserError
from engine.jobs import Progress, silent
from engine.maps.components import balanced_axes, project
from engine.maps.layouts import descent
from engine.maps.layouts.placing import place as place_among
from engine.maps.layouts.task import Settings, Task

if TYPE_CHECKING:
    from engine.survey import Representation, Survey

#: Placed objects that new ones are compared with; a random sample of those, where there are more.
AMONG = 200_000


def place(survey: Survey, layout: str, *, source: Survey | None = None, progress: Progress = silent) -> int:
    """Give a place to every object that has a vector and none yet; the layout is stored anew.

    Parameters
    ----------
    survey : Survey
    layout : str
        Name of the layout.
    source : Survey, optional
        The survey that has the layout, if that is another one: it must have a representation of the same name, made by
        the same encoder. The objects of `survey` then are placed on its map, and get a layout of that name.

    Returns
    -------
    int
        How many objects have got a place.

    Raises
    ------
    UserError
        If there is no such layout, or the vectors cannot be compared.
    """
    from engine.maps.layout import METHODS, read_meta, store

    started = time.monotonic()
    source = survey if source is None else source
    xy, meta = np.asarray(source.layout_xy(layout)), read_meta(source, layout)
    own = source is survey or source.path.resolve() == survey.path.resolve()
    if not own and layout in survey.layouts:
        raise UserError(f"{survey.path} has a layout {layout!r} already", "delete it first, or place in another survey")
    now = np.full((len(survey), 2), np.nan, np.float32)
    if own:
        now[: len(xy)] = xy[: len(now)]
    method = meta.get("method")
    if method not in METHODS:
        raise UserError(f"{source.path / 'layouts' / layout} does not say how it was made", "make the layout anew")
    if method in ("columns", "sky"):
        found = _looked_up(survey, method, meta)
        lacking = np.flatnonzero(~np.isfinite(now).all(axis=1) & np.isfinite(found).all(axis=1))
        now[lacking] = found[lacking]
    else:
        theirs, ours = _vectors(source, survey, meta, layout)
        lacking = np.flatnonzero(~np.isfinite(now).all(axis=1) & np.asarray(ours.valid))
        now[lacking] = _among(theirs, ours, lacking, xy, meta, progress)
    if len(lacking):
        store(survey, layout, now, {**meta, "later": meta.get("later", 0) + len(lacking)}, started)
    return len(lacking)


def _looked_up(survey: Survey, method: str, meta: dict) -> np.ndarray:
    from engine.maps.layouts import given

    if method == "columns":
        wanted = Settings(columns=tuple(meta["columns"]), log=tuple(meta.get("log", ())))
        return given.columns(Task(survey, None, wanted))[0]
    wanted = Settings(projection=meta["projection"], centre=tuple(meta["centre"]))
    return given.sky(Task(survey, None, wanted))[0]


def _vectors(source: Survey, survey: Survey, meta: dict, layout: str) -> tuple[Representation, Representation]:
    """Vectors of the placed and of the new objects."""
    name = meta.get("representation")
    if name not in source.representations:
        raise UserError(
            f"the layout {layout!r} was made of the representation {name!r}, which is not there any more",
            "make the layout anew",
        )
    if name not in survey.representations:
        raise UserError(
            f"{survey.path} has no representation {name!r}, of which the layout was made",
            f"make it with `python -m engine embed {survey.path}` and the same encoder",
        )
    theirs, ours = source.representation(name), survey.representation(name)
    same = all(theirs.meta.get(key) == ours.meta.get(key) for key in ("encoder", "version"))
    if theirs.vectors.shape[1] != ours.vectors.shape[1] or not same:
        raise UserError(
            f"the vectors {name!r} of the two surveys were made by different encoders", "embed both with the same one"
        )
    return theirs, ours


def _among(
    theirs: Representation, ours: Representation, rows: np.ndarray, xy: np.ndarray, meta: dict, progress: Progress
) -> np.ndarray:
    """Positions of some rows of `ours` among the placed objects, (n, 2)."""
    placed = np.flatnonzero(np.isfinite(xy).all(axis=1) & np.asarray(theirs.valid)[: len(xy)])
    if not len(placed) or not len(rows):
        return np.full((len(rows), 2), np.nan, np.float32)
    if len(placed) > AMONG:
        placed = np.sort(np.random.default_rng(0).choice(placed, AMONG, replace=False))
    if meta["method"] == "pca" or meta.get("fallback") == "pca":
        return _projected(theirs.vectors[placed], xy[placed], ours.vectors, rows)
    from engine.maps.neighbours import COORDINATES

    axes = balanced_axes(theirs.vectors, np.asarray(theirs.valid), COORDINATES)
    known = project(theirs.vectors[placed], np.ones(len(placed), bool), *axes)
    new = project(ours.vectors[rows], np.ones(len(rows), bool), *axes)
    scale = float(meta.get("scale", 1.0))
    settle = descent.curve(1.0, meta["min_dist"]) if meta["method"] in ("umap", "densmap") else None
    return place_among(new, known, xy[placed] / scale, settle=settle, progress=progress) * np.float32(scale)


def _projected(vectors: np.ndarray, xy: np.ndarray, new: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """New objects by the linear map that took the placed ones to their positions."""
    known = np.asarray(vectors, np.float64)
    mean, middle = known.mean(axis=0), xy.mean(axis=0, dtype=np.float64)
    directions, *_ = np.linalg.lstsq(known - mean, xy - middle, rcond=None)
    return ((np.asarray(new[rows], np.float64) - mean) @ directions + middle).astype(np.float32)
