"""Serving the app: ``python launch.py`` and ``panel serve launch.py`` come here.

A page's address says what it shows: nothing, the survey the server was started with; ``?survey=NAME``, another one below the
roots; ``?new``, the page on surveys, which makes new ones. The roots are folders the server was told of (``--root``); one
that listens to this machine only may also open what lies below the folder it was started in.
"""

from __future__ import annotations

import argparse
import errno
import logging
import socket
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import panel as pn

from app.surveys import demo
from app.surveys.places import Places
from engine.data.references import kind_of, walk
from engine.errors import UserError

if TYPE_CHECKING:
    from app.store import Store

log = logging.getLogger(__name__)

#: Addresses that only this machine reaches.
LOCAL = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Served:
    """What a server shows.

    Attributes
    ----------
    store : Store or None
        The survey it was started with.
    places : Places or None
        What else may be opened.
    start : path, optional
        A source of pixels to look at first, where there is no survey yet.
    """

    store: Store | None
    places: Places | None
    start: Path | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve a survey until interrupted; return the exit status (2: what the user can mend)."""
    args = _parser().parse_args(arguments)
    try:
        _require_free(args.address, args.port)
        shown = _shown(args, local=args.address in LOCAL)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    prepare()
    address = f"http://{'localhost' if args.address == '127.0.0.1' else args.address}:{args.port}/"
    title = f"{shown.store.survey.name}: {shown.store.n:,} objects" if shown.store else f"A new survey of {shown.start}"
    print(f"{title}, at {address}  (Ctrl-C stops)", flush=True)
    origins = [f"{host}:{args.port}" for host in ("localhost", "127.0.0.1", args.address)]
    try:
        pn.serve(
            {"/": lambda: page(shown)},
            address=args.address,
            port=args.port,
            websocket_origin=origins + args.origin,
            show=not args.no_browser,
            title=shown.store.survey.name if shown.store else "Skysieve",
            verbose=False,
        )
    finally:
        stop()
    return 0


def served(arguments: Sequence[str]):
    """The page for ``panel serve launch.py --args SURVEY``: what can be mended is said on it."""
    try:
        shown = _shown(_parser().parse_args(arguments), local=False)  # Panel may listen to every machine
    except UserError as error:
        return _refusal(error)
    prepare()
    return page(shown)


def page(shown: Served):
    """A new session's page: what its address asks for."""
    asked = {name: values[0].decode("utf-8", "replace") for name, values in pn.state.session_args.items() if values}
    try:
        if "survey" in asked:
            store = _opened(_places(shown).resolve(asked["survey"]))
        elif "new" in asked or shown.store is None:
            return _opening(_places(shown), None if "new" in asked else shown.start)
        else:
            store = shown.store
    except UserError as error:
        return _refusal(error)
    from app.main import Session

    return Session(store, others=shown.places is not None).page


def stop() -> None:
    """End every job of this process."""
    from app.store import stores
    from app.surveys import making

    making.stop()
    for store in stores():
        store.jobs.stop()


def _opening(places: Places, start: Path | None):
    from app.surveys.opening import OpeningView

    return OpeningView(places, start).page


def _refusal(error: UserError):
    log.error("%s", error)
    return pn.pane.Alert(f"**{error.problem}**\n\n{error.remedy}.", alert_type="danger")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="launch.py", description="Sift a sky survey for what is rare, in the browser."
    )
    parser.add_argument(
        "survey",
        nargs="?",
        type=Path,
        help="the survey's folder (a simulated one if not given); or pixels that are to become one",
    )
    parser.add_argument(
        "--root",
        action="append",
        default=[],
        type=Path,
        metavar="FOLDER",
        help="surveys and pixels below it may be opened from the page; give it again for more folders",
    )
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


def _shown(args: argparse.Namespace, *, local: bool) -> Served:
    """What the command line asks for."""
    given: Path | None = args.survey
    roots = list(args.root)
    if local and not roots:
        roots.append(Path.cwd())
    if given is not None and _is_source(given):
        roots.append(given if given.is_dir() else given.parent)
        return Served(None, Places.of(roots), given.resolve())
    if given is not None and roots:
        roots.append(given.resolve())
    store = _opened(demo.prepared() if given is None else given)
    return Served(store, Places.of(roots) if roots else None)


def _is_source(path: Path) -> bool:
    """Whether pixels lie there, and no survey yet."""
    if not path.is_dir():
        return path.is_file() and kind_of(path.name) is not None
    return not (path / "survey.toml").is_file() and any(kind_of(name) for name in walk(path))


def _places(shown: Served) -> Places:
    if shown.places is None:
        raise UserError("this server opens one survey only", "start it with --root FOLDER to open others")
    return shown.places


def _opened(survey: Path) -> Store:
    from app.store import get_store

    return get_store(survey)


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
    import holoviews as hv

    from app.map.colouring import warm

    hv.extension("bokeh")

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
