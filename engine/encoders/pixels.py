"""``pixels``: principal components of the pixels themselves, the baseline that any encoder has to beat.

Each band is brought to 32 × 32 pixels and to asinh((flux − sky) / noise) (science; pictures: value / 255), missing
pixels to the sky, all bands are laid end to end, and the leading components of a sample span the vectors. Works on any
bands at once.

Cost: the sample's randomised SVD, n·F·k for F = 1024 C features, then one F × k product a cutout.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.decomposition import PCA

from engine.data.pictures.stretch import Calibration
from engine.encoders import Card
from engine.encoders.scaling import CEILING, arcsinh

#: Cutouts the components are fitted on, and the most numbers held for it (many bands: fewer cutouts).
SAMPLE, SAMPLE_VALUES = 5000, 1 << 26
#: Components kept.
COMPONENTS = 64
#: Pixels a side.
SIZE = 32


class Pixels:
    """Principal components of asinh-scaled pixels, fitted to the survey they encode."""

    name = "pixels"
    identity = f"pixels-1-{SIZE}-{COMPONENTS}"
    size = SIZE
    sample = SAMPLE
    dtype = np.dtype(np.float32)
    bands = None
    normalisation = "asinh of signal-to-noise, or value / 255 for pictures"
    licence = "BSD-3-Clause"
    trained_on = "the survey itself"

    def __init__(self):
        self.mean = torch.zeros(0)
        self.axes = torch.zeros(0, 0)

    @property
    def dimension(self) -> int:
        """Components found, at most `COMPONENTS`."""
        return len(self.axes)

    def fit(self, pixels: np.ndarray, calibration: Calibration, science: bool) -> None:
        """Find the components of a sample, (n, C, size, size) float32.

        Source: randomised SVD of Halko, Martinsson & Tropp 2011, as in scikit-learn, with a fixed seed.
        """
        features = self.prepare(pixels, calibration, science).numpy()
        features = features[: max(2, SAMPLE_VALUES // features.shape[1])]
        self.mean = torch.from_numpy(features.mean(axis=0))
        count = min(COMPONENTS, *features.shape)
        centred = features - self.mean.numpy()
        if len(features) < 2 or not centred.any():  # one object, or all the same: nothing varies
            self.axes = torch.eye(1, features.shape[1])
            return
        found = PCA(count, svd_solver="randomized", random_state=0).fit(features)
        self.axes = torch.from_numpy(np.ascontiguousarray(found.components_, np.float32))

    def state(self) -> dict[str, torch.Tensor]:
        """Mean, (F,), and axes, (k, F)."""
        return {"mean": self.mean.cpu().contiguous(), "axes": self.axes.cpu().contiguous()}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Take back what `state` gave."""
        self.mean, self.axes = state["mean"], state["axes"]

    def to(self, device: torch.device) -> Pixels:
        """Move to a device."""
        self.mean, self.axes = self.mean.to(device), self.axes.to(device)
        return self

    def prepare(self, pixels: np.ndarray, calibration: Calibration, science: bool) -> torch.Tensor:
        """(B, C, 32, 32) float32 → (B, C·1024) float32."""
        flux = torch.from_numpy(np.ascontiguousarray(pixels, np.float32))
        background = torch.tensor(calibration.background, dtype=torch.float32)[:, None, None]
        noise = torch.tensor(calibration.noise, dtype=torch.float32)[:, None, None]
        signal = flux - background
        level = (signal / (noise if science else 255)).clamp(-CEILING, CEILING)
        scaled = arcsinh(level) if science else level
        return torch.where(torch.isfinite(flux), scaled, 0.0).flatten(1)

    @torch.inference_mode()
    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """(B, F) → (B, k) float32."""
        return (batch.to(self.mean.device) - self.mean) @ self.axes.T


def card() -> Card:
    """What is known of it before it is fitted."""
    return Card(Pixels.name, SIZE, COMPONENTS, 0, Pixels.bands, Pixels.normalisation, Pixels.licence, Pixels.trained_on)
