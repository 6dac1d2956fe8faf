"""Gallery and inspector in a real browser: keys, clicks, what is on disk after them, and nothing from outside."""

import time
import uuid

import panel as pn
import pytest
from galaxies import COUNT, fresh_store, make_survey

from app.gallery.view import GalleryView
from app.inspector.view import InspectorView
from app.state import State
from engine.data.pictures.stretch import Stretch

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_survey(tmp_path_factory.mktemp("keys")).path


class Session:
    """A page and the session behind it."""

    def __init__(self, page, store):
        self.page, self.store = page, store
        self.state = self.gallery = self.inspector = None

    def build(self):
        """What one visit of the page makes."""
        self.state = State(target="dwarf", user="me")
        self.store.subscribe(self.heard)
        self.gallery, self.inspector = GalleryView(self.state, self.store), InspectorView(self.state, self.store)
        drawer = pn.Column(self.inspector.panel(), width=420, height=700, visible=self.state.param.inspecting)
        field = pn.widgets.TextInput(name="field", width=150)
        return pn.Row(pn.Column(field), drawer, pn.Column(self.gallery.panel(), width=430, height=700))

    def heard(self, kind, detail):
        if kind in ("labels", "ranking") and detail == self.state.target:
            name = f"{kind}_version"
            setattr(self.state, name, getattr(self.state, name) + 1)

    def change(self, call):
        """Change the session on its own event loop."""
        self.gallery.background.post(call)

    def until(self, condition, patience=10.0):
        """Wait for something to become true, here or in the page."""
        started = time.monotonic()
        while not condition():
            assert time.monotonic() - started < patience, "it did not happen"
            self.page.wait_for_timeout(20)

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def select(self, rows):
        import numpy as np

        self.change(lambda: self.state.select(np.asarray(rows)))
        self.until(lambda: self.tiles.count() == min(len(rows), 100) and self.cursor() == rows[0])

    @property
    def tiles(self):
        return self.page.locator(".gallery .tile")

    def cursor(self):
        found = self.page.locator(".gallery .tile.cursor")
        return int(found.get_attribute("data-row")) if found.count() else -1

    def label(self, row):
        return self.page.locator(f".gallery .tile[data-row='{row}']").get_attribute("data-label")

    def codes(self):
        return self.store.label_codes("dwarf")


@pytest.fixture(scope="module")
def tab(browser):
    """One tab for all tests: what it loads once stays in its cache."""
    context = browser.new_context(viewport={"width": 1280, "height": 740})
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module")
def visits():
    """Sessions to come: a visit of the page builds the last one."""
    return []


@pytest.fixture(scope="module")
def address(visits, tab):
    """Where the page is served."""
    name = uuid.uuid4().hex
    server = pn.serve(
        {"/app": lambda: visits[-1].build()},
        port=0,
        address="127.0.0.1",
        threaded=True,
        show=False,
        server_id=name,
        websocket_origin="*",
    )
    Session(tab, None).until(lambda: name in pn.state._servers)
    yield f"http://127.0.0.1:{pn.state._servers[name][0].port}/app"
    tab.goto("about:blank")
    server.stop()
    server.join(5)


@pytest.fixture
def session(tab, visits, address, folder, tmp_path):
    made = Session(tab, fresh_store(folder, tmp_path))
    visits.append(made)
    outside, errors = [], []

    def requested(request):
        if not request.url.startswith(("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:")):
            outside.append(request.url)

    def failed(error):
        errors.append(str(error))

    tab.on("request", requested)
    tab.on("pageerror", failed)
    tab.goto(address)
    tab.locator(".gallery .empty h3").wait_for(timeout=20_000)
    yield made
    tab.remove_listener("request", requested)
    tab.remove_listener("pageerror", failed)
    assert not outside and not errors


def test_arrows_move_and_never_label(session):
    session.select(list(range(COUNT)))
    grid = session.page.locator(".gallery .grid")
    columns = grid.evaluate("e => getComputedStyle(e).gridTemplateColumns.split(' ').length")
    session.press("ArrowRight", "ArrowDown", "ArrowLeft", "Home", "End")
    session.until(lambda: session.state.cursor == 99)
    session.press("ArrowUp")
    session.until(lambda: session.state.cursor == 99 - columns == session.cursor())
    session.press("End", "ArrowRight")  # over the edge
    session.until(lambda: session.cursor() == 100 and session.state.cursor == 100)
    session.press("ArrowLeft")
    session.until(lambda: session.cursor() == 99)
    session.press("]", "]")
    session.until(lambda: session.cursor() == 200 and session.tiles.count() == COUNT - 200)
    assert session.store.survey.labels.version == 0
    assert session.page.locator(".gallery .range").inner_text() == "201–230 of 230"


def test_keys_label_advance_and_undo(session):
    session.select(list(range(COUNT)))
    session.press("y", "n", "u", "y")
    session.until(lambda: list(session.codes()[:5]) == [1, 2, 3, 1, 0])
    assert session.cursor() == 4
    assert [session.label(row) for row in range(5)] == ["yes", "no", "unsure", "yes", ""]
    session.until(lambda: session.page.locator(".gallery .tile.pending").count() == 0)
    session.press("z")
    session.until(lambda: session.codes()[3] == 0 and session.label(3) == "" and session.cursor() == 3)
    session.page.keyboard.down("y")
    for _ in range(5):  # held down: repeats must not label a row of objects
        session.page.keyboard.down("y")
    session.page.keyboard.up("y")
    session.until(lambda: session.codes()[3] == 1)
    session.page.wait_for_timeout(200)
    assert session.store.label_counts("dwarf")["yes"] == 2


def test_fast_keys_over_a_page_edge_label_each_object_once(session):
    session.select(list(range(COUNT)))
    session.press("End", *"ynynyn")
    session.until(lambda: session.store.label_counts("dwarf")["no"] == 3)
    assert list(session.codes()[99:105]) == [1, 2, 1, 2, 1, 2] and session.cursor() == 105


def test_typing_in_a_field_does_nothing_to_the_objects(session):
    session.select(list(range(20)))
    session.page.get_by_role("textbox").fill("")
    session.page.get_by_role("textbox").press_sequentially("yn uz s")
    session.press("ArrowRight", "Enter")
    session.page.wait_for_timeout(300)
    assert session.store.survey.labels.version == 0 and session.cursor() == 0 and not session.state.inspecting


def test_a_whole_selection_asks_first(session):
    session.select(list(range(30)))
    session.press("Shift+Y")
    strip = session.page.locator(".gallery .strip")
    strip.wait_for()
    assert "Label 30 selected objects ‘dwarf: yes’?" in strip.inner_text()
    session.press("n", "Escape")
    session.until(lambda: not strip.is_visible())
    assert session.store.survey.labels.version == 0
    session.press("Shift+N")
    strip.wait_for()
    session.press("Enter")
    session.until(lambda: session.store.label_counts("dwarf")["no"] == 30)
    session.until(lambda: session.label(29) == "no")
    assert not session.state.inspecting


def test_a_label_that_fails_is_taken_back_in_plain_sight(session, monkeypatch):
    session.select(list(range(20)))

    def refuse(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(session.store.survey.labels, "add", refuse)
    session.press("y")
    strip = session.page.locator(".gallery .strip")
    strip.wait_for()
    assert "Not saved" in strip.inner_text() and "space" in strip.inner_text()
    session.until(lambda: session.label(0) == "")


def test_clicks_open_the_inspector_and_label(session):
    session.select(list(range(COUNT)))
    session.tiles.nth(6).click()
    session.until(lambda: session.state.cursor == 6)
    session.page.locator(".gallery .footer .verdict.no").click()
    session.until(lambda: session.codes()[6] == 2 and session.cursor() == 7)
    session.tiles.nth(2).dblclick()
    inspector = session.page.locator(".inspector")
    session.until(lambda: inspector.locator("h2").inner_text() == "g0002")
    bands = inspector.locator(".strip-of-views [data-view^='band:']")
    session.until(lambda: bands.count() == 3 and inspector.locator(".near .tile").count() == 12, patience=40)  # cold
    assert inspector.locator(".stage .main").evaluate("e => Math.min(e.clientWidth, e.clientHeight)") >= 240
    inspector.locator(".verdict.unsure").click()
    session.until(lambda: session.codes()[2] == 3 and session.label(2) == "unsure")
    session.until(lambda: inspector.locator(".history li").count() == 1)
    session.press("Enter")
    session.until(lambda: inspector.locator(".views.large").count() == 1)
    session.press("ArrowRight")
    session.until(lambda: inspector.locator("h2").inner_text() == "g0003")
    session.press("Escape")
    session.until(lambda: inspector.locator(".views.large").count() == 0)
    assert session.state.inspecting
    session.press("Escape")
    session.until(lambda: not session.state.inspecting)


def test_suggestions_are_refreshed_when_the_batch_is_done(session):
    session.change(lambda: session.store.ranking("dwarf"))
    session.page.locator(".gallery .tab", has_text="Suggestions").click()
    session.until(lambda: session.tiles.count() == 10)
    batch = [int(t.get_attribute("data-row")) for t in session.tiles.all()]
    session.press(*"yyyyynnnn")
    session.until(lambda: (session.codes() > 0).sum() == 9)
    assert [int(t.get_attribute("data-row")) for t in session.tiles.all()] == batch
    session.press("u")
    session.until(lambda: int(session.tiles.nth(0).get_attribute("data-row")) not in batch)
    session.until(lambda: "5 yes · 4 no · 1 unsure" in session.page.locator(".gallery .line").inner_text())


def test_another_stretch_redraws_tiles_and_object(session):
    session.select(list(range(20)))
    session.press("Enter")
    mean = """c => { const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
      let sum = 0; for (let k = 0; k < d.length; k += 4) sum += d[k]; return 4 * sum / d.length; }"""
    tile, object_ = session.tiles.nth(7).locator("canvas"), session.page.locator(".inspector .stage .main")

    def dark():
        return tile.evaluate(mean) < 100 and 0 < object_.evaluate(mean) < 100

    session.until(dark)
    session.change(lambda: session.state.param.update(stretch=Stretch(invert=True)))
    session.until(lambda: tile.evaluate(mean) > 150 and object_.evaluate(mean) > 100)
    session.page.locator(".gallery .chip").click()
    session.until(dark)
