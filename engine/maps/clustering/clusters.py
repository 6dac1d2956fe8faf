"""Clusters of a survey: sets of objects that lie together, made by a method, named, and kept.

A clustering is a folder ``clusters/NAME/``: one code an object (an .npy file) and ``meta.json``, which names that file,
the clusters and how they were made. It is written last and replaces the old one at a stroke, so that codes and names
never disagree. Code 0 is the largest cluster; −1 is an object in none.

``hdbscan`` finds regions denser than what is around them, of any shape, and leaves the rest out. On a layout it is
exact up to `EXACT` objects; above, it is fitted on a uniform sample (which keeps relative densities) and every other
object follows the nearest one of the sample. On a representation it is exact for the graph of nearest neighbours
(`engine.maps.neighbours`), which is not the same as exact in all its dimensions. ``kmeans`` divides everything into k
parts, whatever there is to divide. How a clustering was made its meta says in words.

A cluster's name is found in what is known of its objects (`engine.maps.clustering.naming`) until a person gives it one; that stays
when the clustering is made again, if a new cluster shares most objects with the one that was named.

Cost: HDBSCAN of 10⁶ objects on a layout 8 s, k-means of 10⁶ × 40 about 20 s, on two cores.
"""

from __future__ import annotations

import datetime
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine import files, locks
from engine.errors import UserError, one_line
from engine.jobs import Progress, silent
from engine.survey import check_name

if TYPE_CHECKING:
    from engine.survey import Survey

#: Objects on a layout up to which HDBSCAN looks at all of them, and how many it is fitted on above.
EXACT, SAMPLE = 5_000_000, 2_000_000
#: Objects within reach that make a place dense, the object itself counted.
MIN_SAMPLES = 10
#: Neighbours of each object, where clusters are read off their graph.
NEIGHBOURS = 15
#: Clusters of k-means, at most, if nobody says how many.
PARTS = 12
#: Objects up to which k-means looks at all of them in every step; above it takes them in batches.
LLOYD = 100_000
#: Share of the objects of two clusters together that they have in common, for a name to pass on.
SAME = 0.5
#: Characters of a name.
LONGEST = 60
#: What a column of clusters is called: this and the clustering's name.
PREFIX = "cluster_"


@dataclass(frozen=True)
class Cluster:
    """One cluster.

    Attributes
    ----------
    code : int
    count : int
        Objects in it.
    name : str
        The person's, or what was found in what is known of its objects.
    why : str
        What the found name rests on, in words.
    own : bool
        Whether a person has named it.
    """

    code: int
    count: int
    name: str
    why: str = ""
    own: bool = False


@dataclass(frozen=True)
class Clusters:
    """A clustering of a survey.

    Attributes
    ----------
    name : str
    codes : (N,) int32, memory-mapped
        −1 where an object is in none.
    clusters : tuple of Cluster
        In order of their codes, so by falling size.
    meta : dict
        Method, parameters, source (``layout`` or ``representation``), ``words`` on how they were found, and when.
    """

    name: str
    codes: np.ndarray
    clusters: tuple[Cluster, ...]
    meta: dict

    def __len__(self) -> int:
        return len(self.clusters)

    @property
    def names(self) -> tuple[str, ...]:
        """Names, in order of the codes."""
        return tuple(c.name for c in self.clusters)

    @property
    def none(self) -> int:
        """Objects in no cluster."""
        return len(self.codes) - sum(c.count for c in self.clusters)

    def rows(self, code: int) -> np.ndarray:
        """Rows of the objects of a cluster, (n,) int64, ascending.

        Raises
        ------
        UserError
            If there is no such cluster.
        """
        self.require(code)
        return np.flatnonzero(self.codes == code)

    def require(self, code: int) -> Cluster:
        """The cluster of a code.

        Raises
        ------
        UserError
            If there is none.
        """
        if not 0 <= code < len(self.clusters):
            raise UserError(
                f"clustering {self.name!r} has no cluster {code}",
                f"choose one of 0 to {len(self.clusters) - 1}" if self.clusters else "make it with a smaller min size",
            )
        return self.clusters[code]


# -- making -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """What a method needs: the points, or the survey for their graph, and the settings that were asked for."""

    survey: Survey
    layout: str | None
    representation: str | None
    min_size: int | None
    min_samples: int
    choice: str
    k: int | None
    seed: int
    device: str | None
    progress: Progress


def clusters(
    survey: Survey,
    method: str = "hdbscan",
    *,
    layout: str | None = None,
    representation: str | None = None,
    name: str | None = None,
    min_size: int | None = None,
    min_samples: int = MIN_SAMPLES,
    choice: str = "stable",
    k: int | None = None,
    seed: int = 0,
    device: str | None = None,
    progress: Progress = silent,
) -> Clusters:
    """Find clusters, name them, and store them in the survey.

    Parameters
    ----------
    survey : Survey
    method : {"hdbscan", "kmeans"}
    layout, representation : str, optional
        Where to look: on a layout, or in a representation. If neither is given, ``hdbscan`` takes the newest layout and
        ``kmeans`` the newest representation.
    name : str, optional
        Of the clustering; METHOD_SOURCE if not given. One of that name is replaced, and hands its own names on.
    min_size : int, optional
        HDBSCAN: objects in the smallest cluster; by the number of objects if not given (`default_min_size`).
    min_samples : int
        HDBSCAN: objects that make a place dense; more leaves more objects out.
    choice : {"stable", "finest"}
        HDBSCAN: the most stable clusters, or those that nothing divides any further.
    k : int, optional
        k-means: how many clusters; up to 12, by the number of objects, if not given.
    seed : int
    device : str, optional
        Where neighbours are computed.

    Returns
    -------
    Clusters

    Raises
    ------
    UserError
        If the method, the layout or the representation is not known, or a setting makes no sense.
    """
    from engine.maps.clustering.naming import find_names

    if method not in METHODS:
        raise UserError(f"there is no clustering method {method!r}", f"choose one of: {', '.join(METHODS)}")
    _check(min_size, min_samples, choice, k)
    layout, representation = _source(survey, method, layout, representation)
    name = check_name(name or default_name(method, layout or representation or ""))
    started = time.monotonic()
    task = Task(survey, layout, representation, min_size, min_samples, choice, k, seed, device, progress)
    codes, settings = METHODS[method](task)
    progress(0, 1, "names")
    found = find_names(survey, codes)
    counts = np.bincount(codes[codes >= 0], minlength=len(found))
    made = tuple(Cluster(c, int(n), told.text, told.why) for c, (n, told) in enumerate(zip(counts, found)))
    progress(1, 1, "names")
    source = {"layout": layout} if layout is not None else {"representation": representation}
    meta = {
        "method": method,
        "source": source,
        "seed": seed,
        **settings,
        "seconds": round(time.monotonic() - started, 3),
    }
    return _store(survey, name, codes, made, meta)


def default_name(method: str, source: str) -> str:
    """Name of a clustering that nobody named, ``hdbscan_umap_pixels``: a query can use it without backticks."""
    return "".join(ch if ch.isalnum() else "_" for ch in f"{method}_{source}")[:80]


def default_min_size(count: int) -> int:
    """Objects in the smallest cluster: the root of how many there are, 5 at least."""
    return max(5, round(count**0.5))


def _check(min_size: int | None, min_samples: int, choice: str, k: int | None) -> None:
    if min_size is not None and min_size < 2:
        raise UserError(f"the smallest cluster would have {min_size} objects", "give at least 2")
    if not 1 <= min_samples <= 1000:
        raise UserError(f"min_samples is {min_samples}", "give 1 to 1000; 10 suits most surveys")
    if choice not in CHOICES:
        raise UserError(f"clusters cannot be chosen by {choice!r}", f"choose one of: {', '.join(CHOICES)}")
    if k is not None and k < 2:
        raise UserError(f"{k} clusters divide nothing", "give at least 2")


#: How HDBSCAN chooses its clusters (`engine.maps.clustering.hierarchy.CHOICES`, which brings numba along).
CHOICES = ("stable", "finest")


def _source(
    survey: Survey, method: str, layout: str | None, representation: str | None
) -> tuple[str | None, str | None]:
    """The layout or the representation to look at, the other None."""
    if layout is not None and representation is not None:
        raise UserError("clusters are found on a layout or in a representation, not in both", "name one of them")
    if layout is None and representation is None and method == "hdbscan":
        if not survey.layouts:
            raise UserError(
                f"{survey.path} has no layout yet", f"make one with `python -m engine layout {survey.path}`"
            )
        layout = survey.layouts[0]
    if layout is not None:
        survey.layout_xy(layout)
        return layout, None
    return None, survey.representation(representation).name


# -- methods: a task in, (N,) codes by falling size and the settings that were used out -------------------------------


def _hdbscan(task: Task) -> tuple[np.ndarray, dict]:
    """Regions denser than what is around them."""
    codes, rows, words = (_on_layout if task.layout is not None else _on_neighbours)(task)
    spread = np.full(len(task.survey), -1, np.int32)
    spread[rows] = codes
    settings = {
        "min_size": task.min_size or default_min_size(len(rows)),
        "min_samples": task.min_samples,
        "choice": task.choice,
    }
    return spread, {**settings, "looked_at": len(rows), "words": words}


def _on_layout(task: Task) -> tuple[np.ndarray, np.ndarray, str]:
    """Codes of the placed objects, their rows, and how they were found."""
    xy = np.asarray(task.survey.layout_xy(str(task.layout)), np.float32)
    rows = np.flatnonzero(np.isfinite(xy).all(axis=1))
    codes = plane_clusters(
        xy[rows],
        task.min_size or default_min_size(len(rows)),
        min_samples=task.min_samples,
        choice=task.choice,
        seed=task.seed,
        progress=task.progress,
    )
    if len(rows) <= EXACT:
        return codes, rows, f"HDBSCAN on the layout {task.layout}, exact"
    words = f"HDBSCAN on the layout {task.layout}, fitted on a sample of {SAMPLE:,}; the others follow the nearest"
    return codes, rows, words


def plane_clusters(
    xy: np.ndarray,
    min_size: int,
    *,
    min_samples: int = MIN_SAMPLES,
    choice: str = "stable",
    sample: int | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> np.ndarray:
    """HDBSCAN of points in the plane.

    Parameters
    ----------
    xy : (n, 2) float
        Finite.
    sample : int, optional
        Points to fit on; all up to `EXACT` and `SAMPLE` of more if not given. The smallest cluster shrinks with it.

    Returns
    -------
    (n,) int32
        −1 where a point is in none.
    """
    from engine.maps.clustering.hierarchy import by_size, flat_clusters
    from engine.maps.clustering.spanning import Boxes, nearest, plane_tree

    n = len(xy)
    sample = sample or (n if n <= EXACT else SAMPLE)
    if sample >= n:
        return flat_clusters(plane_tree(xy, min_samples, progress=progress), min_size, choice=choice)
    fitted = np.sort(np.random.default_rng(seed).choice(n, sample, replace=False))
    tree = plane_tree(xy[fitted], min_samples, progress=progress)
    codes = flat_clusters(tree, max(2, round(min_size * sample / n)), choice=choice)
    boxes = Boxes.build(xy[fitted])
    near, _ = nearest(boxes, xy, 1, progress=progress)
    return by_size(codes[boxes.order[near[:, 0]]])


def _on_neighbours(task: Task) -> tuple[np.ndarray, np.ndarray, str]:
    """The same, read off the graph of nearest neighbours in a representation."""
    from engine.maps.clustering.hierarchy import flat_clusters
    from engine.maps.clustering.spanning import graph_tree
    from engine.maps.neighbours import neighbours

    k = max(NEIGHBOURS, task.min_samples - 1)
    near = neighbours(task.survey, task.representation, k=k, device=task.device, progress=task.progress)
    rows = np.flatnonzero(np.asarray(task.survey.representation(task.representation).valid))
    number = np.full(len(task.survey) + 1, -1, np.int32)  # the last entry is for −1
    number[rows] = np.arange(len(rows))
    tree = graph_tree(number[near.indices[rows]], near.distances[rows], task.min_samples, progress=task.progress)
    size = task.min_size or default_min_size(len(rows))
    codes = flat_clusters(tree, size, choice=task.choice)
    return (
        codes,
        rows,
        f"HDBSCAN on the graph of {near.k} nearest neighbours in {task.representation}, exact for the graph",
    )


def _kmeans(task: Task) -> tuple[np.ndarray, dict]:
    """k parts around k means."""
    from engine.maps.clustering.hierarchy import by_size

    points, rows, where = _coordinates(task)
    k = task.k or max(2, min(PARTS, len(rows) // 50))
    if len(rows) < k:
        raise UserError(f"{len(rows):,} objects cannot be divided into {k} clusters", "give a smaller k")
    task.progress(0, 1, "k-means")
    codes = np.full(len(task.survey), -1, np.int32)
    codes[rows] = by_size(_means(points, k, task.seed))
    task.progress(1, 1, "k-means")
    return codes, {"k": k, "looked_at": len(rows), "words": f"k-means of {where}"}


def _coordinates(task: Task) -> tuple[np.ndarray, np.ndarray, str]:
    """Points to divide, the rows they are of, and what they are."""
    from engine.maps.components import balanced_coordinates
    from engine.maps.neighbours import COORDINATES

    if task.layout is not None:
        xy = np.asarray(task.survey.layout_xy(task.layout), np.float32)
        rows = np.flatnonzero(np.isfinite(xy).all(axis=1))
        return xy[rows], rows, f"positions on the layout {task.layout}"
    found = task.survey.representation(task.representation)
    valid = np.asarray(found.valid)
    rows = np.flatnonzero(valid)
    points = balanced_coordinates(found.vectors, valid, COORDINATES)
    points = points if len(rows) == len(points) else points[rows]
    return points, rows, f"{points.shape[1]} balanced principal coordinates of {found.name}"


def _means(points: np.ndarray, k: int, seed: int) -> np.ndarray:
    """The part that each point is in, (n,) int32."""
    from sklearn.cluster import KMeans, MiniBatchKMeans

    if len(points) <= LLOYD:
        return KMeans(k, n_init=4, random_state=seed).fit_predict(points)
    return MiniBatchKMeans(k, batch_size=8192, n_init=4, random_state=seed).fit_predict(points)


#: name → method; a new one is a function and a line here.
METHODS: dict[str, Callable[[Task], tuple[np.ndarray, dict]]] = {"hdbscan": _hdbscan, "kmeans": _kmeans}


# -- on disk ----------------------------------------------------------------------------------------------------------


def read(survey: Survey, name: str | None = None) -> Clusters:
    """A stored clustering, by default the newest.

    Raises
    ------
    UserError
        If it does not exist, is damaged, or does not fit the survey.
    """
    names = survey.clusters
    if not names:
        raise UserError(
            f"{survey.path} has no clusters yet", f"find some with `python -m engine clusters {survey.path}`"
        )
    name = names[0] if name is None else name
    if name not in names:
        raise UserError(f"{survey.path} has no clustering {name!r}", f"choose one of: {', '.join(names)}")
    folder = survey.path / "clusters" / name
    try:
        meta = files.read_json(folder / "meta.json")
        codes = files.read_npy(folder / check_name(meta["codes"]))
        made = tuple(_cluster(code, told) for code, told in enumerate(meta["clusters"]))
    except (OSError, ValueError, KeyError, TypeError, UserError) as error:
        raise UserError(
            f"the clustering {name!r} is damaged ({error})", f"delete {folder} and make it again"
        ) from error
    if codes.shape != (len(survey),) or codes.dtype.kind != "i":
        raise UserError(
            f"{folder} has codes of {len(codes):,} objects for {len(survey):,}", "delete it and make it again"
        )
    return Clusters(name, codes, made, {k: v for k, v in meta.items() if k not in ("codes", "clusters")})


def _cluster(code: int, told: dict) -> Cluster:
    own = told.get("own")
    return Cluster(code, int(told["count"]), str(own or told["name"]), str(told.get("why", "")), bool(own))


def rename(survey: Survey, name: str, code: int, text: str) -> Clusters:
    """Give a cluster a name of one's own, or take it away with an empty one.

    Returns
    -------
    Clusters
        As it is stored now.

    Raises
    ------
    UserError
        If there is no such cluster, the name is too long, or another cluster has it.
    """
    with _alone(survey, name):
        found = read(survey, name)
        found.require(code)
        text = _checked(text, [c.name for c in found.clusters if c.code != code])
        path = survey.path / "clusters" / name / "meta.json"
        meta = files.read_json(path)
        meta["clusters"][code]["own"] = text or None
        files.write_json(path, meta)
    return read(survey, name)


def delete(survey: Survey, name: str) -> None:
    """Remove a clustering.

    Raises
    ------
    UserError
        If there is none of that name.
    """
    if name not in survey.clusters:
        raise UserError(f"{survey.path} has no clustering {name!r}", "choose one that `clusters --list` shows")
    folder = survey.path / "clusters" / name
    with _alone(survey, name):
        (folder / "meta.json").unlink()  # without it the clustering does not exist
        for left in folder.glob("codes-*.npy"):
            left.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


def _alone(survey: Survey, name: str):
    return locks.alone(survey.path / "clusters" / f".{name}.lock", f"clustering {name!r}")


def _checked(text: str, taken: list[str]) -> str:
    text = " ".join(one_line(text.replace("\t", " ").replace("\n", " ")).split())
    if len(text) > LONGEST:
        raise UserError(f"the name has {len(text)} characters", f"keep it to {LONGEST}")
    if text in taken:
        raise UserError(f"another cluster is called {text!r}", "choose another name")
    return text


def _store(survey: Survey, name: str, codes: np.ndarray, made: tuple[Cluster, ...], meta: dict) -> Clusters:
    """Write a clustering; one of the same name hands its own names on, and is gone when the meta is written."""
    folder = survey.path / "clusters" / name
    file = f"codes-{uuid.uuid4().hex[:12]}.npy"
    with _alone(survey, name):
        passed, lost = _inherited(survey, name, codes)
        files.write_npy(folder / file, codes)
        told = [{"count": c.count, "name": _untaken(c, passed), "why": c.why, "own": passed.get(c.code)} for c in made]
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        files.write_json(folder / "meta.json", {**meta, "made": now, "lost": lost, "codes": file, "clusters": told})
        for old in folder.glob("codes-*.npy"):
            if old.name != file:
                old.unlink()
    return read(survey, name)


def _untaken(cluster: Cluster, passed: dict[int, str]) -> str:
    """The name that was found for a cluster, if no other has it from a person."""
    taken = {text for code, text in passed.items() if code != cluster.code}
    return f"{cluster.name} ({cluster.code})" if cluster.name in taken else cluster.name


def _inherited(survey: Survey, name: str, codes: np.ndarray) -> tuple[dict[int, str], list[str]]:
    """Names that a person gave to clusters that are there again, by new code, and those whose clusters are not."""
    try:
        before = read(survey, name)
    except UserError:
        return {}, []
    named = {c.code: c.name for c in before.clusters if c.own}
    matched = same_clusters(np.asarray(before.codes), codes, list(named))
    passed: dict[int, str] = {}
    for old, text in named.items():
        if old in matched and matched[old] not in passed:
            passed[matched[old]] = text
    return passed, [text for text in named.values() if text not in passed.values()]


def same_clusters(old: np.ndarray, new: np.ndarray, wanted: Sequence[int]) -> dict[int, int]:
    """Clusters of two clusterings that are mostly the same objects.

    Parameters
    ----------
    old, new : (N,) int
        Codes; −1 where an object is in none.
    wanted : sequence of int
        Old codes.

    Returns
    -------
    dict
        Old code → new code, where the objects of both are at least half (`SAME`) of the objects of either: Jaccard's
        index. More than half makes the partner the only one.
    """
    sizes = np.bincount(new[new >= 0]) if (new >= 0).any() else np.zeros(0, np.int64)
    found = {}
    for code in wanted:
        there = new[old == code]
        shared = np.bincount(there[there >= 0], minlength=len(sizes))
        if len(shared) == 0:
            continue
        index = shared / np.maximum(len(there) + sizes - shared, 1)
        if index.max() >= SAME:
            found[code] = int(index.argmax())
    return found
