"""Kept selections in a session: listed, recalled, joined, drawn, changed and brought back; and what a reload finds."""

import numpy as np
import pytest

from app.frames import unpack
from app.selections.chips import Chips
from app.selections.kept import COLOURS, Kept
from app.selections.lasting import OWN, REMEMBERED, Lasting, own_name
from app.selections.outlines import DOTS, Outlines
from app.selections.selecting import Selecting
from app.selections.selection_bar import SelectionBar, selected_words, share_words
from app.state import State
from app.store import Store
from engine.search import origins, selections


@pytest.fixture
def kept(own_survey):
    return session(Store(own_survey.path))


def session(store, **state):
    """Another page on the same survey."""
    state = State(layout=store.layouts()[0], user="me", **state)
    found = Kept(state, store, Selecting(state, store))
    store.subscribe(lambda kind, detail: found.refresh() if kind == "selections" else None)
    return found


def select(kept, rows, mode="replace", **how):
    how = how or {"kind": "query", "query": "x"}
    from engine.search.find import Found

    kept.selecting.choose(lambda: Found(np.array(sorted(rows), np.int64), how), mode=mode)


def names(kept):
    return {item.name: item.count for item in kept.items}


def test_kept_recalled_and_joined(kept):
    select(kept, [1, 2, 3])
    kept.keep("  first ")
    assert names(kept) == {"first": 3} and kept.said == ("", "kept ‘first’")
    assert kept.state.selection_how["name"] == "first" and kept.state.outlined == []
    select(kept, [3, 4])
    kept.join("first", "intersect")
    assert kept.state.selection.tolist() == [3] and origins.words(kept.state.selection_how) == "x ∩ ‘first’"
    kept.recall("first")
    assert kept.state.selection.tolist() == [1, 2, 3] and kept.state.selection_how["name"] == "first"
    kept.selecting.back()
    assert kept.state.selection.tolist() == [3]


def test_a_name_that_is_taken_is_asked_about(kept):
    for rows in ([1], [1, 2]):
        select(kept, rows)
        kept.keep("a")
    assert kept.said == ("asks", "a") and names(kept) == {"a": 1}
    kept.keep("a", overwrite=True)
    assert names(kept) == {"a": 2} and "holds what is selected now" in kept.undo.text
    kept.bring_back()
    assert names(kept) == {"a": 1} and kept.undo is None


def test_an_empty_selection_is_kept_and_brought_back_like_any_other(kept):
    select(kept, [])
    kept.keep("none")
    select(kept, [1])
    kept.keep("none", overwrite=True)
    kept.bring_back()
    assert names(kept) == {"none": 0}
    kept.delete("none")
    kept.bring_back()
    kept.recall("none")
    assert kept.state.selection.tolist() == [] and names(kept) == {"none": 0}


def test_names_that_cannot_be_are_refused_beside_the_field(kept):
    select(kept, [1])
    for name in ("a/b", "../x", f"{OWN}me 1", "x" * 101):
        kept.keep(name)
        assert kept.said[0] == "error" and names(kept) == {}
    kept.keep("ok")
    kept.rename("ok", f"{OWN}mine")
    assert kept.state.notice[0] == "error" and names(kept) == {"ok": 1}


def test_colours_differ_names_and_colours_change_and_what_is_deleted_comes_back(kept):
    for name in ("a", "b", "c"):
        select(kept, [1, 2], **origins.shape("box", "pca", np.array([[0, 0], [1, 0], [1, 1], [0, 1]])))
        kept.keep(name)
    assert len({item.colour for item in kept.items}) == 3 and {item.colour for item in kept.items} <= set(COLOURS)
    kept.recolour("b", "#123456")
    kept.rename("b", "bee")
    assert {i.name: i.colour for i in kept.items}["bee"] == "#123456"
    assert set(kept.state.outlined) == {"a", "bee", "c"}
    kept.delete("bee")
    assert set(names(kept)) == {"a", "c"} and "bee" not in kept.state.outlined
    kept.bring_back()
    assert set(names(kept)) == {"a", "bee", "c"} and {i.name: i.colour for i in kept.items}["bee"] == "#123456"


def test_sessions_hear_of_each_other_and_damage_is_told(kept, own_survey):
    other = session(kept.store)
    select(kept, [1])
    kept.keep("mine")
    assert names(other) == {"mine": 1}
    next((own_survey.path / "selections").glob("mine.*.npy")).unlink()
    (own_survey.path / "selections" / "bad.json").write_text("[")
    other.refresh()
    assert all(item.problem for item in other.items) and len(other.items) == 2
    other.recall("mine")
    assert "cannot be read" in other.state.notice[1] and other.state.selection is None
    chips = unpack(Chips(other.state, other, lambda: None).frame)[0]
    assert [bool(item["problem"]) for item in chips["items"]] == [True, True]
    other.delete("bad")
    assert set(names(other)) == {"mine"} and other.undo is None


def test_drawn_ones_have_outlines_where_they_were_drawn_and_dots_everywhere(kept, own_survey):
    own_survey.layout("columns", columns=("ra", "dec"))
    first, second = (n for n in kept.store.layouts())
    placed = {name: kept.store.placed(name) for name in (first, second)}
    x0, y0, x1, y1 = placed[second].bounds
    ring = np.array([[x0, y0], [x1, y0], [x1, y1]])
    select(kept, [1, 5, 9], **origins.shape("polygon", second, ring))
    kept.keep("tri")
    layer = Outlines(kept.state, kept.store, kept)
    layer.place(placed[second])
    header, parts = unpack(layer.frame)
    assert header["kept"] == [{"name": "tri", "colour": COLOURS[0], "outlines": 1, "takes": [False], "dots": 0}]
    assert np.array_equal(np.frombuffer(parts[0]).reshape(-1, 2), ring) and len(header["own"]) == 1
    layer.place(placed[first])
    header, parts = unpack(layer.frame)
    assert header["own"] == [] and header["kept"][0]["outlines"] == 0 and header["kept"][0]["dots"] == 3
    assert np.array_equal(np.frombuffer(parts[0], np.float32).reshape(-1, 2), placed[first].xy[[1, 5, 9]])
    kept.show("tri", False)
    assert unpack(layer.frame)[0]["kept"] == [] and DOTS > 3
    layer.close()


def test_the_chips_do_what_the_page_asks(kept):
    opened = []
    chips = Chips(kept.state, kept, lambda: opened.append(len(kept.state.selection)))

    def told():
        return unpack(chips.frame)[0]

    assert told()["selected"] is None and told()["items"] == []
    chips._heard({"type": "keep", "name": "a"})
    assert told()["items"] == []  # nothing is selected
    select(kept, [1, 2])
    chips._heard({"type": "keep", "name": "a"})
    assert told()["current"] == "a" and not told()["items"][0]["shown"]
    assert "2 objects: x" in told()["items"][0]["title"]
    chips._heard({"type": "show", "name": "a", "shown": True})
    assert told()["items"][0]["shown"] and kept.drawn[0].rows.tolist() == [1, 2]
    select(kept, [2, 3, 4])
    assert told()["current"] == "" and told()["said"] == ["", ""]
    chips._heard({"type": "export", "name": "a"})
    assert opened == [2] and kept.state.selection.tolist() == [1, 2]
    chips._heard({"type": "join", "name": "a", "mode": "subtract"})
    assert kept.state.selection.tolist() == []
    for message in ({"type": "join", "name": "a", "mode": "xor"}, {"type": "nonsense"}, {}):
        chips._heard(message)
    chips._heard({"type": "recolour", "name": "a", "text": "#000001"})
    chips._heard({"type": "rename", "name": "a", "text": "b"})
    assert [(i["name"], i["colour"]) for i in told()["items"]] == [("b", "#000001")]
    chips._heard({"type": "delete", "name": "b"})
    assert told()["undo"] == "‘b’ is deleted"
    chips._heard({"type": "undo"})
    assert [i["name"] for i in told()["items"]] == ["b"] and told()["undo"] == ""


# -- the bar ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "selected, counts, homeless, words",
    [
        (1234, (10_000, 1200), 0, "1,234 selected · 12 % of view"),
        (0, (10_000, 0), 0, "0 selected"),
        (4_012_345, (10_000_000, 4_012_345), 0, "4,012,345 selected · 40 % of view"),
        (3, (500, 0), 0, "3 selected · none in view"),
        (3, (0, 0), 2, "3 selected · 2 without a place here"),
        (1, (10_000_000, 1), 0, "1 selected · <0.1 % of view"),
    ],
)
def test_the_bar_says_how_many_in_short_words(selected, counts, homeless, words):
    assert selected_words(selected, counts, homeless) == words


def test_shares_are_never_rounded_to_none_or_all():
    assert [share_words(*pair) for pair in ((1, 3), (1, 30), (999, 1000), (9999, 10_000), (5, 5))] == [
        "33 %",
        "3.3 %",
        "99.9 %",
        ">99.9 %",
        "100 %",
    ]


def test_the_bar_follows_and_asks(kept, own_survey):
    own_survey.layout("columns", columns=("ra", "dec"))
    newest, other = kept.store.layouts()
    kept.state.layout = newest
    outlines = Outlines(kept.state, kept.store, kept)
    bar = SelectionBar(kept.state, kept.store, kept.state, kept, outlines)

    def told():
        return unpack(bar.frame)[0]

    assert told()["selected"] is None and told()["past"] == 0
    x0, y0, x1, y1 = kept.store.placed(other).bounds
    ring = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    for layer in (bar, outlines):
        layer.place(kept.store.placed(newest))
    select(kept, [1, 2], **origins.shape("polygon", other, ring))
    assert told()["elsewhere"] == [other] and not told()["editable"] and told()["past"] == 1
    bar._heard({"type": "layout", "layout": other})
    assert kept.state.layout == other
    for layer in (bar, outlines):
        layer.place(kept.store.placed(other))
    assert told()["elsewhere"] == [] and told()["editable"]
    bar.counted(600, 2)
    assert told()["text"] == "2 selected · 0.3 % of view" and told()["how"] == "lasso"
    bar._heard({"type": "mode", "mode": "add"})
    assert kept.state.combining == "add" and told()["mode"] == "add"
    bar._heard({"type": "held", "mode": "intersect"})
    assert kept.selecting.mode == "intersect"
    bar._heard({"type": "held", "mode": ""})
    bar._heard({"type": "invert"})
    assert told()["selected"] == kept.store.n - 2
    bar._heard({"type": "back"})
    bar._heard({"type": "grow", "k": 4})
    assert kept.state.selection_how["k"] == 4
    bar._heard({"type": "shrink", "k": None, "percent": 50})
    bar._heard({"type": "clear"})
    assert told()["selected"] is None and told()["past"] > 0
    for message in ({"type": "mode", "mode": "xor"}, {"type": "layout", "layout": "gone"}, {"type": "held", "mode": 3}):
        bar._heard(message)
    assert kept.state.combining == "add" and kept.state.layout == other
    bar.close()


# -- across reloads ----------------------------------------------------------------------------------------------------


def test_a_reload_finds_the_same_members_and_origin(kept):
    lasting = Lasting(kept.state, kept.store, kept.selecting)
    how = origins.shape("polygon", kept.state.layout, np.array([[0, 0], [1, 0], [0, 1]]))
    select(kept, range(0, 600, 2), **how)
    assert kept.state.kept.startswith(f"{OWN}me ")
    again = session(kept.store, kept=kept.state.kept, combining="add", tab="labelled")
    Lasting(again.state, again.store, again.selecting).restore()
    assert np.array_equal(again.state.selection, kept.state.selection) and again.state.selection_how == how
    assert again.state.tab == "labelled" and again.selecting.past == 0 and again.state.kept == kept.state.kept
    assert names(again) == {}  # the app's own is no chip
    kept.selecting.clear()
    assert kept.state.kept == ""
    lasting.close()


def test_pages_of_one_person_do_not_overwrite_each_other(kept):
    Lasting(kept.state, kept.store, kept.selecting)
    other = session(kept.store)
    Lasting(other.state, other.store, other.selecting)
    select(kept, [1, 2])
    select(other, [3])
    assert kept.state.kept != other.state.kept
    back = session(kept.store, kept=kept.state.kept)
    mine = Lasting(back.state, back.store, back.selecting)
    mine.restore()
    assert back.state.selection.tolist() == [1, 2]
    select(back, [9], "add")  # the page it came from may still be open
    assert back.state.kept != kept.state.kept
    assert selections.load(kept.store.survey, kept.state.kept).rows.tolist() == [1, 2]


def test_a_selection_that_is_gone_or_damaged_is_said_and_forgotten(kept, own_survey):
    kept.state.kept = "last me gone"
    Lasting(kept.state, kept.store, kept.selecting).restore()
    assert kept.state.kept == "" and kept.state.selection is None and "not there any more" in kept.state.notice[1]
    kept.state.kept = "../../etc/passwd"
    Lasting(kept.state, kept.store, kept.selecting).restore()
    assert kept.state.kept == ""


def test_pages_long_gone_leave_nothing_behind(kept, own_survey):
    from app.selections.lasting import tidy

    for k in range(REMEMBERED + 5):
        selections.save(own_survey, selections.Selection.of(f"{OWN}me {k}", [k % 600], how={}))
    selections.save(own_survey, selections.Selection.of("mine", [1], how={}))
    tidy(own_survey)
    left = [s.name for s in selections.listing(own_survey)]
    assert len(left) == REMEMBERED + 1 and "mine" in left
    tidy(own_survey, 0)
    assert [s.name for s in selections.listing(own_survey)] == ["mine"]


def test_a_persons_name_of_any_kind_makes_a_name():
    for user in ("Zoë", "a/b\\c", "", "@@@", "x" * 300):
        name = own_name(user)
        assert name.startswith(OWN) and selections.Selection.of(name, [1], how={}).name == name
    assert own_name("a") != own_name("a")
