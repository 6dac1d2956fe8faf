"""Values by name, to colour and sort by: catalogue columns and stored scores as numbers or categories, with units.

Read on the first call (a column of 10⁷ numbers: 40 MB); the last few stay in memory.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from engine.survey import Survey

#: Categories with a colour of their own; rarer ones are drawn as "other" (the aggregation holds one layer a category).
CATEGORIES = 20
#: Distinct strings above which a column is a name, not a category.
DISTINCT = 200
#: Columns that stay in memory, and the bytes they may take (one always may).
KEPT, KEPT_BYTES = 16, 2**28
#: What columns of these names are measured in, where the catalogue does not say.
UNITS = {"ra": "deg", "dec": "deg"}


@dataclass(frozen=True)
class Values:
    """One value an object, to colour or sort by.

    Attributes
    ----------
    kind : 'number' | 'category'
    array : (N,) float32, or (N,) int8 codes into `categories`
        NaN, or -1, where unknown.
    missing : str
        What an object without a value is called.
    """

    name: str
    kind: str
    array: np.ndarray
    categories: tuple[str, ...] = ()
    unit: str = ""
    missing: str = "unknown"


class Columns:
    """Catalogue columns and stored scores of a survey."""

    def __init__(self, survey: Survey):
        self._survey = survey
        self._lock = threading.Lock()
        self._values: OrderedDict[str, Values] = OrderedDict()
        self._kinds: dict[str, str] = {}

    def names(self) -> list[str]:
        """Columns that can be coloured and sorted by: ids and free text are left out."""
        return [c for c in self._survey.columns if self._kind(c) != "text"]

    def numbers(self) -> list[str]:
        """Columns of numbers."""
        return [c for c in self._survey.columns if self._kind(c) == "number"]

    def scores(self) -> list[str]:
        """Names of the stored scores, the newest first."""
        return list(self._survey.scores)

    def knows(self, name: str) -> bool:
        """Whether `values` can give it."""
        return name in self._survey.scores or (name in self._survey.columns and self._kind(name) != "text")

    def values(self, name: str) -> Values:
        """A column or a stored score that `knows` affirms, one value an object."""
        with self._lock:
            if name in self._values:
                self._values.move_to_end(name)
                return self._values[name]
        found = self._read(name)
        with self._lock:
            self._values[name] = found
            while len(self._values) > 1 and (len(self._values) > KEPT or self._bytes() > KEPT_BYTES):
                self._values.popitem(last=False)
        return found

    def unit(self, column: str) -> str:
        """Unit of a column: what the catalogue said when it was ingested, or what its name says."""
        stated = (self._survey.schema.field(column).metadata or {}).get(b"unit", b"").decode()
        if stated:
            return stated
        return "mag" if column.lower().startswith("mag") else UNITS.get(column.lower(), "")

    def clear(self) -> None:
        """Forget values that a command may have made anew."""
        with self._lock:
            self._values.clear()

    def _bytes(self) -> int:
        return sum(values.array.nbytes for values in self._values.values())

    def _kind(self, column: str) -> str:
        """'number', 'category' or 'text', by the column's type and, for strings, how many differ."""
        if column not in self._kinds:
            kind = self._survey.schema.field(column).type
            if pa.types.is_boolean(kind):
                self._kinds[column] = "category"
            elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
                self._kinds[column] = "number"
            elif column == "id":
                self._kinds[column] = "text"
            else:
                distinct = pc.count_distinct(self._survey.arrow([column])[column]).as_py()
                few = min(DISTINCT, max(1, len(self._survey) // 2))
                self._kinds[column] = "category" if distinct <= few else "text"
        return self._kinds[column]

    def _read(self, name: str) -> Values:
        if name in self._survey.scores:
            return Values(name, "number", np.asarray(self._survey.score(name), np.float32))
        column = self._survey.arrow([name])[name].combine_chunks()
        if self._kind(name) == "category":
            return _categories(name, column)
        numbers = pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return Values(name, "number", numbers.astype(np.float32), unit=self.unit(name))


def _categories(name: str, column: pa.Array) -> Values:
    """Codes of the commonest categories, in the order of their counts; the rest become 'other'."""
    text = pc.cast(column, pa.string())
    counts = pd.Series(text.to_pandas()).value_counts()
    names = [str(v) for v in counts.index]
    shown = names if len(names) <= CATEGORIES else [*names[: CATEGORIES - 1]]
    codes = pc.fill_null(pc.index_in(text, value_set=pa.array(shown, pa.string())), -1).to_numpy(zero_copy_only=False)
    if len(shown) < len(names):
        known = pc.is_valid(text).to_numpy(zero_copy_only=False)
        codes = np.where((codes < 0) & known, len(shown), codes)
        shown = [*shown, "other"]
    return Values(name, "category", codes.astype(np.int8), tuple(shown))
