"""What one session shows: parameters only, watched by the views.

A view reads and writes these parameters and nothing of another view. Arrays are replaced, never changed in place: a
watcher sees each assignment once. What should outlive a reload is listed in `RESTORED` and kept in the page's address.
"""

import getpass
import os
from typing import Any

import numpy as np
import param

from app.hunt.asking import Asking
from engine.data.pictures.stretch import DEFAULT, Stretch
from engine.errors import UserError
from engine.search.sets import MODES

#: Tabs of the gallery, in order.
TABS = ("selection", "suggestions", "outliers", "similar", "labelled")

#: What can be open over the map; empty: nothing.
PAGES = ("", "train", "compare")

#: Parameter → its name in the address of the page; a reload or a shared link brings these back.
RESTORED = {
    "layout": "layout",
    "colour": "colour",
    "target": "target",
    "tab": "tab",
    "sort": "sort",
    "cursor": "object",
    "view": "view",
    "kept": "selection",
    "dark": "dark",
    "page": "page",
    "stretch_text": "stretch",
    "two": "two",
    "combining": "mode",
    "outlined": "outlines",
    "portraits": "thumbnails",
    "scale": "scale",
    "statistic": "statistic",
    "others": "others",
    "clusters": "clusters",
    "names": "names",
    "strange_by": "outliers",
    "reweighted": "reweighted",
    "hide_artefacts": "hide",
}
#: The same of the second map.
RESTORED_BESIDE = {
    "layout": "layout2",
    "colour": "colour2",
    "view": "view2",
    "portraits": "thumbnails2",
    "scale": "scale2",
    "statistic": "statistic2",
    "names": "names2",
}


def person() -> str:
    """Who labels, as the machine knows them; ``SKYSIEVE_USER`` overrides it."""
    try:
        return os.environ.get("SKYSIEVE_USER") or getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


class Shown(param.Parameterized):
    """What one map shows."""

    layout = param.String("", doc="Name of the layout on the map; empty: the survey has none yet.")
    growing = param.Parameter(
        None, doc="A layout that is still being made, shown in its place (`app.layouts.growing.Grown`)."
    )
    colour = param.String("density", doc="'density', 'label', 'mean', 'sd', 'acquisition', a column or a stored score.")
    scale: param.Selector = param.Selector(
        default="",
        objects=["", "equalised", "log", "linear", "mixed", "top"],
        doc="How numbers become colours, see `app.map.colouring.Colouring`; empty: as suits what is shown.",
    )
    statistic: param.Selector = param.Selector(
        default="mean", objects=["mean", "max", "min"], doc="What a pixel shows of the numbers of its objects."
    )
    view = param.NumericTuple(None, length=4, allow_None=True, doc="x0, y0, x1, y1 of the map; None: the whole layout.")
    names = param.Boolean(True, doc="Whether the names of clusters are written on the map.")
    portraits: param.Selector = param.Selector(
        default="auto", objects=["auto", "on", "off"], doc="When thumbnails lie on the map; auto: where there is room."
    )


class State(Shown):
    """One session's view of a survey: what its first map shows, and what all its parts share."""

    others: param.Selector = param.Selector(
        default="dimmed", objects=["dimmed", "hidden"], doc="How the maps draw what is not selected."
    )
    two = param.Boolean(False, doc="Whether a second map is open beside the first.")
    second: Any = param.ClassSelector(class_=Shown, doc="What the second map shows.")

    target = param.String("interesting", doc="What is looked for; labels and rankings belong to it.")
    user = param.String(doc="Who labels.")

    selection = param.Parameter(None, doc="Row numbers of the selected objects, (n,) int64, or None.")
    selection_how = param.Dict({}, doc="How they were chosen: a tree of steps, see `engine.search.origins`.")
    combining: param.Selector = param.Selector(
        default="replace", objects=list(MODES), doc="What the next outline or query does to the selection."
    )
    outlined = param.List([], item_type=str, doc="Names of the kept selections that are drawn on the maps.")
    tab: param.Selector = param.Selector(default="selection", objects=list(TABS), doc="What the gallery shows.")
    sort = param.String(
        "", doc="Column or score that orders the gallery, '-' in front for descending; empty: as it comes."
    )
    cursor = param.Integer(-1, doc="Row of the object in focus, shown in the inspector; -1: none.")
    hovered = param.Integer(-1, doc="Row of the object under the pointer on the map; -1: none.")
    query_rows = param.Parameter(None, doc="A search by likeness begins with these rows, (n,) int64, or None.")
    asking = param.ClassSelector(class_=Asking, default=Asking(), doc="What the 'similar' tab lists.")
    region = param.Parameter(None, doc="A part of a cutout to search by: row, x0, y0, x1, y1 in pixels, or None.")

    strange_by = param.String(
        "", doc="Method whose score of strangeness orders the outliers; empty: all of them together."
    )
    reweighted = param.Boolean(True, doc="Whether labels move the outliers.")
    hide_artefacts = param.Boolean(False, doc="Whether outliers that look like artefacts are left out.")
    outliers_version = param.Integer(0, doc="Rises when scores of strangeness were computed.")

    dark = param.Boolean(True, doc="Dark theme.")
    stretch = param.ClassSelector(class_=Stretch, default=DEFAULT, doc="How pictures are drawn.")
    own_stretch = param.ClassSelector(class_=Stretch, default=DEFAULT, doc="How the survey is drawn by itself.")
    stretch_text = param.String("", doc="`stretch` in words of its own, for the address; empty: the survey's own.")
    drawn = param.ClassSelector(class_=Stretch, default=None, allow_None=True, doc="How the gallery is drawn by now.")
    stretching = param.Boolean(False, doc="Whether the stretch's panel is open.")
    kept = param.String("", doc="Name under which the selection is kept for a reload; empty: nothing is selected.")
    layout_wanted = param.Event(doc="Somebody asks for a layout where there is none.")
    page: param.Selector = param.Selector(default="", objects=list(PAGES), doc="Which page is open over the map.")
    inspecting = param.Boolean(False, doc="Whether the inspector's drawer is open.")

    clusters = param.String("", doc="Name of the clustering in use; empty: the survey has none yet.")
    clusters_version = param.Integer(0, doc="Rises when clusters were made or renamed, here or in another session.")
    labels_version = param.Integer(0, doc="Rises when labels changed, here or in another session.")
    remarks_version = param.Integer(0, doc="Rises when comments, reviews or artefacts changed, here or elsewhere.")
    expected = param.Parameter(None, doc="Rows that will probably be looked at next, (n,) int64, or None.")
    ranking_version = param.Integer(0, doc="Rises when a target was ranked anew.")
    notice = param.Tuple(("", ""), length=2, doc="('error' | 'info' | 'success', text) to show to the person.")

    def __init__(self, **params):
        super().__init__(**{"user": person(), "second": Shown(), **params})
        self.param.watch(lambda *_: self._search_anew(), ["query_rows"])
        self._search_anew()
        self.param.watch(lambda *_: self._tell_stretch(), ["stretch", "own_stretch"])
        self.param.watch(lambda *_: self._take_stretch(), ["stretch_text"])

    def _search_anew(self) -> None:
        if self.query_rows is not None:
            self.asking = self.asking.beginning(self.query_rows)

    def _tell_stretch(self) -> None:
        self.stretch_text = "" if self.stretch == self.own_stretch else self.stretch.text() or "curve=asinh"

    def _take_stretch(self) -> None:
        """An address that makes no sense leaves the stretch as it was."""
        try:
            asked = Stretch.from_text(self.stretch_text) if self.stretch_text else self.own_stretch
        except UserError as error:
            self.notice = ("error", str(error))
            self._tell_stretch()
            return
        if asked != self.stretch:  # an equal one would still be a change, and everything would be drawn twice
            self.stretch = asked

    def select(self, rows: np.ndarray | None, **how) -> None:
        """Replace the selection and show it in the gallery."""
        rows = None if rows is None else np.asarray(rows, np.int64)
        self.param.update(selection=rows, selection_how=how, tab="selection")
