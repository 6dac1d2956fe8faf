"""How a selection that was found by likeness is written down, and found again.

The origin of it is a leaf of kind ``similar`` (see `engine.search.origins`): ids to be like and unlike, what else was
searched with (in words), and the filters. Where only objects of the survey were asked for, it can be found again; an image is
not kept, so that its findings are known by their members.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.search.origins import no_longer

if TYPE_CHECKING:
    from engine.survey import Survey

#: Ids that are named in words.
NAMED = 2


def origin(
    like: Sequence[str],
    unlike: Sequence[str] = (),
    *,
    others: Sequence[str] = (),
    count: int,
    representation: str | None = None,
    query: str = "",
    min_separation: float = 0.0,
    features: str = "components",
    whole: bool = True,
) -> dict:
    """The origin of a result.

    Parameters
    ----------
    like, unlike : ids
    others : sequence of str
        What else it was to be like, in words.
    count : int
        Objects found.
    representation, query, min_separation, features
        As they were searched by.
    whole : bool
        Whether this tells all: false where a selection was searched, labels were left out, or objects were turned.
    """
    return {
        "kind": "similar",
        "like": list(like),
        "unlike": list(unlike),
        "others": list(others),
        "count": int(count),
        "representation": representation,
        "query": query,
        "min_separation": float(min_separation),
        "features": features,
        "whole": bool(whole) and not others,
        "words": words(like, unlike, others, count),
    }


def words(like: Sequence[str], unlike: Sequence[str], others: Sequence[str], count: int) -> str:
    """A result in a few words: ``200 like g0012, g0044 and 3 more, unlike g0009``."""
    away = f", unlike {_named(unlike)}" if unlike else ""
    return f"{count:,} like {_named([*like, *others])}{away}"


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(map(str, names[:NAMED]))
    return shown if len(names) <= NAMED else f"{shown} and {len(names) - NAMED} more"


def again(survey: Survey, how: dict) -> np.ndarray:
    """The members of such an origin, ascending, as the survey is now.

    Raises
    ------
    UserError
        If it does not tell all, or an object is gone.
    """
    from engine.search.similar import similar

    like, unlike = how.get("like"), how.get("unlike", [])
    if how.get("whole") is not True or not isinstance(like, list) or not isinstance(unlike, list):
        raise no_longer(how)
    try:
        options: dict[str, Any] = {
            "top": int(how["count"]),
            "query": str(how.get("query", "")),
            "min_separation": float(how.get("min_separation", 0)),
            "features": str(how.get("features", "components")),
            "representation": None if how.get("representation") is None else str(how["representation"]),
        }
    except (KeyError, TypeError, ValueError) as error:
        raise no_longer(how) from error
    rows, _ = similar(survey, survey.rows(like), unlike=survey.rows(unlike), **options)
    return np.sort(rows)
