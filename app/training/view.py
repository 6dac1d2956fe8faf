"""The page on representations: start trainings and embeddings, follow them while they run, compare what came out.

The browser asks what is new while the page is open (``look``, with the versions it has) and gets what has changed since: so
a session keeps nothing of its own, and a hidden page costs nothing. Reading and measuring happen in the session's threads;
what takes seconds (quality, agreement) has one to itself, so that neighbours and pictures need not wait for it.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import panel as pn
import param

from app.background import Background
from app.frames import Component, pack, script, styles
from app.jobs import Job
from app.state import PAGES, State
from app.store import Store
from app.theme import CATEGORY
from app.training import commands
from app.training.comparing import NEAR, Comparison
from app.training.runs import Run
from app.training.walking import STEPS, Walks
from app.wording import in_words
from engine.errors import UserError

#: Objects offered to look at in two representations.
OFFERED = 60
#: Runs that are listed.
LISTED = 40
#: Of a record, what is shown as it is.
SHOWN = ("step", "loss", "learning_rate", "rate", "seconds", "left")


#: The page's script, a file a concept, in the order in which they need each other.
SCRIPTS = (
    "training/training_words.js",
    "training/chart.js",
    "training/training_forms.js",
    "training/training_runs.js",
    "training/training_compare.js",
    "training/training.js",
)


class TrainingPage(Component):
    """The page's part in the browser."""

    page: param.Selector = param.Selector(default="", objects=list(PAGES), doc="Which part is open; empty: closed.")
    picture = param.Bytes(b"", doc="What a training makes of a few objects; see `app.frames.pack`.")
    near = param.Bytes(b"", doc="The neighbours of an object in two representations.")
    walked = param.Bytes(b"", doc="The way between two objects through an autoencoder.")
    offered = param.Bytes(b"", doc="Objects to look at.")

    _esm = script(*SCRIPTS)
    _stylesheets = [styles("training/training.css")]  # noqa: RUF012 (Panel's class attribute)


class TrainingView:
    """The page of one session.

    Parameters
    ----------
    state : State
    store : Store
    """

    def __init__(self, state: State, store: Store):
        self.state, self.store = state, store
        self.comparison = Comparison(store.survey)
        self.walks = Walks(store.survey)
        self._work, self._slow = Background(pn.state.curdoc), Background(pn.state.curdoc)
        self.view = TrainingPage(self._receive, dark=state.dark, page=state.page, width=0, height=0, margin=0)
        self.view.link(state, page="page", bidirectional=True)
        state.param.watch(lambda event: self.view.param.update(dark=event.new), ["dark"])
        state.param.watch(lambda *_: self._selected(), ["selection"])
        state.param.watch(lambda event: self.view.send("cursor", row=event.new), ["cursor"])
        state.param.watch(lambda event: self._notice(*event.new), ["notice"])

    def panel(self) -> TrainingPage:
        """What the shell lays out."""
        return self.view

    def close(self) -> None:
        """End the session's threads."""
        self._work.close()
        self._slow.close()

    def heard(self, kind: str) -> None:
        """React to a change in the store."""
        if self.state.page and kind in ("jobs", "pictures", "representation", "labels"):
            self._choices()

    def _notice(self, kind: str, text: str) -> None:
        """Say it on this page too, which lies over where notices are shown."""
        if self.state.page:
            self.view.send("notice", level=kind, text=text)

    # -- what the browser asks for -------------------------------------------------------------------------------------

    def _receive(self, message: dict) -> None:
        handlers: dict[str, Callable[[dict], None]] = {
            "opened": lambda message: self._choices(),
            "look": self._look,
            "draft": self._draft,
            "start": self._start,
            "cancel": lambda message: self.store.jobs.cancel(_whole(message.get("job"))),
            "resume": lambda message: self._resume(str(message.get("name"))),
            "embed": lambda message: self._embed(str(message.get("name"))),
            "picture": self._picture,
            "offer": lambda message: self._offer(),
            "near": self._near,
            "compare": self._compare,
            "use": self._use,
            "walk": self._walk,
            "cursor": self._cursor,
        }
        handler = handlers.get(str(message.get("type")))
        if handler is not None:
            handler(message)

    def _complain(self, error: UserError) -> None:
        self.state.notice = ("error", str(error))

    # -- trainings -----------------------------------------------------------------------------------------------------

    def _look(self, message: dict) -> None:
        said = message.get("have")
        have = said if isinstance(said, dict) else {}

        def work() -> dict:
            runs = self.store.runs.look()[:LISTED]
            made = set(self.store.survey.representations)
            current = self.store.jobs.current
            return listed(runs, self.store.jobs.all(), have, made, current.number if current is not None else None)

        def send(found: dict) -> None:
            self.view.send("runs", **found)

        self._work.run("look", work, send, self._complain)

    def _picture(self, message: dict) -> None:
        run, step = self.store.runs.get(str(message.get("name"))), _whole(message.get("step"))
        if run is None:
            return

        def drawn(picture: bytes) -> None:
            if picture:
                self.view.picture = pack({"name": run.name, "step": step}, [picture])

        self._work.run("picture", lambda: run.picture(step), drawn, self._complain)

    def _resume(self, name: str) -> None:
        """Run the command of an interrupted training again: it goes on from its checkpoint."""
        try:
            command, options = self._again(name)
        except UserError as error:
            self._complain(error)
            return
        self.store.jobs.start(f"Training {name}", command, *options)

    def _again(self, name: str) -> tuple[str, tuple[str, ...]]:
        for job in self.store.jobs.all():
            if commands.named(job.arguments) == name:
                return job.arguments[0], job.arguments[2:]
        run = self.store.runs.get(name)
        command, options = typed(run.settings.get("command")) if run is not None else ("", ())
        if not command:
            raise UserError(f"it is not known how {name!r} was started", "type its `train` command again in a terminal")
        return command, options

    def _embed(self, name: str) -> None:
        self._start({"kind": "embed", "fields": {"encoder": name, "map": True}})

    # -- starting ------------------------------------------------------------------------------------------------------

    def _choices(self) -> None:
        """Send what the forms and the comparison offer."""

        def done(found: dict) -> None:
            self.view.send("choices", **found)

        self._work.run("choices", lambda: choices(self.store), done, self._complain)

    def _draft(self, message: dict) -> None:
        kind, fields = _form(message)

        def work() -> dict:
            try:
                return {"command": commands.draft(self.store, kind, fields).typed(self.store.survey.path)}
            except UserError as error:
                return {"problem": error.problem, "remedy": error.remedy}

        def done(found: dict) -> None:
            self.view.send("drafted", form=kind, **found)

        self._work.run(f"draft {kind}", work, done, self._complain)

    def _start(self, message: dict) -> None:
        kind, fields = _form(message)

        def done(found: commands.Draft) -> None:
            found.start(self.store)
            self.view.send("started", form=kind, title=found.title)

        self._work.run("start", lambda: commands.draft(self.store, kind, fields), done, self._complain)

    # -- comparing -----------------------------------------------------------------------------------------------------

    def _pair(self, message: dict) -> tuple[str, str] | None:
        names = self.store.survey.representations
        first, second = str(message.get("first")), str(message.get("second"))
        return (first, second) if first in names and second in names else None

    def _compare(self, message: dict) -> None:
        """Facts at once, then agreement and quality as they come."""
        pair = self._pair(message)
        if pair is None:
            return
        first, second = pair

        def tell(part: str) -> Callable[[object], None]:
            return lambda found: self.view.send("compared", part=part, first=first, second=second, found=found)

        def fail(part: str) -> Callable[[UserError], None]:
            return lambda error: self.view.send(
                "compared", part=part, first=first, second=second, found={"problem": str(error)}
            )

        compare = self.comparison
        self._work.run("facts", lambda: [compare.facts(n) for n in pair], tell("facts"), fail("facts"))
        self._slow.run("agreement", lambda: compare.agreement(first, second), tell("agreement"), fail("agreement"))
        for side, name in (("first", first), ("second", second)):
            self._slow.run(side, partial(compare.quality, name), tell(side), fail(side))

    def _near(self, message: dict) -> None:
        """The neighbours of an object in both, and which of them are the same."""
        pair, row = self._pair(message), _whole(message.get("row"))
        if pair is None or not 0 <= row < self.store.n:
            return

        def work() -> bytes:
            found = [self.comparison.near(name, row) for name in pair]
            rows = np.concatenate([[row], *(near.rows for near in found)]).astype(np.int64)
            header = {
                "row": row,
                "names": pair,
                "ids": self.store.ids(rows),
                "rows": [near.rows for near in found],
                "scores": [near.score for near in found],
                "problems": [near.problem for near in found],
                "common": np.intersect1d(found[0].rows, found[1].rows),
                "count": NEAR,
            }
            return pack(header, self.store.thumbnails(rows))

        def done(frame: bytes) -> None:
            self.view.near = frame

        self._work.run("near", work, done, self._complain)

    def _selected(self) -> None:
        if self.state.page == "compare":
            self._offer()

    def _offer(self) -> None:
        """Objects to look at: the selection, or a few from everywhere, the one in focus first."""
        selection, cursor = self.state.selection, self.state.cursor

        def work() -> bytes:
            rows = offered(selection, cursor, self.store.n)
            header = {"rows": rows, "ids": self.store.ids(rows), "selected": selection is not None and len(selection)}
            return pack(header, self.store.thumbnails(rows))

        def done(frame: bytes) -> None:
            self.view.offered = frame

        self._work.run("offer", work, done, self._complain)

    def _walk(self, message: dict) -> None:
        """Decode the way between two objects."""
        name, rows = str(message.get("name")), [_whole(message.get(side)) for side in ("first", "second")]
        if not all(0 <= row < self.store.n for row in rows):
            return

        def work() -> bytes:
            return pack(
                {"name": name, "rows": rows, "ids": self.store.ids(rows), "steps": STEPS},
                [self.walks.walk(name, rows[0], rows[1])],
            )

        def done(frame: bytes) -> None:
            self.view.walked = frame

        self._work.run("walk", work, done, self._complain)

    def _use(self, message: dict) -> None:
        try:
            self.store.use(str(message.get("name")))
        except UserError as error:
            self._complain(error)

    def _cursor(self, message: dict) -> None:
        row = _whole(message.get("row"))
        if 0 <= row < self.store.n:
            self.state.cursor = row


# -- what is sent ------------------------------------------------------------------------------------------------------


def listed(runs: Sequence[Run], jobs: Sequence[Job], have: dict, made: set[str], current: int | None = None) -> dict:
    """All trainings for the browser, those whole that it has not got in this version.

    Parameters
    ----------
    have : dict
        Name → version that the browser has.
    made : set of str
        Names of the representations there are.
    current : int, optional
        Number of the job whose process is there; one that was cancelled may still be ending.
    """
    by_name = {name: job for job in reversed(jobs) if (name := commands.named(job.arguments))}
    waiting = [job for name, job in by_name.items() if name not in {run.name for run in runs} and _hopeful(job)]
    order = sorted(runs, key=lambda run: run.begun)
    colours = {run.name: CATEGORY[k % len(CATEGORY)] for k, run in enumerate(order)}
    return {
        "names": [commands.named(job.arguments) for job in waiting] + [run.name for run in runs],
        "colours": colours,
        "status": {commands.named(job.arguments): status(None, job, current) for job in waiting}
        | {run.name: status(run, by_name.get(run.name), current) for run in runs},
        "embedded": sorted(made & {run.name for run in runs}),
        "jobs": [
            _chip(job) for job in jobs if not commands.named(job.arguments) and job.state in ("running", "waiting")
        ],
        "embedding": [commands.encoder(job.arguments) for job in jobs if not job.over],
        "runs": {run.name: shown(run) for run in runs if have.get(run.name) != run.version},
    }


def _hopeful(job: Job) -> bool:
    """Whether a job without a folder is worth a line: it waits, begins, ends, or died before it made one."""
    return job.state in ("waiting", "running", "failed")


def status(run: Run | None, job: Job | None, current: int | None) -> dict:
    """How a training stands: its state, what is said of it, and the number of the job that can be cancelled."""
    found: dict[str, str | int | None] = {"state": "interrupted", "words": "", "job": None}
    if run is not None and run.card is not None:
        found["state"] = "finished"
    elif job is not None and job.state == "cancelled" and job.number == current:
        found |= {"state": "stopping", "words": "ends its step and writes a checkpoint"}
    elif job is not None and job.state in ("waiting", "running"):
        found |= {"state": job.state, "words": _doing(job), "job": job.number}
    elif job is not None and job.state == "failed":
        found |= {"state": "failed", "words": job.message}
    elif job is None and run is not None and not run.quiet:
        found |= {"state": "elsewhere", "words": "started by another program"}
    return found


def _chip(job: Job) -> dict:
    """A job that is no training, for the page's head."""
    return {"number": job.number, "title": job.title, "words": _doing(job), "fraction": job.fraction}


def _doing(job: Job) -> str:
    if job.state == "waiting":
        return "until the job before it has ended"
    return in_words(job) or "starting …"


def shown(run: Run) -> dict:
    """One training for the browser: what it is, its curve, its checkpoints."""
    settings = run.settings
    backbone = settings.get("backbone")
    name = backbone.get("backbone", "") if isinstance(backbone, dict) else str(backbone or "")
    return {
        "version": run.version,
        "method": str(settings.get("method", "")),
        "backbone": commands.BACKBONES.get(name, name),
        "size": settings.get("size"),
        "batch": settings.get("batch"),
        "objects": settings.get("objects"),
        "bands": settings.get("bands"),
        "seed": settings.get("seed"),
        "targets": list(settings["targets"]) if isinstance(settings.get("targets"), dict) else [],
        "steps": run.steps,
        "command": _line(settings.get("command")),
        "last": {key: run.last.get(key) for key in SHOWN},
        "curve": run.curve(),
        "quality": [{k: v for k, v in record.items() if isinstance(v, (int, float))} for record in run.quality],
        "pictures": run.pictures,
        "card": {k: run.card.get(k) for k in ("dimension", "size", "licence", "trained_on")} if run.card else None,
    }


def typed(command) -> tuple[str, tuple[str, ...]]:
    """The command and options behind the survey of a kept command line (text or list); empty if it is no training."""
    parts = shlex.split(command) if isinstance(command, str) else [str(p) for p in command or ()]
    at = next((k for k, part in enumerate(parts) if part in ("train", "finetune")), None)
    if at is None or at + 1 >= len(parts):
        return "", ()
    return parts[at], tuple(part for part in parts[at + 2 :] if part not in ("--json",))


def _line(command) -> str:
    return command if isinstance(command, str) else shlex.join(str(p) for p in command or ())


def choices(store: Store) -> dict:
    """What the forms offer: encoders, methods, backbones, columns, targets, devices, representations."""
    from engine.encoders import cards
    from engine.encoders.backbones import BACKBONES
    from engine.training import METHODS

    return {
        "encoders": [
            {
                "name": card.name,
                "dimension": card.dimension,
                "size": card.size,
                "trained_on": card.trained_on,
                "licence": card.licence,
                "own": (store.survey.path / "models" / card.name).is_dir(),
            }
            for card in cards(store.survey.path / "models")
        ],
        "methods": {name: commands.METHODS.get(name, "") for name in METHODS},
        "backbones": {name: commands.BACKBONES.get(name, name) for name in BACKBONES},
        "questions": commands.questions(store),
        "targets": store.survey.labels.targets(),
        "walks": [run.name for run in store.runs.look() if run.decodes],
        "devices": commands.devices(),
        "bands": store.survey.bands,
        "objects": store.n,
        "representations": store.survey.representations,
        "used": store.representation,
    }


def offered(selection: np.ndarray | None, cursor: int, n: int, count: int = OFFERED) -> np.ndarray:
    """Rows to look at: of the selection, else spread over the survey; the one in focus first."""
    if selection is not None and len(selection):
        rows = selection[:count]
    else:
        rows = np.random.default_rng(0).permutation(n)[:count] if n < 1_000_000 else np.arange(0, n, n // count)[:count]
    if 0 <= cursor < n:
        rows = np.concatenate([[cursor], rows[rows != cursor]])[:count]
    return np.asarray(rows, np.int64)


def _form(message: dict) -> tuple[str, dict]:
    kind, fields = str(message.get("kind")), message.get("fields")
    return (kind if kind in commands.MAKERS else "embed"), (fields if isinstance(fields, dict) else {})


def _whole(value) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else -1
