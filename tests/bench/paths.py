"""The paths a person waits for, each beside what a peer does for the same answer."""

import tempfile
from importlib.metadata import version
from pathlib import Path

import h5py
import numpy as np

from tests.bench.boxes import boxes
from tests.bench.browser import thumbnails, wheel
from tests.bench.embedding import embedding_cuda, embedding_pass, encoding, products
from tests.bench.features import galaxies
from tests.bench.hunt import label_to_ranking
from tests.bench.labelling import labelling
from tests.bench.layouts import cold_start, estimated, umap_cold, umap_warm
from tests.bench.likeness import likeness
from tests.bench.maps import lasso, map_frame, map_kinds, map_memory
from tests.bench.measure import Figure, clocked, compare
from tests.bench.outliers import local_outliers
from tests.bench.sources import fits_reading, indexing


def reading(full: bool) -> list[Figure]:
    """Cutouts out of an HDF5 file, batch by batch, as the embedding pass wants them."""
    from concurrent.futures import ThreadPoolExecutor

    import torch

    from engine import Survey
    from engine.data.arrays.hdf5 import Hdf5Rows
    from engine.data.cutouts import read_batch
    from engine.encoders.inference import one_core
    from engine.encoders.pipeline import READ

    rng = np.random.default_rng(4)
    n, packed = (50_000, 8_000) if full else (10_000, 2_000)
    pictures = rng.integers(0, 255, (n, 64, 64, 3), np.uint8)
    flux = np.round(rng.normal(size=(packed, 64, 64, 5)) * 30).astype(np.float32)
    kinds = [
        ("uint8, 3 bands", pictures, {"chunks": (64, 64, 64, 3)}),
        ("float32, 5 bands, gzip", flux, {"chunks": (8, 64, 64, 5), "compression": "gzip", "shuffle": True}),
    ]
    figures = []
    for words, values, options in kinds:
        with tempfile.TemporaryDirectory() as folder:
            path, count = Path(folder) / "cutouts.h5", len(values)
            with h5py.File(path, "w") as f:
                f.create_dataset("images", data=values, **options)
            source = Hdf5Rows(Survey.ingest(path, Path(folder) / "bench.survey"), path)

            def one_by_one(path=path, count=count):
                found = []
                with h5py.File(path) as f:
                    for a in range(0, count, READ):
                        rows = range(a, min(a + READ, count))
                        batch = np.stack([np.moveaxis(f["images"][i], -1, 0).astype(np.float32) for i in rows])
                        found.append(batch[0].copy())
                return found

            def slabs(source=source, count=count):
                def batch(a):
                    return read_batch(source, np.arange(a, min(a + READ, count)), 64)[0][0].copy()

                return list(cores.map(batch, range(0, count, READ)))

            spent = {}

            def same(mine, theirs, spent=spent):
                assert all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))
                return f"equal pixels; {spent['theirs'] / spent['ours']:.1f}× less CPU time"

            with ThreadPoolExecutor(torch.get_num_threads(), initializer=one_core) as cores:
                figures.append(
                    compare(
                        f"{count:,} cutouts 64×64 ({words}) from HDF5, in batches, as float32 bands first",
                        f"h5py {version('h5py')}, one row at a time",
                        clocked(slabs, spent, "ours"),
                        clocked(one_by_one, spent, "theirs"),
                        same,
                    )
                )
    return figures


def two_point(full: bool) -> list[Figure]:
    """All pairs by distance in 8 dimensions, at the separations of the 2-point correlation score, one thread each."""
    import scipy
    import torch
    from scipy.spatial import cKDTree

    from engine.maps.correlation import EDGES, PERCENTILE, pair_counts

    n = 50_000 if full else 10_000
    x = galaxies(n, 8, seed=5)
    edges = np.linspace(0, 2 * np.percentile(np.linalg.norm(x, axis=1), PERCENTILE), EDGES)
    exact = x.astype(np.float64)

    def tree():
        built = cKDTree(exact)
        return built.count_neighbors(built, edges, cumulative=False)[1:] // 2  # ordered pairs; the first bin is r = 0

    def agree(mine, theirs):
        moved = np.abs(mine - theirs).sum() / theirs.sum()
        assert moved < 1e-3, moved
        return f"{moved:.0e} of {theirs.sum():,} pairs in a neighbouring bin (float32)"

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [
            compare(
                f"2-point correlation: pairs of {n:,} points in 8 dimensions, {EDGES - 1} bins, one thread",
                f"scipy {scipy.__version__} cKDTree.count_neighbors, not cumulative (its faster way)",
                lambda: pair_counts(x, edges),
                tree,
                agree,
                pairs=1 if full else 3,
            )
        ]
    finally:
        torch.set_num_threads(threads)


#: Every figure, in the order of the table.
ALL = (
    label_to_ranking,
    labelling,
    likeness,
    local_outliers,
    lasso,
    map_frame,
    map_kinds,
    map_memory,
    reading,
    indexing,
    fits_reading,
    boxes,
    encoding,
    products,
    embedding_pass,
    embedding_cuda,
    two_point,
    wheel,
    thumbnails,
    umap_warm,
    umap_cold,
    estimated,
    cold_start,
)
