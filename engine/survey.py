"""A survey: one folder, ``*.survey/``, that holds everything known about a set of cutouts.

::

    survey.toml                  name, format, where the pixels are, provenance
    objects.parquet              one row an object: id, ra, dec, reference to the pixels, catalogue columns
    thumbnails/                  small pictures, in shards
    representations/NAME/        vectors.npy (N×D, memory-mapped), valid.npy, meta.json
    neighbours/NAME/             the k-nearest-neighbour graph of a representation
    layouts/NAME/                xy.npy (N×2), meta.json
    clusters/NAME/               one code an object, meta.json with their names
    scores/NAME.npy              one number an object
    outliers/METHOD.json         how a score of strangeness was made
    selections/                  named sets of objects
    labels.sqlite                the label log
    models/NAME/                 encoders trained here; classifiers
    cache/                       cutouts at the size of a training; may be deleted
    runs/                        one record a command

The row number is the key everywhere inside; ids are for people. Columns are read one at a time and memory-mapped, so that
opening a survey of 10⁷ objects costs milliseconds.
"""

from __future__ import annotations

import datetime
import json
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engine import files, locks
from engine.errors import UserError

if TYPE_CHECKING:
    from engine.data.cutouts import CutoutSource
    from engine.data.pictures.stretch import Stretch
    from engine.data.pictures.thumbnails import Thumbnails
    from engine.learning.interest import Interest
    from engine.learning.labels import LabelLog
    from engine.learning.remarks import Remarks
    from engine.maps.clustering.clusters import Clusters
    from engine.search.likeness.space import Spaces
    from engine.training.finetune import Finetuned
    from engine.training.record import Training

#: Version of the folder's layout. A newer one is refused; an older one is migrated by numbered steps.
FORMAT = 1

HEADER = "survey.toml"
OBJECTS = "objects.parquet"

#: Columns of objects.parquet that refer to pixels; they are not shown to people.
REFERENCE_PREFIX = "pixels_"

#: Components of a representation that the posterior, the neighbours' layout and the probes use (Walmsley et al. 2022: 40).
COMPONENTS = 40


@dataclass(frozen=True)
class Representation:
    """The vectors an encoder made of a survey.

    Attributes
    ----------
    name : str
    vectors : (N, D) float32 or float16, memory-mapped
        Rows of objects whose pixels could not be read are zero.
    valid : (N,) bool
        False for those rows.
    meta : dict
        Encoder, its version and settings, and how the vectors were made.
    """

    name: str
    folder: Path
    vectors: np.ndarray
    valid: np.ndarray
    meta: dict

    def components(self, count: int = COMPONENTS) -> np.ndarray:
        """Principal components, each of zero mean and unit variance: the features of every model here.

        Computed once and kept beside the vectors.

        Parameters
        ----------
        count : int
            Components asked for; fewer come back when D or N is smaller.

        Returns
        -------
        (N, min(count, D)) float32
            Zero in rows that are not valid.
        """
        from engine.maps.components import project, standard_axes

        stored = self.folder / f"components-{count}.npy"
        if not stored.exists():
            mean, directions = standard_axes(self.vectors, self.valid, count)
            files.write_npy(self.folder / f"axes-{count}.npy", np.column_stack([mean, directions]))
            files.write_npy(stored, project(self.vectors, self.valid, mean, directions))
        return files.read_npy(stored)


class Survey:
    """A survey folder, opened.

    Use :meth:`open`, :meth:`create` or :meth:`ingest`, not the constructor.
    """

    def __init__(self, path: Path, header: dict):
        self.path = path
        self.header = header

    # -- making and opening -------------------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        path: str | Path,
        objects: pd.DataFrame | pa.Table,
        *,
        name: str | None = None,
        pixels: dict,
        provenance: dict | None = None,
        fill: Callable[[Path], None] | None = None,
    ) -> Survey:
        """Write a new survey folder, whole or not at all.

        Parameters
        ----------
        path : path
            Folder to make; it must not exist.
        objects : table of N rows
            ``id`` (unique strings), ``ra`` and ``dec`` (deg, NaN where unknown), columns ``pixels_*`` that the cutout
            source reads, and any catalogue columns.
        pixels : dict
            The ``[pixels]`` section of the header: see `engine.data.cutouts.open_source`.
        provenance : dict, optional
            How the survey came to be: command, versions, source.
        fill : callable, optional
            Called with the temporary folder, to put more files into it before it is renamed.

        Raises
        ------
        UserError
            If the folder exists, there are no objects, or ids repeat.
        """
        path = Path(path)
        if path.exists():
            raise UserError(f"{path} already exists", "choose another name, or delete it first")
        table = objects if isinstance(objects, pa.Table) else pa.Table.from_pandas(objects, preserve_index=False)
        if table.num_rows == 0:
            raise UserError("there is no object to make a survey of", "check that the source holds readable images")
        _require_unique(table["id"])
        header = {
            "name": name or path.name.removesuffix(".survey"),
            "format": FORMAT,
            "objects": table.num_rows,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "pixels": pixels,
            "provenance": provenance or {},
        }
        with files.atomic_folder(path) as folder:
            if fill is not None:
                fill(folder)
            files.write_parquet(folder / OBJECTS, table)
            files.write_toml(folder / HEADER, header)
        return cls(path, header)

    @classmethod
    def open(cls, path: str | Path) -> Survey:
        """Open a survey folder.

        Raises
        ------
        UserError
            If it is no survey, or made by a newer version.
        """
        path = Path(path)
        if not path.is_dir():
            raise UserError(f"there is no survey folder {path}", "check the path, or make one with `ingest`")
        if not (path / HEADER).is_file():
            raise UserError(
                f"{path} is not a survey (it has no {HEADER})",
                f"make one from it with `python -m engine ingest {path} NAME.survey`",
            )
        try:
            header = tomllib.loads((path / HEADER).read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UserError(
                f"{path / HEADER} cannot be read ({error})", "restore it from a backup, or ingest the source again"
            ) from error
        version = header.get("format")
        if not isinstance(version, int):
            raise UserError(f"{path / HEADER} states no format", "restore it from a backup, or ingest the source again")
        if version > FORMAT:
            raise UserError(
                f"{path} has survey format {version}, newer than this program's {FORMAT}",
                "update Skysieve and open it again",
            )
        if not (path / OBJECTS).is_file():
            raise UserError(f"{path} has lost its {OBJECTS}", "restore it from a backup, or ingest the source again")
        return cls(path, header)

    @classmethod
    def ingest(cls, source: str | Path, path: str | Path, **options) -> Survey:
        """Make a survey of a source of cutouts; see `engine.data.ingest.ingest`."""
        from engine.data.ingest import ingest

        survey = ingest(source, path, **options).survey
        if survey is None:
            raise UserError("a dry run makes no survey", "call `engine.data.ingest.ingest` for its report")
        return survey

    def store_header(self, section: str, values: dict) -> None:
        """Replace one section of survey.toml, atomically; an empty one is left out.

        The file is read again first: what another process has changed in it since stays.
        """
        with locks.alone(self.path / f".{HEADER}.lock", HEADER):
            header = tomllib.loads((self.path / HEADER).read_text(encoding="utf-8"))
            header.pop(section, None)
            if values:
                header[section] = values
            files.write_toml(self.path / HEADER, header)
        self.header = header

    # -- objects ------------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """What people call the survey."""
        return self.header["name"]

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands, in order of wavelength (JPEG colours: R, G, B)."""
        return tuple(self.header["pixels"]["bands"])

    def __len__(self) -> int:
        return self._parquet.metadata.num_rows

    def __repr__(self) -> str:
        return f"<Survey {self.name}: {len(self):,} objects, bands {' '.join(self.bands)}, at {self.path}>"

    @cached_property
    def _parquet(self) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(self.path / OBJECTS, memory_map=True)
        except (pa.ArrowInvalid, OSError) as error:
            raise UserError(
                f"{self.path / OBJECTS} cannot be read ({error})",
                "restore it from a backup, or ingest the source again",
            ) from error

    @property
    def schema(self) -> pa.Schema:
        """Types of all columns of objects.parquet, with what the catalogue said of them (unit) as metadata."""
        return self._parquet.schema_arrow

    @property
    def columns(self) -> list[str]:
        """Names of the columns people see: id, ra, dec and the catalogue's."""
        return [c for c in self.schema.names if not c.startswith(REFERENCE_PREFIX)]

    def arrow(self, columns: Sequence[str]) -> pa.Table:
        """Read some columns of objects.parquet.

        Raises
        ------
        UserError
            If one does not exist.
        """
        names = self.schema.names
        for column in columns:
            if column not in names:
                raise UserError(f"the survey has no column {column!r}", f"choose one of: {', '.join(self.columns)}")
        return self._parquet.read(columns=list(columns))

    def column(self, name: str) -> np.ndarray:
        """Read one column, N values; strings come as an object array, None where there is none."""
        found = self.arrow([name])[name]
        if pa.types.is_dictionary(found.type):  # Arrow would give a gap the last category
            found = found.cast(found.type.value_type)
        return found.to_numpy()

    @cached_property
    def ids(self) -> pa.Array:
        """The ids, N strings, in row order."""
        return self.arrow(["id"])["id"].combine_chunks()

    def rows(self, ids: Iterable[str]) -> np.ndarray:
        """Row numbers of objects given by id.

        Raises
        ------
        UserError
            If one is not in the survey.
        """
        wanted = [str(i) for i in ids]
        found = pc.index_in(pa.array(wanted, pa.string()), value_set=self.ids)
        if found.null_count:
            missing = [i for i, row in zip(wanted, found.to_pylist()) if row is None]
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise UserError(
                f"no object called {', '.join(map(repr, missing[:3]))}{more} in {self.path}",
                "check the ids against the survey's `id` column",
            )
        return found.to_numpy(zero_copy_only=False).astype(np.int64)

    def table(self, rows: np.ndarray | None = None, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Catalogue rows as a data frame.

        Parameters
        ----------
        rows : (n,) int, optional
            All objects if not given.
        columns : names, optional
            All visible columns if not given.
        """
        table = self.arrow(list(columns) if columns is not None else self.columns)
        return (table if rows is None else table.take(pa.array(rows))).to_pandas()

    # -- what was made of them ----------------------------------------------------------------------------------------

    @cached_property
    def cutouts(self) -> CutoutSource:
        """The pixels, read where they are."""
        from engine.data.cutouts import open_source

        return open_source(self)

    @property
    def stretch(self) -> Stretch:
        """How the survey's pictures are drawn: its own stretch, else the default.

        Raises
        ------
        UserError
            If its header says something that makes no sense.
        """
        from engine.data.pictures.stretch import Stretch

        return Stretch.from_header(self.header.get("stretch", {}))

    @property
    def thumbnails(self) -> Thumbnails:
        """Small pictures made when the survey was embedded; read in place."""
        from engine.data.pictures.thumbnails import Thumbnails

        return Thumbnails(self.path / "thumbnails", len(self))

    @property
    def representations(self) -> list[str]:
        """Names of the representations, the newest first."""
        return _finished(self.path / "representations")

    def representation(self, name: str | None = None) -> Representation:
        """Open a representation, by default the newest.

        Raises
        ------
        UserError
            If it does not exist or does not fit the survey.
        """
        names = self.representations
        if not names:
            raise UserError(
                f"{self.path} has no representation yet", f"make one with `python -m engine embed {self.path}`"
            )
        if name is None:
            name = names[0]
        if name not in names:
            raise UserError(f"{self.path} has no representation {name!r}", f"choose one of: {', '.join(names)}")
        folder = self.path / "representations" / name
        vectors, valid = files.read_npy(folder / "vectors.npy"), files.read_npy(folder / "valid.npy")
        if len(vectors) != len(self) or len(valid) != len(self):
            raise UserError(
                f"{folder} has {len(vectors):,} vectors for {len(self):,} objects",
                f"delete it and run `python -m engine embed {self.path}` again",
            )
        return Representation(name, folder, vectors, valid, files.read_json(folder / "meta.json"))

    @property
    def layouts(self) -> list[str]:
        """Names of the layouts, the newest first."""
        return _finished(self.path / "layouts")

    def layout_xy(self, name: str) -> np.ndarray:
        """Positions of a layout, (N, 2) float32, NaN where an object has none.

        Raises
        ------
        UserError
            If it does not exist.
        """
        if name not in self.layouts:
            raise UserError(
                f"{self.path} has no layout {name!r}", f"choose one of: {', '.join(self.layouts) or 'none yet'}"
            )
        return files.read_npy(self.path / "layouts" / name / "xy.npy")

    @property
    def clusters(self) -> list[str]:
        """Names of the clusterings, the newest first; `engine.maps.clustering.clusters.read` opens one."""
        return _finished(self.path / "clusters")

    @property
    def scores(self) -> list[str]:
        """Names of the stored scores, the newest first."""
        found = sorted((self.path / "scores").glob("*.npy"), key=lambda p: p.stat().st_mtime, reverse=True)
        return [p.stem for p in found]

    def score(self, name: str) -> np.ndarray:
        """One stored score, (N,) float32."""
        if name not in self.scores:
            raise UserError(
                f"{self.path} has no score {name!r}", f"choose one of: {', '.join(self.scores) or 'none yet'}"
            )
        return files.read_npy(self.path / "scores" / f"{name}.npy")

    def store_score(self, name: str, values: np.ndarray) -> None:
        """Store one number an object under `name`."""
        check_name(name)
        files.write_npy(self.path / "scores" / f"{name}.npy", np.asarray(values, np.float32))

    @cached_property
    def spaces(self) -> Spaces:
        """The spaces in which likeness is reckoned, kept open."""
        from engine.search.likeness.space import Spaces

        return Spaces(self)

    @cached_property
    def labels(self) -> LabelLog:
        """The label log."""
        from engine.learning.labels import LabelLog

        return LabelLog(self.path / "labels.sqlite", objects=len(self))

    @cached_property
    def remarks(self) -> Remarks:
        """Comments on objects, and what people want to see again."""
        from engine.learning.remarks import Remarks

        return Remarks(self.labels)

    # -- the work, one call each --------------------------------------------------------------------------------------

    def embed(self, encoder: str = "skysieve-base", **options) -> Representation:
        """Make a representation; see `engine.encoders.embed.embed`."""
        from engine.encoders.embed import embed

        return embed(self, encoder, **options)

    def finetune(self, target: str, **options) -> Finetuned:
        """Tune an encoder to a target's labels or a column, and score all; see `engine.training.finetune.finetune`."""
        from engine.training.finetune import finetune

        return finetune(self, target, **options)

    def train(self, method: str = "simmim", **options) -> Training:
        """Train an encoder on these cutouts; see `engine.training.run.train`. `embed` then knows it by its name."""
        from engine.training.run import train

        return train(self, method, **options)

    def layout(self, method: str = "umap", **options) -> np.ndarray:
        """Make a layout, (N, 2) float32; see `engine.maps.layout.layout`."""
        from engine.maps.layout import layout

        return layout(self, method, **options)

    def cluster(self, method: str = "hdbscan", **options) -> Clusters:
        """Find clusters and name them; see `engine.maps.clustering.clusters.clusters`."""
        from engine.maps.clustering.clusters import clusters

        return clusters(self, method, **options)

    def similar(
        self,
        ids: Sequence[str] = (),
        *,
        unlike: Sequence[str] = (),
        top: int = 25,
        region: tuple[str, float, float, float, float] | None = None,
        **options,
    ) -> pd.DataFrame:
        """Objects most like some and unlike others; ``image=``, ``region=(id, x0, y0, x1, y1)``, ``near=(ra, dec)``,
        ``query=``, ``min_separation=`` and more: see `engine.search.similar.find_similar`. Notes are in ``.attrs``.
        """
        from engine.search.similar import find_similar

        part = None if region is None else (int(self.rows([region[0]])[0]), *region[1:])
        found = find_similar(self, self.rows(ids), unlike=self.rows(unlike), top=top, region=part, **options)
        table = self.table(found.rows, ["id", "ra", "dec"])
        table.insert(1, "score", found.score)
        table.attrs["notes"] = list(found.notes)
        return table

    def outliers(self, methods: Sequence[str] | None = None, *, top: int = 25, **options) -> pd.DataFrame:
        """Score how strange each object is, and list the strangest; see `engine.outliers.scoring.outliers`."""
        from engine.outliers.listing import strangest
        from engine.outliers.scoring import outliers

        outliers(self, methods, **options)
        return strangest(self, top)

    def interest(self, target: str, **options) -> Interest:
        """The active-learning loop for one target; see `engine.learning.interest.Interest`."""
        from engine.learning.interest import Interest

        return Interest(self, target, **options)

    def export(self, path: str | Path, **options) -> Path:
        """Write a catalogue; see `engine.share.tables.export`."""
        from engine.share.tables import export

        return export(self, path, **options)

    # -- provenance ---------------------------------------------------------------------------------------------------

    def record_run(self, command: str, settings: dict, *, seconds: float, results: dict | None = None) -> None:
        """Keep a record of a command that ran on this survey, in ``runs/``."""
        import platform

        import torch

        now = datetime.datetime.now(datetime.UTC)
        record = {
            "command": command,
            "settings": settings,
            "results": results or {},
            "seconds": round(seconds, 3),
            "finished": now.isoformat(timespec="seconds"),
            "versions": {
                "skysieve": version(),
                "python": platform.python_version(),
                "torch": torch.__version__,
                "numpy": np.__version__,
            },
        }
        files.write_json(
            self.path / "runs" / f"{now:%Y%m%dT%H%M%S.%f}-{command}.json", json.loads(json.dumps(record, default=str))
        )


def version() -> str:
    """Version of this program, as installed."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("skysieve")
    except PackageNotFoundError:
        return "uninstalled"


def check_name(name: str) -> str:
    """Return `name` if it can name a file inside a survey, else refuse it.

    Raises
    ------
    UserError
        If it is empty, too long, or holds anything but letters, digits, space, ``. _ + -``.
    """
    plain = all(ch.isalnum() or ch in " ._+-" for ch in name)
    if not name or len(name) > 100 or name[0] in ". " or not plain:
        raise UserError(
            f"{name!r} cannot be used as a name", "use letters, digits, spaces and . _ + -, at most 100 of them"
        )
    return name


def _finished(folder: Path) -> list[str]:
    """Names of sub-folders whose meta.json says they are complete, the newest first."""
    metas = [m for m in folder.glob("*/meta.json") if not m.parent.name.startswith(".")]
    return [m.parent.name for m in sorted(metas, key=lambda m: m.stat().st_mtime, reverse=True)]


def _require_unique(ids: pa.ChunkedArray) -> None:
    counts = pc.value_counts(ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids)
    repeated = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(repeated):
        shown = ", ".join(repr(v.as_py()) for v in repeated.field("values")[:3])
        raise UserError(
            f"{len(repeated):,} ids occur more than once (such as {shown})",
            "give each object its own id, or name another column with --id-column",
        )
