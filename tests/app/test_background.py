"""Work of a session: the newest request wins, failures are said, nothing comes after the end."""

import threading
import time

from app.background import Background, Latest
from engine.errors import UserError


class Document:
    """An event loop that runs what it was given when asked to."""

    def __init__(self):
        self.calls = []
        self.lock = threading.Lock()

    def add_next_tick_callback(self, call):
        with self.lock:
            self.calls.append(call)

    def drain(self, count, patience=5.0):
        until = time.monotonic() + patience
        while len(self.calls) < count and time.monotonic() < until:
            time.sleep(0.005)
        for call in self.calls:
            call()
        self.calls.clear()


def test_without_a_document_it_is_done_at_once():
    seen = []
    Background().run("a", lambda: 1, seen.append)
    assert seen == [1]


def test_a_later_request_of_a_kind_replaces_an_earlier_one():
    document, seen, gate = Document(), [], threading.Event()
    background = Background(document)
    background.run("page", lambda: gate.wait(5), lambda _: seen.append("first"))
    background.run("page", lambda: 2, lambda _: seen.append("second"))
    background.run("other", lambda: 3, lambda _: seen.append("other"))
    gate.set()
    document.drain(3)
    assert seen == ["second", "other"]
    background.close()


def test_a_result_waiting_for_the_loop_is_dropped_when_asked_anew():
    document, seen = Document(), []
    background = Background(document)
    background.run("page", lambda: 1, seen.append)
    while not document.calls:
        time.sleep(0.005)
    background.run("page", lambda: 2, seen.append)
    document.drain(2)
    assert seen == [2]
    background.close()


def test_failures_are_said_and_the_thread_goes_on():
    problems = []

    def fail(error):
        def work():
            raise error

        return work

    background = Background()
    background.run("a", fail(UserError("the disk is full", "free some space")), problems.append, problems.append)
    background.run("a", fail(KeyError("x")), problems.append, problems.append)
    assert problems[0].problem == "the disk is full"
    assert "KeyError" in problems[1].problem


def test_nothing_is_delivered_after_the_end():
    document, seen = Document(), []
    background = Background(document)
    background.run("a", lambda: 1, seen.append)
    while not document.calls:
        time.sleep(0.005)
    background.close()
    document.drain(1)
    background.run("a", lambda: 2, seen.append)
    assert seen == []


def test_the_newest_call_of_a_key_replaces_those_that_wait():
    worker, ran, gate = Latest("test"), [], threading.Event()
    worker.submit("a", gate.wait)
    time.sleep(0.05)
    for k in range(5):
        worker.submit("b", lambda k=k: ran.append(k))
    worker.submit("c", lambda: ran.append("c"))
    gate.set()
    limit = time.monotonic() + 30
    while "c" not in ran and time.monotonic() < limit:
        time.sleep(0.01)
    assert ran == [4, "c"]
