"""Clusters in a session: the section of the rail, what a click on a name does, colours, and who hears of it."""

import numpy as np
import pytest

from app.background import Background
from app.clusters.clustering import KINDS, Acts, ClusterView, colours, items, turn_names
from app.clusters.names import Names, places_in, rows_in_view
from app.frames import unpack
from app.selections.selecting import Selecting
from app.state import State
from app.store import Store
from engine import files
from engine.maps.clustering import clusters

GROUP = np.arange(600) % 25


@pytest.fixture
def store(own_survey):
    """A survey with 25 clusters on a layout of its own, and 24 objects without a place."""
    angle = 2 * np.pi * GROUP / 25
    random = np.random.default_rng(0)
    xy = 10 * np.column_stack([np.cos(angle), np.sin(angle)]) + 0.1 * random.normal(size=(600, 2))
    xy[GROUP == 24] = np.nan
    files.write_npy(own_survey.path / "layouts" / "wheel" / "xy.npy", xy.astype(np.float32))
    files.write_json(own_survey.path / "layouts" / "wheel" / "meta.json", {"method": "columns"})
    clusters.clusters(own_survey, layout="wheel", min_size=10, min_samples=4)
    return Store(own_survey.path)


@pytest.fixture
def state():
    return State(layout="wheel", target="dwarf")


@pytest.fixture
def view(state, store):
    found = ClusterView(state, store)
    yield found
    found.close()


def told(part):
    return unpack(part.frame)[0]


def test_the_section_lists_every_cluster_the_largest_first(view, state, store):
    facts = told(view.part)
    assert state.clusters == facts["name"] == "hdbscan_wheel"
    kept = store.clusterings.get("hdbscan_wheel")
    assert [i[:3] for i in facts["items"]] == [[c.code, c.count, c.name] for c in kept.clusters]
    assert facts["total"] == 24 and facts["none"] == 600 - sum(c.count for c in kept.clusters)


def test_a_survey_without_clusters_says_so(own_survey):
    state = State()
    facts = told(ClusterView(state, Store(own_survey.path)).part)
    assert state.clusters == "" and facts["items"] == [] and facts["clusterings"] == []


def test_an_address_that_names_no_clustering_gets_the_newest(store):
    state = State(clusters="gone")
    ClusterView(state, store)
    assert state.clusters == "hdbscan_wheel"


def test_a_click_selects_the_members_and_says_how(view, state, store):
    view._heard({"type": "select", "code": 3})
    assert np.array_equal(state.selection, store.clusterings.get(state.clusters).rows(3))
    assert state.selection_how["kind"] == "cluster" and state.selection_how["cluster"] == 3
    assert told(view.part)["selected"] == 3
    state.select(None)
    assert told(view.part)["selected"] == -1


def test_a_click_adds_where_the_session_adds(state, store):
    selecting = Selecting(state, store)
    state.clusters = "hdbscan_wheel"
    acts = Acts(state, store, Background(), selecting)
    acts.select(0)
    state.combining = "add"
    acts.select(1)
    kept = store.clusterings.get("hdbscan_wheel")
    assert np.array_equal(state.selection, np.union1d(kept.rows(0), kept.rows(1)))
    acts.only(2)
    assert state.others == "hidden"
    assert np.array_equal(state.selection, kept.rows(2))
    selecting.close()


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"type": "select"},
        {"type": "select", "code": "1"},
        {"type": "select", "code": True},
        {"type": "x", "code": 1},
    ],
    ids=str,
)
def test_messages_that_make_no_sense_do_nothing(view, state, message):
    view._heard(message)
    assert state.selection is None and state.notice == ("", "")


def test_a_cluster_that_is_not_there_is_told(view, state):
    view._heard({"type": "select", "code": 99})
    assert state.notice[0] == "error" and "no cluster 99" in state.notice[1]


def test_all_members_are_labelled_for_the_target_that_was_asked(view, state, store):
    rows = store.clusterings.get(state.clusters).rows(5)
    view._heard({"type": "label", "code": 5, "value": "yes", "target": "lens"})
    assert store.label_counts("lens")["yes"] == len(rows) and np.array_equal(np.sort(store.labelled("lens")), rows)
    assert f"{len(rows):,}" in state.notice[1] and state.notice[0] == "success"
    view._heard({"type": "label", "code": 5, "value": "maybe"})
    assert sum(store.label_counts("dwarf").values()) == 0


def test_a_name_is_kept_and_every_session_hears_of_it(view, state, store):
    heard = []
    store.subscribe(lambda kind, detail: heard.append((kind, detail)))
    view._heard({"type": "rename", "code": 2, "text": "Gems"})
    assert heard == [("clusters", "hdbscan_wheel")]
    view.heard("clusters", "hdbscan_wheel")
    assert told(view.part)["items"][2][2] == "Gems" and clusters.read(store.survey).names[2] == "Gems"


def test_clusters_are_coloured_by_and_more_than_twenty_share_one_colour(view, state, store):
    assert "cluster_hdbscan_wheel" in store.value_names()["Clusters"]
    view._heard({"type": "colour"})
    assert state.colour == "cluster_hdbscan_wheel"
    values, codes = store.values(state.colour, "dwarf"), np.asarray(clusters.read(store.survey).codes)
    assert len(values.categories) == 20 and values.categories[-1] == "other" and values.missing == "in no cluster"
    assert np.array_equal(values.array, np.where(codes >= 19, 19, codes))
    shades = colours(tuple(f"cluster {k}" for k in range(24)), dark=True)
    assert len(set(shades[:19])) == 19 and len(set(shades[19:])) == 1
    view._heard({"type": "colour"})
    assert state.colour == "density"


def test_the_form_starts_the_command_it_describes(view, state, store, monkeypatch):
    started = []
    monkeypatch.setattr(store.jobs, "start", lambda title, *arguments: started.append(arguments))
    for message, options in (
        (
            {"kind": "dense", "source": "wheel", "min_size": 12},
            ["--method", "hdbscan", "--layout", "wheel", "--min-size", "12"],
        ),
        (
            {"kind": "near", "source": "pixels", "finest": True},
            ["--method", "hdbscan", "--representation", "pixels", "--choice", "finest"],
        ),
        (
            {"kind": "parts", "source": "pixels", "k": 7},
            ["--method", "kmeans", "--representation", "pixels", "--k", "7"],
        ),
    ):
        view._heard({"type": "make", **message})
        assert started.pop() == ("clusters", *options)
    for message in (
        {"kind": "dense", "source": "nowhere"},
        {"kind": "all", "source": "wheel"},
        {"kind": ["dense"]},
        {},
    ):
        view._heard({"type": "make", **message})
    assert started == [] and set(KINDS) == {"dense", "near", "parts"}


def test_new_clusters_are_shown_to_who_asked_for_them(view, state, store, own_survey):
    clusters.clusters(own_survey, "kmeans", k=3)
    store._job_done("clusters")
    view.heard("clusters", "kmeans_pixels")
    assert state.clusters == "hdbscan_wheel"  # another session's
    view.awaits = "kmeans_pixels"
    view.heard("clusters", "kmeans_pixels")
    assert state.clusters == "kmeans_pixels" and told(view.part)["total"] == 3


def test_a_clustering_that_is_deleted_takes_its_colour_along(view, state, store):
    state.colour = "cluster_hdbscan_wheel"
    view._heard({"type": "delete"})
    view.heard("clusters", "")
    assert state.colour == "density" and state.clusters == "" and store.clusterings.names() == []
    assert told(view.part)["items"] == []


# -- names on the map -------------------------------------------------------------------------------------------------


@pytest.fixture
def names(state, store):
    ClusterView(state, store)
    found = Names(state, store, state)
    found.place(store.placed("wheel"))
    yield found
    found.close()


def test_every_name_has_a_place_among_its_members(names, store):
    header = told(names)
    codes, placed = clusters.read(store.survey).codes, store.placed("wheel")
    assert len(header["items"]) == 24
    for (code, *_), (x, y, _) in zip(header["items"], header["places"]):
        members = placed.xy[np.asarray(codes) == code]
        assert np.abs(members - [x, y]).sum(axis=1).min() < 1e-5


def test_another_layout_moves_the_names(names, store):
    before = told(names)
    names.place(store.placed("pca-pixels"))
    after = told(names)
    assert after["items"] == before["items"] and after["places"] != before["places"]
    names.place(None)
    assert told(names)["items"] == []


def test_names_can_be_turned_off_on_both_maps(names, state):
    turn_names(state)
    assert told(names)["items"] == [] and not state.names and not state.second.names
    turn_names(state)
    assert len(told(names)["items"]) == 24
    state.clusters = ""
    turn_names(state)
    assert "No clusters" in state.notice[1]


def test_a_view_inside_a_cluster_says_which(names, state, store):
    sent = []
    names.send = lambda kind, **message: sent.append((kind, message))
    placed = store.placed("wheel")
    members = placed.xy[clusters.read(store.survey).rows(0)]
    (x0, y0), (x1, y1) = members.min(axis=0), members.max(axis=0)
    names.look((float(x0), float(y0), float(x1), float(y1)), (400, 300))
    ((kind, message),) = sent
    assert kind == "near" and [p[0] for p in message["places"]] == [0]
    _, x, y = message["places"][0]
    assert x0 <= x <= x1 and y0 <= y <= y1


def test_rows_in_view_are_those_of_a_scan(store):
    placed = store.placed("wheel")
    x, y = placed.xy.T
    for view in ((-3, -12, 12, 4), (-100, -100, 100, 100), (0, 0, 0.1, 0.1)):
        inside = np.flatnonzero((x >= view[0]) & (x <= view[2]) & (y >= view[1]) & (y <= view[3]))
        assert np.array_equal(np.sort(rows_in_view(placed.index, view, 10**6)), inside)
        few = rows_in_view(placed.index, view, 50)
        assert np.isin(few, inside).all() and len(few) <= 100
    assert places_in(placed, np.full(600, -1), 0, (-100, -100, 100, 100)) == []


def test_a_closed_layer_hears_nothing_any_more(names, state):
    names.close()
    before = names.frame
    state.clusters = ""
    assert names.frame == before


def test_colours_are_told_when_the_map_is_coloured_by_clusters(names, state, store):
    assert told(names)["coloured"] is False
    state.colour = "cluster_hdbscan_wheel"
    assert told(names)["coloured"] is True
    assert items(store.clusterings.get("hdbscan_wheel"), 3, dark=True)[2][5].startswith("#")
