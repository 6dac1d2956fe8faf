"""The Bokeh figure under the map: its tools, its axes, and the rule for changing it.

Which tool is active the browser decides alone (`overlay.js`): a round trip would leave a drag that follows a key to the
tool before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from bokeh.models import BoxSelectTool, InlineStyleSheet, LassoSelectTool

from app.map.camera import Box
from app.map.scene import Frame
from app.theme import theme


class Canvas:
    """The figure of one map, once there is one."""

    def __init__(self, document, name: str):
        self._document, self._name = document, name
        self.figure: Any = None
        self._source: Any = None
        self._frame: Frame | None = None
        self._drawing: list[Any] = []

    def adopt(self, figure, source, *, dark: bool) -> bool:
        """Equip a figure that HoloViews has made, whose picture is in `source`; False if it is known."""
        if figure is self.figure:
            return False
        self.figure, self._source = figure, source
        if self._frame is not None:
            self._put(self._frame)
        # a handful of marks and one picture: WebGL, HoloViews' choice, copies its canvas at each paint, 94 ms without a GPU
        figure.update(name=self._name, outline_line_color=None, output_backend="canvas")
        # dotted while in focus, else
        figure.stylesheets = [InlineStyleSheet(css=".bk-Canvas { --outline-width: 0px; }")]
        self._drawing = [tool(continuous=False, renderers=[]) for tool in (LassoSelectTool, BoxSelectTool)]
        figure.add_tools(*self._drawing)
        self.tint(dark=dark)
        return True

    def tint(self, *, dark: bool) -> None:
        """Colour what the tools draw for the theme."""
        accent = theme(dark).accent
        style = {
            "line_color": accent,
            "line_width": 1.5,
            "line_dash": "solid",
            "fill_color": accent,
            "fill_alpha": 0.08,
        }
        for tool in self._drawing:
            tool.overlay.update(**style)

    def show(self, frame: Frame) -> None:
        """Put a frame in the place of the picture; on the session's event loop."""
        self._frame = frame
        if self._source is not None:
            self._put(frame)

    def _put(self, frame: Frame) -> None:
        x0, y0, x1, y1 = frame.extent
        pixels = frame.rgba.view(np.uint32)[:, :, 0]
        self._source.data = {"image": [pixels], "x": [x0], "y": [y0], "dw": [x1 - x0], "dh": [y1 - y0]}

    def look_at(self, view: Box) -> None:
        """Move the axes."""
        if (figure := self.figure) is not None:
            x0, y0, x1, y1 = view
            self.change(lambda: figure.x_range.update(start=x0, end=x1))
            self.change(lambda: figure.y_range.update(start=y0, end=y1))

    def change(self, call: Callable[[], None]) -> None:
        """Change models: Bokeh wants the document's lock, which messages of components come without."""
        if self._document is None or self.figure is None:
            call()
        else:
            self._document.add_next_tick_callback(call)
