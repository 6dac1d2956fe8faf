"""Work off the event loop: the newest request of a kind wins, and results of a session's work come back to its page.

A view asks for work with a key; if it asks again under the same key before the first result is in, the first is
dropped, so that a result never replaces a newer one. Without a document (tests, notebooks) the work is done at once, in
the caller.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from panel.io.state import set_curdoc, state

from engine.errors import UserError

log = logging.getLogger(__name__)
T = TypeVar("T")


def poster(document) -> Callable[[Callable[[], None]], None]:
    """Return ``post(call)``: runs `call` on the event loop of a session, from any thread, once its page is there.

    Two ways in which Panel 1.9 loses changes are kept clear of. `Document.add_next_tick_callback` called from another
    thread can be swapped away with the events that Panel holds back around each message. And between the moment the
    browser has fetched the document and the moment it reports that it is ready, changes of models are dropped
    (`panel.io.document._drain_unconnected_events` trusts that the document is still to be fetched): one page in thirty
    stayed empty so on a loaded machine. So the event loop is asked to ask, and what comes earlier waits.

    Call in the session's own thread.
    """
    if getattr(document, "session_context", None) is None:  # not served
        return document.add_next_tick_callback
    loop = asyncio.get_running_loop()
    early: list[Callable[[], None]] | None = []

    def hand_over(call: Callable[[], None]) -> None:
        if early is None:
            document.add_next_tick_callback(call)
        else:
            early.append(call)

    def ready() -> None:
        nonlocal early
        waited, early = early or [], None
        for call in waited:
            document.add_next_tick_callback(call)

    def post(call: Callable[[], None]) -> None:
        try:
            loop.call_soon_threadsafe(hand_over, call)
        except RuntimeError:  # the server has stopped
            log.debug("not delivered: the event loop has ended")

    with set_curdoc(document):
        state.onload(ready)
    return post


class Background:
    """A session's worker.

    Parameters
    ----------
    document : bokeh.document.Document, optional
        Where results are delivered: on its event loop.
    """

    def __init__(self, document=None):
        self.document = document
        self._post = poster(document) if document is not None else None
        self._tickets: dict[str, int] = {}
        self._executor: ThreadPoolExecutor | None = None
        self._closed = False

    def run(
        self,
        key: str,
        work: Callable[[], T],
        done: Callable[[T], None],
        failed: Callable[[UserError], None] | None = None,
    ) -> None:
        """Do `work` in the thread, then ``done(result)`` or ``failed(error)`` on the event loop, unless asked anew.

        Parameters
        ----------
        key : str
            What kind of work it is.
        failed : callable, optional
            Takes what a person can mend; anything else is logged and shown in the same way.
        """
        if self._closed:
            return
        ticket = self._tickets[key] = self._tickets.get(key, 0) + 1
        if self.document is None:
            self._work(key, ticket, work, done, failed)
            return
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="skysieve-session")
        self._executor.submit(self._work, key, ticket, work, done, failed)

    def post(self, call: Callable[[], None]) -> None:
        """Run `call` on the session's event loop; from any thread."""
        if self._post is None:
            call()
        elif not self._closed:
            self._post(call)

    def cancel(self, key: str) -> None:
        """Drop what was asked for under this key."""
        self._tickets[key] = self._tickets.get(key, 0) + 1

    def close(self, *_context) -> None:
        """End the thread; results still to come are dropped. Fits `pn.state.on_session_destroyed`."""
        self._closed = True
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)

    def _work(self, key, ticket, work, done, failed) -> None:
        if self._tickets[key] != ticket:
            return
        try:
            call = partial(done, work())
        except UserError as error:
            call = partial(failed, error) if failed else partial(log.warning, "%s", error)
        except Exception as error:
            log.exception("%s failed", key)
            unknown = UserError(
                f"something went wrong ({type(error).__name__}: {error})", "try again; the terminal says more"
            )
            call = partial(failed, unknown) if failed else partial(log.warning, "%s", unknown)
        self._deliver(key, ticket, call)

    def _deliver(self, key: str, ticket: int, call: Callable[[], None]) -> None:
        def deliver() -> None:
            if self._tickets[key] == ticket and not self._closed:
                call()

        self.post(deliver)


class Latest:
    """One worker thread; the newest call of a key replaces those of the same key that have not begun."""

    def __init__(self, name: str):
        self._name = name
        self._waiting: OrderedDict[str, Callable[[], None]] = OrderedDict()
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None

    def submit(self, key: str, call: Callable[[], None]) -> None:
        """Run `call` in the thread, soon."""
        with self._wake:
            self._waiting[key] = call
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()
            self._wake.notify()

    def _work(self) -> None:
        while True:
            with self._wake:
                while not self._waiting:
                    self._wake.wait()
                key, call = self._waiting.popitem(last=False)
            try:
                call()
            except Exception:  # the thread must survive whatever one call meets; the call reports what people can mend
                log.exception("work on %s failed", key)
