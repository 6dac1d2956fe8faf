"""Where selections come from: trees that evaluate to the same members, and outlines that can be found and changed."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UserError
from engine.search import origins, sets
from engine.search.members import inside, members

SQUARE = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]


def lasso(layout="a", corners=SQUARE):
    return origins.shape("polygon", layout, np.array(corners))


steps = st.lists(
    st.tuples(st.sampled_from([*sets.MODES, "invert"]), st.sets(st.integers(0, 19), max_size=20)),
    min_size=1,
    max_size=8,
)


@given(steps)
def test_a_tree_evaluates_to_what_the_steps_made(done):
    rows, how, leaves = np.zeros(0, np.int64), {}, {}
    for number, (mode, drawn) in enumerate(done):
        if mode == "invert":
            rows, how = sets.invert(rows, count=20), origins.changed("invert", how)
            continue
        leaves[number] = np.array(sorted(drawn), np.int64)
        mode = mode if how else "replace"
        rows = sets.combine(mode, rows, leaves[number], count=20)
        how = origins.joined(mode, how, {"kind": "leaf", "number": number})

    def find(path, node, part):
        return leaves[node["number"]] if node else np.zeros(0, np.int64)

    assert np.array_equal(origins.evaluate(how, find, count=20), rows)
    assert origins.checked(json.loads(json.dumps(how))) == how


def test_joining_again_widens_the_knot_and_replacing_forgets():
    how = origins.joined("add", origins.joined("add", lasso(), {"kind": "query", "query": "x < 1"}), lasso("b"))
    assert [part["kind"] for part in how["parts"]] == ["polygon", "query", "polygon"]
    named = origins.joined("add", {**how, "name": "mine"}, lasso())
    assert len(named["parts"]) == 2 and origins.words(named) == "‘mine’ + lasso"
    assert origins.joined("replace", how, lasso()) == lasso()
    assert origins.words(origins.joined("subtract", how, lasso())) == "(lasso + x < 1 + lasso) − lasso"


def test_outlines_are_found_by_layout_and_say_whether_they_take():
    how = origins.joined("subtract", origins.joined("add", lasso("a"), lasso("b")), lasso("a"))
    how = origins.changed("invert", how)
    assert [(s.path, s.layout, s.takes) for s in origins.shapes(how)] == [
        ((0, 0, 0), "a", True),
        ((0, 0, 1), "b", True),
        ((0, 1), "a", False),
    ]
    assert len(origins.shapes(how, "a")) == 2 and origins.layouts(how) == ["a", "b"]


def test_one_outline_is_replaced_and_the_rest_stays():
    how = origins.joined("add", lasso("a"), origins.changed("invert", lasso("b")))
    found = origins.put(how, (1, 0), {"kind": "box", "layout": "b", "polygon": SQUARE})
    assert origins.at(found, (1, 0))["kind"] == "box" and origins.at(found, (0,)) == how["parts"][0]
    assert origins.at(how, (1, 0))["kind"] == "polygon"  # the old one is not changed


def test_what_has_grown_too_large_is_remembered_by_its_members():
    how = {}
    for _ in range(200):
        how = origins.changed("invert", how)
    assert len(json.dumps(how)) < 4000
    big = lasso(corners=np.random.default_rng(0).random((origins.MOST_CORNERS + 1, 2)))
    found = origins.joined("add", big, lasso())
    assert found["parts"][0]["kind"] == "members" and found["parts"][0]["words"] == "lasso"


nonsense = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["kind", "parts", "polygon", "layout", "union", "name", "how"]), inner)
    ),
    max_leaves=12,
)


@given(nonsense, st.sampled_from(["polygon", "add", "invert", "grow", "shrink", 3, None]))
def test_nonsense_from_a_file_does_no_harm(value, kind):
    how = origins.checked({"kind": kind, "parts": [value, lasso()], "polygon": value, "layout": "a"})
    origins.words(how), origins.layouts(how), origins.shapes(how, "a")
    for shape in origins.shapes(how):
        assert np.isfinite(shape.polygon).all() and origins.at(how, shape.path)["kind"] in origins.SHAPES


def test_a_deep_file_is_cut_off():
    how = {"kind": "query", "query": "x"}
    for _ in range(900):
        how = {"kind": "invert", "parts": [how]}
    assert len(list(origins.nodes(origins.checked(how)))) <= 4 * origins.DEEPEST + 1


def test_members_are_found_again_in_the_survey(make_survey):
    survey = make_survey(50, columns={"x": np.arange(50.0), "y": np.arange(50.0) % 7})
    survey.layout("columns", columns=("x", "y"))
    layout = survey.layouts[0]
    ring = np.array([[-0.5, -0.5], [20.5, -0.5], [20.5, 7.5], [-0.5, 7.5]])
    box = {"kind": "box", "layout": layout, "polygon": [[5, 0], [9, 0], [9, 7], [5, 7]]}
    how = origins.joined("subtract", origins.shape("polygon", layout, ring), {"kind": "query", "query": "y == 3"})
    how = origins.joined("add", how, {"kind": "ids", "query": "o40, o44"})
    how = origins.joined("subtract", how, box)
    expected = (set(range(21)) - {k for k in range(50) if k % 7 == 3} | {40, 44}) - set(range(5, 10))
    assert set(members(survey, how).tolist()) == expected
    known = members(survey, how, known={(0, 0, 0): np.array([1, 2])})  # asked of nobody
    assert set(known.tolist()) == {1, 2, 40, 44}
    for broken, words in (
        ({"kind": "polygon", "layout": "gone", "polygon": SQUARE}, "is gone"),
        ({"kind": "members"}, "cannot be found again"),
        ({"kind": "query", "query": "nonsense < 1"}, "no column"),
        ({"kind": "polygon", "layout": layout, "polygon": [[0, 1]]}, "draw it again"),
    ):
        with pytest.raises(UserError, match=words):
            members(survey, origins.joined("add", how, broken))


def test_a_cluster_is_found_again(make_survey):
    rng = np.random.default_rng(0)
    vectors = np.concatenate([rng.normal(0, 1, (40, 4)), rng.normal(30, 1, (40, 4))])
    survey = make_survey(80, vectors=vectors)
    from engine.maps.clustering.clusters import clusters

    found = clusters(survey, "kmeans", representation="given", k=2)
    how = {"kind": "cluster", "clusters": survey.clusters[0], "cluster": 1, "name": "mine"}
    assert np.array_equal(members(survey, how), found.rows(1)) and len(found.rows(1)) == 40
    for wrong in ({"cluster": 9}, {"clusters": "gone"}, {"cluster": "one"}, {"clusters": None}):
        with pytest.raises(UserError):
            members(survey, how | wrong)


def test_a_box_holds_its_border_and_a_lasso_does_not():
    from engine.maps.drawing.tiles import TileIndex

    points = TileIndex.build(np.array([[0, 0], [1, 1], [0.5, 0.5]], np.float32))
    assert inside(points, {"kind": "box", "polygon": SQUARE}).tolist() == [0, 1, 2]
    assert inside(points, {"kind": "polygon", "polygon": SQUARE}).tolist() == [2]
