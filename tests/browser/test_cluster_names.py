"""Names of clusters on the map in a real browser: they appear with zoom, select, rename, label, and let the map be used."""

import re
import shutil
import sys

import numpy as np
import pytest
from visit import Visit, free_port, serve

from engine import Survey, files
from engine.maps.clustering import clusters

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore")]

#: Middles of four large groups and of six small ones, close together.
LARGE = [(-8, -6), (8, -6), (-8, 6), (8, 6)]
SMALL = [(np.cos(a), np.sin(a)) for a in np.arange(6) * np.pi / 3]


@pytest.fixture(scope="module")
def survey(small_survey, tmp_path_factory):
    """A copy of the small survey with groups that are known on a layout, and found as clusters."""
    path = tmp_path_factory.mktemp("clusters") / "own.survey"
    shutil.copytree(small_survey.path, path)
    random = np.random.default_rng(3)
    middles = np.repeat(np.array(LARGE + SMALL, float), [96] * 4 + [36] * 6, axis=0)
    xy = middles + random.normal(size=middles.shape) * np.repeat([0.8, 0.12], [384, 216])[:, None]
    for name, turn in (("groups", 1), ("mirrored", -1)):
        files.write_npy(path / "layouts" / name / "xy.npy", (turn * xy).astype(np.float32))
        files.write_json(path / "layouts" / name / "meta.json", {"method": "columns"})
    found = Survey.open(path)
    clusters.clusters(found, layout="groups", min_size=15, min_samples=5)
    return found


@pytest.fixture(scope="module")
def address(survey, tmp_path_factory):
    port, log = free_port(), tmp_path_factory.mktemp("log") / "server.log"
    server = serve([sys.executable, "launch.py", str(survey.path), "--port", str(port), "--no-browser"], port, log)
    yield f"http://localhost:{port}/?layout=groups&target=dwarf&thumbnails=off"
    server.terminate()
    server.wait(10)
    assert "Traceback" not in log.read_text(), log.read_text()


@pytest.fixture(scope="module")
def one_visit(browser, address):
    page = browser.new_page()
    yield Visit(page, address)
    page.close()


@pytest.fixture
def visit(one_visit):
    """The visit with nothing selected, the whole layout in view and its names written."""
    page = one_visit.page
    page.keyboard.press("Escape")
    page.keyboard.press("f")
    page.mouse.move(5, 5)
    one_visit.until(lambda: not chip(one_visit) and {0, 1, 2, 3} <= set(written(one_visit)), "names")
    yield one_visit
    assert one_visit.faults == [] and one_visit.outside == []


def written(visit):
    """Codes of the names that are to be seen."""
    return visit.page.locator(".name.seen").evaluate_all("all => all.map(n => Number(n.dataset.code))")


def name(visit, code):
    return visit.page.locator(f".name.seen[data-code='{code}']")


def found(survey):
    return clusters.read(survey)


def where(visit, code):
    box = name(visit, code).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def zoom(visit, steps):
    box = visit.box
    visit.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    for _ in range(abs(steps)):
        visit.page.mouse.wheel(0, -120 if steps > 0 else 120)
        visit.page.wait_for_timeout(40)


def chip(visit):
    return " ".join(visit.page.locator(".overlay .chip:visible, .bar .chip:visible").all_inner_texts())


def test_ten_clusters_are_found_as_they_were_made(survey):
    kept = found(survey)
    assert len(kept) == 10 and [c.count for c in kept.clusters[:4]] == pytest.approx([96] * 4, abs=12)


def test_names_appear_with_zoom_and_never_overlap(visit, survey):
    large = set(range(4))
    first = set(written(visit))
    assert large <= first and len(first) < 10
    zoom(visit, 8)
    visit.until(lambda: set(written(visit)) >= {4, 5, 6, 7, 8, 9}, "the small ones")
    boxes = [b.bounding_box() for b in visit.page.locator(".name.seen").all()]
    for k, a in enumerate(boxes):
        for b in boxes[:k]:
            apart = a["x"] + a["width"] <= b["x"] or b["x"] + b["width"] <= a["x"]
            assert apart or a["y"] + a["height"] <= b["y"] or b["y"] + b["height"] <= a["y"]


def test_a_click_selects_exactly_the_members(visit, survey):
    code = written(visit)[1]
    name(visit, code).click()
    rows = set(found(survey).rows(code).tolist())
    visit.until(lambda: len(visit.tiles()) == min(100, len(rows)), "its members in the gallery")
    assert set(visit.tiles()) <= rows and len(rows) < 100
    row = visit.page.locator(f".clusters .row[data-code='{code}']")
    visit.until(lambda: row.get_attribute("aria-selected") == "true", "the list to follow")


def test_the_rail_lists_sorts_and_selects(visit, survey):
    rows = visit.page.locator(".clusters .row")
    counts = [int(t.replace(",", "")) for t in rows.locator(".count").all_inner_texts()]
    assert counts == [c.count for c in found(survey).clusters]
    visit.page.get_by_role("button", name="Sort by name").click()
    names = rows.locator(".called").all_inner_texts()
    assert names == sorted(names, key=lambda t: [int(p) if p.isdigit() else p.lower() for p in re.split(r"(\d+)", t)])
    code = int(rows.nth(2).get_attribute("data-code"))
    rows.nth(2).click()
    visit.until(lambda: set(visit.tiles()) == set(found(survey).rows(code).tolist()), "its members")


def test_a_name_of_ones_own_persists_a_reload_and_another_layout(visit, survey):
    code = written(visit)[0]
    name(visit, code).dblclick()
    field = visit.page.locator(".names .field")
    field.fill("Gems")
    field.press("Enter")
    visit.until(lambda: found(survey).clusters[code].name == "Gems", "the name in the survey")
    visit.page.reload()
    visit.settle()
    visit.until(lambda: "Gems" in " ".join(visit.page.locator(".name.seen b").all_inner_texts()), "the name again")
    before = where(visit, code)
    visit.page.goto(visit.page.url.replace("layout=groups", "layout=mirrored"))
    visit.settle()
    visit.until(lambda: name(visit, code).count(), "the name on another layout")
    after, box = where(visit, code), visit.box
    middle = box["x"] + box["width"] / 2
    assert (before[0] - middle) * (after[0] - middle) < 0  # it has gone to the other side with its objects


def test_k_hides_them_and_the_address_remembers(visit):
    button = visit.page.get_by_role("button", name="Names of clusters")
    assert button.get_attribute("aria-pressed") == "true"
    visit.page.keyboard.press("k")
    visit.until(lambda: not written(visit), "no names")
    visit.until(lambda: "names=false" in visit.page.url.lower(), "the address")
    visit.page.reload()
    visit.settle()
    visit.page.wait_for_timeout(500)
    assert not written(visit)
    button.click()
    visit.until(lambda: written(visit), "names again")


def test_a_drag_and_the_wheel_go_through_a_name_to_the_map(visit):
    code = written(visit)[0]
    (x, y), box = where(visit, code), visit.box
    dx = -60 if x > box["x"] + box["width"] / 2 else 60  # inwards: a name stays within the map's edge
    visit.page.mouse.move(x, y)
    visit.page.mouse.down()
    visit.page.mouse.move(x + dx, y + 40, steps=6)
    visit.page.mouse.up()
    visit.until(lambda: abs(where(visit, code)[0] - x - dx) < 6, "the map to follow the drag")
    assert not chip(visit)
    before = visit.page.url
    visit.page.mouse.move(*where(visit, code))
    visit.page.mouse.wheel(0, -240)
    visit.until(lambda: visit.page.url != before, "the wheel to zoom")


def test_a_lasso_begun_on_a_name_is_a_lasso(visit):
    x, y = where(visit, written(visit)[0])
    visit.page.keyboard.press("l")
    visit.page.mouse.move(x, y)
    visit.page.mouse.down()
    for dx, dy in ((80, 0), (80, 80), (0, 80), (-60, 40), (0, 0)):
        visit.page.mouse.move(x + dx, y + dy, steps=6)
    visit.page.mouse.up()
    visit.until(lambda: visit.tiles(), "what is inside")
    visit.page.keyboard.press("v")


def test_all_members_are_labelled_after_asking_and_it_can_be_taken_back(visit, survey):
    code = written(visit)[2]
    count = found(survey).clusters[code].count
    name(visit, code).click(button="right")
    menu = visit.page.locator(".menu")
    menu.get_by_role("button", name="Label all as no").click()
    assert f"{count:,} objects ‘no’ for ‘dwarf’" in menu.inner_text()
    assert survey.labels.targets().get("dwarf", {}).get("no", 0) == 0  # not before it is confirmed
    menu.get_by_role("button", name=f"Label {count:,}").click()
    visit.until(lambda: survey.labels.targets().get("dwarf", {}).get("no", 0) == count, "the labels")
    rows = survey.labels.current("dwarf").rows
    assert set(rows.tolist()) == set(found(survey).rows(code).tolist())
    visit.page.keyboard.press("z")
    visit.until(lambda: survey.labels.targets().get("dwarf", {}).get("no", 0) == 0, "the labels to go")


def test_escape_closes_the_menu_and_leaves_the_selection(visit):
    code = written(visit)[0]
    name(visit, code).click()
    visit.until(lambda: visit.tiles(), "its members")
    name(visit, code).click(button="right")
    visit.page.locator(".menu").wait_for()
    visit.page.keyboard.press("Escape")
    visit.until(lambda: not visit.page.locator(".menu").count(), "the menu to close")
    visit.page.wait_for_timeout(300)
    assert visit.tiles()


def test_the_form_finds_others_and_the_map_is_coloured_by_them(visit, survey):
    page = visit.page
    page.get_by_role("button", name="HDBSCAN or k-means").click()
    page.get_by_label("How clusters are found").select_option("parts")
    page.locator(".clusters .number").fill("5")
    page.get_by_role("button", name="Find", exact=True).click()
    visit.until(lambda: "kmeans_pixels" in survey.clusters, "the clusters", patience=60)
    choice = page.get_by_label("Clustering in use")
    visit.until(lambda: choice.input_value() == "kmeans_pixels", "the new clustering in use")
    assert len(clusters.read(survey, "kmeans_pixels")) == 5
    page.get_by_role("button", name="Colour the map by clusters").click()
    visit.until(lambda: page.locator(".overlay .legend .item").count() >= 5, "a legend of clusters")
    visit.until(lambda: "cluster_kmeans_pixels" in page.url, "the address")
    choice.select_option("hdbscan_groups")
    visit.until(lambda: "cluster_hdbscan_groups" in page.url, "the colour to follow")
