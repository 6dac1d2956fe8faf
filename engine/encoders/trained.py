"""The encoder that a training left in its folder (`engine.training.record`): a backbone with averaged weights.

It takes surveys with the bands it was trained on, in any order where their names are known filters; where they are not,
as many bands. Sizes are resampled, and a band or pixel that is missing gets the value that was learned for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from engine import files
from engine.data.filters import wavelength
from engine.data.pictures.stretch import Calibration
from engine.device import has_bfloat16
from engine.encoders.backbones import restore
from engine.encoders.convnet import HALF_MAX
from engine.encoders.scaling import scaled
from engine.errors import UserError

#: Names of the scale, for cards.
ASINH = "asinh of the signal-to-noise (pictures: value above the sky)"
LINEAR = "signal-to-noise (pictures: value above the sky)"


def normalisation(asinh: bool) -> str:
    """How pixels become a trained encoder's input, in words."""
    return ASINH if asinh else LINEAR


class Trained:
    """A trained encoder.

    Parameters
    ----------
    folder : path
        Of a finished training; its name is the encoder's.

    Attributes
    ----------
    network : Backbone
        In evaluation mode.
    card : dict
        ``encoder.json``.

    Raises
    ------
    UserError
        If it is not finished, or its files do not fit each other.
    """

    sample = 0
    dtype = np.dtype(np.float16)

    def __init__(self, folder: str | Path):
        folder = Path(folder).resolve()
        card, weights = folder / "encoder.json", folder / "encoder.safetensors"
        if not (card.is_file() and weights.is_file()):
            raise UserError(
                f"{folder} holds no finished training", "run its `train` command again, it goes on where it was"
            )
        self.name = folder.name
        try:
            self.card = files.read_json(card)
            self.network = restore(self.card["backbone"])
            state = {name: v.float() if v.is_floating_point() else v for name, v in load_file(weights).items()}
            self.network.load_state_dict(state)
            self.trained_bands = tuple(self.card["bands"])
            self.asinh = bool(self.card["asinh"])
            self.licence = str(self.card.get("licence", "not stated"))
            self.trained_on = str(self.card.get("trained_on", "not stated"))
        except (SafetensorError, RuntimeError, KeyError, ValueError, TypeError) as error:
            raise UserError(
                f"{folder} does not hold a whole encoder ({str(error).splitlines()[0]})",
                "restore it from a backup, or train it again under another --name",
            ) from error
        self.network.eval().requires_grad_(False)
        self.size, self.dimension = self.network.size, self.network.dimension
        self.normalisation = normalisation(self.asinh)
        decides = weights.read_bytes() + repr((self.asinh, sorted(self.network.settings.items()))).encode()
        self.identity = hashlib.sha256(decides).hexdigest()[:16]
        self.device = torch.device("cpu")
        self._order: list[int] | None = None

    @property
    def bands(self) -> int | tuple[str, ...]:
        """The bands it was trained on, in order; their number where one has no known name."""
        return self.trained_bands if _known(self.trained_bands) else len(self.trained_bands)

    def serve(self, bands: Sequence[str]) -> None:
        """Take cutouts of these bands, in this order, from now on.

        Raises
        ------
        UserError
            If they are not those it was trained on.
        """
        bands = tuple(bands)
        if sorted(bands) == sorted(self.trained_bands) and len(set(bands)) == len(bands):
            order = [bands.index(band) for band in self.trained_bands]
            self._order = None if order == sorted(order) else order
            return
        if len(bands) == len(self.trained_bands) and not (_known(bands) and _known(self.trained_bands)):
            self._order = None
            return
        raise UserError(
            f"the encoder {self.name!r} was trained on {_listed(self.trained_bands)}, this survey has {_listed(bands)}",
            "train one on this survey, or use `skysieve-base`, which takes any bands",
        )

    def fit(self, pixels: np.ndarray, calibration: Calibration, science: bool) -> None:
        """Nothing to learn."""

    def state(self) -> dict[str, torch.Tensor]:
        """Nothing was learned from the survey."""
        return {}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Nothing to take back."""

    def to(self, device: torch.device) -> Trained:
        """Move to a device."""
        self.device = device
        self.network.to(device)
        return self

    def prepare(self, pixels: np.ndarray, calibration: Calibration, science: bool) -> torch.Tensor:
        """(B, C, size, size) float32 → the same, scaled, its bands in the order of the training."""
        found = scaled(pixels, calibration, science, asinh=self.asinh)
        return found if self._order is None else found[:, self._order]

    @torch.inference_mode()
    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """(B, C, size, size) → (B, D) float32, in bfloat16 arithmetic where the machine has it."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=has_bfloat16(self.device)):
            vectors = self.network(batch.to(self.device, non_blocking=True))
        return torch.nan_to_num(vectors.float()).clamp(-HALF_MAX, HALF_MAX)


def _known(bands: Sequence[str]) -> bool:
    return all(wavelength(band) is not None for band in bands)


def _listed(bands: Sequence[str]) -> str:
    return f"{len(bands)} band{'s' * (len(bands) != 1)} ({' '.join(bands)})"
