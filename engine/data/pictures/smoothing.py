"""Smoothing and binning of pictures with holes: a missing pixel has no weight and stays out of every mean.

    smoothed = (G * known·image) / (G * known)          normalised convolution (Knutsson & Westin 1993)

Beyond the border nothing is known either, so that a constant image stays constant up to its edge.
Cost: one pass over the image for every tap of the Gaussian, in each direction.
"""

from __future__ import annotations

import math

import torch

#: The Gaussian is cut off at so many sd.
TRUNCATE = 4.0


def smooth(images: torch.Tensor, sigma: float) -> torch.Tensor:
    """Convolve with a Gaussian; what is missing stays missing.

    Parameters
    ----------
    images : (..., H, W) float
        NaN where missing.
    sigma : float
        Standard deviation, pixels; 0 changes nothing.

    Returns
    -------
    (..., H, W) float
    """
    radius = int(TRUNCATE * sigma + 0.5)
    if radius == 0:
        return images
    taps = [math.exp(-0.5 * (k / sigma) ** 2) for k in range(radius + 1)]
    known = torch.isfinite(images)
    if bool(known.all()):
        weight = torch.ones_like(images[(0,) * (images.dim() - 2)])
        return _spread(images, taps) / _spread(weight, taps)
    total = _spread(torch.where(known, images, 0.0), taps)
    return torch.where(known, total / _spread(known.to(images.dtype), taps), torch.nan)


def _spread(images: torch.Tensor, taps: list[float]) -> torch.Tensor:
    """Sum of shifted copies along rows, then along columns; what is shifted in is zero."""
    for axis in (-1, -2):
        size, spread = images.shape[axis], images * taps[0]
        for shift in range(1, min(len(taps), size)):
            near, far = images.narrow(axis, 0, size - shift), images.narrow(axis, shift, size - shift)
            spread.narrow(axis, 0, size - shift).add_(far, alpha=taps[shift])
            spread.narrow(axis, shift, size - shift).add_(near, alpha=taps[shift])
        images = spread
    return images


def binned(images: torch.Tensor, block: int) -> torch.Tensor:
    """Mean of the known pixels of every block × block pixels; blocks at the right and lower edge may be smaller.

    Parameters
    ----------
    images : (..., H, W) float
        NaN where missing.
    block : int

    Returns
    -------
    (..., ⌈H/block⌉, ⌈W/block⌉) float
        NaN where nothing in a block is known.
    """
    height, width = images.shape[-2:]
    padded = torch.nn.functional.pad(images, (0, -width % block, 0, -height % block), value=torch.nan)
    cells = padded.unflatten(-1, (-1, block)).unflatten(-3, (-1, block))
    return cells.nanmean((-3, -1))


def unbinned(images: torch.Tensor, block: int, height: int, width: int) -> torch.Tensor:
    """Every pixel of (B, h, w, n) as a block again, (B, height, width, n)."""
    return images.repeat_interleave(block, 1)[:, :height].repeat_interleave(block, 2)[:, :, :width]
