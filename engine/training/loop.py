"""The loop that every method is trained by.

A step: a batch, the method's loss in mixed precision, its gradient clipped in norm, AdamW (Loshchilov & Hutter 2019),
then the mean of the encoder's weights, which is what ships, takes a step towards them:

    ηₜ = η · min(1, (t+1)/w) · ½ (1 + cos π·max(0, t−w)/(T−w))        w = T/20 steps of warm-up
    mean ← m·mean + (1−m)·weights,   m = min(0.999, (1+t)/(10+t))

Everything random in a step comes from (seed, step, rank), so that a run that goes on from step t does what a run that was
never stopped would have done; `Loop.state` needs no random state, and on a CPU with one number of threads the bytes agree.

A step whose loss or gradient is not finite is left out: weights, moments and mean stay. One such batch in ten is
forgiven; three nearer to each other than that end the training (`NotFinite`), since then it is the weights that are bad.

Several processes (`engine.training.processes`) share a batch; gradients are averaged by DistributedDataParallel.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from engine.device import has_bfloat16
from engine.encoders.backbones import Backbone
from engine.training import Batch, Method
from engine.training.processes import Processes

#: Share of the steps that warm up, largest norm of a gradient, memory of the averaged weights.
WARM_UP, CLIP, MEMORY = 0.05, 5.0, 0.999
#: How many batches that are not finite a training survives, and how much of one each good batch makes up for.
BAD_LIMIT, FORGIVEN = 2.0, 1 / 9


class NotFinite(Exception):
    """The training has diverged.

    Attributes
    ----------
    step : int
        Where.
    """

    def __init__(self, step: int):
        self.step = step
        super().__init__(f"loss or gradient is not finite at step {step:,}")


@dataclass(frozen=True)
class Plan:
    """How a method is trained.

    Attributes
    ----------
    steps : int
        T.
    rate : float
        η, the largest learning rate.
    decay : float
        Weight decay of matrices and kernels; biases, norms and single vectors have none.
    betas : (float, float)
        Memory of AdamW's moments.
    seed : int
    """

    steps: int
    rate: float
    decay: float
    betas: tuple[float, float]
    seed: int

    def rate_at(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        warm = max(1, round(WARM_UP * self.steps))
        if step < warm:
            return self.rate * (step + 1) / warm
        return self.rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, self.steps - warm)))


def draws(*numbers: int) -> int:
    """A seed made of several numbers, such as (seed, step, rank): unrelated for neighbouring ones."""
    return int(np.random.SeedSequence([n % (1 << 64) for n in numbers]).generate_state(1, np.uint64)[0] >> np.uint64(1))


@contextmanager
def own_randomness(device: torch.device) -> Iterator[None]:
    """Leave torch's global generators as they were."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield


def _seed_dropout(seed: int, device: torch.device) -> None:
    """Seed the generators that layers draw from; `torch.manual_seed` seeds all devices there are, at 1 ms a step."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


class Loop:
    """A training at some step.

    Parameters
    ----------
    method : Method
        With its first weights, the same in every process.
    plan : Plan
    processes : Processes
        Its device is where the method is moved.

    Attributes
    ----------
    step : int
        Steps done.
    averaged : Backbone
        The encoder with averaged weights.
    """

    def __init__(self, method: Method, plan: Plan, processes: Processes):
        self.method, self.plan, self.processes = method, plan, processes
        self.device = processes.device
        method.to(self.device).train()
        self.averaged: Backbone = copy.deepcopy(method.encoder).requires_grad_(False).eval()
        self.parameters = {n: p for n, p in method.named_parameters() if p.requires_grad}
        self.optimizer = torch.optim.AdamW(
            _groups(list(self.parameters.values()), plan.decay), lr=plan.rate, betas=plan.betas
        )
        self.forward: nn.Module = method
        if processes.world > 1:  # a target that no cutout of a share has leaves its layer out of the graph
            self.forward = nn.parallel.DistributedDataParallel(method, find_unused_parameters=True)
        self.step = 0
        self.bad = 0.0
        self.sums: dict[str, torch.Tensor] = {}
        self.summed = 0

    def advance(self, batch: Batch, *, leave: bool = False) -> bool:
        """Do one step.

        Parameters
        ----------
        leave : bool
            Whether this process has been asked to stop.

        Returns
        -------
        bool
            Whether any process has.

        Raises
        ------
        NotFinite
        """
        seed = draws(self.plan.seed, self.step, self.processes.rank)
        rng = torch.Generator(self.device).manual_seed(seed)
        _seed_dropout(seed, self.device)
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.rate_at(self.step)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=has_bfloat16(self.device)):
            terms = self.forward(batch, rng=rng, done=self.step / self.plan.steps)
        self.optimizer.zero_grad(set_to_none=True)
        terms["loss"].backward()
        norm = nn.utils.clip_grad_norm_(list(self.parameters.values()), CLIP)
        finite = torch.isfinite(terms["loss"].detach()) & torch.isfinite(norm)
        flags = torch.stack([~finite, torch.full_like(finite, leave)]).float()
        bad, leave = self.processes.largest(flags).bool().tolist()
        if bad:
            self.bad += 1
            if self.bad > BAD_LIMIT:
                raise NotFinite(self.step)
        else:
            self._learn(terms)
        self.step += 1
        return leave

    def _learn(self, terms: dict[str, torch.Tensor]) -> None:
        self.optimizer.step()
        done = (self.step + 1) / self.plan.steps
        self.method.stepped(done)
        average(self.averaged, self.method.encoder, min(MEMORY, (1 + self.step) / (10 + self.step)))
        self.bad = max(0.0, self.bad - FORGIVEN)
        self.summed += 1
        for name, value in terms.items():
            value = value.detach().float()
            self.sums[name] = self.sums[name] + value if name in self.sums else value

    @property
    def sound(self) -> bool:
        """Whether the last steps were finite, so that this is a state to go on from."""
        return self.bad < 1

    def terms(self) -> dict[str, float]:
        """Mean of each term of the loss since this was last asked, of this process."""
        means = {name: float(value) / self.summed for name, value in self.sums.items()}
        self.sums, self.summed = {}, 0
        return means

    def state(self) -> dict[str, torch.Tensor]:
        """All that the next step depends on, copied to memory."""
        found = {f"method.{n}": v for n, v in self.method.state_dict().items()}
        found |= {f"averaged.{n}": v for n, v in self.averaged.state_dict().items()}
        for name, parameter in self.parameters.items():
            found |= {f"adamw.{key}.{name}": v for key, v in self.optimizer.state[parameter].items()}
        found |= {f"sum.{n}": v for n, v in self.sums.items()}
        found["progress"] = torch.tensor([self.step, self.summed, self.bad], dtype=torch.float64)
        return {name: v.detach().cpu().clone().contiguous() for name, v in found.items()}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Take back what `state` gave."""
        self.method.load_state_dict(_part(state, "method."))
        self.averaged.load_state_dict(_part(state, "averaged."))
        for key in ("step", "exp_avg", "exp_avg_sq"):
            for name, value in _part(state, f"adamw.{key}.").items():
                parameter = self.parameters[name]
                place = "cpu" if key == "step" else parameter.device  # where AdamW itself keeps it
                self.optimizer.state[parameter][key] = value.clone().to(place)
        self.sums = {name: value.to(self.device) for name, value in _part(state, "sum.").items()}
        step, summed, self.bad = state["progress"].tolist()
        self.step, self.summed = int(step), int(summed)


def finite(state: dict[str, torch.Tensor]) -> bool:
    """Whether every number of a state is: batches that were left out can have spoilt the statistics of a norm."""
    return all(bool(torch.isfinite(v).all()) for v in state.values() if v.is_floating_point())


def _part(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): v for name, v in state.items() if name.startswith(prefix)}


def _groups(parameters: list[nn.Parameter], decay: float) -> list[dict]:
    """Weight decay on matrices and kernels; not on biases, norms and single vectors such as a mask token."""
    matrices = [p for p in parameters if p.squeeze().ndim > 1]
    vectors = [p for p in parameters if p.squeeze().ndim <= 1]
    groups = [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]
    return [g for g in groups if g["params"]]


@torch.no_grad()
def average(averaged: nn.Module, module: nn.Module, memory: float) -> None:
    """Move the mean of a module's weights towards them; counters are copied."""
    for mean, value in zip(averaged.state_dict().values(), module.state_dict().values()):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - memory)
        else:
            mean.copy_(value)
