"""What the labels say about every object: an exact Gaussian-process posterior over the whole survey, one label at a
time.

With K = k(labels, labels) + σ_n² = L Lᵀ, keep V = L⁻¹ k(labels, all) (M × N) and z = L⁻¹ (y − m). Then over all N at
once

    μ = m + zᵀ V,      σ² = s² + σ_n² − Σ V²      (Rasmussen & Williams 2006, algorithm 2.1)

as scikit-learn gives them: σ holds the white noise, so σ ≥ σ_n. Labels R are appended without touching what is there:
L₂₁ = (L⁻¹ k(labels, R))ᵀ, L₂₂ L₂₂ᵀ = k(R, R) + σ_n² − L₂₁ L₂₁ᵀ, and

    V_R = L₂₂⁻¹ (k(R, all) − L₂₁ V),   z_R = L₂₂⁻¹ (y_R − m − L₂₁ z),   μ += z_Rᵀ V_R,   σ² −= Σ V_R²

Each label may have a noise of its own, and responses may be several columns over the same labels (a class each): they
share V, and each has its z and μ.

For one label that is one kernel row and one matrix-vector product: its cost is reading V once. Undoing takes the last labels
back. The factor is float64, the pass over N float32, μ and σ² are summed in float64.

Here is the algebra of the M labels; `engine.learning.field` has what is kept for the N objects. Lines of V that are not kept,
U, are V_U = L_UU⁻¹ (k(U, all) − L_US V_S). So any combination of lines is one of kept lines and of kernel rows:

    cᵀ V = (c_S − L_USᵀ w)ᵀ V_S + wᵀ k(U, all),   w = L_UU⁻ᵀ c_U
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.linalg import cholesky, solve_triangular

from engine.learning.field import Field, Step, taken
from engine.learning.kernels import Kernel
from engine.learning.passes import one_thread
from engine.learning.room import Storage, storage


class Posterior:
    """Posterior mean and standard deviation of the response of N objects.

    Parameters
    ----------
    features : (N, d) float32
        An array, or a tensor that is shared and stays where it is.
    kernel : Kernel
    mean : float or (C,) float
        Prior mean m of the responses, one for each output.
    outputs : int, optional
        C: every label has so many responses. Responses are then (M, C) and means (N, C); without it they are (M,) and
        (N,).
    device : torch.device, optional
        Where to compute; the features' own if they are a tensor, else the CPU.
    keep : Storage, optional
        How V is kept; as the memory allows, if not given.

    Attributes
    ----------
    rows : list of int
        Labelled objects, in the order of their labels; one may be there more than once.
    responses : (M,) or (M, C) float64
    noise : (M,) float64
        Variance of the noise of each label, σ_i².
    """

    def __init__(
        self,
        features: np.ndarray | torch.Tensor,
        kernel: Kernel,
        *,
        mean: float | np.ndarray = 0.0,
        outputs: int | None = None,
        device: torch.device | None = None,
        keep: Storage | None = None,
    ):
        if not isinstance(features, torch.Tensor):
            features = torch.from_numpy(np.array(features, np.float32))
        self.features = features if device is None else features.to(device)
        self.kernel = kernel
        self.outputs = outputs
        self.prior_mean = float(mean) if outputs is None else np.broadcast_to(np.asarray(mean, np.float64), (outputs,))
        self.rows: list[int] = []
        self.responses = np.zeros(self._shape(0))
        self.noise = np.zeros(0)
        prior = np.array(self.prior_mean, np.float64).reshape(-1)
        keep = storage(len(self.features), self.features.device) if keep is None else keep
        self._field = Field(self.features, kernel, prior, keep)
        self._factor = np.zeros((0, 0))
        self._z = np.zeros((0, len(prior)))

    def __len__(self) -> int:
        """Number of labels."""
        return len(self.rows)

    def _shape(self, labels: int) -> tuple[int, ...]:
        return (labels,) if self.outputs is None else (labels, self.outputs)

    def _columns(self, responses: Sequence[float] | np.ndarray, labels: int) -> np.ndarray:
        """Responses less the prior mean, (labels, C) float64."""
        y = np.asarray(responses, np.float64)
        if y.shape != self._shape(labels):
            raise ValueError(f"responses {y.shape} for {labels} labels should be {self._shape(labels)}")
        return (y - self.prior_mean).reshape(labels, -1)

    # -- what it says -------------------------------------------------------------------------------------------------

    @property
    def mean(self) -> np.ndarray:
        """Posterior mean, (N,) or (N, C) float64, in the units of the responses."""
        mean = self._field.mean.cpu().numpy().astype(np.float64)
        return mean[0] if self.outputs is None else mean.T

    @property
    def sd(self) -> np.ndarray:
        """Posterior standard deviation of a response, the kernel's white noise included, (N,) float64."""
        return np.sqrt(np.maximum(self._field.variance.cpu().numpy(), 0.0, dtype=np.float64) + self.kernel.noise)

    @property
    def latent_sd(self) -> np.ndarray:
        """The same without noise: how well the underlying function is known, (N,) float64."""
        return np.sqrt(np.maximum(self._field.variance.cpu().numpy(), 0.0, dtype=np.float64))

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it takes, without the features."""
        return self._field.nbytes + self._factor.nbytes

    # -- labels come and go -------------------------------------------------------------------------------------------

    def append(self, row: int, response: float | np.ndarray, noise: float | None = None) -> None:
        """Add one label; see `extend`."""
        self.extend([row], np.asarray(response, np.float64)[None], noise)

    def extend(
        self,
        rows: Sequence[int] | np.ndarray,
        responses: Sequence[float] | np.ndarray,
        noise: float | Sequence[float] | np.ndarray | None = None,
        *,
        patient: bool = False,
    ) -> None:
        """Add labels, in one pass over the survey.

        Parameters
        ----------
        rows : (k,) int
        responses : (k,) or (k, C) float
        noise : float or (k,) float, optional
            Variance of the noise of these labels, > 0; the kernel's if not given. A label of ten times the noise says a
            tenth as much.
        patient : bool
            In the background: on one core, and waiting whenever another posterior has a pass under way.
        """
        new = np.asarray(rows, np.int64)
        if len(new) == 0:
            return
        y = self._columns(responses, len(new))
        noise = np.broadcast_to(np.asarray(self.kernel.noise if noise is None else noise, np.float64), (len(new),))
        if not (noise > 0).all():
            raise ValueError("the noise of a label is a variance above zero")
        with one_thread:
            below, corner = self._factor_rows(new, noise)
            z = solve_triangular(corner, y - below @ self._z, lower=True)
            step = Step(new, *self._combination(below), corner, z)
        self._field.add(step, patient=patient)
        m, k = len(self), len(new)
        self._factor = _grown(self._factor, m + k)
        self._factor[m : m + k, :m], self._factor[m : m + k, m : m + k] = below, corner
        self.rows += new.tolist()
        self.responses = np.concatenate([self.responses, np.asarray(responses, np.float64)])
        self.noise, self._z = np.append(self.noise, noise), np.concatenate([self._z, z])

    def pop(self, count: int = 1) -> None:
        """Take back the last labels."""
        for _ in range(min(count, len(self))):
            m = len(self) - 1
            row, z, kept = np.array(self.rows[-1:]), self._z[m:], m < self._field.lines
            below, corner = self._factor[m : m + 1, :m], self._factor[m : m + 1, m : m + 1]
            self.rows.pop()
            self.responses, self.noise, self._z = self.responses[:-1], self.noise[:-1], self._z[:-1]
            nothing = np.zeros((1, 0))
            parts = (nothing, np.zeros(0, np.int64), nothing) if kept else self._combination(below)
            self._field.take_back(Step(row, parts[0], parts[1], parts[2], corner, z), kept=kept)

    def revise(self, responses: np.ndarray) -> None:
        """Change the responses of the labels that are there, (M,) or (M, C) float: the mean moves, the sd does not."""
        m = len(self)
        if m == 0:
            return
        z = solve_triangular(self._factor[:m, :m], self._columns(responses, m), lower=True)
        kept, again, weights = self._combination((z - self._z).T)
        self._field.move(kept, again, weights)
        self.responses, self._z = np.array(responses, np.float64), z

    def restricted(self, rows: np.ndarray) -> tuple[Posterior, np.ndarray]:
        """Make the same posterior over some objects only, to think ahead on without touching this one.

        Costs M² an object, and reads nothing of V.

        Returns
        -------
        Posterior
            Over the objects in `rows` followed by those labelled.
        rows : (n,) int64
            Which objects those are.
        """
        kept = np.concatenate([np.asarray(rows, np.int64), np.asarray(self.rows, np.int64)])
        keep = Storage("float32", len(self) + len(kept))
        small = Posterior(
            taken(self.features, kept), self.kernel, mean=self.prior_mean, outputs=self.outputs, keep=keep
        )
        small.extend(range(len(rows), len(kept)), self.responses, self.noise)
        for own, whole in zip(small._field.mean, self._field.mean):
            own.copy_(taken(whole, kept))
        small._field.variance.copy_(taken(self._field.variance, kept))
        return small, kept

    def exactly(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean, (n,) or (n, C), and sd, (n,), of some objects in float64 from the labels alone; M² an object.

        What V is rounded to does not come in, so that the best of a ranking can be put in their true order.
        """
        m, x = len(self), self._labelled(np.asarray(rows, np.int64))
        old = self._labelled(np.asarray(self.rows, np.int64))
        lines = solve_triangular(self._factor[:m, :m], self.kernel.between(old, x), lower=True)
        mean = lines.T @ self._z + self.prior_mean
        variance = np.maximum(self.kernel.variance - np.square(lines).sum(axis=0), 0.0)
        return (mean[:, 0] if self.outputs is None else mean), np.sqrt(variance + self.kernel.noise)

    def believe(self, row: int) -> None:
        """Pretend that a look at an object gave what is expected of it: its sd shrinks, no mean moves."""
        expected = self._field.mean[:, row].cpu().numpy().astype(np.float64)
        self.append(row, expected if self.outputs else expected[0])

    # -- the algebra --------------------------------------------------------------------------------------------------

    def _factor_rows(self, new: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """New rows of the Cholesky factor: (k, M) left of the diagonal and the (k, k) corner, float64."""
        m = len(self)
        x, old = self._labelled(new), self._labelled(np.asarray(self.rows, np.int64))
        below = (
            solve_triangular(self._factor[:m, :m], self.kernel.between(old, x), lower=True).T
            if m
            else (np.zeros((len(new), 0)))
        )
        corner = self.kernel.between(x, x) - below @ below.T
        corner[np.diag_indices_from(corner)] += noise
        return below, cholesky(corner, lower=True)

    def _combination(self, of_lines: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Combinations (k, M) of lines of V, by what there is of it: weights of kept lines, objects, of kernel rows."""
        m, s = len(self), min(len(self), self._field.lines)
        again = np.asarray(self.rows[s:], np.int64)
        if not len(again):
            return of_lines, again, np.zeros((len(of_lines), 0))
        weights = solve_triangular(self._factor[s:m, s:m], of_lines[:, s:].T, lower=True, trans="T").T
        return of_lines[:, :s] - weights @ self._factor[s:m, :s], again, weights

    def _labelled(self, rows: np.ndarray) -> np.ndarray:
        return taken(self.features, rows).cpu().double().numpy()


def _grown(factor: np.ndarray, size: int) -> np.ndarray:
    """Return `factor` with room for `size` labels: doubled when it is full, so that appending stays cheap."""
    if size <= len(factor):
        return factor
    larger = np.zeros((max(size, 2 * len(factor)),) * 2)
    larger[: len(factor), : len(factor)] = factor
    return larger
