"""What the pointer does on the map: it shapes a selection, moves the cursor, and asks what lies under it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np

from app.background import Background
from app.layouts.stored import Placed
from app.map.camera import Box, Camera
from app.map.colouring import Colouring
from app.map.layer import Layer
from app.map.overlay import Overlay
from app.selections.selecting import Selecting
from app.state import Shown, State
from app.store import Store
from engine.errors import UserError
from engine.search import origins
from engine.search.find import Found
from engine.search.members import inside

#: Reach of the pointer, pixels.
REACH = 12


class Pointer:
    """The pointer of one session over one of its maps. The map says what it shows: `placed`, `layers`, `colouring`."""

    def __init__(
        self,
        state: State,
        shown: Shown,
        store: Store,
        camera: Camera,
        overlay: Overlay,
        work: Background,
        selecting: Selecting,
    ):
        self._state, self._shown, self._store, self._work = state, shown, store, work
        self._camera, self._overlay, self._selecting = camera, overlay, selecting
        self.layers: Sequence[Layer] = ()
        self.placed: Placed | None = None
        self.colouring = Colouring(None, dark=state.dark)

    def drawn(self, event) -> None:
        """A lasso or a box has been drawn (`bokeh.events.SelectionGeometry`)."""
        if not event.final or self.placed is None:
            return
        how, points = outlined(self.placed.name, event.geometry), self.placed.index
        if len(how["polygon"]) >= 3:  # less is a slip of the hand
            self._selecting.choose(lambda: Found(inside(points, how), how), mode=self._selecting.mode)

    def nearest(self, x: float, y: float) -> int:
        """Row of the object that a layer shows at a position, else of one within reach of it, else -1."""
        for layer in self.layers:
            if (shown := layer.at(x, y)) >= 0:
                return shown
        view = cast(Box | None, self._shown.view)
        if self.placed is None or self._camera.size is None or view is None:
            return -1
        row = self.placed.index.nearest(x, y, *self._camera.reach(view, REACH))
        return -1 if row is None else row

    def tapped(self, event) -> None:
        """A click moves the cursor to the object under it; the inspector, if it is open, shows it."""
        row = self.nearest(event.x, event.y)
        if row >= 0:
            self._state.cursor = row

    def tapped_twice(self, event) -> None:
        """A double click lists what is like the object under it."""
        row = self.nearest(event.x, event.y)
        if row >= 0:
            self._state.param.update(cursor=row, query_rows=np.array([row], np.int64), tab="similar")

    def at(self, x: float, y: float) -> None:
        """The pointer rests here: show the card of the object under it."""
        self._hover(self.nearest(x, y))

    def left(self) -> None:
        """The pointer is no longer over the map."""
        self._hover(-1)

    def _hover(self, row: int) -> None:
        if row == self._state.hovered:
            return
        self._state.hovered = row
        if row < 0:
            self._overlay.card = {}
            return
        code = self._store.label_codes(self._state.target)[row]
        card = {
            "row": row,
            "id": self._store.ids([row])[0],
            "value": self.colouring.words(row),
            "label": self._store.label_names(self._state.target)[code] if code else "",
            "pictured": bool(self._store.survey.bands),
        }
        self._overlay.card = card
        if card["pictured"]:
            self._draw(row, card)

    def _draw(self, row: int, card: dict) -> None:
        """Add the picture to the card, as the session draws it now; a pixel file that is gone leaves it out."""
        stretch = self._state.stretch

        def done(picture: bytes) -> None:
            if self._state.hovered == row and picture:
                address = f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
                self._overlay.card = {**card, "picture": address}

        def failed(error: UserError) -> None:
            self._overlay.card = {**card, "pictured": False}

        self._work.run("hover", lambda: self._store.pictures([row], stretch)[0], done, failed)


def outlined(layout: str, shape: Mapping) -> dict:
    """The origin of what lies inside a shape that was drawn on a layout, as Bokeh describes it."""
    if shape["type"] == "poly":
        return origins.shape("polygon", layout, np.column_stack([shape["x"], shape["y"]]))
    x0, x1, y0, y1 = (float(shape[k]) for k in ("x0", "x1", "y0", "y1"))
    return origins.shape("box", layout, np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]))
