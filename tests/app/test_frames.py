"""Frames: what is packed comes out again, and numbers a browser cannot read do not go in."""

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.frames import pack, plain, unpack

VALUES = st.integers() | st.text() | st.lists(st.booleans())


@given(st.dictionaries(st.text(max_size=8), VALUES), st.lists(st.binary(max_size=50)))
def test_packed_and_unpacked_is_the_same(header, pictures):
    found, blobs = unpack(pack(header, pictures))
    assert blobs == pictures
    assert found == {**header, "sizes": [len(p) for p in pictures]}


def test_numbers_json_does_not_know_become_null():
    values = {"a": np.array([1.0, np.nan]), "b": np.int8(3), "c": float("inf"), "d": (np.float32(0.5),)}
    header, _ = unpack(pack(values))
    assert header == {"a": [1.0, None], "b": 3, "c": None, "d": [0.5], "sizes": []}
    json.dumps(plain({"rows": np.arange(3)}), allow_nan=False)
