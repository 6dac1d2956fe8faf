"""Who hears of a change: every session of a survey subscribes, any thread publishes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import panel as pn

from app.background import poster
from engine.errors import UserError


class Changes:
    """Subscriptions of the sessions that share a survey.

    Kinds of change: 'labels' and 'ranking' (detail: target), 'growing' (detail: the layout that is being
    made, or nothing when it has ended), 'layouts' (detail: name of one that can be drawn now),
    'pictures', 'scores', 'clusters' (detail: the newest clustering, or the one renamed), 'jobs', 'representation'
    (detail: name of the one in use now), 'selections' (detail: the name of one that was changed), 'done' (detail: a command
    that has ended), 'problem' (detail: the text).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._subscribers: list[tuple[Callable, object, Callable | None]] = []

    def subscribe(self, callback: Callable[[str, str], None], doc=None) -> Callable[[], None]:
        """Call ``callback(kind, detail)`` on the session's event loop after a change by anybody.

        Returns
        -------
        callable
            Call it to end the subscription.
        """
        doc = doc if doc is not None else pn.state.curdoc
        entry = (callback, doc, poster(doc) if doc is not None else None)
        with self._lock:
            self._subscribers.append(entry)
        return partial(self._forget, entry)

    def _forget(self, entry) -> None:
        with self._lock:
            if entry in self._subscribers:
                self._subscribers.remove(entry)

    def publish(self, kind: str, detail: str = "") -> None:
        """Tell every subscriber of a change; from any thread."""
        with self._lock:
            subscribers = list(self._subscribers)
        for callback, _doc, post in subscribers:
            if post is None:
                callback(kind, detail)
            else:
                post(partial(callback, kind, detail))

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Turn what people can mend into a 'problem' that every session shows, for work in a thread of nobody's."""
        try:
            yield
        except UserError as error:
            self.publish("problem", str(error))
