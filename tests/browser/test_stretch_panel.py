"""The stretch's panel in a real browser: live for the whole gallery, by mouse and by keyboard, without a flicker."""

import re
import shutil
import sys

import pytest
from visit import Visit, free_port, serve

from engine.data.pictures.stretch import Stretch
from engine.survey import Survey

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def survey(small_survey, tmp_path_factory):
    path = tmp_path_factory.mktemp("stretch") / "own.survey"
    shutil.copytree(small_survey.path, path)
    return path


@pytest.fixture(scope="module")
def address(survey, tmp_path_factory):
    port, log = free_port(), tmp_path_factory.mktemp("log") / "server.log"
    server = serve([sys.executable, "launch.py", str(survey), "--port", str(port), "--no-browser"], port, log)
    yield f"http://localhost:{port}/"
    server.terminate()
    server.wait(10)
    assert "Traceback" not in log.read_text(), log.read_text()


@pytest.fixture(scope="module")
def one_visit(browser, address):
    page = browser.new_page()
    visit = Visit(page, address)
    visit.lasso(0.4)
    visit.until(visit.tiles, "tiles")
    yield visit
    page.close()


@pytest.fixture
def visit(one_visit):
    """The visit, as it was at first: the selection in the gallery, the survey's own stretch, no panel."""
    page = one_visit.page
    page.set_viewport_size({"width": 1400, "height": 900})
    one_visit.tab("Selection")
    if panel(one_visit).count():
        page.keyboard.press("Escape")
    if chip(one_visit):
        page.locator(".gallery .chip").click()
    one_visit.until(lambda: not panel(one_visit).count() and not chip(one_visit), "the page as it was")
    page.mouse.move(5, 5)
    yield one_visit
    assert one_visit.faults == [] and one_visit.outside == []


def panel(visit):
    return visit.page.locator("section.panel:visible")


def opened(visit):
    visit.page.keyboard.press("x")
    panel(visit).wait_for()
    return panel(visit)


def brightness(visit):
    """Mean of every tile's pixels, 0-255."""
    return visit.page.locator(".tile:visible canvas").evaluate_all(
        """all => all.map(c => { const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
          let sum = 0; for (let k = 0; k < d.length; k += 4) sum += d[k] + d[k + 1] + d[k + 2]; return sum / (d.length * .75); })"""
    )


def redraws(visit):
    return int(visit.page.locator("section.gallery").get_attribute("data-redrawn") or 0)


def chip(visit):
    return visit.page.locator(".gallery .chip:visible").all_inner_texts()


def test_every_tile_follows_and_the_page_stays_where_it_is(visit):
    made, before = opened(visit), brightness(visit)
    grid = visit.page.locator(".gallery .grid")
    grid.evaluate("g => { g.scrollTop = 150; }")
    rows, top = visit.tiles(), grid.evaluate("g => g.scrollTop")
    made.get_by_label("Negative", exact=True).last.check()
    visit.until(lambda: min(brightness(visit)) > 128, "dark on white")
    assert max(before) < 128 and visit.tiles() == rows and grid.evaluate("g => g.scrollTop") == top
    assert "negative" in chip(visit)[0] and "stretch=invert" in visit.page.url
    visit.page.locator(".gallery .chip").click()
    visit.until(lambda: brightness(visit) == before, "the survey's own")
    assert chip(visit) == []


def test_a_drag_is_followed_and_its_end_counts(visit):
    made = opened(visit)
    slider = made.get_by_label("Gain", exact=True)
    box, count = slider.bounding_box(), redraws(visit)
    y = box["y"] + box["height"] / 2
    visit.page.mouse.move(box["x"] + box["width"] / 2, y)
    visit.page.mouse.down()
    for k in range(40):
        visit.page.mouse.move(box["x"] + box["width"] * (0.5 + 0.3 * k / 40), y)
        visit.page.wait_for_timeout(20)
    assert redraws(visit) > count + 1, "nothing was drawn on the way"
    visit.page.mouse.up()
    shown = float(made.locator(".row", has_text="Gain").locator("output").inner_text().split()[0])
    assert shown > 2
    visit.until(lambda: f"gain%3D{shown:g}" in visit.page.url, "the last value in the address")
    visit.until(lambda: f"gain {shown:g}×" in chip(visit)[0], "the chip")
    last = redraws(visit)
    visit.page.wait_for_timeout(400)
    assert redraws(visit) <= last + 1, "it goes on drawing by itself"


def test_no_tile_is_ever_blank_on_the_way(visit):
    made = opened(visit)
    visit.page.evaluate(
        """() => { const find = (root, sel) => { const r = root.querySelector(sel); if (r) return r;
          for (const e of root.querySelectorAll("*")) { const f = e.shadowRoot && find(e.shadowRoot, sel); if (f) return f; } };
          const grid = find(document, ".grid"); window.blank = 0;
          const look = () => { for (const c of grid.querySelectorAll("canvas")) if (c.isConnected) {
            if (c.parentNode.classList.contains("unreadable")
              || !c.getContext("2d").getImageData(c.width >> 1, c.height >> 1, 4, 4).data
                .some((v, k) => k % 4 < 3 && v)) window.blank++; } };
          window.looking = setInterval(look, 10); }"""
    )
    for curve in ("log", "sqrt", "asinh"):
        count = redraws(visit)
        made.get_by_role("button", name=re.compile(f"Curve: {curve}")).click()
        visit.until(lambda count=count: redraws(visit) > count, "the next curve")
    assert visit.page.evaluate("() => { clearInterval(window.looking); return window.blank; }") == 0


def test_bands_are_chosen_from_menus(visit):
    made = opened(visit)
    made.get_by_role("button", name=re.compile("Choose a band")).click()
    assert made.locator("select").count() == 3
    made.get_by_label("Red", exact=True).select_option(index=0)
    visit.until(lambda: "rgb" in visit.page.url, "the bands in the address")
    made.get_by_role("button", name=re.compile("One band")).click()
    grey = """all => all.every(c => { const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
      for (let k = 0; k < d.length; k += 4) if (Math.abs(d[k] - d[k + 2]) > 4) return false; return true; })"""
    visit.until(lambda: visit.page.locator(".tile:visible canvas").evaluate_all(grey), "grey tiles")


def test_by_keyboard_alone(visit):
    made, count = opened(visit), redraws(visit)
    made.get_by_label("Smooth", exact=True).focus()
    for _ in range(5):
        visit.page.keyboard.press("ArrowRight")
    visit.until(lambda: redraws(visit) > count and chip(visit), "arrows to move the slider")
    assert made.get_by_label("Smooth", exact=True).evaluate("i => i.matches(':focus')"), "the focus was taken away"
    visit.page.keyboard.press("Escape")
    visit.until(lambda: panel(visit).count() == 0, "Esc to close the panel")
    assert visit.tiles(), "Esc went on to the map and cleared the selection"
    visit.page.keyboard.press("x")
    panel(visit).wait_for()
    visit.page.keyboard.press("x")
    visit.until(lambda: panel(visit).count() == 0, "x to close the panel")
    field = visit.page.get_by_label("Looking for")
    field.click()
    visit.page.keyboard.press("x")
    visit.page.wait_for_timeout(200)
    assert panel(visit).count() == 0, "x in a field opens the panel"


@pytest.mark.parametrize("width", [1024, 1280, 1600])
def test_nothing_overflows(visit, width):
    visit.page.set_viewport_size({"width": width, "height": 720})
    made = opened(visit)
    made.get_by_role("button", name="Faint light: set all at once").click()
    visit.until(lambda: chip(visit), "the chip")
    visit.page.wait_for_timeout(500)
    over = "e => e.scrollWidth - e.clientWidth"
    assert visit.page.locator(".gallery .tools").evaluate(over) <= 0
    assert made.locator(".body").evaluate(over) <= 0
    for row in made.locator(".row:visible, .foot, .presets").all():
        assert row.evaluate(over) <= 0, row.inner_text()
    visit.page.get_by_role("tab", name=re.compile("Suggestions")).click()
    visit.page.wait_for_timeout(500)
    assert visit.page.locator(".gallery .tools").evaluate(over) <= 0


def test_a_reload_brings_it_back(visit):
    opened(visit).get_by_role("button", name=re.compile("Core")).click()
    visit.until(lambda: "curve%3Dlinear" in visit.page.url, "the address")
    shown = chip(visit)
    visit.page.reload()
    visit.settle()
    visit.until(lambda: chip(visit) == shown, "the stretch after a reload")


def test_it_becomes_the_surveys_own(visit, survey):
    made = opened(visit)
    made.get_by_role("button", name=re.compile("Curve: log")).click()
    visit.until(lambda: chip(visit), "the chip")
    made.get_by_role("button", name=re.compile("Draws the stored")).click()
    visit.until(lambda: not chip(visit), "the survey's own stretch", patience=60)
    found = Survey.open(survey)
    assert found.stretch == Stretch(curve="log") and found.thumbnails.shows(found.stretch)
    assert "stretch=curve" not in visit.page.url
    visit.until(
        lambda: made.get_by_role("button", name=re.compile("Draws the stored")).is_disabled(), "nothing to save"
    )
