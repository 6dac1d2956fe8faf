"""What a person waits for in the browser, beside HoloViews' own way to draw many points: real servers, one Chromium.

The clock is the page's: from the wheel's event to the first message after the frame of the screen that shows the new
picture. Ours and the peer's page take turns.
"""

import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

from tests.bench.measure import Figure

ROOT = Path(__file__).resolve().parents[2]
#: Turns of the wheel that are timed, after some that are not.
TURNS, UNTIMED = 20, 3
WINDOW = {"width": 1280, "height": 720}

#: Notes when a turn of the wheel began and when the picture that answers it was painted. The picture is the glyph of a figure
#: whose data change.
WATCH = """() => {
  const figures = Bokeh.documents.flatMap((doc) => [...doc._all_models.values()].filter((m) => m.type === "Figure"));
  const pictures = figures.flatMap((figure) => figure.renderers.filter((r) => r.glyph?.type?.startsWith("Image")));
  window.painted = []; window.wheeled = 0;
  document.addEventListener("wheel", () => { window.wheeled = performance.now(); }, true);
  const changed = () => {
    if (!window.wheeled) return;
    const began = window.wheeled;
    window.wheeled = 0;
    requestAnimationFrame(() => {
      const {port1, port2} = new MessageChannel();
      port1.onmessage = () => window.painted.push(performance.now() - began);
      port2.postMessage(0);
    });
  };
  for (const picture of pictures) picture.data_source.properties.data.change.connect(changed);
  return pictures.length;
}"""

PEER = """
import sys
import datashader as ds, holoviews as hv, numpy as np, pandas as pd, panel as pn
from holoviews.operation.datashader import rasterize
hv.extension("bokeh")
frame = pd.DataFrame(np.load(sys.argv[1]), columns=["x", "y"])
def page():
    points = rasterize(hv.Points(frame, ["x", "y"]), aggregator=ds.count())
    points = points.opts(responsive=True, cnorm="eq_hist", active_tools=["wheel_zoom"], tools=["wheel_zoom"])
    return pn.Column(pn.pane.HoloViews(points, sizing_mode="stretch_both"), sizing_mode="stretch_both")
pn.serve({"/": page}, port=int(sys.argv[2]), show=False, address="127.0.0.1")
"""


def galaxy_map(n: int) -> np.ndarray:
    """A layout like those of surveys: clumps of all sizes, (n, 2) float32."""
    rng = np.random.default_rng(0)
    middle, size, share = rng.normal(size=(40, 2)) * 5, rng.uniform(0.1, 1.2, 40), rng.dirichlet(np.ones(40))
    which = rng.choice(40, n, p=share)
    return (middle[which] + rng.normal(size=(n, 2)) * size[which, None]).astype(np.float32)


def survey_of(xy: np.ndarray, folder: Path) -> Path:
    """A survey of objects without pixels that has this layout."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from engine import Survey

    ids = pa.array(np.arange(len(xy))).cast(pa.string())
    pq.write_table(pa.table({"id": ids, "x": xy[:, 0], "y": xy[:, 1]}), folder / "objects.parquet")
    found = Survey.ingest(folder / "objects.parquet", folder / "bench.survey")
    found.layout("columns", columns=("x", "y"))
    return found.path


@contextlib.contextmanager
def serving(*command):
    """A server in a process of its own; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    given = [str(part).replace("PORT", str(port)) for part in command]
    server = subprocess.Popen([sys.executable, *given], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        limit = time.monotonic() + 120
        while server.poll() is None and time.monotonic() < limit:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                break
            time.sleep(0.1)
        yield f"http://localhost:{port}/"
    finally:
        server.terminate()
        server.wait(20)


@contextlib.contextmanager
def chromium():
    """A headless Chromium without a GPU, as on a server."""
    from playwright.sync_api import sync_playwright

    sys.path.insert(0, str(ROOT / "tests"))
    from chromium import find

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find(), args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


class Wheel:
    """A page with a map, and its wheel."""

    def __init__(self, browser, address: str):
        self.page = browser.new_context(viewport=WINDOW).new_page()
        self.page.goto(address)
        self.page.locator(".bk-Canvas").first.wait_for(state="visible", timeout=120_000)
        self.page.wait_for_timeout(6000)
        if not self.page.evaluate(WATCH):
            raise RuntimeError(f"no picture on {address}")
        box = self.page.locator(".bk-Canvas").first.bounding_box()
        self.page.mouse.move(box["x"] + 0.45 * box["width"], box["y"] + 0.5 * box["height"])

    def turn(self, step: int) -> float:
        """Zoom in or out by a notch; seconds until it is painted."""
        self.page.bring_to_front()
        seen = self.page.evaluate("window.painted.length")
        self.page.mouse.wheel(0, -120 if (step // 5) % 2 == 0 else 120)
        self.page.wait_for_function(f"window.painted.length > {seen}", timeout=20_000)
        took = self.page.evaluate(f"window.painted[{seen}]")
        self.page.wait_for_timeout(300)
        return took / 1e3


def wheel(full: bool) -> list[Figure]:
    """From the wheel to the new picture."""
    return [_wheel(n) for n in ((1_000_000, 10_000_000) if full else (1_000_000,))]


def _wheel(n: int) -> Figure:
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        folder, xy = Path(place), galaxy_map(n)
        np.save(folder / "xy.npy", xy)
        (folder / "peer.py").write_text(PEER)
        survey = survey_of(xy, folder)
        ours = stack.enter_context(serving("launch.py", survey, "--port", "PORT", "--no-browser"))
        theirs = stack.enter_context(serving(folder / "peer.py", folder / "xy.npy", "PORT"))
        browser = stack.enter_context(chromium())
        pages = [Wheel(browser, ours), Wheel(browser, theirs)]
        times = [[], []]
        for step in range(-UNTIMED, TURNS):
            for which, page in enumerate(pages):
                took = page.turn(step + UNTIMED)
                if step >= 0:
                    times[which].append(took)
    mine, other = (statistics.median(t) for t in times)
    late = np.percentile(times[0], 95)
    return Figure(
        f"wheel → new picture in Chromium, {n:,} points, whole page of 1280×720",
        f"holoviews {version('holoviews')} rasterize, alone on its page",
        mine,
        other,
        max(times[0]) / min(times[0]),
        f"95 % within {late * 1e3:.0f} ms; load {os.getloadavg()[0]:.1f}",
    )


#: Notes how long after the pointer's release, or a key, a page of the gallery was painted.
WATCH_GALLERY = """() => {
  const find = (name, root = document) => {
    const found = root.querySelector(name);
    if (found) return found;
    for (const node of root.querySelectorAll("*")) {
      const inner = node.shadowRoot && find(name, node.shadowRoot);
      if (inner) return inner;
    }
    return null;
  };
  window.shown = []; window.began = 0;
  document.addEventListener("pointerup", () => { window.began = performance.now(); }, true);
  const painted = () => requestAnimationFrame(() => {
    const {port1, port2} = new MessageChannel();
    port1.onmessage = () => window.shown.push(performance.now() - window.began);
    port2.postMessage(0);
  });
  new MutationObserver(painted).observe(find(".gallery"), {attributes: true, attributeFilter: ["data-sequence"]});
}"""


def thumbnails(full: bool) -> list[Figure]:
    """The first hundred pictures of a selection, and the next page; the peers are what a person takes for at once."""
    import h5py

    from engine import Survey

    n, side = (1_000_000 if full else 100_000), 32
    rng = np.random.default_rng(6)
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        folder, xy = Path(place), galaxy_map(n)
        y, x = np.mgrid[:side, :side] - side / 2
        light = np.exp(-np.hypot(x, y) / rng.uniform(2, 6, (500, 1, 1)))
        with h5py.File(folder / "galaxies.h5", "w") as file:
            images = file.create_dataset("images", (n, side, side), np.uint8, chunks=(256, side, side))
            for start in range(0, n, 50_000):
                part = light[rng.integers(0, len(light), min(50_000, n - start))]
                images[start : start + len(part)] = 235 * part + rng.integers(0, 20, part.shape)
            file["x"], file["y"] = xy.T
        survey = Survey.ingest(folder / "galaxies.h5", folder / "galaxies.survey")
        survey.layout("columns", columns=("x", "y"))
        address = stack.enter_context(serving("launch.py", survey.path, "--port", "PORT", "--no-browser"))
        page = stack.enter_context(chromium()).new_page(viewport={"width": 1400, "height": 900})
        page.goto(address)
        page.locator(".overlay .legend").first.wait_for(state="visible", timeout=120_000)
        page.wait_for_timeout(4000)
        page.evaluate(WATCH_GALLERY)
        first, following = [], []
        for turn in range(12):
            took = _shown(page, lambda turn=turn: _circle(page, 0.1 + 0.02 * turn))
            page.wait_for_timeout(1500)  # the next page's pictures come after this one's
            later = _shown(page, lambda: page.keyboard.press("]"))
            if turn >= 2:
                first.append(took)
                following.append(later)
            page.keyboard.press("Escape")
            page.wait_for_timeout(500)
    return [
        Figure(
            f"lasso's release → first 100 thumbnails painted, {n:,} objects in HDF5",
            "250 ms, the aim",
            statistics.median(first),
            0.25,
            max(first) / min(first),
            f"slowest {max(first) * 1e3:.0f} ms",
        ),
        Figure(
            "next page of 100 thumbnails painted",
            "100 ms, the aim",
            statistics.median(following),
            0.1,
            max(following) / min(following),
            f"slowest {max(following) * 1e3:.0f} ms",
        ),
    ]


def _shown(page, act) -> float:
    """Seconds from an act to the gallery's page that answers it."""
    page.evaluate("window.shown.length = 0; window.began = performance.now()")  # a key's event stays with the gallery
    act()
    page.wait_for_function("window.shown.length > 0", timeout=20_000)
    return page.evaluate("window.shown[0]") / 1e3


def _circle(page, share: float) -> None:
    """Draw a lasso of 40 vertices around the middle of the map."""
    box = page.locator(".bk-Canvas").first.bounding_box()
    x, y = box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"]
    r = share * min(box["width"], box["height"])
    page.mouse.move(x + r, y)
    page.keyboard.press("l")
    page.mouse.down()
    for angle in np.linspace(0, 2 * np.pi, 40):
        page.mouse.move(x + r * np.cos(angle), y + r * np.sin(angle))
    page.mouse.up()
    page.keyboard.press("v")
