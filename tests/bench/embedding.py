"""Embedding: the network alone against plain float32, the whole pass, and what an accelerator gives."""

import copy
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import nn

from tests.bench.measure import Figure, clocked, compare

#: Cutouts that a plain script sends through a network at once.
PLAIN_BATCH = 128


def encoding(full: bool) -> list[Figure]:
    """Networks on the CPU: prepared for inference and a batch a core, against float32 as it comes."""
    from engine.encoders.backbones import make
    from engine.encoders.convnet import skysieve_base

    torch.manual_seed(0)
    base = skysieve_base().network
    few = 4 if full else 1
    return [
        _network("vit-small (ViT-S/8), 64 px", make("vit-small", bands=3, size=64), (3, 64, 64), 128 * few),
        _network("vit-tiny, 64 px", make("vit-tiny", bands=3, size=64), (3, 64, 64), 256 * few),
        _network(f"skysieve-base, {_base_shape()[-1]} px", base, _base_shape(), 256 * few),
    ]


def _base_shape() -> tuple[int, ...]:
    """Shape of the input of the encoder that ships, for three bands."""
    from engine.data.pictures.stretch import Calibration
    from engine.encoders.convnet import skysieve_base

    encoder = skysieve_base()
    nothing = np.zeros((1, 3, encoder.size, encoder.size), np.float32)
    return tuple(encoder.prepare(nothing, Calibration(np.zeros(3), np.ones(3), np.ones(3)), True).shape[1:])


def _network(words: str, network: nn.Module, shape: tuple[int, ...], count: int) -> Figure:
    from engine.encoders import inference
    from engine.encoders.embed import BATCH

    plain = network.eval().requires_grad_(False).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    cutouts = torch.randn(count, *shape)
    fast = copy.deepcopy(plain)
    inference.hasten(fast, cutouts[:4])
    spent: dict[str, float] = {}

    @torch.inference_mode()
    def one(part: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return fast(part).float()

    def ours() -> torch.Tensor:
        return torch.cat(list(cores.map(one, cutouts.split(BATCH["cpu"]))))

    @torch.no_grad()
    def eager() -> torch.Tensor:
        return torch.cat([plain(part) for part in cutouts.split(PLAIN_BATCH)])

    def quality(mine: torch.Tensor, theirs: torch.Tensor) -> str:
        error = float((mine - theirs).norm() / (theirs - theirs.mean(dim=0)).norm())
        assert error < 0.1, error
        rate, ratio = count / spent["ours"], spent["theirs"] / spent["ours"]
        return f"difference {error:.3f} of the spread; {rate:,.0f} cutouts a CPU second, {ratio:.1f}× the peer's"

    with ThreadPoolExecutor(torch.get_num_threads(), initializer=inference.one_core) as cores:
        return compare(
            f"{count:,} cutouts through {words}",
            f"torch {version('torch')}, float32, eager",
            clocked(ours, spent, "ours"),
            clocked(eager, spent, "theirs"),
            quality,
        )


def products(full: bool) -> list[Figure]:
    """The floor of the figures above: one matrix product of a transformer, on one core."""
    from engine.encoders.inference import Packed, one_core

    rows, inside, outside = 2048, 384, 1536
    layer = nn.Linear(inside, outside).requires_grad_(False)
    packed, x = Packed(layer), torch.randn(rows, inside)
    half = x.bfloat16()
    repeats = 20

    def repeated(call: Callable) -> Callable:
        def run():
            with torch.inference_mode():
                for _ in range(repeats):
                    found = call()
            return found

        return lambda: core.submit(run).result()

    def quality(mine: torch.Tensor, theirs: torch.Tensor) -> str:
        error = float((mine.float() - theirs).norm() / theirs.norm())
        assert error < 0.02, error
        return f"difference {error:.3f}; what rounding to bfloat16 alone can gain"

    with ThreadPoolExecutor(1, initializer=one_core) as core:
        return [
            compare(
                f"{repeats} products of {rows} × {inside} × {outside}, bfloat16, one core",
                f"torch {version('torch')}, float32",
                repeated(lambda: packed(half)),
                repeated(lambda: layer(x)),
                quality,
                pairs=9,
            )
        ]


def embedding_pass(full: bool) -> list[Figure]:
    """A survey to vectors, reading included, against a plain script; and how long the network waited."""
    from engine import Survey
    from engine.encoders.convnet import skysieve_base
    from engine.encoders.embed import embed

    count = 8192 if full else 2048
    rng = np.random.default_rng(5)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cutouts.h5"
        with h5py.File(path, "w") as file:
            values = rng.integers(0, 255, (count, 64, 64, 3), np.uint8)
            file.create_dataset("images", data=values, chunks=(64, 64, 64, 3))
        survey = Survey.ingest(path, Path(folder) / "bench.survey")
        encoder, runs = skysieve_base(), iter(range(1000))
        network = encoder.network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        waited: list[float] = []

        def ours() -> np.ndarray:
            made = embed(survey, "skysieve-base", name=f"run{next(runs)}", device="cpu", thumbnails=False)
            newest = max((survey.path / "runs").glob("*-embed.json"), key=lambda p: p.name)
            waited.append(_waited(newest))
            return np.asarray(made.vectors, np.float32)

        @torch.no_grad()
        def script() -> np.ndarray:
            from engine.data.cutouts import resample_batch
            from engine.data.pictures.stretch import Calibration

            calibration = Calibration.of(survey.header["pixels"], 3)
            found = []
            with h5py.File(path) as file:
                for start in range(0, count, PLAIN_BATCH):
                    rows = range(start, min(start + PLAIN_BATCH, count))
                    pixels = np.stack([np.moveaxis(file["images"][k], -1, 0).astype(np.float32) for k in rows])
                    pixels = resample_batch(pixels, encoder.size)
                    found.append(network(encoder.prepare(pixels, calibration, False)).numpy())
            return np.concatenate(found)

        def quality(mine: np.ndarray, theirs: np.ndarray) -> str:
            error = np.linalg.norm(mine - theirs) / np.linalg.norm(theirs - theirs.mean(axis=0))
            assert error < 0.1, error
            return f"difference {error:.3f} of the spread; the network waited {100 * float(np.median(waited)):.1f} % of the time"

        return [
            compare(
                f"embedding {count:,} cutouts with skysieve-base, start, reading and writing included",
                f"h5py {version('h5py')} one row at a time, torch {version('torch')} float32, eager",
                ours,
                script,
                quality,
                pairs=3,
            )
        ]


def _waited(record: Path) -> float:
    import json

    return json.loads(record.read_text())["results"]["waited"]


def embedding_cuda(full: bool) -> list[Figure]:
    """ViT-S/8 at 64 px on a GPU, from memory that is not pinned to vectors on this side; nothing without one."""
    if not torch.cuda.is_available():
        return []
    from engine.data.pictures.stretch import Calibration
    from engine.encoders import inference
    from engine.encoders.backbones import make
    from engine.encoders.embed import BATCH
    from engine.encoders.pipeline import Pipeline, Task

    torch.manual_seed(0)
    device, batch = torch.device("cuda"), BATCH["cuda"]
    count = batch * (200 if full else 50)
    network = make("vit-small", bands=3, size=64).eval().requires_grad_(False).to(device)
    plain, cutouts = copy.deepcopy(network), torch.randn(batch, 3, 64, 64)
    inference.hasten(network, cutouts.to(device), compiled=True)
    sky = Calibration(np.zeros(3), np.ones(3), np.ones(3))

    def ours() -> torch.Tensor:
        pipeline = Pipeline(_Same(cutouts), _InMemory(network, cutouts, device), sky, device=device, batch=batch)
        tasks = (Task(np.arange(a, a + batch), vectors=True, pictures=False) for a in range(0, count, batch))
        for made in pipeline.run(tasks):
            last = made.vectors
        return torch.from_numpy(np.asarray(last, np.float32))

    @torch.no_grad()
    def eager() -> torch.Tensor:
        for _ in range(0, count, batch):
            last = plain(cutouts.to(device)).cpu()
        return last

    def quality(mine: torch.Tensor, theirs: torch.Tensor) -> str:
        error = float((mine - theirs).norm() / (theirs - theirs.mean(dim=0)).norm())
        assert error < 0.1, error
        return f"difference {error:.3f} of the spread; {count:,} cutouts, {torch.cuda.get_device_name()}"

    words = f"{count:,} cutouts through vit-small (ViT-S/8), 64 px, on the GPU"
    figure = compare(words, f"torch {version('torch')}, float32, eager", ours, eager, quality)
    rate = f"; {count / figure.ours:,.0f} cutouts a second"
    return [Figure(figure.path, figure.peer, figure.ours, figure.theirs, figure.spread, figure.quality + rate)]


class _Same:
    """A source whose pixels cost nothing: what is measured is the way to the device, the network and the way back."""

    bands, science = ("g", "r", "i"), True

    def __init__(self, cutouts: torch.Tensor):
        self.cutouts = list(cutouts.numpy())

    def read(self, rows) -> list[np.ndarray]:
        return [self.cutouts[int(row) % len(self.cutouts)] for row in rows]


class _InMemory:
    """A network as the pipeline wants an encoder; its input is the cutouts as they are."""

    size, dtype = 64, np.dtype(np.float16)

    def __init__(self, network: nn.Module, cutouts: torch.Tensor, device: torch.device):
        self.network, self.device = network, device

    def prepare(self, pixels, calibration, science) -> torch.Tensor:
        return torch.from_numpy(pixels)

    @torch.inference_mode()
    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        with torch.autocast(self.device.type, torch.bfloat16):
            return self.network(batch.to(self.device, non_blocking=True)).float()
