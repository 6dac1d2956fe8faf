"""What may change about a cutout without changing the object: the augmentations of training, on the device, in batches.

`turn` moves pixels and nothing else (eight orientations, whole-pixel shifts): noise and flux stay exactly what they
were, so measured quantities stay true. `disturb` is the strong one: any angle, zoom, shift, blur by a wider
point-spread function, a gain in each band, more noise, a band or the colour lost (Mohale & Lochner 2024 for galaxies;
no hue shift beyond calibration errors, since colour is physics). `view` is the same for pixels that are on a network's
scale already (`engine.encoders.scaling`), which is what a training method sees.

`view` does not undo that scale. It is one of three (asinh of signal-to-noise, signal-to-noise, stretched pictures), a
method cannot tell which, and a guess would be wrong silently. So gain and noise act on the scaled pixels. The gain
multiplies them, nearly the same in all bands; on an asinh scale that is a contrast (3 % are 10 % of the flux at a
signal-to-noise of 10), which keeps the order of the bands but not their ratio. The noise is a multiple of the sky's own,
measured on the rim of each cutout and band, faded out where a pixel is far above the sky: there an asinh scale is
compressed and sky noise would not show.

A pixel is known after a move if more than half of the weight it was made from was known, and after a blur if it was
before; missing pixels weigh nothing, so they are never smeared into known ones.

All take (B, C, S, S) float32, NaN = missing, of any number of bands, and draw from `rng`, a generator on the pixels'
device.

Cost, 128 cutouts of 3 × 64 × 64 on one core: `turn` 3 ms, `disturb` and `view` 30 ms, twice that with
missing pixels.
"""

import math
from collections.abc import Callable

import torch
from torch.nn.functional import grid_sample

#: Largest whole-pixel shift of `turn`.
SHIFT = 2
#: Zoom, shorter and longer than life, and shift as a share of the side, of `disturb` and by default of `view`.
ZOOM, DRIFT = (0.8, 1.25), 0.06
#: Standard deviation in pixels of the Gaussian of `blurred`, from and to.
SEEING = (0.4, 1.3)
#: Median absolute deviation of the difference of two pixels → standard deviation of one.
PAIR_TO_SD = 1.4826 / math.sqrt(2)


def turn(linear: torch.Tensor, *, rng: torch.Generator) -> torch.Tensor:
    """Flip and turn by a multiple of 90°, eight orientations in turn, and shift the batch by whole pixels."""
    turned = torch.empty_like(linear)
    first = int(torch.randint(8, (), generator=rng, device=rng.device))
    for index in range(8):  # every eighth cutout in one orientation: slices, since masks cost more than the turn
        part = torch.rot90(linear[index::8], (first + index) % 4, (2, 3))
        turned[index::8] = part.flip(3) if (first + index) % 8 >= 4 else part
    shifts = torch.randint(-SHIFT, SHIFT + 1, (2,), generator=rng, device=rng.device).tolist()
    return torch.roll(turned, shifts, (2, 3))


@torch.no_grad()
def disturb(linear: torch.Tensor, science: torch.Tensor | bool, *, rng: torch.Generator) -> torch.Tensor:
    """Rotate, flip, zoom, shift, blur, change gains, add noise, drop bands: each cutout differently.

    One cutout in ten loses its colour; one in ten a band, which takes the mean of the others, as
    `engine.data.pictures.stretch.three_channels` fills it.

    Parameters
    ----------
    linear : (B, C, S, S) float32
    science : (B,) bool, or one for all
        Which are flux in units of the noise; the others are pictures of full scale 1.

    Returns
    -------
    (B, C, S, S) float32
    """
    changed = blurred(moved(linear, rng=rng), rng=rng)
    count, bands = changed.shape[:2]
    flux = torch.as_tensor(science, device=changed.device).expand(count)[:, None, None, None]
    gain = torch.exp(0.1 * _normal((count, bands, 1, 1), rng) + 0.15 * _normal((count, 1, 1, 1), rng))
    added = _uniform((count, 1, 1, 1), rng) * torch.where(flux, 1.0, 0.02)
    # more noise is a worse unit of the noise: flux is in that unit again, pictures end at full scale
    unit = torch.where(flux, 1 / torch.sqrt(1 + added**2), 1.0)
    noisy = _normal(changed.shape, rng).mul_(added * unit).addcmul_(changed, gain * unit)
    noisy = torch.minimum(noisy, torch.where(flux, torch.inf, 1.0))
    return _filled_bands(noisy, rng)


@torch.no_grad()
def view(
    pixels: torch.Tensor,
    *,
    rng: torch.Generator,
    zoom: tuple[float, float] = ZOOM,
    drift: float = DRIFT,
    blur: bool = True,
    gain: float = 0.05,
    brightness: float = 0.4,
    noise: float = 1.0,
    lost: float = 0.1,
) -> torch.Tensor:
    """One random view of each cutout on a network's scale; two views of one cutout show the same object.

    Parameters
    ----------
    pixels : (B, C, S, S) float32
        As `engine.encoders.scaling.scaled` gives them.
    zoom : (float, float)
        Smallest and largest factor by which the cutout shows more sky than before; below 1 it is a close-up.
    drift : float
        Largest shift along an axis, as a share of the side.
    blur : bool
        Whether one cutout in two is blurred.
    gain : float
        Standard deviation of the logarithm of the gain of each band by itself.
    brightness : float
        Likewise of the gain that all bands of a cutout share. Large, because how bright an object is tells two views
        of it from all others before its shape does: BYOL on 2,500 galaxies of gz2, 400 steps at 32 pixels, linear
        probe (mean area of five questions) before 0.70, after 0.71 with 0.1, 0.75 with 0.4.
    noise : float
        Most noise that is added, in units of the cutout's own.
    lost : float
        Share of the cutouts that lose a band, if they have another one: it is missing (NaN) then.

    Returns
    -------
    (B, C, S, S) float32
    """
    changed = moved(pixels, rng=rng, zoom=zoom, drift=drift)
    if blur:
        changed = blurred(changed, rng=rng)
    count, bands = changed.shape[:2]
    sky = sky_noise(pixels)[:, :, None, None]
    factor = gain * _normal((count, bands, 1, 1), rng) + brightness * _normal((count, 1, 1, 1), rng)
    changed = changed * factor.exp()
    if noise:
        added = _normal(changed.shape, rng).mul_(noise * sky * _uniform((count, 1, 1, 1), rng))
        above = changed / sky.clamp(min=1e-6)
        changed = added.div_(above.square_().mul_(0.5).add_(1)).add_(changed)
    return _without_bands(changed, lost, rng)


def moved(
    pixels: torch.Tensor, *, rng: torch.Generator, zoom: tuple[float, float] = ZOOM, drift: float = DRIFT
) -> torch.Tensor:
    """Rotation by any angle, reflection, zoom and shift in one bilinear resampling; the sky beyond the edge is the
    reflection of that inside. Parameters as for `view`.
    """
    count, _, side = pixels.shape[:3]
    angle = 2 * math.pi * _uniform((count, 1, 1), rng)
    factor = zoom[0] * (zoom[1] / zoom[0]) ** _uniform((count, 1, 1), rng)
    flip = torch.where(_uniform((count, 1, 1), rng) < 0.5, -1.0, 1.0)
    shift = 2 * drift * (2 * _uniform((2, count, 1, 1), rng) - 1)
    cos, sin = torch.cos(angle) * factor, torch.sin(angle) * factor
    axis = (2 * torch.arange(side, device=pixels.device, dtype=pixels.dtype) + 1) / side - 1
    across, down = axis[None, None, :], axis[None, :, None]
    # not torch's affine_grid: its matrix product would round to bfloat16 in a loop that runs under autocast
    grid = torch.stack(
        [cos * flip * across + (shift[0] - sin * down), sin * flip * across + (shift[1] + cos * down)], dim=3
    )
    return _weighted(pixels, lambda x: grid_sample(x, grid, padding_mode="reflection", align_corners=False))


def blurred(pixels: torch.Tensor, *, rng: torch.Generator) -> torch.Tensor:
    """Convolve one cutout in two with a Gaussian of its own width (`SEEING`), along rows and columns as two products
    with a banded matrix; missing pixels stay missing.
    """
    start = int(torch.randint(2, (), generator=rng, device=rng.device))
    part = pixels[start::2]
    width = SEEING[0] + (SEEING[1] - SEEING[0]) * _uniform((len(part), 1, 1), rng)
    matrix = blur_matrix(width, pixels.shape[-1])[:, None]
    with torch.autocast(pixels.device.type, enabled=False):
        changed = _weighted(part, lambda x: matrix @ x @ matrix.transpose(2, 3), keep=True)
    result = pixels.clone()
    result[start::2] = changed
    return result


def blur_matrix(width: torch.Tensor, side: int) -> torch.Tensor:
    """Gaussian weights of every pixel of a line for every other, each row summing to one: (n, 1, 1) widths in pixels →
    (n, side, side).
    """
    axis = torch.arange(side, device=width.device, dtype=width.dtype)
    weight = torch.exp(-0.5 * ((axis[:, None] - axis) / width) ** 2)
    return weight / weight.sum(dim=2, keepdim=True)


def sky_noise(pixels: torch.Tensor) -> torch.Tensor:
    """Standard deviation of the sky from pixel to pixel along the rim: (B, C, S, S) → (B, C), 0 where none is known.

    Of differences of neighbours, whose median a gradient or an object on the rim hardly changes.
    """
    sides = [pixels[:, :, 0], pixels[:, :, -1], pixels[..., 0], pixels[..., -1]]
    steps = torch.cat([side.diff(dim=2) for side in sides], dim=2).abs()
    if not steps.shape[2]:
        return pixels.new_zeros(pixels.shape[:2])
    return PAIR_TO_SD * steps.nanmedian(dim=2).values.nan_to_num()


def _complete(pixels: torch.Tensor) -> bool:
    """Whether no pixel is missing: one sum instead of a mask as large as the pixels."""
    return bool(torch.isfinite(pixels.sum()))


def _weighted(
    pixels: torch.Tensor, mean: Callable[[torch.Tensor], torch.Tensor], *, keep: bool = False
) -> torch.Tensor:
    """Apply a linear map whose weights sum to one to the known pixels alone; missing where half the weight is, or with
    `keep` where it was before.
    """
    if _complete(pixels):
        return mean(pixels)
    known = torch.isfinite(pixels)
    weight = mean(known.to(pixels.dtype))
    total = mean(torch.where(known, pixels, 0.0))
    return torch.where(known if keep else weight > 0.5, total / weight.clamp(min=1e-6), torch.nan)


def _filled_bands(pixels: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """One cutout in ten loses its colour; one in ten a band, which takes the mean of the others. In place."""
    count, bands = pixels.shape[:2]
    fate = _uniform((count,), rng)
    band = torch.randint(bands, (count,), generator=rng, device=rng.device)
    if bands == 1:
        return pixels
    grey, one = torch.nonzero(fate < 0.1)[:, 0], torch.nonzero(fate > 0.9)[:, 0]
    pixels[grey] = pixels[grey].nanmean(dim=1, keepdim=True)
    pixels[one, band[one]] = torch.nan
    pixels[one, band[one]] = pixels[one].nanmean(dim=1)
    return pixels


def _without_bands(pixels: torch.Tensor, share: float, rng: torch.Generator) -> torch.Tensor:
    """A share of the cutouts loses one band, never the only one that is known. In place."""
    count, bands = pixels.shape[:2]
    fate = _uniform((count,), rng)
    band = torch.randint(bands, (count,), generator=rng, device=rng.device)
    if bands == 1 or not share:
        return pixels
    rows = torch.nonzero(fate < share)[:, 0]
    known = torch.isfinite(pixels[rows]).flatten(2).any(dim=2)
    known[torch.arange(len(rows), device=known.device), band[rows]] = False
    rows = rows[known.any(dim=1)]
    pixels[rows, band[rows]] = torch.nan
    return pixels


def _uniform(shape: tuple[int, ...], rng: torch.Generator) -> torch.Tensor:
    return torch.rand(shape, generator=rng, device=rng.device)


def _normal(shape: tuple[int, ...], rng: torch.Generator) -> torch.Tensor:
    return torch.randn(shape, generator=rng, device=rng.device)
