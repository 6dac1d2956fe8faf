"""From flux to a picture: one function for thumbnails, gallery, inspector and export, on any device.

    pixels → levels (0 black, 1 white) → three channels → smoothed, binned → curve → colour → 8 bits

A survey is calibrated once (`engine.data.pictures.calibration`). The default picture is asinh-stretched with one softening for the
whole survey, so that a faint galaxy looks faint; three channels are combined as in Lupton et al. 2004 (PASP 116, 133): the
mean intensity is stretched, the ratios of the bands (the colour) are kept. Two departures, for real data: colour fades where
the flux is not above the noise (a noisy sky is grey, not confetti), and where a channel would pass its maximum the colour
whitens rather than darkens, so that the core of a galaxy stays its brightest part. ``colour=lupton`` leaves them out.

Pictures (0-255) are stretched already: as they are, under the default. Another softness undoes the default curve and applies
its own; another curve is applied to them as they are.

Cost: 30-70 ns a pixel of the default picture in three bands or more, 9 ns in one; the blocks stay in a core's cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import overload

import numpy as np
import torch

from engine.data.pictures.calibration import MAD_TO_SD, NOISE_FLOOR, Calibration, calibrate
from engine.data.pictures.limits import limits_of
from engine.data.pictures.settings import DEFAULT, Stretch
from engine.data.pictures.smoothing import binned, smooth, unbinned

__all__ = ["DEFAULT", "MAD_TO_SD", "NOISE_FLOOR", "Calibration", "Stretch", "calibrate", "three_channels", "to_rgb"]

#: Brightest and faintest pixel of a picture, in units of white: sums of them stay finite.
REACH = 1e6
#: Values of pixels that are drawn at once on a CPU: what is between two steps stays in the cache.
BLOCK = 1 << 18


@overload
def three_channels(pixels: np.ndarray) -> np.ndarray: ...
@overload
def three_channels(pixels: torch.Tensor) -> torch.Tensor: ...
def three_channels(pixels):
    """Fold any number of bands into three, in order: contiguous groups, averaged over the bands that are there.

    One band fills all three; two give (first, mean, second).

    Parameters
    ----------
    pixels : (B, C, H, W) float32, array or tensor
        NaN where missing.

    Returns
    -------
    (B, 3, H, W) float32
        Of the same kind; a channel with nothing in it takes the mean of the others, NaN where no band is known.
    """
    given = torch.from_numpy(np.array(pixels, np.float32)) if isinstance(pixels, np.ndarray) else pixels.clone()
    folded = _folded(given)
    return folded.numpy() if isinstance(pixels, np.ndarray) else folded


def _folded(pixels: torch.Tensor) -> torch.Tensor:
    count = pixels.shape[1]
    if count == 1:
        return pixels.repeat(1, 3, 1, 1)
    if count == 2:
        channels = [pixels[:, 0], _mean(pixels), pixels[:, 1]]
    elif count == 3:
        return _filled(pixels)
    else:
        edges = np.linspace(0, count, 4).round().astype(int).tolist()
        channels = [_mean(pixels[:, a:b]) for a, b in pairwise(edges)]
    return _filled(torch.stack(channels, 1))


def _filled(channels: torch.Tensor) -> torch.Tensor:
    """A missing channel takes the mean of the others."""
    if _whole(channels):
        return channels
    return torch.where(_known(channels), channels, _mean(channels)[:, None])


def _mean(bands: torch.Tensor) -> torch.Tensor:
    """Mean over the bands that are known, (B, C, H, W) → (B, H, W); NaN where none is."""
    if _whole(bands):
        total = bands[:, 0].clone()
        for band in range(1, bands.shape[1]):
            total += bands[:, band]
        return total / bands.shape[1]
    known = _known(bands)
    filled = torch.where(known, bands, 0.0)
    total = filled[:, 0]
    for band in range(1, bands.shape[1]):
        total = total + filled[:, band]
    return total / known.sum(1, dtype=torch.int16)  # 0 / 0 is NaN


def _known(values: torch.Tensor) -> torch.Tensor:
    """What is finite; on a CPU by NumPy, a tenth of the time torch takes."""
    if values.device.type == "cpu":
        return torch.from_numpy(np.isfinite(values.numpy()))
    return torch.isfinite(values)


def _whole(values: torch.Tensor) -> bool:
    """Whether nothing is missing; ten times cheaper than asking every value, and an overflow only costs time."""
    return bool(torch.isfinite(values.sum()))


# -- one picture or many -----------------------------------------------------------------------------------------------


@overload
def to_rgb(
    pixels: np.ndarray,
    calibration: Calibration,
    *,
    science: bool,
    stretch: Stretch = DEFAULT,
    bands: Sequence[str] | None = None,
    scale: float = 1.0,
    limits: np.ndarray | None = None,
) -> np.ndarray: ...
@overload
def to_rgb(
    pixels: torch.Tensor,
    calibration: Calibration,
    *,
    science: bool,
    stretch: Stretch = DEFAULT,
    bands: Sequence[str] | None = None,
    scale: float = 1.0,
    limits: np.ndarray | None = None,
) -> torch.Tensor: ...
def to_rgb(pixels, calibration, *, science, stretch=DEFAULT, bands=None, scale=1.0, limits=None):
    """Turn cutouts into 8-bit colour pictures.

    Parameters
    ----------
    pixels : (B, C, H, W) float32, array or tensor
        NaN where missing; shown as the sky.
    calibration : Calibration
    science : bool
        False if the pixels are pictures already (0-255).
    stretch : Stretch
    bands : C names, optional
        Of the pixels' bands; needed where the stretch names some.
    scale : float
        Pixels of the cutout in one of `pixels` (a side of 424 drawn at 96: 4.42), so that smoothing and binning mean the
        same at every size; blocks are whole pixels of what is drawn.
    limits : (B, C, 2) float, optional
        What `cutout_limits` gives, where it is known from before.

    Returns
    -------
    (B, H, W, 3) uint8
        An array for an array; a tensor on the same device for a tensor.

    Raises
    ------
    UserError
        If the stretch names a band that is not there.
    """
    if pixels.shape[1] == 0:  # a survey without pixels
        nothing = (len(pixels), *pixels.shape[2:], 3)
        return pixels.new_zeros(nothing).byte() if isinstance(pixels, torch.Tensor) else np.zeros(nothing, np.uint8)
    way = _Way.of(calibration, science, stretch, bands, scale, pixels.shape[1])
    if isinstance(pixels, torch.Tensor):
        found = None if limits is None else torch.as_tensor(limits, device=pixels.device)
        return way.draw(pixels.to(torch.float32), torch.isfinite(pixels), found)
    pictures = np.empty((len(pixels), *pixels.shape[2:], 3), np.uint8)
    step = max(1, BLOCK // max(1, pixels[0].size)) if len(pixels) else 1
    for start in range(0, len(pixels), step):
        part = slice(start, start + step)
        values, known = _as_tensor(pixels[part])
        drawn = way.draw(values, known, None if limits is None else torch.from_numpy(np.asarray(limits[part])))
        pictures[part] = drawn.numpy()
    return pictures


def cutout_limits(pixels: np.ndarray, stretch: Stretch) -> np.ndarray | None:
    """Limits of each cutout and band where the stretch takes them from the cutouts, else None: to be kept between calls.

    Parameters
    ----------
    pixels : (B, C, H, W) float32
    stretch : Stretch

    Returns
    -------
    (B, C, 2) float64 or None
    """
    if stretch.limits == "survey":
        return None
    values, known = _as_tensor(pixels)
    return limits_of(_missing(values, known), stretch.limits, stretch.percent).numpy()


def _as_tensor(pixels: np.ndarray) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Pixels in float32, and which are known; None for all of them, or all that are finite in float32."""
    with np.errstate(over="ignore"):
        values = torch.from_numpy(np.require(pixels, np.float32, ["C", "W"]))  # what is mapped read-only is copied
    return values, None if pixels.dtype == np.float32 else torch.from_numpy(np.isfinite(pixels))


def _missing(values: torch.Tensor, known: torch.Tensor | None) -> torch.Tensor:
    """The values, NaN where not known."""
    if known is None:
        return values if _whole(values) else torch.where(_known(values), values, torch.nan)
    return torch.where(known, values, torch.nan)


@dataclass(frozen=True)
class _Way:
    """How the pictures of one call are drawn: the settings, with the names of bands resolved.

    Attributes
    ----------
    chosen : tuple of int, optional
        Bands that are shown; all, folded, if None.
    weight, background, noise, bright : (C,) float64
    sigma : float
        Of the Gaussian, in drawn pixels.
    block : int
        Side of the binned blocks, in drawn pixels.
    """

    stretch: Stretch
    science: bool
    chosen: tuple[int, ...] | None
    weight: np.ndarray
    background: np.ndarray
    noise: np.ndarray
    bright: np.ndarray
    sigma: float
    block: int

    @classmethod
    def of(cls, calibration: Calibration, science: bool, stretch: Stretch, bands, scale: float, count: int) -> _Way:
        names = list(bands) if bands is not None else []
        stretch.require_bands(names)
        chosen = None if stretch.rgb is None else tuple(names.index(name) for name in stretch.rgb)
        weight = np.ones(count)
        for name, value in stretch.weights:
            weight[names.index(name)] = value
        if science:
            levels = calibration.background, calibration.noise, calibration.bright
        else:
            levels = np.zeros(count), np.ones(count), np.full(count, 255.0)
        block = max(1, round(stretch.bin / scale))
        return cls(stretch, science, chosen, weight, *levels, stretch.smooth / scale, block)

    def draw(self, values: torch.Tensor, known: torch.Tensor | None, limits: torch.Tensor | None) -> torch.Tensor:
        """(B, C, H, W) float32 → (B, H, W, 3) uint8."""
        height, width = values.shape[-2:]
        levels, noise, sky = self._levels(values, known, limits)
        channels = smooth(self._channels(levels), self.sigma)
        if self.block > 1:
            channels = binned(channels, self.block)
        if not _whole(channels):
            channels = torch.nan_to_num(channels, nan=0.0)
        picture = (self._coloured(channels, noise, sky) if self.science else self._redrawn(channels)).clamp(0.0, 1.0)
        if self.stretch.invert:
            picture = 1.0 - picture
        drawn = (picture * 255 + 0.5).to(torch.uint8).movedim(1, -1)
        if self.block > 1:
            drawn = unbinned(drawn, self.block, height, width)
        return drawn.expand(*drawn.shape[:3], 3).contiguous()

    # -- levels and channels -------------------------------------------------------------------------------------------

    def _levels(
        self, values: torch.Tensor, known: torch.Tensor | None, limits: torch.Tensor | None
    ) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
        """Pixels with black at 0 and white at 1, NaN where missing; noise and sky in these units, (C,) or (B, C)."""
        if self.stretch.limits == "survey":
            low, span = self.background, self.bright
        else:
            if limits is None:
                limits = limits_of(_missing(values, known), self.stretch.limits, self.stretch.percent)
            both = np.nan_to_num(limits.cpu().numpy(), nan=0.0)
            low, span = both[..., 0], np.maximum(both[..., 1] - both[..., 0], NOISE_FLOOR * self.bright)
        black, white = (_bands(v, values.device) for v in (low, span))
        levels = (values - black) / white
        noise, sky = self.noise / span, np.maximum(self.background - low, 0) / span
        if (self.weight != 1).any():
            levels *= _bands(self.weight, values.device)
            noise, sky = noise * self.weight, sky * self.weight
        if known is None and _whole(levels):
            return levels.clamp_(-REACH, REACH), noise, sky
        kept = _known(values) if known is None else known
        return torch.where(kept, levels.clamp(-REACH, REACH), torch.nan), noise, sky

    def _channels(self, levels: torch.Tensor) -> torch.Tensor:
        """Red, green and blue, or one channel of grey."""
        if self.chosen is not None:
            return _filled(levels[:, list(self.chosen)]) if len(self.chosen) > 1 else levels[:, list(self.chosen)]
        if levels.shape[1] == 1:
            return levels
        return _folded(levels).flip(1) if self.science else _folded(levels)  # reddest band → red

    def _noise_shown(self, noise: np.ndarray, sky: np.ndarray, device: torch.device) -> tuple[Level, Level]:
        """Median noise of the bands shown, and the level below which there is no colour, the largest of noise and sky.

        Numbers, or (B, 1, 1, 1) where each cutout has its own.
        """
        used = slice(None) if self.chosen is None else list(self.chosen)
        noise = np.maximum(noise[..., used], NOISE_FLOOR)
        faint = noise + sky[..., used]
        if noise.ndim == 1:
            return float(np.median(noise)), float(faint.max())
        return _cutouts(np.median(noise, axis=1), device), _cutouts(faint.max(axis=1), device)

    # -- curve and colour ----------------------------------------------------------------------------------------------

    def _coloured(self, channels: torch.Tensor, noise: np.ndarray, sky: np.ndarray) -> torch.Tensor:
        """Stretch the mean of the channels, and colour it."""
        median, fading = self._noise_shown(noise, sky, channels.device)
        softening = self.stretch.softness * median
        if self.stretch.black != 0 or self.stretch.white != 1:
            black = self.stretch.black * median
            span = _above(self.stretch.white - black)
            channels, softening, fading = (channels - black) / span, softening / span, fading / span
        intensity = (channels if channels.shape[1] == 1 else _mean(channels)[:, None]).clamp(min=0.0)
        shown = (self._curve(intensity, softening) * self.stretch.gain).clamp(max=1.0)
        if channels.shape[1] == 1:
            return shown
        return (_lupton if self.stretch.colour == "lupton" else _gentle)(channels, intensity, shown, fading)

    def _redrawn(self, picture: torch.Tensor) -> torch.Tensor:
        """What was a picture already, each channel for itself."""
        if self.stretch.black != 0 or self.stretch.white != 1:
            black = self.stretch.black / 255
            picture = (picture - black) / _above(self.stretch.white - black)
        if (self.stretch.curve, self.stretch.softness) != (DEFAULT.curve, DEFAULT.softness):
            picture = picture.clamp(min=0.0)
            if self.stretch.curve == DEFAULT.curve:
                picture = torch.sinh(picture.clamp(max=1.0) * float(np.arcsinh(1.0)))
            picture = self._curve(picture, self.stretch.softness / DEFAULT.softness)
        return picture * self.stretch.gain

    def _curve(self, level: torch.Tensor, softening: Level) -> torch.Tensor:
        """What the curve makes of levels ≥ 0: 0 → 0, 1 → 1; in float64 where the device has it."""
        if self.stretch.curve == "asinh":
            return _wide(_arcsinh(level / softening)) / _of_level(torch.asinh, np.arcsinh, 1 / softening)
        if self.stretch.curve == "log":
            return _wide(torch.log1p(level / softening)) / _of_level(torch.log1p, np.log1p, 1 / softening)
        return _wide(level.sqrt() if self.stretch.curve == "sqrt" else level)


def _gentle(channels: torch.Tensor, intensity: torch.Tensor, shown: torch.Tensor, fading: Level) -> torch.Tensor:
    """Colour that fades into the noise and whitens in the core."""
    picture = (shown * (channels + fading) / (intensity + fading)).clamp(min=0.0)
    picture = picture / picture.amax(1, keepdim=True).clamp(min=1.0)
    mean = (picture[:, :1] + picture[:, 1:2] + picture[:, 2:]) / 3
    white = ((shown - mean) / (1.0 - mean).clamp(min=1e-6)).clamp(0.0, 1.0)
    return picture + white * (1.0 - picture)


def _lupton(channels: torch.Tensor, intensity: torch.Tensor, shown: torch.Tensor, fading: Level) -> torch.Tensor:
    """Colour as in Lupton et al. 2004: the ratios of the channels, and where one passes its maximum, all are dimmed."""
    picture = (channels * torch.where(intensity > 0, shown / intensity, 0.0)).clamp(min=0.0)
    return picture / picture.amax(1, keepdim=True).clamp(min=1.0)


# -- small parts -------------------------------------------------------------------------------------------------------

#: A level: one number, or one a cutout as (B, 1, 1, 1).
Level = float | torch.Tensor


def _bands(values: np.ndarray, device: torch.device) -> torch.Tensor:
    return torch.as_tensor(values, dtype=torch.float32, device=device)[..., None, None]


def _cutouts(values: np.ndarray, device: torch.device) -> torch.Tensor:
    return torch.as_tensor(values, dtype=torch.float32, device=device)[:, None, None, None]


def _above(span: Level) -> Level:
    return span.clamp(min=NOISE_FLOOR) if isinstance(span, torch.Tensor) else max(span, NOISE_FLOOR)


def _wide(values: torch.Tensor) -> torch.Tensor:
    """In float64, which decides the last bit of a picture; Apple's devices have none."""
    return values if values.device.type == "mps" else values.double()


def _arcsinh(values: torch.Tensor) -> torch.Tensor:
    """By NumPy on a CPU: a tenth of the time torch takes."""
    return torch.from_numpy(np.arcsinh(values.numpy())) if values.device.type == "cpu" else torch.asinh(values)


def _of_level(many: Callable, one: Callable, level: Level) -> Level:
    """A function of a level, by torch or by NumPy."""
    return many(level) if isinstance(level, torch.Tensor) else float(one(level))
