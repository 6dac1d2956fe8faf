"""Libraries' own warnings kept silent while they read, from any number of threads at once.

Filters of warnings belong to the whole process: two threads that set and restore them as the standard library does can
leave them changed for ever. Here whoever comes first silences them, and whoever leaves last restores them.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LOCK = threading.Lock()
_INSIDE: list[warnings.catch_warnings] = []


@contextmanager
def quietly() -> Iterator[None]:
    """Silence warnings, such as those on odd headers; what is wrong with a file is said in another way."""
    with _LOCK:
        saved = _INSIDE[0] if _INSIDE else warnings.catch_warnings()
        if not _INSIDE:
            saved.__enter__()
            warnings.simplefilter("ignore")
        _INSIDE.append(saved)
    try:
        yield
    finally:
        with _LOCK:
            _INSIDE.pop()
            if not _INSIDE:
                saved.__exit__(None, None, None)
