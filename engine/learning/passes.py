"""Passes over the objects of a survey, on the cores of a CPU: who works when.

A pass that somebody waits for takes every core, each with a share of the objects from end to end: threads inside an operation would
meet at a barrier after each, which takes milliseconds on a busy machine (an append over 100,000 objects took 164 ms so, 7 ms now).
A pass in the background takes one core, and pauses between pieces of a few milliseconds while another is under way.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache
from typing import TypeVar

import torch
from threadpoolctl import ThreadpoolController

T = TypeVar("T")
#: Cores that the process may use, as torch found them; its own threads are then set to one each.
CORES = torch.get_num_threads()


class _Traffic:
    """While somebody waits for a pass, those in the background pause."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting = 0

    def __enter__(self) -> None:
        with self._changed:
            self._waiting += 1

    def __exit__(self, *_error) -> None:
        with self._changed:
            self._waiting -= 1
            self._changed.notify_all()

    def give_way(self) -> None:
        """Return when nobody waits."""
        if self._waiting:
            with self._changed:
                self._changed.wait_for(lambda: not self._waiting)


_traffic = _Traffic()


def now(work: Callable[[T], None], parts: Sequence[T]) -> None:
    """Call `work` with every part, on all cores, and return when all are done."""
    with _traffic:
        if len(parts) == 1:
            work(parts[0])
            return
        groups = [parts[start :: 4 * CORES] for start in range(min(4 * CORES, len(parts)))]  # a busy core does fewer
        for done in [_cores().submit(_all, work, group) for group in groups]:
            done.result()


def here(work: Callable[[T], None], parts: Sequence[T]) -> None:
    """The same for work that holds no lock and starts no threads: the caller works too, and waits for nobody who has not begun."""
    with _traffic:
        left, turn = iter(parts), threading.Lock()

        def take() -> None:
            while True:
                with turn:
                    part = next(left, None)
                if part is None:
                    return
                work(part)

        others = [_cores().submit(take) for _ in range(min(CORES, len(parts)) - 1)]
        try:
            take()
        finally:
            for other in others:
                if not other.cancel():
                    other.result()


def patiently(work: Callable[[T], None], parts: Sequence[T]) -> None:
    """The same on one core, in the background."""
    _background().submit(_giving_way, work, parts).result()


class _OneThread:
    """Keeps linear algebra to one thread while anybody is inside; the first in sets it, the last out puts it back."""

    def __init__(self) -> None:
        self._lock, self._inside, self._limit = threading.Lock(), 0, ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._limit.enter_context(_libraries().limit(limits=1, user_api="blas"))

    def __exit__(self, *_error) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._limit.close()


#: For matrices of labels, which are small: a library's other threads only spin while they wait, in the way of whoever has work.
#: 200 labels over 4,000 objects took 130 ms of two busy cores so, 14 ms without.
one_thread = _OneThread()


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


def _all(work: Callable[[T], None], parts: Sequence[T]) -> None:
    for part in parts:
        work(part)


def _giving_way(work: Callable[[T], None], parts: Sequence[T]) -> None:
    for part in parts:
        _traffic.give_way()
        work(part)


@cache
def _cores() -> ThreadPoolExecutor:
    """One thread a core, each of which runs torch's operations alone."""
    return ThreadPoolExecutor(CORES, "posterior", initializer=torch.set_num_threads, initargs=(1,))


@cache
def _background() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "posterior-background", initializer=torch.set_num_threads, initargs=(1,))
