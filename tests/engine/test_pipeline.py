"""The pipeline gives what each object alone gives, whoever computes it; it never starves, never fills the memory."""

import threading
import time
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from engine.data.cutouts import Unreadable
from engine.data.pictures.stretch import Calibration
from engine.encoders.inference import OutOfMemory
from engine.encoders.pipeline import NOT_FINITE, READ, Pipeline, Task
from engine.encoders.pixels import Pixels

CPU = torch.device("cpu")
SKY = Calibration(np.zeros(2), np.ones(2), np.full(2, 30.0))


@dataclass
class Source:
    """Cutouts made up as they are asked for, from their row number alone."""

    side: int = 32
    seconds: float = 0.0
    bad: tuple[int, ...] = ()
    bands: tuple[str, ...] = ("g", "r")
    science: bool = True
    asked: list[int] = field(default_factory=list)

    def read(self, rows):
        self.asked += [int(row) for row in rows]
        time.sleep(self.seconds * len(rows))
        return [self.one(int(row)) for row in rows]

    def one(self, row):
        if row in self.bad:
            return Unreadable("it is bad")
        return np.random.default_rng(row).normal(5, 3, (2, self.side, self.side)).astype(np.float32)


def fitted() -> Pixels:
    """An encoder of some axes, without looking for good ones."""
    encoder = Pixels()
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(2048, 16)))[0].T.astype(np.float32)
    encoder.restore({"mean": torch.zeros(2048), "axes": torch.from_numpy(axes.copy())})
    return encoder


def tasks(count, size, **wanted):
    wanted = {"vectors": True, "pictures": False} | wanted
    return [Task(np.arange(a, min(a + size, count)), **wanted) for a in range(0, count, size)]


@pytest.mark.parametrize("cores", [1, 2, 5])
@pytest.mark.parametrize("side", [32, 20])
def test_it_gives_what_each_object_alone_gives_whatever_the_number_of_cores(cores, side):
    source = Source(side=side, bad=(3, 150))
    encoder = fitted()
    pipeline = Pipeline(source, encoder, SKY, device=CPU, batch=16)
    pipeline.cores = pipeline.networks = cores
    assert pipeline.task % 16 == 0
    made = list(pipeline.run(tasks(300, pipeline.task)))
    rows = np.concatenate([m.rows for m in made])
    assert rows.tolist() == list(range(300))
    vectors, readable = (np.concatenate([getattr(m, k) for m in made]) for k in ("vectors", "readable"))
    assert np.flatnonzero(~readable).tolist() == [3, 150] and not vectors[[3, 150]].any()
    assert {row: why for m in made for row, why in m.problems.items()} == {3: "it is bad", 150: "it is bad"}
    from engine.data.cutouts import read_batch

    alone = np.zeros_like(vectors)
    for row in np.flatnonzero(readable):
        alone[row] = encoder(encoder.prepare(read_batch(source, np.array([row]), 32)[0], SKY, True)).numpy()[0]
    np.testing.assert_allclose(vectors, alone, atol=1e-4 * np.abs(alone).max())


def test_bytes_do_not_depend_on_the_number_of_cores():
    found = []
    for cores in (1, 4):
        pipeline = Pipeline(Source(), fitted(), SKY, device=CPU, batch=32)
        pipeline.cores = pipeline.networks = cores
        found.append(np.concatenate([m.vectors for m in pipeline.run(tasks(500, pipeline.task))]).tobytes())
    assert found[0] == found[1]


def test_short_batches_are_filled_up_and_cut_again():
    source, seen = Source(), []
    encoder = fitted()

    class Watched(Pixels):
        def __call__(self, batch):
            seen.append(len(batch))
            return encoder(batch)

    watched = Watched()
    made = [
        np.concatenate(
            [m.vectors for m in Pipeline(source, e, SKY, device=CPU, batch=48, padded=p).run(tasks(100, 144))]
        )
        for e, p in ((encoder, False), (watched, True))
    ]
    assert set(seen) == {48} and np.allclose(made[0], made[1], atol=1e-4)


def test_only_a_few_tasks_are_read_ahead_of_the_consumer_and_its_stop_ends_the_threads():
    source = Source(side=8)
    pipeline = Pipeline(source, None, SKY, device=CPU, batch=32)
    before = threading.active_count()
    coming = pipeline.run(tasks(100_000, 128, vectors=False))
    next(coming)
    time.sleep(0.05)
    coming.close()
    assert len(source.asked) <= 128 * (3 * pipeline.cores + 2)
    assert threading.active_count() == before


def test_the_network_waits_for_a_slow_source_and_that_is_measured():
    encoder = fitted()
    shares = []
    for seconds in (0.0, 0.002):
        pipeline = Pipeline(Source(seconds=seconds), encoder, SKY, device=CPU, batch=READ)
        pipeline.cores = pipeline.networks = 1
        list(pipeline.run(tasks(512, 128)))
        shares.append(pipeline.waited)
    assert 0 <= shares[0] <= 1 and shares[1] > 0.5


def test_a_device_that_is_full_is_told():
    class Full(Pixels):
        def __call__(self, batch):
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(OutOfMemory):
        list(Pipeline(Source(), Full(), SKY, device=CPU, batch=32).run(tasks(64, 64)))


def test_what_has_no_finite_vector_is_not_readable():
    encoder = fitted()

    class Odd(Pixels):
        @torch.inference_mode()
        def __call__(self, batch):
            found = encoder(batch).clone()
            found[1] = torch.nan
            return found

    (made,) = Pipeline(Source(), Odd(), SKY, device=CPU, batch=64).run(tasks(64, 64))
    assert made.problems == {1: NOT_FINITE} and not made.vectors[1].any() and made.readable.sum() == 63
