"""Tuning a network and its head to what is known of some objects, judged on objects left out.

    frozen encoder → best head (closed form)                                    round 0
    network and head together, small steps, smaller towards the input           rounds 1, 2, …

The steps are AdamW's, with layer-wise learning rates (Bao et al. 2022, arXiv:2106.08254; Walmsley et al. 2022)

    rate of layer k of L = rate · decay^(L + 1 − k),        decay = 0.75, the head's is `rate`,

dropout before the head, cutouts turned at random, every class of the same weight in all. The head keeps the penalty
that cross-validation chose for it: without, its slopes grow until they fit every label. The network stays in evaluation
mode: a few dozen objects would spoil the statistics of its batch normalisation.

**What keeps it from diverging.** The head that starts is the best over frozen features, so round 0 is the usual linear
classifier, and the network has to beat it. Every object is judged by a network that did not learn from it. A round is
accepted only if the mean loss of the objects left out falls by more than its standard error, and the area under the ROC
curve (R² for numbers) does not fall; among those the lowest loss wins. If there is none, round 0 stands.

Cost: (folds + 1) · epochs · n cutouts forward and backward.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.model_selection import KFold, StratifiedKFold
from torch import nn

from engine.data.pictures.stretch import Calibration
from engine.device import has_bfloat16
from engine.encoders.tuned import Tunable, layers
from engine.errors import UserError
from engine.training import augment
from engine.training import head as heads
from engine.training.head import Head
from engine.training.truth import Truth

#: Moments at which a tuning is judged.
ROUNDS = 10
#: Rounds without a lower loss after which a single fold is given up.
PATIENCE = 4
#: Share of the steps that warm up; largest norm of a gradient.
WARM_UP, CLIP = 0.1, 1.0
#: Share of the objects left out, where one fold is.
LEFT_OUT = 0.2
#: Cutouts encoded at once.
BATCH = 128
AUGMENTATIONS = ("turn", "disturb", "none")


@dataclass(frozen=True)
class Recipe:
    """How to tune; see the module.

    Attributes
    ----------
    epochs, batch : int
    rate, layer_decay, decay : float
        Learning rate of the head, factor from each layer to the one before, weight decay.
    dropout : float
    augmentation : {"turn", "disturb", "none"}
        `engine.training.augment`: ``turn`` keeps every measured quantity what it is, ``disturb`` changes brightness,
        size and sharpness a little.
    folds : int
        1: a fifth of the objects is left out once; more: every object is, in so many folds.
    seed : int
    """

    epochs: int
    batch: int = 32
    rate: float = 1e-4
    layer_decay: float = 0.75
    decay: float = 0.05
    dropout: float = 0.5
    augmentation: str = "turn"
    folds: int = 5
    seed: int = 0

    def __post_init__(self):
        if self.augmentation not in AUGMENTATIONS:
            raise UserError(
                f"there is no augmentation {self.augmentation!r}", f"choose one of: {', '.join(AUGMENTATIONS)}"
            )
        if self.epochs < 1 or self.batch < 1 or self.folds < 1 or not 0 <= self.dropout < 1 or self.rate <= 0:
            raise UserError(
                "epochs, batch, folds and rate must be positive, and dropout at least 0 and below 1",
                "leave out the options you are unsure of",
            )

    @property
    def marks(self) -> list[int]:
        """Epochs after which the network is judged, rising to `epochs`."""
        return sorted({round(k * self.epochs / ROUNDS) for k in range(1, ROUNDS + 1)} - {0})


@dataclass(frozen=True)
class Material:
    """What there is to learn from, in memory.

    Attributes
    ----------
    encoder : Tunable
        On its device; its own network is never changed.
    truth : Truth
        n objects.
    pixels : (n, C, S, S) float32
        NaN where missing, in the units of the survey.
    vectors : (n, D) float32
        Of the frozen network.
    calibration, science
        Of the survey.
    device : torch.device
    frequency : (K,) float or None
        How common each class is, if not as in `truth`.
    """

    encoder: Tunable
    truth: Truth
    pixels: np.ndarray
    vectors: np.ndarray
    calibration: Calibration
    science: bool
    device: torch.device
    frequency: np.ndarray | None = None

    def prepared(self, pixels: np.ndarray) -> torch.Tensor:
        """The network's input."""
        return self.encoder.prepare(pixels, self.calibration, self.science)

    def head(self, rows: np.ndarray, seed: int) -> Head:
        """The best head over the frozen vectors of some objects, given by position."""
        return heads.started(self.vectors[rows], self.truth.part(rows), frequency=self.frequency, seed=seed)


def encode(encoder: Tunable, pixels: np.ndarray, calibration: Calibration, science: bool) -> np.ndarray:
    """Vectors of cutouts in memory, (n, D) float32."""
    parts = [
        encoder(encoder.prepare(pixels[k : k + BATCH], calibration, science)).float().cpu().numpy()
        for k in range(0, len(pixels), BATCH)
    ]
    return np.concatenate(parts)


# -- one network -------------------------------------------------------------------------------------------------------


def parameter_groups(network: nn.Module, head: nn.Module, *, rate: float, layer_decay: float, decay: float) -> list:
    """Groups for AdamW: the head at `rate`, each layer below it at `layer_decay` of the one above.

    No weight decay for biases, norms and anything else of one dimension.
    """
    stack = [*layers(network), list(head.parameters())]
    groups = []
    for index, parameters in enumerate(stack):
        own = rate * layer_decay ** (len(stack) - 1 - index)
        learning = [p for p in parameters if p.requires_grad and p.is_floating_point()]
        for part, weight in (
            ([p for p in learning if p.ndim > 1], decay),
            ([p for p in learning if p.ndim <= 1], 0.0),
        ):
            if part:
                groups.append({"params": part, "lr": own, "initial_lr": own, "weight_decay": weight})
    return groups


def schedule(done: float) -> float:
    """Factor on the learning rate when a share `done` of the steps is over: linear warm-up, then half a cosine to 0."""
    if done < WARM_UP:
        return done / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP)))


def _seed(*parts: int) -> int:
    """One number of several, unlike that of any others."""
    return int(np.random.SeedSequence([abs(part) for part in parts]).generate_state(1)[0])


class Tuning:
    """A copy of an encoder's network and a head, that learn from some objects.

    Parameters
    ----------
    material : Material
    rows : (m,) int
        Positions of the objects in `material` to learn from.
    recipe : Recipe
    stream : int
        Which of several tunings of one seed this is.
    """

    def __init__(self, material: Material, rows: np.ndarray, recipe: Recipe, *, stream: int = 0):
        self.material, self.rows, self.recipe = material, np.asarray(rows), recipe
        self.network = copy.deepcopy(material.encoder.network).eval().requires_grad_(True)
        self.head = material.head(self.rows, recipe.seed).to(material.device)
        truth = material.truth.part(self.rows)
        self.values = torch.from_numpy(truth.values).to(material.device)
        self.weights = torch.from_numpy(heads.weights(truth)).float().to(material.device)
        self.optimizer = torch.optim.AdamW(
            parameter_groups(
                self.network, self.head, rate=recipe.rate, layer_decay=recipe.layer_decay, decay=recipe.decay
            )
        )
        self.steps_an_epoch = -(-len(self.rows) // recipe.batch)
        self.step = 0
        self.reading, self.dropping = (
            torch.Generator().manual_seed(_seed(recipe.seed, stream, part)) for part in (0, 1)
        )

    def epoch(self, told: Callable[[torch.Tensor], None] = lambda loss: None) -> None:
        """Learn from every object once; `told` is called with the loss of each step."""
        with closing(self._batches()) as batches:
            for members, prepared in batches:
                told(self._learn(members, prepared))

    def _batches(self) -> Generator[tuple[torch.Tensor, torch.Tensor], None, None]:
        """Positions among `rows` and inputs; the next is made by a thread while the network works."""
        order = torch.randperm(len(self.rows), generator=self.reading)
        parts = list(order.split(self.recipe.batch))
        with ThreadPoolExecutor(1) as reader:
            coming = reader.submit(self._input, parts[0])
            for k, part in enumerate(parts):
                prepared = coming.result()
                if k + 1 < len(parts):
                    coming = reader.submit(self._input, parts[k + 1])
                yield part, prepared

    def _input(self, members: torch.Tensor) -> torch.Tensor:
        pixels = self.material.pixels[self.rows[members.numpy()]]
        return self.material.prepared(
            augmented(
                pixels,
                self.material.calibration,
                self.material.science,
                how=self.recipe.augmentation,
                rng=self.reading,
            )
        )

    def _learn(self, members: torch.Tensor, prepared: torch.Tensor) -> torch.Tensor:
        total = self.recipe.epochs * self.steps_an_epoch
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * schedule((self.step + 1) / (total + 1))
        self.step += 1
        vectors = self._vectors(prepared)
        kept = torch.rand(vectors.shape, generator=self.dropping) >= self.recipe.dropout
        outputs = self.head(vectors, (kept / (1 - self.recipe.dropout)).to(vectors))
        members = members.to(self.values.device)
        each = heads.losses(self.head, outputs, self.values[members]) * self.weights[members]
        loss = each.mean() + self.head.penalty
        self.optimizer.zero_grad(set_to_none=True)
        if not torch.isfinite(loss):  # a cutout out of all bounds: nothing to learn from
            return loss.detach()
        loss.backward()
        nn.utils.clip_grad_norm_([p for g in self.optimizer.param_groups for p in g["params"]], CLIP)
        self.optimizer.step()
        return loss.detach()

    def _vectors(self, prepared: torch.Tensor) -> torch.Tensor:
        place = self.material.device
        with torch.autocast(place.type, torch.bfloat16, enabled=has_bfloat16(place)):
            return self.network(prepared.to(place, non_blocking=True)).float()

    @torch.no_grad()
    def outputs(self, rows: np.ndarray) -> torch.Tensor:
        """What network and head say of objects given by position, (m, outputs) on the device; no dropout, no turns."""
        parts = [
            self.head(self._vectors(self.material.prepared(self.material.pixels[rows[k : k + BATCH]])))
            for k in range(0, len(rows), BATCH)
        ]
        return torch.cat(parts)


def augmented(
    pixels: np.ndarray, calibration: Calibration, science: bool, *, how: str, rng: torch.Generator
) -> np.ndarray:
    """Cutouts as they might have been, (B, C, S, S) float32 in the same units.

    Parameters
    ----------
    how : {"turn", "disturb", "none"}
        Turned and shifted by whole pixels; disturbed as well; left alone.
    """
    if how == "none":
        return pixels
    turned = augment.turn(torch.from_numpy(np.ascontiguousarray(pixels, np.float32)), rng=rng)
    if how == "turn":
        return turned.numpy()
    zero, unit = (torch.zeros(()), torch.full((), 255.0))
    if science:
        zero, unit = (
            torch.tensor(level, dtype=torch.float32)[:, None, None]
            for level in (calibration.background, calibration.noise)
        )
    linear = (turned - zero) / unit
    return (augment.disturb(linear, torch.full((len(linear),), science), rng=rng) * unit + zero).numpy()


# -- judged on objects left out ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Judged:
    """How right every round was, on objects that it did not learn from.

    Attributes
    ----------
    rows : (m,) int64
        Positions in `Material` of the objects that were left out once.
    losses : (rounds + 1, m) float64
        Weighted; infinite where a round was not reached. Round 0 is the frozen network.
    answers : (rounds + 1, m, K) float64
    merits : (rounds + 1,) float64
        `engine.training.head.merit`.
    chosen : int
        The round to keep, 0 for the frozen network.
    """

    rows: np.ndarray
    losses: np.ndarray
    answers: np.ndarray
    merits: np.ndarray
    chosen: int


def splits(truth: Truth, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Positions to learn from and to leave out; classes have their share in both."""
    whole = np.arange(len(truth))
    parts = max(2, round(1 / LEFT_OUT) if folds == 1 else folds)
    if truth.kind == "number":
        found = list(KFold(min(parts, len(truth)), shuffle=True, random_state=seed).split(whole))
    else:
        parts = min(parts, int(np.bincount(truth.values)[np.unique(truth.values)].min()))
        found = list(StratifiedKFold(parts, shuffle=True, random_state=seed).split(whole, truth.values))
    return found[:1] if folds == 1 else found


def judge(material: Material, recipe: Recipe, told: Callable[[torch.Tensor], None] = lambda loss: None) -> Judged:
    """Tune on the folds and choose the round to keep; `told` is called with the loss of each step."""
    parts = splits(material.truth, recipe.folds, recipe.seed)
    found = [
        _fold(material, recipe, learn, leave, stream, told, patient=len(parts) > 1)
        for stream, (learn, leave) in enumerate(parts)
    ]
    rows = np.concatenate([leave for _, leave in parts])
    losses = np.concatenate([one for one, _ in found], axis=1)
    answers = np.concatenate([one for _, one in found], axis=1)
    truth = material.truth.part(rows)
    losses = losses * heads.weights(truth)
    merits = np.array([heads.merit(a, truth) if np.isfinite(a).all() else -np.inf for a in answers])
    return Judged(rows, losses, answers, merits, choose(losses, merits))


def _fold(
    material: Material,
    recipe: Recipe,
    learn: np.ndarray,
    leave: np.ndarray,
    stream: int,
    told: Callable[[torch.Tensor], None],
    *,
    patient: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Losses and answers of one fold's rounds, on the objects left out."""
    tuning = Tuning(material, learn, recipe, stream=stream)
    values = torch.from_numpy(material.truth.values[leave]).to(material.device)
    rounds = [_judged(tuning, leave, values)]
    for epoch in range(1, recipe.epochs + 1):
        tuning.epoch(told)
        if epoch in recipe.marks:
            rounds.append(_judged(tuning, leave, values))
            means = [one.mean() for one, _ in rounds]
            if not patient and int(np.argmin(means)) < len(means) - PATIENCE:
                break
    while len(rounds) <= len(recipe.marks):
        rounds.append((np.full(len(leave), np.inf), np.full_like(rounds[0][1], np.nan)))
    return np.stack([one for one, _ in rounds]), np.stack([one for _, one in rounds])


def _judged(tuning: Tuning, leave: np.ndarray, values: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    outputs = tuning.outputs(leave)
    with torch.no_grad():
        losses = heads.losses(tuning.head, outputs, values).double().cpu().numpy()
    return np.where(np.isfinite(losses), losses, np.inf), tuning.head.answers(outputs).double().cpu().numpy()


def choose(losses: np.ndarray, merits: np.ndarray) -> int:
    """The round to keep: the lowest mean loss of those that are better than round 0 beyond doubt, else 0.

    Beyond doubt: the mean over objects of the fall in loss is larger than its standard error, and the merit is no less.

    Parameters
    ----------
    losses : (rounds + 1, m) float
    merits : (rounds + 1,) float
    """
    best = 0
    for number in range(1, len(losses)):
        if not np.isfinite(losses[number]).all() or not merits[number] >= merits[0]:
            continue
        fall = losses[0] - losses[number]
        if fall.mean() > fall.std() / math.sqrt(len(fall)) and losses[number].mean() < losses[best].mean():
            best = number
    return best
