"""Labelling at five a second in the browser: from the key to its mark, to its confirmation, to the next batch ranked anew."""

import contextlib
import statistics
import tempfile
from pathlib import Path

import numpy as np

from tests.bench.browser import chromium, galaxy_map, serving, survey_of
from tests.bench.measure import Figure

#: Labels given, and seconds between two of them.
LABELS, PAUSE = 40, 0.2

#: Notes, of each key: when its mark was painted, when it was confirmed, and when a batch of the ranking that follows was there.
WATCH = """() => {
  const find = (root) => {
    for (const node of root.querySelectorAll("*")) {
      if (node.matches(".gallery")) return node;
      const inner = node.shadowRoot && find(node.shadowRoot);
      if (inner) return inner;
    }
    return null;
  };
  const gallery = window.gallery = find(document), now = () => performance.now();
  window.marked = []; window.confirmed = []; window.ranked = [];
  const { asked } = window;
  new MutationObserver((changes) => {
    for (const { target, attributeName } of changes) {
      if (attributeName === "data-following") { window.ranked.push(now() - window.last); continue; }
      const began = asked.get(target.dataset.row);
      if (began && target.classList.contains("tile") && target.dataset.label && !target.classList.contains("pending")) {
        window.confirmed.push(now() - began);
        asked.delete(target.dataset.row);
      }
    }
  }).observe(gallery, { attributes: true, subtree: true, attributeFilter: ["class", "data-following"] });
}"""


#: Notes a key before the gallery hears of it: it keeps its keys to itself.
HEAR = """window.asked = new Map();
window.addEventListener("keydown", (event) => {
  if (event.key !== "n" || !window.gallery) return;
  const began = window.last = event.timeStamp;
  window.asked.set(window.gallery.querySelector(".tile.cursor")?.dataset.row, began);
  requestAnimationFrame(() => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => window.marked.push(performance.now() - began);
    port2.postMessage(0);
  });
}, true);"""


def labelling(full: bool) -> list[Figure]:
    """Forty labels, five a second, on a survey whose vectors exist."""
    from engine import files

    n = 1_000_000 if full else 100_000
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        survey = survey_of(galaxy_map(n), Path(place))
        vectors = np.random.default_rng(0).normal(size=(n, 40)).astype(np.float32)
        folder = survey / "representations" / "given"
        files.write_npy(folder / "vectors.npy", vectors)
        files.write_npy(folder / "valid.npy", np.ones(n, bool))
        files.write_json(folder / "meta.json", {"encoder": "given"})
        address = stack.enter_context(serving("launch.py", survey, "--port", "PORT", "--no-browser"))
        page = stack.enter_context(chromium()).new_page(viewport={"width": 1280, "height": 720})
        return _figures(page, address, survey, n)


def _figures(page, address: str, survey: Path, n: int) -> list[Figure]:
    from engine import Survey

    page.add_init_script(HEAR)
    page.goto(f"{address}?tab=suggestions&target=bench")
    page.locator(".gallery .tile.cursor").first.wait_for(timeout=300_000)
    page.locator(".gallery[data-following]").wait_for(timeout=60_000)
    page.keyboard.press("y")  # compiles, fits
    page.wait_for_timeout(10_000)
    page.evaluate(WATCH)
    for _ in range(LABELS):
        page.keyboard.press("n")
        page.wait_for_timeout(1e3 * PAUSE)
    page.wait_for_timeout(5000)
    lost = LABELS + 1 - len(Survey.open(survey).labels.current("bench").rows)
    if lost:
        raise RuntimeError(f"{lost} labels were lost")
    whats = {
        "marked": ("its mark painted", 0.05),
        "confirmed": ("confirmed on disk", 0.3),
        "ranked": ("next batch ranked", 0.3),
    }
    figures = []
    for name, (what, aim) in whats.items():
        times = [t / 1e3 for t in page.evaluate(f"window.{name}")] or [float("nan")]
        note = f"{LABELS} labels, none lost; {len(times)} seen; slowest {1e3 * max(times):.0f} ms"
        spread = max(times) / min(times)
        figures.append(
            Figure(
                f"label's key → {what}, {n:,} objects",
                f"{1e3 * aim:.0f} ms, the aim",
                statistics.median(times),
                aim,
                spread,
                note,
            )
        )
    return figures
