"""Global heaps of an HDF5 file, where text of any length lies: checked before the library reads them.

A damaged heap can make the HDF5 library turn in a circle for ever, where no error and no signal reaches it: an object of a
heap that takes no room is read again and again. Here each heap is walked as the library does (HDF5 File Format
Specification 3.0, III.E), in files small enough to be looked through.

    GCOL, version 1, 3 bytes 0, size of the collection (8), then objects: index (2), references (2), 4 bytes, size (8), data

Cost: one pass over files of up to `MOST` bytes, at the speed of memory.
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path

#: Bytes of a file that is looked through, at most: a look must not read a survey.
MOST = 1 << 25
_MARK = b"GCOL\1\0\0\0"
_HEADER, _OBJECT, _ALIGN = 16, 16, 8


def check_heaps(path: str | Path) -> None:
    """Check the global heaps of a file.

    Raises
    ------
    ValueError
        If one of them would keep the library busy for ever.
    OSError
        If the file cannot be read.
    """
    length = os.path.getsize(path)
    if not 0 < length <= MOST:
        return
    with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.find(_MARK)
        while at >= 0:
            if not _ends(data, at):
                raise ValueError("its text of variable length is damaged")
            at = data.find(_MARK, at + 1)


def _ends(data: mmap.mmap, at: int) -> bool:
    """Whether walking the objects of the heap at a place comes to an end."""
    if at + _HEADER > len(data):
        return True
    stop = at + struct.unpack_from("<Q", data, at + 8)[0]
    if stop > len(data):
        return True  # the library finds that it is cut short
    at += _HEADER
    while at + _OBJECT <= stop:
        index, size = struct.unpack_from("<H6xQ", data, at)
        step = size if index == 0 else _OBJECT + -(-size // _ALIGN) * _ALIGN
        if not 0 < step <= stop - at:
            return False
        at += step
    return True
