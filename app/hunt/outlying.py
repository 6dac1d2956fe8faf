"""Outliers in the app: which objects are strangest, as a session asks for it, and the controls above the gallery.

`Outlying` answers for all sessions of a survey; the last answers are kept until a label or a score changes. `OutlyingView` are
the controls of one session: which score, whether labels move it, whether what looks like artefacts is hidden, and the
button that computes the scores as a job. What is asked for stands in the session's `State`.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import panel as pn

from app.background import Background
from app.frames import Component, pack, script, styles
from app.state import State
from engine.errors import UserError
from engine.outliers.listing import Weighed, find, weigh
from engine.outliers.scoring import FEWEST, JOINT, METHODS, Made, kept
from engine.survey import Survey

#: Answers that are remembered: 17 bytes an object each.
REMEMBERED = 2
#: Name of the tab, and of the command.
TAB = COMMAND = "outliers"
#: What the joint score is called.
TOGETHER = "All together"


@dataclass(frozen=True)
class Asked:
    """What a session asks for.

    Attributes
    ----------
    method : str
        A key of `METHODS`; empty: all of them together.
    reweighted : bool
        Whether labels move the score.
    hide : bool
        Whether what looks like artefacts is left out.
    """

    method: str = ""
    reweighted: bool = True
    hide: bool = False

    @classmethod
    def of(cls, state: State) -> Asked:
        """What the session's state says."""
        return cls(state.strange_by, state.reweighted, state.hide_artefacts)


class Outlying:
    """The strangest objects of a survey. Call off the event loop: with labels it takes up to a second for 10⁶ objects."""

    def __init__(self, survey: Survey):
        self._survey = survey
        self._lock = threading.Lock()
        self._answers: OrderedDict[tuple, Weighed] = OrderedDict()

    def kept(self) -> list[Made]:
        """The scores there are, the joint one first."""
        return kept(self._survey)

    def strangest(self, asked: Asked, target: str) -> Weighed:
        """What a session asks for, as the labels are now.

        Raises
        ------
        UserError
            If the score is not there, or the labels cannot be read.
        """
        labels = self._survey.labels.version if asked.reweighted or asked.hide else 0
        with self._lock:
            made = find(self._survey, asked.method)
            written = (self._survey.path / "scores" / f"{made.score}.npy").stat().st_mtime_ns
            key = (made.score, made.representation, written, asked, target, labels)
            if key not in self._answers:
                self._answers[key] = weigh(
                    self._survey, made, target, reweight=asked.reweighted, hide_artefacts=asked.hide
                )
            self._answers.move_to_end(key)
            while len(self._answers) > REMEMBERED:
                self._answers.popitem(last=False)
            return self._answers[key]


def numbers(found: Weighed, rows: np.ndarray) -> tuple[list[str], list[str]]:
    """What is written on the tiles of some objects, and what the pointer adds."""
    texts, named = [_short(float(v)) for v in found.score[rows]], found.made.score
    if found.order is found.score or not found.rated:
        return texts, [named] * len(rows)
    return texts, [f"{named}; re-weighted {v:.2f} of 5" for v in found.order[rows]]


def _short(value: float) -> str:
    return "–" if not np.isfinite(value) else f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}"


class OutlyingControls(Component):
    """The controls in the browser."""

    _esm = script("hunt/outlying.js")
    _stylesheets = [styles("hunt/outlying.css")]  # noqa: RUF012 (Panel's class attribute)


class OutlyingView:
    """The controls of one session.

    Parameters
    ----------
    state : State
    store : Store
    """

    def __init__(self, state: State, store):
        self.state, self.store = state, store
        self._work = Background(pn.state.curdoc)
        self._frames = 0
        self.view = OutlyingControls(self._receive, dark=state.dark, sizing_mode="stretch_width", margin=0)
        self._unsubscribe = store.subscribe(self._heard)
        state.param.watch(lambda event: self.view.param.update(dark=event.new), ["dark"])
        state.param.watch(
            lambda *_: self.refresh(),
            ["tab", "target", "strange_by", "reweighted", "hide_artefacts", "labels_version", "remarks_version"],
        )
        self.refresh()

    def panel(self) -> pn.viewable.Viewable:
        """What lies above the gallery."""
        return self.view

    def close(self) -> None:
        """End what belongs to the session."""
        self._unsubscribe()
        self._work.close()

    # -- what is shown -------------------------------------------------------------------------------------------------

    def _heard(self, kind: str, detail: str) -> None:
        if kind == "done" and detail == COMMAND:
            self.state.outliers_version += 1
        if kind in ("done", "jobs", "representation"):
            self.refresh()

    def refresh(self) -> None:
        """Show the controls as things are now; what is not looked at waits."""
        if self.state.tab != TAB:
            return
        asked, target = Asked.of(self.state), self.state.target
        self._work.run("controls", lambda: self._shown(asked, target), self._show, self._refused)

    def _show(self, header: dict) -> None:
        self._frames += 1
        self.view.frame = pack({**header, "number": self._frames})

    def _refused(self, error: UserError) -> None:
        self._show({"kept": [], "running": None, "words": str(error), "can": False})

    def _shown(self, asked: Asked, target: str) -> dict:
        """What the controls say."""
        store = self.store
        found = store.outlying.kept()
        job = next((j for j in store.jobs.all() if j.arguments[0] == COMMAND), None)
        header = {
            "kept": [{"method": "" if m.method == JOINT else m.method, **_told(m)} for m in found],
            "method": asked.method,
            "reweighted": asked.reweighted,
            "hide": asked.hide,
            "running": None if job is None or job.over else _progress(job),
            "problem": job.message if job is not None and job.state == "failed" else "",
            "can": bool(store.survey.representations),
            "words": self._offer(),
            "anew": store.representation or "",
        }
        if not found:
            return header
        weighed = store.outlying.strangest(asked, target)
        return header | {
            "representation": weighed.made.representation,
            "status": _status(asked, target, weighed),
        }

    def _offer(self) -> str:
        """What the button will do."""
        store = self.store
        if store.representation is None:
            return "Objects are compared by their representation: make a layout first, it begins with one."
        if store.n < FEWEST:
            return f"{store.n} objects are too few to tell which of them is strange."
        return (
            f"Compares every one of {store.n:,} objects with all others, in {len(METHODS)} ways, by ‘{store.representation}’. "
            f"Needs no label; takes {_duration(store.n)}."
        )

    # -- what the browser asks for -------------------------------------------------------------------------------------

    def _receive(self, message: dict) -> None:
        kind = message.get("type")
        if kind == "method" and message.get("method") in ("", *METHODS):
            self.state.strange_by = message["method"]
        elif kind == "reweighted":
            self.state.reweighted = bool(message.get("on"))
        elif kind == "hide":
            self.state.hide_artefacts = bool(message.get("on"))
        elif kind == "compute" and self.store.representation is not None:
            self.store.jobs.start("Outliers", COMMAND, "--representation", self.store.representation)


def _told(made: Made) -> dict:
    if made.method == JOINT:
        counted = made.settings.get("mean rank of", [])
        return {"title": TOGETHER, "words": f"Mean rank of {len(counted)} scores: {', '.join(map(str, counted))}"}
    return {"title": METHODS[made.method].title, "words": METHODS[made.method].words}


def _progress(job) -> str:
    if job.state == "waiting":
        return "Waits for another job"
    share = f" {100 * job.fraction:.0f} %" if job.fraction is not None else ""
    return f"{job.stage[:1].upper()}{job.stage[1:]}{share}" if job.stage else "Starting"


def _status(asked: Asked, target: str, weighed: Weighed) -> str:
    """What the labels have done to the list, in words."""
    others, artefacts = weighed.rated - weighed.artefacts, weighed.artefacts
    parts = []
    if asked.reweighted:
        said = [f"{others:,} {'label' if others == 1 else 'labels'} for ‘{target}’"] if others > 0 else []
        said += [f"{artefacts:,} {'artefact' if artefacts == 1 else 'artefacts'}"] if artefacts else []
        parts.append(f"Moved by {' and '.join(said)}" if said else "Label some: what is like them moves up or down")
    if asked.hide:
        hidden = int(np.count_nonzero(weighed.hidden))
        parts.append(f"{hidden:,} hidden" if artefacts else "nothing is labelled an artefact yet")
    return " · ".join(parts) or "By the score alone"


def _duration(count: int) -> str:
    """How long it takes on two cores, roughly: measured at 10⁴, 10⁵ and 10⁶ objects."""
    if count <= 20_000:
        return "a few seconds"
    if count <= 200_000:
        return "up to a minute or two"
    return f"about {max(1, round(count / 1e6 * 10))} minutes" if count >= 1_000_000 else "some minutes"
