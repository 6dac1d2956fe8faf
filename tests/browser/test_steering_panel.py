"""Steering in a real browser: what is chosen is kept and comes into the next batch; why an object was suggested."""

import json
import shutil
import sys

import pytest
from visit import Visit, free_port, serve

from engine.survey import Survey

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def survey(small_survey, tmp_path_factory):
    path = tmp_path_factory.mktemp("steering") / "own.survey"
    shutil.copytree(small_survey.path, path)
    (path / "labels.sqlite").unlink(missing_ok=True)
    own = Survey.open(path)
    rows = list(range(0, 12))
    own.labels.add(rows, "dwarf", ["yes", "no"] * 6, ids=own.ids.take(rows).to_pylist(), user="tester")
    own.labels.close()
    return path


@pytest.fixture(scope="module")
def address(survey, tmp_path_factory):
    port, log = free_port(), tmp_path_factory.mktemp("log") / "server.log"
    server = serve([sys.executable, "launch.py", str(survey), "--port", str(port), "--no-browser"], port, log)
    yield f"http://localhost:{port}/"
    server.terminate()
    server.wait(10)
    assert "Traceback" not in log.read_text(), log.read_text()


def kept(survey, target="dwarf"):
    path = survey / "steering.json"
    return json.loads(path.read_text()).get(target, {}) if path.exists() else {}


def test_a_hunt_is_steered_and_explained(page, address, survey):
    visit = Visit(page, f"{address}?target=dwarf&tab=suggestions")
    line = page.locator(".steering .line")
    visit.until(lambda: visit.tiles(), "suggestions", 60)
    visit.until(lambda: "explored" in line.inner_text(), "the line")
    visit.tab("Selection")
    visit.until(lambda: not line.is_visible(), "no steering on another tab")
    visit.tab("Suggestions")
    visit.until(line.is_visible, "the steering again")

    line.click()
    body = page.locator(".steering .body")
    body.get_by_label("Best by").select_option("random")
    visit.until(lambda: kept(survey).get("acquisition") == "random", "the choice on the disk")
    slider = body.get_by_role("slider", name="Random")
    slider.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    visit.until(lambda: 0 < kept(survey).get("surprise", 0) <= 0.2, "the share on the disk")
    visit.until(lambda: "random" in line.inner_text() and " 0 % random" not in line.inner_text(), "the line")
    page.locator(".steering .now").click()
    visit.until(lambda: page.locator(".steering .now").inner_text() == "Show now", "the new list")
    assert visit.tiles()
    line.click()
    visit.until(lambda: not body.locator(".row").count(), "closed again")

    # a new target
    page.locator(".steering .target").select_option(label="New target …")
    page.get_by_label("Name of the target").fill("kind")
    page.get_by_label("What it is labelled with").select_option("classes")
    page.get_by_label("Classes, with commas between").fill("spiral, ring")
    page.get_by_role("button", name="Hunt it").click()
    visit.until(lambda: line.inner_text().startswith("spiral · mean"), "the new target's line")
    assert json.loads((survey / "targets.json").read_text())["kind"]["classes"] == ["spiral", "ring"]
    page.locator(".steering .target").select_option("dwarf")
    visit.until(lambda: line.inner_text().startswith("random · "), "the other's steering, remembered")

    # why this one
    visit.until(lambda: visit.tiles(), "tiles")
    row = visit.tiles()[0]
    visit.tile(row).dblclick()
    why = page.locator(".why")
    visit.until(lambda: why.is_visible() and why.locator(".tile").count() == 7, "the labelled neighbours", 30)
    assert "place" in why.inner_text() and "A yes would make" in why.inner_text()
    near = why.locator(".tile").first
    beside = near.get_attribute("data-row")
    near.click()
    visit.until(lambda: why.get_attribute("data-row") == beside, "the neighbour inspected")
    assert visit.faults == [] and visit.outside == []
