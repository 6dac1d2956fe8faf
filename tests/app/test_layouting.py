"""Making a layout from the page: what is offered, what a form means, the layout as it grows, what a session follows."""

import time

import numpy as np
import pytest

from app.frames import unpack
from app.layouts.following import Following
from app.layouts.growing import UNFINISHED
from app.layouts.layouting import FIELDS, METHODS, LayoutDialog, as_options, read_fields
from app.map.graticule import GraticuleLayer
from app.map.view import MapView
from app.state import State
from app.store import Store
from engine import files
from engine.cli import _arguments
from engine.errors import UserError
from engine.maps import layout as layouts
from engine.maps.layouts import previews
from engine.maps.layouts.previews import Preview


def until(condition, patience=60.0):
    limit = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def store(own_survey):
    found = Store(own_survey.path)
    yield found
    found.jobs.stop()


@pytest.fixture
def said(store):
    """A dialog, and what it has told the browser."""
    dialog = LayoutDialog(State(), store)
    dialog.view.send = lambda kind, **message: dialog.said.append((kind, message))
    dialog.said = []
    return dialog


def test_every_method_of_the_engine_is_offered_with_its_settings():
    assert set(METHODS) == set(FIELDS) == set(layouts.METHODS)
    for method, fields in FIELDS.items():
        own = set(layouts.METHODS[method][2])
        assert set(fields) <= own
        assert own - set(fields) <= {"columns", "log", "projection", "centre", "seed"}


def test_choices(said):
    said._receive({"type": "opened"})
    offered, _ = unpack(said.view.frame)
    assert set(offered["methods"]) == set(offered["estimates"]) == set(METHODS)
    assert all(found["words"].startswith("about ") and found["fits"] for found in offered["estimates"].values())
    assert "mag_r" in offered["columns"] and "id" not in offered["columns"] and "truth" not in offered["columns"]
    assert offered["representation"] == "pixels"
    before = said.view.frame
    said._receive({"type": "opened"})
    assert said.view.frame != before  # else the browser would not hear of it


@pytest.mark.parametrize(
    "method, fields",
    [
        ("umap", {"neighbours": "20", "min_dist": "0.3", "seed": "4", "sample": "1,000"}),
        ("tsne", {"perplexity": "12.5"}),
        ("pca", {}),
        ("columns", {"x": "ra", "y": "mag_r", "log_y": True}),
        ("sky", {"projection": "aitoff", "centre": "180, -20"}),
        ("sky", {"centre": "-10.5 0"}),
    ],
)
def test_a_form_means_the_command_it_makes(method, fields):
    """The settings that the command line reads back are those of the form."""
    given = read_fields(method, fields)
    wanted = layouts.checked(method, given)
    args = _arguments(["layout", "here.survey", "--method", method, *as_options(wanted, given)])
    names = ("neighbours", "min_dist", "perplexity", "sample", "seed", "projection", "centre", "columns", "log")
    read = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    again = layouts.checked(method, read)
    for name in names:
        one, other = getattr(wanted, name), getattr(again, name)
        assert one == other or list(one) == list(other)


@pytest.mark.parametrize(
    "method, fields, words",
    [
        ("umap", {"neighbours": "many"}, "whole number"),
        ("umap", {"neighbours": "1"}, "at least 2"),
        ("tsne", {"perplexity": "0.5"}, "above 1"),
        ("umap", {"name": "../elsewhere"}, "letters"),
        ("sky", {"centre": "here"}, "degrees"),
        ("nothing", {}, "choose one of"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_starts(said, store, method, fields, words):
    for kind in ("draft", "start"):
        said._receive({"type": kind, "method": method, "fields": fields})
    assert [kind for kind, _ in said.said] == ["drafted", "drafted"]
    assert all(message["problem"] and words in message["remedy"] for _, message in said.said)
    assert not store.jobs.all()


def test_the_name_offered_is_free(said, store):
    store.survey.layout("pca")
    for fields, free in (({}, "umap-pixels"), ({"neighbours": "30"}, "umap-pixels")):
        said._receive({"type": "draft", "method": "umap", "fields": fields})
        assert said.said[-1][1]["free"] == free and not said.said[-1][1]["replaces"]
    store.survey.layout("umap")
    said._receive({"type": "draft", "method": "umap", "fields": {"neighbours": "30"}})
    assert said.said[-1][1]["free"] == "umap-pixels-2"
    said._receive({"type": "draft", "method": "umap", "fields": {"neighbours": "30", "name": "umap-pixels"}})
    assert said.said[-1][1]["replaces"]
    said._receive({"type": "draft", "method": "umap", "fields": {}})
    assert said.said[-1][1]["free"] == "umap-pixels"  # the same settings make the same layout


def test_started_it_grows_on_the_map_and_is_shown_at_the_end(said, store, monkeypatch):
    state = said.state
    state.layout = store.layouts()[0]
    view = MapView(state, store)
    following = Following(state, store, said, view, lambda: None)
    store.subscribe(following.heard)
    heard = []
    store.subscribe(lambda kind, detail: kind == "growing" and heard.append((detail, store.growing.now)))
    said._receive({"type": "start", "method": "umap", "fields": {"neighbours": "12", "name": "mine"}})
    assert said.said[-1][0] == "started"
    until(lambda: state.growing is not None)
    assert state.growing.placed.name.endswith(UNFINISHED) and state.growing.words == "PCA"
    until(lambda: "preview" in view.footnote.said.get("words", ""))
    assert view.footnote.said["act"] == "cancel"
    until(lambda: state.layout == "mine")
    assert state.growing is None and not said.awaits and view.footnote.said == {}
    assert layouts.read_meta(store.survey, "mine")["neighbours"] == 12
    assert heard and all(now is None or np.isfinite(now.placed.xy).any() for _, now in heard)
    view.close()


def test_cancelled_the_map_is_what_it_was_and_nothing_is_left(said, store):
    state = said.state
    before = state.layout = store.layouts()[0]
    view = MapView(state, store)
    following = Following(state, store, said, view, lambda: None)
    store.subscribe(following.heard)
    said._receive({"type": "start", "method": "tsne", "fields": {}})
    until(lambda: state.growing is not None)
    started = time.monotonic()
    view.footnote._heard({"type": "cancel"})
    until(lambda: state.growing is None)
    until(lambda: store.jobs.current is None)
    assert time.monotonic() - started < 5
    until(lambda: not list((store.survey.path / "layouts").glob(".*preview")))
    assert state.layout == before and store.layouts() == [before]
    view.close()


def test_a_layout_that_cannot_be_made_says_why(said, store):
    state = said.state
    state.layout = store.layouts()[0]
    view = MapView(state, store)
    store.subscribe(Following(state, store, said, view, lambda: None).heard)
    said._start("columns", ["--method", "columns", "--columns", "ra", "truth"], None)
    until(lambda: state.notice[0] == "error")
    assert "numbers" in state.notice[1] and not said.awaits
    view.close()


def test_what_a_killed_process_left_goes_with_the_next_change(store, monkeypatch):
    monkeypatch.setattr(previews, "EVERY", 0.0)
    folder = store.survey.path / "layouts"
    Preview(folder, "umap-x").show(np.zeros((len(store.survey), 2), np.float32), "UMAP", 3, 9)
    store.growing.look()
    assert previews.look(folder) is None and store.growing.now is None


def test_without_a_layout_the_principal_components_come_by_themselves(own_survey):
    for name in own_survey.layouts:
        (own_survey.path / "layouts" / name / "meta.json").unlink()
    store, state = Store(own_survey.path), State()
    dialog = LayoutDialog(state, store)
    view = MapView(state, store)
    following = Following(state, store, dialog, view, lambda: None)
    store.subscribe(following.heard)
    until(lambda: state.layout == "pca-pixels")
    until(lambda: view.footnote.said.get("act") == "make")
    assert "UMAP" in view.footnote.said["action"]
    assert not store.jobs.all()  # no process was needed
    view.close()


def test_a_sample_is_said_on_the_map(store):
    store.survey.layout("umap", sample=300, name="sampled")
    state = State(layout="sampled")
    view = MapView(state, store)
    until(lambda: view.footnote.said)
    assert "sample of 300 of 600" in view.footnote.said["words"]
    view.close()


def test_a_sky_has_lines_and_other_layouts_have_none(store):
    store.survey.layout("sky")
    state, layer = State(), GraticuleLayer(State(), store)
    placed = store.placed("sky")
    layer.place(placed)
    x0, y0, x1, y1 = placed.bounds
    layer.look((x0, y0, x1, y1), (800, 600))
    found, _ = unpack(layer.frame)
    assert len(found["lines"]) > 4 and {label["kind"] for label in found["labels"]} == {"ra", "dec"}
    layer.place(store.placed(store.layouts()[-1]))
    assert layer.frame == b"" and state.dark
    meta = store.survey.path / "layouts" / "sky" / "meta.json"
    files.write_json(meta, {"method": "sky", "centre": "nowhere"})
    layer.place(placed)
    layer.look((x0, y0, x1, y1), (800, 600))
    assert layer.frame == b""


def test_errors_of_a_form_are_user_errors():
    with pytest.raises(UserError):
        read_fields("tsne", {"perplexity": "wide"})
