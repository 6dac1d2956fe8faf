"""The members of an origin, found again in the survey: outlines on their layouts, queries, clusters, neighbours.

Each leaf costs what it cost when it was asked for first. What is known already (`known`) costs nothing: while one
outline of a tree is dragged, only that one is asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import UserError
from engine.maps.drawing.tiles import TileIndex
from engine.search import growing, origins, region
from engine.search.find import find as ask

if TYPE_CHECKING:
    from engine.survey import Survey


def members(
    survey: Survey,
    how: dict,
    *,
    tiles: Callable[[str], TileIndex] | None = None,
    known: Mapping[origins.Path, np.ndarray] | None = None,
) -> np.ndarray:
    """Objects that an origin describes, as the survey is now.

    Parameters
    ----------
    survey : Survey
    how : dict
        See `engine.search.origins`.
    tiles : callable, optional
        Points of a layout by its name; read from the survey if not given.
    known : mapping, optional
        Members of parts that need not be asked again, by their path.

    Returns
    -------
    (n,) int64
        Ascending.

    Raises
    ------
    UserError
        If a layout is gone, a query cannot be answered any more, or a part is known by its members alone.
    """
    find = partial(_part, survey, _read(survey) if tiles is None else tiles, {} if known is None else known)
    return origins.evaluate(how, find, count=len(survey))


def _read(survey: Survey) -> Callable[[str], TileIndex]:
    from engine.maps.layout import tiles

    return partial(tiles, survey)


def _part(survey: Survey, tiles, known, path: origins.Path, how: dict, rows: np.ndarray | None) -> np.ndarray:
    if path in known:
        return known[path]
    if rows is not None:
        return growing.changed(survey, rows, how)
    if how.get("kind") in origins.SHAPES:
        return inside(tiles(_layout(survey, how)), how)
    if how.get("kind") in ("query", "ids", "place") and isinstance(how.get("query"), str):
        return ask(survey, how["query"]).rows
    if how.get("kind") == "cluster":
        return _cluster(survey, how)
    if how.get("kind") == "similar":
        from engine.search.likeness.origin import again

        return again(survey, how)
    raise origins.no_longer(how)


def _cluster(survey: Survey, how: dict) -> np.ndarray:
    from engine.maps.clustering.clusters import read

    name, code = how.get("clusters"), how.get("cluster")
    if not isinstance(name, str) or not isinstance(code, int):
        raise origins.no_longer(how)
    return read(survey, name).rows(code)


def inside(points: TileIndex, how: dict) -> np.ndarray:
    """Objects inside the outline of a leaf, its border included for a box, excluded for a polygon; ascending.

    Raises
    ------
    UserError
        If the leaf has no outline.
    """
    ring = origins.outline(how)
    if ring is None:
        raise UserError("the outline is not a list of (x, y) pairs of finite numbers", "draw it again")
    if how["kind"] == "box":
        (x0, y0), (x1, y1) = ring.min(axis=0), ring.max(axis=0)
        return region.box(points, x0, x1, y0, y1)
    return region.inside(points, ring)


def _layout(survey: Survey, how: dict) -> str:
    name = str(how.get("layout", ""))
    if name not in survey.layouts:
        raise UserError(f"the layout {name!r}, on which an outline was drawn, is gone", "draw the outline again")
    return name
