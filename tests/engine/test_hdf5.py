"""Slabs give the same cutouts as one row at a time; datasets are recognised."""

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.arrays.hdf5 import look
from engine.data.arrays.slabs import bands_first, guess_layout, slabs
from engine.data.cutouts import Unreadable, read_batch, resample
from engine.data.references import Asked, Place
from engine.errors import UserError
from engine.survey import Survey


def survey_of(tmp_path, images, *, bands, index=None, dataset="images", chunks=None, **pixels):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("images", data=images, chunks=chunks)
    index = np.arange(len(images)) if index is None else np.asarray(index)
    objects = pd.DataFrame({"id": [str(k) for k in range(len(index))], "ra": 0.0, "dec": 0.0, "pixels_index": index})
    return Survey.create(
        tmp_path / "x.survey",
        objects,
        pixels={"kind": "hdf5", "root": str(tmp_path / "x.h5"), "bands": bands, "science": True, "dataset": dataset}
        | pixels,
    )


@pytest.mark.parametrize(
    "shape, bands, dtype",
    [
        ((60, 3, 8, 9), ["g", "r", "i"], "f4"),
        ((60, 8, 9, 3), ["R", "G", "B"], "u1"),
        ((60, 7, 7), ["grey"], "i2"),
        ((60, 5, 5, 5), ["g", "r", "i", "z", "y"], "f8"),
        ((60, 1, 8, 8), ["g"], "u2"),
    ],
)
def test_any_order_of_rows_equals_one_at_a_time(tmp_path, shape, bands, dtype):
    rng = np.random.default_rng(0)
    images = (rng.normal(size=shape) * 50 + 100).astype(dtype)
    if images.dtype.kind == "f":
        images[rng.random(shape) < 0.1] = np.nan
    survey = survey_of(tmp_path, images, bands=bands, index=rng.permutation(60))
    rows = rng.integers(0, 60, 40)  # with repeats, out of order
    layout = guess_layout(shape, len(bands))
    for cutout, row in zip(survey.cutouts.read(rows), rows):
        index = survey.column("pixels_index")[row]
        assert cutout.dtype == np.float32
        np.testing.assert_array_equal(cutout, bands_first(images[index : index + 1], layout)[0])
    raw = survey.cutouts.read_raw(rows)
    for mine, cutout in zip(raw, survey.cutouts.read(rows), strict=True):
        assert mine.dtype == images.dtype
        np.testing.assert_array_equal(mine.astype(np.float32), cutout)
    batch, _, _ = read_batch(survey.cutouts, rows, max(raw[0].shape))
    resampled = [resample(cutout, max(cutout.shape)) for cutout in survey.cutouts.read(rows)]
    np.testing.assert_allclose(batch, resampled, rtol=1e-6)


def test_rows_that_do_not_exist_are_told_one_by_one(tmp_path):
    survey = survey_of(tmp_path, np.ones((5, 1, 6, 6), "f4"), bands=["g"], index=[0, 7, 4, -1])
    found = survey.cutouts.read([0, 1, 2, 3])
    assert [isinstance(c, Unreadable) for c in found] == [False, True, False, True]
    assert "5 rows" in found[1].reason and survey.cutouts.read([]) == []


def test_a_damaged_chunk_spoils_only_its_rows(tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (40, 1, 32, 32), np.uint8)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        data = file.create_dataset("images", data=images, chunks=(10, 1, 32, 32), compression="gzip")
        where = data.id.get_chunk_info(1)
    with open(tmp_path / "x.h5", "r+b") as raw:
        raw.seek(where.byte_offset + where.size // 2)
        raw.write(b"\x00" * 64)
    objects = pd.DataFrame({"id": [str(k) for k in range(40)], "ra": 0.0, "dec": 0.0, "pixels_index": np.arange(40)})
    survey = Survey.create(
        tmp_path / "x.survey",
        objects,
        pixels={"kind": "hdf5", "root": str(tmp_path / "x.h5"), "bands": ["g"], "science": False, "dataset": "images"},
    )
    bad = [k for k, c in enumerate(survey.cutouts.read(np.arange(40))) if isinstance(c, Unreadable)]
    assert bad == list(range(10, 20))


@given(st.lists(st.integers(0, 500), min_size=1, max_size=80), st.integers(1, 20), st.integers(1, 100))
def test_slabs_cover_every_row_once(rows, gap, most):
    wanted = np.sort(np.array(rows))
    found = slabs(wanted, gap, most)
    assert [p for a, b in found for p in range(a, b)] == list(range(len(wanted)))
    for a, b in found:
        assert wanted[b - 1] - wanted[a] < most
        assert (np.diff(wanted[a:b]) <= gap).all()


def test_a_missing_dataset_or_damaged_file_is_told(tmp_path):
    survey = survey_of(tmp_path, np.ones((2, 1, 6, 6), "f4"), bands=["g"], dataset="cutouts")
    with pytest.raises(UserError, match="no dataset 'cutouts'"):
        _ = survey.cutouts
    (tmp_path / "x.h5").write_bytes(b"not hdf5")
    with pytest.raises(UserError, match="cannot be read as HDF5"):
        _ = Survey.open(survey.path).cutouts


def write(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name.replace("__", "/")] = values
    return path


def test_galaxy10_is_recognised(tmp_path):
    rng = np.random.default_rng(0)
    path = write(
        tmp_path / "g.h5",
        images=rng.integers(0, 255, (12, 16, 16, 3), np.uint8),
        ans=rng.integers(0, 9, 12),
        ra=rng.uniform(0, 360, 12),
        dec=rng.uniform(-90, 90, 12),
        redshift=rng.random(12),
        pxscale=np.ones(12),
    )
    found = look(Place(path))
    assert found.bands == ("R", "G", "B") and not found.science and found.sizes[0] == (16, 16)
    assert found.columns.column_names == ["ans", "pxscale", "redshift"]
    assert np.isfinite(found.ra).all() and found.ids == [str(k) for k in range(12)]


def test_sky_embeddings_is_recognised(tmp_path):
    rng = np.random.default_rng(0)
    path = write(
        tmp_path / "s.h5",
        cutouts=rng.normal(size=(9, 5, 16, 16)).astype("f4"),
        ra=rng.random(9),
        dec=rng.random(9),
        zspec=rng.random(9),
    )
    found = look(Place(path), Asked(bands=["g", "r", "i", "z", "y"]))
    assert found.bands == ("g", "r", "i", "z", "y") and found.science and found.pixels["dataset"] == "cutouts"
    assert look(Place(path)).bands == ("band1", "band2", "band3", "band4", "band5")
    with pytest.raises(UserError, match="cutouts have 5"):
        look(Place(path), Asked(bands=["g", "r"]))


def test_groups_text_and_ids_are_understood(tmp_path):
    path = write(
        tmp_path / "s.h5",
        sky__stamps=np.zeros((3, 8, 8), "f4"),
        sky__objid=np.array([b"a1", b"b2", b"c3"]),
        cat__mag=np.arange(3.0),
        votes=np.zeros((3, 4)),
        other=np.arange(7),
    )
    found = look(Place(path))
    assert found.pixels == {"dataset": "sky/stamps", "layout": "NHW"} and found.ids == ["a1", "b2", "c3"]
    assert "mag" in found.columns.column_names and "votes" in found.notes[0]


def test_bands_are_read_from_attributes(tmp_path):
    path = write(tmp_path / "s.h5", images=np.zeros((3, 8, 8, 4), "f4"))
    with h5py.File(path, "a") as file:
        file["images"].attrs["bands"] = ["g", "r", "i", "z"]
    assert look(Place(path)).bands == ("g", "r", "i", "z") and look(Place(path)).pixels["layout"] == "NHWC"


def test_repeats_as_many_as_the_rows_they_span_are_not_taken_for_the_whole(tmp_path):
    survey = survey_of(tmp_path, np.arange(6.0)[:, None, None, None] * np.ones((1, 1, 5, 5)), bands=["g"])
    assert [c[0, 0, 0] for c in survey.cutouts.read([3, 5, 3])] == [3, 5, 3]


def test_a_file_without_images_is_refused(tmp_path):
    with pytest.raises(UserError, match="no array of images"):
        look(Place(write(tmp_path / "s.h5", ra=np.arange(3.0))))
