"""The whole loop on real pixels, as an astronomer drives it: real files, a real server, a real browser, mouse and keys.

Nothing is asked of the app's insides: what is checked is what the page shows and what lies on the disk afterwards.
"""

import json
import shutil
import sys

import pytest
from astropy.table import Table
from visit import Visit, free_port, serve

from engine import Survey
from engine.cli import main as engine

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore")]

OBJECTS = 300


@pytest.fixture(scope="module")
def survey(shared_data, tmp_path_factory):
    """300 Galaxy Zoo 2 pictures with their votes: ingested, embedded, laid out by the commands."""
    folder = tmp_path_factory.mktemp("loop")
    (folder / "pictures").mkdir()
    for picture in sorted((shared_data / "gz2" / "images").glob("*.jpg"))[:OBJECTS]:
        shutil.copy(picture, folder / "pictures")
    path = folder / "gz2.survey"
    catalogue = shared_data / "gz2" / "catalogue.csv"
    for command in (["ingest", folder / "pictures", path, "--catalogue", catalogue], ["embed", path], ["layout", path]):
        assert engine([*map(str, command), "--progress", "none"]) == 0
    return Survey.open(path)


@pytest.fixture(scope="module", params=["python", "panel"])
def address(request, survey, tmp_path_factory):
    """The app, served in both documented ways."""
    port = free_port()
    command = {
        "python": [sys.executable, "launch.py", str(survey.path), "--port", str(port), "--no-browser"],
        "panel": [sys.executable, "-m", "panel", "serve", "launch.py", "--port", str(port), "--args", str(survey.path)],
    }[request.param]
    log = tmp_path_factory.mktemp("log") / "server.log"
    server = serve(command, port, log)
    yield f"http://localhost:{port}/" + ("launch" if request.param == "panel" else "")
    server.terminate()
    server.wait(10)
    assert "Traceback" not in log.read_text(), log.read_text()


def test_the_whole_loop(page, address, survey):
    for old in (survey.path / "exports").glob("*"):
        old.unlink()
    target = f"merger {address.rsplit(':')[-1].strip('/').replace('/', ' ')}"  # each way of serving has its own labels
    visit = Visit(page, address)
    field = page.get_by_label("Looking for")
    field.fill(target)
    field.press("Enter")
    field.blur()

    # lasso → gallery
    visit.lasso()
    shown = visit.until(visit.tiles, "the lasso's thumbnails")
    assert 1 < len(shown) <= 100
    page.wait_for_function("() => true")

    # label by key; the arrows only move
    page.locator(".tile:visible").first.click()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    log = Survey.open(survey.path).labels
    assert target not in log.targets()
    for key in "ynu":
        page.keyboard.press(key)
    visit.until(lambda: len(log.current(target).rows) == 3, "three labels on the disk")
    labelled = dict(zip(log.current(target).rows.tolist(), log.current(target).values))
    assert labelled == {shown[0]: "yes", shown[1]: "no", shown[2]: "unsure"}
    assert set(log.current(target).users) == {"tester"}
    page.keyboard.press("z")
    visit.until(lambda: len(log.current(target).rows) == 2, "the undo on the disk")
    visit.until(lambda: visit.tile(shown[0]).get_attribute("data-label") == "yes", "the label on its tile")

    # suggestions: never what is labelled already
    visit.tab("Suggestions")
    known = set(log.current(target).rows.tolist())
    visit.until(
        lambda: (found := visit.tiles()) and found != shown and not known & set(found),
        "suggestions without labelled ones",
    )

    # export the selection, and read it back
    visit.tab("Selection")
    visit.until(lambda: visit.tiles() == shown, "the selection again")
    page.get_by_role("button", name="Export").click()
    page.get_by_role("button", name="Write to exports").click()
    written = visit.until(lambda: [p for p in (survey.path / "exports").glob("*.fits")], "the catalogue")[0]
    table = Table.read(written)
    ids = [str(i) for i in table["id"]]
    assert ids[: len(shown)] == survey.ids.take(shown).to_pylist() or set(survey.ids.take(shown).to_pylist()) <= set(
        ids
    )
    assert {"id", "ra", "dec", f"label_{target}"} <= set(table.colnames)
    members = set(ids)
    page.keyboard.press("Escape")

    # reload: labels, selection and its outline are still there
    page.reload()
    visit.settle()
    visit.until(lambda: visit.tiles() == shown, "the same selection after a reload")
    assert visit.tile(shown[0]).get_attribute("data-label") == "yes"
    assert visit.tile(shown[1]).get_attribute("data-label") == "no"
    kept = json.loads(next((survey.path / "selections").glob("*.json")).read_text())
    assert kept["how"]["kind"] == "polygon" and len(members) >= len(shown)
    assert visit.outside == [], "a request left the machine"
    assert visit.faults == []
