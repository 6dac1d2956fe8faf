"""The inspector: one object, large, with all that is known of it.

What is in memory comes first (thumbnail, catalogue row, scores, labels), then the pixels in colour, the other views of
them (`app.inspector.views`), the numbers, and the neighbours, each made in the session's thread; a later object drops what is
still to come of an earlier one. Nothing is made while the drawer is closed.
"""

from __future__ import annotations

import datetime
from functools import partial

import numpy as np
import panel as pn
import param

from app.background import Background
from app.frames import Component, pack, script, styles
from app.gallery.marks import choices
from app.hunt.labelling import Labelling
from app.hunt.ranking import RANKED
from app.inspector.ahead import Ahead
from app.inspector.subject import Subject
from app.inspector.views import Painter, Portrait, View, blinked, card
from app.state import State
from engine.errors import UserError
from engine.learning.labels import COMMENTS

#: Neighbours shown.
NEIGHBOURS = 12
#: Stored scores listed; a survey may hold one a target and kind.
SCORES = 12


class InspectorDrawer(Component):
    """The inspector's part in the browser."""

    picture = param.Bytes(b"", doc="The object in colour; see `app.frames.pack`.")
    views = param.Bytes(b"", doc="Its other views.")
    numbers = param.Bytes(b"", doc="Its pixels' values, and where they lie on the sky.")
    near = param.Bytes(b"", doc="Its neighbours.")

    _esm = script(*(f"inspector/inspector{part}.js" for part in ("_sky", "_canvas", "_readout", "_views", "")))
    _stylesheets = [styles("inspector/inspector.css"), styles("inspector/inspector_views.css")]  # noqa: RUF012 (Panel's class attribute)


class InspectorView:
    """The inspector of a session.

    Parameters
    ----------
    state : State
    store : Store
    """

    def __init__(self, state: State, store):
        self.state = state
        self.store = store
        self.labelling = Labelling(state, store)
        self.background = Background(pn.state.curdoc)
        self.drawer = InspectorDrawer(self._receive, dark=state.dark, sizing_mode="stretch_both", min_height=200)
        self._others = Background(pn.state.curdoc)  # what is not on the screen yet, or takes long
        self._ahead = Ahead(store.survey, self._known, self._others)
        self._near = np.zeros(0, np.int64)
        self._subject = Subject(store.survey, -1)
        watch = state.param.watch
        watch(lambda *_: self.show(), ["cursor", "inspecting"])
        watch(lambda *_: self._changed(), ["labels_version", "remarks_version", "ranking_version", "target"])
        watch(lambda *_: self._expect(), ["expected", "inspecting"])
        watch(lambda *_: self._draw(state.cursor), ["stretch"])
        watch(lambda event: self.drawer.param.update(dark=event.new), ["dark"])
        if self.background.document is not None:
            for worker in (self.background, self._others):
                pn.state.on_session_destroyed(worker.close)
        self.show()

    def panel(self) -> InspectorDrawer:
        """What the shell lays out."""
        return self.drawer

    def close(self) -> None:
        """End the session's threads."""
        self.background.close()
        self._others.close()

    def _expect(self) -> None:
        """Make ready what comes next."""
        if self.state.inspecting and self.state.expected is not None:
            self._ahead.expect(self.state.expected, self.state.stretch)

    # -- what is shown -------------------------------------------------------------------------------------------------

    def show(self) -> None:
        """Show the object under the cursor, if the drawer is open."""
        row = self.state.cursor
        if not self.state.inspecting:
            return
        if not 0 <= row < self.store.n:
            self.drawer.frame = pack({"row": -1, "target": self.state.target})
            return

        def shown(found: tuple[dict, bytes]) -> None:
            header, thumbnail = found
            self.drawer.frame = pack({**header, **self._changing(row)}, [thumbnail])

        ready = self._ahead.of(row, None)
        if ready is not None:
            self.background.cancel("object")
            shown(ready.known)
        else:
            self.background.run("object", lambda: self._known(row), shown, self._complain)
        self._draw(row)
        self._find_neighbours(row)

    def _known(self, row: int) -> tuple[dict, bytes]:
        """Catalogue row and thumbnail."""
        record = catalogue_row(self.store.survey, row)
        place = position(record.pop("ra", None), record.pop("dec", None))
        header = {
            "row": row,
            "id": str(record.pop("id")),
            "position": place,
            "bands": self.store.survey.bands,
            "catalogue": [
                {"name": name, "value": shown(value), "unit": self.store.unit(name)} for name, value in record.items()
            ],
        }
        return header, self.store.thumbnails([row])[0]

    def _draw(self, row: int) -> None:
        """Render the pixels under the session's stretch; they are read, and sent as numbers, once an object."""
        if not self.state.inspecting or not 0 <= row < self.store.n:
            return
        fresh, ready = row != self._subject.row, self._ahead.of(row, None)
        if fresh:
            self._subject = ready.subject if ready else Subject(self.store.survey, row)
        subject, stretch, run = self._subject, self.state.stretch, self.background.run

        def coloured(found: Portrait) -> None:
            header = {"row": row, "title": title(subject), "stretch": stretch.text(), **vars(found), "colour": None}
            self.drawer.picture = pack(header, [found.colour])

        def viewed(found: list[View]) -> None:
            listed = [{"key": view.key, "title": view.title, "extent": view.extent} for view in found]
            header = {"row": row, "views": listed, "card": card(found), "blinks": blinked(found)}
            self.drawer.views = pack(header, [view.picture for view in found])

        if ready is not None and ready.stretch == stretch:
            self.background.cancel("picture")
            coloured(ready.portrait)
        else:
            run("picture", lambda: Painter(subject, stretch).portrait(), coloured, self._complain)
        run("views", lambda: Painter(subject, stretch).views(), viewed, self._complain)
        if fresh:
            run("numbers", lambda: numbers(subject), partial(setattr, self.drawer, "numbers"), self._complain)

    def _find_neighbours(self, row: int) -> None:
        if not self.store.survey.representations:
            return

        def work():
            from engine.search.similar import similar

            rows, score = similar(
                self.store.survey,
                np.array([row], np.int64),
                top=NEIGHBOURS,
                representation=self.store.representation,
            )
            rows = np.asarray(rows, np.int64)
            return rows, np.asarray(score), self.store.ids(rows), self.store.thumbnails(rows)

        def found(result) -> None:
            self._near, score, ids, thumbnails = result
            codes = self._changing(row)["near_codes"]
            header = {"row": row, "rows": self._near, "score": score, "ids": ids, "codes": codes}
            self.drawer.near = pack(header, thumbnails)

        self._others.run("near", work, found, self._complain)

    def _complain(self, error: UserError) -> None:
        self.state.notice = ("error", str(error))

    # -- what labels and rankings change -------------------------------------------------------------------------------

    def _changing(self, row: int) -> dict:
        """Label, scores and history of an object; none, with a notice, if the log cannot be read."""
        target = self.state.target
        try:
            codes = self.store.label_codes(target)
            return {
                "target": target,
                "code": codes[row],
                "choices": choices(self.store, target, self.state.dark),
                "comments": [vars(comment) for comment in self.store.survey.remarks.comments(row)],
                "near_codes": codes[self._near],
                "near_rows": self._near,
                "scores": scores(self.store, row, target),
                "history": history(self.store.survey.labels.history(row)),
            }
        except UserError as error:
            self._complain(error)
            return {
                "target": target,
                "code": 0,
                "choices": [],
                "comments": [],
                "near_codes": [],
                "near_rows": [],
                "scores": [],
                "history": [],
            }

    def _changed(self) -> None:
        row = self.state.cursor
        if self.state.inspecting and 0 <= row < self.store.n:
            self.drawer.send("changed", row=row, **self._changing(row))

    # -- what the browser says -----------------------------------------------------------------------------------------

    def _receive(self, message: dict) -> None:
        kind, row = message.get("type"), message.get("row")
        if kind == "again":
            self.show()
        elif kind == "close":
            self.state.inspecting = False
        elif kind == "stretching":
            self.state.stretching = not self.state.stretching
        elif kind == "label":
            self._label(message)
        elif kind == "undo":
            self.labelling.undo()
        elif isinstance(row, int) and 0 <= row < self.store.n:
            if kind == "cursor":
                self.state.cursor = row
            elif kind == "part":
                self._search_part(row, message.get("box"))
            elif kind == "similar":
                self.state.param.update(query_rows=np.array([row], np.int64), tab="similar")

    def _search_part(self, row: int, box) -> None:
        """Search by a part of the cutout; views wider than the cutout have corners outside of it, which are cut off."""
        if isinstance(box, list) and len(box) == 4 and all(isinstance(v, int | float) for v in box):
            self.state.param.update(region=(row, *map(float, box)), tab="similar")

    def _label(self, message: dict) -> None:
        row = message.get("row")
        outcome = self.labelling.label(
            [row] if isinstance(row, int) else [], str(message.get("value")), view={"tab": "inspector"}
        )
        if not outcome.good:
            self._changed()  # the browser has shown the label already: put it right


def title(subject: Subject) -> str:
    """What the picture in colour is called: where there is no colour, by its band."""
    if subject.problem or len(subject.bands) > 1:
        return "colour"
    return str(subject.survey.bands[0]) if len(subject.survey.bands) == 1 else "grey"


def numbers(subject: Subject) -> bytes:
    """The message with an object's pixel values, and what is needed to say where they are; empty if there are none."""
    if subject.problem:
        return b""
    found = subject.numbers()
    header = {
        "row": subject.row,
        "kind": found.kind,
        "shape": found.shape,
        "block": found.block,
        "bands": found.names,
        "units": found.units,
        "scale": subject.scale,
        "sky": None if subject.sky is None else subject.sky.header(),
        "place": subject.place,
    }
    return pack(header, [found.data])


def catalogue_row(survey, row: int) -> dict:
    """Visible columns of one object, in order; reads the row group that holds it, not whole columns."""
    parquet = survey._parquet
    start = 0
    for group in range(parquet.num_row_groups):
        count = parquet.metadata.row_group(group).num_rows
        if row < start + count:
            table = parquet.read_row_group(group, columns=survey.columns)
            return table.slice(row - start, 1).to_pylist()[0]
        start += count
    raise UserError(f"there is no object in row {row}", "reload the page")


def position(ra: float | None, dec: float | None) -> dict | None:
    """RA and Dec (deg) as people write them, in degrees and sexagesimal (to 0.1 arcsec); None if they are not known.

    Seconds are rounded before they are split, so that 59.99 never shows as 60.
    """
    if ra is None or dec is None or not (np.isfinite(ra) and np.isfinite(dec)):
        return None
    hundredths = round((ra % 360.0) / 15.0 * 360_000) % (24 * 360_000)  # of a second of time
    tenths = round(abs(dec) * 36_000)  # of a second of arc
    hours, rest = divmod(hundredths, 360_000)
    degrees, arc = divmod(tenths, 36_000)
    sign = "−" if dec < 0 else "+"
    return {
        "ra": f"{ra:.6f}",
        "dec": f"{dec:+.6f}".replace("-", "−"),
        "ra_sexagesimal": f"{hours:02d}ʰ{rest // 6000:02d}ᵐ{rest % 6000 / 100:05.2f}ˢ",
        "dec_sexagesimal": f"{sign}{degrees:02d}°{arc // 600:02d}′{arc % 600 / 10:04.1f}″",
    }


def shown(value) -> str:
    """A catalogue value as text: numbers to seven digits, '–' where unknown."""
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.7g}" if isinstance(value, float) else str(value)


def scores(store, row: int, target: str) -> list[dict]:
    """What the learner and the stored scores say of one object."""
    found: list[dict] = []
    learned = any(store.label_counts(target).values()) and bool(store.survey.representations)
    ranking = store.ranking(target) if learned else None
    if ranking is not None:
        mean, sd, gain = (float(v[0]) for v in ranking.said.at(np.array([row])))
        likely = min(max(mean, 0.0), 1.0)
        found += [
            {"name": f"{target}, predicted", "value": f"{mean:.2f} ± {sd:.2f}", "share": likely},
            {"name": "acquisition", "value": f"{gain:.4g}"},
        ]
    said = {f"{kind}_{target}" for kind in RANKED} if found else set()
    for name in [name for name in store.survey.scores if name not in said][:SCORES]:
        found.append({"name": name, "value": f"{float(store.values(name, target).array[row]):.4g}"})
    return found


def history(events) -> list[dict]:
    """The label events of an object, the newest first, with local times."""
    lines = []
    for event in reversed(events):
        said = event.comment or event.value if event.target == COMMENTS else event.value
        what = "took it back" if event.kind == "undo" else said
        lines.append({"time": local_time(event.time), "user": event.user, "target": event.target, "value": what})
    return lines


def local_time(stamp: str) -> str:
    """A UTC time stamp (ISO 8601) as the local date and time, to the minute."""
    try:
        moment = datetime.datetime.fromisoformat(stamp)
    except ValueError:
        return stamp
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"
