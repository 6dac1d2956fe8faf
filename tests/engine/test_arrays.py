"""NumPy files: the same cutouts as the array, read in place, and never an unpickled object."""

import zipfile

import numpy as np
import pandas as pd
import pytest

from engine.data.arrays import npz as arrays
from engine.data.arrays.npz import look, members, read_member
from engine.data.cutouts import Unreadable
from engine.data.ingest import ingest
from engine.data.references import Asked, Place
from engine.errors import UserError
from engine.survey import Survey


def survey_of(tmp_path, path, found, index=None):
    index = np.asarray(found.references["pixels_index"] if index is None else index)
    objects = pd.DataFrame({"id": [str(k) for k in range(len(index))], "ra": 0.0, "dec": 0.0, "pixels_index": index})
    return Survey.create(
        tmp_path / "a.survey",
        objects,
        pixels={"kind": "npz", "root": str(path), "bands": list(found.bands), "science": found.science} | found.pixels,
    )


@pytest.mark.parametrize("ending", ["npz", "npy"])
def test_cutouts_are_the_rows_of_the_array(tmp_path, ending):
    images = np.random.default_rng(0).normal(size=(10, 4, 6, 7)).astype("f4")
    path = tmp_path / f"x.{ending}"
    np.savez(path, images=images) if ending == "npz" else np.save(path, images)
    survey = survey_of(tmp_path, path, look(Place(path), Asked(bands="griz")), index=[3, 9, 12, 0])
    found = survey.cutouts.read([1, 2, 0, 1])
    assert isinstance(found[1], Unreadable)
    for cutout, row in zip((found[0], found[2], found[3]), (9, 3, 9)):
        np.testing.assert_array_equal(cutout, images[row])


def test_the_catalogue_in_an_npz_is_read(tmp_path):
    np.savez(
        tmp_path / "x.npz",
        images=np.zeros((3, 2, 5, 5), "f4"),
        bands=np.array(["g", "r"]),
        ra=np.array([1.0, 2, 3]),
        dec=np.array([4.0, 5, 6]),
        id=np.array(["a", "b", "c"]),
        z=np.array([0.1, 0.2, 0.3]),
    )
    found = look(Place(tmp_path / "x.npz"))
    assert (found.bands, found.ids, found.ra.tolist()) == (("g", "r"), ["a", "b", "c"], [1, 2, 3])
    assert found.columns.column_names == ["z"]


def test_repeated_ids_in_the_file_are_not_taken(tmp_path):
    np.savez(tmp_path / "x.npz", images=np.zeros((3, 5, 5), "f4"), id=np.array([1, 1, 2]))
    assert look(Place(tmp_path / "x.npz")).ids == ["0", "1", "2"]


def test_objects_and_damaged_files_are_refused(tmp_path):
    np.savez(tmp_path / "o.npz", images=np.array([{}, {}], object))
    (tmp_path / "d.npz").write_bytes(b"PK nonsense")
    (tmp_path / "t.npy").write_bytes(b"\x93NUMPY\x01\x00")
    for name in ("o.npz", "d.npz", "t.npy"):
        with pytest.raises(UserError):
            look(Place(tmp_path / name))


@pytest.mark.parametrize("dtype", ["f4", ">f4", "u1", "i2", "f8", "f2"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_members_are_what_numpy_reads(tmp_path, dtype, order, save):
    rng = np.random.default_rng(0)
    images = np.asarray((rng.normal(size=(7, 2, 5, 6)) * 20 + 100).astype(dtype), order=order)
    save(tmp_path / "x.npz", images=images, label=np.arange(7), empty=np.zeros((0, 3)))
    found = members(tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as expected:
        for name, member in found.items():
            mine = read_member(tmp_path / "x.npz", member, name)
            np.testing.assert_array_equal(mine, expected[name])
            assert mine.dtype == expected[name].dtype
            in_place = isinstance(mine, np.memmap)
            assert in_place == (save is np.savez and name != "empty")


def test_looking_at_a_large_archive_takes_no_memory(tmp_path, monkeypatch):
    """Only headers and columns are read: what would read the images is not called."""
    np.savez_compressed(tmp_path / "x.npz", images=np.zeros((50, 3, 8, 8), "f4"), ra=np.arange(50.0))
    asked = []
    unpacked = arrays._unpacked
    monkeypatch.setattr(arrays, "_unpacked", lambda path, member: asked.append(member) or unpacked(path, member))
    found = look(Place(tmp_path / "x.npz"))
    assert [m.shape for m in asked] == [(50,)] and "are unpacked into memory" in " ".join(found.notes)


def test_what_is_compressed_and_too_large_is_refused(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "x.npz", images=np.zeros((50, 3, 8, 8), "f4"))
    monkeypatch.setattr(arrays, "MOST_UNPACKED", 10_000)
    with pytest.raises(UserError, match=r"numpy\.savez instead of numpy\.savez_compressed"):
        ingest(tmp_path / "x.npz", tmp_path / "x.survey")
    assert not (tmp_path / "x.survey").exists()


def header(shape, dtype="<f4"):
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize("shape", [(10**6, 3, 64, 64), (2**62, 2**62, 4, 4), (-1, 8, 8)])
def test_bombs_are_refused_before_memory_is_taken(tmp_path, shape):
    """An array of 49 GB in a file of some hundred bytes: claimed in the header, and packed by deflate."""
    (tmp_path / "a.npy").write_bytes(header(shape))
    with zipfile.ZipFile(tmp_path / "b.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", header(shape) + b"\0" * 100_000)
    with zipfile.ZipFile(tmp_path / "c.npz", "w") as archive:
        archive.writestr("images.npy", header(shape))
    for name in ("a.npy", "b.npz", "c.npz"):
        with pytest.raises(UserError, match=r"claimed|cannot be read"):
            look(Place(tmp_path / name))


def test_an_archive_that_lies_about_its_size_is_refused(tmp_path):
    images = np.zeros((100, 8, 8), "f4")
    np.savez_compressed(tmp_path / "x.npz", images=images)
    raw = bytearray((tmp_path / "x.npz").read_bytes())
    size = (images.nbytes + 128).to_bytes(4, "little")
    assert raw.count(size) >= 1
    for at in [k for k in range(len(raw) - 3) if raw[k : k + 4] == size]:
        raw[at : at + 4] = (2**31).to_bytes(4, "little")
    (tmp_path / "y.npz").write_bytes(raw)
    with pytest.raises(UserError):
        look(Place(tmp_path / "y.npz"))


def test_a_damaged_archive_is_told(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", images=np.random.default_rng(0).normal(size=(100, 8, 8)))
    raw = bytearray((tmp_path / "x.npz").read_bytes())
    raw[len(raw) // 2] ^= 255
    (tmp_path / "x.npz").write_bytes(raw)
    with pytest.raises(UserError, match="cannot be read"):
        ingest(tmp_path / "x.npz", tmp_path / "x.survey")


def test_many_archives_are_one_survey(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "s" / "deep").mkdir(parents=True)
    images = rng.normal(size=(12, 2, 6, 6)).astype("f4")
    for k, name in enumerate(("a", "b", "deep/c")):
        np.savez(tmp_path / "s" / f"{name}.npz", images=images[4 * k : 4 * k + 4], id=np.arange(4 * k, 4 * k + 4))
    survey = Survey.ingest(tmp_path / "s", tmp_path / "x.survey")
    assert survey.ids.to_pylist() == [str(k) for k in range(12)]
    np.testing.assert_array_equal(np.stack(survey.cutouts.read([9, 0, 4])), images[[9, 0, 4]])


def test_the_arrays_of_a_folder_belong_together(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "s").mkdir()
    images = rng.normal(size=(6, 9, 9, 2)).astype("f4")
    for name, values in {
        "x": images,
        "ra": rng.random(6),
        "label": np.array(list("abcdef")),
        "other": np.arange(3),
    }.items():
        np.save(tmp_path / "s" / f"{name}.npy", values)
    survey = Survey.ingest(tmp_path / "s", tmp_path / "x.survey")
    assert survey.column("label").tolist() == list("abcdef") and np.isnan(survey.column("dec")).all()
    np.testing.assert_array_equal(survey.cutouts.read([3])[0], np.moveaxis(images[3], 2, 0))
    assert Survey.open(survey.path).cutouts.read([1])[0].shape == (2, 9, 9)


@pytest.mark.parametrize("shape", [(9, 8), (3, 9, 8), (9, 8, 3)])
def test_a_file_an_object(tmp_path, shape):
    rng = np.random.default_rng(0)
    (tmp_path / "s").mkdir()
    made = {f"g{k}": rng.normal(size=shape if k else [n + 4 if n > 3 else n for n in shape]) for k in range(7)}
    for name, values in made.items():
        np.save(tmp_path / "s" / f"{name}.npy", values)
    np.save(tmp_path / "s" / "objects.npy", np.array([{}], object))
    np.save(tmp_path / "s" / "line.npy", np.zeros(5))
    (tmp_path / "s" / "cut.npy").write_bytes(header((9, 8)))
    done = ingest(tmp_path / "s", tmp_path / "x.survey")
    assert sorted(r["file"] for r in done.details.rejected) == ["cut.npy", "line.npy", "objects.npy"]
    survey = done.survey
    assert survey.ids.to_pylist() == list(made) and len(survey.bands) == (1 if len(shape) == 2 else 3)
    for row, name in enumerate(made):
        expected = (
            made[name][None] if len(shape) == 2 else np.moveaxis(made[name], 2, 0) if shape[2] == 3 else made[name]
        )
        np.testing.assert_array_equal(survey.cutouts.read([row])[0], expected.astype("f4"))
    (tmp_path / "s" / "g3.npy").unlink()
    assert isinstance(survey.cutouts.read([3])[0], Unreadable) and survey.cutouts.read([4])[0].shape[0] == len(
        survey.bands
    )
