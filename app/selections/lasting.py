"""What a session had selected, kept where a reload or another start of the server finds it.

Each page keeps its selection under a name of its own, which stands in its address: two pages of one person never
overwrite each other's. The files are the survey's selections like any other (`engine.search.selections`), written in a
thread, newest wins; of pages long gone only the newest `REMEMBERED` stay.
"""

from __future__ import annotations

import uuid

import panel as pn

from app.background import Background
from app.selections.selecting import Selecting
from app.state import State
from app.store import Store
from engine.errors import UserError
from engine.search import selections
from engine.survey import Survey

#: A selection kept under a name that begins so is the app's own.
OWN = "last "
#: Pages whose last selection is kept.
REMEMBERED = 40


class Lasting:
    """Keeps a session's selection, and brings it back."""

    def __init__(self, state: State, store: Store, selecting: Selecting):
        self.state, self.store, self._selecting = state, store, selecting
        self._work = Background(pn.state.curdoc)
        self._own_name = own_name(state.user)
        self._restoring = self._tidied = False
        state.param.watch(lambda *events: self._keep(), "selection")

    def close(self) -> None:
        """End what belongs to the session."""
        self._work.close()

    def restore(self) -> None:
        """Bring back what the page's address names."""
        name = self.state.kept
        if name:
            self._work.run("recall", lambda: self._load(name), self._recalled, self._lost)

    def _load(self, name: str) -> selections.Selection:
        kept = selections.load(self.store.survey, name)
        touch(self.store.survey, name)
        return kept

    def _recalled(self, kept: selections.Selection) -> None:
        if self.state.selection is not None:  # the person was quicker
            return
        tab, self._restoring = self.state.tab, True
        try:
            with pn.io.hold():
                self._selecting.settle(kept.rows, kept.how)
                self.state.tab = tab
        finally:
            self._restoring = False

    def _lost(self, error: UserError) -> None:
        self.state.param.update(kept="", notice=("info", f"The selection of this page is not there any more: {error}"))

    def _keep(self) -> None:
        rows, how, name = self.state.selection, self.state.selection_how, self._own_name
        if self._restoring:  # it is kept already, under the name in the address
            return
        if rows is None:
            self._work.cancel("keep")
            self.state.kept = ""
            return
        self._work.run("keep", lambda: self._save(rows, how), lambda _: setattr(self.state, "kept", name), self._failed)

    def _save(self, rows, how: dict) -> None:
        selections.save(self.store.survey, selections.Selection.of(self._own_name, rows, how=how))
        if not self._tidied:
            self._tidied = True
            tidy(self.store.survey)

    def _failed(self, error: UserError) -> None:
        self.state.notice = ("error", f"The selection was not kept for a reload: {error}")


def own_name(user: str) -> str:
    """A name that no other page has, with the person's in it."""
    plain = "".join(ch for ch in user if ch.isalnum() or ch in " ._+-")[:40].strip()
    return f"{OWN}{plain or 'page'} {uuid.uuid4().hex[:10]}"


def touch(survey: Survey, name: str) -> None:
    """Note that a selection is in use."""
    try:
        (survey.path / "selections" / f"{name}.json").touch()
    except OSError:
        pass  # a survey that cannot be written to is not tidied either


def tidy(survey: Survey, most: int = REMEMBERED) -> None:
    """Delete what pages had selected, but for the newest."""
    headers = list((survey.path / "selections").glob(f"{OWN}*.json"))
    times = {}
    for header in headers:
        try:
            times[header.stem] = header.stat().st_mtime
        except OSError:
            continue  # another session tidies, too
    for name in sorted(times, key=times.__getitem__, reverse=True)[most:]:
        try:
            selections.delete(survey, name)
        except (UserError, OSError):
            continue
