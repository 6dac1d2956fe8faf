"""The outlines on a map: of what is selected, of the kept selections that are drawn, and the one under the hand.

Outlines belong to the layout they were drawn on; on another one they are absent, and come back with it. They are lines
in the browser, which follow the map by themselves. Kept selections of few members have a dot for each where they have no
outline, so that they are seen on any layout, and where they have one the dots do not cover what is lit up.
While an outline is edited the browser has its corners, sends each new form when the one before is shown, and the
members follow (`app.selections.editing`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.frames import pack, script, styles
from app.layouts.stored import Placed
from app.map.layer import Layer
from app.selections.editing import Editing
from app.selections.kept import Kept
from app.state import State
from app.store import Store
from engine.search import origins
from engine.search.selections import Selection

#: Members of a kept selection up to which each is drawn as a dot.
DOTS = 2_000


class Outlines(Layer):
    """The outlines over one map.

    Parameters
    ----------
    state : State
    store : Store
    kept : Kept
    """

    _esm = script("map/layer.js", "selections/outline_shape.js", "selections/outlines.js")
    _stylesheets = [styles("map/layer.css"), styles("selections/outlines.css")]  # noqa: RUF012 (Panel's class attribute)

    def __init__(self, state: State, store: Store, kept: Kept, **params):
        super().__init__(self._heard, dark=state.dark, sizing_mode="stretch_both", **params)
        self.state, self._kept = state, kept
        self._placed: Placed | None = None
        self.editing = Editing(state, store, kept.selecting, self._show)
        self._watched = [
            (state, state.param.watch(lambda *events: self._show(), ["selection", "selection_how"])),
            (state, state.param.watch(lambda event: self.param.update(dark=event.new), "dark")),
            (kept, kept.param.watch(lambda *events: self._show(), "drawn")),
        ]

    def place(self, placed: Placed | None) -> None:
        """Another layout: other outlines."""
        self._placed = placed
        self.editing.end()
        self._show()

    def edit(self) -> None:
        """Take the last outline drawn here into the hand, or let it go."""
        if self.editing.edited is not None:
            self.editing.end()
        elif self._placed is not None:
            self.editing.begin(self._placed.name)

    def close(self) -> None:
        """End what belongs to the session, or to a map that is taken away."""
        for whose, watcher in self._watched:
            whose.param.unwatch(watcher)
        self.editing.close()

    def _heard(self, message: dict) -> None:
        """A message of the page."""
        kind = message.get("type")
        if kind == "edit":
            self.edit()
        elif kind == "pick" and self._placed is not None:
            self.editing.begin(self._placed.name, tuple(int(number) for number in message["path"]))
        elif kind == "move":
            self.editing.move(
                str(message["kind"]), message["ring"], final=bool(message["final"]), done=lambda: self.send("shown")
            )
        elif kind == "done":
            self.editing.end()
        elif kind == "ready":
            self.param.trigger("frame")  # what changed while the page was being built did not reach it

    # -- what the browser draws ----------------------------------------------------------------------------------------

    def _show(self) -> None:
        header, rings = drawing(self.state, self._placed, self._kept.drawn)
        edited = self.editing.edited
        header["editing"] = edited and {
            "number": edited.number,
            "path": edited.shape.path,
            "kind": edited.shape.kind,
            "handles": edited.handles,
        }
        self.frame = pack(header, rings)


def drawing(state: State, placed: Placed | None, kept: Sequence[Selection]) -> tuple[dict, list[bytes]]:
    """What is drawn on a layout: a description, and corners and dots as bytes (float64 and float32 pairs) in its order."""
    if placed is None:
        return {"own": [], "kept": []}, []
    shapes = [] if state.selection is None else origins.shapes(state.selection_how, placed.name)
    own = [{"path": s.path, "kind": s.kind, "takes": s.takes} for s in shapes]
    parts = [s.polygon.tobytes() for s in shapes]
    others = []
    for selection in kept:
        drawn = origins.shapes(selection.how, placed.name)
        dotted = len(selection) <= DOTS and not drawn
        dots = placed.xy[selection.rows] if dotted else np.zeros((0, 2), np.float32)
        dots = np.ascontiguousarray(dots[np.isfinite(dots).all(axis=1)])
        others.append(
            {
                "name": selection.name,
                "colour": selection.colour,
                "outlines": len(drawn),
                "takes": [s.takes for s in drawn],
                "dots": len(dots),
            }
        )
        parts += [*(s.polygon.tobytes() for s in drawn), dots.tobytes()]
    return {"own": own, "kept": others}, parts
