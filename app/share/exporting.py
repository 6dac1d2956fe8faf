"""The export dialog: a selection, the target's ranking or what is labelled, as a catalogue file."""

from __future__ import annotations

import datetime
import io
import re
import tempfile
from pathlib import Path

import numpy as np
import panel as pn
import panel_material_ui as pmui

from app.background import Background
from app.state import State
from app.store import Store
from engine.errors import UserError
from engine.share.tables import export

#: What people call a format, and its suffix.
FORMATS = {"FITS table": ".fits", "VOTable": ".vot", "Parquet": ".parquet", "CSV": ".csv", "ECSV": ".ecsv"}
#: What can be exported.
SELECTION, RANKING, LABELLED, ALL = "selection", "ranking", "labelled", "all"


class ExportDialog:
    """Writes into the survey's ``exports/`` folder, and offers the same to the browser."""

    def __init__(self, state: State, store: Store):
        self.state, self.store = state, store
        self._work = Background(pn.state.curdoc)
        self._what = pmui.RadioBoxGroup(label="What", options=[SELECTION], value=SELECTION, margin=(0, 0, 8, 0))
        self._format = pmui.Select(
            label="Format", options=FORMATS, value=".fits", size="small", margin=(8, 0), sizing_mode="stretch_width"
        )
        self._name = pmui.TextInput(label="File name", size="small", margin=(8, 0), sizing_mode="stretch_width")
        self._write = pmui.Button(label="Write to exports/", color="primary", variant="contained", margin=(8, 8, 0, 0))
        self._download = pmui.FileDownload(
            callback=self._bytes,
            filename="objects.fits",
            label="Download",
            auto=True,
            variant="outlined",
            margin=(8, 0, 0, 0),
        )
        self._said = pn.pane.HTML("", sizing_mode="stretch_width", margin=(12, 0, 0, 0))
        self._dialog = pmui.Dialog(
            pn.Column(
                self._what,
                self._name,
                self._format,
                pn.Row(self._write, self._download, margin=0),
                self._said,
                width=380,
                margin=8,
            ),
            title="Export a catalogue",
            show_close_button=True,
            close_on_click=True,
        )
        self._write.on_click(lambda event: self._start())
        for widget in (self._what, self._name, self._format):
            widget.param.watch(lambda event: self._named(), "value")

    def panel(self) -> pn.viewable.Viewable:
        """The dialog, closed."""
        return self._dialog

    def open(self) -> None:
        """Show the dialog for what there is now."""
        target, counts = self.state.target, self.store.label_counts(self.state.target)
        labelled = sum(counts.values())
        options = {}
        if self.state.selection is not None:
            options[f"The selection ({len(self.state.selection):,} objects)"] = SELECTION
        if labelled:
            options[f"The ranking for ‘{target}’ ({self.store.n:,} objects, best first)"] = RANKING
            options[f"What is labelled for ‘{target}’ ({labelled:,} objects)"] = LABELLED
        options[f"Every object ({self.store.n:,})"] = ALL
        self._what.param.update(options=options, value=next(iter(options.values())))
        self._name.value = f"{plain(self.store.survey.name)}-{plain(target)}-{datetime.date.today():%Y-%m-%d}"
        self._said.object = ""
        self._dialog.open = True

    def _named(self) -> None:
        self._download.filename = f"{plain(self._name.value)}{self._format.value}"

    def _rows(self) -> dict:
        """Arguments of `export` for what is chosen."""
        target = self.state.target
        if self._what.value == SELECTION:
            rows = self.state.selection
            return {"rows": rows if rows is not None else np.zeros(0, np.int64)}
        if self._what.value == LABELLED:
            return {"rows": np.sort(self.store.labelled(target)), "target": target}
        if self._what.value == RANKING:
            return {"target": target, "ranking": True}
        return {}

    def _export(self, path: Path, *, overwrite: bool) -> Path:
        options = self._rows()
        if "target" in options:
            self.store.keep_scores(options["target"])
        return export(self.store.survey, path, overwrite=overwrite, **options)

    def _start(self) -> None:
        path = self.store.survey.path / "exports" / f"{plain(self._name.value)}{self._format.value}"
        self._say("Writing …")
        self._work.run(
            "export",
            lambda: self._export(unused(path), overwrite=False),
            lambda written: self._say(f"Wrote <b>{written}</b>"),
            lambda error: self._say(str(error), bad=True),
        )

    def _bytes(self) -> io.BytesIO:
        with tempfile.TemporaryDirectory() as folder:
            try:
                path = self._export(Path(folder) / str(self._download.filename), overwrite=True)
            except UserError as error:
                self._say(str(error), bad=True)
                raise
            return io.BytesIO(path.read_bytes())

    def _say(self, text: str, *, bad: bool = False) -> None:
        colour = "--no" if bad else "--text"
        self._said.object = (
            f"<div style='font: 13px/1.5 var(--font); color: var({colour}); overflow-wrap: anywhere'>{text}</div>"
        )

    def close(self) -> None:
        """End what belongs to the session."""
        self._work.close()


def plain(text: str) -> str:
    """A name that any file system takes."""
    return re.sub(r"[^\w.+-]+", "-", text).strip("-.") or "objects"


def unused(path: Path) -> Path:
    """The path, or with a number where it is taken: an export never replaces an earlier one."""
    number = 2
    found = path
    while found.exists():
        found = path.with_stem(f"{path.stem}-{number}")
        number += 1
    return found
