"""What is selected, in short words over the map, and what can be done with it: join, invert, grow, edit, go back.

It counts the whole selection and its share of what is in view, says where it was drawn when that is another layout, and
is not there as long as nothing has been selected.
"""

from __future__ import annotations

import numpy as np
import panel as pn

from app.background import Background
from app.frames import pack, script, styles
from app.layouts.stored import Placed
from app.map.layer import Layer
from app.map.overlay import FIGURES
from app.selections.kept import Kept
from app.selections.outlines import Outlines
from app.state import Shown, State
from app.store import Store
from engine.search import growing, origins
from engine.search.sets import MODES


class SelectionBar(Layer):
    """The bar of one map.

    Parameters
    ----------
    state : State
    store : Store
    shown : Shown
        What this map shows.
    kept : Kept
    outlines : Outlines
        Of the same map.
    """

    _esm = script("selections/selection_bar.js")
    _stylesheets = [styles("map/layer.css"), styles("selections/selection_bar.css")]  # noqa: RUF012 (Panel's class attribute)

    def __init__(self, state: State, store: Store, shown: Shown, kept: Kept, outlines: Outlines, **params):
        super().__init__(self._heard, dark=state.dark, sizing_mode="stretch_both", **params)
        self.state, self.store, self.shown = state, store, shown
        self._selecting, self._outlines = kept.selecting, outlines
        self._work = Background(pn.state.curdoc)
        self._counts = (0, 0)
        self._placed: Placed | None = None
        self._homeless = 0
        sources = (
            (state, ["selection", "selection_how", "combining"]),
            (self._selecting, ["past", "future"]),
            (outlines, ["frame"]),
        )
        self._watched = [
            (state, state.param.watch(lambda *events: self._count_homeless(), "selection")),
            *((source, source.param.watch(lambda *events: self._show(), names)) for source, names in sources),
        ]
        self._show()

    def close(self) -> None:
        """End what belongs to the session, or to a map that is taken away."""
        for whose, watcher in self._watched:
            whose.param.unwatch(watcher)
        self._work.close()

    # -- what the map says ---------------------------------------------------------------------------------------------

    def place(self, placed: Placed | None) -> None:
        """Another layout: outlines may have been drawn elsewhere, members may have no place here."""
        self._placed = placed
        self._count_homeless()
        self._show()

    def counted(self, seen: int, selected: int) -> None:
        """A frame is drawn: how much of it is selected."""
        if (seen, selected) != self._counts:
            self._counts = seen, selected
            self._show()

    def _count_homeless(self) -> None:
        """Members without a place in the layout shown; counted in the thread, for they may be millions."""
        rows, placed = self.state.selection, self._placed
        self._homeless, self._counts = 0, (0, 0)  # the next frame counts
        if rows is None or placed is None or len(placed.index) == len(placed.xy):
            return

        def done(count: int) -> None:
            self._homeless = count
            self._show()

        self._work.run("homeless", lambda: int(np.isnan(placed.xy[rows, 0]).sum()), done)

    # -- what the page says --------------------------------------------------------------------------------------------

    def _heard(self, message: dict) -> None:
        kind, selecting = message.get("type"), self._selecting
        simple = {
            "clear": selecting.clear,
            "invert": selecting.invert,
            "back": selecting.back,
            "forth": selecting.forth,
            "edit": self._outlines.edit,
            "ready": self._show_again,
        }
        if kind in simple:
            simple[kind]()
        elif kind == "mode" and message.get("mode") in MODES:
            self.state.combining = message["mode"]
        elif kind == "held" and message.get("mode") in ("", *MODES):
            selecting.held = message["mode"]
        elif kind == "grow":
            selecting.grow(_whole(message.get("k"), growing.WIDTH))
        elif kind == "shrink":
            selecting.shrink(_whole(message.get("k"), growing.WIDTH), _whole(message.get("percent"), 100) / 100)
        elif kind == "layout" and message.get("layout") in self.store.layouts():
            self.shown.layout = message["layout"]

    # -- what the page shows -------------------------------------------------------------------------------------------

    def _show(self) -> None:
        frame = pack(self.words())
        if frame != self.frame:
            self.frame = frame

    def _show_again(self) -> None:
        self.param.trigger("frame")

    def words(self) -> dict:
        """What the bar says now."""
        rows, how = self.state.selection, self.state.selection_how
        layout = self._placed.name if self._placed is not None else ""
        drawn = origins.layouts(how) if rows is not None else []
        return {
            "selected": None if rows is None else len(rows),
            "text": "" if rows is None else selected_words(len(rows), self._counts, self._homeless),
            "how": "" if rows is None else origins.words(how),
            "elsewhere": [name for name in drawn if name != layout] if layout not in drawn else [],
            "layouts": self.store.layouts(),
            "mode": self.state.combining,
            "past": self._selecting.past,
            "future": self._selecting.future,
            "editable": bool(layout and layout in drawn),
            "editing": self._outlines.editing.edited is not None,
            "neighbours": self.store.representation or "",
            "grow": growing.GROW_BY,
            "judged": growing.JUDGED_BY,
            "most": growing.WIDTH,
            "percent": round(100 * growing.SHARE),
            "first": self.figure == FIGURES[0],
        }


def selected_words(selected: int, counts: tuple[int, int], homeless: int = 0) -> str:
    """``1,234 selected · 12 % of view``: how many, and their share of what is in view."""
    seen, inside = counts
    parts = [f"{selected:,} selected"]
    if selected and seen:
        parts.append(f"{share_words(inside, seen)} of view" if inside else "none in view")
    if homeless:
        parts.append(f"{homeless:,} without a place here")
    return " · ".join(parts)


def share_words(part: int, whole: int) -> str:
    """A share in percent, never rounded to none or to all."""
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "<0.1 %"
    if 99.9 < percent < 100:
        return ">99.9 %"
    return f"{percent:.1f} %" if percent < 10 or (percent > 99 and part < whole) else f"{percent:.0f} %"


def _whole(value, most: int) -> int:
    """A number of the page, from 1 to `most`."""
    return int(np.clip(value, 1, most)) if isinstance(value, (int, float)) and np.isfinite(value) else 1
