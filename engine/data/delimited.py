"""Delimited text as a table: CSV, TSV and their kin, in the encodings and with the flaws in which they are met.

The text is UTF-8, UTF-16 if it begins with that mark, else Latin-1. Rows with more or fewer fields than the header are left
out and told. A column has the type that all its values have, but what is written in a column of ids stays as it is:
``00123``, ``1e5``, ``12:30`` and numbers of 20 digits are text. So are sexagesimal angles, which look like times.

Cost: one pass over the file, with all cores; another one over columns that are text after all.
"""

from __future__ import annotations

import codecs
import csv
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from engine.data.references import SHOWN

#: Bytes at the beginning of a file that tell its encoding, its delimiter and whether numbers are padded.
HEAD = 1 << 20
#: Bytes of one block, at most; a field must not be longer.
MOST_BLOCK = (1 << 31) - 1
#: Characters of a broken row that are told.
SHORT = 60
#: Numbers as text that lose something as numbers: zeros in front, an exponent, more digits than a number keeps.
_PADDED, _INEXACT = r"^[+-]?0[0-9]", r"[eE]|[0-9]{16}"


def encoding_of(path: Path) -> str:
    """Encoding of a text: by its mark, else UTF-8 if that is what it begins with, else Latin-1, which anything can be."""
    with open(path, "rb") as stream:
        head = stream.read(HEAD)
    if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8-sig"


def first_line(path: Path, encoding: str) -> str:
    """The first line of a text.

    Raises
    ------
    ValueError
        If there is none, or it is no text.
    """
    with open(path, encoding=encoding, newline="") as stream:
        head = stream.readline(HEAD)
    if not head.strip():
        raise ValueError("its first line is empty")
    if any(ord(c) < 32 and c not in "\t\r\n" for c in head):
        raise ValueError("it is no text")
    return head


def read_delimited(
    path: Path, mark: str, *, encoding: str = "utf-8-sig", exact: Callable[[str], bool] = lambda name: False
) -> tuple[pa.Table, list[str]]:
    """Read a table of delimited text with a header.

    Parameters
    ----------
    path : path
    mark : str
        What stands between fields.
    encoding : str
        See `encoding_of`.
    exact : callable
        Whether a column of this name holds ids, which must stay as they are written.

    Returns
    -------
    table : table
        A column without a name is called by its number; one whose name repeats gets a number behind it.
    notes : list of str
        Rows that were left out.

    Raises
    ------
    pyarrow.ArrowException, ValueError
        If it cannot be read at all.
    """
    head = first_line(path, encoding)
    names = unique_names([name.strip() for name in next(csv.reader([head], delimiter=mark))])
    with open(path, "rb") as stream:
        begins = stream.read(HEAD)
    parse = _Parse(path, mark, encoding, names, quoted=b'"' in begins)
    table, lost = parse.read()
    if table.num_rows == 0 and lost:
        raise ValueError(lost[0])
    again = [n for n in names if _is_time(table[n].type) or (exact(n) and _may_lose(table[n].type, begins))]
    if again:
        texts, _ = parse.read(as_text=again)
        for name in again:
            if _is_text(table[name].type, texts[name]):
                table = table.set_column(table.column_names.index(name), name, texts[name])
    return table, lost


def unique_names(names: Sequence[str]) -> list[str]:
    """Names that differ: an empty one is called by its number, one that repeats gets a number behind it."""
    taken: dict[str, int] = {}
    for k, name in enumerate(names):
        name = free = name or f"column{k + 1}"
        while free in taken:
            taken[name] += 1
            free = f"{name}_{taken[name]}"
        taken[free] = 1
    return list(taken)


class _Parse:
    """How a file is parsed, so that it can be done again for some columns."""

    def __init__(self, path: Path, mark: str, encoding: str, names: list[str], *, quoted: bool):
        self._path, self._mark, self._names, self._quoted = path, mark, names, quoted
        self._encoding = "utf-8" if encoding == "utf-8-sig" else encoding

    def read(self, *, as_text: Sequence[str] = ()) -> tuple[pa.Table, list[str]]:
        """The table, or some of its columns as text; and what was left out of it."""
        try:
            return self._read(as_text, 1 << 20)
        except pa.ArrowInvalid:  # a header or a field that is longer than a block
            size = min(os.path.getsize(self._path) + 1, MOST_BLOCK)
            if size <= 1 << 20:
                raise
            return self._read(as_text, size)

    def _read(self, as_text: Sequence[str], block: int) -> tuple[pa.Table, list[str]]:
        lost: list[str] = []
        count = [0]

        def left_out(row) -> str:
            count[0] += 1
            if len(lost) < SHOWN:
                lost.append(f"{row.text[:SHORT]!r}, which has {row.actual_columns} fields")
            return "skip"

        table = pyarrow.csv.read_csv(
            self._path,
            read_options=pyarrow.csv.ReadOptions(
                column_names=self._names, skip_rows=1, block_size=block, encoding=self._encoding
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=self._mark, newlines_in_values=self._quoted, invalid_row_handler=left_out
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                strings_can_be_null=False,
                include_columns=list(as_text) or None,
                column_types=dict.fromkeys(as_text, pa.string()),
            ),
        )
        words = f"{count[0]:,} rows of {self._path.name} could not be read: the header has {len(self._names)} fields, not so "
        return table, [words + "; ".join(lost)] if lost else []


def _is_time(kind: pa.DataType) -> bool:
    return pa.types.is_time(kind)


def _may_lose(kind: pa.DataType, begins: bytes) -> bool:
    """Whether ids of a type may have lost how they were written."""
    if pa.types.is_integer(kind):
        return re.search(rb"(?:^|[^0-9A-Za-z.])0[0-9]+(?![0-9.])", begins) is not None
    return pa.types.is_floating(kind) or pa.types.is_boolean(kind) or pa.types.is_temporal(kind)


def _is_text(kind: pa.DataType, text: pa.ChunkedArray) -> bool:
    """Whether a column that was read as a type is better text."""
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return True
    told = pc.match_substring_regex(text, _PADDED if pa.types.is_integer(kind) else f"{_PADDED}|{_INEXACT}")
    return bool(pc.any(told).as_py())
