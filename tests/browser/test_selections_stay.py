"""Selections that stay, as a person makes them: outlines, keys, names; and what zoom, colour, layouts and reloads leave.

What is selected is read from the disk, where the page keeps it for a reload: members, and the origin they came from.
"""

import json
import math
import re
import sys

import numpy as np
import pytest
from visit import Visit, free_port, serve

from engine import Survey
from engine.search import origins, selections
from engine.search.members import members

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore")]

OBJECTS = 1500


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    from engine.data.simulation.simulate import simulate

    survey = simulate(tmp_path_factory.mktemp("stay") / "sky.survey", OBJECTS, seed=5)
    survey.embed("pixels")
    survey.layout("columns", columns=("ra", "dec"))
    survey.layout("pca")
    return survey


@pytest.fixture(scope="module")
def server(survey, tmp_path_factory):
    """Starts servers of the survey; they end with the module."""
    started = []

    def start() -> str:
        port, log = free_port(), tmp_path_factory.mktemp("log") / "server.log"
        command = [sys.executable, "launch.py", str(survey.path), "--port", str(port), "--no-browser"]
        started.append((serve(command, port, log), log))
        return f"http://localhost:{port}/"

    yield start
    for process, log in started:
        process.terminate()
        process.wait(10)
        assert "Traceback" not in log.read_text(), log.read_text()


@pytest.fixture(scope="module")
def address(server):
    return server()


class Stay(Visit):
    """A visit that reads what the page keeps."""

    def __init__(self, page, address, survey):
        super().__init__(page, address)
        self.survey = survey

    def kept(self):
        """The page's selection, by the name in its address."""
        from urllib.parse import parse_qs, urlparse

        name = parse_qs(urlparse(self.page.url).query).get("selection", [""])[0].strip('"')
        return selections.load(Survey.open(self.survey.path), name) if name else None

    def chosen(self, condition=lambda kept: True, what="a selection"):
        """The page's selection, once it is as it should be and its count is shown."""

        def ready():
            kept = self.kept()
            good = kept is not None and condition(kept)
            return kept if good and self.count().startswith(f"{len(kept.rows):,} selected") else None

        return self.until(ready, what)

    def count(self) -> str:
        return self.page.locator(".selection .count").first.inner_text()

    def outlines(self) -> int:
        """Outlines of the selection that are drawn and seen."""
        return self.page.locator(".outlines path.own").count()

    def circle(self, x, y, r, *, keys=()):
        """Draw a circle with the tool in use; x, y and r in shares of the map."""
        box = self.box
        cx, cy, radius = box["x"] + x * box["width"], box["y"] + y * box["height"], r * min(box["width"], box["height"])
        for key in keys:
            self.page.keyboard.down(key)
        self.page.mouse.move(cx + radius, cy)
        self.page.mouse.down()
        for k in range(1, 33):
            self.page.mouse.move(cx + radius * math.cos(k * math.pi / 16), cy + radius * math.sin(k * math.pi / 16))
        self.page.mouse.up()
        for key in keys:
            self.page.keyboard.up(key)

    def choose(self, label, value):
        self.page.get_by_label(label).first.click()
        self.page.locator(".MuiMenuItem-root:visible").filter(has_text=re.compile(f"^{value}$")).click()


@pytest.fixture
def visit(page, address, survey):
    found = Stay(page, address, survey)
    yield found
    assert found.faults == [] and found.outside == []


def test_zoom_colour_layout_reload_and_restart_leave_members_and_outline(visit, survey, server):
    page = visit.page
    page.mouse.move(visit.box["x"] + 300, visit.box["y"] + 300)
    page.keyboard.press("l")
    visit.circle(0.5, 0.5, 0.25)
    first = visit.chosen()
    layout = first.how["layout"]
    assert (
        layout == "pca-pixels"
        and 0 < len(first.rows) < OBJECTS
        and np.array_equal(members(survey, first.how), first.rows)
    )
    visit.until(lambda: visit.outlines() == 1, "the outline")
    before = page.locator(".outlines path.own").get_attribute("d")

    def same():
        kept = visit.chosen()
        assert np.array_equal(kept.rows, first.rows) and kept.how == first.how

    page.mouse.wheel(0, -400)
    visit.until(
        lambda: page.locator(".outlines path.own").get_attribute("d") != before, "the outline to grow with the map"
    )
    page.keyboard.press("v")
    page.mouse.down()
    page.mouse.move(visit.box["x"] + 340, visit.box["y"] + 330, steps=5)
    page.mouse.up()
    same()
    page.keyboard.press("f")
    visit.choose("Colour by", "truth")
    visit.until(lambda: page.locator(".legend b").first.inner_text().lower().startswith("truth"), "the colours")
    same()
    assert visit.outlines() == 1

    visit.choose("Layout", "columns-ra-dec")
    visit.until(lambda: visit.outlines() == 0, "the layout without an outline")
    assert f"Drawn on {layout}" in page.locator(".selection .elsewhere").first.inner_text()
    same()
    page.locator(".selection .elsewhere button").first.click()
    visit.until(lambda: visit.outlines() == 1, "the outline again")
    page.get_by_role("radio", name="Add to").first.click()
    visit.until(lambda: "mode=add" in page.url, "the mode in the address")

    for place in (page.url, page.url.replace(page.url.split("?")[0], server())):  # a reload, and another server
        page.goto(place)
        visit.settle()
        same()
        visit.until(lambda: visit.outlines() == 1, "the outline after the reload")
        assert page.get_by_role("radio", name="Add to").first.get_attribute("aria-checked") == "true"


def test_keys_buttons_and_queries_join_and_every_step_goes_back(visit, survey):
    page = visit.page
    page.mouse.move(visit.box["x"] + 300, visit.box["y"] + 300)
    page.keyboard.press("l")
    visit.circle(0.4, 0.5, 0.2)
    visit.chosen()
    circles = (
        (["Control"], "add", 0.5, 0.2),
        (["Alt"], "subtract", 0.55, 0.1),
        (["Control", "Alt"], "intersect", 0.45, 0.2),
    )
    for keys, kind, x, r in circles:
        visit.circle(x, 0.45, r, keys=keys)
        kept = visit.chosen(lambda kept, kind=kind: kept.how["kind"] == kind, kind)
        assert len(kept.how["parts"]) == 2 and np.array_equal(members(survey, kept.how), kept.rows)
    assert len(kept.rows) > 0
    page.keyboard.press("Control+z")
    visit.chosen(lambda kept: kept.how["kind"] == "subtract", "the step before")
    page.keyboard.press("Control+Shift+z")
    visit.chosen(lambda kept: kept.how["kind"] == "intersect", "the step again")

    page.get_by_role("radio", name="Add to").first.click()
    visit.until(lambda: "mode=add" in page.url, "the mode")
    field = page.get_by_label("Query, id or place")
    field.fill("mag_r < 20 and truth == 'dwarf'")
    field.press("Enter")
    kept = visit.chosen(lambda kept: kept.how["kind"] == "add", "the query's objects")
    assert np.array_equal(members(survey, kept.how), kept.rows)
    page.get_by_role("button", name="Invert").first.click()
    turned = visit.chosen(lambda now: now.how["kind"] == "invert", "all others")
    assert len(turned.rows) == OBJECTS - len(kept.rows)

    page.get_by_role("button", name="Grow by neighbours").first.click()
    page.get_by_role("button", name="Keep the members most").first.click()
    core = visit.chosen(lambda now: now.how["kind"] == "shrink", "the core")
    assert set(core.rows) < set(turned.rows) and np.array_equal(members(survey, core.how), core.rows)

    page.keyboard.press("Escape")  # the small window
    page.keyboard.press("Escape")
    visit.until(lambda: visit.count() == "Nothing selected", "nothing")
    page.get_by_role("button", name="Back to").first.click()
    assert np.array_equal(visit.chosen().rows, core.rows)


def test_names_are_kept_coloured_recalled_and_brought_back(visit, survey):
    page = visit.page
    page.mouse.move(visit.box["x"] + 300, visit.box["y"] + 300)
    visit.circle(0.5, 0.5, 0.15, keys=["Shift"])
    mine = visit.chosen()
    field = page.get_by_label("Keep selection as")
    field.fill("the middle")
    field.press("Enter")
    chip = page.locator(".chip[data-name='the middle']")
    chip.wait_for()
    assert chip.locator(".count").inner_text() == f"{len(mine.rows):,}"
    visit.until(lambda: page.locator(".outlines path.kept").count() == 1, "its outline in its colour")
    assert page.locator(".outlines text.name").text_content() == "the middle"

    page.mouse.move(visit.box["x"] + 300, visit.box["y"] + 300)
    visit.circle(0.6, 0.5, 0.15, keys=["Shift"])
    other = visit.chosen(lambda kept: not np.array_equal(kept.rows, mine.rows), "another one")

    def entry(text, name="the middle"):
        page.locator(f".chip[data-name='{name}'] .more").click()
        page.get_by_role("menuitem", name=text).click()

    entry("Take out of the selection")
    kept = visit.chosen(lambda kept: kept.how["kind"] == "subtract", "what is left")
    assert set(kept.rows) == set(other.rows) - set(mine.rows) and origins.words(kept.how) == "lasso − ‘the middle’"
    chip.locator(".name").click()
    assert np.array_equal(visit.chosen(lambda kept: kept.how.get("name"), "the kept one").rows, mine.rows)

    entry("Rename …")
    page.get_by_label("New name").fill("core + 1")
    page.get_by_label("New name").press("Enter")
    page.locator(".chip[data-name='core + 1']").wait_for()
    entry("Colour …", "core + 1")
    page.locator(".swatch").nth(3).click()
    read = json.loads
    path = survey.path / "selections" / "core + 1.json"
    visit.until(lambda: read(path.read_text())["colour"] == "#f0e442", "the colour")
    entry("Delete", "core + 1")
    visit.until(lambda: not path.exists(), "the file to go")
    page.get_by_role("button", name="Bring it back").click()
    page.locator(".chip[data-name='core + 1']").wait_for()
    assert np.array_equal(selections.load(survey, "core + 1").rows, mine.rows)

    (survey.path / "selections" / "torn.json").write_text("{")
    page.reload()
    visit.settle()
    page.locator(".chip.damaged[data-name='torn']").wait_for()
    entry("Delete", "torn")
    visit.until(lambda: not (survey.path / "selections" / "torn.json").exists(), "the damaged one to go")


def test_an_outline_is_changed_by_hand_and_its_members_follow(visit, survey):
    page = visit.page
    page.mouse.move(visit.box["x"] + 300, visit.box["y"] + 300)
    visit.circle(0.5, 0.5, 0.2, keys=["Shift"])
    before = visit.chosen()
    page.keyboard.press("e")
    handles = page.locator(".outlines circle.handle")
    visit.until(lambda: handles.count() > 3, "the handles")
    assert handles.count() <= 24
    box = min((handles.nth(k).bounding_box() for k in range(handles.count())), key=lambda box: box["x"])
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 90, y, steps=6)
    page.mouse.up()
    wider = visit.chosen(lambda kept: len(kept.rows) > len(before.rows), "more members")
    assert np.array_equal(members(survey, wider.how), wider.rows)
    ring = np.array(wider.how["polygon"])
    assert len(ring) == len(before.how["polygon"])  # the corners between handles stay
    page.keyboard.press("Delete")
    smaller = visit.chosen(lambda kept: len(kept.how["polygon"]) < len(ring), "a handle less")
    middle = page.locator(".outlines path.edited").bounding_box()
    cx, cy = middle["x"] + middle["width"] / 2, middle["y"] + middle["height"] / 2
    page.mouse.move(cx, cy)
    page.mouse.down()
    page.mouse.move(cx - 60, cy + 20, steps=4)
    page.mouse.up()
    moved = visit.chosen(lambda kept: not np.allclose(kept.how["polygon"][0], smaller.how["polygon"][0]), "it moved")
    steps = np.array(moved.how["polygon"]) - np.array(smaller.how["polygon"])
    assert np.allclose(steps, steps[0]) and np.array_equal(members(survey, moved.how), moved.rows)
    page.keyboard.press("Control+z")
    visit.chosen(lambda kept: np.allclose(kept.how["polygon"], smaller.how["polygon"]), "the form before")
    page.keyboard.press("Enter")
    visit.until(lambda: handles.count() == 0, "the end")
    page.keyboard.press("e")
    visit.until(lambda: handles.count() > 2, "the handles again")
    page.keyboard.press("Escape")
    visit.until(lambda: handles.count() == 0, "the end again")
    assert visit.count() != "Nothing selected"
    page.keyboard.press("Escape")
    visit.until(lambda: visit.count() == "Nothing selected", "nothing")


def test_two_pages_of_one_person_keep_their_own(visit, survey, context, address):
    page = visit.page
    page.mouse.move(visit.box["x"] + 300, visit.box["y"] + 300)
    visit.circle(0.5, 0.5, 0.2, keys=["Shift"])
    mine = visit.chosen()
    other = Stay(context.new_page(), address, survey)
    other.page.mouse.move(other.box["x"] + 300, other.box["y"] + 300)
    other.circle(0.4, 0.4, 0.1, keys=["Shift"])
    theirs = other.chosen()
    assert not np.array_equal(mine.rows, theirs.rows)
    page.reload()
    visit.settle()
    assert np.array_equal(visit.chosen().rows, mine.rows)
