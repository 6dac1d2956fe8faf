"""The kept selections in the rail: a field to keep what is selected, and a chip for each, with its colour and count.

A click on a chip recalls it, its dot draws it on the maps, its menu renames, recolours, joins it to what is selected,
replaces it by that, exports and deletes. What is damaged is said on its chip.
"""

from __future__ import annotations

from collections.abc import Callable

from app.frames import Component, pack, script, styles
from app.selections.kept import COLOURS, Kept, current, words
from app.state import State
from engine.search.sets import MODES


class Chips(Component):
    """The chips of a session.

    Parameters
    ----------
    state : State
    kept : Kept
    export : callable
        Opens the export dialog for what is selected.
    """

    _esm = script("selections/chips.js")
    _stylesheets = [styles("selections/chips.css")]  # noqa: RUF012 (Panel's class attribute)

    def __init__(self, state: State, kept: Kept, export: Callable[[], None], **params):
        super().__init__(self._heard, dark=state.dark, sizing_mode="stretch_width", margin=0, **params)
        self.state, self.kept, self._export = state, kept, export
        state.param.watch(lambda event: self.param.update(dark=event.new), "dark")
        for source, names in ((state, ["selection", "selection_how", "outlined"]), (kept, ["items", "undo", "said"])):
            source.param.watch(lambda *events: self._show(), names)
        state.param.watch(lambda *events: kept.param.update(said=("", "")), "selection")
        self._show()

    def _heard(self, message: dict) -> None:
        """A message of the page."""
        kept, kind, name = self.kept, message.get("type"), str(message.get("name", ""))
        text = str(message.get("text", ""))
        if kind == "ready":
            self.param.trigger("frame")
        elif kind == "keep":
            kept.keep(name, overwrite=bool(message.get("overwrite")))
        elif kind == "join" and message.get("mode") in MODES:
            kept.join(name, message["mode"])
        elif kind == "show":
            kept.show(name, bool(message.get("shown")))
        elif kind == "undo":
            kept.bring_back()
        elif kind == "forget":
            kept.param.update(undo=None, said=("", ""))
        elif kind == "export":
            kept.recall(name, then=self._export)
        elif kind in ("recall", "delete"):
            getattr(kept, kind)(name)
        elif kind in ("rename", "recolour"):
            getattr(kept, kind)(name, text)

    def _show(self) -> None:
        frame = pack(self.listed())
        if frame != self.frame:
            self.frame = frame

    def listed(self) -> dict:
        """What the rail shows now."""
        state, kept = self.state, self.kept
        items = [
            {
                "name": item.name,
                "count": item.count,
                "colour": item.colour,
                "problem": item.problem,
                "title": item.problem or words(item),
                "shown": item.name in state.outlined,
            }
            for item in kept.items
        ]
        return {
            "items": items,
            "selected": None if state.selection is None else len(state.selection),
            "current": current(kept.items, state.selection_how) if state.selection is not None else "",
            "colours": COLOURS,
            "said": kept.said,
            "undo": kept.undo.text if kept.undo else "",
        }
