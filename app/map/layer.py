"""What can be laid over a map: a component of its own, told what the map shows, that follows it in the browser.

A layer draws in its own script, behind ``layer.js``: `follow` calls back with the camera at every step of a pan or a
zoom, so that what is drawn moves with the picture and waits for nobody. From here it hears which layout is placed and,
after each frame, which part of it is in view. It lets the pointer through, but for elements that take it back
(``pointer-events: auto``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import param

from app.frames import Component, styles
from app.layouts.stored import Placed
from app.map.camera import Box
from app.map.overlay import FIGURES

if TYPE_CHECKING:
    from app.map.colouring import Colouring


class Layer(Component):
    """One layer over one map; `app.map.view.MapView` tells it what is shown."""

    figure: param.Selector = param.Selector(default=FIGURES[0], objects=list(FIGURES), doc="The figure below.")

    _stylesheets = [styles("map/layer.css")]  # noqa: RUF012 (Panel's class attribute)

    __abstract = True

    def place(self, placed: Placed | None) -> None:
        """A layout is shown now, or none."""

    def look(self, view: Box, size: tuple[int, int]) -> None:
        """The map shows a part of the layout, in a window of so many pixels; quick: the frame waits for it."""

    def counted(self, seen: int, selected: int) -> None:
        """A frame is drawn: so many objects are in view, and so many of the selection's members."""

    def coloured(self, colouring: Colouring) -> None:
        """The map is coloured in another way."""

    def at(self, x: float, y: float) -> int:
        """Row of the object that the layer shows at a position of the layout, or −1: it comes before what lies below."""
        return -1

    def close(self) -> None:
        """End what belongs to the session."""
