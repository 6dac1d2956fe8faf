"""Where surveys and their sources may be: folders below stated roots, and nothing outside them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.data.catalogue import CATALOGUES
from engine.data.references import kind_of
from engine.errors import UserError

#: Entries of a folder that are listed.
MOST = 500
#: Surveys that are listed, and how deep below a root they are looked for.
SURVEYS, DEPTH = 60, 3
#: Folders that are looked into for surveys, at most: a home directory must not take minutes.
FOLDERS = 2000


@dataclass(frozen=True)
class Entry:
    """Something in a folder.

    Attributes
    ----------
    name : str
    kind : 'survey' | 'folder' | 'pixels' | 'table' | 'other'
    size : int
        Bytes of a file.
    """

    name: str
    kind: str
    size: int = 0


@dataclass(frozen=True)
class Places:
    """The folders below which this server opens and makes surveys; the first one is where a page starts."""

    roots: tuple[Path, ...]

    @classmethod
    def of(cls, roots: Sequence[str | Path]) -> Places:
        """Places below some folders.

        Raises
        ------
        UserError
            If one is no folder.
        """
        for root in roots:
            if not Path(root).is_dir():
                raise UserError(f"{root} is not a folder", "give folders that exist with --root")
        return cls(tuple(dict.fromkeys(Path(root).resolve() for root in roots)))

    def resolve(self, text: str | Path) -> Path:
        """The path that is meant; relative ones start at the first root.

        Raises
        ------
        UserError
            If it leads outside the roots, through a link too.
        """
        try:
            path = (self.roots[0] / Path(text).expanduser()).resolve()
            path.exists()  # a name that is too long is found out here
        except (OSError, RuntimeError, ValueError) as error:
            raise UserError(f"{text!s:.200} is not a path ({error})", "check it") from error
        if not any(path == root or root in path.parents for root in self.roots):
            raise UserError(
                f"{path} is outside the folders that this server opens",
                f"start it with --root {path if path.is_dir() else path.parent} to open it",
            )
        return path

    def name(self, path: Path) -> str:
        """A path as people see it: relative to the first root, if it is below it."""
        return str(path.relative_to(self.roots[0])) if self.roots[0] in path.parents else str(path)

    def entries(self, folder: Path) -> tuple[list[Entry], int]:
        """What a folder holds, folders first, and how many entries are not listed."""
        try:
            found = [_entry(item) for item in os.scandir(folder) if not item.name.startswith(".")]
        except OSError as error:
            raise UserError(f"{folder} cannot be listed ({error.strerror})", "choose another folder") from error
        order = ("survey", "folder", "pixels", "table", "other")
        found.sort(key=lambda entry: (order.index(entry.kind), entry.name.lower()))
        return found[:MOST], max(0, len(found) - MOST)

    def surveys(self) -> list[Path]:
        """Surveys below the roots, the one changed last first."""
        found = {path.resolve() for root in self.roots for path in _surveys(root)}
        return sorted(found, key=lambda path: -(path / "survey.toml").stat().st_mtime)[:SURVEYS]


def _entry(item: os.DirEntry) -> Entry:
    try:
        if item.is_dir():
            whole = os.path.isfile(os.path.join(item.path, "survey.toml"))
            store = kind_of(item.name) is not None
            return Entry(item.name, "survey" if whole else "pixels" if store else "folder")
        size = item.stat().st_size
    except OSError:
        return Entry(item.name, "other")
    table = item.name.lower().endswith(CATALOGUES) and not item.name.lower().endswith((".fits", ".fit", ".fits.gz"))
    return Entry(item.name, "pixels" if kind_of(item.name) else "table" if table else "other", size)


def _surveys(root: Path) -> Iterator[Path]:
    """Survey folders at most `DEPTH` below a root, the near ones first."""
    level, looked = [root], 0
    for _ in range(DEPTH + 1):
        below: list[Path] = []
        for folder in level:
            looked += 1
            if (folder / "survey.toml").is_file():
                yield folder
                continue
            if looked > FOLDERS:
                return
            try:
                below += [Path(item.path) for item in os.scandir(folder) if _is_plain_folder(item)]
            except OSError:
                continue
        level = below


def _is_plain_folder(item: os.DirEntry) -> bool:
    return not item.name.startswith(".") and item.is_dir(follow_symlinks=False)
