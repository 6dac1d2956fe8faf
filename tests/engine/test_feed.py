"""Cutouts read once into a cache, and batches drawn from it."""

import shutil

import numpy as np
import pytest
import torch
from small_training import small_survey

from engine.data.cutouts import read_batch
from engine.data.pictures.stretch import Calibration
from engine.encoders.scaling import scaled
from engine.errors import UserError
from engine.training import feed
from engine.training.feed import Feed, prepare

CPU = torch.device("cpu")


@pytest.fixture
def survey(tmp_path):
    return small_survey(tmp_path / "a.survey", 150, blank=[3, 77])


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(feed, "SHARD", 32)
    monkeypatch.setattr(feed, "READ", 10)


def slowly(survey, size, asinh):
    """One object at a time."""
    calibration = Calibration.of(survey.header["pixels"], len(survey.bands))
    found = [read_batch(survey.cutouts, np.array([row]), size)[0] for row in range(len(survey))]
    return np.concatenate([scaled(p, calibration, True, asinh=asinh).numpy() for p in found]).astype(np.float16)


@pytest.mark.parametrize("size, asinh", [(16, True), (8, False), (20, True)])
def test_the_cache_holds_what_reading_one_at_a_time_gives(survey, size, asinh):
    cutouts = prepare(survey, size=size, asinh=asinh)
    assert cutouts.pixels.dtype == np.float16 and np.flatnonzero(~cutouts.readable).tolist() == [3, 77]
    np.testing.assert_array_equal(cutouts.pixels, slowly(survey, size, asinh))
    assert cutouts.rows.tolist() == list(range(150))


def test_a_second_call_reads_nothing_and_other_settings_have_a_cache_of_their_own(survey):
    prepare(survey, size=16)
    events = []
    prepare(survey, size=16, progress=lambda *event: events.append(event))
    assert not events
    for options in ({"size": 8}, {"size": 16, "asinh": False}, {"size": 16, "objects": 40}):
        prepare(survey, **options)
    assert len(list((survey.path / "cache").iterdir())) == 4


def test_an_interrupted_cache_goes_on_from_the_last_shard(survey, tmp_path):
    def stop(done, total, stage):
        if done > 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(survey, size=16, progress=stop)
    seen = []
    cutouts = prepare(survey, size=16, progress=lambda done, total, stage: seen.append((done, total)))
    assert seen[0] == (96, 150) and seen[-1] == (150, 150)
    np.testing.assert_array_equal(cutouts.pixels, slowly(survey, 16, True))
    assert sorted(p.name for p in next((survey.path / "cache").iterdir()).iterdir()) == [
        "key.json",
        "pixels.npy",
        "readable.npy",
    ]


def test_a_sample_is_random_in_order_and_always_the_same(survey):
    first, second = prepare(survey, size=8, objects=40), prepare(survey, size=8, objects=40)
    assert first.rows.tolist() == second.rows.tolist() == sorted(set(first.rows.tolist())) and len(first.rows) == 40
    assert first.rows.max() > 100 and prepare(survey, size=8, objects=1000).rows.tolist() == list(range(150))


def test_a_full_disk_and_unreadable_pixels_are_said_before_training(survey, tmp_path, monkeypatch):
    blank = small_survey(tmp_path / "b.survey", 5, blank=range(5))
    with pytest.raises(UserError, match="none of the 5 objects could be read"):
        prepare(blank, size=16)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(feed.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(UserError, match=r"take .* GB .*--objects"):
        prepare(survey, size=16)


def test_every_epoch_shows_every_readable_object_once_in_another_order(survey):
    drawn = Feed(prepare(survey, size=8), batch=37, seed=4)  # 37 does not divide 148: batches straddle epochs
    assert len(drawn) == 148
    order = np.concatenate([drawn.drawn(step) for step in range(8)])
    readable = sorted(set(range(150)) - {3, 77})
    assert sorted(order[:148].tolist()) == readable == sorted(order[148:296].tolist())
    assert order[:148].tolist() != order[148:296].tolist()
    again, other = Feed(drawn.cutouts, batch=37, seed=4), Feed(drawn.cutouts, batch=37, seed=5)
    assert again.drawn(5).tolist() == drawn.drawn(5).tolist() != other.drawn(5).tolist()


def test_more_cutouts_a_step_than_objects(survey):
    drawn = Feed(prepare(survey, size=8, objects=5), batch=64, seed=0).drawn(3)
    assert len(drawn) == 64 and np.bincount(drawn).max() - np.bincount(drawn)[np.bincount(drawn) > 0].min() <= 2


def test_processes_share_a_batch(survey):
    cutouts = prepare(survey, size=8)
    whole = Feed(cutouts, batch=12, seed=1)
    shares = [Feed(cutouts, batch=12, seed=1, rank=rank, world=3) for rank in range(3)]
    assert sorted(np.concatenate([s.drawn(20) for s in shares])) == sorted(whole.drawn(20))
    with pytest.raises(UserError, match="batch of 10 cannot be shared by 3"):
        Feed(cutouts, batch=10, seed=1, world=3)


def test_batches_are_the_drawn_cutouts_with_their_rows_and_targets(survey):
    cutouts = prepare(survey, size=8, objects=90)
    known = np.arange(150, dtype=np.float32)[:, None] * [1, 2]
    known[::2] = np.nan
    drawn = Feed(cutouts, targets={"q": known}, batch=6, seed=2)
    batches = list(drawn.batches(3, 30, CPU))
    assert len(batches) == 27
    for step, batch in enumerate(batches, start=3):
        positions = drawn.drawn(step)
        assert batch.pixels.dtype == torch.float32 and batch.rows.tolist() == cutouts.rows[positions].tolist()
        np.testing.assert_array_equal(batch.pixels.numpy(), cutouts.pixels[positions].astype(np.float32))
        np.testing.assert_array_equal(batch.targets["q"].numpy(), known[cutouts.rows[positions]].astype(np.float32))
        assert (batch.rows % 2 == 1).all()  # objects without a target are left out
    with pytest.raises(UserError, match="no readable object has a value of q"):
        Feed(cutouts, targets={"q": np.full((150, 1), np.nan)}, batch=6, seed=2)


def test_a_task_that_fails_is_heard_and_the_threads_end():
    def fail():
        raise ValueError("no")

    tasks = feed.ahead([lambda: 1, fail, lambda: 3], threads=2, depth=1)
    assert next(tasks) == 1
    with pytest.raises(ValueError, match="no"):
        list(tasks)
