"""What memory the posterior may take: how its matrix V, labels × objects, is kept, and how many labels there can be.

V takes 4 bytes an object and label in float32. When `FULL` labels do not fit in `MEMORY_SHARE` of the memory, its lines are kept
as int16, 2 bytes; lines beyond the share are not kept but computed again where they are needed, which takes time instead. So memory
is bounded whatever the number of labels: with 24 GB, 10⁶ objects keep 1,500 lines in float32, and 10⁷ keep 320 as int16. A
posterior that is fitted anew lies beside the old one until it is ready, so that twice the share is the most.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

#: Lines of V that are allocated together.
CHUNK = 16
#: Share of the machine's memory (the accelerator's, if it computes) that V may take.
MEMORY_SHARE = 0.25
#: Labels that must fit in float32; else lines are kept as int16.
FULL = 500
#: Most labels that a posterior learns from, and most kernel values that one label may make it compute again (about a second).
MOST_LABELS, MOST_AGAIN = 2000, 4 * 10**8


@dataclass(frozen=True)
class Storage:
    """How V is kept.

    Attributes
    ----------
    kind : {"float32", "int16"}
    lines : int
        Labels of which V is kept; those beyond are computed again where they are needed.
    """

    kind: str
    lines: int

    @property
    def bytes(self) -> int:
        """Bytes an object and label."""
        return 4 if self.kind == "float32" else 2


def storage(n: int, device: torch.device, *, share: float = MEMORY_SHARE) -> Storage:
    """Choose how V of `n` objects is kept in a share of the memory."""
    room = share * memory(device) / max(n, 1)
    kind = "float32" if room >= 4 * FULL else "int16"
    return Storage(kind, max(CHUNK, int(room / (4 if kind == "float32" else 2)) // CHUNK * CHUNK))


def memory(device: torch.device) -> int:
    """Bytes of memory of a device; of the machine or the process's group, if that has less."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        machine = 8 << 30
    try:
        return min(machine, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    except (OSError, ValueError):
        return machine


def most_labels(n: int, device: torch.device, *, outputs: int = 1) -> int:
    """Labels that `outputs` posteriors over `n` objects learn from: each is then learned in a second or so."""
    kept = storage(n, device, share=MEMORY_SHARE / outputs).lines
    return max(CHUNK, min(MOST_LABELS, kept + MOST_AGAIN // (max(n, 1) * outputs)))
