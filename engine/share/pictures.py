"""Pictures to leave with: a PNG an object, named by its id, or one sheet of many, under any stretch.

Each file says in its text chunks what it shows: survey, object, position, bands, stretch. Pixels that are missing in every
band are transparent. A cutout less than half the picture's size is enlarged in whole pixels, not blurred. Files are whole or
absent.

Cost: reading the pixels, and about 10 ms an object of 256×256; a sheet is held in memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from urllib.parse import quote

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from engine import files
from engine.data.pictures.stretch import Calibration, Stretch, to_rgb
from engine.data.pictures.thumbnails import shrink
from engine.errors import UserError
from engine.jobs import Progress, silent
from engine.share.tables import chosen_rows
from engine.survey import Survey, version

#: Cutouts read at once.
READ = 64
#: Pixels of a sheet at most: 300 MB of memory.
MOST_PIXELS = 100_000_000
#: A sheet's gap between pictures and the height of a line of text, pixels; its ground and its text.
GAP, LINE = 4, 16
GROUND, TEXT = (11, 14, 20), (223, 229, 238)
#: Characters of a file's name that come from an id.
LONGEST = 120


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes
    ----------
    place : path
        The folder, or the file.
    count : int
        Pictures made.
    unreadable : tuple of str
        Ids of objects whose pixels cannot be read.
    """

    place: Path
    count: int
    unreadable: tuple[str, ...] = ()

    def facts(self) -> dict:
        """The same for ``--json``."""
        return {"place": str(self.place), "pictures": self.count, "unreadable": list(self.unreadable)}

    def text(self) -> str:
        """The same in words."""
        words = f"Wrote {self.count:,} {'picture' if self.count == 1 else 'pictures'} to {self.place}."
        if self.unreadable:
            words += f" {len(self.unreadable):,} could not be read (such as {self.unreadable[0]})."
        return words


def write_pictures(
    survey: Survey,
    place: str | Path,
    *,
    rows: np.ndarray | None = None,
    query: str | None = None,
    selection: str | None = None,
    stretch: Stretch | None = None,
    size: int = 256,
    sheet: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Written:
    """Write pictures of some or all objects.

    Parameters
    ----------
    place : path
        A folder, for one file an object; or a file ``.png``, for a sheet (of one object: its picture alone).
    rows : (n,) int, optional
        Objects, in the order wanted; all if not given.
    query, selection : str, optional
        Only objects that meet a condition; only those of a kept selection.
    stretch : Stretch, optional
        The survey's own if not given.
    size : int
        Pixels a side.
    sheet : bool
        Make a sheet even of one object.
    overwrite : bool
        Replace what is there.

    Raises
    ------
    UserError
        If nothing is chosen or readable, a file is there already, a band is not there, or the sheet would be too large.
    """
    place, stretch = Path(place), survey.stretch if stretch is None else stretch
    if not survey.bands:
        raise UserError(f"{survey.path} was made of a table and has no pixels", "export a catalogue instead")
    stretch.require_bands(survey.bands)
    chosen = chosen_rows(survey, rows, query, selection)
    drawn = drawn_objects(survey, chosen, stretch, size, progress)
    if place.suffix.lower() == ".png":
        require_free([place], overwrite)
        if len(chosen) == 1 and not sheet:
            return _one(survey, place, drawn, stretch)
        return _sheet(survey, place, chosen, drawn, stretch, size)
    if sheet:
        raise UserError(f"a sheet is one file, and {place} is a folder's name", "give a name that ends in .png")
    return _folder(survey, place, chosen, drawn, stretch, overwrite)


@dataclass(frozen=True)
class Picture:
    """An object drawn: (size, size, 4) uint8, None if it cannot be read."""

    row: int
    image: Image.Image | None


def drawn_objects(
    survey: Survey, rows: np.ndarray, stretch: Stretch, size: int, progress: Progress = silent
) -> Iterator[Picture]:
    """Draw objects one after another, `READ` read at a time, each `size` pixels a side."""
    source = survey.cutouts
    calibration = Calibration.of(survey.header["pixels"], len(source.bands))
    for start in range(0, len(rows), READ):
        part = rows[start : start + READ]
        images: dict[int, Image.Image] = {}
        for small in shrink(source.read(part), size):
            pictures = to_rgb(
                small.pixels,
                calibration,
                science=source.science,
                stretch=stretch,
                bands=source.bands,
                scale=small.scale,
            )
            for k, picture in zip(small.places, pictures):
                known = np.isfinite(small.pixels[small.places.index(k)]).any(axis=0)
                if known.any():
                    whole = np.dstack([picture, np.where(known, 255, 0).astype(np.uint8)])
                    way = Image.Resampling.NEAREST if 2 * len(whole) <= size else Image.Resampling.BILINEAR
                    images[k] = Image.fromarray(whole).resize((size, size), way)
        yield from (Picture(int(row), images.get(k)) for k, row in enumerate(part))
        progress(min(start + READ, len(rows)), len(rows), "drawing")


# -- one file an object ------------------------------------------------------------------------------------------------


def _one(survey: Survey, place: Path, drawn: Iterator[Picture], stretch: Stretch) -> Written:
    picture = next(drawn)
    list(drawn)  # tells the progress to its end
    if picture.image is None:
        raise nothing_readable(survey, [picture.row])
    _save(place, picture.image, provenance(survey, stretch, [picture.row], _places(survey)))
    return Written(place, 1)


def _folder(
    survey: Survey, place: Path, rows: np.ndarray, drawn: Iterator[Picture], stretch: Stretch, overwrite: bool
) -> Written:
    if place.is_file():
        raise UserError(f"{place} is a file", "give the name of a folder, or one that ends in .png")
    names, where = dict(zip(rows.tolist(), _names(survey, rows))), _places(survey)
    require_free([place / name for name in names.values()], overwrite)

    def write(picture: Picture) -> bool:
        if picture.image is None:
            return False
        _save(place / names[picture.row], picture.image, provenance(survey, stretch, [picture.row], where))
        return True

    bad = []
    with ThreadPoolExecutor(max(1, torch.get_num_threads()), "pictures") as pool:
        while part := list(islice(drawn, READ)):
            bad += [picture.row for picture, good in zip(part, pool.map(write, part)) if not good]
    if len(bad) == len(rows):
        raise nothing_readable(survey, bad)
    return Written(place, len(rows) - len(bad), tuple(names_of(survey, bad)))


def _names(survey: Survey, rows: np.ndarray) -> list[str]:
    """File names of objects: their ids, with what a file system may not take escaped; numbered where two would be one."""
    taken: set[str] = set()
    names = []
    for row, name in zip(rows.tolist(), names_of(survey, rows)):
        plain = quote(name, safe=" ._+-()=,@")[:LONGEST].rstrip(". ") or "object"
        plain = f"%2E{plain[1:]}" if plain.startswith(".") else plain
        if plain.lower() in taken:
            plain = f"{plain} row {row}"
        taken.add(plain.lower())
        names.append(f"{plain}.png")
    return names


# -- a sheet -----------------------------------------------------------------------------------------------------------


def _sheet(
    survey: Survey, place: Path, rows: np.ndarray, drawn: Iterator[Picture], stretch: Stretch, size: int
) -> Written:
    columns = math.ceil(math.sqrt(len(rows)))
    width, height = columns * (size + GAP) + GAP, math.ceil(len(rows) / columns) * (size + LINE + GAP) + GAP
    if width * height > MOST_PIXELS:
        raise UserError(
            f"a sheet of {len(rows):,} objects of {size} pixels would be too large ({width:,} × {height:,})",
            "choose fewer objects, a smaller --size, or a folder",
        )
    paper = Image.new("RGB", (width, height), GROUND)
    pen, font = ImageDraw.Draw(paper), ImageFont.load_default(LINE - 5)
    bad = []
    for place_number, (picture, name) in enumerate(zip(drawn, names_of(survey, rows))):
        line, column = divmod(place_number, columns)
        left, top = GAP + column * (size + GAP), GAP + line * (size + LINE + GAP)
        if picture.image is None:
            bad.append(picture.row)
            pen.rectangle((left, top, left + size - 1, top + size - 1), outline=TEXT)
        else:
            paper.paste(picture.image, (left, top), picture.image)
        pen.text((left + 1, top + size + 1), _fitting(name, size, pen, font), fill=TEXT, font=font)
    if len(bad) == len(rows):
        raise nothing_readable(survey, bad)
    _save(place, paper, provenance(survey, stretch, rows.tolist()))
    return Written(place, len(rows) - len(bad), tuple(names_of(survey, bad)))


def _fitting(text: str, width: int, pen: ImageDraw.ImageDraw, font) -> str:
    """As much of a text as fits, its end where names differ."""
    shown = text
    while len(shown) > 1 and pen.textlength(shown, font=font) > width - 2:
        text = text[1:]
        shown = f"…{text}"
    return shown


# -- files -------------------------------------------------------------------------------------------------------------


def names_of(survey: Survey, rows) -> list[str]:
    """Ids of objects, in order."""
    return survey.ids.take(np.asarray(rows, np.int64)).to_pylist()


def require_free(places: list[Path], overwrite: bool) -> None:
    """Refuse to replace files, unless told to.

    Raises
    ------
    UserError
        If one is there.
    """
    there = [] if overwrite else [place for place in places if place.exists()]
    if there:
        raise UserError(f"{there[0]} already exists", "choose another name, or say --overwrite")


def _places(survey: Survey) -> np.ndarray:
    """Positions, (N, 2) float64, deg."""
    columns = survey.arrow(["ra", "dec"])
    return np.stack([columns[name].to_numpy().astype(np.float64) for name in ("ra", "dec")], axis=1)


def provenance(survey: Survey, stretch: Stretch, rows: list[int], where: np.ndarray | None = None) -> dict[str, str]:
    """Where a picture comes from, for its text chunks."""
    facts = {
        "Software": f"Skysieve {version()}",
        "Title": names_of(survey, rows)[0] if len(rows) == 1 else f"{len(rows):,} objects of {survey.name}",
        "Survey": survey.name,
        "Bands": " ".join(survey.bands),
        "Stretch": stretch.text() or "default",
    }
    if len(rows) == 1 and where is not None:
        ra, dec = where[rows[0]]
        if math.isfinite(ra) and math.isfinite(dec):
            facts["Position"] = f"{ra:.7f} {dec:+.7f} deg (ICRS)"
    return facts


def _save(place: Path, image: Image.Image, said: dict[str, str]) -> None:
    info = PngInfo()
    for key, value in said.items():
        info.add_itxt(key, value)
    with files.atomic_path(place) as temporary:
        image.save(temporary, "PNG", pnginfo=info)


def nothing_readable(survey: Survey, rows: list[int]) -> UserError:
    """What to say when no object can be drawn."""
    return UserError(
        f"none of the {len(rows):,} objects can be read (such as {names_of(survey, rows[:1])[0]})",
        f"see what is wrong with `python -m engine doctor {survey.path}`",
    )
