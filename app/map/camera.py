"""Which part of the plane the map shows: units equal along both axes, whatever the shape of the window."""

from __future__ import annotations

#: Free space around the points when the whole layout is shown, as a share of its size.
BORDER = 0.04
#: Pixels of a window that is not known yet.
WINDOW = (800, 600)

#: x0, y0, x1, y1 in the layout's coordinates.
Box = tuple[float, float, float, float]


class Camera:
    """The window of one map, and what fits into it."""

    def __init__(self) -> None:
        self.size: tuple[int, int] | None = None
        self._fitted: Box | None = None  # the view that shows the whole layout, as it was last given

    def whole(self, bounds: Box) -> Box:
        """The view that shows all of `bounds`."""
        x0, y0, x1, y1 = bounds
        width, height = self.size or WINDOW
        unit = max((x1 - x0) / width, (y1 - y0) / height) * (1 + 2 * BORDER) or 1 / width
        self._fitted = _around((x0 + x1) / 2, (y0 + y1) / 2, unit, (width, height))
        return self._fitted

    def shows_whole(self, view: Box) -> bool:
        """Whether a view is the one that was given for the whole layout."""
        return self._fitted == view

    def resized(self, view: Box, size: tuple[int, int], bounds: Box) -> Box:
        """A view after the window has changed: the whole stays whole, else the same middle and nothing seen is lost."""
        whole = self._fitted == view
        self.size = size
        if whole:
            return self.whole(bounds)
        x0, y0, x1, y1 = view
        unit = max((x1 - x0) / size[0], (y1 - y0) / size[1])
        return _around((x0 + x1) / 2, (y0 + y1) / 2, unit, size)

    def reach(self, view: Box, pixels: float) -> tuple[float, float]:
        """A distance in pixels, in the layout's coordinates along x and y."""
        width, height = self.size or WINDOW
        return pixels * (view[2] - view[0]) / width, pixels * (view[3] - view[1]) / height


def _around(x: float, y: float, unit: float, size: tuple[int, int]) -> Box:
    dx, dy = unit * size[0] / 2, unit * size[1] / 2
    return x - dx, y - dy, x + dx, y + dy
