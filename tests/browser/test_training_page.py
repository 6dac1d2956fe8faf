"""The page on representations: a training from its form to its curves, stopped, gone on with; two representations compared.

The real commands run, on a small survey, for a few steps.
"""

import json
import re
import shutil
import sys

import pytest
from visit import Visit, free_port, serve

from engine import Survey

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def survey(small_survey, tmp_path_factory):
    folder = tmp_path_factory.mktemp("training") / "small.survey"
    shutil.copytree(small_survey.path, folder)
    again = folder / "representations" / "again"
    shutil.copytree(folder / "representations" / "pixels", again)
    finished = folder / "models" / "old" / "pictures"
    finished.mkdir(parents=True)
    (finished.parent / "settings.json").write_text(json.dumps({"method": "byol", "steps": 100}))
    (finished.parent / "history.jsonl").write_text(
        "".join(json.dumps({"step": s, "loss": 1 / s, "seconds": s}) + "\n" for s in range(20, 101, 20))
    )
    (finished.parent / "encoder.json").write_text(json.dumps({"size": 64, "dimension": 8, "bands": ["R", "G", "B"]}))
    return Survey.open(folder)


@pytest.fixture(scope="module")
def address(survey, tmp_path_factory):
    port, log = free_port(), tmp_path_factory.mktemp("log") / "server.log"
    server = serve([sys.executable, "launch.py", str(survey.path), "--port", str(port), "--no-browser"], port, log)
    yield f"http://localhost:{port}/"
    server.terminate()
    server.wait(60)  # a training that runs writes its checkpoint first
    assert "Traceback" not in log.read_text(), log.read_text()


@pytest.fixture(scope="module")
def visit(browser, address):
    page = browser.new_page()
    yield Visit(page, address)
    page.close()


def run_line(visit, name):
    return visit.page.locator(f".run[data-name='{name}']")


def field(visit, name):
    return visit.page.locator(f"dialog[open] [data-field='{name}']")


def command(visit):
    return visit.page.locator("dialog[open] .command").inner_text()


def test_a_training_from_its_form_to_its_curve(visit, survey):
    page = visit.page
    page.keyboard.press("t")
    run_line(visit, "old").wait_for()
    assert run_line(visit, "old").get_attribute("data-state") == "finished"
    assert page.locator(".chart path.curve").count() >= 1

    # a form that would not start says why, and then what will be run
    field(visit, "name").fill("old")
    visit.until(
        lambda: "already" in " ".join(page.locator("dialog[open] .problem:visible").all_inner_texts()),
        "the name to be refused",
    )
    assert page.get_by_role("button", name="Start training").is_disabled()
    field(visit, "name").fill("live")
    field(visit, "unit").select_option("steps")
    field(visit, "length").fill("4000")
    field(visit, "size").fill("32")
    page.get_by_text("More", exact=True).click()
    field(visit, "batch").fill("4")
    visit.until(lambda: command(visit).endswith("--steps 4000 --size 32 --batch 4"), "the command")
    page.get_by_role("button", name="Start training").click()

    # its curve, while it runs
    visit.until(lambda: run_line(visit, "live").get_attribute("data-state") == "running", "the training to run", 60)
    visit.until(lambda: "of 4,000 steps" in run_line(visit, "live").inner_text(), "the first records", 90)
    visit.until(lambda: page.locator(".chart path.curve.focus").count() >= 1, "its curve")
    visit.until(lambda: page.locator(".frame img[src^='blob:']").count() == 1, "its first picture", 30)

    # cancelled: it has ended and left a checkpoint; resumed: it goes on
    run_line(visit, "live").get_by_role("button", name=re.compile("^Stop")).click()
    visit.until(lambda: run_line(visit, "live").get_attribute("data-state") == "interrupted", "the end", 60)
    assert (survey.path / "models" / "live" / "checkpoint.safetensors").exists()
    at = json.loads((survey.path / "models" / "live" / "history.jsonl").read_text().splitlines()[-1])["step"]
    run_line(visit, "live").get_by_role("button", name=re.compile("^Go on")).click()

    def went_on():
        lines = (survey.path / "models" / "live" / "history.jsonl").read_text().splitlines()
        return lines and json.loads(lines[-1])["step"] > at

    visit.until(went_on, "more steps", 90)
    run_line(visit, "live").get_by_role("button", name=re.compile("^Stop")).click()
    visit.until(lambda: run_line(visit, "live").get_attribute("data-state") == "interrupted", "the end", 60)
    assert visit.faults == [] and visit.outside == []


def test_two_representations_and_the_keys_behind_the_page(visit, survey):
    page = visit.page
    page.get_by_role("button", name="Compare", exact=True).click()
    visit.until(lambda: "100 %" in page.locator("tr.agreement").inner_text(), "their agreement", 30)
    page.locator(".offers .tile").nth(4).click()
    row = int(page.locator(".offers .tile").nth(4).get_attribute("data-row"))
    visit.until(lambda: page.locator(".offers .tile.chosen").get_attribute("data-row") == str(row), "the object")
    visit.until(lambda: page.locator(".grid .tile.common").count() == 24, "12 neighbours in each, all the same")

    # what is typed here labels nothing behind the page
    for key in "yn":
        page.keyboard.press(key)
    page.keyboard.press("Escape")
    visit.until(lambda: page.locator("dialog.page[open]").count() == 0, "the page to close")
    assert survey.labels.targets() == {}
    assert visit.faults == [] and visit.outside == []
