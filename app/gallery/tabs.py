"""What each tab of the gallery lists: which objects, in which order, with which numbers, and what it says without any.

Works on the store's arrays and touches no session, so that a thread can do it: `list_objects` takes what is wanted as
one frozen `Wanted` and returns one frozen `Listed`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from app.gallery.batches import Batches
from app.gallery.listing import Listing, shuffled
from app.hunt import outlying
from app.hunt.asking import Asking
from app.hunt.codes import codes_of
from app.hunt.labelling import ARTEFACT
from engine.errors import UserError
from engine.outliers.listing import Weighed

#: Name of the order that looks random: a fair sample of a large selection.
AT_RANDOM = "random"
#: Posterior mean from which an object counts as predicted likely: half-way between no (0) and yes (1).
LIKELY = 0.5
#: What the labelled tab can be narrowed to beside labels: objects marked in other ways.
MARKED = ("mark:artefact", "mark:later", "mark:comment")
#: Sizes of a batch of suggestions.
BATCHES = (10, 25, 50, 100)


@dataclass(frozen=True)
class Wanted:
    """What a session asks of a tab; see `app.state.State` for the meaning of most.

    `only`: a label, or one of `MARKED`, that the labelled tab shows; empty: every label. `words`: what a comment must say.
    """

    tab: str
    target: str
    sort: str = ""
    selection: np.ndarray | None = None
    asking: Asking = field(default_factory=Asking)
    batch: int = BATCHES[0]
    only: str = ""
    words: str = ""
    user: str = ""
    outlying: outlying.Asked = field(default_factory=outlying.Asked)


@dataclass(frozen=True)
class Listed:
    """The objects of a tab.

    Attributes
    ----------
    listing : Listing
    scores : dict
        Row → number, for tabs that have one of their own (similarity).
    title, advice : str
        What to say instead of objects, when there are none.
    warning : str
        What could not be done as asked.
    waiting : bool
        The ranking is being made; ask again when it is there.
    weighed : Weighed, optional
        What the outliers are listed by.
    """

    listing: Listing | Batches
    scores: dict[int, float] = field(default_factory=dict)
    title: str = ""
    advice: str = ""
    warning: str = ""
    waiting: bool = False
    weighed: Weighed | None = None


def list_objects(store, wanted: Wanted) -> Listed:
    """List the objects of a tab.

    Raises
    ------
    UserError
        If the search behind the tab cannot be made.
    """
    found = TAB_LISTS[wanted.tab](store, wanted)
    if not len(found.listing) or not wanted.sort:
        return found
    try:
        listing = sort(store, found.listing.rows, wanted.sort, wanted.target)
    except UserError as error:
        return Listed(found.listing, found.scores, warning=str(error))
    if wanted.tab == "suggestions":
        return Listed(Batches(listing.all()))
    return Listed(listing, found.scores)


def following(store, wanted: Wanted, batches: Batches) -> np.ndarray:
    """The batch that comes after those shown, (≤ batch,) int64, in the order that is wanted."""
    rows = batches.fresh(store.suggestions(wanted.target, wanted.batch + len(batches)), wanted.batch)
    if not wanted.sort or not len(rows):
        return rows
    try:
        return sort(store, rows, wanted.sort, wanted.target).all()
    except UserError:  # told when the list was made
        return rows


def sort(store, rows: np.ndarray, order: str, target: str) -> Listing:
    """Put objects in the order of a column, a score or `AT_RANDOM`; '-' in front: descending.

    Raises
    ------
    UserError
        If there is no such column or score.
    """
    name, descending = order.removeprefix("-"), order.startswith("-")
    if name == AT_RANDOM:
        return Listing.by(rows, shuffled(rows))
    values = store.values(name, target)
    keys = values.array[rows]
    if values.kind == "category":
        keys = np.where(keys < 0, np.nan, keys)
    return Listing.by(rows, keys, descending=descending)


def likely(store, target: str) -> int:
    """How many objects without a label are predicted to be what is looked for; 0 before the first ranking."""
    ranking = store.ranking(target) if store.survey.representations else None
    if ranking is None:
        return 0
    return int(np.count_nonzero((ranking.mean >= LIKELY) & (store.label_codes(target) == 0)))


def summary(counts: dict[str, int], found: int, news: str = "") -> str:
    """How far the hunt is: labels by value, how many more objects are predicted likely, and what is new of the model."""
    if not any(counts.values()):
        return (
            "No label yet: these objects are spread over the survey so that each kind is met early. "
            "Label some; the ranking starts with the first."
        )
    parts = [f"{count:,} {name}" for name, count in counts.items() if count]
    if len(parts) > 4:
        parts = [f"{sum(counts.values()):,} labelled"]
    return " · ".join([*parts, f"{found:,} more predicted likely", *([news] if news else [])])


def numbers(store, wanted: Wanted, listed: Listed, rows: np.ndarray, *, labelled: int) -> tuple[list[str], list[str]]:
    """What is written on the tiles of some listed objects.

    Parameters
    ----------
    labelled : int
        Objects labelled for the target.

    Returns
    -------
    texts, captions : lists of str
        The number that is always shown, and what the pointer adds.
    """
    nothing = [""] * len(rows)
    if wanted.tab == "similar":
        return [f"{listed.scores.get(int(r), math.nan):.2f}" for r in rows], nothing
    if wanted.tab == "outliers" and not wanted.sort and len(rows):
        return outlying.numbers(listed.weighed, rows) if listed.weighed is not None else (nothing, nothing)
    ranking = store.ranking(wanted.target) if wanted.tab == "suggestions" and len(rows) else None
    if ranking is not None:
        if labelled == 0:
            return nothing, nothing  # a prior says nothing about an object
        mean, sd, gain = ranking.said.at(rows)
        return [f"{m:.2f} ± {s:.2f}" for m, s in zip(mean, sd)], [f"acquisition {a:.3g}" for a in gain]
    return _sorted_numbers(store, wanted, listed, rows)


def _sorted_numbers(store, wanted: Wanted, listed: Listed, rows: np.ndarray) -> tuple[list[str], list[str]]:
    """The value that the objects are in the order of."""
    name, nothing = wanted.sort.removeprefix("-"), [""] * len(rows)
    if not name or name == AT_RANDOM or listed.warning or len(rows) == 0:
        return nothing, nothing
    values = store.values(name, wanted.target)
    part = values.array[rows]
    if values.kind == "category":
        return [values.categories[k] if k >= 0 else "–" for k in part], [name] * len(rows)
    return [f"{v:.4g} {values.unit}".strip() if np.isfinite(v) else "–" for v in part], [name] * len(rows)


def _nothing(title: str, advice: str, *, waiting: bool = False) -> Listed:
    return Listed(Listing(np.zeros(0, np.int64)), title=title, advice=advice, waiting=waiting)


def _selection(store, wanted: Wanted) -> Listed:
    if wanted.selection is None:
        return _nothing("Nothing selected yet", "Draw a lasso on the map to see the objects inside it here.")
    if len(wanted.selection) == 0:
        return _nothing("No object in this selection", "Draw a larger outline, or ask for something less rare.")
    return Listed(Listing(wanted.selection))


def _suggestions(store, wanted: Wanted) -> Listed:
    if not store.survey.representations:
        return _nothing(
            "Nothing to learn from yet",
            "Make a layout: it begins with the representation that suggestions are learned from.",
        )
    if store.ranking(wanted.target) is None:
        return _nothing(
            f"Ranking {store.n:,} objects for ‘{wanted.target}’",
            "The first suggestions appear in a moment.",
            waiting=True,
        )
    rows = store.suggestions(wanted.target, wanted.batch)
    if len(rows) == 0:
        return _nothing(
            "No suggestion is left", "All that was suggested is labelled; the next ranking brings more.", waiting=True
        )
    return Listed(Batches(rows))


def _outliers(store, wanted: Wanted) -> Listed:
    if not store.survey.representations:
        return _nothing(
            "Nothing to compare yet", "Make a layout: it begins with the representation that objects are compared by."
        )
    if not store.outlying.kept():
        return _nothing(
            "What is strange here?", "‘Find outliers’ compares every object with all others. It needs no label."
        )
    found = store.outlying.strangest(wanted.outlying, wanted.target)
    rows = found.rows()
    if len(rows) == 0:
        return _nothing(
            "Nothing is left to show",
            "All objects look like what is labelled an artefact: switch ‘Hide artefacts’ off.",
        )
    return Listed(Listing.by(rows, found.order[rows], descending=True), weighed=found)


def _similar(store, wanted: Wanted) -> Listed:
    asking = wanted.asking
    if not asking.query:
        advice = "Press s on an object, drop a picture or FITS file here, or give a place on the sky."
        if len(asking.query.unlike):
            advice = "There are only objects to be unlike: press + on one to be like."
        return _nothing("More like what?", advice)
    rows, score = asking.find(store.survey, store.representation, selection=wanted.selection, target=wanted.target)
    if not len(rows) and asking.filtered:
        return _nothing("Nothing that may be found is left", "The options leave nothing over: ask for less.")
    return Listed(Listing(rows), dict(zip(rows.tolist(), score.tolist())))


def _labelled(store, wanted: Wanted) -> Listed:
    rows = _narrowed(store, wanted)
    if wanted.words.strip():
        said = store.survey.remarks.commented(wanted.words)
        rows = said if not wanted.only else rows[np.isin(rows, said)]
    if len(rows) == 0:
        return _nothing(*_why_nothing(wanted))
    return Listed(Listing(rows))


def _narrowed(store, wanted: Wanted) -> np.ndarray:
    """Labelled objects, or those with one label or mark, the newest first."""
    remarks = store.survey.remarks
    if wanted.only == "mark:comment":
        return remarks.commented()
    if wanted.only == "mark:later":
        return remarks.to_review(wanted.user)
    target = ARTEFACT if wanted.only == "mark:artefact" else wanted.target
    rows, codes = store.labelled(target)[::-1], store.label_codes(target)
    if not wanted.only:
        return rows
    code = 1 if wanted.only == "mark:artefact" else codes_of(store.target(target)).get(wanted.only, -1)
    return rows[codes[rows] == code]


def _why_nothing(wanted: Wanted) -> tuple[str, str]:
    """What to say instead of labelled objects."""
    if wanted.words.strip():
        return f"No comment says ‘{wanted.words.strip()}’", "Press w on an object to write one."
    others = {
        "mark:artefact": ("No artefact yet", "Press a on an object that is no galaxy: it is kept out of every hunt."),
        "mark:later": ("Nothing to review later", "Press Shift J on an object to come back to it."),
        "mark:comment": ("No comment yet", "Press w on an object to write one."),
    }
    what = f"labelled {wanted.only}" if wanted.only else "labelled"
    nothing = f"No object is {what} for ‘{wanted.target}’", "Press one of the keys below on an object to label it."
    return others.get(wanted.only, nothing)


TAB_LISTS = {
    "selection": _selection,
    "suggestions": _suggestions,
    "outliers": _outliers,
    "similar": _similar,
    "labelled": _labelled,
}
