"""Steering the hunt, above the suggestions: which target, what the next batch holds, and a new target.

One line when closed ("dwarf · mean · 5 % explored · 10 % random"). A choice is kept for the target in the survey and takes effect
at the next ranking; what is looked at keeps its order until the next batch, or until "Show now".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import panel as pn

from app.background import Background
from app.frames import Component, pack, script, styles
from app.state import State
from engine.errors import UserError
from engine.learning import targets
from engine.learning.acquisition import MEANINGS
from engine.learning.steering import BATCHES, COLD_STARTS, Steering
from engine.learning.targets import KINDS, Target

#: What a person can choose here, and how it is called in the line.
NAMES = {
    "mean": "mean",
    "expected-improvement": "log-EI",
    "walmsley": "log-EI 0.5",
    "protege": "log-EI 3",
    "upper-confidence": "UCB",
    "probability": "probability",
    "entropy": "entropy",
    "bald": "BALD",
    "random": "random",
}
#: Longest list of targets offered; a survey with more is steered by the field at the top.
MOST = 200


class SteeringBar(Component):
    """The steering's part in the browser."""

    _esm = script("hunt/steering.js")
    _stylesheets = [styles("hunt/steering.css")]  # noqa: RUF012 (Panel's class attribute)


class SteeringView:
    """The steering of a session.

    Parameters
    ----------
    state : State
    store : Store
    renew : callable, optional
        Lists the suggestions anew.
    """

    def __init__(self, state: State, store, renew: Callable[[], None] = lambda: None):
        self.state, self.store = state, store
        self._renew = renew
        self._wanted = False
        self.background = Background(pn.state.curdoc)
        self.bar = SteeringBar(self._receive, dark=state.dark, sizing_mode="stretch_width", margin=0)
        state.param.watch(lambda *_: self.show(), ["target", "labels_version"])
        state.param.watch(lambda *_: self._ranked(), ["ranking_version"])
        state.param.watch(lambda event: self.bar.param.update(dark=event.new), ["dark"])
        self.show()

    def panel(self) -> SteeringBar:
        """What lies above the suggestions."""
        return self.bar

    def close(self) -> None:
        """End the session's thread."""
        self.background.close()

    def heard(self, kind: str, detail: str) -> None:
        """React to a change in the store: another session may have steered, labelled or named a target."""
        if kind == "targets" or (kind == "steering" and detail == self.state.target):
            self.show()

    def show(self) -> None:
        """Tell the browser how the target is steered, and which others there are."""
        target = self.state.target

        def work() -> dict:
            return {**told(self.store, target), "waiting": self._wanted}

        def shown(found: dict) -> None:
            if found["target"] == self.state.target:
                self.bar.frame = pack(found)

        self.background.run("steering", work, shown, self._complain)

    def _ranked(self) -> None:
        if self._wanted:
            self._wanted = False
            self._renew()
            self.show()

    def _complain(self, error: UserError) -> None:
        self.state.notice = ("error", str(error))

    def _receive(self, message: dict) -> None:
        kind = message.get("type")
        try:
            if kind == "target":
                self._aim(str(message.get("name", "")))
            elif kind == "new":
                self._declare(message)
            elif kind == "steer":
                self.store.rankings.steer(self.state.target, **choices(message))
                self.show()
            elif kind == "now":
                self._wanted = True
                self.store.rankings.rerank(self.state.target)
        except UserError as error:
            self._complain(error)
            self.show()

    def _aim(self, name: str) -> None:
        if name.strip():
            self.state.target = name.strip()

    def _declare(self, message: dict) -> None:
        """Make a new target, and hunt it."""
        name = str(message.get("name", "")).strip()
        classes = tuple(part.strip() for part in str(message.get("classes", "")).split(",") if part.strip())
        kind = str(message.get("kind", "verdicts"))
        targets.declare(self.store.survey, Target(name, kind, classes if kind == "classes" else ()))
        self.store.publish("targets", name)
        self.state.target = name


def choices(message: dict) -> dict:
    """The choices of a message, as `Steering` takes them; whatever else it holds is left out."""
    known = {name: type(value) for name, value in asdict(Steering()).items()}
    found = {name: message[name] for name in known if name in message}
    return {
        name: float(value) if known[name] is float and isinstance(value, int) else value
        for name, value in found.items()
    }


def told(store, target: str) -> dict:
    """All that the bar shows."""
    counts = store.survey.labels.targets()
    how = store.rankings.steering(target)
    names = sorted({*targets.names(store.survey), target})[:MOST]
    return {
        "target": target,
        "targets": [
            {
                "name": name,
                "kind": (kind := targets.read(store.survey, name)).kind,
                "classes": kind.classes,
                "labels": sum(counts.get(name, {}).values()),
                "words": counted(counts.get(name, {})),
            }
            for name in names
        ],
        "steering": asdict(how),
        "line": line(target, how, targets.read(store.survey, target)),
        "acquisitions": [{"name": name, "short": NAMES[name], "words": words} for name, words in MEANINGS.items()],
        "batches": [{"name": name, "words": words} for name, words in BATCHES.items()],
        "colds": [{"name": name, "words": words} for name, words in COLD_STARTS.items()],
        "kinds": KINDS,
    }


def counted(counts: dict[str, int]) -> str:
    """'12 yes, 30 no'."""
    return ", ".join(f"{count:,} {value}" for value, count in counts.items()) or "no label"


def line(target: str, how: Steering, kind: Target) -> str:
    """The steering in a line, without the target's name."""
    parts = [NAMES[how.acquisition]]
    if kind.kind == "classes":
        parts.insert(0, how.hunted if how.hunted in kind.classes else kind.classes[0])
    if how.batch != "best":
        parts.append(how.batch)
    parts.append(f"{100 * how.explore:.0f} % explored")
    parts.append(f"{100 * how.surprise:.0f} % random")
    return " · ".join(parts)
