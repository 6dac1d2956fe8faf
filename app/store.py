"""What all sessions of one survey share: columns, placed points, labels, rankings, jobs; one `Store` a survey and
process.

Reads answer from memory or a memory-mapped file. What takes longer (sorting points into tiles, fitting the Gaussian
process) runs in one worker thread where the newest request of a kind replaces those still waiting; who wants to know
subscribes.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pandas as pd
import panel as pn
import pyarrow as pa
import pyarrow.compute as pc

from app.background import poster
from app.jobs import Jobs
from engine.data.cutouts import read_batch
from engine.data.stretch import Calibration, to_rgb
from engine.data.thumbnails import SHARD, SIDE, encode
from engine.errors import UserError
from engine.maps.tiles import TileIndex
from engine.survey import Survey

log = logging.getLogger(__name__)

#: Codes of `Store.label_codes`; 4 stands for every class or rating.
LABEL_CODES = {"yes": 1, "no": 2, "unsure": 3}
LABEL_NAMES = ("unlabelled", "yes", "no", "unsure", "other")
#: Values that the learner makes, one number an object.
RANKED = ("mean", "sd", "acquisition")
#: Categories with a colour of their own; rarer ones are drawn as "other" (the aggregation holds one layer a category).
CATEGORIES = 20
#: Distinct strings above which a column is a name, not a category.
DISTINCT = 200
#: Thumbnails rendered from pixels that are kept, when the survey has none on disk (about 3 kB each).
RENDERED = 4096
#: Objects a ranking suggests in advance.
SUGGESTED = 200
#: What columns of these names are measured in, where the catalogue does not say.
UNITS = {"ra": "deg", "dec": "deg"}


@dataclass(frozen=True)
class Placed:
    """A layout, ready to draw.

    Attributes
    ----------
    xy : (N, 2) float32
        In row order, NaN where an object has no place.
    index : TileIndex
        Placed rows in the order of the tiles (`index.order`).
    """

    name: str
    xy: np.ndarray
    index: TileIndex

    @property
    def order(self) -> np.ndarray:
        """Row numbers in the order of the tiles, (M,) int."""
        return self.index.order

    @cached_property
    def bounds(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 of all placed objects; a unit square when there is none."""
        if len(self.index) == 0:
            return 0.0, 0.0, 1.0, 1.0
        x0, x1, y0, y1 = (float(v) for v in self.index.bounds)
        return x0, y0, x1, y1


@dataclass(frozen=True)
class Values:
    """One value an object, to colour or sort by.

    Attributes
    ----------
    kind : 'number' | 'category'
    array : (N,) float32, or (N,) int8 codes into `categories`
        NaN, or -1, where unknown.
    """

    name: str
    kind: str
    array: np.ndarray
    categories: tuple[str, ...] = ()
    unit: str = ""


@dataclass(frozen=True)
class Ranking:
    """What the learner says about every object, at one moment.

    Attributes
    ----------
    mean, sd, acquisition : (N,) float
    suggested : (n,) int64
        Rows worth a look next, best first; no labelled one among them.
    """

    target: str
    mean: np.ndarray
    sd: np.ndarray
    acquisition: np.ndarray
    suggested: np.ndarray
    counts: dict[str, int] = field(default_factory=dict)


class Latest:
    """One worker thread; the newest call of a key replaces those of the same key that have not begun."""

    def __init__(self, name: str):
        self._name = name
        self._waiting: OrderedDict[str, Callable[[], None]] = OrderedDict()
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None

    def submit(self, key: str, call: Callable[[], None]) -> None:
        """Run `call` in the thread, soon."""
        with self._wake:
            self._waiting[key] = call
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()
            self._wake.notify()

    def _work(self) -> None:
        while True:
            with self._wake:
                while not self._waiting:
                    self._wake.wait()
                key, call = self._waiting.popitem(last=False)
            try:
                call()
            except Exception:  # the thread must survive whatever one call meets; the call reports what people can mend
                log.exception("work on %s failed", key)


class Store:
    """A survey, shared by the sessions of this process. Use `get_store`."""

    def __init__(self, path: str | Path):
        self.survey = Survey.open(path)
        self.n = len(self.survey)
        self.jobs = Jobs(self.survey.path, on_change=partial(self.publish, "jobs"), on_done=self._job_done)
        self._lock = threading.RLock()
        self._worker = Latest("skysieve-store")
        self._fitter = Latest("skysieve-fit")
        self._subscribers: list[tuple[Callable, object, Callable | None]] = []
        self._placed: dict[str, Placed] = {}
        self._values: OrderedDict[str, Values] = OrderedDict()
        self._codes: dict[str, tuple[int, np.ndarray, np.ndarray]] = {}
        self._interests: dict = {}
        self._rankings: dict[str, Ranking] = {}
        self._problems: dict[str, UserError] = {}
        self._rendered: OrderedDict[int, bytes] = OrderedDict()
        self._thumbnails = self.survey.thumbnails
        self._kinds: dict[str, str] = {}

    # -- change --------------------------------------------------------------------------------------------------------

    def subscribe(self, callback: Callable[[str, str], None], doc=None) -> Callable[[], None]:
        """Call ``callback(kind, detail)`` on the session's event loop after a change by anybody.

        Kinds: 'labels' and 'ranking' (detail: target), 'layouts' (detail: name of one that can be drawn now),
        'pictures', 'scores', 'jobs', 'problem' (detail: the text).

        Returns
        -------
        callable
            Call it to end the subscription; the end of the session does too.
        """
        doc = doc if doc is not None else pn.state.curdoc
        entry = (callback, doc, poster(doc) if doc is not None else None)
        with self._lock:
            self._subscribers.append(entry)
        return partial(self._forget, entry)

    def _forget(self, entry) -> None:
        with self._lock:
            if entry in self._subscribers:
                self._subscribers.remove(entry)

    def forget_document(self, doc) -> None:
        """End all subscriptions of a session."""
        with self._lock:
            self._subscribers = [s for s in self._subscribers if s[1] is not doc]

    def publish(self, kind: str, detail: str = "") -> None:
        """Tell every subscriber of a change; from any thread."""
        with self._lock:
            subscribers = list(self._subscribers)
        for callback, _doc, post in subscribers:
            if post is None:
                callback(kind, detail)
            else:
                post(partial(callback, kind, detail))

    def _job_done(self, command: str) -> None:
        """A command has ended: what it wrote may be new to us."""
        with self._lock:
            self._placed.clear()
            self._values.clear()
            self._interests.clear()
            self._thumbnails = self.survey.thumbnails
        for kind in ("pictures", "scores"):
            self.publish(kind)
        if command == "layout" and self.layouts():
            self.prepare(self.layouts()[0])

    # -- layouts -------------------------------------------------------------------------------------------------------

    def layouts(self) -> list[str]:
        """Names of the layouts, the newest first."""
        return self.survey.layouts

    def placed(self, layout: str) -> Placed:
        """A layout sorted into tiles; made on the first call (1.4 s for 10⁷ objects: in a thread, or by `prepare`)."""
        found = self._placed.get(layout)
        if found is None:
            xy = np.asarray(self.survey.layout_xy(layout), np.float32)
            found = Placed(layout, xy, TileIndex.build(xy))
            with self._lock:
                self._placed[layout] = found
        return found

    def ready(self, layout: str) -> Placed | None:
        """The layout if it is sorted already, else None."""
        return self._placed.get(layout)

    def prepare(self, layout: str) -> None:
        """Sort a layout in the worker; subscribers hear ('layouts', name)."""

        def work():
            with self._reporting():
                self.placed(layout)
                self.publish("layouts", layout)

        self._worker.submit(f"placed {layout}", work)

    def _reporting(self):
        return _Reporting(self)

    # -- values --------------------------------------------------------------------------------------------------------

    def value_names(self) -> dict[str, list[str]]:
        """Names that `values` knows, in groups: 'Learner', 'Scores', 'Catalogue' (ids and free text left out)."""
        groups = {"Learner": ["label", *RANKED], "Scores": list(self.survey.scores)}
        groups["Catalogue"] = [c for c in self.survey.columns if self._kind(c) != "text"]
        return {title: names for title, names in groups.items() if names}

    def _kind(self, column: str) -> str:
        """'number', 'category' or 'text', by the column's type and, for strings, how many differ."""
        if column not in self._kinds:
            kind = self._schema.field(column).type
            if pa.types.is_boolean(kind):
                self._kinds[column] = "category"
            elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
                self._kinds[column] = "number"
            elif column == "id":
                self._kinds[column] = "text"
            else:
                distinct = pc.count_distinct(self.survey.arrow([column])[column]).as_py()
                self._kinds[column] = "category" if distinct <= min(DISTINCT, max(1, self.n // 2)) else "text"
        return self._kinds[column]

    @cached_property
    def _schema(self) -> pa.Schema:
        return self.survey._parquet.schema_arrow

    def values(self, name: str, target: str) -> Values:
        """One value an object: 'label', 'mean', 'sd' or 'acquisition' of the target, a stored score, or a column.

        Raises
        ------
        UserError
            If the name is not known.
        """
        if name == "label":
            codes = self.label_codes(target)
            return Values(name, "category", np.where(codes == 0, -1, codes - 1).astype(np.int8), LABEL_NAMES[1:])
        if name in RANKED:
            ranking = self.ranking(target)
            array = (
                np.full(self.n, np.nan, np.float32)
                if ranking is None
                else np.asarray(getattr(ranking, name), np.float32)
            )
            return Values(name, "number", array)
        with self._lock:
            if name in self._values:
                self._values.move_to_end(name)
                return self._values[name]
        found = self._read_values(name)
        with self._lock:
            self._values[name] = found
            while len(self._values) > 16:
                self._values.popitem(last=False)
        return found

    def _read_values(self, name: str) -> Values:
        if name in self.survey.scores:
            return Values(name, "number", np.asarray(self.survey.score(name), np.float32))
        if name not in self.survey.columns or self._kind(name) == "text":
            known = ", ".join(n for names in self.value_names().values() for n in names)
            raise UserError(f"there is nothing called {name!r} to colour or sort by", f"choose one of: {known}")
        column = self.survey.arrow([name])[name].combine_chunks()
        if self._kind(name) == "number":
            numbers = pc.cast(column, pa.float64(), safe=False)
            return Values(
                name, "number", numbers.to_numpy(zero_copy_only=False).astype(np.float32), (), self.unit(name)
            )
        return _categories(name, column)

    def unit(self, column: str) -> str:
        """Unit of a column: what the catalogue said when it was ingested, or what its name says."""
        stated = (self._schema.field(column).metadata or {}).get(b"unit", b"").decode()
        if stated:
            return stated
        return "mag" if column.lower().startswith("mag") else UNITS.get(column.lower(), "")

    # -- pictures ------------------------------------------------------------------------------------------------------

    def thumbnails(self, rows: Sequence[int] | np.ndarray) -> list[bytes]:
        """JPEG bytes of objects, in order; rendered from the pixels where the survey has none; empty if unreadable."""
        found = self._thumbnails.read(rows)
        missing = [
            int(r) for r, picture in zip(rows, found) if not picture and not self._thumbnails.has(int(r) // SHARD)
        ]
        if missing:
            self._render([r for r in missing if r not in self._rendered])
            found = [p or self._rendered.get(int(r), b"") for r, p in zip(rows, found)]
        return found

    def _render(self, rows: list[int]) -> None:
        source, pixels = self.survey.cutouts, self.survey.header["pixels"]
        for start in range(0, len(rows), 256):
            part = np.asarray(rows[start : start + 256], np.int64)
            if part.size == 0:
                break
            cutouts, readable, _ = read_batch(source, part, SIDE)
            pictures = to_rgb(cutouts, Calibration.of(pixels, len(source.bands)), science=source.science)
            with self._lock:
                for row, picture, good in zip(part, pictures, readable):
                    self._rendered[int(row)] = encode(picture) if good else b""
                while len(self._rendered) > RENDERED:
                    self._rendered.popitem(last=False)

    def ids(self, rows: Sequence[int] | np.ndarray) -> list[str]:
        """Ids of objects, in order."""
        return self.survey.ids.take(pa.array(np.asarray(rows, np.int64))).to_pylist()

    # -- labels --------------------------------------------------------------------------------------------------------

    def label(
        self, rows: Sequence[int] | np.ndarray, value: str, *, target: str, user: str, view: dict | None = None
    ) -> None:
        """Write labels to the log (on disk when this returns), tell every session, and rank anew.

        Raises
        ------
        UserError
            If the log cannot be written.
        """
        rows = np.asarray(rows, np.int64)
        names = self.survey.representations
        self.survey.labels.add(
            rows,
            target,
            value,
            ids=self.ids(rows),
            user=user,
            view=view,
            representation=names[0] if names else None,
            layout=(view or {}).get("layout"),
        )
        self._labelled(target)

    def undo(self, user: str, target: str | None = None):
        """Take back the user's last labels; returns what `engine.learning.labels.LabelLog.undo` does, or None."""
        undone = self.survey.labels.undo(user, target)
        if undone is not None:
            self._labelled(undone.target)
        return undone

    def _labelled(self, target: str) -> None:
        self.publish("labels", target)
        self.rerank(target)

    def label_codes(self, target: str) -> np.ndarray:
        """Current label of every object, (N,) int8, read-only: 0 none, 1 yes, 2 no, 3 unsure, 4 anything else."""
        version = self.survey.labels.version
        known = self._codes.get(target)
        if known is None or known[0] != version:
            codes = np.zeros(self.n, np.int8)
            current = self.survey.labels.current(target)
            rows = np.asarray(current.rows, np.int64)
            codes[rows] = [LABEL_CODES.get(str(v), 4) for v in current.values]
            codes.flags.writeable = rows.flags.writeable = False
            known = self._codes[target] = (version, codes, rows)
        return known[1]

    def labelled(self, target: str) -> np.ndarray:
        """Rows with a label, the newest last, (n,) int64."""
        self.label_codes(target)
        return self._codes[target][2]

    def label_counts(self, target: str) -> dict[str, int]:
        """How many objects have each label: 'yes', 'no', 'unsure', 'other'."""
        counts = np.bincount(self.label_codes(target), minlength=5)
        return {name: int(counts[k]) for k, name in enumerate(LABEL_NAMES) if k}

    # -- ranking -------------------------------------------------------------------------------------------------------

    def interest(self, target: str):
        """The active-learning loop of a target, made on the first call: seconds for a large survey, so in a thread."""
        found = self._interests.get(target)
        if found is None:
            found = self.survey.interest(target)
            with self._lock:
                found = self._interests.setdefault(target, found)
        return found

    def rerank(self, target: str) -> None:
        """Rank in the worker; subscribers hear ('ranking', target)."""
        self._worker.submit(f"rank {target}", partial(self._rank, target))

    def _rank(self, target: str) -> None:
        with self._reporting():
            interest = self.interest(target)
            interest.sync()
            self._keep_ranking(interest, target)
            if interest.needs_refit():
                self._fitter.submit(f"fit {target}", partial(self._fit, target))

    def _fit(self, target: str) -> None:
        """Fit the hyper-parameters anew, in a thread of its own: the old ones go on ranking meanwhile."""
        with self._reporting():
            self.interest(target).refit()
            self.rerank(target)

    def _keep_ranking(self, interest, target: str) -> None:
        suggested = np.asarray(interest.next_rows(min(SUGGESTED, self.n)), np.int64)
        self._rankings[target] = Ranking(
            target,
            np.array(interest.mean),
            np.array(interest.sd),
            np.array(interest.acquisition()),
            suggested,
            self.label_counts(target),
        )
        self.publish("ranking", target)

    def ranking(self, target: str) -> Ranking | None:
        """The newest ranking, or None (one is then being made: wait for 'ranking')."""
        found = self._rankings.get(target)
        if found is None:
            self.rerank(target)
        return found

    def keep_scores(self, target: str) -> None:
        """Write mean, sd and acquisition of a target into the survey, as an export wants them (call it in a thread)."""
        interest = self.interest(target)
        interest.sync()
        interest.store()
        self.publish("scores")

    def suggestions(self, target: str, n: int) -> np.ndarray:
        """Rows to look at next, best first, none of them labelled; empty until a ranking is there."""
        ranking = self.ranking(target)
        if ranking is None:
            return np.zeros(0, np.int64)
        codes = self.label_codes(target)
        return ranking.suggested[codes[ranking.suggested] == 0][:n]


class _Reporting:
    """Turns what people can mend into a 'problem' that every session shows, for work in the store's thread."""

    def __init__(self, store: Store):
        self.store = store

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace) -> bool:
        if isinstance(error, UserError):
            self.store.publish("problem", str(error))
            return True
        return False


def _categories(name: str, column: pa.Array) -> Values:
    """Codes of the commonest categories, in the order of their counts; the rest become 'other'."""
    text = pc.cast(column, pa.string())
    counts = pd.Series(text.to_pandas()).value_counts()
    names = [str(v) for v in counts.index]
    shown = names if len(names) <= CATEGORIES else [*names[: CATEGORIES - 1]]
    codes = pc.fill_null(pc.index_in(text, value_set=pa.array(shown, pa.string())), -1).to_numpy(zero_copy_only=False)
    if len(shown) < len(names):
        known = pc.is_valid(text).to_numpy(zero_copy_only=False)
        codes = np.where((codes < 0) & known, len(shown), codes)
        shown = [*shown, "other"]
    return Values(name, "category", codes.astype(np.int8), tuple(shown))


_stores: dict[Path, Store] = {}
_opening = threading.Lock()


def get_store(path: str | Path) -> Store:
    """The store of a survey: one a process, however many sessions ask.

    Raises
    ------
    UserError
        If it is no survey.
    """
    key = Path(path).resolve()
    with _opening:
        if key not in _stores:
            _stores[key] = Store(path)
        return _stores[key]
