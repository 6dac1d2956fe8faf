"""Backbones: the networks that training starts from, of any number of bands and any size.

A backbone takes pixels with NaN where they are missing and puts a learned value, one a band, in their place; masking a
pixel and missing it are the same thing to it. So its vectors are finite whatever it is given.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from importlib import import_module

import torch
from torch import nn

from engine.errors import UserError

#: name → "module:factory"; a factory is called with (bands, size, **settings) and returns a `Backbone`.
BACKBONES = {
    "vit-tiny": "engine.encoders.vit:tiny",
    "vit-small": "engine.encoders.vit:small",
    "convnet": "engine.encoders.resnet:convnet",
}
#: Those that hold another one: what a training left, not what one starts from.
HOLDERS = {"autoencoder": "engine.encoders.autoencoder:autoencoder"}
#: How a vector is made of the tokens: all of them, or those around the centre.
POOLINGS = ("mean", "centre")


class Backbone(nn.Module):
    """A network over (B, C, S, S) pixels.

    Attributes
    ----------
    settings : dict
        JSON-able; ``backbone`` (a key of `BACKBONES`), ``bands`` (their number, C), ``size`` (S), ``pooling`` and the
        network's shape: what `restore` needs to build the same network again.
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

    def __init__(self, bands: int, size: int, *, pooling: str = "mean"):
        super().__init__()
        if pooling not in POOLINGS:
            raise UserError(f"there is no pooling {pooling!r}", f"choose one of: {', '.join(POOLINGS)}")
        self.bands, self.size, self.pooling = bands, size, pooling
        self.fill = nn.Parameter(torch.zeros(bands))

    def filled(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels with the learned value of their band where they are missing, (B, C, S, S)."""
        return torch.where(torch.isfinite(pixels), pixels, self.fill[:, None, None])

    @abstractmethod
    def tokens(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, C, S, S) with NaN → (B, T, W): one token a patch, row by row, T = (S / patch)²."""

    def pooled(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, T, W) → (B, D): the mean of the tokens, or of the four around the centre, where the object is (nine, if
        their number a side is odd).
        """
        if self.pooling == "centre":
            side = self.size // self.patch
            count = min(2 + side % 2, side)
            middle = slice((side - count) // 2, (side + count) // 2)
            tokens = tokens.unflatten(1, (side, side))[:, middle, middle].flatten(1, 2)
        return tokens.mean(dim=1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, C, S, S) with NaN → (B, D), finite."""
        return self.pooled(self.tokens(pixels))

    @abstractmethod
    def layers(self) -> list[nn.Module]:
        """Its parts from the input to the output, for learning rates that fall towards the input. Every parameter but
        `fill` is in exactly one.
        """


def make(name: str, *, bands: int, size: int, **settings) -> Backbone:
    """A fresh backbone by name, its weights from torch's own generator; `settings` differ from the factory's own, as
    ``pooling="centre"``.

    Raises
    ------
    UserError
        If there is none of that name, or it cannot take that size.
    """
    if name not in BACKBONES:
        raise UserError(f"there is no backbone {name!r}", f"choose one of: {', '.join(BACKBONES)}")
    return _factory(BACKBONES[name])(bands, size, **settings)


def check_size(size: int, patch: int) -> None:
    """Refuse a size that is no whole number of patches.

    Raises
    ------
    UserError
        Naming the nearest sizes that are.
    """
    below = size // patch * patch
    if below != size or not below:
        nearest = f"{below} or {below + patch}" if below else f"{patch}"
        raise UserError(
            f"cutouts of {size} pixels are no whole number of patches of {patch}", f"choose {nearest} pixels"
        )


def restore(settings: dict) -> Backbone:
    """The backbone that `Backbone.settings` describes, with fresh weights."""
    name, shape = settings["backbone"], {key: value for key, value in settings.items() if key != "backbone"}
    return _factory(HOLDERS[name])(**shape) if name in HOLDERS else make(name, **shape)


def _factory(place: str) -> Callable[..., Backbone]:
    module, factory = place.split(":")
    return getattr(import_module(module), factory)
