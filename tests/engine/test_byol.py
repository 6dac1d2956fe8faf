"""BYOL: its loss against loops, a target that only follows, no collapse, and a run that goes on exactly."""

import copy
import math

import numpy as np
import pytest
import torch
from toys import batch, blobs, rng, with_gaps

from engine.encoders.backbones import make
from engine.training import byol
from engine.training.byol import BYOL

SMALL = {"widths": [8, 8, 16, 16], "blocks": [1, 1, 1, 1]}


def method(bands=2, *, size=32, **options):
    torch.manual_seed(0)
    return BYOL(make("convnet", bands=bands, size=size, **SMALL), **options)


def train(learner, steps, *, first=0, total=50, optimizer=None):
    """Plain Adam on toy cutouts; the terms of each step."""
    optimizer = optimizer or torch.optim.AdamW([p for p in learner.parameters() if p.requires_grad], lr=2e-3)
    found = []
    for step in range(first, first + steps):
        terms = learner(batch(blobs(32, 2, learner.encoder.size, seed=step)), rng=rng(step), done=step / total)
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
        learner.stepped((step + 1) / total)
        found.append({name: value.item() for name, value in terms.items()})
    return found, optimizer


def test_the_distance_equals_its_loops():
    predicted, wanted = torch.randn(2, 5, 7, generator=rng(), dtype=torch.float64)
    total = 0.0
    for p, w in zip(predicted.numpy(), wanted.numpy()):
        p, w = p / math.sqrt(sum(v * v for v in p)), w / math.sqrt(sum(v * v for v in w))
        total += sum((a - b) ** 2 for a, b in zip(p, w))  # eq. 2 of the paper
    assert byol.distance(predicted, wanted).item() == pytest.approx(total / 5)
    assert byol.distance(predicted, 3 * predicted).item() == pytest.approx(0, abs=1e-12)
    assert byol.distance(predicted, -predicted).item() == pytest.approx(4)


def test_the_loss_is_both_views_against_the_other_views_target():
    learner, cutouts = method().eval(), blobs(6, 2, 32)
    loss = learner(batch(cutouts), rng=rng(3), done=0.0)["loss"].item()
    draw = rng(3)
    one, two = byol.view(cutouts, rng=draw), byol.view(cutouts, rng=draw)

    def online(v):
        return learner.predictor(learner.projector(learner.encoder(v)))

    def target(v):
        return learner.target["projector"](learner.target["encoder"](v))

    wanted = byol.distance(online(one), target(two)) + byol.distance(online(two), target(one))
    assert loss == pytest.approx(wanted.item(), rel=1e-5)


def test_views_that_are_equal_cost_nothing_once_the_predictor_adds_nothing(monkeypatch):
    monkeypatch.setattr(byol, "view", lambda pixels, rng: pixels)
    learner = method()
    learner.predictor = torch.nn.Identity()
    assert learner(batch(blobs(8, 2, 32)), rng=rng(), done=0.0)["loss"].item() == pytest.approx(0, abs=1e-5)


def test_the_target_gets_no_gradient_and_follows_the_average():
    learner = method(memory=0.9)
    before = copy.deepcopy(learner.target.state_dict())
    learner(batch(blobs(8, 2, 32)), rng=rng(), done=0.0)["loss"].backward()
    assert all(p.grad is None for p in learner.target.parameters())
    assert all(p.grad is not None for p in learner.projector.parameters())
    with torch.no_grad():
        for p in learner.encoder.parameters():
            p.add_(1.0)
    learner.stepped(0.5)
    memory = 1 - 0.1 * 0.5
    for name, value in learner.target["encoder"].named_parameters():
        assert torch.allclose(value, before[f"encoder.{name}"] + (1 - memory), atol=1e-6)


def test_the_target_lags_less_and_less():
    memories = [byol.memory_at(done, 0.996) for done in np.linspace(0, 1, 11)]
    assert memories[0] == pytest.approx(0.996) and memories[-1] == pytest.approx(1) and memories == sorted(memories)


def test_it_learns_without_collapse():
    found, _ = train(method(size=16), 50)
    assert np.mean([f["loss"] for f in found[-10:]]) < 0.8 * found[0]["loss"]
    assert min(f["spread"] for f in found) > 0.3
    constant = torch.ones(9, 4)
    assert byol.spread(constant).item() == pytest.approx(0, abs=1e-6)
    assert byol.spread(torch.randn(4000, 16, generator=rng())).item() == pytest.approx(1, abs=0.02)


def test_a_checkpoint_is_all_there_is():
    whole, other = method(size=16), method(size=16)
    train(whole, 4)
    _, optimizer = train(other, 2)
    resumed = method(size=16)
    with torch.no_grad():
        for p in resumed.parameters():
            p.zero_()
    resumed.load_state_dict(other.state_dict())
    again = torch.optim.AdamW([p for p in resumed.parameters() if p.requires_grad], lr=2e-3)
    again.load_state_dict(optimizer.state_dict())
    train(resumed, 2, first=2, optimizer=again)
    state = resumed.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in whole.state_dict().items())
    assert any("running_mean" in name and name.startswith("target.") for name in state)


@pytest.mark.parametrize("bands", [1, 5])
def test_missing_pixels_bands_and_cutouts_leave_loss_and_gradients_finite(bands):
    learner = method(bands)
    terms = learner(batch(with_gaps(blobs(8, bands, 32))), rng=rng(), done=0.3)
    terms["loss"].backward()
    assert torch.isfinite(terms["loss"])
    assert all(torch.isfinite(p.grad).all() for p in learner.parameters() if p.grad is not None)
    alone = learner(batch(blobs(1, bands, 32)), rng=rng(), done=0.3)["loss"]
    assert torch.isfinite(alone)


def test_the_picture_shows_the_cutout_and_two_views():
    cutouts = blobs(3, 2, 32)
    shown = method().picture(batch(cutouts), rng=rng())
    assert shown.shape == (3, 3, 2, 32, 32) and np.array_equal(shown[:, 0], cutouts.numpy())
    assert not np.array_equal(np.nan_to_num(shown[:, 1]), np.nan_to_num(shown[:, 2]))
