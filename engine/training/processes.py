"""The processes of one training, as ``torchrun`` starts them: one a device, each with its share of every batch.

    torchrun --nproc-per-node 4 -m engine train SURVEY --method simmim

Without it there is one process and nothing here does anything. Rank 0 reads the survey, decides, and writes; the others
wait for it where they have to.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as distributed

#: How long one process waits for another: rank 0 may be reading a survey of 10⁷ objects.
PATIENCE = timedelta(hours=12)


def rank() -> int:
    """Number of this process among those that ``torchrun`` started, 0 without it."""
    return int(os.environ.get("RANK", "0"))


@dataclass(frozen=True)
class Processes:
    """This process among those of the training.

    Attributes
    ----------
    rank : int
        0 writes.
    world : int
        How many there are.
    device : torch device
        Where this one computes.
    """

    device: torch.device
    rank: int = 0
    world: int = 1

    def wait(self) -> None:
        """Return when all have come here."""
        if self.world > 1:
            distributed.barrier()

    def from_first(self, value: int) -> int:
        """The value that rank 0 has."""
        if self.world == 1:
            return value
        box = torch.tensor(value, dtype=torch.int64, device=self.device)
        distributed.broadcast(box, src=0)
        return int(box)

    def largest(self, flags: torch.Tensor) -> torch.Tensor:
        """Element by element the largest of what the processes have."""
        if self.world > 1:
            distributed.all_reduce(flags, distributed.ReduceOp.MAX)
        return flags


@contextmanager
def joined(device: torch.device) -> Iterator[Processes]:
    """Join the other processes, if there are any."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Processes(device)
        return
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    mine = not distributed.is_initialized()
    if mine:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Processes(device, distributed.get_rank(), distributed.get_world_size())
    finally:
        if mine:
            distributed.destroy_process_group()
