"""Thumbnails come back byte for byte, from any shard, and never crash on a bad one."""

import io

import numpy as np
from PIL import Image

from engine.data.thumbnails import SHARD, Thumbnails, encode


def test_every_thumbnail_comes_back(tmp_path):
    count = SHARD + 10
    thumbnails = Thumbnails(tmp_path, count)
    pictures = [b"" if k % 7 == 0 else bytes([k % 251]) * (k % 50 + 1) for k in range(count)]
    assert thumbnails.shards == 2 and not thumbnails.complete
    thumbnails.write(0, pictures[:SHARD])
    assert thumbnails.has(0) and not thumbnails.complete
    assert thumbnails.read([SHARD + 1]) == [b""]
    thumbnails.write(1, pictures[SHARD:])
    assert thumbnails.complete
    rows = np.random.default_rng(0).permutation(count)[:500]
    assert thumbnails.read(rows) == [pictures[r] for r in rows]
    assert thumbnails.read([count - 1, 0]) == [pictures[-1], pictures[0]]


def test_a_foreign_file_reads_as_nothing(tmp_path):
    thumbnails = Thumbnails(tmp_path, 3)
    thumbnails.path(0).write_bytes(b"something else entirely")
    assert thumbnails.read([0, 2]) == [b"", b""]


def test_a_picture_survives_encoding():
    ramp = np.linspace(0, 255, 64 * 64).reshape(64, 64, 1)
    picture = np.concatenate([ramp, ramp[::-1], ramp], axis=2).astype(np.uint8)
    again = np.asarray(Image.open(io.BytesIO(encode(picture))))
    assert again.shape == picture.shape and np.abs(again.astype(int) - picture).mean() < 2
