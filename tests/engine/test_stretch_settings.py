"""The text of a stretch: there and back, and what is refused."""

import tomllib

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from engine.data.pictures.settings import BINS, COLOURS, CURVES, DEFAULT, LIMITS, RANGES, Stretch
from engine.errors import UserError

names = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12)
numbers = {name: st.floats(*ends) for name, ends in RANGES.items()}
stretches = st.builds(
    Stretch,
    curve=st.sampled_from(CURVES),
    limits=st.sampled_from(LIMITS),
    colour=st.sampled_from(COLOURS),
    bin=st.sampled_from(BINS),
    invert=st.booleans(),
    rgb=st.none() | st.tuples(names) | st.tuples(names, names, names),
    weights=st.dictionaries(names, st.floats(0, 100), max_size=4).map(lambda d: tuple(d.items())),
    **numbers,
)


@given(stretches)
def test_the_text_says_all(stretch):
    assert Stretch.from_text(stretch.text()) == stretch and hash(stretch) == hash(Stretch.from_text(stretch.text()))


@given(stretches)
def test_the_header_says_all(stretch):
    assert Stretch.from_header(tomllib.loads(tomli_w.dumps(stretch.header()))) == stretch


def test_what_people_write():
    found = Stretch.from_text("curve=log, rgb=i r g ,smooth=1.5,weights=g:1.2 r:0.8,invert=yes,bin=2")
    assert found == Stretch(
        curve="log", rgb=("i", "r", "g"), smooth=1.5, weights=(("g", 1.2), ("r", 0.8)), invert=True, bin=2
    )
    assert found.text() == "invert=yes,curve=log,smooth=1.5,bin=2,rgb=i r g,weights=g:1.2 r:0.8"
    assert DEFAULT.text() == "" and Stretch.from_text(" ") == DEFAULT
    assert Stretch.from_text("gain=2", base=found).curve == "log"
    assert Stretch.from_text("rgb=", base=found).rgb is None


@pytest.mark.parametrize(
    "text, said",
    [
        ("curve=cubic", "asinh, log, linear, sqrt"),
        ("limits=min", "survey, zscale, percentile"),
        ("bin=3", "1, 2, 4"),
        ("bin=1.5", "1, 2, 4"),
        ("gain=bright", "give a number"),
        ("gain=nan", "0.01 to 100"),
        ("gain=1e9", "0.01 to 100"),
        ("smooth=-1", "0 to 32"),
        ("rgb=r g", "three"),
        ("weights=g", "BAND:NUMBER"),
        ("weights=g:-1", "0 to 100"),
        ("invert=perhaps", "yes, no"),
        ("colour", "name=value"),
        ("shade=2", "softness, gain"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_would(text, said):
    with pytest.raises(UserError, match=said):
        Stretch.from_text(text)


@pytest.mark.parametrize(
    "section",
    [
        {"curve": 3},
        {"rgb": "r g"},
        {"gain": "x"},
        {"bin": 3},
        {"new": 1},
        {"weights": []},
        {"bin": True},
        {"invert": 1},
        {"rgb": [1, 2, 3]},
    ],
)
def test_a_header_that_makes_no_sense_is_refused(section):
    with pytest.raises(UserError):
        Stretch.from_header(section)


def test_bands_of_other_surveys_are_left_out():
    stretch = Stretch(rgb=("z", "r", "g"), weights=(("z", 2.0), ("g", 3.0)))
    assert stretch.for_bands(("g",)) == Stretch(weights=(("g", 3.0),))
    assert stretch.for_bands(("g", "r", "z")) == stretch
    with pytest.raises(UserError, match="'z'"):
        stretch.require_bands(("g", "r"))


WRITTEN = ("", "curve=log,smooth=1.5,rgb=i r g,weights=g:1.2 r:0.8,invert=yes,bin=2,black=-1", "weights=g:2,percent=98")


@pytest.mark.parametrize("one", WRITTEN)
@pytest.mark.parametrize("other", WRITTEN)
def test_settings_are_written_beside_another_and_read_back(one, other):
    stretch, base = Stretch.from_text(one), Stretch.from_text(other)
    assert Stretch.from_text(stretch.text(base=base), base=base) == stretch
    assert base.text(base=base) == "" and stretch.text(base=Stretch()) == stretch.text()
