"""Layouts: UMAP beside umap-learn, warm and from a cold start; what was estimated; the app's first picture."""

import functools
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np

from tests.bench.measure import Figure, compare

#: What a script does that knows only umap-learn.
SCRIPT = (
    "import sys, numpy; x = numpy.load(sys.argv[1]); import umap; numpy.save(sys.argv[2], umap.UMAP().fit_transform(x))"
)
#: Neighbours, and objects they are looked at for, when a map is judged.
JUDGED, JUDGES = 15, 1000


def data(n: int, d: int = 40) -> np.ndarray:
    """Half of it clusters of different width, half a curve with noise, (n, d) float32."""
    rng = np.random.default_rng(5)
    middles, kind = rng.normal(size=(30, d)) * 4, rng.integers(0, 30, n // 2)
    clumps = middles[kind] + rng.normal(size=(n // 2, d)) * rng.uniform(0.5, 1.5, (n // 2, 1))
    along = rng.uniform(0, 10, (n - n // 2, 1))
    curve = 3 * np.sin(along * rng.uniform(0.2, 2, d) + rng.uniform(0, 6, d))
    x = np.concatenate([clumps, curve + rng.normal(size=(n - n // 2, d)) * 0.3])
    return (x - x.mean(axis=0))[rng.permutation(n)].astype(np.float32)


def trustworthiness(x: np.ndarray, xy: np.ndarray) -> float:
    """Share of neighbours on the map that are no strangers (Venna & Kaski 2001), over some objects among all."""
    n, total = len(x), 0.0
    some = np.random.default_rng(0).choice(n, min(JUDGES, n), replace=False)
    for row in some:
        near = np.argpartition(((xy - xy[row]) ** 2).sum(axis=1), JUDGED + 1)[: JUDGED + 1]
        away = ((x - x[row]) ** 2).sum(axis=1)
        rank = (away[:, None] < away[near[near != row]][None, :]).sum(axis=0)
        total += np.maximum(rank - JUDGED, 0).sum()
    return 1 - 2 * total / (len(some) * JUDGED * (2 * n - 3 * JUDGED - 1))


def _as_good(x: np.ndarray, mine: np.ndarray, theirs: np.ndarray) -> str:
    ours, other = trustworthiness(x, mine), trustworthiness(x, theirs)
    assert ours > other - 0.01, (ours, other)
    return f"trustworthiness {ours:.3f}, {other:.3f}"


def umap_warm(full: bool) -> list[Figure]:
    """Everything compiled and imported: neighbours, graph and descent, in one process."""
    import warnings

    warnings.simplefilter("ignore")
    import umap

    from engine.maps.layouts import descent
    from engine.maps.layouts.fuzzy import fuzzy_graph
    from engine.maps.layouts.umaps import epochs_for
    from engine.maps.neighbours import exact

    n = 100_000 if full else 10_000
    x = data(n)

    def ours() -> np.ndarray:
        near = exact(x, 14)
        _, _, axes = np.linalg.svd(x[:: max(1, n // 5000)], full_matrices=False)
        start = x @ axes[:2].T
        start = (10 * (start - start.min(axis=0)) / np.ptp(start, axis=0)).astype(np.float32)
        a, b = descent.curve(1.0, 0.1)
        return descent.descend(fuzzy_graph(near.indices, near.distances), start, epochs=epochs_for(n), a=a, b=b, seed=1)

    figures = []
    for words, options in (("any order", {}), ("one seed, one thread", {"random_state": 1})):
        if words == "any order" or not full:
            figures.append(
                compare(
                    f"UMAP of {n:,} × 40, warm, the same layout for the same seed",
                    f"umap-learn {version('umap-learn')}, warm, {words}",
                    ours,
                    lambda options=options: umap.UMAP(**options).fit_transform(x),
                    functools.partial(_as_good, x),
                    pairs=3,
                )
            )
    return figures


def umap_cold(full: bool) -> list[Figure]:
    """A command typed in a shell, against a script: processes, imports and compilation included."""
    n = 100_000 if full else 20_000
    x = data(n)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        np.save(place / "x.npy", x)
        survey = _survey(place / "cold.survey", x)

        def ours() -> np.ndarray:
            for made in ("layouts", "neighbours"):
                shutil.rmtree(survey / made, ignore_errors=True)
            _run("-m", "engine", "layout", str(survey), "--progress", "none")
            return np.load(survey / "layouts" / "umap-given" / "xy.npy")

        def theirs() -> np.ndarray:
            _run("-c", SCRIPT, str(place / "x.npy"), str(place / "y.npy"))
            return np.load(place / "y.npy")

        found = _once(
            f"UMAP of {n:,} × 40, from a shell",
            "a script of umap-learn",
            ours,
            theirs,
            functools.partial(_as_good, x),
            2,
        )
        first = _once(
            f"… its first picture ({n:,} objects)",
            "the script's only one",
            lambda: _first_look(survey),
            theirs,
            lambda mine, other: "principal components",
            1,
        )
    return [found, first]


def estimated(full: bool) -> list[Figure]:
    """What was said before, beside what it took: the ratio is 1 where they are the same."""
    from engine import Survey
    from engine.maps.layouts.estimates import estimate_survey

    figures = []
    sizes = (5_000, 20_000, 100_000) if full else (5_000, 20_000)
    for n in sizes:
        with tempfile.TemporaryDirectory() as folder:
            survey = _survey(Path(folder) / "estimate.survey", data(n))
            for method in ("pca", "umap", "tsne") if full else ("pca", "umap"):
                said = estimate_survey(Survey.open(survey), method)
                shutil.rmtree(survey / "neighbours", ignore_errors=True)
                started = time.perf_counter()
                _run("-m", "engine", "layout", str(survey), "--method", method, "--progress", "none")
                took = time.perf_counter() - started
                words = f"{n:,} objects: what {method} takes, beside what was estimated"
                figures.append(Figure(words, "the estimate", took, said.seconds, 1.0, said.words))
    return figures


def cold_start(full: bool) -> list[Figure]:
    """From starting the server to a map that is painted in Chromium, no layout there, against umap-learn alone."""
    if not full:
        return []  # the peer takes minutes
    n = 50_000
    x = data(n)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        np.save(place / "x.npy", x)
        survey = _survey(place / "app.survey", x)

        def theirs() -> None:
            _run("-c", SCRIPT, str(place / "x.npy"), str(place / "y.npy"))

        def ours() -> None:
            shutil.rmtree(survey / "layouts", ignore_errors=True)
            _painted(survey)

        return [
            _once(
                f"the app's map of {n:,} objects without a layout, from a shell to the picture in Chromium",
                f"a script of umap-learn {version('umap-learn')}, from a shell to the positions",
                ours,
                theirs,
                lambda mine, other: "PCA at once; UMAP is offered",
                1,
            )
        ]


def _once(path: str, peer: str, ours: Callable, theirs: Callable, quality: Callable, pairs: int) -> Figure:
    """Time processes that start cold, in turn: nothing runs before."""
    times: list[list[float]] = [[], []]
    results: list = [None, None]
    for _ in range(pairs):
        for which, call in enumerate((ours, theirs)):
            started = time.perf_counter()
            results[which] = call()
            times[which].append(time.perf_counter() - started)
    mine, other = (statistics.median(t) for t in times)
    return Figure(path, peer, mine, other, max(times[0]) / min(times[0]), quality(*results))


def _run(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _survey(path: Path, x: np.ndarray) -> Path:
    """A survey of objects that have vectors, and pictures that are not there."""
    import pandas as pd

    from engine import Survey, files

    n, rng = len(x), np.random.default_rng(0)
    objects = pd.DataFrame(
        {
            "id": [f"o{k}" for k in range(n)],
            "ra": rng.uniform(0, 360, n),
            "dec": rng.uniform(-90, 90, n),
            "pixels_file": [f"{k}.jpg" for k in range(n)],
        }
    )
    pixels = {"kind": "images", "root": str(path.parent), "bands": ["R", "G", "B"], "science": False}
    survey = Survey.create(path, objects, pixels=pixels)
    folder = survey.path / "representations" / "given"
    files.write_npy(folder / "vectors.npy", x)
    files.write_npy(folder / "valid.npy", np.ones(n, bool))
    files.write_json(folder / "meta.json", {"encoder": "given"})
    return survey.path


def _first_look(survey: Path) -> None:
    """Start a layout, wait for its first look, stop it."""
    shutil.rmtree(survey / "layouts", ignore_errors=True)
    command = [sys.executable, "-m", "engine", "layout", str(survey), "--preview", "--progress", "none"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while not list((survey / "layouts").glob(".*.preview/preview.json")) and process.poll() is None:
        time.sleep(0.02)
    process.terminate()
    process.wait()


def _painted(survey: Path) -> None:
    """Start a server, open its page, wait until objects are on the map."""
    from playwright.sync_api import sync_playwright

    from tests import chromium

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "launch.py", str(survey), "--port", str(port), "--no-browser"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=chromium.find(), args=["--no-sandbox", "--disable-gpu"]
            )
            page = browser.new_page(viewport={"width": 1280, "height": 720})
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 0.2).close()
                    break
                except OSError:
                    time.sleep(0.05)
            page.goto(f"http://127.0.0.1:{port}/")
            page.get_by_text("in view").first.wait_for(state="visible", timeout=120_000)
            browser.close()
    finally:
        server.terminate()
        server.wait()
