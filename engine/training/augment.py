"""What may change about a cutout without changing the object: the augmentations of training, on the device, in batches.

`turn` moves pixels and nothing else (eight orientations, whole-pixel shifts): noise and flux stay exactly what they
were, so measured quantities stay true. `disturb` is the strong one: any angle, zoom, shift, blur by a wider
point-spread function, a gain in each band, more noise, a band or the colour lost (Mohale & Lochner 2024 for galaxies;
no hue shift beyond calibration errors, since colour is physics).

Both take linear (B, 3, S, S) float32, as `engine.encoders.convnet.channels` gives it: NaN = missing, and draw from
`rng`.
"""

import math

import torch
from torch.nn.functional import affine_grid, conv2d, grid_sample

#: Largest whole-pixel shift of `turn`.
SHIFT = 2


def turn(linear: torch.Tensor, *, rng: torch.Generator) -> torch.Tensor:
    """Flip and turn by a multiple of 90°, eight orientations in turn, and shift the batch by whole pixels."""
    turned = torch.empty_like(linear)
    first = int(torch.randint(8, (), generator=rng))
    for index in range(8):  # every eighth cutout in one orientation: slices, since masks cost more than the turn
        part = torch.rot90(linear[index::8], (first + index) % 4, (2, 3))
        turned[index::8] = part.flip(3) if (first + index) % 8 >= 4 else part
    shifts = torch.randint(-SHIFT, SHIFT + 1, (2,), generator=rng).tolist()
    return torch.roll(turned, shifts, (2, 3))


def disturb(linear: torch.Tensor, science: torch.Tensor, *, rng: torch.Generator) -> torch.Tensor:
    """Rotate, flip, zoom, shift, blur, change gains, add noise, drop bands: each cutout differently.

    Parameters
    ----------
    linear : (B, 3, S, S) float32
    science : (B,) bool
        Which are flux in units of the noise; the others are pictures of full scale 1.
    """
    disturbed = _blur(_move(linear, rng), rng)
    count = len(disturbed)
    gain = torch.exp(0.1 * torch.randn(count, 3, 1, 1, generator=rng)) * torch.exp(
        0.15 * torch.randn(count, 1, 1, 1, generator=rng)
    )
    unit = torch.where(science, 1.0, 0.02)[:, None, None, None]
    added = torch.rand(count, 1, 1, 1, generator=rng) * unit
    noisy = disturbed * gain + added * torch.randn(disturbed.shape, generator=rng)
    noisy = torch.where(science[:, None, None, None], noisy / torch.sqrt(1 + added**2), noisy.clamp(max=1.0))
    return _lose_bands(noisy, rng)


def _move(linear: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Rotation by any angle, reflection, zoom by up to 25 % and shift by up to 6 % of the side, in one resampling."""
    count = len(linear)
    angle = 2 * math.pi * torch.rand(count, generator=rng)
    zoom = torch.exp(math.log(1.25) * (2 * torch.rand(count, generator=rng) - 1))
    flip = torch.where(torch.rand(count, generator=rng) < 0.5, -1.0, 1.0)
    shift = 0.12 * (torch.rand(count, 2, generator=rng) - 0.5) * 2
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    rows = [torch.stack([cos * flip, -sin, shift[:, 0]], 1), torch.stack([sin * flip, cos, shift[:, 1]], 1)]
    matrix = torch.stack(rows, 1)
    grid = affine_grid(matrix, list(linear.shape), align_corners=False)
    known = torch.isfinite(linear)
    moved = grid_sample(torch.where(known, linear, 0.0), grid, padding_mode="reflection", align_corners=False)
    if known.all():
        return moved
    weight = grid_sample(known.float(), grid, padding_mode="reflection", align_corners=False)
    return torch.where(weight > 0.5, moved / weight.clamp(min=0.5), torch.nan)


def _blur(linear: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Convolve every second cutout with a Gaussian of 0.4-1.3 pixels (one width a batch)."""
    width = 0.4 + 0.9 * float(torch.rand((), generator=rng))
    axis = torch.arange(-3, 4, dtype=linear.dtype)
    line = torch.exp(-0.5 * (axis / width) ** 2)
    kernel = (line[:, None] * line[None, :] / line.sum() ** 2).expand(3, 1, 7, 7)
    part = linear[::2]
    known = torch.isfinite(part)
    padded = torch.nn.functional.pad(torch.where(known, part, 0.0), (3, 3, 3, 3), mode="replicate")
    blurred = linear.clone()
    blurred[::2] = torch.where(known, conv2d(padded, kernel, groups=3), torch.nan)
    return blurred


def _lose_bands(linear: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """One cutout in ten loses its colour; one in ten a band, which takes the mean of the others."""
    fate = torch.rand(len(linear), generator=rng)
    mean = linear.mean(dim=1, keepdim=True)
    lost = torch.randint(3, (len(linear),), generator=rng)
    others = (3 * mean - linear.gather(1, lost[:, None, None, None].expand(-1, 1, *linear.shape[2:]))) / 2
    is_lost = (torch.arange(3)[None] == lost[:, None])[:, :, None, None] & (fate > 0.9)[:, None, None, None]
    linear = torch.where((fate < 0.1)[:, None, None, None], mean, linear)
    return torch.where(is_lost, others, linear)
