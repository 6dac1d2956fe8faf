"""Current labels of every object as small codes, and what each code means; kept up with the log by its new events alone.

A label costs 0.1 ms and a copy of the codes (a byte an object), however many there are already.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.learning import targets
from engine.learning.labels import TOP_RATING, Current
from engine.learning.targets import Target
from engine.survey import Survey

#: Code of each verdict; 0 stands for none, 4 for what the target does not take.
LABEL_CODES = {"yes": 1, "no": 2, "unsure": 3}
#: Names of the codes that every target has; ratings and classes come after them.
LABEL_NAMES = ("unlabelled", "yes", "no", "unsure", "other")


def codes_of(target: Target) -> dict[str, int]:
    """Code of each value that a target takes."""
    more = [str(k) for k in range(TOP_RATING + 1)] if target.kind == "ratings" else target.classes
    return {**LABEL_CODES, **{value: len(LABEL_NAMES) + k for k, value in enumerate(more)}}


def names_of(target: Target) -> tuple[str, ...]:
    """Name of each code, in order: those of every target, then 'rated 0' and so on, or classes."""
    more = [f"rated {k}" for k in range(TOP_RATING + 1)] if target.kind == "ratings" else target.classes
    return (*LABEL_NAMES, *more)


@dataclass(frozen=True)
class Labels:
    """Labels of a target at one moment: of all N objects, and the n labelled ones in the order of their labels."""

    version: int
    target: Target
    declared: object
    codes: np.ndarray
    rows: np.ndarray
    events: np.ndarray


class LabelCodes:
    """Labels of a survey, a target at a time."""

    def __init__(self, survey: Survey):
        self._survey = survey
        self._known: dict[str, Labels] = {}

    def of(self, target: str) -> np.ndarray:
        """Code of every object, (N,) int8, read-only: 0 none, 1 yes, 2 no, 3 unsure, 4 other, then see `names`."""
        return self._current(target).codes

    def rows(self, target: str) -> np.ndarray:
        """Rows with a label, the newest last, (n,) int64."""
        return self._current(target).rows

    def target(self, target: str) -> Target:
        """How a target is labelled."""
        return self._current(target).target

    def names(self, target: str) -> tuple[str, ...]:
        """Name of each code."""
        return names_of(self.target(target))

    def counts(self, target: str) -> dict[str, int]:
        """How many objects have each label: 'yes', 'no', 'unsure', 'other', and what else the target takes."""
        found = self._current(target)
        names = names_of(found.target)
        counts = np.bincount(found.codes[found.rows], minlength=len(names))
        return {name: int(counts[k]) for k, name in enumerate(names) if k}

    def _current(self, target: str) -> Labels:
        version, declared = self._survey.labels.version, _stamp(self._survey)
        known = self._known.get(target)
        if known is None or (known.version, known.declared) != (version, declared):
            fresh = self._followed(target, known, version) if known and known.declared == declared else None
            known = self._known[target] = fresh or self._read(target, version, declared)
        return known

    def _read(self, target: str, version: int, declared: object) -> Labels:
        """All of them."""
        current: Current = self._survey.labels.current(target)
        taken = targets.read(self._survey, target, current)
        rows, codes = current.rows, np.zeros(len(self._survey), np.int8)
        inside = rows < len(codes)  # of a survey that has fewer objects now
        rows, known = rows[inside], codes_of(taken)
        codes[rows] = [known.get(value, 4) for value in current.values[inside]]
        return _frozen(Labels(version, taken, declared, codes, rows, current.events[inside]))

    def _followed(self, target: str, known: Labels, version: int) -> Labels | None:
        """The same with what was labelled since; None if all must be read: much has changed, or how it is labelled."""
        changes = self._survey.labels.changes(target, known.version)
        if changes is None:
            return None
        if not changes:
            return Labels(version, known.target, known.declared, known.codes, known.rows, known.events)
        takes = codes_of(known.target)
        if any(event and value not in takes for _, value, _, event in changes):
            return None
        codes = known.codes.copy()
        changes = [change for change in changes if change[0] < len(codes)]
        for row, value, _, event in changes:
            codes[row] = takes[value] if event else 0
        kept = ~np.isin(known.rows, [row for row, *_ in changes])
        new = sorted((event, row) for row, _, _, event in changes if event)
        rows = np.concatenate([known.rows[kept], np.array([row for _, row in new], np.int64)])
        events = np.concatenate([known.events[kept], np.array([event for event, _ in new], np.int64)])
        order = np.argsort(events, kind="stable")  # an undo brings an old label back to its place
        return _frozen(Labels(version, known.target, known.declared, codes, rows[order], events[order]))


def _frozen(labels: Labels) -> Labels:
    labels.codes.flags.writeable = labels.rows.flags.writeable = False
    return labels


def _stamp(survey: Survey) -> object:
    """Changes when targets are declared."""
    try:
        return (survey.path / targets.FILE).stat().st_mtime_ns
    except OSError:
        return None
