"""Why this one? Below the inspector: the labels that pull the mean of the object in focus, and what its own label would change.

Made in the session's thread while the drawer is open; a later object drops what is still to come of an earlier one. A ranking has
to be there: nothing is begun from here.
"""

from __future__ import annotations

from dataclasses import asdict

import panel as pn

from app.background import Background
from app.frames import Component, pack, script, styles
from app.state import State
from engine.errors import UserError
from engine.learning.batches import HOW
from engine.learning.reasons import Change, Reasons, reasons

#: Labelled neighbours shown.
NEIGHBOURS = 7
#: Why an object was suggested, in words.
DRAWN = dict(
    zip(
        HOW,
        (
            "among the best",
            "least certain here",
            "drawn at random, whatever the model says",
            "to begin with, before a yes",
        ),
    )
)


class ReasonsPart(Component):
    """Its part in the browser."""

    _esm = script("hunt/reasons.js")
    _stylesheets = [styles("hunt/reasons.css")]  # noqa: RUF012 (Panel's class attribute)


class ReasonsView:
    """Why the object in focus is where it is, for a session.

    Parameters
    ----------
    state : State
    store : Store
    """

    def __init__(self, state: State, store):
        self.state, self.store = state, store
        self.background = Background(pn.state.curdoc)
        self.part = ReasonsPart(self._receive, dark=state.dark, sizing_mode="stretch_width", margin=0)
        state.param.watch(lambda *_: self.show(), ["cursor", "inspecting", "target", "ranking_version"])
        state.param.watch(lambda event: self.part.param.update(dark=event.new), ["dark"])
        self.show()

    def panel(self) -> ReasonsPart:
        """What lies below the inspector."""
        return self.part

    def close(self) -> None:
        """End the session's thread."""
        self.background.close()

    def show(self) -> None:
        """Explain the object in focus, if the drawer is open."""
        row, target = self.state.cursor, self.state.target
        if not self.state.inspecting:
            return
        if not 0 <= row < self.store.n or not self.store.survey.representations:
            self.part.frame = pack({"row": -1})
            return
        if self.store.ranking(target) is None:
            self.part.frame = pack({"row": row, "target": target, "note": "Ranking …"})
            return

        def work() -> tuple[Reasons, list[bytes]]:
            found = reasons(self.store.rankings.interest(target), row, neighbours=NEIGHBOURS)
            return found, self.store.thumbnails([n.row for n in found.neighbours])

        def done(found: tuple[Reasons, list[bytes]]) -> None:
            why, pictures = found
            self.part.frame = pack({**asdict(why), **sentences(why), "note": ""}, pictures)

        def failed(error: UserError) -> None:
            self.part.frame = pack(
                {"row": row, "target": target, "note": f"{error.problem[:1].upper()}{error.problem[1:]}."}
            )

        self.background.run("why", work, done, failed)

    def _receive(self, message: dict) -> None:
        row = message.get("row")
        if message.get("type") == "inspect" and isinstance(row, int) and 0 <= row < self.store.n:
            self.state.cursor = row


def sentences(why: Reasons) -> dict[str, str]:
    """What the numbers say."""
    place = f"place {why.rank:,} of {why.of:,}"
    if not why.labels:
        return {"place": "", "balance": "No label teaches anything yet: every object is expected alike.", "change": ""}
    others = why.labels - len(why.neighbours)
    rest = f"{why.rest:+.2f}".replace("-", "−")
    balance = f"The other {others:,} {'label adds' if others == 1 else 'labels add'} {rest}." if others else ""
    drawn = f"Suggested: {DRAWN[why.drawn]}." if why.drawn in DRAWN else ""
    change = " ".join(_sentence(c, why.hunted) for c in why.changes)
    return {"place": place, "balance": " ".join(filter(None, (drawn, balance))), "change": change}


def _sentence(change: Change, hunted: str) -> str:
    label = {"yes": f"‘{hunted}’", "no": "label of another class"}[change.label] if hunted else change.label
    about = "" if change.exact else "about "
    moved = [f"{about}{change.up:,} more"] if change.up else []
    moved += [f"{about}{change.down:,} fewer"] if change.down else []
    return f"A {label} would make {' and '.join(moved) or 'none more and none fewer'} likely."
