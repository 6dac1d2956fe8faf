"""Layouts made in the page: a first picture by itself, the dialog, the map as it grows, cancel, the sky's lines."""

import shutil
import sys
import time

import pytest
from visit import Visit, free_port, serve

from engine.maps.layouts.previews import look

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def bare(own_survey):
    """A survey with a representation and no layout."""
    shutil.rmtree(own_survey.path / "layouts")
    return own_survey


@pytest.fixture
def visit(browser, bare, tmp_path):
    port, log = free_port(), tmp_path / "server.log"
    server = serve([sys.executable, "launch.py", str(bare.path), "--port", str(port), "--no-browser"], port, log)
    page = browser.new_page()
    yield Visit(page, f"http://localhost:{port}/")
    page.close()
    server.terminate()
    server.wait(10)
    assert "Traceback" not in log.read_text(), log.read_text()


def note(visit):
    """The line at the foot of the map."""
    return " ".join(visit.page.locator(".note:has(.act) .words:visible").all_inner_texts())


def layout(visit):
    return visit.page.evaluate("new URLSearchParams(location.search).get('layout')")


def start(visit, method, **fields):
    visit.page.keyboard.press("o")
    visit.page.locator(f".card[data-method={method}]").click()
    for name, value in fields.items():
        visit.page.locator(f"[data-field={name}]").fill(value)
    visit.until(lambda: visit.page.locator(".settings .primary:enabled").count(), "the form to be checked")
    visit.until(lambda: "about" in visit.page.locator(".cost").inner_text(), "an estimate")
    visit.page.locator(".settings .primary").click()


def test_layouts_from_nothing_to_the_sky(visit, bare):
    # a first picture comes by itself, and a better one is offered
    visit.until(lambda: bare.layouts == ["pca-pixels"], "the principal components")
    visit.until(lambda: "PCA" in note(visit), "the offer")
    assert "UMAP" in visit.page.locator(".note .act").inner_text()
    # what is wrong is said in the dialog; Esc closes it
    visit.page.keyboard.press("o")
    visit.page.locator("[data-field=neighbours]").fill("few")
    visit.until(lambda: "whole number" in visit.page.locator(".problem:visible").first.inner_text(), "what is wrong")
    assert visit.page.locator(".settings .primary:disabled").count() == 1
    visit.page.locator("[data-field=neighbours]").fill("")
    visit.page.keyboard.press("Escape")
    visit.page.locator(".settings").wait_for(state="hidden")
    # it grows on the map, and takes its place
    started = time.monotonic()
    start(visit, "umap", neighbours="12")
    visit.until(lambda: "preview" in note(visit), "the first look")
    assert time.monotonic() - started < 15
    visit.until(lambda: layout(visit) == "umap-pixels", "the layout", patience=60)
    visit.until(lambda: note(visit) == "", "nothing more to say")
    # cancelled: the map is what it was, and nothing is left
    start(visit, "tsne")
    visit.until(lambda: "preview" in note(visit), "the first look")
    visit.page.locator(".note .act").click()
    visit.until(lambda: note(visit) == "", "the end")
    assert layout(visit) == "umap-pixels"
    visit.until(lambda: look(bare.path / "layouts") is None, "no look to be left")
    # the sky
    start(visit, "sky")
    visit.until(lambda: layout(visit) == "sky", "the sky", patience=60)
    visit.until(lambda: visit.page.locator(".values .dec:visible").count() > 1, "declinations")
    assert visit.page.locator(".values .ra:visible").count() > 1
    assert sorted(bare.layouts) == ["pca-pixels", "sky", "umap-pixels"]
    assert visit.faults == [] and visit.outside == []
