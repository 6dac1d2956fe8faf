"""Cutouts that are .npy files, one object each: (h, w), (C, h, w) or (h, w, C), of any sizes.

Cost: one file opened and read whole an object.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.data.arrays.file_sets import in_order
from engine.data.arrays.named import MOST_VALUES, SMALLEST
from engine.data.arrays.npz import ALONE, Member, members, read_member
from engine.data.arrays.slabs import bands_first, guess_layout, planes_of
from engine.data.cutouts import Unreadable
from engine.data.references import Asked, Found, Place, Rejected, Root, extent, named_bands, names_to_ids, some
from engine.errors import UserError
from engine.jobs import Progress

if TYPE_CHECKING:
    from engine.survey import Survey

#: Planes of one image, at most; an array of more is a stack of images.
MOST_PLANES = 16


class NpyFiles:
    """A folder of .npy files (column ``pixels_file``)."""

    def __init__(self, survey: Survey, root: Path):
        pixels = survey.header["pixels"]
        self.bands = tuple(survey.bands)
        self.science = bool(pixels["science"])
        self._layout, self._planes = pixels["layout"], pixels.get("planes")
        self._root, self._files = Root(root), survey.column("pixels_file")

    def read(self, rows: Sequence[int] | np.ndarray) -> list[np.ndarray | Unreadable]:
        """Read cutouts; see `engine.data.cutouts.CutoutSource`."""
        return [self._one(str(self._files[row])) for row in rows]

    def _one(self, name: str) -> np.ndarray | Unreadable:
        try:
            path = Path(self._root.file(name))
            member = members(path)[ALONE]
            reason = _no_image(member)
            if reason:
                return Unreadable(f"{name}: {reason}")
            cutout = bands_first(np.asarray(read_member(path, member, ALONE))[None], self._layout)[0]
        except (UserError, OSError, ValueError) as error:
            return Unreadable(f"{name}: {getattr(error, 'problem', error)}")
        if self._planes is not None and len(cutout) == len(self.bands):
            cutout = cutout[list(self._planes)]
        return cutout if len(cutout) == len(self.bands) else Unreadable(f"{name}: {len(cutout)} planes")


def _no_image(member: Member) -> str | None:
    """Why an array is no image, None if it is one."""
    sides = member.shape if len(member.shape) == 2 else sorted(member.shape)[1:]
    if len(member.shape) not in (2, 3) or min(member.shape) == 0 or min(sides) < SMALLEST:
        return f"an array of {'×'.join(map(str, member.shape))} is no image"
    if member.dtype.kind not in "buif":
        return "it holds no numbers"
    return "it is too large for a cutout" if member.bytes > 4 * MOST_VALUES else None


def examined(place: Place) -> tuple[dict[str, Member], list[Rejected]]:
    """Headers of the .npy files of a folder, and those that cannot be read."""
    below, found, rejected = Root(place.root), {}, []
    for name in place.names:
        try:
            found[name] = members(Path(below.file(name)))[ALONE]
        except (UserError, ValueError, OSError) as error:
            rejected.append(Rejected(name, getattr(error, "problem", str(error))))
    return found, rejected


def one_each(found: Mapping[str, Member]) -> bool:
    """Whether the files of a folder hold one object each: nearly all are images of the same few planes."""
    if len(found) < 2:
        return False
    images = [m for m in found.values() if _no_image(m) is None]
    flat = sum(len(m.shape) == 2 for m in images)
    planes = Counter(planes_of((1, *m.shape), guess_layout((1, *m.shape))) for m in images if len(m.shape) == 3)
    cubes = planes.most_common(1)[0] if planes else (0, 0)
    return 2 * max(flat, cubes[1] if cubes[0] <= MOST_PLANES else 0) > len(found)


def look_at_files(
    place: Place, found: dict[str, Member], rejected: list[Rejected], asked: Asked, progress: Progress
) -> Found:
    """Find out what a folder of .npy files of one object each holds.

    Raises
    ------
    UserError
        If bands do not fit.
    """
    kinds = Counter(_kind(member, asked) for member in found.values() if _no_image(member) is None)
    layout, planes = kinds.most_common(1)[0][0]
    good = {}
    for done, (name, member) in enumerate(found.items(), 1):
        reason = _no_image(member)
        if reason is None and _kind(member, asked) != (layout, planes):
            reason = f"an array of {'×'.join(map(str, member.shape))} where most have {planes} planes"
        if reason:
            rejected.append(Rejected(name, reason))
        else:
            good[name] = member
        progress(done, len(found), "checking .npy files")
    pictures = planes in (1, 3) and all(m.dtype == np.uint8 for m in good.values())
    default = ("grey",) if planes == 1 else ("R", "G", "B")
    unnamed = ("band",) if planes == 1 else tuple(f"band{k + 1}" for k in range(planes))
    named = named_bands(asked.bands, planes, default if pictures else unnamed)
    bands, order = in_order(named, not pictures)
    at = 0 if layout == "NHWC" else -2
    sides = sorted((m.shape[at], m.shape[at + 1]) for m in good.values())
    notes = (
        ()
        if asked.bands or planes == 1 or pictures
        else (f"the bands are called {some(bands)}: name them with --bands",)
    )
    nowhere = np.full(len(good), np.nan)
    return Found(
        "npy",
        place.root,
        names_to_ids(list(good)),
        {"pixels_file": list(good)},
        bands,
        not pictures,
        extent(sides),
        nowhere,
        nowhere,
        pixels={"layout": layout} | order,
        rejected=tuple(rejected),
        notes=notes,
        files=len(place.names),
    )


def _kind(member: Member, asked: Asked) -> tuple[str, int]:
    """Axes and planes of one image."""
    shape = (1, *member.shape)
    layout = guess_layout(shape, len(asked.bands or ()) or None)
    return layout, planes_of(shape, layout)
