"""What a pull does to an outline's corners, in the browser's own arithmetic, against shapely and plain geometry."""

from pathlib import Path

import numpy as np
import pytest
from shapely import LineString, Polygon, box, contains_xy
from shapely.geometry import Point

from engine.search.handles import handles

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore")]

SCRIPT = Path(__file__).resolve().parents[2] / "app" / "selections" / "outline_shape.js"


@pytest.fixture
def run(page):
    """Call a function of the script with plain values."""
    page.goto("about:blank")
    page.add_script_tag(path=SCRIPT)
    return lambda name, *values: page.evaluate("([name, values]) => window[name](...values)", [name, list(values)])


def star(corners=60, seed=0):
    rng = np.random.default_rng(seed)
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    radius = 5 + 2 * np.sin(3 * angle) + rng.normal(0, 0.1, corners)
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])


def test_a_pulled_handle_takes_its_neighbours_along_and_nobody_else(run):
    ring = star()
    held = handles(ring).tolist()
    place = len(held) // 2
    corner, before, after = held[place], held[place - 1], held[place + 1]
    start = {"ring": ring.tolist(), "held": held, "kind": "polygon"}
    made = np.array(run("pulled", start, {"type": "handle", "corner": corner}, 1.5, -0.5))
    moved = np.abs(made - ring).sum(axis=1) > 0
    assert np.allclose(made[corner] - ring[corner], [1.5, -0.5])
    assert set(np.flatnonzero(moved)) == set(range(before + 1, after))
    steps = np.hypot(*(made - ring).T)
    assert (np.diff(steps[before : corner + 1]) > 0).all() and (np.diff(steps[corner : after + 1]) < 0).all()
    whole = np.array(run("pulled", start, {"type": "inside"}, 2, 3))
    assert np.allclose(whole - ring, [2, 3])


@pytest.mark.parametrize("corner", range(4))
def test_a_box_stays_a_box_and_its_far_corner_stays(run, corner):
    ring = [[0, 0], [4, 0], [4, 2], [0, 2]]
    start = {"ring": ring, "held": [0, 1, 2, 3], "kind": "box"}
    made = np.array(run("pulled", start, {"type": "handle", "corner": corner}, 0.5, -0.25))
    assert np.allclose(made[corner], np.add(ring[corner], [0.5, -0.25]))
    assert np.allclose(made[(corner + 2) % 4], ring[(corner + 2) % 4])
    shape = Polygon(made)
    assert shape.area == pytest.approx(box(*shape.bounds).area)


def test_handles_come_and_go(run):
    ring = star().tolist()
    held = handles(ring).tolist()
    for after in (0, 30, 59):
        made = run("inserted", {"ring": ring, "held": held}, after, [9, 9])
        assert made["ring"][after + 1] == [9, 9] and len(made["ring"]) == 61 and made["kind"] == "polygon"
        assert [made["ring"][h] for h in made["held"] if h != after + 1] == [ring[h] for h in held]
    shape = {"ring": ring, "held": held}
    while (made := run("removed", shape, shape["held"][0])) is not None:
        assert [made["ring"][h] for h in made["held"]] == [shape["ring"][h] for h in shape["held"][1:]]
        assert len(made["ring"]) < len(shape["ring"])
        shape = made
    assert len(shape["held"]) == 3


def test_inside_and_nearest_are_shapelys(run, page):
    ring, points = star(seed=2), np.random.default_rng(1).uniform(-8, 8, (300, 2))
    inside = page.evaluate("([ring, all]) => all.map(([x, y]) => within(ring, x, y))", [ring.tolist(), points.tolist()])
    assert inside == contains_xy(Polygon(ring), points[:, 0], points[:, 1]).tolist()
    edge = Polygon(ring).exterior
    found = page.evaluate(
        "([ring, all]) => all.map(([x, y]) => nearest(ring, x, y).distance)", [ring.tolist(), points.tolist()]
    )
    assert np.allclose(found, [edge.distance(Point(p)) for p in points])


@pytest.mark.parametrize("scale", [1, 30, 1e7])
def test_what_is_drawn_is_what_the_window_cuts_out(run, scale):
    ring = star(seed=4) * scale + 3
    path = run("clipped", ring.tolist(), 0, 0, 100, 80)
    numbers = [
        [float(v) for v in part.split()]
        for part in path.replace("M", "|M").replace("L", "|L").replace("M", "").replace("L", "").split("|")
        if part
    ]
    drawn = 0.0
    for piece in path.split("M")[1:]:
        corners = [tuple(map(float, pair.split())) for pair in piece.split("L")]
        drawn += LineString(corners).length
    expected = Polygon(ring).exterior.intersection(box(0, 0, 100, 80)).length
    assert drawn == pytest.approx(expected, abs=0.2 * max(1, len(numbers) / 4))
    assert all(-0.1 <= x <= 100.1 and -0.1 <= y <= 80.1 for x, y in numbers)
