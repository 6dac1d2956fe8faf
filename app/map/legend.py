"""The legend of a map: what its colours mean, and how many objects in view, and of the selection in view, have each.

A scale names its ends and its middle, with units; categories are counted one by one.
"""

from __future__ import annotations

import numpy as np

from app.hunt.ranking import RANKED
from app.map import scales
from app.map.colouring import SCALES, TITLES, Colouring, Picture
from app.theme import category_colours, theme

#: What the ways of colouring are called, where their names do not say it.
WORDS = {"mixed": "mixed", "top": "most frequent"}
#: What they mean.
MEANING = {
    "equalised": "every shade covers as much as any other",
    "log": "logarithmic",
    "linear": "linear",
    "mixed": "a pixel mixes the colours of its objects",
    "top": "a pixel has the colour of its most frequent category",
}

#: What a pixel can show of the numbers of its objects.
STATISTICS = [
    {"value": "mean", "text": "mean", "meaning": "a pixel has the mean of its objects"},
    {
        "value": "max",
        "text": "highest",
        "meaning": "a pixel has the highest value of its objects: a rare one is seen among many",
    },
    {"value": "min", "text": "lowest", "meaning": "a pixel has the lowest value of its objects"},
]


def legend(colouring: Colouring, drawn: Picture, members: Picture | None, target: str) -> dict:
    """What the overlay shows.

    Returns
    -------
    dict
        kind ('scale' or 'items'), title, total and selected (objects in view; None: there is no selection), scale (the one
        in use), scales (those to choose from: value, text, meaning), of numbers the same as statistic and statistics; with
        stops and ends (texts from low to high), or items (name, colour, count, selected).
    """
    found = {
        "title": _title(colouring, target),
        "total": int(drawn.counts.sum()),
        "selected": None if members is None else int(members.counts.sum()),
        "scale": colouring.scale,
        "scales": [{"value": s, "text": WORDS.get(s, s), "meaning": MEANING[s]} for s in SCALES[colouring.kind]],
    }
    if colouring.kind == "number":
        found |= {"statistic": colouring.statistic, "statistics": STATISTICS}
    if colouring.kind == "category":
        return {"kind": "items", **found, "items": _items(colouring, drawn, members)}
    low = 30 if colouring.kind == "density" else 0  # the ground's own shades are not drawn
    colours = colouring.palette[low :: max(1, (len(colouring.palette) - low) // 8)]
    stops = [f"rgb({','.join(map(str, colour))})" for colour in colours]
    ends = _densities(colouring, drawn) if colouring.kind == "density" else _numbers(colouring)
    return {"kind": "scale", **found, "stops": stops, "ends": ends}


def _title(colouring: Colouring, target: str) -> str:
    if colouring.values is None:
        return "density"
    name = colouring.values.name
    title = TITLES.get(name, name)
    return f"{title} · {target}" if name in RANKED or name == "label" else title


def _densities(colouring: Colouring, drawn: Picture) -> list[str]:
    if drawn.densest is None:
        return ["sparse", "dense"]
    least, most = (f"{value:.2g}" if value < 100 else f"{value:,.0f}" for value in drawn.densest)
    return [least, f"{most} per pixel"]


def _numbers(colouring: Colouring) -> list[str]:
    """Values at the ends, and in the middle where that cannot be told from them."""
    values = colouring.given
    if not np.isfinite(values.array[:: max(1, len(values.array) // 100_000)]).any():
        return ["no value yet", ""]
    lo, hi = colouring.limits
    unit = f" {values.unit}" if values.unit else ""
    if colouring.scale == "linear":
        return [f"{lo:.3g}{unit}", f"{hi:.3g}{unit}"]
    middle = scales.inverse(0.5, values.array, colouring.scale)
    return [f"{lo:.3g}", f"{middle:.3g}{unit}", f"{hi:.3g}"]


def _items(colouring: Colouring, drawn: Picture, members: Picture | None) -> list[dict]:
    values = colouring.given
    missing = "unlabelled" if values.name == "label" else values.missing
    names = [*values.categories, missing]
    colours = [*category_colours(values.categories, colouring.dark), theme(colouring.dark).unknown]
    items = [
        {
            "name": name,
            "colour": colour,
            "count": int(drawn.counts[k]),
            "selected": None if members is None else int(members.counts[k]),
        }
        for k, (name, colour) in enumerate(zip(names, colours))
    ]
    return items if items[-1]["count"] else items[:-1]
