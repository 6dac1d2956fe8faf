"""Cutouts in NumPy files: one images array in an .npz with its catalogue columns beside it, .npy files, or many of either.

An .npy is memory-mapped; so is an array of an .npz at its place in the archive, unless it is compressed. A compressed one
is unpacked into memory once, when the survey's cutouts are first opened, up to `MOST_UNPACKED` bytes. What an archive
claims is compared with what it can hold before any memory is taken. Nothing is ever unpickled.

The .npy files of one folder are named arrays, too, if one of them holds images and others are as long (``images.npy``,
``ra.npy``, ``label.npy``). What the arrays mean is told by `engine.data.arrays.named`.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

import numpy as np

from engine.data.arrays.file_sets import look_at
from engine.data.arrays.named import NamedArrays
from engine.data.arrays.slabs import Stack, StackedRows, checked_planes, guess_layout
from engine.data.references import NOTHING, Asked, Found, Place, Rejected, Root
from engine.errors import UserError
from engine.jobs import Progress, silent

if TYPE_CHECKING:
    from engine.survey import Survey

#: Bytes of a compressed array that are unpacked into memory, at most.
MOST_UNPACKED = 4 << 30
#: What deflate can pack into one byte, at most (zlib's own limit): an archive that claims more is lying.
DEFLATE = 1040
#: Length of the fixed part of a file's header in a zip archive (PKWARE APPNOTE 4.3.7).
_ZIP_HEADER = 30
#: The array of an .npy, which has no name of its own.
ALONE = "images"


@dataclass(frozen=True)
class Member:
    """An array in a NumPy file.

    Attributes
    ----------
    shape, dtype
        As its header says.
    fortran : bool
        Whether the first axis is the fastest.
    start : int
        Where its values begin, in the file or, compressed, in what is unpacked.
    bytes : int
        Of its values.
    entry : ZipInfo or None
        Its entry in the archive; None in an .npy.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool
    start: int
    bytes: int
    entry: zipfile.ZipInfo | None = None

    @property
    def compressed(self) -> bool:
        """Whether it must be unpacked."""
        return self.entry is not None and self.entry.compress_type != zipfile.ZIP_STORED


class ArrayRows(StackedRows):
    """Rows of one array of a NumPy file, or of many files.

    Raises
    ------
    UserError
        If the file cannot be read, or has no such array.
    """

    def __init__(self, survey: Survey, root: Path):
        super().__init__(survey, root, _open_stack)


def _open_stack(path: Path, pixels: dict, bands: int, share: int) -> Stack:
    found = members(path)
    name = ALONE if path.suffix.lower() == ".npy" else pixels["dataset"]
    if name not in found:
        raise UserError(f"{path} has no array {name!r}", "correct `dataset` in survey.toml, or ingest the source again")
    images = read_member(path, found[name], name)
    layout = pixels.get("layout") or guess_layout(images.shape, bands)
    planes = checked_planes(pixels, images.shape, layout, path)
    return Stack(images.shape, layout, lambda first, stop: images[first:stop], planes=planes)


# -- the format -------------------------------------------------------------------------------------------------------


def members(path: Path) -> dict[str, Member]:
    """The arrays of a NumPy file, of which only headers are read; an .npy holds one, called ``images``.

    Raises
    ------
    UserError
        If it is damaged, or claims more than it can hold.
    """
    try:
        if path.suffix.lower() == ".npy":
            with open(path, "rb") as stream:
                return {ALONE: _header(stream, path.stat().st_size)}
        with zipfile.ZipFile(path) as archive, open(path, "rb") as stream:
            return {e.filename.removesuffix(".npy"): _member(archive, stream, e) for e in _arrays(archive)}
    except Exception as error:  # zip, zlib and Python's own parser, which reads headers, each raise their own
        raise UserError(
            f"{path} cannot be read as a NumPy file ({error})",
            "save plain arrays with numpy.save or numpy.savez, not Python objects",
        ) from error


def _arrays(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    return [e for e in archive.infolist() if e.filename.endswith(".npy")]


def _member(archive: zipfile.ZipFile, stream: BinaryIO, entry: zipfile.ZipInfo) -> Member:
    """An array of an archive; what it claims is checked against its size there."""
    if entry.file_size > DEFLATE * max(1, entry.compress_size) + 1024:
        raise ValueError(f"{entry.filename} claims {entry.file_size:,} bytes and holds {entry.compress_size:,}")
    with archive.open(entry) as packed:
        member = _header(packed, entry.file_size)
    start = member.start
    if entry.compress_type == zipfile.ZIP_STORED:
        stream.seek(entry.header_offset)
        local = stream.read(_ZIP_HEADER)
        if len(local) < _ZIP_HEADER or local[:4] != b"PK\x03\x04":
            raise ValueError(f"{entry.filename} is not where the archive says")
        start += entry.header_offset + _ZIP_HEADER + sum(np.frombuffer(local[26:30], "<u2").tolist())
    return Member(member.shape, member.dtype, member.fortran, start, member.bytes, entry)


def _header(stream, size: int) -> Member:
    """Read an .npy header; ``size`` is that of the whole."""
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
    else:
        raise ValueError(f"format {version} is not known here")
    start = stream.tell()
    # whole numbers of Python: a header may claim 10¹⁸ × 10¹⁸
    values = 1
    for length in shape:
        values *= int(length)
    claimed = values * dtype.itemsize
    if dtype.hasobject:
        return Member(shape, np.dtype("V1"), fortran, start, 0)  # Python objects: known by name, never read
    if any(length < 0 for length in shape) or start + claimed > size:
        raise ValueError(f"an array of {'×'.join(map(str, shape))} is claimed and {size - start:,} bytes are there")
    return Member(shape, dtype, fortran, start, claimed)


def read_member(path: Path, member: Member, name: str) -> np.ndarray:
    """An array of a NumPy file: mapped where it lies, or unpacked into memory.

    Raises
    ------
    UserError
        If it is damaged, holds Python objects, or is too large to unpack.
    """
    if member.dtype.kind == "V" and not member.dtype.names:
        raise UserError(f"{name!r} in {path} holds Python objects", "save plain arrays with numpy.savez")
    order: Literal["F", "C"] = "F" if member.fortran else "C"
    if not member.compressed:
        if member.bytes == 0:
            return np.zeros(member.shape, member.dtype)
        return np.memmap(path, dtype=member.dtype, mode="r", offset=member.start, shape=member.shape, order=order)
    if member.bytes > MOST_UNPACKED:
        raise UserError(
            f"{name!r} in {path} is compressed and takes {member.bytes / 1e9:,.1f} GB of memory when unpacked, more than "
            f"the {MOST_UNPACKED / 1e9:,.1f} GB that are allowed",
            "save it with numpy.savez instead of numpy.savez_compressed, or as .npy: then it is read in place",
        )
    try:
        return _unpacked(path, member)
    except Exception as error:  # a damaged archive: zip, zlib and numpy each raise their own
        raise UserError(
            f"the array {name!r} of {path} cannot be read ({error})", "save plain arrays again with numpy.savez"
        ) from error


def _unpacked(path: Path, member: Member) -> np.ndarray:
    assert member.entry is not None
    flat = np.empty(member.bytes, np.uint8)
    with zipfile.ZipFile(path) as archive, archive.open(member.entry) as packed:
        packed.read(member.start)
        at = 0
        while at < member.bytes:
            part = packed.read(min(1 << 24, member.bytes - at))
            if not part:
                raise ValueError("it is cut short")
            flat[at : at + len(part)] = np.frombuffer(part, np.uint8)
            at += len(part)
        packed.read(1)  # the end is where the check sum is compared
    values = flat.view(member.dtype)
    return values.reshape(member.shape, order="F" if member.fortran else "C")


# -- looking at a source ----------------------------------------------------------------------------------------------


def look(place: Place, asked: Asked = NOTHING, progress: Progress = silent) -> Found:
    """Find out what a NumPy file holds, or the files of a folder.

    Raises
    ------
    UserError
        If none can be read or holds an images array, or bands do not fit.
    """
    beside = _one_folder(place)
    if beside is not None:
        images, columns, rejected = beside
        found = look_at("npz", Place(images), lambda path: _named(path, columns), asked, progress)
        return replace(found, rejected=(*found.rejected, *rejected), files=len(place.names))
    if len(place.names) > 1 and all(n.lower().endswith(".npy") for n in place.names):
        from engine.data.arrays.npy_files import examined, look_at_files, one_each

        each, left_out = examined(place)
        if one_each(each):
            return look_at_files(place, each, left_out, asked, progress)
    return look_at("npz", place, _named, asked, progress)


@contextmanager
def _named(path: Path, beside: dict[str, Path] | None = None) -> Iterator[NamedArrays]:
    """A file's arrays; with those of the .npy files `beside` it under their names."""
    found = members(path)
    where = dict.fromkeys(found, path)
    for name, file in (beside or {}).items():
        found[name], where[name] = members(file)[ALONE], file
    large = [m for m in found.values() if m.compressed and len(m.shape) in (3, 4)]
    yield NamedArrays(
        path,
        {name: (m.shape, m.dtype) for name, m in found.items()},
        read=lambda name, rows=slice(None): np.asarray(read_member(where[name], found[name], name)[rows]),
        notes=tuple(
            f"{path.name} is compressed: {m.bytes / 1e6:,.0f} MB are unpacked into memory whenever its cutouts are opened; "
            f"saved with numpy.savez they would be read in place"
            for m in sorted(large, key=lambda m: -m.bytes)[:1]
        ),
    )


def _one_folder(place: Place) -> tuple[Path, dict[str, Path], list[Rejected]] | None:
    """The .npy of a folder that holds the images, those that are as long, and the others; None if a folder is not of these."""
    if len(place.names) < 2 or any("/" in n or not n.lower().endswith(".npy") for n in place.names):
        return None
    below, found, rejected = Root(place.root), {}, []
    for name in place.names:
        try:
            found[name] = members(Path(below.file(name)))[ALONE]
        except (UserError, ValueError) as error:
            rejected.append(Rejected(name, getattr(error, "problem", str(error))))
    stacks = [n for n, m in found.items() if len(m.shape) in (3, 4)]
    if len(stacks) != 1:
        return None
    count = found[stacks[0]].shape[0]
    beside = {
        n[: -len(".npy")]: place.root / n for n, m in found.items() if len(m.shape) in (1, 2) and m.shape[0] == count
    }
    rejected += [
        Rejected(n, f"an array of {'×'.join(map(str, m.shape))} is no column of {count:,} objects")
        for n, m in found.items()
        if n != stacks[0] and n[: -len(".npy")] not in beside
    ]
    return (place.root / stacks[0], beside, rejected) if beside else None
