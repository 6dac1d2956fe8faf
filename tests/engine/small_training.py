"""A training in miniature: a survey of blobs, a backbone of one layer, and a method with every kind of randomness.

Run as a script it trains in a process of its own, which may be killed: ``small_training.py SURVEY JSON``, options of
`engine.training.run.train`, and ``kill`` ([stage, done, seconds]: so long after that was reported the process kills
itself) or ``say`` (print what is reported).
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import ClassVar

import h5py
import numpy as np
import pandas as pd
import torch
from torch import nn

from engine.encoders import backbones
from engine.survey import Survey
from engine.training import METHODS, Batch, Method


class Small(backbones.Backbone):
    """Patches → one linear layer → batch norm."""

    patch = 4

    def __init__(self, bands, size, width=6):
        super().__init__(bands, size)
        self.settings = {"backbone": "small", "bands": bands, "size": size, "width": width}
        self.dimension = width
        self.embed = nn.Conv2d(bands, width, self.patch, self.patch)
        self.norm = nn.BatchNorm2d(width)

    def tokens(self, pixels):
        return torch.tanh(self.norm(self.embed(self.filled(pixels)))).flatten(2).transpose(1, 2)

    def layers(self):
        return [self.embed, self.norm]


class Guess(Method):
    """Tell the brightness of each band from a view with noise, behind dropout: draws from both generators."""

    defaults: ClassVar[dict] = {"backbone": "small", "batch": 8, "rate": 1e-2, "decay": 0.05}
    noisy = True

    def __init__(self, encoder, *, targets=None):
        super().__init__(encoder, targets=targets)
        self.head = nn.Linear(encoder.dimension, encoder.bands)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, batch: Batch, *, rng, done):
        pixels = batch.pixels
        wanted = torch.nan_to_num(pixels).mean(dim=(2, 3))
        if self.noisy:
            pixels = pixels + 0.1 * torch.randn(pixels.shape, generator=rng, device=pixels.device)
        vectors = self.encoder(pixels)
        if self.noisy:
            vectors = nn.functional.dropout(vectors, 0.1, self.training)
        loss = (self.head(vectors).float() - wanted).square().mean()
        return {"loss": loss, "done": torch.tensor(done)}

    def stepped(self, done):
        self.seen += 1

    def picture(self, batch, *, rng):
        masked = batch.pixels.clone()
        masked[:, :, :4] = torch.nan
        return torch.stack([batch.pixels, masked], dim=1).cpu().numpy()


class Plain(Guess):
    """Without randomness and without statistics of the batch: two halves of a batch give what the whole gives."""

    noisy = False

    def __init__(self, encoder, *, targets=None):
        super().__init__(encoder, targets=targets)
        encoder.norm = nn.Identity()


class Broken(Guess):
    """Gives a loss that is not finite at some steps (of 100)."""

    at: tuple[int, ...] = ()

    def forward(self, batch, *, rng, done):
        terms = super().forward(batch, rng=rng, done=done)
        return terms | {"loss": terms["loss"] * (torch.nan if round(done * 100) in self.at else 1.0)}


class Told(Guess):
    """Learns a target."""

    supervised = True

    def __init__(self, encoder, *, targets=None):
        super().__init__(encoder, targets=targets)
        self.heads = nn.ModuleList(nn.Linear(encoder.dimension, k) for k in targets.values())

    def forward(self, batch, *, rng, done):
        vectors = self.encoder(batch.pixels)
        pairs = [(head(vectors).float(), t) for head, t in zip(self.heads, batch.targets.values())]
        losses = [torch.where(torch.isfinite(t), x - t, 0).square().mean() for x, t in pairs]
        return {"loss": torch.stack(losses).mean()}


def register():
    """Make them known by name."""
    backbones.BACKBONES["small"] = "small_training:Small"
    METHODS.update({kind.__name__.lower(): f"small_training:{kind.__name__}" for kind in (Guess, Plain, Broken, Told)})


def small_survey(path, count=60, *, bands=("g", "r"), side=16, blank=(), columns=None, seed=0) -> Survey:
    """Blobs in an HDF5 file; `blank` rows have no finite pixel."""
    rng = np.random.default_rng(seed)
    axis = np.arange(side) - (side - 1) / 2
    width = rng.uniform(1, 4, (count, 1, 1, 1))
    light = rng.exponential(20, (count, len(bands), 1, 1)) * np.exp(-0.5 * (axis[:, None] ** 2 + axis**2) / width**2)
    pixels = (light + rng.normal(0, 1, light.shape)).astype(np.float32)
    pixels[list(blank)] = np.nan
    objects = pd.DataFrame(
        {"id": [f"O{k}" for k in range(count)], "ra": np.nan, "dec": np.nan, "pixels_index": np.arange(count)}
        | (columns or {})
    )

    def fill(folder):
        with h5py.File(folder / "cutouts.h5", "w") as file:
            file["images"] = pixels

    levels = {"background": [0.0] * len(bands), "noise": [1.0] * len(bands), "bright": [50.0] * len(bands)}
    header = {"kind": "hdf5", "root": "cutouts.h5", "dataset": "images", "bands": list(bands), "science": True} | levels
    return Survey.create(path, objects, pixels=header, fill=fill)


def script(survey, **options) -> tuple[list[str], dict]:
    """Command and environment of a process that trains."""
    command = [sys.executable, "-W", "error::RuntimeWarning", __file__, str(survey.path), json.dumps(options)]
    return command, os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}


def main(path: str, given: str) -> None:
    options = json.loads(given)
    kill, say = options.pop("kill", None), options.pop("say", False)

    def progress(done, total, stage):
        nonlocal kill
        if say:
            print(stage, done, flush=True)
        if kill is not None and stage == kill[0] and done >= kill[1]:
            timer = threading.Timer(kill[2], os.kill, (os.getpid(), signal.SIGKILL))
            timer.daemon = True
            timer.start()
            kill = None

    Survey.open(path).train(**options, progress=progress)


if __name__ == "__main__":
    sys.modules["small_training"] = sys.modules["__main__"]
    torch.set_num_threads(1)
    register()
    main(*sys.argv[1:])
