"""Backbones: the networks that training starts from, of any number of bands and any size.

A backbone takes pixels with NaN where they are missing and puts a learned value, one a band, in their place; masking a
pixel and missing it are the same thing to it. So its vectors are finite whatever it is given.
"""

from __future__ import annotations

from abc import abstractmethod
from importlib import import_module

import torch
from torch import nn

from engine.errors import UserError

#: name → "module:factory"; a factory is called with (bands, size) and returns a `Backbone`.
BACKBONES = {
    "vit-tiny": "engine.encoders.vit:tiny",
    "vit-small": "engine.encoders.vit:small",
    "convnet": "engine.encoders.resnet:convnet",
}


class Backbone(nn.Module):
    """A network over (B, C, S, S) pixels.

    Attributes
    ----------
    settings : dict
        JSON-able; ``backbone`` (a key of `BACKBONES`), ``bands`` (their number, C), ``size`` (S) and what else
        `restore` needs to build the same network again.
    bands, size, dimension : int
        C, S, and the length D of the vectors.
    patch : int
        Pixels a side that one token stands for; S / patch is a whole number.
    fill : (C,) parameter
        What stands for a missing pixel of each band.
    """

    settings: dict
    dimension: int
    patch: int

    def __init__(self, bands: int, size: int):
        super().__init__()
        self.bands, self.size = bands, size
        self.fill = nn.Parameter(torch.zeros(bands))

    def filled(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels with the learned value of their band where they are missing, (B, C, S, S)."""
        return torch.where(torch.isfinite(pixels), pixels, self.fill[:, None, None])

    @abstractmethod
    def tokens(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, C, S, S) with NaN → (B, T, W): one token a patch, row by row, T = (S / patch)²."""

    def pooled(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, T, W) → (B, D): the mean of the tokens."""
        return tokens.mean(dim=1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, C, S, S) with NaN → (B, D), finite."""
        return self.pooled(self.tokens(pixels))

    @abstractmethod
    def layers(self) -> list[nn.Module]:
        """Its parts from the input to the output, for learning rates that fall towards the input. Every parameter but
        `fill` is in exactly one.
        """


def make(name: str, *, bands: int, size: int) -> Backbone:
    """A fresh backbone by name, its weights from torch's own generator.

    Raises
    ------
    UserError
        If there is none of that name, or it cannot take that size.
    """
    if name not in BACKBONES:
        raise UserError(f"there is no backbone {name!r}", f"choose one of: {', '.join(BACKBONES)}")
    module, factory = BACKBONES[name].split(":")
    return getattr(import_module(module), factory)(bands, size)


def restore(settings: dict) -> Backbone:
    """The backbone that `Backbone.settings` describes, with fresh weights."""
    return make(settings["backbone"], bands=settings["bands"], size=settings["size"])
