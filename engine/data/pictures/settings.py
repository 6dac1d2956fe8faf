"""The settings of a picture, and how they are written: ``curve=log,rgb=i r g,smooth=1.5``.

The same text is typed on the command line, kept in survey.toml, in the address of the page and in the pictures that leave.
What is not said is as in the default. Values that make no sense are refused, with what would.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields, replace
from urllib.parse import quote, unquote

from engine.errors import UserError

CURVES = ("asinh", "log", "linear", "sqrt")
LIMITS = ("survey", "zscale", "percentile")
COLOURS = ("gentle", "lupton")
BINS = (1, 2, 4)
#: Smallest and largest value of each number.
RANGES = {
    "softness": (0.01, 1000.0),
    "gain": (0.01, 100.0),
    "percent": (50.0, 100.0),
    "black": (-100.0, 1000.0),
    "white": (0.001, 1000.0),
    "smooth": (0.0, 32.0),
}
#: Largest weight of a band; 1 leaves it as it is, 0 leaves it out.
MOST_WEIGHT = 100.0
_CHOICES: dict[str, tuple] = {"curve": CURVES, "limits": LIMITS, "colour": COLOURS, "bin": BINS}
_TRUTH = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
#: Characters of a band's name that need no escape in the text.
_PLAIN = "._-+'’()"


@dataclass(frozen=True)
class Stretch:
    """Settings of a picture.

    Attributes
    ----------
    softness : float
        Flux below this many noise sd is shown linearly, above it logarithmically (asinh, log); larger hides faint light.
    gain : float
        Brightness; 1 brings the white level to white.
    invert : bool
        Dark objects on white, as on a photographic plate.
    curve : {"asinh", "log", "linear", "sqrt"}
        What brightness becomes between black and white.
    limits : {"survey", "zscale", "percentile"}
        Where black and white are: the survey's sky and bright level, the same for every object; or found in each cutout and
        band, as IRAF's zscale does or so that a share of the pixels is between them.
    percent : float
        That share, per cent.
    black : float
        Black is this many noise sd (of pictures: 1/255) above the lower limit; less than 0 lifts the sky to grey.
    white : float
        White is at this share of the way from the lower to the upper limit.
    smooth : float
        Sd of a Gaussian, pixels of the cutout.
    bin : {1, 2, 4}
        Side of the blocks that are averaged, pixels of the cutout.
    rgb : tuple of str, optional
        Bands shown as red, green and blue, or one that is shown in grey; every band, folded into three, if not given.
    weights : tuple of (str, float)
        Band → what its light is multiplied by, where that is not 1.
    colour : {"gentle", "lupton"}
        How three channels become a colour: see `engine.data.pictures.stretch`.

    Raises
    ------
    UserError
        If a value is not one of the choices or out of its range.
    """

    softness: float = 3.0
    gain: float = 1.0
    invert: bool = False
    curve: str = "asinh"
    limits: str = "survey"
    percent: float = 99.5
    black: float = 0.0
    white: float = 1.0
    smooth: float = 0.0
    bin: int = 1
    rgb: tuple[str, ...] | None = None
    weights: tuple[tuple[str, float], ...] = ()
    colour: str = "gentle"

    def __post_init__(self):
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise UserError(
                    f"{name} of a stretch cannot be {getattr(self, name)!r}",
                    f"choose one of: {', '.join(map(str, choices))}",
                )
        for name, (low, high) in RANGES.items():
            _require(name, getattr(self, name), low, high)
        for band, weight in self.weights:
            _require(f"the weight of band {band}", weight, 0.0, MOST_WEIGHT)
        if self.rgb is not None and len(self.rgb) not in (1, 3):
            raise UserError(
                f"rgb of a stretch names {len(self.rgb)} bands", "name three, red first, or one to show in grey"
            )

    def text(self, *, base: Stretch | None = None) -> str:
        """The settings that differ from another's, the default's if not given, as `from_text` reads them beside that one."""
        return ",".join(
            f"{f.name}={_written(f.name, getattr(self, f.name))}"
            for f in fields(self)
            if getattr(self, f.name) != (f.default if base is None else getattr(base, f.name))
        )

    @classmethod
    def from_text(cls, text: str, *, base: Stretch | None = None) -> Stretch:
        """Read settings as `text` writes them.

        Parameters
        ----------
        text : str
            ``name=value`` with commas between; bands of `rgb` with spaces between, weights as ``g:1.2 r:0.8``. Other than
            letters, digits and ``._-+`` in a band's name are written as in an address (``%20`` for a space).
        base : Stretch, optional
            What is not said is taken from it; from the default if not given.

        Raises
        ------
        UserError
            If a name or value is not known.
        """
        known = {f.name: f.default for f in fields(cls)}
        found = {}
        for part in filter(None, (p.strip() for p in text.split(","))):
            name, equals, value = (p.strip() for p in part.partition("="))
            if not equals or name not in known:
                raise UserError(
                    f"{part!r} is no setting of a stretch", f"write name=value, with a name of: {', '.join(known)}"
                )
            found[name] = _read(name, value)
        return replace(base if base is not None else cls(), **found)

    def header(self) -> dict:
        """The settings that differ from the default, for the ``[stretch]`` section of survey.toml."""
        found = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        if self.rgb is not None:
            found["rgb"] = list(self.rgb)
        return found | ({"weights": dict(self.weights)} if self.weights else {})

    @classmethod
    def from_header(cls, section: dict) -> Stretch:
        """Read a ``[stretch]`` section.

        Raises
        ------
        UserError
            If a name or value is not known.
        """
        known = {f.name: f.default for f in fields(cls)}
        found = dict(section)
        for name, value in section.items():
            if name not in known or not _fits(name, known[name], value):
                raise UserError(
                    f"[stretch] in survey.toml says {name} = {value!r}",
                    f"correct it, or delete it; the names are: {', '.join(known)}",
                )
        if "rgb" in found:
            found["rgb"] = tuple(found["rgb"])
        if "weights" in found:
            found["weights"] = tuple(found["weights"].items())
        return cls(**found)

    def require_bands(self, bands: Sequence[str]) -> None:
        """Refuse a stretch that names a band that is not among these.

        Raises
        ------
        UserError
        """
        for name in (*(self.rgb or ()), *(band for band, _ in self.weights)):
            if name not in bands:
                raise UserError(f"there is no band {name!r} to draw", f"choose among: {', '.join(bands)}")

    def for_bands(self, bands: tuple[str, ...]) -> Stretch:
        """The same without what it says of bands that are not among these: for a picture of some bands alone."""
        rgb = self.rgb if self.rgb is not None and set(self.rgb) <= set(bands) else None
        return replace(self, rgb=rgb, weights=tuple((b, w) for b, w in self.weights if b in bands))


def _require(what: str, value: float, low: float, high: float) -> None:
    if not (isinstance(value, (int, float)) and math.isfinite(value) and low <= value <= high):
        raise UserError(f"{what} cannot be {value!r} in a stretch", f"give a number from {low:g} to {high:g}")


def _fits(name: str, default, value) -> bool:
    """Whether a value of the header is of the kind that a setting has."""
    if name == "rgb":
        return isinstance(value, list) and all(isinstance(band, str) for band in value or ())
    if name == "weights":
        return isinstance(value, dict) and all(isinstance(w, (int, float)) for w in value.values())
    if isinstance(default, float):
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return type(value) is type(default)


def _written(name: str, value) -> str:
    if name == "rgb":
        return " ".join(quote(band, safe=_PLAIN) for band in value or ())
    if name == "weights":
        return " ".join(f"{quote(band, safe=_PLAIN)}:{_number(weight)}" for band, weight in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else _number(value)


def _number(value: float) -> str:
    return repr(float(value)).removesuffix(".0")


def _read(name: str, text: str):
    default = next(f.default for f in fields(Stretch) if f.name == name)
    if name == "rgb":
        return tuple(unquote(band) for band in text.split()) or None
    if name == "weights":
        return tuple(_weight(part) for part in text.split())
    if isinstance(default, bool):
        if text.lower() not in _TRUTH:
            raise UserError(f"{name} of a stretch cannot be {text!r}", "choose one of: yes, no")
        return _TRUTH[text.lower()]
    if default is MISSING or isinstance(default, str):
        return text.lower()
    return int(_float(name, text)) if name == "bin" and _float(name, text).is_integer() else _float(name, text)


def _weight(text: str) -> tuple[str, float]:
    band, colon, value = text.rpartition(":")
    if not colon or not band:
        raise UserError(
            f"{text!r} is no weight of a band", "write BAND:NUMBER, with spaces between, such as g:1.2 r:0.8"
        )
    return unquote(band), _float(f"the weight of band {band}", value)


def _float(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UserError(f"{name} of a stretch cannot be {text!r}", "give a number") from None


#: How a survey is drawn unless it says otherwise.
DEFAULT = Stretch()
