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

For one label that is one kernel row and one matrix-vector product: its cost is reading V once, 4MN bytes. Undoing pops
rows.
The factor is float64, the stream over N float32 (torch, on the accelerator if there is one), μ and σ² are summed in
float64. On a CPU each core takes blocks of objects from end to end: the threads inside an operation would meet at a barrier
after each, which takes milliseconds when the machine is busy (measured: 100,000 objects and 200 labels took 164 ms with two
threads inside, 12 ms with none).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial

import numpy as np
import torch
from scipy.linalg import cholesky, solve_triangular

from engine.learning.kernels import Kernel

#: Rows of V allocated at once. A list of such chunks grows without copying; untouched memory costs nothing on a CPU.
CHUNK = 64
#: Elements of the stream that one CPU thread works on at once: they fit its cache.
BLOCK_CPU = 1 << 18
#: The same on an accelerator, where a launch costs more than memory.
BLOCK_GPU = 1 << 26
#: Least number of objects in a block, whatever the number of labels appended at once.
LEAST_BLOCK = 4096


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
        n, device = len(self.features), self.features.device
        exact = torch.float32 if device.type == "mps" else torch.float64  # Metal has no float64
        self._half_norms = self.features.square().sum(dim=1).mul_(0.5)
        prior = np.array(self.prior_mean, np.float64).reshape(-1, 1).repeat(n, axis=1)  # (C, N)
        self._mean = torch.from_numpy(prior).to(device=device, dtype=exact)
        self._variance = torch.full((n,), kernel.variance, dtype=exact, device=device)
        self._chunks: list[torch.Tensor] = []
        self._factor = np.zeros((0, 0))
        self._z = np.zeros((0, len(self._mean)))

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
        mean = self._mean.cpu().numpy().astype(np.float64)
        return mean[0] if self.outputs is None else mean.T

    @property
    def sd(self) -> np.ndarray:
        """Posterior standard deviation of a response, the kernel's white noise included, (N,) float64."""
        return np.sqrt(np.maximum(self._variance.cpu().numpy(), 0.0, dtype=np.float64) + self.kernel.noise)

    @property
    def latent_sd(self) -> np.ndarray:
        """The same without noise: how well the underlying function is known, (N,) float64."""
        return np.sqrt(np.maximum(self._variance.cpu().numpy(), 0.0, dtype=np.float64))

    # -- labels come and go -------------------------------------------------------------------------------------------

    def append(self, row: int, response: float | np.ndarray, noise: float | None = None) -> None:
        """Add one label; see `extend`."""
        self.extend([row], [response], noise)

    def extend(
        self,
        rows: Sequence[int] | np.ndarray,
        responses: Sequence[float] | np.ndarray,
        noise: float | Sequence[float] | np.ndarray | None = None,
    ) -> None:
        """Add labels, in one pass over the survey.

        Parameters
        ----------
        rows : (k,) int
        responses : (k,) or (k, C) float
        noise : float or (k,) float, optional
            Variance of the noise of these labels, > 0; the kernel's if not given. A label of ten times the noise says a
            tenth as much.
        """
        new = np.asarray(rows, np.int64)
        if len(new) == 0:
            return
        y = self._columns(responses, len(new))
        noise = np.broadcast_to(np.asarray(self.kernel.noise if noise is None else noise, np.float64), (len(new),))
        if not (noise > 0).all():
            raise ValueError("the noise of a label is a variance above zero")
        below, corner = self._factor_rows(new, noise)
        z = solve_triangular(corner, y - below @ self._z, lower=True)
        self._stream(new, below, corner, z)
        m, k = len(self), len(new)
        self._factor = _grown(self._factor, m + k)
        self._factor[m : m + k, :m], self._factor[m : m + k, m : m + k] = below, corner
        self.rows += new.tolist()
        self.responses = np.concatenate([self.responses, np.asarray(responses, np.float64)])
        self.noise, self._z = np.append(self.noise, noise), np.concatenate([self._z, z])

    def pop(self, count: int = 1) -> None:
        """Take back the last labels."""
        for _ in range(min(count, len(self))):
            chunk, line = divmod(len(self) - 1, CHUNK)
            self._each_block(1, partial(self._withdraw, self._chunks[chunk][line], self._z[-1]))
            if line == 0:
                del self._chunks[chunk]
            self.rows.pop()
            self.responses, self.noise, self._z = self.responses[:-1], self.noise[:-1], self._z[:-1]

    def _withdraw(self, row: torch.Tensor, z: np.ndarray, part: slice) -> None:
        for mean, weight in zip(self._mean, z.astype(np.float32).tolist()):
            mean[part] -= row[part] * weight  # float32 products summed in float64, as they were added: no drift
        self._variance[part] += row[part].square()

    def revise(self, responses: np.ndarray) -> None:
        """Change the responses of the labels that are there, (M,) or (M, C) float: the mean moves, the sd does not."""
        m = len(self)
        z = solve_triangular(self._factor[:m, :m], self._columns(responses, m), lower=True)
        change = torch.from_numpy((z - self._z).T.copy()).float().to(self.features.device)

        def move(part: slice) -> None:
            for at, chunk in self._lines(m):
                self._mean[:, part] += change[:, at] @ chunk[:, part]

        self._each_block(m, move)
        self.responses, self._z = np.array(responses, np.float64), z

    def restricted(self, rows: np.ndarray) -> tuple[Posterior, np.ndarray]:
        """Make the same posterior over some objects only, to think ahead on without touching this one.

        Returns
        -------
        Posterior
            Over the objects in `rows` followed by those labelled.
        rows : (n,) int64
            Which objects those are.
        """
        kept = np.concatenate([np.asarray(rows, np.int64), np.asarray(self.rows, np.int64)])
        index = torch.from_numpy(kept).to(self.features.device)
        small = Posterior(self.features[index], self.kernel, mean=self.prior_mean, outputs=self.outputs)
        small._mean, small._variance = self._mean[:, index], self._variance[index]
        small._chunks = [chunk[:, index] for chunk in self._chunks]
        small._factor, small._z, small.responses = self._factor.copy(), self._z.copy(), self.responses.copy()
        small.noise = self.noise.copy()
        small.rows = list(range(len(rows), len(kept)))
        return small, kept

    def believe(self, row: int) -> None:
        """Pretend that a look at an object gave what is expected of it: its sd shrinks, no mean moves."""
        self.append(row, self.mean[row])

    # -- the work -----------------------------------------------------------------------------------------------------

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

    def _labelled(self, rows: np.ndarray) -> np.ndarray:
        return self.features[torch.from_numpy(rows).to(self.features.device)].cpu().double().numpy()

    def _stream(self, new: np.ndarray, below: np.ndarray, corner: np.ndarray, z: np.ndarray) -> None:
        """Compute the new rows of V block by block, and what they do to mean and variance."""
        device, m, k = self.features.device, len(self), len(new)
        self._reserve(m + k)
        index = torch.from_numpy(new).to(device)
        points, norms = self.features[index], self._half_norms[index]
        left, square, change = (
            torch.from_numpy(np.ascontiguousarray(a)).float().to(device) for a in (below, corner, z.T)
        )

        def advance(part: slice) -> None:
            rows = torch.addmm(self._half_norms[part], points, self.features[part].T, alpha=-1)  # ½‖x‖² − x·x*
            rows = self.kernel.of_squared_distance(rows.add_(norms[:, None]).mul_(2))
            for at, chunk in self._lines(m):
                rows.addmm_(left[:, at], chunk[:, part], alpha=-1)
            if k == 1:
                rows.div_(square)
            else:
                rows = torch.linalg.solve_triangular(square, rows, upper=False)
            self._mean[:, part] += change @ rows
            self._variance[part] -= rows.square().sum(dim=0)
            for at, chunk in self._lines(m + k, first=m):
                chunk[:, part] = rows[at.start - m : at.stop - m]

        self._each_block(k, advance)

    def _each_block(self, labels: int, work: Callable[[slice], None]) -> None:
        """Call `work` with every block of the survey, sized for `labels` rows of V; on a CPU, one block a core at a time."""
        on_cpu, n = self.features.device.type == "cpu", len(self.features)
        size = max(LEAST_BLOCK, (BLOCK_CPU if on_cpu else BLOCK_GPU) // max(labels, 1))
        blocks = [slice(start, min(start + size, n)) for start in range(0, n, size)]
        if on_cpu:
            for done in [_cores().submit(work, part) for part in blocks]:
                done.result()
        else:
            for part in blocks:
                work(part)

    def _lines(self, last: int, first: int = 0) -> Iterator[tuple[slice, torch.Tensor]]:
        """Rows first … last of V, chunk by chunk: where they are in V, and the (n, N) tensor itself."""
        for number, chunk in enumerate(self._chunks):
            start, stop = max(first, number * CHUNK), min(last, (number + 1) * CHUNK)
            if start < stop:
                yield slice(start, stop), chunk[start - number * CHUNK : stop - number * CHUNK]

    def _reserve(self, labels: int) -> None:
        while len(self._chunks) * CHUNK < labels:
            self._chunks.append(torch.empty((CHUNK, len(self.features)), device=self.features.device))


@cache
def _cores() -> ThreadPoolExecutor:
    """One thread a core, each of which runs torch's operations alone."""
    count = torch.get_num_threads()
    return ThreadPoolExecutor(count, "posterior", initializer=torch.set_num_threads, initargs=(1,))


def _grown(factor: np.ndarray, size: int) -> np.ndarray:
    """Return `factor` with room for `size` labels: doubled when it is full, so that appending stays cheap."""
    if size <= len(factor):
        return factor
    larger = np.zeros((max(size, 2 * len(factor)),) * 2)
    larger[: len(factor), : len(factor)] = factor
    return larger
