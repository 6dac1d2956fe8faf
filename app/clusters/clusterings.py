"""The clusterings of a survey, each read once: their codes to colour and count by, and where their names belong."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np

from app.columns import CATEGORIES, Values
from app.layouts.stored import Placed
from engine.maps.clustering import clusters
from engine.maps.clustering.clusters import PREFIX, Clusters
from engine.maps.clustering.peaks import Peaks, peaks
from engine.survey import Survey

#: Places of names that stay in memory: of a clustering on a layout.
KEPT = 8
#: What an object in no cluster is called.
NONE = "in no cluster"


class Clusterings:
    """Clusterings by name, with what the page needs of them."""

    def __init__(self, survey: Survey):
        self._survey = survey
        self._lock = threading.Lock()
        self._read: dict[str, tuple[float, Clusters]] = {}
        self._peaks: OrderedDict[tuple, Peaks] = OrderedDict()

    def names(self) -> list[str]:
        """The clusterings there are, the newest first."""
        return self._survey.clusters

    def get(self, name: str) -> Clusters:
        """A clustering as it is stored now; read anew only if it was made or renamed since.

        Raises
        ------
        UserError
            If there is none of that name, or it is damaged.
        """
        try:
            written = (self._survey.path / "clusters" / name / "meta.json").stat().st_mtime_ns
        except OSError:
            written = -1
        with self._lock:
            known = self._read.get(name)
        if known is None or known[0] != written:
            known = written, clusters.read(self._survey, name)
            with self._lock:
                self._read[name] = known
        return known[1]

    def knows(self, column: str) -> bool:
        """Whether a column is one of clusters."""
        return column.startswith(PREFIX) and column.removeprefix(PREFIX) in self.names()

    def values(self, column: str) -> Values:
        """Clusters as categories: each by itself, or the 19 largest and 'other'."""
        found = self.get(column.removeprefix(PREFIX))
        shown = found.names if len(found) <= CATEGORIES else (*found.names[: CATEGORIES - 1], "other")
        return Values(column, "category", np.minimum(found.codes, len(shown) - 1).astype(np.int8), shown, missing=NONE)

    def peaks(self, name: str, placed: Placed) -> Peaks:
        """Where the clusters' names belong on a layout; found on the first call (in a thread: 2 s for 10⁷ objects)."""
        found = self.get(name)
        key = name, found.meta["made"], placed.name, id(placed)
        with self._lock:
            known = self._peaks.get(key)
        if known is None:
            known = peaks(placed.xy, np.asarray(found.codes), len(found))
            with self._lock:
                self._peaks[key] = known
                while len(self._peaks) > KEPT:
                    self._peaks.popitem(last=False)
        return known

    def clear(self) -> None:
        """Forget what a command may have made anew."""
        with self._lock:
            self._read.clear()
            self._peaks.clear()
