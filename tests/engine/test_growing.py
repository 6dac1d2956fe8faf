"""Growing by neighbours and shrinking to the core, against loops over objects."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UserError
from engine.maps.neighbours import neighbours
from engine.search import growing
from engine.search.growing import grow, shrink


@st.composite
def graphs(draw):
    """A set, and a graph with gaps."""
    n, k = draw(st.integers(1, 25)), draw(st.integers(1, 4))
    near = draw(st.lists(st.lists(st.integers(-1, n - 1), min_size=k, max_size=k), min_size=n, max_size=n))
    rows = draw(st.sets(st.integers(0, n - 1)))
    return np.array(sorted(rows), np.int64), np.array(near, np.int32)


@given(graphs(), st.integers(1, 3), st.data())
def test_growing_is_the_loop_over_members(case, hops, data):
    rows, near = case
    k = data.draw(st.integers(1, near.shape[1]))
    expected = set(rows.tolist())
    for _ in range(hops):
        expected |= {int(j) for i in expected for j in near[i, :k] if j >= 0}
    assert grow(rows, near, k=k, hops=hops).tolist() == sorted(expected)


@given(graphs(), st.sampled_from([0.2, 0.5, 1.0]))
def test_the_core_is_the_loop_over_members(case, share):
    rows, near = case
    members, expected = set(rows.tolist()), []
    for row in rows.tolist():
        around = [int(j) for j in near[row] if j >= 0]
        if around and sum(j in members for j in around) >= share * len(around):
            expected.append(row)
    assert shrink(rows, near, k=near.shape[1], share=share).tolist() == expected


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(3)
    near, rows = rng.integers(-1, 500, (500, 6)), np.flatnonzero(rng.random(500) < 0.4)
    whole = grow(rows, near, k=4, hops=2), shrink(rows, near, k=6)
    monkeypatch.setattr(growing, "BLOCK", 7)
    assert np.array_equal(whole[0], grow(rows, near, k=4, hops=2))
    assert np.array_equal(whole[1], shrink(rows, near, k=6)) and 0 < len(whole[1]) < len(rows)


def test_in_a_survey_a_blob_grows_within_itself_and_its_core_loses_strays(make_survey):
    rng = np.random.default_rng(1)
    vectors = np.concatenate([rng.normal(0, 1, (60, 5)), rng.normal(40, 1, (60, 5))])
    valid = np.arange(120) != 119
    survey = make_survey(120, vectors=vectors, valid=valid)
    few = np.arange(0, 60, 6)
    grown = growing.changed(survey, few, {"kind": "grow", "k": 5, "hops": 6})
    assert set(few) < set(grown) and grown.max() < 60
    near = neighbours(survey, k=15).indices
    assert np.array_equal(growing.changed(survey, few, {"kind": "grow", "k": 3}), grow(few, near, k=3))
    core = growing.changed(survey, np.r_[np.arange(60), 70, 119], {"kind": "shrink"})
    assert core.tolist() == list(range(60))  # neither the stray nor the object without a vector


def test_numbers_that_make_no_sense_are_refused(make_survey):
    near = np.zeros((3, 2), int)
    for call in (
        lambda: grow(np.array([0]), near, k=3),
        lambda: grow(np.array([0]), near, k=0),
        lambda: grow(np.array([0]), near, k=1, hops=0),
        lambda: shrink(np.array([0]), near, k=2, share=0),
        lambda: shrink(np.array([0]), near, k=2, share=1.5),
        lambda: growing.changed(make_survey(3), np.array([0]), {"kind": "grow", "k": "many"}),
    ):
        with pytest.raises(UserError):
            call()
