"""``autoencoder``: any backbone with a narrow vector that a decoder can turn back into pixels.

    tokens of the inner backbone, side by side → linear → mean (B, Z)            the vector
    (B, Z) → linear → (B, w, s, s) → k × [twice the side, 3 × 3 convolution] → (B, C, S, S),   s = S / 2ᵏ

It is what `engine.training.vae` trains and leaves: the decoder is part of it, so whoever has the encoder can look
through it (`decode`, `reconstruct`, `walk`). Embedding does not run the decoder.

Cost, 3 bands of 64 × 64 pixels over ``convnet``: 0.2 million parameters more for the vector, 0.7 million and 30 million
multiply-adds for the decoder.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn.functional import interpolate

from engine.encoders.backbones import Backbone, restore

#: Length of the vector.
LATENT = 64
#: Most doublings of the decoder, its channels at full size, and most channels.
DOUBLINGS, NARROWEST, WIDEST = 4, 16, 128


class Autoencoder(Backbone):
    """A backbone whose vector is the mean of a latent Gaussian, and its decoder.

    Parameters
    ----------
    inner : Backbone
        Gives the tokens; trained in place.
    latent : int
        Z.
    """

    def __init__(self, inner: Backbone, *, latent: int = LATENT):
        nn.Module.__init__(self)  # not Backbone's, which makes a fill of its own: it is the inner one's
        self.bands, self.size, self.patch, self.dimension = inner.bands, inner.size, inner.patch, latent
        self.settings = {
            "backbone": "autoencoder",
            "bands": inner.bands,
            "size": inner.size,
            "inner": inner.settings,
            "latent": latent,
        }
        self.inner = inner
        self.width = (inner.size // inner.patch) ** 2 * inner.dimension
        self.mean = nn.Linear(self.width, latent)
        self.decoder = Decoder(latent, inner.bands, inner.size)

    @property
    def fill(self) -> torch.Tensor:  # type: ignore[override]  # a parameter of the inner backbone
        """What stands for a missing pixel of each band, (C,)."""
        return self.inner.fill

    def tokens(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, C, S, S) with NaN → (B, T, W), the inner backbone's."""
        return self.inner.tokens(pixels)

    def pooled(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, T, W) → (B, Z)."""
        return self.mean(tokens.flatten(1))

    def layers(self) -> list[nn.Module]:
        """The inner backbone's, then what makes the vector, with the decoder."""
        return [*self.inner.layers(), nn.ModuleList([self.mean, self.decoder])]

    def decode(self, vectors: torch.Tensor) -> torch.Tensor:
        """Vectors → the cutouts they stand for: (n, Z) → (n, C, S, S) float32 on the scale of the input."""
        return self.decoder(vectors).float()

    def reconstruct(self, pixels: torch.Tensor) -> torch.Tensor:
        """What is left of cutouts after they went through their vectors: (n, C, S, S) with NaN → the same, finite."""
        return self.decode(self(pixels))

    def walk(self, first: torch.Tensor, second: torch.Tensor, steps: int) -> torch.Tensor:
        """The cutouts on the straight line between the vectors of two objects, (Z,) each → (steps, C, S, S)."""
        share = torch.linspace(0, 1, steps, device=first.device)[:, None]
        return self.decode(first + share * (second - first))


class Decoder(nn.Module):
    """Vector → cutout: a small map, doubled until it has the size."""

    def __init__(self, latent: int, bands: int, size: int):
        super().__init__()
        doublings = next(k for k in range(DOUBLINGS, -1, -1) if size % 2**k == 0)
        widths = [min(WIDEST, NARROWEST * 2 ** (doublings - k)) for k in range(doublings + 1)]
        self.start = nn.Linear(latent, widths[0] * (size >> doublings) ** 2)
        self.shape = (widths[0], size >> doublings, size >> doublings)
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(inside, outside, 3, 1, 1), nn.GroupNorm(4, outside), nn.GELU())
            for inside, outside in pairwise(widths)
        )
        self.out = nn.Conv2d(widths[-1], bands, 3, 1, 1)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """(n, Z) → (n, C, S, S)."""
        x = self.start(vectors).unflatten(1, self.shape)
        for stage in self.stages:
            x = stage(interpolate(x, scale_factor=2.0, mode="nearest"))
        return self.out(x)


def autoencoder(bands: int, size: int, *, inner: dict, latent: int = LATENT) -> Autoencoder:
    """The one that `Autoencoder.settings` describes; bands and size are the inner backbone's."""
    return Autoencoder(restore(inner), latent=latent)
