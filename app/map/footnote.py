"""What one has to know of the layout on a map: that it still grows, that it was fitted on a sample, that a better one is due.

One line at the foot of the map, with what can be done about it.
"""

from __future__ import annotations

import param

from app.frames import script, styles
from app.layouts.growing import makes_layout
from app.layouts.stored import Placed
from app.map.layer import Layer
from app.map.overlay import FIGURES
from app.state import Shown, State
from app.store import Store
from app.wording import duration
from engine.errors import UserError
from engine.maps.layout import read_meta
from engine.maps.layouts.estimates import estimate_survey


class Footnote(Layer):
    """The line of one map."""

    said = param.Dict(
        {}, doc="words, fraction (0-1 or null), act ('cancel', 'make' or ''), action (its words); empty: none."
    )

    _esm = script("map/footnote.js")
    _stylesheets = [styles("map/layer.css"), styles("map/footnote.css")]  # noqa: RUF012 (Panel's class attribute)

    def __init__(self, state: State, store: Store, shown: Shown, **params):
        self._state, self._store, self._shown = state, store, shown
        self._meta: dict = {}
        super().__init__(self._heard, **params)

    def place(self, placed: Placed | None) -> None:
        """A finished layout is shown: see how it was made."""
        self._meta = read_meta(self._store.survey, placed.name) if placed is not None else {}
        self.update()

    def update(self) -> None:
        """Say what there is to say now."""
        said = self._growing() or self._made() or {}
        if said != self.said:
            self.said = said

    def _growing(self) -> dict | None:
        grown, job = self._shown.growing, self._store.jobs.current
        if grown is None or job is None or job.number != grown.job:
            return None
        if job.state == "cancelled":
            return {"words": "Cancelled", "fraction": None, "act": "", "action": ""}
        if grown.total and job.stage == grown.words:
            words, fraction = f"{grown.words}, epoch {job.done} of {job.total} · preview", job.fraction
        else:
            step = f" {100 * job.fraction:.0f} %" if job.fraction is not None else ""
            words, fraction = f"{grown.words} · preview, next: {job.stage or 'starting'}{step}", job.fraction
        if job.left is not None and job.left >= 1:
            words += f" · {duration(job.left)} left"
        return {"words": words, "fraction": fraction, "act": "cancel", "action": "Cancel"}

    def _made(self) -> dict | None:
        fitted, placed = self._meta.get("fitted"), self._meta.get("placed", 0)
        if fitted:
            words = f"Placed from a sample of {fitted:,} of {placed:,} objects"
            return {"words": words, "fraction": None, "act": "", "action": ""}
        if self.figure == FIGURES[0] and self._meta.get("method") == "pca" and self._only_pca():
            return {"words": "PCA, a first picture", "fraction": None, "act": "make", "action": self._offer()}
        return None

    def _only_pca(self) -> bool:
        """Whether nothing better is there or being made."""
        if makes_layout(self._store.jobs.current):
            return False
        methods = (read_meta(self._store.survey, name).get("method") for name in self._store.layouts())
        return not any(method in ("umap", "densmap", "tsne") for method in methods)

    def _offer(self) -> str:
        try:
            takes = estimate_survey(self._store.survey, "umap", representation=self._store.representation).seconds
        except UserError:
            return "Make a UMAP"
        return f"Make a UMAP · about {duration(max(takes, 1))}"

    def _heard(self, message: dict) -> None:
        if message.get("type") == "cancel" and self._shown.growing is not None:
            self._store.jobs.cancel(self._shown.growing.job)
        elif message.get("type") == "make":
            self._state.param.trigger("layout_wanted")
