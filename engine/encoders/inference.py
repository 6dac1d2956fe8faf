"""Inference: the same network, with everything done beforehand that does not depend on the cutouts.

`hasten` changes a trained network in place and looks whether it still says the same:

    convolution, batch normalisation  →  one convolution       w' = w γ / √(σ² + ε),  b' = β + (b − μ) γ / √(σ² + ε)
    weights of products and convolutions  →  bfloat16, once, in the order in which the processor reads them

Sums are still of float32 inside a product, and norms and shortcuts stay as autocast leaves them. It works on any
module: which normalisation follows which convolution is seen by watching one pass, not by reading the code. What it
cannot see through stays as it is.

The other half is where it runs. On a CPU one batch a core goes from end to end in a thread of its own (`one_core`): the
threads inside an operation would meet at a barrier after each, which costs milliseconds when the machine is busy.

Cost: four passes over the example and a copy of the network.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import cast

import torch
from threadpoolctl import threadpool_limits
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from engine.device import has_bfloat16

#: How much further from the float32 answer than autocast the changed network may be.
TOLERANCE = 1.5
#: Modules of torch that read the weights of their own linear layers, past their `forward`.
CLOSED = (nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)


def hasten(network: nn.Module, example: torch.Tensor, *, compiled: bool = False) -> tuple[str, ...]:
    """Make a network faster in place, for inference only.

    Parameters
    ----------
    network : module
        In evaluation mode, on the device of `example`; called under autocast to bfloat16.
    example : tensor
        A batch of its input, two cutouts or more, as different as real ones.
    compiled : bool
        On CUDA, compile it too, where triton is installed and works; worth a minute only for a large survey. Then all
        batches should be as long as the example.

    Returns
    -------
    tuple of str
        What was done, in words; empty if the network stayed as it was, because the machine has no bfloat16, or the
        vectors would have become worse than rounding to bfloat16 makes them anyway.
    """
    if isinstance(network, torch.jit.ScriptModule) or not has_bfloat16(example.device):
        return ()
    with threadpool_limits(1 if example.device.type == "cpu" else None, user_api="openmp"):
        return tuple(_hastened(network, example, compiled))


def _hastened(network: nn.Module, example: torch.Tensor, compiled: bool) -> list[str]:
    try:
        exact = _vectors(network, example, exact=True)
        allowed = _rounding(exact, _vectors(network, example))
        pairs = _pairs(network, example)
        trial = copy.deepcopy(network)
        _change(trial, pairs)
        if not _distance(exact, _vectors(trial, example)) <= allowed:
            return []
    except (RuntimeError, ValueError, TypeError, AttributeError, NotImplementedError):
        return []  # a network that cannot be copied, watched or changed is one that stays as it is
    del trial
    done = _change(network, pairs)
    if compiled and _compiles(network, example, exact, allowed):
        network.compile()
        done.append("compiled")
    return done


def one_core() -> None:
    """Let the calling thread compute on one core, from now on."""
    torch.get_num_threads()  # torch sets a new thread's team when first asked, and would undo the limit later
    threadpool_limits(1, user_api="openmp")


class OutOfMemory(Exception):
    """The device could not hold a batch."""


@contextmanager
def memory_told() -> Iterator[None]:
    """Turn whatever a back end raises when memory is short into `OutOfMemory`."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        words = str(error).lower()
        short = ("out of memory", "can't allocate memory", "not enough memory", "failed to allocate memory")
        if isinstance(error, torch.OutOfMemoryError | MemoryError) or any(word in words for word in short):
            raise OutOfMemory(str(error)) from error
        raise


# -- what is changed ---------------------------------------------------------------------------------------------------


def _change(network: nn.Module, pairs: list[tuple[str, str]]) -> list[str]:
    """Fold, round and pack; returns what was done."""
    done = []
    for convolution, norm in pairs:
        before, after = network.get_submodule(convolution), network.get_submodule(norm)
        folded = fuse_conv_bn_eval(cast(nn.Conv2d, before), cast(nn.BatchNorm2d, after))
        network.set_submodule(convolution, folded)
        network.set_submodule(norm, nn.Identity())
    if pairs:
        done.append(f"{len(pairs)} normalisations folded")
    round_, pack = _round(network), _pack(network)
    return done + (["bfloat16 weights"] if round_ or pack else []) + ([f"{pack} products packed"] if pack else [])


def _round(network: nn.Module) -> int:
    """Round the weights of convolutions (and, off the CPU, of linear layers) to bfloat16; returns how many."""
    layers = [part for part in _open(network) if type(part) is nn.Conv2d]
    for part in layers:
        part.to(torch.bfloat16).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in its stubs
    rest = [part for part in _open(network) if type(part) is nn.Linear and part.weight.device.type != "cpu"]
    for linear in rest:
        linear.to(torch.bfloat16)
    return len(layers) + len(rest)


def _pack(network: nn.Module) -> int:
    """Replace the linear layers of a network on the CPU by packed ones; returns how many."""
    if not _packs():
        return 0
    found = [
        (parent, name, part)
        for parent in _open(network)
        for name, part in parent.named_children()
        if type(part) is nn.Linear and part.weight.device.type == "cpu"
    ]
    for parent, name, part in found:
        setattr(parent, name, Packed(part))
    return len(found)


def _open(module: nn.Module) -> Iterator[nn.Module]:
    """A module and the modules inside it, except inside those that are `CLOSED`."""
    if isinstance(module, CLOSED):
        return
    yield module
    for child in module.children():
        yield from _open(child)


def _packs() -> bool:
    """Whether torch has the products of oneDNN that take packed weights; they are what its own compiler calls."""
    return torch.backends.mkldnn.is_available() and all(
        hasattr(torch.ops.mkldnn, name) for name in ("_linear_pointwise", "_reorder_linear_weight")
    )


class Packed(nn.Module):
    """A linear layer whose bfloat16 weights lie in the order in which oneDNN reads them: 5-10 % faster."""

    weight: torch.Tensor
    bias: torch.Tensor | None

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.register_buffer("weight", linear.weight.detach().bfloat16())
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach().bfloat16())
        self.packed = torch.ops.mkldnn._reorder_linear_weight(self.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(…, in) → (…, out) bfloat16."""
        x = x.to(torch.bfloat16)
        if x.numel() == 0:
            return nn.functional.linear(x, self.weight, self.bias)
        return torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")


# -- what follows what -------------------------------------------------------------------------------------------------


class _Uses(TorchFunctionMode):
    """Counts how often each tensor is the input of an operation that gives a tensor."""

    def __init__(self):
        super().__init__()
        self.count: Counter[int] = Counter()
        self.kept: list[torch.Tensor] = []  # alive, so that no two tensors share an id

    def __torch_function__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        if any(isinstance(leaf, torch.Tensor) for leaf in tree_leaves(found)):
            for leaf in tree_leaves((args, kwargs)):
                if isinstance(leaf, torch.Tensor):
                    self.count[id(leaf)] += 1
                    self.kept.append(leaf)
        return found


@torch.inference_mode()
def _pairs(network: nn.Module, example: torch.Tensor) -> list[tuple[str, str]]:
    """Names of convolutions and of the normalisations that alone take what they give, by watching one pass."""
    calls: list[tuple[str, nn.Module, torch.Tensor, torch.Tensor]] = []
    hooks = [
        part.register_forward_hook(lambda module, given, made, name=name: calls.append((name, module, given[0], made)))
        for name, part in network.named_modules()
        if type(part) in (nn.Conv2d, nn.BatchNorm2d)
    ]
    try:
        with _Uses() as uses:
            out = network(example[:1])
    finally:
        for hook in hooks:
            hook.remove()
    times = Counter(name for name, *_ in calls)
    leaves = {id(leaf) for leaf in tree_leaves(out)}
    makers = {
        id(made): name
        for name, module, _, made in calls
        if type(module) is nn.Conv2d and times[name] == 1 and uses.count[id(made)] == 1 and id(made) not in leaves
    }
    return [
        (makers[id(given)], name)
        for name, module, given, _ in calls
        if type(module) is nn.BatchNorm2d
        and times[name] == 1
        and id(given) in makers
        and not module.training
        and module.running_mean is not None
    ]


# -- whether it is the same --------------------------------------------------------------------------------------------


@torch.inference_mode()
def _vectors(network: nn.Module, example: torch.Tensor, *, exact: bool = False) -> torch.Tensor:
    """Vectors of a batch, (B, D) float32; `exact` computes them in float32 too."""
    with torch.autocast(example.device.type, torch.bfloat16, enabled=not exact):
        return network(example).float()


def _distance(exact: torch.Tensor, vectors: torch.Tensor) -> float:
    """How far vectors are from the exact ones, as the norm of all differences; infinite if they have another shape."""
    return float((vectors - exact).norm()) if vectors.shape == exact.shape else float("inf")


def _rounding(exact: torch.Tensor, vectors: torch.Tensor) -> float:
    """The distance that is put down to rounding: that of autocast, and never less than one rounding of the result."""
    return max(TOLERANCE * _distance(exact, vectors), float(exact.norm()) * 2**-9)


def _compiles(network: nn.Module, example: torch.Tensor, exact: torch.Tensor, allowed: float) -> bool:
    """Whether a network on CUDA can be compiled and still says the same; a machine may lack what it takes."""
    if example.device.type != "cuda" or find_spec("triton") is None:
        return False
    try:
        return _distance(exact, _vectors(torch.compile(network), example)) <= allowed  # type: ignore[arg-type]
    except Exception:  # compilers raise whatever they like, and no run should end for want of one
        return False
