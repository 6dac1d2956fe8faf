"""What one map draws, taken together at one moment, so that a thread can draw it while the session goes on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.map.camera import Box
from app.map.colouring import Colouring, member_radius, with_selection
from app.map.legend import legend
from app.map.raster import Points, View, disc_radius

#: Margin drawn around the view, as a share of its size, so that a pan does not uncover blank edges.
MARGIN = 0.15


@dataclass(frozen=True)
class Frame:
    """A drawn view.

    Attributes
    ----------
    view : (x0, y0, x1, y1)
        What was asked for.
    size : (width, height)
        Its window, pixels.
    extent : (x0, y0, x1, y1)
        What the picture covers: the view and a margin.
    rgba : (H, W, 4) uint8
        First row lowest y.
    legend : dict
        See `app.map.legend.legend`.
    seen, selected : int
        Objects in view, and members of the selection among them.
    """

    view: Box
    size: tuple[int, int]
    extent: Box
    rgba: np.ndarray
    legend: dict
    seen: int = 0
    selected: int = 0


@dataclass(frozen=True)
class Scene:
    """Points, colours and selection of one map; nothing in it changes.

    Attributes
    ----------
    points, members : Points
        All that is placed, and those that are selected (None: no selection).
    others : {"dimmed", "hidden"}
        How what is not selected is drawn.
    """

    points: Points
    members: Points | None
    colouring: Colouring
    target: str
    others: str = "dimmed"

    def draw(self, view: Box, size: tuple[int, int], ratio: float = 1.0) -> Frame:
        """Draw a view in a window of so many pixels, with `ratio` pixels of the screen along each."""
        inner = View(*view, *(max(1, round(side * ratio)) for side in size))
        wide = inner.grown(MARGIN)
        margin = (wide.width - inner.width) // 2, (wide.height - inner.height) // 2
        base = self.colouring.draw(self.points, wide, margin=margin)
        rgba, seen, selected, members = base.rgba, int(base.counts.sum()), 0, None
        if self.members is not None:
            chosen = int(self.colouring.sums(self.members).within(inner.box).sum())
            radius = member_radius(disc_radius(seen, inner.width, inner.height), chosen, inner.width, inner.height)
            members = self.colouring.draw(self.members, wide, margin=margin, radius=radius)
            rgba = members.rgba if self.others == "hidden" else with_selection(base, members)
            selected = int(members.counts.sum())
        shown = legend(self.colouring, base, members, self.target)
        return Frame(view, size, (wide.x0, wide.y0, wide.x1, wide.y1), rgba, shown, seen, selected)
