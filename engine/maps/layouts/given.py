"""Layouts that need no vectors' neighbours: principal components, two columns of the catalogue, the sky."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.errors import UserError
from engine.maps.layouts.task import Task, framed, principal

if TYPE_CHECKING:
    from engine.survey import Survey


def pca(task: Task) -> tuple[np.ndarray, dict]:
    """The two leading principal coordinates."""
    begin = principal(task)
    task.progress(len(begin.rows), len(begin.rows), "principal components")
    return framed(begin.xy, begin.rows, len(task.survey)), {}


def columns(task: Task) -> tuple[np.ndarray, dict]:
    """Two columns of the catalogue, in their own units or their decimal logarithms."""
    names, log = task.settings.columns, task.settings.log
    if names is None:
        raise ValueError("columns are checked before a method is called")
    axes = []
    for axis, name in zip("xy", names):
        values = number_column(task.survey, name)
        if axis in log:
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.log10(values)
        axes.append(values)
    xy = np.stack(axes, axis=1).astype(np.float32)
    xy[~np.isfinite(xy).all(axis=1)] = np.nan
    if not np.isfinite(xy).any():
        why = " where both are above 0" if log else ""
        raise UserError(f"no object has numbers in both {names[0]!r} and {names[1]!r}{why}", "choose other columns")
    return xy, {"columns": list(names), "log": sorted(log)}


def number_column(survey: Survey, name: str) -> np.ndarray:
    """A column of numbers, (N,) float32, NaN where there is none.

    Raises
    ------
    UserError
        If there is no such column, or it does not hold numbers.
    """
    import pandas as pd

    column = survey.arrow([name])[name].to_pandas()
    if not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)):
        raise UserError(f"column {name!r} does not hold numbers", "choose two columns of numbers")
    return column.to_numpy(np.float64, na_value=np.nan)


def sky(task: Task) -> tuple[np.ndarray, dict]:
    """The objects where they are on the sky, in degrees, right ascension to the left."""
    from engine.maps.layouts.sky import Sky

    ra, dec = (number_column(task.survey, name) for name in ("ra", "dec"))
    shown = Sky.of(ra, dec, projection=task.settings.projection, centre=task.settings.centre)
    return shown.project(ra, dec).astype(np.float32), {"projection": shown.projection, "centre": [shown.ra, shown.dec]}
