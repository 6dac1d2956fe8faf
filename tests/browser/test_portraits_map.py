"""Thumbnails on the map in a real browser, from real galaxies: the right objects, at their places, clicked and marked."""

import io
import shutil
import sys

import numpy as np
import pytest
from PIL import Image
from visit import Visit, free_port, serve

from engine import Survey
from engine.cli import main as engine

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore")]

OBJECTS = 400
READ_BOX = """([left, top, side]) => {
  const find = (root) => { for (const node of root.querySelectorAll("*")) {
    if (node.matches(".portraits canvas") && node.getBoundingClientRect().width > 0) return node;
    const inner = node.shadowRoot && find(node.shadowRoot); if (inner) return inner; } };
  const canvas = find(document), ratio = window.devicePixelRatio;
  const pixels = canvas.getContext("2d").getImageData(Math.round(left * ratio), Math.round(top * ratio),
    Math.round(side * ratio), Math.round(side * ratio));
  return [pixels.width, [...pixels.data]];
}"""


@pytest.fixture(scope="module")
def survey(shared_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("galaxies")
    (folder / "in").mkdir()
    for image in sorted((shared_data / "gz2" / "images").rglob("*.jpg"))[:OBJECTS]:
        shutil.copy(image, folder / "in")
    path = folder / "galaxies.survey"
    for command in (["ingest", folder / "in", path], ["embed", path, "--encoder", "pixels"], ["layout", path]):
        extra = ["--method", "pca"] if command[0] == "layout" else []
        assert engine([*map(str, command), *extra, "--progress", "none"]) == 0
    return Survey.open(path)


@pytest.fixture(scope="module")
def visit(browser, survey, tmp_path_factory):
    port, log = free_port(), tmp_path_factory.mktemp("log") / "server.log"
    command = [sys.executable, "launch.py", str(survey.path), "--port", str(port), "--no-browser"]
    server = serve(command, port, log)
    visit = Visit(browser.new_page(), f"http://localhost:{port}/?dark=true")
    yield visit
    visit.page.goto("about:blank")
    server.terminate()
    server.wait(10)
    assert "Traceback" not in log.read_text(), log.read_text()
    assert not visit.outside and not visit.faults


def boxes(visit) -> dict[int, tuple[float, float, float]]:
    """row → left, top, side on the map, when nothing moves; empty while something does."""
    lines = visit.page.locator(".portraits li").evaluate_all("all => all.map((li) => [li.dataset.row, li.dataset.box])")
    if not lines or any(box is None for _, box in lines):
        return {}
    return {int(row): tuple(float(v) for v in box.split()) for row, box in lines}


def zoom(visit, steps, at=(0.5, 0.5)):
    """Turn the wheel at a place, in shares of the map."""
    visit.page.mouse.move(visit.box["x"] + at[0] * visit.box["width"], visit.box["y"] + at[1] * visit.box["height"])
    for _ in range(abs(steps)):
        visit.page.mouse.wheel(0, -120 if steps > 0 else 120)
        visit.page.wait_for_timeout(60)


def view_of(visit) -> tuple[float, ...]:
    address = visit.page.evaluate("new URL(window.location).searchParams.get('view')")
    return tuple(float(v) for v in address.strip("[]()").split(","))


def still(visit) -> dict[int, tuple[float, float, float]]:
    """The boxes once they, and the view that the address says, have been the same for a while."""
    last: tuple = ()

    def same():
        nonlocal last
        now = boxes(visit), view_of(visit)
        before, last = last, now
        visit.page.wait_for_timeout(400)
        return now[0] if now[0] and now == before else None

    return visit.until(same, "thumbnails that stand still")


def test_they_appear_when_there_is_room_and_are_the_right_objects(visit, survey):
    visit.settle()
    xy = survey.layout_xy(survey.layouts[0])
    x0, y0, x1, y1 = view_of(visit)
    x, y = np.nanmedian(xy, axis=0).tolist()
    for _ in range(8):
        zoom(visit, 1, ((x - x0) / (x1 - x0), (y1 - y) / (y1 - y0)))
        visit.page.wait_for_timeout(800)
        if visit.page.locator(".portraits li").count():
            break
    visit.settle()  # a cold server shares the window out late: the map may have another size by now
    found = still(visit)
    assert len(found) >= 12
    x0, y0, x1, y1 = view_of(visit)
    width, height = visit.box["width"], visit.box["height"]
    for row, (left, top, side) in found.items():
        x, y = (xy[row, 0] - x0) / (x1 - x0) * width, (y1 - xy[row, 1]) / (y1 - y0) * height
        assert left - 3 <= x <= left + side + 3 and top - 3 <= y <= top + side + 3, row
    ids = dict(zip(found, survey.ids.take(np.array(list(found))).to_pylist()))
    for row, name in ids.items():
        assert visit.page.locator(f".portraits li[data-row='{row}']").inner_text().startswith(name)


def test_each_picture_is_its_objects_thumbnail(visit, survey):
    found = {row: box for row, box in still(visit).items() if box[0] > 0 and box[1] > 0}
    inside = {
        row: box
        for row, box in found.items()
        if box[0] + box[2] < visit.box["width"] and box[1] + box[2] < visit.box["height"]
    }
    assert len(inside) >= 8
    thumbs = {row: survey.thumbnails.read([row])[0] for row in found}
    for row, box in list(inside.items())[:12]:
        side, data = visit.page.evaluate(READ_BOX, list(box))
        drawn = np.array(data, float).reshape(side, side, 4)[4:-4, 4:-4, :3]
        distance = {}
        for other, jpeg in thumbs.items():
            with Image.open(io.BytesIO(jpeg)) as opened:
                resized = opened.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
            distance[other] = np.abs(np.asarray(resized, float)[4:-4, 4:-4] - drawn).mean()
        assert min(distance, key=distance.__getitem__) == row and distance[row] < 6


def test_they_move_with_the_map_in_the_browser_and_stay_while_zooming_in(visit):
    before = still(visit)
    zoom(visit, 1)
    after = still(visit)
    width, height = visit.box["width"], visit.box["height"]
    middle = {r for r, (x, y, s) in before.items() if 0.3 * width < x < 0.6 * width and 0.3 * height < y < 0.6 * height}
    assert middle and middle <= set(after)


def test_a_click_takes_the_thumbnails_own_object_and_a_double_click_its_like(visit, survey):
    inside = {
        row: (left, top, side)
        for row, (left, top, side) in still(visit).items()
        if 0 < left < visit.box["width"] - side and 60 < top < visit.box["height"] - side
    }
    for row, (left, top, side) in list(inside.items())[:3]:
        x, y = visit.box["x"] + left + 0.93 * side, visit.box["y"] + top + 0.07 * side
        visit.page.mouse.click(x, y)
        visit.until(lambda row=row: f"object={row}" in visit.page.url, f"the cursor on {row}")
        visit.page.wait_for_timeout(600)  # else two clicks are a double one
    visit.page.mouse.dblclick(x, y)
    visit.until(lambda: "tab=similar" in visit.page.url, "the tab of what is like it")
    nearest = survey.rows(survey.similar(survey.ids.take([row]).to_pylist(), top=1)["id"])[0]
    visit.until(lambda: visit.tiles() and visit.tiles()[0] == nearest, "what is most like it")


def test_the_card_shows_the_object_under_the_pointer(visit, survey):
    row, (left, top, side) = next(
        (r, b)
        for r, b in still(visit).items()
        if 0 < b[0] < visit.box["width"] / 2 and 60 < b[1] < visit.box["height"] / 2
    )
    visit.page.mouse.move(visit.box["x"] + left + side / 2, visit.box["y"] + top + side / 2, steps=5)
    card = visit.page.locator(".card:visible").first
    name = survey.ids.take([row]).to_pylist()[0]
    visit.until(lambda: card.count() and card.inner_text().startswith(name), "the object's card")
    visit.until(lambda: card.locator("img").get_attribute("src"), "its picture")
    assert card.locator("img").evaluate("img => img.complete && img.naturalWidth > 0")


def test_the_key_turns_them_off_and_on_and_a_reload_keeps_it(visit):
    shown = visit.page.locator(".portraits li")
    visit.page.mouse.move(visit.box["x"] + 5, visit.box["y"] + visit.box["height"] / 2)
    visit.page.keyboard.press("m")  # on
    visit.until(lambda: "thumbnails=on" in visit.page.url, "the address to say on")
    visit.page.keyboard.press("m")  # off
    visit.until(lambda: shown.count() == 0, "no thumbnails")
    visit.page.keyboard.press("m")  # where there is room
    visit.until(lambda: shown.count() > 3, "thumbnails again")
    visit.page.get_by_role("button", name="Thumbnails where there is room (M)").first.click()
    visit.until(lambda: "thumbnails=on" in visit.page.url, "the address to say on")
    visit.page.reload()
    visit.settle()
    visit.until(lambda: shown.count() > 3, "thumbnails after a reload")
    assert "thumbnails=on" in visit.page.url
