"""Files that are whole or absent: each is written to a temporary name beside its own, synced and renamed.

A reader never meets half a file, and a process killed at any moment leaves the old contents in place.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tomli_w


def sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` durable (POSIX needs the directory itself to be synced)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path; on success sync it and rename it to `path`, on failure remove it.

    Raises
    ------
    OSError
        As the file system gives it; `path` is then as it was before.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success rename it to `path`, on failure remove it.

    `path` must not exist (the caller says so to the user first).
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    try:
        os.chmod(temporary, 0o777 & ~_umask())
        yield temporary
        os.rename(temporary, path)
        sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, document) -> None:
    """Write `document` as JSON, atomically."""
    write_text(path, json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def read_json(path: str | Path):
    """Read a JSON document."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def write_toml(path: str | Path, document: dict) -> None:
    """Write `document` as TOML, atomically."""
    write_text(path, tomli_w.dumps(document))


def write_npy(path: str | Path, array: np.ndarray) -> None:
    """Write one array as .npy, atomically and without pickle."""
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        np.save(stream, array, allow_pickle=False)


def read_npy(path: str | Path, *, mapped: bool = True) -> np.ndarray:
    """Read an .npy file, memory-mapped and read-only unless told otherwise; never unpickles."""
    return np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)


def write_parquet(path: str | Path, table: pa.Table) -> None:
    """Write an Arrow table as Parquet, atomically."""
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
