"""VAE: a cutout squeezed through a few numbers and drawn again.

    q(z | x) = N(m(x), s(x)²),   x̂ = decoder(z),   z = m + s ε
    L = [ Σ_c n_c log σ_c  +  KL(q ‖ N(0, 1)) ] / n       σ_c² = mean (x − x̂)² over the known pixels of band c
    KL = ½ Σ (m² + s² − 1 − log s²)

n_c known pixels a cutout in band c, n in all: missing ones count nowhere. The noise σ_c of a band is the one that makes
its pixels likeliest, so reconstruction and KL are in the same unit (nats) whatever the scale of the input, and there is
no weight to choose. The representation is the mean m; encoder and decoder ship as one network
(`engine.encoders.autoencoder`). Cutouts are only turned (`augment.turn`): what else changes would have to be drawn too.

Sources: Kingma & Welling 2014, arXiv:1312.6114, appendix B; Rybkin et al. 2021, arXiv:2006.13202, for σ. Cost: encoder
and decoder, forward and back.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from engine.encoders.autoencoder import LATENT, Autoencoder
from engine.encoders.backbones import Backbone
from engine.encoders.trained import Trained
from engine.errors import UserError
from engine.training import Batch, Method
from engine.training.augment import turn
from engine.training.simmim import evaluating

#: Smallest variance of a band's noise: a tenth of a grey level on the scale of pictures.
VARIANCE_FLOOR = 1e-6
#: Range of log s²: neither a point nor so wide that the exponential overflows.
LOG_VARIANCE = (-12.0, 6.0)
#: Cutouts in a picture.
SHOWN = 8


class VAE(Method):
    """A variational autoencoder around any backbone.

    Parameters
    ----------
    encoder : Backbone
        Trained in place; `VAE.encoder` is an `Autoencoder` around it.
    latent : int
        Length of the vector.
    """

    defaults: ClassVar[dict] = {
        "backbone": "convnet",
        "batch": 64,
        "rate": 1e-3,
        "decay": 0.01,
        "betas": (0.9, 0.98),
    }
    encoder: Autoencoder

    def __init__(self, encoder: Backbone, *, targets: Mapping[str, int] | None = None, latent: int = LATENT):
        super().__init__(Autoencoder(encoder, latent=latent), targets=targets)
        self.log_variance = nn.Linear(self.encoder.width, latent)

    def forward(self, batch: Batch, *, rng: torch.Generator, done: float) -> dict[str, torch.Tensor]:
        """The terms ``loss``, ``kl`` (nats a cutout) and ``error``, the root of the mean squared residual."""
        pixels = turn(batch.pixels, rng=rng)
        tokens = self.encoder.tokens(pixels)
        mean = self.encoder.pooled(tokens).float()
        log_variance = self.log_variance(tokens.flatten(1)).float().clamp(*LOG_VARIANCE)
        noise = torch.randn(mean.shape, generator=rng, device=mean.device)
        drawn = self.encoder.decode(mean + (0.5 * log_variance).exp() * noise)
        likelihood, squared = reconstruction(drawn, pixels)
        kl = divergence(mean, log_variance).mean()
        each = torch.isfinite(pixels).sum().clamp(min=1) / len(pixels)
        return {"loss": likelihood + kl / each, "kl": kl, "error": squared.sqrt()}

    @torch.no_grad()
    def picture(self, batch: Batch, *, rng: torch.Generator) -> np.ndarray:
        """Original | reconstruction, (rows, 2, C, S, S) float32."""
        pixels = batch.pixels[:SHOWN]
        with evaluating(self):
            drawn = self.encoder.reconstruct(pixels)
        return torch.stack([pixels, drawn], dim=1).cpu().numpy()


def reconstruction(drawn: torch.Tensor, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """How unlikely pixels are under what was drawn, with the best noise of each band, in nats a known pixel; and the
    mean squared residual. (B, C, S, S) each, NaN = missing in the second → two scalars, 0 if no pixel is known.
    """
    known = torch.isfinite(pixels)
    counts = known.sum(dim=(0, 2, 3))
    squares = torch.where(known, drawn - torch.where(known, pixels, 0.0), 0.0).square().sum(dim=(0, 2, 3))
    variance = squares / counts.clamp(min=1) + VARIANCE_FLOOR
    total = counts.sum().clamp(min=1)
    return (counts * 0.5 * variance.log()).sum() / total, (squares.sum() / total).detach()


def divergence(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """KL(N(m, s²) ‖ N(0, 1)) of each row: (n, Z) each → (n,), nats."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)


def open_decoder(folder: str | Path) -> Autoencoder:
    """The network of a finished ``vae`` training, in evaluation mode, to look through: `decode`, `reconstruct`, `walk`.

    Parameters
    ----------
    folder : path
        ``models/NAME`` of a survey.

    Raises
    ------
    UserError
        If it is no finished training, its files are damaged, or its encoder has no decoder.
    """
    network = Trained(folder).network
    if not isinstance(network, Autoencoder):
        raise UserError(f"the encoder in {folder} has no decoder", "train one with --method vae")
    return network
