"""What belongs to the page and to no view: help on keys (``?``) and short notices."""

from pathlib import Path

import param
from panel.custom import JSComponent

from app.frames import styles

HERE = Path(__file__).parent

#: Every key, by where it works.
KEYS = {
    "Map": {
        "L": "lasso (or hold Shift and drag)",
        "B": "box",
        "Ctrl": "held while drawing: add to the selection",
        "Alt": "take out of it; Ctrl and Alt: keep what is in both",
        "E": "change the outline: drag, click an edge, Delete; Enter or Esc ends",
        "Ctrl Z": "the selection before; Ctrl Shift Z: forward again",
        "V": "pan",
        "F": "whole layout",
        "D": "a second map beside the first, or none",
        "wheel": "zoom",
        "H": "hide or dim what is not selected",
        "K": "names of clusters; a click selects, a double click renames, a right click has more",
        "M": "thumbnails: where there is room, everywhere, none",
        "click": "look at the nearest object",
        "double click": "what is like it",
        "Esc": "clear the selection",
    },
    "Gallery": {
        "← ↑ → ↓": "move; never labels",
        "[ ]": "page back, forward",
        "Enter": "open the object",
        "S": "more like this",
        "+ −": "search by likeness: be like this one, too; be unlike it",
        "R": "suggestions or the order anew",
        "J": "skip; Shift J: skip, and review later",
        "Q": "grid mode: click the exceptions, one key says what all others are, Enter writes",
    },
    "Views of an object": {
        ", .": "blink: the band before, the next",
        "P": "blink by itself",
        "G": "six views at once",
        "C": "crosshair",
        "Enter": "as large as the window",
        "wheel": "zoom; drag moves, double click resets",
    },
    "Label": {
        "Y N U": "yes, no, unsure",
        "0 … 5": "a rating, where the target takes ratings",
        "1 … 9": "a class, where it takes classes",
        "A": "an artefact, whatever is hunted; again: none",
        "W": "write a comment",
        "Z": "undo, to any depth; Shift Z: redo",
        "Shift Y N U 1 …": "the whole list (asks first)",
    },
    "Page": {
        "X": "stretch of all pictures",
        "T": "train, embed, compare",
        "O": "make a layout",
        "?": "this list",
        "Esc": "close",
    },
}


class Chrome(JSComponent):
    """The help dialog with its button, and notices at the foot of the page."""

    keys = param.Dict(KEYS)
    window_width = param.Integer(0, doc="Width of the window, pixels; 0: not known yet.")
    notice = param.Dict({}, doc="kind ('error', 'info', 'success'), text, number (rises with each).")

    _esm = HERE / "chrome.js"
    _stylesheets = [styles("chrome.css")]  # noqa: RUF012 (Panel reads a list)

    def say(self, kind: str, text: str) -> None:
        """Show a notice."""
        self.notice = {"kind": kind, "text": text, "number": self.notice.get("number", 0) + 1}
