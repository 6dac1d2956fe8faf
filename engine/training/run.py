"""Train an encoder on a survey: `train` joins feed, loop, measurement and folder.

    settings → cutouts (`feed`) → [time a few steps] → steps (`loop`) → checkpoints, measured and drawn → encoder + card

A run that was stopped or killed goes on from its last checkpoint when the same is asked again, and ends with the same
weights. Asked to stop (Ctrl-C, SIGTERM) it writes a checkpoint first; asked twice it leaves at once.
"""

from __future__ import annotations

import math
import shlex
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from engine import device as devices
from engine.data.cutouts import require_pixels
from engine.device import has_bfloat16
from engine.encoders import ENCODERS, UNSTATED
from engine.encoders.backbones import make, restore
from engine.encoders.convnet import HALF_MAX
from engine.encoders.trained import normalisation
from engine.errors import UserError
from engine.jobs import Progress, silent
from engine.training import Batch, Method, feed, monitor
from engine.training import method as method_named
from engine.training.feed import Cutouts, Feed
from engine.training.loop import Loop, NotFinite, Plan, draws, finite, own_randomness
from engine.training.pictures import mosaic
from engine.training.processes import Processes, joined
from engine.training.record import Training, compact
from engine.training.targets import read_targets

if TYPE_CHECKING:
    from engine.survey import Survey

#: Pixels a side, and steps, if nothing is said.
SIZE, STEPS = 64, 2000
#: Seconds between two checkpoints.
CHECKPOINT_SECONDS = 120.0
#: Steps between two records of the loss.
RECORD = 20
#: Objects that a measurement encodes, and cutouts of a picture.
MEASURED, DRAWN = 2000, 8
#: A checkpoint is measured unless less than so many times the cost of the last measurement has passed since.
RARELY = 3
#: Cutouts through the encoder at once when it is measured.
ENCODED = 256
#: Timing, to turn minutes into steps: the seconds it takes or the share of the minutes, whichever is less; the steps it
#: takes at least, and those that warm up before.
TIMED_SECONDS, TIMED_SHARE, TIMED_STEPS, TIMED_WARM_UP = 6.0, 0.05, 4, 2


def train(
    survey: Survey,
    method: str,
    *,
    name: str | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    backbone: str | None = None,
    size: int = SIZE,
    batch: int | None = None,
    rate: float | None = None,
    decay: float | None = None,
    seed: int = 1,
    device: str | None = None,
    targets: Sequence[str] = (),
    asinh: bool = True,
    objects: int | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    progress: Progress = silent,
) -> Training:
    """Train an encoder on the cutouts of a survey, or go on with a training that was stopped.

    Parameters
    ----------
    survey : Survey
    method : str
        A key of `engine.training.METHODS`.
    name : str, optional
        Of the training and its encoder, in the survey's ``models``; the method's if not given.
    steps : int, optional
        Batches to learn from.
    minutes : float, optional
        Instead: as many as fit, measurements included, by the speed of the first few.
    backbone : str, optional
        A key of `engine.encoders.backbones.BACKBONES`; what the method wants if not given, as are
    batch, rate, decay : optional
        cutouts of a step (over all processes), largest learning rate (in proportion to the batch), weight decay.
    size : int
        Pixels a side.
    seed : int
        Decides first weights, order, augmentation and masks.
    device : {"cuda", "mps", "cpu"}, optional
    targets : sequence of str
        Columns that a supervised method learns; all that it knows how to learn if none are given.
    asinh : bool
        See `engine.encoders.scaling.scaled`.
    objects : int, optional
        Learn from a random sample of the survey.
    checkpoint_seconds : float
        Time between checkpoints.

    Returns
    -------
    Training

    Raises
    ------
    UserError
        If an option is unknown, the name is taken by a training with other settings, or the loss is not finite any more.
    """
    from engine.survey import check_name

    require_pixels(survey)
    kind = method_named(method)
    folder = survey.path / "models" / check_name(name or method)
    if folder.name in ENCODERS:
        raise UserError(f"{folder.name!r} is the name of an encoder that ships", "choose another --name")
    if steps is not None and minutes is not None:
        raise UserError("a training takes so many steps or so many minutes, not both", "give one of them")
    if targets and not kind.supervised:
        raise UserError(f"the method {method!r} learns without targets", "leave --targets out, or use --method votes")
    questions, values = read_targets(survey, targets) if kind.supervised else ({}, {})
    defaults = Method.defaults | kind.defaults
    settings = {
        "method": method,
        "seed": seed,
        "steps": None if minutes is not None else steps or STEPS,
        "minutes": minutes,
        "batch": batch or defaults["batch"],
        "rate": rate or defaults["rate"] * (batch or defaults["batch"]) / defaults["batch"],
        "decay": defaults["decay"] if decay is None else decay,
        "size": size,
        "bands": list(survey.bands),
        "science": bool(survey.header["pixels"]["science"]),
        "asinh": asinh,
        "backbone": make(backbone or defaults["backbone"], bands=len(survey.bands), size=size).settings,
        "targets": questions,
        "objects": min(objects or len(survey), len(survey)),
        "checkpoint_seconds": checkpoint_seconds,
    }
    settings["command"] = command(survey.path, folder.name, settings, targets=targets, objects=objects, device=device)
    with joined(devices.choose(device)) as processes:
        training = Training(folder)
        with training.locked() if processes.rank == 0 else nullcontext():
            settings = _agreed(training, settings, processes)
            if not processes.from_first(int(training.finished)):
                _Run(survey, kind, training, settings, values, processes, progress).go()
            processes.wait()
    return training


def _agreed(training: Training, wanted: dict, processes: Processes) -> dict:
    """The settings, written by rank 0 before the others look."""
    if processes.rank == 0:
        wanted = training.agree(wanted)
        processes.wait()
    else:
        processes.wait()
        wanted = training.agree(wanted)
    return wanted


def command(
    path: Path,
    name: str,
    settings: Mapping,
    *,
    targets: Sequence[str] = (),
    objects: int | None = None,
    device: str | None = None,
) -> str:
    """What to type to get this training, or to go on with it."""
    words = ["python", "-m", "engine", "train", str(path), "--method", settings["method"], "--name", name]
    length = ("--minutes", settings["minutes"]) if settings["minutes"] is not None else ("--steps", settings["steps"])
    options = dict([length]) | {
        "--backbone": settings["backbone"]["backbone"],
        "--size": settings["size"],
        "--batch": settings["batch"],
        "--rate": settings["rate"],
        "--decay": settings["decay"],
        "--seed": settings["seed"],
    }
    if settings["checkpoint_seconds"] != CHECKPOINT_SECONDS:
        options["--checkpoint-seconds"] = settings["checkpoint_seconds"]
    if objects is not None:
        options["--objects"] = objects
    words += [f"{word:g}" if isinstance(word, float) else str(word) for pair in options.items() for word in pair]
    words += ["--device", device] if device else []
    words += [] if settings["asinh"] else ["--linear"]
    words += ["--targets", *targets] if targets else []
    return shlex.join(words)


# -- one run -----------------------------------------------------------------------------------------------------------


@dataclass
class _Clock:
    """Seconds of this training so far, over all its runs."""

    before: float = 0.0

    def __post_init__(self):
        self.started = time.monotonic()

    @property
    def now(self) -> float:
        return self.before + time.monotonic() - self.started


class _Run:
    """One run of a training: from its last checkpoint, or from nothing, to its end or to the next stop."""

    def __init__(
        self,
        survey: Survey,
        kind: type[Method],
        training: Training,
        settings: dict,
        targets: Mapping[str, np.ndarray],
        processes: Processes,
        progress: Progress,
    ):
        self.survey, self.kind, self.training, self.settings = survey, kind, training, settings
        self.targets, self.processes = targets, processes
        self.writes = processes.rank == 0
        self.progress = progress if self.writes else silent
        self.saved = self.looked = time.monotonic()  # when last
        self.look = 0.0  # what it cost, seconds

    def go(self) -> None:
        """Train to the end."""
        cutouts = self._cutouts()
        self.feed = Feed(
            cutouts,
            targets=self.targets,
            batch=self.settings["batch"],
            seed=self.settings["seed"],
            rank=self.processes.rank,
            world=self.processes.world,
        )
        self.monitor = _Monitor(self.survey, self.feed, self.settings, self.processes.device)
        with own_randomness(self.processes.device):
            loop = self._begin()
            self._steps(loop)
            if self.writes:
                self._finish(loop)

    def _cutouts(self) -> Cutouts:
        """Rank 0 fills the cache, the others then find it full."""
        options = {k: self.settings[k] for k in ("size", "asinh", "objects")}
        if self.writes:
            found = feed.prepare(self.survey, **options, progress=self.progress)
            self.processes.wait()
            return found
        self.processes.wait()
        return feed.prepare(self.survey, **options)

    def _method(self) -> Method:
        """The method with its first weights, the same in every process."""
        torch.manual_seed(draws(self.settings["seed"]))
        widths = {name: columns.shape[1] for name, columns in self.targets.items()}
        return self.kind(restore(self.settings["backbone"]), targets=widths)

    def _loop(self, steps: int) -> Loop:
        defaults = Method.defaults | self.kind.defaults
        plan = Plan(
            steps=steps,
            rate=self.settings["rate"],
            decay=self.settings["decay"],
            betas=defaults["betas"],
            seed=self.settings["seed"],
        )
        return Loop(self._method(), plan, self.processes)

    def _begin(self) -> Loop:
        """The loop at the last checkpoint, or at step 0, measured and timed."""
        state, step, seconds = self.training.kept() or (None, -1, 0.0)
        self.clock = _Clock(seconds)
        if self.writes:
            self.training.cut(step)
        if state is not None:
            loop = self._loop(self.settings["steps"])
            loop.restore(state)
            return loop
        loop = self._loop(self.settings["steps"] or STEPS)
        self._look(loop)
        if self.settings["steps"] is None:
            steps = self.processes.from_first(self._affordable(loop))
            self.settings = self.settings | {"steps": steps}
            if self.writes:
                self.training.settle(self.settings)
            loop = self._loop(steps)  # from the start again: what was learned while timing does not count
        return loop

    def _affordable(self, loop: Loop) -> int:
        """Steps that fit into the minutes asked for, of which measurements take their part."""
        seconds = 60 * self.settings["minutes"]
        each = self._timed(loop, min(TIMED_SECONDS, TIMED_SHARE * seconds))
        interval = max(self.settings["checkpoint_seconds"], RARELY * self.look)
        left = seconds - self.clock.now - self.look
        return max(1, math.floor(left * interval / (interval + self.look) / each))

    def _timed(self, loop: Loop, seconds: float) -> float:
        """Seconds that a step takes, of as many as fit into `seconds`."""
        started, done = time.monotonic(), 0
        with closing(self.feed.batches(0, 1 << 40, self.processes.device)) as batches:
            for batch in batches:
                self._advance(loop, batch, leave=False)
                done += 1
                if done == TIMED_WARM_UP:
                    started = time.monotonic()
                self.progress(min(done, TIMED_STEPS), TIMED_STEPS, "timing")
                ended = done >= TIMED_WARM_UP + TIMED_STEPS and time.monotonic() - started >= seconds
                if self.processes.from_first(int(ended)):
                    break
        return (time.monotonic() - started) / (done - TIMED_WARM_UP)

    def _steps(self, loop: Loop) -> None:
        """From where the loop is to its end, or until asked to stop; a checkpoint last."""
        steps, leave = loop.plan.steps, False
        records = _Records(self.training, self.clock, loop, self.settings["batch"])
        self.progress(loop.step, steps, "training")
        with _asked_to_stop() as asked, closing(self.feed.batches(loop.step, steps, self.processes.device)) as batches:
            self.saved = time.monotonic()
            for batch in batches:
                leave = self._advance(loop, batch, leave=bool(asked))
                if loop.step % RECORD == 0 or loop.step == steps:
                    records.add(write=self.writes)
                self.progress(loop.step, steps, "training")
                if leave:
                    break
                if self.writes and self._due(loop):
                    records.paused(self._checkpoint(loop))
            self._keep(loop)
        if leave:  # another process was asked, not this one
            raise KeyboardInterrupt

    def _due(self, loop: Loop) -> bool:
        """Whether it is time for a checkpoint, and the loop in a state to go on from."""
        late = time.monotonic() - self.saved > self.settings["checkpoint_seconds"]
        return late and loop.sound and loop.step < loop.plan.steps

    def _checkpoint(self, loop: Loop) -> float:
        """Write one, measured if that is not too much to ask; the seconds it took."""
        started = time.monotonic()
        if started - self.looked >= RARELY * self.look:
            self._look(loop)
        self._keep(loop)
        self.saved = time.monotonic()
        return self.saved - started

    def _advance(self, loop: Loop, batch: Batch, *, leave: bool) -> bool:
        try:
            return loop.advance(batch, leave=leave)
        except NotFinite as error:
            raise self._diverged(error.step) from error

    def _diverged(self, step: int) -> UserError:
        return UserError(
            f"the training {self.training.name!r} has diverged: its loss or gradient is not finite at step {step:,}",
            f"begin anew under another --name with a smaller --rate than {self.settings['rate']:g}",
        )

    def _keep(self, loop: Loop) -> None:
        """Write a checkpoint; one that is not finite does not replace one that is."""
        state = loop.state()
        if not finite(state):
            raise self._diverged(loop.step)
        if self.writes:
            self.training.keep(state, step=loop.step, seconds=self.clock.now)

    def _look(self, loop: Loop) -> None:
        """Measure and draw, once a step."""
        if not self.writes or any(record["step"] == loop.step for record in self.training.quality()[-1:]):
            return
        started = time.monotonic()
        self.training.append("quality", {"step": loop.step} | self.monitor.measure(loop))
        picture = self.monitor.picture(loop)
        if picture is not None:
            self.training.draw(loop.step, picture)
        self.looked = time.monotonic()
        self.look = self.looked - started

    def _finish(self, loop: Loop) -> None:
        self._look(loop)
        weights = {name: v.cpu() for name, v in loop.averaged.state_dict().items()}
        self.training.finish(compact(weights), self._card(loop))
        self.survey.record_run(
            "train", self.settings | {"name": self.training.name}, seconds=self.clock.now, results=self._figures()
        )

    def _figures(self) -> dict:
        history, quality = self.training.history(), self.training.quality()
        return {"first": quality[0], "last": quality[-1], "loss": history[-1]["loss"] if history else None}

    def _card(self, loop: Loop) -> dict:
        from engine.survey import version

        return self.settings | {
            "name": self.training.name,
            "backbone": loop.averaged.settings,  # a method may have wrapped the one it was given
            "dimension": loop.averaged.dimension,
            "normalisation": normalisation(self.settings["asinh"]),
            "licence": UNSTATED,
            "trained_on": f"{len(self.feed):,} objects of {self.survey.name}",
            "device": self.processes.device.type,
            "processes": self.processes.world,
            "seconds": round(self.clock.now, 1),
            "figures": self._figures(),
            "trained_with": version(),
            "torch": torch.__version__,
        }


class _Records:
    """Writes the history: what the loss was, how fast it goes, and how long it will take."""

    def __init__(self, training: Training, clock: _Clock, loop: Loop, batch: int):
        self.training, self.clock, self.loop, self.batch = training, clock, loop, batch
        self.first, self.began = loop.step, time.monotonic()
        self.last, self.at = loop.step, self.began

    def paused(self, seconds: float) -> None:
        """Do not count a measurement as slow steps."""
        self.at += seconds

    def add(self, *, write: bool) -> None:
        """Write a record, unless this process does not."""
        terms, step, now = self.loop.terms(), self.loop.step, time.monotonic()
        rate = self.batch * (step - self.last) / max(now - self.at, 1e-9)
        left = (self.loop.plan.steps - step) * (now - self.began) / max(step - self.first, 1)
        self.last, self.at = step, now
        if write:
            speed = {"rate": round(rate, 1), "seconds": round(self.clock.now, 2), "left": round(left, 1)}
            rest = {"learning_rate": self.loop.plan.rate_at(step - 1)} | speed
            self.training.append("history", {"step": step} | {"loss": math.nan} | terms | rest)


class _Monitor:
    """Looks at the averaged encoder with the same objects every time."""

    def __init__(self, survey: Survey, feed: Feed, settings: Mapping, device: torch.device):
        self.feed, self.device, self.science = feed, device, settings["science"]
        count = min(MEASURED, len(feed))
        self.chosen = np.sort(np.random.default_rng(0).permutation(feed.positions)[:count])
        self.survey = survey

    def vectors(self, encoder: torch.nn.Module) -> np.ndarray:
        """Vectors of the chosen objects, (n, D) float32."""
        found = []
        for start in range(0, len(self.chosen), ENCODED):
            batch = self.feed.gather(self.chosen[start : start + ENCODED], self.device)
            with (
                torch.inference_mode(),
                torch.autocast(self.device.type, torch.bfloat16, enabled=has_bfloat16(self.device)),
            ):
                vectors = encoder(batch.pixels).float()
            found.append(torch.nan_to_num(vectors).clamp(-HALF_MAX, HALF_MAX).cpu().numpy())
        return np.concatenate(found)

    @cached_property
    def labels(self) -> dict[str, np.ndarray]:
        """What the catalogue says of them."""
        return monitor.label_columns(self.survey, self.feed.cutouts.rows[self.chosen])

    def measure(self, loop: Loop) -> dict[str, float]:
        """How good the vectors are by now."""
        return monitor.measure(self.vectors(loop.averaged), self.labels, seed=0)

    def picture(self, loop: Loop) -> np.ndarray | None:
        """What the method makes of some of them, (H, W, 3) uint8."""
        few = self.chosen[:: max(1, len(self.chosen) // DRAWN)][:DRAWN]
        rng = torch.Generator(self.device).manual_seed(0)
        loop.method.eval()
        try:
            with torch.no_grad():
                views = loop.method.picture(self.feed.gather(few, self.device), rng=rng)
        finally:
            loop.method.train()
        return None if views is None else mosaic(np.asarray(views, np.float32), science=self.science)


@contextmanager
def _asked_to_stop() -> Iterator[list[int]]:
    """Note SIGINT and SIGTERM instead of obeying them, until the end, when the first is raised again; the second is obeyed.

    In a thread other than the main one signals are left alone.
    """
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before: dict[int, Callable | int | None] = {}

    def back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number, frame):
        asked.append(number)
        if len(asked) > 1:
            back()
            signal.raise_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, note)
    try:
        yield asked
    finally:
        back()
    if asked:
        signal.raise_signal(asked[0])
