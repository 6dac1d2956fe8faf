"""Bands of one object: a word of files' names, images of a file, planes of a cube; and files packed in any way."""

import bz2
import gzip

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from engine import Survey, UserError
from engine.data.cutouts import Unreadable
from engine.data.fits.bands import band_files, split_bands
from engine.data.ingest import ingest

RNG = np.random.default_rng(0)


def noise(shape=(12, 14)):
    return RNG.normal(size=shape).astype("f4")


def write(path, *hdus):
    path.parent.mkdir(parents=True, exist_ok=True)
    made = [fits.PrimaryHDU()] + [fits.ImageHDU(data, name=name, **more) for name, data, more in hdus]
    fits.HDUList(made).writeto(path)


def wcs_header(scale=0.2, ra=150.0, n=14):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [ra, 2.0], [(n + 1) / 2] * 2
    wcs.wcs.cdelt = [-scale / 3600, scale / 3600]
    return wcs.to_header()


@pytest.mark.parametrize(
    "names, ids",
    [
        (["{k}_{b}.fits"], ["7", "8", "9"]),
        (["{b}_{k}.fits"], ["7", "8", "9"]),
        (["{k}/{b}.fits"], ["7", "8", "9"]),
        (["sub/field_{k}_{b}_v2.fits"], ["7", "8", "9"]),
        (["hsc-{b}-{k}.fits.gz"], ["7", "8", "9"]),
        (["legacy-{k}-image-{b}.fits", "legacy-{k}-invvar-{b}.fits"], ["7", "8", "9"]),
    ],
)
def test_a_file_a_band_in_one_folder(tmp_path, names, ids):
    images = {}
    for k in (7, 8, 9):
        for b in "rgz":
            for name in names:
                images[k, b, name] = noise()
                path = tmp_path / "s" / name.format(k=k, b=b)
                path.parent.mkdir(parents=True, exist_ok=True)
                fits.PrimaryHDU(images[k, b, name], wcs_header(ra=100.0 + k)).writeto(path)
    made = ingest(tmp_path / "s", tmp_path / "x.survey")
    survey = made.survey
    assert survey.bands == ("g", "r", "z") and survey.ids.to_pylist() == ids
    np.testing.assert_allclose(survey.column("ra"), [107, 108, 109], atol=1e-4)
    for row, k in enumerate((7, 8, 9)):
        np.testing.assert_array_equal(survey.cutouts.read([row])[0], [images[k, b, names[0]] for b in "grz"])
    assert ("were passed over" in " ".join(made.details.notes)) == (len(names) > 1)


def test_a_missing_file_is_a_missing_band(tmp_path):
    for k in range(5):
        for b in ("f115w", "f444w"):
            if (k, b) != (2, "f115w"):
                write(tmp_path / "s" / f"jw_{k}_{b}_i2d.fits", ("SCI", noise(), {}), ("ERR", noise(), {}))
    survey = Survey.ingest(tmp_path / "s", tmp_path / "x.survey", bands=["f444w", "f115w"])
    assert survey.bands == ("f444w", "f115w")
    found = survey.cutouts.read(np.arange(5))
    assert np.isnan(found[2][1]).all() and np.isfinite(found[2][0]).all() and np.isfinite(found[1]).all()
    with pytest.raises(UserError, match="no files of the band f200w"):
        Survey.ingest(tmp_path / "s", tmp_path / "y.survey", bands=["f200w"])


@pytest.mark.parametrize(
    "names",
    [
        ["spiral_1", "spiral_2"],
        ["a_1", "b_1", "c_1", "g_1"],
        ["star_b", "star_c", "moon_v", "sun_a"],
        ["ngc_g_1", "ngc_g_2", "ngc_g_3"],  # one band
        ["1_g", "2_r", "3_g", "4_r"],  # each object in one band only
    ],
)
def test_names_that_only_look_like_bands(names):
    assert split_bands(names) is None and band_files([f"{n}.fits" for n in names]) == ({}, [])


@pytest.mark.parametrize("extnames", [["G", "R", "Z"], ["SCI_G", "SCI_R", "SCI_Z"], ["g-image", "r-image", "z-image"]])
def test_images_of_a_file_are_bands(tmp_path, extnames):
    images = {}
    for k in range(4):
        planes = {name: noise() for name in extnames if (k, name) != (2, extnames[0])}
        images[k] = planes
        hdus = [(n, planes[n], {"header": wcs_header(ra=30.0 + k)}) for n in reversed(extnames) if n in planes]
        write(tmp_path / "s" / f"o{k}.fits", *hdus, ("WHT_G", noise(), {}), ("psf", noise((5, 5)), {}))
    survey = Survey.ingest(tmp_path / "s", tmp_path / "x.survey")
    assert [b.lower() for b in survey.bands] == ["g", "r", "z"] and survey.ids.to_pylist() == ["o0", "o1", "o2", "o3"]
    np.testing.assert_allclose(survey.column("ra"), 30.0 + np.arange(4), atol=1e-4)
    for k, cutout in enumerate(survey.cutouts.read(np.arange(4))):
        for plane, name in zip(cutout, extnames):
            if name in images[k]:
                np.testing.assert_array_equal(plane, images[k][name])
            else:
                assert np.isnan(plane).all()
    assert survey.cutouts.wcs(2) is not None and survey.cutouts.units(1) == ("", "", "")


def test_images_of_a_file_are_told_by_their_filter_cards(tmp_path):
    for k in range(3):
        hdus = [("SCI", noise(), {"header": fits.Header({"FILTER": f})}) for f in ("F814W", "F606W")]
        write(tmp_path / "s" / f"o{k}.fits", *hdus)
    assert Survey.ingest(tmp_path / "s", tmp_path / "x.survey").bands == ("F606W", "F814W")


def test_one_file_of_many_objects_with_an_image_a_band(tmp_path):
    images = {f"{k}_{b}": noise() for k in range(8) for b in "gri"}
    write(tmp_path / "all.fits", *((name, data, {}) for name, data in images.items()))
    survey = Survey.ingest(tmp_path / "all.fits", tmp_path / "x.survey")
    assert survey.bands == ("G", "R", "I") and survey.ids.to_pylist() == [str(k) for k in range(8)]
    for k, cutout in enumerate(survey.cutouts.read(np.arange(8))):
        np.testing.assert_array_equal(cutout, [images[f"{k}_{b}"] for b in "gri"])


def test_one_file_of_one_object_with_more_than_ten_bands(tmp_path):
    filters = ["u", "g", "r", "i", "z", "y", "J", "H", "Ks", "W1", "W2", "W3"]
    planes = {f: noise() for f in filters}
    write(tmp_path / "one.fits", *((f, planes[f], {}) for f in filters))
    survey = Survey.ingest(tmp_path / "one.fits", tmp_path / "x.survey")
    assert survey.bands == tuple(f.upper() for f in filters) and len(survey) == 1
    np.testing.assert_array_equal(survey.cutouts.read([0])[0], list(planes.values()))


@pytest.mark.parametrize(
    "cards",
    [{"BANDS": "zgr"}, {"BAND0": "z", "BAND1": "g", "BAND2": "r"}, {"FILTER1": "z", "FILTER2": "g", "FILTER3": "r"}],
)
def test_planes_of_a_cube_named_by_the_header(tmp_path, cards):
    (tmp_path / "s").mkdir()
    cubes = [noise((3, 9, 9)) for _ in range(4)]
    for k, cube in enumerate(cubes):
        fits.PrimaryHDU(cube, fits.Header(cards)).writeto(tmp_path / "s" / f"{k}.fits")
    survey = Survey.ingest(tmp_path / "s", tmp_path / "x.survey")
    assert survey.bands == ("g", "r", "z")
    np.testing.assert_array_equal(survey.cutouts.read([2])[0], cubes[2][[1, 2, 0]])


def test_bands_of_other_sizes_are_brought_to_the_largest(tmp_path):
    """JWST's long bands have half as many pixels; a cutout service may be off by one."""
    for k in range(3):
        write(
            tmp_path / "s" / f"{k}_f150w.fits", ("SCI", np.full((20, 20), 3, "f4"), {"header": wcs_header(0.03, n=20)})
        )
        write(
            tmp_path / "s" / f"{k}_f444w.fits", ("SCI", np.full((10, 10), 5, "f4"), {"header": wcs_header(0.06, n=10)})
        )
    survey = Survey.ingest(tmp_path / "s", tmp_path / "x.survey")
    cutout = survey.cutouts.read([1])[0]
    assert cutout.shape == (2, 20, 20) and np.allclose(cutout[0], 3) and np.allclose(cutout[1], 5)
    assert survey.cutouts.wcs(1).array_shape == (20, 20)


@pytest.mark.parametrize("how", ["gz", "bz2", "fz"])
def test_packed_files(tmp_path, how):
    (tmp_path / "s").mkdir()
    images = {}
    for k in range(3):
        images[k] = RNG.integers(0, 60000, (20, 22)).astype("u2")  # BZERO 32768
        path = tmp_path / "s" / f"{k}.fits"
        if how == "fz":
            fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(images[k])]).writeto(f"{path}.fz")
            continue
        fits.PrimaryHDU(images[k]).writeto(path)
        packed = (gzip if how == "gz" else bz2).compress(path.read_bytes())
        path.unlink()
        (tmp_path / "s" / f"{k}.fits.{how}").write_bytes(packed)
    survey = Survey.ingest(tmp_path / "s", tmp_path / "x.survey")
    assert survey.ids.to_pylist() == ["0", "1", "2"]
    for k, cutout in enumerate(survey.cutouts.read([0, 1, 2])):
        np.testing.assert_array_equal(cutout[0], images[k])
    last = tmp_path / "s" / f"2.fits.{how}"
    last.write_bytes(last.read_bytes()[:300])
    assert isinstance(survey.cutouts.read([2])[0], Unreadable)


def test_blank_and_scaled_integers(tmp_path):
    (tmp_path / "s").mkdir()
    stored = RNG.integers(-30000, 30000, (9, 9)).astype("i2")
    stored[2, 3] = -32768
    hdu = fits.PrimaryHDU(stored)
    for key, value in {"BSCALE": 0.5, "BZERO": 100.0, "BLANK": -32768}.items():
        hdu.header[key] = value
    hdu.writeto(tmp_path / "s" / "0.fits", output_verify="ignore")
    with open(tmp_path / "s" / "0.fits", "rb") as raw:
        assert b"BSCALE" in raw.read(2880)
    cutout = Survey.ingest(tmp_path / "s", tmp_path / "x.survey").cutouts.read([0])[0][0]
    expected = np.where(stored == -32768, np.nan, stored * 0.5 + 100)
    np.testing.assert_allclose(cutout, expected)
