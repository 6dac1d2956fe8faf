"""One search by likeness over a million objects, beside FAISS, and beside reading the memory once."""

from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from importlib.util import find_spec

import numpy as np
from numba import njit

from engine.search.likeness import coarse, scan
from engine.search.likeness.scan import Form
from engine.survey import COMPONENTS
from tests.bench.features import galaxies
from tests.bench.measure import Figure, compare

#: Objects wanted.
TOP = 25


def likeness(full: bool) -> list[Figure]:
    """One query: whole vectors of 512 as they are stored, and as float32; components; and the floor of each."""
    n = 1_000_000 if full else 200_000
    vectors = galaxies(n, 512, seed=9)
    halves = vectors.astype(np.float16)
    figures = [
        *_beside_faiss(f"whole vectors, {n:,} × 512 float16 (as stored)", halves, vectors),
        *_beside_faiss(f"whole vectors, {n:,} × 512 float32", vectors, vectors),
        _beside_reading(f"{n:,} × 512 float16", halves),
    ]
    components = np.ascontiguousarray(vectors[:, :COMPONENTS])
    figures += _beside_faiss(
        f"{COMPONENTS} components of {n:,} (the default; weights of 5 objects)", components, vectors, 5
    )
    return figures


def _query(features: np.ndarray, objects: int):
    """What the app asks, as a call: features, forms, norms made beforehand."""
    allowed = np.ones(len(features), bool)
    if objects > 1:
        chosen = features[7 : 7 + objects].astype(np.float64)
        weights = 1 / (chosen.var(axis=0) + 0.5)
        weights /= weights.sum()
        target = chosen.mean(axis=0)
        form = Form(weights * target / np.sqrt(weights @ target**2), square=weights)
        return lambda: scan.best(features, [form], allowed, TOP), form, None
    mean = features.mean(axis=0, dtype=np.float64)
    norms = scan.lengths(features, mean)
    pull = features[7] - mean
    pull /= np.linalg.norm(pull)
    form = Form(pull, shift=float(pull @ mean))
    rough = coarse.make(features, mean)
    return lambda: coarse.best(rough, features, [form], allowed, TOP, norms=norms, mean=mean), form, mean


def _beside_faiss(words: str, features: np.ndarray, whole: np.ndarray, objects: int = 1) -> list[Figure]:
    if find_spec("faiss") is None:
        print("likeness beside FAISS: skipped, faiss is not installed (pip install skysieve[bench])")
        return []
    import faiss

    ours, form, mean = _query(features, objects)
    index = faiss.IndexFlatIP(whole.shape[1])
    index.add(whole)
    query = whole[7:8] / np.linalg.norm(whole[7])

    def exact(mine, theirs) -> str:
        score = scan.exact(features, [form], np.arange(len(features)), mean=mean)
        assert np.array_equal(mine[0], np.lexsort((np.arange(len(score)), -score))[:TOP])
        return "the same rows as brute force in float64"

    best = None
    for threads in (1, scan.cores()):  # one query: more threads are not always faster for it
        faiss.omp_set_num_threads(threads)
        figure = compare(
            f"one similarity query: {words}",
            f"faiss {version('faiss-cpu')} IndexFlatIP, {whole.shape[1]} float32, one query, {threads} thread{'s' * (threads > 1)}",
            ours,
            lambda: index.search(query, TOP),
            exact,
        )
        best = figure if best is None or figure.theirs < best.theirs else best
    return [best] if best is not None else []


def _beside_reading(words: str, features: np.ndarray) -> Figure:
    """The floor: every byte read once, by as many threads."""
    flat = features.reshape(-1).view(np.uint64)
    part = scan.SLAB // 8

    def read() -> int:
        with ThreadPoolExecutor(scan.cores()) as threads:
            return sum(threads.map(lambda start: int(_total(flat[start : start + part])), range(0, len(flat), part)))

    ours, _, _ = _query(features, 1)
    return compare(
        f"one similarity query: whole vectors, {words}",
        "reading the same memory once, as many threads (the floor: a ratio of 1 would be perfect)",
        ours,
        read,
        lambda mine, theirs: f"{features.nbytes / 2**30:.2f} GiB",
    )


@njit(cache=True, nogil=True)
def _total(values):
    total = np.uint64(0)
    for value in values:
        total += value
    return total
