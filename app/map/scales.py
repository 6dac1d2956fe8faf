"""Scales: from a value, or a density, to its place between the ends, 0-1, and from there to a colour.

*equalised* gives every part of the scale to as many values (or pixels) as any other, *log* and *linear* say themselves. The
scale of a column is fixed by all its values, so that a colour means the same in every view; that of a density by the view.
What is looked up a pixel is a table: of a density, by `BINS` steps of its square root; of a value, by the bits of its place
as a float32, which resolve the low end of a wide range as well as the high one.
"""

import numpy as np

#: Steps of the square root of the weight.
BINS = 2048
#: Scales of a density or a number.
SCALES = ("equalised", "log", "linear")
#: Ratio of the densest to the sparsest shade of a logarithmic density.
DECADES = 1000.0
#: Values below this share of their range are one step of a value's table.
LEAST = 2.0**-16
#: Bits of a float32 that number the table's steps: every halving of the range has 2¹¹ of them.
SHIFT = np.uint32(12)
FIRST = np.float32(LEAST).view(np.uint32) >> SHIFT
#: Entries of a value's table.
STEPS = int((np.float32(1).view(np.uint32) >> SHIFT) - FIRST) + 1


def value_range(values: np.ndarray, scale: str = "linear") -> tuple[float, float]:
    """Ends of a colour scale: the 2nd and 98th percentile of what is known, from at most 10⁵ values.

    Fixed for a column, so that the scale does not move with the view. (0, 1) when nothing is known. A logarithmic scale
    looks at what is above zero only, where there is such.
    """
    sample = _sample(values)
    if scale == "log" and (sample > 0).any():
        sample = sample[sample > 0]
    if sample.size == 0:
        return 0.0, 1.0
    lo, hi = (float(v) for v in np.percentile(sample, [2, 98]))
    if not hi > lo:
        lo, hi = float(sample.min()), float(sample.max())
    return (lo, hi) if hi > lo else (lo - 0.5, lo + 0.5)


def position(at: np.ndarray, values: np.ndarray, scale: str) -> np.ndarray:
    """Where values lie on the scale of a column, 0-1.

    Parameters
    ----------
    at : (n,) float
    values : (N,) float32
        The column.
    scale : one of `SCALES`
    """
    lo, hi = value_range(values, scale)
    if scale != "equalised":
        return stretched(at, scale, lo, hi)
    sample = np.sort(_sample(values))
    if sample.size == 0:
        return np.zeros(np.shape(at))
    # the middle of equal values, so that a column of a few numbers spreads over the scale
    below, upto = (np.searchsorted(sample, np.concatenate([[lo, hi], at]), side) for side in ("left", "right"))
    first, last, *rank = (below + upto) / 2
    return np.clip((np.array(rank) - first) / (last - first), 0, 1) if last > first else np.ones(np.shape(at))


def inverse(share: float, values: np.ndarray, scale: str) -> float:
    """The value at a place on the scale of a column, for its legend."""
    lo, hi = value_range(values, scale)
    if scale == "equalised":
        sample = _sample(values)
        sample = sample[(sample >= lo) & (sample <= hi)]
        return float(np.quantile(sample, share)) if sample.size else lo + share * (hi - lo)
    return float(lo ** (1 - share) * hi**share) if scale == "log" and lo > 0 else lo + share * (hi - lo)


def value_table(lut: np.ndarray, values: np.ndarray, scale: str = "linear") -> np.ndarray:
    """Colour of every step between the ends of a column's scale, (STEPS,) uint32: what `shade_value` looks up.

    Parameters
    ----------
    lut : (L, 3) uint8
    values : (N,) float32
        The column.
    scale : one of `SCALES`
    """
    lo, hi = value_range(values, scale)
    share = ((np.arange(STEPS, dtype=np.uint32) + FIRST) << SHIFT).view(np.float32).astype(np.float64)
    at = lo + share * (hi - lo)
    return words(lut[(position(at, values, scale) * (len(lut) - 1)).astype(np.int64)])


def _sample(values: np.ndarray) -> np.ndarray:
    sample = values[:: max(1, len(values) // 100_000)]
    return sample[np.isfinite(sample)]


def stretched(at: np.ndarray, scale: str, lo: float, hi: float) -> np.ndarray:
    """Place between two ends, 0-1; logarithmic where they are above zero."""
    if scale == "log" and lo > 0:
        at, lo, hi = np.log(np.maximum(at, lo)), float(np.log(lo)), float(np.log(hi))
    return np.clip((at - lo) / (hi - lo), 0, 1) if hi > lo else np.ones(np.shape(at))


def least(number: np.ndarray, peak: float, scale: str) -> float:
    """Zero on a linear scale, on a logarithmic one the least weight there is, or a thousandth of the peak."""
    some = np.flatnonzero(number)
    if scale == "linear" or peak <= 0 or not len(some):
        return 0.0
    return max(float((some[0] / (BINS - 1)) ** 2 * peak), float(peak) / DECADES)


def along(number: np.ndarray, peak: float, scale: str) -> np.ndarray:
    """Place of every bin between the ends of the scale, (BINS,) in 0-1."""
    weight = (np.arange(BINS, dtype=np.float64) / (BINS - 1)) ** 2 * peak
    return stretched(weight, scale, least(number, peak, scale), peak) if peak > 0 else np.zeros(BINS)


def equalised(number: np.ndarray) -> np.ndarray:
    """Cumulative share of the pixels above zero, by weight, (BINS,) in 0-1."""
    rank = np.cumsum(number, dtype=np.float64)
    if rank[-1] == 0:
        return rank
    first = number[np.flatnonzero(number)[0]]
    span = rank[-1] - first
    return np.clip((rank - first) / span, 0, 1) if span > 0 else np.ones(BINS)


def ramp(anchors: list[str], steps: int = 256) -> np.ndarray:
    """Interpolate colours ('#rrggbb') to a table, (steps, 3) uint8."""
    points = np.array([rgb(a) for a in anchors], np.float64)
    at = np.linspace(0, len(anchors) - 1, steps)
    table = np.stack([np.interp(at, np.arange(len(anchors)), points[:, c]) for c in range(3)], axis=1)
    return (table + 0.5).astype(np.uint8)


def rgb(colour: str) -> tuple[int, int, int]:
    """'#rrggbb' as three numbers 0-255."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return red, green, blue


def words(colours: np.ndarray) -> np.ndarray:
    """Colours (L, 3) uint8 as pixels without opacity, (L,) uint32."""
    padded = np.zeros((len(colours), 4), np.uint8)
    padded[:, :3] = colours
    return padded.view(np.uint32).ravel()
