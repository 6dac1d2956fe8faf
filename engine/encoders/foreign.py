"""Foreign encoders: networks that were trained elsewhere, and what they are given to see.

A network knows nothing of surveys: it takes (B, C, S, S) numbers of a range of its own. There are three ways to make
them of cutouts, and which one is right depends on what the network was trained with:

    picture   (value / 255 − mean) / sd     the picture a person sees (`engine.data.pictures.stretch.to_rgb`), red first
    signal    asinh(signal-to-noise) / 4    each band by itself (`engine.encoders.scaling`), zero where missing
    pixels    value                         in the survey's own units, the sky where missing: nothing is done

A network of three channels takes any bands as a picture, one of a single channel takes the picture's grey; one of
another number takes a survey with exactly so many bands, each as a grey picture.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from engine.data.pictures.stretch import Calibration, to_rgb
from engine.device import has_bfloat16
from engine.encoders.convnet import HALF_MAX
from engine.encoders.scaling import scaled
from engine.errors import UserError

INPUTS = ("picture", "signal", "pixels")


@dataclass(frozen=True)
class Input:
    """What a network is given.

    Attributes
    ----------
    kind : {"picture", "signal", "pixels"}
    channels : int
        C of the network.
    mean, sd : sequence of C floats
        Of pictures, in units of full scale.
    """

    kind: str
    channels: int
    mean: Sequence[float] = (0.0,)
    sd: Sequence[float] = (1.0,)

    @property
    def bands(self) -> int | None:
        """How many bands a survey must have; None for any."""
        return None if self.kind == "picture" and self.channels in (1, 3) else self.channels

    @property
    def words(self) -> str:
        """The same in words."""
        if self.kind == "signal":
            return "asinh of signal-to-noise / 4, each band by itself"
        if self.kind == "pixels":
            return "none: the survey's own units"
        mean, sd = (" ".join(f"{v:.3g}" for v in values) for values in (self.mean, self.sd))
        return f"picture of 0-1, less {mean}, divided by {sd}"

    def __call__(self, pixels: np.ndarray, calibration: Calibration, science: bool) -> torch.Tensor:
        """(B, C, S, S) float32 with NaN where missing → (B, channels, S, S) float32, finite."""
        if self.kind == "picture":
            seen = torch.from_numpy(picture(pixels, calibration, science, self.channels))
            mean, sd = (torch.tensor(v, dtype=torch.float32)[:, None, None] for v in (self.mean, self.sd))
            return (seen / 255 - mean) / sd
        if self.kind == "signal":
            return torch.nan_to_num(scaled(pixels, calibration, science))
        sky = np.asarray(calibration.background, np.float32)[:, None, None]
        return torch.from_numpy(np.where(np.isfinite(pixels), pixels, sky).astype(np.float32, copy=False))


def picture(pixels: np.ndarray, calibration: Calibration, science: bool, channels: int) -> np.ndarray:
    """Cutouts as the pictures that a person sees, in as many channels as a network wants.

    Parameters
    ----------
    pixels : (B, C, S, S) float32
        NaN or infinite where missing.
    calibration : Calibration
    science : bool
    channels : int
        3: colour, red first, of any number of bands; 1: grey; else C, each band as a grey picture.

    Returns
    -------
    (B, channels, S, S) uint8
    """
    if channels not in (1, 3):
        alone = [_band(calibration, k) for k in range(channels)]
        grey = [to_rgb(pixels[:, k : k + 1], alone[k], science=science)[..., 0] for k in range(channels)]
        return np.stack(grey, axis=1)
    colour = np.moveaxis(to_rgb(pixels, calibration, science=science), -1, 1)
    if channels == 1:
        return (colour.mean(axis=1, keepdims=True) + 0.5).astype(np.uint8)
    return np.ascontiguousarray(colour)


def _band(calibration: Calibration, k: int) -> Calibration:
    return Calibration(*(getattr(calibration, key)[k : k + 1] for key in ("background", "noise", "bright")))


class Foreign:
    """A network that was trained elsewhere, as an encoder.

    The network takes what `prepare` gives, and can be tuned further unless it is a file that was exported.

    Parameters
    ----------
    name : str
    network : module
        (B, C, S, S) float32 → (B, D).
    size : int
        S.
    inputs : Input
    identity : str
        Hash of its weights.
    mixed : bool
        Compute in bfloat16 where the machine has it; False for a file that fixes its own arithmetic.
    licence, trained_on : str

    Raises
    ------
    UserError
        If the network does not take cutouts of that size, or gives no vectors.
    """

    sample = 0
    dtype = np.dtype(np.float16)

    def __init__(
        self,
        name: str,
        network: nn.Module,
        *,
        size: int,
        inputs: Input,
        identity: str,
        licence: str,
        trained_on: str,
        mixed: bool = True,
    ):
        self.name, self.network, self.size, self.inputs = name, network.eval(), size, inputs
        self.bands, self.normalisation = inputs.bands, inputs.words
        self.licence, self.trained_on, self.mixed = licence, trained_on, mixed
        self.identity = hashlib.sha256(f"{identity} {size} {inputs}".encode()).hexdigest()[:16]
        self.device = torch.device("cpu")
        self.dimension = _dimension(name, network, inputs.channels, size)

    def fit(self, pixels: np.ndarray, calibration: Calibration, science: bool) -> None:
        """Nothing to learn."""

    def state(self) -> dict[str, torch.Tensor]:
        """Nothing was learned from the survey."""
        return {}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Nothing to take back."""

    def to(self, device: torch.device) -> Foreign:
        """Move to a device."""
        self.device = device
        self.network.to(device)
        return self

    def prepare(self, pixels: np.ndarray, calibration: Calibration, science: bool) -> torch.Tensor:
        """(B, C, size, size) float32 → (B, channels, size, size)."""
        return self.inputs(pixels, calibration, science)

    @torch.inference_mode()
    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """(B, channels, size, size) → (B, D) float32; not finite only where the network gives nothing that is."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed and has_bfloat16(self.device)):
            vectors = self.network(batch.to(self.device, non_blocking=True))
        return vectors.float().clamp(-HALF_MAX, HALF_MAX)


@torch.inference_mode()
def _dimension(name: str, network: nn.Module, channels: int, size: int) -> int:
    """Length of the vectors, from one look at nothing."""
    try:
        vectors = network(torch.zeros(2, channels, size, size))
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:  # each network has its own
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1][:200]
        raise UserError(
            f"the network {name!r} does not take {channels} × {size} × {size} pixels ({reason})",
            "give another --size, the one it was trained with or a multiple of its patches",
        ) from error
    if (
        not isinstance(vectors, torch.Tensor)
        or vectors.ndim != 2
        or len(vectors) != 2
        or not vectors.is_floating_point()
    ):
        shape = tuple(vectors.shape) if isinstance(vectors, torch.Tensor) else type(vectors).__name__
        raise UserError(
            f"the network {name!r} gives no vectors: of two cutouts it makes {shape}",
            "export it so that (B, C, S, S) pixels become (B, D) numbers",
        )
    return vectors.shape[1]


def weights_hash(tensors: Mapping[str, torch.Tensor]) -> str:
    """Hash of names and values of tensors."""
    found = hashlib.sha256()
    for key in sorted(tensors):
        found.update(key.encode())
        found.update(tensors[key].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
