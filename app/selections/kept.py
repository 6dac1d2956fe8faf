"""The kept selections of a survey, as one session sees them: listed, recalled, drawn on the maps, changed, taken back.

All reading and writing is done in a thread. What was deleted or overwritten can be brought back as long as the page is
there. Other sessions hear of every change from the store.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import panel as pn
import param

from app.background import Background
from app.selections.lasting import OWN
from app.selections.selecting import Selecting
from app.state import State
from app.store import Store
from engine.errors import UserError
from engine.search import origins, selections
from engine.search.find import Found
from engine.search.selections import Selection, Summary

#: Colours that selections take in turn: of the categories' (Okabe and Ito, Tol) those that differ from every accent.
COLOURS = ("#e69f00", "#cc79a7", "#2fc194", "#f0e442", "#5b8def", "#e8743b", "#9d7fe0", "#c7ccd6")
#: Selections drawn at once.
MOST_DRAWN = 12


@dataclass(frozen=True)
class Undo:
    """What can be brought back, and what it is called.

    Attributes
    ----------
    text : str
        What was done.
    before : Selection
        As it was.
    """

    text: str
    before: Selection


class Kept(param.Parameterized):
    """The kept selections of one session.

    Parameters
    ----------
    state : State
    store : Store
    selecting : Selecting
    """

    items = param.List([], item_type=Summary, doc="What is kept, the newest first; damaged ones last.")
    drawn = param.List([], item_type=Selection, doc="Those drawn on the maps, with their members.")
    undo = param.ClassSelector(class_=Undo, default=None, allow_None=True, doc="What can be brought back.")
    said = param.Tuple(("", ""), length=2, doc="('error' | 'asks' | '', text) beside the field of the name.")

    def __init__(self, state: State, store: Store, selecting: Selecting, **params):
        super().__init__(**params)
        self.state, self.store, self.selecting = state, store, selecting
        self._work = Background(pn.state.curdoc)
        self._tasks = 0
        state.param.watch(lambda *events: self._draw(), "outlined")
        self.refresh()

    def close(self) -> None:
        """End what belongs to the session."""
        self._work.close()

    def refresh(self) -> None:
        """Read again what there is: this session or another has changed it."""
        self._work.run("list", self._listed, self._show)

    def _listed(self) -> list[Summary]:
        found = selections.listing(self.store.survey, damaged=True)
        return [s for s in found if not s.name.startswith(OWN)]

    def _show(self, found: list[Summary]) -> None:
        self.items = found
        names = {s.name for s in found}
        outlined = [name for name in self.state.outlined if name in names]
        if outlined != self.state.outlined:
            self.state.outlined = outlined
        else:
            self._draw()

    def _draw(self) -> None:
        names = self.state.outlined[:MOST_DRAWN]

        def read() -> list[Selection]:
            found = []
            for name in names:
                try:
                    found.append(selections.load(self.store.survey, name))
                except UserError:  # the list says what is wrong with it
                    continue
            return found

        self._work.run("draw", read, lambda found: setattr(self, "drawn", found))

    # -- what a person does --------------------------------------------------------------------------------------------

    def keep(self, name: str, *, overwrite: bool = False) -> None:
        """Keep the session's selection under a name, and show it; one of that name is not overwritten unasked."""
        rows, how, name = self.state.selection, self.state.selection_how, name.strip()
        if rows is None or not name:
            return
        if name.startswith(OWN):
            self.said = ("error", f"names that begin with ‘{OWN.strip()} ’ are the app's own: choose another")
            return
        there = next((s for s in self.items if s.name == name), None)
        if there is not None and not overwrite:
            self.said = ("asks", name)
            return

        def write() -> Undo | None:
            before = self._before(name) if overwrite else None
            colour = before.colour if before is not None else self._next_colour()
            kept = Selection.of(name, rows, how=_unnamed(how), colour=colour)
            selections.save(self.store.survey, kept, overwrite=overwrite)
            return _undo(f"‘{name}’ holds what is selected now", before)

        def kept(undo: Undo | None) -> None:
            self.param.update(undo=undo, said=("", f"kept ‘{name}’"))
            self._rename_current(rows, name)
            if origins.layouts(how):  # without an outline its dots would only cover what is lit up
                self.show(name)
            self._publish(name)

        self._task(write, kept, lambda error: setattr(self, "said", ("error", str(error))))

    def recall(self, name: str, then: Callable[[], None] | None = None) -> None:
        """Select what is kept under a name, and go on."""
        self.selecting.choose(partial(self._found, name), mode="replace", done=then and (lambda found: then()))

    def join(self, name: str, mode: str) -> None:
        """Join what is kept under a name to the selection."""
        self.selecting.choose(partial(self._found, name), mode=mode)

    def show(self, name: str, shown: bool = True) -> None:
        """Draw a kept selection on the maps, or no longer."""
        others = [n for n in self.state.outlined if n != name]
        if shown and len(others) >= MOST_DRAWN:
            self.state.notice = ("info", f"{MOST_DRAWN} selections are drawn at most: hide one first.")
            return
        self.state.outlined = [*others, name] if shown else others

    def rename(self, name: str, to: str) -> None:
        """Give a kept selection another name."""

        def renamed(_) -> None:
            if name in self.state.outlined:
                self.state.outlined = [to.strip() if n == name else n for n in self.state.outlined]
            self._rename_current(None, to.strip(), name)
            self._publish(to)

        self._task(lambda: selections.rename(self.store.survey, name, _own_refused(to.strip())), renamed)

    def recolour(self, name: str, colour: str) -> None:
        """Draw a kept selection in another colour."""
        self._task(lambda: selections.recolour(self.store.survey, name, colour), lambda _: self._publish(name))

    def delete(self, name: str) -> None:
        """Delete a kept selection; it can be brought back."""

        def write() -> Undo | None:
            before = self._before(name)
            selections.delete(self.store.survey, name)
            return _undo(f"‘{name}’ is deleted", before)

        def deleted(undo: Undo | None) -> None:
            self.undo = undo
            self._publish(name)

        self._task(write, deleted)

    def bring_back(self) -> None:
        """Bring back what was deleted or overwritten last."""
        if (undo := self.undo) is None:
            return
        self.undo = None
        self._task(
            lambda: selections.save(self.store.survey, undo.before),
            lambda _: self._publish(undo.before.name),
        )

    # -- inner workings ------------------------------------------------------------------------------------------------

    def _found(self, name: str) -> Found:
        kept = selections.load(self.store.survey, name)
        return Found(kept.rows, selections.origin(kept))

    def _before(self, name: str) -> Selection | None:
        """A kept selection as it is; None if it is damaged, which nothing brings back."""
        try:
            return selections.load(self.store.survey, name)
        except UserError:
            return None

    def _next_colour(self) -> str:
        """The colour that fewest of the kept ones have."""
        taken = [s.colour for s in self.items]
        return min(COLOURS, key=lambda colour: (taken.count(colour), COLOURS.index(colour)))

    def _rename_current(self, rows: np.ndarray | None, name: str, before: str = "") -> None:
        """What is selected is called by its name, if it is what was kept under it."""
        how, same = self.state.selection_how, rows is not None and rows is self.state.selection
        if same or (before and how.get("name") == before):
            self.state.selection_how = {**how, "name": name}

    def _publish(self, name: str) -> None:
        self.store.publish("selections", name)

    def _task(self, work: Callable, done: Callable, failed: Callable[[UserError], None] | None = None) -> None:
        self._tasks += 1
        self._work.run(f"task {self._tasks}", work, done, failed or self._say)

    def _say(self, error: UserError) -> None:
        self.state.notice = ("error", str(error))


def _undo(text: str, before: Selection | None) -> Undo | None:
    return None if before is None else Undo(text, before)


def _unnamed(how: dict) -> dict:
    """An origin without the name it was recalled by: it is kept under another one now."""
    return {name: part for name, part in how.items() if name != "name"}


def _own_refused(name: str) -> str:
    if name.startswith(OWN):
        raise UserError(f"names that begin with ‘{OWN.strip()} ’ are the app's own", "choose another name")
    return name


def words(item: Summary) -> str:
    """A kept selection in words, for its title."""
    drawn = origins.layouts(item.how)
    on = f", drawn on {', '.join(drawn)}" if drawn else ""
    return f"{item.count:,} objects: {origins.words(item.how)}{on}"


def current(items: list[Summary], how: dict) -> str:
    """Name of the kept selection that is selected now, or nothing."""
    name = how.get("name", "") if how.get("kind") != "cluster" else ""
    return name if any(s.name == name for s in items) else ""
