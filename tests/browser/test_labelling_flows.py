"""Labelling at speed in a real browser against a real server: what lies in the log is what was pressed, key by key."""

import shutil
import sys

import numpy as np
import pytest
from visit import Visit, free_port, serve

from engine import Survey
from engine.cli import main as engine
from engine.learning import targets
from engine.learning.targets import Target

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore")]

CLASSES = ("disc", "ring", "merger")


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    path = tmp_path_factory.mktemp("flows") / "sim.survey"
    for command in (
        ["simulate", path, "--objects", "600", "--dwarfs", "0.05"],
        ["embed", path, "--encoder", "pixels"],
        ["layout", path, "--method", "pca"],
    ):
        assert engine([*map(str, command), "--progress", "none"]) == 0
    found = Survey.open(path)
    targets.declare(found, Target("oddity", "ratings"))
    targets.declare(found, Target("shape", "classes", CLASSES))
    return found


@pytest.fixture(scope="module")
def address(survey, tmp_path_factory):
    port, log = free_port(), tmp_path_factory.mktemp("log") / "server.log"
    server = serve([sys.executable, "launch.py", str(survey.path), "--port", str(port), "--no-browser"], port, log)
    yield f"http://localhost:{port}/"
    server.terminate()
    server.wait(10)
    assert "Traceback" not in log.read_text(), log.read_text()
    shutil.rmtree(survey.path, ignore_errors=True)


class Flow(Visit):
    """A visit of the gallery."""

    def __init__(self, page, address, target, tab="suggestions"):
        super().__init__(page, f"{address}?target={target}&tab={tab}")
        self.until(lambda: self.cursor() >= 0, "the first objects", 60)

    def cursor(self) -> int:
        found = self.page.locator(".gallery .tile.cursor:visible")
        return int(found.get_attribute("data-row")) if found.count() else -1

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def ready(self, after: int = 0) -> int:
        """Wait until the next batch lies ready; its number."""

        def number():
            found = int(self.page.locator(".gallery").get_attribute("data-following") or 0)
            return found if found > after else 0

        return self.until(number, "the next batch", 60)

    def saved(self):
        """Wait until the server has confirmed everything."""
        self.until(lambda: self.page.locator(".gallery .tile.pending").count() == 0, "confirmation", 60)


def labels(survey, target) -> dict:
    current = survey.labels.current(target)
    return dict(zip(current.rows.tolist(), current.values.tolist()))


def test_five_a_second_loses_nothing_and_batches_follow_by_themselves(page, address, survey):
    visit, pressed = Flow(page, address, "speed"), {}
    sequence = 0
    for number in range(40):
        if number % 10 == 0:  # a person looks at a new batch; the one after it comes meanwhile
            shown = visit.tiles()
            sequence = visit.ready(sequence)
            assert len(shown) == 10 and not set(shown) & set(pressed)
        row, key = visit.cursor(), "ynnu"[number % 4]
        assert row not in pressed
        pressed[row] = {"y": "yes", "n": "no", "u": "unsure"}[key]
        page.keyboard.press(key)
        if number % 10 == 9:  # at once, in the frame of the key: no picture is waited for
            assert not set(visit.tiles()) & set(pressed) and page.locator(".gallery .tile.unreadable").count() == 0
        page.wait_for_timeout(150)
    visit.until(lambda: labels(survey, "speed") == pressed, "all labels on the disk", 60)
    visit.saved()
    assert visit.faults == []


def test_keys_pressed_faster_than_batches_come_wait_and_none_is_lost(page, address, survey):
    visit = Flow(page, address, "burst")
    first = visit.tiles()
    visit.press(*"nynynynynynynynynynynynyn")  # 25, as fast as the browser takes them
    visit.until(lambda: len(labels(survey, "burst")) == 25, "25 labels", 60)
    found = labels(survey, "burst")
    assert [found[row] for row in first] == ["no", "yes"] * 5
    assert sorted(found.values()) == ["no"] * 13 + ["yes"] * 12


def test_undo_and_redo_to_depth_thirty(page, address, survey):
    visit = Flow(page, address, "depth")
    for number in range(30):
        if number % 10 == 0:
            visit.ready()
        visit.press("yn"[number % 2])
        page.wait_for_timeout(60)
    visit.until(lambda: len(labels(survey, "depth")) == 30, "30 labels", 60)
    full = labels(survey, "depth")
    order = list(full)
    for left in range(30, 0, -1):
        visit.press("z")
        visit.until(lambda left=left: len(labels(survey, "depth")) == left - 1, f"{left - 1} labels", 30)
        visit.until(lambda left=left: visit.cursor() == order[left - 1], "the cursor on what was undone", 30)
    assert "Took back" in page.locator(".gallery .strip").inner_text()
    visit.press(*["Shift+Z"] * 30)  # without waiting
    visit.until(lambda: labels(survey, "depth") == full, "all of them again", 60)
    visit.until(lambda: visit.cursor() == order[-1], "the cursor on the last", 30)
    visit.press("z", "u")
    visit.until(lambda: labels(survey, "depth").get(order[-1]) == "unsure", "another label", 30)
    visit.press("Shift+Z")
    page.wait_for_timeout(300)
    assert labels(survey, "depth") == {**full, order[-1]: "unsure"}


def test_grid_mode_writes_what_it_says(page, address, survey):
    visit = Flow(page, address, "grid")
    rows = visit.tiles()
    visit.press("y")
    visit.until(lambda: labels(survey, "grid") == {rows[0]: "yes"}, "one label")
    visit.press("q")
    visit.until(lambda: page.locator(".gallery.sifting").count() == 1, "grid mode")
    for k in (3, 6):
        visit.tile(rows[k]).click()
    visit.press("ArrowRight", " ", "n")  # the one after the last click
    strip = page.locator(".gallery .strip")
    visit.until(lambda: "Write 6 × no, 3 × yes" in strip.inner_text(), "what would be written")
    assert "1 labelled before stay" in strip.inner_text()
    said = {row: page.locator(f".tile[data-row='{row}']").get_attribute("data-label") for row in rows}
    assert labels(survey, "grid") == {rows[0]: "yes"}
    visit.press("Enter")
    visit.until(lambda: len(labels(survey, "grid")) == 10, "the page on the disk")
    assert labels(survey, "grid") == said
    assert [row for row in rows if said[row] == "yes"] == [rows[k] for k in (0, 3, 6, 7)]
    visit.until(lambda: set(visit.tiles()).isdisjoint(rows), "the next batch")
    visit.press("Escape")
    visit.until(lambda: page.locator(".gallery.sifting").count() == 0, "the end of grid mode")
    visit.press("z")
    visit.until(lambda: labels(survey, "grid") == {rows[0]: "yes"}, "all of it taken back")


@pytest.mark.parametrize(
    "target, keys, values",
    [
        ("oddity", "0350u", ["0", "3", "5", "0", "unsure"]),
        ("shape", "1323u", ["disc", "merger", "ring", "merger", "unsure"]),
    ],
)
def test_ratings_and_classes_by_keys(page, address, survey, target, keys, values):
    visit = Flow(page, address, target)
    rows = visit.tiles()
    visit.press("y")  # no label of this target
    strip = page.locator(".gallery .strip")
    visit.until(lambda: strip.is_visible() and "takes" in strip.inner_text(), "the keys it takes")
    visit.press(*keys)
    visit.until(lambda: labels(survey, target) == dict(zip(rows, values)), "the labels on the disk")
    marks = [visit.tile(row).locator(".mark").inner_text() for row in rows[:5]]
    assert marks == ["?" if key == "u" else key for key in keys]
    assert page.locator(".maps, .bk-Canvas").count() and visit.faults == []
    visit.tab("Labelled")
    visit.until(lambda: visit.tiles() == rows[4::-1], "the labelled ones, newest first")
    page.locator(".gallery .only").select_option(values[1])
    expected = [row for row, value in zip(rows, values) if value == values[1]][::-1]
    visit.until(lambda: visit.tiles() == expected, "one label only")


def test_comments_reviews_and_artefacts_survive_a_reload(page, address, survey):
    visit = Flow(page, address, "remarks")
    rows = visit.tiles()
    visit.press("w")
    page.locator(".comment-field").wait_for()
    page.keyboard.type("ynu: a blue ring")
    visit.press("Enter", "Shift+J", "a", "j")
    visit.until(lambda: survey.remarks.texts(rows[:1]) == ["ynu: a blue ring"], "the comment on the disk")
    visit.until(lambda: labels(survey, "artefact") == {rows[1]: "yes"}, "the artefact on the disk")
    visit.until(lambda: survey.remarks.to_review("tester").tolist() == rows[:1], "the review on the disk")
    assert visit.cursor() == rows[3] and labels(survey, "remarks") == {}
    page.reload()
    visit.settle()
    visit.tab("Labelled")
    only = page.locator(".gallery .only")
    for mark, row in (("mark:comment", rows[0]), ("mark:later", rows[0]), ("mark:artefact", rows[1])):
        visit.until(lambda: only.is_visible(), "the choice of labels")
        only.select_option(mark)
        visit.until(lambda row=row: visit.tiles() == [row], mark)
    only.select_option("")
    page.locator(".gallery input.words").fill("BLUE")
    visit.until(lambda: visit.tiles() == rows[:1], "what the comment says")
    assert "blue ring" in visit.tile(rows[0]).get_attribute("aria-label")


def test_labels_in_the_large_view_follow_the_pictures(page, address, survey):
    visit = Flow(page, address, "large")
    rows = visit.tiles()
    ids = survey.ids.take(np.array(rows)).to_pylist()
    visit.press("Enter")
    title = page.locator(".inspector h2")
    visit.until(lambda: title.is_visible() and title.inner_text() == ids[0], "the inspector")
    visit.press("Enter")
    visit.until(lambda: page.locator(".views.large").count() == 1, "the large view")
    for k, key in enumerate("ynuy"):
        visit.press(key)
        visit.until(lambda k=k: title.inner_text() == ids[k + 1], "the next object")
    visit.until(lambda: labels(survey, "large") == dict(zip(rows, ["yes", "no", "unsure", "yes"])), "the labels")
    assert page.locator(".views.large").count() == 1
