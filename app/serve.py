"""Serving the app: ``python launch.py`` and ``panel serve launch.py`` come here."""

from __future__ import annotations

import argparse
import errno
import logging
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import panel as pn

from app import demo
from engine.errors import UserError

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve a survey until interrupted; return the exit status (2: what the user can mend)."""
    args = _parser().parse_args(arguments)
    try:
        _require_free(args.address, args.port)
        store = _store(args.survey)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    prepare()
    address = f"http://{'localhost' if args.address == '127.0.0.1' else args.address}:{args.port}/"
    print(f"{store.survey.name}: {store.n:,} objects, at {address}  (Ctrl-C stops)", flush=True)
    origins = [f"{host}:{args.port}" for host in ("localhost", "127.0.0.1", args.address)]
    try:
        pn.serve(
            {"/": lambda: page(store)},
            address=args.address,
            port=args.port,
            websocket_origin=origins + args.origin,
            show=not args.no_browser,
            title=store.survey.name,
            verbose=False,
        )
    finally:
        store.jobs.stop()
    return 0


def served(arguments: Sequence[str]):
    """The page for ``panel serve launch.py --args SURVEY``: what can be mended is said on it."""
    try:
        store = _store(_parser().parse_args(arguments).survey)
    except UserError as error:
        log.error("%s", error)
        return pn.pane.Alert(f"**{error.problem}**\n\n{error.remedy}.", alert_type="danger")
    prepare()
    return page(store)


def page(store):
    """A new session's page."""
    from app.main import Session

    return Session(store).page


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="launch.py", description="Sift a sky survey for what is rare, in the browser."
    )
    parser.add_argument("survey", nargs="?", type=Path, help="the survey's folder; a simulated one if not given")
    parser.add_argument("--port", type=int, default=5006)
    parser.add_argument("--address", default="127.0.0.1", help="where to listen (127.0.0.1: this machine only)")
    parser.add_argument(
        "--origin",
        action="append",
        default=[],
        metavar="HOST:PORT",
        help="another address the page is reached by, such as an SSH tunnel's",
    )
    parser.add_argument("--no-browser", action="store_true", help="open no browser")
    return parser


def _store(survey: Path | None):
    from app.store import get_store

    return get_store(demo.prepared() if survey is None else survey)


def _require_free(address: str, port: int) -> None:
    """Refuse a port that cannot be had before any work is done."""
    if not 0 < port < 65536:
        raise UserError(f"{port} is no port number", "choose one from 1024 to 65535 with --port")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except socket.gaierror as error:
            raise UserError(f"{address} is not an address of this machine", "use --address 127.0.0.1") from error
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise UserError(
                    f"port {port} is in use, perhaps by a Skysieve that runs already",
                    f"stop it, or choose another with --port {port + 1}",
                ) from error
            if error.errno == errno.EACCES:
                raise UserError(f"port {port} may not be used by you", "choose one above 1024 with --port") from error
            raise UserError(f"{address} is not an address of this machine", "use --address 127.0.0.1") from error


_prepared = threading.Event()


def prepare() -> None:
    """Set Panel up, once a process, and compile what the first frame needs meanwhile."""
    pn.extension(sizing_mode=None)
    if _prepared.is_set():
        return
    _prepared.set()
    logging.getLogger("asyncio").addFilter(not_a_closed_tab)
    _send_at_once()
    _draw_at_once()
    _walk_when_changed()
    from app.colouring import warm

    threading.Thread(target=warm, name="skysieve-warm", daemon=True).start()


def not_a_closed_tab(record: logging.LogRecord) -> bool:
    """Filter of the log: leave out that nobody awaited a message to a page whose tab was closed meanwhile."""
    from tornado.iostream import StreamClosedError
    from tornado.websocket import WebSocketClosedError

    error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    return not isinstance(error, (StreamClosedError, WebSocketClosedError))


def _send_at_once() -> None:
    """Set TCP_NODELAY on Bokeh's websockets: a message is three small frames, and waits 40 ms for an acknowledgement else."""
    from bokeh.server.views.ws import WSHandler

    plain = WSHandler.open

    def opened(self):
        self.set_nodelay(True)
        return plain(self)

    setattr(WSHandler, "open", opened)  # noqa: B010 (assigned plainly, a type checker objects)


def _draw_at_once() -> None:
    """Answer a zoom without HoloViews' wait of 100 ms for another one: a frame takes a few milliseconds."""
    import holoviews as hv
    from holoviews.plotting.bokeh.callbacks import RangeXYCallback

    hv.extension("bokeh")
    if hasattr(RangeXYCallback, "debounce"):
        RangeXYCallback.debounce = None


def _walk_when_changed() -> None:
    """Let Bokeh walk the page's models only after one was put in or taken out.

    Else it walks them all after each frame of HoloViews (`hold_render`), a third of what the frame costs. What says that
    models changed is what Bokeh itself goes by outside of a frame: `invalidate`, and the roots.
    """
    from bokeh.document.models import DocumentModelManager as Models

    walk, invalidate = Models.recompute, Models.invalidate

    def invalidated(self) -> None:
        self.walked = None
        invalidate(self)

    def recompute(self) -> None:
        document = self._document()
        roots = None if document is None else [root.id for root in document.roots]
        if roots is None or getattr(self, "walked", None) != roots:
            self.walked = roots  # first: what the walk attaches may change models again
            walk(self)

    setattr(Models, "invalidate", invalidated)  # noqa: B010
    setattr(Models, "recompute", recompute)  # noqa: B010
