"""What all sessions of one survey share; one `Store` a survey and process.

The parts are modules of their own: changes (who hears of what), layouts, columns, thumbnails, label codes, rankings and
jobs. The store opens them, says where each question goes, and lets one change lead to the next: a label to a ranking,
a command that has ended to what it wrote.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from app.background import Latest
from app.changes import Changes
from app.clusters.clusterings import Clusterings
from app.columns import Columns, Values
from app.hunt.codes import LabelCodes
from app.hunt.outlying import Outlying
from app.hunt.ranking import RANKED, Ranking, Rankings
from app.jobs import Job, Jobs
from app.layouts.growing import Growing
from app.layouts.stored import Layouts, Placed
from app.map.preserved import Preserved
from app.pictures.thumbs import Thumbs
from app.training.runs import Runs
from engine.data.pictures.stretch import Stretch
from engine.errors import UserError
from engine.learning.labels import Undone
from engine.learning.targets import Target
from engine.maps.clustering.clusters import PREFIX
from engine.maps.exemplars import Exemplars
from engine.survey import Survey


class Store:
    """A survey, shared by the sessions of this process. Use `get_store`."""

    def __init__(self, path: str | Path):
        self.survey = Survey.open(path)
        self.n = len(self.survey)
        self.changes = Changes()
        self.codes = LabelCodes(self.survey)
        self.rankings = Rankings(self.survey, self.codes, self.changes)
        self.outlying = Outlying(self.survey)
        self.runs = Runs(self.survey.path / "models")
        self._chosen: str | None = None
        self.jobs = Jobs(self.survey.path, on_change=self._jobs_changed, on_done=self._job_done)
        self.growing = Growing(self.survey, self.jobs, self.publish)
        self.makes_first_layout = False
        self._layouts = Layouts(self.survey)
        self._columns = Columns(self.survey)
        self.clusterings = Clusterings(self.survey)
        self._preserved = Preserved(self.survey)
        self._thumbs = Thumbs(self.survey)
        self._worker = Latest("skysieve-store")

    # -- change --------------------------------------------------------------------------------------------------------

    def subscribe(self, callback: Callable[[str, str], None], doc=None) -> Callable[[], None]:
        """Hear of changes by anybody; see `app.changes.Changes.subscribe`."""
        return self.changes.subscribe(callback, doc)

    def publish(self, kind: str, detail: str = "") -> None:
        """Tell every session of a change; from any thread."""
        self.changes.publish(kind, detail)

    def _jobs_changed(self) -> None:
        """A job is farther: so may be the layout that it makes."""
        self.publish("jobs")
        self._worker.submit("growing", self.growing.look)

    def _job_done(self, command: str) -> None:
        """A command has ended: what it wrote may be new to us."""
        if command == "pictures":  # it only reads
            return
        for part in (self._layouts, self._columns, self._preserved, self.clusterings, self.rankings):
            part.clear()
        self._thumbs.reopen()
        for kind in ("pictures", "scores"):
            self.publish(kind)
        self.publish("done", command)
        if command == "layout" and self.layouts():
            self.prepare(self.layouts()[0])
        elif not self.layouts() and self.survey.representations:
            self.make_first_layout()
        elif command == "clusters":
            self.publish("clusters", next(iter(self.clusterings.names()), ""))

    # -- representations -----------------------------------------------------------------------------------------------

    @property
    def representation(self) -> str | None:
        """The representation that searches and learns, and that layouts are made of: the one chosen, else the newest."""
        names = self.survey.representations
        return self._chosen if self._chosen in names else (names[0] if names else None)

    def use(self, representation: str) -> None:
        """Search and learn by another representation from now on; subscribers hear ('representation', name).

        Raises
        ------
        UserError
            If there is no such representation.
        """
        names = self.survey.representations
        if representation not in names:
            raise UserError(
                f"there is no representation {representation!r}", f"choose one of: {', '.join(names) or 'none yet'}"
            )
        if representation != self.representation:
            self._chosen = representation
            self.rankings.use(representation)
        self._chosen = representation
        self.publish("representation", representation)

    # -- layouts -------------------------------------------------------------------------------------------------------

    def layouts(self) -> list[str]:
        """Names of the layouts, the newest first."""
        return self.survey.layouts

    def placed(self, layout: str) -> Placed:
        """A layout, ready to draw; read on the first call (in a thread, or by `prepare`)."""
        return self._layouts.placed(layout)

    def ready(self, layout: str) -> Placed | None:
        """The layout if it has been read already, else None."""
        return self._layouts.ready(layout)

    def exemplars(self, layout: str) -> Exemplars:
        """The objects that stand for each part of a layout, at every scale (in a thread: it may have to be made)."""
        return self._layouts.exemplars(layout)

    def make_first_layout(self) -> None:
        """Make the layout by principal components, in the store's thread; subscribers hear ('layouts', name)."""

        def work() -> None:
            with self.changes.reporting():
                try:
                    if not self.layouts():
                        self.survey.layout("pca", representation=self.representation)
                finally:
                    self.makes_first_layout = False
                self.placed(self.layouts()[0])
                self.publish("layouts", self.layouts()[0])

        self.makes_first_layout = True
        self._worker.submit("first layout", work)

    def show_beginning(self, job: Job, representation: str | None) -> None:
        """Show where a layout's job begins before it has got there; subscribers hear ('growing', title)."""
        if representation is not None:
            self._worker.submit("beginning", partial(self.growing.begin, job, representation))

    def prepare(self, layout: str) -> None:
        """Read a layout in the store's thread; subscribers hear ('layouts', name)."""

        def work() -> None:
            with self.changes.reporting():
                self.placed(layout)
                self.publish("layouts", layout)

        self._worker.submit(f"placed {layout}", work)

    # -- values --------------------------------------------------------------------------------------------------------

    def value_names(self) -> dict[str, list[str]]:
        """Names that `values` knows, in groups: 'Learner', 'Scores', 'Catalogue', … (ids and free text left out)."""
        groups = {
            "Learner": ["label", *RANKED],
            "Clusters": [PREFIX + name for name in self.clusterings.names()],
            "Scores": self._columns.scores(),
            "Neighbourhoods": self._preserved.names(),
            "Catalogue": self._columns.names(),
        }
        return {title: names for title, names in groups.items() if names}

    def values(self, name: str, target: str) -> Values:
        """One value an object: 'label', 'mean', 'sd' or 'acquisition' of the target, a stored score, or a column.

        Raises
        ------
        UserError
            If the name is not known.
        """
        if name == "label":
            codes = self.codes.of(target)
            return Values(
                name, "category", np.where(codes == 0, -1, codes - 1).astype(np.int8), self.label_names(target)[1:]
            )
        if name in RANKED:
            ranking = self.ranking(target)
            found = np.full(self.n, np.nan) if ranking is None else getattr(ranking, name)
            return Values(name, "number", np.asarray(found, np.float32))
        if name in self._preserved.names():
            return self._preserved.values(name)
        if not self._columns.knows(name) and self.clusterings.knows(name):
            return self.clusterings.values(name)
        if not self._columns.knows(name):
            known = ", ".join(n for names in self.value_names().values() for n in names)
            raise UserError(f"there is nothing called {name!r} to colour or sort by", f"choose one of: {known}")
        return self._columns.values(name)

    def number_columns(self) -> list[str]:
        """Columns of the catalogue that hold numbers."""
        return self._columns.numbers()

    def unit(self, column: str) -> str:
        """Unit of a column, empty if unknown."""
        return self._columns.unit(column)

    # -- objects -------------------------------------------------------------------------------------------------------

    def thumbnails(self, rows: Sequence[int] | np.ndarray) -> list[bytes]:
        """JPEG bytes of objects, in order; rendered from the pixels where the survey has none; empty if unreadable."""
        return self._thumbs.read(rows)

    def pictures(self, rows: Sequence[int] | np.ndarray, stretch: Stretch) -> list[bytes]:
        """The same under any stretch; drawn anew in a tenth of a second for a hundred that were drawn just before.

        Raises
        ------
        UserError
            If the pixels are gone, or the stretch names a band that is not there.
        """
        return self._thumbs.read(rows, stretch)

    def hold_pixels(self, rows: Sequence[int] | np.ndarray) -> None:
        """Read the pixels of objects that will soon be drawn under one stretch after another."""
        self._thumbs.hold(rows)

    @property
    def stretch(self) -> Stretch:
        """How the survey's pictures are drawn when nobody asks for anything else."""
        return self._thumbs.stretch

    def ids(self, rows: Sequence[int] | np.ndarray) -> list[str]:
        """Ids of objects, in order."""
        return self.survey.ids.take(pa.array(np.asarray(rows, np.int64))).to_pylist()

    # -- labels --------------------------------------------------------------------------------------------------------

    def label(
        self,
        rows: Sequence[int] | np.ndarray,
        value: str | Sequence[str],
        *,
        target: str,
        user: str,
        view: dict | None = None,
    ) -> None:
        """Write one label, or one each, to the log as one batch (on disk when this returns), tell every session, rank anew.

        Raises
        ------
        UserError
            If the log cannot be written.
        """
        rows = np.asarray(rows, np.int64)
        self.survey.labels.add(
            rows,
            target,
            value,
            ids=self.ids(rows),
            user=user,
            view=self._seen(rows, target, view),
            representation=self.representation,
            layout=(view or {}).get("layout"),
        )
        self._labelled(target)

    def undo(self, user: str, target: str | Sequence[str] | None = None) -> Undone | None:
        """Take back the user's last labels; see `engine.learning.labels.LabelLog.undo`."""
        undone = self.survey.labels.undo(user, target)
        if undone is not None:
            self._labelled(undone.target)
        return undone

    def redo(self, user: str, target: str | Sequence[str] | None = None) -> Undone | None:
        """Give again what was taken back last; see `engine.learning.labels.LabelLog.redo`."""
        again = self.survey.labels.redo(user, target)
        if again is not None:
            self._labelled(again.target)
        return again

    def comment(self, row: int, text: str, *, user: str) -> None:
        """Write a comment on an object, and tell every session; see `engine.learning.remarks.Remarks.comment`."""
        self.survey.remarks.comment(row, text, id=self.ids([row])[0], user=user)
        self.publish("remarks")

    def review(self, row: int, later: bool, *, user: str) -> None:
        """Note whether the user wants to see an object again, and tell every session."""
        self.survey.remarks.review(row, later, id=self.ids([row])[0], user=user)
        self.publish("remarks")

    def _seen(self, rows: np.ndarray, target: str, view: dict | None) -> dict | list[dict] | None:
        """What the log keeps of the view, and of why an object was suggested: random ones are an unbiased sample."""
        drawn = self.rankings.drawn(target, rows)
        return [{**(view or {}), **({"drawn": how} if how else {})} for how in drawn] if any(drawn) else view

    def _labelled(self, target: str) -> None:
        self.publish("labels", target)
        self.rankings.labelled(target)

    def label_codes(self, target: str) -> np.ndarray:
        """Current label of every object, (N,) int8, read-only; see `app.hunt.codes.LabelCodes.of`."""
        return self.codes.of(target)

    def label_names(self, target: str) -> tuple[str, ...]:
        """Name of each code."""
        return self.codes.names(target)

    def target(self, name: str) -> Target:
        """How a target is labelled: verdicts, ratings or classes."""
        return self.codes.target(name)

    def labelled(self, target: str) -> np.ndarray:
        """Rows with a label, the newest last, (n,) int64."""
        return self.codes.rows(target)

    def label_counts(self, target: str) -> dict[str, int]:
        """How many objects have each label: 'yes', 'no', 'unsure', 'other', 'rated 0' …, or a class."""
        return self.codes.counts(target)

    # -- ranking -------------------------------------------------------------------------------------------------------

    def ranking(self, target: str) -> Ranking | None:
        """The newest ranking, or None (one is then being made: wait for 'ranking')."""
        return self.rankings.ranking(target)

    def suggestions(self, target: str, n: int) -> np.ndarray:
        """Rows to look at next, best first, none of them labelled; empty until a ranking is there."""
        return self.rankings.suggestions(target, n)

    def model_news(self, target: str) -> str:
        """What changed about a target's model itself, in words; empty if nothing did."""
        return self.rankings.news(target)

    def keep_scores(self, target: str) -> None:
        """Write mean, sd and acquisition of a target into the survey (call it in a thread)."""
        self.rankings.keep_scores(target)


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


def stores() -> list[Store]:
    """Every store of this process."""
    with _opening:
        return list(_stores.values())
