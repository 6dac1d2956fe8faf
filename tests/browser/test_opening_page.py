"""From a folder of pictures to the map, all in the browser: look, make, open."""

import sys

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect
from visit import free_port, serve

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def opened(tmp_path, page):
    folder = tmp_path / "stamps"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for k in range(40):
        picture = np.clip(rng.normal(30, 6, (24, 24, 3)), 0, 255)
        picture[6 + k % 12, 12] = 255
        Image.fromarray(picture.astype(np.uint8)).save(folder / f"s{k}.png")
    (folder / "bad.png").write_bytes(b"no picture")
    (tmp_path / "c.csv").write_text("id,z\n" + "\n".join(f"s{k},{k / 10}" for k in range(30)))
    port = free_port()
    command = [sys.executable, "launch.py", str(folder), "--root", str(tmp_path), "--port", str(port), "--no-browser"]
    server = serve(command, port, tmp_path / "log")
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(f"http://localhost:{port}/")
    yield page, tmp_path
    server.terminate()
    server.wait(20)
    assert not faults


def test_a_folder_becomes_a_survey_in_the_browser(opened):
    page, folder = opened
    expect(page.locator("h1")).to_have_text("40 objects", timeout=60_000)
    assert page.locator(".strip img").count() == 10
    page.get_by_text("1 cannot be read").click()
    expect(page.locator(".notes")).to_contain_text("bad.png")

    page.locator("[data-field=catalogue]").fill(str(folder / "none.csv"))
    expect(page.locator(".problem")).to_contain_text("no catalogue", timeout=30_000)
    expect(page.get_by_role("button", name="Make the survey")).to_be_disabled()
    page.locator("[data-field=catalogue]").fill(str(folder / "c.csv"))
    expect(page.locator(".notes")).to_contain_text("30 of 40 objects have a row", timeout=30_000)
    page.locator("[data-field=name]").fill("mine")
    page.locator("[data-field=encoder]").select_option("pixels")
    assert f"--catalogue {folder / 'c.csv'}" in page.locator(".command").inner_text()
    page.get_by_role("button", name="Make the survey").click()
    expect(page.locator(".making")).to_contain_text("is ready", timeout=90_000)
    assert (folder / "mine.survey" / "survey.toml").is_file()
    page.get_by_role("link", name="Open").click()
    expect(page.locator(".name b")).to_have_text("mine", timeout=30_000)
    expect(page.locator(".overlay .legend").first).to_be_visible(timeout=30_000)
    page.get_by_role("link", name="Surveys").click()
    expect(page.locator("a.survey b")).to_have_text("mine", timeout=30_000)
    page.locator(".path").fill("/")
    page.locator(".path").press("Enter")
    expect(page.locator(".problem")).to_contain_text("outside the folders")
