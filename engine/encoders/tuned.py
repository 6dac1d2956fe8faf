"""Encoders whose weights can be tuned, and those whose weights were.

What `engine.training.finetune` needs of an encoder is `Tunable`: a torch network between `prepare` and the vectors, and
its parts in order. What it leaves, a folder with ``encoder.json`` and ``encoder.safetensors``, is `Tuned`: the encoder
it started from, with other weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from inspect import ismethod
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from engine import files
from engine.data.pictures.stretch import Calibration
from engine.encoders import CARD, UNSTATED, Encoder, check_bands, load
from engine.encoders.trained import Trained
from engine.errors import UserError

WEIGHTS = "encoder.safetensors"


class Tunable(Encoder, Protocol):
    """An encoder that is a torch network behind `prepare`."""

    @property
    def network(self) -> nn.Module:
        """A prepared batch → (B, D), differentiable. May have ``layers()``, its parts from the input to the output."""
        ...


def require_tunable(encoder: Encoder, spec: str) -> Tunable:
    """The same encoder, if it has a network to tune.

    Raises
    ------
    UserError
    """
    network = getattr(encoder, "network", None)
    if (
        isinstance(network, nn.Module)
        and not isinstance(network, torch.jit.ScriptModule)
        and next(network.parameters(), None) is not None
    ):
        return cast(Tunable, encoder)
    why = "it has no network" if spec == "pixels" else "its network is exported, and cannot learn"
    raise UserError(
        f"the encoder {spec!r} cannot be fine-tuned: {why}",
        "use `skysieve-base`, a training of this survey by its name, or a model as hf:NAME",
    )


def layers(network: nn.Module) -> list[list[nn.Parameter]]:
    """Parameters of a network in groups, from its input to its output; each parameter once.

    The parts are what ``network.layers()`` says, else its children in the order in which it was built, with every list
    of blocks opened. What is in no part (the fill of missing pixels, class tokens) goes with the first.
    """
    own = getattr(network, "layers", None)  # a method of ours; in other libraries often a list of blocks
    parts = own() if ismethod(own) else _parts(network)
    groups: list[list[nn.Parameter]] = []
    seen: set[int] = set()
    for part in parts:
        group = [p for p in part.parameters() if id(p) not in seen]
        seen |= {id(p) for p in group}
        if group:
            groups.append(group)
    loose = [p for p in network.parameters() if id(p) not in seen]
    if not groups:
        return [loose]
    groups[0] = loose + groups[0]
    return groups


def _parts(module: nn.Module) -> list[nn.Module]:
    """Children in order; one that holds a list of blocks somewhere inside is opened down to it."""
    found: list[nn.Module] = []
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            found += [part for block in child for part in (_parts(block) if _has_list(block) else [block])]
        else:
            found += _parts(child) if _has_list(child) else [child]
    return found


def _has_list(module: nn.Module) -> bool:
    return any(isinstance(part, nn.ModuleList) and len(part) > 1 for part in module.modules())


class Tuned:
    """An encoder with the weights of a fine-tuning.

    Parameters
    ----------
    folder : path
        Of the fine-tuning, ``models/NAME``.

    Raises
    ------
    UserError
        If the encoder it started from is not there any more, or has another shape.
    """

    def __init__(self, folder: str | Path):
        folder = Path(folder)
        self.card = files.read_json(folder / CARD)
        self.name = folder.name
        self.start = _start(folder, self.card)
        weights = hashlib.sha256((folder / WEIGHTS).read_bytes())
        self.identity = hashlib.sha256(f"{self.start.identity} {weights.hexdigest()}".encode()).hexdigest()[:16]
        self.network = self.start.network
        self.size, self.dimension = self.start.size, self.start.dimension
        self.sample, self.dtype = self.start.sample, self.start.dtype
        self.bands = getattr(self.start, "bands", None)
        self.normalisation = getattr(self.start, "normalisation", UNSTATED)
        self.licence = self.card.get("licence", UNSTATED)
        self.trained_on = self.card.get("trained_on", UNSTATED)

    def serve(self, bands: Sequence[str]) -> None:
        """Take cutouts of these bands from now on, as the encoder it started from; refuses those it cannot take."""
        check_bands(self.start, bands)

    def fit(self, pixels: np.ndarray, calibration: Calibration, science: bool) -> None:
        """Nothing to learn."""

    def state(self) -> dict[str, torch.Tensor]:
        """Nothing was learned from the survey in passing."""
        return {}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Nothing to take back."""

    def to(self, device: torch.device) -> Tuned:
        """Move to a device."""
        self.start.to(device)
        return self

    def prepare(self, pixels: np.ndarray, calibration: Calibration, science: bool) -> torch.Tensor:
        """As the encoder it started from."""
        return self.start.prepare(pixels, calibration, science)

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """(B, …) → (B, D) float32."""
        return self.start(batch)


def _start(folder: Path, card: dict) -> Tunable:
    """The encoder that was tuned, with its new weights. That of a training is all in the folder; of others (the one
    that ships, Hugging Face) the folder has the weights alone.
    """
    if "backbone" in card:
        return Trained(folder)
    spec = card["start"]["encoder"]
    try:
        encoder = load(spec, models=folder.parent)
    except UserError as error:
        raise UserError(
            f"{folder} was tuned from the encoder {spec!r}, which cannot be loaded ({error.problem})",
            f"put it back, or fine-tune again ({error.remedy})",
        ) from error
    start = require_tunable(encoder, spec)
    load_weights(start.network, folder / WEIGHTS)
    start.network.eval()
    return start


def load_weights(network: nn.Module, path: Path) -> None:
    """Give a network the weights of a file.

    Raises
    ------
    UserError
        If the file is damaged or of another network.
    """
    try:
        network.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError, OSError) as error:
        raise UserError(
            f"{path} does not hold the weights of its encoder ({str(error).splitlines()[0]})", "fine-tune again"
        ) from error
