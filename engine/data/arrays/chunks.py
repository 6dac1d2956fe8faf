"""Chunks of an HDF5 dataset, unpacked outside of the library, which does one thing at a time for all threads.

The library is asked for a chunk as it lies in the file; zlib and the shuffle are undone here, where threads do not wait
for each other. A few chunks are kept, since the batches that are read seldom end where a chunk does.

    shuffle (H5Z_FILTER_SHUFFLE): byte k of all values lies before byte k + 1 of all values

Cost: the chunks that hold the rows, once, while no more than `KEPT` bytes are read side by side.
"""

from __future__ import annotations

import threading
import zlib
from collections import OrderedDict
from concurrent.futures import Future
from itertools import product

import h5py
import numpy as np

#: Bytes of unpacked chunks that are kept.
KEPT = 1 << 28


class Chunks:
    """Rows of a compressed dataset, by any number of threads at once.

    Parameters
    ----------
    dataset : h5py.Dataset
        One for which `unpackable` is true; it stays open.
    kept : int
        Bytes of unpacked chunks that are kept.
    """

    def __init__(self, dataset: h5py.Dataset, *, kept: int = KEPT):
        self._dataset, self._shape, self._chunk = dataset, dataset.shape, dataset.chunks
        self._dtype, self._shuffled = dataset.dtype, bool(dataset.shuffle)
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[int, ...], Future[np.ndarray]] = OrderedDict()
        size = int(np.prod(self._chunk)) * self._dtype.itemsize
        grid = int(np.prod([-(-n // c) for n, c in zip(self._shape[1:], self._chunk[1:])]))
        self._room = max(2 * grid, kept // max(1, size))

    def rows(self, first: int, stop: int) -> np.ndarray:
        """Rows first … stop of the dataset, (stop − first, …).

        Raises
        ------
        OSError, ValueError, zlib.error, KeyError, RuntimeError
            If a chunk is damaged, was never written, or skipped a filter: h5py then knows better.
        OverflowError
            If a chunk would fill the memory: a decompression bomb, which h5py must not be given.
        """
        found = np.empty((stop - first, *self._shape[1:]), self._dtype)
        height = self._chunk[0]
        starts = [range(first // height * height, stop, height)]
        starts += [range(0, n, c) for n, c in zip(self._shape[1:], self._chunk[1:])]
        for corner in product(*starts):
            chunk = self._unpacked(corner)
            a, b = max(first, corner[0]), min(stop, corner[0] + height)
            ends = [min(c, n - at) for at, c, n in zip(corner[1:], self._chunk[1:], self._shape[1:])]
            there = (slice(a - first, b - first), *(slice(at, at + k) for at, k in zip(corner[1:], ends)))
            found[there] = chunk[(slice(a - corner[0], b - corner[0]), *(slice(0, k) for k in ends))]
        return found

    def _unpacked(self, corner: tuple[int, ...]) -> np.ndarray:
        """A whole chunk; whoever comes first unpacks it, the others wait for it."""
        with self._lock:
            future = self._kept.get(corner)
            ours = future is None
            if future is None:
                future = self._kept[corner] = Future()
            self._kept.move_to_end(corner)
            while len(self._kept) > self._room:
                self._kept.popitem(last=False)
        if ours:
            try:
                future.set_result(self._unpack(corner))
            except BaseException as error:
                with self._lock:
                    self._kept.pop(corner, None)
                future.set_exception(error)
        return future.result()

    def _unpack(self, corner: tuple[int, ...]) -> np.ndarray:
        skipped, packed = self._dataset.id.read_direct_chunk(corner)
        if skipped:
            raise ValueError("a filter was left out of this chunk")
        size = int(np.prod(self._chunk)) * self._dtype.itemsize
        unpacked = zlib.decompressobj().decompress(packed, size + 1)
        if len(unpacked) > size:
            raise OverflowError("a chunk unpacks to more than it can hold")
        raw = np.frombuffer(unpacked, np.uint8)
        if self._shuffled:
            raw = np.ascontiguousarray(raw.reshape(self._dtype.itemsize, -1).T)
        return raw.reshape(-1).view(self._dtype).reshape(self._chunk)


def unpackable(dataset: h5py.Dataset) -> bool:
    """Whether a dataset is compressed in the way that is undone here: gzip, with or without shuffle, plain numbers."""
    plain = dataset.dtype.kind in "iuf" and h5py.check_dtype(enum=dataset.dtype) is None
    filters = dataset.id.get_create_plist().get_nfilters()
    known = 1 + bool(dataset.shuffle)
    return dataset.chunks is not None and dataset.compression == "gzip" and plain and filters == known
