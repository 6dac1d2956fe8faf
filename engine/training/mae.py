"""Masked autoencoder: drop most tokens, encode the rest, and let a small decoder draw what was dropped.

    three quarters of the tokens dropped → encoder over the others → + one learned token in every gap → 2 blocks → linear
    L = mean (x̂ − (x − m) / √(v + 10⁻⁶))²  over pixels of dropped patches that are known

A token is a patch of all bands, so that all bands of a patch are dropped together (`simmim` hides each band by itself).
A patch without a known pixel in any band is dropped first, and what is missing never counts.

Source: He et al. 2022, arXiv:2111.06377. Cost: a quarter of the encoder's, and 29 million multiply-adds for the decoder at
64 tokens of 3 bands. Needs a transformer: a convolution cannot leave out places.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from engine.encoders.backbones import Backbone
from engine.encoders.vit import Block, ViT, initialise, sincos_positions, to_patches
from engine.errors import UserError
from engine.training import Batch, Method
from engine.training.simmim import SHOWN, columns, draw_flat, evaluating, mean_where, normalised

#: Share of the tokens that is dropped.
DROPPED = 0.75


class Decoder(nn.Module):
    """Draws every patch from the tokens of a few.

    Parameters
    ----------
    given : int
        Width of the encoder's tokens.
    side : int
        Tokens a side.
    drawn : int
        Numbers to draw a token, C p².
    """

    positions: torch.Tensor

    def __init__(self, given: int, side: int, drawn: int, *, width: int = 128, depth: int = 2, heads: int = 4):
        super().__init__()
        self.project = nn.Linear(given, width)
        self.gap = nn.Parameter(0.02 * torch.randn(width))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.draw = nn.Linear(width, drawn)
        self.register_buffer("positions", sincos_positions(side, width), persistent=False)
        initialise(self)
        draw_flat(self.draw)

    def forward(self, tokens: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """(B, t, W) tokens of the places `kept`, (B, t) int64 → (B, T, C p²)."""
        tokens = self.project(tokens)
        everywhere = self.gap.to(tokens.dtype).expand(len(tokens), len(self.positions), -1)
        everywhere = everywhere.scatter(1, kept[..., None].expand_as(tokens), tokens)
        return self.draw(self.norm(self.blocks(everywhere + self.positions)))


class MAE(Method):
    """Masked autoencoder on a vision transformer.

    The loss is shown beside ``flat``, the loss of drawing every patch flat at its own mean.

    Raises
    ------
    UserError
        If the backbone is no vision transformer.
    """

    encoder: ViT
    #: 4,000 cutouts of Galaxy Zoo 2 in batches of 32 (``flat`` .997): .906 at 5e-4, .942 at 1e-4.
    defaults: ClassVar[dict] = Method.defaults | {"batch": 32, "rate": 5e-4}

    def __init__(self, encoder: Backbone, *, targets: Mapping[str, int] | None = None):
        if not isinstance(encoder, ViT):
            raise UserError(
                f"the method 'mae' leaves out tokens, which the backbone {encoder.settings['backbone']!r} cannot do",
                "choose the backbone vit-tiny or vit-small, or the method simmim",
            )
        super().__init__(encoder, targets=targets)
        self.decoder = Decoder(encoder.dimension, encoder.size // encoder.patch, encoder.bands * encoder.patch**2)

    def forward(self, batch: Batch, *, rng: torch.Generator, done: float) -> dict[str, torch.Tensor]:
        """The terms ``loss`` and ``flat``."""
        patches = to_patches(batch.pixels, self.encoder.patch)
        kept = choose_kept(patches, rng=rng)
        target, _, _ = normalised(patches)
        counted = dropped(kept, patches)[..., None] & torch.isfinite(patches)
        return {
            "loss": mean_where((self.drawn(batch.pixels, kept) - target).square(), counted),
            "flat": mean_where(target.square(), counted),
        }

    def drawn(self, pixels: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """Patches as the network draws them from the kept ones alone, in units of each patch's own contrast.

        (B, C, S, S) with NaN, (B, t) int64 → (B, C, T, p²).
        """
        embedded = self.encoder.embedded(pixels)
        few = embedded.gather(1, kept[..., None].expand(-1, -1, embedded.shape[2]))
        drawn = self.decoder(self.encoder.transform(few), kept).float()
        return drawn.unflatten(2, (self.encoder.bands, -1)).transpose(1, 2)

    @torch.no_grad()
    def picture(self, batch: Batch, *, rng: torch.Generator) -> np.ndarray:
        """Original, masked and reconstruction, as of `simmim`: (rows, 3, C, S, S) float32."""
        pixels = batch.pixels[:SHOWN]
        patches = to_patches(pixels, self.encoder.patch)
        kept = choose_kept(patches, rng=rng)
        with evaluating(self):
            drawn = self.drawn(pixels, kept)
        return columns(patches, dropped(kept, patches), drawn, self.encoder.patch)


def choose_kept(patches: torch.Tensor, *, rng: torch.Generator) -> torch.Tensor:
    """Choose the tokens to keep, as many in every cutout: a quarter at random, of those that have a known pixel in any
    band as far as there are enough.

    Parameters
    ----------
    patches : (B, C, T, p²) float32
        NaN where missing.

    Returns
    -------
    (B, t) int64
        Places of the kept tokens, t = max(1, round(T / 4)).
    """
    batch, _, places, _ = patches.shape
    missing = ~torch.isfinite(patches).any(dim=3).any(dim=1)
    order = torch.rand((batch, places), generator=rng, device=patches.device) + missing
    return order.argsort(dim=1)[:, : max(1, round((1 - DROPPED) * places))]


def dropped(kept: torch.Tensor, patches: torch.Tensor) -> torch.Tensor:
    """Which patches of which band were left out: (B, t) int64 → (B, C, T) bool."""
    batch, bands, places, _ = patches.shape
    left_out = torch.ones(batch, places, dtype=torch.bool, device=kept.device).scatter(1, kept, False)
    return left_out[:, None].expand(-1, bands, -1)
