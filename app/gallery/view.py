"""The gallery: a hundred thumbnails a page of what is selected, suggested, similar or labelled; labels by key or click.

Python decides what is listed and in which order; the browser draws it, moves the cursor and shows a label before it is
confirmed. A page is one frame (`app.frames`); pictures the browser has already are not sent again, and the next page's
follow when the page is there. An order is never changed under the reader's eyes: labels and rankings repaint marks and
numbers, and the list is made anew when another tab, order, selection or target is chosen, on ``r``, or when a batch is
labelled through.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import cached_property

import numpy as np
import panel as pn
import param
from panel.custom import Child

from app.background import Background
from app.frames import Component, pack, script, styles
from app.gallery import tabs
from app.gallery.listing import PAGE, Listing
from app.hunt.outlying import Asked
from app.hunt.labelling import Labelling
from app.state import TABS, State
from app.wording import stretch_in_words
from engine.errors import UserError

#: Pictures the browser is trusted to keep (about 3 kB each).
KEPT = 600
#: Objects from which a whole selection is labelled in the thread: 100,000 take 1 s.
LATER = 2000
#: Orders that put the interesting end first when they are chosen.
BEST_FIRST = ("mean", "sd", "acquisition")
#: What the objects of a tab are called where all of them are meant.
LISTED_AS = {"selection": "selected", "suggestions": "suggested", "outliers": "listed", "similar": "similar", "labelled": "listed"}


class GalleryGrid(Component):
    """The gallery's part in the browser."""

    ahead = param.Bytes(b"", doc="Pictures of the next page; see `app.frames.pack`.")
    redrawn = param.Bytes(b"", doc="Pictures of this page under another stretch.")
    above = Child(
        doc="What lies between the tabs and the objects: a row of controls for some tabs, see `GalleryView.controls`."
    )

    _esm = script("gallery/gallery.js")
    _stylesheets = [styles("gallery/gallery.css")]  # noqa: RUF012 (Panel's class attribute)


class GalleryView:
    """The gallery of a session.

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
        self.controls = pn.Column(margin=0, sizing_mode="stretch_width")
        self.grid = GalleryGrid(
            self._receive, above=self.controls, dark=state.dark, sizing_mode="stretch_both", min_height=200
        )
        self._listed = tabs.Listed(Listing(np.zeros(0, np.int64)))
        self._shown = np.zeros(0, np.int64)
        self._ids: list[str] = []
        self._page = 0
        self._sequence = 0
        self._redraws = 0
        self._sent: OrderedDict[int, None] = OrderedDict()
        self._batch = tabs.BATCHES[0]
        self._verdict = ""
        self._sorts: dict[str, str] = {}
        self._asked: tuple[str, np.ndarray, str] | None = None
        self._likely = 0
        self._stale = False
        self._own_cursor = False
        self._first = True
        self._watch()
        self.relist()

    def panel(self) -> GalleryGrid:
        """What the shell lays out."""
        return self.grid

    def put_above(self, part: pn.viewable.Viewable, *names: str) -> None:
        """Lay controls between the tabs and the objects, shown on some tabs only."""
        part.visible = self.state.tab in names
        self.state.param.watch(lambda event: part.param.update(visible=event.new in names), "tab")
        self.controls.append(part)

    def close(self) -> None:
        """End the session's thread."""
        self.background.close()

    def _watch(self) -> None:
        watch = self.state.param.watch
        watch(self._tab_changed, ["tab"], precedence=0)
        watch(lambda *_: self.relist(), ["selection", "target", "sort", "tab"], precedence=1)
        watch(lambda *_: self.state.tab == "similar" and self.relist(), ["asking"], precedence=1)
        watch(lambda *_: self._labels_changed(), ["labels_version"])
        watch(lambda *_: self._outliers_changed(), ["strange_by", "reweighted", "hide_artefacts", "outliers_version"])
        watch(lambda *_: self._ranking_changed(), ["ranking_version"])
        watch(self._cursor_changed, ["cursor"])
        watch(lambda event: self.grid.param.update(dark=event.new), ["dark"])
        watch(lambda event: self.grid.send("inspecting", open=event.new), ["inspecting"])
        watch(lambda *_: self._restretch(), ["stretch", "own_stretch"])
        watch(self._stretching_changed, ["stretching"])
        if self.background.document is not None:
            pn.state.on_session_destroyed(self.background.close)

    # -- what is listed ------------------------------------------------------------------------------------------------

    def _tab_changed(self, event) -> None:
        """Each tab keeps its own order."""
        self._sorts[event.old] = self.state.sort
        self.state.sort = self._sorts.get(event.new, "")

    def wanted(self) -> tabs.Wanted:
        """What the session asks for now."""
        state = self.state
        return tabs.Wanted(
            state.tab, state.target, state.sort, state.selection, state.asking, self._batch, self._verdict, Asked.of(state)
        )

    def relist(self, *, page: int = 0, first: bool = False) -> None:
        """List anew and show a page; `first` puts the cursor on its first object."""
        wanted = self.wanted()
        count = len(wanted.selection) if wanted.tab == "selection" and wanted.selection is not None else 0
        self.grid.send("busy", text=f"Sorting {count:,} objects…" if wanted.sort and count > PAGE else "Loading…")

        def listed(found: tabs.Listed) -> None:
            self._listed, self._stale = found, False
            if found.warning:
                self.state.notice = ("error", found.warning)
            self.show_page(page, place=0 if first else None)

        def failed(error) -> None:
            nothing = Listing(np.zeros(0, np.int64))
            self._listed = tabs.Listed(
                nothing,
                title=error.problem[:1].upper() + error.problem[1:] + ".",
                advice=error.remedy[:1].upper() + error.remedy[1:] + ".",
            )
            self.show_page(0)

        self.background.run("list", lambda: tabs.list_objects(self.store, wanted), listed, failed)

    def show_page(self, page: int, *, place: int | None = None) -> None:
        """Show a page of the list.

        Parameters
        ----------
        place : int, optional
            Where on the page the cursor goes, -1 for its end. If not given it stays when its object is on the page, and
            goes to the first otherwise.
        """
        listing, stretch = self._listed.listing, self.state.stretch
        page = min(max(page, 0), listing.pages - 1)

        def work():
            rows = listing.page(page)
            missing = [int(r) for r in rows if int(r) not in self._sent]
            likely = tabs.likely(self.store, self.state.target) if self.state.tab == "suggestions" else 0
            return rows, self.store.ids(rows), dict(zip(missing, self.store.pictures(missing, stretch))), likely

        def done(found) -> None:
            self._page = page
            self._shown, self._ids, pictures, self._likely = found
            self._place_cursor(place)
            self._send_frame(pictures)
            if self.state.stretch != stretch:  # changed while these were drawn
                self._restretch()
            else:
                self._send_ahead(page + 1)

        self.background.run("page", work, done, self._page_failed)

    def _page_failed(self, error) -> None:
        self._shown, self._ids = np.zeros(0, np.int64), []
        self._listed = tabs.Listed(Listing(self._shown), title=f"{error.problem}.", advice=f"{error.remedy}.")
        self._send_frame({})

    def _send_ahead(self, page: int) -> None:
        listing, stretch = self._listed.listing, self.state.stretch
        if page >= listing.pages:
            return

        def work():
            rows = [int(r) for r in listing.page(page) if int(r) not in self._sent]
            return dict(zip(rows, self.store.pictures(rows, stretch)))

        def done(pictures: dict[int, bytes]) -> None:
            if pictures:
                dropped = self._remember(pictures)
                self.grid.ahead = pack({"pictured": list(pictures), "drop": dropped}, list(pictures.values()))

        self.background.run("ahead", work, done)

    # -- the stretch ---------------------------------------------------------------------------------------------------

    def _stretching_changed(self, event) -> None:
        """The panel opens or closes: the first move of a slider should find the pixels read."""
        self.grid.send("stretching", open=event.new)
        rows = self._shown
        if event.new:
            self.background.run("hold", lambda: self.store.hold_pixels(rows), lambda _: None)

    def _restretch(self) -> None:
        """Draw what is shown anew: the tiles stay where they are, and keep their pictures until the new ones are there."""
        rows, stretch = self._shown, self.state.stretch
        self._sent.clear()
        self.background.cancel("ahead")
        self.grid.send("stretch", text=self._stretched)

        def done(pictures: list[bytes]) -> None:
            self._redraws += 1
            dropped = self._remember(dict(zip(rows.tolist(), pictures)))
            header = {"rows": rows, "number": self._redraws, "drop": dropped}
            self.grid.redrawn = pack(header, pictures)
            self.state.drawn = stretch

        def failed(error: UserError) -> None:
            self.state.param.update(notice=("error", str(error)), drawn=stretch)

        self.background.run("redraw", lambda: self.store.pictures(rows, stretch), done, failed)

    @property
    def _stretched(self) -> str:
        """What the chip says; empty while the survey is drawn as it is by itself."""
        state = self.state
        return "" if state.stretch == state.own_stretch else stretch_in_words(state.stretch, state.own_stretch)

    def _remember(self, pictures: dict[int, bytes]) -> list[int]:
        """Note what the browser has now; the rows it may forget, never one that is shown or was just sent."""
        for row in [*self._shown.tolist(), *pictures]:
            self._sent[row] = None
            self._sent.move_to_end(row)
        dropped = []
        while len(self._sent) > KEPT:
            dropped.append(self._sent.popitem(last=False)[0])
        return dropped

    # -- the cursor ----------------------------------------------------------------------------------------------------

    def _place_cursor(self, place: int | None) -> None:
        first, self._first = self._first, False
        shown = self._shown
        if not len(shown):
            return
        if place is None:
            here = self.state.cursor
            if here in shown or (first and here >= 0):
                return
            place = 0
        self._move_cursor(int(shown[min(place, len(shown) - 1)]))

    def _move_cursor(self, row: int) -> None:
        self._own_cursor = True
        try:
            self.state.cursor = row
        finally:
            self._own_cursor = False

    def _cursor_changed(self, event) -> None:
        if not self._own_cursor:
            self.grid.send("cursor", row=event.new)

    # -- what the browser is told --------------------------------------------------------------------------------------

    def _send_frame(self, pictures: dict[int, bytes]) -> None:
        self._sequence += 1
        dropped = self._remember(pictures)
        listing = self._listed.listing
        header = {
            **self._changing(),
            "sequence": self._sequence,
            "rows": self._shown,
            "ids": self._ids,
            "page": self._page,
            "pages": listing.pages,
            "start": self._page * PAGE,
            "total": len(listing),
            "cursor": self.state.cursor,
            "inspecting": self.state.inspecting,
            "tab": self.state.tab,
            "orders": self._orders,
            "sort": self.state.sort,
            "batch": self._batch,
            "batches": tabs.BATCHES,
            "verdict": self._verdict,
            "title": self._listed.title,
            "advice": self._listed.advice,
            "waiting": self._listed.waiting,
            "pictured": list(pictures),
            "drop": dropped,
            "stretch": self._stretched,
            "stretching": self.state.stretching,
        }
        self.grid.frame = pack(header, list(pictures.values()))

    def _changing(self) -> dict:
        """What labels and rankings change on a page: marks, numbers, counts, the line above."""
        wanted, target = self.wanted(), self.state.target
        codes, counts = self._labels(target)
        texts, captions = tabs.numbers(self.store, wanted, self._listed, self._shown, labelled=sum(counts.values()))
        return {
            "target": target,
            "codes": codes,
            "texts": texts,
            "captions": captions,
            "tabs": self._tabs(counts),
            "counts": counts,
            "stale": self._stale,
            "line": tabs.summary(counts, self._likely) if wanted.tab == "suggestions" and self._hunting(counts) else "",
        }

    def _hunting(self, counts: dict[str, int]) -> bool:
        """Whether there is anything to sum up."""
        return len(self._listed.listing) > 0 or any(counts.values())

    def _labels(self, target: str) -> tuple[np.ndarray, dict[str, int]]:
        """Codes of the objects shown, and counts; none, with a notice, if the log cannot be read."""
        try:
            return self.store.label_codes(target)[self._shown], self.store.label_counts(target)
        except UserError as error:
            self.state.notice = ("error", str(error))
            return np.zeros(len(self._shown), np.int8), {}

    def _tabs(self, counts: dict[str, int]) -> list[dict]:
        selected = None if self.state.selection is None else len(self.state.selection)
        size = {"selection": selected, "labelled": sum(counts.values())}
        size.setdefault(self.state.tab, len(self._listed.listing))
        return [{"name": tab, "count": size.get(tab)} for tab in TABS]

    @cached_property
    def _orders(self) -> list[dict]:
        groups = [{"title": "", "names": [tabs.AT_RANDOM]}]
        return groups + [{"title": title, "names": names} for title, names in self.store.value_names().items()]

    def _outliers_changed(self) -> None:
        """Other scores, or asked for in another way."""
        self.__dict__.pop("_orders", None)
        if self.state.tab == "outliers":
            self.relist(first=True)

    def _labels_changed(self) -> None:
        if self.state.tab == "outliers" and (self.state.reweighted or self.state.hide_artefacts):
            self._stale = True
        self.grid.send("changed", **self._changing())

    def _ranking_changed(self) -> None:
        """Numbers change at once; the list only when nobody is at work on it: it was empty, or is labelled through."""
        target, tab = self.state.target, self.state.tab
        self.__dict__.pop("_orders", None)
        if tab == "suggestions" and (len(self._listed.listing) == 0 or self._batch_done()):
            self.relist(first=True)
            return
        self._stale = tab == "suggestions" or self.state.sort.removeprefix("-") in BEST_FIRST

        def counted(count: int) -> None:
            self._likely = count
            self._labels_changed()

        self.background.run("likely", lambda: tabs.likely(self.store, target), counted)

    def _batch_done(self) -> bool:
        rows, target = self._listed.listing.rows, self.state.target
        ranking = self.store.ranking(target)
        if not len(rows) or ranking is None or not self.store.label_codes(target)[rows].all():
            return False
        return not ranking.counts or ranking.counts == self.store.label_counts(target)

    # -- what the browser says -----------------------------------------------------------------------------------------

    def _receive(self, message: dict) -> None:
        action = self._actions.get(message.get("type"))
        if action is not None:
            action(message)

    @cached_property
    def _actions(self) -> dict:
        return {
            "again": lambda m: self._send_again(),
            "cursor": lambda m: self._move_cursor(_row(m, self.store.n)),
            "open": self._open,
            "page": lambda m: self.show_page(int(m.get("page", 0)), place=m.get("place")),
            "tab": lambda m: self.state.param.update(tab=m["tab"]) if m.get("tab") in TABS else None,
            "sort": self._sort,
            "batch": self._set_batch,
            "verdict": self._set_verdict,
            "refresh": lambda m: self.relist(first=True),
            "label": self._label,
            "undo": lambda m: self._undo(),
            "all": self._ask_all,
            "confirm": lambda m: self._label_all(),
            "cancel": lambda m: setattr(self, "_asked", None),
            "similar": self._similar,
            "stretching": lambda m: self.state.param.update(stretching=not self.state.stretching),
            "unstretch": lambda m: self.state.param.update(stretch=self.state.own_stretch),
        }

    def _send_again(self) -> None:
        """The browser lost its pictures (the view was drawn anew)."""
        self._sent.clear()
        self.show_page(self._page)

    def _open(self, message: dict) -> None:
        self._move_cursor(_row(message, self.store.n))
        self.state.inspecting = True

    def _sort(self, message: dict) -> None:
        name, turned = str(message.get("name", "")), bool(message.get("turned"))
        if turned:
            name = name.removeprefix("-") if name.startswith("-") else f"-{name}" if name else ""
        elif name in BEST_FIRST or name in self.store.survey.scores:
            name = f"-{name}"
        self.state.sort = name

    def _set_batch(self, message: dict) -> None:
        if message.get("size") in tabs.BATCHES:
            self._batch = message["size"]
            self.relist(first=True)

    def _set_verdict(self, message: dict) -> None:
        self._verdict = str(message.get("verdict", ""))
        self.relist()

    def _label(self, message: dict) -> None:
        row = _row(message, self.store.n)
        view = {"page": self._page, "order": self.state.sort}
        outcome = self.labelling.label([row] if row >= 0 else [], str(message.get("value")), view=view)
        self.grid.send("saved", token=message.get("token"), row=row, good=outcome.good, problem=outcome.problem)

    def _undo(self) -> None:
        outcome = self.labelling.undo()
        self.grid.send("undone", rows=outcome.rows[:PAGE], good=outcome.good, problem=outcome.problem)

    def _ask_all(self, message: dict) -> None:
        """First half of labelling a whole list: say what would be done and wait for the confirmation."""
        whole = self.state.tab == "selection"
        rows = self.state.selection if whole and self.state.selection is not None else self._listed.listing.rows
        value, target = str(message.get("value")), self.state.target
        if len(rows) == 0:
            self.state.notice = ("info", "There is nothing here to label.")
            return
        self._asked = (value, np.array(rows), target)
        what = _objects(len(rows), LISTED_AS[self.state.tab])
        self.grid.send("ask", value=value, text=f"Label {what} ‘{target}: {value}’?")

    def _label_all(self) -> None:
        if self._asked is None:
            return
        (value, rows, target), self._asked = self._asked, None

        def done(outcome) -> None:
            self.grid.send("done", good=outcome.good, problem=outcome.problem)
            if outcome.good:
                self.state.notice = ("success", f"Labelled {_objects(len(rows))} ‘{target}: {value}’. z undoes it.")

        view = {"whole": True}
        if len(rows) < LATER:
            done(self.labelling.label(rows, value, view=view, target=target))
            return
        self.grid.send("busy", text=f"Labelling {_objects(len(rows))}…")
        self.labelling.label_later(rows, value, self.background, done, view=view, target=target)

    def _similar(self, message: dict) -> None:
        row = _row(message, self.store.n)
        if row >= 0:
            self.state.param.update(query_rows=np.array([row], np.int64), tab="similar")


def _objects(count: int, kind: str = "") -> str:
    """'1 selected object', '1,234 objects'."""
    return f"{count:,} {kind} {'object' if count == 1 else 'objects'}".replace("  ", " ")


def _row(message: dict, count: int) -> int:
    """The row a message names, -1 if it names none of this survey."""
    row = message.get("row")
    return row if isinstance(row, int) and 0 <= row < count else -1
