"""How clusters look, in words: what their thumbnails have that the others' have not ("red · extended").

Five measures of a thumbnail, all of the light above its border: how much there is, how far out it lies (root of the
second moment, in shares of the side), how elongated it lies (by the second moments' axes), how lumpy it is, and whether
red or blue prevails. A thumbnail is stretched for the eye: these are words for a map, not photometry.

Cost: 0.4 ms a thumbnail; at most `LOOKED_AT` a cluster.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from engine.maps.clustering.naming import Found
    from engine.survey import Survey

#: Thumbnails looked at: of a cluster, and of everything.
LOOKED_AT, EVERYTHING = 40, 400
#: Clusters above which only the largest are looked at.
CLUSTERS = 60
#: Side to which thumbnails are brought, pixels.
SIDE = 48
#: Measure → what little and much of it is called.
WORDS = {
    "light": ("faint", "bright"),
    "extent": ("compact", "extended"),
    "elongation": ("round", "elongated"),
    "lumps": ("smooth", "clumpy"),
    "colour": ("blue", "red"),
}


def appearances(survey: Survey, codes: np.ndarray, count: int, *, seed: int = 0) -> list[Found | None]:
    """What the thumbnails of each cluster have that the others' have not, None where that is nothing.

    Parameters
    ----------
    codes : (N,) int32
    count : int
        Clusters to speak of.
    """
    from engine.maps.clustering.naming import Found, departures

    if not survey.thumbnails.complete:
        return [None] * count
    sampled = _sampled(codes, min(count, CLUSTERS), seed)
    seen = np.array([measures(jpeg) for jpeg in survey.thumbnails.read(sampled.rows)]).reshape(-1, len(WORDS))
    columns = {name: (seen[:, k], "") for k, name in enumerate(WORDS)}
    told = departures(columns, sampled, count, words=_word)
    return [t and Found(t.text, f"its thumbnails, {t.why}") for t in told]


def measures(jpeg: bytes) -> np.ndarray:
    """The measures of one thumbnail, in the order of `WORDS`; NaN where there is no picture or no light in it."""
    nothing = np.full(len(WORDS), np.nan)
    try:
        picture = Image.open(io.BytesIO(jpeg)).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
    except (OSError, ValueError):
        return nothing
    rgb = np.asarray(picture, np.float64) / 255
    border = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
    above = rgb - np.median(border, axis=0)
    light = np.clip(above.mean(axis=2), 0, None)
    total = light.sum()
    if not total > 0:
        return nothing
    axis = np.linspace(-1, 1, SIDE)
    x, y = (light.sum(axis=k) / total @ axis for k in (0, 1))
    dx, dy = axis - x, axis - y
    xx, yy = (light.sum(axis=k) / total @ d**2 for k, d in ((0, dx), (1, dy)))
    xy = dy @ light @ dx / total
    shape = np.sqrt((xx - yy) ** 2 + 4 * xy**2) / (xx + yy + 1e-9)
    rough = np.abs(np.diff(light, axis=0)).sum() + np.abs(np.diff(light, axis=1)).sum()
    red, blue = ((light * np.clip(above[:, :, k], 0, None)).sum() + 1e-3 for k in (0, 2))
    return np.array([np.log(total), np.sqrt(xx + yy), shape, rough / total, np.log(red / blue)])


def _sampled(codes: np.ndarray, count: int, seed: int):
    """An even few of everything, and a few of each cluster."""
    from engine.maps.clustering.naming import Sampled

    random = np.random.default_rng(seed)
    n = len(codes)
    even = random.choice(n, min(n, EVERYTHING), replace=False)
    few = [even]
    for code in range(count):
        members = np.flatnonzero(codes == code)
        few.append(random.choice(members, min(len(members), LOOKED_AT), replace=False))
    rows = np.unique(np.concatenate(few))
    return Sampled(rows, np.asarray(codes[rows]), np.isin(rows, even))


def _word(name: str, apart: float, median: float, unit: str) -> str:
    return WORDS[name][int(apart > 0)]
