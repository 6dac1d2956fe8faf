"""A server in a process of its own, and a visit of its page: mouse and keys, and what the page shows."""

import math
import os
import re
import socket
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def serve(command: list[str], port: int, log: Path) -> subprocess.Popen:
    """Start a server and wait until it answers."""
    with open(log, "w") as out:
        server = subprocess.Popen(
            command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, "SKYSIEVE_USER": "tester"}
        )
    limit = time.monotonic() + 60
    while time.monotonic() < limit:
        assert server.poll() is None, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return server
        except OSError:
            time.sleep(0.1)
    server.kill()
    raise AssertionError(f"the server did not answer within a minute:\n{log.read_text()}")


class Visit:
    """One visit of the page."""

    def __init__(self, page, address):
        self.page = page
        self.outside, self.faults = [], []
        page.on("request", self._requested)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.set_viewport_size({"width": 1400, "height": 900})
        page.goto(address)
        self.settle()

    def _requested(self, request):
        if not re.match(r"(https?|wss?)://(localhost|127\.0\.0\.1)[:/]|data:|blob:", request.url):
            self.outside.append(request.url)

    def settle(self):
        """Wait until the map stands still: its size and place unchanged for half a second, and a legend there."""
        self.page.locator(".overlay .legend").first.wait_for(state="visible", timeout=30_000)
        last, since = None, time.monotonic()
        while time.monotonic() - since < 0.5:
            box = self.page.locator(".bk-Canvas").first.bounding_box()
            if box != last:
                last, since = box, time.monotonic()
            self.page.wait_for_timeout(50)
        self.box = last

    def lasso(self, share: float = 0.3):
        """Draw a circle around the middle of the map with the mouse."""
        x, y = self.box["x"] + self.box["width"] / 2, self.box["y"] + self.box["height"] / 2
        r = share * min(self.box["width"], self.box["height"])
        self.page.mouse.move(x, y)
        self.page.keyboard.press("l")
        self.page.mouse.move(x + r, y)
        self.page.mouse.down()
        for step in range(1, 49):
            self.page.mouse.move(x + r * math.cos(2 * math.pi * step / 48), y + r * math.sin(2 * math.pi * step / 48))
        self.page.mouse.up()

    def tiles(self) -> list[int]:
        """Rows of the tiles shown."""
        return [
            int(row)
            for row in self.page.locator(".tile:visible").evaluate_all("all => all.map(t => t.dataset.row)")
            if row
        ]

    def tile(self, row: int):
        return self.page.locator(f".tile[data-row='{row}']")

    def until(self, condition, what: str, patience: float = 15.0):
        limit = time.monotonic() + patience
        while not (found := condition()):
            assert time.monotonic() < limit, f"waited in vain for {what}"
            self.page.wait_for_timeout(30)
        return found

    def tab(self, name: str):
        self.page.get_by_role("tab", name=re.compile(name)).click()
