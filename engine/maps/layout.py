"""Layouts: a place on the map for every object.

``pca`` takes the two leading principal coordinates and is there at once; ``umap`` (McInnes et al. 2018,
arXiv:1802.03426) and ``tsne`` (van der Maaten & Hinton 2008; openTSNE) start from it and pull together what the
neighbour graph joins; ``columns`` shows two columns of the catalogue as they are. A layout is stored as
``layouts/METHOD-REPRESENTATION/`` with its tile index.

Cost: UMAP is about 500 epochs over the edges of the graph up to 10,000 objects and 200 above, after some ten seconds of
compilation; the same seed gives the same layout. Objects without a vector have no place (NaN).
"""

from __future__ import annotations

import io
import os
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine import files
from engine.errors import UserError
from engine.jobs import Progress, silent
from engine.maps.components import principal_coordinates
from engine.maps.neighbours import neighbours as nearest_neighbours
from engine.maps.tiles import TileIndex

if TYPE_CHECKING:
    import scipy.sparse

    from engine.survey import Survey

#: Half the width of a layout, in its own units: the bulk of the points lies within ± RADIUS.
RADIUS = 10.0
#: Percentile of the distance from the middle (the larger of the two axes') that is brought to RADIUS.
BULK = 98.0
#: Fewer placed objects than this have no structure to unfold: they get their principal coordinates.
FEWEST = 5
#: UMAP: objects up to which a survey is small, and the epochs of small and large ones (the defaults of umap-learn).
SMALL, EPOCHS_SMALL, EPOCHS_LARGE = 10_000, 500, 200
#: t-SNE: epochs of early exaggeration and after it, and the exaggeration (the defaults of openTSNE).
TSNE_EPOCHS = (250, 500)
EXAGGERATION = 12.0
#: t-SNE: objects below which one thread is faster than waiting for others.
TSNE_THREADED = 5000
#: t-SNE: neighbours for each unit of perplexity.
NEIGHBOURS_PER_PERPLEXITY = 3
#: Noise added to a start, as a share of its extent: objects with the same vector must be able to part.
JITTER = 1e-5


@dataclass(frozen=True)
class Task:
    """What a method needs: the survey, and the settings that were asked for."""

    survey: Survey
    representation: str | None
    columns: tuple[str, str] | None
    seed: int
    neighbours: int
    min_dist: float
    perplexity: float
    device: str | None
    progress: Progress


def layout(
    survey: Survey,
    method: str = "umap",
    *,
    representation: str | None = None,
    columns: Sequence[str] | None = None,
    seed: int = 0,
    neighbours: int = 15,
    min_dist: float = 0.1,
    perplexity: float = 30.0,
    device: str | None = None,
    progress: Progress = silent,
) -> np.ndarray:
    """Make a layout and store it in the survey.

    Parameters
    ----------
    survey : Survey
    method : {"pca", "umap", "tsne", "columns"}
    representation : str, optional
        The newest if not given; not used by ``columns``.
    columns : (str, str), optional
        For ``columns``: names of the catalogue columns that are x and y.
    seed : int
        Of the random numbers; the same seed gives the same layout on the same machine.
    neighbours : int
        UMAP: objects in a neighbourhood, itself among them; more shows coarser structure.
    min_dist : float
        UMAP: how close two points may come, 0 (tight clumps) to 1.
    perplexity : float
        t-SNE: effective number of neighbours.
    device : str, optional
        Where neighbours are computed.

    Returns
    -------
    (N, 2) float32
        Centred, the bulk within ± 10 (``columns``: as in the catalogue); NaN where an object has no place.

    Raises
    ------
    UserError
        If the method, a column or the representation is not known, or a setting makes no sense.
    """
    if method not in METHODS:
        raise UserError(f"there is no layout method {method!r}", f"choose one of: {', '.join(METHODS)}")
    _check(neighbours, min_dist, perplexity)
    started = time.monotonic()
    name = None if method == "columns" else survey.representation(representation).name
    task = Task(survey, name, _pair(method, columns), seed, neighbours, min_dist, perplexity, device, progress)
    xy, settings = METHODS[method](task)
    meta = {"method": method, "representation": name, "seed": seed, **settings}
    _store(survey, layout_name(method, name, columns), xy, meta, started)
    return xy


def layout_name(method: str, representation: str | None, columns: Sequence[str] | None = None) -> str:
    """Name under which a layout is stored, ``METHOD-REPRESENTATION`` or ``columns-X-Y``."""
    parts = [method, *(columns or ())] if method == "columns" else [method, str(representation)]
    return "".join(ch if ch.isalnum() or ch in "._+-" else "_" for ch in "-".join(parts))[:100]


def tiles(survey: Survey, name: str) -> TileIndex:
    """The tile index of a stored layout, read if it is there and built if not.

    Raises
    ------
    UserError
        If there is no such layout.
    """
    xy = survey.layout_xy(name)
    index = TileIndex.load(survey.path / "layouts" / name / "tiles")
    return index if index is not None and index.count == len(xy) else TileIndex.build(xy)


def _check(neighbours: int, min_dist: float, perplexity: float) -> None:
    if neighbours < 2:
        raise UserError(f"neighbours is {neighbours}", "give at least 2: an object is among its own")
    if not 0 <= min_dist <= 1:
        raise UserError(f"min_dist is {min_dist}", "give a number from 0 to 1")
    if not perplexity > 1:
        raise UserError(f"perplexity is {perplexity}", "give a number above 1; 30 suits most surveys")


def _pair(method: str, columns: Sequence[str] | None) -> tuple[str, str] | None:
    if method != "columns":
        return None
    if columns is None or isinstance(columns, str) or len(columns) != 2:
        raise UserError("a layout of columns needs two of them", 'give their names, such as columns=("ra", "dec")')
    return columns[0], columns[1]


def _store(survey: Survey, name: str, xy: np.ndarray, meta: dict, started: float) -> None:
    """Write a layout and its tiles, the meta last: without it the layout does not exist."""
    folder = survey.path / "layouts" / name
    (folder / "meta.json").unlink(missing_ok=True)
    (folder / "tiles" / "grid.json").unlink(missing_ok=True)
    files.write_npy(folder / "xy.npy", xy)
    TileIndex.build(xy).save(folder / "tiles")
    placed = int(np.isfinite(xy).all(axis=1).sum())
    files.write_json(folder / "meta.json", {**meta, "placed": placed, "seconds": round(time.monotonic() - started, 3)})


# -- methods: a task in, (N, 2) float32 and the settings that were used out -------------------------------------------


def _pca(task: Task) -> tuple[np.ndarray, dict]:
    """The two leading principal coordinates."""
    start, rows = _start(task)
    task.progress(len(rows), len(rows), "principal components")
    return _placed(start, rows, len(task.survey)), {}


def _umap(task: Task) -> tuple[np.ndarray, dict]:
    """UMAP on our own neighbours, started from the principal coordinates."""
    start, rows = _start(task)
    settings = {"neighbours": task.neighbours, "min_dist": task.min_dist}
    if len(rows) < FEWEST:
        return _placed(start, rows, len(task.survey)), {**settings, "fallback": "pca"}
    near = nearest_neighbours(
        task.survey, task.representation, k=task.neighbours - 1, device=task.device, progress=task.progress
    )
    indices, distances = _compact(near.indices, near.distances, rows)
    epochs = EPOCHS_SMALL if len(rows) <= SMALL else EPOCHS_LARGE
    with _third_party_warnings():
        xy = _optimise_umap(indices, distances, start, task, epochs)
    return _placed(xy, rows, len(task.survey)), {**settings, "epochs": epochs}


def _optimise_umap(indices, distances, start, task: Task, epochs: int) -> np.ndarray:
    """Fuzzy graph and its embedding, by umap-learn's own functions; (n, 2)."""
    task.progress(0, epochs, "umap: compiling")
    from umap.umap_ import find_ab_params, fuzzy_simplicial_set, simplicial_set_embedding

    random = np.random.RandomState(task.seed)
    n = len(start)
    own = np.arange(n, dtype=np.int32)[:, None]  # umap counts an object as its own first neighbour
    knn = np.concatenate([own, indices], axis=1), np.concatenate([np.zeros((n, 1), np.float32), distances], axis=1)
    graph: scipy.sparse.coo_matrix = fuzzy_simplicial_set(
        start, knn[0].shape[1], random, "euclidean", knn_indices=knn[0], knn_dists=knn[1]
    )[0]
    a, b = find_ab_params(1.0, task.min_dist)
    bar = {
        "file": _EpochStream(task.progress, epochs, "umap"),
        "disable": False,
        "bar_format": "{n_fmt}\n",
        "mininterval": 0.1,
    }
    return simplicial_set_embedding(
        start,
        graph,
        2,
        1.0,
        a,
        b,
        1.0,
        5,
        epochs,
        _jittered(start, random),
        random,
        "euclidean",
        {},
        False,
        {},
        False,
        parallel=False,
        tqdm_kwds=bar,
    )[0]


def _tsne(task: Task) -> tuple[np.ndarray, dict]:
    """t-SNE on our own neighbours, started from the principal coordinates."""
    start, rows = _start(task)
    if len(rows) < FEWEST:
        return _placed(start, rows, len(task.survey)), {"perplexity": task.perplexity, "fallback": "pca"}
    perplexity = min(task.perplexity, (len(rows) - 1) / NEIGHBOURS_PER_PERPLEXITY)
    near = nearest_neighbours(
        task.survey,
        task.representation,
        k=int(NEIGHBOURS_PER_PERPLEXITY * perplexity),
        device=task.device,
        progress=task.progress,
    )
    indices, distances = _compact(near.indices, near.distances, rows)
    with _third_party_warnings():
        xy = _optimise_tsne(indices, distances, start, task, perplexity)
    return _placed(xy, rows, len(task.survey)), {"perplexity": perplexity, "epochs": sum(TSNE_EPOCHS)}


def _optimise_tsne(indices, distances, start, task: Task, perplexity: float) -> np.ndarray:
    """Affinities and their embedding, by openTSNE; (n, 2)."""
    from openTSNE import TSNEEmbedding
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    jobs = 1 if len(start) < TSNE_THREADED else os.cpu_count() or 1
    total = sum(TSNE_EPOCHS)
    task.progress(0, total, "t-SNE")
    affinities = PerplexityBasedNN(
        perplexity=perplexity,
        n_jobs=jobs,
        random_state=task.seed,
        knn_index=PrecomputedNeighbors(indices, distances.astype(np.float64)),
    )
    begin = _jittered(start, np.random.RandomState(task.seed)).astype(np.float64)
    begin *= 1e-4 / begin[:, 0].std()
    embedding = TSNEEmbedding(
        begin,
        affinities,
        n_jobs=jobs,
        random_state=task.seed,
        learning_rate="auto",
        dof=1,
        negative_gradient_method="auto",
    )
    done = 0
    for epochs, exaggeration, momentum in ((TSNE_EPOCHS[0], EXAGGERATION, 0.5), (TSNE_EPOCHS[1], 1, 0.8)):

        def tell(iteration, error, embedding, done=done):
            task.progress(done + iteration, total, "t-SNE")

        embedding = embedding.optimize(
            epochs, exaggeration=exaggeration, momentum=momentum, callbacks=[tell], callbacks_every_iters=10
        )
        done += epochs
    task.progress(total, total, "t-SNE")
    return np.asarray(embedding)


def _columns(task: Task) -> tuple[np.ndarray, dict]:
    """Two columns of the catalogue, in their own units."""
    xy = np.stack([_number_column(task.survey, name) for name in task.columns or ()], axis=1)
    xy[~np.isfinite(xy).all(axis=1)] = np.nan
    return xy, {"columns": list(task.columns or ())}


#: name → method; a new one is a function and a line here.
METHODS: dict[str, Callable[[Task], tuple[np.ndarray, dict]]] = {
    "pca": _pca,
    "umap": _umap,
    "tsne": _tsne,
    "columns": _columns,
}


def _number_column(survey: Survey, name: str) -> np.ndarray:
    import pandas as pd

    column = survey.arrow([name])[name].to_pandas()
    if not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)):
        raise UserError(f"column {name!r} does not hold numbers", "choose two columns of numbers")
    return column.to_numpy(np.float32, na_value=np.nan)


# -- what the methods share -------------------------------------------------------------------------------------------


def _start(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Two principal coordinates of the objects that have a vector, (n, 2) float32, and their rows."""
    found = task.survey.representation(task.representation)
    valid = np.asarray(found.valid)
    rows = np.flatnonzero(valid)
    start = np.zeros((len(rows), 2), np.float32)
    coordinates = principal_coordinates(found.vectors, valid, 2)[rows]
    start[:, : coordinates.shape[1]] = coordinates
    return start, rows


def _jittered(start: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """A start with a little noise, so that no two points coincide and neither axis is flat; extent near 10."""
    extent = np.abs(start).max()
    scaled = start * (RADIUS / extent) if extent > 0 else start
    share = JITTER if (np.ptp(start, axis=0) > JITTER * extent).all() else 1.0
    return (scaled + random.normal(scale=RADIUS * share, size=start.shape)).astype(np.float32)


def _compact(indices: np.ndarray, distances: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A graph among the valid rows only: renumbered, and without columns that nobody has."""
    number = np.full(len(indices) + 1, -1, np.int32)  # the last entry is for −1
    number[rows] = np.arange(len(rows))
    width = min(indices.shape[1], len(rows) - 1)
    return number[indices[rows, :width]], np.array(distances[rows, :width])


def _placed(xy: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """Centre and scale points, and put them into their rows; (count, 2) float32, NaN elsewhere."""
    layout = np.full((count, 2), np.nan, np.float32)
    if len(rows):
        offset = xy - np.median(xy, axis=0)
        size = np.percentile(np.abs(offset).max(axis=1), BULK) or np.abs(offset).max()
        layout[rows] = offset * (RADIUS / size) if size > 0 else offset
    return layout


class _third_party_warnings(warnings.catch_warnings):
    """umap, openTSNE and numba warn of what the caller chose (a seed, hence one thread) or cannot change."""

    def __enter__(self):
        entered = super().__enter__()
        warnings.simplefilter("ignore")
        return entered


class _EpochStream(io.StringIO):
    """Where umap's progress bar writes, one epoch number a line: passed on as progress."""

    def __init__(self, progress: Progress, total: int, stage: str):
        super().__init__()
        self.progress, self.total, self.stage = progress, total, stage

    def write(self, text: str) -> int:
        """Pass on the epoch, if the bar has written one."""
        word = text.strip("\r\n \x1b[A")
        if word.isdigit():
            self.progress(int(word), self.total, self.stage)
        return len(text)
