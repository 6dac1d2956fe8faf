"""What the learner sees of a representation, and where it computes.

Balanced principal coordinates: N·D² and a pass over the vectors, once; then kept beside the vectors.
"""

from __future__ import annotations

import numpy as np
import torch

from engine import device as devices
from engine import files
from engine.maps.components import balanced_coordinates
from engine.survey import COMPONENTS, Representation


def features(representation: Representation, count: int = COMPONENTS) -> np.ndarray:
    """What the model sees of a representation: balanced principal coordinates, scaled to a mean variance of one.

    Each component is divided by the fourth root of its variance, not by its standard deviation as in Walmsley et al.
    2022: measured on simulated surveys, that finds 4-8 % more of the dwarfs within 400 labels, and sooner. Computed
    once (N·D² and a pass over the vectors) and kept beside the vectors.

    Returns
    -------
    (N, ≤ count) float32
        Zero in rows that are not valid.
    """
    stored = representation.folder / f"balanced-{count}.npy"
    if not stored.exists():
        valid = np.asarray(representation.valid, bool)
        coordinates = balanced_coordinates(representation.vectors, valid, count)
        squares = np.square(coordinates, dtype=np.float64).sum() / max(valid.sum() * coordinates.shape[1], 1)
        files.write_npy(stored, coordinates / np.float32(np.sqrt(squares) if squares > 0 else 1.0))
    return np.array(files.read_npy(stored), np.float32)


def device(name: str | None) -> torch.device:
    """The device called `name`, by default an NVIDIA card or the CPU: Metal sums in float32 only."""
    found = devices.choose(name)
    return torch.device("cpu") if name is None and found.type == "mps" else found
