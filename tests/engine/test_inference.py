"""A faster network gives the same vectors, and says what a probe makes of them alike."""

import copy

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F

from engine.device import has_bfloat16
from engine.encoders import inference
from engine.encoders.backbones import make
from engine.encoders.convnet import skysieve_base

HALF = pytest.mark.skipif(not has_bfloat16(torch.device("cpu")), reason="this processor has no bfloat16 products")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    """A network with statistics in its norms, in evaluation mode, and the shape of its input."""
    if name == "skysieve-base":
        encoder = skysieve_base()
        from engine.data.pictures.stretch import Calibration

        sky = Calibration(np.zeros(3), np.ones(3), np.full(3, 50.0))
        shape = encoder.prepare(np.zeros((1, 3, encoder.size, encoder.size), np.float32), sky, True).shape[1:]
        return encoder.network, tuple(shape)
    torch.manual_seed(0)
    found = make(name, bands=3, size=32)
    with torch.no_grad():
        for _ in range(3):
            found(cutouts(16, (3, 32, 32)))
    return found.eval().requires_grad_(False), (3, 32, 32)


def cutouts(count, shape, seed=0):
    """Blobs of two kinds, round and drawn out, in noise."""
    rng = np.random.default_rng(seed)
    axis = (np.arange(shape[-1]) - (shape[-1] - 1) / 2) / shape[-1]
    y, x = axis[:, None], axis
    wide = np.where(np.arange(count) % 2, 1.0, 2.0)[:, None, None]
    light = rng.uniform(0.5, 2, (count, 1, 1)) * np.exp(-30 * (x**2 / wide + y**2 * wide))
    found = light[:, None] + 0.1 * rng.standard_normal((count, *shape))
    return torch.from_numpy(found.astype(np.float32))


def vectors(module, batch, *, half):
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        return module(batch).float()


NETWORKS = ["vit-tiny", "convnet", "skysieve-base"]


@HALF
@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_as_close_to_float32_as_autocast_is(name):
    plain, shape = network(name)
    fast = copy.deepcopy(plain)
    done = inference.hasten(fast, cutouts(4, shape))
    assert done and ("folded" in done[0]) == (name != "vit-tiny")
    batch = cutouts(48, shape, seed=1)
    exact = vectors(plain, batch, half=False)
    rounding = (vectors(plain, batch, half=True) - exact).norm()
    assert (vectors(fast, batch, half=True) - exact).norm() <= 1.6 * rounding
    assert torch.equal(vectors(fast, batch, half=True), vectors(fast, batch, half=True))


@HALF
@pytest.mark.parametrize("name", NETWORKS)
def test_a_probe_says_the_same_of_objects_it_has_not_seen(name):
    plain, shape = network(name)
    fast = copy.deepcopy(plain)
    assert inference.hasten(fast, cutouts(4, shape))
    batch, kind = cutouts(120, shape, seed=2), np.arange(120) % 2
    exact, quick = (vectors(m, batch, half=h).numpy() for m, h in ((plain, False), (fast, True)))
    centre, spread = exact.mean(axis=0), exact.std() + 1e-9
    probe = LogisticRegression(max_iter=300).fit((exact[:60] - centre) / spread, kind[:60])
    said = [probe.predict((v[60:] - centre) / spread) for v in (exact, quick)]
    assert (said[0] == said[1]).mean() >= 0.95
    assert name != "skysieve-base" or (said[1] == kind[60:]).mean() >= 0.95  # the others were never trained


class Twice(nn.Module):
    """A convolution whose result is used beside its normalisation too; folding would be wrong."""

    def __init__(self):
        super().__init__()
        self.one, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.two, self.last = nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8)

    def forward(self, x):
        y = self.one(x)
        z = F.relu(self.norm(y)) + y.abs()
        return self.last(self.two(z)).mean(dim=(2, 3))


@HALF
def test_only_what_nobody_else_looks_at_is_folded():
    torch.manual_seed(0)
    module = Twice()
    for _ in range(3):
        module(cutouts(8, (3, 12, 12)))
    module.eval()
    assert inference._pairs(module, cutouts(2, (3, 12, 12))) == [("two", "last")]


@HALF
def test_the_order_in_which_parts_were_made_does_not_matter():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(6)
            self.map = nn.Conv2d(3, 6, 3, groups=3, stride=2, bias=False)

        def forward(self, x):
            return F.gelu(self.norm(self.map(x))).flatten(1)

    torch.manual_seed(0)
    odd = Odd()
    odd(cutouts(8, (3, 12, 12)) * 3 + 1)
    odd.eval()
    batch = cutouts(8, (3, 12, 12), seed=1)
    exact = vectors(odd, batch, half=False)
    assert "1 normalisations folded" in inference.hasten(odd, batch)
    assert isinstance(odd.norm, nn.Identity)
    assert (vectors(odd, batch, half=True) - exact).norm() < 0.01 * exact.norm()


@HALF
def test_a_network_that_would_say_something_else_stays_as_it_is(monkeypatch):
    plain, shape = network("convnet")
    before = {k: v.clone() for k, v in plain.state_dict().items()}
    wrong = inference.fuse_conv_bn_eval

    def fuse(convolution, norm):
        found = wrong(convolution, norm)
        found.weight.data *= 1.2
        return found

    monkeypatch.setattr(inference, "fuse_conv_bn_eval", fuse)
    assert inference.hasten(plain, cutouts(4, shape)) == ()
    after = plain.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[k], after[k]) for k in before)


@HALF
def test_layers_that_read_each_others_weights_are_left_alone():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    module = nn.Sequential(nn.Linear(12, 16), layer)
    batch = cutouts(4, (3, 12, 12)).flatten(1, 2)
    exact = vectors(module, batch, half=False)
    assert inference.hasten(module, batch)
    assert isinstance(module[0], inference.Packed) or module[0].weight.dtype == torch.bfloat16
    assert type(layer.linear1) is nn.Linear
    assert (vectors(module, batch, half=True) - exact).norm() < 0.03 * exact.norm()


@HALF
@pytest.mark.parametrize("bias", [True, False])
def test_a_packed_layer_is_the_linear_layer(bias):
    torch.manual_seed(0)
    linear = nn.Linear(24, 40, bias=bias)
    packed = inference.Packed(linear)
    for shape in ((5, 24), (2, 7, 24), (1, 24), (0, 24)):
        x = torch.randn(shape)
        with torch.inference_mode():
            expected = F.linear(x.bfloat16().float(), linear.weight.bfloat16().float(), linear.bias)
            torch.testing.assert_close(packed(x).float(), expected, atol=0.02, rtol=0.01)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # scripting is on its way out of torch, files of it are not
def test_scripts_and_networks_without_layers_stay_as_they_are():
    class Mean(nn.Module):
        def forward(self, x):
            return x.mean(dim=(2, 3))

    batch = cutouts(4, (3, 12, 12))
    assert inference.hasten(Mean(), batch) == ()
    assert inference.hasten(torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(432, 4)).eval()), batch) == ()


@pytest.mark.parametrize(
    "error, short",
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"), True),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_short_memory_is_told_from_other_errors(error, short):
    with pytest.raises(inference.OutOfMemory if short else RuntimeError, match=None) as found:
        with inference.memory_told():
            raise error
    assert isinstance(found.value, inference.OutOfMemory) == short
