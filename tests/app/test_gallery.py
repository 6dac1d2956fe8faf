"""The gallery: what is listed, what the browser is sent, what a label moves and what it must not move."""

import time

import numpy as np
import pytest
from galaxies import COUNT, UNREADABLE, fresh_store, make_survey

from app.frames import unpack
from app.gallery import tabs
from app.gallery.listing import PAGE, Listing
from app.gallery.view import GalleryView
from app.state import State
from engine.data.pictures.stretch import Stretch
from engine.learning import targets
from engine.learning.targets import Target


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_survey(tmp_path_factory.mktemp("gallery")).path


@pytest.fixture
def store(folder, tmp_path):
    return fresh_store(folder, tmp_path)


class Page:
    """The other end: keeps what a frame or message said, as the page would."""

    def __init__(self, store, **state):
        self.state = State(target="dwarf", user="me", **state)
        store.subscribe(self.heard)
        self.view = GalleryView(self.state, store)
        self.messages = []
        self.view.grid.send = lambda kind, **message: self.messages.append((kind, message))

    def heard(self, kind, detail):
        if detail == self.state.target and kind in ("labels", "ranking"):
            name = f"{kind}_version"
            setattr(self.state, name, getattr(self.state, name) + 1)

    @property
    def shown(self) -> dict:
        return unpack(self.view.grid.frame)[0]

    def says(self, kind, **message):
        self.view.grid._handle_msg({"type": kind, **message})

    def heard_last(self, kind) -> dict:
        return next(message for name, message in reversed(self.messages) if name == kind)


@pytest.fixture
def session(store):
    return Page(store)


def test_nothing_selected_says_what_to_do(session):
    page = session.shown
    assert page["rows"] == [] and page["title"] == "Nothing selected yet" and "lasso" in page["advice"]
    session.state.select(np.zeros(0, np.int64))
    assert "No object" in session.shown["title"]


def test_a_selection_is_paged(session, store):
    session.state.select(np.arange(COUNT))
    page = session.shown
    assert (page["rows"], page["total"], page["pages"]) == (list(range(PAGE)), COUNT, 3)
    assert page["ids"][:2] == ["g0000", "g0001"] and page["cursor"] == 0 == session.state.cursor
    session.says("page", page=2, place=1e6)
    assert session.shown["rows"] == list(range(200, COUNT)) and session.state.cursor == COUNT - 1
    session.says("page", page=1, place=0)
    assert session.state.cursor == 100


def test_pictures_are_sent_once_and_the_next_page_ahead(session, store):
    session.state.select(np.arange(COUNT))
    header, pictures = unpack(session.view.grid.frame)
    assert header["pictured"] == list(range(PAGE)) and pictures == store.thumbnails(range(PAGE))
    ahead, more = unpack(session.view.grid.ahead)
    assert ahead["pictured"] == list(range(PAGE, 2 * PAGE)) and more == store.thumbnails(range(PAGE, 2 * PAGE))
    session.says("page", page=1, place=0)
    assert session.shown["pictured"] == []
    assert pictures[UNREADABLE] == b""


def test_a_browser_that_lost_its_pictures_gets_them_again(session):
    session.state.select(np.arange(COUNT))
    session.says("page", page=1, place=0)
    session.says("again")
    assert session.shown["pictured"] == list(range(PAGE, 2 * PAGE)) and session.shown["page"] == 1


def test_what_the_browser_may_forget_is_never_shown(session, monkeypatch):
    monkeypatch.setattr("app.gallery.held.KEPT", 2 * PAGE)
    kept = set()

    def take(message):
        header, _ = unpack(message)
        kept.difference_update(header["drop"])
        kept.update(header["pictured"])

    session.view.grid.param.watch(lambda event: take(event.new), ["frame", "ahead"])
    session.state.select(np.arange(COUNT))
    for page in (1, 2, 0, 1, 0, 2):
        session.says("page", page=page, place=0)
        assert set(session.shown["rows"]) <= kept and len(kept) <= 2 * PAGE


@pytest.mark.parametrize("sort", ["mag", "-mag", "mean", "-mean", "kind", "random", ""])
def test_orders(session, store, sort):
    store.ranking("dwarf")
    rows = np.arange(COUNT)[::-1]
    session.state.select(rows)
    session.state.sort = sort
    shown = np.concatenate([session.view._listed.listing.page(k) for k in range(3)])
    assert sorted(shown) == list(range(COUNT))
    name = sort.removeprefix("-")
    if name in ("mag", "mean", "kind"):
        values = store.values(name, "dwarf").array[shown].astype(float)
        assert (np.diff(-values if sort.startswith("-") else values) >= 0).all()
    elif not name:
        np.testing.assert_array_equal(shown, rows)


def test_an_order_that_is_not_known_is_said_and_the_objects_still_shown(session):
    session.state.select(np.arange(5))
    session.state.sort = "nonsense"
    assert session.shown["rows"] == list(range(5)) and "nonsense" in session.state.notice[1]


def test_choosing_an_order_starts_at_its_interesting_end_and_each_tab_keeps_its_own(session):
    session.state.select(np.arange(COUNT))
    session.says("sort", name="mean")
    assert session.state.sort == "-mean"
    session.says("sort", turned=True, name="-mean")
    assert session.state.sort == "mean"
    session.says("tab", tab="suggestions")
    assert session.state.sort == ""
    session.says("tab", tab="selection")
    assert session.state.sort == "mean"


def test_a_label_is_saved_acknowledged_and_moves_nothing(session, store):
    session.state.select(np.arange(COUNT))
    session.state.sort = "-acquisition"
    before = session.shown
    session.says("label", row=before["rows"][3], value="yes", token=17)
    saved = session.heard_last("saved")
    assert saved == {"token": 17, "row": before["rows"][3], "good": True, "problem": ""}
    assert session.heard_last("changed")["codes"][3] == 1
    assert session.shown == before  # no new frame
    assert session.heard_last("changed")["stale"] is True
    assert store.survey.labels.history(before["rows"][3])[0].view["order"] == "-acquisition"


def test_a_label_that_cannot_be_saved_comes_back(session, store, monkeypatch):
    from engine.errors import UserError

    def refuse(*args, **options):
        raise UserError("the label log is read-only", "make it writable")

    session.state.select(np.arange(COUNT))
    monkeypatch.setattr(store.survey.labels, "add", refuse)
    session.says("label", row=3, value="yes", token=1)
    saved = session.heard_last("saved")
    assert not saved["good"] and "read-only" in saved["problem"] and session.state.notice[0] == "error"
    assert store.label_codes("dwarf")[3] == 0


def test_pictures_are_shown_even_if_the_labels_cannot_be_read(session, store):
    (store.survey.path / "labels.sqlite").write_bytes(b"not a database, but as long as one " * 100)
    session.state.select(np.arange(COUNT))
    assert session.shown["rows"] == list(range(PAGE)) and set(session.shown["codes"]) == {0}
    assert session.state.notice[0] == "error" and "labels.sqlite" in session.state.notice[1]
    session.says("tab", tab="labelled")
    assert session.shown["rows"] == [] and "labels.sqlite" in session.shown["title"]


def test_suggestions_stay_until_the_batch_is_labelled_through(session, store):
    store.ranking("dwarf")
    session.says("tab", tab="suggestions")
    batch = session.shown["rows"]
    assert len(batch) == 10 and batch == list(store.suggestions("dwarf", 10))
    assert "No label yet" in session.shown["line"] and session.shown["texts"] == [""] * 10
    for row in batch[:-1]:
        session.says("label", row=row, value="no", token=row)
        assert session.shown["rows"] == batch
    assert "9 no" in session.heard_last("changed")["line"]
    offer, _ = unpack(session.view.grid.following)
    following = offer["rows"]
    assert not set(following) & set(batch) and len(following) == 10 and "±" in offer["texts"][0]
    assert set(offer["pictured"]) <= set(following) and (offer["page"], offer["start"]) == (1, 10)
    session.says("label", row=batch[-1], value="yes", token=0)
    assert unpack(session.view.grid.following)[0]["rows"] == list(store.suggestions("dwarf", 10))
    assert session.shown["rows"] == batch  # the browser goes on when it is ready
    newest = unpack(session.view.grid.following)[0]
    session.says("next", number=newest["sequence"], row=newest["rows"][0])
    changed = session.heard_last("changed")
    assert changed["of"] == newest["sequence"] and len(changed["codes"]) == 10
    assert session.state.cursor == newest["rows"][0]
    third = unpack(session.view.grid.following)[0]
    assert not set(third["rows"]) & {*batch, *newest["rows"]} and third["page"] == 2


def test_an_offer_that_was_overtaken_can_still_be_taken(session, store):
    store.ranking("dwarf")
    session.says("tab", tab="suggestions")
    batch, first = session.shown["rows"], unpack(session.view.grid.following)[0]
    session.says("label", row=batch[0], value="yes", token=1)
    assert unpack(session.view.grid.following)[0]["sequence"] > first["sequence"]
    session.says("next", number=first["sequence"], row=first["rows"][0])
    assert list(session.view.listing.page(1)) == first["rows"] and session.view.page == 1
    session.says("page", page=0)
    assert session.shown["rows"] == batch and session.shown["codes"][0] == 1  # one can go back


def test_what_was_shown_comes_again_only_when_the_list_is_made_anew(session, store):
    store.ranking("dwarf")
    session.says("tab", tab="suggestions")
    session.says("batch", size=100)
    seen = list(session.shown["rows"])
    while "exhausted" not in [name for name, _ in session.messages]:
        offer = unpack(session.view.grid.following)[0]
        before = session.view.page
        session.says("next", number=offer["sequence"], row=offer["rows"][0])
        seen += offer["rows"] if session.view.page > before else []
    assert sorted(seen) == list(range(COUNT))
    session.says("refresh")
    assert session.shown["rows"] == list(store.suggestions("dwarf", 100))


def test_the_next_batch_can_be_asked_for(session, store):
    store.ranking("dwarf")
    session.says("tab", tab="suggestions")
    first = session.shown["rows"]
    session.says("label", row=first[0], value="yes", token=1)
    session.says("batch", size=25)
    assert len(session.shown["rows"]) == 25 and first[0] not in session.shown["rows"]
    session.says("batch", size=10**6)
    assert len(session.shown["rows"]) == 25


def test_likely_counts_what_is_not_labelled(store):
    ranking = None
    while ranking is None:
        ranking = store.ranking("dwarf")
    before = tabs.likely(store, "dwarf")
    assert before == int((ranking.mean >= 0.5).sum())
    store.label([int(np.argmax(ranking.mean))], "yes", target="dwarf", user="me")
    assert tabs.likely(store, "dwarf") == before - 1


def test_similar_lists_what_is_alike_with_its_score(session, store):
    session.says("tab", tab="similar")
    assert session.shown["title"]
    session.says("similar", row=20)
    page = session.shown
    assert page["tab"] == "similar" and 20 not in page["rows"]
    scores = [float(t) for t in page["texts"]]
    assert scores == sorted(scores, reverse=True)


def test_labelled_is_newest_first_and_can_be_narrowed(session):
    for row, value in ((5, "yes"), (9, "no"), (7, "yes")):
        session.says("label", row=row, value=value, token=row)
    session.says("tab", tab="labelled")
    assert session.shown["rows"] == [7, 9, 5]
    session.says("only", only="yes")
    assert session.shown["rows"] == [7, 5]
    session.says("only", only="unsure")
    assert session.shown["rows"] == [] and "unsure" in session.shown["title"]
    counts = {tab["name"]: tab["count"] for tab in session.shown["tabs"]}
    assert counts["labelled"] == 3


def test_a_whole_selection_is_labelled_only_after_it_was_confirmed(session, store):
    session.state.select(np.arange(60))
    session.says("all", value="no")
    assert session.heard_last("ask")["text"] == "Label 60 selected objects ‘dwarf: no’?"
    assert store.survey.labels.version == 0
    session.says("cancel")
    session.says("confirm")
    assert store.survey.labels.version == 0
    session.says("all", value="no")
    session.state.target = "ring"  # what was asked is what is done
    session.says("confirm")
    assert store.label_counts("dwarf")["no"] == 60 and store.label_counts("ring")["no"] == 0
    session.state.target = "dwarf"
    session.says("undo")
    assert store.label_counts("dwarf")["no"] == 0


def test_the_cursor_follows_the_session_and_the_browser(session):
    session.state.select(np.arange(COUNT))
    session.says("cursor", row=12)
    assert session.state.cursor == 12
    assert all(kind != "cursor" for kind, _ in session.messages)  # no echo
    session.state.cursor = 150
    assert session.heard_last("cursor") == {"row": 150} and session.shown["page"] == 0
    session.says("open", row=13)
    assert session.state.inspecting and session.state.cursor == 13


def test_a_restored_cursor_is_kept(store):
    session = Page(store, cursor=42)
    assert session.state.cursor == 42


@pytest.mark.parametrize(
    "message",
    [
        {"type": "label", "row": "x", "value": "yes", "token": 1},
        {"type": "label", "row": 10**9, "value": "yes", "token": 1},
        {"type": "tab", "tab": "no such"},
        {"type": "nonsense"},
        {},
        {"type": "similar", "row": None},
    ],
)
def test_what_makes_no_sense_is_ignored(session, store, message):
    session.view.grid._handle_msg(message)
    assert store.survey.labels.version == 0 and session.state.tab == "selection"


def test_another_stretch_redraws_the_tiles_and_leaves_the_page_as_it_is(session, store):
    session.state.select(np.arange(5))
    frame = session.view.grid.frame
    negative = Stretch(invert=True)
    session.state.stretch = negative
    header, pictures = unpack(session.view.grid.redrawn)
    assert session.view.grid.frame is frame and header["rows"] == list(range(5))
    assert pictures == store.pictures(range(5), negative) and pictures[0] != store.thumbnails([0])[0]
    assert session.state.drawn == negative and session.heard_last("stretch")["text"] == "negative"
    session.view.grid._handle_msg({"type": "unstretch"})
    assert unpack(session.view.grid.redrawn)[1] == store.thumbnails(range(5))
    assert session.heard_last("stretch")["text"] == ""


def test_a_page_drawn_while_the_stretch_changed_is_drawn_again(session, store):
    session.state.select(np.arange(5))
    log = Stretch(curve="log")
    honest, session.view.store.pictures = session.view.store.pictures, lambda rows, stretch: change(rows, stretch)

    def change(rows, stretch):
        session.view.store.pictures = honest
        session.state.stretch = log  # another request overtakes this one
        return honest(rows, stretch)

    session.view._send_again()
    assert unpack(session.view.grid.redrawn)[1] == store.pictures(range(5), log)


def test_four_million_selected_are_paged_without_sorting_them_all():
    rows = np.arange(4_000_000)
    values = np.random.default_rng(0).random(len(rows), np.float32)
    started = time.perf_counter()
    first = Listing.by(rows, values).page(0)
    assert time.perf_counter() - started < 2.0  # 0.06 s on an idle core
    np.testing.assert_array_equal(first, np.argsort(values, kind="stable")[:PAGE])


# -- labels of every kind ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind, classes, keys, code",
    [
        ("verdicts", (), "ynu", 1),
        ("ratings", (), "012345u", 5),
        ("classes", ("disc", "ring", "merger"), "123u", 5),
    ],
)
def test_a_target_takes_its_own_labels(session, store, kind, classes, keys, code):
    targets.declare(store.survey, Target("dwarf", kind, classes))
    session.state.select(np.arange(20))
    choices = session.shown["choices"]
    assert "".join(choice["key"] for choice in choices) == keys and choices[0]["code"] == code
    assert len({choice["colour"] for choice in choices}) == len(choices)
    for row, choice in enumerate(choices):
        session.says("label", row=row, value=choice["value"], token=row)
        assert session.heard_last("saved")["good"]
    assert list(session.heard_last("changed")["codes"][: len(choices)]) == [choice["code"] for choice in choices]
    session.says("label", row=9, value="nonsense", token=99)
    assert not session.heard_last("saved")["good"]
    session.says("tab", tab="labelled")
    for row, choice in enumerate(choices):
        session.says("only", only=choice["value"])
        assert session.shown["rows"] == [row]
    counts = {one["name"]: one["count"] for one in session.shown["filters"]}
    assert counts[""] == len(choices) and counts[choices[0]["value"]] == 1


def test_a_message_that_comes_twice_is_done_once(session, store):
    session.state.select(np.arange(5))
    for _ in range(2):
        session.says("label", row=3, value="yes", token="a")
    assert store.survey.labels.version == 1
    assert [m["good"] for name, m in session.messages if name == "saved"] == [True, True]


def test_an_artefact_a_comment_and_a_review_are_shown_and_listed(session, store):
    session.state.select(np.arange(20))
    session.says("artefact", row=3, on=True, token=1)
    session.says("comment", row=4, text="a blue ring", token=2)
    session.says("later", row=5, on=True, token=3)
    session.view._send_again()
    page = session.shown
    assert (page["artefacts"][3], page["comments"][4], page["later"][5]) == (1, "a blue ring", 1)
    assert sum(page["artefacts"]) == sum(page["later"]) == sum(map(bool, page["comments"])) == 1 and not any(
        page["codes"]
    )
    session.says("tab", tab="labelled")
    for only, words, rows in [
        ("mark:artefact", "", [3]),
        ("mark:comment", "", [4]),
        ("mark:later", "", [5]),
        ("", "RING", [4]),
        ("mark:later", "ring", []),
        ("", "tidal", []),
    ]:
        session.says("only", only=only, words=words)
        assert session.shown["rows"] == rows, only
    assert "tidal" in session.shown["title"]
    session.says("later", row=5, on=False, token=4)
    session.says("only", only="mark:later", words="")
    assert session.shown["rows"] == [] and "Shift J" in session.shown["advice"]


def test_a_page_at_one_stroke_is_one_batch(session, store):
    session.state.select(np.arange(20))
    session.says("sift", rows=list(range(20)), values=["no"] * 17 + ["yes"] * 3, token=1)
    assert store.label_counts("dwarf") == {"yes": 3, "no": 17, "unsure": 0, "other": 0}
    assert len({event.batch for event in store.survey.labels.since(0)}) == 1
    session.says("undo")
    assert store.label_codes("dwarf").sum() == 0 and "20 objects" in session.heard_last("undone")["text"]
    session.says("redo")
    assert store.label_counts("dwarf")["no"] == 17
    for rows, values in (([1, 2], ["yes"]), (["x"], ["yes"]), ("12", "ab"), ([COUNT], ["no"]), ([], [])):
        session.says("sift", rows=rows, values=values, token=str(rows))
        assert not session.heard_last("saved")["good"]


def test_undo_and_redo_go_to_the_object_wherever_it_is(session, store):
    session.state.select(np.arange(COUNT))
    for row in (5, 150, 220):
        session.says("label", row=row, value="yes", token=row)
    session.says("artefact", row=7, on=True, token="a")
    seen = []
    for _ in range(4):
        session.says("undo")
        seen.append((session.state.cursor, session.shown["page"]))
    assert seen == [(7, 0), (220, 2), (150, 1), (5, 0)] and store.label_codes("dwarf").sum() == 0
    assert "‘dwarf: yes’ for g0005" in session.heard_last("undone")["text"]
    for row in (5, 150, 220, 7):
        session.says("redo")
        assert session.state.cursor == row
    assert store.label_counts("dwarf")["yes"] == 3 and store.label_codes("artefact")[7] == 1
    session.state.select(np.arange(10))
    session.says("undo")
    session.says("undo")
    assert session.state.cursor == 220 and "not in this list" in session.heard_last("undone")["text"]


@pytest.mark.parametrize("sort", ["", "mag", "-mag", "random", "holes"])
def test_an_object_is_found_on_its_page(sort):
    rng = np.random.default_rng(0)
    rows = rng.permutation(1000)[:730]
    keys = {"": None, "mag": rng.random(730), "-mag": -rng.integers(0, 9, 730).astype(float), "random": rng.random(730)}
    holes = np.where(rng.random(730) < 0.3, np.nan, rng.integers(0, 5, 730))
    listing = Listing(rows, keys.get(sort, holes))
    for row in rows[::37]:
        page, at = listing.place(int(row))
        assert listing.page(page)[at] == row
    assert listing.place(10**6) is None
    np.testing.assert_array_equal(listing.all(), np.concatenate([listing.page(k) for k in range(listing.pages)]))


def test_what_comes_next_is_known_to_the_inspector(session):
    session.state.select(np.arange(20))
    session.says("cursor", row=12)
    assert session.state.expected.tolist() == [13, 14, 15]


def test_undo_goes_back_through_the_batches(session, store):
    store.ranking("dwarf")
    session.says("tab", tab="suggestions")
    order, rows = [], session.shown["rows"]
    for _ in range(3):
        for row in rows:
            session.says("label", row=row, value="no", token=row)
            order.append(row)
        offer = unpack(session.view.grid.following)[0]
        rows = offer["rows"]
        session.says("next", number=offer["sequence"], row=rows[0])
    for depth, row in enumerate(reversed(order)):
        session.says("undo")
        assert session.state.cursor == row and session.shown["page"] == 2 - depth // 10, depth
        assert row in session.shown["rows"] and session.shown["cursor"] in session.shown["rows"]


def test_an_offer_made_before_the_last_was_taken_is_dropped(session, store):
    store.ranking("dwarf")
    session.says("tab", tab="suggestions")
    late = []
    run, session.view.background.run = (
        session.view.background.run,
        lambda key, work, done, failed=None: late.append((work(), done)),
    )
    session.view._offer()
    session.view.background.run = run
    offer = unpack(session.view.grid.following)[0]
    session.says("next", number=offer["sequence"], row=offer["rows"][0])
    promised = session.view.grid.following
    found, done = late[0]
    done(found)
    assert session.view.grid.following is promised
