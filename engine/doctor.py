"""What is wrong with a survey folder, and what to do about it.

Each check reads little (headers, lengths, a sample) and changes nothing, so that a survey of any size is examined in
seconds; only the search for NaN reads the vectors through, block by block.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine import files
from engine.data.pictures.thumbnails import SHARD, Thumbnails
from engine.data.references import Root
from engine.errors import UserError
from engine.survey import FORMAT, HEADER, OBJECTS, Survey

#: References that are looked up on the disk; a folder that was moved shows in the first.
REFERENCES = 200
#: Values of a vectors file held at once.
BLOCK = 1 << 22

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Attributes
    ----------
    what : str
        The fault, in the user's terms.
    where : str
        File or folder.
    remedy : str
        What to do about it, as an imperative.
    severity : str
        ``error``: something cannot be used; ``warning``: everything works, or only a part is missing.
    """

    what: str
    where: str
    remedy: str
    severity: str = ERROR


def diagnose(path: str | Path) -> list[Fault]:
    """Examine a survey folder.

    Parameters
    ----------
    path : path

    Returns
    -------
    list of Fault
        The worst first; empty if nothing is wrong.
    """
    path = Path(path)
    if not path.is_dir():
        return [Fault("there is no such folder", str(path), "check the path, or make a survey with `ingest`")]
    faults = [*_header(path), *_objects(path), *_leftovers(path), *_labels(path)]
    try:
        survey = Survey.open(path)
        len(survey)
    except UserError:
        return _sorted(faults)  # the checks above have said why
    for check in (
        _counts,
        _strayed,
        _pixels,
        _stretch,
        _thumbnails,
        _representations,
        _layouts,
        _clusters,
        _scores,
        _selections,
    ):
        faults += check(survey)
    return _sorted(faults)


def _sorted(faults: list[Fault]) -> list[Fault]:
    return sorted(faults, key=lambda f: f.severity != ERROR)


def _header(path: Path) -> Iterator[Fault]:
    header = path / HEADER
    again = "restore it from a backup, or ingest the source again"
    if not header.is_file():
        yield Fault(f"this is not a survey: it has no {HEADER}", str(path), again)
        return
    try:
        document = tomllib.loads(header.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        yield Fault(f"the header cannot be read ({error})", str(header), again)
        return
    version = document.get("format")
    if not isinstance(version, int) or isinstance(version, bool):
        yield Fault("the header states no format", str(header), again)
    elif version > FORMAT:
        yield Fault(
            f"the survey has format {version}, newer than this program's {FORMAT}", str(header), "update Skysieve"
        )
    pixels = document.get("pixels")
    missing = [k for k in ("kind", "root", "bands", "science") if not isinstance(pixels, dict) or k not in pixels]
    if missing:
        yield Fault(f"the header's [pixels] section lacks {', '.join(missing)}", str(header), again)


def _objects(path: Path) -> Iterator[Fault]:
    objects = path / OBJECTS
    again = "restore it from a backup, or ingest the source again"
    if not objects.is_file():
        yield Fault("the table of objects is missing", str(objects), again)
        return
    try:
        with pq.ParquetFile(objects) as file:
            names = file.schema_arrow.names
            lost = [c for c in ("id", "ra", "dec") if c not in names]
            ids = file.read(columns=["id"])["id"] if "id" in names else pa.chunked_array([pa.array([], pa.string())])
    except (pa.ArrowException, OSError) as error:
        yield Fault(f"the table of objects is damaged ({str(error).splitlines()[0]})", str(objects), again)
        return
    if lost:
        yield Fault(f"the table of objects lacks the columns {', '.join(lost)}", str(objects), again)
    repeated = len(ids) - len(ids.unique())
    if repeated:
        yield Fault(f"{repeated:,} ids repeat", str(objects), "ingest the source again with a column of unique ids")


def _leftovers(path: Path) -> Iterator[Fault]:
    beside = [p for p in path.parent.glob(f".{path.name}.*.partial") if p.is_dir()]
    for found in [*sorted(path.rglob(".*.partial")), *beside]:
        yield Fault(
            "an interrupted write left a temporary file", str(found), "delete it once no command is running", WARNING
        )


def _labels(path: Path) -> Iterator[Fault]:
    log = path / "labels.sqlite"
    if not log.exists():
        return
    answer = _integrity(log)
    if answer != "ok":
        yield Fault(
            f"the label log is damaged ({answer.splitlines()[0]})",
            str(log),
            f"restore it from a backup, or save what is left with `sqlite3 {log.name} .recover`",
        )


def _integrity(log: Path) -> str:
    """What SQLite says of a label log; ``ok`` if it is whole."""
    try:
        with _examined(log) as connection:
            return connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        return str(error)


@contextmanager
def _examined(log: Path) -> Iterator[sqlite3.Connection]:
    """A label log opened to be read.

    Opening a log with a journal beside it would write to the folder, so that a copy is examined unless an app has it.
    """
    journal, shared = Path(f"{log}-wal"), Path(f"{log}-shm")
    with tempfile.TemporaryDirectory() as spare:
        address = f"{log.resolve().as_uri()}?mode=ro"
        if not journal.exists() or journal.stat().st_size == 0:
            address += "&immutable=1"
        elif not shared.exists():
            for part in (log, journal):
                shutil.copy(part, spare)
            address = (Path(spare) / log.name).as_uri()
        with closing(sqlite3.connect(address, uri=True)) as connection:
            yield connection


def _counts(survey: Survey) -> Iterator[Fault]:
    stated = survey.header.get("objects")
    if stated is not None and stated != len(survey):
        yield Fault(
            f"the header states {stated:,} objects, the table has {len(survey):,}",
            str(survey.path / OBJECTS),
            "restore both files from the same backup, or ingest the source again",
        )


def _strayed(survey: Survey) -> Iterator[Fault]:
    """Labels say a row and an id: they must be of the same object still."""
    log = survey.path / "labels.sqlite"
    try:
        with _examined(log) as connection:
            known = connection.execute("SELECT DISTINCT row, id FROM standing").fetchall()
    except sqlite3.Error:  # there is no log, or what is wrong with it is said already
        return
    rows = np.array([row for row, _ in known], np.int64)
    inside = rows < len(survey)
    there = survey.ids.take(pa.array(rows[inside])).to_pylist()
    said = [name for (_, name), kept in zip(known, inside) if kept]
    count = int((~inside).sum()) + sum(a != b for a, b in zip(said, there))
    if count:
        yield Fault(
            f"{count:,} labelled objects are not where the label log has them",
            str(log),
            "restore the table of objects that was labelled, or label these objects again by their ids",
        )


def _pixels(survey: Survey) -> Iterator[Fault]:
    pixels = survey.header.get("pixels", {})
    if "root" not in pixels:
        return
    root = Path(pixels["root"])
    root = root if root.is_absolute() else survey.path / root
    header = str(survey.path / HEADER)
    if not root.exists():
        yield Fault(
            f"the pixels are gone: {root} does not exist",
            header,
            f"put them back, or correct `root` in {HEADER}; map, labels and rankings work without",
        )
        return
    columns = [c for c in survey._parquet.schema_arrow.names if c.startswith("pixels_file")]
    if root.is_dir() and columns:
        yield from _references(survey, root, columns)
        return
    try:
        _ = survey.cutouts
    except (UserError, KeyError) as error:
        problem, remedy = getattr(error, "problem", f"[pixels] lacks {error}"), getattr(error, "remedy", "ingest again")
        yield Fault(problem, header, remedy)


def _references(survey: Survey, root: Path, columns: list[str]) -> Iterator[Fault]:
    rows = np.unique(np.linspace(0, len(survey) - 1, REFERENCES).round().astype(np.int64))
    table = survey.arrow(columns).take(pa.array(rows))
    names = [n for c in columns for n in table[c].to_pylist() if n is not None]
    below, gone, outside = Root(root), [], []
    for name in names:
        try:
            if not Path(below.file(name)).is_file():
                gone.append(name)
        except ValueError:
            outside.append(name)
    if gone:
        yield Fault(
            f"{len(gone):,} of {len(names):,} files looked up do not exist (such as {gone[0]})",
            str(root),
            "put them back, or ingest what is left as a new survey",
            ERROR if len(gone) == len(names) else WARNING,
        )
    if outside:
        yield Fault(
            f"{len(outside):,} of {len(names):,} references lead outside the folder (such as {outside[0]})",
            str(root),
            "do not trust this survey; ingest the source again",
        )


def _stretch(survey: Survey) -> Iterator[Fault]:
    """Whether the header's stretch makes sense, and the thumbnails are drawn with it."""
    place, thumbnails = str(survey.path / HEADER), survey.thumbnails
    try:
        survey.stretch.require_bands(survey.header.get("pixels", {}).get("bands") or ())
    except UserError as error:
        yield Fault(error.problem, place, f"correct [stretch], or run `python -m engine stretch {survey.path} --reset`")
        return
    if thumbnails.complete and not thumbnails.shows(survey.stretch):
        yield Fault(
            "the thumbnails are drawn with another stretch than the header says",
            place,
            f"run `python -m engine stretch {survey.path} --set ''`; it draws them anew",
            WARNING,
        )


def _thumbnails(survey: Survey) -> Iterator[Fault]:
    thumbnails = survey.thumbnails
    if not thumbnails.folder.is_dir():
        return
    remedy = f"delete {thumbnails.folder} and run `python -m engine embed {survey.path}` again"
    present = [s for s in range(thumbnails.shards) if thumbnails.has(s)]
    if len(present) < thumbnails.shards:
        yield Fault(
            f"{thumbnails.shards - len(present)} of {thumbnails.shards} shards of thumbnails are missing",
            str(thumbnails.folder),
            f"run `python -m engine embed {survey.path}`; it goes on where it stopped",
            WARNING,
        )
    strange = {p for p in thumbnails.folder.glob("*.thumbs")} - {thumbnails.path(s) for s in range(thumbnails.shards)}
    if strange:
        yield Fault(f"there are thumbnails of more objects than {len(survey):,}", str(min(strange)), remedy)
    for shard in present:
        expected = min(SHARD, len(survey) - shard * SHARD)
        found = _shard_count(thumbnails, shard)
        if found != expected:
            problem = "is damaged" if found is None else f"holds {found:,} thumbnails instead of {expected:,}"
            yield Fault(f"a shard {problem}", str(thumbnails.path(shard)), remedy)


def _shard_count(thumbnails: Thumbnails, shard: int) -> int | None:
    """Pictures in a shard, None if it is damaged."""
    path = thumbnails.path(shard)
    with open(path, "rb") as stream:
        head = stream.read(16)
        count = int.from_bytes(head[8:], "little")
        if len(head) < 16 or head[:8] != b"SKYTHUMB" or count > SHARD:
            return None
        offsets = np.frombuffer(stream.read(4 * (count + 1)), "<u4").astype(np.int64)
    whole = (
        len(offsets) == count + 1
        and (np.diff(offsets) >= 0).all()
        and path.stat().st_size == 16 + 4 * (count + 1) + offsets[-1]
    )
    return count if whole else None


def _array(path: Path, shape: tuple[int, ...], remedy: str) -> tuple[np.ndarray | None, list[Fault]]:
    """Open an array whose leading axes must have given lengths (-1: any)."""
    try:
        values = files.read_npy(path)
    except FileNotFoundError:
        return None, [Fault("an array is missing", str(path), remedy)]
    except (OSError, ValueError, EOFError) as error:
        return None, [Fault(f"an array is damaged ({error})", str(path), remedy)]
    if values.ndim != len(shape) or any(want not in (-1, have) for want, have in zip(shape, values.shape)):
        wanted = "×".join("any" if n == -1 else str(n) for n in shape)
        is_now = "×".join(map(str, values.shape))
        return None, [Fault(f"an array is {is_now} where {wanted} is needed", str(path), remedy)]
    return values, []


def _folders(place: Path, remedy: str) -> Iterator[tuple[Path, list[Fault]]]:
    """Result folders with what is wrong with their meta.json; those without one are unfinished, which is no error."""
    for folder in sorted(p for p in place.glob("*") if p.is_dir() and not p.name.startswith(".")):
        try:
            files.read_json(folder / "meta.json")
        except FileNotFoundError:
            yield folder, [Fault("this was not finished", str(folder), remedy, WARNING)]
        except (OSError, ValueError) as error:
            yield folder, [Fault(f"its meta.json is damaged ({error})", str(folder), remedy)]
        else:
            yield folder, []


def _representations(survey: Survey) -> Iterator[Fault]:
    command = f"`python -m engine embed {survey.path}`"
    for folder, faults in _folders(survey.path / "representations", f"run {command} to finish it, or delete it"):
        yield from faults
        if faults:
            continue
        remedy = f"delete {folder} and run {command} again"
        valid, faults = _array(folder / "valid.npy", (len(survey),), remedy)
        yield from faults
        vectors, faults = _array(folder / "vectors.npy", (len(survey), -1), remedy)
        yield from faults
        if vectors is not None:
            bad = _bad_rows(vectors)
            if bad:
                yield Fault(f"{bad:,} vectors hold NaN or infinity", str(folder / "vectors.npy"), remedy)
        if valid is not None and not np.asarray(valid).any():
            yield Fault("no object could be read when this was made", str(folder), "check the pixels, then embed again")


def _bad_rows(vectors: np.ndarray) -> int:
    step = max(1, BLOCK // max(1, vectors.shape[1]))
    return sum(int((~np.isfinite(vectors[s : s + step]).all(axis=1)).sum()) for s in range(0, len(vectors), step))


def _layouts(survey: Survey) -> Iterator[Fault]:
    command = f"`python -m engine layout {survey.path}`"
    for folder, faults in _folders(survey.path / "layouts", f"run {command} again, or delete it"):
        yield from faults
        if faults:
            continue
        xy, faults = _array(folder / "xy.npy", (len(survey), 2), f"delete {folder} and run {command} again")
        yield from faults
        if xy is not None and not np.isfinite(xy).any():
            yield Fault("no object has a position", str(folder), f"delete {folder} and run {command} again")


def _clusters(survey: Survey) -> Iterator[Fault]:
    from engine.maps.clustering.clusters import read

    command = f"`python -m engine clusters {survey.path}`"
    for folder, faults in _folders(survey.path / "clusters", f"run {command} again, or delete it"):
        yield from faults
        if faults:
            continue
        try:
            read(survey, folder.name)
        except UserError as error:
            yield Fault(error.problem, str(folder), error.remedy)


def _scores(survey: Survey) -> Iterator[Fault]:
    for path in sorted((survey.path / "scores").glob("*.npy")):
        yield from _array(path, (len(survey),), "delete it and make the score again")[1]


def _selections(survey: Survey) -> Iterator[Fault]:
    from engine.search.selections import listing, load

    command = f"`python -m engine selections {survey.path} --delete`"
    for found in listing(survey, damaged=True):
        path = str(survey.path / "selections" / f"{found.name}.json")
        if found.problem:
            yield Fault(f"the selection {found.name!r} cannot be read ({found.problem})", path, f"delete it: {command}")
            continue
        try:
            load(survey, found.name)
        except UserError as error:
            yield Fault(error.problem, path, error.remedy)
