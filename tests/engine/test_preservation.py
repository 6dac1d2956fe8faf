"""Share of neighbours that a layout keeps: a slow twin, the ends of the scale, and what has no place."""

import numpy as np
import pytest

from engine.errors import UserError
from engine.maps import preservation
from engine.maps.preservation import kept


def slow(first, second, k):
    """By all distances."""

    def near(points):
        distance = np.linalg.norm(points[:, None] - points[None], axis=2)
        np.fill_diagonal(distance, np.inf)
        return np.argsort(distance, axis=1)[:, :k]

    return np.array([len(set(a) & set(b)) / k for a, b in zip(near(first), near(second))])


@pytest.fixture
def survey(own_survey):
    own_survey.layout("columns", columns=("ra", "dec"))
    own_survey.layout("columns", columns=("ra", "mag_r"))
    return own_survey


def test_two_layouts_by_a_slow_twin(survey):
    first, second = (survey.layout_xy(name).astype(float) for name in ("columns-ra-dec", "columns-ra-mag_r"))
    both = np.isfinite(first + second).all(axis=1)
    shares = kept(survey, "columns-ra-dec", "columns-ra-mag_r", k=7)
    assert np.allclose(shares[both], slow(first[both], second[both], 7), atol=1e-6) and np.isnan(shares[~both]).all()
    assert np.array_equal(shares, kept(survey, "columns-ra-mag_r", "columns-ra-dec", k=7), equal_nan=True)


def test_a_layout_keeps_all_of_itself(survey):
    assert (kept(survey, "columns-ra-dec", "columns-ra-dec") == 1).all()


def test_against_its_representation_by_the_stored_neighbours(survey):
    from engine.maps.neighbours import neighbours

    near = neighbours(survey, "pixels", k=15)
    xy = survey.layout_xy("pca-pixels").astype(float)
    distance = np.linalg.norm(xy[:, None] - xy[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    plane = np.argsort(distance, axis=1)[:, :15]
    expected = [len(set(a) & set(b)) / 15 for a, b in zip(plane, near.indices[:, :15])]
    assert np.allclose(kept(survey, "pca-pixels"), expected, atol=1e-6)


def test_a_sample_where_nothing_is_stored(survey, monkeypatch):
    whole = kept(survey, "pca-pixels")
    monkeypatch.setattr(preservation, "stored", lambda *a, **k: None)
    monkeypatch.setattr(preservation, "MOST", 100)
    monkeypatch.setattr(preservation, "SAMPLE", 300)
    sampled = kept(survey, "pca-pixels")
    assert np.isfinite(sampled).sum() == 300
    assert np.nanmean(sampled) == pytest.approx(np.nanmean(whole), abs=0.15)


def test_objects_without_a_place_have_no_share_and_coincident_ones_do_no_harm(survey):
    xy = np.array(survey.layout_xy("columns-ra-dec"))
    xy[5], xy[100:140] = np.nan, xy[100]
    np.save(survey.path / "layouts/columns-ra-dec/xy.npy", xy)
    placed = np.isfinite(xy + survey.layout_xy("columns-ra-mag_r")).all(axis=1)
    assert not placed[5] and np.array_equal(np.isfinite(kept(survey, "columns-ra-dec", "columns-ra-mag_r")), placed)


def test_a_layout_of_columns_has_no_representation_to_keep(survey):
    with pytest.raises(UserError, match="not of a representation"):
        kept(survey, "columns-ra-dec")
