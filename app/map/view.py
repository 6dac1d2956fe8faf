"""The map: a layout drawn on the server, with selection, marks and hover.

The figure is a `holoviews.RGB`; each frame is drawn on the server for the view that `app.map.viewfinder` asks for
(`app.map.scene`) and takes the place of its pixels, without HoloViews' own update, which took longer than the drawing. What
is drawn over it is `app.map.marks`, what floats above (tools, legend, card) `app.map.overlay`, what the pointer does
`app.map.pointer`.
"""

from __future__ import annotations

import weakref
from functools import partial
from typing import cast

import holoviews as hv
import numpy as np
import panel as pn
from bokeh.events import DoubleTap, MouseLeave, MouseMove, SelectionGeometry, Tap
from param.parameterized import Watcher

from app.background import Background
from app.clusters.clustering import turn_names
from app.clusters.names import Names
from app.hunt.ranking import RANKED
from app.layouts.stored import Placed
from app.map.camera import Box, Camera
from app.map.canvas import Canvas
from app.map.colouring import Colouring, is_warm, warm
from app.map.footnote import Footnote
from app.map.graticule import GraticuleLayer
from app.map.layer import Layer
from app.map.marks import HINTED, MARKED, Marks
from app.map.overlay import FIGURES, Overlay, pointer_script
from app.map.pointer import Pointer
from app.map.portraits import Portraits
from app.map.raster import Points
from app.map.scene import Frame, Scene
from app.map.viewfinder import Viewfinder
from app.selections.kept import Kept
from app.selections.outlines import Outlines
from app.selections.selecting import Selecting
from app.selections.selection_bar import SelectionBar
from app.state import Shown, State
from app.store import Store
from engine.errors import UserError


class MapView:
    """A map of one session: follows the state, and draws.

    Parameters
    ----------
    state : State
    store : Store
    shown : Shown, optional
        What this map shows; the state itself, which is the first map's, if not given.
    figure : str
        Name of its figure, one of `app.map.overlay.FIGURES`.
    kept : Kept, optional
        The session's kept selections, and how its selection changes; its own if not given.
    """

    def __init__(
        self,
        state: State,
        store: Store,
        shown: Shown | None = None,
        *,
        figure: str = FIGURES[0],
        kept: Kept | None = None,
    ):
        self.state, self.store = state, store
        kept = kept or Kept(state, store, Selecting(state, store))
        self._selecting = kept.selecting
        self.shown = state if shown is None else shown
        self.frames = 0
        self.overlay = Overlay(self._heard, figure=figure, sizing_mode="stretch_both")
        self._portraits = Portraits(state, store, self.shown, figure=figure)
        self._outlines = Outlines(state, store, kept, figure=figure)
        bar = SelectionBar(state, store, self.shown, kept, self._outlines, figure=figure)
        self.layers: list[Layer] = [self._portraits, self._outlines, bar]
        self.layers.append(Names(state, store, self.shown, self._selecting, figure=figure))
        self.footnote = Footnote(state, store, self.shown, figure=figure)
        self.layers += [GraticuleLayer(state, store, figure=figure), self.footnote]
        self._work = Background(pn.state.curdoc)
        self._camera = Camera()
        self._canvas = Canvas(pn.state.curdoc, figure)
        self._marks = Marks(self._canvas.change)
        self._pointer = Pointer(state, self.shown, store, self._camera, self.overlay, self._work, self._selecting)
        self._pointer.layers = self.layers
        self._placed: Placed | None = None
        self._base: Points | None = None
        self._members: Points | None = None
        self._colouring = Colouring(None, dark=state.dark, scale=self.shown.scale)
        self._watchers: list[tuple[Shown, Watcher]] = []
        self.frame: Frame | None = None
        self._asked: tuple[Box, tuple[int, int]] | None = None
        self._ratio = 1.0
        self._stale = False
        self._told: tuple[Box, tuple[int, int]] | None = None
        self._drawing = Background(pn.state.curdoc)
        self._viewfinder = Viewfinder(self.look, figure=figure)
        self._watch()
        self._offer_portraits()
        self._offer_names()
        self._show_others()
        self._show_layout()

    def panel(self) -> pn.viewable.Viewable:
        """The map with what floats over it."""
        # HoloViews keeps options in a global: a plain hook would keep the session
        adopt = weakref.WeakMethod(self._adopt)

        def hook(plot, element) -> None:
            if (found := adopt()) is not None:
                found(plot, element)

        nothing = np.zeros((1, 1, 4), np.uint8)
        picture = hv.RGB(nothing, bounds=(0, 0, 1, 1), vdims=[*hv.RGB.vdims, hv.RGB.alpha_dimension]).opts(
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
            )
        )
        pane = pn.pane.HoloViews(picture, sizing_mode="stretch_both", margin=0, linked_axes=False)
        return pn.Column(
            pane,
            self._viewfinder,
            *self.layers,
            self.overlay,
            sizing_mode="stretch_both",
            margin=0,
            css_classes=["map"],
            styles={"position": "relative", "overflow": "hidden", "background": "var(--ground)"},
        )

    def close(self) -> None:
        """End what belongs to the session."""
        for whose, watcher in self._watchers:
            whose.param.unwatch(watcher)
        for layer in self.layers:
            layer.close()
        self._work.close()
        self._drawing.close()

    def _adopt(self, plot, element) -> None:
        """Give a new figure its tools, glyphs and events."""
        figure, pointer = plot.state, self._pointer
        if not self._canvas.adopt(figure, plot.handles["source"], dark=self.state.dark):
            return
        self._marks.add_to(figure, dark=self.state.dark)
        figure.on_event(SelectionGeometry, pointer.drawn)
        figure.on_event(Tap, pointer.tapped)
        figure.on_event(DoubleTap, pointer.tapped_twice)
        for event in (MouseMove, MouseLeave):
            figure.js_on_event(event, pointer_script(self.overlay.figure))

    def _watch(self) -> None:
        shown = (
            (self._show_layout, ["layout", "growing"]),
            (self._recolour, ["colour"]),
            (self._offer_portraits, ["portraits"]),
            (self._offer_names, ["names"]),
            (self._rescale, ["scale", "statistic"]),
        )
        shared = (
            (self._recolour, ["dark"]),
            (self._show_others, ["others"]),
            (self._new_target, ["target"]),
            (self._new_labels, ["labels_version"]),
            (self._new_ranking, ["ranking_version"]),
            (self._show_selection, ["selection"]),
            (partial(self._mark_one, "cursor"), ["cursor"]),
            (partial(self._mark_one, "hovered"), ["hovered"]),
            (self._hint, ["tab"]),
        )
        for whose, wanted in ((self.shown, shown), (self.state, shared)):
            for call, names in wanted:
                self._watchers.append((whose, whose.param.watch(lambda *events, call=call: call(), names)))

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
        elif kind == "scale" and message.get("scale") in self.shown.param.scale.objects:
            self.shown.scale = message["scale"]
        elif kind == "statistic" and message.get("statistic") in self.shown.param.statistic.objects:
            self.shown.statistic = message["statistic"]
        elif kind == "others":
            self.state.others = "dimmed" if self.state.others == "hidden" else "hidden"
        elif kind == "portraits":
            self._portraits.turn()
        elif kind == "names":
            turn_names(self.state)
        elif kind == "two":
            self.state.two = not self.state.two
        elif kind == "escape" and not self.state.inspecting:
            self._selecting.clear()
        elif kind == "action":
            self.state.param.trigger("layout_wanted")

    # -- drawing -------------------------------------------------------------------------------------------------------

    def look(self, view: Box, size: tuple[int, int], ratio: float = 1.0) -> None:
        """The browser shows a part of the plane in a window of so many pixels, `ratio` of the screen along each: draw it."""
        self._asked, self._ratio = (view, size), ratio
        if self._base is None or self._placed is None or not min(size) > 0:
            self._viewfinder.drawn()
            return
        camera = self._camera
        if camera.size is None:
            camera.size = size
            view = self._look_at(cast(Box, self.shown.view) or camera.whole(self._placed.bounds))
        elif camera.size != size:
            view = self._look_at(camera.resized(view, size, self._placed.bounds))
        elif self.frame is not None and (self.frame.view, self.frame.size) == (view, size) and not self._stale:
            self._viewfinder.drawn()
            if self._told != (view, size):  # the frame was drawn before the browser had asked for it
                self._tell(view, size)
            return
        self.shown.view = view
        self._draw()
        self._tell(view, size)

    def _tell(self, view: Box, size: tuple[int, int]) -> None:
        """Tell the layers what is in view."""
        self._told = view, size
        for layer in self.layers:
            layer.look(view, size)

    def _draw(self) -> None:
        """Draw what is in view, in the thread; the newest wins."""
        view, size = cast(Box | None, self.shown.view), self._camera.size
        if self._base is None or view is None or size is None:
            return
        self._stale = False
        scene = Scene(self._base, self._members, self._colouring, self.state.target, self.state.others)
        self._drawing.run("frame", partial(scene.draw, view, size, self._ratio), self._show, self._failed)

    def _show(self, frame: Frame) -> None:
        self.frame = frame
        self.frames += 1
        self._canvas.show(frame)
        self._viewfinder.drawn()
        self.overlay.legend = frame.legend
        for layer in self.layers:
            layer.counted(frame.seen, frame.selected)

    def _redraw(self) -> None:
        self._stale = True
        self._draw()

    def _look_at(self, view: Box) -> Box:
        """Move the axes; the picture follows."""
        self._canvas.look_at(view)
        self.shown.view = view
        return view

    def fit(self) -> None:
        """Show the whole layout."""
        if self._placed is not None:
            self._look_at(self._camera.whole(self._placed.bounds))
            self._redraw()

    # -- layout and colours --------------------------------------------------------------------------------------------

    def _show_layout(self) -> None:
        name = self.shown.layout
        if self.shown.growing is not None:
            self._grow()
            return
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

    def _grow(self) -> None:
        """Show a layout that is still being made, as it is now; the view stays where a person has put it."""
        grown, view = self.shown.growing, cast(Box | None, self.shown.view)
        self._work.cancel("layout")
        whole = view is None or self._camera.shows_whole(view)
        self._set_layout(grown.placed, finished=False)
        if whole:
            self._look_at(self._camera.whole(grown.placed.bounds))
            self._redraw()

    def _place(self, name: str) -> Placed:
        warm()
        return self.store.placed(name)

    def _set_layout(self, placed: Placed, *, finished: bool = True) -> None:
        moved = self._placed is not None and self._placed.name != placed.name
        self._placed = self._pointer.placed = placed
        self._told = None
        self._base = placed.points
        self.overlay.status = {}
        for layer in self.layers:
            layer.place(placed if finished else None)
        if moved or (self._camera.size is not None and self.shown.view is None):
            self._look_at(self._camera.whole(placed.bounds))
        if self._camera.size is None and self._asked is not None:  # the window was there before the layout
            self.look(*self._asked, self._ratio)
        self._show_selection()
        self._mark_all()
        if self._colouring.values is None and self.shown.colour != "density":
            self._recolour()

    def _recolour(self) -> None:
        name, target = self.shown.colour, self.state.target
        look = {"dark": self.state.dark, "scale": self.shown.scale, "statistic": self.shown.statistic}
        for part in (self._canvas, self._marks):
            self._canvas.change(partial(part.tint, dark=self.state.dark))
        if name == "density":
            self._set_colouring(Colouring(None, **look))
        else:
            self._work.run(
                "colour",
                lambda: Colouring(self.store.values(name, target), **look),
                self._set_colouring,
                self._no_colour,
            )

    def _set_colouring(self, colouring: Colouring) -> None:
        self._colouring = self._pointer.colouring = colouring
        for layer in self.layers:
            layer.coloured(colouring)
        self._mark_all()
        self._redraw()

    def _rescale(self) -> None:
        self._set_colouring(self._colouring.rescaled(self.shown.scale, self.shown.statistic))

    def _show_others(self) -> None:
        self.overlay.others = self.state.others
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

    def _offer_names(self) -> None:
        self.overlay.names = self.shown.names

    def _offer_portraits(self) -> None:
        self.overlay.portraits = self.shown.portraits if self._portraits.offered else ""

    # -- selection -----------------------------------------------------------------------------------------------------

    def _show_selection(self) -> None:
        rows = self.state.selection
        if self._placed is None:
            return
        self._members = None if rows is None else Points.of_rows(self._placed.index, rows)
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
            names = self.store.label_names(self.state.target)
            self._marks.labels(self._placed.xy[rows], codes, names, dark=self.state.dark)

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
