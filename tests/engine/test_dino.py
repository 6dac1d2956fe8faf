"""DINO: its loss and centre against loops, a teacher that only follows, no collapse, close-ups that are close."""

import math

import numpy as np
import pytest
import torch
from toys import batch, blobs, rng, with_gaps

from engine.encoders.backbones import make
from engine.training import dino
from engine.training.dino import DINO


def method(bands=2, **options):
    torch.manual_seed(0)
    return DINO(make("vit-tiny", bands=bands, size=16, width=32, depth=1, heads=2), **options)


def slow_cross_entropy(given, wanted, centre, temperature):
    """Algorithm 1 of the paper, by loops."""

    def softmax(values):
        powers = [math.exp(v) for v in values]
        return [p / sum(powers) for p in powers]

    total = pairs = 0
    for g in range(len(wanted)):
        for v in range(len(given)):
            if g == v:
                continue
            pairs += 1
            for b in range(given.shape[1]):
                teacher = softmax([(x - c) / temperature for x, c in zip(wanted[g, b], centre)])
                student = softmax([x / dino.STUDENT for x in given[v, b]])
                total -= sum(t * math.log(s) for t, s in zip(teacher, student)) / given.shape[1]
    return total / pairs


@pytest.mark.parametrize("views, outputs", [(2, 3), (4, 5)])
def test_the_loss_equals_its_loops(views, outputs):
    given = torch.rand(views, 3, outputs, generator=rng(1), dtype=torch.float64)
    wanted = torch.rand(2, 3, outputs, generator=rng(2), dtype=torch.float64)
    centre = torch.rand(outputs, generator=rng(3), dtype=torch.float64)
    fast = dino.cross_entropy(given, wanted, centre, temperature=0.05).item()
    assert fast == pytest.approx(slow_cross_entropy(given.numpy(), wanted.numpy(), centre.numpy(), 0.05))


def test_the_loss_is_least_where_the_student_says_what_the_teacher_says():
    wanted = torch.randn(2, 4, 6, generator=rng()).mul(0.05)
    wanted[1] = wanted[0]
    same = dino.cross_entropy(wanted * dino.STUDENT / 0.05, wanted, torch.zeros(6), temperature=0.05)
    other = dino.cross_entropy(wanted.flip(2) * dino.STUDENT / 0.05, wanted, torch.zeros(6), temperature=0.05)
    shares = torch.softmax(wanted[0] / 0.05, dim=1)
    assert same.item() == pytest.approx(-(shares * shares.log()).sum(dim=1).mean().item(), rel=1e-5)
    assert same < other


def test_the_teacher_gets_no_gradient_and_its_centre_is_a_running_mean():
    learner, cutouts = method(), batch(blobs(6, 2, 16))
    learner.centre.fill_(0.5)
    learner(cutouts, rng=rng(4), done=0.0)["loss"].backward()
    assert all(p.grad is None for p in learner.teacher.parameters())
    assert all(p.grad is not None for p in learner.head.parameters())
    views = learner.views(cutouts.pixels, rng=rng(4))[:12]
    mean = learner.teacher["head"](learner.teacher["encoder"](views)).mean(dim=0)
    assert torch.allclose(learner.centre, 0.9 * 0.5 + 0.1 * mean, atol=1e-6)
    before = learner.centre.clone()
    learner.eval()(cutouts, rng=rng(4), done=0.0)
    assert torch.equal(learner.centre, before)


def test_the_temperature_warms_up():
    assert [round(dino.temperature_at(d), 4) for d in (0, 0.15, 0.3, 1)] == [0.04, 0.055, 0.07, 0.07]


def test_close_ups_show_less_sky():
    axis = torch.arange(64.0)
    ramp = (axis[None, :] + axis[:, None]).expand(32, 1, 64, 64) / 64
    views = method(1).views(ramp, rng=rng()).unflatten(0, (-1, 32))
    slope = [(v.diff(dim=3).square() + v.transpose(2, 3).diff(dim=3).square()).flatten(1).median() for v in views]
    assert len(views) == 4 and max(slope[2:]) < 0.6 * min(slope[:2])


def test_it_learns_without_collapse():
    learner = method(memory=0.95)
    optimizer = torch.optim.AdamW([p for p in learner.parameters() if p.requires_grad], lr=1e-3)
    excess = []
    for step in range(50):
        terms = learner(batch(blobs(16, 2, 16, seed=step)), rng=rng(step), done=step / 50)
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
        learner.stepped((step + 1) / 50)
        excess.append((terms["loss"] - terms["entropy"]).item())
    assert terms["entropy"] > 0.8 * math.log(dino.OUTPUTS)
    # the loss of a student that says the same of every object is the entropy of the teacher's mean answer
    assert np.mean(excess[-10:]) < np.mean(excess[5:15])


@pytest.mark.parametrize("bands", [1, 5])
def test_missing_pixels_bands_and_cutouts_leave_loss_and_gradients_finite(bands):
    learner = method(bands)
    terms = learner(batch(with_gaps(blobs(8, bands, 16))), rng=rng(), done=0.3)
    terms["loss"].backward()
    assert torch.isfinite(terms["loss"])
    assert all(torch.isfinite(p.grad).all() for p in learner.parameters() if p.grad is not None)


def test_the_state_is_complete_and_the_picture_shows_all_views():
    learner, other = method(), method()
    learner(batch(blobs(6, 2, 16)), rng=rng(), done=0.0)
    other.load_state_dict(learner.state_dict())
    assert torch.equal(other.centre, learner.centre) and learner.centre.any()
    shown = learner.picture(batch(blobs(3, 2, 16)), rng=rng())
    assert shown.shape == (3, 5, 2, 16, 16)
