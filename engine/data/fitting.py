"""Cutouts of different sizes brought to one: the middle of each, with missing pixels around it where it is smaller.

The header's ``[pixels]`` says how cutouts are fitted before anything else sees them:

``fit``
    ``resample``: not at all; each is scaled to the size that an encoder or a picture wants, whatever angle it covers.
    ``crop``: the central ``side`` × ``side`` pixels, so that a pixel is as much sky in every cutout.
    ``pad``: all are surrounded by missing pixels up to ``side``, so that nothing is cut off either.
``side``
    Pixels.

With a cutout of side s and a box of side n, its first pixel is ⌊(s − n) / 2⌋, which moves the reference pixel of a WCS as
much. Cost: a copy of each cutout, if it has not the size already.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.data.cutouts import CutoutSource, Unreadable
from engine.errors import UserError

if TYPE_CHECKING:
    from astropy.wcs import WCS

#: Ways to bring cutouts to one size.
FITS_BY = ("resample", "crop", "pad")
#: Largest side, pixels.
LARGEST = 8192


class Fitted:
    """A source whose cutouts are all side × side.

    It has the optional methods that the source beneath it has (see `engine.data.cutouts.CutoutSource`), moved alike.

    Parameters
    ----------
    source : CutoutSource
    side : int
    """

    def __init__(self, source: CutoutSource, side: int):
        self.bands, self.science = source.bands, source.science
        self._source, self._side = source, side

    def __getattr__(self, name: str) -> Any:
        """Optional methods, there if the source beneath has them."""
        fitted = {
            "read_raw": self._read_raw,
            "wcs": self._wcs,
            "context": self._context,
            "companions": self._companions,
        }
        if name.startswith("_") or not hasattr(self._source, name):
            raise AttributeError(name)
        return fitted.get(name, getattr(self._source, name))

    def read(self, rows: Sequence[int] | np.ndarray) -> list[np.ndarray | Unreadable]:
        """Read cutouts; see `engine.data.cutouts.CutoutSource`."""
        return [self._fitted(cutout) for cutout in self._source.read(rows)]

    def _read_raw(self, rows: Sequence[int] | np.ndarray) -> list[np.ndarray | Unreadable]:
        return [self._fitted(cutout) for cutout in self._source.read_raw(rows)]  # type: ignore[attr-defined]

    def _fitted(self, cutout: np.ndarray | Unreadable) -> np.ndarray | Unreadable:
        return cutout if isinstance(cutout, Unreadable) else central(cutout, self._side)

    def _wcs(self, row: int) -> WCS | None:
        found = self._source.wcs(row)  # type: ignore[attr-defined]
        cutout = self._source.read([row])[0]
        if found is None or isinstance(cutout, Unreadable):
            return None
        y, x = (corner(length, self._side) for length in cutout.shape[1:])
        moved = found.deepcopy()
        moved.wcs.crpix = moved.wcs.crpix - np.array([x, y])
        if moved.sip is not None:  # distortions are reckoned from a pixel of their own
            from astropy.wcs import Sip

            sip = moved.sip
            moved.sip = Sip(sip.a, sip.b, sip.ap, sip.bp, sip.crpix - np.array([x, y]))
        moved.pixel_shape = (self._side, self._side)
        return moved

    def _context(self, row: int, factor: int) -> np.ndarray | None:
        found = self._source.context(row, factor)  # type: ignore[attr-defined]
        return None if found is None else central(found, self._side * factor)

    def _companions(self, row: int) -> dict[str, np.ndarray]:
        found = self._source.companions(row)  # type: ignore[attr-defined]
        return {name: central(image[None], self._side)[0] for name, image in found.items()}


def corner(length: int, side: int) -> int:
    """First pixel of the central box: ⌊(length − side) / 2⌋, negative where the box is larger."""
    return (length - side) // 2


def central(cutout: np.ndarray, side: int) -> np.ndarray:
    """The central box of a cutout.

    Parameters
    ----------
    cutout : (C, h, w)
    side : int

    Returns
    -------
    (C, side, side)
        A view if nothing is missing; else float32 with NaN around the cutout.
    """
    height, width = cutout.shape[1:]
    top, left = corner(height, side), corner(width, side)
    within = cutout[:, max(0, top) : max(0, top) + side, max(0, left) : max(0, left) + side]
    if within.shape[1:] == (side, side):
        return within
    box = np.full((len(cutout), side, side), np.nan, np.float32)
    y, x = max(0, -top), max(0, -left)
    box[:, y : y + within.shape[1], x : x + within.shape[2]] = within
    return box


def chosen(fit: str, side: int | None, sizes: tuple[tuple[int, int], tuple[int, int]]) -> tuple[dict, str]:
    """How cutouts of some sizes are to be fitted.

    Parameters
    ----------
    fit : str
        One of `FITS_BY`.
    side : int, optional
        Pixels; the shortest side of the smallest cutout (``crop``) or the longest of the largest (``pad``) if not given.
    sizes : (height, width) of the smallest and of the largest cutout

    Returns
    -------
    pixels : dict
        For the header's ``[pixels]``.
    words : str
        For the report, empty if there is nothing to say.

    Raises
    ------
    UserError
        If there is no such way, or the side does not go with it.
    """
    if fit not in FITS_BY:
        raise UserError(f"cutouts cannot be fitted by {fit!r}", f"choose one of: {', '.join(FITS_BY)}")
    small, large = ("×".join(map(str, size)) for size in sizes)
    differ = f"sizes differ ({small} to {large} pixels): " if small != large else ""
    if fit == "resample":
        if side is not None:
            raise UserError(
                "a side is given but cutouts are only scaled", "add --fit crop or --fit pad, or leave --side out"
            )
        return {"fit": fit}, f"{differ}each cutout is scaled to the size an encoder wants" if differ else ""
    least, most = min(sizes[0]), max(*sizes[0], *sizes[1])
    side = side or (least if fit == "crop" else most)
    if not 1 <= side <= LARGEST:
        raise UserError(f"cutouts cannot have {side:,} pixels a side", f"give --side from 1 to {LARGEST}")
    if fit == "pad" and side < most:
        raise UserError(
            f"cutouts of up to {most} pixels cannot be padded to {side}", f"give --side {most} or more, or --fit crop"
        )
    verb = "the central" if fit == "crop" else "each is padded with missing pixels to"
    ending = " pixels are used, with missing ones around what is smaller" if fit == "crop" else " pixels"
    return {"fit": fit, "side": side}, f"{differ}{verb} {side}×{side}{ending}"
