"""Broken inputs: what a case is, good objects to put beside what is broken, and the judge of how an ingest took it.

A case builds a folder that holds good objects, whose pixels are known, and something broken. `judge` ingests it and sees
that the good ones are in with their own pixels, that what is broken is named with a reason, and that no error but a
`UserError` comes out. The cases are in the modules ``broken_pictures``, ``broken_fits``, ``broken_hdf5``, …
"""

import io
import json
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from engine import Survey, files
from engine.data.cutouts import Unreadable, read_batch
from engine.data.ingest import REPORT, ingest
from engine.errors import UserError

#: What may become of a broken thing.
LOST = "named with a reason, in the report or where it is read"
WHOLE = "in, and readable"
ANY = "either of these"
PASSED = "no object, and nothing need be said"
NOTED = "no object, and named in the report"

#: What may become of the whole.
NEVER, MAY, MUST = "is taken", "may be refused", "must be refused"

SIDE = 12
#: Value of pixels and columns that lie where nothing may be read.
SECRET = 12345.0


@dataclass(frozen=True)
class Expected:
    """What an ingest of a built case must give.

    Attributes
    ----------
    good : dict
        Where an object is (its file, its row, or both) → its (C, h, w) pixels.
    bad : dict
        Where something broken is → what must become of it.
    source, catalogue : str
        Names in the folder; the folder itself, and no catalogue, if not given.
    options : dict
        For `ingest`.
    refused : str
        `NEVER`, `MAY` or `MUST`.
    named : str
        What a refusal must name.
    columns : dict
        Column → {file: value}.
    ids : dict
        Where an object is → its id.
    absent : path
        What must not exist afterwards.
    check : callable
        Called with what `ingest` returned.
    """

    good: dict = field(default_factory=dict)
    bad: dict = field(default_factory=dict)
    source: str = "."
    catalogue: str | None = None
    options: dict = field(default_factory=dict)
    refused: str = NEVER
    named: str = ""
    columns: dict = field(default_factory=dict)
    ids: dict = field(default_factory=dict)
    absent: Path | None = None
    check: Callable | None = None


@dataclass(frozen=True)
class Case:
    """A broken input.

    Attributes
    ----------
    name : str
    build : callable
        ``build(folder, rng)`` puts it into an empty folder, and says what must come of it.
    dangerous : bool
        Whether it may fill the memory or never end: such cases also run in a process of little memory.
    """

    name: str
    build: Callable[[Path, np.random.Generator], Expected]
    dangerous: bool = False


# -- good objects -----------------------------------------------------------------------------------------------------


def colours(rng: np.random.Generator, side: int = SIDE) -> np.ndarray:
    """A picture in colours, (h, w, 3) uint8."""
    return rng.integers(0, 256, (side, side, 3), np.uint8)


def planes(picture: np.ndarray) -> np.ndarray:
    """Pixels of a picture as a source gives them, (3, h, w)."""
    return np.moveaxis(picture, -1, 0).astype(np.float32)


def encoded(picture: np.ndarray, kind: str, **options) -> bytes:
    """A picture as the bytes of a file."""
    held = io.BytesIO()
    Image.fromarray(picture).save(held, kind, **options)
    return held.getvalue()


def good_pictures(folder: Path, rng: np.random.Generator, count: int = 3) -> dict:
    """Pictures ``good0.png`` …; where they are and their pixels."""
    made = {}
    for k in range(count):
        picture = colours(rng)
        (folder / f"good{k}.png").write_bytes(encoded(picture, "PNG"))
        made[f"good{k}.png"] = planes(picture)
    return made


def flux(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Pixels of a sky with nothing in it, float32."""
    return rng.normal(10, 2, shape or (SIDE, SIDE)).astype(np.float32)


# -- spoiling ---------------------------------------------------------------------------------------------------------


def flipped(data: bytes, rng: np.random.Generator, bits: int = 8, first: int = 0, stop: int | None = None) -> bytes:
    """The same with some bits turned over, between two places."""
    spoiled = bytearray(data)
    for at in rng.integers(first, len(data) if stop is None else min(stop, len(data)), bits):
        spoiled[at] ^= 1 << rng.integers(8)
    return bytes(spoiled)


def cuts(length: int, count: int = 10) -> list[int]:
    """Lengths at which a file of some length is cut, from near its beginning to near its end."""
    return [max(1, int(length * share)) for share in np.linspace(0.03, 0.93, count)]


def zeros_deflated(length: int) -> bytes:
    """A zlib stream of zeros, made without unpacking them: one block, repeated."""
    block = 1 << 20
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    one = packer.compress(bytes(block)) + packer.flush(zlib.Z_FULL_FLUSH)
    rest = packer.compress(bytes(length % block)) + packer.flush(zlib.Z_FINISH)
    check = (length % 65521) << 16 | 1
    return b"\x78\x9c" + one * (length // block) + rest + check.to_bytes(4, "big")


# -- the judge --------------------------------------------------------------------------------------------------------


def judge(case: Case, folder: Path) -> None:
    """Build a case in an empty folder, ingest it, and see that what must come of it has come.

    Raises
    ------
    AssertionError
    Exception
        Anything but a `UserError` that `ingest` lets out.
    """
    inside, made = folder / "in", folder / "made.survey"
    inside.mkdir()
    expected = case.build(inside, np.random.default_rng(zlib.crc32(case.name.encode())))
    catalogue = None if expected.catalogue is None else inside / expected.catalogue
    refusal = found = None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            found = ingest(inside / expected.source, made, catalogue=catalogue, **expected.options)
        except UserError as error:
            refusal = error
        if found is not None:
            _judge_survey(expected, found)
    left = sorted(p.name for p in folder.iterdir() if "made.survey" in p.name)
    assert left == ([] if found is None else ["made.survey"]), f"left behind: {left}"
    if refusal is not None:
        assert expected.refused != NEVER, f"refused: {refusal}"
        assert refusal.problem and refusal.remedy and expected.named in refusal.problem, refusal.problem
        assert "\n" not in refusal.problem, "a problem is one line"
        assert len(refusal.problem) < 2000, "a problem is no page"
    assert expected.absent is None or not expected.absent.exists(), "something in the input was run"


def _judge_survey(expected: Expected, made) -> None:
    assert expected.refused != MUST, f"taken: {made.text()}"
    report = files.read_json(made.survey.path / REPORT)
    assert report == json.loads(json.dumps(made.report)) and made.text()
    survey = Survey.open(made.survey.path)
    rows = np.arange(len(survey))
    cutouts = survey.cutouts.read(rows)
    if survey.bands:
        pixels, readable, problems = read_batch(survey.cutouts, rows, 32)
        assert pixels.shape == (len(rows), len(survey.bands), 32, 32)
        assert set(rows[~readable]) == set(problems) and all(problems.values())
    where = places(survey)
    for place, known in expected.good.items():
        assert place in where, f"{place!r} is not in; {report['rejected']}"
        cutout = cutouts[where[place]]
        assert not isinstance(cutout, Unreadable), f"{place!r}: {cutout}"
        np.testing.assert_array_equal(cutout, known, err_msg=repr(place))
    for place, fate in expected.bad.items():
        _judge_fate(place, fate, cutouts[where[place]] if place in where else None, report)
    for cutout in cutouts:
        if isinstance(cutout, Unreadable):
            assert cutout.reason
        else:
            assert cutout.ndim == 3 and len(cutout) == len(survey.bands) and cutout.dtype == np.float32
            assert not (cutout == SECRET).any(), "pixels were read that may not be read"
    for name, values in expected.columns.items():
        column = survey.column(name)
        assert {place: column[where[place]] for place in values} == values
    ids = survey.ids.to_pylist()
    assert {place: ids[where[place]] for place in expected.ids} == expected.ids
    if expected.check is not None:
        expected.check(made)


def _judge_fate(place, fate: str, cutout: np.ndarray | Unreadable | None, report: dict) -> None:
    """See that something broken met a fate that is allowed."""
    rejected = [r["reason"] for r in report["rejected"] if r["file"] == place]
    assert all(rejected), f"{place!r} is rejected without a reason"
    assert not rejected or cutout is None or isinstance(place, str), f"{place!r} is rejected and in"
    if fate == PASSED:
        assert cutout is None
    elif fate == NOTED:
        assert cutout is None and (rejected or any(str(place) in note for note in report["notes"])), report
    elif fate == WHOLE:
        assert isinstance(cutout, np.ndarray), f"{place!r} is not in: {rejected or cutout}"
    else:
        unreadable = isinstance(cutout, Unreadable)
        assert rejected or cutout is not None, f"{place!r} is lost in silence: {report['notes']}"
        assert fate == ANY or unreadable or cutout is None, f"{place!r} was read"


def places(survey: Survey) -> dict:
    """Row of each object by where it is: its file, its row or HDU, or both."""
    names = survey.schema.names
    count = len(survey)
    index = survey.column("pixels_index").tolist() if "pixels_index" in names else [None] * count
    found: dict = {}
    for column in (n for n in names if n == "pixels_file" or n.startswith("pixels_file_")):
        for row, (file, k) in enumerate(zip(survey.column(column), index)):
            if file is not None:
                found.setdefault(file, row)
                found[file, k] = row
    return found or {k: row for row, k in enumerate(index)}
