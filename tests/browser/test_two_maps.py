"""Two maps beside each other: a lasso in one is the selection in both, each keeps its layout and its view."""

import sys

import numpy as np
import pytest
from visit import Visit, free_port, serve

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def survey(small_survey, tmp_path_factory):
    import shutil

    from engine import Survey

    path = tmp_path_factory.mktemp("two") / "two.survey"
    shutil.copytree(small_survey.path, path)
    found = Survey.open(path)
    found.layout("columns", columns=("ra", "dec"))
    return found


@pytest.fixture(scope="module")
def visit(browser, survey, tmp_path_factory):
    port, log = free_port(), tmp_path_factory.mktemp("log") / "server.log"
    command = [sys.executable, "launch.py", str(survey.path), "--port", str(port), "--no-browser"]
    server = serve(command, port, log)
    page = browser.new_page()
    yield Visit(page, f"http://localhost:{port}/?layout=pca-pixels")
    page.close()
    server.terminate()
    server.wait(10)
    assert "Traceback" not in log.read_text(), log.read_text()


def maps(visit):
    return visit.page.locator(".bk-Canvas:visible")


def members(visit):
    """Rows in the gallery, all pages."""
    return sorted(visit.tiles())


def lasso(visit, which, share=0.12, at=(0.5, 0.55)):
    """Draw a triangle on one of the maps."""
    box = maps(visit).nth(which).bounding_box()
    x, y = box["x"] + at[0] * box["width"], box["y"] + at[1] * box["height"]
    r = share * min(box["width"], box["height"])
    mouse = visit.page.mouse
    mouse.move(x - r, y - r)
    visit.page.keyboard.press("l")
    mouse.down()
    for corner in ((x + r, y - r), (x, y + r), (x - r, y)):
        mouse.move(*corner, steps=5)
    mouse.up()
    visit.page.keyboard.press("v")


def chips(visit):
    """How many each map says are selected."""
    return [text.split()[0] for text in visit.page.locator(".selection .count:enabled:visible").all_inner_texts()]


def counts(visit):
    """What the legends say is in view."""
    return [text.split()[0] for text in visit.page.locator(".legend:visible .head span").all_inner_texts()]


def test_a_second_map_comes_with_another_layout(visit):
    visit.page.keyboard.press("d")
    visit.until(lambda: maps(visit).count() == 2, "two maps")
    visit.until(lambda: len(counts(visit)) == 2, "two legends")
    visit.settle()
    assert "layout2=%22columns-ra-dec%22" in visit.page.url or "layout2=columns-ra-dec" in visit.page.url
    assert visit.faults == []


def test_a_lasso_in_one_lights_up_in_the_other(visit, survey):
    visit.page.wait_for_timeout(800)
    lasso(visit, 1)
    visit.until(lambda: len(chips(visit)) == 2, "the selection on both maps")
    assert len(set(chips(visit))) == 1
    visit.until(lambda: members(visit), "its objects in the gallery")
    xy = survey.layout_xy("columns-ra-dec")[members(visit)]
    spread = np.ptp(xy, axis=0) / np.ptp(survey.layout_xy("columns-ra-dec"), axis=0)
    assert (spread < 0.5).all()  # near each other on the map they were drawn on


def test_a_zoom_of_one_leaves_the_other_and_the_selection_alone(visit):
    before, rows = counts(visit), members(visit)
    box = maps(visit).nth(1).bounding_box()
    visit.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    for _ in range(6):
        visit.page.mouse.wheel(0, -240)
    visit.until(lambda: counts(visit)[1] != before[1], "fewer objects in the second map's view")
    assert counts(visit)[0] == before[0] and members(visit) == rows


def test_a_reload_brings_both_back(visit):
    rows, address = members(visit), visit.page.url
    visit.page.goto(address)
    visit.settle()
    visit.until(lambda: maps(visit).count() == 2 and len(counts(visit)) == 2, "both maps")
    visit.until(lambda: members(visit) == rows, "the same members")
    assert len(chips(visit)) == 2


def test_the_second_map_goes_away(visit):
    visit.page.keyboard.press("d")
    visit.until(lambda: maps(visit).count() == 1, "one map")
    visit.page.keyboard.press("Escape")
    visit.until(lambda: not chips(visit), "no selection")
    assert visit.faults == []
