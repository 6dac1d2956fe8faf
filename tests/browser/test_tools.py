"""The map's tools under quick hands: a drag right after a key goes to the tool of that key, ten times out of ten."""

import sys
from functools import partial

import pytest
from visit import Visit, free_port, serve

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore")]

TIMES = 10


@pytest.fixture(scope="module")
def address(small_survey, tmp_path_factory):
    port, log = free_port(), tmp_path_factory.mktemp("log") / "server.log"
    command = [sys.executable, "launch.py", str(small_survey.path), "--port", str(port), "--no-browser"]
    server = serve(command, port, log)
    yield f"http://localhost:{port}/"
    server.terminate()
    server.wait(10)
    assert "Traceback" not in log.read_text(), log.read_text()


@pytest.fixture(scope="module")
def visit(browser, address):
    page = browser.new_page()
    yield Visit(page, address)
    page.close()


def drag(visit, share, *, before=lambda: None, during=lambda: None):
    """Draw a square of a size around the middle, without a pause; `before` the button goes down, `during` the drag."""
    mouse, box = visit.page.mouse, visit.box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    r = share * min(box["width"], box["height"])
    corners = [(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)]
    mouse.move(*corners[0])
    before()
    mouse.down()
    for k, corner in enumerate(corners[1:]):
        mouse.move(*corner, steps=4)
        if k == 1:
            during()
    mouse.up()


def chip(visit):
    """What the map says of the selection; nothing if there is none."""
    return [
        text for text in visit.page.locator(".selection .count:visible").all_inner_texts() if text != "Nothing selected"
    ]


def selected(visit, act):
    """Clear the selection, act, and wait until something is selected."""
    visit.page.keyboard.press("Escape")
    visit.until(lambda: not chip(visit), "no selection")
    act()
    visit.until(lambda: chip(visit), "a selection", patience=5)
    assert visit.faults == []


def tool(visit):
    """The pointer's tool in use; other buttons of the bar are pressed or not beside it."""
    pressed = visit.page.locator(".overlay .tool[aria-pressed='true']").evaluate_all("all => all.map(b => b.ariaLabel)")
    return next(label.split()[0] for label in pressed if label.split()[0] in ("Pan", "Lasso", "Box"))


def test_a_lasso_right_after_its_key(visit):
    keys = visit.page.keyboard
    for _ in range(TIMES):
        selected(visit, lambda: drag(visit, 0.3, before=lambda: keys.press("l")))
        keys.press("v")


def test_a_box_right_after_its_key(visit):
    keys = visit.page.keyboard
    for _ in range(3):
        selected(visit, lambda: drag(visit, 0.3, before=lambda: keys.press("b")))
        keys.press("v")


def test_shift_holds_the_lasso_even_if_it_is_let_go_too_early(visit):
    keys = visit.page.keyboard
    for during in (lambda: None, lambda: keys.up("Shift")) * 3:
        selected(visit, partial(drag, visit, 0.25, before=lambda: keys.down("Shift"), during=during))
        keys.up("Shift")
        assert tool(visit) == "Pan"


def test_keys_under_a_drag_do_no_harm(visit):
    keys = visit.page.keyboard
    drag(visit, 0.1, during=lambda: keys.press("l"))  # a pan becomes no lasso in its middle
    assert visit.faults == [] and tool(visit) == "Lasso"
    selected(visit, lambda: drag(visit, 0.3, during=lambda: keys.press("v")))
    assert tool(visit) == "Pan"


def test_enter_ends_typing(visit):
    field = visit.page.get_by_label("Looking for")
    field.fill("dwarf")
    field.press("Enter")
    visit.until(lambda: not field.evaluate("field => field.matches(':focus')"), "the field to let go")
    visit.page.keyboard.press("b")
    assert field.input_value() == "dwarf" and tool(visit) == "Box"
    visit.page.keyboard.press("v")
