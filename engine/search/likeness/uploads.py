"""A cutout from a file that somebody brings: a picture or a FITS file, as the survey's own cutouts are.

The file is data and nothing else: it is copied under a name of ours into a folder of its own, its kind is told by its
first bytes, and the readers of ingest read it, with their bounds. Its bands are put in the survey's order, those it does not have
are missing, and where its numbers are not of the survey's kind (a picture for a survey of fluxes) its sky and bright level
are brought to the survey's; what was done is said (`Upload.notes`).
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.data.cutouts import Unreadable
from engine.data.fitting import central
from engine.data.ingest import Draft, ingest
from engine.data.pictures.calibration import Calibration
from engine.errors import UserError

if TYPE_CHECKING:
    from engine.survey import Survey

#: Bytes of a file, at most.
LARGEST = 64 << 20
#: How a file begins → what it is called here.
BEGINNINGS = {
    b"SIMPLE  =": "query.fits",
    b"\x1f\x8b": "query.fits.gz",
    b"\xff\xd8\xff": "query.jpg",
    b"\x89PNG": "query.png",
    b"II*\x00": "query.tif",
    b"MM\x00*": "query.tif",
    b"BM": "query.bmp",
    b"RIFF": "query.webp",
}
#: A file whose levels differ from the survey's by more than this factor is in other units.
OTHER_UNITS = 30.0


@dataclass(frozen=True)
class Upload:
    """A cutout that was brought.

    Attributes
    ----------
    name : str
        Of the file, without its folder.
    pixels : (C, h, w) float32
        The survey's bands, in its units, NaN where missing.
    notes : tuple of str
        What was done to it.
    """

    name: str
    pixels: np.ndarray
    notes: tuple[str, ...] = ()


def read(survey: Survey, path: str | Path) -> Upload:
    """Read a file.

    Raises
    ------
    UserError
        If there is none, it is too large, or `parse` refuses it.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise UserError(f"there is no file {path}", "check the path")
        if path.stat().st_size > LARGEST:
            raise _too_large(path.name, path.stat().st_size)
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})", "check the path") from error
    return parse(survey, data, path.name)


def parse(survey: Survey, data: bytes, name: str) -> Upload:
    """Read the bytes of a file.

    Parameters
    ----------
    survey : Survey
    data : bytes
    name : str
        What people call it; nothing is looked up by it.

    Raises
    ------
    UserError
        If it is too large, neither a picture nor FITS, damaged, holds several objects, or has other bands.
    """
    name = _shown(name)
    if len(data) > LARGEST:
        raise _too_large(name, len(data))
    if not survey.bands:
        raise UserError("this survey has no pixels, so that a picture cannot be compared", "search from its objects")
    called = next((called for start, called in BEGINNINGS.items() if data.startswith(start)), None)
    if called is None:
        raise UserError(f"{name} is neither a picture nor FITS", "give a JPEG, PNG, TIFF, WebP, BMP or FITS file")
    with tempfile.TemporaryDirectory(prefix="skysieve-") as place:
        folder = Path(place) / "query"
        folder.mkdir()
        (folder / called).write_bytes(data)
        draft, pixels = _read(survey, folder, name)
    return _fitting(survey, draft, pixels, name)


def _read(survey: Survey, folder: Path, name: str) -> tuple[Draft, np.ndarray]:
    fit = survey.header["pixels"]
    try:
        draft = ingest(folder, folder.parent / "none.survey", dry_run=True).draft
    except UserError as error:
        reason = error.problem.replace(str(folder) + "/", "").replace(str(folder), "it")
        raise UserError(f"{name} cannot be read as a cutout: {reason}", "give one picture or FITS image") from error
    if draft.objects.num_rows != 1:
        raise UserError(f"{name} holds {draft.objects.num_rows:,} images", "give a file with one object")
    if not draft.bands:
        raise UserError(f"{name} holds no image", "give one picture or FITS image")
    cutout = draft.cutouts.read([0])[0]
    if isinstance(cutout, Unreadable):
        raise UserError(f"{name} cannot be read as a cutout: {cutout.reason}", "give one picture or FITS image")
    return draft, central(cutout, int(fit["side"])) if fit.get("fit") in ("crop", "pad") else cutout


def _fitting(survey: Survey, draft: Draft, pixels: np.ndarray, name: str) -> Upload:
    order, notes = _order(draft.bands, survey.bands, name)
    theirs, ours = (Calibration.of(held.header["pixels"], len(held.bands)) for held in (draft, survey))
    levels = [np.array([getattr(theirs, k)[b] if b >= 0 else np.nan for b in order]) for k in vars(theirs)]
    found = np.stack([pixels[b] if b >= 0 else np.full(pixels.shape[1:], np.nan) for b in order]).astype(np.float32)
    pictured = not draft.header["pixels"]["science"]
    if pictured != (not survey.header["pixels"].get("science", False)) or (not pictured and _foreign(levels, ours)):
        background, _, bright = levels
        scale = ours.bright / np.where(bright > 0, bright, 1.0)
        found = (found - background[:, None, None]) * scale[:, None, None] + ours.background[:, None, None]
        notes.append("its sky and bright level were brought to the survey's")
    return Upload(name, found.astype(np.float32), tuple(notes))


def _foreign(levels: list[np.ndarray], ours: Calibration) -> bool:
    """Whether noise and bright level are both far from the survey's: other units."""
    _, noise, bright = levels
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = [np.nanmedian(np.abs(np.log(a / b))) for a, b in ((noise, ours.noise), (bright, ours.bright))]
    return bool(min(apart) > np.log(OTHER_UNITS))


def _order(bands: tuple[str, ...], wanted: tuple[str, ...], name: str) -> tuple[list[int], list[str]]:
    """Which of the file's bands each of the survey's is, −1 if it has none, and what to say of it.

    Raises
    ------
    UserError
        If they are other bands.
    """
    bands, wanted = _plain(bands), _plain(wanted)
    common = [band for band in wanted if band in bands]
    if len(bands) == len(wanted) and len(common) < len(wanted):
        return list(range(len(bands))), [] if not common else [f"its bands {' '.join(bands)} were taken in their order"]
    if common:
        lost = [band for band in wanted if band not in bands]
        words = [f"it has no band {' '.join(lost)}: taken as missing"] if lost else []
        return [bands.index(band) if band in bands else -1 for band in wanted], words
    if len(bands) == 1:
        return [0] * len(wanted), [f"its one band stands for {' '.join(wanted)}"]
    if len(wanted) == 1 and bands == ("r", "g", "b"):
        return [1], ["its green stands for the one band"]
    raise UserError(
        f"{name} has {len(bands)} bands ({' '.join(bands)}), this survey {len(wanted)} ({' '.join(wanted)})",
        "give an image with the survey's bands",
    )


def _plain(bands: tuple[str, ...]) -> tuple[str, ...]:
    """Names of bands without capitals, as headers write them either way; as they are where that would make two alike."""
    small = tuple(band.casefold() for band in bands)
    return small if len(set(small)) == len(bands) else tuple(bands)


def _shown(name: str) -> str:
    """A file's name as it can be shown: without folders, control characters, and more than 60 characters."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(ch for ch in last if ch.isprintable())[:60] or "the file"


def _too_large(name: str, size: int) -> UserError:
    return UserError(
        f"{name} has {size / 2**20:,.0f} MiB, at most {LARGEST >> 20} are read", "cut the object out of it first"
    )
