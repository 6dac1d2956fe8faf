"""BYOL: two views of an object tell the same, and nothing else is asked.

    online   q(g(f(v)))            encoder f, projector g, predictor q: learned
    target   g′(f′(v′))            an average of the online weights, no gradient
    L = [2 − 2 cos(q(g(f(v))), g′(f′(v′)))]  +  the same with the views exchanged
    θ′ ← τ θ′ + (1 − τ) θ,   τ = 1 − (1 − τ₀) (cos π·done + 1) / 2        τ₀ = 0.996

There are no negatives; that all objects do not end at one vector is owed to the predictor and to the target's lag. The
term ``spread`` shows it: 1 for projections that fill all directions, 0 for collapse. Views are those of
`engine.training.augment.view`: what sky and camera do, no hue shift. Norms of the target use the statistics of their
own batch, as in the paper.

Sources: Grill et al. 2020, arXiv:2006.07733, eqs 2-3 and appendix J; for galaxies Mohale & Lochner 2024. Cost: the
encoder forward and back on both views, and forward once more on both.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cosine_similarity, normalize

from engine.encoders.backbones import Backbone
from engine.training import Batch, Method
from engine.training.augment import view

#: τ₀, where the memory of the target starts; it ends at 1.
MEMORY = 0.996
#: Width of the hidden layers and length of the projections; the paper's 4096 and 256 are for a thousand classes.
HIDDEN, PROJECTED = 512, 128
#: Cutouts in a picture.
SHOWN = 8


class BYOL(Method):
    """Bootstrap your own latent, on any backbone.

    Parameters
    ----------
    encoder : Backbone
        Trained in place.
    memory : float
        τ₀.
    """

    defaults: ClassVar[dict] = {
        "backbone": "convnet",
        "batch": 128,
        "rate": 1e-3,
        "decay": 0.01,
        "betas": (0.9, 0.98),
    }

    def __init__(self, encoder: Backbone, *, targets: Mapping[str, int] | None = None, memory: float = MEMORY):
        super().__init__(encoder, targets=targets)
        self.memory = memory
        self.projector = perceptron(encoder.dimension, PROJECTED)
        self.predictor = perceptron(PROJECTED, PROJECTED)
        online = nn.ModuleDict({"encoder": encoder, "projector": self.projector})
        self.target = copy.deepcopy(online).requires_grad_(False)

    def forward(self, batch: Batch, *, rng: torch.Generator, done: float) -> dict[str, torch.Tensor]:
        """The terms ``loss``, 0-8, and ``spread`` of the projections."""
        views = torch.cat([view(batch.pixels, rng=rng), view(batch.pixels, rng=rng)])
        projected = self.projector(self.encoder(views))
        predicted = self.predictor(projected).float()
        with torch.no_grad():
            wanted = self.target["projector"](self.target["encoder"](views)).float()
        other = wanted.roll(len(batch.pixels), dims=0)
        return {"loss": 2 * distance(predicted, other), "spread": spread(projected.detach().float())}

    @torch.no_grad()
    def stepped(self, done: float) -> None:
        """The target follows."""
        share = 1 - memory_at(done, self.memory)
        for name, part in (("encoder", self.encoder), ("projector", self.projector)):
            follow(self.target[name], part, share)

    @torch.no_grad()
    def picture(self, batch: Batch, *, rng: torch.Generator) -> np.ndarray:
        """Cutout and two of its views, (rows, 3, C, S, S) float32."""
        pixels = batch.pixels[:SHOWN]
        return torch.stack([pixels, view(pixels, rng=rng), view(pixels, rng=rng)], dim=1).cpu().numpy()


def perceptron(inside: int, outside: int) -> nn.Sequential:
    """Linear, batch norm, ReLU, linear."""
    return nn.Sequential(
        nn.Linear(inside, HIDDEN, bias=False), nn.BatchNorm1d(HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, outside)
    )


def distance(predicted: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Mean of 2 − 2 cos over pairs of vectors, (n, d) each: the squared distance of the two on the unit sphere, 0-4."""
    return (2 - 2 * cosine_similarity(predicted, wanted, dim=1)).mean()


def spread(vectors: torch.Tensor) -> torch.Tensor:
    """Standard deviation of the directions of (n, d) vectors, in units of that of uniform directions: 0-1."""
    return normalize(vectors, dim=1).std(dim=0, correction=0).mean() * math.sqrt(vectors.shape[1])


def memory_at(done: float, start: float) -> float:
    """Memory of the target's average, τ, when a share `done` of the training is over."""
    return 1 - (1 - start) * (math.cos(math.pi * done) + 1) / 2


@torch.no_grad()
def follow(target: nn.Module, online: nn.Module, share: float) -> None:
    """Move a target's weights towards the online ones; its buffers (statistics of norms) are its own."""
    torch._foreach_lerp_(list(target.parameters()), list(online.parameters()), share)
