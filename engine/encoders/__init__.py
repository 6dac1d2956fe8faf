"""Encoders: what turns a batch of cutouts into vectors.

An encoder is a class in a file of its own and one line in `ENCODERS`; it is imported only when asked for. `embed` runs
one over a survey; `train` made the weights of the one that ships.

``skysieve-base``
    A small convolutional network (`engine.encoders.convnet`), weights in ``assets/``. Any number of bands, folded into
    three.
``pixels``
    Principal components of the pixels (`engine.encoders.pixels`): fitted to the survey itself, needs no weights, the
    baseline.
"""

from __future__ import annotations

from importlib import import_module
from typing import Protocol

import numpy as np
import torch

from engine.data.stretch import Calibration
from engine.errors import UserError

#: name → "module:factory"; a factory is called without arguments.
ENCODERS = {
    "skysieve-base": "engine.encoders.convnet:skysieve_base",
    "pixels": "engine.encoders.pixels:Pixels",
}


class Encoder(Protocol):
    """Turns cutouts of one size into vectors.

    Attributes
    ----------
    name : str
    size : int
        Pixels a side of the cutouts it takes.
    dimension : int
        D, length of its vectors; known once fitted, for an encoder that is fitted.
    dtype : numpy dtype
        What its vectors are stored as: float16 for networks, float32 where the leading digits are not enough.
    sample : int
        Cutouts it wants to see in `fit` before it can encode; 0 for none.
    identity : str
        Hash of what decides its vectors (weights, settings); two encoders of one identity give the same vectors.
    """

    name: str
    size: int
    dimension: int
    dtype: np.dtype
    sample: int
    identity: str

    def fit(self, pixels: np.ndarray, calibration: Calibration, science: bool) -> None:
        """Learn from a sample of the survey, (n, C, size, size) float32; called only if `sample` is not 0."""
        ...

    def state(self) -> dict[str, torch.Tensor]:
        """What `fit` learned, empty if nothing: kept beside the vectors, so that a resumed run continues with it."""
        ...

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Take back what `state` gave."""
        ...

    def to(self, device: torch.device) -> Encoder:
        """Move to a device."""
        ...

    def prepare(self, pixels: np.ndarray, calibration: Calibration, science: bool) -> torch.Tensor:
        """Make the network's input of (B, C, size, size) float32 pixels, NaN where missing; thread-safe."""
        ...

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Encode a prepared batch: (B, D) float32, always finite."""
        ...


def load(name: str) -> Encoder:
    """Make an encoder by name.

    Raises
    ------
    UserError
        If there is none of that name; the known ones are listed.
    """
    if name not in ENCODERS:
        raise UserError(f"there is no encoder {name!r}", f"choose one of: {', '.join(ENCODERS)}")
    module, factory = ENCODERS[name].split(":")
    return getattr(import_module(module), factory)()
