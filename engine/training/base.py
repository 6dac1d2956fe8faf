"""Training of ``skysieve-base``: one network, several teachers.

Every step takes cutouts of every set (`engine.training.examples`), one in three in two views: only turned, and
disturbed as well (`engine.training.augment`). One linear layer a target reads the vector v, so what the targets need
lies along straight lines in it:

    L = Σ_targets w · L_target(v)  +  w · VICReg(p(v₁), p(v₂))

classes by cross-entropy, vote fractions and yes/no by binary cross-entropy, measured quantities by a smooth L1: what
the simulation knows, and what can be measured on any image without a label (`engine.training.morphometry`); invariance
to what the sky and the camera do by VICReg (Bardes et al. 2022, arXiv:2105.04906) behind a projector p that is thrown
away. AdamW, cosine schedule after a warm-up; the mean of the weights over the last steps (exponential) is what ships.

Cost: about 0.9 s a step on one core with bfloat16.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, relu, smooth_l1_loss

from engine import device as devices
from engine import files
from engine.device import has_bfloat16
from engine.encoders.convnet import Convnet, Network
from engine.jobs import Progress, Reporter, silent
from engine.training import augment
from engine.training.examples import CLASSES, Examples, many_skies, picture_sets, simulated
from engine.training.morphometry import COUNT, measures
from engine.training.skies import KINDS

#: Weight of each target's loss, and how many numbers its linear layer gives where that is not read off the examples.
WEIGHTS = {
    "class": 0.7,
    "quantities": 0.5,
    "kind": 1.0,
    "sky": 0.5,
    "votes": 2.0,
    "star": 0.2,
    "csst": 0.5,
    "measures": 1.0,
    "invariance": 0.03,
}
#: Targets that a disturbed view no longer has: it is brighter and larger or smaller than the truth.
MEASURED = ("quantities", "sky", "measures")
#: One cutout in so many is seen in a second, disturbed view.
EVERY = 3
#: Shift and scale that bring `engine.training.morphometry.measures` to order one.
MEASURES = (1.0, 1.2)
#: Share of the loss that the disturbed view's classes and votes have.
DISTURBED = 0.3
#: VICReg's weights of invariance, variance and covariance.
VICREG = (25.0, 25.0, 1.0)
#: Share of the steps that warm up, largest learning rate, weight decay, and memory of the averaged weights.
WARM_UP, RATE, DECAY, MEMORY = 0.05, 2e-3, 0.02, 0.997
#: Steps between two recorded losses.
RECORD = 20


@dataclass(frozen=True)
class Trained:
    """A network and how its training went.

    Attributes
    ----------
    network : Network
        The averaged weights, in evaluation mode.
    heads : dict
        Target → linear layer over the vector.
    losses : list of dict
        One record every `RECORD` steps: step, total and each target's loss.
    """

    network: Network
    heads: nn.ModuleDict
    losses: list[dict[str, float]]


def fit(
    sets: Sequence[Examples],
    counts: Sequence[int],
    *,
    steps: int,
    settings: dict,
    start: nn.Module | None = None,
    rate: float = RATE,
    seed: int = 1,
    device: str | None = None,
    progress: Progress = silent,
) -> Trained:
    """Train a network on sets of examples.

    Parameters
    ----------
    sets : sequence of Examples
    counts : sequence of int
        Cutouts of each set in a step.
    settings : dict
        Arguments of `Network`.
    start : Network, optional
        Whose weights it begins with; fresh ones if not given.
    rate : float
        The largest learning rate.
    seed : int
        Decides the first weights, the order and the augmentation: the same seed gives the same weights on the same
        machine and number of threads, up to the rounding of bfloat16 products where those are used.

    Returns
    -------
    Trained
    """
    place = devices.choose(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(**settings)
        if start is not None:
            network.load_state_dict(start.state_dict())
        heads = _heads(sets, settings["dimension"])
        projector = _projector(settings["dimension"])
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's stubs
    for module in (network, heads, projector):
        module.to(place)
    averaged = copy.deepcopy(network)
    parts = [network, heads, projector]
    optimizer = torch.optim.AdamW(_groups(parts), lr=rate, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=steps + 1, pct_start=WARM_UP, cycle_momentum=False
    )
    rng = torch.Generator().manual_seed(seed)
    orders = [_Order(len(s), rng) for s in sets]
    size = settings["size"]
    losses: list[dict[str, float]] = []
    for step, batch in enumerate(_batches(sets, counts, orders, rng, steps, size)):
        terms = _losses(network, heads, projector, batch, place)
        total = torch.stack([WEIGHTS[name] * value for name, value in terms.items()]).sum()
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_([p for m in parts for p in m.parameters()], 5.0)
        optimizer.step()
        schedule.step()
        _average(averaged, network, min(MEMORY, (1 + step) / (10 + step)))
        if step % RECORD == 0 or step == steps - 1:
            losses.append({"step": step, "total": total.item()} | {k: v.item() for k, v in terms.items()})
        progress(step + 1, steps, "training")
    return Trained(averaged.eval(), heads.eval(), losses)


class _Order:
    """An endless shuffled order of a set's rows."""

    def __init__(self, count: int, rng: torch.Generator):
        self.count, self.rng, self.left = count, rng, torch.empty(0, dtype=torch.int64)

    def take(self, count: int) -> torch.Tensor:
        while len(self.left) < count:
            self.left = torch.cat([self.left, torch.randperm(self.count, generator=self.rng)])
        taken, self.left = self.left[:count], self.left[count:]
        return taken


@dataclass(frozen=True)
class _Batch:
    """Inputs, (B, 3, S, S), a second view of some of them, and the targets with unknown ones where a set has none.

    ``twice`` are the rows that have the second view: one in `EVERY`, since it costs as much as the first.
    """

    turned: torch.Tensor
    disturbed: torch.Tensor
    twice: slice
    targets: dict[str, torch.Tensor]


def _batches(
    sets: Sequence[Examples],
    counts: Sequence[int],
    orders: Sequence[_Order],
    rng: torch.Generator,
    steps: int,
    size: int,
) -> Iterator[_Batch]:
    """Batches, each prepared by one other thread while the network works on the one before."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(_batch, sets, counts, orders, rng, size)
        for step in range(steps):
            batch = coming.result()
            if step + 1 < steps:
                coming = reader.submit(_batch, sets, counts, orders, rng, size)
            yield batch


def _batch(
    sets: Sequence[Examples], counts: Sequence[int], orders: Sequence[_Order], rng: torch.Generator, size: int
) -> _Batch:
    rows = [order.take(count) for order, count in zip(orders, counts)]
    signal = torch.cat([s.signal(r.numpy(), size) for s, r in zip(sets, rows)])
    turned = augment.turn(signal, rng=rng)
    twice = slice(None, None, EVERY)
    disturbed = augment.disturb(signal[twice], True, rng=rng)
    targets = {}
    for name in {name: None for s in sets for name in s.targets}:
        like = next(s.targets[name] for s in sets if name in s.targets)
        targets[name] = torch.cat(
            [s.targets[name][r] if name in s.targets else _unknown(like, len(r)) for s, r in zip(sets, rows)]
        )
    targets["measures"] = (measures(signal) - MEASURES[0]) / MEASURES[1]
    return _Batch(turned, disturbed, twice, targets)


def _unknown(like: torch.Tensor, count: int) -> torch.Tensor:
    return like.new_full((count, *like.shape[1:]), torch.nan if like.is_floating_point() else -1)


def _losses(
    network: nn.Module, heads: nn.ModuleDict, projector: nn.Module, batch: _Batch, place: torch.device
) -> dict[str, torch.Tensor]:
    """The terms of the loss; a target that nothing in the batch has is left out."""
    views = torch.cat([batch.turned, batch.disturbed]).to(place)
    with torch.autocast(place.type, torch.bfloat16, enabled=has_bfloat16(place)):
        vectors = network(views)
    first, second = vectors.float().split([len(batch.turned), len(batch.disturbed)])
    terms = {}
    for name, target in batch.targets.items():
        target = target.to(place)
        value = target_loss(name, heads[name](first), target)
        if name not in MEASURED:
            value = (1 - DISTURBED) * value + DISTURBED * target_loss(name, heads[name](second), target[batch.twice])
        terms[name] = value
    with torch.autocast(place.type, torch.bfloat16, enabled=has_bfloat16(place)):
        projected = projector(first[batch.twice]), projector(second)
    terms["invariance"] = vicreg(*(p.float() for p in projected))
    return terms


def target_loss(name: str, given: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean loss over the known targets, zero if none is known."""
    if not target.is_floating_point():
        if not (target >= 0).any():
            return given.sum() * 0
        return cross_entropy(given, target, ignore_index=-1, label_smoothing=0.05)
    known = torch.isfinite(target)
    if not known.any():
        return given.sum() * 0
    loss = smooth_l1_loss if name in MEASURED else binary_cross_entropy_with_logits
    return loss(given[known], target[known])


def vicreg(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Variance, invariance and covariance of two views' projections, (n, d) each (Bardes et al. 2022, eqs 1-6).

    s(Z, Z′) = mean squared difference;  v(Z) = mean_j max(0, 1 − √(Var Z_j + 10⁻⁴));  c(Z) = Σ_{i≠j} Cov(Z)²_{ij} / d;
    λ s + μ [v(Z) + v(Z′)] / 2 + ν [c(Z) + c(Z′)].
    """
    invariance = (first - second).square().mean()
    variance, covariance = first.new_zeros(()), first.new_zeros(())
    for view in (first, second):
        centred = view - view.mean(dim=0)
        variance = variance + relu(1 - torch.sqrt(centred.var(dim=0) + 1e-4)).mean() / 2
        products = centred.T @ centred / (len(view) - 1)
        covariance = covariance + (products.square().sum() - products.diagonal().square().sum()) / view.shape[1]
    return VICREG[0] * invariance + VICREG[1] * variance + VICREG[2] * covariance


def _heads(sets: Sequence[Examples], dimension: int) -> nn.ModuleDict:
    widths: dict[str, int] = {}
    for examples in sets:
        for name, target in examples.targets.items():
            width = target.shape[1] if target.is_floating_point() else int(target.max()) + 1
            widths[name] = max(width, widths.get(name, 0))
    widths["measures"] = COUNT
    return nn.ModuleDict({name: nn.Linear(dimension, width) for name, width in widths.items()})


def _projector(dimension: int, width: int = 512) -> nn.Module:
    return nn.Sequential(nn.Linear(dimension, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width))


def _groups(modules: Sequence[nn.Module]) -> list[dict]:
    """Weight decay on matrices and kernels only."""
    parameters = [p for m in modules for p in m.parameters()]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": DECAY},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


@torch.no_grad()
def _average(averaged: nn.Module, network: nn.Module, memory: float) -> None:
    for mean, value in zip(averaged.state_dict().values(), network.state_dict().values()):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - memory)
        else:
            mean.copy_(value)


def save_encoder(trained: Trained, out: Path, name: str, card: dict) -> Path:
    """Write ``NAME.safetensors`` (float16) and ``NAME.json``; returns the first."""
    state = {
        key: value.half().contiguous()
        for key, value in trained.network.cpu().state_dict().items()
        if value.is_floating_point()
    }
    weights = Path(out) / f"{name}.safetensors"
    with files.atomic_path(weights) as temporary:
        temporary.write_bytes(save(state, metadata={"format": "pt"}))
    files.write_json(Path(out) / f"{name}.json", card)
    return weights


# -- recipes -----------------------------------------------------------------------------------------------------------

#: Arguments of `Network`.
BASE: dict = {"stem": 32, "widths": (32, 64, 128, 256), "blocks": (1, 2, 2, 2), "dimension": 256, "size": 128}
#: Objects of the simulated survey and their share of dwarfs; skies of many cameras; the seed of both. Tests and demo
#: use seeds below 1000.
SIMULATED, DWARFS, SKIES, SIMULATION_SEED = 12_000, 0.1, 20_000, 1001
#: Cutouts a step: set → count.
STEP = {
    "simulated": 16,
    "skies": 12,
    "skies as pictures": 32,
    "gz2": 24,
    "star_galaxy": 6,
    "csst_dwarfs": 8,
    "gz_examples": 6,
}


def skysieve_base(
    data: Sequence[Path],
    out: Path,
    *,
    steps: int = 2200,
    without: Sequence[str] = (),
    start: Path | None = None,
    rate: float = RATE,
    simulation_seed: int = SIMULATION_SEED,
    objects: int | None = None,
    cameras: int | None = None,
    seed: int = 1,
    device: str | None = None,
    progress: Progress = silent,
) -> Path:
    """Train ``skysieve-base``: on simulated objects and on the real picture sets found in `data`.

    Parameters
    ----------
    data : folders
        Hold, or are, any of `engine.training.examples.PICTURE_SETS`; none for simulated objects alone.
    out : folder
        Gets ``skysieve-base.safetensors`` and ``skysieve-base.json``.
    without : names
        Sets that are left out, so that the network can be judged on them.
    start : folder, optional
        Holds the weights that it begins with, of an earlier run; none for fresh ones.
    rate : float
        The largest learning rate.
    simulation_seed : int
        Of both simulations, 1000 or more.
    objects, cameras : int
        Simulated objects: of the survey, and under skies of many cameras (`SIMULATED`, `SKIES`).

    Returns
    -------
    path of the weights
    """
    from engine.survey import version

    size = BASE["size"]
    sets = [
        simulated(objects or SIMULATED, seed=simulation_seed, dwarf_fraction=DWARFS, progress=progress),
        *many_skies(cameras or SKIES, seed=simulation_seed, size=size, progress=progress),
        *picture_sets(data, size=size, without=without),
    ]
    counts = [STEP[s.name] for s in sets]
    before = None if start is None else Convnet("skysieve-base", assets=start)
    trained = fit(
        sets,
        counts,
        steps=steps,
        settings=BASE,
        start=None if before is None else before.network,
        rate=rate,
        seed=seed,
        device=device,
        progress=progress,
    )
    card = {
        "name": "skysieve-base",
        "version": 2,
        "licence": "BSD-3-Clause",
        "network": BASE,
        "classes": CLASSES,
        "kinds": KINDS,
        "trained_with": version(),
        "torch": torch.__version__,
        "seed": seed,
        "steps": steps,
        "without": list(without),
        "start": None if before is None else {"identity": before.identity, "steps": before.card["steps"]},
        "rate": rate,
        "data": {s.name: len(s) for s in sets},
        "simulation_seed": simulation_seed,
        "losses": trained.losses,
    }
    return save_encoder(trained, Path(out), "skysieve-base", card)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the encoder that ships, by its documented recipe."""
    parser = argparse.ArgumentParser(prog="python -m engine.training.base", description=main.__doc__)
    parser.add_argument("data", type=Path, nargs="*", help="folders of real images to learn from as well")
    parser.add_argument("--out", type=Path, required=True, help="folder for the weights")
    parser.add_argument("--steps", type=int, default=2200, help="batches to learn from (2200)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--without", action="append", default=[], help="a set to leave out, to be judged on it")
    parser.add_argument("--start", type=Path, help="folder of weights to begin with")
    parser.add_argument("--rate", type=float, default=RATE, help=f"largest learning rate ({RATE})")
    parser.add_argument("--simulation-seed", type=int, default=SIMULATION_SEED, help=f"({SIMULATION_SEED})")
    given = vars(parser.parse_args(arguments))
    progress = Reporter()
    path = skysieve_base(given.pop("data"), given.pop("out"), progress=progress, **given)
    progress.finish()
    sys.stdout.write(f"Wrote {path}.\n")


if __name__ == "__main__":
    main()
