"""Sets of rows: the algebra of Python's sets, whichever way is taken."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UserError
from engine.search import sets

members = st.sets(st.integers(0, 39), max_size=40)
TWINS = {"add": set.union, "subtract": set.difference, "intersect": set.intersection, "replace": lambda a, b: b}


def as_set(rows):
    return np.array(sorted(rows), np.int64)


@pytest.mark.parametrize("mode", sets.MODES)
@given(first=members, second=members, count=st.sampled_from([40, 100_000]))
def test_the_algebra_of_sets_by_marking_and_by_sorting(mode, first, second, count):
    found = sets.combine(mode, as_set(first), as_set(second), count=count)
    assert found.tolist() == sorted(TWINS[mode](first, second)) and found.dtype == np.int64


@given(first=members)
def test_inverting_twice_is_nothing(first):
    rows = as_set(first)
    assert sets.invert(rows, count=40).tolist() == sorted(set(range(40)) - first)
    assert np.array_equal(sets.invert(sets.invert(rows, count=40), count=40), rows)


@given(first=members, count=st.integers(40, 50))
def test_bits_give_back_what_was_packed(first, count):
    rows = as_set(first)
    bits = sets.packed(rows, count)
    assert np.array_equal(sets.unpacked(bits, count), rows) and bits.nbytes == (count + 7) // 8
    with pytest.raises(ValueError, match="not the bits"):
        sets.unpacked(bits, count + 8)


def test_any_rows_become_a_set_and_a_set_is_not_copied():
    assert sets.of([3, 1, 3]).tolist() == [1, 3] and sets.of([]).dtype == np.int64
    rows = np.array([1, 5])
    assert sets.of(rows) is rows or np.shares_memory(sets.of(rows), rows)


def test_unknown_modes_are_refused():
    with pytest.raises(UserError, match="xor"):
        sets.combine("xor", as_set({1}), as_set({2}), count=5)
