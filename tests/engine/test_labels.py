"""The label log: what stands is what a list replayed by hand says, whoever undid what, in however many processes."""

import multiprocessing
import sqlite3
import threading
import time

import numpy as np
import pytest

from engine.errors import UserError
from engine.learning import events
from engine.learning.labels import LabelLog, parse_value, response


@pytest.fixture
def log(tmp_path):
    log = LabelLog(tmp_path / "labels.sqlite")
    yield log
    log.close()


def add(log, rows, value, *, target="dwarf", user="ann", **more):
    return log.add(rows, target, value, ids=[f"g{row}" for row in rows], user=user, **more)


def state(log, target="dwarf"):
    current = log.current(target)
    return dict(zip(current.rows.tolist(), current.values.tolist()))


@pytest.mark.parametrize(
    "given, expected",
    [
        ("yes", ("yes", "verdict")),
        (" No ", ("no", "verdict")),
        ("UNSURE", ("unsure", "verdict")),
        (True, ("yes", "verdict")),
        (0, ("no", "verdict")),
        (np.int64(1), ("yes", "verdict")),
        (np.bool_(False), ("no", "verdict")),
        (1.0, ("yes", "verdict")),
        ("1", ("1", "rating")),
        ("0", ("0", "rating")),
        (3, ("3", "rating")),
        ("5", ("5", "rating")),
        ("edge-on spiral", ("edge-on spiral", "class")),
    ],
)
def test_values_are_read_as_people_write_them(given, expected):
    assert parse_value(given) == expected


@pytest.mark.parametrize("given", ["", "6", "-1", 6, 2.5, -1, np.nan, np.inf, None, "a/b", "²/5", "x" * 101])
def test_what_is_no_label_is_refused_with_a_remedy(given):
    with pytest.raises(UserError):
        parse_value(given)


def test_responses_are_what_the_gaussian_process_learns_from():
    assert [response("yes", "verdict"), response("no", "verdict"), response("4", "rating")] == [1, 0, 0.8]
    assert np.isnan([response("unsure", "verdict"), response("spiral", "class")]).all()


def test_looking_makes_no_file(log):
    assert log.version == 0 and log.targets() == {} and log.history(3) == [] and log.undo("ann") is None
    assert len(log.current("dwarf").rows) == 0 and log.current("dwarf").rows.dtype == np.int64
    assert not log.path.exists()


def test_a_batch_is_stored_with_all_that_was_known(log):
    batch = add(log, [7, 3], ["yes", "4"], representation="base", layout="umap", view={"x": [0, 1]}, comment="née")
    assert list(batch.events) == [1, 2]
    event = log.history(3)[0]
    assert (event.row, event.id, event.target, event.user) == (3, "g3", "dwarf", "ann")
    assert (event.value, event.kind, event.undoes) == ("4", "rating", None)
    assert (event.representation, event.layout, event.view, event.comment) == ("base", "umap", {"x": [0, 1]}, "née")
    assert event.batch == batch.id and event.time.endswith("+00:00")
    current = log.current("dwarf")
    assert current.rows.tolist() == [7, 3] and current.events.tolist() == [1, 2]
    assert current.responses.tolist() == [1, 0.8]


def test_the_log_outlives_the_process_that_wrote_it(log):
    add(log, [1], "yes")
    again = LabelLog(log.path)
    assert state(again) == {1: "yes"} and again.version == 1
    again.close()


def test_undo_restores_what_was_said_before_batch_by_batch(log):
    add(log, [1, 2], "yes")
    add(log, [2, 3], "no")
    undone = log.undo("ann")
    assert undone.rows.tolist() == [2, 3] and undone.target == "dwarf" and undone.values.tolist() == ["yes", None]
    assert state(log) == {1: "yes", 2: "yes"}
    assert log.undo("ann").rows.tolist() == [1, 2]
    assert state(log) == {} and log.undo("ann") is None
    assert log.version == 8, "undoing adds events, it removes none"


def test_undo_touches_only_ones_own_labels_and_the_target_asked_for(log):
    add(log, [1], "yes", user="ann")
    add(log, [1], "no", user="bob")
    add(log, [1], "yes", target="lens", user="ann")
    assert log.undo("ann", "dwarf").values.tolist() == ["no"], "bob's later label stands"
    assert state(log) == {1: "no"} and state(log, "lens") == {1: "yes"}


def test_redo_gives_again_what_undo_took_back_until_something_new_is_said(log):
    for row, value in ((1, "yes"), (2, "no"), (1, "3")):
        add(log, [row], value)
    add(log, [2, 3, 4], "unsure", view={"page": 2}, comment="dim")
    full = state(log)
    for depth in (4, 2, 3):
        for _ in range(depth):
            log.undo("ann", "dwarf")
        again = [log.redo("ann", "dwarf") for _ in range(depth)]
        assert state(log) == full and log.redo("ann", "dwarf") is None
        assert again[-1].rows.tolist() == [2, 3, 4] and again[-1].before.tolist() == ["no", None, None]
    event = log.history(3)[-1]
    assert event.comment == "dim" and event.view["page"] == 2 and "redo" in event.view
    log.undo("ann", "dwarf")
    add(log, [9], "yes")
    assert log.redo("ann", "dwarf") is None
    add(log, [9], "yes", target="lens")
    log.undo("ann", "lens")
    assert log.redo("ann", ["dwarf", "lens"]).target == "lens" and log.redo("bob") is None


def test_undo_and_redo_equal_two_stacks_by_hand(log):
    rng = np.random.default_rng(1)
    done, undone = [], []
    for _ in range(200):
        act = rng.integers(4)
        if act < 2:
            rows, value = [int(r) for r in rng.choice(5, 2, replace=False)], str(rng.choice(["yes", "no", "2"]))
            add(log, rows, value)
            done.append((rows, value))
            undone.clear()
        elif act == 2:
            found = log.undo("ann", "dwarf")
            assert (found is None) == (not done)
            if done:
                assert found.rows.tolist() == done[-1][0] and set(found.before) == {done[-1][1]}
                undone.append(done.pop())
        else:
            found = log.redo("ann", "dwarf")
            assert (found is None) == (not undone)
            if undone:
                assert found.rows.tolist() == undone[-1][0] and set(found.values) == {undone[-1][1]}
                done.append(undone.pop())
        expected = {}
        for rows, value in done:
            expected.update(dict.fromkeys(rows, value))
        assert state(log) == expected


def test_current_state_equals_a_replay_by_hand(log):
    random = np.random.default_rng(3)
    stack = []  # what an obvious implementation keeps: every batch that stands, in order
    for _ in range(150):
        user, target = random.choice(["ann", "bob"]), random.choice(["dwarf", "lens"])
        if random.random() < 0.35:
            mine = [entry for entry in stack if entry[0] == user]
            undone = log.undo(user)
            assert (undone is None) == (not mine)
            if mine:
                assert undone.rows.tolist() == mine[-1][2]
                stack.remove(mine[-1])
        else:
            rows = random.choice(12, size=random.integers(1, 4), replace=False).tolist()
            value = str(random.choice(["yes", "no", "unsure", "3"]))
            add(log, rows, value, user=str(user), target=str(target))
            stack.append((user, target, rows, value, len(stack)))
        for name in ("dwarf", "lens"):
            assert state(log, name) == {row: entry[3] for entry in stack if entry[1] == name for row in entry[2]}
            assert state(log, name) == dict(log._read("SELECT row, value FROM current WHERE target = ?", (name,)))
    counts = log.targets()
    for name in counts:
        values = list(state(log, name).values())
        assert counts[name] == {value: values.count(value) for value in sorted(set(values))}
    events = log.since(0)
    assert [e.event for e in events] == list(range(1, log.version + 1))
    assert log.since(log.version - 2) == events[-2:]


def test_nothing_can_be_changed_or_deleted(log):
    add(log, [1], "yes")
    connection = sqlite3.connect(log.path)
    for statement in ("UPDATE events SET value = 'no'", "DELETE FROM events"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
    connection.close()


def test_a_batch_is_stored_whole_or_not_at_all(log):
    add(log, [1], "yes")
    with pytest.raises(UserError):
        add(log, [2, 3], ["yes", "6"])
    with pytest.raises(ValueError):
        log.add([2, 3], "dwarf", "yes", ids=["g2"], user="ann")
    for target, user in (("", "ann"), ("a/b", "ann"), ("dwarf", "")):
        with pytest.raises(UserError):
            add(log, [2], "yes", target=target, user=user)
    assert state(log) == {1: "yes"} and log.version == 1


def test_a_full_disk_is_said_and_costs_nothing(log):
    add(log, [1], "yes")
    pages = log._writer.execute("PRAGMA page_count").fetchone()[0]
    log._writer.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(UserError, match="make space"):
        add(log, list(range(5000)), "no")
    log._writer.execute("PRAGMA max_page_count = 1000000")
    add(log, [2], "yes")
    assert state(log) == {1: "yes", 2: "yes"}


def test_a_locked_log_is_said(log, monkeypatch):
    add(log, [1], "yes")
    log.close()
    monkeypatch.setattr(events, "PATIENCE", 0.05)
    other = sqlite3.connect(log.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(UserError, match="close other programs"):
        add(log, [2], "yes")
    assert state(log) == {1: "yes"}, "readers do not wait for writers"
    other.close()


def test_a_log_that_cannot_be_written_can_be_read(log):
    add(log, [1], "yes")
    log._writer.execute("PRAGMA query_only = ON")
    with pytest.raises(UserError, match="allow writing"):
        add(log, [2], "yes")
    assert state(log) == {1: "yes"}


def test_faulty_files_are_explained(tmp_path):
    (tmp_path / "broken.sqlite").write_bytes(b"these are no labels " * 100)
    with pytest.raises(UserError, match="restore it"):
        LabelLog(tmp_path / "broken.sqlite").current("dwarf")
    with pytest.raises(UserError, match="check that the survey folder exists"):
        add(LabelLog(tmp_path / "gone" / "labels.sqlite"), [1], "yes")
    newer = sqlite3.connect(tmp_path / "newer.sqlite")
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    for attempt in (lambda log: log.current("dwarf"), lambda log: add(log, [1], "yes")):
        with pytest.raises(UserError, match="update Skysieve"):
            attempt(LabelLog(tmp_path / "newer.sqlite"))


def test_threads_share_one_log(log):
    def work(user):
        for row in range(20):
            add(log, [row, row + 100], "yes" if row % 2 else "no", user=user)
            log.current("dwarf")

    threads = [threading.Thread(target=work, args=(f"user{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.version == 4 * 20 * 2
    assert state(log) == {row + step: "yes" if row % 2 else "no" for row in range(20) for step in (0, 100)}


def _label_in_a_process(path, user):
    log = LabelLog(path)
    for row in range(15):
        log.add([row], "dwarf", "yes", ids=[f"g{row}"], user=user)
    log.undo(user)
    log.close()


def test_processes_share_one_log_from_its_first_moment(log):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_label_in_a_process, args=(log.path, f"user{i}")) for i in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert log.version == 3 * 16 and state(log) == dict.fromkeys(range(14), "yes")


def test_a_whole_selection_is_quick(log):
    rows = list(range(100_000))
    started = time.perf_counter()
    batch = add(log, rows, "no")
    added = time.perf_counter() - started
    assert len(batch.events) == 100_000 and len(log.current("dwarf").rows) == 100_000
    assert added < 5, f"{added:.1f} s; about one expected on a quiet machine"
    assert len(log.undo("ann").rows) == 100_000 and log.targets() == {}
