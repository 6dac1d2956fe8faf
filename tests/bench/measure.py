"""How a figure is measured: ours and the peer's alternate, so that a busy machine slows both; medians and spread are reported."""

import datetime
import math
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes
    ----------
    path : str
        What a person waits for.
    peer : str
        What it is compared with, and its version.
    ours, theirs : float
        Median seconds.
    spread : float
        Largest over smallest of our times.
    quality : str
        What shows that the answer is the same: recall, error, equality.
    """

    path: str
    peer: str
    ours: float
    theirs: float
    spread: float
    quality: str

    @property
    def ratio(self) -> float:
        """How many times faster than the peer."""
        return self.theirs / self.ours


def compare(
    path: str, peer: str, ours: Callable, theirs: Callable, quality: Callable[[object, object], str], *, pairs: int = 5
) -> Figure:
    """Time two callables in turn, after one untimed call of each.

    Parameters
    ----------
    ours, theirs : callable
        Called without arguments; their last results are handed to `quality`.
    quality : callable
        Says in a few words how close the two results are; raises if they are not.
    """
    results = [ours(), theirs()]
    times: list[list[float]] = [[], []]
    for _ in range(pairs):
        for which, call in enumerate((ours, theirs)):
            started = time.perf_counter()
            results[which] = call()
            times[which].append(time.perf_counter() - started)
    mine, other = (statistics.median(t) for t in times)
    return Figure(path, peer, mine, other, max(times[0]) / min(times[0]), quality(*results))


def clocked(call: Callable, spent: dict[str, float], name: str) -> Callable:
    """The same callable; keeps the least CPU time of its calls."""

    def clocked():
        before = time.process_time()
        found = call()
        spent[name] = min(spent.get(name, math.inf), time.process_time() - before)
        return found

    return clocked


def table(figures: list[Figure]) -> str:
    """The figures as a Markdown table."""
    lines = ["| path | peer | ours | peer's | ratio | spread of ours | quality |", "|---|---|---|---|---|---|---|"]
    for f in figures:
        lines.append(
            f"| {f.path} | {f.peer} | {_time(f.ours)} | {_time(f.theirs)} | **{f.ratio:.1f}×** | "
            f"{f.spread:.2f} | {f.quality} |"
        )
    return "\n".join(lines)


def circumstances() -> str:
    """Machine, date and load, for under the table."""
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, "
        f"{datetime.date.today().isoformat()}, load {load:.1f} at the start"
    )


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
