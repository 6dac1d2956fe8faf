"""Votes: each loss against scipy or loops, unknown answers count nowhere, columns find their questions."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import dirichlet_multinomial
from toys import blobs, rng, with_gaps

from engine.encoders.backbones import make
from engine.errors import UserError
from engine.training import Batch, votes
from engine.training.votes import KINDS, Votes, kind, questions

SMALL = {"widths": [8, 8, 16, 16], "blocks": [1, 1, 1, 1]}


def method(targets, bands=2):
    torch.manual_seed(0)
    return Votes(make("convnet", bands=bands, size=32, **SMALL), targets=targets)


def batch(pixels, **targets):
    return Batch(pixels, torch.arange(len(pixels)), targets)


# -- losses ----------------------------------------------------------------------------------------------------------


def test_votes_are_as_likely_as_scipy_says():
    counts = torch.randint(0, 40, (20, 3), generator=rng()).double()
    concentration = 1 + 100 * torch.rand(20, 3, generator=rng(1), dtype=torch.float64)
    wanted = [
        dirichlet_multinomial.logpmf(n.astype(int), a, int(n.sum())) for n, a in zip(counts.numpy(), concentration)
    ]
    assert torch.allclose(votes.dirichlet_multinomial(concentration, counts), torch.tensor(np.array(wanted)))


def test_all_ways_to_vote_add_to_one():
    ways = torch.tensor([(a, b, 5 - a - b) for a in range(6) for b in range(6 - a)]).double()
    concentration = torch.tensor([[1.5, 7.0, 30.0]], dtype=torch.float64).expand(len(ways), -1)
    assert votes.dirichlet_multinomial(concentration, ways).exp().sum().item() == pytest.approx(1)


def test_one_vote_is_a_class_drawn_by_the_concentrations():
    concentration = torch.tensor([[2.0, 6.0]], dtype=torch.float64)
    one = votes.dirichlet_multinomial(concentration, torch.tensor([[0.0, 1.0]], dtype=torch.float64))
    assert one.exp().item() == pytest.approx(6 / 8)


@pytest.mark.parametrize("what", KINDS)
def test_losses_are_means_over_what_is_known(what):
    given = torch.randn(6, 3, generator=rng())
    target = {
        "counts": torch.tensor([[3.0, 0, 4], [torch.nan] * 3, [0, 0, 0], [1, 1, 1], [9, torch.nan, 2], [0, 1, 0]]),
        "fractions": torch.tensor(
            [[0.3, 0, 0.4], [torch.nan] * 3, [0, 0, 0], [1, 0, 0], [0.2, torch.nan, 0.1], [0] * 3]
        ),
        "classes": torch.tensor([[1.0, 0, 0], [torch.nan] * 3, [0, 0, 0], [0, 1, 0], [0, torch.nan, 1], [0, 0, 1]]),
    }[what]
    each = []
    for x, t in zip(given.double().tolist(), target.tolist()):
        known = [math.isfinite(v) for v in t]
        if what == "fractions":
            each += [(1 / (1 + math.exp(-a)) - v) ** 2 for a, v, k in zip(x, t, known) if k]
        elif all(known) and sum(t) > 0:
            if what == "classes":
                each.append(-x[t.index(1)] + math.log(sum(math.exp(a) for a in x)))
            else:
                alpha = [1 + 100 / (1 + math.exp(-a)) for a in x]
                each.append(-dirichlet_multinomial.logpmf([int(v) for v in t], alpha, int(sum(t))))
    assert votes.LOSSES[what](given, target).item() == pytest.approx(np.mean(each), rel=1e-4)
    assert votes.LOSSES[what](given, torch.full_like(target, torch.nan)).item() == 0


def test_one_column_of_yes_and_no_is_a_binary_cross_entropy():
    given = torch.tensor([[0.3], [-1.2], [2.0]])
    target = torch.tensor([[1.0], [0.0], [torch.nan]])
    wanted = (math.log(1 + math.exp(-0.3)) + math.log(1 + math.exp(-1.2))) / 2
    assert votes.classes_loss(given, target).item() == pytest.approx(wanted)


@pytest.mark.parametrize(
    "rows, what",
    [
        ([[1, 0, 0], [0, 0, 1]], "classes"),
        ([[0, 0, 0]], "classes"),
        ([[1], [0]], "classes"),
        ([[torch.nan, torch.nan]], "classes"),
        ([[1, 0, 0], [0.2, 0.8, 0]], "fractions"),
        ([[0.383147, 0.616853, 0.0]], "fractions"),
        ([[0.9, 0.8]], "fractions"),
        ([[1.000001, 0.5]], "fractions"),
        ([[0.3]], "fractions"),
        ([[0, 3, 1]], "counts"),
        ([[1, 1, 0]], "counts"),
        ([[0, torch.nan, 12]], "counts"),
        ([[3.7, 1.2]], "counts"),
        ([[0, 1], [torch.nan, torch.nan]], "classes"),
        ([[14.2]], None),
        ([[2]], None),
        ([[-0.5, 0.3]], None),
    ],
)
def test_what_columns_hold_is_found_out(rows, what):
    found = int(kind(torch.tensor(rows, dtype=torch.float32)))
    assert (KINDS[found] if found < len(KINDS) else None) == what


# -- the method ------------------------------------------------------------------------------------------------------


def test_a_question_stays_what_it_was_found_to_be_and_that_is_kept():
    learner = method({"a": 2, "b": 2})
    one_hot, fractions = torch.tensor([[1.0, 0], [0, 1]]), torch.tensor([[0.3, 0.7], [1, 0]])
    pixels = blobs(2, 2, 32)
    for first in (one_hot, fractions, one_hot):
        learner(batch(pixels, a=first, b=one_hot), rng=rng(), done=0.0)
    assert learner.kinds.tolist() == [1, 0]
    other = method({"a": 2, "b": 2})
    other.load_state_dict(learner.state_dict())
    assert other.kinds.tolist() == [1, 0]


def test_the_loss_is_the_mean_over_the_questions_that_are_known():
    learner = method({"t01.x": 3, "loss": 1, "silent": 2})
    targets = {
        "t01.x": torch.rand(8, 3, generator=rng()),
        "loss": torch.tensor([[0.0], [1.0]] * 4),
        "silent": torch.full((8, 2), torch.nan),
    }
    terms = learner(batch(blobs(8, 2, 32), **targets), rng=rng(), done=0.0)
    assert terms["loss of silent"].item() == 0
    both = (terms["loss of t01.x"] + terms["loss of loss"]) / 2
    assert terms["loss"].item() == pytest.approx(both.item())


def test_values_that_are_no_votes_are_refused_by_the_questions_name():
    learner = method({"redshift": 1})
    with pytest.raises(UserError, match=r"'redshift'.*neither votes"):
        learner(batch(blobs(3, 2, 32), redshift=torch.tensor([[0.1], [2.3], [0.4]])), rng=rng(), done=0.0)
    with pytest.raises(UserError, match="no votes"):
        method({})


def test_it_learns_every_kind_at_once():
    large = torch.arange(64) % 2
    axis = torch.arange(32.0) - 15.5
    width = torch.where(large == 1, 7.0, 2.5)[:, None, None]
    blob = torch.exp(-0.5 * (axis[:, None] ** 2 + axis**2) / width**2)[:, None].expand(-1, 2, -1, -1)
    pixels = blob + 0.05 * torch.randn(blob.shape, generator=rng())
    yes = large.float()[:, None]
    targets = {
        "counts": torch.cat([20 * yes + 2, 22 - 20 * yes], dim=1),
        "fractions": torch.cat([0.1 + 0.7 * yes, 0.6 - 0.5 * yes], dim=1),
        "classes": torch.cat([yes, 1 - yes], dim=1),
        "yes": yes,
    }
    learner = method({name: t.shape[1] for name, t in targets.items()})
    optimizer = torch.optim.AdamW(learner.parameters(), lr=3e-3)
    history = []
    for step in range(40):
        torch.manual_seed(step)
        terms = learner(batch(pixels, **targets), rng=rng(step), done=step / 40)
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
        history.append({name: value.item() for name, value in terms.items()})
    for name in targets:
        assert history[-1][f"loss of {name}"] < 0.7 * history[0][f"loss of {name}"], name


@pytest.mark.parametrize("bands", [1, 5])
def test_missing_pixels_and_answers_leave_loss_and_gradients_finite(bands):
    learner = method({"a": 3, "b": 1}, bands)
    counts = torch.randint(0, 9, (8, 3), generator=rng()).float()
    counts[1], counts[2, 1], counts[3] = torch.nan, torch.nan, 0
    yes = torch.full((8, 1), torch.nan)
    terms = learner(batch(with_gaps(blobs(8, bands, 32)), a=counts, b=yes), rng=rng(), done=0.3)
    terms["loss"].backward()
    assert torch.isfinite(terms["loss"])
    assert all(torch.isfinite(p.grad).all() for p in learner.parameters() if p.grad is not None)


# -- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "columns, found",
    [
        (["Class1.1", "Class1.2", "Class2.1", "Class10.1", "Class10.2"], {"Class1": 2, "Class2.1": 1, "Class10": 2}),
        (
            ["t01_smooth_or_features_a01_smooth_count", "t01_smooth_or_features_a02_features_or_disk_count"],
            {"t01_smooth_or_features_count": 2},
        ),
        (
            ["t02_edgeon_a04_yes_fraction", "t02_edgeon_a05_no_fraction", "t02_edgeon_a04_yes_debiased"],
            {"t02_edgeon_fraction": 2, "t02_edgeon_a04_yes_debiased": 1},
        ),
        (
            ["smooth-or-featured_smooth_fraction", "smooth-or-featured_featured-or-disk_fraction", "bar_no_fraction"],
            {"smooth-or-featured_fraction": 2, "bar_no_fraction": 1},
        ),
        (["has-spiral-arms_yes", "has-spiral-arms_no", "bar_weak", "bar_no"], {"has-spiral-arms": 2, "bar": 2}),
        (["is_star", "is_ring", "merger"], {"is_star": 1, "is_ring": 1, "merger": 1}),
        ([], {}),
    ],
)
def test_columns_find_their_questions(columns, found):
    grouped = questions(columns)
    assert {name: len(members) for name, members in grouped.items()} == found
    assert sorted(c for members in grouped.values() for c in members) == sorted(columns)


def test_the_columns_of_galaxy_zoo_2_are_six_questions(shared_data):
    with (shared_data / "gz2" / "catalogue.csv").open() as table:
        columns = table.readline().strip().split(",")[1:]
    assert {name: len(c) for name, c in questions(columns).items()} == {
        "Class1": 3, "Class2": 2, "Class6": 2, "Class7": 3, "Class8": 7,
    }  # fmt: skip


def test_a_column_named_twice_is_refused():
    with pytest.raises(UserError, match="'a' is named more than once"):
        questions(["a", "b", "a"])
