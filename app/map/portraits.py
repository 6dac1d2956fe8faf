"""Thumbnails on the map: the most typical galaxy of every cell of the screen, where the objects are.

Cells are those of the layout's exemplars (`engine.maps.exemplars`) at the level at which they are 60 to 120 pixels wide, so
that a thumbnail stays while one zooms in. Each lies over its object, moved no further than keeps it inside its cell.
They are chosen when the map rests, in the thread; the browser gets the places first, then the pictures it has not yet,
a few at a time and those in the middle first, and moves them by itself while the map is dragged and zoomed.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import panel as pn
import param

from app.background import Background
from app.frames import pack, script, styles
from app.layouts.stored import Placed
from app.map.camera import Box
from app.map.colouring import Colouring
from app.map.layer import Layer
from app.state import Shown, State
from engine.errors import UserError
from engine.maps.drawing.tiles import TileIndex
from engine.maps.exemplars import Exemplars

#: Pixels: the smallest cell of the screen, and the largest side of a thumbnail (that of the stored ones).
CELL, LARGEST = 60, 96
#: Side of a thumbnail, as a share of its cell, and the space it keeps from the cell's edge, pixels.
SHARE, SPACE = 0.9, 1.5
#: Thumbnails on a map, at most: cells are larger on a large screen.
MOST = 240
#: Objects an occupied cell up to which they appear by themselves, and above which they go again.
FEW, TOO_MANY = 10.0, 14.0
#: Seconds that the map has to rest, and the stretch.
REST = 0.06
#: Pictures sent at once; those the browser is trusted to keep.
TOGETHER, KEPT = 48, 800
#: In the order in which the key goes through them.
MODES = ("auto", "on", "off")
WORDS = {"auto": "Thumbnails where there is room", "on": "Thumbnails everywhere", "off": "No thumbnails on the map"}


@dataclass(frozen=True)
class Gathered:
    """The thumbnails of a view.

    Attributes
    ----------
    level : int
        Of their cells.
    lower, side : (2,) float64, float
        Corner of the cells' square, and side of a cell, in the layout's units.
    rows : (n,) int64
        The nearest to the view's middle first.
    xy : (n, 2) float64
        Where the objects are.
    cells : (n, 2) int64
        Column and line of each one's cell.
    """

    level: int
    lower: np.ndarray
    side: float
    rows: np.ndarray
    xy: np.ndarray
    cells: np.ndarray

    def boxes(self, view: Box, size: tuple[int, int]) -> np.ndarray:
        """Where they lie on the screen: left, top and side in pixels from the top left, (n, 3); as `portraits.js` does."""
        x0, y0, x1, y1 = view
        unit = np.array([size[0] / (x1 - x0), -size[1] / (y1 - y0)])
        corner = np.array([x0, y1])
        at = (self.xy - corner) * unit
        low = (self.lower + self.side * self.cells - corner) * unit
        high = low + self.side * unit
        low, high = np.minimum(low, high) + SPACE, np.maximum(low, high) - SPACE
        side = min(SHARE * self.side * unit[0], LARGEST)
        corners = np.clip(at - side / 2, low, np.maximum(high - side, low))
        return np.column_stack([corners, np.full(len(self.rows), side)])

    def at(self, x: float, y: float, view: Box, size: tuple[int, int]) -> int:
        """Place among the rows of the thumbnail over a position, or −1."""
        left, top, side = self.boxes(view, size).T
        column, line = (x - view[0]) / (view[2] - view[0]) * size[0], (view[3] - y) / (view[3] - view[1]) * size[1]
        over = (column >= left) & (column < left + side) & (line >= top) & (line < top + side)
        return int(np.argmax(over)) if over.any() else -1


def gather(found: Exemplars, xy: np.ndarray, view: Box, size: tuple[int, int]) -> Gathered:
    """Choose the objects that stand for a view.

    Parameters
    ----------
    xy : (N, 2) float32
        Positions, by row.
    view : x0, y0, x1, y1
    size : width, height
        Of the window, pixels.
    """
    x0, y0, x1, y1 = view
    cell = max(CELL, math.sqrt(size[0] * size[1] / MOST))
    level = found.level(cell * (x1 - x0) / size[0])
    chosen = found.within(level, x0, y0, x1, y1)
    places = xy[chosen.rows].astype(np.float64)
    away = np.abs((places - [(x0 + x1) / 2, (y0 + y1) / 2]) / [x1 - x0, y1 - y0]).max(axis=1)
    order = np.argsort(away, kind="stable")
    return Gathered(level, found.lower, found.side(level), chosen.rows[order], places[order], chosen.cells[order])


def crowded(index: TileIndex, view: Box, most: float) -> bool:
    """Whether more than `most` objects are in a view; counts no further than it has to."""
    x0, y0, x1, y1 = view
    ranges = index.slices(x0, x1, y0, y1)
    if (ranges[:, 1] - ranges[:, 0]).sum() <= most:
        return False
    count = 0
    for begin, end in ranges:
        x, y = index.x[begin:end], index.y[begin:end]
        count += int(np.count_nonzero((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)))
        if count > most:
            return True
    return False


def _alike(one: Gathered | None, other: Gathered | None) -> bool:
    """Whether two views have the same thumbnails at the same places."""
    if one is None or other is None:
        return one is other
    return one.level == other.level and set(one.rows.tolist()) == set(other.rows.tolist())


class Portraits(Layer):
    """The thumbnails of one map.

    Parameters
    ----------
    state : State
    store : Store
    shown : Shown
        What this map shows; its `portraits` says when thumbnails are there.
    """

    pictures = param.Bytes(b"", doc="Pictures for what is shown; see `app.frames.pack`.")
    marks = param.Dict({}, doc="number of the frame, codes of the labels, members of the selection (null: none is).")
    cursor = param.Integer(-1, doc="Row of the object in focus.")
    hovered = param.Integer(-1, doc="Row of the object under the pointer.")
    words = param.String("", doc="What is being waited for.")

    _esm = script("map/layer.js", "map/portraits.js")
    _stylesheets = [styles("map/layer.css"), styles("map/portraits.css")]  # noqa: RUF012 (Panel's class attribute)

    def __init__(self, state: State, store, shown: Shown, **params):
        super().__init__(self._heard, dark=state.dark, cursor=state.cursor, sizing_mode="stretch_both", **params)
        self.state, self.store, self.shown = state, store, shown
        self.offered = bool(store.survey.bands)
        self._work = Background(pn.state.curdoc)
        self._rest: asyncio.TimerHandle | None = None
        self._placed: Placed | None = None
        self._exemplars: Exemplars | None = None
        self._colouring: Colouring | None = None
        self._looked: tuple[Box, tuple[int, int]] | None = None
        self._gathered: Gathered | None = None
        self._number = self._epoch = self._batch = 0
        self._sent: OrderedDict[int, None] = OrderedDict()
        self._blank: set[int] = set()  # unreadable
        self._watch()

    def _watch(self) -> None:
        watch = self.state.param.watch
        watch(lambda *_: self._mark(), ["labels_version", "target", "selection"])
        watch(lambda *_: self._after_rest(self._restretch), ["stretch"])
        for name in ("cursor", "hovered", "dark"):
            watch(lambda event: self.param.update(**{event.name: event.new}), [name])
        self.shown.param.watch(lambda *_: self._gather_now(), ["portraits"])

    # -- what the map says ---------------------------------------------------------------------------------------------

    def place(self, placed: Placed | None) -> None:
        """Another layout: nothing of the one before may stay."""
        self._placed, self._exemplars = placed, None
        self._work.cancel("gather")
        self._show(None)
        self._after_rest(self._gather_now)  # the view that belongs to it comes first

    def look(self, view: Box, size: tuple[int, int]) -> None:
        """Another view: choose when it rests."""
        if self._looked != (view, size):
            self._looked = view, size
            self._after_rest(self._gather_now)

    def coloured(self, colouring: Colouring) -> None:
        """Edges are in the map's colours, which lie under the thumbnails; labels have their own."""
        name = None if colouring.values is None else colouring.values.name
        self._colouring = None if name in (None, "label") else colouring
        self._mark()

    def at(self, x: float, y: float) -> int:
        """Row of the object whose thumbnail lies over a position, or −1."""
        if self._gathered is None or self._looked is None:
            return -1
        place = self._gathered.at(x, y, *self._looked)
        row = -1 if place < 0 else int(self._gathered.rows[place])
        return -1 if row in self._blank else row

    def close(self) -> None:
        """End what belongs to the session."""
        if self._rest is not None:
            self._rest.cancel()
        self._work.close()

    def _after_rest(self, call: Callable[[], None]) -> None:
        """Call when nothing has been asked for in a while."""
        if self._rest is not None:
            self._rest.cancel()
        if self._work.document is None:
            call()
        else:
            self._rest = asyncio.get_running_loop().call_later(REST, call)

    def turn(self) -> None:
        """On to the next of the ways to show thumbnails, and say which."""
        mode = MODES[(MODES.index(self.shown.portraits) + 1) % len(MODES)]
        self.shown.portraits = mode
        self.state.notice = ("info", WORDS[mode])

    # -- choosing ------------------------------------------------------------------------------------------------------

    def _gather_now(self) -> None:
        placed, looked, mode = self._placed, self._looked, self.shown.portraits
        if placed is None or looked is None or not self.offered or mode == "off":
            self._work.cancel("gather")
            self._show(None)
            return
        if self._exemplars is None:
            self._order(placed)
            return
        found, few = self._exemplars, TOO_MANY if self._gathered is not None else FEW

        def work() -> Gathered | None:
            gathered = gather(found, placed.xy, *looked)
            if mode == "auto" and crowded(placed.index, looked[0], few * len(gathered.rows)):
                return None
            return gathered

        self._work.run("gather", work, self._show, self._failed)

    def _order(self, placed: Placed) -> None:
        """Have the layout's exemplars read, or made."""

        def ready(found: Exemplars) -> None:
            self.words = ""
            if self._placed is placed:
                self._exemplars = found
                self._gather_now()

        if self.shown.portraits == "on":
            self.words = "Finding the most typical galaxies of every place …"
        self._work.run("exemplars", lambda: self.store.exemplars(placed.name), ready, self._failed)

    def _failed(self, error: UserError) -> None:
        self.words = ""
        self._show(None)
        self.state.notice = ("error", str(error))

    # -- what the browser is told --------------------------------------------------------------------------------------

    def _show(self, gathered: Gathered | None) -> None:
        """Tell where thumbnails are now; those that are known appear at once."""
        if _alike(gathered, self._gathered):
            return
        self._gathered = gathered
        self._number += 1
        self._work.cancel("pictures")
        rows = np.zeros(0, np.int64) if gathered is None else gathered.rows
        header: dict[str, Any] = {
            "number": self._number,
            "epoch": self._epoch,
            "rows": rows,
            "drop": self._forget(rows),
        }
        if gathered is not None:
            header |= {
                "ids": self.store.ids(rows),
                "xy": gathered.xy,
                "cells": gathered.cells,
                "lower": gathered.lower,
                "side": gathered.side,
                "largest": LARGEST,
                "share": SHARE,
                "space": SPACE,
                **self._marks(rows),
            }
        self.frame = pack(header)
        self._mark_more(rows)
        self._send_pictures()

    def _marks(self, rows: np.ndarray) -> dict:
        codes = self.store.label_codes(self.state.target)[rows]
        return {"number": self._number, "codes": codes, "selecting": self.state.selection is not None}

    def _mark(self) -> None:
        """Labels, target or selection have changed."""
        if self._gathered is not None:
            rows = self._gathered.rows
            self.marks = {k: v.tolist() if hasattr(v, "tolist") else v for k, v in self._marks(rows).items()}
            self._mark_more(rows)

    def _mark_more(self, rows: np.ndarray) -> None:
        """Tell which are members of the selection, and the map's colour of each.

        In the thread: a selection may be of millions, and a column's scale may have to be found.
        """
        selection, colouring, number = self.state.selection, self._colouring, self._number
        if not len(rows):
            return

        def work() -> dict:
            colours = None if colouring is None else colouring.of(rows)
            return {
                "members": None if selection is None else np.isin(rows, selection, kind="table"),
                "tints": None if colours is None else [f"rgb({r},{g},{b})" for r, g, b in colours.tolist()],
            }

        def done(found: dict) -> None:
            if number == self._number:
                self.send("marked", number=number, **found)

        self._work.run("marks", work, done)

    def _forget(self, rows: np.ndarray) -> list[int]:
        """Rows whose pictures the browser may drop: what was shown longest ago."""
        known = [row for row in rows.tolist() if row in self._sent]
        for row in known:
            self._sent.move_to_end(row)
        excess = len(self._sent) + len(rows) - len(known) - KEPT
        return [self._sent.popitem(last=False)[0] for _ in range(min(excess, len(self._sent) - len(known)))]

    def _send_pictures(self) -> None:
        """Send the next few pictures that the browser lacks."""
        if self._gathered is None:
            return
        rows = [row for row in self._gathered.rows.tolist() if row not in self._sent][:TOGETHER]
        if not rows:
            return
        epoch, stretch = self._epoch, self.state.stretch

        def done(pictures: list[bytes]) -> None:
            self._sent.update(dict.fromkeys(rows))
            self._blank |= {row for row, picture in zip(rows, pictures) if not picture}
            self._batch += 1  # the same pictures once more must be another message
            self.pictures = pack({"batch": self._batch, "epoch": epoch, "rows": rows}, pictures)
            self._send_pictures()

        self._work.run("pictures", lambda: self.store.pictures(rows, stretch), done, self._failed)

    def _restretch(self) -> None:
        """Draw what is shown anew; the old pictures stay until the new ones are there."""
        self._epoch += 1
        self._sent.clear()
        self._blank.clear()
        self._send_pictures()

    def _heard(self, message: dict) -> None:
        """The page lost its pictures (it was drawn anew), or lacks some."""
        if message.get("type") == "again":
            self._sent.clear()
            if self._gathered is not None:
                gathered, self._gathered = self._gathered, None
                self._show(gathered)
