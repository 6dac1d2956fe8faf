"""How the hunt goes: a line above the suggestions, and on demand the curves in a drawer over the map.

What is found against labels given, precision and recall on what nobody has labelled, how many are left; each figure is named for
what it is (`engine.learning.curves`). Measured off the event loop when the ranking has changed, the newest request wins: 0.5 s at
1,000,000 objects.
"""

from __future__ import annotations

import panel as pn

from app.background import Background
from app.frames import Component, pack, script, styles
from app.state import State
from engine.errors import UserError
from engine.learning.curves import Curves, curves
from engine.learning.estimates import LEAST_EACH, LEAST_RANDOM


class CurvesLine(Component):
    """The line in the browser."""

    _esm = script("hunt/curves_line.js")
    _stylesheets = [styles("hunt/curves.css")]  # noqa: RUF012 (Panel's class attribute)


class CurvesDrawer(Component):
    """The drawer in the browser."""

    _esm = script("hunt/curves.js")
    _stylesheets = [styles("hunt/curves.css")]  # noqa: RUF012 (Panel's class attribute)


class CurvesView:
    """The curves of a session.

    Parameters
    ----------
    state : State
    store : Store
    """

    def __init__(self, state: State, store):
        self.state, self.store = state, store
        self.background = Background(pn.state.curdoc)
        shared = {"dark": state.dark, "sizing_mode": "stretch_width", "margin": 0}
        self.line = CurvesLine(self._receive, **shared)
        self.drawer = CurvesDrawer(self._receive, visible=False, styles=_PLACE, **shared)
        state.param.watch(lambda *_: self.measure(), ["target", "ranking_version"])
        state.param.watch(lambda event: self.measure() if event.new == "suggestions" else None, ["tab"])
        state.param.watch(self._recolour, ["dark"])
        self.measure()

    def panel(self) -> CurvesLine:
        """What lies above the suggestions."""
        return self.line

    def close(self) -> None:
        """End the session's thread."""
        self.background.close()

    def measure(self) -> None:
        """Measure anew, if anybody sees it."""
        if not self.drawer.visible and self.state.tab not in ("suggestions", "labelled"):
            return
        target = self.state.target

        def work() -> dict:
            survey = self.store.survey
            if not survey.labels.targets().get(target):
                return told(target, None)
            interest = self.store.rankings.interest(target) if survey.representations else None
            return told(target, curves(survey, target, interest=interest))

        def shown(found: dict) -> None:
            if found["target"] == self.state.target:
                self.line.frame = self.drawer.frame = pack({**found, "open": bool(self.drawer.visible)})

        def failed(error: UserError) -> None:
            self.line.frame = self.drawer.frame = pack({"target": target, "state": "error", "words": [str(error)]})

        self.background.run("curves", work, shown, failed)

    def _recolour(self, event) -> None:
        for part in (self.line, self.drawer):
            part.dark = event.new

    def _receive(self, message: dict) -> None:
        if message.get("type") in ("open", "close"):
            self.drawer.visible = message["type"] == "open" and not self.drawer.visible
            self.measure()


def told(target: str, found: Curves | None) -> dict:
    """All that the line and the drawer show."""
    if found is None or not found.labels:
        words = [f"Nothing is labelled for ‘{target}’ yet: the curves begin with the first label."]
        return {"target": target, "state": "empty", "words": words}
    return {
        "target": target,
        "state": "told",
        **{name: value for name, value in found.facts().items() if name not in ("target", "words")},
        "least": {"random": LEAST_RANDOM, "each": LEAST_EACH},
        "words": list(found.words),
        "table": found.table(),
    }


#: Over the map's lower left, as wide as there is room for.
_PLACE = {
    "position": "absolute",
    "left": "12px",
    "bottom": "12px",
    "z-index": "5",
    "max-width": "min(760px, calc(100% - 24px))",
    "max-height": "calc(100% - 24px)",
    "overflow": "auto",
}
