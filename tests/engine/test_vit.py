"""The vision transformer against the same written out slowly."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from engine.encoders.backbones import make
from engine.encoders.vit import (
    PATCH,
    PLAIN_TOKENS,
    Block,
    from_patches,
    plain_attention,
    sincos_positions,
    small,
    tiny,
    to_patches,
)
from engine.errors import UserError


@pytest.mark.parametrize("bands, size, patch", [(1, 8, 8), (3, 24, 8), (12, 16, 4)])
def test_patches_are_cut_row_by_row(bands, size, patch):
    pixels = torch.randn(2, bands, size, size)
    patches = to_patches(pixels, patch)
    side = size // patch
    for token in range(side * side):
        row, column = divmod(token, side)
        cut = pixels[:, :, row * patch : (row + 1) * patch, column * patch : (column + 1) * patch]
        assert torch.equal(patches[:, :, token], cut.flatten(2))
    assert torch.equal(from_patches(patches, patch), pixels)


@pytest.mark.parametrize("tokens", [1, 9, 64])
def test_plain_attention_is_the_fused_one(tokens):
    query, key, value = torch.randn(3, 2, 3, tokens, 16, requires_grad=True)
    fused, plain = F.scaled_dot_product_attention(query, key, value), plain_attention(query, key, value)
    torch.testing.assert_close(plain, fused)
    weight = torch.randn_like(fused)
    for a, b in zip(*(torch.autograd.grad((y * weight).sum(), (query, key, value)) for y in (fused, plain))):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_training_and_using_a_block_are_the_same_function():
    torch.manual_seed(0)
    block = Block(24, 3)
    for count in (4, PLAIN_TOKENS + 1):
        x = torch.randn(2, count, 24)
        with torch.no_grad():
            used = block(x)
        torch.testing.assert_close(block(x.requires_grad_()), used, atol=1e-5, rtol=1e-4)


def test_a_block_is_attention_then_a_perceptron_each_beside_a_shortcut():
    torch.manual_seed(0)
    block = Block(12, 3).double()
    x = torch.randn(1, 5, 12, dtype=torch.float64)

    def norm(v, part):
        return (v - v.mean()) / (v.var(correction=0) + part.eps).sqrt() * part.weight + part.bias

    normed = torch.stack([norm(v, block.attention_norm) for v in x[0]])
    query, key, value = (normed @ block.qkv.weight.T + block.qkv.bias).split(12, dim=1)
    mixed = torch.zeros(5, 12, dtype=torch.float64)
    for head in range(3):
        part = slice(4 * head, 4 * head + 4)
        for i in range(5):
            weights = torch.stack([(query[i, part] * key[j, part]).sum() / math.sqrt(4) for j in range(5)]).softmax(0)
            mixed[i, part] = sum(weights[j] * value[j, part] for j in range(5))
    y = x[0] + mixed @ block.merge.weight.T + block.merge.bias
    wide = torch.stack([norm(v, block.mlp_norm) for v in y]) @ block.widen.weight.T + block.widen.bias
    wide = wide * 0.5 * (1 + torch.erf(wide / math.sqrt(2)))
    y = y + wide @ block.narrow.weight.T + block.narrow.bias
    torch.testing.assert_close(block(x)[0], y)


def test_positions_are_sines_and_cosines_of_row_and_column():
    side, width = 5, 16
    found = sincos_positions(side, width).numpy()
    for token in range(side * side):
        row, column = divmod(token, side)
        rates = [10_000 ** -(k / 4) for k in range(4)]
        expected = [f(place * rate) for place in (row, column) for f in (math.sin, math.cos) for rate in rates]
        assert found[token] == pytest.approx(expected, abs=1e-6)
    assert len(np.unique(found.round(5), axis=0)) == side * side
    with pytest.raises(UserError, match="multiple of 4"):
        sincos_positions(4, 18)


def test_tokens_know_their_place_and_see_each_other():
    network = tiny(2, 16, depth=1).eval()
    pixels = torch.zeros(1, 2, 16, 16)
    tokens = network.tokens(pixels)[0]
    assert torch.pdist(tokens).min() > 1e-3
    pixels[:, :, :PATCH, :PATCH] = 1
    assert (network.tokens(pixels)[0, 3] - tokens[3]).abs().max() > 1e-4


def test_some_tokens_alone_are_encoded_in_any_order():
    network = tiny(2, 32, depth=2).eval()
    embedded = network.embedded(torch.randn(2, 2, 32, 32))
    order = torch.randperm(16)[:7]
    some = network.transform(embedded[:, order.sort().values])
    torch.testing.assert_close(
        network.transform(embedded[:, order]), some[:, order.argsort().argsort()], atol=1e-5, rtol=1e-4
    )


def test_the_sizes_are_those_of_the_papers():
    assert sum(p.numel() for p in small(3, 64).blocks.parameters()) == 12 * (12 * 384**2 + 13 * 384)
    assert make("vit-tiny", bands=3, size=64).dimension == 192 and small(3, 64).dimension == 384


def test_half_precision_is_close_and_finite():
    torch.manual_seed(0)
    network = tiny(3, 64).eval()
    pixels = torch.randn(4, 3, 64, 64)
    pixels[0, 0] = torch.nan
    with torch.no_grad():
        exact = network(pixels)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = network(pixels).float()
        halved = network.bfloat16()(pixels).float()
    for other in (mixed, halved):
        assert F.cosine_similarity(other, exact).min() > 0.995
