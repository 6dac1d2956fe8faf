"""Search by likeness in the browser: signs and keys change the order as the engine says, a file finds its own galaxy."""

import sys

import numpy as np
import pytest
from visit import Visit, free_port, serve

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    from engine.data.simulation.simulate import simulate

    survey = simulate(tmp_path_factory.mktemp("likeness") / "alike.survey", 400, seed=3, dwarf_fraction=0.05)
    survey.embed("pixels")
    survey.layout("pca")
    return survey


@pytest.fixture
def visit(browser, survey, tmp_path):
    port = free_port()
    server = serve(
        [sys.executable, "launch.py", str(survey.path), "--port", str(port), "--no-browser"], port, tmp_path / "log"
    )
    page = browser.new_page()
    try:
        visit = Visit(page, f"http://localhost:{port}/?tab=similar&object=20")
        visit.page.locator(".likeness[data-ready]").wait_for(timeout=30_000)
        yield visit
        assert not visit.faults and not visit.outside
    finally:
        page.close()
        server.terminate()
        server.wait(15)


def press(visit, key: str, chips: int):
    """Press a key until there are so many chips: a page that is still being built does not hear it."""
    chip = visit.page.locator(f".likeness[data-chips='{chips}']")

    def there():
        if not chip.count():
            visit.page.keyboard.press(key)
            visit.page.wait_for_timeout(300)
        return chip.count()

    visit.until(there, f"{chips} chips", 60)


def found(survey, like, unlike=()):
    from engine.search.similar import similar

    return similar(survey, np.array(like), unlike=np.array(unlike, np.int64), top=200)[0][:100].tolist()


def test_more_and_less_reorder_and_a_file_finds_itself(visit, survey, tmp_path):
    press(visit, "+", 1)
    visit.until(lambda: visit.tiles() == found(survey, [20]), "what is like the object under the cursor", 60)

    away = visit.tiles()[3]
    visit.tile(away).hover()
    visit.page.locator("button.hand.less").click()
    visit.until(lambda: visit.tiles() == found(survey, [20], [away]), "what is unlike the one with the sign −", 60)
    more = visit.tiles()[1]
    visit.tile(more).hover()
    visit.page.locator("button.hand.more").click()
    visit.until(lambda: visit.tiles() == found(survey, [20, more], [away]), "what is like both", 60)

    chip = visit.page.locator(f".chip[data-row='{away}']")
    chip.hover()
    chip.locator(".away").click()
    visit.until(lambda: visit.tiles() == found(survey, [20, more]), "the query without that chip", 60)
    visit.page.locator("button[title^='Forget']").click()
    visit.page.get_by_text("More like what?").wait_for()

    from astropy.io import fits

    cutout = survey.cutouts.read([17])[0]
    bands = [fits.ImageHDU(band, name=name) for band, name in zip(cutout, survey.bands)]
    fits.HDUList([fits.PrimaryHDU(), *bands]).writeto(tmp_path / "seventeen.fits")
    visit.page.locator(".likeness input[type=file]").set_input_files(tmp_path / "seventeen.fits")
    visit.until(lambda: visit.tiles()[:1] == [17], "the galaxy of the file", 60)
    (tmp_path / "words.fits").write_text("no image at all")
    visit.page.locator(".likeness input[type=file]").set_input_files(tmp_path / "words.fits")
    visit.page.get_by_text("neither a picture nor FITS").wait_for()
    assert visit.tiles()[0] == 17


def test_a_box_in_the_inspector_asks_for_a_part(visit, survey):
    from engine.search.likeness.asked import Query, of_region
    from engine.search.similar import search

    page = visit.page
    press(visit, "+", 1)
    page.locator(".tile.cursor").wait_for()

    def opened():
        page.keyboard.press("Enter")
        page.wait_for_timeout(500)
        return page.locator(".inspector .stage canvas:visible").count()

    visit.until(opened, "the inspector", 60)
    button = page.get_by_label("More like a part of it")
    visit.until(lambda: (button.click(), button.get_attribute("aria-pressed"))[1] == "true", "the tool for parts")
    page.get_by_text("colour", exact=True).first.wait_for()
    page.wait_for_timeout(300)
    row = int(page.evaluate("() => new URLSearchParams(location.search).get('object')"))
    box = page.locator(".inspector .stage canvas").bounding_box()
    x, y, side = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, min(box["width"], box["height"])
    page.mouse.move(x - side / 4, y - side / 4)
    page.mouse.down()
    page.mouse.move(x, y, steps=4)
    page.mouse.move(x + side / 4, y + side / 4, steps=4)
    page.mouse.up()
    page.locator(".likeness[data-chips='2']").wait_for(timeout=60_000)
    size = survey.cutouts.read([row])[0].shape[1]
    part = of_region(survey, row, (size / 4, size / 4, 3 * size / 4, 3 * size / 4))
    expected = search(survey, Query(np.array([20]), examples=(part,)), survey.spaces.of(), top=200)[0][:100].tolist()
    listed = page.locator(".gallery .tile:visible")  # the inspector has tiles, too
    visit.until(
        lambda: listed.evaluate_all("all => all.slice(0, 3).map(t => Number(t.dataset.row))") == expected[:3],
        "what looks like the part",
        60,
    )
