"""Our reader of FITS blocks gives what astropy gives, and does not mind odd cards."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from engine.data.fits.hdus import open_fits, read_hdus, read_pixels

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"


def astropy_images(path):
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        with fits.open(path, memmap=False) as file:
            return {
                k: np.asarray(h.data, np.float32)
                for k, h in enumerate(file)
                if getattr(h, "is_image", False) and h.data is not None
            }


def ours(path):
    with open_fits(str(path)) as stream:
        return {h.index: read_pixels(stream, h, str(path)) for h in read_hdus(stream) if h.shape}


def assert_same(path):
    expected, found = astropy_images(path), ours(path)
    assert set(found) == set(expected)
    for index, image in expected.items():
        np.testing.assert_allclose(found[index].reshape(image.shape), image, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "u4", "i8", "f4", "f8"])
@pytest.mark.parametrize("shape", [(7, 9), (3, 5, 6)])
def test_every_type_reads_as_in_astropy(tmp_path, dtype, shape):
    rng = np.random.default_rng(0)
    values = (rng.random(shape) * 200).astype(dtype)
    fits.HDUList(
        [
            fits.PrimaryHDU(values),
            fits.ImageHDU(values[..., ::-1]),
            fits.BinTableHDU.from_columns([fits.Column("x", "E", array=np.arange(5.0))]),
            fits.ImageHDU(values * 2),
        ]
    ).writeto(tmp_path / "a.fits")
    assert_same(tmp_path / "a.fits")


def raw_fits(path, cards, data=b""):
    text = "".join(f"{c:<80}" for c in [*cards, "END"])
    text += " " * (-len(text) % 2880)
    path.write_bytes(text.encode("latin-1") + data + b"\0" * (-len(data) % 2880))


def test_blank_integers_are_missing(tmp_path):
    data = np.arange(6, dtype=">i2").tobytes()
    raw_fits(
        tmp_path / "a.fits",
        [
            "SIMPLE  =  T",
            "BITPIX  = 16",
            "NAXIS   = 2",
            "NAXIS1  = 3",
            "NAXIS2  = 2",
            "BLANK   = 4",
            "BSCALE  = 2.0D0",
            "BZERO   = 1.0",
        ],
        data,
    )
    found = ours(tmp_path / "a.fits")[0][0]
    np.testing.assert_array_equal(found, [[1, 3, 5], [7, np.nan, 11]])


def test_odd_cards_do_not_matter(tmp_path):
    data = np.arange(4, dtype=">f4").tobytes()
    raw_fits(
        tmp_path / "a.fits",
        [
            "SIMPLE  =                    T / it's fine",
            "BITPIX  =  -32",
            "NAXIS   =   2",
            "NAXIS1  = 2 /x",
            "NAXIS2  = 2",
            "lower   = 'case'",
            "OBJECT  = 'it''s / here'",
            "BROKEN  = 'no end",
            "HIERARCH ESO thing = 5",
            "VALUE   = 1.2.3",
            "\xff\xfe garbage",
            "FOCUS   = -999999999999.999999",
            "EXPOSED =",
            "D       = 1.5D+03",
        ],
        data,
    )
    with open(tmp_path / "a.fits", "rb") as stream:
        (hdu,) = read_hdus(stream)
        np.testing.assert_array_equal(read_pixels(stream, hdu, ""), [[[0, 1], [2, 3]]])
    assert hdu.get("OBJECT") == "it's / here" and hdu.get("D") == 1500 and hdu.get("VALUE", "none") == "none"
    assert hdu.get("EXPOSED") is None and hdu.get("BROKEN") == "no end"


def test_compressed_and_zipped_images(tmp_path):
    values = np.random.default_rng(0).normal(size=(40, 50)).astype("f4")
    fits.PrimaryHDU(values).writeto(tmp_path / "a.fits.gz")
    assert_same(tmp_path / "a.fits.gz")
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU((values * 100).astype("i4"))]).writeto(tmp_path / "b.fits.fz")
    np.testing.assert_array_equal(ours(tmp_path / "b.fits.fz")[1][0], (values * 100).astype("i4"))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda b: b"",
        lambda b: b"JPEG" + b,
        lambda b: b[:100],
        lambda b: b.replace(b"END" + 70 * b" ", b"XYZ" + 70 * b" "),
    ],
)
def test_what_is_no_fits_file_is_refused(tmp_path, spoil):
    fits.PrimaryHDU(np.zeros((5, 5))).writeto(tmp_path / "a.fits")
    (tmp_path / "a.fits").write_bytes(spoil((tmp_path / "a.fits").read_bytes()))
    with open(tmp_path / "a.fits", "rb") as stream, pytest.raises(ValueError, match="not a FITS file"):
        read_hdus(stream)


def test_a_file_cut_short_or_boastful_is_refused(tmp_path):
    fits.PrimaryHDU(np.zeros((50, 50))).writeto(tmp_path / "a.fits")
    (tmp_path / "a.fits").write_bytes((tmp_path / "a.fits").read_bytes()[:5000])
    with pytest.raises(ValueError, match="cut short"):
        ours(tmp_path / "a.fits")
    raw_fits(
        tmp_path / "b.fits", ["SIMPLE  = T", "BITPIX  = -64", "NAXIS   = 2", "NAXIS1  = 900000", "NAXIS2  = 900000"]
    )
    with pytest.raises(ValueError, match="too many"):
        ours(tmp_path / "b.fits")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared survey data are not beside the repository")
@pytest.mark.parametrize(
    "pattern, most",
    [
        ("ceers_fits/*/*.fits", 20),
        ("sdss_r_fits/images/*.fits", 20),
        ("candels_multi_hdu/*.fits", 2),
        ("cosmos_hst/real_galaxy_images*.fits", 1),
    ],
)
def test_real_files_read_as_in_astropy(pattern, most):
    paths = sorted(SHARED.glob(pattern))
    assert paths
    for path in paths[:: max(1, len(paths) // most)]:
        assert_same(path)
