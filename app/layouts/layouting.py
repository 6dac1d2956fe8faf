"""Make a layout: the methods, what each would take, its settings, and the command that makes it.

The dialog is drawn by the browser (``layouting.js``); here are what there is to choose from, the estimates
(`engine.maps.layouts.estimates`), what is wrong with a setting, and the job. A layout never takes the place of another by itself:
the name that is offered is free unless the settings are the same.
"""

from __future__ import annotations

from functools import partial

import panel as pn

from app.background import Background
from app.frames import Component, pack, script, styles
from app.jobs import Job
from app.state import State
from app.store import Store
from engine.errors import UserError
from engine.maps.layout import BARE, checked, free_name
from engine.maps.layouts.estimates import Estimate, estimate_survey
from engine.maps.layouts.task import Settings
from engine.survey import check_name

#: Method → what people call it, and a sentence about it.
METHODS = {
    "umap": ("UMAP", "What looks alike lies together; clumps and bridges show. Suits most surveys."),
    "densmap": ("densMAP", "UMAP that keeps dense regions dense and sparse ones wide. Slower to start."),
    "tsne": ("t-SNE", "The finest clumps; distances between them mean little. Slower for large surveys."),
    "pca": ("PCA", "The two directions along which objects differ most. There at once, coarse."),
    "columns": ("Columns", "Two numbers of the catalogue against each other, such as a colour and a magnitude."),
    "sky": ("Sky", "Where the objects are: all of it (Aitoff), or a field on the tangent plane."),
}
#: Method → settings that can be chosen: name in the form → option of the command.
FIELDS = {
    "umap": {"neighbours": int, "min_dist": float, "seed": int, "sample": int},
    "densmap": {"neighbours": int, "min_dist": float, "seed": int, "sample": int},
    "tsne": {"perplexity": float, "seed": int, "sample": int},
    "pca": {},
    "columns": {},
    "sky": {},
}
WORDS = {int: "a whole number", float: "a number"}


class LayoutDialog:
    """The dialog of one session; its button stands in the rail.

    Parameters
    ----------
    state : State
    store : Store
    """

    def __init__(self, state: State, store: Store):
        self.state, self.store = state, store
        self.awaits = False
        self._work = Background(pn.state.curdoc)
        self.view = Layouting(self._receive, dark=state.dark, sizing_mode="stretch_width", margin=(4, 0))
        state.param.watch(lambda event: self.view.param.update(dark=event.new), ["dark"])

    def panel(self) -> pn.viewable.Viewable:
        """The button that opens the dialog."""
        return self.view

    def close(self) -> None:
        """End what belongs to the session."""
        self._work.close()

    def make(self, method: str = "umap") -> None:
        """Start a layout with the usual settings, after the representation's job if there is none yet."""
        if not self.store.survey.representations:
            self.store.jobs.start("Representation", "embed")
        options = ["--method", method]
        if self.store.representation not in (None, *self.store.survey.representations[:1]):
            options += ["--representation", str(self.store.representation)]
        self._start(method, options, self.store.representation)

    def _start(self, method: str, options: list[str], representation: str | None) -> Job:
        self.awaits = True
        job = self.store.jobs.start(f"{METHODS[method][0]} layout", "layout", *options, "--preview")
        if method not in (*BARE, "pca"):
            self.store.show_beginning(job, representation)
        return job

    # -- what the browser asks for -------------------------------------------------------------------------------------

    def _receive(self, message: dict) -> None:
        kind = message.get("type")
        if kind == "opened":
            self._work.run("choices", self._choices, lambda frame: setattr(self.view, "frame", frame), self._refused)
        elif kind == "draft":
            self._work.run("draft", partial(self._draft, message), self._drafted, self._wrong)
        elif kind == "start":
            self._work.run("start", partial(self._draft, message), self._begin, self._wrong)

    def _refused(self, error: UserError) -> None:
        self.state.notice = ("error", str(error))

    def _wrong(self, error: UserError) -> None:
        self.view.send("drafted", problem=error.problem, remedy=error.remedy)

    def _choices(self) -> bytes:
        """What there is to choose from, with an estimate a method."""
        self._opened = getattr(self, "_opened", 0) + 1
        names = self.store.survey.representations
        estimates = {}
        for method in METHODS:
            if method in BARE or names:
                found = estimate_survey(self.store.survey, method, representation=self.store.representation)
                estimates[method] = _told(found)
        header = {
            "opened": self._opened,  # the frame differs each time, or the browser would not hear of it
            "methods": {key: {"title": title, "words": words} for key, (title, words) in METHODS.items()},
            "estimates": estimates,
            "representations": names,
            "representation": self.store.representation,
            "columns": self.store.number_columns(),
            "objects": self.store.n,
        }
        return pack(header)

    def _draft(self, message: dict) -> dict:
        """A form as a command, with its estimate; `UserError` says what is wrong with it."""
        method, fields = str(message.get("method")), dict(message.get("fields") or {})
        if method not in METHODS:
            raise UserError(f"there is no layout method {method!r}", f"choose one of: {', '.join(METHODS)}")
        representation = None if method in BARE else fields.get("representation") or self.store.representation
        given = read_fields(method, fields)
        settings = checked(method, given)
        found = estimate_survey(self.store.survey, method, representation=representation, settings=settings)
        free = free_name(self.store.survey, method, representation, settings)
        name = check_name(str(fields.get("name") or free).strip())
        options = ["--method", method, *(["--representation", representation] if representation else [])]
        options += [*as_options(settings, given), "--name", name]
        return {
            "method": method,
            "options": options,
            "representation": representation,
            "estimate": _told(found),
            "free": free,
            "replaces": name != free and name in self.store.layouts(),
        }

    def _drafted(self, draft: dict) -> None:
        self.view.send("drafted", **{key: draft[key] for key in ("method", "estimate", "free", "replaces")})

    def _begin(self, draft: dict) -> None:
        self._start(draft["method"], draft["options"], draft["representation"])
        self.view.send("started")


def read_fields(method: str, fields: dict) -> dict:
    """Settings by name from a form's texts; an empty one is left to the method.

    Raises
    ------
    UserError
        If one is no number where it should be.
    """
    given: dict = {}
    for name, kind in FIELDS[method].items():
        text = str(fields.get(name) or "").replace(",", "").strip()
        if text:
            try:
                given[name] = kind(text)
            except ValueError:
                raise UserError(f"{name.replace('_', ' ')} is {text!r}", f"give {WORDS[kind]}") from None
    if method == "columns":
        given["columns"] = (str(fields.get("x") or ""), str(fields.get("y") or ""))
        given["log"] = tuple(axis for axis in "xy" if fields.get(f"log_{axis}"))
    if method == "sky":
        given["projection"] = str(fields.get("projection") or "auto")
        centre = str(fields.get("centre") or "").replace(",", " ").split()
        if centre:
            try:
                ra, dec = (float(part) for part in centre)
            except ValueError:
                raise UserError(
                    f"the centre is {fields['centre']!r}", "give right ascension and declination in degrees"
                ) from None
            given["centre"] = (ra, dec)
    return given


def as_options(settings: Settings, given: dict) -> list[str]:
    """Settings that were given, as options of the command."""
    found: list[str] = []
    for name in given:
        value = getattr(settings, name)
        if value is None or value == ():
            continue
        found += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, tuple) else [value])]
    return found


def _told(found: Estimate) -> dict:
    return {
        "words": found.words,
        "seconds": found.seconds,
        "fits": found.fits,
        "sampled": found.fitted if found.sampled else 0,
    }


class Layouting(Component):
    """The button and the dialog in the browser."""

    _esm = script("layouts/layouting.js")
    _stylesheets = [styles("layouts/layouting.css")]  # noqa: RUF012 (Panel's class attribute)
