"""Chunks unpacked here are what the library gives, by any number of threads; what is not understood is left to it."""

from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest

from engine.data.arrays import chunks
from engine.data.arrays.chunks import Chunks, unpackable

OPTIONS = [
    {"chunks": (7, 3, 12, 12), "compression": "gzip"},
    {"chunks": (8, 2, 5, 12), "compression": "gzip", "shuffle": True},
    {"chunks": True, "compression": "gzip", "compression_opts": 9, "shuffle": True},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("dtype", ["u1", "<f4", ">f4", "f2", "i8"])
def test_any_rows_equal_the_librarys(tmp_path, options, dtype, monkeypatch):
    monkeypatch.setattr(chunks, "KEPT", 1)  # so that chunks are let go while others still want them
    data = (np.random.default_rng(0).normal(size=(50, 3, 12, 12)) * 40).astype(dtype)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=data, **options)
    with h5py.File(tmp_path / "x.h5") as file:
        assert unpackable(file["x"])
        ours = Chunks(file["x"])
        spans = np.sort(np.random.default_rng(1).integers(0, 51, (60, 2)), axis=1)
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda span: ours.rows(*map(int, span)), spans))
        for (first, stop), rows in zip(spans, found):
            assert rows.dtype == data.dtype
            np.testing.assert_array_equal(rows, data[first:stop])


@pytest.mark.parametrize(
    "options",
    [{}, {"chunks": (5, 4, 4)}, {"compression": "lzf"}, {"compression": "gzip", "fletcher32": True}, {"shuffle": True}],
)
def test_what_is_packed_otherwise_is_left_to_the_library(tmp_path, options):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        assert not unpackable(file.create_dataset("x", data=np.ones((10, 4, 4)), **options))


def test_a_chunk_that_was_never_written_is_an_error_here(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        data = file.create_dataset("x", (20, 4, 4), "f4", chunks=(10, 4, 4), compression="gzip")
        data[:10] = 1
        assert (Chunks(data).rows(0, 10) == 1).all()
        with pytest.raises((RuntimeError, OSError, ValueError)):
            Chunks(data).rows(5, 15)
