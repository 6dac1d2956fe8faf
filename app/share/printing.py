"""The dialog for pictures of a whole map, at print size: the map of galaxies, made by a command beside the app."""

from __future__ import annotations

import datetime
from html import escape
from pathlib import Path

import panel as pn
import panel_material_ui as pmui

from app.jobs import Job
from app.share.exporting import plain, unused
from app.state import State
from app.store import Store
from app.wording import in_words

#: Widths that are offered, pixels; printed at `DPI`.
SIZES = {
    "Screen · 2,000 pixels": 2000,
    "Page · 3,000 pixels": 3000,
    "Poster · 6,000 pixels": 6000,
    "Wall · 12,000 pixels": 12000,
}
DPI = 300
#: Sides of a galaxy on it, pixels.
CELLS = {"Small · 48 pixels": 48, "Medium · 96 pixels": 96, "Large · 192 pixels": 192}
ARRANGEMENTS = {"Side by side": "grid", "In place": "true"}
GROUNDS = {"Black": "black", "White": "white"}
TITLE = "Map of galaxies"


class PictureDialog:
    """Writes into the survey's ``exports/`` folder, by a job; says where, and offers the file to the browser."""

    def __init__(self, state: State, store: Store):
        self.state, self.store = state, store
        self._job: int | None = None
        self._path: Path | None = None
        wide = {"size": "small", "sizing_mode": "stretch_width"}
        self._layout = pmui.Select(label="Layout", options=[], margin=(8, 0), **wide)
        self._size = pmui.Select(label="Width", options=SIZES, value=6000, margin=(8, 8, 8, 0), **wide)
        self._cell = pmui.Select(label="A galaxy", options=CELLS, value=96, margin=(8, 0), **wide)
        self._arrange = pmui.RadioButtonGroup(options=ARRANGEMENTS, value="grid", size="small", margin=(8, 8, 0, 0))
        self._ground = pmui.RadioButtonGroup(options=GROUNDS, value="black", size="small", margin=(8, 0, 0, 0))
        self._density = pmui.Checkbox(label="Density under the galaxies", value=False, margin=(8, 0, 0, 0))
        self._name = pmui.TextInput(label="File name", margin=(12, 0, 8, 0), **wide)
        self._write = pmui.Button(label="Make it", color="primary", variant="contained", margin=(8, 8, 0, 0))
        self._download = pmui.FileDownload(
            callback=self._file,
            filename="map.png",
            label="Download",
            auto=True,
            variant="outlined",
            margin=(8, 0, 0, 0),
            disabled=True,
        )
        self._said = pn.pane.HTML("", sizing_mode="stretch_width", margin=(12, 0, 0, 0))
        self._write.on_click(lambda event: self._start())
        self._dialog = pmui.Dialog(
            pn.Column(
                self._layout,
                pn.Row(self._size, self._cell, margin=0, sizing_mode="stretch_width"),
                pn.Row(self._arrange, self._ground, margin=0),
                self._density,
                self._name,
                pn.Row(self._write, self._download, margin=0),
                self._said,
                width=420,
                margin=8,
            ),
            title="Map of galaxies",
            show_close_button=True,
            close_on_click=True,
        )

    def panel(self) -> pn.viewable.Viewable:
        """The dialog, closed."""
        return self._dialog

    def open(self) -> None:
        """Show the dialog for the layout on the map."""
        names = self.store.layouts()
        problem = (
            "There is no layout yet: make one first."
            if not names
            else "This survey was made of a table and has no pixels."
            if not self.store.survey.bands
            else ""
        )
        self._write.disabled = bool(problem)
        self._layout.param.update(
            options=names, value=self.state.layout if self.state.layout in names else next(iter(names), None)
        )
        self._name.value = f"{plain(self.store.survey.name)}-galaxies-{datetime.date.today():%Y-%m-%d}"
        if self._job is None:
            self._say(escape(problem))
        self._dialog.open = True

    def _start(self) -> None:
        path = unused(self.store.survey.path / "exports" / f"{plain(self._name.value)}.png")
        options = ["--map", self._layout.value, "--out", str(path), "--dpi", str(DPI)]
        options += ["--width", str(self._size.value), "--cell", str(self._cell.value)]
        options += ["--arrange", self._arrange.value, "--ground", self._ground.value]
        if self._density.value:
            options += ["--background", "density"]
        stretch = self.state.stretch.text(base=self.state.own_stretch)
        if stretch:
            options += [f"--stretch={stretch}"]
        self._path, self._download.disabled = path, True
        self._job = self.store.jobs.start(TITLE, "pictures", *options).number
        self.heard("jobs")

    def heard(self, kind: str) -> None:
        """Say how far the job is, and where its picture lies."""
        if kind != "jobs" or self._job is None:
            return
        job = next((job for job in self.store.jobs.all() if job.number == self._job), None)
        if job is not None:
            self._tell(job)

    def _tell(self, job: Job) -> None:
        if not job.over:
            self._say(escape(in_words(job) or "starting …"))
            return
        self._job = None
        if job.state == "done" and self._path is not None:
            self._say(f"Wrote <b>{escape(str(self._path))}</b>")
            self._download.param.update(filename=self._path.name, disabled=False)
        else:
            self._say(escape(job.message or "Cancelled: nothing was written."), bad=job.state == "failed")

    def _file(self):
        if self._path is None:
            raise FileNotFoundError("no picture has been made")
        return open(self._path, "rb")

    def _say(self, text: str, *, bad: bool = False) -> None:
        colour = "--no" if bad else "--text"
        self._said.object = (
            f"<div style='font: 13px/1.5 var(--font); color: var({colour}); overflow-wrap: anywhere'>{text}</div>"
        )
