"""Samples and newcomers: the rest lands where it belongs, whoever else is new."""

import numpy as np
import pytest
from sklearn.manifold import trustworthiness

from engine import Survey, files
from engine.errors import UserError
from engine.maps import scan
from engine.maps.layout import read_meta
from engine.maps.layouts import placing
from engine.maps.layouts.descent import curve
from engine.maps.layouts.newcomers import place as place_new
from engine.maps.layouts.placing import place


def groups(n, seed=0, d=8):
    """Five groups, and which object is in which."""
    middles = np.random.default_rng(99).normal(size=(5, d)) * 6
    kind = np.arange(n) % 5
    return middles[kind] + np.random.default_rng(seed).normal(size=(n, d)), kind


def test_each_lands_among_its_own_and_minds_no_other_newcomer():
    x, kind = groups(400)
    x = x.astype(np.float32)
    corners = np.array([[0, 0], [9, 0], [0, 9], [9, 9], [5, 20]], np.float32)
    xy = corners[kind[:300]] + np.random.default_rng(1).normal(size=(300, 2)).astype(np.float32) * 0.5
    for settle in (None, curve(1.0, 0.1)):
        found = place(x[300:], x[:300], xy, settle=settle)
        assert np.abs(found - corners[kind[300:]]).max() < 4
        assert np.array_equal(found[:40], place(x[300:340], x[:300], xy, settle=settle))
    assert np.allclose(place(x[:50], x[:300], xy)[0], xy[0], atol=2)
    assert place(x[:0], x[:300], xy).shape == (0, 2)


def test_cells_find_nearly_what_a_scan_finds(monkeypatch):
    monkeypatch.setattr(placing, "SORTED", 1000)
    monkeypatch.setattr(placing, "CELLS", 64)
    rng = np.random.default_rng(0)
    clumps = groups(6000, d=20)[0]
    along = rng.uniform(0, 10, (6000, 1))
    curve = 3 * np.sin(along * rng.uniform(0.2, 2, 20)) + rng.normal(size=(6000, 20)) * 0.3
    for x in (clumps.astype(np.float32), curve.astype(np.float32)):
        cells = placing.Cells.of(x[:5000])
        assert np.array_equal(np.sort(np.concatenate(cells.members)), np.arange(5000))
        indices, distances = cells.nearest(x[5000:], 15)
        exact, away = scan.nearest(x[5000:], x[:5000], 15)
        assert np.mean([len(set(a) & set(b)) / 15 for a, b in zip(indices, exact)]) > 0.9
        assert (distances >= away - 1e-4).all() and (np.diff(distances, axis=1) >= 0).all()
        lengths = np.linalg.norm(x[5000:, None] - x[indices], axis=2)
        assert np.allclose(lengths, distances, atol=1e-3)


def test_cells_of_few_members_are_widened(monkeypatch):
    monkeypatch.setattr(placing, "SORTED", 10)
    monkeypatch.setattr(placing, "LOOKED_AT", 1)
    x = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)
    indices, _ = placing.Cells.of(x).nearest(x[:7], 15)
    assert all(len(set(row)) == 15 for row in indices)


@pytest.mark.parametrize("method", ["umap", "tsne"])
def test_a_sample_is_fitted_and_the_rest_placed_as_well(make_survey, method):
    x, kind = groups(900)
    survey = make_survey(900, vectors=x, valid=np.arange(900) % 50 > 0)
    xy = survey.layout(method, sample=400)
    valid = survey.representation().valid
    assert np.array_equal(np.isfinite(xy).all(axis=1), valid)
    meta = read_meta(survey, survey.layouts[0])
    assert meta["fitted"] == 400 and meta["asked"]["sample"] == 400 and meta["placed"] == valid.sum()
    whole = survey.layout(method, sample=0)
    assert "fitted" not in read_meta(survey, survey.layouts[0])
    mine, theirs = (trustworthiness(x[valid], np.asarray(a)[valid], n_neighbors=10) for a in (xy, whole))
    assert mine > theirs - 0.05
    # placed objects lie with their own group
    middles = np.array([np.median(xy[valid & (kind == k)], axis=0) for k in range(5)])
    nearest = np.argmin(((xy[:, None] - middles) ** 2).sum(axis=2), axis=1)
    assert (nearest == kind)[valid].mean() > 0.97


def append(survey, count):
    """Rows appended after the layouts were made, as far as a layout can tell: it has too few."""
    for name in survey.layouts:
        path = survey.path / "layouts" / name / "xy.npy"
        files.write_npy(path, np.array(np.load(path)[: len(survey) - count]))


@pytest.mark.parametrize("method", ["pca", "umap", "tsne", "sky", "columns"])
def test_what_was_appended_gets_its_place(make_survey, method):
    x, _ = groups(500)
    survey = make_survey(500, vectors=x, columns={"mag": np.arange(500.0)})
    options = {"columns": ("ra", "mag")} if method == "columns" else {}
    before = survey.layout(method, **options).copy()
    name = survey.layouts[0]
    append(survey, 60)
    assert place_new(survey, name) == 60
    after = Survey.open(survey.path).layout_xy(name)
    assert np.array_equal(after[:440], before[:440], equal_nan=True)
    away = np.abs(np.asarray(after[440:]) - before[440:]).max(axis=1)
    if method in ("pca", "sky", "columns"):
        assert away.max() < 1e-3
    else:
        assert np.median(away) < 2  # of a map 20 wide
    assert read_meta(survey, name)["later"] == 60
    assert place_new(survey, name) == 0


def test_another_survey_is_placed_on_the_same_map(make_survey):
    x, kind = groups(500)
    one = make_survey(400, vectors=x[:400], name="one")
    other = make_survey(100, vectors=x[400:], name="other")
    here = one.layout("umap")
    assert place_new(other, "umap-given", source=one) == 100
    there = other.layout_xy("umap-given")
    middles = np.array([np.median(here[kind[:400] == k], axis=0) for k in range(5)])
    assert (np.argmin(((there[:, None] - middles) ** 2).sum(axis=2), axis=1) == kind[400:]).mean() > 0.97
    with pytest.raises(UserError, match="already"):
        place_new(other, "umap-given", source=one)


def test_refusals(make_survey):
    x, _ = groups(60)
    one, other = make_survey(60, vectors=x, name="one"), make_survey(60, vectors=x[:, :5], name="other")
    one.layout("pca")
    with pytest.raises(UserError, match="different encoders"):
        place_new(other, "pca-given", source=one)
    with pytest.raises(UserError, match="no layout"):
        place_new(one, "umap-given")
    with pytest.raises(UserError, match="no representation"):
        place_new(make_survey(9, name="bare"), "pca-given", source=one)
