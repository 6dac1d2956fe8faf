"""The scale of a network's input: pixels of any survey brought to numbers of order one, NaN where missing.

    science    asinh(max((flux − sky) / noise, −3)) / 4      signal-to-noise survives, over six decades
    pictures   2 (value − sky) / 255                         with the sky of each picture's own border

Sky and noise are the survey's own (`engine.data.pictures.stretch.Calibration`), so that one network serves surveys of other
units and depths. Clipping below −3 is that of sky_embeddings; the asinh is ours and can be left out.
"""

from __future__ import annotations

import numpy as np
import torch

from engine.data.pictures.stretch import MAD_TO_SD, Calibration

#: Faintest pixel that is told from a fainter one, in units of the sky's noise.
FLOOR = -3.0
#: Brightest, likewise; keeps sums of squares finite in float32. asinh(10⁶) / 4 = 3.6.
CEILING = 1e6
SCIENCE_SCALE = 4.0
PICTURE_SCALE = 2.0
#: Pixels of a border that its level and noise are measured on, at least, where there are as many.
BORDER_SAMPLE = 2048


def scaled(pixels: np.ndarray, calibration: Calibration, science: bool, *, asinh: bool = True) -> torch.Tensor:
    """Bring cutouts to a network's scale, every band by itself.

    Parameters
    ----------
    pixels : (B, C, S, S) float32
        In the units of the survey, NaN (or infinite) where missing.
    calibration : Calibration
        Of that survey, C bands.
    science : bool
        Linear flux, or pictures of 0-255.
    asinh : bool
        False keeps science pixels linear, divided by `SCIENCE_SCALE` · 25 (a signal-to-noise of 100 becomes one).

    Returns
    -------
    (B, C, S, S) float32
        NaN where missing.
    """
    values = torch.from_numpy(np.ascontiguousarray(pixels, np.float32))
    values = torch.where(torch.isfinite(values), values, torch.nan)
    if not science:
        return ((values - border_median(values)) * (PICTURE_SCALE / 255)).clamp(-CEILING, CEILING)
    background, noise = (
        torch.tensor(v, dtype=torch.float32)[:, None, None] for v in (calibration.background, calibration.noise)
    )
    signal = ((values - background) / noise).clamp(FLOOR, CEILING)
    return arcsinh(signal) / SCIENCE_SCALE if asinh else signal / (25 * SCIENCE_SCALE)


def arcsinh(values: torch.Tensor) -> torch.Tensor:
    """The inverse hyperbolic sine, of the same shape; on a CPU by NumPy, which takes a tenth of the time torch does
    (0.7 against 13 ns a value, measured).
    """
    if values.device.type != "cpu" or values.dtype != torch.float32 or values.requires_grad:
        return torch.asinh(values)
    return torch.from_numpy(np.arcsinh(values.numpy()))


def border_median(pictures: torch.Tensor) -> torch.Tensor:
    """Median of the outer eighth on every side, (B, C, 1, 1): each picture was stretched alone and has its own sky."""
    return torch.nan_to_num(_border(pictures).nanmedian(dim=2).values)[:, :, None, None]


def border_levels(pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Median, and standard deviation from the median absolute deviation, of the same border: two (B, C, 1, 1)."""
    border = _border(pictures)
    border = border[..., :: max(1, border.shape[-1] // BORDER_SAMPLE)]
    median = torch.nan_to_num(border.nanmedian(dim=2, keepdim=True).values)
    spread = torch.nan_to_num((border - median).abs().nanmedian(dim=2, keepdim=True).values)
    return median[..., None], MAD_TO_SD * spread[..., None]


def _border(pictures: torch.Tensor) -> torch.Tensor:
    """Pixels of the outer eighth on every side: (B, C, n)."""
    side = pictures.shape[-1]
    width = max(1, side // 8)
    border = torch.ones(side, side, dtype=torch.bool)
    border[width:-width, width:-width] = side < 3
    return pictures[:, :, border]
