"""A group an object in HDF5: images, bands, attributes."""

import h5py
import numpy as np
import pytest

from engine import Survey, UserError
from engine.data.cutouts import Unreadable

RNG = np.random.default_rng(0)


def noise(*shape):
    return RNG.normal(size=shape).astype("f4")


def test_a_group_an_object_with_attributes(tmp_path):
    images = {f"galaxy_{k}": noise(3, 10 + k, 12) for k in range(5)}
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for k, (name, image) in enumerate(images.items()):
            group = file.create_group(f"objects/{name}")
            group["image"], group["z"], group["mask"] = image, 0.1 * k, np.zeros((10 + k, 12), "u1")
            group.attrs["ra"], group.attrs["dec"], group.attrs["type"] = 10.0 + k, -5.0, "spiral"
        file["objects/empty/z"] = 1.0
    survey = Survey.ingest(tmp_path / "a.h5", tmp_path / "a.survey", bands=["g", "r", "i"])
    assert survey.ids.to_pylist() == list(images) and survey.bands == ("g", "r", "i")
    assert survey.column("ra").tolist() == [10, 11, 12, 13, 14] and survey.column("type").tolist() == ["spiral"] * 5
    np.testing.assert_allclose(survey.column("z"), 0.1 * np.arange(5))
    for cutout, image in zip(survey.cutouts.read(range(5)), images.values()):
        np.testing.assert_array_equal(cutout, image)


@pytest.mark.parametrize("below", ["{}", "HSC-{}/HDU0/DATA", "bands/{}/image"])
def test_a_dataset_a_band(tmp_path, below):
    images = {(k, b): noise(8, 9) for k in range(4) for b in "ZGR"}
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for (k, b), image in images.items():
            if (k, b) != (2, "G"):
                file[f"{k}/{below.format(b)}"] = image
            if "HDU0" in below:
                file[f"{k}/{below.format(b).replace('HDU0', 'HDU1')}"] = np.zeros((8, 9), "i4")
    survey = Survey.ingest(tmp_path / "a.h5", tmp_path / "a.survey")
    assert [b[-1] for b in survey.bands] == ["G", "R", "Z"] and survey.ids.to_pylist() == ["0", "1", "2", "3"]
    found = survey.cutouts.read(range(4))
    np.testing.assert_array_equal(found[1], [images[1, b] for b in "GRZ"])
    assert np.isnan(found[2][0]).all() and np.isfinite(found[2][1:]).all()


def test_a_dataset_an_object(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for k in range(6):
            file[f"obj{k}"] = RNG.integers(0, 255, (9, 9, 3), np.uint8)
            file[f"obj{k}"].attrs["label"] = k
    survey = Survey.ingest(tmp_path / "a.h5", tmp_path / "a.survey")
    assert survey.bands == ("R", "G", "B") and not survey.header["pixels"]["science"]
    assert survey.column("label").tolist() == list(range(6)) and survey.cutouts.read([3])[0].shape == (3, 9, 9)


def test_objects_of_other_files_are_not_read(tmp_path):
    for name in "ab":
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            for k in range(3):
                file[f"{k}/image"] = noise(8, 8)
    survey = Survey.ingest(tmp_path / "a.h5", tmp_path / "a.survey")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["1"]
        file["1"] = h5py.ExternalLink("b.h5", "1")
    found = Survey.open(survey.path).cutouts.read([0, 1, 2])
    assert isinstance(found[1], Unreadable) and not isinstance(found[0], Unreadable)


def test_one_image_alone_is_no_survey(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["image"] = noise(20, 20)
    with pytest.raises(UserError, match="no array of images"):
        Survey.ingest(tmp_path / "a.h5", tmp_path / "a.survey")
