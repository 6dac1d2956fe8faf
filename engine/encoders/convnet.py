"""``skysieve-base``: a small residual network whose vectors say what an object looks like, how bright and how large it
is.

Cutouts are brought to one unit whatever survey they come from, the noise of the sky, red first:

    science    (flux − sky) / noise     of the survey, measured at ingest
    pictures   (value − sky) / noise    of each picture's own border, at least `PICTURE_NOISE`, since each was stretched alone

and the network sees them twice, faint light and bright structure each on its own scale:

    asinh(x) / 4          over six decades, so that what is faint stays faint and is still seen
    x / max(peak, 5)      relative to the brightest 4 × 4 pixels, as a picture of the bright parts

Two more planes go in: which pixels are known, and the distance from the centre, since the object is there and its
neighbours are not. Three poolings come out: the mean and the maximum over the cutout, and a mean weighted to the
centre.

Cost: about 130 million multiply-adds and 3 million parameters for a 128 × 128 cutout.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from engine import files
from engine.data.pictures.stretch import Calibration, three_channels
from engine.device import has_bfloat16
from engine.encoders import Card, parameters
from engine.encoders.scaling import CEILING, SCIENCE_SCALE, arcsinh, border_levels
from engine.errors import UserError

#: Folder of the weights that ship, beside the packages in the checkout.
ASSETS = Path(__file__).resolve().parents[2] / "assets"
#: Largest value kept in a float16 vector.
HALF_MAX = 6e4
#: Smallest noise of a picture's sky, of 255: a sky that was cut to black has none.
PICTURE_NOISE = 1.5
#: A peak of less than this many noise sd is not taken for bright structure.
FAINTEST_PEAK = 5.0


def channels(pixels: np.ndarray, calibration: Calibration, science: bool) -> np.ndarray:
    """Fold the bands into three, red first, with the sky at zero, in units of its noise.

    Parameters
    ----------
    pixels : (B, C, S, S) float32
        NaN where missing, bands in order of wavelength (pictures: R, G, B).
    calibration : Calibration
    science : bool
        Linear flux, or pictures of 0-255.

    Returns
    -------
    (B, 3, S, S) float32
        NaN where missing.
    """
    flux = torch.from_numpy(np.ascontiguousarray(pixels, np.float32))
    flux = torch.where(torch.isfinite(flux), flux, torch.nan)
    if science:
        background, noise = (
            torch.tensor(v, dtype=torch.float32)[:, None, None] for v in (calibration.background, calibration.noise)
        )
    else:
        background, noise = border_levels(flux)
        noise = noise.mean(dim=1, keepdim=True).clamp(min=PICTURE_NOISE)  # one for all colours: they stay what they are
    folded = three_channels(((flux - background) / noise).clamp(-CEILING, CEILING).numpy())
    return np.ascontiguousarray(folded[:, ::-1]) if science else folded


def planes(signal: torch.Tensor, *more: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """The result of `channels` on the two scales of the network, which pixels are known, and what more is given.

    Parameters
    ----------
    signal : (B, 3, S, S) float32
        NaN where missing.
    *more : (B, k, S, S)
        Put behind.
    dtype : torch.dtype
        Of the result.

    Returns
    -------
    (B, 7 + Σk, S, S)
        Channels last in memory, as convolutions want them.
    """
    known = torch.isfinite(signal)
    signal = torch.where(known, signal, 0.0)
    coarse = torch.nn.functional.avg_pool2d(signal, min(4, signal.shape[-1]))
    peak = coarse.amax(dim=(1, 2, 3), keepdim=True).clamp(min=FAINTEST_PEAK)
    bright = (signal / peak).clamp(-1, 2)
    parts = [arcsinh(signal) / SCIENCE_SCALE, bright, known.any(dim=1, keepdim=True), *more]
    joined = torch.cat([part.to(dtype) for part in parts], dim=1)
    return joined.contiguous(memory_format=torch.channels_last)


class Residual(nn.Module):
    """Two 3 × 3 convolutions beside a shortcut (He et al. 2016, arXiv:1512.03385)."""

    def __init__(self, inside: int, outside: int, stride: int):
        super().__init__()
        self.first = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outside)
        self.second = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outside)
        plain = stride == 1 and inside == outside
        self.shortcut = (
            nn.Identity()
            if plain
            else nn.Sequential(
                nn.AvgPool2d(stride) if stride > 1 else nn.Identity(),
                nn.Conv2d(inside, outside, 1, bias=False),
                nn.BatchNorm2d(outside),
            )
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.first_norm(self.first(x)))
        return torch.relu(self.second_norm(self.second(y)) + self.shortcut(x))


class Network(nn.Module):
    """Residual network over (B, 3, S, S) cutouts, made by `channels`, NaN where missing.

    Parameters
    ----------
    stem : int
        Channels of the first layer, which brings the cutout to a quarter of its side.
    widths : sequence of int
        Channels of the stages; each but the first halves the cutout.
    blocks : sequence of int
        Residual blocks in each stage.
    dimension : int
        Length of the vector.
    size : int
        S.
    """

    radius: torch.Tensor

    def __init__(self, *, stem: int, widths: Sequence[int], blocks: Sequence[int], dimension: int, size: int):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(8, stem, 7, 4, 3, bias=False), nn.BatchNorm2d(stem), nn.ReLU())
        self.stages = nn.ModuleList()
        inside = stem
        for stage, (width, count) in enumerate(zip(widths, blocks)):
            strides = [1 if stage == 0 else 2] + [1] * (count - 1)
            layers = [Residual(inside if k == 0 else width, width, stride) for k, stride in enumerate(strides)]
            self.stages.append(nn.Sequential(*layers))
            inside = width
        self.centre_stages = 2
        pooled = 2 * widths[-1] + sum(widths[-self.centre_stages :])
        self.out = nn.Linear(pooled, dimension)
        self.norm = nn.BatchNorm1d(dimension, affine=False)
        self.register_buffer("radius", radius(size)[None, None] - 0.5, persistent=False)
        for stage in range(len(widths)):
            self.register_buffer(f"centre{stage}", _centre(-(-size // 4) >> stage), persistent=False)

    def layers(self) -> list[nn.Module]:
        """Its parts from the input to the output."""
        return [self.stem, *(block for stage in self.stages for block in stage.children()), self.out]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        dtype = next(self.stem.parameters()).dtype
        x = self.stem(planes(x, self.radius.expand(len(x), -1, -1, -1), dtype=dtype))
        central = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index >= len(self.stages) - self.centre_stages:
                central.append((x.float() * getattr(self, f"centre{index}")).sum(dim=(2, 3)))
        pooled = torch.cat([x.float().mean(dim=(2, 3)), x.float().amax(dim=(2, 3)), *central], dim=1)
        return self.norm(self.out(pooled).float())


def radius(size: int) -> torch.Tensor:
    """Distance of each pixel from the centre, as a share of half the side."""
    axis = (torch.arange(size) - (size - 1) / 2) / (size / 2)
    return torch.hypot(axis[:, None], axis[None, :])


def _centre(size: int) -> torch.Tensor:
    """Gaussian weights of 0.25 of half the side, summing to one."""
    weight = torch.exp(-0.5 * (radius(size) / 0.25) ** 2)
    return weight / weight.sum()


class Convnet:
    """A trained `Network` as an encoder.

    Parameters
    ----------
    name : str
        Its weights are ``assets/NAME.safetensors`` and its settings ``assets/NAME.json``.
    assets : path, optional
        Another folder to take them from.

    Raises
    ------
    UserError
        If they are missing or do not fit each other.
    """

    sample = 0
    dtype = np.dtype(np.float16)
    bands = None
    normalisation = (
        "signal-to-noise (pictures: of their own border), by asinh and relative to the peak; bands folded into three"
    )

    def __init__(self, name: str, *, assets: Path | None = None):
        folder = ASSETS if assets is None else Path(assets)
        weights, settings = folder / f"{name}.safetensors", folder / f"{name}.json"
        if not (weights.is_file() and settings.is_file()):
            raise UserError(
                f"the weights of {name!r} are not at {weights}",
                "run from a full checkout of the repository, or use the `pixels` encoder, which needs none",
            )
        self.name = name
        self.card = files.read_json(settings)
        self.licence, self.trained_on = self.card["licence"], ", ".join(self.card["data"])
        network = self.card["network"]
        self.size, self.dimension = network["size"], network["dimension"]
        self.network = Network(**network)
        try:
            state = {key: value.float() for key, value in load_file(weights).items()}
            self.network.load_state_dict(state, strict=False)
            missing = set(self.network.state_dict()) - set(state)
            if any(not key.endswith("num_batches_tracked") for key in missing):
                raise RuntimeError(f"{len(missing)} tensors are missing")
        except (SafetensorError, RuntimeError) as error:
            raise UserError(
                f"{weights} does not hold the weights of {name!r} ({str(error).splitlines()[0]})",
                "restore it from the repository",
            ) from error
        self.network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's stubs
        self.identity = hashlib.sha256(weights.read_bytes()).hexdigest()[:16]
        self.device = torch.device("cpu")

    def fit(self, pixels: np.ndarray, calibration: Calibration, science: bool) -> None:
        """Nothing to learn."""

    def state(self) -> dict[str, torch.Tensor]:
        """Nothing was learned from the survey."""
        return {}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Nothing to take back."""

    def to(self, device: torch.device) -> Convnet:
        """Move to a device."""
        self.device = device
        self.network.to(device)
        return self

    def prepare(self, pixels: np.ndarray, calibration: Calibration, science: bool) -> torch.Tensor:
        """(B, C, size, size) float32 → (B, 3, size, size) float32."""
        return torch.from_numpy(channels(pixels, calibration, science))

    @torch.inference_mode()
    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """(B, 3, size, size) → (B, D) float32, in bfloat16 arithmetic where the machine has it."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=has_bfloat16(self.device)):
            vectors = self.network(batch.to(self.device, non_blocking=True))
        return torch.nan_to_num(vectors.float()).clamp(-HALF_MAX, HALF_MAX)


def skysieve_base() -> Convnet:
    """The encoder that ships."""
    return Convnet("skysieve-base")


def card() -> Card:
    """What is known of the encoder that ships, without its weights."""
    facts = files.read_json(ASSETS / "skysieve-base.json")
    network, count = facts["network"], parameters(ASSETS / "skysieve-base.safetensors")
    data = ", ".join(facts["data"])
    size, dimension = network["size"], network["dimension"]
    return Card(facts["name"], size, dimension, count, Convnet.bands, Convnet.normalisation, facts["licence"], data)
