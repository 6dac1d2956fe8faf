"""Layouts: structure kept, the same by seed, every size of survey."""

import numpy as np
import pandas as pd
import pytest
from sklearn.manifold import trustworthiness

from engine import Survey
from engine.errors import UserError
from engine.maps.layout import METHODS, RADIUS, layout_name, tiles

METHODS_OF_VECTORS = ["pca", "umap", "tsne"]


@pytest.fixture
def clustered(make_survey):
    """Four groups in 10 dimensions, 240 objects, some unreadable."""
    rng = np.random.default_rng(0)
    group = np.arange(240) % 4
    valid = np.arange(240) % 31 > 0
    return make_survey(240, vectors=rng.normal(size=(4, 10))[group] * 5 + rng.normal(size=(240, 10)), valid=valid)


@pytest.mark.parametrize("method", METHODS_OF_VECTORS)
def test_keeps_neighbours_and_is_the_same_by_seed(clustered, method):
    steps = []
    xy = clustered.layout(method, seed=3, progress=lambda *step: steps.append(step))
    found = clustered.representation()
    assert xy.shape == (240, 2) and xy.dtype == np.float32
    assert np.array_equal(np.isfinite(xy).all(axis=1), found.valid)
    assert trustworthiness(found.vectors[found.valid], xy[found.valid], n_neighbors=10) > 0.85
    placed = xy[found.valid]
    assert np.abs(np.median(placed, axis=0)).max() < 1e-3
    assert 0.9 <= (np.abs(placed) <= RADIUS * 1.0001).all(axis=1).mean() <= 1 and np.abs(placed).max() < 5 * RADIUS
    assert np.array_equal(clustered.layout(method, seed=3), xy, equal_nan=True)
    done, total, _ = steps[-1]
    assert done == total
    if method != "pca":
        assert not np.array_equal(clustered.layout(method, seed=4), xy, equal_nan=True)
        assert len({done for done, _, stage in steps if stage in ("UMAP", "t-SNE")}) > 3


@pytest.mark.parametrize("method", METHODS_OF_VECTORS)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 9])
def test_tiny_surveys(make_survey, method, n):
    xy = make_survey(n, vectors=np.random.default_rng(n).normal(size=(n, 4))).layout(method)
    assert np.isfinite(xy).all() and xy.shape == (n, 2)
    assert len(np.unique(xy, axis=0)) == n


@pytest.mark.parametrize("method", METHODS_OF_VECTORS)
def test_objects_all_alike_and_none_readable(make_survey, method):
    alike = make_survey(12, vectors=np.ones((12, 4)), name="alike").layout(method)
    assert np.isfinite(alike).all()
    line = make_survey(30, vectors=np.outer(np.arange(30), [1.0, 2.0]), name="line").layout(method)
    assert np.isfinite(line).all()
    none = make_survey(6, vectors=np.ones((6, 4)), valid=np.zeros(6), name="none").layout(method)
    assert np.isnan(none).all()


def test_pca_is_the_two_leading_components_to_scale(clustered):
    xy = clustered.layout("pca")
    found = clustered.representation()
    x = found.vectors[found.valid].astype(np.float64)
    _, _, axes = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    expected = (x - x.mean(axis=0)) @ axes[:2].T
    expected -= np.median(expected, axis=0)
    placed = xy[found.valid]
    for axis in (0, 1):
        scale = placed[:, axis] @ expected[:, axis] / (expected[:, axis] @ expected[:, axis])
        assert np.allclose(placed[:, axis], scale * expected[:, axis], atol=1e-3)
    assert (placed.max(axis=0) - placed.min(axis=0))[0] > (placed.max(axis=0) - placed.min(axis=0))[1]


def test_columns_are_shown_as_they_are(make_survey):
    survey = make_survey(
        4,
        columns={"u-r": [1.5, np.nan, 3, np.inf], "n": pd.array([1, 2, None, 4], dtype="Int64"), "word": list("abcd")},
    )
    xy = survey.layout("columns", columns=("u-r", "ra"))
    assert np.allclose(xy[[0, 2], 0], [1.5, 3]) and np.isnan(xy[[1, 3]]).all()
    assert survey.layouts == ["columns-u-r-ra"]
    assert np.isnan(survey.layout("columns", columns=("ra", "n"))[2]).all()
    for columns, words in [
        (None, "two"),
        (("ra",), "two"),
        ("ra", "two"),
        (("ra", "word"), "numbers"),
        (("ra", "nothing"), "nothing"),
    ]:
        with pytest.raises(UserError, match=words):
            survey.layout("columns", columns=columns)


def test_stored_with_its_tiles(clustered):
    xy = clustered.layout("pca")
    again = Survey.open(clustered.path)
    assert again.layouts == ["pca-given"]
    assert np.array_equal(again.layout_xy("pca-given"), xy, equal_nan=True)
    index = tiles(again, "pca-given")
    assert np.array_equal(index.ordered(xy), np.stack([index.x, index.y], axis=1))
    meta = (clustered.path / "layouts" / "pca-given" / "meta.json").read_text()
    assert '"representation": "given"' in meta and '"seconds"' in meta and '"seed": 0' in meta
    for path in (clustered.path / "layouts" / "pca-given" / "tiles").iterdir():
        path.unlink()
    assert np.array_equal(tiles(again, "pca-given").order, index.order)


def test_names():
    assert layout_name("umap", "skysieve-base") == "umap-skysieve-base"
    assert layout_name("columns", None, ("a/b", "log M*")) == "columns-a_b-log_M_"


def test_refusals(clustered):
    with pytest.raises(UserError, match=", ".join(METHODS)):
        clustered.layout("pacmap")
    for options, words in [
        ({"neighbours": 1}, "neighbours"),
        ({"min_dist": 2}, "min_dist"),
        ({"perplexity": 0}, "perplexity"),
        ({"representation": "other"}, "given"),
    ]:
        with pytest.raises(UserError, match=words):
            clustered.layout("umap", **options)
    assert clustered.layouts == []
