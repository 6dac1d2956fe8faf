"""The legend says what is in view, what of it is selected, and what the ends of a scale are."""

import numpy as np
import pytest

from app.columns import Values
from app.map.colouring import SCALES, Colouring
from app.map.legend import legend
from app.map.raster import Points, View
from engine.maps.drawing.tiles import TileIndex

VIEW = View(-1, -1, 1, 1, 40, 40)


@pytest.fixture(scope="module")
def layout():
    xy = np.random.default_rng(0).normal(size=(3000, 2)).astype(np.float32)
    index = TileIndex.build(xy)
    return xy, Points(index), Points.of_rows(index, np.flatnonzero(xy[:, 0] > 0))


def shown(values, layout, scale="", *, selected=True):
    _, points, members = layout
    colouring = Colouring(values, dark=True, scale=scale)
    return legend(colouring, colouring.draw(points, VIEW), colouring.draw(members, VIEW) if selected else None, "dwarf")


def test_categories_are_counted_in_view_and_in_the_selection(layout):
    xy, _, _ = layout
    codes = (np.arange(len(xy)) % 3 - 1).astype(np.int8)
    found = shown(Values("k", "category", codes, ("a", "b")), layout)
    inside = (np.abs(xy) <= 1).all(axis=1)
    for item, code in zip(found["items"], (0, 1, -1), strict=True):
        assert item["count"] == (inside & (codes == code)).sum()
        assert item["selected"] == (inside & (codes == code) & (xy[:, 0] > 0)).sum()
    assert found["kind"] == "items" and [i["name"] for i in found["items"]] == ["a", "b", "unknown"]
    assert found["total"] == inside.sum() and found["selected"] == (inside & (xy[:, 0] > 0)).sum()


def test_without_a_selection_nothing_is_said_of_one(layout):
    codes = np.zeros(3000, np.int8)
    found = shown(Values("label", "category", codes, ("yes",)), layout, selected=False)
    assert found["selected"] is None and [i["name"] for i in found["items"]] == ["yes"]
    assert found["title"] == "label · dwarf"


@pytest.mark.parametrize("kind", SCALES)
def test_the_scales_of_a_kind_are_offered_and_the_first_is_in_use(layout, kind):
    values = {
        "density": None,
        "number": Values("mag_r", "number", layout[0][:, 0].copy(), unit="mag"),
        "category": Values("k", "category", np.zeros(3000, np.int8), ("a",)),
    }[kind]
    found = shown(values, layout, "no such scale")
    assert [s["value"] for s in found["scales"]] == list(SCALES[kind]) and found["scale"] == SCALES[kind][0]


def test_a_scale_of_numbers_names_its_ends_with_units(layout):
    values = np.exp(np.random.default_rng(1).normal(size=3000)).astype(np.float32)
    column = Values("flux", "number", values, unit="nJy")
    low, high = np.percentile(values, [2, 98])
    assert shown(column, layout, "linear")["ends"] == [f"{low:.3g} nJy", f"{high:.3g} nJy"]
    first, middle, last = shown(column, layout, "log")["ends"]
    assert middle.endswith("nJy") and float(middle.split()[0]) == pytest.approx(np.sqrt(low * high), rel=0.02)
    assert (float(first), float(last)) == (pytest.approx(low, rel=0.01), pytest.approx(high, rel=0.01))
    middle = shown(column, layout, "equalised")["ends"][1]
    assert float(middle.split()[0]) == pytest.approx(np.median(values), rel=0.05)


def test_a_column_without_values_says_so(layout):
    found = shown(Values("mean", "number", np.full(3000, np.nan, np.float32)), layout)
    assert found["ends"] == ["no value yet", ""] and found["title"] == "predicted mean · dwarf"


def test_a_density_names_its_ends_where_they_are_numbers(layout):
    assert shown(None, layout)["ends"] == ["sparse", "dense"]
    linear, log = shown(None, layout, "linear")["ends"], shown(None, layout, "log")["ends"]
    assert linear[0] == "0" and linear[1] == log[1] and linear[1].endswith(" per pixel") and float(log[0]) > 0
