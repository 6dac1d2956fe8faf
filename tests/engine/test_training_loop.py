"""The loop: schedule, averaging, batches that are not finite, and that a state is all that the next step depends on."""

import copy
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from small_training import Broken, Guess, Plain, Small
from toys import batch, blobs

from engine.encoders.backbones import make
from engine.training import METHODS, Batch, Method, method
from engine.training import loop as loops
from engine.training.loop import Loop, NotFinite, Plan, average, draws, finite, own_randomness
from engine.training.processes import Processes

PROCESSES = Processes(torch.device("cpu"))
PLAN = Plan(steps=100, rate=1e-2, decay=0.05, betas=(0.9, 0.95), seed=3)
PIXELS = blobs(40, 2, 16)


def begun(kind=Guess, plan=PLAN, processes=PROCESSES):
    torch.manual_seed(draws(plan.seed))
    return Loop(kind(Small(2, 16)), plan, processes)


def go(loop, steps):
    for _ in range(steps):
        chosen = np.random.default_rng(loop.step).choice(40, 8, replace=False)
        loop.advance(batch(PIXELS[chosen]))
    return loop


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.fixture(autouse=True)
def private_randomness():
    with own_randomness(torch.device("cpu")):
        yield


def test_learning_rate_warms_up_then_falls_along_a_cosine_to_nothing():
    rates = [PLAN.rate_at(step) for step in range(100)]
    assert rates[:6] == pytest.approx([0.002, 0.004, 0.006, 0.008, 0.01, 0.01])
    assert rates[50] == pytest.approx(0.005 * (1 + math.cos(math.pi * 45 / 95)))
    assert (np.diff(rates[5:]) < 0).all() and 0 < rates[-1] < 1e-5
    assert Plan(1, 1.0, 0, (0.9, 0.9), 0).rate_at(0) == 1.0


def test_only_matrices_decay():
    loop = begun()
    decayed = {id(p) for g in loop.optimizer.param_groups if g["weight_decay"] for p in g["params"]}
    names = {name for name, p in loop.method.named_parameters() if id(p) in decayed}
    assert names == {"encoder.embed.weight", "head.weight"}
    grouped = sum(len(g["params"]) for g in loop.optimizer.param_groups)
    assert grouped == len(list(loop.method.parameters()))


def test_loss_falls_and_the_seed_decides():
    loop = begun()
    first = go(loop, 10).terms()["loss"]
    last = go(go(loop, 80), 10).terms()["loss"]
    assert last < 0.9 * first
    assert same(go(begun(), 100).state(), go(begun(), 100).state() | {})
    assert not same(go(begun(plan=Plan(100, 1e-2, 0.05, (0.9, 0.95), 4)), 3).state(), go(begun(), 3).state())


@pytest.mark.parametrize("at", [0, 1, 7, 20])
def test_a_state_is_all_that_the_next_step_depends_on(at):
    whole = go(begun(), 24)
    stored = load(save(go(begun(), at).state()))
    torch.manual_seed(99)  # whatever happened since
    resumed = begun()
    resumed.restore(stored)
    assert resumed.step == at
    torch.rand(5)
    assert same(go(resumed, 24 - at).state(), whole.state())
    assert resumed.terms() == whole.terms()


@pytest.mark.parametrize("name", [name for name, place in METHODS.items() if place.startswith("engine.")])
def test_every_method_goes_on_from_its_state(name):
    kind = method(name)
    targets = {"q": torch.rand(40, 3)} if kind.supervised else {}

    def start():
        torch.manual_seed(0)
        encoder = make((Method.defaults | kind.defaults)["backbone"], bands=2, size=16)
        return Loop(kind(encoder, targets={n: v.shape[1] for n, v in targets.items()}), PLAN, PROCESSES)

    def steps(loop, count):
        for _ in range(count):
            chosen = np.random.default_rng(loop.step).choice(40, 6, replace=False)
            known = {n: v[chosen] for n, v in targets.items()}
            loop.advance(Batch(PIXELS[chosen], torch.from_numpy(chosen), known))
        return loop

    whole = steps(start(), 4).state()
    resumed = start()
    resumed.restore(load(save(steps(start(), 2).state())))
    assert same(steps(resumed, 2).state(), whole) and finite(whole)


def test_the_mean_of_the_weights_is_the_slow_one():
    loop = begun()
    mean = {k: v.clone().double() for k, v in loop.method.encoder.state_dict().items()}
    for step in range(30):
        go(loop, 1)
        memory = min(loops.MEMORY, (1 + step) / (10 + step))
        for name, value in loop.method.encoder.state_dict().items():
            mean[name] = memory * mean[name] + (1 - memory) * value if value.is_floating_point() else value
    for name, value in loop.averaged.state_dict().items():
        torch.testing.assert_close(value.double(), mean[name].double(), rtol=1e-4, atol=1e-6)
    assert not loop.averaged.training and not any(p.requires_grad for p in loop.averaged.parameters())
    weights = copy.deepcopy(loop.averaged)
    average(weights, loop.method.encoder, 1.0)
    assert torch.equal(weights.embed.weight, loop.averaged.embed.weight)


def test_gradients_are_clipped_in_norm():
    loop = begun(Plain)
    loop.forward = lambda given, **options: {k: 1e6 * v for k, v in loop.method(given, **options).items()}
    go(loop, 1)
    norm = math.sqrt(sum(float(p.grad.square().sum()) for p in loop.method.parameters() if p.grad is not None))
    assert norm == pytest.approx(loops.CLIP, rel=1e-4)


def test_a_batch_that_is_not_finite_is_left_out(monkeypatch):
    monkeypatch.setattr(Broken, "at", (5,))
    loop = go(begun(Broken), 5)
    weights, moments = loop.method.head.weight.clone(), copy.deepcopy(loop.optimizer.state_dict()["state"])
    mean = loop.averaged.embed.weight.clone()
    go(loop, 1)
    assert loop.step == 6 and torch.equal(loop.method.head.weight, weights)
    assert torch.equal(loop.averaged.embed.weight, mean) and loop.method.seen == 5
    assert all(torch.equal(moments[0][k], v) for k, v in loop.optimizer.state_dict()["state"][0].items())
    go(loop, 20)
    assert finite(loop.state()) and math.isfinite(loop.terms()["loss"])


@pytest.mark.parametrize(
    "at, stops", [((8, 9, 10), 10), ((8, 10, 12), 12), (tuple(range(5, 100, 10)), None), ((40, 46, 60), None)]
)
def test_three_of_them_near_each_other_end_the_training(monkeypatch, at, stops):
    monkeypatch.setattr(Broken, "at", at)
    if stops is None:
        assert go(begun(Broken), 100).step == 100
    else:
        with pytest.raises(NotFinite) as raised:
            go(begun(Broken), 100)
        assert raised.value.step == stops


def test_torchs_own_generators_are_left_alone():
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    with own_randomness(torch.device("cpu")):
        go(begun(), 3)
    assert torch.equal(torch.rand(3), wanted)


def test_ranks_draw_differently():
    assert len({draws(1, step, rank) for step in range(50) for rank in range(4)}) == 200
    assert draws(1, 0, 1) != draws(0, 1, 1) and draws(-1) != draws(1)
