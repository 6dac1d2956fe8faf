"""What floats over the map: tools, legend, hover card, message when there is no layout. Plain elements, no glyphs.

The card follows the pointer in the browser; only what it shows comes from here. Pointer positions arrive at most ten
times a second, from an event that the figure's own script raises (see `pointer_script`).
"""

from pathlib import Path

import param
from bokeh.models import CustomJS
from panel.custom import JSComponent

HERE = Path(__file__).parent

#: The map's pointer tools and their keys.
TOOLS = {"pan": "v", "lasso": "l", "box": "b"}
#: Names of the maps' figures, the first map's first, by which the page's scripts find them.
FIGURES = ("skysieve-map", "skysieve-map-2")


class Overlay(JSComponent):
    """The layer of elements over the map. Messages of the page come to `heard`."""

    figure: param.Selector = param.Selector(default=FIGURES[0], objects=list(FIGURES), doc="The figure below.")
    tool: param.Selector = param.Selector(default="pan", objects=list(TOOLS))
    legend = param.Dict({}, doc="See `app.map.legend.legend`.")
    card = param.Dict({}, doc="What is under the pointer, see `app.map.pointer.Pointer`; empty: nothing.")
    status = param.Dict(
        {}, doc="title, text, action, progress (0-1 or null): shown in the middle; empty: the map shows."
    )
    others = param.String("dimmed", doc="How what is not selected is drawn: 'dimmed' or 'hidden'.")
    names = param.Boolean(False, doc="Whether the names of clusters are written on the map.")
    portraits = param.String("", doc="When thumbnails lie on the map: 'auto', 'on', 'off'; empty: there are none.")

    _esm = HERE / "overlay.js"
    _stylesheets = [str(HERE / "overlay.css")]  # noqa: RUF012 (Panel reads a list)

    def __init__(self, heard, **params):
        super().__init__(**params)
        self._heard = heard

    def _handle_msg(self, message: dict) -> None:
        self._heard(message)

    def show_again(self) -> None:
        """Send what changed while the page was being built, and may have been missed."""
        self._send_msg({name: getattr(self, name) for name in ("legend", "status")})


def pointer_script(figure: str) -> CustomJS:
    """Raise ``skysieve:pointer`` on the window for a figure's pointer events."""
    return CustomJS(
        args={"figure": figure},
        code="""
        window.dispatchEvent(new CustomEvent("skysieve:pointer", {detail: {figure, at: cb_obj.event_name === "mousemove"
          ? {x: cb_obj.x, y: cb_obj.y, sx: cb_obj.sx, sy: cb_obj.sy} : null}}))""",
    )
