"""Pictures of every format, sound, damaged and hostile."""

import struct
import zlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from engine.data import images
from engine.data.cutouts import Unreadable
from engine.data.images import decode, look
from engine.data.references import Place
from engine.errors import UserError
from engine.survey import Survey


def noise(path, shape, dtype=np.uint8):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(len(path.name)).integers(0, np.iinfo(dtype).max, shape, dtype)
    Image.fromarray(values).save(path)
    return values


def survey_of(folder, names, *, bands=("R", "G", "B"), science=False):
    objects = pd.DataFrame({"id": [str(k) for k in range(len(names))], "ra": 0.0, "dec": 0.0, "pixels_file": names})
    return Survey.create(
        folder.parent / "a.survey",
        objects,
        pixels={"kind": "images", "root": str(folder), "bands": list(bands), "science": science},
    )


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp", "a.webp", "a.jpg"])
def test_colour_pictures_come_as_three_bands(tmp_path, name):
    values = noise(tmp_path / name, (14, 20, 3))
    found = decode(str(tmp_path / name), 3)
    assert found.shape == (3, 14, 20) and found.dtype == np.float32
    expected = values if name[2:] in ("png", "tif", "bmp") else np.asarray(Image.open(tmp_path / name))
    np.testing.assert_array_equal(found, np.moveaxis(expected, -1, 0))


def test_sixteen_bits_are_kept_for_science_and_scaled_for_pictures(tmp_path):
    for name in ("a.png", "a.tif"):
        values = noise(tmp_path / name, (9, 8), np.uint16)
        np.testing.assert_array_equal(decode(str(tmp_path / name), 1, science=True)[0], values)
        np.testing.assert_allclose(decode(str(tmp_path / name), 1)[0], values / 257, rtol=1e-6)
    found = look(Place(tmp_path, tuple(["a.png", "a.tif"])))
    assert found.science and found.bands == ("grey",)


def test_transparency_palettes_and_grey_are_brought_to_the_bands(tmp_path):
    noise(tmp_path / "rgba.png", (6, 6, 4))
    Image.fromarray(np.arange(36, dtype=np.uint8).reshape(6, 6)).convert("P").save(tmp_path / "p.png")
    noise(tmp_path / "l.png", (6, 6))
    for name in ("rgba.png", "p.png", "l.png"):
        assert decode(str(tmp_path / name), 3).shape == (3, 6, 6)
        assert decode(str(tmp_path / name), 1).shape == (1, 6, 6)


def test_many_decoded_in_threads_equal_one_at_a_time(tmp_path):
    names = [f"{k:02d}.png" for k in range(24)]
    folder = tmp_path / "in"
    for name in names:
        noise(folder / name, (8 + int(name[:2]), 9, 3))
    source = survey_of(folder, names).cutouts
    order = np.random.default_rng(0).permutation(24)
    for cutout, row in zip(source.read(order), order):
        np.testing.assert_array_equal(cutout, decode(str(folder / names[row]), 3))


def huge_png(path, side):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def test_one_bad_file_never_stops_a_run(tmp_path):
    folder = tmp_path / "in"
    noise(folder / "good.jpg", (16, 16, 3))
    whole = (folder / "good.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("no picture")
    huge_png(folder / "bomb.png", 6000)
    huge_png(folder / "bigger.png", 60000)
    (tmp_path / "secret.jpg").write_bytes(whole)
    (folder / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    names = [
        "good.jpg",
        "cut.jpg",
        "empty.jpg",
        "text.jpg",
        "bomb.png",
        "bigger.png",
        "link.jpg",
        "gone.jpg",
        "../secret.jpg",
    ]
    found = survey_of(folder, names).cutouts.read(np.arange(len(names)))
    assert isinstance(found[0], np.ndarray)
    for name, cutout in zip(names[1:], found[1:]):
        assert isinstance(cutout, Unreadable) and name in cutout.reason, name
    assert "6000×6000" in found[4].reason and "too many" in found[5].reason
    assert "link" in found[6].reason and "gone" in found[7].reason and "outside" in found[8].reason

    looked = look(Place(folder, tuple(names[:7])))
    assert looked.ids == ["good"] and [r.file for r in looked.rejected] == names[1:7]


def test_trailing_bytes_do_not_make_a_picture_damaged(tmp_path):
    noise(tmp_path / "a.jpg", (16, 16, 3))
    with open(tmp_path / "a.jpg", "ab") as stream:
        stream.write(b"\0" * 500)
    assert look(Place(tmp_path, tuple(["a.jpg"]))).ids == ["a"]


def test_colour_files_without_colour_are_grey(tmp_path):
    grey = np.random.default_rng(0).integers(0, 255, (12, 12, 1), np.uint8)
    for k in range(3):
        Image.fromarray(np.repeat(grey, 3, axis=2)).save(tmp_path / f"{k}.jpg")
    assert look(Place(tmp_path, tuple(["0.jpg", "1.jpg", "2.jpg"]))).bands == ("grey",)
    noise(tmp_path / "c.png", (12, 12, 3))
    assert look(Place(tmp_path, tuple(["0.jpg", "1.jpg", "2.jpg", "c.png"]))).bands == ("R", "G", "B")


def test_a_folder_of_damaged_pictures_is_refused(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x")
    with pytest.raises(UserError, match="none of the 1 images"):
        look(Place(tmp_path, tuple(["a.jpg"])))
    assert images.MOST_PIXELS < Image.MAX_IMAGE_PIXELS
