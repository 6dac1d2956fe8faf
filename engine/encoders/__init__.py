"""Encoders: what turns a batch of cutouts into vectors.

An encoder is a class in a file of its own and one line in `ENCODERS`; it is imported only when asked for. `embed` runs
one over a survey. What may be written where an encoder is asked for, in the order in which it is tried:

``skysieve-base``
    The one that ships (`engine.encoders.convnet`), weights in ``assets/``. Any number of bands, folded into three.
``pixels``
    Principal components of the pixels (`engine.encoders.pixels`): fitted to the survey itself, needs no weights, the
    baseline.
``hf:NAME_OR_DIR``, ``timm:NAME_OR_DIR``
    An image model of Hugging Face or timm (`engine.encoders.pretrained`).
``FILE.pt``, ``FILE.onnx``
    An exported network (`engine.encoders.exported`).
``NAME``, ``DIR``
    What `engine train` left: by name in its own survey, by its folder in any (`engine.encoders.trained`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from engine import files
from engine.data.pictures.stretch import Calibration
from engine.errors import UserError

#: name → "module:factory"; a factory is called without arguments. The module's `card` says what it is without making it.
ENCODERS = {
    "skysieve-base": "engine.encoders.convnet:skysieve_base",
    "pixels": "engine.encoders.pixels:Pixels",
}

#: Prefix or suffix → "module:factory"; a factory is called with what is left of the prefix, or the file, and `size`.
FOREIGN = {
    "hf:": "engine.encoders.pretrained:hugging_face",
    "timm:": "engine.encoders.pretrained:timm",
    ".pt": "engine.encoders.exported:torchscript",
    ".pt2": "engine.encoders.exported:torch_export",
    ".onnx": "engine.encoders.exported:onnx",
}

#: The encoder of a finished training; its factory is called with the folder.
TRAINED = "engine.encoders.trained:Trained"
#: That of a finished fine-tuning, likewise.
TUNED = "engine.encoders.tuned:Tuned"

#: What a training leaves last, in its folder.
CARD = "encoder.json"

#: What is said of an encoder whose maker does not say.
UNSTATED = "not stated"


@dataclass(frozen=True)
class Card:
    """What is known of an encoder before its weights are loaded.

    Attributes
    ----------
    name : str
        What to write for it.
    size : int
        Pixels a side of the cutouts it takes; others are resampled.
    dimension : int
        Length of its vectors (the most, for one that is fitted).
    parameters : int
        Trained numbers; 0 for one that is fitted to the survey.
    bands : None, int or tuple of str
        None takes any number; else how many it takes, or which.
    normalisation, licence, trained_on : str
        In words.
    """

    name: str
    size: int
    dimension: int
    parameters: int
    bands: int | tuple[str, ...] | None
    normalisation: str
    licence: str
    trained_on: str


class Encoder(Protocol):
    """Turns cutouts of one size into vectors.

    Attributes
    ----------
    name : str
        Also that of the representation it makes, unless another is asked for.
    size : int
        Pixels a side of the cutouts it takes.
    dimension : int
        D, length of its vectors; known once fitted, for an encoder that is fitted.
    dtype : numpy dtype
        What its vectors are stored as: float16 for networks, float32 where the leading digits are not enough.
    sample : int
        Cutouts it wants to see in `fit` before it can encode; 0 for none.
    identity : str
        Hash of what decides its vectors (weights, settings); two encoders of one identity give the same vectors.
    bands : None, int or tuple of str
        None takes any number; else how many it takes, or which, in this order (see `check_bands`).
    normalisation, licence, trained_on : str
        How pixels become its input, and the rest of its card, in words.
    """

    name: str
    size: int
    dimension: int
    dtype: np.dtype
    sample: int
    identity: str
    normalisation: str
    licence: str
    trained_on: str

    @property
    def bands(self) -> int | tuple[str, ...] | None:
        """The bands it takes."""
        ...

    def fit(self, pixels: np.ndarray, calibration: Calibration, science: bool) -> None:
        """Learn from a sample of the survey, (n, C, size, size) float32; called only if `sample` is not 0."""
        ...

    def state(self) -> dict[str, torch.Tensor]:
        """What `fit` learned, empty if nothing: kept beside the vectors, so that a resumed run continues with it."""
        ...

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Take back what `state` gave."""
        ...

    def to(self, device: torch.device) -> Encoder:
        """Move to a device."""
        ...

    def prepare(self, pixels: np.ndarray, calibration: Calibration, science: bool) -> torch.Tensor:
        """Make the network's input of (B, C, size, size) float32 pixels, NaN where missing; thread-safe."""
        ...

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Encode a prepared batch: (B, D) float32; a row that is not finite is taken for one that cannot be encoded."""
        ...


def load(spec: str, *, models: str | Path | None = None, size: int | None = None) -> Encoder:
    """Make an encoder.

    Parameters
    ----------
    spec : str
        As the module's docstring says.
    models : path, optional
        The ``models`` folder of a survey, whose own encoders are then known by name.
    size : int, optional
        Pixels a side, for a foreign network that takes several.

    Raises
    ------
    UserError
        If there is none of that name (the known ones are listed), or it cannot be loaded.
    """
    spec = str(spec)
    folder = _trained(spec, models)
    prefix = next((p for p in FOREIGN if p.endswith(":") and spec.startswith(p)), "")
    foreign = FOREIGN.get(prefix or Path(spec).suffix.lower())
    if spec not in ENCODERS and folder is None and foreign is not None:
        return _factory(foreign)(spec.removeprefix(prefix), size=size)
    if spec not in ENCODERS and folder is None:
        raise _unknown(spec, models)
    if size is not None:
        raise UserError(f"the size of {spec!r} cannot be chosen", "leave --size out: cutouts are resampled to its own")
    if spec in ENCODERS or folder is None:
        return _factory(ENCODERS[spec])()
    return _factory(TUNED if files.read_json(folder / CARD).get("method") == "finetune" else TRAINED)(folder)


def _factory(place: str):
    module, name = place.split(":")
    return getattr(import_module(module), name)


def _trained(spec: str, models: str | Path | None) -> Path | None:
    """Folder of a finished training: of that name in `models`, or at that path."""
    plain = spec not in {"", ".", ".."} and Path(spec).name == spec
    places = ([Path(models) / spec] if models is not None and plain else []) + [Path(spec)]
    return next((place for place in places if (place / CARD).is_file()), None)


def _unknown(spec: str, models: str | Path | None) -> UserError:
    """What to say of a spec that names nothing, by what it looks like."""
    place = Path(spec)
    if place.is_dir() and (place / "config.json").is_file():
        return UserError(f"{spec} is a model of Hugging Face or timm", f"write hf:{spec} or timm:{spec}")
    if models is not None and (Path(models) / spec / "settings.json").is_file():
        return UserError(
            f"the training {spec!r} is not finished", "run the same `train` command again to go on with it"
        )
    known = [*ENCODERS, *(card.name for card in trained_cards(models))]
    return UserError(
        f"there is no encoder {spec!r}",
        f"choose one of: {', '.join(known)}; or hf:NAME, timm:NAME, a .pt or .onnx file, or the folder of a training",
    )


def check_bands(encoder: Encoder | Card, bands: Sequence[str]) -> None:
    """Refuse a survey whose bands an encoder cannot take; one that can put them in its own order (``serve``) does.

    Parameters
    ----------
    encoder : Encoder or Card
    bands : sequence of str
        The survey's, in order.

    Raises
    ------
    UserError
    """
    if hasattr(encoder, "serve"):
        encoder.serve(bands)
        return
    wanted = encoder.bands
    if wanted is None or wanted == len(bands) or wanted == tuple(bands):
        return
    have = f"this survey has {len(bands)} ({' '.join(bands)})"
    other = "use `skysieve-base` or `pixels`, which take any bands, or train one on this survey"
    if isinstance(wanted, int):
        raise UserError(f"the encoder {encoder.name!r} takes {wanted} band{'s' * (wanted > 1)}, {have}", other)
    wants = f"the encoder {encoder.name!r} takes the bands {' '.join(wanted)}"
    if len(wanted) == len(bands):
        other += f"; if they are the same bands, ingest again with --bands {' '.join(wanted)}"
    raise UserError(f"{wants}, {have}", other)


# -- cards -------------------------------------------------------------------------------------------------------------


def cards(models: str | Path | None = None) -> list[Card]:
    """The cards of the registered encoders, and of those trained in a survey's `models` folder; loads no weights.

    Raises
    ------
    UserError
        If the card of one that ships is missing.
    """
    shipped = [_factory(place.split(":")[0] + ":card")() for place in ENCODERS.values()]
    return shipped + trained_cards(models)


def trained_cards(models: str | Path | None) -> list[Card]:
    """Cards of the finished trainings in a folder, by name; what cannot be read is left out."""
    if models is None:
        return []
    found = []
    for path in sorted(Path(models).glob(f"*/{CARD}")):
        try:
            found.append(_trained_card(path))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # `doctor` says what is wrong with it
    return found


def _trained_card(path: Path) -> Card:
    facts = files.read_json(path)
    bands = facts.get("bands")
    return Card(
        name=path.parent.name,
        size=int(facts["size"]),
        dimension=int(facts["dimension"]),
        parameters=parameters(path.parent / "encoder.safetensors"),
        bands=tuple(bands) if isinstance(bands, list) else bands,
        normalisation=facts.get("normalisation", UNSTATED),
        licence=facts.get("licence", UNSTATED),
        trained_on=facts.get("trained_on", UNSTATED),
    )


def parameters(weights: Path) -> int:
    """Numbers in a safetensors file, by its header alone; 0 if it is not there.

    The format: eight bytes of length, then a JSON object of that length with the shape of every tensor.
    """
    if not weights.is_file():
        return 0
    with open(weights, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(min(length, weights.stat().st_size)))
    return sum(prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
