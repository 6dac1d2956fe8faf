"""The stretch's panel: the settings of every picture on the page, live for the whole gallery at once.

The session's `stretch` is the single truth; the panel changes it and shows it. While a slider moves, the page sends the next
value when the gallery has been drawn with the one before (`State.drawn`), so that what is drawn is never far behind the hand
and the last value always counts. "Save" runs the command that stores the stretch in the survey and draws its thumbnails anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import param

from app.frames import Component, plain, script, styles
from app.state import State
from engine.data.pictures.settings import BINS, COLOURS, CURVES, DEFAULT, LIMITS, Stretch

#: What the sliders reach.
SLIDERS = {
    "softness": (0.1, 100.0),
    "gain": (0.1, 10.0),
    "percent": (90.0, 100.0),
    "black": (-5.0, 20.0),
    "white": (0.02, 5.0),
    "smooth": (0.0, 8.0),
}
#: The same for pictures of 0-255, where it differs.
PICTURE_SLIDERS = {"black": (-50.0, 200.0)}
CHOICES: dict[str, tuple] = {
    "curve": CURVES,
    "limits": LIMITS,
    "colour": COLOURS,
    "bin": BINS,
    "invert": (False, True),
}
#: Largest weight of a band.
WEIGHT = 4.0


class StretchPanel(Component):
    """The panel's part in the browser."""

    about = param.Dict({}, doc="Bands, ranges, choices and presets; they stay as they are.")
    settings = param.Dict({}, doc="The session's stretch, `own` the survey's, `limits` the sliders'.")
    open = param.Boolean(False, doc="Whether it is to be seen.")
    inspecting = param.Boolean(False, doc="Whether the inspector is open: the panel is beside it then.")

    _esm = script("pictures/stretching.js")
    _stylesheets = [styles("pictures/stretching.css")]  # noqa: RUF012 (Panel's class attribute)


class StretchView:
    """The panel of a session.

    Parameters
    ----------
    state : State
    store : Store
    """

    def __init__(self, state: State, store):
        self.state, self.store = state, store
        survey = store.survey
        self.bands = survey.bands
        self.science = bool(survey.header["pixels"].get("science", True))
        self.part = StretchPanel(
            self._receive, about=self._about(), dark=state.dark, open=state.stretching, sizing_mode="stretch_both"
        )
        self._tell()
        state.param.watch(lambda *_: self._tell(), ["stretch", "own_stretch"])
        state.param.watch(lambda event: self.part.send("drawn"), ["drawn"], onlychanged=False)
        state.param.watch(lambda event: self.part.param.update(open=event.new), ["stretching"])
        self.part.param.watch(lambda event: state.param.update(stretching=event.new), ["open"])
        state.param.watch(lambda event: self.part.param.update(inspecting=event.new), ["inspecting"])
        state.param.watch(lambda event: self.part.param.update(dark=event.new), ["dark"])

    def panel(self) -> StretchPanel:
        """What the shell lays out, over the map."""
        return self.part

    def _about(self) -> dict:
        sliders = SLIDERS if self.science else SLIDERS | PICTURE_SLIDERS
        return {
            "bands": list(self.bands),
            "science": self.science,
            "sliders": {name: list(ends) for name, ends in sliders.items()},
            "choices": {name: list(values) for name, values in CHOICES.items()},
            "weight": WEIGHT,
            "default": plain(asdict(DEFAULT)),
            "presets": list(PRESETS),
        }

    def _tell(self) -> None:
        self.part.settings = {
            **plain(asdict(self.state.stretch)),
            "weights": dict(self.state.stretch.weights),
            "own": self.state.stretch == self.state.own_stretch,
        }

    def _receive(self, message: dict) -> None:
        kind = message.get("type")
        if kind == "set" and isinstance(message.get("settings"), dict):
            self._set(set_stretch(self.state.stretch, message["settings"], self.bands))
        elif kind == "preset" and message.get("name") in PRESETS:
            self._set(PRESETS[message["name"]](self.state.own_stretch, self.science))
        elif kind == "reset":
            self._set(self.state.own_stretch)
        elif kind == "save":
            self._save()

    def _set(self, stretch: Stretch) -> None:
        if stretch == self.state.stretch:
            self.part.send("drawn")  # nothing is drawn anew, and the page waits for it
        self.state.stretch = stretch

    def _save(self) -> None:
        text = self.state.stretch.text()
        self.store.jobs.start("Stretch", "stretch", "--reset", *(["--set", text] if text else []))
        self.state.notice = ("info", "Thumbnails are being drawn anew; this stretch is the survey's own then")


def survey_default(own: Stretch, science: bool) -> Stretch:
    """As the survey is drawn by itself."""
    return own


def faint_light(own: Stretch, science: bool) -> Stretch:
    """What is little above the noise: haloes, streams, dwarfs."""
    return replace(
        own,
        curve="asinh",
        limits="survey",
        gain=1.8,
        softness=1.0,
        black=0.0,
        white=1.0,
        smooth=1.0,
        bin=1,
        invert=False,
    )


def core(own: Stretch, science: bool) -> Stretch:
    """What is brightest: nuclei, bars, close pairs."""
    return replace(
        own, curve="linear", limits="survey", gain=1.0, black=0.0, white=1.0, smooth=0.0, bin=1, invert=False
    )


def negative(own: Stretch, science: bool) -> Stretch:
    """Dark on white, as on a plate."""
    return replace(own, invert=not own.invert)


#: What the panel offers, by name.
PRESETS = {
    "Survey default": survey_default,
    "Faint light": faint_light,
    "Core": core,
    "Negative": negative,
}


def set_stretch(stretch: Stretch, changes: dict, bands: Sequence[str] = ()) -> Stretch:
    """Change some settings of a stretch, kept within their limits; what is not understood is left as it was.

    Parameters
    ----------
    changes : dict
        As the page sends them: numbers, choices, `rgb` a list of names or null, `weights` a dictionary of numbers.
    bands : sequence of str
        Those that may be named.
    """
    wanted: dict[str, Any] = {}
    for name, (low, high) in (SLIDERS | PICTURE_SLIDERS).items():
        value = _number(changes.get(name))
        if value is not None:
            wanted[name] = min(max(value, low), high)
    for name, choices in CHOICES.items():
        if any(type(changes.get(name)) is type(c) and changes[name] == c for c in choices):  # 1 is no truth
            wanted[name] = changes[name]
    if "rgb" in changes:
        rgb = changes["rgb"]
        if rgb is None or (isinstance(rgb, list) and len(rgb) in (1, 3) and all(name in bands for name in rgb)):
            wanted["rgb"] = None if rgb is None else tuple(rgb)
    if isinstance(changes.get("weights"), dict):
        weights = {name: _number(value) for name, value in changes["weights"].items() if name in bands}
        wanted["weights"] = tuple(
            (name, min(max(value, 0.0), WEIGHT)) for name, value in weights.items() if value not in (None, 1.0)
        )
    return replace(stretch, **wanted)


def _number(value) -> float | None:
    """A finite number, else None."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if np.isfinite(found) else None
