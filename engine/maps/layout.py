"""Layouts: a place on the map for every object.

``pca`` takes the two leading principal coordinates and is there at once; ``umap``, ``densmap`` and ``tsne`` start from it
and pull together what the neighbour graph joins; ``columns`` shows two columns of the catalogue as they are, and ``sky``
the objects where they stand on the sky. A layout is stored as ``layouts/NAME/`` with its tile index; a method is a
module of `engine.maps.layouts`.

The same seed gives the same layout on the same machine. Objects without a vector (or position on the sky) have no place
(NaN). What a layout will take is known before it starts: `engine.maps.layouts.estimates`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np

from engine import files, locks
from engine.errors import UserError
from engine.jobs import Progress, silent
from engine.maps.drawing import pyramid
from engine.maps.drawing.tiles import TileIndex
from engine.maps.layouts.previews import Preview
from engine.maps.layouts.task import RADIUS as RADIUS
from engine.maps.layouts.task import Settings, Task, unseen

if TYPE_CHECKING:
    from engine.survey import Survey

#: Method → module and function, and which settings are its own; a new one is a module and a line here.
METHODS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "pca": ("given", "pca", ("seed",)),
    "umap": ("umaps", "umap", ("seed", "neighbours", "min_dist", "sample")),
    "densmap": ("umaps", "densmap", ("seed", "neighbours", "min_dist", "sample")),
    "tsne": ("tsne", "tsne", ("seed", "perplexity", "sample")),
    "columns": ("given", "columns", ("columns", "log")),
    "sky": ("given", "sky", ("projection", "centre")),
}
#: Methods that need no representation.
BARE = ("columns", "sky")


def layout(
    survey: Survey,
    method: str = "umap",
    *,
    representation: str | None = None,
    name: str | None = None,
    device: str | None = None,
    preview: bool = False,
    progress: Progress = silent,
    **settings,
) -> np.ndarray:
    """Make a layout and store it in the survey.

    Parameters
    ----------
    survey : Survey
    method : {"umap", "densmap", "tsne", "pca", "columns", "sky"}
    representation : str, optional
        The newest if not given; not used by ``columns`` and ``sky``.
    name : str, optional
        What to call it, in place of what is there under that name. If not given, the method and what it shows; with a
        number behind where another one (other settings) has that name already.
    device : str, optional
        Where neighbours are computed.
    preview : bool
        Write the positions now and then while they grow (`engine.maps.layouts.previews`).
    **settings
        Those of `engine.maps.layouts.task.Settings`: seed, neighbours, min_dist, perplexity, sample, columns, log,
        projection, centre.

    Returns
    -------
    (N, 2) float32
        Centred, the bulk within ± 10 (``columns``: as in the catalogue; ``sky``: deg); NaN where an object has no place.

    Raises
    ------
    UserError
        If the method, a column or the representation is not known, a setting makes no sense, or another process makes
        the layout.
    """
    if method not in METHODS:
        raise UserError(f"there is no layout method {method!r}", f"choose one of: {', '.join(METHODS)}")
    wanted = checked(method, settings)
    started = time.monotonic()
    of = None if method in BARE else survey.representation(representation).name
    asked = _asked(method, of, wanted)
    name = free_name(survey, method, of, wanted) if name is None else _checked_name(name)
    folder = survey.path / "layouts"
    module, function, _ = METHODS[method]
    with locks.alone(folder / f".{name}.lock", f"the layout {name!r}"), Preview(folder, name) as looks:
        task = Task(survey, of, wanted, device, progress, looks.show if preview else unseen)
        make: Callable = getattr(import_module(f"engine.maps.layouts.{module}"), function)
        xy, used = make(task)
        store(survey, name, xy, {**asked, **used, "asked": asked}, started)
    return xy


def layout_name(method: str, representation: str | None, columns: Sequence[str] | None = None) -> str:
    """Name under which a layout is stored: ``METHOD-REPRESENTATION``, ``columns-X-Y`` or ``sky``."""
    parts = {"columns": [method, *(columns or ())], "sky": [method]}.get(method, [method, str(representation)])
    return "".join(ch if ch.isalnum() or ch in "._+-" else "_" for ch in "-".join(parts))[:100]


def free_name(survey: Survey, method: str, representation: str | None, settings: Settings) -> str:
    """Name of a layout that takes nothing away: its plain name, or with a number where another one has that already."""
    asked = json.loads(json.dumps(_asked(method, representation, settings)))
    plain = layout_name(method, representation, settings.columns)
    name, number = plain, 2
    while _made_otherwise(survey, name, asked):
        name, number = f"{plain}-{number}", number + 1
    return name


def tiles(survey: Survey, name: str) -> TileIndex:
    """The tile index of a stored layout, read if it is there and built if not.

    Raises
    ------
    UserError
        If there is no such layout.
    """
    xy = survey.layout_xy(name)
    index = TileIndex.load(survey.path / "layouts" / name / "tiles")
    return index if index is not None and index.count == len(xy) else TileIndex.build(xy)


def read_meta(survey: Survey, name: str) -> dict:
    """How a layout was made; empty if it cannot be read."""
    try:
        found = files.read_json(survey.path / "layouts" / name / "meta.json")
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _asked(method: str, representation: str | None, settings: Settings) -> dict:
    """What tells one layout of a survey from another."""
    values = asdict(settings)
    return {"method": method, "representation": representation} | {key: values[key] for key in METHODS[method][2]}


def _made_otherwise(survey: Survey, name: str, asked: dict) -> bool:
    """Whether there is a layout of that name with other settings; what an older version made counts by what it says."""
    if not (survey.path / "layouts" / name / "meta.json").is_file():
        return False
    meta = read_meta(survey, name)
    known = meta.get("asked", meta)
    return any(key in known and known[key] != value for key, value in asked.items())


def _checked_name(name: str) -> str:
    from engine.survey import check_name

    return check_name(name)


def checked(method: str, settings: dict) -> Settings:
    """Settings by name, as a person gave them, or a `UserError` that says what makes no sense."""
    known = Settings.__dataclass_fields__
    for key in settings:
        if key not in known:
            raise UserError(f"a layout has no setting {key!r}", f"choose among: {', '.join(known)}")
    wanted = Settings(**{**settings, "columns": _pair(method, settings.get("columns"))})
    if wanted.neighbours < 2:
        raise UserError(f"neighbours is {wanted.neighbours}", "give at least 2: an object is among its own")
    if not 0 <= wanted.min_dist <= 1:
        raise UserError(f"min_dist is {wanted.min_dist}", "give a number from 0 to 1")
    if not wanted.perplexity > 1:
        raise UserError(f"perplexity is {wanted.perplexity}", "give a number above 1; 30 suits most surveys")
    if wanted.sample is not None and wanted.sample < 0:
        raise UserError(f"sample is {wanted.sample}", "give a number of objects to fit on, or 0 for all")
    if not set(wanted.log) <= set("xy"):
        raise UserError(f"log is {wanted.log}", "name the axes to take the logarithm of: x, y or both")
    return wanted


def _pair(method: str, columns: Sequence[str] | None) -> tuple[str, str] | None:
    if method != "columns":
        return None
    if columns is None or isinstance(columns, str) or len(columns) != 2:
        raise UserError("a layout of columns needs two of them", 'give their names, such as columns=("ra", "dec")')
    return columns[0], columns[1]


def store(survey: Survey, name: str, xy: np.ndarray, meta: dict, started: float) -> None:
    """Write a layout and its tiles, the meta last: without it the layout does not exist."""
    folder = survey.path / "layouts" / name
    (folder / "meta.json").unlink(missing_ok=True)
    (folder / "tiles" / "grid.json").unlink(missing_ok=True)
    files.write_npy(folder / "xy.npy", xy)
    index = TileIndex.build(xy)
    index.save(folder / "tiles")
    pyramid.store(folder / "tiles", index)
    placed = int(np.isfinite(xy).all(axis=1).sum())
    files.write_json(folder / "meta.json", {**meta, "placed": placed, "seconds": round(time.monotonic() - started, 3)})
