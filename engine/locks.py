"""Locks: one process at a time where two would spoil each other's work.

The operating system holds the lock and lets go of it when the process ends, however it ends: no lock is ever stale. The
file says who holds it, for people.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from engine.errors import UserError

#: What a file system without locks says; then there is none, and the work goes on.
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


@contextmanager
def alone(path: str | Path, what: str) -> Iterator[None]:
    """Be the only process that does something, for as long as the context lasts.

    Parameters
    ----------
    path : path
        File of the lock; made, and removed at the end.
    what : str
        What is being done, as the subject of "is being made by process …".

    Raises
    ------
    UserError
        If another process (or another thread of this one) holds the lock.
    """
    path = Path(path)
    descriptor = _taken(path, what)
    try:
        yield
    finally:
        with suppress(OSError):  # Windows does not remove what is open
            path.unlink(missing_ok=True)  # while it is held: who comes later makes a file of their own
        os.close(descriptor)


def _taken(path: Path, what: str) -> int:
    """Descriptor of the locked file; tries again where another process removed the file on its way out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(descriptor)
            if _is(path, descriptor):
                os.ftruncate(descriptor, 0)
                os.lseek(descriptor, 0, os.SEEK_SET)
                os.write(descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode())
                return descriptor
        except BlockingIOError as error:
            os.lseek(descriptor, 0, os.SEEK_SET)
            pid, _, host = os.read(descriptor, 200).decode(errors="replace").strip().partition(" ")
            os.close(descriptor)
            where = f" on {host}" if host and host != socket.gethostname() else ""
            raise UserError(
                f"{what} is being made by another process" + (f" ({pid}{where})" if pid else ""),
                "wait until it has ended, or stop it",
            ) from error
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is(path: Path, descriptor: int) -> bool:
    """Whether `path` still names the open file."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _lock(descriptor: int) -> None:
    """Lock an open file, or raise BlockingIOError."""
    try:
        import fcntl
    except ImportError:  # Windows: its locks keep others from reading, so the byte locked is far behind the text
        import msvcrt

        os.lseek(descriptor, 1 << 20, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError as error:
            raise BlockingIOError(str(error)) from error
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
