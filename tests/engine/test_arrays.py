"""NumPy files: the same cutouts as the array, and never an unpickled object."""

import numpy as np
import pandas as pd
import pytest

from engine.data.arrays import look
from engine.data.cutouts import Unreadable
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
