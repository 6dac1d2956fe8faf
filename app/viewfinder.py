"""Which part of the plane the browser shows, heard as soon as it does.

Bokeh reports a new range when its plot has been still for a while, and after it has painted; that was a third of the time
from the wheel to the new picture. The script hears of the range in the browser and asks at once, one frame at a time:
what changes meanwhile is asked for when the frame is there. During a drag the picture only moves; the end of it asks.
"""

from __future__ import annotations

from collections.abc import Callable

from app.camera import Box
from app.frames import script
from app.layer import Layer


class Viewfinder(Layer):
    """Asks for frames; ``asked(view, size)`` hears, and `drawn` says that the frame is on its way.

    Parameters
    ----------
    asked : callable
    """

    _esm = script("layer.js", "viewfinder.js")

    def __init__(self, asked: Callable[[Box, tuple[int, int]], None], **params):
        super().__init__(**params)
        self._asked = asked

    def _handle_msg(self, data) -> None:
        x0, y0, x1, y1 = (float(data[k]) for k in ("x0", "y0", "x1", "y1"))
        self._asked((x0, y0, x1, y1), (int(data["width"]), int(data["height"])))

    def drawn(self) -> None:
        """The browser may ask again."""
        self.send("drawn")
