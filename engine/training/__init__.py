"""Training: encoders learned from the cutouts of a survey, one readable module a method, one loop for them all.

    survey → `feed` (cutouts of one size) → `loop` (steps, checkpoints) → method (what is learned) → models/NAME/
                                                   ↳ `monitor` (how good is it by now?)

A method is a `torch.nn.Module` with an encoder inside (`engine.encoders.backbones`); the exponential mean of that
encoder's weights is what a finished training leaves. `METHODS` names them; each is imported only when asked for.

``base`` is the recipe of the encoder that ships, from several teachers at once (`examples`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from engine.encoders.backbones import Backbone
from engine.errors import UserError

#: name → "module:class".
METHODS = {
    "simmim": "engine.training.simmim:SimMIM",
    "mae": "engine.training.mae:MAE",
    "byol": "engine.training.byol:BYOL",
    "dino": "engine.training.dino:DINO",
    "vae": "engine.training.vae:VAE",
    "votes": "engine.training.votes:Votes",
}


@dataclass(frozen=True)
class Batch:
    """Cutouts of one step, on the device.

    Attributes
    ----------
    pixels : (B, C, S, S) float32
        As `engine.encoders.scaling.scaled` gives them: of order one, NaN where missing (a pixel, a band, all).
    rows : (B,) int64
        Which objects they are.
    targets : dict
        Name → (B, k) float32, NaN where unknown; what a supervised method was asked to learn, empty for the others.
    """

    pixels: torch.Tensor
    rows: torch.Tensor
    targets: Mapping[str, torch.Tensor] = field(default_factory=dict)


class Method(nn.Module):
    """What is learned from a batch; the base of every method.

    Every random choice of a step comes from the `rng` it is given (on the batch's device), which depends on seed and
    step alone: a resumed run makes the same choices.

    Parameters
    ----------
    encoder : Backbone
        Trained in place.
    targets : mapping
        Name → number of columns, of the targets that `Batch.targets` will hold; empty for self-supervision.
    """

    #: Backbone, batch size, learning rate (at that batch), weight decay and AdamW's betas that this method wants.
    defaults: ClassVar[dict] = {
        "backbone": "vit-tiny",
        "batch": 128,
        "rate": 1e-4,
        "decay": 0.05,
        "betas": (0.9, 0.95),
    }
    #: Whether it needs targets.
    supervised: ClassVar[bool] = False

    def __init__(self, encoder: Backbone, *, targets: Mapping[str, int] | None = None):
        super().__init__()
        self.encoder = encoder

    def forward(self, batch: Batch, *, rng: torch.Generator, done: float) -> dict[str, torch.Tensor]:
        """The terms of the loss, scalars; ``loss`` is what is minimised, the others are shown beside it.

        `done` is the share of the training that is over, 0-1.
        """
        raise NotImplementedError

    def stepped(self, done: float) -> None:
        """Called after each step of the optimiser: where a target network follows."""

    def picture(self, batch: Batch, *, rng: torch.Generator) -> np.ndarray | None:
        """What the method makes of a few cutouts, (rows, columns, C, S, S) float32 in the scale of the input, NaN where
        masked (SimMIM: original, masked, reconstruction in three columns); None for a method with nothing to show.
        """
        return None


def method(name: str) -> type[Method]:
    """The class of a method by name.

    Raises
    ------
    UserError
        If there is none of that name; the known ones are listed.
    """
    if name not in METHODS:
        raise UserError(f"there is no training method {name!r}", f"choose one of: {', '.join(METHODS)}")
    module, found = METHODS[name].split(":")
    return getattr(import_module(module), found)
