"""Which part of the plane the browser shows, heard as soon as it does.

Bokeh reports a new range when its plot has been still for a while, and after it has painted; that was a third of the time
from the wheel to the new picture. The script hears of the range in the browser and asks at once, one frame at a time:
what changes meanwhile is asked for when the frame is there. During a drag the picture only moves; the end of it asks.
"""

from __future__ import annotations

from collections.abc import Callable

from app.frames import script
from app.map.camera import Box
from app.map.layer import Layer

#: Pixels of the screen of which each gets its own, where it is a fine one; a larger window shares them.
MOST = 3_000_000


class Viewfinder(Layer):
    """Asks for frames; ``asked(view, size, ratio)`` hears, and `drawn` says that the frame is on its way.

    Parameters
    ----------
    asked : callable
    """

    _esm = script("map/layer.js", "map/viewfinder.js")

    def __init__(self, asked: Callable[[Box, tuple[int, int], float], None], **params):
        super().__init__(**params)
        self._asked = asked

    def _handle_msg(self, data) -> None:
        x0, y0, x1, y1 = (float(data[k]) for k in ("x0", "y0", "x1", "y1"))
        width, height = int(data["width"]), int(data["height"])
        ratio = min(float(data["ratio"]), max(1.0, (MOST / max(1, width * height)) ** 0.5))
        self._asked((x0, y0, x1, y1), (width, height), ratio)

    def drawn(self) -> None:
        """The browser may ask again."""
        self.send("drawn")
