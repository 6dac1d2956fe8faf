"""The map on the server: frames of every kind beside datashader's, the lasso beside shapely, and the memory that all takes.

``python -m tests.bench.maps FOLDER`` is the measured process of `memory`: it prints its peak beyond the imports, in bytes.
"""

import json
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

from tests.bench.measure import Figure, compare

#: Half the width of the whole view, in standard deviations of the points; and that of 0.1 % of its area.
WHOLE, SMALL = 5.0, 5.0 * np.sqrt(1e-3)
#: Pixels of a picture with its margin, as the app draws it in a window of 1000×800.
WIDE = (1300, 1040)
#: Categories of the points.
KINDS = 8


def points_of(n: int, seed: int = 3) -> np.ndarray:
    """A normal cloud, (n, 2) float32."""
    return np.random.default_rng(seed).normal(size=(n, 2)).astype(np.float32)


def lasso(full: bool) -> list[Figure]:
    """Which points a lasso holds."""
    import shapely

    from engine.maps.drawing.tiles import TileIndex
    from engine.search.region import inside

    n = 10_000_000
    xy = points_of(n, 2)
    polygon = outline()
    index = TileIndex.build(xy)
    shape = shapely.Polygon(polygon)
    shapely.prepare(shape)

    def same(mine, theirs):
        theirs = np.flatnonzero(theirs)
        assert np.array_equal(mine, theirs)
        return f"the same {len(theirs):,} members"

    return [
        compare(
            f"lasso of {len(polygon)} vertices over {n:,} points",
            f"shapely {version('shapely')} contains_xy, prepared",
            lambda: inside(index, polygon),
            lambda: shapely.contains_xy(shape, xy[:, 0], xy[:, 1]),
            same,
            pairs=3,
        )
    ]


def outline() -> np.ndarray:
    """A lasso of 500 vertices around two fifths of the points."""
    angle = np.linspace(0, 2 * np.pi, 500, endpoint=False)
    return np.column_stack([np.cos(angle), np.sin(angle)]) * (1 + 0.15 * np.sin(9 * angle))[:, None]


def map_frame(full: bool) -> list[Figure]:
    """Counts a pixel of one frame, whole and zoomed to 0.1 % of the area, for 10⁶ and 10⁷ points."""
    return [figure for n in (1_000_000, 10_000_000) for figure in _counts(n)]


def _counts(n: int) -> list[Figure]:
    import datashader as ds
    import pandas as pd

    from app.map.raster import Points, View
    from app.map.sums import Sums
    from engine.maps.drawing import aggregate, pyramid
    from engine.maps.drawing.tiles import TileIndex

    xy = points_of(n)
    frame = pd.DataFrame({"x": xy[:, 0], "y": xy[:, 1]})
    index = TileIndex.build(xy)
    tall = pyramid.Pyramid.build(index) if n >= pyramid.FEWEST else None
    points, sums = Points(index), Sums(Points(index, pyramid=tall))

    def exact(mine, theirs):
        assert np.array_equal(mine, theirs)
        return "equal counts in every pixel"

    def near(mine, theirs):
        total = abs(mine.sum() / theirs.sum() - 1)
        assert total < 0.01, total
        alike = np.corrcoef(mine.ravel(), theirs.ravel())[0, 1]
        return f"total within {total:.1%}, correlation of the pixels {alike:.4f}"

    ways = [("whole layout, point by point", WHOLE, lambda v: aggregate.counts(points, v), exact)]
    if tall is not None:
        ways.append(("whole layout, from its pyramid, as the map draws it", WHOLE, sums.counts, near))
    ways.append(("0.1 % of the area", SMALL, sums.counts, exact))
    figures = []
    for words, r, draw, quality in ways:
        view, canvas = View(-r, -r, r, r, 1000, 800), ds.Canvas(1000, 800, (-r, r), (-r, r))
        figures.append(
            compare(
                f"map frame 1000×800, {n:,} points, {words}",
                f"datashader {version('datashader')} Canvas.points",
                lambda v=view, draw=draw: draw(v),
                lambda c=canvas: c.points(frame, "x", "y", ds.count()).values,
                quality,
                pairs=7,
            )
        )
    return figures


def map_kinds(full: bool) -> list[Figure]:
    """Whole frames, from the view to RGBA with the margin, coloured in every way, beside datashader's aggregation and shading."""
    import datashader as ds
    import datashader.transfer_functions as tf
    import pandas as pd

    from app.columns import Values
    from app.map.colouring import Colouring
    from app.map.raster import Points, View
    from engine.maps.drawing.pyramid import Pyramid
    from engine.maps.drawing.tiles import TileIndex

    n = 10_000_000
    rng, xy = np.random.default_rng(4), points_of(n)
    number, codes = rng.normal(size=n).astype(np.float32), rng.integers(0, KINDS, n).astype(np.int8)
    index = TileIndex.build(xy)
    points = Points(index, pyramid=Pyramid.build(index))
    kinds = pd.Categorical.from_codes(codes, categories=[f"kind {k}" for k in range(KINDS)])
    frame = pd.DataFrame({"x": xy[:, 0], "y": xy[:, 1], "c": number, "k": kinds})
    category = Values("k", "category", codes, tuple(kinds.categories))
    ways = [
        ("density", Colouring(None, dark=True), ds.count()),
        ("mean of a column", Colouring(Values("c", "number", number), dark=True), ds.mean("c")),
        (f"{KINDS} categories, mixed", Colouring(category, dark=True), ds.by("k", ds.count())),
        (f"{KINDS} categories, the most frequent", Colouring(category, dark=True, scale="top"), ds.by("k", ds.count())),
    ]
    views = (("whole layout", WHOLE), ("a quarter of each side", WHOLE / 4), ("0.1 % of the area", SMALL))
    figures = []
    for words, colouring, reduction in ways:
        for where, r in views:
            view, canvas = View(-r, -r, r, r, *WIDE), ds.Canvas(*WIDE, (-r, r), (-r, r))
            figures.append(
                compare(
                    f"map frame {WIDE[0]}×{WIDE[1]} to RGBA, {n:,} points, {words}, {where}",
                    f"datashader {version('datashader')} Canvas.points and tf.shade",
                    lambda v=view, c=colouring: c.draw(points, v).rgba,
                    lambda c=canvas, r=reduction: tf.shade(c.points(frame, "x", "y", r)).values,
                    _pixels_shown,
                    pairs=3,
                )
            )
    return figures


def _pixels_shown(mine, theirs) -> str:
    own, other = (mine[..., 3] > 0).mean(), ((theirs >> 24) > 0).mean()
    assert own > 0.9 * other
    return f"{own:.0%} of the pixels shown, datashader {other:.0%}"


def map_memory(full: bool) -> list[Figure]:
    """Memory of a map with a number coloured and two fifths selected, built and browsed; and how long building takes."""
    figures = []
    for n in (10_000_000, *((100_000_000,) if full else ())):
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), n)
            found = json.loads(
                subprocess.run(
                    [sys.executable, "-m", "tests.bench.maps", folder], capture_output=True, text=True, check=True
                ).stdout
            )
        figures.append(
            Figure(
                f"index and pyramid of {n:,} points built, stored and opened; a frame of a new column; whole frames after it",
                "the same process: its first frame, everything included",
                found["frame"],
                found["first"],
                1.0,
                f"built in {found['build']:.1f} s, lasso {found['lasso']:.3f} s, {found['members']:,} members drawn in "
                f"{found['chosen']:.3f} s; peak memory beyond the imports {found['peak'] / 2**30:.2f} GiB",
            )
        )
    return figures


def write(folder: Path, n: int) -> None:
    """A layout and a column of so many objects as files, a piece at a time."""
    rng, piece = np.random.default_rng(5), 5_000_000
    xy = np.lib.format.open_memmap(folder / "xy.npy", "w+", np.float32, (n, 2))
    column = np.lib.format.open_memmap(folder / "column.npy", "w+", np.float32, (n,))
    for a in range(0, n, piece):
        b = min(a + piece, n)
        xy[a:b] = rng.normal(size=(b - a, 2))
        column[a:b] = rng.normal(size=b - a)
    xy.flush()
    column.flush()


def measured(folder: Path) -> dict:
    """Build and browse the map of `folder` in this process; seconds, and the peak beyond the imports."""
    import time

    from app.columns import Values
    from app.layouts.stored import Placed
    from app.map.colouring import Colouring, warm_all
    from app.map.raster import Points
    from app.map.scene import Scene
    from engine.maps.drawing import pyramid
    from engine.maps.drawing.tiles import TileIndex
    from engine.search.region import inside

    warm_all()
    before = _peak()
    xy, column = (np.load(folder / name, mmap_mode="r") for name in ("xy.npy", "column.npy"))
    clock = [time.perf_counter()]

    def lap() -> float:
        clock.append(time.perf_counter())
        return clock[-1] - clock[-2]

    index = TileIndex.build(xy)
    index.save(folder)
    pyramid.store(folder, index)
    index = TileIndex.load(folder)
    assert index is not None
    placed = Placed("bench", xy, index, pyramid.counted(folder, index))
    found = {"build": lap()}
    colouring = Colouring(Values("c", "number", column), dark=True)
    whole, size = (-WHOLE, -WHOLE, WHOLE, WHOLE), (1000, 800)
    Scene(placed.points, None, colouring, "t").draw(whole, size)
    found["first"] = lap()
    Scene(placed.points, None, colouring, "t").draw(whole, size)
    found["frame"] = lap()
    rows = inside(index, outline())
    found["lasso"] = lap()
    scene = Scene(placed.points, Points.of_rows(index, rows), colouring, "t")
    scene.draw(whole, size)
    found["chosen"] = lap()
    for zoom in (2, 4, 8, 32):
        scene.draw(tuple(side / zoom for side in whole), size)
    return {**found, "members": len(rows), "peak": _peak() - before}


def _peak() -> int:
    """Most memory that this process has had, pages of files included, bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    print(json.dumps(measured(Path(sys.argv[1]))))
