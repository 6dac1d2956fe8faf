"""One message for a page: a JSON header and pictures, packed into bytes, so that the browser never sees half a change.

Layout: length of the header (uint32, little-endian), the header (UTF-8 JSON, with ``sizes``: bytes of each picture),
the pictures one after another. Bokeh sends it as one binary buffer; slicing it in the browser copies nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import param
from panel.custom import JSComponent


def pack(header: dict, pictures: Sequence[bytes] = ()) -> bytes:
    """Pack a header and pictures into one message; numbers that JSON does not know (NaN, infinities) become null."""
    text = json.dumps(plain({**header, "sizes": [len(p) for p in pictures]}), ensure_ascii=False, allow_nan=False)
    encoded = text.encode()
    return b"".join([len(encoded).to_bytes(4, "little"), encoded, *pictures])


def unpack(message: bytes) -> tuple[dict, list[bytes]]:
    """What `pack` packed."""
    start = 4 + int.from_bytes(message[:4], "little")
    header = json.loads(message[4:start])
    pictures = []
    for size in header["sizes"]:
        pictures.append(message[start : start + size])
        start += size
    return header, pictures


def plain(value):
    """The same for JSON: NumPy numbers as Python's, what is not finite as None."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def styles(name: str) -> str:
    """A style sheet of the app, as text: sent with the component, so that it is never shown unstyled."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def script(*names: str) -> str:
    """Scripts of the app as one text, behind what all of them share (``parts.js``)."""
    here = Path(__file__).parent
    return "\n".join((here / part).read_text(encoding="utf-8") for part in ("parts.js", *names))


class Component(JSComponent):
    """A part of the page drawn by our own script: it takes frames and sends messages.

    Parameters
    ----------
    receive : callable
        ``receive(message)`` gets each message of the browser, a dict with a ``type``, on the event loop.
    """

    frame = param.Bytes(b"", doc="What to show; see `pack`.")
    dark = param.Boolean(True, doc="Dark theme.")

    __abstract = True

    def __init__(self, receive=None, **params):
        self._receive = receive
        super().__init__(**params)

    def _handle_msg(self, data) -> None:
        if self._receive is not None and isinstance(data, dict):
            self._receive(data)

    def send(self, kind: str, **message) -> None:
        """Send a message to the browser; one that shows no page yet does not miss anything the frame does not say."""
        self._send_msg(plain({"type": kind, **message}))
