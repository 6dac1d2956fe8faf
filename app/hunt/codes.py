"""Current labels of every object as small codes, read anew from the log only when it has changed."""

from __future__ import annotations

import numpy as np

from engine.survey import Survey

#: Code of each label; 0 stands for none, 4 for every class or rating.
LABEL_CODES = {"yes": 1, "no": 2, "unsure": 3}
#: Names of the codes.
LABEL_NAMES = ("unlabelled", "yes", "no", "unsure", "other")


class LabelCodes:
    """Labels of a survey, a target at a time."""

    def __init__(self, survey: Survey):
        self._survey = survey
        self._known: dict[str, tuple[int, np.ndarray, np.ndarray]] = {}  # target: version, codes, rows

    def of(self, target: str) -> np.ndarray:
        """Code of every object, (N,) int8, read-only: 0 none, 1 yes, 2 no, 3 unsure, 4 anything else."""
        return self._current(target)[1]

    def rows(self, target: str) -> np.ndarray:
        """Rows with a label, the newest last, (n,) int64."""
        return self._current(target)[2]

    def counts(self, target: str) -> dict[str, int]:
        """How many objects have each label: 'yes', 'no', 'unsure', 'other'."""
        counts = np.bincount(self.of(target), minlength=len(LABEL_NAMES))
        return {name: int(counts[k]) for k, name in enumerate(LABEL_NAMES) if k}

    def _current(self, target: str) -> tuple[int, np.ndarray, np.ndarray]:
        version = self._survey.labels.version
        known = self._known.get(target)
        if known is None or known[0] != version:
            codes = np.zeros(len(self._survey), np.int8)
            current = self._survey.labels.current(target)
            rows = np.asarray(current.rows, np.int64)
            codes[rows] = [LABEL_CODES.get(str(v), 4) for v in current.values]
            codes.flags.writeable = rows.flags.writeable = False
            known = self._known[target] = (version, codes, rows)
        return known
