"""The map without a browser: views, colours, selection by lasso, hover, marks."""

from base64 import b64encode
from types import SimpleNamespace

import numpy as np
import pytest

from app.frames import unpack
from app.map.view import MapView
from app.state import State
from app.store import Store

SIZE = (200, 150)


@pytest.fixture
def view(own_survey):
    import holoviews as hv

    hv.extension("bokeh")
    store = Store(own_survey.path)
    state = State(layout=own_survey.layouts[0], target="dwarf")
    found = MapView(state, store)
    found.panel()
    found.look((0, 0, 1, 1), SIZE)
    yield found
    found.close()


def picture(view, x=None, y=None):
    """RGBA of the view as it is now, or with other ranges; lowest y first."""
    x0, y0, x1, y1 = view.state.view
    (x0, x1), (y0, y1) = x or (x0, x1), y or (y0, y1)
    view.look((x0, y0, x1, y1), SIZE)
    return view.frame.rgba


def lasso(view, polygon):
    polygon = np.asarray(polygon, float)
    view._pointer.drawn(SimpleNamespace(final=True, geometry={"type": "poly", "x": polygon[:, 0], "y": polygon[:, 1]}))


def outlines(view):
    """What the outlines' layer draws of the selection."""
    return unpack(view._outlines.frame)[0]["own"]


def middle(view, share=0.3):
    x0, y0, x1, y1 = view.state.view
    cx, cy, dx, dy = (x0 + x1) / 2, (y0 + y1) / 2, share * (x1 - x0), share * (y1 - y0)
    return [(cx - dx, cy - dy), (cx + dx, cy - dy), (cx, cy + dy)]


def test_the_first_view_shows_every_object_with_equal_units(view):
    x0, y0, x1, y1 = view.state.view
    assert (x1 - x0) / SIZE[0] == pytest.approx((y1 - y0) / SIZE[1])
    assert view.overlay.legend["total"] == len(view.store.placed(view.state.layout).order)
    assert picture(view)[:, :, 3].any()


def test_a_fine_screen_gets_its_own_pixels(view):
    before, size = view.state.view, view.frame.rgba.shape
    view.shown.view, view.frame = None, None
    view.look(before, SIZE, 2.0)
    assert view.frame.size == SIZE and view.frame.rgba.shape[:2] == pytest.approx((2 * size[0], 2 * size[1]), abs=2)
    assert view.state.view == before


def test_a_view_kept_in_the_address_is_shown_again(own_survey):
    state = State(layout=own_survey.layouts[0], view=(-1.0, -2.0, 3.0, 4.0))
    found = MapView(state, Store(own_survey.path))
    found.look((0, 0, 1, 1), SIZE)
    assert state.view == (-1.0, -2.0, 3.0, 4.0)


def test_a_layout_that_is_placed_after_the_window_came_is_drawn(own_survey):
    """A cold server: the page is laid out while the layout is still being read."""
    found = MapView(State(layout=""), Store(own_survey.path))
    found.look((0, 0, 1, 1), SIZE)
    assert found.frame is None
    found.state.layout = own_survey.layouts[0]
    assert found.frame is not None and found.frame.size == SIZE and found.frame.rgba[:, :, 3].any()
    found.close()


def test_a_lasso_selects_what_is_inside_and_dims_the_rest(view):
    before = picture(view)
    lasso(view, middle(view))
    placed, rows = view.store.placed(view.state.layout), view.state.selection
    from shapely import Polygon, contains_xy

    expected = np.flatnonzero(contains_xy(Polygon(middle(view)), *placed.xy.astype(float).T))
    assert np.array_equal(rows, expected) and 0 < len(rows) < len(placed.order)
    assert view.state.selection_how["kind"] == "polygon" and view.state.selection_how["layout"] == view.state.layout
    after = picture(view)
    assert after[:, :, 3].sum() < before[:, :, 3].sum()
    assert [s["kind"] for s in outlines(view)] == ["polygon"]


def test_a_box_selects_too_and_an_empty_one_selects_nothing(view):
    x0, y0, x1, y1 = view.state.view
    box = SimpleNamespace(final=True, geometry={"type": "rect", "x0": x0, "y0": y0, "x1": x1, "y1": y1})
    view._pointer.drawn(box)
    assert len(view.state.selection) == len(view.store.placed(view.state.layout).order)
    lasso(view, [(x1 + 1, y1 + 1), (x1 + 2, y1 + 1), (x1 + 2, y1 + 2)])
    assert len(view.state.selection) == 0 and picture(view).shape[2] == 4


def test_members_stay_through_zoom_recolouring_and_another_layout(view):
    lasso(view, middle(view))
    rows = view.state.selection.copy()
    x0, y0, x1, y1 = view.state.view
    picture(view, x=(x0, (x0 + x1) / 2), y=(y0, (y0 + y1) / 2))
    view.state.colour = "truth"
    view.store.survey.layout("columns", columns=("ra", "dec"))
    other = next(n for n in view.store.layouts() if n != view.state.layout)
    view.state.layout = other
    assert np.array_equal(view.state.selection, rows)
    assert len(view._members) == len(rows)
    assert outlines(view) == []  # it was drawn on another layout
    view.state.layout = next(n for n in view.store.layouts() if n != other)
    assert len(outlines(view)) == 1 and np.array_equal(view.state.selection, rows)


def test_escape_clears_the_selection_but_not_under_an_open_inspector(view):
    lasso(view, middle(view))
    view.state.inspecting = True
    view._heard({"type": "escape"})
    assert view.state.selection is not None
    view.state.inspecting = False
    view._heard({"type": "escape"})
    assert view.state.selection is None and outlines(view) == []


@pytest.mark.parametrize(
    "colour, kind",
    [("density", "scale"), ("label", "items"), ("truth", "items"), ("mag_r", "scale"), ("mean", "scale")],
)
def test_every_colouring_has_a_legend(view, colour, kind):
    view.state.colour = colour
    picture(view)
    assert view.overlay.legend["kind"] == kind and view.overlay.legend["total"] > 0
    if kind == "items":
        assert sum(item["count"] for item in view.overlay.legend["items"]) == view.overlay.legend["total"]


def test_an_unknown_colour_is_refused_and_density_comes_back(view):
    view.state.colour = "nothing"
    assert view.state.colour == "density" and view.state.notice[0] == "error"


def test_hover_finds_the_nearest_object_within_reach(view):
    placed = view.store.placed(view.state.layout)
    x, y = placed.xy[17].astype(float)
    view._heard({"type": "hover", "x": x, "y": y})
    distance = np.nansum((placed.xy - [x, y]) ** 2, axis=1)
    assert distance[view.state.hovered] == 0
    assert view.overlay.card["id"] == view.store.ids([view.state.hovered])[0]
    picture = b64encode(view.store.thumbnails([view.state.hovered])[0]).decode()
    assert view.overlay.card["picture"] == f"data:image/jpeg;base64,{picture}"
    view._heard({"type": "leave"})
    assert view.state.hovered == -1 and view.overlay.card == {}
    view._heard({"type": "hover", "x": x + 1e6, "y": y})
    assert view.state.hovered == -1


def test_a_click_moves_the_cursor_and_marks_it(view):
    placed = view.store.placed(view.state.layout)
    x, y = placed.xy[17].astype(float)
    view._pointer.tapped(SimpleNamespace(x=x, y=y))
    assert (placed.xy[view.state.cursor] == placed.xy[17]).all()
    assert list(view._marks.sources["cursor"].data["x"]) == [x]


def test_labels_are_marked_by_shape_as_well_as_colour(view):
    for row, value in ((1, "yes"), (2, "no"), (3, "unsure")):
        view.store.label([row], value, target="dwarf", user="me")
    view.state.labels_version += 1
    data = view._marks.sources["labels"].data
    assert data["marker"] == ["circle", "x", "triangle"] and len(set(data["colour"])) == 3


def test_without_a_layout_nothing_is_drawn(own_survey):
    found = MapView(State(layout=""), Store(own_survey.path))
    found.look((0, 0, 1, 1), SIZE)
    assert found.frame is None
    assert found._pointer.nearest(0.5, 0.5) == -1


def test_units_stay_equal_when_the_window_changes(view):
    before = view.state.view
    view.look(before, (420, 150))
    assert view.state.view == view._camera.whole(view._placed.bounds)  # the whole layout stays whole
    view.look((1.0, 2.0, 1.84, 2.3), (420, 150))
    before = view.state.view
    view.look(before, (300, 200))
    x0, y0, x1, y1 = view.state.view
    assert (x1 - x0) / 300 == pytest.approx((y1 - y0) / 200)
    slack = 1e-9  # nothing that was seen is lost
    assert x0 <= before[0] + slack and y0 <= before[1] and x1 >= before[2] - slack and y1 >= before[3]


def test_the_theme_recolours_map_and_marks(view):
    dark = view.overlay.legend["stops"]
    view.state.dark = False
    picture(view)
    assert view.overlay.legend["stops"] != dark


def test_what_is_not_selected_can_be_hidden(view):
    lasso(view, middle(view))
    dimmed = picture(view)
    view._heard({"type": "others"})
    assert view.state.others == view.overlay.others == "hidden"
    hidden = picture(view)
    assert 0 < (hidden[:, :, 3] > 0).sum() < (dimmed[:, :, 3] > 0).sum()
    view._heard({"type": "others"})
    assert np.array_equal(picture(view), dimmed)


@pytest.mark.parametrize("colour, scale", [("density", "log"), ("mag_r", "equalised"), ("truth", "top")])
def test_the_scale_of_the_colours_is_the_maps_own(view, colour, scale):
    view.state.colour = colour
    before = picture(view)
    view._heard({"type": "scale", "scale": scale})
    assert view.state.scale == scale == view.overlay.legend["scale"]
    assert not np.array_equal(picture(view), before)
    view._heard({"type": "scale", "scale": "no such scale"})
    assert view.state.scale == scale
