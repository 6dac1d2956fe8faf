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
