"""Augmentations: the object stays in view, missing stays missing, fast passes equal slow loops."""

import math

import numpy as np
import pytest
import torch

from engine.training import augment


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blobs(count: int, bands: int = 3, side: int = 32, *, seed: int = 0) -> torch.Tensor:
    """Round sources over sky of noise one, (count, bands, side, side)."""
    rng = np.random.default_rng(seed)
    axis = np.arange(side) - (side - 1) / 2
    light = 30 * np.exp(-0.5 * (axis[:, None] ** 2 + axis**2) / rng.uniform(2, 6, (count, 1, 1)) ** 2)
    return torch.from_numpy(light[:, None] + rng.normal(size=(count, bands, side, side))).float()


def with_holes(cutouts: torch.Tensor) -> torch.Tensor:
    """The same with pixels, half a cutout, one band and a whole cutout missing."""
    cutouts = cutouts.clone()
    cutouts[0] = torch.nan
    cutouts[1, :, :, : cutouts.shape[-1] // 2] = torch.nan
    cutouts[2, -1] = torch.nan
    cutouts[3, :, 5, 7] = torch.nan
    return cutouts


# -- turn ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bands", [1, 3, 7])
def test_turning_moves_pixels_and_keeps_their_values(bands):
    cutouts = torch.randn(24, bands, 32, 32, generator=generator())
    cutouts[3, 0, 4:7] = torch.nan
    turned = augment.turn(cutouts, rng=generator())
    before, after = (x.nan_to_num(99).flatten(2).sort(dim=2).values for x in (cutouts, turned))
    assert torch.equal(before, after) and not torch.equal(cutouts.nan_to_num(), turned.nan_to_num())


def test_turning_gives_all_eight_orientations():
    corner = torch.zeros(8, 3, 32, 32)
    corner[:, :, 10, 12] = 1
    turned = augment.turn(corner, rng=generator())
    places = {tuple(torch.nonzero(t[0])[0].tolist()) for t in turned}
    assert len(places) == 8


# -- what both strong ones keep --------------------------------------------------------------------------------------


def changes(name: str):
    if name == "view":
        return lambda cutouts, seed=0: augment.view(cutouts, rng=generator(seed))
    science = {"flux": True, "pictures": False, "mixed": None}[name]

    def disturb(cutouts, seed=0):
        which = torch.arange(len(cutouts)) % 2 == 0 if science is None else science
        return augment.disturb(cutouts, which, rng=generator(seed))

    return disturb


@pytest.mark.parametrize("bands", [1, 2, 3, 5, 12])
@pytest.mark.parametrize("name", ["view", "flux", "pictures", "mixed"])
def test_the_object_stays_in_view_and_missing_stays_missing(name, bands):
    cutouts = blobs(64, bands)
    cutouts = cutouts / 15 if name in ("view", "pictures") else cutouts
    cutouts[5] = torch.nan
    cutouts[6, :, :, :16] = torch.nan
    before = cutouts.clone()
    changed = changes(name)(cutouts)
    assert torch.equal(cutouts.nan_to_num(9e9), before.nan_to_num(9e9))  # the input is not touched
    assert changed.shape == cutouts.shape and changed[5].isnan().all()
    assert 0.3 < changed[6, :1].isnan().float().mean() < 0.7 or changed[6, 0].isnan().all()
    seen = changed.nanmean(dim=1)  # `view` may leave a band out, never the object
    others = [k for k in range(64) if k not in (5, 6)]
    assert torch.isfinite(seen[others]).all()
    inner, rim = seen[others][:, 8:24, 8:24].mean(dim=(1, 2)), seen[others][:, 0].mean(dim=1)
    assert (inner > rim).float().mean() > 0.9


@pytest.mark.parametrize("name", ["view", "mixed"])
def test_the_change_depends_on_the_seed_alone(name):
    cutouts = torch.randn(16, 3, 32, 32, generator=generator(9))
    first, again, other = (changes(name)(cutouts, seed) for seed in (1, 1, 2))
    assert torch.equal(first.nan_to_num(), again.nan_to_num())
    assert not torch.equal(first.nan_to_num(), other.nan_to_num())


def test_one_science_flag_is_the_same_for_all():
    cutouts = blobs(12)
    for flag in (True, False):
        each = augment.disturb(cutouts, torch.full((12,), flag), rng=generator())
        assert torch.equal(each, augment.disturb(cutouts, flag, rng=generator()))


def test_noise_in_flux_stays_the_unit_and_pictures_end_at_full_scale():
    sky = torch.randn(64, 3, 32, 32, generator=generator())
    noise = augment.disturb(sky, True, rng=generator()).std()
    assert 0.6 < noise < 1.2  # resampling averages, noise is added: near the unit, whatever was added
    assert augment.disturb(torch.ones(16, 3, 32, 32), False, rng=generator()).max() <= 1


# -- the parts, against loops ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("holes", [False, True])
def test_blur_is_the_weighted_mean_of_the_known_pixels(holes):
    cutouts = blobs(4, 2, 8)
    cutouts = with_holes(cutouts) if holes else cutouts
    changed = augment.blurred(cutouts, rng=generator(3))
    draw = generator(3)
    start = int(torch.randint(2, (), generator=draw))
    width = augment.SEEING[0] + (augment.SEEING[1] - augment.SEEING[0]) * torch.rand((2, 1, 1), generator=draw)
    for n in range(4):
        if n % 2 != start:
            assert torch.equal(changed[n].nan_to_num(99), cutouts[n].nan_to_num(99))
            continue
        for b, y, x in np.ndindex(2, 8, 8):
            if not torch.isfinite(cutouts[n, b, y, x]):
                assert changed[n, b, y, x].isnan()
                continue
            total = weight = 0.0
            for i, j in np.ndindex(8, 8):
                value = cutouts[n, b, i, j].item()
                w = math.exp(-0.5 * ((i - y) ** 2 + (j - x) ** 2) / width[n // 2].item() ** 2)
                if math.isfinite(value):
                    total, weight = total + w * value, weight + w
            assert changed[n, b, y, x].item() == pytest.approx(total / weight, abs=2e-4)


def test_moving_keeps_a_constant_and_smears_nothing_missing_into_it():
    cutouts = with_holes(torch.full((16, 3, 32, 32), 7.0))
    changed = augment.moved(cutouts, rng=generator())
    known = torch.isfinite(changed)
    assert torch.allclose(changed[known], torch.tensor(7.0), atol=1e-5)
    assert not known[0].any() and not known[2, -1].any() and known[2, :2].all() and known[4:].all()


def test_moving_is_bilinear_at_the_place_it_was_drawn():
    """A plane a·x + b·y stays a plane under a rotation, zoom and shift: its gradient turns and shrinks by the zoom."""
    axis = torch.arange(64.0) - 31.5
    plane = (axis[None, :] * 0.6 + axis[:, None] * 0.8).expand(8, 1, 64, 64)
    changed = augment.moved(plane, rng=generator(), zoom=(0.5, 0.5), drift=0.1)[:, 0]
    slope = torch.stack([changed.diff(dim=2).mean(dim=(1, 2)), changed.diff(dim=1).mean(dim=(1, 2))])
    assert torch.allclose(slope.norm(dim=0), torch.full((8,), 0.5), atol=1e-3)
    centre = changed[:, 31:33, 31:33].mean(dim=(1, 2)).abs()
    assert centre.max() <= 0.1 * 64 * 1.4 and centre.max() > 0


def test_moving_does_not_lose_precision_under_autocast():
    cutouts = blobs(6)
    with torch.autocast("cpu", torch.bfloat16):
        inside = augment.view(cutouts, rng=generator())
    assert torch.equal(inside.nan_to_num(), augment.view(cutouts, rng=generator()).nan_to_num())


def test_the_noise_of_the_sky_is_measured_on_the_rim():
    noise = torch.tensor([0.02, 0.25, 3.0])
    cutouts = torch.randn(32, 3, 64, 64, generator=generator()) * noise[:, None, None]
    cutouts[:, :, 16:48, 16:48] += 100  # the object
    cutouts += torch.arange(64.0) * 0.001  # a gradient
    assert torch.allclose(augment.sky_noise(cutouts).median(dim=0).values, noise, rtol=0.1)
    assert augment.sky_noise(torch.full((2, 1, 4, 4), torch.nan)).eq(0).all()
    assert augment.sky_noise(torch.ones(2, 1, 1, 1)).eq(0).all()


def test_a_view_adds_noise_where_the_sky_shows_and_none_on_a_bright_source():
    sky = 0.25 * torch.randn(64, 1, 32, 32, generator=generator())
    sky[:, :, 8:24, 8:24] = 3.0
    still = {"zoom": (1, 1), "drift": 0.0, "blur": False, "gain": 0.0, "brightness": 0.0, "lost": 0.0}
    quiet = augment.view(sky, rng=generator(), noise=0.0, **still)
    added = augment.view(sky, rng=generator(), noise=2.0, **still) - quiet
    bright = quiet > 2.9
    assert added[bright].std() < 0.02 < 0.1 < added[quiet < 1].std() < 0.5


def test_a_view_loses_no_band_that_is_the_only_one():
    cutouts = torch.ones(50, 2, 8, 8)
    cutouts[:25, 0] = torch.nan
    changed = augment.view(cutouts, rng=generator(), lost=1.0)
    known = torch.isfinite(changed).flatten(2).all(dim=2)
    assert torch.equal(known.sum(dim=1), torch.ones(50, dtype=torch.int64))
    alone = augment.view(torch.ones(20, 1, 8, 8), rng=generator(), lost=1.0)
    assert torch.isfinite(alone).all()


def test_a_lost_band_of_a_disturbed_cutout_takes_the_mean_of_the_others():
    pixels = torch.randn(400, 4, 2, 2, generator=generator())
    filled = augment._filled_bands(pixels.clone(), generator(1))
    grey = one = 0
    for before, after in zip(pixels, filled):
        differs = [k for k in range(4) if not torch.equal(before[k], after[k])]
        if len(differs) == 4:
            grey += 1
            assert torch.allclose(after, before.mean(dim=0).expand(4, -1, -1), atol=1e-6)
        elif differs:
            one += 1
            others = [k for k in range(4) if k != differs[0]]
            assert len(differs) == 1 and torch.allclose(after[differs[0]], before[others].mean(dim=0), atol=1e-6)
    assert 20 < grey < 60 and 20 < one < 60
