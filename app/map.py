"""The map: a layout drawn by datashader and our own shaders, with selection, marks and hover.

The picture is one `holoviews.RGB` made on the server for the view asked for, a margin on every side included, so that
a pan does not uncover blank edges. What is drawn over it is `app.marks`, what floats above (tools, legend, card)
`app.overlay`, what the pointer does `app.pointer`.
"""

from __future__ import annotations

import weakref
from functools import partial
from typing import cast

import holoviews as hv
import numpy as np
import panel as pn
from bokeh.events import DoubleTap, MouseLeave, MouseMove, SelectionGeometry, Tap
from holoviews.streams import PlotSize, RangeXY, Stream

from app.background import Background
from app.camera import Box, Camera
from app.canvas import Canvas
from app.colouring import LIFT, Colouring, is_warm, warm, with_selection
from app.layer import Layer
from app.layouts import Placed
from app.marks import HINTED, MARKED, Marks
from app.overlay import FIGURES, Overlay, pointer_script
from app.pointer import Pointer
from app.ranking import RANKED
from app.raster import Points, View, disc_radius
from app.state import Shown, State
from app.store import Store
from engine.errors import UserError

#: Margin drawn around the view, as a share of its size.
MARGIN = 0.15

Refresh = Stream.define("Refresh", frame=0)


class MapView:
    """A map of one session: follows the state, and draws.

    Parameters
    ----------
    state : State
    store : Store
    shown : Shown, optional
        What this map shows; the state itself, which is the first map's, if not given.
    figure : str
        Name of its figure, one of `app.overlay.FIGURES`.
    """

    def __init__(self, state: State, store: Store, shown: Shown | None = None, *, figure: str = FIGURES[0]):
        self.state, self.store = state, store
        self.shown = state if shown is None else shown
        self.frames = 0
        self.overlay = Overlay(self._heard, figure=figure, sizing_mode="stretch_both")
        self.layers: list[Layer] = []
        self._work = Background(pn.state.curdoc)
        self._camera = Camera()
        self._canvas = Canvas(pn.state.curdoc, figure)
        self._marks = Marks(self._canvas.change)
        self._pointer = Pointer(state, self.shown, store, self._camera, self.overlay)
        self._placed: Placed | None = None
        self._base: Points | None = None
        self._members: Points | None = None
        self._columns: list = [None, None]
        self._colouring = Colouring(None, dark=state.dark)
        self._range = RangeXY()
        self._refresh = Refresh()
        self.streams = [self._range, PlotSize(), self._refresh]
        self._watch()
        self._show_layout()

    def panel(self) -> pn.viewable.Viewable:
        """The map with what floats over it."""
        # HoloViews keeps options in a global: a plain hook would keep the session
        adopt = weakref.WeakMethod(self._adopt)

        def hook(plot, element) -> None:
            if (found := adopt()) is not None:
                found(plot, element)

        picture = hv.DynamicMap(self._render, streams=self.streams).opts(
            hv.opts.RGB(
                responsive=True,
                xaxis=None,
                yaxis=None,
                toolbar=None,
                show_frame=False,
                border=0,
                lod={"timeout": 20},
                default_tools=["pan", "wheel_zoom"],
                active_tools=["wheel_zoom", "pan"],
                hooks=[hook],
                framewise=False,
            )
        )
        pane = pn.pane.HoloViews(picture, sizing_mode="stretch_both", margin=0, linked_axes=False)
        return pn.Column(
            pane,
            *self.layers,
            self.overlay,
            sizing_mode="stretch_both",
            margin=0,
            css_classes=["map"],
            styles={"position": "relative", "overflow": "hidden", "background": "var(--ground)"},
        )

    def close(self) -> None:
        """End what belongs to the session."""
        for layer in self.layers:
            layer.close()
        self._work.close()

    def _adopt(self, plot, element) -> None:
        """Give a new figure its tools, glyphs and events."""
        figure, pointer = plot.state, self._pointer
        if not self._canvas.adopt(figure, dark=self.state.dark):
            return
        self._marks.add_to(figure, dark=self.state.dark)
        figure.on_event(SelectionGeometry, pointer.drawn)
        figure.on_event(Tap, pointer.tapped)
        figure.on_event(DoubleTap, partial(pointer.tapped, opens=True))
        for event in (MouseMove, MouseLeave):
            figure.js_on_event(event, pointer_script(self.overlay.figure))

    def _watch(self) -> None:
        for call, names in ((self._show_layout, ["layout"]), (self._recolour, ["colour"])):
            self.shown.param.watch(lambda *events, call=call: call(), names)
        for call, names in (
            (self._recolour, ["dark"]),
            (self._new_target, ["target"]),
            (self._new_labels, ["labels_version"]),
            (self._new_ranking, ["ranking_version"]),
            (self._show_selection, ["selection"]),
            (partial(self._mark_one, "cursor"), ["cursor"]),
            (partial(self._mark_one, "hovered"), ["hovered"]),
            (self._hint, ["tab"]),
        ):
            self.state.param.watch(lambda *events, call=call: call(), names)

    def _heard(self, message: dict) -> None:
        """A message of the overlay."""
        kind = message.get("type")
        if kind == "hover":
            self._pointer.at(float(message["x"]), float(message["y"]))
        elif kind == "leave":
            self._pointer.left()
        elif kind == "ready":
            self.overlay.show_again()
        elif kind == "fit":
            self.fit()
        elif kind == "clear" or (kind == "escape" and not self.state.inspecting):
            self.state.param.update(selection=None, selection_how={})
        elif kind == "action":
            self.state.param.trigger("layout_wanted")

    # -- drawing -------------------------------------------------------------------------------------------------------

    def _render(self, x_range, y_range, width, height, scale=1.0, frame=0) -> hv.RGB:
        if not width or not height or self._base is None or self._placed is None:
            return _picture(np.zeros((1, 1, 4), np.uint8), (0, 0, 1, 1))
        camera, size = self._camera, (int(width), int(height))
        shown: Box | None = None
        if x_range is not None and y_range is not None:
            shown = x_range[0], y_range[0], x_range[1], y_range[1]
        if shown is None or camera.size is None:
            camera.size = size
            shown = self._look_at(cast(Box, self.shown.view) or camera.whole(self._placed.bounds))
        elif camera.size != size:
            shown = self._look_at(camera.resized(shown, size, self._placed.bounds))
        self.shown.view = shown
        self.frames += 1
        for layer in self.layers:
            layer.look(shown, size)
        return self._draw(self._base, View(*shown, *size))

    def _draw(self, points: Points, view: View) -> hv.RGB:
        wide = view.grown(MARGIN)
        margin = (wide.width - view.width) // 2, (wide.height - view.height) // 2
        base = self._colouring.draw(points, self._columns[0], wide, margin=margin)
        rgba = base.rgba
        if self._members is not None:
            radius = disc_radius(int(base.counts.sum()), view.width, view.height) + LIFT
            members = self._colouring.draw(self._members, self._columns[1], wide, margin=margin, radius=radius)
            rgba = with_selection(base, members)
        self.overlay.legend = self._colouring.legend(base.counts, self.state.target)
        return _picture(rgba, (wide.x0, wide.y0, wide.x1, wide.y1))

    def _redraw(self) -> None:
        self._refresh.event(frame=self._refresh.frame + 1)

    def _look_at(self, view: Box) -> Box:
        """Move the axes; the picture follows."""
        self._canvas.look_at(view)
        self._range.update(x_range=(view[0], view[2]), y_range=(view[1], view[3]))
        return view

    def fit(self) -> None:
        """Show the whole layout."""
        if self._placed is not None:
            self._look_at(self._camera.whole(self._placed.bounds))
            self._redraw()

    # -- layout and colours --------------------------------------------------------------------------------------------

    def _show_layout(self) -> None:
        name = self.shown.layout
        if not name:
            self._placed = self._base = self._pointer.placed = None
            for layer in self.layers:
                layer.place(None)
            return
        ready = self.store.ready(name)
        if ready is not None and is_warm():
            self._set_layout(ready)
            return
        self.overlay.status = {"title": "Placing the objects", "text": f"{self.store.n:,} objects of {name}"}
        self._work.run("layout", partial(self._place, name), self._set_layout, self._failed)

    def _place(self, name: str) -> Placed:
        warm()
        return self.store.placed(name)

    def _set_layout(self, placed: Placed) -> None:
        moved = self._placed is not None and self._placed.name != placed.name
        self._placed = self._pointer.placed = placed
        self._base = Points(placed.index)
        self._columns[0] = self._colouring.column(self._base)
        self.overlay.status = {}
        for layer in self.layers:
            layer.place(placed)
        if moved or (self._camera.size is not None and self.shown.view is None):
            self._look_at(self._camera.whole(placed.bounds))
        self._show_selection()
        self._mark_all()
        if self._colouring.values is None and self.shown.colour != "density":
            self._recolour()

    def _recolour(self) -> None:
        name, target, dark = self.shown.colour, self.state.target, self.state.dark
        for part in (self._canvas, self._marks):
            self._canvas.change(partial(part.tint, dark=dark))
        if name == "density":
            self._set_colouring(Colouring(None, dark=dark))
        else:
            self._work.run(
                "colour",
                lambda: Colouring(self.store.values(name, target), dark=dark),
                self._set_colouring,
                self._no_colour,
            )

    def _set_colouring(self, colouring: Colouring) -> None:
        self._colouring = self._pointer.colouring = colouring
        self._columns = [p and colouring.column(p) for p in (self._base, self._members)]
        self._mark_all()
        self._redraw()

    def _no_colour(self, error: UserError) -> None:
        self._failed(error)
        self.shown.colour = "density"

    def _failed(self, error: UserError) -> None:
        self.overlay.status = {}
        self.state.notice = ("error", str(error))

    def _new_target(self) -> None:
        self._mark_all()
        if self.shown.colour == "label" or self.shown.colour in RANKED:
            self._recolour()

    def _new_labels(self) -> None:
        self._mark_labels()
        self._hint()
        if self.shown.colour == "label":
            self._recolour()

    def _new_ranking(self) -> None:
        self._hint()
        if self.shown.colour in RANKED:
            self._recolour()

    # -- selection -----------------------------------------------------------------------------------------------------

    def _show_selection(self) -> None:
        rows, how = self.state.selection, self.state.selection_how
        self.overlay.selected = "" if rows is None else f"{len(rows):,} selected"
        if self._placed is None:
            return
        self._members = None if rows is None else Points.of_rows(self._placed.index, rows)
        self._columns[1] = self._members and self._colouring.column(self._members)
        outline = how.get("polygon") if rows is not None and how.get("layout") == self._placed.name else None
        self._marks.outline(outline)
        self._redraw()

    # -- marks ---------------------------------------------------------------------------------------------------------

    def _mark_all(self) -> None:
        self._mark_labels()
        self._hint()
        self._mark_one("cursor")
        self._mark_one("hovered")

    def _mark_labels(self) -> None:
        if self._placed is not None:
            rows = self.store.labelled(self.state.target)[-MARKED:]
            codes = self.store.label_codes(self.state.target)[rows]
            self._marks.labels(self._placed.xy[rows], codes, dark=self.state.dark)

    def _hint(self) -> None:
        if self._placed is not None:
            shown = self.state.tab == "suggestions"
            rows = self.store.suggestions(self.state.target, HINTED) if shown else np.zeros(0, np.int64)
            self._marks.points("hints", self._placed.xy[rows])

    def _mark_one(self, name: str) -> None:
        """Ring the object that the state names 'cursor' or 'hovered'."""
        if self._placed is not None:
            row = getattr(self.state, name)
            self._marks.points(name, self._placed.xy[[row] if row >= 0 else np.zeros(0, np.int64)])


def _picture(rgba: np.ndarray, bounds: tuple[float, float, float, float]) -> hv.RGB:
    return hv.RGB(rgba[::-1], bounds=bounds, vdims=[*hv.RGB.vdims, hv.RGB.alpha_dimension])
