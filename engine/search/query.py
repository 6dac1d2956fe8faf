"""Queries: which objects meet a condition such as ``mag_r < 22 and not label_dwarf == "no"``.

The text is parsed by Python's own grammar and the tree is walked here; nothing is ever executed. Allowed are numbers,
strings, True and False, names of columns (``\\`odd name\\``` in backticks), ``+ - * / **``, comparisons (chained
too), ``in [...]``, ``and or not & | ~`` and the functions of `FUNCTIONS`. Arithmetic is float64. **A comparison with
a missing value is false**, that with ``!=`` included; ``isnan(x)`` finds missing numbers and missing text. Clusters
are numbers that have names: ``cluster_NAME == 3`` and ``cluster_NAME == "spiral 82 %"`` are both understood.

Cost: one pass over the columns named, none over the others.
"""

from __future__ import annotations

import ast
import difflib
import operator
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import UserError
from engine.learning import scores
from engine.maps.clustering import clusters

if TYPE_CHECKING:
    from engine.survey import Survey

#: Characters of an expression, and levels of nesting: more is not written by a person.
LONGEST, DEEPEST = 4000, 60
#: A name that begins with this is the current label of a target.
LABEL_PREFIX = "label_"

_GRAMMAR = 'write a condition such as mag_r < 22 and label_dwarf == "yes"; odd column names go in `backticks`'

_COMPARISONS = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_ARITHMETIC = {ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply, ast.Div: np.divide, ast.Pow: np.power}
_JOINS = {ast.And: np.logical_and, ast.BitAnd: np.logical_and, ast.Or: np.logical_or, ast.BitOr: np.logical_or}

#: Functions of one number; those that return a condition.
FUNCTIONS = {"abs": np.abs, "log10": np.log10, "sqrt": np.sqrt}
TESTS = ("isnan", "isfinite")

Columns = Mapping[str, np.ndarray] | Callable[[str], np.ndarray]


def evaluate(
    expression: str,
    columns: Columns,
    *,
    names: Sequence[str] | None = None,
    words: Callable[[str], Sequence[str] | None] = lambda name: None,
) -> np.ndarray:
    """Evaluate a condition for every object.

    Parameters
    ----------
    expression : str
    columns : mapping or callable
        Name → values, (N,): numbers, booleans, or text (object arrays; None is missing).
    names : names, optional
        The columns there are, for a callable: an unknown name is then refused with those that resemble it.
    words : callable, optional
        Name of a column → what its numbers 0, 1, … are called, or None: text is then compared with these.

    Returns
    -------
    (N,) bool

    Raises
    ------
    UserError
        If it does not parse, uses what is not allowed, names an unknown column, or is no condition.
    """
    known = list(columns) if names is None and isinstance(columns, Mapping) else names
    tree, quoted = _parse(expression)
    result = _condition(_Walk(columns, known, quoted, words).value(tree), tree)
    if np.ndim(result) == 0:
        raise UserError(f"{expression!r} names no column", _GRAMMAR)
    return result


def columns_used(expression: str) -> list[str]:
    """Names of the columns in a condition, in the order of their first mention.

    Raises
    ------
    UserError
        If it does not parse.
    """
    tree, quoted = _parse(expression)
    functions = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in functions]
    found.sort(key=lambda node: (node.lineno, node.col_offset))
    return list(dict.fromkeys(quoted.get(node.id, node.id) for node in found))


def select(survey: Survey, query: str) -> np.ndarray:
    """Rows of the objects that meet a condition on catalogue columns, stored scores and current labels.

    Parameters
    ----------
    survey : Survey
    query : str
        Names are the catalogue's columns, the scores (``mean_dwarf``), ``label_TARGET`` and ``cluster_CLUSTERING``.

    Returns
    -------
    (n,) int64
        Ascending.
    """

    def words(name: str) -> Sequence[str] | None:
        return clusters.read(survey, clustering).names if (clustering := clustering_of(survey, name)) else None

    return np.flatnonzero(evaluate(query, lambda name: values(survey, name), names=names(survey), words=words))


def names(survey: Survey) -> list[str]:
    """Everything a query on this survey can name."""
    found = [*survey.columns, *scores.learned(survey), *survey.scores]
    found += [LABEL_PREFIX + target for target in survey.labels.targets()]
    return list(dict.fromkeys([*found, *(clusters.PREFIX + name for name in survey.clusters)]))


def clustering_of(survey: Survey, name: str) -> str | None:
    """The clustering that a name in a query means, None if it means something else: a column or a score goes first."""
    clustering = name.removeprefix(clusters.PREFIX)
    known = name.startswith(clusters.PREFIX) and clustering in survey.clusters
    return clustering if known and name not in survey.columns and name not in survey.scores else None


def values(survey: Survey, name: str) -> np.ndarray:
    """A catalogue column, a score, the labels of a target, or clusters, (N,).

    Labels are text, None where there is none; clusters are numbers, NaN where an object is in none.
    """
    if name in survey.columns:
        return survey.column(name)
    if (clustering := clustering_of(survey, name)) is not None:
        codes = np.asarray(clusters.read(survey, clustering).codes, np.float32)
        return np.where(codes < 0, np.float32(np.nan), codes)
    if not name.startswith(LABEL_PREFIX) or name in survey.scores:
        return scores.score(survey, name)
    current = survey.labels.current(name.removeprefix(LABEL_PREFIX))
    labels = np.full(len(survey), None, object)
    labels[current.rows] = current.values
    return labels


# -- parsing ----------------------------------------------------------------------------------------------------------

_STRING_OR_QUOTED = re.compile(r"""'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`([^`]+)`""")


def _parse(expression: str) -> tuple[ast.expr, dict[str, str]]:
    """The tree of an expression, and what the stand-ins for names in backticks stand for."""
    if not expression.strip():
        raise UserError("the query is empty", _GRAMMAR)
    if len(expression) > LONGEST:
        raise UserError(f"the query has {len(expression):,} characters", f"keep it below {LONGEST:,}")
    prefix = "_quoted"
    while prefix in expression:
        prefix += "_"
    quoted: dict[str, str] = {}

    def stand_in(match: re.Match) -> str:
        if match[1] is None:
            return match[0]
        quoted[f"{prefix}{len(quoted)}"] = match[1]
        return f"{prefix}{len(quoted) - 1}"

    text = _STRING_OR_QUOTED.sub(stand_in, expression).strip()
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else "it is nested too deeply or holds odd characters"
        raise UserError(f"the query {expression!r} cannot be read ({reason})", _GRAMMAR) from error
    _require_shallow(tree)
    return tree, quoted


def _require_shallow(tree: ast.expr) -> None:
    level: list[ast.AST] = [tree]
    for _ in range(DEEPEST):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return
    raise UserError("the query is nested too deeply", "simplify it, or select in two steps")


# -- evaluating -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Walk:
    """Evaluates a tree; a node is refused unless there is a method for it."""

    columns: Columns
    known: Sequence[str] | None
    quoted: dict[str, str]
    words: Callable[[str], Sequence[str] | None] = lambda name: None

    def value(self, node: ast.expr):
        """Value of a node: (N,) array, number, text or truth."""
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        if method is None:
            raise UserError(f"a query cannot hold {_source(node)!r}", _GRAMMAR)
        return method(node)

    def _constant(self, node: ast.Constant):
        if not isinstance(node.value, (bool, int, float, str)):
            raise UserError(f"a query cannot hold {node.value!r}", "use numbers, text in quotes, True and False")
        return node.value

    def _column(self, node: ast.Name) -> str:
        """The column that is meant."""
        name = self.quoted.get(node.id, node.id)
        if self.known is not None and name not in self.known:
            # Python's grammar normalises names: the µ of a keyboard becomes the Greek letter
            alike = [k for k in self.known if unicodedata.normalize("NFKC", k) == name]
            if not alike:
                raise _unknown(name, self.known)
            name = alike[0]
        return name

    def _name(self, node: ast.Name) -> np.ndarray:
        name = self._column(node)
        found = np.asarray(self.columns(name) if callable(self.columns) else self.columns[name])
        sample = next((v for v in found if v is not None), None) if found.dtype.kind == "O" else None
        if found.dtype.kind not in "biufOUT" or not isinstance(sample, (str, bool, np.bool_, type(None))):
            raise UserError(f"column {name!r} holds neither numbers nor text", "query another column")
        return _truth(found) if isinstance(sample, (bool, np.bool_)) else found

    def _unaryop(self, node: ast.UnaryOp):
        operand = self.value(node.operand)
        if isinstance(node.op, (ast.Not, ast.Invert)):
            return np.logical_not(_condition(operand, node.operand))
        number = _number(operand, node.operand)
        return -number if isinstance(node.op, ast.USub) else number

    def _boolop(self, node: ast.BoolOp):
        join = _JOINS[type(node.op)]
        result = _condition(self.value(node.values[0]), node.values[0])
        for part in node.values[1:]:
            result = join(result, _condition(self.value(part), part))
        return result

    def _binop(self, node: ast.BinOp):
        left, right = self.value(node.left), self.value(node.right)
        if type(node.op) in _JOINS:
            return _JOINS[type(node.op)](_condition(left, node.left), _condition(right, node.right))
        if type(node.op) not in _ARITHMETIC:
            raise UserError(f"a query cannot compute {_source(node)!r}", "use + - * / and **")
        with np.errstate(all="ignore"):
            return _ARITHMETIC[type(node.op)](_number(left, node.left), _number(right, node.right))

    def _call(self, node: ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else None
        if name not in (*FUNCTIONS, *TESTS) or len(node.args) != 1 or node.keywords:
            raise UserError(
                f"a query cannot call {_source(node)!r}",
                f"use one of {', '.join((*FUNCTIONS, *TESTS))}, with one value",
            )
        operand = self.value(node.args[0])
        if name in TESTS:
            return _missing(operand) if name == "isnan" else np.isfinite(_number(operand, node.args[0]))
        with np.errstate(all="ignore"):
            return FUNCTIONS[name](_number(operand, node.args[0]))

    def _compare(self, node: ast.Compare):
        result, left, left_node = True, self.value(node.left), node.left
        for kind, right_node in zip(node.ops, node.comparators):
            if isinstance(kind, (ast.In, ast.NotIn)):
                right = left
                step = self._member(left, left_node, right_node, wanted=isinstance(kind, ast.In))
            elif type(kind) in _COMPARISONS:
                right = self.value(right_node)
                step = self._step(_COMPARISONS[type(kind)], left, right, left_node, right_node)
            else:
                raise UserError(f"a query cannot compare {_source(node)!r}", "use < <= > >= == != or in [...]")
            result, left, left_node = np.logical_and(result, step), right, right_node
        return result

    def _member(self, left, left_node: ast.expr, listed: ast.expr, *, wanted: bool):
        if not isinstance(listed, (ast.List, ast.Tuple, ast.Set)):
            raise UserError(f"{_source(listed)!r} is no list", 'write: name in ["a", "b"]')
        found: np.ndarray | bool = np.zeros(np.shape(left), bool)
        for element in listed.elts:
            found = found | self._step(operator.eq, left, self.value(element), left_node, element)
        return found if wanted else ~found & ~_missing(left)

    def _step(self, compare: Callable, left, right, left_node: ast.expr, right_node: ast.expr):
        """A comparison; of numbers that have names with text, by their names."""
        for numbers, node, text, flipped in ((left, left_node, right, False), (right, right_node, left, True)):
            if isinstance(node, ast.Name) and isinstance(text, str) and not _is_text(numbers):
                words = self.words(self._column(node))
                if words is not None:
                    return _by_name(compare, numbers, words, text, flipped)
        return _compared(compare, left, right, left_node, right_node)


def _by_name(compare: Callable, numbers: np.ndarray, words: Sequence[str], text: str, flipped: bool) -> np.ndarray:
    """A comparison of what numbers are called with a text, false where a number is missing."""
    if compare in (operator.eq, operator.ne) and text not in words:
        raise _unknown(text, list(words), "cluster")
    meets = np.array([*(compare(text, word) if flipped else compare(word, text) for word in words), False])
    return meets[np.where(np.isnan(numbers), len(words), numbers).astype(np.int64)]


def _compared(compare: Callable, left, right, left_node: ast.expr, right_node: ast.expr):
    """A comparison, false where either side is missing."""
    if _is_text(left) != _is_text(right):
        text, number = (left_node, right_node) if _is_text(left) else (right_node, left_node)
        raise UserError(
            f"text cannot be compared with a number ({_source(text)} and {_source(number)})",
            "put text in quotes, and numbers without",
        )
    known = ~(_missing(left) | _missing(right))
    if not _is_text(left):
        return compare(left, right) & known
    left, right = (np.where(_missing(side), "", side) if np.ndim(side) else side for side in (left, right))
    return np.asarray(compare(left, right), bool) & known


def _missing(value):
    """Where a value is NaN or None."""
    if _is_text(value):
        # None and NaN are the only objects here that are no text
        return np.array([not isinstance(v, str) for v in value], bool) if np.ndim(value) else np.False_
    return np.isnan(value) if np.asarray(value).dtype.kind == "f" else np.zeros(np.shape(value), bool)


def _is_text(value) -> bool:
    return isinstance(value, str) or (isinstance(value, np.ndarray) and value.dtype.kind in "OUT")


def _is_condition(value) -> bool:
    return isinstance(value, (bool, np.bool_)) or (isinstance(value, np.ndarray) and value.dtype.kind == "b")


def _truth(column: np.ndarray) -> np.ndarray:
    """Truth values with gaps (as Arrow hands them over) as numbers 1, 0 and NaN."""
    return np.array([np.nan if v is None else float(v) for v in column])


def _condition(value, node: ast.expr):
    if isinstance(value, np.ndarray) and value.dtype.kind == "f" and np.isin(value[~np.isnan(value)], (0, 1)).all():
        return value == 1  # truth values with gaps
    if not _is_condition(value):
        raise UserError(
            f"{_source(node)!r} is no condition",
            "compare it with something, and put each condition beside & or | in parentheses",
        )
    return value


def _number(value, node: ast.expr):
    if _is_text(value):
        raise UserError(f"{_source(node)!r} is text, not a number", "compute with columns of numbers")
    return np.asarray(value, np.float64)[()]


def _source(node: ast.AST) -> str:
    return ast.unparse(node)[:60]


def _unknown(name: str, known: Sequence[str], kind: str = "column") -> UserError:
    close = difflib.get_close_matches(name, known, 5, 0.5)
    close += [k for k in known if k.lower() == name.lower() and k not in close]
    listed = ", ".join(close) if close else ", ".join(known[:20]) + (", …" if len(known) > 20 else "")
    return UserError(f"there is no {kind} {name!r}", f"did you mean: {listed}" if close else f"choose one of: {listed}")
