"""Orders of the gallery: the partial sort against a whole one, and pages against slices."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.gallery.listing import AHEAD, PAGE, Listing, leading, shuffled


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from([0.0, 1.0, 1.5, -2.0, np.nan, np.inf, -np.inf]), max_size=60), st.integers(0, 70))
def test_leading_is_a_stable_sort_cut_short(keys, count):
    keys = np.array(keys, np.float64)
    np.testing.assert_array_equal(leading(keys, count), np.argsort(keys, kind="stable")[:count])


@pytest.mark.parametrize("descending", [False, True])
def test_pages_are_slices_of_the_whole_order_whichever_comes_first(descending):
    rng = np.random.default_rng(0)
    rows = rng.permutation(50_000)[:20_000]
    values = rng.integers(0, 300, len(rows)).astype(np.float32)  # many ties
    values[rng.random(len(rows)) < 0.1] = np.nan
    whole = rows[np.argsort(-values if descending else values, kind="stable")]
    listing = Listing.by(rows, values, descending=descending)
    for page in (7, 0, listing.pages - 1, 3, 60):
        np.testing.assert_array_equal(listing.page(page), whole[page * PAGE : (page + 1) * PAGE])


def test_only_what_is_looked_at_is_sorted():
    listing = Listing.by(np.arange(1_000_000), np.random.default_rng(1).random(1_000_000))
    listing.page(0)
    assert len(listing._order) == AHEAD


def test_empty_single_and_out_of_range():
    assert Listing(np.zeros(0, np.int64)).pages == 1
    assert len(Listing(np.zeros(0, np.int64)).page(4)) == 0
    np.testing.assert_array_equal(Listing(np.array([7])).page(-3), [7])
    np.testing.assert_array_equal(Listing(np.arange(101)).page(9), [100])


def test_shuffled_spreads_neighbours_and_never_changes():
    rows = np.arange(10_000)
    order = np.argsort(shuffled(rows))
    assert abs(np.corrcoef(rows, order)[0, 1]) < 0.05
    np.testing.assert_array_equal(shuffled(rows)[::-1], shuffled(rows[::-1]))
    assert len(np.unique(shuffled(rows))) == len(rows)
