"""One outline of the selection under the hand: which one, its handles, and the members that follow as it is dragged.

The selection's origin (`engine.search.origins`) is a tree; one of its outlines is changed and the tree evaluated again.
What the other leaves select is asked once, when editing begins, so that each move costs one look into one outline. If
the tree no longer gives the members that are kept (labels or scores that it asks for have changed), nothing is edited:
an outline must never change members far away from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import panel as pn

from app.background import Background
from app.selections.selecting import Selecting
from app.state import State
from app.store import Store
from engine.errors import UserError
from engine.maps.drawing.tiles import TileIndex
from engine.search import origins
from engine.search.find import Found
from engine.search.handles import handles
from engine.search.members import members

#: Corners that an outline can have in a message of the page.
MOST_CORNERS = 20_000


@dataclass(frozen=True)
class Edited:
    """The outline that is being changed.

    Attributes
    ----------
    shape : Shape
    handles : (h,) int64
        Its corners that can be grasped.
    how : dict
        The origin it belongs to.
    known : dict
        Members of every other leaf, by path.
    number : int
        Rises whenever editing begins: the page then takes the corners from here, else it has them in its hand.
    """

    shape: origins.Shape
    handles: np.ndarray
    how: dict
    known: dict[origins.Path, np.ndarray]
    number: int = 0


class Editing:
    """Changes outlines on one map of a session.

    Parameters
    ----------
    changed : callable
        Called without arguments when what is edited (`edited`) has changed.
    """

    def __init__(self, state: State, store: Store, selecting: Selecting, changed: Callable[[], None]):
        self.state, self.store, self._selecting = state, store, selecting
        self._changed = changed
        self._work = Background(pn.state.curdoc)
        self._own = False
        self._number = 0
        self.edited: Edited | None = None
        self._watcher = state.param.watch(lambda *events: self._selection_changed(), "selection")

    def close(self) -> None:
        """End what belongs to the session, or to a map that is taken away."""
        self.state.param.unwatch(self._watcher)
        self._work.close()

    def begin(self, layout: str, path: origins.Path | None = None) -> None:
        """Edit an outline that was drawn on a layout: the one at a path, else the last one."""
        shapes = origins.shapes(self.state.selection_how, layout) if self.state.selection is not None else []
        found = [s for s in shapes if path is None or s.path == path]
        if not found:
            self.state.notice = ("info", _nothing_to_edit(self.state.selection is None, self.state.selection_how))
            return
        rows, how, shape = self.state.selection, self.state.selection_how, found[-1]
        self._work.run("begin", lambda: self._opened(shape, how, rows), self._show, self._say)

    def end(self) -> None:
        """Leave the outline as it is now."""
        if self.edited is not None:
            self._show(None)

    def move(self, kind: str, ring, *, final: bool, done: Callable[[], None]) -> None:
        """The outline has another form: select what is inside.

        Parameters
        ----------
        kind : 'polygon' or 'box'
        ring : list of [x, y]
            As the page sends it.
        final : bool
            Whether the hand has let go.
        done : callable
            Called when the members are shown: the page may send the next form.
        """
        edited = self.edited
        leaf = {"kind": kind, "polygon": ring}
        if edited is None or origins.outline(leaf) is None or len(ring) > MOST_CORNERS:
            done()
            return
        how = moved(edited, leaf)
        self._own = True

        def shown(good: bool) -> None:
            self._own = not final
            if final and good:
                self._show(replace(edited, shape=_shape(how, edited.shape.path), how=how))
            elif not good:
                self.end()
            done()

        self._selecting.drag(lambda: Found(self._members(how, edited.known), how), final=final, done=shown)

    def _opened(self, shape: origins.Shape, how: dict, rows: np.ndarray) -> Edited:
        leaves = {path: node for path, node in origins.nodes(how) if not node.get("parts") and path != shape.path}
        known = {path: self._members(leaf, {}) for path, leaf in leaves.items()}
        if not np.array_equal(self._members(how, known), rows):
            raise UserError(
                "this selection is no longer what its outlines and queries give: labels, scores or a layout have changed",
                "its members are kept; draw a new outline to change them",
            )
        self._number += 1
        return Edited(shape, handles(shape.polygon), how, known, self._number)

    def _members(self, how: dict, known: dict) -> np.ndarray:
        return members(self.store.survey, how, tiles=self._tiles, known=known)

    def _tiles(self, layout: str) -> TileIndex:
        return self.store.placed(layout).index

    def _show(self, edited: Edited | None) -> None:
        self.edited = edited
        self._own = False
        self._changed()

    def _selection_changed(self) -> None:
        """Another selection than ours is there: edit its outline instead, if it has one here, or stop."""
        if self.edited is None or self._own:
            return
        layout, path = self.edited.shape.layout, self.edited.shape.path
        shapes = [] if self.state.selection is None else origins.shapes(self.state.selection_how, layout)
        if shapes:
            self.begin(layout, path if path in [s.path for s in shapes] else None)
        else:
            self.end()

    def _say(self, error: UserError) -> None:
        self.end()
        self.state.notice = ("error", str(error))


def moved(edited: Edited, leaf: dict) -> dict:
    """The origin with the edited outline in another form; what contains it is no longer what was kept under a name."""
    how, path = edited.how, edited.shape.path
    how = origins.put(how, path, {"layout": edited.shape.layout, **leaf})
    for length in range(len(path)):
        node = {name: part for name, part in origins.at(how, path[:length]).items() if name != "name"}
        how = origins.put(how, path[:length], node)
    return how


def _shape(how: dict, path: origins.Path) -> origins.Shape:
    return next(s for s in origins.shapes(how) if s.path == path)


def _nothing_to_edit(empty: bool, how: dict) -> str:
    if empty:
        return "There is no outline to change: draw a lasso (L) or a box (B) first."
    drawn = origins.layouts(how)
    if drawn:
        return f"The outline was drawn on {', '.join(drawn)}: show that layout to change it."
    return f"‘{origins.words(how)}’ has no outline: add one with a lasso (L) or a box (B)."
