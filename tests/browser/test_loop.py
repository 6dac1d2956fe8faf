"""The whole loop on real pixels, as an astronomer drives it: real files, a real server, a real browser, mouse and keys.

Nothing is asked of the app's insides: what is checked is what the page shows and what lies on the disk afterwards.
"""

import json
import math
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from astropy.table import Table

from engine import Survey
from engine.cli import main as engine

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
import chromium  # noqa: E402

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore")]

OBJECTS = 300


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args):
    path = chromium.find()
    if path is None:
        pytest.skip("no Chromium is installed")
    return {**browser_type_launch_args, "executable_path": path, "args": ["--no-sandbox", "--disable-gpu"]}


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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def serve(command: list[str], port: int, log: Path) -> subprocess.Popen:
    """Start a server and wait until it answers."""
    with open(log, "w") as out:
        server = subprocess.Popen(
            command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, "SKYSIEVE_USER": "tester"}
        )
    limit = time.monotonic() + 60
    while time.monotonic() < limit:
        assert server.poll() is None, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return server
        except OSError:
            time.sleep(0.1)
    server.kill()
    raise AssertionError(f"the server did not answer within a minute:\n{log.read_text()}")


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


class Visit:
    """One visit of the page."""

    def __init__(self, page, address):
        self.page = page
        self.outside, self.faults = [], []
        page.on("request", self._requested)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.set_viewport_size({"width": 1400, "height": 900})
        page.goto(address)
        self.settle()

    def _requested(self, request):
        if not re.match(r"(https?|wss?)://(localhost|127\.0\.0\.1)[:/]|data:|blob:", request.url):
            self.outside.append(request.url)

    def settle(self):
        """Wait until the map stands still: its size and place unchanged for half a second, and a legend there."""
        self.page.locator(".overlay .legend").first.wait_for(state="visible", timeout=30_000)
        last, since = None, time.monotonic()
        while time.monotonic() - since < 0.5:
            box = self.page.locator(".bk-Canvas").first.bounding_box()
            if box != last:
                last, since = box, time.monotonic()
            self.page.wait_for_timeout(50)
        self.box = last

    def lasso(self, share: float = 0.3):
        """Draw a circle around the middle of the map with the mouse."""
        x, y = self.box["x"] + self.box["width"] / 2, self.box["y"] + self.box["height"] / 2
        r = share * min(self.box["width"], self.box["height"])
        self.page.mouse.move(x, y)
        self.page.keyboard.press("l")
        self.page.mouse.move(x + r, y)
        self.page.mouse.down()
        for step in range(1, 49):
            self.page.mouse.move(x + r * math.cos(2 * math.pi * step / 48), y + r * math.sin(2 * math.pi * step / 48))
        self.page.mouse.up()

    def tiles(self) -> list[int]:
        """Rows of the tiles shown."""
        return [
            int(row)
            for row in self.page.locator(".tile:visible").evaluate_all("all => all.map(t => t.dataset.row)")
            if row
        ]

    def tile(self, row: int):
        return self.page.locator(f".tile[data-row='{row}']")

    def until(self, condition, what: str, patience: float = 15.0):
        limit = time.monotonic() + patience
        while not (found := condition()):
            assert time.monotonic() < limit, f"waited in vain for {what}"
            self.page.wait_for_timeout(30)
        return found

    def tab(self, name: str):
        self.page.get_by_role("tab", name=re.compile(name)).click()


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
