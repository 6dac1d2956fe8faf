"""The streaming pass: what it writes, what it skips, and that being killed changes nothing."""

import io
import json
import subprocess
import sys

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from threadpoolctl import threadpool_limits

from engine.data.cutouts import read_batch
from engine.data.pictures import thumbnails as thumbs
from engine.data.pictures.stretch import Calibration
from engine.device import has_bfloat16
from engine.encoders import ENCODERS, load
from engine.encoders.embed import embed
from engine.encoders.pixels import Pixels
from engine.errors import UserError
from engine.survey import Survey

#: Objects in a shard, in these tests.
SHARD = 64


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(thumbs, "SHARD", SHARD)


def make(path, count=200, *, bands=3, side=20, blank=(), seed=0) -> Survey:
    """A survey of blobs in an HDF5 file; `blank` rows have no finite pixel."""
    rng = np.random.default_rng(seed)
    axis = np.arange(side) - (side - 1) / 2
    width = rng.uniform(1, 4, (count, 1, 1, 1))
    light = rng.exponential(20, (count, bands, 1, 1)) * np.exp(-0.5 * (axis[:, None] ** 2 + axis**2) / width**2)
    pixels = (light + rng.normal(0, 1, light.shape)).astype(np.float32)
    pixels[list(blank)] = np.nan
    objects = pd.DataFrame(
        {
            "id": [f"O{k}" for k in range(count)],
            "ra": np.nan,
            "dec": np.nan,
            "pixels_index": np.arange(count, dtype=np.int32),
        }
    )

    def fill(folder):
        with h5py.File(folder / "cutouts.h5", "w") as file:
            file["images"] = pixels

    header = {
        "kind": "hdf5",
        "root": "cutouts.h5",
        "dataset": "images",
        "bands": [f"b{k}" for k in range(bands)],
        "science": True,
        "background": [0.0] * bands,
        "noise": [1.0] * bands,
        "bright": [50.0] * bands,
    }
    return Survey.create(path, objects, pixels=header, fill=fill)


def files_of(survey, name):
    folder = survey.path / "representations" / name
    found = {p.name: p.read_bytes() for p in sorted(folder.iterdir())}
    found |= {p.name: p.read_bytes() for p in sorted((survey.path / "thumbnails").iterdir())}
    return found


@pytest.mark.parametrize("name", ENCODERS)
def test_the_stream_gives_what_encoding_each_object_alone_gives(tmp_path, name):
    survey = make(tmp_path / "a.survey", 130, blank=[5, 129])
    made = embed(survey, name, batch_size=16)
    encoder = load(name)
    if encoder.sample:
        from safetensors.torch import load_file

        encoder.restore(load_file(made.folder / "encoder.safetensors"))
    calibration = Calibration.of(survey.header["pixels"], 3)
    slow = np.zeros((130, encoder.dimension), np.float32)
    with threadpool_limits(1):
        for row in range(130):
            pixels, readable, _ = read_batch(survey.cutouts, np.array([row]), encoder.size)
            if readable[0]:
                slow[row] = encoder(encoder.prepare(pixels, calibration, True))[0]
    assert made.vectors.dtype == encoder.dtype
    assert np.linalg.norm(made.vectors - slow) <= 0.03 * np.linalg.norm(
        slow - slow.mean(axis=0)
    )  # two roundings to bf16
    assert np.flatnonzero(~made.valid).tolist() == [5, 129] and not made.vectors[[5, 129]].any()


def test_unreadable_objects_are_counted_and_named(tmp_path):
    made = embed(make(tmp_path / "a.survey", 100, blank=[7, 70, 99]), "pixels")
    problems = json.loads((made.folder / "problems.json").read_text())
    assert made.meta["unreadable"] == problems["unreadable"] == 3
    assert [p["id"] for p in problems["first"]] == ["O7", "O70", "O99"]
    assert all(p["reason"] == "no finite pixel" for p in problems["first"])


def test_nothing_readable_is_an_error_and_leaves_nothing(tmp_path):
    survey = make(tmp_path / "a.survey", 10, blank=range(10))
    for name in ENCODERS:
        with pytest.raises(UserError, match="none of the 10 objects could be read"):
            embed(survey, name)
        assert not (survey.path / "representations" / name / "meta.json").exists()


@pytest.mark.parametrize("side", [1, 20, 150])
def test_thumbnails_are_pictures_of_the_cutouts_own_size_up_to_the_largest(tmp_path, side):
    survey = make(tmp_path / "a.survey", 70, side=side, blank=[3])
    embed(survey, "pixels")
    pictures = survey.thumbnails.read(range(70))
    assert survey.thumbnails.complete and pictures[3] == b"" and all(pictures[:3]) and all(pictures[4:])
    assert Image.open(io.BytesIO(pictures[0])).size == (min(side, thumbs.SIDE),) * 2


def test_thumbnails_can_wait_and_are_then_all_that_is_made(tmp_path):
    survey = make(tmp_path / "a.survey", 100)
    first = embed(survey, "pixels", thumbnails=False)
    assert not survey.thumbnails.complete
    before = (first.folder / "vectors.npy").stat().st_mtime_ns
    embed(survey, "pixels")
    assert survey.thumbnails.complete and (first.folder / "vectors.npy").stat().st_mtime_ns == before


def test_a_second_call_does_nothing(tmp_path):
    survey = make(tmp_path / "a.survey", 100)
    embed(survey, "pixels")
    calls = []
    again = embed(survey, "pixels", progress=lambda *event: calls.append(event))
    assert not calls and len(again.vectors) == 100 and len(list((survey.path / "runs").iterdir())) == 1


def test_a_name_taken_by_another_encoder_is_refused(tmp_path):
    survey = make(tmp_path / "a.survey", 70)
    embed(survey, "pixels", name="mine")
    with pytest.raises(UserError, match=r"another version of 'pixels'.*choose another name"):
        embed(survey, "skysieve-base", name="mine")


def test_a_bad_name_a_bad_device_and_a_bad_encoder_are_refused_before_anything_is_written(tmp_path):
    survey = make(tmp_path / "a.survey", 10)
    for options in ({"name": "../x"}, {"device": "abacus"}, {"encoder": "resnet"}):
        with pytest.raises(UserError):
            embed(survey, **({"encoder": "pixels"} | options))
    assert not (survey.path / "representations").exists()


def test_progress_counts_every_object_once_and_in_order(tmp_path):
    events = []
    embed(make(tmp_path / "a.survey", 150), "pixels", progress=lambda *event: events.append(event))
    done = [d for d, total, stage in events if stage == "embedding"]
    assert done == sorted(done) and done[0] == 0 and done[-1] == 150


KILLED = """
import os, signal, sys
from engine.data.pictures import thumbnails
thumbnails.SHARD = {shard}
from engine.survey import Survey
def progress(done, total, stage):
    if stage == "embedding" and done > {at}:
        os.kill(os.getpid(), signal.{signal})
Survey.open(sys.argv[1]).embed({encoder!r}, batch_size=16, progress=progress)
"""


@pytest.mark.parametrize("signal, at", [("SIGKILL", 150), ("SIGTERM", 90)])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_run_that_was_killed_goes_on_and_ends_with_the_same_bytes(tmp_path, encoder, signal, at):
    survey, whole = make(tmp_path / "killed.survey", blank=[40]), make(tmp_path / "whole.survey", blank=[40])
    script = KILLED.format(shard=SHARD, at=at, signal=signal, encoder=encoder)
    ended = subprocess.run([sys.executable, "-W", "error", "-c", script, survey.path], capture_output=True, text=True)
    assert ended.returncode != 0 and (signal == "SIGKILL" or "KeyboardInterrupt" in ended.stderr), ended.stderr
    shards = survey.path / "representations" / encoder / ".shards"
    kept = {p.name: p.stat().st_mtime_ns for p in shards.glob("*[0-9].npy")}
    assert len(kept) == at // SHARD and survey.representations == []
    if signal == "SIGTERM":
        assert not list(survey.path.rglob("*.partial"))

    seen = []
    embed(survey, encoder, batch_size=16, progress=lambda done, total, stage: seen.append((stage, done)))
    assert min(d for s, d in seen if s == "embedding") == len(kept) * SHARD  # what was there was not done again
    embed(whole, encoder, batch_size=16)
    first, second = files_of(survey, encoder), files_of(whole, encoder)
    assert first.keys() == second.keys() and all(first[k] == second[k] for k in first)


def test_shards_of_other_settings_are_not_mixed_in(tmp_path):
    survey = make(tmp_path / "a.survey", 150)

    def stop(done, total, stage):
        if stage == "embedding" and done > 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed(survey, "pixels", batch_size=16, name="x", progress=stop)
    made = embed(survey, "skysieve-base", batch_size=16, name="x")
    assert made.meta["encoder"] == "skysieve-base" and made.vectors.dtype == np.float16


def test_a_second_run_of_the_same_name_is_refused_while_the_first_is_at_work(tmp_path):
    survey = make(tmp_path / "a.survey", 150)
    told = []

    def again(done, total, stage):
        if stage == "embedding" and not told:
            with pytest.raises(UserError, match=r"'pixels' is being made by another process \(\d+\): wait") as error:
                embed(survey, "pixels")
            told.append(error)
            embed(survey, "pixels", name="other")  # another name is nobody else's business

    embed(survey, "pixels", progress=again)
    assert told and sorted(survey.representations) == ["other", "pixels"]
    assert not list((survey.path / "representations").glob(".*"))


class Narrow(Pixels):
    """A device that holds `most` cutouts at once, and says so as CUDA does."""

    most = 12

    def __call__(self, batch):
        if len(batch) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().__call__(batch)


def test_a_full_device_gets_smaller_batches_and_is_told_of(tmp_path, monkeypatch):
    monkeypatch.setitem(ENCODERS, "pixels", f"{__name__}:Narrow")
    survey, plain = make(tmp_path / "a.survey", 150), make(tmp_path / "b.survey", 150)
    stages = []
    made = embed(survey, "pixels", batch_size=32, progress=lambda done, total, stage: stages.append(stage))
    assert [s for s in dict.fromkeys(stages) if "memory" in s] == [
        "the device's memory was full: 16 at a time from here on",
        "the device's memory was full: 8 at a time from here on",
    ]
    (run,) = (survey.path / "runs").iterdir()
    assert json.loads(run.read_text())["results"]["batch"] == 8
    monkeypatch.undo()
    monkeypatch.setattr(thumbs, "SHARD", SHARD)
    assert (made.vectors == embed(plain, "pixels", batch_size=8).vectors).all()


def test_a_device_too_small_for_one_cutout_is_an_error_with_a_remedy(tmp_path, monkeypatch):
    monkeypatch.setitem(ENCODERS, "pixels", f"{__name__}:Narrow")
    monkeypatch.setattr(Narrow, "most", 0)
    with pytest.raises(
        UserError, match="one cutout is too much for the memory of the cpu device: use another --device"
    ):
        embed(make(tmp_path / "a.survey", 70), "pixels", batch_size=4)


def test_a_run_that_had_to_halve_its_batch_goes_on_with_that_after_it_was_stopped(tmp_path, monkeypatch):
    monkeypatch.setitem(ENCODERS, "pixels", f"{__name__}:Narrow")
    stopped, whole = make(tmp_path / "a.survey", 200), make(tmp_path / "b.survey", 200)

    def stop(done, total, stage):
        if stage == "embedding" and done > 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed(stopped, "pixels", batch_size=32, progress=stop)
    stages = []
    embed(stopped, "pixels", batch_size=32, progress=lambda done, total, stage: stages.append(stage))
    embed(whole, "pixels", batch_size=32)
    assert not [s for s in stages if "memory" in s] and files_of(stopped, "pixels") == files_of(whole, "pixels")


def test_what_is_done_to_the_network_and_how_long_it_waited_is_kept(tmp_path):
    survey = make(tmp_path / "a.survey", 100)
    made = embed(survey, "skysieve-base")
    half = has_bfloat16(torch.device("cpu"))
    assert ("bfloat16 weights" in made.meta["arithmetic"]) == half
    (run,) = (survey.path / "runs").iterdir()
    assert 0 <= json.loads(run.read_text())["results"]["waited"] <= 1
