"""What is drawn over the map's picture: labelled objects, suggestions, and the two rings.

A few Bokeh glyphs, each with a source of its own, which change without a new picture. Data may be set before the figure
is there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource

from app.theme import category_colours, theme

#: Labelled objects marked with a glyph each, the newest first; beyond it, colouring by label shows them.
MARKED = 2000
#: Suggestions marked on the map.
HINTED = 20
#: Glyph of each verdict's code: shape as well as colour tells them apart; ratings and classes are squares.
MARKS = {1: "circle", 2: "x", 3: "triangle"}

_NOTHING: dict[str, dict[str, list]] = {
    "hints": {"x": [], "y": []},
    "labels": {"x": [], "y": [], "marker": [], "colour": []},
    "hovered": {"x": [], "y": []},
    "cursor": {"x": [], "y": []},
}


class Marks:
    """Glyphs over one map.

    Parameters
    ----------
    change : callable
        ``change(call)`` runs a call that changes models, when it may.
    """

    def __init__(self, change):
        self._change = change
        self.sources = {name: ColumnDataSource(data) for name, data in _NOTHING.items()}
        self._glyphs: dict[str, Any] = {}

    def add_to(self, figure, *, dark: bool) -> None:
        """Put the glyphs into a figure."""
        source, ring = self.sources, {"fill_alpha": 0.0}
        coloured = {"marker": "marker", "line_color": "colour"}
        self._glyphs = {
            "hints": figure.scatter(
                "x", "y", source=source["hints"], marker="diamond", size=10, line_width=1.2, **ring
            ),
            "labels": figure.scatter("x", "y", source=source["labels"], size=11, line_width=2, **coloured, **ring),
            "hovered": figure.scatter("x", "y", source=source["hovered"], size=14, line_width=1, **ring),
            "cursor": figure.scatter("x", "y", source=source["cursor"], size=20, line_width=2, **ring),
        }
        self.tint(dark=dark)

    def tint(self, *, dark: bool) -> None:
        """Colour the glyphs for the theme."""
        colours = theme(dark)
        shades = {"hints": colours.accent, "hovered": colours.text, "cursor": colours.text}
        for name, glyph in self._glyphs.items():
            if name in shades:
                glyph.glyph.line_color = shades[name]

    def points(self, name: str, xy: np.ndarray) -> None:
        """Show 'hints', the 'hovered' object or the 'cursor' at positions (n, 2); those without one are left out."""
        x, y = xy[np.isfinite(xy).all(axis=1)].T.astype(np.float64)
        self._set(name, x=x, y=y)

    def labels(self, xy: np.ndarray, codes: np.ndarray, names: tuple[str, ...], *, dark: bool) -> None:
        """Show labelled objects at positions (n, 2) by their label codes (n,), and the name of each code."""
        known = np.isfinite(xy).all(axis=1)
        (x, y), shown, colours = xy[known].T.astype(np.float64), codes[known], category_colours(names[1:], dark)
        marker = [MARKS.get(int(c), "square") for c in shown]
        self._set("labels", x=x, y=y, marker=marker, colour=[colours[c - 1] for c in shown])

    def _set(self, name: str, **data) -> None:
        source = self.sources[name]
        self._change(lambda: setattr(source, "data", data))
