"""The page on surveys: open one, or make one of pixels that lie in a folder: look, choose, run.

The browser asks; what is found comes back as messages. Looking is the command's dry run (`app.surveys.preview`), making is the
commands themselves (`app.surveys.making`): the page shows what a person could type.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

import panel as pn
import panel_material_ui as pmui
import param
from panel.util import edit_readonly
from panel_material_ui.template.base import Meta
from param.parameterized import discard_events

from app.background import Background
from app.frames import Component, script, styles
from app.surveys.making import Making, make, makings
from app.surveys.places import Places
from app.surveys.preview import Preview
from app.theme import page_style, palette
from app.wording import in_words
from engine.data.references import kind_of
from engine.encoders import ENCODERS
from engine.errors import UserError
from engine.survey import Survey, check_name

#: Rejected files and notes sent to the page; the survey's report has them all.
SHOWN = 40
#: Fields of the form that are options of the command, as they are.
OPTIONS = {
    "catalogue": "--catalogue",
    "id_column": "--id-column",
    "dataset": "--dataset",
    "join": "--join",
    "radius": "--radius",
    "size": "--size",
    "fit": "--fit",
    "side": "--side",
}

Fields = Mapping[str, object]


class OpeningPage(Component):
    """The page's part in the browser."""

    _esm = script("surveys/opening_folder.js", "surveys/opening_found.js", "surveys/opening.js")
    _stylesheets = [styles("surveys/opening.css")]  # noqa: RUF012 (Panel's class attribute)
    start = param.String("", doc="The source to look at first.")


class OpeningView:
    """The page of one session.

    Parameters
    ----------
    places : Places
        What may be opened.
    start : path, optional
        A source to look at at once.
    """

    def __init__(self, places: Places, start: Path | None = None):
        self.places = places
        self._work = Background(pn.state.curdoc)
        self._look = Preview(
            lambda report: self._work.post(lambda: self._say("looking", **report)),
            lambda found: self._work.post(lambda: self._found(found)),
        )
        self._asked: dict = {}
        dark = pn.state.session_args.get("theme", [b"dark"])[0] != b"light"
        self.view = OpeningPage(
            self._receive, dark=dark, start=places.name(start) if start else "", sizing_mode="stretch_both", margin=0
        )
        self.page = self._page()
        if self._work.document is not None:
            pn.state.on_session_destroyed(self.close)

    def _page(self) -> pmui.Page:
        title = pn.pane.HTML("<b>Skysieve</b>", margin=(0, 8), align="center", styles={"font-size": "15px"})
        page = pmui.Page(
            header=[title],
            main=[self.view],
            dark_theme=self.view.dark,
            theme_config=palette(),
            sx=page_style(),
            busy_indicator=None,
            meta=Meta(title="Surveys · Skysieve"),
        )
        page.link(self.view, dark_theme="dark")
        with edit_readonly(page):  # a parameter of the session's in place of a global of Panel's
            page.busy = self.view.param.loading
        return page

    def close(self, *_context) -> None:
        """Stop looking; what is being made goes on."""
        self._look.stop()
        self._work.close()
        with discard_events(self.page):
            self.page.param.update(main=[], header=[])

    # -- what the browser asks for -------------------------------------------------------------------------------------

    def _receive(self, message: dict) -> None:
        handlers: dict[str, Callable[[dict], None]] = {
            "opened": lambda message: self._opened(),
            "list": lambda message: self._list(str(message.get("path", ""))),
            "look": lambda message: self._begin(message.get("fields") or {}),
            "stop": lambda message: self._stop(),
            "make": lambda message: self._make(message.get("fields") or {}),
            "watch": lambda message: self._watch(),
            "cancel": lambda message: self._cancel(str(message.get("path"))),
        }
        handler = handlers.get(str(message.get("type")))
        if handler is None:
            return
        try:
            handler(message)
        except UserError as error:
            self._complain(error)

    def _say(self, kind: str, **message) -> None:
        self.view.send(kind, **message)

    def _complain(self, error: UserError) -> None:
        self._say("problem", text=error.problem, remedy=error.remedy)

    def _opened(self) -> None:
        self._say("encoders", names=list(ENCODERS))
        self._list("")
        self._watch()
        self._work.run("surveys", self._surveys, lambda found: self._say("surveys", surveys=found), self._complain)

    def _surveys(self) -> list[dict]:
        found = []
        for path in self.places.surveys():
            try:
                survey = Survey.open(path)
                facts = {"name": survey.name, "objects": len(survey), "bands": " ".join(survey.bands)}
            except UserError as error:
                facts = {"name": path.name, "problem": error.problem}
            found.append({**facts, "path": self.places.name(path), "address": address(self.places, path)})
        return found

    def _list(self, text: str) -> None:
        folder = self.places.resolve(text)
        if not folder.is_dir() or kind_of(folder.name) is not None:  # a store is a folder, but one thing
            folder = folder.parent
        entries, more = self.places.entries(folder)
        above = folder.parent if folder not in self.places.roots else None
        self._say(
            "listed",
            path=str(folder),
            name=self.places.name(folder) if folder != self.places.roots[0] else "",
            above="" if above is None else str(above),
            roots=[str(root) for root in self.places.roots],
            entries=[vars(entry) for entry in entries],
            more=more,
        )

    # -- looking -------------------------------------------------------------------------------------------------------

    def _begin(self, fields: Fields) -> None:
        self._asked = dict(fields)
        self._look.start(ingest_arguments(self.places, fields, must_be_new=False))

    def _stop(self) -> None:
        self._look.stop()

    def _found(self, found: dict) -> None:
        if "problem" in found:
            self._say("looked", problem=found["problem"])
            return
        rejected = found["rejected"]
        self._say("looked", report={**found, "rejected": rejected[:SHOWN], "rejected_count": len(rejected)})

    # -- making --------------------------------------------------------------------------------------------------------

    def _make(self, fields: Fields) -> None:
        arguments = ingest_arguments(self.places, fields)
        path = Path(arguments[2])
        steps = [("Reading the source", arguments)]
        encoder = str(fields.get("encoder") or "")
        if encoder:
            steps.append((f"Embedding with {encoder}", ("embed", str(path), "--encoder", encoder)))
            if fields.get("layout"):
                steps.append(("Placing on a map", ("layout", str(path), "--method", "umap")))
        make(path, steps)
        self._watch()

    def _watch(self) -> None:
        self._say("makings", makings=[told(self.places, making) for making in makings()])

    def _cancel(self, path: str) -> None:
        for making in makings():
            if str(making.path) == path:
                making.cancel()
        self._watch()


def told(places: Places, making: Making) -> dict:
    """What the page is told of a survey that is being made."""
    steps = []
    for (title, arguments), job in zip(making.steps, making.all()):
        steps.append(
            {
                "title": title,
                "command": shlex.join(["python", "-m", "engine", *arguments]),
                "state": "waiting" if job is None else job.state,
                "fraction": None if job is None else job.fraction,
                "words": "" if job is None else in_words(job),
                "message": "" if job is None else job.message,
                "seconds": 0 if job is None else job.seconds,
            }
        )
    ready = (making.path / "survey.toml").is_file()
    return {
        "path": str(making.path),
        "name": making.path.name.removesuffix(".survey"),
        "state": making.state,
        "steps": steps,
        "address": address(places, making.path) if ready else "",
    }


def address(places: Places, path: Path) -> str:
    """Where a survey opens, relative to this page."""
    return f"?survey={quote(places.name(path))}"


def ingest_arguments(places: Places, fields: Fields, *, must_be_new: bool = True) -> tuple[str, ...]:
    """The command of the form, its paths checked.

    Raises
    ------
    UserError
        If a path leads outside the places, the name cannot be one, or a number is none.
    """
    source = places.resolve(_text(fields, "source"))
    name = check_name(_text(fields, "name") or source.name.split(".")[0] or "new")
    into = places.resolve(_text(fields, "folder"))
    if not into.is_dir():
        raise UserError(f"there is no folder {into}", "choose one that exists for the new survey")
    path = into / f"{name.removesuffix('.survey')}.survey"
    if must_be_new and path.exists():
        raise UserError(f"{path} already exists", "give the survey another name")
    options: list[str] = []
    for field, option in OPTIONS.items():
        value = _text(fields, field)
        if not value:
            continue
        if field in ("radius", "size", "side"):
            value = _number(value, field)
        options += [option, str(places.resolve(value)) if field == "catalogue" else value]
    bands = _text(fields, "bands").replace(",", " ").split()
    if bands:
        options += ["--bands", *bands]
    return ("ingest", str(source), str(path), *options)


def _text(fields: Fields, name: str) -> str:
    return str(fields.get(name) or "").strip()


def _number(text: str, name: str) -> str:
    try:
        good = math.isfinite(float(text)) and float(text) > 0
    except ValueError:
        good = False
    if not good:
        raise UserError(f"{text!r} is no {name}", "give a number above zero")
    return text
