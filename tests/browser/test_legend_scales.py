"""The legend's own controls: another scale recolours the map, H hides what is not selected, and a reload keeps both."""

import sys

import numpy as np
import pytest
from visit import Visit, free_port, serve

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def visit(browser, small_survey, tmp_path_factory):
    import shutil

    path = tmp_path_factory.mktemp("legend") / "legend.survey"
    shutil.copytree(small_survey.path, path)
    port, log = free_port(), tmp_path_factory.mktemp("log") / "server.log"
    server = serve([sys.executable, "launch.py", str(path), "--port", str(port), "--no-browser"], port, log)
    page = browser.new_page()
    yield Visit(page, f"http://localhost:{port}/?layout=pca-pixels&colour=mag_r")
    page.close()
    server.terminate()
    server.wait(10)
    assert "Traceback" not in log.read_text(), log.read_text()


def scale(visit):
    """The scale that the legend says is in use."""
    return visit.page.locator(".legend .scales button[aria-pressed=true]").first.inner_text()


def shown(visit):
    """How much of the map is not its ground: pixels of the canvas that have a colour."""
    box = visit.page.locator(".bk-Canvas").first.bounding_box()
    clip = {
        "x": box["x"] + 220,
        "y": box["y"] + 110,
        "width": box["width"] - 240,
        "height": box["height"] - 130,
    }
    from io import BytesIO

    from PIL import Image

    pixels = np.asarray(Image.open(BytesIO(visit.page.screenshot(clip=clip))).convert("L"), int)
    return int((np.abs(pixels - np.median(pixels)) > 12).sum())


def test_a_scale_is_chosen_in_the_legend_and_survives_a_reload(visit):
    assert scale(visit) == "linear"
    visit.page.locator(".legend .scales button", has_text="equalised").click()
    visit.until(lambda: scale(visit) == "equalised", "the scale")
    visit.until(lambda: visit.page.locator(".legend .ends span").count() == 3, "the value in the middle")
    assert visit.page.locator(".legend .ends span").nth(1).inner_text().endswith("mag")
    visit.until(lambda: "scale=" in visit.page.url, "the address")
    visit.page.reload()
    visit.page.locator(".legend .scales").first.wait_for()
    visit.until(lambda: scale(visit) == "equalised", "the scale after a reload")
    assert visit.faults == []


def test_h_hides_what_is_not_selected_and_the_legend_counts_it(visit):
    visit.settle()
    box = visit.page.locator(".bk-Canvas").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    visit.page.mouse.move(x - 60, y - 60)
    visit.page.keyboard.press("b")
    visit.page.mouse.down()
    visit.page.mouse.move(x + 60, y + 60, steps=4)
    visit.page.mouse.up()
    visit.page.keyboard.press("v")
    visit.until(lambda: visit.tiles(), "a selection")
    visit.settle()
    dimmed = shown(visit)
    visit.page.keyboard.press("h")
    hidden = visit.page.locator(".tool[aria-label='Hide what is not selected']").first
    visit.until(lambda: hidden.get_attribute("aria-pressed") == "true", "the button pressed")
    visit.until(lambda: shown(visit) < 0.8 * dimmed, "fewer objects drawn")
    visit.page.keyboard.press("h")
    visit.until(lambda: shown(visit) > 0.9 * dimmed, "all objects again")
    assert visit.faults == []
