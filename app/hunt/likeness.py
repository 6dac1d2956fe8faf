"""The controls of the search by likeness, above the gallery: what is asked for as chips, and what may be found.

Keys + and − take the object under the cursor into the query from any tab; a picture or FITS file is dropped on the gallery
or chosen; a place is typed; a part of a cutout comes from the inspector (`State.region`). Images and parts are read and
encoded in the session's thread. Whatever changes ends as one new `Asking` in the session's state; the gallery lists it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import panel as pn
import param

from app.background import Background
from app.frames import Component, pack, script, styles, unpack
from app.hunt.asking import SIZES, Asking
from app.selections.selecting import Selecting
from app.state import State
from engine.data.pictures.calibration import Calibration
from engine.data.pictures.thumbnails import draw
from engine.search.find import Found, read_place
from engine.search.likeness import uploads
from engine.search.likeness.asked import Example, at_place, of_image, of_region
from engine.search.likeness.space import KINDS

#: Name of the tab.
TAB = "similar"
#: Bytes of a file that a page may send, at most: what one message of the server's may hold.
LARGEST = 16 << 20
#: Objects in the query, at most.
MOST = 200
#: Pixels a side of an example's picture.
SIDE = 56


class LikenessBar(Component):
    """The controls in the browser."""

    upload = param.Bytes(b"", doc="A file that was brought: see `app.frames.pack`; its name in the header.")

    _esm = script("hunt/likeness.js")
    _stylesheets = [styles("hunt/likeness.css")]  # noqa: RUF012 (Panel's class attribute)


class LikenessView:
    """The controls of a session.

    Parameters
    ----------
    state : State
    store : Store
    selecting : Selecting
        Takes what was found for a selection.
    """

    def __init__(self, state: State, store, selecting: Selecting):
        self.state, self.store, self.selecting = state, store, selecting
        self.background = Background(pn.state.curdoc)
        self.bar = LikenessBar(self._receive, dark=state.dark, sizing_mode="stretch_width", margin=0)
        self._said = ("", "")
        self.bar.param.watch(lambda event: self._uploaded(event.new), "upload")
        watch = state.param.watch
        watch(lambda *_: self._asked(), ["asking"])
        watch(lambda *_: self._show(), ["selection", "target"])
        watch(lambda event: self._region(event.new), ["region"])
        watch(lambda event: self.bar.param.update(dark=event.new), ["dark"])
        if self.background.document is not None:
            pn.state.on_session_destroyed(self.background.close)
        self._show()

    def panel(self) -> LikenessBar:
        """What the shell lays out."""
        return self.bar

    def close(self) -> None:
        """End the session's thread."""
        self.background.close()

    # -- what is shown -------------------------------------------------------------------------------------------------

    def _asked(self) -> None:
        if self._said[0] == "error":
            self._said = ("", "")
        self._show()

    def _show(self) -> None:
        """Show what is asked for, with its pictures."""
        asking, selection = self.state.asking, self.state.selection
        query = asking.query
        rows = np.concatenate([query.like, query.unlike]).astype(np.int64)

        def work() -> list[bytes]:
            return [*self.store.thumbnails(rows), *(self._picture(example) for example in query.examples)]

        def done(pictures: list[bytes]) -> None:
            kinds = ["like"] * len(query.like) + ["unlike"] * len(query.unlike)
            names = self.store.ids(rows) if len(rows) else []
            chips = [{"row": r, "kind": k, "name": n} for r, k, n in zip(rows.tolist(), kinds, names)]
            chips += [{"row": e.row, "kind": "example", "name": e.name, "notes": e.notes} for e in query.examples]
            header = {
                "chips": chips,
                "options": {
                    "selected": asking.selected,
                    "unlabelled": asking.unlabelled,
                    "condition": asking.condition,
                    "apart": bool(asking.separation),
                    "separation": asking.separation,
                    "turned": asking.turned,
                    "features": asking.features,
                    "top": asking.top,
                },
                "filtered": asking.filtered,
                "kinds": KINDS,
                "counts": SIZES,
                "target": self.state.target,
                "selection": None if selection is None else len(selection),
                "pixels": bool(self.store.survey.bands),
                "largest": LARGEST,
                "said": {"tone": self._said[0], "text": self._said[1]},
            }
            self.bar.frame = pack(header, pictures)

        self.background.run("show", work, done, lambda error: self._say("error", str(error)))

    def _picture(self, example: Example) -> bytes:
        """A small picture of an example."""
        survey = self.store.survey
        calibration = Calibration.of(survey.header["pixels"], len(survey.bands))
        science = bool(survey.header["pixels"].get("science", False))
        return draw(
            [example.pixels], calibration, science=science, stretch=self.store.stretch, bands=survey.bands, size=SIDE
        )[0]

    def _say(self, kind: str, text: str) -> None:
        """Say something under the chips: 'error', 'info' or 'busy'."""
        self._said = (kind, text)
        self.bar.send("said", tone=kind, text=text)

    # -- what is asked for ---------------------------------------------------------------------------------------------

    def _ask(self, asking: Asking) -> None:
        self.state.asking = asking

    def _add(self, row: int, *, like: bool) -> None:
        """Take an object into the query; on another tab this goes on unseen, so that it is said."""
        query = self.state.asking.query
        if not 0 <= row < self.store.n:
            self.state.notice = ("info", "Put the cursor on an object first: click it.")
        elif len(query.like) + len(query.unlike) >= MOST:
            self.state.notice = ("info", f"A search can be like or unlike {MOST} objects at most.")
        else:
            query = query.more(row) if like else query.less(row)
            self._ask(self.state.asking.about(query))
            if self.state.tab != TAB:
                words = f"{len(query.like) + len(query.examples)} to be like, {len(query.unlike)} unlike"
                self.state.notice = ("info", f"In the search by likeness: {words}. The tab Similar lists the result.")

    def _example(self, key: str, busy: str, work: Callable[[], Example]) -> None:
        """Make an example in the thread, and take it into the query."""
        self._say("busy", busy)

        def done(example: Example) -> None:
            self._said = ("info", f"{example.name}: {'; '.join(example.notes)}." if example.notes else "")
            query = self.state.asking.query
            query = replace(query, examples=(*query.examples, example))
            self.state.param.update(asking=self.state.asking.about(query), tab=TAB)

        self.background.run(key, work, done, lambda error: self._say("error", str(error)))

    def _uploaded(self, message: bytes) -> None:
        """A file was dropped or chosen."""
        if not message:
            return
        try:
            header, parts = unpack(bytes(message))
            name, data = str(header["name"]), parts[0]
        except (KeyError, IndexError, TypeError, ValueError):
            self._say("error", "the file did not arrive whole: drop it again")
            return
        survey, representation = self.store.survey, self.store.representation
        self._example(
            "example",
            f"Reading {name[:60]}…",
            lambda: of_image(survey, uploads.parse(survey, data, name), representation=representation),
        )

    def _region(self, asked: tuple | None) -> None:
        """A part of a cutout was drawn in the inspector."""
        if asked is None:
            return
        self.state.region = None  # the same box may be drawn again
        row, x0, y0, x1, y1 = asked
        survey, representation = self.store.survey, self.store.representation
        box = (float(x0), float(y0), float(x1), float(y1))
        self._example(
            "example", "Looking at this part…", lambda: of_region(survey, row, box, representation=representation)
        )

    def _near(self, text: str) -> None:
        """A place was typed: the object nearest to it."""
        place = read_place(text)
        if place is None:
            self._say(
                "error", "That is no place on the sky: type RA and Dec, such as 150.11 2.20 or 10:00:26 +02:12:00."
            )
            return
        radius = {} if place.radius is None else {"radius": place.radius}
        survey = self.store.survey

        def done(found: tuple[int, float]) -> None:
            row, distance = found
            self._said = ("info", f"Nearest to the place: {self.store.ids([row])[0]}, {distance:.2f}″ away.")
            self._ask(self.state.asking.about(self.state.asking.query.more(row)))

        self._say("busy", "Looking for the nearest object…")
        self.background.run(
            "near",
            lambda: at_place(survey, place.ra, place.dec, **radius),
            done,
            lambda error: self._say("error", str(error)),
        )

    def _select(self) -> None:
        """Make what is listed the selection, as the session joins outlines."""
        state, store = self.state, self.store
        asking, selection, target, representation = state.asking, state.selection, state.target, store.representation
        if not asking.query:
            return

        def find() -> Found:
            rows, _ = asking.find(store.survey, representation, selection=selection, target=target)
            return Found(np.sort(rows), asking.origin(store.survey, representation, len(rows)))

        self.selecting.choose(find)

    # -- what the browser says -----------------------------------------------------------------------------------------

    def _receive(self, message: dict) -> None:
        kind, row, asking = message.get("type"), message.get("row"), self.state.asking
        row = row if isinstance(row, int) else self.state.cursor
        if kind in ("more", "less"):
            self._add(row, like=kind == "more")
        elif kind == "drop":
            self._ask(asking.about(asking.query.without(row)))
        elif kind == "forget" and isinstance(message.get("number"), int):
            kept = [e for k, e in enumerate(asking.query.examples) if k != message["number"]]
            self._ask(asking.about(replace(asking.query, examples=tuple(kept))))
        elif kind == "clear":
            self._said = ("", "")
            self._ask(asking.beginning(None))
        elif kind == "cursor" and 0 <= row < self.store.n:
            self.state.cursor = row
        elif kind == "near":
            self._near(str(message.get("text", ""))[:200])
        elif kind == "option":
            self._ask(asking.set(str(message.get("name")), message.get("value")))
        elif kind == "select":
            self._select()
