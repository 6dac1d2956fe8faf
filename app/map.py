"""The map: a layout drawn by datashader and our own shaders, with selection, marks and hover.

The picture is one `holoviews.RGB` made on the server for the view asked for, a margin on every side included, so that
a pan does not uncover blank edges. Outline, labels, suggestions and the cursor are a few glyphs over it: they change
without a new picture. What floats above (tools, legend, card) is `app.overlay`.
"""

from __future__ import annotations

import weakref
from functools import partial

import holoviews as hv
import numpy as np
import panel as pn
from bokeh.events import DoubleTap, MouseLeave, MouseMove, SelectionGeometry, Tap
from bokeh.models import BoxSelectTool, ColumnDataSource, InlineStyleSheet, LassoSelectTool
from holoviews.streams import PlotSize, RangeXY, Stream

from app.background import Background
from app.codes import LABEL_NAMES
from app.colouring import LIFT, Colouring, is_warm, warm, with_selection
from app.layouts import Placed
from app.overlay import Overlay, pointer_script
from app.ranking import RANKED
from app.raster import Points, View, disc_radius
from app.state import State
from app.store import Store
from app.theme import theme
from engine.errors import UserError
from engine.search import region

#: Margin drawn around the view, as a share of its size.
MARGIN = 0.15
#: Reach of the pointer, pixels.
REACH = 12
#: Free space around the points when the whole layout is shown, as a share of its size.
BORDER = 0.04
#: Labelled objects marked with a glyph each, the newest first; beyond it, colouring by label shows them.
MARKED = 2000
#: Suggestions marked on the map.
HINTED = 20

#: Glyph of each label code: shape as well as colour tells them apart.
MARKS = {1: "circle", 2: "x", 3: "triangle", 4: "square"}

Refresh = Stream.define("Refresh", frame=0)


class MapView:
    """The map of one session."""

    def __init__(self, state: State, store: Store):
        self.state, self.store = state, store
        self.frames = 0
        self.overlay = Overlay(self._heard, sizing_mode="stretch_both")
        self._document = pn.state.curdoc
        self._work = Background(self._document)
        self._figure = None
        self._placed: Placed | None = None
        self._base: Points | None = None
        self._members: Points | None = None
        self._columns: list = [None, None]
        self._colouring = Colouring(None, dark=state.dark)
        self._size: tuple[int, int] | None = None
        self._fitted: tuple[float, ...] = ()  # the view that shows the whole layout, as it was last set
        self._range = RangeXY()
        self._plot_size = PlotSize()
        self._refresh = Refresh()
        self.streams = [self._range, self._plot_size, self._refresh]
        self._sources = {name: ColumnDataSource(data) for name, data in _NO_GLYPHS.items()}
        self._watch()
        self._show_layout()

    def panel(self) -> pn.viewable.Viewable:
        """The map with what floats over it."""
        adopt = weakref.WeakMethod(
            self._adopt
        )  # HoloViews keeps options in a global: a plain hook would keep the session

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
        self._pane = pane
        return pn.Column(
            pane,
            self.overlay,
            sizing_mode="stretch_both",
            margin=0,
            css_classes=["map"],
            styles={"position": "relative", "overflow": "hidden", "background": "var(--ground)"},
        )

    def close(self) -> None:
        """End what belongs to the session."""
        self._work.close()

    def _watch(self) -> None:
        state = self.state
        state.param.watch(lambda event: self._show_layout(), "layout")
        state.param.watch(lambda event: self._recolour(), ["colour", "dark"])
        state.param.watch(lambda event: self._new_target(), "target")
        state.param.watch(lambda event: self._new_labels(), "labels_version")
        state.param.watch(lambda event: self._new_ranking(), "ranking_version")
        state.param.watch(lambda event: self._show_selection(), "selection")
        state.param.watch(lambda event: self._mark_one("cursor", state.cursor), "cursor")
        state.param.watch(lambda event: self._hint(), "tab")
        self.overlay.param.watch(lambda event: self._use_tool(), "tool")

    # -- drawing -------------------------------------------------------------------------------------------------------

    def _render(self, x_range, y_range, width, height, scale=1.0, frame=0) -> hv.RGB:
        if not width or not height or self._base is None:
            return _picture(np.zeros((1, 1, 4), np.uint8), (0, 0, 1, 1))
        before, self._size = self._size, (int(width), int(height))
        if x_range is None or y_range is None or before is None:
            x_range, y_range = self._look_at(self.state.view or self._whole())
        elif before != self._size:
            whole = self._fitted == (x_range[0], y_range[0], x_range[1], y_range[1])
            x_range, y_range = self._look_at(self._whole() if whole else _resized(x_range, y_range, self._size))
        view = View(x_range[0], y_range[0], x_range[1], y_range[1], *self._size)
        self.state.view = (view.x0, view.y0, view.x1, view.y1)
        self.frames += 1
        return self._draw(view)

    def _draw(self, view: View) -> hv.RGB:
        wide = view.grown(MARGIN)
        margin = (wide.width - view.width) // 2, (wide.height - view.height) // 2
        base = self._colouring.draw(self._base, self._columns[0], wide, margin=margin)
        rgba = base.rgba
        if self._members is not None:
            radius = disc_radius(int(base.counts.sum()), view.width, view.height) + LIFT
            members = self._colouring.draw(self._members, self._columns[1], wide, margin=margin, radius=radius)
            rgba = with_selection(base, members)
        self.overlay.legend = self._colouring.legend(base.counts, self.state.target)
        return _picture(rgba, (wide.x0, wide.y0, wide.x1, wide.y1))

    def _redraw(self) -> None:
        self._refresh.event(frame=self._refresh.frame + 1)

    # -- the view ------------------------------------------------------------------------------------------------------

    def _whole(self) -> tuple[float, float, float, float]:
        """The whole layout, with equal units along both axes."""
        x0, y0, x1, y1 = self._placed.bounds
        width, height = self._size or (800, 600)
        unit = max((x1 - x0) / width, (y1 - y0) / height) * (1 + 2 * BORDER) or 1 / width
        cx, cy, dx, dy = (x0 + x1) / 2, (y0 + y1) / 2, unit * width / 2, unit * height / 2
        self._fitted = cx - dx, cy - dy, cx + dx, cy + dy
        return self._fitted

    def _look_at(self, view: tuple[float, float, float, float]) -> tuple[tuple, tuple]:
        """Move the axes; the picture follows."""
        ranges = (view[0], view[2]), (view[1], view[3])
        figure = self._figure
        if figure is not None:
            self._change(lambda: figure.x_range.update(start=ranges[0][0], end=ranges[0][1]))
            self._change(lambda: figure.y_range.update(start=ranges[1][0], end=ranges[1][1]))
        self._range.update(x_range=ranges[0], y_range=ranges[1])
        return ranges

    def fit(self) -> None:
        """Show the whole layout."""
        if self._placed is not None:
            self._look_at(self._whole())
            self._redraw()

    # -- layout and colours --------------------------------------------------------------------------------------------

    def _show_layout(self) -> None:
        name = self.state.layout
        if not name:
            self._placed = self._base = None
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
        self._placed = placed
        self._base = Points(placed.index)
        self._columns[0] = self._colouring.column(self._base)
        self.overlay.status = {}
        if moved or (self._size is not None and self.state.view is None):
            self._look_at(self._whole())
        self._show_selection()
        self._mark_all()
        if self._colouring.values is None and self.state.colour != "density":
            self._recolour()

    def _recolour(self) -> None:
        name, target, dark = self.state.colour, self.state.target, self.state.dark
        if self._figure is not None:
            self._change(self._tint)
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
        self._colouring = colouring
        self._columns = [p and colouring.column(p) for p in (self._base, self._members)]
        self._mark_all()
        self._redraw()

    def _no_colour(self, error: UserError) -> None:
        self._failed(error)
        self.state.colour = "density"

    def _failed(self, error: UserError) -> None:
        self.overlay.status = {}
        self.state.notice = ("error", str(error))

    def _new_target(self) -> None:
        self._mark_all()
        if self.state.colour == "label" or self.state.colour in RANKED:
            self._recolour()

    def _new_labels(self) -> None:
        self._mark_labels()
        self._hint()
        if self.state.colour == "label":
            self._recolour()

    def _new_ranking(self) -> None:
        self._hint()
        if self.state.colour in RANKED:
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
        x, y = ([], []) if outline is None else ([axis] for axis in np.array(outline, np.float64).T)
        self._glyph("outline", xs=x, ys=y)
        self._redraw()

    def _drawn(self, event: SelectionGeometry) -> None:
        """A lasso or a box has been drawn."""
        if not event.final or self._placed is None:
            return
        shape, index = event.geometry, self._placed.index
        try:
            if shape["type"] == "poly":
                polygon = np.column_stack([shape["x"], shape["y"]]).astype(np.float64)
                rows = region.inside(index, polygon)
            else:
                x0, x1, y0, y1 = (float(shape[k]) for k in ("x0", "x1", "y0", "y1"))
                polygon = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
                rows = region.box(index, x0, x1, y0, y1)
        except UserError as error:
            self._failed(error)
            return
        kind = "polygon" if shape["type"] == "poly" else "box"
        self.state.select(rows, kind=kind, layout=self._placed.name, polygon=polygon.tolist())

    # -- glyphs --------------------------------------------------------------------------------------------------------

    def _mark_all(self) -> None:
        self._mark_labels()
        self._hint()
        self._mark_one("cursor", self.state.cursor)
        self._mark_one("hovered", -1)

    def _at(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions of some objects that have one."""
        xy = self._placed.xy[rows]
        known = np.isfinite(xy).all(axis=1)
        return xy[known].T.astype(np.float64), known

    def _mark_labels(self) -> None:
        if self._placed is None:
            return
        rows = self.store.labelled(self.state.target)[-MARKED:]
        codes = self.store.label_codes(self.state.target)[rows]
        (x, y), known = self._at(rows)
        colours, shown = theme(self.state.dark), codes[known]
        palette = {1: colours.yes, 2: colours.no, 3: colours.unsure, 4: colours.accent}
        self._glyph("labels", x=x, y=y, marker=[MARKS[c] for c in shown], colour=[palette[c] for c in shown])

    def _hint(self) -> None:
        if self._placed is None:
            return
        rows = (
            self.store.suggestions(self.state.target, HINTED)
            if self.state.tab == "suggestions"
            else np.zeros(0, np.int64)
        )
        (x, y), _ = self._at(rows)
        self._glyph("hints", x=x, y=y)

    def _mark_one(self, name: str, row: int) -> None:
        if self._placed is None:
            return
        (x, y), _ = self._at(np.array([row] if row >= 0 else [], np.int64))
        self._glyph(name, x=x, y=y)

    def _glyph(self, name: str, **data) -> None:
        self._change(partial(setattr, self._sources[name], "data", data))

    def _change(self, change) -> None:
        """Change the figure: Bokeh wants the document's lock, which messages of components come without."""
        if self._document is None or self._figure is None:
            change()
        else:
            self._document.add_next_tick_callback(change)

    # -- the figure and the page ---------------------------------------------------------------------------------------

    def _adopt(self, plot, element) -> None:
        """Give a new figure its glyphs, tools and events."""
        figure = plot.state
        if figure is self._figure:
            return
        self._figure = figure
        figure.update(outline_line_color=None)
        figure.stylesheets = [
            InlineStyleSheet(css=".bk-Canvas { --outline-width: 0px; }")
        ]  # dotted while in focus, else
        lasso, box = LassoSelectTool(continuous=False, renderers=[]), BoxSelectTool(continuous=False, renderers=[])
        figure.add_tools(lasso, box)
        self._tools = {"pan": figure.toolbar.active_drag, "lasso": lasso, "box": box}
        self._add_glyphs(figure)
        figure.on_event(SelectionGeometry, self._drawn)
        figure.on_event(Tap, self._tapped)
        figure.on_event(DoubleTap, partial(self._tapped, opens=True))
        for event in (MouseMove, MouseLeave):
            figure.js_on_event(event, pointer_script())
        self._use_tool()

    def _add_glyphs(self, figure) -> None:
        ring = {"fill_alpha": 0.0}
        source = self._sources
        self._glyphs = {
            "outline": figure.patches("xs", "ys", source=source["outline"], line_width=1.5, **ring),
            "hints": figure.scatter(
                "x", "y", source=source["hints"], marker="diamond", size=10, line_width=1.2, **ring
            ),
            "labels": figure.scatter(
                "x", "y", source=source["labels"], marker="marker", size=11, line_width=2, line_color="colour", **ring
            ),
            "hovered": figure.scatter("x", "y", source=source["hovered"], size=14, line_width=1, **ring),
            "cursor": figure.scatter("x", "y", source=source["cursor"], size=20, line_width=2, **ring),
        }
        self._tint()

    def _tint(self) -> None:
        """Colour glyphs and tools for the theme."""
        colours = theme(self.state.dark)
        for name, colour in {
            "outline": colours.accent,
            "hints": colours.accent,
            "hovered": colours.text,
            "cursor": colours.text,
        }.items():
            self._glyphs[name].glyph.line_color = colour
        for name in ("lasso", "box"):
            self._tools[name].overlay.update(
                line_color=colours.accent, line_width=1.5, line_dash="solid", fill_color=colours.accent, fill_alpha=0.08
            )

    def _use_tool(self) -> None:
        if self._figure is not None:
            self._change(partial(setattr, self._figure.toolbar, "active_drag", self._tools[self.overlay.tool]))

    def _nearest(self, x: float, y: float) -> int:
        """Row of the object within reach of the pointer, or -1."""
        if self._placed is None or self._size is None or self.state.view is None:
            return -1
        x0, y0, x1, y1 = self.state.view
        reach = REACH * (x1 - x0) / self._size[0], REACH * (y1 - y0) / self._size[1]
        row = self._placed.index.nearest(x, y, *reach)
        return -1 if row is None else row

    def _tapped(self, event, opens: bool = False) -> None:
        row = self._nearest(event.x, event.y)
        if row >= 0:
            self.state.param.update(cursor=row, inspecting=opens or self.state.inspecting)

    def _heard(self, message: dict) -> None:
        """A message of the overlay."""
        kind = message.get("type")
        if kind == "hover":
            self._hover(self._nearest(float(message["x"]), float(message["y"])))
        elif kind == "leave":
            self._hover(-1)
        elif kind == "ready":
            shown = {name: getattr(self.overlay, name) for name in ("legend", "status", "selected")}
            self.overlay._send_msg(shown)
        elif kind == "fit":
            self.fit()
        elif kind == "clear" or (kind == "escape" and not self.state.inspecting):
            self.state.param.update(selection=None, selection_how={})
        elif kind == "action":
            self.state.param.trigger("layout_wanted")

    def _hover(self, row: int) -> None:
        if row == self.state.hovered:
            return
        self.state.hovered = row
        self._mark_one("hovered", row)
        if row < 0:
            self.overlay.card = {}
            return
        codes = self.store.label_codes(self.state.target)
        card = {
            "row": row,
            "id": self.store.ids([row])[0],
            "value": self._colouring.words(row),
            "label": LABEL_NAMES[codes[row]] if codes[row] else "",
        }
        self.overlay.param.update(picture=self.store.thumbnails([row])[0], card=card)


_NO_GLYPHS = {
    "outline": {"xs": [], "ys": []},
    "hints": {"x": [], "y": []},
    "hovered": {"x": [], "y": []},
    "cursor": {"x": [], "y": []},
    "labels": {"x": [], "y": [], "marker": [], "colour": []},
}


def _picture(rgba: np.ndarray, bounds: tuple[float, float, float, float]) -> hv.RGB:
    return hv.RGB(rgba[::-1], bounds=bounds, vdims=[*hv.RGB.vdims, hv.RGB.alpha_dimension])


def _resized(x_range, y_range, now: tuple[int, int]) -> tuple[float, float, float, float]:
    """A view after its window changed: the same middle, units still equal, and nothing that was seen is lost."""
    unit = max((x_range[1] - x_range[0]) / now[0], (y_range[1] - y_range[0]) / now[1])
    cx, cy, dx, dy = sum(x_range) / 2, sum(y_range) / 2, unit * now[0] / 2, unit * now[1] / 2
    return cx - dx, cy - dy, cx + dx, cy + dy
