"""Votes: one network answers every question at once, and what it needs for that is the representation.

A question is a target of k columns, its answers; what they hold decides the loss:

    counts      −log DM(n | α),  α = 1 + 100 σ(x)      votes for each answer out of N = Σ n, Dirichlet-multinomial:
                DM = N! Γ(A) / Γ(N + A) · Π Γ(n_k + α_k) / (n_k! Γ(α_k)),   A = Σ α
    fractions   (σ(x) − f)², mean over the answers     a fraction that is not known is left out by itself
    classes     −log softmax(x)[class], or −log σ(±x)  one-hot columns, or one column of yes and no

Columns are counts if an answer has more than one vote or whole numbers add to more than one, else fractions if a value
is not whole, else classes; that is found out as batches come and kept with the weights. The loss is the mean over the
questions that the batch knows anything about. One linear layer a question, behind dropout, reads the backbone's vector.

Sources: Walmsley et al. 2022, MNRAS 509, 3966, eqs 1-3 (α up to 101); squared error is what is minimised where only
fractions are published. Cost: the encoder forward and back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, dropout

from engine.encoders.backbones import Backbone
from engine.errors import UserError
from engine.training import Batch, Method
from engine.training.augment import view

#: What the columns of a question can be; a later kind overrules an earlier one.
KINDS = ("classes", "fractions", "counts")
#: How far published fractions may leave 0-1.
ROUNDING = 0.01
#: Largest concentration above 1.
CONCENTRATION = 100.0
#: Share of the vector that is dropped before the heads.
DROPOUT = 0.2
#: Views of a cutout: brightness and size are part of what is asked, so both change less than in self-supervision.
VIEW: dict[str, Any] = {
    "zoom": (0.9, 1.1),
    "drift": 0.04,
    "blur": False,
    "gain": 0.02,
    "brightness": 0.04,
    "noise": 0.5,
    "lost": 0.05,
}
#: Endings of vote columns that say what is counted, not which answer it is.
ENDING = r"_(?:weighted[-_]fraction|fraction|debiased|weight|count|votes|flag)"
#: How the column of an answer is named after its question.
PATTERNS = (
    r"(?P<name>.+)\.\d+",
    rf"(?P<name>t\d+_.+?)_a\d+_.+?(?P<ending>{ENDING})?",
    rf"(?P<name>[^_]+(?:_[^_]+)*?)_[^_]+(?P<ending>{ENDING})",
)


class Votes(Method):
    """Every question at once, on any backbone.

    Parameters
    ----------
    encoder : Backbone
        Trained in place.
    targets : mapping
        Question → number of answers.

    Raises
    ------
    UserError
        If there is no question.
    """

    defaults: ClassVar[dict] = {
        "backbone": "convnet",
        "batch": 64,
        "rate": 1e-3,
        "decay": 0.05,
        "betas": (0.9, 0.98),
    }
    supervised: ClassVar[bool] = True
    kinds: torch.Tensor

    def __init__(self, encoder: Backbone, *, targets: Mapping[str, int] | None = None):
        super().__init__(encoder, targets=targets)
        if not targets:
            raise UserError("there are no votes to learn from", "name the columns of the catalogue with --targets")
        self.questions = tuple(targets)
        # a list, since a module's name may hold no dot and a question's may
        self.heads = nn.ModuleList(nn.Linear(encoder.dimension, count) for count in targets.values())
        self.register_buffer("kinds", torch.zeros(len(targets), dtype=torch.int64))

    def forward(self, batch: Batch, *, rng: torch.Generator, done: float) -> dict[str, torch.Tensor]:
        """The terms ``loss`` and that of each question by its name."""
        targets = [batch.targets[question] for question in self.questions]
        losses = self.losses(self.vectors(batch.pixels, rng=rng), targets)
        known = torch.stack([torch.isfinite(t).any() for t in targets])
        terms = {f"loss of {name}": value for name, value in zip(self.questions, losses)}
        return {"loss": (torch.stack(losses) * known).sum() / known.sum().clamp(min=1), **terms}

    def vectors(self, pixels: torch.Tensor, *, rng: torch.Generator) -> torch.Tensor:
        """The backbone's vectors of a view, some of them dropped: (B, C, S, S) → (B, D) float32."""
        return dropout(self.encoder(view(pixels, rng=rng, **VIEW)).float(), DROPOUT, self.training)

    def losses(self, vectors: torch.Tensor, targets: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The loss of each question, once it is known what its columns are.

        Raises
        ------
        UserError
            If the columns of a question hold nothing that could be votes or classes.
        """
        with torch.no_grad():
            self.kinds.copy_(torch.maximum(self.kinds, torch.stack([kind(t) for t in targets])))
        kinds = self.kinds.tolist()
        for question, k in zip(self.questions, kinds):
            if k == len(KINDS):
                raise UserError(
                    f"the columns of {question!r} hold neither votes for several answers, nor fractions between 0 and "
                    "1, nor classes of 0 and 1",
                    "leave them out of --targets, or bring them to one of these",
                )
        with torch.autocast(vectors.device.type, enabled=False):  # concentrations to 0.4 % would be too coarse
            given = [head(vectors) for head in self.heads]
        return [LOSSES[KINDS[k]](x, t) for k, x, t in zip(kinds, given, targets)]


def kind(target: torch.Tensor) -> torch.Tensor:
    """What the columns of a question are as far as this batch shows, a scalar: index in `KINDS`, or their number if
    they are none of them.
    """
    known = target.nan_to_num(nan=0.5)
    whole = known == known.round()
    above = (known > 1 + ROUNDING).any()
    parts = (~whole & torch.isfinite(target)).any()
    counts = above | (whole.all(dim=1) & (known.sum(dim=1) > 1 + ROUNDING)).any()
    wrong = (known < -ROUNDING).any() | (above if target.shape[1] == 1 else torch.zeros_like(above))
    return torch.where(wrong, len(KINDS), torch.where(counts, 2, parts.long()))


def concentrations(given: torch.Tensor) -> torch.Tensor:
    """α of a Dirichlet distribution, 1 to 101, from any number."""
    return 1 + CONCENTRATION * torch.sigmoid(given)


def dirichlet_multinomial(concentration: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Logarithm of the probability of votes, (n, k) each → (n,).

    log DM = log N! + log Γ(A) − log Γ(N + A) + Σ_k [log Γ(n_k + α_k) − log n_k! − log Γ(α_k)]
    """
    total, mass = counts.sum(dim=1), concentration.sum(dim=1)
    each = torch.lgamma(counts + concentration) - torch.lgamma(counts + 1) - torch.lgamma(concentration)
    return torch.lgamma(total + 1) + torch.lgamma(mass) - torch.lgamma(total + mass) + each.sum(dim=1)


def counts_loss(given: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Mean −log DM over the objects that anybody voted on; 0 if there are none."""
    asked = torch.isfinite(counts).all(dim=1) & (counts.sum(dim=1) > 0)
    counts = torch.where(asked[:, None], counts, 0.0)
    return -_mean(dirichlet_multinomial(concentrations(given), counts), asked)


def fractions_loss(given: torch.Tensor, fractions: torch.Tensor) -> torch.Tensor:
    """Mean squared error over the fractions that are known; 0 if none is."""
    known = torch.isfinite(fractions)
    return _mean((torch.sigmoid(given) - torch.where(known, fractions, 0.0)).square(), known)


def classes_loss(given: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy over the objects whose class is known; 0 if none is. An object of no class is of an unknown
    one where there are several columns, and a "no" where there is one.
    """
    known = torch.isfinite(classes).all(dim=1)
    if classes.shape[1] == 1:
        yes = torch.where(known, classes[:, 0], 0.0)
        return _mean(binary_cross_entropy_with_logits(given[:, 0], yes, reduction="none"), known)
    known = known & (classes.sum(dim=1) > 0)
    index = torch.where(known, torch.where(known[:, None], classes, 0.0).argmax(dim=1), 0)
    return _mean(cross_entropy(given, index, reduction="none"), known)


LOSSES = {"classes": classes_loss, "fractions": fractions_loss, "counts": counts_loss}


def _mean(values: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    return torch.where(counted, values, 0.0).sum() / counted.sum().clamp(min=1)


def questions(columns: Sequence[str]) -> dict[str, list[str]]:
    """Group the columns of a catalogue into questions by their names.

    ========================================  ==================================
    ``Class1.1``, ``Class1.2``                ``Class1`` (Galaxy Zoo 2, Kaggle)
    ``t01_smooth_or_features_a01_smooth_…``   ``t01_smooth_or_features_…`` (Galaxy Zoo 2)
    ``smooth-or-featured_smooth_fraction``    ``smooth-or-featured_fraction`` (Galaxy Zoo DECaLS and later)
    ``has-spiral-arms_yes``, ``bar_weak``     ``has-spiral-arms``, ``bar`` (Zoobot; if some question has a dash)
    anything else                             a question of its own, of one column
    ========================================  ==================================

    Counts and fractions of one question are different questions. The order of the columns is kept.

    Raises
    ------
    UserError
        If a column is named twice.
    """
    patterns: tuple[str, ...] = PATTERNS
    if any(re.fullmatch(r"[^_]*-[^_]*_[^_]+", column) for column in columns):
        patterns = (*PATTERNS, r"(?P<name>[^_]+)_[^_]+")
    grouped: dict[str, list[str]] = {}
    for column in columns:
        found = next(filter(None, (re.fullmatch(p, column) for p in patterns)), None)
        name = found["name"] + (found.groupdict().get("ending") or "") if found else column
        if column in grouped.setdefault(name, []):
            raise UserError(f"the column {column!r} is named more than once", "name each column once")
        grouped[name].append(column)
    # a question of one column keeps the column's own name: "r.1" alone is no answer of "r"
    return {name if len(found) > 1 else found[0]: found for name, found in grouped.items()}
