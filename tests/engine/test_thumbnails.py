"""Thumbnails come back byte for byte, from any shard, and never crash on a bad one."""

import io

import numpy as np
from PIL import Image

from engine.data.cutouts import Unreadable
from engine.data.pictures.stretch import DEFAULT, Calibration, Stretch
from engine.data.pictures.thumbnails import SHARD, SIDE, Thumbnails, draw, encode


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


# -- sets under one stretch after another --------------------------------------------------------------------------------


LOG = Stretch(curve="log")


def filled(thumbnails):
    for shard in range(thumbnails.shards):
        thumbnails.write(shard, [thumbnails.stretch.encode() or b"default"] * min(SHARD, thumbnails.count))


def test_a_new_set_grows_beside_the_old_one(tmp_path):
    stored = Thumbnails(tmp_path / "thumbnails", 5)
    filled(stored)
    assert stored.shows(DEFAULT) and stored.drawn_with(DEFAULT) is stored
    following = stored.drawn_with(LOG)
    assert following.folder != stored.folder and not following.complete and stored.read([1]) == [b"default"]
    filled(following)
    assert stored.drawn_with(LOG).complete, "a second run takes it up"
    assert not stored.drawn_with(Stretch(curve="sqrt")).complete, "under another stretch it begins anew"
    following = stored.drawn_with(LOG)
    filled(following)
    stored.replace(following)
    stored.replace(following)  # by a second process, too late
    assert stored.shows(LOG) and stored.read([1]) == [b"curve=log"]
    assert [p.name for p in tmp_path.iterdir()] == ["thumbnails"]


def test_killed_between_the_renames_the_next_run_finishes(tmp_path):
    stored = Thumbnails(tmp_path / "thumbnails", 5)
    filled(stored)
    filled(stored.drawn_with(LOG))
    stored.folder.rename(tmp_path / ".thumbnails.before")
    assert Thumbnails(tmp_path / "thumbnails", 5).drawn_with(LOG).shows(LOG)


def test_pictures_are_drawn_at_most_at_their_own_size():
    rng = np.random.default_rng(0)
    cutouts = [
        rng.normal(size=(2, 20, 30)),
        Unreadable("no"),
        rng.normal(size=(2, 200, 200)),
        np.full((2, 8, 8), np.nan),
    ]
    levels = Calibration(np.zeros(2), np.ones(2), np.ones(2))
    drawn = draw(cutouts, levels, science=True)
    assert [Image.open(io.BytesIO(d)).size if d else None for d in drawn] == [(30, 30), None, (SIDE, SIDE), None]
