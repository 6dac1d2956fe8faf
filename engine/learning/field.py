"""What the posterior keeps for every object of the survey: its mean, its variance, and V = L⁻¹ k(labels, all).

A label is a new line of V over all N, and a pass over the objects computes it:

    V_R = L₂₂⁻¹ (k(R, all) − A V − B k(U, all)),   μ += zᵀ V_R,   σ² −= Σ V_R²

V lies in blocks of objects, and in a block label after label, in chunks of `CHUNK` labels that are allocated when they are
needed: (blocks, CHUNK, width).

What memory that takes, `engine.learning.room` decides. |V| ≤ s, so that a step of int16 is s / 32,000 everywhere: σ² is wrong by
less than 10⁻⁴ s² (bfloat16, whose step grows with the value, would be wrong by 10⁻²). Lines that are not kept are computed again
from the kernel, exactly, at 3 ns an object and label instead of 0.1.

On a CPU one label goes through `engine.learning.fused`; many at once are products of blocks (torch), and on a GPU everything is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import solve_triangular

from engine.learning import passes
from engine.learning.kernels import Kernel
from engine.learning.room import CHUNK, Storage

#: Steps of int16 from 0 to the largest |V| there can be.
STEPS = 32_000
#: Objects in a block of V on a CPU, and the most on an accelerator.
WIDTH, WIDTH_GPU = 4096, 1 << 18
#: Elements of the stream that one CPU thread works on at once: they fit its cache. On an accelerator memory is what bounds.
PIECE, PIECE_GPU = 1 << 18, 1 << 27


@dataclass(frozen=True)
class Step:
    """What labels do to the objects: the coefficients of one pass.

    Attributes
    ----------
    labels : (k,) int64
        The objects that are labelled.
    kept : (k, S) float64
        A: weights of the lines of V that are kept.
    again : (U,) int64
        Objects whose lines are not kept.
    again_weights : (k, U) float64
        B: weights of their kernel rows.
    corner : (k, k) float64
        L₂₂, lower triangular.
    z : (k, C) float64
    """

    labels: np.ndarray
    kept: np.ndarray
    again: np.ndarray
    again_weights: np.ndarray
    corner: np.ndarray
    z: np.ndarray


class Field:
    """Mean and variance of N objects, and the lines of V that are kept.

    Parameters
    ----------
    features : (N, d) float32 tensor
    kernel : Kernel
    prior : (C,) float64
        Prior means.
    storage : Storage

    Attributes
    ----------
    mean : (C, N) float64 tensor
    variance : (N,) float64 tensor
        Without noise.
    lines : int
        Lines of V that are kept now.
    """

    def __init__(self, features: torch.Tensor, kernel: Kernel, prior: np.ndarray, storage: Storage):
        self.features, self.kernel, self.storage = features, kernel, storage
        n, self.device = len(features), features.device
        self._on_cpu = self.device.type == "cpu"
        exact = torch.float32 if self.device.type == "mps" else torch.float64  # Metal has no float64
        if self._on_cpu:
            self.half_norms = torch.from_numpy(0.5 * np.einsum("ij,ij->i", features.numpy(), features.numpy()))
        else:
            self.half_norms = features.square().sum(dim=1).mul_(0.5)
        self.mean = torch.from_numpy(prior[:, None].repeat(n, axis=1)).to(device=self.device, dtype=exact)
        self.variance = torch.full((n,), kernel.variance, dtype=exact, device=self.device)
        self.lines = 0
        self._width = min(WIDTH if self._on_cpu else WIDTH_GPU, -(-max(n, 1) // 256) * 256)
        self._chunks: list[torch.Tensor] = []
        self._typed = None
        self._quantum = 1.0 if storage.kind == "float32" else float(np.sqrt(kernel.variance)) / STEPS

    def __len__(self) -> int:
        return len(self.features)

    @property
    def nbytes(self) -> int:
        """Bytes that V, mean and variance take; the features are not counted, for others share them."""
        return sum(t.nbytes for t in (*self._chunks, self.mean, self.variance, self.half_norms))

    # -- labels come and go -------------------------------------------------------------------------------------------

    def add(self, step: Step, *, patient: bool = False) -> None:
        """Add labels, in one pass; keep their lines as far as there is room.

        Parameters
        ----------
        patient : bool
            In the background: on one core, and waiting whenever another pass is under way.
        """
        keep = max(0, min(len(step.labels), self.storage.lines - self.lines))
        self._reserve(self.lines + keep)
        if self._on_cpu and keep == 1 == len(step.labels) and not len(step.again) and not patient:
            self._add_one(step)
        else:
            self._pass(step, keep, 1.0, patient)
        self.lines += keep

    def take_back(self, step: Step, *, kept: bool) -> None:
        """Undo `add` of one label, the last; `step` is what it was added with, `kept` whether its line is there."""
        if not kept:
            self._pass(step, 0, -1.0, False)
            return
        chunk, line = divmod(self.lines - 1, CHUNK)
        if self._on_cpu:
            from engine.learning import fused

            values, mean, variance = self._chunks[chunk].numpy(), self.mean.numpy(), self.variance.numpy()
            quantum, z = np.float32(self._quantum), step.z[0]
            self._each_range(lambda a, b: fused.withdraw(values, line, quantum, z, mean, variance, a, b))
        else:
            row = self._chunks[chunk][:, line].reshape(-1)[: len(self)].to(self.mean.dtype) * self._quantum
            self.mean -= torch.from_numpy(step.z.T.copy()).to(self.mean) * row
            self.variance += row.square()
        self.lines -= 1
        if line == 0:
            del self._chunks[chunk]
            self._typed = None

    def move(self, kept: np.ndarray, again: np.ndarray, again_weights: np.ndarray) -> None:
        """Mean += `kept` V + `again_weights` k(again, all): (C, S) and (C, U) float64."""
        weights, others = self._tensor(kept), self._tensor(again_weights)
        points = self._points(again)

        def shift(part: slice) -> None:
            rows = torch.zeros((len(self.mean), part.stop - part.start), device=self.device)
            self._subtract(rows, -weights, part)
            if len(again):
                rows += others @ self._covariance(points, part)
            self.mean[:, part] += rows

        self._each_piece(max(len(again), 1), shift, patient=False)

    # -- one label, on a CPU ------------------------------------------------------------------------------------------

    def _add_one(self, step: Step) -> None:
        from engine.learning import fused

        quantum = np.float32(self._quantum)
        family, scale, power = fused.parameters(self.kernel.family, self.kernel.length, self.kernel.shape)
        fixed = (
            self.features.numpy(),
            self.half_norms.numpy(),
            self._as_typed(),
            self.lines,
            (step.kept[0] * self._quantum).astype(np.float32),
            quantum,
            int(step.labels[0]),
            family,
            scale,
            power,
            np.float32(self.kernel.variance),
            np.float32(1 / step.corner[0, 0]),
            np.ascontiguousarray(step.z[0]),
            self.mean.numpy(),
            self.variance.numpy(),
        )
        self._each_range(lambda a, b: fused.append(*fixed, a, b))

    def _as_typed(self):
        """The chunks as a list that compiled code can read."""
        if self._typed is None:
            from numba.typed import List

            self._typed = List([chunk.numpy() for chunk in self._chunks])
        return self._typed

    def _each_range(self, work: Callable[[int, int], None]) -> None:
        """Call `work(first, last)` with ranges of whole blocks, a few a core; every object is in one of them."""
        n = len(self)
        size = -(-n // (4 * passes.CORES * self._width)) * self._width
        passes.here(lambda first: work(first, min(first + size, n)), range(0, n, size))

    # -- many labels, on any device -----------------------------------------------------------------------------------

    def _pass(self, step: Step, keep: int, sign: float, patient: bool) -> None:
        points, again = self._points(step.labels), self._points(step.again)
        left, others = self._tensor(step.kept), self._tensor(step.again_weights)
        with passes.one_thread:
            corner = solve_triangular(step.corner, np.eye(len(step.corner)), lower=True)
        inverse, change = self._tensor(corner), self._tensor(step.z.T * sign)
        first = self.lines

        def advance(part: slice) -> None:
            rows = self._covariance(points, part)
            self._subtract(rows, left, part)
            if len(step.again):
                rows.addmm_(others, self._covariance(again, part), alpha=-1)
            rows = inverse @ rows
            self._keep(rows, first, keep, part)
            if len(rows) == 1:  # in float64, as the fused pass does: a row that goes takes with it what it brought
                rows = rows.to(self.mean.dtype)
                self.mean[:, part] += change.to(rows.dtype) * rows
            else:
                self.mean[:, part] += change @ rows
            self.variance[part] -= sign * rows.square().sum(dim=0)

        self._each_piece(max(len(step.labels), len(step.again)), advance, patient=patient)

    def _covariance(self, points: tuple[torch.Tensor, torch.Tensor], part: slice) -> torch.Tensor:
        """k(points, objects of `part`), (k, n) float32."""
        x, norms = points
        rows = torch.addmm(self.half_norms[part], x, self.features[part].T, alpha=-1)  # ½‖x‖² − x·x*
        return self.kernel.of_squared_distance(rows.add_(norms[:, None]).mul_(2))

    def _subtract(self, rows: torch.Tensor, weights: torch.Tensor, part: slice) -> None:
        """Rows −= weights V over the objects of `part`, which are of one block."""
        block, inside = divmod(part.start, self._width)
        inner = slice(inside, inside + part.stop - part.start)
        for start in range(0, weights.shape[1], CHUNK):
            lines = self._chunks[start // CHUNK][block, : weights.shape[1] - start, inner]
            if lines.dtype == torch.int16:
                lines = lines.float().mul_(self._quantum)
            rows.addmm_(weights[:, start : start + CHUNK], lines, alpha=-1)

    def _keep(self, rows: torch.Tensor, first: int, keep: int, part: slice) -> None:
        """Write `keep` of the rows into V from line `first` on; rows become what was written."""
        block, inside = divmod(part.start, self._width)
        inner = slice(inside, inside + part.stop - part.start)
        if self.storage.kind == "int16" and keep:
            units = rows[:keep].div_(self._quantum).round_()
            written = units.to(torch.int16)
            units.mul_(self._quantum)
        else:
            written = rows
        at = 0
        while at < keep:
            chunk, line = divmod(first + at, CHUNK)
            count = min(CHUNK - line, keep - at)
            self._chunks[chunk][block, line : line + count, inner] = written[at : at + count]
            at += count

    def _each_piece(self, labels: int, work: Callable[[slice], None], *, patient: bool) -> None:
        """Call `work` with pieces of blocks, sized for `labels` rows; on a CPU one piece a core at a time."""
        size = (PIECE if self._on_cpu else PIECE_GPU) // labels // 256 * 256
        size = int(np.clip(size, 256, self._width))
        pieces = [
            slice(a, min(a + size, block + self._width, len(self)))
            for block in range(0, len(self), self._width)
            for a in range(block, min(block + self._width, len(self)), size)
        ]
        if not self._on_cpu:
            for piece in pieces:
                work(piece)
        elif patient:
            passes.patiently(work, pieces)
        else:
            passes.now(work, pieces)

    def _points(self, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        return taken(self.features, rows), taken(self.half_norms, rows)

    def _tensor(self, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).float().to(self.device)

    def _reserve(self, lines: int) -> None:
        blocks = -(-len(self) // self._width)
        kind = "float32" if self.storage.kind == "float32" else "int16"
        while len(self._chunks) * CHUNK < lines:
            if self._on_cpu:  # NumPy asks for huge pages, which halve the time of a first pass
                chunk = torch.from_numpy(np.empty((blocks, CHUNK, self._width), kind))
            else:
                chunk = torch.empty((blocks, CHUNK, self._width), dtype=getattr(torch, kind), device=self.device)
            self._chunks.append(chunk)
            self._typed = None


def taken(values: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
    """Some rows of a tensor; on a CPU by NumPy, because torch would wake its threads for them."""
    rows = np.asarray(rows, np.int64)
    if values.device.type == "cpu":
        return torch.from_numpy(np.take(values.numpy(), rows, axis=0))
    return values[torch.from_numpy(rows).to(values.device)]
