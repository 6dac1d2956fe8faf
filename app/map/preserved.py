"""Values that say how well neighbourhoods are kept: by a layout, of its representation, or in common between two layouts."""

from __future__ import annotations

import threading
from itertools import combinations

from app.columns import Values
from engine import files
from engine.maps.preservation import kept
from engine.survey import Survey

#: What the names of the values begin with.
KEPT, SHARED = "neighbours kept by ", "neighbours shared by "
_AND = " and "
#: Layouts, the newest first, of which pairs are offered.
PAIRED = 4


class Preserved:
    """Shares of kept neighbours of a survey, each computed once."""

    def __init__(self, survey: Survey):
        self._survey = survey
        self._lock = threading.Lock()
        self._found: dict[str, Values] = {}

    def names(self) -> list[str]:
        """What can be asked for: each layout of a representation, and each pair of the newest layouts."""
        layouts = self._survey.layouts
        pairs = combinations(layouts[:PAIRED], 2)
        return [KEPT + name for name in layouts if self._made_of(name)] + [SHARED + _AND.join(p) for p in pairs]

    def values(self, name: str) -> Values:
        """One share an object (in a thread: a million objects take seconds).

        Raises
        ------
        UserError
            If a layout is gone.
        """
        with self._lock:
            if name not in self._found:
                layout, _, other = name.removeprefix(KEPT).removeprefix(SHARED).partition(_AND)
                self._found[name] = Values(name, "number", kept(self._survey, layout, other or None))
            return self._found[name]

    def clear(self) -> None:
        """Forget what was computed: a command may have made a layout anew."""
        with self._lock:
            self._found.clear()

    def _made_of(self, layout: str) -> bool:
        meta = files.read_json(self._survey.path / "layouts" / layout / "meta.json")
        return meta.get("representation") in self._survey.representations
