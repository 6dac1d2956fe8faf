"""Cutouts without a survey, for methods that are trained on them."""

import torch

from engine.training import Batch


def blobs(count, bands, size, seed=0):
    """Blobs of any place, width and colour on noise."""
    rng = torch.Generator().manual_seed(seed)
    axis = torch.arange(size).float()
    x, y = (size * (0.3 + 0.4 * torch.rand(count, 1, 1, 1, generator=rng)) for _ in range(2))
    width = size * (0.1 + 0.1 * torch.rand(count, 1, 1, 1, generator=rng))
    blob = torch.exp(-0.5 * ((axis - x) ** 2 + (axis[:, None] - y) ** 2) / width**2)
    colour = 1 + torch.rand(count, bands, 1, 1, generator=rng)
    return 2 * blob * colour + 0.02 * torch.randn(count, bands, size, size, generator=rng)


def with_gaps(pixels):
    """Lost pixels, a lost band, an empty cutout and a constant one."""
    pixels = pixels.clone()
    pixels[0, :, : pixels.shape[2] // 3] = torch.nan
    pixels[1, 0] = torch.nan
    pixels[2] = torch.nan
    pixels[3] = 0.7
    return pixels


def batch(pixels):
    return Batch(pixels, torch.arange(len(pixels)))


def rng(seed=5):
    return torch.Generator().manual_seed(seed)
