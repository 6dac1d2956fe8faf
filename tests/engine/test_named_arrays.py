"""The layouts that teams really use, each written small and read back."""

import h5py
import numpy as np
import pytest

from engine import Survey, UserError
from engine.data.arrays.hdf5 import look
from engine.data.arrays.named import split_names
from engine.data.cutouts import Unreadable
from engine.data.ingest import ingest
from engine.data.references import Asked, Place

RNG = np.random.default_rng(0)


def write(path, **datasets):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file.create_dataset(name, data=values)
    return path


def galaxy10(path, n=12):
    return write(
        path,
        images=RNG.integers(0, 255, (n, 16, 16, 3), np.uint8),
        ans=RNG.integers(0, 9, n, np.uint8),
        ra=RNG.uniform(0, 360, n),
        dec=RNG.uniform(-90, 90, n),
        redshift=RNG.random(n),
        pxscale=np.full(n, 0.262),
    )


def sky_embeddings(path, n=9, bands=None):
    cutouts = RNG.normal(size=(n, 5, 16, 16)).astype("f4")
    cutouts[0, 2] = np.nan
    named = {} if bands is None else {"bands": np.array(list(bands), "S")}
    return write(path, cutouts=cutouts, ra=RNG.random(n), dec=RNG.random(n), zspec=RNG.random(n), **named)


def ssl_legacysurvey(path, first, n=8):
    return write(
        path,
        images=RNG.normal(size=(n, 3, 20, 20)).astype("f4"),
        inds=np.arange(first, first + n),
        brickid=np.full(n, 1000),
        objid=np.arange(n, dtype="i4"),
        release=np.full(n, 9010, "i2"),
        ra=RNG.uniform(0, 360, n),
        dec=RNG.uniform(-30, 30, n),
        flux=RNG.random((n, 3)).astype("f4"),
        z_spec=RNG.random(n).astype("f4"),
        ebv=RNG.random(n).astype("f4"),
    )


def multimodal(path, first, n=6, *, mask="flat", bands=("des-g", "des-r", "des-i", "des-z")):
    c = len(bands)
    good = RNG.random((n, 20, 20) if mask == "flat" else (n, c, 20, 20)) > 0.1
    return write(
        path,
        image_array=RNG.normal(size=(n, c, 20, 20)).astype("f4"),
        image_ivar=RNG.random((n, c, 20, 20)).astype("f4"),
        image_mask=good,
        image_band=np.array([bands] * n, "S5"),
        image_rgb=RNG.integers(0, 255, (n, 20, 20, 3), np.uint8),
        blobmodel=RNG.integers(0, 255, (n, 20, 20, 3), np.uint8),
        object_mask=RNG.integers(0, 2, (n, 20, 20), np.uint8),
        image_psf_fwhm=RNG.random((n, c)).astype("f4"),
        image_scale=np.full((n, c), 0.262, "f4"),
        object_id=np.array([f"brick-{first + k}" for k in range(n)], "S16"),
        OBJID=np.arange(n),
        BRICKID=np.full(n, 7),
        RA=RNG.uniform(0, 360, n),
        DEC=RNG.uniform(-30, 30, n),
        TYPE=np.array(["REX"] * n, "S3"),
        EBV=RNG.random(n).astype(">f4"),
    )


def test_galaxy10(tmp_path):
    path = galaxy10(tmp_path / "Galaxy10_DECals.h5")
    survey = Survey.ingest(path, tmp_path / "a.survey")
    assert survey.bands == ("R", "G", "B") and not survey.header["pixels"]["science"]
    assert survey.columns == ["id", "ra", "dec", "ans", "pxscale", "redshift"] and len(survey) == 12
    with h5py.File(path) as file:
        np.testing.assert_array_equal(survey.cutouts.read([5])[0], np.moveaxis(file["images"][5], 2, 0))
        np.testing.assert_array_equal(survey.column("ra"), file["ra"][:])


def test_sky_embeddings(tmp_path):
    found = look(Place(sky_embeddings(tmp_path / "a.h5")))
    assert found.bands == tuple(f"band{k}" for k in range(1, 6)) and "name them with --bands" in found.notes[0]
    survey = Survey.ingest(sky_embeddings(tmp_path / "b.h5", bands="grizy"), tmp_path / "b.survey")
    assert survey.bands == tuple("grizy") and survey.header["pixels"]["science"]
    assert np.isnan(survey.cutouts.read([0])[0][2]).all() and np.isfinite(survey.cutouts.read([1])[0]).all()


def test_ssl_legacysurvey_in_many_files(tmp_path):
    folder = tmp_path / "south"
    for k in range(3):
        ssl_legacysurvey(folder / f"images_npix152_00{k}000000_00{k + 1}000000.h5", 1000 * k)
    survey = Survey.ingest(folder, tmp_path / "a.survey")
    assert survey.bands == ("g", "r", "z") and len(survey) == 24
    assert survey.ids.to_pylist()[7:10] == ["7", "1000", "1001"]  # inds: objid repeats in every brick
    assert {"flux_g", "flux_r", "flux_z", "z_spec", "brickid", "objid"} <= set(survey.columns)
    for row in (0, 9, 23):
        with h5py.File(folder / survey.column("pixels_file")[row]) as file:
            index = survey.column("pixels_index")[row]
            np.testing.assert_array_equal(survey.cutouts.read([row])[0], file["images"][index])
            assert (
                survey.column("flux_r")[row] == file["flux"][index, 1] and survey.column("ra")[row] == file["ra"][index]
            )


@pytest.mark.parametrize("mask", ["flat", "deep"])
def test_multimodal_universe_below_healpix_folders(tmp_path, mask):
    folder = tmp_path / "legacysurvey"
    paths = [multimodal(folder / f"healpix={h}" / "001-of-001.hdf5", 10 * h, mask=mask) for h in (1107, 1108, 3)]
    survey = Survey.ingest(folder, tmp_path / "a.survey")
    assert survey.bands == ("des-g", "des-r", "des-i", "des-z") and len(survey) == 18
    assert survey.ids[0].as_py() == "brick-11070" and survey.column("ra").min() >= 0
    assert {"TYPE", "EBV", "image_scale_des-i"} <= set(survey.columns) and "image_psf_fwhm_des-g" in survey.columns
    rows = RNG.permutation(18)
    cutouts = survey.cutouts.read(rows)
    for row, cutout, raw in zip(rows, cutouts, survey.cutouts.read_raw(rows)):
        with h5py.File(paths[row // 6]) as file:
            k = row % 6
            expected = file["image_array"][k].copy()
            expected[np.broadcast_to(~file["image_mask"][k], expected.shape)] = np.nan
        np.testing.assert_array_equal(cutout, expected)
        np.testing.assert_array_equal(raw, expected)


def test_a_mask_that_calls_most_pixels_bad_is_not_believed(tmp_path):
    path = multimodal(tmp_path / "a.h5", 0)
    with h5py.File(path, "a") as file:
        file["image_mask"][...] = ~file["image_mask"][...]
    found = look(Place(path))
    assert "mask" not in found.pixels and any("was not used" in note for note in found.notes)


def test_files_that_do_not_agree_are_rejected_by_name(tmp_path):
    for k in range(3):
        multimodal(tmp_path / "s" / f"{k}.h5", 10 * k)
    multimodal(tmp_path / "s" / "bands.h5", 100, bands=("hsc-g", "hsc-r"))
    galaxy10(tmp_path / "s" / "pictures.h5")
    write(tmp_path / "s" / "table.h5", ra=np.arange(3.0))
    (tmp_path / "s" / "broken.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 40)
    made = ingest(tmp_path / "s", tmp_path / "a.survey")
    assert made.details.objects == 18 and made.details.files == 7
    reasons = {r["file"]: r["reason"] for r in made.details.rejected}
    assert set(reasons) == {"bands.h5", "pictures.h5", "table.h5", "broken.h5"}
    assert "hsc-g hsc-r" in reasons["bands.h5"] and "no array of images" in reasons["table.h5"]


def test_a_file_that_is_lost_later_spoils_only_its_objects(tmp_path):
    for k in range(3):
        ssl_legacysurvey(tmp_path / "s" / f"{k}.h5", 10 * k)
    survey = Survey.ingest(tmp_path / "s", tmp_path / "a.survey")
    (tmp_path / "s" / "1.h5").unlink()
    found = Survey.open(survey.path).cutouts.read(np.arange(24))
    assert [k for k, c in enumerate(found) if isinstance(c, Unreadable)] == list(range(8, 16))
    assert found[9].reason.startswith("1.h5")


def test_columns_of_different_types_in_different_files_become_one(tmp_path):
    for k, kind in enumerate(("i4", "f8", "S4")):
        write(
            tmp_path / "s" / f"{k}.h5",
            images=np.ones((2, 6, 6), "f4") * k,
            thing=np.array([1, 2], kind),
            **({"only": np.arange(2.0)} if k else {}),
        )
    survey = Survey.ingest(tmp_path / "s", tmp_path / "a.survey")
    assert len(survey.column("thing")) == 6 and survey.ids.to_pylist() == [
        "0[0]",
        "0[1]",
        "1[0]",
        "1[1]",
        "2[0]",
        "2[1]",
    ]
    assert np.isnan(survey.column("only")[:2]).all()


def test_bands_are_put_in_order_of_wavelength(tmp_path):
    images = RNG.normal(size=(5, 3, 8, 8)).astype("f4")
    path = write(tmp_path / "a.h5", images=images, bands=np.array(["z", "g", "r"], "S"))
    survey = Survey.ingest(path, tmp_path / "a.survey")
    assert survey.bands == ("g", "r", "z")
    for how in (survey.cutouts.read, survey.cutouts.read_raw):
        np.testing.assert_array_equal(how([3])[0], images[3][[1, 2, 0]])


def test_a_file_that_claims_more_than_it_holds_is_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("images", shape=(10**9, 64, 64), dtype="f4", chunks=(1, 64, 64), compression="gzip")
    with pytest.raises(UserError, match="claims 16,384 GB"):
        look(Place(tmp_path / "a.h5"))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("images", shape=(10, 10**6, 10**6), dtype="u1", chunks=(1, 64, 64))
    with pytest.raises(UserError, match="claims images of"):
        look(Place(tmp_path / "b.h5"))


def test_datasets_of_other_files_are_not_read(tmp_path):
    """A file from anybody must not show pictures of what lies elsewhere on this machine."""
    write(tmp_path / "secret.h5", images=np.ones((4, 8, 8), "f4"))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"] = h5py.ExternalLink("secret.h5", "images")
        layout = h5py.VirtualLayout((4, 8, 8), "f4")
        layout[:] = h5py.VirtualSource(tmp_path / "secret.h5", "images", (4, 8, 8))
        file.create_virtual_dataset("cutouts", layout)
    with pytest.raises(UserError, match="no array of images"):
        look(Place(tmp_path / "a.h5"))
    survey = Survey.ingest(tmp_path / "secret.h5", tmp_path / "a.survey")
    for name in ("images", "cutouts"):
        survey.header["pixels"] |= {"root": str(tmp_path / "a.h5"), "dataset": name}
        survey.__dict__.pop("cutouts", None)
        with pytest.raises(UserError, match="no dataset"):
            _ = survey.cutouts


@pytest.mark.parametrize(
    "told, names",
    [("g, r, z", ["g", "r", "z"]), ("grz", ["g", "r", "z"]), (b"['g' 'r']", ["g", "r"]), (np.array([b"u"]), ["u"])],
)
def test_names_of_bands_are_read_from_text(told, names):
    assert split_names(told) == names


def test_bands_named_by_the_file_or_the_user(tmp_path):
    path = write(tmp_path / "a.h5", data=np.zeros((4, 2, 8, 8), "f4"))
    with h5py.File(path, "a") as file:
        file.attrs["filters"] = "F606W F814W"
    assert look(Place(path)).bands == ("F606W", "F814W")
    assert look(Place(path), Asked(bands=["v", "i"])).bands == ("v", "i")
    assert look(Place(write(tmp_path / "b.h5", data=np.zeros((4, 2, 8, 8), "f4"), bands="gr"))).bands == ("g", "r")
