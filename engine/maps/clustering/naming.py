"""Names for clusters, found in what is known of their objects.

First the categories: a class, label or flag that is commoner in the cluster than elsewhere ("spiral 82 %": so many of
those with a known class). Else the columns of numbers in which the cluster differs most from the rest, in robust units
(medians, in units of 1.4826 MAD), with its median ("mag_r 17.2 · radius 5.1 arcsec"); of columns that say the same, one.
Else how its thumbnails differ ("red · extended"). Else "cluster 7". A name is a summary of one clustering's members,
not a claim about each of them; `Found.why` says what it rests on.

Cost: each column is read once; statistics are of at most `MEMBERS` objects a cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.data.catalogue import facts_of
from engine.errors import one_line

if TYPE_CHECKING:
    from engine.survey import Survey

#: Clusters that are named; of a thousand, the smallest keep their numbers.
NAMED = 400
#: Objects that statistics of a cluster, and of everything, are taken of.
MEMBERS, EVERYTHING = 5_000, 50_000
#: Distinct values above which text is no category.
CATEGORIES = 60
#: Objects whose value must be known before it is spoken of: as a number, and as a share of the cluster.
KNOWN, KNOWN_SHARE = 5, 0.2
#: Share of a category above which it may name a cluster, and by how much it must exceed that elsewhere.
COMMON, MORE = 0.5, 0.2
#: A category below that share names a cluster where it is so many times commoner than elsewhere, and twice as common as
#: in everything.
RARE, TIMES = 0.25, 5.0
#: Difference of medians that names a cluster, in robust standard deviations of the rest.
APART = 1.0
#: Correlation of two columns above which they say the same.
SAME = 0.7
#: Columns in a name.
PARTS = 2
#: Columns that say where an object is, not what.
POSITIONS = {"ra", "dec", "id"}
#: Stored scores that name clusters begin so.
SCORES = ("p_", "pred_")
#: Characters of one part of a name.
LONGEST = 28


@dataclass(frozen=True)
class Found:
    """A name, and what it rests on."""

    text: str
    why: str = ""


@dataclass(frozen=True)
class Sampled:
    """The objects that statistics are taken of.

    Attributes
    ----------
    rows : (m,) int64
        Ascending.
    code : (m,) int32
        Their clusters.
    random : (m,) bool
        Whether each is of the even sample of everything; the others were added because their cluster is small.
    """

    rows: np.ndarray
    code: np.ndarray
    random: np.ndarray


def find_names(survey: Survey, codes: np.ndarray) -> list[Found]:
    """Name the clusters of a survey.

    Parameters
    ----------
    survey : Survey
    codes : (N,) int32
        0, 1, … by falling size; −1 in none.

    Returns
    -------
    list of Found
        One a cluster, no two alike.
    """
    from engine.maps.clustering.appearance import appearances

    count = int(codes.max()) + 1 if len(codes) else 0
    sampled = sample(codes, min(count, NAMED))
    shares = [told for name, values in _categories(survey, sampled) for told in over_represented(name, values, sampled)]
    parts = named_by_categories(shares, min(count, NAMED))
    tails = departures(dict(_numbers(survey, sampled)), sampled, min(count, NAMED))
    kinds = [p.text.rsplit(" ", 2)[0] for p in parts if p is not None]
    alone = [p is not None and kinds.count(p.text.rsplit(" ", 2)[0]) == 1 for p in parts]
    if any(tail is None and not sole for tail, sole in zip(tails, alone)):
        tails = [tail or seen for tail, seen in zip(tails, appearances(survey, codes, min(count, NAMED)))]
    names = [part if sole else _together(part, tail) for part, tail, sole in zip(parts, tails, alone)]
    return _unlike(
        [names[c] or Found(f"cluster {c}") if c < len(names) else Found(f"cluster {c}") for c in range(count)]
    )


def _together(part: Found | None, tail: Found | None) -> Found | None:
    """A kind that several clusters share, and how this one differs."""
    if part is None or tail is None:
        return part or tail
    return Found(f"{part.text} · {tail.text}", f"{part.why}; {tail.why}")


def sample(codes: np.ndarray, count: int, *, seed: int = 0) -> Sampled:
    """An even sample of all objects, and as many of each cluster as make it known."""
    n = len(codes)
    random = np.random.default_rng(seed)
    even = np.arange(n) if n <= EVERYTHING else np.sort(random.choice(n, EVERYTHING, replace=False))
    chosen = np.zeros(n, bool)
    chosen[even] = True
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(count + 1))
    for begin, end in pairwise(bounds):
        members = order[begin:end]
        chosen[members if len(members) <= MEMBERS else members[:: -(-len(members) // MEMBERS)]] = True
    rows = np.flatnonzero(chosen)
    return Sampled(rows, np.asarray(codes[rows]), np.isin(rows, even, assume_unique=True))


# -- what is known ----------------------------------------------------------------------------------------------------


def _categories(survey: Survey, sampled: Sampled) -> Iterator[tuple[str, pa.Array]]:
    """Columns and labels that sort objects into kinds: name, and text of the sampled objects (null where unknown)."""
    for name in survey.columns:
        kind = survey.schema.field(name).type
        if name in POSITIONS or not (_is_text(kind) or pa.types.is_boolean(kind)):
            continue
        values = _taken(survey, name, sampled)
        text = pc.cast(values, pa.string())
        if not 1 < pc.count_distinct(text).as_py() <= CATEGORIES:
            continue
        yield name, _flag(name, values) if pa.types.is_boolean(kind) else text
    for target in survey.labels.targets():
        current = survey.labels.current(target)
        labels = np.full(len(survey), None, object)
        labels[current.rows] = [f"{target}: {value}" for value in current.values]
        yield f"label of {target}", pa.array(labels[sampled.rows], pa.string())


def _is_text(kind: pa.DataType) -> bool:
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(value) or pa.types.is_large_string(value)


def _flag(name: str, values: pa.Array) -> pa.Array:
    return pc.if_else(values, pa.scalar(name), pa.scalar(f"not {name}"))


def _taken(survey: Survey, name: str, sampled: Sampled) -> pa.Array:
    column = survey.arrow([name])[name].take(pa.array(sampled.rows)).combine_chunks()
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _numbers(survey: Survey, sampled: Sampled) -> Iterator[tuple[str, tuple[np.ndarray, str]]]:
    """Columns and scores of numbers: name, values of the sampled objects (NaN where unknown), and unit."""
    for name in survey.columns:
        kind = survey.schema.field(name).type
        if name in POSITIONS or not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            continue
        values = pc.cast(_taken(survey, name, sampled), pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        if pa.types.is_integer(kind) and len(values) > 20 and len(np.unique(values)) == len(values):
            continue  # a number of an object, not a measure
        yield name, (values, facts_of(survey.schema.field(name)).get("unit", ""))
    for name in survey.scores:
        if name.startswith(SCORES):
            yield name, (np.asarray(survey.score(name)[sampled.rows], np.float64), "")


# -- categories -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Share:
    """A category that is commoner in a cluster than elsewhere.

    Attributes
    ----------
    weight : float
        Share times the logarithm of how many times commoner it is: what it tells of an object of the cluster.
    """

    code: int
    text: str
    why: str
    weight: float


def over_represented(column: str, values: pa.Array, sampled: Sampled) -> list[Share]:
    """Categories of one column that are over-represented in a cluster.

    Parameters
    ----------
    values : (m,) text
        Of the sampled objects, null where unknown.
    """
    encoded = pc.dictionary_encode(values)
    category = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    kinds = [one_line(str(k)) for k in encoded.dictionary.to_pylist()]
    if not kinds:
        return []
    count = int(sampled.code.max(initial=-1)) + 1
    inside = _table(sampled.code, category, count, len(kinds))
    even = _table(sampled.code[sampled.random], category[sampled.random], count, len(kinds))
    everything = _table(np.zeros(sampled.random.sum(), np.int64), category[sampled.random], 1, len(kinds))[0]
    members = np.bincount(sampled.code[sampled.code >= 0], minlength=count)
    shares = []
    for code in range(count):
        known, rest = inside[code].sum(), everything - even[code]
        if known < max(KNOWN, KNOWN_SHARE * members[code] if not column.startswith("label of ") else KNOWN):
            continue
        here = inside[code] / known
        elsewhere = (rest + 0.5) / (rest.sum() + 0.5 * len(kinds))
        rare = (here >= RARE) & (here >= TIMES * elsewhere) & (here >= 2 * everything / max(everything.sum(), 1))
        told = (here >= COMMON) & (here >= elsewhere + MORE) | rare
        for k in np.flatnonzero(told & (inside[code] >= KNOWN)):
            there = _percent(rest[k] / rest.sum()) if rest.sum() else "nothing is known"
            why = f"{column}: {kinds[k]} {_percent(here[k])} of {known:,} known, elsewhere {there}"
            weight = float(here[k] * np.log(here[k] / elsewhere[k]))
            shares.append(Share(code, f"{_short(kinds[k])} {_percent(here[k])}", why, weight))
    return shares


def named_by_categories(shares: Sequence[Share], count: int) -> list[Found | None]:
    """The category that tells most of each cluster, None where there is none."""
    names: list[Found | None] = [None] * count
    for share in sorted(shares, key=lambda s: s.weight):
        if share.code < count:
            names[share.code] = Found(share.text, share.why)
    return names


def _table(code: np.ndarray, category: np.ndarray, count: int, kinds: int) -> np.ndarray:
    """How many of each kind each cluster has, (count, kinds)."""
    known = (code >= 0) & (category >= 0)
    flat = code[known].astype(np.int64) * kinds + category[known]
    return np.bincount(flat, minlength=count * kinds).reshape(count, kinds)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1].rstrip() + "…"


# -- numbers ----------------------------------------------------------------------------------------------------------


def departures(
    columns: dict[str, tuple[np.ndarray, str]],
    sampled: Sampled,
    count: int,
    *,
    words: Callable[[str, float, float, str], str] | None = None,
) -> list[Found | None]:
    """The columns in which each cluster departs most from the rest, None where it departs in none.

    Parameters
    ----------
    columns : dict
        Name → values of the sampled objects, (m,) float64, NaN where unknown; and their unit.
    words : callable, optional
        ``words(name, departure, median, unit)`` → one part of a name; "mag_r 17.2" if not given.
    """
    words = words or (lambda name, apart, median, unit: f"{_short(name)} {in_figures(median)} {unit}".strip())
    names: list[Found | None] = []
    for code in range(count):
        told = [(name, *found, unit) for name, (v, unit) in columns.items() if (found := _departure(v, sampled, code))]
        told.sort(key=lambda t: -abs(t[1]))
        kept: list[tuple] = []
        for part in told:
            if len(kept) < PARTS and all(not _alike(columns[part[0]][0], columns[k[0]][0]) for k in kept):
                kept.append(part)
        text = " · ".join(dict.fromkeys(words(name, apart, median, unit) for name, apart, median, _, unit in kept))
        why = "; ".join(
            f"{name}: median {in_figures(median)}, elsewhere {in_figures(other)} ({abs(apart):.1f} robust sd "
            f"{'above' if apart > 0 else 'below'})"
            for name, apart, median, other, _ in kept
        )
        names.append(Found(text, why) if kept else None)
    return names


def _departure(values: np.ndarray, sampled: Sampled, code: int) -> tuple[float, float, float] | None:
    """How far the median of a cluster is from the rest's, in robust standard deviations; both medians."""
    inside = sampled.code == code
    here = values[inside]
    here = here[np.isfinite(here)]
    rest = values[~inside & sampled.random]
    rest = rest[np.isfinite(rest)]
    if len(here) < max(KNOWN, KNOWN_SHARE * inside.sum()) or len(rest) < KNOWN:
        return None
    median, other = float(np.median(here)), float(np.median(rest))
    scale = 1.4826 * float(np.median(np.abs(rest - other))) or float(rest.std())
    if not scale > 0 or abs(median - other) < APART * scale:
        return None
    return (median - other) / scale, median, other


def _alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two columns say the same, by the correlation of their ranks."""
    known = np.flatnonzero(np.isfinite(one) & np.isfinite(other))
    known = known[:: max(1, len(known) // MEMBERS)]
    if len(known) < KNOWN:
        return False
    first, second = (values[known].argsort().argsort().astype(np.float64) for values in (one, other))
    first, second = first - first.mean(), second - second.mean()
    return abs(first @ second) > SAME * np.sqrt((first @ first) * (second @ second))


def in_figures(value: float) -> str:
    """A number in three figures, as people write it."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _unlike(names: Sequence[Found]) -> list[Found]:
    """The same, told apart by their codes where two are alike."""
    texts = [name.text for name in names]
    return [
        replace(name, text=f"{name.text} ({code})") if texts.count(name.text) > 1 else name
        for code, name in enumerate(names)
    ]
