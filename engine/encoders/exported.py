"""Exported networks: a file that holds a network with its weights, and needs no code of its author's.

``.onnx``
    Data only: a graph of known operations. Run by onnxruntime, an extra (``pip install -e .[onnx]``). The safest.
``.pt``
    TorchScript. The archive is a program in a language of torch's own, with tensors that no Python pickle touches; but
    that language can write files and speak to a network (a module that calls ``torch.save`` does). So the program is
    read first, as text, and refused if it names any of that. What is left computes; still, take it only from people you
    trust, since the interpreter was not built to withstand an enemy. Never `torch.load`.
``.pt2``
    Refused: `torch.export.load` falls back on unrestricted unpickling and evaluates the shapes it reads as Python.

The network takes (B, C, S, S) float32 and gives (B, D). C and S are asked of the file; TorchScript does not tell S, so
that --size is needed, or a JSON file of the same name beside it (``galaxies.pt``, ``galaxies.json``), every key of which
may be left out:

    size           S
    channels       C
    input          "pixels" (the default), "signal" or "picture", as `engine.encoders.foreign` explains
    mean, sd       of pictures, one number a channel, in units of full scale
    licence, trained_on
"""

from __future__ import annotations

import hashlib
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from engine import files
from engine.encoders import UNSTATED
from engine.encoders.foreign import INPUTS, Foreign, Input
from engine.errors import UserError

#: What a TorchScript program must not name: it writes, reads or sends, or comes from no operation of torch's arithmetic.
FORBIDDEN = re.compile(
    rb"\b(save|from_file|rpc_\w+|PythonOp|IgnoredPythonOp)\b\s*\(|"
    rb"\bops\s*\.\s*(?!(?:aten|prim|prims|quantized|_quantized)\b)\w+|"
    rb"\btorch\s*\.\s*classes\s*\.\s*(?!quantized\b)\w+"
)
#: The same in the archive's data, where only classes can be named.
FORBIDDEN_CLASS = re.compile(rb"torch\.classes\.(?!quantized\b)\w+")

#: Types of the keys of the JSON file beside a network.
KEYS = {
    "size": int,
    "channels": int,
    "input": str,
    "mean": list,
    "sd": list,
    "licence": str,
    "trained_on": str,
}


def torchscript(file: str, *, size: int | None = None) -> Foreign:
    """A TorchScript file as an encoder.

    Parameters
    ----------
    file : path
        ``.pt``, written by `torch.jit.save`.
    size : int, optional
        Pixels a side, if no file beside it tells.

    Raises
    ------
    UserError
        If it is missing, no TorchScript, does more than compute, or its size is not known.
    """
    path = _present(file)
    _inspect(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of TorchScript; ONNX is what will stay
            module = torch.jit.load(path, map_location="cpu")
    except RuntimeError as error:
        raise _damaged(path, error) from error
    return _encoder(path, Script(module), _first_channels(module), None, size)


def torch_export(file: str, *, size: int | None = None) -> Foreign:
    """Refuse a ``.pt2`` file, whatever is in it: reading one can run code that it brings."""
    raise UserError(
        f"{file} is an archive of torch.export, which cannot be read without running what it brings",
        "export the network to ONNX (`torch.onnx.export`), or as TorchScript (`torch.jit.trace(…).save`)",
    )


def onnx(file: str, *, size: int | None = None) -> Foreign:
    """An ONNX file as an encoder.

    Parameters
    ----------
    file : path
        One input of four axes, one output of two.
    size : int, optional
        Pixels a side, if the file does not tell.

    Raises
    ------
    UserError
        If it is missing or damaged, onnxruntime is not installed, or its size is not known.
    """
    path = _present(file)
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(
            f"{path.name} needs onnxruntime, which is not installed", "install it with `pip install -e .[onnx]`"
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    providers = [p for p in onnxruntime.get_available_providers() if p.startswith(("CUDA", "CPU"))]
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime's exceptions have no common base
        raise _damaged(path, error) from error
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        raise UserError(
            f"{path.name} does not take cutouts alone (its inputs: {', '.join(f'{i.name} {i.shape}' for i in inputs)})",
            "export it with one input, (B, C, S, S)",
        )
    batch, channels, _, side = (n if isinstance(n, int) and n > 0 else None for n in inputs[0].shape)
    return _encoder(path, Onnx(session, batch), channels, side, size)


class Script(nn.Module):
    """A TorchScript module. It is held as it is, not as a part: its weights are not ours to train."""

    def __init__(self, module: torch.jit.ScriptModule):
        super().__init__()
        self.held = (module,)

    def train(self, mode: bool = True) -> Script:
        """Set the mode where there is one: a frozen module has none."""
        if hasattr(self.held[0], "training"):
            self.held[0].train(mode)
        return self

    def _apply(self, fn, recurse=True):
        """Move what is held along: `torch.nn.Module.to` comes here."""
        self.held[0]._apply(fn, recurse)
        return self

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, C, S, S) → (B, D)."""
        return self.held[0](pixels)


class Onnx(nn.Module):
    """An ONNX session as a module; it computes where onnxruntime does.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
    batch : int or None
        Cutouts that it takes at once, if that was fixed when it was exported.
    """

    def __init__(self, session, batch: int | None):
        super().__init__()
        self.session, self.batch = session, batch
        given = session.get_inputs()[0]
        self.given, self.dtype = given.name, np.float16 if given.type == "tensor(float16)" else np.float32
        flat = [o.name for o in session.get_outputs() if len(o.shape) == 2]
        self.made = (flat or [session.get_outputs()[0].name])[:1]

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, C, S, S) → (B, D)."""
        values = pixels.float().cpu().numpy().astype(self.dtype, copy=False)
        found = [self._run(part)[: len(part)] for part in self._parts(values)]
        return torch.from_numpy(np.concatenate(found).astype(np.float32, copy=False)).to(pixels.device)

    def _parts(self, values: np.ndarray) -> Iterator[np.ndarray]:
        step = self.batch or len(values)
        return (values[k : k + step] for k in range(0, len(values), step))

    def _run(self, part: np.ndarray) -> np.ndarray:
        """One run; the last part of a fixed batch is filled with its own last cutout."""
        if self.batch is not None and len(part) < self.batch:
            part = np.concatenate([part, np.repeat(part[-1:], self.batch - len(part), axis=0)])
        try:
            return self.session.run(self.made, {self.given: part})[0]
        except Exception as error:  # onnxruntime's exceptions have no common base
            raise RuntimeError(str(error)) from error


# -- what both share ---------------------------------------------------------------------------------------------------


def _encoder(path: Path, network: nn.Module, channels: int | None, side: int | None, size: int | None) -> Foreign:
    """The encoder of a file, by what it tells of itself and what is said of it."""
    said = _said(path)
    side = size or said.get("size") or side
    if side is None:
        raise UserError(
            f"{path.name} does not say how large the cutouts are that it takes",
            f'give --size, or write {{"size": 64}} into {path.with_suffix(".json").name} beside it',
        )
    given = Input(
        said.get("input", "pixels"),
        said.get("channels") or channels or 3,
        tuple(said.get("mean", [0.0])),
        tuple(said.get("sd", [1.0])),
    )
    return Foreign(
        path.stem,
        network,
        size=side,
        inputs=given,
        identity=hashlib.sha256(path.read_bytes()).hexdigest(),
        licence=said.get("licence", UNSTATED),
        trained_on=said.get("trained_on", UNSTATED),
        mixed=False,
    )


def _said(path: Path) -> dict:
    """What the JSON file beside a network says; empty if there is none."""
    beside = path.with_suffix(".json")
    if not beside.is_file():
        return {}
    remedy = f"give some of {', '.join(KEYS)}"
    try:
        said = files.read_json(beside)
    except ValueError as error:
        raise UserError(f"{beside} is no JSON ({error})", remedy) from error
    wrong = [k for k in said if k not in KEYS or not isinstance(said[k], KEYS[k])] if isinstance(said, dict) else [said]
    if wrong:
        raise UserError(f"{beside} says {wrong[0]!r} in a way that is not understood", remedy)
    if said.get("input", INPUTS[0]) not in INPUTS:
        raise UserError(f"{beside} names the input {said['input']!r}", f"choose one of: {', '.join(INPUTS)}")
    numbers = [v for key in ("mean", "sd") for v in said.get(key, [])]
    counts = {len(said[key]) for key in ("mean", "sd") if key in said} - {1, said.get("channels", 3)}
    if counts or not all(isinstance(v, int | float) for v in numbers) or 0 in said.get("sd", []):
        raise UserError(f"{beside} gives a mean or sd that fits no picture", "give one number a channel, no sd of zero")
    return said


def _present(file: str) -> Path:
    path = Path(file)
    if not path.is_file():
        raise UserError(f"there is no file {path}", "check the path")
    return path


def _damaged(path: Path, error: Exception) -> UserError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return UserError(f"{path} cannot be read as a network ({reason})", "check that it is whole, or export it again")


# -- TorchScript -------------------------------------------------------------------------------------------------------


def _inspect(path: Path) -> None:
    """Refuse an archive that is no TorchScript, or does more than compute; nothing of it has run yet."""
    if not zipfile.is_zipfile(path):
        raise UserError(
            f"{path} is no TorchScript (perhaps pickled weights, which are never loaded)",
            "save the network with `torch.jit.trace(network, example).save(FILE)`, or export it to ONNX",
        )
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if not any("/code/" in name for name in names):
            raise UserError(
                f"{path} holds no network but pickled weights, which are never loaded",
                "save the network with `torch.jit.trace(network, example).save(FILE)`, or export it to ONNX",
            )
        for name in names:
            rule = FORBIDDEN if "/code/" in name else FORBIDDEN_CLASS
            if name.endswith(".debug_pkl") or not ("/code/" in name or name.endswith(".pkl")):
                continue  # sources as they were written, for messages; raw tensors
            found = rule.search(archive.read(name))
            if found:
                raise UserError(
                    f"{path} does more than compute (it names {found[0].decode('ascii', 'replace').strip(' (')!r})",
                    "export a network that only computes, or to ONNX",
                )


def _first_channels(module: torch.jit.ScriptModule) -> int | None:
    """Channels of the first convolution, None if there is none."""
    return next((p.shape[1] for p in module.parameters() if p.ndim == 4), None)
