"""What the page on representations can start: the command a person could type, made of a form's fields and checked first.

Each maker takes the fields as the browser sends them (strings, and lists of strings) and gives a `Draft`, or refuses with
the remedy. What only the engine knows (names of encoders, which size a backbone takes, which device is there) the engine is
asked, so a draft that is shown will start. The checks import torch's modules: make drafts off the event loop.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from app.store import Store
from engine.errors import UserError
from engine.survey import check_name

#: What each way of training does, in a sentence; the order of the list.
METHODS = {
    "simmim": "Hides patches and learns to paint them in: knows structure without any label. A good first choice.",
    "mae": "As SimMIM, but sees only what is not hidden: faster a step, wants more of them.",
    "byol": "Two views of an object, turned and dimmed differently, must look alike: good for finding similar objects.",
    "dino": "A student follows a teacher through crops of an object: groups emerge by themselves.",
    "vae": "Squeezes an object into few numbers and draws it again: you can look at what it kept, and walk in between.",
    "votes": "Learns from columns of your catalogue: the fractions of volunteers' votes, or classes.",
}
#: Backbones, in plain words.
BACKBONES = {"vit-tiny": "ViT, tiny", "vit-small": "ViT, small", "convnet": "convolutional"}
#: Longest training that can be asked for, minutes: a slip of the finger must not take a month.
LONGEST = 7 * 24 * 60


@dataclass(frozen=True)
class Draft:
    """A command that can be started.

    Attributes
    ----------
    title : str
        What the job is called.
    command : str
        After ``python -m engine``.
    options : tuple of str
        After the survey.
    then : Draft, optional
        What is to follow.
    """

    title: str
    command: str
    options: tuple[str, ...]
    then: Draft | None = None

    def typed(self, survey: Path) -> str:
        """What a person would type."""
        line = shlex.join(["python", "-m", "engine", self.command, str(survey), *self.options])
        return line if self.then is None else f"{line}\n{self.then.typed(survey)}"

    def start(self, store: Store) -> None:
        """Queue it as a job, and what is to follow behind it."""
        store.jobs.start(self.title, self.command, *self.options)
        if self.then is not None:
            self.then.start(store)


Fields = Mapping[str, object]


def draft(store: Store, kind: str, fields: Fields) -> Draft:
    """Make the command of a form.

    Parameters
    ----------
    kind : 'train' | 'finetune' | 'embed'
    fields : mapping
        As the browser has them; an empty string is a field left alone.

    Raises
    ------
    UserError
        If it would not start: which field, and what to write in it.
    """
    return MAKERS[kind](store, fields)


def train(store: Store, fields: Fields) -> Draft:
    """Training a new encoder."""
    from engine.training import METHODS as KNOWN
    from engine.training import method as find

    name, method = _name(fields), _text(fields, "method")
    if (store.survey.path / "models" / name).exists() or _queued(store, name):
        raise UserError(f"there is a training {name!r} already", "choose another name, or resume that one")
    if method not in KNOWN:
        raise UserError(f"there is no training method {method!r}", f"choose one of: {', '.join(KNOWN)}")
    options = ["--method", method, "--name", name, *_length(fields)]
    options += _optional(fields, "backbone", _backbone(store, fields))
    for field in ("size", "batch"):
        options += _optional(fields, field, partial(_words, what=field))
    options += _optional(fields, "seed", lambda text: str(_whole(text, "seed", least=0)))
    options += _optional(fields, "device", _device)
    if find(method).supervised:
        options += _targets(fields)
    return Draft(f"Training {name}", "train", tuple(options))


def finetune(store: Store, fields: Fields) -> Draft:
    """Fine-tuning an encoder to a target's labels."""
    from engine.training.truth import of_labels

    target, encoder = _text(fields, "target"), _text(fields, "encoder")
    if not target:
        raise UserError("no target is chosen", "label a few dozen objects in the gallery, of both kinds")
    of_labels(store.survey, target)  # refuses too few
    name = _name(fields)
    if (store.survey.path / "models" / name).exists() or _queued(store, name):
        raise UserError(f"there is a training {name!r} already", "choose another name")
    if encoder == "pixels":
        raise UserError("`pixels` has no network to tune", "choose another encoder")
    _known(store, encoder)
    options = ["--target", target, "--encoder", encoder, "--name", name]
    options += _optional(fields, "epochs", lambda text: str(_whole(text, "epochs")))
    options += _optional(fields, "seed", lambda text: str(_whole(text, "seed", least=0)))
    return Draft(f"Fine-tuning {name}", "finetune", tuple(options))


def embed(store: Store, fields: Fields) -> Draft:
    """A representation by an encoder, and a map of it if that is wanted."""
    encoder = _text(fields, "other") if fields.get("encoder") == "other" else _text(fields, "encoder")
    if not encoder:
        raise UserError("no encoder is named", "write hf:NAME, timm:NAME, a .pt or .onnx file, or a training's folder")
    _known(store, encoder)
    name = _text(fields, "name") or Path(encoder).stem.split(":")[-1]
    check_name(name)
    options = ["--encoder", encoder]
    if name != encoder:
        options += ["--name", name]
    options += _optional(fields, "device", _device)
    layout = ("--method", "umap", "--representation", name)
    then = Draft(f"Map of {name}", "layout", layout) if fields.get("map") else None
    return Draft(f"Representation {name}", "embed", tuple(options), then)


MAKERS: dict[str, Callable[[Store, Fields], Draft]] = {"train": train, "finetune": finetune, "embed": embed}


# -- fields ------------------------------------------------------------------------------------------------------------


def _text(fields: Fields, name: str) -> str:
    return str(fields.get(name) or "").strip()


def _name(fields: Fields) -> str:
    name = _text(fields, "name")
    if not name:
        raise UserError("it has no name yet", "write one: the encoder and its representation will be called so")
    return check_name(name)


def _optional(fields: Fields, name: str, checked: Callable[[str], str]) -> list[str]:
    text = _text(fields, name)
    return [f"--{name}", checked(text)] if text else []


def _whole(text: str, what: str, *, least: int = 1) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise UserError(f"{text!r} is no {what}", f"write a whole number, at least {least}")
    return value


def _words(text: str, what: str) -> str:
    return str(_whole(text, what))


def _length(fields: Fields) -> list[str]:
    """How long it trains: minutes, or steps."""
    unit, text = ("steps" if _text(fields, "unit") == "steps" else "minutes"), _text(fields, "length")
    if unit == "steps":
        return ["--steps", str(_whole(text, "number of steps"))]
    try:
        minutes = float(text)
    except ValueError:
        minutes = math.nan
    if not 0 < minutes <= LONGEST:
        raise UserError(f"{text!r} is no number of minutes", f"write a number up to {LONGEST:,}, such as 10")
    return ["--minutes", f"{minutes:g}"]


def _backbone(store: Store, fields: Fields) -> Callable[[str], str]:
    """A check that the backbone takes the size, by making one: the engine alone knows."""

    def check(backbone: str) -> str:
        from engine.encoders.backbones import make

        size = _text(fields, "size")
        if size:
            make(backbone, bands=len(store.survey.bands), size=_whole(size, "size"))
        return backbone

    return check


def _device(name: str) -> str:
    from engine import device

    device.choose(name)
    return name


def _known(store: Store, encoder: str) -> None:
    """Refuse an encoder that is not there, or cannot take the survey's bands; loads no weights."""
    from engine.encoders import FOREIGN, cards, check_bands

    if encoder.startswith(tuple(FOREIGN)) or Path(encoder).suffix.lower() in FOREIGN:
        return  # the command says what is wrong with a foreign one: that takes as long as loading it
    found = {card.name: card for card in cards(store.survey.path / "models")}
    if encoder in found:
        check_bands(found[encoder], store.survey.bands)
    elif not (Path(encoder) / "encoder.json").is_file():
        raise UserError(
            f"there is no encoder {encoder!r}" if encoder else "no encoder is chosen",
            f"choose one of: {', '.join(found)}; or hf:NAME, timm:NAME, a .pt or .onnx file, or the folder of a training",
        )


def _targets(fields: Fields) -> list[str]:
    """The columns that are ticked; an engine that is given none takes all there are."""
    chosen = fields.get("targets")
    if chosen == "all":
        return []
    columns = [str(c) for c in chosen] if isinstance(chosen, (list, tuple)) else []
    if not columns:
        raise UserError("no column is chosen to learn from", "tick the columns that hold votes or classes")
    return ["--targets", *columns]


def _queued(store: Store, name: str) -> bool:
    return any(named(job.arguments) == name for job in store.jobs.all() if not job.over)


def named(arguments: Sequence[str]) -> str:
    """The name that a training's command gives; empty for other commands."""
    return _option(arguments, "--name") if arguments[0] in ("train", "finetune") else ""


def encoder(arguments: Sequence[str]) -> str:
    """The encoder that an embedding's command names; empty for other commands."""
    return _option(arguments, "--encoder") if arguments[0] == "embed" else ""


def _option(arguments: Sequence[str], option: str) -> str:
    return arguments[list(arguments).index(option) + 1] if option in arguments[:-1] else ""


# -- what the forms offer ----------------------------------------------------------------------------------------------


def devices() -> list[str]:
    """Devices that are present, the best first."""
    from engine import device

    found = []
    for name in ("cuda", "mps", "cpu"):
        try:
            found.append(device.choose(name).type)
        except UserError:
            continue
    return found


def questions(store: Store) -> dict[str, list[str]]:
    """What a supervised training can learn: question → the columns that answer it; empty if the catalogue has none."""
    from engine.training.targets import read_targets
    from engine.training.votes import questions as grouped

    try:
        known = read_targets(store.survey)[0]
    except UserError:
        return {}
    columns = grouped(store.survey.columns)
    return {name: columns[name] for name in known if name in columns}
