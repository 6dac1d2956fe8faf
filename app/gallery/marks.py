"""What tiles carry besides their pictures: labels, artefacts, comments, and what is to be reviewed later."""

from __future__ import annotations

import numpy as np

from app.gallery.tabs import MARKED
from app.hunt.codes import names_of
from app.hunt.labelling import ARTEFACT, answers
from app.theme import category_colours
from engine.errors import UserError
from engine.learning.targets import Target


def choices(store, target: str, dark: bool) -> list[dict]:
    """What can be said of an object: key, value, sign, code, colour; see `app.hunt.labelling.answers`."""
    try:
        taken = store.target(target)
    except UserError:  # the log cannot be read, which is told elsewhere
        taken = Target("")
    colours = category_colours(names_of(taken)[1:], dark)
    return [{**vars(answer), "colour": colours[answer.code - 1]} for answer in answers(taken)]


def marks(store, target: str, user: str, rows: np.ndarray) -> dict:
    """Codes of the labels of some objects, and what else is known of them, a list each."""
    remarks = store.survey.remarks
    return {
        "codes": store.label_codes(target)[rows],
        "artefacts": (store.label_codes(ARTEFACT)[rows] == 1).astype(int),
        "comments": remarks.texts(rows),
        "later": remarks.reviewed_later(rows, user).astype(int),
    }


def none(rows: np.ndarray) -> dict:
    """The same when the log cannot be read."""
    empty = np.zeros(len(rows), int)
    return {"codes": empty, "artefacts": empty, "comments": [""] * len(rows), "later": empty}


def filters(store, target: str, user: str, counts: dict[str, int]) -> list[dict]:
    """What the list of labelled objects can be narrowed to: name, title, count."""
    labels = [{"name": "", "title": "all labels", "count": sum(counts.values())}]
    try:
        taken, remarks = store.target(target), store.survey.remarks
        found = (store.label_counts(ARTEFACT).get("yes", 0), len(remarks.to_review(user)), len(remarks.commented()))
    except UserError:
        return labels
    names = names_of(taken)
    for answer in answers(taken):
        shown = names[answer.code]
        labels.append({"name": answer.value, "title": f"{answer.sign} {shown}", "count": counts.get(shown, 0)})
    titles = zip(MARKED, ("artefacts", "review later", "with a comment"), found)
    return labels + [{"name": name, "title": title, "count": count} for name, title, count in titles]
