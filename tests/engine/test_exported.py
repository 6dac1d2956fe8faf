"""Exported networks: what a file says of itself, what is said beside it, and what is refused before it runs."""

import json
import struct
import sys
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from engine.data.pictures.stretch import Calibration
from engine.encoders import load
from engine.encoders.scaling import scaled
from engine.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


def network(channels: int = 3) -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Conv2d(channels, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(*layers).eval()


def traced(path, channels: int = 3):
    made = network(channels)
    torch.jit.trace(made, torch.zeros(2, channels, 16, 16)).save(path)
    return made


@pytest.mark.parametrize("how", ["traced", "scripted", "frozen"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_torchscript_gives_what_the_network_gives(tmp_path, how, channels):
    made = network(channels)
    kinds = {
        "traced": lambda: torch.jit.trace(made, torch.zeros(2, channels, 16, 16)),
        "scripted": lambda: torch.jit.script(made),
        "frozen": lambda: torch.jit.freeze(torch.jit.script(made)),
    }
    kinds[how]().save(tmp_path / "mine.pt")
    if how == "frozen":  # its weights are constants of its program: the channels cannot be asked
        (tmp_path / "mine.json").write_text(json.dumps({"channels": channels}))
    encoder = load(str(tmp_path / "mine.pt"), size=24)
    assert (encoder.name, encoder.size, encoder.bands, encoder.dimension) == ("mine", 24, channels, 8)
    batch = torch.randn(5, channels, 24, 24)
    with torch.no_grad():
        assert torch.allclose(encoder(batch), made(batch), atol=1e-5)


def test_pixels_go_in_as_they_are_and_the_sky_where_they_are_missing(tmp_path):
    traced(tmp_path / "mine.pt")
    encoder = load(str(tmp_path / "mine.pt"), size=8)
    pixels = np.random.default_rng(0).normal(100, 1, (2, 3, 8, 8)).astype(np.float32)
    pixels[0, 1, 2, 3] = np.nan
    pixels[1, 2, 0, 0] = np.inf
    found = encoder.prepare(pixels, Calibration(np.array([1.0, 2.0, 3.0]), np.ones(3), np.ones(3)), True).numpy()
    assert found[0, 1, 2, 3] == 2 and found[1, 2, 0, 0] == 3
    assert np.array_equal(found[np.isfinite(pixels)], pixels[np.isfinite(pixels)])


def test_a_file_beside_it_says_what_it_cannot(tmp_path):
    traced(tmp_path / "mine.pt")
    beside = {"size": 12, "input": "signal", "licence": "CC0", "trained_on": "stars"}
    (tmp_path / "mine.json").write_text(json.dumps(beside))
    encoder = load(str(tmp_path / "mine.pt"))
    assert (encoder.size, encoder.licence, encoder.trained_on, encoder.bands) == (12, "CC0", "stars", 3)
    pixels = np.random.default_rng(0).normal(0, 9, (2, 3, 12, 12)).astype(np.float32)
    calibration = Calibration(np.zeros(3), np.ones(3), np.full(3, 9.0))
    assert torch.equal(encoder.prepare(pixels, calibration, True), scaled(pixels, calibration, True))
    before = encoder.identity
    (tmp_path / "mine.json").write_text(json.dumps(beside | {"input": "picture", "mean": [0.5], "sd": [0.25]}))
    encoder = load(str(tmp_path / "mine.pt"))
    assert encoder.bands is None and encoder.identity != before
    assert encoder.prepare(pixels[:, :1], Calibration(np.zeros(1), np.ones(1), np.full(1, 9.0)), True).shape[1] == 3


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "no JSON"),
        ("[1]", "not understood"),
        ('{"sise": 3}', "not understood"),
        ('{"size": "big"}', "not understood"),
        ('{"input": "magic"}', "names the input"),
        ('{"input": "picture", "sd": [0.0]}', "fits no picture"),
        ('{"input": "picture", "mean": [1, 2]}', "fits no picture"),
        ('{"input": "picture", "mean": ["a"]}', "fits no picture"),
    ],
)
def test_a_file_beside_it_that_makes_no_sense_is_refused(tmp_path, text, message):
    traced(tmp_path / "mine.pt")
    (tmp_path / "mine.json").write_text(text)
    with pytest.raises(UserError, match=message):
        load(str(tmp_path / "mine.pt"), size=16)


def test_without_a_size_it_says_where_to_give_one(tmp_path):
    traced(tmp_path / "mine.pt")
    with pytest.raises(UserError, match=r"--size.*mine.json"):
        load(str(tmp_path / "mine.pt"))


def test_a_network_that_gives_maps_is_refused(tmp_path):
    torch.jit.script(nn.Conv2d(3, 4, 3)).save(tmp_path / "map.pt")
    with pytest.raises(UserError, match=r"gives no vectors.*\(B, D\)"):
        load(str(tmp_path / "map.pt"), size=16)


def test_a_size_it_cannot_take_is_refused_in_one_line(tmp_path):
    torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 5))).save(tmp_path / "flat.pt")
    assert load(str(tmp_path / "flat.pt"), size=8).dimension == 5
    with pytest.raises(UserError, match=r"does not take 3 × 9 × 9 pixels") as caught:
        load(str(tmp_path / "flat.pt"), size=9)
    assert "\n" not in str(caught.value)


class Writes(nn.Module):
    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        torch.save(pixels, "written")
        return pixels.mean(dim=(2, 3))


class Reads(nn.Module):
    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.from_file("secret", False, 4).expand(pixels.shape[0], 4)


@pytest.mark.parametrize("bad", [Writes, Reads])
def test_a_program_that_does_more_than_compute_never_runs(tmp_path, monkeypatch, bad):
    monkeypatch.chdir(tmp_path)
    torch.jit.script(bad()).save("bad.pt")
    with pytest.raises(UserError, match="does more than compute"):
        load("bad.pt", size=8)
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize(
    "line", ["ops.c10d.send_(x)", "torch . save (x)", "ops.aten.save(x)", "torch.classes.own.Thing"]
)
def test_forbidden_operations_are_found_however_they_are_written(tmp_path, line):
    traced(tmp_path / "good.pt")
    with zipfile.ZipFile(tmp_path / "good.pt") as good, zipfile.ZipFile(tmp_path / "bad.pt", "w") as bad:
        for name in good.namelist():
            bad.writestr(name, good.read(name))
        bad.writestr("good/code/__torch__/more.py", f"def f(x):\n  {line}\n")
    with pytest.raises(UserError, match="does more than compute"):
        load(str(tmp_path / "bad.pt"), size=8)


def test_pickled_weights_are_refused_unread(tmp_path):
    torch.save(network().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(UserError, match="pickled weights, which are never loaded"):
        load(str(tmp_path / "weights.pt"), size=8)
    torch.save(network().state_dict(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(UserError, match="is no TorchScript"):
        load(str(tmp_path / "old.pt"), size=8)


def test_damaged_and_missing_files_are_refused(tmp_path):
    traced(tmp_path / "mine.pt")
    with zipfile.ZipFile(tmp_path / "mine.pt") as good, zipfile.ZipFile(tmp_path / "torn.pt", "w") as torn:
        for name in good.namelist():
            if "/data/" not in name:
                torn.writestr(name, good.read(name))
    with pytest.raises(UserError, match="cannot be read as a network"):
        load(str(tmp_path / "torn.pt"), size=8)
    for name in ("gone.pt", "gone.onnx"):
        with pytest.raises(UserError, match="no file"):
            load(str(tmp_path / name), size=8)


def test_torch_export_is_refused():
    with pytest.raises(UserError, match=r"torch\.export.*ONNX"):
        load("network.pt2", size=8)


# -- ONNX: the few fields of its protocol buffers that a graph needs ---------------------------------------------------


def varint(value: int) -> bytes:
    found = b""
    while value > 127:
        found, value = found + bytes([value & 127 | 128]), value >> 7
    return found + bytes([value])


def field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def value_info(name: str, shape: list) -> bytes:
    sizes = b"".join(field(1, field(2, n) if isinstance(n, str) else field(1, n)) for n in shape)
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, sizes)))


def onnx_means(shape: list) -> bytes:
    """A graph that takes pixels of a shape and gives the mean of each channel: (B, C, S, S) → (B, C)."""
    pool = field(1, "pixels") + field(2, "pooled") + field(4, "GlobalAveragePool")
    flat = field(1, "pooled") + field(2, "means") + field(4, "Flatten")
    ends = field(11, value_info("pixels", shape)) + field(12, value_info("means", shape[:2]))
    graph = field(1, pool) + field(1, flat) + field(2, "means") + ends
    return field(1, 8) + field(7, graph) + field(8, field(2, 13))


def test_onnx_without_its_runtime_says_how_to_get_it(tmp_path, monkeypatch):
    (tmp_path / "means.onnx").write_bytes(onnx_means(["batch", 3, 16, 16]))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"pip install -e \.\[onnx\]"):
        load(str(tmp_path / "means.onnx"))


@pytest.mark.parametrize("batch", ["batch", 1, 4])
def test_onnx_gives_what_its_graph_says(tmp_path, batch):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (the extra `onnx`)")
    (tmp_path / "means.onnx").write_bytes(onnx_means([batch, 3, 16, 16]))
    encoder = load(str(tmp_path / "means.onnx"))
    assert (encoder.size, encoder.bands, encoder.dimension) == (16, 3, 3)
    pixels = torch.randn(7, 3, 16, 16)
    assert torch.allclose(encoder(pixels), pixels.mean(dim=(2, 3)), atol=1e-6)


def test_a_damaged_onnx_is_refused(tmp_path):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (the extra `onnx`)")
    (tmp_path / "torn.onnx").write_bytes(struct.pack("<Q", 12345))
    with pytest.raises(UserError, match="cannot be read as a network"):
        load(str(tmp_path / "torn.onnx"))
