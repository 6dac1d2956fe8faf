"""Lines of right ascension and declination on a sky layout, with their values at the edge of the view.

The lines are `engine.maps.layouts.sky.graticule`'s, made anew when the map rests; the browser moves them while it does not. They
lie below the points: where both are, the brighter shows (the darker, on a light ground).
"""

from __future__ import annotations

from dataclasses import asdict

from app.frames import pack, script, styles
from app.layouts.stored import Placed
from app.map.camera import Box
from app.map.layer import Layer
from app.state import State
from app.store import Store
from engine.errors import UserError
from engine.maps.layout import read_meta
from engine.maps.layouts.sky import Sky, graticule

#: Pixels between two lines, about.
APART = 140


class GraticuleLayer(Layer):
    """The lines of one map; nothing on a layout that is no sky."""

    _esm = script("map/layer.js", "map/graticule.js")
    _stylesheets = [styles("map/layer.css"), styles("map/graticule.css")]  # noqa: RUF012 (Panel's class attribute)

    def __init__(self, state: State, store: Store, **params):
        self._store = store
        self._sky: Sky | None = None
        super().__init__(None, dark=state.dark, **params)
        state.param.watch(lambda event: self.param.update(dark=event.new), ["dark"])

    def place(self, placed: Placed | None) -> None:
        """See whether the layout is a sky."""
        meta = read_meta(self._store.survey, placed.name) if placed is not None else {}
        self._sky = _sky_of(meta)
        if self._sky is None and self.frame:
            self.frame = b""

    def look(self, view: Box, size: tuple[int, int]) -> None:
        """Make the lines for a view, and as much again on every side for what a pan uncovers."""
        if self._sky is None:
            return
        found = graticule(self._sky, view, lines=max(3, size[0] // APART), margin=0.5)
        self.frame = pack({"lines": found.lines, "labels": [asdict(label) for label in found.labels]})


def _sky_of(meta: dict) -> Sky | None:
    if meta.get("method") != "sky":
        return None
    try:
        ra, dec = meta["centre"]
        return Sky(str(meta["projection"]), float(ra), float(dec))
    except (KeyError, TypeError, ValueError, UserError):
        return None
