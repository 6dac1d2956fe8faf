"""The rail at the left: what colours the map, a query, kept selections, layouts and jobs, export."""

from __future__ import annotations

from pathlib import Path

import panel as pn
import panel_material_ui as pmui
import param
from panel.custom import JSComponent

from app.background import Background
from app.clusters.clustering import ClusterView
from app.frames import styles
from app.jobs import Job
from app.layouts.layouting import LayoutDialog
from app.selections.chips import Chips
from app.selections.kept import Kept
from app.share.exporting import ExportDialog
from app.share.printing import PictureDialog
from app.state import State
from app.store import Store
from app.wording import in_words
from engine.errors import UserError
from engine.search.find import Found, find

HERE = Path(__file__).parent

#: What a command is called while it runs.
TITLES = {"embed": "Representation", "layout": "Layout"}


class JobList(JSComponent):
    """Jobs with their progress; small: only what runs now."""

    jobs = param.List([], doc="Dicts as `shown` makes them, the newest first.")
    small = param.Boolean(False)

    _esm = HERE / "joblist.js"
    _stylesheets = [styles("joblist.css")]  # noqa: RUF012 (Panel reads a list)

    def __init__(self, store: Store, **params):
        super().__init__(**params)
        self._store = store
        self.update()

    def update(self) -> None:
        """Show the jobs as they are now."""
        jobs = [shown(job) for job in self._store.jobs.all()]
        if self.small:
            jobs = [job for state in ("running", "waiting") for job in jobs if job["state"] == state]
        else:
            jobs = jobs[:6]
        if jobs != self.jobs:
            self.jobs = jobs

    def _handle_msg(self, message: dict) -> None:
        if message.get("type") == "cancel":
            self._store.jobs.cancel(int(message["number"]))


def shown(job: Job) -> dict:
    """A job as the list draws it."""
    return {
        "number": job.number,
        "title": job.title,
        "state": job.state,
        "fraction": job.fraction,
        "words": in_words(job),
        "message": job.message,
        "command": job.command,
    }


class Rail:
    """The rail of one session."""

    def __init__(self, state: State, store: Store, kept: Kept):
        self.state, self.store, self.kept = state, store, kept
        self._work = Background(pn.state.curdoc)
        self.layouts = LayoutDialog(state, store)
        self.jobs = JobList(store, sizing_mode="stretch_width", margin=0)
        self.export = ExportDialog(state, store)
        self.picture = PictureDialog(state, store)
        self.clusters = ClusterView(state, store, kept.selecting)
        self._colour = pmui.Select(
            label="Colour by", size="small", searchable=True, sizing_mode="stretch_width", margin=(4, 0)
        )
        self._query = pmui.TextInput(
            label="Query, id or place",
            placeholder="mag_r < 21 and label_dwarf == 'yes'",
            size="small",
            sizing_mode="stretch_width",
            margin=(10, 0, 4, 0),
        )
        self._representation = pmui.Select(
            label="Representation in use", size="small", sizing_mode="stretch_width", margin=(8, 0, 4, 0)
        )
        self._representation.param.watch(self._use, "value")
        self._chips = Chips(state, kept, self.export.open)
        self.offer()
        self._colour.link(state, value="colour", bidirectional=True)
        self._query.param.watch(self._asked, "enter_pressed")
        state.param.watch(lambda event: self._changed(), "selection")
        self._changed()
        self._show_representations()

    def panel(self) -> pn.viewable.Viewable:
        """The rail."""
        out = pmui.Button(
            label="Export catalogue …", variant="outlined", size="small", sizing_mode="stretch_width", margin=(4, 0)
        )
        out.on_click(lambda event: self.export.open())
        picture = pmui.Button(
            label="Map of galaxies …", variant="outlined", size="small", sizing_mode="stretch_width", margin=(4, 0)
        )
        picture.on_click(lambda event: self.picture.open())
        learn = pmui.Button(
            label="Train, embed, compare …",
            variant="outlined",
            size="small",
            sizing_mode="stretch_width",
            margin=(4, 0),
        )

        def open_page(event) -> None:
            self.state.page = "train"

        learn.on_click(open_page)
        return pn.Column(
            self._colour,
            _head("Select"),
            self._query,
            self._chips,
            self.clusters.panel(),
            _head("Layouts"),
            self.layouts.panel(),
            _head("Representations"),
            self._representation,
            learn,
            self.jobs,
            _head("Export"),
            out,
            self.export.panel(),
            picture,
            self.picture.panel(),
            sizing_mode="stretch_width",
            margin=(16, 16),
            css_classes=["rail"],
        )

    def close(self) -> None:
        """End what belongs to the session."""
        self._work.close()
        self.clusters.close()
        self.layouts.close()

    def offer(self) -> None:
        """List what the map can be coloured by."""
        self._colour.param.update(groups=self.colours(), options=[], value=self.state.colour)

    def colours(self) -> dict[str, list[str]]:
        """What a map can be coloured by, in groups."""
        return {"Map": ["density"], **self.store.value_names()}

    def _show_representations(self) -> None:
        """Offer the representations where there is a choice."""
        names = self.store.survey.representations
        self._representation.param.update(options=names, value=self.store.representation, visible=len(names) > 1)

    def _use(self, event) -> None:
        if event.new and event.new != self.store.representation:
            self.store.use(event.new)

    # -- selections ----------------------------------------------------------------------------------------------------

    def _asked(self, event) -> None:
        """What was typed is found, and joins the selection as the mode has it."""
        query = (self._query.value_input or "").strip()
        if not query:
            return
        self._query.param.update(error_state=False, helper_text="searching …")

        def found(what: Found) -> None:
            self._query.helper_text = f"{len(what.rows):,} of {self.store.n:,} objects"

        self.kept.selecting.choose(lambda: find(self.store.survey, query), done=found, failed=self._refused)

    def _refused(self, error: UserError) -> None:
        self._query.param.update(error_state=True, helper_text=str(error))

    def _changed(self) -> None:
        if self.state.selection_how.get("kind") not in ("query", "ids", "place"):
            self._query.param.update(error_state=False, helper_text="")

    def heard(self, kind: str, detail: str = "") -> None:
        """React to a change in the store."""
        self.clusters.heard(kind, detail)
        if kind == "jobs":
            self.jobs.update()
            self.picture.heard(kind)
        elif kind in ("scores", "clusters"):
            self.offer()
        if kind in ("scores", "representation"):
            self._show_representations()


def _head(text: str) -> pn.pane.HTML:
    return pn.pane.HTML(
        f"<h4>{text}</h4>",
        margin=(12, 0, 0, 0),
        sizing_mode="stretch_width",
        stylesheets=["h4 { margin: 0; font: 600 12px/20px var(--font); color: var(--muted); }"],
    )
