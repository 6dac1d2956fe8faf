"""Which layout a session's map shows as layouts are made: the one asked for, as it grows; the first picture where there is none.

A survey with a representation and no layout gets its principal components at once, in the server (a second for 50,000
objects, nothing to compile); everything else is a job.
"""

from __future__ import annotations

from collections.abc import Callable

from app.layouts.growing import makes_layout
from app.layouts.layouting import LayoutDialog
from app.map.view import MapView
from app.state import State
from app.store import Store
from app.wording import in_words


class Following:
    """Follows the layouts of a survey for one session.

    Parameters
    ----------
    state : State
    store : Store
    dialog : LayoutDialog
        Knows whether this session has asked for a layout.
    view : MapView
        The first map.
    offer : callable
        ``offer()`` lists the layouts where one is chosen.
    """

    def __init__(self, state: State, store: Store, dialog: LayoutDialog, view: MapView, offer: Callable[[], None]):
        self._state, self._store, self._dialog, self._view, self._offer = state, store, dialog, view, offer
        self._begin()

    def heard(self, kind: str, detail: str) -> None:
        """React to a change in the store."""
        if kind == "layouts":
            self._made(detail)
        elif kind == "growing":
            self._grown()
        elif kind == "jobs":
            self._ended()
            self._view.footnote.update()
            self._say()

    def _begin(self) -> None:
        if not self._state.layout and not self._store.layouts() and self._store.survey.representations:
            self._store.make_first_layout()
        self._say()

    def _made(self, name: str) -> None:
        """A layout was made: show it to who asked for it, and where there was none."""
        state = self._state
        self._offer()
        if name and (self._dialog.awaits or not state.layout):
            self._dialog.awaits = self._dialog.awaits and makes_layout(self._store.jobs.current)
            again = state.layout == name
            state.param.update(growing=None, layout=name)
            if again:
                state.param.trigger("layout")
            self._offer()
        elif name == state.layout:
            state.param.trigger("layout")  # it was made anew
        self._say()

    def _grown(self) -> None:
        if self._dialog.awaits or not self._state.layout:
            self._state.growing = self._store.growing.now
        self._say()

    def _ended(self) -> None:
        """What was asked for has come to nothing: back to what was there, with the reason."""
        jobs = [job for job in self._store.jobs.all() if makes_layout(job)]
        if not self._dialog.awaits or not jobs or jobs[0].state not in ("failed", "cancelled"):
            return
        self._dialog.awaits = False
        self._state.growing = None
        if jobs[0].state == "failed":
            self._state.notice = ("error", f"The layout was not made: {jobs[0].message}")

    def _say(self) -> None:
        """Say on the map what there is to do when no layout is there."""
        overlay, job = self._view.overlay, self._store.jobs.current
        if self._state.layout or self._state.growing is not None:
            return
        if job is not None:
            overlay.status = {
                "title": f"{job.title} is being made",
                "text": in_words(job) or "starting …",
                "progress": job.fraction or 0.0,
            }
        elif self._store.makes_first_layout:
            overlay.status = {
                "title": "Placing the objects",
                "text": f"A first picture of {self._store.n:,} objects by their principal components",
            }
        else:
            overlay.status = {
                "title": "No layout yet",
                "action": "Make a UMAP",
                "text": "A layout places objects that look alike near each other. It takes seconds for thousands of "
                "objects, minutes for millions, and you can go on meanwhile.",
            }
