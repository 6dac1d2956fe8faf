"""A second map beside the first: another layout or representation of the same objects, with one selection and one cursor.

It is made when it is first asked for and let go of when it is closed. What it shows (`State.second`) is its own; the
selection, the cursor, the labels and the tool are the session's, so a lasso in one lights up in the other.
"""

from __future__ import annotations

from collections.abc import Callable

import panel as pn
import panel_material_ui as pmui

from app.map.overlay import FIGURES
from app.map.view import MapView
from app.selections.kept import Kept
from app.state import State
from app.store import Store


class Beside:
    """The place of the second map of a session.

    Parameters
    ----------
    state : State
    store : Store
    colours : callable
        ``colours()`` gives what a map can be coloured by: groups of names.
    kept : Kept
        The session's kept selections, shared by its maps.
    """

    def __init__(self, state: State, store: Store, colours: Callable[[], dict[str, list[str]]], kept: Kept):
        self.state, self.store, self._colours, self._kept = state, store, colours, kept
        self.map: MapView | None = None
        self._place = pn.Row(sizing_mode="stretch_both", margin=0, visible=False, styles=_PLACE)
        self._layout = pmui.Select(label="Layout", **_FIELD)
        self._colour = pmui.Select(label="Colour by", searchable=True, **_FIELD)
        self._layout.link(state.second, value="layout", bidirectional=True)
        self._colour.link(state.second, value="colour", bidirectional=True)
        state.param.watch(lambda event: self._turn(), "two")
        self._turn()

    def panel(self) -> pn.viewable.Viewable:
        """Where the second map comes."""
        return self._place

    def close(self) -> None:
        """Let go of the map, if there is one."""
        if self.map is not None:
            self.map.close()
            self.map = None

    def offer(self) -> None:
        """List the layouts and what can be coloured by."""
        if self.map is None:
            return
        second, names = self.state.second, self.store.layouts()
        if second.layout not in names:
            second.layout = another(names, self.state.layout)
        self._layout.param.update(options=names, value=second.layout or None)
        self._colour.param.update(groups=self._colours(), options=[], value=second.colour)

    def _turn(self) -> None:
        if not self.state.two:
            self._place.param.update(visible=False, objects=[])
            self.close()
            return
        names = self.store.layouts()
        if self.state.second.layout not in names:
            self.state.second.layout = another(names, self.state.layout)
        self.map = MapView(self.state, self.store, self.state.second, figure=FIGURES[1], kept=self._kept)
        self.offer()
        choice = pn.Row(self._layout, self._colour, margin=0, css_classes=["beside-choice"], styles=_CORNER)
        whole = pn.Column(
            self.map.panel(), choice, sizing_mode="stretch_both", margin=0, styles={"position": "relative"}
        )
        self._place.param.update(objects=[whole], visible=True)


def another(names: list[str], than: str) -> str:
    """The newest layout but one's own; one's own where there is no other, nothing where there is none."""
    return next((name for name in names if name != than), than if than in names else "")


_PLACE = {"min-width": "0", "border-left": "1px solid var(--line)"}
_FIELD = {"size": "small", "width": 148, "margin": 0, "variant": "outlined"}
_CORNER = {
    "position": "absolute",
    "left": "12px",
    "top": "56px",
    "z-index": "4",
    "gap": "8px",
    "flex-wrap": "wrap",
    "max-width": "calc(100% - 24px)",
    "box-sizing": "border-box",
    "padding": "10px 6px 6px",
    "border-radius": "8px",
    "background": "color-mix(in srgb, var(--panel) 86%, transparent)",
    "border": "1px solid var(--line)",
}
