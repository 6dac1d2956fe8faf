"""Names of clusters, written on the map where each is densest.

Python says what each cluster is called, how many are in it and where it belongs on the layout shown; the browser writes
as many as have room, the largest first, anew at every step of a pan or zoom, so that smaller ones appear as one comes
nearer. Where the view lies inside a cluster whose own place is far away, its name is written at the densest place in
view: it always says where one is.
"""

from __future__ import annotations

import asyncio

import numpy as np
import panel as pn

from app.background import Background
from app.clusters.clustering import Acts, items, turn_names
from app.frames import pack, script, styles
from app.hunt.labelling import MOST
from app.layouts.stored import Placed
from app.map.camera import Box
from app.map.layer import Layer
from app.selections.selecting import Selecting
from app.state import Shown, State
from engine.errors import UserError
from engine.maps.clustering.clusters import PREFIX
from engine.maps.clustering.peaks import peaks
from engine.maps.drawing.tiles import TileIndex

#: Names that the browser is given; of more clusters, the largest.
GIVEN = 2000
#: Objects in view that are looked at for the places of names.
LOOKED_AT = 60_000
#: Seconds that the map has to rest before.
REST = 0.12
#: Share of a view's objects above which a cluster is spoken of in it.
PRESENT = 0.02


class Names(Layer):
    """The names over one map.

    Parameters
    ----------
    state : State
    store : Store
    shown : Shown
        What this map shows; its `names` says whether they are written.
    selecting : Selecting, optional
        See `app.clusters.clustering.Acts`.
    """

    _esm = script("map/layer.js", "clusters/clusters.js", "clusters/names.js")
    _stylesheets = [styles("map/layer.css"), styles("clusters/clusters.css"), styles("clusters/names.css")]  # noqa: RUF012 (Panel's class attribute)

    def __init__(self, state: State, store, shown: Shown, selecting: Selecting | None = None, **params):
        super().__init__(self._heard, dark=state.dark, sizing_mode="stretch_both", **params)
        self.state, self.store, self.shown = state, store, shown
        self._work = Background(pn.state.curdoc)
        self._acts = Acts(state, store, self._work, selecting)
        self._placed: Placed | None = None
        self._looked: tuple[Box, tuple[int, int]] | None = None
        self._rest: asyncio.TimerHandle | None = None
        self._number = 0
        self._watched = [
            (state, state.param.watch(lambda *_: self._write(), ["clusters", "clusters_version", "target"])),
            (state, state.param.watch(lambda *_: self._tint(), ["dark"])),
            (shown, shown.param.watch(lambda *_: self._write(), ["names", "colour"])),
        ]

    def place(self, placed: Placed | None) -> None:
        """Another layout: the names belong elsewhere."""
        self._placed = placed
        self._write()

    def look(self, view: Box, size: tuple[int, int]) -> None:
        """Another view: when it rests, find places for clusters whose own place is not in it."""
        if self._looked == (view, size):
            return
        self._looked = view, size
        if self._rest is not None:
            self._rest.cancel()
        if self._work.document is None:
            self._near()
        else:
            self._rest = asyncio.get_running_loop().call_later(REST, self._near)

    def close(self) -> None:
        """End what belongs to the session, or to a map that is taken away."""
        for place, watcher in self._watched:
            place.param.unwatch(watcher)
        if self._rest is not None:
            self._rest.cancel()
        self._work.close()

    def _tint(self) -> None:
        self.dark = self.state.dark
        self._write()

    # -- what is written -----------------------------------------------------------------------------------------------

    def _write(self) -> None:
        """Find what the clusters are called and where they are, and tell the browser."""
        self._number += 1
        placed, name, dark = self._placed, self.state.clusters, self.state.dark
        if placed is None or not name or not self.shown.names:
            self._work.cancel("names")
            self.frame = pack({"number": self._number, "items": [], "places": []})
            return
        header = {
            "number": self._number,
            "target": self.state.target,
            "most": MOST,
            "coloured": self.shown.colour == PREFIX + name,
        }

        def work() -> dict:
            found, places = self.store.clusterings.get(name), self.store.clusterings.peaks(name, placed)
            told = items(found, GIVEN, dark=dark)
            where = np.column_stack([places.xy, places.extent])[: len(told)]
            return header | {"items": told, "places": where}

        def tell(header: dict) -> None:
            self.frame = pack(header)
            self._near()

        self._work.run("names", work, tell, self._failed)

    def _near(self) -> None:
        """Tell where the clusters are densest in this view."""
        placed, name = self._placed, self.state.clusters
        if placed is None or not name or not self.shown.names or self._looked is None:
            return
        number, (view, _) = self._number, self._looked

        def work() -> list[list]:
            found = self.store.clusterings.get(name)
            return places_in(placed, np.asarray(found.codes), min(len(found), GIVEN), view)

        def tell(places: list[list]) -> None:
            if number == self._number:
                self.send("near", number=number, places=places)

        self._work.run("near", work, tell, self._failed)

    def _failed(self, error: UserError) -> None:
        self.state.notice = ("error", str(error))

    def _heard(self, message: dict) -> None:
        if message.get("type") == "names":
            turn_names(self.state)
        else:
            self._acts.heard(message)


def places_in(placed: Placed, codes: np.ndarray, count: int, view: Box) -> list[list]:
    """Where the clusters that make up a view are densest in it: code, x, y of each.

    Parameters
    ----------
    codes : (N,) int
    count : int
        Clusters to speak of.
    view : x0, y0, x1, y1
    """
    rows = rows_in_view(placed.index, view, LOOKED_AT)
    if not len(rows):
        return []
    inside = np.bincount(codes[rows][codes[rows] >= 0], minlength=count)[:count]
    there = np.flatnonzero(inside > PRESENT * len(rows))
    found = peaks(placed.xy, codes, count, rows=rows)
    return [[int(code), *found.xy[code].tolist()] for code in there]


def rows_in_view(index: TileIndex, view: Box, most: int) -> np.ndarray:
    """Rows of the objects in a view, or an even few of them, (n,) int64."""
    x0, y0, x1, y1 = view
    ranges = index.slices(x0, x1, y0, y1)
    before = np.concatenate([[0], np.cumsum(ranges[:, 1] - ranges[:, 0])])
    taken = np.arange(0, before[-1], max(1, int(before[-1]) // most))
    part = np.searchsorted(before, taken, side="right") - 1
    at = ranges[part, 0] + taken - before[part]
    x, y = index.x[at], index.y[at]
    return index.order[at[(x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)]]
