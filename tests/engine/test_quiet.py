"""Warnings are silent while anybody reads, and as before when the last one has read."""

import threading
import warnings

import pytest

from engine.quiet import quietly


def test_filters_are_restored_whoever_leaves_last():
    before = list(warnings.filters)
    first, second = quietly(), quietly()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    warnings.warn("is not heard", stacklevel=1)
    second.__exit__(None, None, None)
    assert list(warnings.filters) == before
    with pytest.raises(UserWarning):
        warnings.warn("is heard", stacklevel=1)


def test_many_threads_at_once():
    before, heard = list(warnings.filters), []

    def read() -> None:
        for _ in range(200):
            try:
                with quietly():
                    warnings.warn("is not heard", stacklevel=1)
            except UserWarning as warning:
                heard.append(warning)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not heard and list(warnings.filters) == before
