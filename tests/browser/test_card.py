"""The views of an object as an astronomer uses them: keys, wheel and pointer in a real browser, checked against astropy."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from visit import Visit, free_port, serve

from app.inspector.view import position
from engine.cli import main as engine
from engine.data.sky.tangent import tangent

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore")]

APP = Path(__file__).resolve().parents[2] / "app"
OBJECTS, WIDTH, HEIGHT = 6, 30, 26
BANDS = ("g", "r", "i", "z")
BANDLESS = 2  # has no i
SUFFIX = ": none"


def sky(row):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [10.0 + row, -45.0], [400.0, -300.0]
    turn = np.deg2rad(25)
    wcs.wcs.cd = 0.2 / 3600 * np.array([[-np.cos(turn), np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return wcs


@pytest.fixture(scope="module")
def images():
    """(band, row) → pixels: a blob on noise."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    blob = np.exp(-((x - 14.5) ** 2 + (y - 12.5) ** 2) / 30)
    shape = (HEIGHT, WIDTH)
    found = {(b, k): (rng.uniform(20, 60) * blob + rng.normal(size=shape)) for b in BANDS for k in range(OBJECTS)}
    return {key: image.astype("f4") for key, image in found.items() if key != ("i", BANDLESS)}


@pytest.fixture(scope="module")
def survey(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("card")
    for (band, row), image in images.items():
        (folder / "in" / band).mkdir(parents=True, exist_ok=True)
        header = sky(row).to_header()
        header["BUNIT"] = "nJy"
        fits.PrimaryHDU(image, header).writeto(folder / "in" / band / f"x_{band}_{row}.fits")
    path = folder / "card.survey"
    for command in (["ingest", folder / "in", path], ["embed", path, "--encoder", "pixels"], ["layout", path]):
        extra = ["--method", "pca"] if command[0] == "layout" else []
        assert engine([*map(str, command), *extra, "--progress", "none"]) == 0
    return path


@pytest.fixture(scope="module")
def address(survey, tmp_path_factory):
    port, log = free_port(), tmp_path_factory.mktemp("log") / "server.log"
    command = [sys.executable, "launch.py", str(survey), "--port", str(port), "--no-browser"]
    server = serve(command, port, log)
    yield f"http://localhost:{port}/"
    server.terminate()
    server.wait(10)
    assert "Traceback" not in log.read_text(), log.read_text()


@pytest.fixture(scope="module")
def visit(browser, address):
    page = browser.new_page()
    visit = Visit(page, f"{address}?object=1")
    for _ in range(10):  # the first page of a server may hear keys a while after its map stands still
        page.keyboard.press("Enter")
        page.wait_for_timeout(2000)
        if page.locator(".stage").is_visible():
            break
    visit.until(lambda: len(views(visit)) == 8, "the views")
    visit.until(lambda: page.locator(".values dd").count() == len(BANDS), "the numbers")
    yield visit
    assert visit.faults == [] and visit.outside == []
    page.close()


def views(visit):
    return visit.page.locator(".strip-of-views .small:visible").all_inner_texts()


def title(visit):
    visit.page.wait_for_timeout(40)  # drawn in the next frame
    return visit.page.locator(".stage .title").inner_text()


def press(visit, key):
    visit.page.keyboard.press(key)
    return title(visit)


def point(visit, x, y):
    """Move the pointer to the middle of a pixel of the main view, as long as it shows the whole."""
    box = visit.page.locator(".stage canvas").bounding_box()
    scale = min(box["width"] / WIDTH, box["height"] / HEIGHT)
    visit.page.mouse.move(
        box["x"] + box["width"] / 2 + (x + 0.5 - WIDTH / 2) * scale,
        box["y"] + box["height"] / 2 + (y + 0.5 - HEIGHT / 2) * scale,
    )


def said(visit):
    """Pixel, RA, Dec and values of the readout."""
    at = re.search(r"x (\d+), y (\d+)", visit.page.locator(".readout").inner_text())
    here = visit.page.locator(".readout .sky")
    values = visit.page.locator(".values dd").all_inner_texts()
    ra, dec = (float(here.get_attribute(f"data-{name}")) for name in ("ra", "dec"))
    return (int(at[1]), int(at[2])), (ra, dec), [float(v.replace("−", "-")) for v in values]


def test_all_views_are_there_and_named(visit):
    assert views(visit) == ["colour", *BANDS, "binned", "smooth", "faint"]
    assert title(visit) == "colour"


@pytest.mark.parametrize("pixel", [(0, 0), (WIDTH - 1, HEIGHT - 1), (14, 12), (3, 20)])
def test_what_lies_under_the_pointer(visit, images, pixel):
    point(visit, *pixel)
    found, (ra, dec), values = said(visit)
    assert found == pixel
    theirs = sky(1).pixel_to_world(*pixel)
    assert SkyCoord(ra, dec, unit="deg").separation(SkyCoord(theirs.ra, theirs.dec)).arcsec < 0.01
    np.testing.assert_allclose(values, [images[b, 1][pixel[1], pixel[0]] for b in BANDS], rtol=6e-4, atol=6e-4)
    assert "in nJy" in visit.page.locator(".readout").inner_text()


def test_beside_the_picture_the_readout_is_of_the_object(visit):
    visit.page.mouse.move(5, 5)
    assert "object at x 15, y 13" in visit.page.locator(".readout").inner_text()  # 14.5, 12.5


def test_bands_blink_both_ways_at_one_place_without_asking_the_server(visit):
    place = visit.page.locator(".stage .title").bounding_box()
    visit.page.evaluate("""() => { const send = WebSocket.prototype.send;
      window.asked = 0; WebSocket.prototype.send = function (data) { window.asked += 1; return send.call(this, data); }; }""")
    assert [press(visit, ".") for _ in range(5)] == ["g", "r", "i", "z", "g"]
    assert [press(visit, ",") for _ in range(2)] == ["z", "i"]
    there = visit.page.locator(".stage .title").bounding_box()
    assert (there["x"], there["y"]) == (place["x"], place["y"])
    assert visit.page.evaluate("() => window.asked") == 0
    assert visit.page.locator(".small.chosen").inner_text() == "i"


def test_bands_blink_by_themselves_until_stopped(visit):
    seen = {press(visit, "p")}
    for _ in range(14):
        visit.page.wait_for_timeout(100)
        seen.add(title(visit))
    assert len(seen) >= 3
    stopped = press(visit, "p")
    visit.page.wait_for_timeout(700)
    assert title(visit) == stopped


def test_a_missing_band_is_named_and_passed_over(visit, address):
    page = visit.page.context.browser.new_page()
    other = Visit(page, f"{address}?object={BANDLESS}")
    page.keyboard.press("Enter")
    other.until(lambda: "i" + SUFFIX in views(other), "the missing band")
    assert [press(other, ".") for _ in range(4)] == ["g", "r", "z", "g"]
    page.locator(".small", has_text="i" + SUFFIX).click()
    assert title(other) == "i" + SUFFIX
    page.close()


def canvas_colours(visit):
    """Main view's pixels: at its middle, and all."""
    return visit.page.evaluate(
        """() => { const canvas = document.querySelector("*"), find = (root) => root.querySelector(".stage canvas")
            ?? [...root.querySelectorAll("*")].map((n) => n.shadowRoot && find(n.shadowRoot)).find(Boolean);
          const main = find(document), ink = main.getContext("2d");
          const middle = ink.getImageData(main.width / 2 - 4, main.height / 2 - 4, 8, 8).data;
          return [[...middle], ink.getImageData(0, 0, main.width, main.height).data.reduce((a, b) => a + b, 0)]; }"""
    )


def test_the_crosshair_leaves_the_object_free(visit):
    press(visit, ".")
    middle, total = canvas_colours(visit)
    press(visit, "c")
    with_middle, with_total = canvas_colours(visit)
    assert with_middle == middle and with_total != total
    press(visit, "c")
    assert canvas_colours(visit) == [middle, total]


def test_the_wheel_zooms_about_the_pointer_and_a_double_click_resets(visit):
    before = canvas_colours(visit)
    point(visit, 20, 9)
    visit.page.mouse.wheel(0, -900)
    visit.page.wait_for_timeout(100)
    assert canvas_colours(visit) != before
    box = visit.page.locator(".stage canvas").bounding_box()
    assert said(visit)[0] == (20, 9)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    visit.page.mouse.move(x, y)
    middle = said(visit)[0]
    visit.page.mouse.down()
    visit.page.mouse.move(x + 60, y, steps=3)
    visit.page.mouse.up()
    assert said(visit)[0] == middle  # the sky goes with the pointer
    visit.page.mouse.move(x, y)
    assert said(visit)[0][0] < middle[0]
    visit.page.mouse.dblclick(x, y)
    visit.page.wait_for_timeout(100)
    assert canvas_colours(visit) == before


def within_the_drawer(visit) -> bool:
    """Whether nothing of the views is wider than the drawer, or beyond its edges."""
    return visit.page.locator(".inspector").evaluate(
        """one => { const inner = one.querySelector(".content"), edge = inner.getBoundingClientRect();
          return [one, inner].every(part => part.scrollWidth <= part.clientWidth)
            && [...one.querySelectorAll(".views :is(canvas, button, .line, .values)")].filter(part => part.offsetParent)
              .map(part => part.getBoundingClientRect()).every(box => box.left >= edge.left && box.right <= edge.right + 0.5); }"""
    )


@pytest.mark.parametrize("width", [1075, 1280, 1600])
def test_six_views_at_once_and_nothing_overflows(visit, width):
    visit.page.set_viewport_size({"width": width, "height": 720})
    tiles = visit.page.locator(".one:visible")
    press(visit, "g")
    visit.until(lambda: tiles.count() == 6, "six views", patience=3)
    visit.until(lambda: within_the_drawer(visit), "six views within the drawer", patience=3)
    press(visit, "g")
    visit.until(lambda: tiles.count() == 0, "one large view", patience=3)
    visit.until(lambda: within_the_drawer(visit), "the views within the drawer", patience=3)
    visit.page.set_viewport_size({"width": 1400, "height": 900})


def test_a_click_on_one_of_the_six_shows_it_large(visit):
    press(visit, "g")
    visit.page.locator(".one:visible").nth(1).click()
    assert title(visit) == "binned, 2×2 px" and visit.page.locator(".one:visible").count() == 0
    visit.page.keyboard.press("Enter")
    whole = visit.page.viewport_size
    box = visit.page.locator(".views").bounding_box()
    assert (box["width"], box["height"]) == (whole["width"], whole["height"])
    visit.page.keyboard.press("Escape")
    assert visit.page.locator(".views").bounding_box()["width"] < whole["width"] / 2


def test_the_chosen_view_stays_with_the_next_object(visit):
    visit.page.locator(".small", has_text=re.compile("^r$")).click()
    visit.page.locator(".near .tile").first.click()
    visit.until(lambda: len(views(visit)) == 8 and title(visit) == "r", "the same view of another object")


# -- the arithmetic of the page ---------------------------------------------------------------------------------------


def test_positions_in_the_page_are_astropys(page):
    page.goto("about:blank")
    page.add_script_tag(content=(APP / "inspector" / "inspector_sky.js").read_text(encoding="utf-8"))
    rng = np.random.default_rng(0)
    for row, ra in enumerate((0.0005, 150.0, 359.9995)):
        wcs = sky(0)
        wcs.wcs.crval = [ra, (-80, 0, 60)[row]]
        wcs.wcs.crpix = [50, 60]
        header = tangent(wcs, 100, 120).header()
        pixels = rng.uniform(-0.5, 99.5, (50, 2))
        ours = page.evaluate("([sky, all]) => all.map(([x, y]) => skyOf(sky, x, y))", [header, pixels.tolist()])
        theirs = SkyCoord(*wcs.all_pix2world(pixels, 0).T, unit="deg")
        assert theirs.separation(SkyCoord(np.array(ours), unit="deg")).arcsec.max() < 0.001


def test_sexagesimal_in_the_page_rounds_before_it_splits(page):
    page.goto("about:blank")
    page.add_script_tag(content=(APP / "inspector" / "inspector_sky.js").read_text(encoding="utf-8"))
    for ra, dec in ((0.0, -0.000001), (359.99999999, 89.9999999), (83.63308, 22.0145), (10.0, -5.99999999)):
        ours = page.evaluate("([ra, dec]) => sexagesimal(ra, dec)", [ra, dec])
        coarse = position(ra, dec)
        marks = str.maketrans({c: ":" for c in "ʰᵐ°′"} | {"ˢ": "", "″": "", "−": "-"})
        for text, other, most in zip(ours, (coarse["ra_sexagesimal"], coarse["dec_sexagesimal"]), (24, 90)):
            numbers, twin = ([float(v) for v in t.translate(marks).split(":")] for t in (text, other))
            assert all(v < 60 for v in numbers[1:]) and abs(numbers[0]) <= most
            seconds, rough = (abs(n[0]) * 3600 + n[1] * 60 + n[2] for n in (numbers, twin))
            assert abs(seconds - rough) <= 0.06 and text[0] == other[0]
