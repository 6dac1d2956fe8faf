"""The convolutional backbone: a map of its own resolution, and statistics that gaps do not spoil."""

import pytest
import torch

from engine.encoders.resnet import STRIDE, convnet


def test_a_token_is_a_place_of_the_last_map():
    network = convnet(2, 64).eval()
    for stage in network.stages:
        for block in stage:
            torch.nn.init.zeros_(block.second_norm.weight)  # shortcuts alone: what is left is local
    pixels = torch.zeros(1, 2, 64, 64)
    before = network.tokens(pixels)
    pixels[:, :, 4:8, 36:40] = 3.0  # row 0, column 2 of the 4 × 4 places
    moved = (network.tokens(pixels) - before).abs().sum(dim=2)[0].reshape(4, 4)
    assert moved[0, 2] > 0 and moved[2:].max() == 0 and moved[:, 0].max() == 0


def test_the_network_is_small():
    assert 0.8e6 < sum(p.numel() for p in convnet(3, 64).parameters()) < 1.5e6
    assert convnet(12, STRIDE).tokens(torch.zeros(2, 12, STRIDE, STRIDE)).shape == (2, 1, 192)


@pytest.mark.parametrize("bands", [1, 12])
def test_running_statistics_stay_finite_whatever_is_missing(bands):
    network = convnet(bands, 32)
    network(torch.full((4, bands, 32, 32), torch.nan))
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())


def test_training_lowers_a_loss():
    torch.manual_seed(0)
    network, head = convnet(2, 32), torch.nn.Linear(192, 1)
    pixels = torch.randn(32, 2, 32, 32)
    wanted = (torch.arange(32) % 2).float()
    pixels[wanted == 1, :, 12:20, 12:20] += 2
    optimiser = torch.optim.AdamW([*network.parameters(), *head.parameters()], lr=1e-3)
    losses = []
    for _ in range(12):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(head(network(pixels))[:, 0], wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
