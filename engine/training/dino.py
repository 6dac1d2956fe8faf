"""DINO: a student learns from close-ups what its own average says of the whole.

    P_s = softmax(g(f(v)) / τ_s)                  student, all views
    P_t = softmax((g′(f′(v′)) − c) / τ_t)         teacher, the two global views; no gradient
    L = mean over pairs v ≠ v′ of  −Σ_k P_t[k] log P_s[k]
    c ← 0.9 c + 0.1 mean g′(f′(v′));    θ′ ← τ θ′ + (1 − τ) θ,  τ from 0.996 to 1 by a cosine

Centring keeps one output from winning, the low temperature of the teacher keeps all from being alike; τ_t warms up from
0.04 to 0.07, τ_s = 0.1. A backbone here takes one size, so a close-up is a zoom resampled to that size (it shows a
third to six tenths of the side) rather than a smaller input; there are two of them.

Several processes use the centre of the first one. Source: Caron et al. 2021, arXiv:2104.14294, sec. 3 and algorithm 1.
Cost: the encoder forward and back on four views, and forward once more on two.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn.functional import linear, log_softmax, normalize, softmax

from engine.encoders.backbones import Backbone
from engine.training import Batch, Method
from engine.training.augment import view
from engine.training.byol import MEMORY, SHOWN, follow, memory_at

#: Length of the distributions that are compared; the paper's 65,536 are for millions of pictures.
OUTPUTS = 1024
#: Width of the head and of its narrow last layer.
HIDDEN, NARROW = 512, 128
#: Temperatures of student and teacher; the teacher's rises over this share of the training.
STUDENT, TEACHER, WARM_UP = 0.1, (0.04, 0.07), 0.3
#: Memory of the centre.
CENTRE_MEMORY = 0.9
#: Close-ups a cutout, the share of the side they show (from, to), and how far from the centre they may lie.
CLOSE_UPS, CLOSE, CLOSE_DRIFT = 2, (0.35, 0.6), 0.15


class Head(nn.Module):
    """Perceptron to a narrow layer, whose direction is compared with `OUTPUTS` prototypes' (unit vectors).

    With batch norms, an option of the authors' head: fresh vectors of all objects are nearly the same, and without norms
    the answers stayed uniform for the 160 steps that were tried on gz2 (linear probe 0.70 before and after; 0.73 with).
    """

    def __init__(self, inside: int):
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Linear(inside, HIDDEN, bias=False), nn.BatchNorm1d(HIDDEN), nn.GELU()),
            *(nn.Linear(HIDDEN, HIDDEN, bias=False), nn.BatchNorm1d(HIDDEN), nn.GELU()),
            *(nn.Linear(HIDDEN, NARROW, bias=False), nn.BatchNorm1d(NARROW, affine=False)),
        )
        self.prototypes = nn.Parameter(torch.randn(OUTPUTS, NARROW))

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """(n, D) → (n, K) float32, each in −1 to 1."""
        directions = normalize(self.layers(vectors).float(), dim=1)
        with torch.autocast(vectors.device.type, enabled=False):  # divided by 0.04 next: bfloat16 would be too coarse
            return linear(directions, normalize(self.prototypes, dim=1))


class DINO(Method):
    """Self-distillation with no labels, on any backbone; the two global views are whole cutouts."""

    defaults: ClassVar[dict] = {
        "backbone": "convnet",
        "batch": 64,
        "rate": 5e-4,
        "decay": 0.04,
        "betas": (0.9, 0.98),
    }
    centre: torch.Tensor

    def __init__(self, encoder: Backbone, *, targets: Mapping[str, int] | None = None, memory: float = MEMORY):
        super().__init__(encoder, targets=targets)
        self.memory = memory
        self.head = Head(encoder.dimension)
        student = nn.ModuleDict({"encoder": encoder, "head": self.head})
        self.teacher = copy.deepcopy(student).requires_grad_(False)
        self.register_buffer("centre", torch.zeros(OUTPUTS))

    def forward(self, batch: Batch, *, rng: torch.Generator, done: float) -> dict[str, torch.Tensor]:
        """The terms ``loss`` and ``entropy``, of the teacher's mean answer: log K when all outputs are used, 0 for
        collapse to one.
        """
        views = self.views(batch.pixels, rng=rng)
        count = len(batch.pixels)
        given = self.head(self.encoder(views)).unflatten(0, (-1, count))
        with torch.no_grad():
            wanted = self.teacher["head"](self.teacher["encoder"](views[: 2 * count])).unflatten(0, (2, count))
        temperature = temperature_at(done)
        loss = cross_entropy(given, wanted, self.centre, temperature=temperature)
        mean = softmax((wanted - self.centre) / temperature, dim=-1).mean(dim=(0, 1))
        if self.training:
            self.centre.lerp_(wanted.mean(dim=(0, 1)), 1 - CENTRE_MEMORY)
        return {"loss": loss, "entropy": -(mean * mean.clamp(min=1e-12).log()).sum()}

    def views(self, pixels: torch.Tensor, *, rng: torch.Generator) -> torch.Tensor:
        """Two global views and the close-ups, one after the other: (B, C, S, S) → (B · (2 + `CLOSE_UPS`), C, S, S)."""
        whole = [view(pixels, rng=rng) for _ in range(2)]
        close = [view(pixels, rng=rng, zoom=CLOSE, drift=CLOSE_DRIFT) for _ in range(CLOSE_UPS)]
        return torch.cat(whole + close)

    @torch.no_grad()
    def stepped(self, done: float) -> None:
        """The teacher follows."""
        share = 1 - memory_at(done, self.memory)
        for name, part in (("encoder", self.encoder), ("head", self.head)):
            follow(self.teacher[name], part, share)

    @torch.no_grad()
    def picture(self, batch: Batch, *, rng: torch.Generator) -> np.ndarray:
        """Cutout, its two global views and its close-ups, (rows, 3 + `CLOSE_UPS`, C, S, S) float32."""
        pixels = batch.pixels[:SHOWN]
        views = self.views(pixels, rng=rng).unflatten(0, (-1, len(pixels)))
        return torch.cat([pixels[None], views]).transpose(0, 1).cpu().numpy()


def temperature_at(done: float) -> float:
    """Temperature of the teacher when a share `done` of the training is over."""
    return TEACHER[0] + (TEACHER[1] - TEACHER[0]) * min(1.0, done / WARM_UP)


def cross_entropy(
    given: torch.Tensor, wanted: torch.Tensor, centre: torch.Tensor, *, temperature: float
) -> torch.Tensor:
    """Mean cross-entropy of the student's answers under the teacher's, over objects and pairs of different views.

    Parameters
    ----------
    given : (V, B, K) float32
        The student's, the global views first.
    wanted : (G, B, K) float32
        The teacher's to the G global views.
    centre : (K,) float32
    temperature : float
        τ_t.
    """
    logs = log_softmax(given / STUDENT, dim=-1)
    shares = softmax((wanted - centre) / temperature, dim=-1)
    pairs = -(shares[:, None] * logs).sum(dim=3).mean(dim=2)  # (G, V); no matrix product, which autocast would round
    same = torch.eye(len(wanted), len(given), dtype=torch.bool, device=given.device)
    return pairs.masked_fill(same, 0).sum() / (~same).sum()
