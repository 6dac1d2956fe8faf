"""Limits of single cutouts: the values shown black and white, found from a cutout's own pixels.

`zscale` is IRAF's: a line is fitted to a sample of the pixels in order of brightness, those far from it are left out, and the
line's slope, made steeper, says how wide the limits are; the same numbers as astropy's `ZScaleInterval`. `percentile` keeps a
share of the pixels between the limits. Both take many cutouts at once, on any device; missing pixels do not count.

Cost: a sort of a thousand values a cutout and band for zscale, of all of them for percentile.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch

#: IRAF's own settings: pixels of the sample, contrast, rejection in sd, share that may be rejected, rounds, pixels at least.
SAMPLE, CONTRAST, REJECT, MOST_REJECTED, ROUNDS, FEWEST = 1000, 0.25, 2.5, 0.5, 5, 5
#: Share of the sample around a rejected pixel that is rejected with it.
GROWTH = 0.01


def zscale(values: torch.Tensor) -> torch.Tensor:
    """Limits as IRAF's zscale finds them.

    Parameters
    ----------
    values : (N, P) float
        Pixels of N images, NaN where missing.

    Returns
    -------
    (N, 2) float64
        NaN where an image has no known pixel.

    Source
    ------
    IRAF's ``zscale`` (NOAO), as in `astropy.visualization.ZScaleInterval`.
    """
    sample, count = _sample(values)
    good, slope = _line(sample, count)
    last = (count - 1).clamp(min=0)
    low, high = sample[:, :1], sample.gather(1, last[:, None])
    middle = last // 2
    median = (
        sample.gather(1, middle[:, None]) + sample.gather(1, (count // 2).clamp(max=sample.shape[1] - 1)[:, None])
    ) / 2
    steep = slope[:, None] / CONTRAST
    fits = good[:, None]
    below = median - (middle - 1)[:, None] * steep
    above = median + (count - middle)[:, None] * steep
    found = torch.cat(
        [torch.where(fits, torch.maximum(low, below), low), torch.where(fits, torch.minimum(high, above), high)], 1
    )
    return torch.where(count[:, None] > 0, found, torch.nan)


def _sample(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Every so many-th known pixel, in order of brightness, (N, S) float64, infinite behind the last; and how many."""
    known = torch.isfinite(values)
    rank = known.cumsum(1)
    there = rank[:, -1:]
    stride = (there // SAMPLE).clamp(min=1)
    wanted = stride * torch.arange(min(SAMPLE, values.shape[1]), device=values.device) + 1  # the first known pixel is 1
    taken = wanted <= there
    place = torch.searchsorted(rank, wanted).clamp(max=values.shape[1] - 1)
    sample = torch.where(taken, values.gather(1, place), torch.inf).double()
    return _sorted(sample), taken.sum(1)


def _line(sample: torch.Tensor, count: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Fit a line to each row's first `count` values, leaving out what is far from it.

    Returns whether enough pixels were left, (N,) bool, and the slope, (N,) float64.
    """
    x = torch.arange(sample.shape[1], dtype=torch.float64, device=sample.device)
    inside = x < count[:, None]
    y = torch.where(inside, sample, 0.0)
    fewest = (count * MOST_REJECTED).long().clamp(min=FEWEST)
    grow = (count * GROWTH).long().clamp(min=1)
    good, left, before = inside.clone(), count.clone(), count + 1
    slope = torch.zeros(len(y), dtype=torch.float64, device=y.device)
    for _ in range(ROUNDS):
        active = (left < before) & (left >= fewest)
        if not active.any():
            break
        new, flat = _fitted(x, y, good)
        slope = torch.where(active, new, slope)
        n = good.sum(1, keepdim=True).clamp(min=1)
        mean = (flat * good).sum(1, keepdim=True) / n
        limit = REJECT * ((((flat - mean) ** 2) * good).sum(1, keepdim=True) / n).sqrt()
        bad = _grown((~good | (flat.abs() > limit)) & inside, grow) & inside
        good = torch.where(active[:, None], inside & ~bad, good)
        before = torch.where(active, left, before)
        left = torch.where(active, good.sum(1), left)
    return left >= fewest, slope


def _fitted(x: torch.Tensor, y: torch.Tensor, good: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Slope of the line through the good values, (N,), and all values less the line, (N, S)."""
    n = good.sum(1, keepdim=True).clamp(min=1)
    x_mean, y_mean = (x * good).sum(1, keepdim=True) / n, (y * good).sum(1, keepdim=True) / n
    from_mean = (x - x_mean) * good
    slope = (from_mean * (y - y_mean)).sum(1, keepdim=True) / (from_mean**2).sum(1, keepdim=True).clamp(min=1e-300)
    return slope[:, 0], y - (y_mean + slope * (x - x_mean))


def _grown(bad: torch.Tensor, width: torch.Tensor) -> torch.Tensor:
    """Spread what is True over `width` places around it, as ``numpy.convolve(mode="same")`` does."""
    size = bad.shape[1]
    total = torch.nn.functional.pad(bad.long().cumsum(1), (1, 0))
    place = torch.arange(size, device=bad.device)
    first = (place - (width // 2)[:, None]).clamp(min=0)
    behind = (place + ((width - 1) // 2)[:, None] + 1).clamp(max=size)
    return total.gather(1, behind) > total.gather(1, first)


def percentile(values: torch.Tensor, percent: float) -> torch.Tensor:
    """Limits between which `percent` per cent of the known pixels are, as many below as above.

    Parameters
    ----------
    values : (N, P) float
        NaN where missing.
    percent : float
        0-100.

    Returns
    -------
    (N, 2) float64
        As `numpy.nanpercentile` gives them; NaN where an image has no known pixel.
    """
    ordered = _sorted(torch.where(torch.isfinite(values), values, torch.inf))
    count = torch.isfinite(ordered).sum(1, keepdim=True)
    shares = torch.tensor([50 - percent / 2, 50 + percent / 2], dtype=torch.float64, device=values.device) / 100
    place = shares * (count - 1).clamp(min=0)
    low = place.floor().long()
    high = torch.minimum(low + 1, (count - 1).clamp(min=0))
    lower, upper = (ordered.gather(1, k).double() for k in (low, high))
    return torch.where(count > 0, lower + (upper - lower) * (place - low), torch.nan)


def _sorted(values: torch.Tensor) -> torch.Tensor:
    """Each row in ascending order; on a CPU by NumPy, which takes a tenth of the time torch does."""
    if values.device.type == "cpu":
        return torch.from_numpy(np.sort(values.numpy(), axis=1))
    return values.sort(1).values


def limits_of(pixels: torch.Tensor, how: str, percent: float) -> torch.Tensor:
    """Limits of every cutout and band.

    Parameters
    ----------
    pixels : (B, C, H, W) float
        NaN where missing.
    how : {"zscale", "percentile"}
    percent : float
        Share of the pixels between the limits, with percentile.

    Returns
    -------
    (B, C, 2) float64
        NaN where a band is missing.
    """
    ways: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "zscale": zscale,
        "percentile": partial(percentile, percent=percent),
    }
    if pixels.device.type == "mps":  # has no float64
        pixels = pixels.cpu()
    return ways[how](pixels.flatten(2).flatten(0, 1)).reshape(*pixels.shape[:2], 2)
