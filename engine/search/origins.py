"""How a selection came to be: a small tree whose leaves are outlines, queries and names, and whose knots are operations.

A selection is kept as members *and* as its origin, plain JSON: a leaf such as ``{"kind": "polygon", "layout": …,
"polygon": [[x, y], …]}`` or ``{"kind": "query", "query": …}``, or a knot ``{"kind": "add", "parts": [origin, …]}``. The
parts of `JOINS` are taken from left to right. Parts kept under a name carry it (``name``).

The members are what counts: an origin says where they came from, draws the outlines, and lets one of them be changed.
It may come from a file that anybody wrote, so that what makes no sense is passed over, and nothing is ever looked up by it
but layouts, queries and neighbours of the survey itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from engine.errors import UserError
from engine.search import sets

#: Kinds of a leaf with an outline.
SHAPES = ("polygon", "box")
#: Kinds of a knot that join parts, and how people write them.
JOINS = {"add": "+", "subtract": "−", "intersect": "∩"}
#: Kinds of a knot that change one part.
CHANGES = ("invert", "grow", "shrink")
#: What these were called in files written before there was a tree.
FORMERLY = {"union": "add", "subtract": "subtract", "intersect": "intersect", "invert": "invert"}
#: Levels and corners of outlines beyond which what lies below is remembered as members only.
DEEPEST, MOST_CORNERS = 24, 40_000
#: Characters of an origin in words.
WORDS = 90

Path = tuple[int, ...]


@dataclass(frozen=True)
class Shape:
    """An outline in an origin.

    Attributes
    ----------
    path : tuple of int
        Which part of which part it is; empty: the origin itself.
    kind : 'polygon' or 'box'
    layout : str
        The layout it was drawn on.
    polygon : (V, 2) float64
        Corners in the layout's coordinates.
    takes : bool
        Whether what is inside was taken out.
    """

    path: Path
    kind: str
    layout: str
    polygon: np.ndarray
    takes: bool = False


# -- making -----------------------------------------------------------------------------------------------------------


def shape(kind: str, layout: str, polygon: np.ndarray) -> dict:
    """The origin of what is inside an outline, (V, 2)."""
    return {"kind": kind, "layout": layout, "polygon": np.asarray(polygon, np.float64).tolist()}


def joined(mode: str, before: dict, after: dict) -> dict:
    """The origin of two sets joined by one of `engine.search.sets.MODES`."""
    if mode == "replace" or not before:
        return after
    before = _short(before)
    same = before.get("kind") == mode and "name" not in before
    return {"kind": mode, "parts": [*(before["parts"] if same else [before]), after]}


def changed(kind: str, before: dict, **details) -> dict:
    """The origin of a set that was inverted, grown or shrunk."""
    return {"kind": kind, **details, "parts": [_short(before)]}


def _short(how: dict) -> dict:
    """An origin, or only its words where it has become too large to be kept with every step."""
    corners = sum(len(s.polygon) for s in shapes(how))
    if _depth(how) < DEEPEST and corners <= MOST_CORNERS:
        return how
    return {"kind": "members", "words": words(how)}


def _depth(how: dict) -> int:
    return 1 + max((_depth(part) for part in _parts(how)), default=0)


# -- reading ----------------------------------------------------------------------------------------------------------


def checked(value, *, _left: int = 4 * DEEPEST) -> dict:
    """An origin read from a file: knots and leaves as they are written now; what makes no sense is an unknown leaf."""
    if not isinstance(value, dict) or _left == 0:
        return {}
    how = _renamed(value)
    if how.get("kind") not in (*JOINS, *CHANGES):
        return {name: part for name, part in how.items() if name != "parts"}
    parts = how.get("parts")
    found = [checked(part, _left=_left - 1) for part in parts] if isinstance(parts, list) else []
    return how | {"parts": found or [{}]}


def _renamed(value: dict) -> dict:
    """A node as it is written now, from one of before."""
    if isinstance(value.get("kind"), str):
        return dict(value)
    for old, kind in FORMERLY.items():
        if isinstance(value.get(old), list):
            return {"kind": kind, "parts": [_of_part(part) for part in value[old]]}
    kinds = {"polygon": "polygon", "query": "query", "ids": "ids"}
    known = [kind for name, kind in kinds.items() if name in value][:1]
    return ({"kind": known[0]} if known else {}) | _without_kind(value)


def _without_kind(value: dict) -> dict:
    return {name: part for name, part in value.items() if name != "kind"}


def _of_part(part) -> dict:
    if not isinstance(part, dict) or not isinstance(part.get("how"), dict):
        return {}
    return {**_renamed(part["how"]), "name": part.get("name", "")}


def _parts(how: dict) -> list[dict]:
    return how.get("parts", []) if how.get("kind") in (*JOINS, *CHANGES) else []


def nodes(how: dict, path: Path = ()) -> Iterator[tuple[Path, dict]]:
    """Every leaf and knot with its path, a knot before its parts."""
    yield path, how
    for number, part in enumerate(_parts(how)):
        yield from nodes(part, (*path, number))


def shapes(how: dict, layout: str | None = None) -> list[Shape]:
    """Every outline in an origin, in the order of drawing; only those drawn on one layout, if it is given."""
    found = [found for path, node in nodes(how) if (found := _shape(how, path, node)) is not None]
    return [s for s in found if layout is None or s.layout == layout]


def _shape(how: dict, path: Path, node: dict) -> Shape | None:
    ring, layout = outline(node), node.get("layout")
    if ring is None or not isinstance(layout, str):
        return None
    return Shape(path, node["kind"], layout, ring, _takes(how, path))


def outline(node: dict) -> np.ndarray | None:
    """Corners of a leaf's outline, (V, 2) float64; None if it has none, or one that makes no sense."""
    if node.get("kind") not in SHAPES:
        return None
    try:
        ring = np.asarray(node["polygon"], np.float64)
    except (KeyError, TypeError, ValueError):
        return None
    return ring if ring.ndim == 2 and ring.shape[1] == 2 and len(ring) >= 3 and np.isfinite(ring).all() else None


def _takes(how: dict, path: Path) -> bool:
    """Whether a part takes objects out: once more for each subtraction and inversion above it."""
    takes = False
    for number in path:
        takes ^= how["kind"] == "invert" or (how["kind"] == "subtract" and number > 0)
        how = how["parts"][number]
    return takes


def layouts(how: dict) -> list[str]:
    """Names of the layouts that outlines were drawn on."""
    return list(dict.fromkeys(s.layout for s in shapes(how)))


def at(how: dict, path: Path) -> dict:
    """The leaf or knot at a path.

    Raises
    ------
    LookupError
        If there is none.
    """
    for number in path:
        how = _parts(how)[number]
    return how


def put(how: dict, path: Path, node: dict) -> dict:
    """The same origin with another leaf or knot at a path."""
    if not path:
        return node
    parts = list(_parts(how))
    parts[path[0]] = put(parts[path[0]], path[1:], node)
    return {**how, "parts": parts}


# -- words ------------------------------------------------------------------------------------------------------------


def words(how: dict, *, most: int = WORDS) -> str:
    """An origin in short words: ``lasso + ‘blue’ − mag_r < 22``."""
    text = _words(how)
    return text if len(text) <= most else text[: most - 1] + "…"


def _words(how: dict) -> str:
    if isinstance(how.get("name"), str) and how["name"]:
        return f"‘{how['name']}’"
    parts = [_inner(part) for part in _parts(how)]
    match how.get("kind"):
        case "polygon":
            return "lasso"
        case "box":
            return "box"
        case "query" | "ids" | "place":
            return str(how.get("query", how["kind"]))
        case "members" | "similar":
            return str(how.get("words", "objects chosen before"))
        case "invert":
            return f"all but {parts[0]}"
        case "grow":
            return f"{parts[0]} grown by {how.get('k', '?')} neighbours"
        case "shrink":
            return f"core of {parts[0]}"
        case kind if kind in JOINS:
            return f" {JOINS[kind]} ".join(parts)
        case kind:
            return str(kind or "objects chosen before")


def _inner(how: dict) -> str:
    """A part in words, in parentheses where the order of operations would be lost without."""
    text = _words(how)
    return f"({text})" if how.get("kind") in JOINS and not how.get("name") else text


# -- members ----------------------------------------------------------------------------------------------------------


def evaluate(
    how: dict, find: Callable[[Path, dict, np.ndarray | None], np.ndarray], *, count: int, path: Path = ()
) -> np.ndarray:
    """Members of an origin.

    Parameters
    ----------
    how : dict
    find : callable
        ``find(path, leaf, None)`` gives the set of a leaf; ``find(path, knot, set)`` what 'grow' and 'shrink' make of one.
    count : int
        N, objects of the survey.

    Returns
    -------
    (n,) int64
        Ascending.

    Raises
    ------
    UserError
        As `find` does.
    """
    kind = how.get("kind")
    parts = [evaluate(part, find, count=count, path=(*path, k)) for k, part in enumerate(_parts(how))]
    if kind == "invert":
        return sets.invert(parts[0], count=count)
    if kind in CHANGES:
        return find(path, how, parts[0])
    if kind not in JOINS:
        return find(path, how, None)
    rows = parts[0]
    for part in parts[1:]:
        rows = sets.combine(str(kind), rows, part, count=count)
    return rows


def no_longer(how: dict) -> UserError:
    """What to say of a part whose members nothing can find again."""
    return UserError(
        f"what {words(how)} selected cannot be found again from its description",
        "its members are kept; draw a new outline to change them",
    )
