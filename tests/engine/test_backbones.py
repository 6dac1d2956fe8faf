"""Every backbone: any bands, any size it takes, never a NaN, and the same network again from its settings."""

import json

import pytest
import torch

from engine.encoders.backbones import BACKBONES, make, restore
from engine.errors import UserError

#: Smallest shape of each, so that all of them are tried.
SMALL = {"vit-tiny": {"depth": 2}, "vit-small": {"depth": 1}, "convnet": {}}


def small(name, bands=3, size=32, **settings):
    torch.manual_seed(0)
    return make(name, bands=bands, size=size, **SMALL[name], **settings)


def gaps(bands, size, count=6):
    """Cutouts with what real ones have: lost pixels, a lost band, nothing at all, nothing but one value, infinities."""
    pixels = torch.randn(count, bands, size, size, generator=torch.Generator().manual_seed(1))
    pixels[0, :, :3] = torch.nan
    pixels[1, 0] = torch.nan
    pixels[2] = torch.nan
    pixels[3] = 0.5
    pixels[4, :, 5, 5] = torch.inf
    return pixels


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("bands, size", [(1, 16), (3, 32), (12, 48), (5, 80)])
def test_tokens_and_vectors_have_their_shape_and_are_finite(name, bands, size):
    network = small(name, bands, size)
    pixels = gaps(bands, size)
    tokens = network.tokens(pixels)
    assert tokens.shape == (6, (size // network.patch) ** 2, network.dimension)
    assert torch.isfinite(tokens).all() and torch.isfinite(network.eval()(pixels)).all()
    assert network(pixels).shape == (6, network.dimension)


@pytest.mark.parametrize("name", BACKBONES)
def test_missing_is_the_same_as_the_learned_value(name):
    network = small(name).eval()
    torch.nn.init.normal_(network.fill)
    pixels = gaps(3, 32)
    put = pixels.clone()
    for band in range(3):
        plane = put[:, band]
        plane[~torch.isfinite(plane)] = network.fill[band].item()
    torch.testing.assert_close(network(pixels), network(put))
    assert torch.isnan(pixels[2]).all()  # what was given is not changed


@pytest.mark.parametrize("name", BACKBONES)
def test_gradients_are_finite_whatever_is_missing(name):
    network = small(name)
    network(gaps(3, 32)).square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)
    assert network.fill.grad.abs().sum() > 0


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("pooling", ["mean", "centre"])
def test_settings_restore_the_same_network(name, pooling):
    network = small(name, pooling=pooling).eval()
    again = restore(json.loads(json.dumps(network.settings))).eval()
    again.load_state_dict(network.state_dict())
    assert again.settings == network.settings
    assert torch.equal(again(gaps(3, 32)), network(gaps(3, 32)))


@pytest.mark.parametrize("name", BACKBONES)
def test_layers_hold_every_parameter_but_fill_once(name):
    network = small(name)
    held = [id(p) for layer in network.layers() for p in layer.parameters()]
    assert len(held) == len(set(held))
    assert set(held) == {id(p) for key, p in network.named_parameters() if key != "fill"}


@pytest.mark.parametrize("name", BACKBONES)
def test_one_cutout_does_not_depend_on_its_neighbours(name):
    network = small(name).eval()
    pixels = gaps(3, 32)
    torch.testing.assert_close(network(pixels)[1:3], network(pixels[1:3]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("size, side", [(32, 4), (24, 3), (16, 2), (8, 1)])
def test_the_centre_is_four_tokens_or_nine_if_there_is_one_in_the_middle(size, side):
    network = small("vit-tiny", size=size, pooling="centre")
    tokens = torch.randn(2, side * side, network.dimension)
    grid = tokens.reshape(2, side, side, -1)
    middle = [k for k in range(side) if abs(k - (side - 1) / 2) <= 1]
    expected = torch.stack([grid[:, i, j] for i in middle for j in middle]).mean(dim=0)
    torch.testing.assert_close(network.pooled(tokens), expected)
    assert len(middle) == {4: 2, 3: 3, 2: 2, 1: 1}[side]


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("size", [1, 30, 60, 5000 + 1])
def test_a_size_that_does_not_fit_names_those_that_do(name, size):
    with pytest.raises(UserError) as refused:
        make(name, bands=3, size=size)
    named = [int(word) for word in refused.value.remedy.split() if word.isdigit()]
    patch = 16 if name == "convnet" else 8
    assert named and all(n % patch == 0 and 0 < n and abs(n - size) < patch + (size < patch) * patch for n in named)


def test_an_unknown_name_lists_the_known():
    with pytest.raises(UserError, match="vit-tiny, vit-small, convnet"):
        make("resnet-9000", bands=3, size=64)
    with pytest.raises(UserError, match="mean, centre"):
        make("vit-tiny", bands=3, size=64, pooling="maximum")
