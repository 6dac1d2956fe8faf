"""The masked autoencoder against a slow loop written from its description."""

import math

import numpy as np
import pytest
import torch
from toys import batch, blobs, rng, with_gaps

from engine.encoders.backbones import make
from engine.encoders.vit import from_patches, to_patches
from engine.errors import UserError
from engine.training.mae import MAE, choose_kept, dropped
from engine.training.simmim import SHOWN


def made(bands=3, size=32):
    torch.manual_seed(0)
    encoder = make("vit-tiny", bands=bands, size=size, depth=2, width=24, heads=2)
    torch.nn.init.normal_(encoder.fill)
    mae = MAE(encoder).eval()
    torch.nn.init.normal_(mae.decoder.draw.weight, std=0.1)
    return mae


def slow_drawn(mae, pixels, kept):
    """One cutout at a time, its tokens picked and put back one by one: (B, T, C p²)."""
    found = []
    for cutout, places in zip(pixels, kept.tolist()):
        embedded = mae.encoder.embedded(cutout[None])[0]
        encoded = mae.encoder.transform(torch.stack([embedded[t] for t in places])[None])[0]
        tokens = [mae.decoder.gap] * len(embedded)
        for place, token in zip(places, encoded):
            tokens[place] = mae.decoder.project(token)
        x = torch.stack([token + mae.decoder.positions[t] for t, token in enumerate(tokens)])[None]
        for block in mae.decoder.blocks:
            x = block(x)
        found.append(mae.decoder.draw(mae.decoder.norm(x))[0])
    return torch.stack(found)


@pytest.mark.parametrize("bands", [1, 3, 12])
def test_the_loss_is_that_of_the_slow_loop(bands):
    mae = made(bands)
    pixels = with_gaps(blobs(6, bands, 32))
    terms = mae(batch(pixels), rng=rng(), done=0.0)
    patches = to_patches(pixels, 8)
    kept = choose_kept(patches, rng=rng())
    with torch.no_grad():
        drawn = slow_drawn(mae, pixels, kept)
    total, flat, count = 0.0, 0.0, 0
    for b in range(6):
        for t in set(range(16)) - set(kept[b].tolist()):
            for c in range(bands):
                patch = patches[b, c, t].double().numpy()
                known = patch[np.isfinite(patch)]
                for k in np.flatnonzero(np.isfinite(patch)):
                    wanted = (patch[k] - known.mean()) / math.sqrt(known.var() + 1e-6)
                    total += (drawn[b, t, c * 64 + k].item() - wanted) ** 2
                    flat += wanted**2
                    count += 1
    assert terms["loss"].item() == pytest.approx(total / count, rel=1e-4)
    assert terms["flat"].item() == pytest.approx(flat / count, rel=1e-4)


@pytest.mark.parametrize("size, expected", [(8, 1), (16, 1), (32, 4), (64, 16)])
def test_a_quarter_is_kept_each_place_once(size, expected):
    kept = choose_kept(to_patches(blobs(50, 2, size), 8), rng=rng())
    assert kept.shape == (50, expected)
    assert all(len(set(row)) == expected for row in kept.tolist())


def test_patches_without_a_known_pixel_are_dropped_first():
    pixels = blobs(200, 2, 32)
    pixels[:, :, :16] = torch.nan  # 8 of the 16 patches in both bands
    pixels[:, 0, 16:24] = torch.nan  # 4 more in one band only
    kept = choose_kept(to_patches(pixels, 8), rng=rng())
    assert kept.min() >= 8 and set(kept.flatten().tolist()) == set(range(8, 16))
    few = blobs(3, 1, 32)
    few[:, :, :, 8:] = torch.nan
    few[:, :, 8:] = torch.nan  # one known patch, four to keep
    assert (choose_kept(to_patches(few, 8), rng=rng()) == 0).any(dim=1).all()


def test_the_network_sees_nothing_of_what_is_dropped():
    mae = made()
    pixels = with_gaps(blobs(6, 3, 32))
    patches = to_patches(pixels, 8)
    kept = choose_kept(patches, rng=rng())
    other = from_patches(torch.where(dropped(kept, patches)[..., None], 7.0, patches), 8)
    assert torch.equal(mae.drawn(pixels, kept), mae.drawn(other, kept))


def test_an_empty_cutout_contributes_nothing_and_gradients_are_finite():
    mae = made()
    alone = mae(batch(torch.full((2, 3, 32, 32), torch.nan)), rng=rng(), done=0.0)["loss"]
    assert alone.item() == 0
    alone.backward()
    assert all(p.grad is None or (p.grad == 0).all() for p in mae.parameters())
    mae.zero_grad()
    mae(batch(with_gaps(blobs(6, 3, 32))), rng=rng(), done=0.0)["loss"].backward()
    assert all(torch.isfinite(p.grad).all() for p in mae.parameters())


def test_training_lowers_the_loss_below_a_flat_guess():
    torch.manual_seed(0)
    mae = MAE(make("vit-tiny", bands=2, size=32, depth=2))
    pixels = batch(with_gaps(blobs(64, 2, 32)))
    optimiser = torch.optim.AdamW(mae.parameters(), lr=2e-3)
    terms = []
    for step in range(60):
        terms.append(mae(pixels, rng=rng(step), done=step / 60))
        optimiser.zero_grad()
        terms[-1]["loss"].backward()
        optimiser.step()
    before, after = (float(np.mean([t["loss"].item() for t in part])) for part in (terms[:5], terms[-5:]))
    assert after < 0.8 * before and after < 0.9 * np.mean([t["flat"].item() for t in terms[-5:]])


def test_the_picture_shows_what_was_kept():
    mae = made().train()
    pixels = with_gaps(blobs(SHOWN + 1, 3, 32))
    shown = torch.from_numpy(mae.picture(batch(pixels), rng=rng()))
    assert shown.shape == (SHOWN, 3, 3, 32, 32) and mae.training
    patches = to_patches(pixels[:SHOWN], 8)
    gone = dropped(choose_kept(patches, rng=rng()), patches)
    assert gone.sum(dim=2).eq(12).all()
    assert to_patches(shown[:, 1], 8)[gone].isnan().all()
    torch.testing.assert_close(to_patches(shown[:, 2], 8)[~gone], patches[~gone], equal_nan=True)
    assert shown[4:, 2].isfinite().all() and shown[2, 2].isnan().all()


def test_a_convolution_is_refused_by_name():
    with pytest.raises(UserError, match=r"'convnet'.*vit-tiny"):
        MAE(make("convnet", bands=3, size=32))
