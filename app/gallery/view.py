"""The gallery: a hundred thumbnails a page of what is selected, suggested, similar or labelled; labels by key or click.

Python decides what is listed and in which order; the browser draws it, moves the cursor and shows a label before it is
confirmed. A page is one frame (`app.frames`); pictures the browser has already are not sent again, and the next page's
follow when the page is there. An order is never changed under the reader's eyes: labels and rankings repaint marks and
numbers, and the list is made anew when another tab, order, selection or target is chosen, or on ``r``. Suggestions are a queue
of batches (`app.gallery.batches`): the next one lies ready in the browser, pictures and all, before this one is labelled
through, and the browser alone decides when to go on to it.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import panel as pn
import param
from panel.custom import Child

from app.background import Background
from app.frames import Component, pack, script, styles
from app.gallery import marks, tabs
from app.gallery.answering import Answering, row_of
from app.gallery.batches import Batches
from app.gallery.held import Held
from app.gallery.listing import PAGE, Listing
from app.hunt.outlying import Asked
from app.state import TABS, State
from app.wording import stretch_in_words
from engine.errors import UserError

#: Orders that put the interesting end first when they are chosen.
BEST_FIRST = ("mean", "sd", "acquisition")
#: Objects after the cursor whose large pictures are read before they are asked for.
EXPECTED = 3


#: The browser's part, in the order in which its classes build on each other.
SCRIPTS = ("pictures", "tiles", "strip", "labels", "sifting", "tools", "keys", "gallery")


class GalleryGrid(Component):
    """The gallery's part in the browser."""

    ahead = param.Bytes(b"", doc="Pictures of the next page; see `app.frames.pack`.")
    following = param.Bytes(b"", doc="The batch of suggestions that comes next.")
    redrawn = param.Bytes(b"", doc="Pictures of this page under another stretch.")
    above = Child(
        doc="What lies between the tabs and the objects: a row of controls for some tabs, see `GalleryView.controls`."
    )

    _esm = script(*(f"gallery/{part}.js" for part in SCRIPTS))
    _stylesheets = [styles("gallery/gallery.css"), styles("gallery/labels.css")]  # noqa: RUF012 (Panel's class attribute)


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
        self.background = Background(pn.state.curdoc)
        self.controls = pn.Column(margin=0, sizing_mode="stretch_width")
        self.grid = GalleryGrid(
            self._receive, above=self.controls, dark=state.dark, sizing_mode="stretch_both", min_height=200
        )
        self._listed = tabs.Listed(Listing(np.zeros(0, np.int64)))
        self._shown = np.zeros(0, np.int64)
        self._ids: list[str] = []
        self.page = 0
        self._sequence = self._current = 0  # number of the newest frame or offer, and of what the browser shows
        self._redraws = 0
        self._held = Held()
        self._batch = tabs.BATCHES[0]
        self._only = self._words = ""
        self._sorts: dict[str, str] = {}
        self._likely = 0
        self._waiting = False  # the browser has come to the end of the last batch
        self._stale = False
        self._own_cursor = False
        self._first = True
        self._answering = Answering(self)
        self._watch()
        self.relist()

    @property
    def listing(self) -> Listing | Batches:
        """What is listed, in order."""
        return self._listed.listing

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
        watch(lambda *_: self._asked_anew(), ["asking"], precedence=1)
        watch(lambda *_: self._labels_changed(), ["labels_version", "remarks_version"])
        watch(lambda *_: self._outliers_changed(), ["strange_by", "reweighted", "hide_artefacts", "outliers_version"])
        watch(lambda *_: self._ranking_changed(), ["ranking_version"])
        watch(self._cursor_changed, ["cursor"])
        watch(lambda event: self.grid.param.update(dark=event.new), ["dark"])
        watch(lambda *_: self._labels_changed(), ["dark"])
        watch(lambda event: self.grid.send("inspecting", open=event.new), ["inspecting"])
        watch(lambda *_: self._restretch(), ["stretch", "own_stretch"])
        watch(self._stretching_changed, ["stretching"])
        if self.background.document is not None:
            pn.state.on_session_destroyed(self.background.close)

    def _asked_anew(self) -> None:
        if self.state.tab == "similar":
            self.relist()

    # -- what is listed ------------------------------------------------------------------------------------------------

    def _tab_changed(self, event) -> None:
        """Each tab keeps its own order."""
        self._sorts[event.old] = self.state.sort
        self.state.sort = self._sorts.get(event.new, "")

    def wanted(self) -> tabs.Wanted:
        """What the session asks for now."""
        state = self.state
        return tabs.Wanted(
            state.tab,
            state.target,
            state.sort,
            state.selection,
            state.asking,
            self._batch,
            self._only,
            self._words,
            state.user,
            outlying=Asked.of(state),
        )

    def relist(self, *, page: int = 0, first: bool = False) -> None:
        """List anew and show a page; `first` puts the cursor on its first object."""
        wanted = self.wanted()
        count = len(wanted.selection) if wanted.tab == "selection" and wanted.selection is not None else 0
        self.grid.send("busy", text=f"Sorting {count:,} objects…" if wanted.sort and count > PAGE else "Loading…")

        def listed(found: tabs.Listed) -> None:
            self._listed, self._stale, self._waiting = found, False, False
            if found.warning:
                self.state.notice = ("error", found.warning)
            if found.waiting and len(self.store.suggestions(wanted.target, 1)):
                self.relist(page=page, first=first)  # the ranking came before this page could hear of it
                return
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
            missing = self._held.missing(rows)
            likely = tabs.likely(self.store, self.state.target) if self.state.tab == "suggestions" else 0
            return rows, self.store.ids(rows), dict(zip(missing, self.store.pictures(missing, stretch))), likely

        def done(found) -> None:
            self.page = page
            self._shown, self._ids, pictures, self._likely = found
            self._place_cursor(place)
            self._send_frame(pictures)
            if self.state.stretch != stretch:  # changed while these were drawn
                self._restretch()
            else:
                self._send_ahead(page + 1)
                self._offer()

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
            rows = self._held.missing(listing.page(page))
            return dict(zip(rows, self.store.pictures(rows, stretch)))

        def done(pictures: dict[int, bytes]) -> None:
            if pictures:
                dropped = self._held.note(pictures, self._shown)
                self.grid.ahead = pack({"pictured": list(pictures), "drop": dropped}, list(pictures.values()))

        self.background.run("ahead", work, done)

    def reveal(self, row: int) -> bool:
        """Put the cursor on an object, on whichever page it is; whether a page follows."""
        place = self.listing.place(row)
        if place is None or place[0] == self.page:
            self._move_cursor(row)
            self.grid.send("cursor", row=row)
            return False
        self.show_page(place[0], place=place[1])
        return True

    # -- the queue of suggestions --------------------------------------------------------------------------------------

    def _offer(self) -> None:
        """Send the batch that comes after the one shown, so that the browser can go on to it without asking."""
        listing, stretch, wanted = self.listing, self.state.stretch, self.wanted()
        if not isinstance(listing, Batches) or not len(listing) or self.page < listing.pages - 1:
            return
        pages = listing.pages

        def work():
            rows = tabs.following(self.store, wanted, listing)
            missing = self._held.missing(rows)
            return rows, self.store.ids(rows), dict(zip(missing, self.store.pictures(missing, stretch)))

        def done(found) -> None:
            rows, ids, pictures = found
            if self.listing is not listing or listing.pages != pages or self.state.stretch != stretch:
                return  # the browser has gone on meanwhile, and has been promised another
            if not len(rows):
                if self._waiting:
                    self.grid.send("exhausted")
                return
            self._send_offer(listing, rows, ids, pictures)

        self.background.run("offer", work, done)

    def _send_offer(self, listing: Batches, rows: np.ndarray, ids: list[str], pictures: dict[int, bytes]) -> None:
        self._sequence += 1
        listing.offer(self._sequence, rows)
        dropped = self._held.note(pictures, [*self._shown, *rows])
        header = {
            **self._on_tiles(rows),
            "sequence": self._sequence,
            "rows": rows,
            "ids": ids,
            "page": listing.pages,
            "pages": listing.pages + 1,
            "start": len(listing),
            "total": len(listing) + len(rows),
            "pictured": list(pictures),
            "drop": dropped,
        }
        self.grid.following = pack(header, list(pictures.values()))

    def _next(self, message: dict) -> None:
        """The browser has gone on to the batch it was offered, or waits for one."""
        listing, number = self.listing, int(message.get("number") or 0)
        if not isinstance(listing, Batches):
            return
        if not listing.take(number):
            self._waiting = True
            self._offer()
            return
        self._waiting = False
        self.page, self._current = listing.pages - 1, number
        self._shown = listing.page(self.page)
        self._ids = self.store.ids(self._shown)
        self._move_cursor(row_of(message, self.store.n))
        self._labels_changed()
        self._offer()

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
        self._held.clear()
        for key in ("ahead", "offer"):
            self.background.cancel(key)
        self.grid.send("stretch", text=self._stretched)

        def done(pictures: list[bytes]) -> None:
            self._redraws += 1
            dropped = self._held.note(rows.tolist(), self._shown)
            header = {"rows": rows, "number": self._redraws, "drop": dropped}
            self.grid.redrawn = pack(header, pictures)
            self.state.drawn = stretch
            self._offer()

        def failed(error: UserError) -> None:
            self.state.param.update(notice=("error", str(error)), drawn=stretch)

        self.background.run("redraw", lambda: self.store.pictures(rows, stretch), done, failed)

    @property
    def _stretched(self) -> str:
        """What the chip says; empty while the survey is drawn as it is by itself."""
        state = self.state
        return "" if state.stretch == state.own_stretch else stretch_in_words(state.stretch, state.own_stretch)

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
            self.state.param.update(cursor=row, expected=self._expected(row))
        finally:
            self._own_cursor = False

    def _expected(self, row: int) -> np.ndarray:
        """What comes after an object: on its page, then in the next batch."""
        found = np.flatnonzero(self._shown == row)
        if not len(found):
            return self._shown[:0]
        listing = self.listing
        more = listing.offered if isinstance(listing, Batches) else self._shown[:0]
        return np.concatenate([self._shown[found[0] + 1 :], more])[:EXPECTED]

    def _cursor_changed(self, event) -> None:
        if not self._own_cursor:
            self.grid.send("cursor", row=event.new)

    # -- what the browser is told --------------------------------------------------------------------------------------

    def _send_frame(self, pictures: dict[int, bytes]) -> None:
        self._sequence += 1
        self._current = self._sequence
        dropped = self._held.note(pictures, self._shown)
        listing = self.listing
        header = {
            **self._changing(),
            "sequence": self._sequence,
            "rows": self._shown,
            "ids": self._ids,
            "page": self.page,
            "pages": listing.pages,
            "start": listing.start(self.page),
            "total": len(listing),
            "cursor": self.state.cursor,
            "inspecting": self.state.inspecting,
            "tab": self.state.tab,
            "orders": self._orders,
            "sort": self.state.sort,
            "batch": self._batch,
            "batches": tabs.BATCHES,
            "only": self._only,
            "words": self._words,
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
        state = self.state
        counts = self._counts()
        suggesting = state.tab == "suggestions" and (len(self.listing) > 0 or any(counts.values()))
        return {
            **self._on_tiles(self._shown),
            "of": self._current,
            "target": state.target,
            "choices": marks.choices(self.store, state.target, state.dark),
            "filters": marks.filters(self.store, state.target, state.user, counts) if state.tab == "labelled" else [],
            "tabs": self._tabs(counts),
            "counts": counts,
            "stale": self._stale,
            "line": tabs.summary(counts, self._likely, self.store.model_news(state.target)) if suggesting else "",
        }

    def _on_tiles(self, rows: np.ndarray) -> dict:
        """What is written on the tiles of some objects; no marks, with a notice, if the log cannot be read."""
        labelled = sum(self._counts().values())
        texts, captions = tabs.numbers(self.store, self.wanted(), self._listed, rows, labelled=labelled)
        try:
            found = marks.marks(self.store, self.state.target, self.state.user, rows)
        except UserError as error:
            self.state.notice = ("error", str(error))
            found = marks.none(rows)
        return {**found, "texts": texts, "captions": captions}

    def _counts(self) -> dict[str, int]:
        try:
            return self.store.label_counts(self.state.target)
        except UserError:
            return {}

    def _tabs(self, counts: dict[str, int]) -> list[dict]:
        selected = None if self.state.selection is None else len(self.state.selection)
        size = {"selection": selected, "labelled": sum(counts.values())}
        size.setdefault(self.state.tab, len(self.listing))
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
        """Numbers change at once, and what is offered next; the list only if it was empty."""
        target, tab = self.state.target, self.state.tab
        self.__dict__.pop("_orders", None)
        if tab == "suggestions" and len(self.listing) == 0:
            self.relist(first=True)
            return
        self._stale = tab == "suggestions" or self.state.sort.removeprefix("-") in BEST_FIRST

        def counted(count: int) -> None:
            self._likely = count
            self._labels_changed()

        self.background.run("likely", lambda: tabs.likely(self.store, target), counted)
        if tab == "suggestions":
            self._offer()

    # -- what the browser says -----------------------------------------------------------------------------------------

    def _receive(self, message: dict) -> None:
        action = self._actions.get(message.get("type"))
        if action is not None:
            action(message)

    @cached_property
    def _actions(self) -> dict:
        return {
            "again": lambda m: self._send_again(),
            "cursor": lambda m: self._move_cursor(row_of(m, self.store.n)),
            "next": self._next,
            "open": self._open,
            "page": lambda m: self.show_page(int(m.get("page", 0)), place=m.get("place")),
            "tab": lambda m: self.state.param.update(tab=m["tab"]) if m.get("tab") in TABS else None,
            "sort": self._sort,
            "batch": self._set_batch,
            "only": self._narrow,
            "refresh": lambda m: self.relist(first=True),
            **self._answering.actions,
            "similar": self._similar,
            "stretching": lambda m: self.state.param.update(stretching=not self.state.stretching),
            "unstretch": lambda m: self.state.param.update(stretch=self.state.own_stretch),
        }

    def _send_again(self) -> None:
        """The browser lost its pictures (the view was drawn anew)."""
        self._held.clear()
        self.show_page(self.page)

    def _open(self, message: dict) -> None:
        self._move_cursor(row_of(message, self.store.n))
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

    def _narrow(self, message: dict) -> None:
        """Which of the labelled objects are listed."""
        self._only, self._words = str(message.get("only", "")), str(message.get("words", ""))
        self.relist()

    def _similar(self, message: dict) -> None:
        row = row_of(message, self.store.n)
        if row >= 0:
            self.state.param.update(query_rows=np.array([row], np.int64), tab="similar")
