"""SimMIM against a slow loop written from its description, patch by patch."""

import math

import numpy as np
import pytest
import torch
from toys import batch, blobs, rng, with_gaps

from engine.encoders.backbones import make
from engine.encoders.vit import from_patches, to_patches
from engine.errors import UserError
from engine.training import METHODS, method
from engine.training.simmim import LARGEST_RATIO, SHOWN, SHOWN_RATIO, SimMIM, choose_hidden, normalised


def made(bands=3, size=32, backbone="vit-tiny"):
    torch.manual_seed(0)
    settings = {"depth": 2, "width": 24, "heads": 2} if backbone == "vit-tiny" else {}
    encoder = make(backbone, bands=bands, size=size, **settings).eval()
    torch.nn.init.normal_(encoder.fill)
    simmim = SimMIM(encoder)
    torch.nn.init.normal_(simmim.decoder.weight, std=0.1)
    torch.nn.init.normal_(simmim.decoder.bias, std=0.1)
    return simmim


def slow_loss(simmim, pixels, hidden):
    """Per cutout, band, patch and pixel, as the text says; (sum of absolute errors, pixels counted, their sum at 0)."""
    encoder, p = simmim.encoder, simmim.encoder.patch
    side = pixels.shape[2] // p
    seen = pixels.clone()
    for b, c, t in np.argwhere(hidden.numpy()):
        i, j = divmod(int(t), side)
        seen[b, c, i * p : i * p + p, j * p : j * p + p] = encoder.fill[c].item()
    for c in range(pixels.shape[1]):
        seen[:, c][~torch.isfinite(seen[:, c])] = encoder.fill[c].item()
    with torch.no_grad():
        tokens = encoder.tokens(seen)
        drawn = tokens @ simmim.decoder.weight.T + simmim.decoder.bias
    total, flat, count = 0.0, 0.0, 0
    for b, c, t in np.argwhere(hidden.numpy()):
        i, j = divmod(int(t), side)
        patch = pixels[b, c, i * p : i * p + p, j * p : j * p + p].double().numpy()
        known = patch[np.isfinite(patch)]
        if known.size == 0:
            continue
        mean, sd = known.mean(), math.sqrt(known.var() + 1e-6)
        for u in range(p):
            for v in range(p):
                if np.isfinite(patch[u, v]):
                    wanted = (patch[u, v] - mean) / sd
                    total += abs(drawn[b, t, c * p * p + u * p + v].item() - wanted)
                    flat += abs(wanted)
                    count += 1
    return total, count, flat


@pytest.mark.parametrize("bands", [1, 3, 12])
@pytest.mark.parametrize("backbone", ["vit-tiny", "convnet"])
def test_the_loss_is_that_of_the_slow_loop(bands, backbone):
    simmim = made(bands, 32, backbone)
    pixels = with_gaps(blobs(6, bands, 32))
    terms = simmim(batch(pixels), rng=rng(), done=0.0)
    generator = rng()
    ratio = LARGEST_RATIO * torch.rand(6, generator=generator)
    hidden = choose_hidden((6, bands, (32 // simmim.encoder.patch) ** 2), ratio, rng=generator)
    total, count, flat = slow_loss(simmim, pixels, hidden)
    assert terms["loss"].item() == pytest.approx(total / count, rel=1e-4)
    assert terms["flat"].item() == pytest.approx(
        flat / count, rel=1e-3
    )  # rounding of the constant cutout's mean, over 10⁻³


def test_every_band_hides_as_many_patches_but_others():
    ratio = torch.linspace(0, 0.9, 7)
    hidden = choose_hidden((7, 5, 64), ratio, rng=rng())
    count = hidden.sum(dim=2)
    assert (count == (ratio * 64).round().int()[:, None]).all()
    for b in range(2, 7):
        assert len(torch.unique(hidden[b], dim=0)) == 5
    many = choose_hidden((4000, 1, 16), torch.full((4000,), 0.5), rng=rng()).float().mean(dim=0)
    assert (many - 0.5).abs().max() < 0.05  # no place is preferred


def test_the_network_sees_nothing_of_what_is_hidden():
    simmim = made()
    pixels = with_gaps(blobs(6, 3, 32))
    hidden = choose_hidden((6, 3, 16), torch.full((6,), 0.5), rng=rng())
    other = torch.where(hidden[..., None], 7.0, to_patches(pixels, 8))
    assert torch.equal(simmim.drawn(to_patches(pixels, 8), hidden), simmim.drawn(other, hidden))


def test_missing_and_hidden_are_the_same_to_the_network():
    simmim = made()
    pixels = blobs(2, 3, 32)
    hidden = torch.zeros(2, 3, 16, dtype=torch.bool)
    hidden[:, 1] = True
    gone = pixels.clone()
    gone[:, 1] = torch.nan
    nothing = torch.zeros_like(hidden)
    assert torch.equal(simmim.drawn(to_patches(pixels, 8), hidden), simmim.drawn(to_patches(gone, 8), nothing))


def test_targets_are_normalised_over_known_pixels_only():
    patches = to_patches(with_gaps(blobs(6, 3, 32)), 8)
    target, mean, _ = normalised(patches)
    assert torch.isfinite(target).all()
    for index in [(0, 0, 4), (4, 2, 7), (5, 1, 10)]:
        values = patches[index]
        known = values[torch.isfinite(values)].double()
        assert mean[index].item() == pytest.approx(known.mean().item(), rel=1e-4)
        expected = (known - known.mean()) / (known.var(correction=0) + 1e-6).sqrt()
        assert target[index][torch.isfinite(values)].double().numpy() == pytest.approx(expected.numpy(), abs=1e-4)
    assert (target[2] == 0).all() and mean[2].isnan().all()
    assert target[3].abs().max() < 1e-3  # a constant has no contrast


def test_an_empty_cutout_contributes_nothing():
    simmim = made()
    pixels = blobs(4, 3, 32)
    empty = torch.full((1, 3, 32, 32), torch.nan)
    alone = simmim(batch(empty), rng=rng(), done=0.0)["loss"]
    assert alone.item() == 0
    alone.backward()
    assert all(p.grad is None or (p.grad == 0).all() for p in simmim.parameters())
    hidden = choose_hidden((5, 3, 16), torch.full((5,), 0.5), rng=rng())
    both = torch.cat([pixels, empty])
    assert slow_loss(simmim, both, hidden)[:2] == pytest.approx(slow_loss(simmim, pixels, hidden[:4])[:2], rel=1e-5)


def test_gradients_are_finite_and_reach_the_fill():
    simmim = made()
    simmim(batch(with_gaps(blobs(6, 3, 32))), rng=rng(), done=0.0)["loss"].backward()
    assert all(torch.isfinite(p.grad).all() for p in simmim.parameters())
    assert simmim.encoder.fill.grad.abs().min() > 0


def test_choices_depend_on_the_generator_alone():
    simmim = made()
    pixels = batch(blobs(6, 3, 32))
    first, again, other = (simmim(pixels, rng=rng(seed), done=0.0)["loss"].item() for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("name", ["simmim", "mae"])
def test_training_begins_with_the_flat_guess(name):
    torch.manual_seed(0)
    terms = method(name)(make("vit-tiny", bands=3, size=32, depth=1))(
        batch(with_gaps(blobs(6, 3, 32))), rng=rng(), done=0
    )
    assert terms["loss"].item() == terms["flat"].item() > 0


def test_training_lowers_the_loss_below_a_flat_guess():
    torch.manual_seed(0)
    simmim = SimMIM(make("vit-tiny", bands=2, size=32, depth=2))
    pixels = batch(with_gaps(blobs(64, 2, 32)))
    optimiser = torch.optim.AdamW(simmim.parameters(), lr=2e-3)
    terms = []
    for step in range(40):
        terms.append(simmim(pixels, rng=rng(step), done=step / 40))
        optimiser.zero_grad()
        terms[-1]["loss"].backward()
        optimiser.step()
    before, after = (float(np.mean([t["loss"].item() for t in part])) for part in (terms[:5], terms[-5:]))
    assert after < 0.9 * before and after < 0.95 * np.mean([t["flat"].item() for t in terms[-5:]])


def test_the_picture_puts_each_patchs_own_mean_and_contrast_back():
    simmim = made().train()
    pixels = with_gaps(blobs(SHOWN + 2, 3, 32))
    shown = simmim.picture(batch(pixels), rng=rng())
    assert shown.shape == (SHOWN, 3, 3, 32, 32) and shown.dtype == np.float32 and simmim.training
    original, masked, drawn = (torch.from_numpy(shown[:, k]) for k in range(3))
    torch.testing.assert_close(original, pixels[:SHOWN], equal_nan=True)
    hidden = choose_hidden((SHOWN, 3, 16), torch.full((SHOWN,), SHOWN_RATIO), rng=rng())
    assert to_patches(masked, 8)[hidden].isnan().all()
    torch.testing.assert_close(to_patches(masked, 8)[~hidden], to_patches(original, 8)[~hidden], equal_nan=True)
    torch.testing.assert_close(to_patches(drawn, 8)[~hidden], to_patches(original, 8)[~hidden], equal_nan=True)
    assert drawn[2].isnan().all() and drawn[4:].isfinite().all()
    with torch.no_grad():
        units = simmim.eval().drawn(to_patches(pixels[:SHOWN], 8), hidden)
    patch = to_patches(pixels[:SHOWN], 8)[5, 1]
    expected = units[5, 1] * (patch.var(dim=1, correction=0, keepdim=True) + 1e-6).sqrt() + patch.mean(1, keepdim=True)
    torch.testing.assert_close(to_patches(drawn, 8)[5, 1][hidden[5, 1]], expected[hidden[5, 1]], atol=1e-5, rtol=1e-4)


def test_patches_of_a_picture_go_back_where_they_were():
    pixels = blobs(2, 12, 32)
    assert torch.equal(from_patches(to_patches(pixels, 16), 16), pixels)


def test_methods_are_found_by_name():
    assert method("simmim") is SimMIM and "mae" in METHODS
    with pytest.raises(UserError, match="simmim, mae"):
        method("simnim")
