"""FITS cutouts in each of the ways in which teams keep them."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from engine.data.cutouts import Unreadable
from engine.data.fits.bands import band_file_ids
from engine.data.fits.files import look, zeros_are_holes
from engine.data.fits.hdus import Hdu
from engine.data.fits.headers import examine, plain_tangent
from engine.data.references import Asked, Place, walk
from engine.errors import UserError
from engine.survey import Survey

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"


def write(path, *planes, **cards):
    """Write images as HDUs; returns them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    hdus = [fits.PrimaryHDU(planes[0]), *(fits.ImageHDU(p) for p in planes[1:])]
    for key, value in cards.items():
        hdus[0].header[key] = value
    fits.HDUList(hdus).writeto(path)
    return planes


def noise(shape=(12, 12), seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("f4")


def survey_of(tmp_path, found):
    objects = pd.DataFrame({"id": found.ids, "ra": found.ra, "dec": found.dec} | found.references)
    return Survey.create(
        tmp_path / "a.survey",
        objects,
        pixels={"kind": "fits", "root": str(found.root), "bands": list(found.bands), "science": True} | found.pixels,
    )


def names(folder):
    return list(walk(folder))


def test_a_folder_of_files(tmp_path):
    images = [write(tmp_path / "in" / f"{k}.fits", noise((9 + k, 11), k), FILTER="r")[0] for k in range(3)]
    found = look(Place(tmp_path / "in", tuple(names(tmp_path / "in"))))
    assert found.ids == ["0", "1", "2"] and found.bands == ("r",) and found.sizes == ((9, 11), (11, 11))
    for cutout, image in zip(survey_of(tmp_path, found).cutouts.read([2, 0]), (images[2], images[0])):
        np.testing.assert_array_equal(cutout[0], image)


def test_a_folder_a_band_with_one_file_missing(tmp_path):
    root = tmp_path / "in"
    images = {
        (b, k): write(root / b / f"field_{b}_{k}_sci.fits", noise(seed=k + ord(b)))[0]
        for b in "zgr"
        for k in (7, 10, 23)
        if (b, k) != ("g", 10)
    }
    found = look(Place(root, tuple(names(root))))
    assert found.bands == ("g", "r", "z") and found.ids == ["7", "10", "23"]
    cutouts = survey_of(tmp_path, found).cutouts.read([0, 1, 2])
    assert np.isnan(cutouts[1][0]).all() and "1 objects lack" in found.notes[0]
    for key, row in ((7, 0), (23, 2)):
        np.testing.assert_array_equal(cutouts[row], [images[b, key] for b in "grz"])
    np.testing.assert_array_equal(cutouts[1][1:], [images[b, 10] for b in "rz"])
    assert look(Place(root, tuple(names(root))), Asked(bands=["z", "g"])).bands == ("z", "g")
    with pytest.raises(UserError, match="no files of the band y"):
        look(Place(root, tuple(names(root))), Asked(bands=["y"]))


def test_folders_of_classes_are_no_bands(tmp_path):
    for k, folder in enumerate(("spiral", "elliptical")):
        write(tmp_path / folder / f"g{k}.fits", noise())
    assert look(Place(tmp_path, tuple(names(tmp_path)))).ids == ["g1", "g0"]


def test_a_file_of_many_images_is_a_list_of_objects(tmp_path):
    images = write(tmp_path / "list.fits", *(noise((8 + k % 3, 9), k) for k in range(15)))
    found = look(Place(tmp_path / "list.fits"))
    assert found.ids == [str(k) for k in range(15)] and found.references["pixels_index"] == list(range(15))
    source = survey_of(tmp_path, found).cutouts
    for cutout, row in zip(source.read([14, 0, 7]), (14, 0, 7)):
        np.testing.assert_array_equal(cutout[0], images[row])
    in_folder = look(Place(tmp_path, tuple(["list.fits"])))
    assert in_folder.ids[3] == "list[3]" and len(in_folder.ids) == 15


def test_an_empty_primary_is_passed_over(tmp_path):
    planes = write(tmp_path / "a.fits", np.zeros((5, 6), "f4"), noise((5, 6)), noise((5, 6), 1))
    assert examine(str(tmp_path / "a.fits")).images[0].index == 1
    found = look(Place(tmp_path, tuple(["a.fits"])))
    np.testing.assert_array_equal(survey_of(tmp_path, found).cutouts.read([0])[0][0], planes[1])


def test_a_cube_holds_its_bands(tmp_path):
    (cube,) = write(tmp_path / "in" / "a.fits", noise((4, 8, 8)))
    found = look(Place(tmp_path / "in", tuple(["a.fits"])), Asked(bands=["g", "r", "i", "z"]))
    np.testing.assert_array_equal(survey_of(tmp_path, found).cutouts.read([0])[0], cube)


def test_damaged_files_are_told_and_skipped(tmp_path):
    root = tmp_path / "in"
    for k in range(3):
        write(root / f"{k}.fits", noise((40, 40)))
    (root / "0.fits").write_bytes((root / "0.fits").read_bytes()[:4000])
    (root / "text.fits").write_text("no")
    fits.BinTableHDU.from_columns([fits.Column("x", "E", array=[1.0])]).writeto(root / "table.fits")
    found = look(Place(root, tuple(names(root))))
    assert found.ids == ["1", "2"]
    assert {r.file: r.reason for r in found.rejected} == {
        "0.fits": "the file is cut short",
        "text.fits": "it is not a FITS file",
        "table.fits": "it holds no image",
    }
    source = survey_of(tmp_path, found).cutouts
    (root / "1.fits").unlink()
    gone, there = source.read([0, 1])
    assert isinstance(gone, Unreadable) and "gone" in gone.reason and isinstance(there, np.ndarray)


def test_positions_come_from_the_wcs_and_not_from_the_telescope(tmp_path):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [359.9999, 30]
    wcs.wcs.crpix, wcs.wcs.cdelt = [3, 50], [-1e-4, 1e-4]
    write(tmp_path / "a.fits", noise((21, 31)), RA=10.0, DEC=20.0, **dict(wcs.to_header()))
    found = examine(str(tmp_path / "a.fits"))
    np.testing.assert_allclose((found.ra, found.dec), wcs.all_pix2world(15, 10, 0), atol=1e-9)
    write(tmp_path / "b.fits", noise(), RA="00:30:00", DEC="-01:30:00")
    assert (examine(str(tmp_path / "b.fits")).ra, examine(str(tmp_path / "b.fits")).dec) == (7.5, -1.5)
    write(tmp_path / "c.fits", noise(), CTYPE1="nonsense", CRVAL1=1.0)
    assert np.isnan(examine(str(tmp_path / "c.fits")).ra)


@given(
    st.floats(0, 359.99),
    st.floats(-89.9, 89.9),
    st.floats(-200, 200),
    st.floats(-180, 180),
    st.sampled_from(["CD", "PC", "CDELT"]),
    st.sampled_from([{}, {"RADESYS": "FK5", "EQUINOX": 2000.0}, {"RADESYS": "ICRS"}, {"LONPOLE": 180.0, "WCSAXES": 2}]),
)
def test_a_plain_tangent_plane_is_astropys(ra, dec, pixel, turn, how, more):
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    header = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": ra, "CRVAL2": dec, "CRPIX1": pixel, "CRPIX2": 7.5}
    matrix = np.array([[-c, s], [s, c]])
    if how == "CD":
        header |= {f"CD{i + 1}_{j + 1}": 1e-3 * float(matrix[i, j]) for i in (0, 1) for j in (0, 1)}
    else:
        header |= {"CDELT1": -2e-3, "CDELT2": 1e-3, "CUNIT1": "deg", "CUNIT2": "deg"}
    if how == "PC":
        header |= {f"PC{i + 1}_{j + 1}": float(matrix[i, j]) for i in (0, 1) for j in (0, 1)}
    cards = {key: f"'{value}'" if isinstance(value, str) else repr(value) for key, value in (header | more).items()}
    found = plain_tangent(Hdu(0, cards, 0, 0), 20, 30)
    expected = WCS(fits.Header(header | more)).all_pix2world(20, 30, 0)
    separation = SkyCoord(*found, unit="deg").separation(SkyCoord(*expected, unit="deg")).arcsec
    assert separation < 1e-5


@pytest.mark.parametrize(
    "more",
    [
        {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN"},
        {"CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN"},
        {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2},
        {"PV1_1": 1.0},
        {"CROTA2": 30.0},
        {"RADESYS": "FK4"},
        {"EQUINOX": 1950.0},
        {"CUNIT1": "arcsec"},
        {"LONPOLE": 90.0},
        {"CD1_1": 1e-4, "PC1_1": 1.0},
        {"CRVAL1": "x"},
        {"CDELT1": 0.0},
    ],
)
def test_what_is_more_than_a_plain_tangent_plane_is_left_to_astropy(more):
    header = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 1.0, "CRVAL2": 2.0, "CRPIX1": 3.0, "CRPIX2": 4.0}
    header |= {"CDELT1": -1e-4, "CDELT2": 1e-4} | more
    cards = {key: f"'{value}'" if isinstance(value, str) else repr(value) for key, value in header.items()}
    assert plain_tangent(Hdu(0, cards, 0, 0), 0, 0) is None


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared survey data are not beside the repository")
@pytest.mark.parametrize("pattern", ["ceers_fits/f115w/*.fits", "sdss_r_fits/images/*.fits"])
def test_real_positions_equal_astropys(pattern):
    for path in sorted(SHARED.glob(pattern))[::10]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = fits.getheader(path)
            ra, dec = WCS(header).celestial.all_pix2world((header["NAXIS1"] - 1) / 2, (header["NAXIS2"] - 1) / 2, 0)
        found = examine(str(path))
        np.testing.assert_allclose((found.ra, found.dec), (ra, dec), atol=1e-8)


def test_ids_are_what_is_left_of_the_names():
    folders = {
        "f115w": ["f115w/ceers_f115w_11349.fits", "f115w/ceers_f115w_11350.fits"],
        "f150w": ["f150w/ceers_f150w_11349.fits"],
    }
    assert band_file_ids(folders) == {
        "f115w": {"11349": folders["f115w"][0], "11350": folders["f115w"][1]},
        "f150w": {"11349": folders["f150w"][0]},
    }
    plain = {"g": ["g/1000.fits", "g/1001.fits"], "r": ["r/1000.fits"]}
    assert set(band_file_ids(plain)["g"]) == {"1000", "1001"}


def test_zeros_are_holes_only_where_most_images_have_none():
    rng = np.random.default_rng(0)
    whole = [rng.normal(size=(1, 10, 10)).astype("f4") for _ in range(5)]
    holed = whole[0].copy()
    holed[0, :3] = 0
    assert not zeros_are_holes(whole) and zeros_are_holes([*whole, holed])
    assert not zeros_are_holes([np.maximum(w, 0) for w in whole])  # masked or clipped skies: zero is a value


def fitted(tmp_path, *, named="OBJECT"):
    """Files as GALFIT writes them: an empty primary, image, model, residual."""
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 34.4, "CRVAL2": -5.2, "BUNIT": "mJy"})
    header.update({"CRPIX1": -30.5, "CRPIX2": 12.0, "CD1_1": -1.7e-5, "CD1_2": 2e-6, "CD2_1": 2e-6, "CD2_2": 1.7e-5})
    planes = [noise((10, 14), k) for k in range(3)]
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(planes[0], header), *(fits.ImageHDU(p) for p in planes[1:])]
    for hdu, name in zip(hdus[1:], ("UDS_F160W[1:14,1:10]", "model", "residual map"), strict=True):
        hdu.header[named] = name
    (tmp_path / "in").mkdir()
    fits.HDUList(hdus).writeto(tmp_path / "in" / "a.fits")
    return planes


@pytest.mark.parametrize("named", ["OBJECT", "EXTNAME"])
def test_model_and_residual_of_a_fit_are_companions(tmp_path, named):
    image, model, residual = fitted(tmp_path, named=named)
    cutouts = survey_of(tmp_path, look(Place(tmp_path / "in", ("a.fits",)))).cutouts
    np.testing.assert_array_equal(cutouts.read([0])[0][0], image)
    found = cutouts.companions(0)
    assert list(found) == ["model", "residual"]
    np.testing.assert_array_equal(found["model"], model)
    np.testing.assert_array_equal(found["residual"], residual)
    assert cutouts.units(0) == ("mJy",)


def test_companions_of_each_band_keep_its_name_and_other_sizes_are_passed_over(tmp_path):
    write(tmp_path / "in" / "a.fits", noise(), noise(seed=1), noise(seed=2), noise((3, 3)), noise(seed=4))
    for index, name in enumerate(("SCI", "MODEL_R", "RESIDUAL_R", "RESIDUAL", "MODELLER X")):
        fits.setval(tmp_path / "in" / "a.fits", "EXTNAME", value=name, ext=index)
    cutouts = survey_of(tmp_path, look(Place(tmp_path / "in", ("a.fits",)))).cutouts
    assert list(cutouts.companions(0)) == ["model_r", "residual_r"]


def test_the_wcs_is_the_chosen_images(tmp_path):
    fitted(tmp_path)
    found = look(Place(tmp_path / "in", ("a.fits",)))
    ours = survey_of(tmp_path, found).cutouts.wcs(0)
    theirs = WCS(fits.getheader(tmp_path / "in" / "a.fits", 1))
    x, y = np.random.default_rng(0).uniform(0, 10, (2, 20))
    np.testing.assert_allclose(ours.all_pix2world(x, y, 0), theirs.all_pix2world(x, y, 0), rtol=0, atol=1e-12)
    assert ours.array_shape == (10, 14)
    assert ours.wcs_world2pix(found.ra, found.dec, 0)[0] == pytest.approx(6.5)


def test_of_band_folders_the_first_band_that_is_there_gives_the_wcs(tmp_path):
    root = tmp_path / "in"
    for band in "gr":
        for k in range(2):
            if (band, k) != ("g", 1):
                cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0 + k, "CRVAL2": 3.0, "BUNIT": band}
                write(root / band / f"x_{band}_{k}.fits", noise(), **cards, CDELT1=-1e-4, CDELT2=1e-4)
    cutouts = survey_of(tmp_path, look(Place(root, tuple(names(root))))).cutouts
    assert cutouts.wcs(1).wcs.crval[0] == 11.0 and cutouts.units(1) == ("", "r") and cutouts.companions(1) == {}


def test_what_has_no_wcs_or_no_file_has_none(tmp_path):
    write(tmp_path / "in" / "a.fits", noise())
    write(tmp_path / "in" / "b.fits", noise())
    cutouts = survey_of(tmp_path, look(Place(tmp_path / "in", ("a.fits", "b.fits")))).cutouts
    (tmp_path / "in" / "b.fits").unlink()
    for row in (0, 1):
        assert cutouts.wcs(row) is None and cutouts.companions(row) == {} and cutouts.units(row) == ("",)
