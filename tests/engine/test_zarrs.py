"""Zarr stores of both versions: the same cutouts as the arrays, whatever the chunks, shards and codecs."""

import json

import numpy as np
import pytest
import zarr

from engine import Survey, UserError
from engine.data.arrays.zarrs import look
from engine.data.cutouts import Unreadable
from engine.data.ingest import ingest
from engine.data.references import Asked, Place, walk

RNG = np.random.default_rng(0)


def store(path, version=3, images=None, columns=True, **options):
    images = RNG.normal(size=(30, 3, 8, 8)).astype("f4") if images is None else images
    group = zarr.create_group(path, zarr_format=version)
    group.create_array("images", data=images, **options)
    if columns:
        group.create_array("ra", data=RNG.uniform(0, 360, len(images)))
        group.create_array("dec", data=RNG.uniform(-90, 90, len(images)))
        group.create_array("objid", data=np.arange(len(images)) + 100)
    return images


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("chunks", [(7, 3, 8, 8), (4, 1, 5, 8), (30, 3, 8, 8)])
@pytest.mark.parametrize("how", ["plain", "packed", "shards"])
def test_rows_in_any_order_are_the_arrays(tmp_path, version, chunks, how):
    options = {"chunks": chunks}
    if how == "plain":
        options["compressors"] = None
    elif how == "shards":
        if version == 2:
            pytest.skip("version 2 has no shards")
        options["shards"] = tuple(2 * c for c in chunks)
    images = store(tmp_path / "s.zarr", version, **options)
    survey = Survey.ingest(tmp_path / "s.zarr", tmp_path / "x.survey")
    assert survey.header["pixels"]["kind"] == "zarr" and survey.ids[0].as_py() == "100"
    assert np.isfinite(survey.column("ra")).all()
    rows = RNG.integers(0, 30, 50)
    np.testing.assert_array_equal(np.stack(survey.cutouts.read(rows)), images[rows])
    np.testing.assert_array_equal(np.stack(survey.cutouts.read_raw(rows)), images[rows])


def test_one_array_bands_and_text(tmp_path):
    array = zarr.create_array(tmp_path / "a.zarr", data=np.ones((5, 9, 9, 4), "f4"), attributes={"bands": list("griz")})
    assert array.shape == (5, 9, 9, 4)
    found = look(Place(tmp_path / "a.zarr"))
    assert found.bands == tuple("griz") and found.pixels["layout"] == "NHWC"
    assert len(Survey.ingest(tmp_path / "a.zarr", tmp_path / "a.survey").cutouts.read([2])[0]) == 4
    group = zarr.create_group(tmp_path / "b", zarr_format=2)
    inner = group.create_group("deep")
    inner.create_array("cutouts", data=np.ones((5, 2, 9, 9), "u2"))
    inner.create_array("name", data=np.array([f"g{k}" for k in range(5)], "S4"))
    survey = Survey.ingest(tmp_path / "b", tmp_path / "b.survey", bands=["g", "r"])
    assert survey.ids.to_pylist() == ["g0", "g1", "g2", "g3", "g4"]
    assert survey.header["pixels"]["dataset"] == "deep/cutouts"
    with pytest.raises(UserError, match="no array 'x'"):
        look(Place(tmp_path / "b"), Asked(dataset="x"))


def test_many_stores_below_a_folder(tmp_path):
    folder = tmp_path / "s"
    kept = [store(folder / name) for name in ("a.zarr", "deep/b.zarr", "c")]
    (folder / "readme.png").write_bytes(b"")
    assert list(walk(folder)) == ["a.zarr/", "c/", "readme.png", "deep/b.zarr/"]
    survey = Survey.ingest(folder, tmp_path / "x.survey")
    assert len(survey) == 90 and survey.ids[0].as_py() == "a[0]"
    order = {"a.zarr": 0, "deep/b.zarr": 1, "c": 2}
    for row in (0, 40, 89):
        images = kept[order[survey.column("pixels_file")[row]]]
        np.testing.assert_array_equal(survey.cutouts.read([row])[0], images[survey.column("pixels_index")[row]])


@pytest.mark.parametrize("shards", [None, (20, 3, 8, 8)])
def test_a_damaged_chunk_spoils_only_its_rows(tmp_path, shards):
    images = RNG.integers(0, 255, (40, 3, 8, 8), np.uint8)
    store(tmp_path / "s.zarr", images=images, chunks=(10, 3, 8, 8), shards=shards)
    survey = Survey.ingest(tmp_path / "s.zarr", tmp_path / "x.survey")
    path = tmp_path / "s.zarr" / "images" / "c" / "0" / "0" / "0" / "0"
    raw = bytearray(path.read_bytes())
    if shards is None:
        raw = raw[: len(raw) // 2]
    else:
        raw[:8] = bytes(8)  # the codec's own header: a change inside the values cannot be told
    path.write_bytes(raw)
    found = survey.cutouts.read(np.arange(40))
    bad = [k for k, c in enumerate(found) if isinstance(c, Unreadable)]
    assert bad == list(range(10))
    np.testing.assert_array_equal(found[15], images[15])


def test_a_store_that_is_damaged_or_claims_too_much_is_one_sentence(tmp_path):
    store(tmp_path / "a.zarr")
    (tmp_path / "a.zarr" / "images" / "zarr.json").write_text("{ nonsense")
    with pytest.raises(UserError, match="cannot be read as a Zarr store"):
        ingest(tmp_path / "a.zarr", tmp_path / "a.survey")
    store(tmp_path / "b.zarr", columns=False)
    path = tmp_path / "b.zarr" / "images" / "zarr.json"
    document = json.loads(path.read_text())
    document["shape"][0] = 10**12
    path.write_text(json.dumps(document))
    with pytest.raises(UserError, match="claims"):
        ingest(tmp_path / "b.zarr", tmp_path / "b.survey")
    (tmp_path / "c.zarr").mkdir()
    with pytest.raises(UserError):
        ingest(tmp_path / "c.zarr", tmp_path / "c.survey")
    (tmp_path / "d.zarr").write_text("no store")
    with pytest.raises(UserError, match="no Zarr store"):
        ingest(tmp_path / "d.zarr", tmp_path / "d.survey")
