"""What a layout will take, before it starts: seconds and memory, and whether to fit on a sample.

A cost model: each method is a sum of known parts (the scan for neighbours n²·d, the graph n·k, epochs over edges, …) whose
constants were measured on a reference machine of two cores; a fifth of a second of the same kind of work (`speed`) says how
much faster or slower this machine is. Within a factor of two for 5,000 to 100,000 objects on an idle machine
(`tests/bench/layouts.py` prints estimate and truth); a busy machine takes longer.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import UserError

if TYPE_CHECKING:
    from engine.maps.layouts.task import Settings
    from engine.survey import Survey

#: Above this many objects a layout of neighbours is fitted on a sample of so many by default, and the rest placed.
FIT_ALL, SAMPLE = 500_000, 200_000
#: Balanced principal coordinates compared (`engine.maps.neighbours.COORDINATES`).
COORDINATES = 40
#: Objects up to which neighbours are exact on a CPU (`engine.maps.neighbours.EXACT`).
EXACT = 200_000
#: The reference machine: billions of multiplications a second in a product, millions of scattered reads a second.
PRODUCT, SCATTER = 200.0, 850.0
#: Cells looked at for an object that is placed, of how many, and above which number (`engine.maps.layouts.placing`).
LOOKED_AT, CELLS, SORTED = 16, 256, 20_000
#: Share of the free memory that a layout may take.
FILL = 0.8

#: Seconds on the reference machine. Start of the process; a pair of objects and dimension in the scan; a pair's
#: comparison; an edge of the graph; an edge and epoch of UMAP's descent; the same of densMAP; compilation of
#: densMAP's; an object and epoch of t-SNE, and an epoch's grid; an affinity; a number in a pass over the vectors; an
#: object sorted; an object placed.
START, PAIR, KEEP = 2.5, 1.0e-11, 3.5e-10
EDGE, DESCENT, DENSITY, COMPILE = 2.0e-7, 1.05e-8, 1.2e-7, 10.0
FORCES, GRID, AFFINITY = 1.1e-6, 1.2e-2, 4.0e-7
PASS, SORT, NEWCOMER = 1.0e-9, 3.0e-7, 3.0e-5
#: Bytes: of the process, of densMAP's and t-SNE's libraries, of an edge of the graph.
PROCESS, LIBRARIES, EDGE_BYTES = 4.5e8, 4.0e8, 60


@dataclass(frozen=True)
class Estimate:
    """What a layout takes.

    Attributes
    ----------
    seconds : float
        From the command's start to the layout's being stored.
    bytes : int
        At its peak.
    free : int
        Bytes of memory that are free now.
    fitted : int
        Objects that are fitted; fewer than there are if the rest are placed among them.
    sampled : bool
        Whether that is a sample.
    """

    seconds: float
    bytes: int
    free: int
    fitted: int
    sampled: bool

    @property
    def fits(self) -> bool:
        """Whether the memory suffices."""
        return self.bytes <= FILL * self.free

    @property
    def words(self) -> str:
        """The same for people: 'about 40 s · 0.6 GB of 21 GB free'."""
        return f"about {_duration(self.seconds)} · {_size(self.bytes)} of {_size(self.free)} free"


def estimate(
    n: int,
    d: int,
    method: str,
    *,
    neighbours: int = 15,
    perplexity: float = 30.0,
    sample: int | None = None,
    known: bool = False,
    settings: Settings | None = None,
) -> Estimate:
    """Cost of a layout.

    Parameters
    ----------
    n : int
        Objects with a vector.
    d : int
        Numbers a vector.
    method : {'umap', 'densmap', 'tsne', 'pca', 'columns', 'sky'}
    neighbours, perplexity, sample
        As in `engine.maps.layouts.task.Settings`.
    known : bool
        Whether the neighbours are known already.
    settings : Settings, optional
        In place of these three.

    Raises
    ------
    UserError
        If there is no such method.
    """
    if settings is not None:
        neighbours, perplexity, sample = settings.neighbours, settings.perplexity, settings.sample
    if sample is None:
        sample = _sample_for(n, d, method, neighbours, perplexity)
    fitted = min(n, sample) if sample else n
    seconds, used = _cost(n, fitted, d, method, neighbours, perplexity, known and fitted == n)
    return Estimate(seconds, int(used), free_memory(), fitted, fitted < n)


def estimate_survey(
    survey: Survey, method: str, *, representation: str | None = None, settings: Settings | None = None
) -> Estimate:
    """The same for a survey's representation, its stored neighbours considered."""
    if method in ("columns", "sky"):
        return estimate(len(survey), 2, method)
    found = survey.representation(representation)
    n, k = int(np.count_nonzero(found.valid)), _neighbours(method, settings)
    return estimate(
        n, found.vectors.shape[1], method, known=_known(survey.path / "neighbours" / found.name, k), settings=settings
    )


def sample_for(n: int, d: int, method: str, settings: Settings) -> int | None:
    """Objects to fit on where nobody has said: None for all, `SAMPLE` above `FIT_ALL` or where memory is short."""
    return _sample_for(n, d, method, settings.neighbours, settings.perplexity)


def _sample_for(n: int, d: int, method: str, neighbours: int, perplexity: float) -> int | None:
    if method in ("pca", "columns", "sky") or n <= SAMPLE:
        return None
    short = _cost(n, n, d, method, neighbours, perplexity, False)[1] > FILL * free_memory()
    return SAMPLE if n > FIT_ALL or short else None


def _neighbours(method: str, settings: Settings | None) -> int:
    if method == "tsne":
        return int(3 * (settings.perplexity if settings else 30))
    return (settings.neighbours if settings else 15) - 1


def _known(folder: Path, k: int) -> bool:
    from engine import files

    try:
        return files.read_json(folder / "meta.json")["k"] >= k
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _cost(n, fitted, d, method, neighbours, perplexity, known) -> tuple[float, float]:
    """Seconds and bytes on this machine."""
    products, scatter = speed()
    work = _methods()
    if method not in work:
        raise UserError(f"there is no layout method {method!r}", f"choose one of: {', '.join(work)}")
    own, memory = work[method](fitted, neighbours, perplexity)
    passed = 0.0 if method in ("columns", "sky") else PASS * n * d * (1 + min(d, 512) / 16)
    scanned = 0.0 if method in ("pca", "columns", "sky") or known else _scan(fitted, fitted)
    scanned += _scan(n - fitted, fitted * (LOOKED_AT / CELLS if fitted > SORTED else 1))
    own += (n - fitted) * NEWCOMER
    seconds = START + (passed + scanned) / products + (own + SORT * n) / scatter
    rows = PROCESS + n * 40 + (0 if method in ("columns", "sky") else n * COORDINATES * 8)
    return seconds, rows + memory


def _methods() -> dict:
    """Method → seconds and bytes of its own for n fitted objects, k neighbours and a perplexity, on the reference machine."""
    from engine.maps.layouts.umaps import epochs_for

    def umap(n, k, perplexity):
        edges = 1.5 * n * k
        return EDGE * edges + DESCENT * edges * epochs_for(n), edges * EDGE_BYTES

    def densmap(n, k, perplexity):
        edges = 1.5 * n * k
        return COMPILE + DENSITY * edges * (epochs_for(n) + 200), edges * EDGE_BYTES * 2 + LIBRARIES

    def tsne(n, k, perplexity):
        edges = 3 * perplexity * n
        return AFFINITY * edges + 750 * (FORCES * n + GRID), edges * 40 + LIBRARIES

    def nothing(n, k, perplexity):
        return 0.0, 0.0

    return {"umap": umap, "densmap": densmap, "tsne": tsne, "pca": nothing, "columns": nothing, "sky": nothing}


def _scan(queries: float, points: float) -> float:
    """Seconds of the search for neighbours."""
    if points > EXACT:
        return 40 + 6e-4 * points  # pynndescent: compilation, then nearly linear
    return queries * points * (PAIR * COORDINATES + KEEP)


@cache
def speed() -> tuple[float, float]:
    """This machine beside the reference, once a process: speed of products (all cores) and of scattered reads."""
    rng = np.random.default_rng(0)
    a = rng.random((768, 768), np.float32)
    table, at = rng.random(1 << 18, np.float32), rng.integers(0, 1 << 18, 1 << 19)
    product = 768**3 * 2e-9 / _fastest(lambda: a @ a)
    scatter = len(at) * 1e-6 / _fastest(lambda: np.take(table, at).sum())
    return product / PRODUCT, scatter / SCATTER


def _fastest(call, times: int = 6) -> float:
    spent = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        spent.append(time.perf_counter() - started)
    return min(spent[1:])


def free_memory() -> int:
    """Bytes of memory that a process may still take: the system's, or its group's limit if that is less."""
    free = _system_memory()
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
        if limit != "max":
            used = int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii"))
            cached = 0
            for line in Path("/sys/fs/cgroup/memory.stat").read_text(encoding="ascii").splitlines():
                if line.startswith("inactive_file "):
                    cached = int(line.split()[1])
            free = min(free, int(limit) - used + cached)
    except (OSError, ValueError):
        pass
    return max(free, 0)


def _system_memory() -> int:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")  # macOS says no more
    except (OSError, ValueError, AttributeError):
        return 8 << 30


def _duration(seconds: float) -> str:
    if seconds < 10:
        return f"{max(1, round(seconds))} s"
    if seconds < 90:
        return f"{5 * round(seconds / 5)} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count < 9.95e9 else f"{count / 1e9:.0f} GB"
