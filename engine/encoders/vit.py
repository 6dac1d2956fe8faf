"""Vision transformers over any number of bands (Dosovitskiy et al. 2021, arXiv:2010.11929).

    patches of all bands → one linear layer + fixed 2-D sin-cos positions → n × [x += attention(norm x); x += mlp(norm x)] → norm

One token stands for an 8 × 8 patch of all bands. Positions are fixed, not learned, so that nothing has to be
interpolated and a few thousand cutouts suffice.

Cost, 3 bands of 64 × 64 pixels (64 tokens): ``vit-tiny`` 0.18 G multiply-adds and 2.7 million parameters, ``vit-small``
(ViT-S/8) 1.4 G and 21 million; nearly all of it in matrix products, linear in the number of patches at this size.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from engine.encoders.backbones import Backbone, check_size
from engine.errors import UserError

#: Pixels a side of a patch.
PATCH = 8
#: Slowest period of the sin-cos positions, as in Vaswani et al. 2017.
PERIOD = 10_000.0
#: Most tokens whose pairs a training on a CPU holds in memory, instead of torch's fused attention. Forward and backward,
#: bfloat16, one core: 49 against 240 ms for 128 cutouts of 64 tokens, 23 against 50 ms for 16 of 196.
PLAIN_TOKENS = 256


def plain_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """softmax(q kᵀ / √w) v in so many words, (B, h, T, w): the same as torch's fused attention, whose backward pass on a
    CPU takes several times as long.
    """
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    return scores.softmax(dim=-1) @ value


def _backward_on_cpu(x: torch.Tensor) -> bool:
    return x.device.type == "cpu" and x.requires_grad and x.shape[1] <= PLAIN_TOKENS


class Block(nn.Module):
    """Self-attention, then a perceptron four times as wide, each beside a shortcut and behind its own norm."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.merge = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, W) → (B, T, W)."""
        x = x + self.attend(self.attention_norm(x))
        return x + self.narrow(F.gelu(self.widen(self.mlp_norm(x))))

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        batch, count, width = x.shape
        query, key, value = self.qkv(x).view(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        product = plain_attention if _backward_on_cpu(x) else F.scaled_dot_product_attention
        mixed = product(query, key, value)
        return self.merge(mixed.transpose(1, 2).reshape(batch, count, width))


class ViT(Backbone):
    """A vision transformer without a class token: its vector is pooled from the tokens.

    Parameters
    ----------
    bands, size : int
        C, S.
    name : str
        Its key in `engine.encoders.backbones.BACKBONES`.
    width, depth, heads : int
        Of the tokens, blocks, and attention heads of a block; width is a multiple of 4 and of heads.
    pooling : {"mean", "centre"}
        See `Backbone.pooled`.

    Raises
    ------
    UserError
        If the size is no multiple of `PATCH`.
    """

    patch = PATCH
    positions: torch.Tensor

    def __init__(self, bands: int, size: int, *, name: str, width: int, depth: int, heads: int, pooling: str = "mean"):
        check_size(size, PATCH)
        super().__init__(bands, size, pooling=pooling)
        self.settings = {
            "backbone": name,
            "bands": bands,
            "size": size,
            "width": width,
            "depth": depth,
            "heads": heads,
            "pooling": pooling,
        }
        self.dimension = width
        self.project = nn.Linear(bands * PATCH**2, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.register_buffer("positions", sincos_positions(size // PATCH, width), persistent=False)
        initialise(self)

    def tokens(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, C, S, S) with NaN → (B, T, W)."""
        return self.transform(self.embedded(pixels))

    def embedded(self, pixels: torch.Tensor) -> torch.Tensor:
        """Patches as tokens that know their place, before any of them has seen another: (B, C, S, S) → (B, T, W)."""
        patches = to_patches(self.filled(pixels), PATCH).transpose(1, 2).flatten(2)
        return self.project(patches.to(self.project.weight.dtype)) + self.positions

    def transform(self, tokens: torch.Tensor) -> torch.Tensor:
        """The blocks and the last norm, over any choice of embedded tokens: (B, t, W) → (B, t, W)."""
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)

    def layers(self) -> list[nn.Module]:
        """Embedding, each block, last norm."""
        return [self.project, *self.blocks, self.norm]


def tiny(bands: int, size: int, **settings) -> ViT:
    """The one for a CPU: ten minutes on two cores are some twenty-five passes over 5,000 cutouts."""
    return ViT(bands, size, name="vit-tiny", **{"width": 192, "depth": 6, "heads": 3, **settings})


def small(bands: int, size: int, **settings) -> ViT:
    """ViT-S/8, the one for a GPU."""
    return ViT(bands, size, name="vit-small", **{"width": 384, "depth": 12, "heads": 6, **settings})


def to_patches(pixels: torch.Tensor, patch: int) -> torch.Tensor:
    """Cut into patches, row by row: (B, C, S, S) → (B, C, T, p²)."""
    batch, bands, size, _ = pixels.shape
    side = size // patch
    cut = pixels.reshape(batch, bands, side, patch, side, patch)
    return cut.permute(0, 1, 2, 4, 3, 5).reshape(batch, bands, side * side, patch * patch)


def from_patches(patches: torch.Tensor, patch: int) -> torch.Tensor:
    """Put patches together again, the inverse of `to_patches`: (B, C, T, p²) → (B, C, S, S)."""
    batch, bands, count, _ = patches.shape
    side = round(count**0.5)
    cut = patches.reshape(batch, bands, side, side, patch, patch)
    return cut.permute(0, 1, 2, 4, 3, 5).reshape(batch, bands, side * patch, side * patch)


def sincos_positions(side: int, width: int) -> torch.Tensor:
    """Fixed positions of a square grid of tokens, (side², width) float32: a quarter of the width each for the sine and
    cosine of the row and of the column.

    Raises
    ------
    UserError
        If width is no multiple of 4.
    """
    if width % 4:
        raise UserError(f"tokens of width {width} have no 2-D positions", "choose a width that is a multiple of 4")
    quarter = width // 4
    rate = PERIOD ** -(torch.arange(quarter, dtype=torch.float64) / quarter)
    angle = torch.arange(side, dtype=torch.float64)[:, None] * rate
    axis = torch.cat([angle.sin(), angle.cos()], dim=1)
    rows, columns = axis.repeat_interleave(side, dim=0), axis.repeat(side, 1)
    return torch.cat([rows, columns], dim=1).float()


def initialise(module: nn.Module) -> None:
    """Glorot weights and no biases in every linear layer, as in He et al. 2022."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            nn.init.zeros_(part.bias)
