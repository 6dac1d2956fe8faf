"""Boxes cut from mosaics: against the truth of simulated fields, and against astropy's own, slow cutouts."""

import bz2
import gzip
import multiprocessing
import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.nddata.utils import NoOverlapError
from astropy.table import Table
from astropy.wcs import WCS, Sip

from engine.cli import main
from engine.data.cutouts import Unreadable
from engine.data.fits.hdus import open_fits, read_hdus
from engine.data.ingest import ingest
from engine.data.mosaics import boxes as boxes_module
from engine.data.mosaics.boxes import Boxes
from engine.data.mosaics.cutting import extent
from engine.data.mosaics.grids import grid
from engine.errors import UserError


def tangent_wcs(ra, dec, *, crpix, scale=0.2, angle=0.0, flip=True):
    """A gnomonic WCS: `scale` in arcsec, turned by `angle` degrees."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [ra, dec], crpix
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    wcs.wcs.cd = scale / 3600 * np.array([[c, -s], [s, c]]) @ np.diag([-1.0 if flip else 1.0, 1.0])
    return wcs


def noise(shape, seed=0):
    return np.random.default_rng(seed).normal(10, 1, shape).astype("f4")


def write(path, image, wcs=None, *, header=None, **cards):
    path.parent.mkdir(parents=True, exist_ok=True)
    header = fits.Header() if header is None else header
    if wcs is not None:
        header.update(wcs.to_header(relax=True))
    header.update(cards)
    fits.PrimaryHDU(image, header).writeto(path)
    return image


def catalogue(path, ra, dec, **columns):
    Table({"ra": np.asarray(ra) % 360, "dec": np.asarray(dec)} | columns).write(path)
    return path


def spread(wcs, shape, count, seed=0, margin=0.0):
    """Positions evenly spread over an image: x, y, ra, dec."""
    rng = np.random.default_rng(seed)
    x, y = (rng.uniform(margin - 0.5, n - 0.5 - margin, count) for n in (shape[1], shape[0]))
    return x, y, *wcs.all_pix2world(x, y, 0)


def make(tmp_path, source, ra, dec, *, name="made", columns=None, **options):
    table = catalogue(
        tmp_path / f"{name}.fits", ra, dec, **({"id": np.arange(len(ra))} if columns is None else columns)
    )
    made = ingest(source, tmp_path / f"{name}.survey", catalogue=table, **options)
    return made.survey, made.details


def twin(image, x, y, side):
    """What astropy cuts, slowly: NaN beyond the edge."""
    try:
        cut = Cutout2D(np.asarray(image, "f8"), (x, y), side, mode="partial", fill_value=np.nan)
    except NoOverlapError:
        return np.full((side, side), np.nan)
    return cut.data


# -- where objects are ------------------------------------------------------------------------------------------------


def test_five_thousand_objects_of_a_rotated_field_are_where_they_should_be(tmp_path):
    """The pixel at which a source was put, the cutout's WCS, and the catalogue agree to a tenth of a pixel."""
    shape, count, side = (3900, 4096), 5000, 32
    wcs = tangent_wcs(359.98, 60.0, crpix=[2000.3, 1900.7], angle=33)
    x, y, ra, dec = spread(wcs, shape, count, seed=1)
    assert np.ptp((ra + 180) % 360) < 1 and ra.max() > 359 and ra.min() < 1  # the field lies across RA 0
    rows, columns = np.mgrid[-3:4, -3:4]
    u, v = (np.round(x).astype(int)[:, None, None] + columns), (np.round(y).astype(int)[:, None, None] + rows)
    spot = np.exp(-((u - x[:, None, None]) ** 2 + (v - y[:, None, None]) ** 2) / 2).astype("f4")
    on = (u >= 0) & (u < shape[1]) & (v >= 0) & (v < shape[0])
    for k, band in enumerate("gr"):
        image = np.zeros(shape, "f4")
        np.add.at(image, (v[on], u[on]), (1 + k) * 100 * spot[on])
        image += 1e-3
        write(tmp_path / "field" / f"sim_{band}.fits", image, wcs)
    survey, report = make(tmp_path, tmp_path / "field", ra, dec, size=side)
    assert survey.bands == ("g", "r") and len(survey) == count and report.kind == "mosaic"
    assert survey.header["pixels"]["side"] == side
    assert survey.header["pixels"]["scale"] == pytest.approx(0.2, rel=1e-3)
    np.testing.assert_allclose(survey.column("dec"), dec, atol=1e-9)
    tree = np.hypot(x[:, None] - x[None, :500], y[:, None] - y[None, :500])
    alone = np.flatnonzero(np.sort(tree.T, axis=1)[:, 1] > 12)  # of the first 500, those without a neighbour
    source, checked = survey.cutouts, 0
    for row, cutout in zip(alone, source.read(alone)):
        own = source.wcs(int(row))
        px, py = (float(p) for p in own.all_world2pix(ra[row], dec[row], 0))
        assert abs(px - (side - 1) / 2) <= 0.5 + 1e-3 and abs(py - (side - 1) / 2) <= 0.5 + 1e-3
        if min(x[row], y[row], shape[1] - x[row], shape[0] - y[row]) < 4:
            continue
        grid_y, grid_x = np.mgrid[:side, :side]
        close = np.hypot(grid_x - px, grid_y - py) < 4.5
        for plane, flux in zip(cutout, (100, 200)):
            light = np.where(close, np.nan_to_num(plane) - 1e-3, 0)
            at = (light * grid_x).sum() / light.sum(), (light * grid_y).sum() / light.sum()
            assert np.hypot(at[0] - px, at[1] - py) < 0.1
            assert np.nanmax(plane) < 1.3 * flux
        checked += 1
    assert checked > 300
    west = own.all_pix2world([[10, 10]], 0)[0]
    assert abs(west[1] - 60) < 1 and (west[0] > 359 or west[0] < 1)  # right ascension first
    edge = int(np.argmin(x))
    corner = int(np.ceil(x[edge] - side / 2))
    beyond = np.isnan(source.read([edge])[0]).all(axis=1)
    assert corner < 0 and (beyond.sum(axis=1) == -corner).all()


@pytest.mark.parametrize("swapped", [False, True], ids=["RA first", "Dec first"])
def test_the_order_of_the_axes_does_not_matter(tmp_path, swapped):
    wcs = tangent_wcs(150, 60, crpix=[200, 150], angle=20)
    if swapped:
        cd = wcs.wcs.cd
        wcs = WCS(naxis=2)
        wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["DEC--TAN", "RA---TAN"], [60, 150], [200, 150]
        wcs.wcs.cd = cd[::-1]
    x, y = np.array([20.0, 310.2, 100.7]), np.array([30.4, 20.0, 240.1])
    axes = wcs.all_pix2world(x, y, 0)
    ra, dec = axes[::-1] if swapped else axes
    image = write(tmp_path / "in" / "a.fits", noise((280, 350)), wcs)
    survey, _ = make(tmp_path, tmp_path / "in", ra, dec, size=10)
    for k, cutout in enumerate(survey.cutouts.read(range(3))):
        np.testing.assert_array_equal(cutout[0], twin(image, x[k], y[k], 10).astype("f4"))
        own = survey.cutouts.wcs(k)
        assert (
            np.abs(np.subtract(own.all_world2pix(*(dec[k], ra[k]) if swapped else (ra[k], dec[k]), 0), 4.5)).max()
            < 0.51
        )


def test_galactic_images_take_equatorial_catalogues(tmp_path):
    from astropy.coordinates import SkyCoord

    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["GLON-CAR", "GLAT-CAR"], [30.0, 0.0], [50.5, 50.5]
    wcs.wcs.cdelt = [-0.01, 0.01]
    image = write(tmp_path / "in" / "plane.fits", noise((100, 100)), wcs)
    sky = SkyCoord(30.1, 0.2, unit="deg", frame="galactic").icrs
    survey, _ = make(tmp_path, tmp_path / "in", [sky.ra.deg], [sky.dec.deg], size=8)
    x, y = wcs.all_world2pix(30.1, 0.2, 0)
    np.testing.assert_array_equal(survey.cutouts.read([0])[0][0], twin(image, x, y, 8).astype("f4"))


def test_the_far_side_of_the_sky_is_outside(tmp_path):
    """Gnomonic coordinates of an antipode are those of the point itself."""
    wcs = tangent_wcs(150, 2, crpix=[300, 300])
    write(tmp_path / "in" / "a.fits", noise((600, 600)), wcs)
    rng = np.random.default_rng(0)
    ra, dec = rng.uniform(0, 360, 2000), np.degrees(np.arcsin(rng.uniform(-1, 1, 2000)))
    ra[:3], dec[:3] = [150, 330, 150.001], [2, -2, 2.001]
    survey, report = make(tmp_path, tmp_path / "in", ra, dec)
    assert list(survey.column("id")) == ["0", "2"]
    assert report.without_image == 1998
    assert any("1,998 objects are outside the mosaic (1, 3, 4 and 1,995 more)" in note for note in report.notes)


def distorted(kind):
    """A WCS with a distortion of several pixels at the corners of 600 × 500 pixels."""
    if kind == "SIP":
        wcs = tangent_wcs(40, -35, crpix=[300, 250], angle=5)
        wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
        a, b = np.zeros((4, 4)), np.zeros((4, 4))
        a[2, 0], a[1, 1], b[0, 2], b[3, 0] = 4e-5, 2e-5, -3e-5, 1e-7
        wcs.sip = Sip(a, b, None, None, [300, 250])
        return wcs
    header = tangent_wcs(40, -35, crpix=[300, 250], angle=5, scale=20).to_header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TPV", "DEC--TPV"
    for axis in "12":
        for term, value in ((0, 0.0), (1, 1.0), (2, 0.0), (4, 2e-3), (5, 1e-3), (7, 5e-4)):
            header[f"PV{axis}_{term}"] = value
    return WCS(header)


@pytest.mark.parametrize("kind", ["SIP", "TPV"])
def test_distortions_count(tmp_path, kind):
    shape, wcs = (500, 600), distorted(kind)
    x, y, ra, dec = spread(wcs, shape, 40, margin=10)
    image = write(tmp_path / "in" / "a.fits", noise(shape), wcs)
    survey, _ = make(tmp_path, tmp_path / "in", ra, dec, size=11)
    linear = wcs.wcs_world2pix(ra, dec, 0) if kind == "SIP" else None
    if linear is not None:
        assert np.hypot(linear[0] - x, linear[1] - y).max() > 1
    for k, cutout in enumerate(survey.cutouts.read(range(40))):
        np.testing.assert_array_equal(cutout[0], twin(image, x[k], y[k], 11).astype("f4"))
        at = survey.cutouts.wcs(k).all_world2pix(ra[k], dec[k], 0)
        corner = np.ceil(np.array([x[k], y[k]]) - 11 / 2)
        assert np.abs(np.subtract(at, np.array([x[k], y[k]]) - corner)).max() < 1e-3


# -- which image ------------------------------------------------------------------------------------------------------


def test_of_overlapping_images_the_one_that_shows_most_around_an_object(tmp_path):
    shape = (120, 200)
    left = tangent_wcs(10, -5, crpix=[100, 60])
    right = tangent_wcs(10, -5, crpix=[-40, 60])  # its pixel x is 140 less: 60 pixels overlap
    write(tmp_path / "in" / "left_g.fits", np.full(shape, 1, "f4"), left)
    write(tmp_path / "in" / "right_g.fits", np.full(shape, 2, "f4"), right)
    x = np.array([100.0, 150.0, 168.0, 171.0, 190.0, 300.0])
    ra, dec = left.all_pix2world(x, np.full(6, 60.0), 0)
    survey, _ = make(tmp_path, tmp_path / "in", ra, dec, size=16)
    assert [float(c[0, 8, 8]) for c in survey.cutouts.read(range(6))] == [1, 1, 1, 2, 2, 2]
    assert all(np.isfinite(c).all() for c in survey.cutouts.read(range(6)))


def test_bands_on_other_grids_and_scales_cover_the_same_angle(tmp_path):
    """r has half the resolution and is turned: a box of as many arcsec, resampled; one object is in g only."""
    fine = tangent_wcs(200, 1, crpix=[300, 300], scale=0.2)
    coarse = tangent_wcs(200, 1, crpix=[100, 150], scale=0.4, angle=90)
    write(tmp_path / "in" / "t_g.fits", np.full((600, 600), 3, "f4"), fine)
    rows, columns = np.mgrid[:300, :200]
    write(tmp_path / "in" / "t_r.fits", (rows + 1000 * columns).astype("f4"), coarse)
    px, py = np.array([100.0, 60.0]), np.array([150.0, 120.0])
    ra, dec = coarse.all_pix2world(px, py, 0)
    only_g = fine.all_pix2world(20.0, 20.0, 0)
    survey, report = make(tmp_path, tmp_path / "in", [*ra, only_g[0]], [*dec, only_g[1]], size=32)
    assert survey.bands == ("g", "r") and survey.header["pixels"]["scale"] == pytest.approx(0.2, rel=1e-4)
    cutouts = survey.cutouts.read([0, 1, 2])
    for k in range(2):
        assert cutouts[k].shape == (2, 32, 32)
        box = (np.ceil(py[k] - 8) + np.arange(16))[:, None] + 1000 * (np.ceil(px[k] - 8) + np.arange(16))
        means = cutouts[k][1].reshape(16, 2, 16, 2).mean(axis=(1, 3))[2:-2, 2:-2]
        np.testing.assert_allclose(means, box[2:-2, 2:-2], rtol=1e-4)  # interpolation keeps a plane
    assert np.isnan(cutouts[2][1]).all() and (cutouts[2][0] == 3).all()
    notes = " ".join(report.notes)
    assert "its boxes of 16 pixels are resampled to 32" in notes and "1 objects are on no image of a band" in notes


@pytest.mark.parametrize("kind", ["linear", "SIP", "TPV"])
def test_an_object_in_a_coarse_band_only_has_the_wcs_of_the_resampled_box(tmp_path, kind):
    coarse = tangent_wcs(200, 1, crpix=[60, 150], scale=0.43, angle=70) if kind == "linear" else distorted(kind)
    scale = 0.2 if kind != "TPV" else 9.3
    far = np.add(coarse.wcs.crval, [20 if kind == "TPV" else 3, 0])
    write(tmp_path / "in" / "t_g.fits", noise((100, 100)), tangent_wcs(*far, crpix=[50, 50], scale=scale / 2))
    write(tmp_path / "in" / "t_r.fits", noise((300, 400)), coarse)
    x, y = 31.3, 201.2
    ra, dec = coarse.all_pix2world(x, y, 0)
    survey, _ = make(tmp_path, tmp_path / "in", [ra], [dec], size=40)
    side = int(survey.column("pixels_side_r")[0])
    assert 5 < side < 40
    corner = [int(survey.column(f"pixels_{axis}_r")[0]) for axis in "xy"]
    want = (np.array([x, y]) - corner + 0.5) * 40 / side - 0.5
    assert np.abs(np.subtract(survey.cutouts.wcs(0).all_world2pix(ra, dec, 0), want)).max() < 2e-3


# -- reading ----------------------------------------------------------------------------------------------------------


def kinds_of_image():
    """Images as they are kept: (name, how the file is written, what astropy reads in it)."""
    rng = np.random.default_rng(5)
    counts = rng.integers(-3000, 3000, (90, 110))
    return {
        "float32": (rng.normal(size=(90, 110)).astype("f4"), {}),
        "float64": (rng.normal(size=(90, 110)), {}),
        "uint16": (rng.integers(0, 65535, (90, 110)).astype("u2"), {}),
        "uint8": (rng.integers(0, 255, (90, 110)).astype("u1"), {}),
        "int32": (rng.integers(-(10**6), 10**6, (90, 110)).astype("i4"), {}),
        "scaled": (counts.astype("i2"), {"BSCALE": 0.5, "BZERO": 100.0, "BLANK": int(counts[40, 50])}),
    }


def every_object(wcs, shape, side):
    """Positions inside, on the edges and in the corners."""
    h, w = shape
    x = [0, -0.4, w - 0.7, w / 2, 1.2, w - 1, w / 2 + 0.3, side * 0.5, 17.5]
    y = [0, h - 0.6, 0.2, -0.3, h / 2, h - 1, h / 2 + 0.9, side * 0.5, 18.5]
    return np.array(x), np.array(y), *wcs.all_pix2world(x, y, 0)


@pytest.mark.parametrize("packing", ["plain", "gz", "bz2", "fz"])
@pytest.mark.parametrize("kind", kinds_of_image())
def test_boxes_equal_those_of_astropy(tmp_path, kind, packing):
    image, cards = kinds_of_image()[kind]
    wcs = tangent_wcs(77, 40, crpix=[50, 40], angle=-60)
    header = wcs.to_header()
    folder = tmp_path / "in"
    folder.mkdir()
    path = folder / "a.fits"
    if packing == "fz":
        options = {"quantize_level": 0, "compression_type": "GZIP_2"} if image.dtype.kind == "f" else {}
        hdus = fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(image, header, tile_shape=(13, 40), **options)])
        path = folder / "a.fits.fz"
    else:
        hdus = fits.HDUList([fits.PrimaryHDU(image, header)])
    hdus.writeto(path)
    if cards:  # the same numbers, to be read in another way
        with fits.open(path, mode="update", do_not_scale_image_data=True, disable_image_compression=True) as file:
            target = file[-1].header
            target.update({"ZBLANK" if packing == "fz" and k == "BLANK" else k: v for k, v in cards.items()})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        truth = fits.getdata(path, -1 if packing == "fz" else 0).astype("f8")
    if packing in ("gz", "bz2"):
        opener = gzip.open if packing == "gz" else bz2.open
        with open(path, "rb") as plain, opener(folder / f"a.fits.{packing}", "wb") as packed:
            shutil.copyfileobj(plain, packed)
        path.unlink()
    side = 14
    x, y, ra, dec = every_object(wcs, image.shape, side)
    survey, _ = make(tmp_path, folder, ra, dec, size=side)
    rows = [5, 0, 3, 3, *range(9)]
    for _ in range(3):  # by then a compressed image is unpacked whole
        for row, cutout in zip(rows, survey.cutouts.read(rows)):
            want = twin(truth, x[row], y[row], side)
            zero = survey.header["pixels"].get("zero_is_missing", False)
            np.testing.assert_array_equal(cutout[0], np.where(zero & (want == 0), np.nan, want).astype("f4"))


def test_planes_of_a_cube_are_bands(tmp_path):
    wcs = tangent_wcs(5, 5, crpix=[20, 20])
    cube = noise((3, 50, 60))
    write(tmp_path / "in" / "field_grz.fits", cube, wcs)
    x, y, ra, dec = spread(wcs, (50, 60), 5)
    survey, _ = make(tmp_path, tmp_path / "in", ra, dec, size=6)
    assert survey.bands == ("g", "r", "z")
    for k, cutout in enumerate(survey.cutouts.read(range(5))):
        for plane in range(3):
            np.testing.assert_array_equal(cutout[plane], twin(cube[plane], x[k], y[k], 6).astype("f4"))
    other, _ = make(tmp_path, tmp_path / "in", ra, dec, size=6, bands=["z", "g"], name="other")
    np.testing.assert_array_equal(other.cutouts.read([2])[0], survey.cutouts.read([2])[0][[2, 0]])


def test_what_lies_around(tmp_path):
    wcs = tangent_wcs(5, 5, crpix=[20, 20])
    image = write(tmp_path / "in" / "a.fits", noise((200, 220)), wcs)
    for side in (16, 15):
        survey, _ = make(
            tmp_path, tmp_path / "in", *wcs.all_pix2world([110, 3], [90, 100], 0), size=side, name=f"n{side}"
        )
        for row in range(2):
            cutout, around = survey.cutouts.read([row])[0], survey.cutouts.context(row, 3)
            assert around.shape == (1, 3 * side, 3 * side)
            np.testing.assert_array_equal(around[:, side : 2 * side, side : 2 * side], cutout)
        assert np.isnan(around[0, :, 0]).all() and np.isin(around[np.isfinite(around)], image).all()


def test_threads_and_processes_read_the_same(tmp_path):
    wcs = tangent_wcs(5, 5, crpix=[20, 20])
    image = noise((300, 300))
    header = wcs.to_header()
    (tmp_path / "in").mkdir()
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(image, header)]).writeto(tmp_path / "in" / "t_g.fits.fz")
    write(tmp_path / "in" / "t_r.fits", image, wcs)
    _, _, ra, dec = spread(wcs, (300, 300), 200)
    survey, _ = make(tmp_path, tmp_path / "in", ra, dec, size=12)
    want = np.stack(survey.cutouts.read(range(200)))
    source = survey.cutouts
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda k: np.stack(source.read(range(k, 200, 10))), range(10)))
    for k, part in enumerate(parts):
        np.testing.assert_array_equal(part, want[k::10])


def _sum(source, queue):
    queue.put(float(np.nansum(np.stack(source.read(range(20))))))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # fork beside threads: what is tested
def test_a_forked_process_opens_its_own_files(tmp_path):
    wcs = tangent_wcs(5, 5, crpix=[20, 20])
    (tmp_path / "in").mkdir()
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(noise((100, 100)), wcs.to_header())]).writeto(
        tmp_path / "in" / "t_g.fits.fz"
    )
    survey, _ = make(tmp_path, tmp_path / "in", *spread(wcs, (100, 100), 20)[2:], size=8)
    source = survey.cutouts
    want = float(np.nansum(np.stack(source.read(range(20)))))
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    children = [context.Process(target=_sum, args=(source, queue)) for _ in range(2)]
    for child in children:
        child.start()
    assert [queue.get() for _ in children] == [want, want]
    for child in children:
        child.join()


def test_few_files_are_open_and_little_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(boxes_module, "OPEN", 2)
    monkeypatch.setattr(boxes_module, "KEPT", 400_000)
    wcs = tangent_wcs(5, 5, crpix=[20, 20])
    images = [noise((100, 100), k) for k in range(5)]
    for k, image in enumerate(images):
        fits.HDUList(
            [fits.PrimaryHDU(), fits.CompImageHDU(image, wcs.to_header(), compression_type="GZIP_2", quantize_level=0)]
        ).writeto(tmp_path / f"{k}.fits.fz")
    boxes = Boxes()
    for k in [0, 1, 2, 3, 4, 0, 0, 4, 3, 2, 1, 0] * 3:
        found = boxes.read(str(tmp_path / f"{k}.fits.fz"), 1, 0, np.array([[10, 20]]), 30)[0]
        np.testing.assert_array_equal(found, images[k][20:50, 10:40])
        held = [future.result() for _, future in boxes._images.values()]
        assert len(held) <= 2 and sum(image.kept for image in held) <= 400_000
    boxes.close()
    assert not boxes._images


def test_a_file_that_changes_or_goes_is_told_and_no_end_of_the_process(tmp_path):
    wcs = tangent_wcs(5, 5, crpix=[20, 20])
    first, second = tmp_path / "in" / "a_g.fits", tmp_path / "in" / "b_g.fits"
    write(first, noise((100, 100)), wcs)
    write(second, noise((100, 100)), tangent_wcs(5.1, 5, crpix=[20, 20]))
    sky = [wcs.all_pix2world(50, 50, 0), tangent_wcs(5.1, 5, crpix=[20, 20]).all_pix2world(50, 50, 0)]
    survey, _ = make(tmp_path, tmp_path / "in", *np.array(sky).T, size=8)
    source = survey.cutouts
    assert all(isinstance(c, np.ndarray) for c in source.read([0, 1]))
    whole = first.read_bytes()
    first.write_bytes(whole[: len(whole) // 2])
    bad, good = source.read([0, 1])
    assert (
        isinstance(bad, Unreadable) and "a_g.fits: the file is cut short" in bad.reason and isinstance(good, np.ndarray)
    )
    first.unlink()
    assert "the file is gone" in source.read([0])[0].reason
    assert source.context(0, 3) is None and source.wcs(0) is None


def test_a_survey_cannot_reach_files_outside_its_root(tmp_path):
    wcs = tangent_wcs(5, 5, crpix=[20, 20])
    write(tmp_path / "in" / "a.fits", noise((100, 100)), wcs)
    write(tmp_path / "secret.fits", noise((100, 100)), wcs)
    survey, _ = make(tmp_path, tmp_path / "in", *spread(wcs, (100, 100), 3)[2:], size=8)
    source = survey.cutouts
    source._of_band[0].names[0] = "../secret.fits"
    assert all("outside" in c.reason for c in source.read([0, 1]))


def test_gaps_that_are_stored_as_zero_are_missing(tmp_path):
    wcs = tangent_wcs(5, 5, crpix=[20, 20])
    image = noise((200, 200))
    image[:, 150:] = 0
    write(tmp_path / "in" / "a.fits", image, wcs)
    survey, report = make(tmp_path, tmp_path / "in", *spread(wcs, (200, 180), 60)[2:], size=8)
    assert survey.header["pixels"]["zero_is_missing"] and any("exactly zero" in note for note in report.notes)
    assert not any((c == 0).any() for c in survey.cutouts.read(range(60)))


# -- bands ------------------------------------------------------------------------------------------------------------


def field(tmp_path, names, *, cards=None, suffix="", seeds=True):
    """One image on one grid for each name; returns the position of its middle."""
    wcs = tangent_wcs(30, 0, crpix=[30, 30])
    for k, name in enumerate(names):
        extra = {} if cards is None else {"FILTER": cards[k]}
        write(tmp_path / "in" / f"{name}.fits{suffix}", np.full((60, 60), k + 1, "f4"), wcs, **extra)
    return wcs.all_pix2world(30, 30, 0)


@pytest.mark.parametrize(
    ("names", "cards", "bands", "asked"),
    [
        (["hsc_i_tract9813", "hsc_g_tract9813", "hsc_r_tract9813"], None, "gri", None),
        (["r/tile1", "g/tile1"], None, "gr", None),
        (["tile_g_sci", "tile_r_sci", "tile_g_wht", "tile_r_weight"], None, "gr", None),
        (["a", "b"], ["HSC-R", "HSC-G"], "GR", None),
        (["x1", "x2"], ["r DECam SDSS c0002 6415.0 1480.0", "g DECam SDSS c0001 4720.0 1520.0"], "gr", None),
        (["f_g", "f_r"], ["r", "r"], "gr", None),  # cards that were copied: the names tell more
        (["CFHTLS_W1_g_x", "CFHTLS_W1_r_x"], None, "gr", None),
        (["ceers_f200w_v1", "ceers_f115w_v1"], None, ("f115w", "f200w"), None),
        (["blue_field", "red_field"], None, ("blue", "red"), None),
        (["nb816_t", "g_t", "r_t"], None, "rg", ["r", "g"]),
        (["nb816_t", "g_t"], None, ("nb816", "g"), ["nb816", "g"]),
        (["hsc_I_1", "hsc_G_1"], None, "gi", ["g", "i"]),
        (["t_g", "t_r", "t_i"], ["HSC", "HSC", "HSC"], "ri", ["r", "i"]),
        (["mosaic"], ["MULTI"], ("F814W",), ["F814W"]),
        (["mosaic"], None, ("band",), None),
        (["VIS", "NIR_Y", "NIR_H"], None, ("VIS", "Y", "H"), None),
    ],
)
def test_the_band_of_an_image_is_told(tmp_path, names, cards, bands, asked):
    ra, dec = field(tmp_path, names, cards=cards)
    survey, _ = make(tmp_path, tmp_path / "in", [ra], [dec], size=8, bands=asked)
    assert survey.bands == tuple(bands)


def test_units_are_told(tmp_path):
    wcs = tangent_wcs(30, 0, crpix=[30, 30])
    write(tmp_path / "in" / "a_g.fits", noise((60, 60)), wcs, BUNIT="nJy")
    write(tmp_path / "in" / "a_r.fits", noise((60, 60)), wcs)
    survey, _ = make(tmp_path, tmp_path / "in", *wcs.all_pix2world([30], [30], 0), size=8)
    assert survey.cutouts.units(0) == ("nJy", "")


def test_bands_hold_their_own_images(tmp_path):
    ra, dec = field(tmp_path, ["z/t", "g/t", "r/t"])
    survey, _ = make(tmp_path, tmp_path / "in", [ra], [dec], size=8)
    assert survey.bands == ("g", "r", "z") and survey.cutouts.read([0])[0][:, 4, 4].tolist() == [2, 3, 1]


def test_hdus_of_one_file_are_bands_or_tiles(tmp_path):
    wcs, east = tangent_wcs(30, 0, crpix=[30, 30]), tangent_wcs(30.02, 0, crpix=[30, 30])
    (tmp_path / "in").mkdir()
    fits.HDUList(
        [fits.PrimaryHDU()]
        + [
            fits.ImageHDU(np.full((60, 60), k, "f4"), wcs.to_header(), name=n)
            for k, n in enumerate(["R", "R_ERR", "G"])
        ]
    ).writeto(tmp_path / "bands.fits")
    fits.HDUList(
        [fits.PrimaryHDU()]
        + [fits.ImageHDU(np.full((60, 60), k, "f4"), w.to_header(), name=f"N{k}") for k, w in enumerate([wcs, east])]
    ).writeto(tmp_path / "chips.fits")
    sky = np.array([w.all_pix2world(30, 30, 0) for w in (wcs, east)]).T
    survey, _ = make(tmp_path, tmp_path / "bands.fits", *sky[:, :1], size=8, name="one")
    assert survey.bands == ("G", "R") and survey.cutouts.read([0])[0][:, 0, 0].tolist() == [2, 0]
    survey, _ = make(tmp_path, tmp_path / "chips.fits", *sky, size=8, name="two")
    assert [c[0, 0, 0] for c in survey.cutouts.read([0, 1])] == [0, 1] and survey.bands == ("band",)


def test_a_band_that_is_not_there(tmp_path):
    ra, dec = field(tmp_path, ["t_g", "t_r"])
    with pytest.raises(UserError, match=r"no image of the band u.*choose among: g, r"):
        make(tmp_path, tmp_path / "in", [ra], [dec], size=8, bands=["g", "u"])


# -- what is a mosaic, and what is wrong ------------------------------------------------------------------------------


def test_large_images_with_fewer_names_than_positions_are_a_mosaic_and_stamps_are_not(tmp_path):
    centres = [(150 + k / 2, 2.0) for k in range(3)]
    for k, (ra, dec) in enumerate(centres):
        write(tmp_path / "in" / f"obj{k}.fits", noise((600, 600), k), tangent_wcs(ra, dec, crpix=[300, 300]))
    ra = np.concatenate([[c[0] for c in centres], np.random.default_rng(0).uniform(149.99, 151.01, 40)])
    dec = np.full(43, 2.0)
    ids = [*(f"obj{k}" for k in range(3)), *(f"far{k}" for k in range(40))]
    stamps, _ = make(tmp_path, tmp_path / "in", ra, dec, columns={"id": ids}, name="stamps")
    assert stamps.header["pixels"]["kind"] == "fits" and len(stamps) == 3
    boxes, report = make(tmp_path, tmp_path / "in", ra, dec, columns={"id": np.arange(43)}, name="boxes")
    assert boxes.header["pixels"]["kind"] == "mosaic" and len(boxes) > 3
    assert boxes.header["pixels"]["side"] == 64 and any("64 pixels a side, 12.8 arcsec" in n for n in report.notes)
    asked, _ = make(tmp_path, tmp_path / "in", ra, dec, columns={"id": ids}, name="asked", size=20)
    assert asked.header["pixels"]["kind"] == "mosaic" and "obj1" in list(asked.column("id"))


def test_ids(tmp_path):
    wcs = tangent_wcs(30, 0, crpix=[30, 30])
    write(tmp_path / "in" / "a_g.fits", noise((60, 60)), wcs)
    _, _, ra, dec = spread(wcs, (60, 60), 4)
    ra, dec = ra[[0, 1, 2, 3, 1]], dec[[0, 1, 2, 3, 1]]
    ra[0] += 1  # outside
    columns = {"name": list("aabcd"), "number": [7, 8, 9, 10, 8], "tag": list("vwxyz")}
    survey, report = make(tmp_path, tmp_path / "in", ra, dec, size=8, columns=columns)
    assert list(survey.column("id")) == list("abcd") and list(survey.column("number")) == [8, 9, 10, 8]
    columns["name"] = list("aaaab")
    survey, report = make(tmp_path, tmp_path / "in", ra, dec, size=8, columns=columns, name="two")
    assert list(survey.column("id")) == ["8", "9", "10"] and any("1 catalogue rows repeat" in n for n in report.notes)
    survey, _ = make(tmp_path, tmp_path / "in", ra, dec, size=8, columns=columns, name="three", id_column="tag")
    assert list(survey.column("id")) == list("wxyz") and list(survey.column("tag")) == list("wxyz")
    survey, report = make(tmp_path, tmp_path / "in", ra, dec, size=8, columns={"flux": np.arange(5)}, name="four")
    assert list(survey.column("id")) == list("1234") and any("called by their row" in n for n in report.notes)
    with pytest.raises(UserError, match="does not tell the objects apart"):
        make(tmp_path, tmp_path / "in", ra, dec, size=8, columns=columns, name="five", id_column="name")
    with pytest.raises(UserError, match="has no column 'nix'"):
        make(tmp_path, tmp_path / "in", ra, dec, size=8, columns=columns, name="six", id_column="nix")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda ra, dec: (ra / 15, dec), "look like hours"),
        (lambda ra, dec: (np.radians(ra), np.radians(dec)), "look like radians"),
        (lambda ra, dec: (dec, ra), "look exchanged"),
        (lambda ra, dec: (ra + 40, dec), "give a catalogue of this part of the sky"),
    ],
)
def test_when_nothing_is_inside_it_is_said_where_both_are(tmp_path, change, said):
    wcs = tangent_wcs(83.0, 22.0, crpix=[300, 300])
    write(tmp_path / "in" / "a.fits", noise((600, 600)), wcs)
    _, _, ra, dec = spread(wcs, (600, 600), 30)
    with pytest.raises(UserError, match=rf"images are at RA 8[23]\.\d+ to 83\.\d+, Dec \+21\..*{said}"):
        make(tmp_path, tmp_path / "in", *change(ra, dec))


def test_a_part_of_the_sky_across_zero():
    assert (
        extent(np.array([359.9, 0.2, 0.1]), np.array([-1, 0.5, 1]))
        == "RA 359.9000 to 0.2000, Dec -1.0000 to +1.0000 deg"
    )
    assert extent(np.array([20.0]), np.array([3.0])) == "RA 20.0000 to 20.0000, Dec +3.0000 to +3.0000 deg"
    assert extent(np.array([np.nan]), np.array([3.0])) == "no known position"


def test_what_is_wrong_is_named(tmp_path):
    wcs = tangent_wcs(83.0, 22.0, crpix=[300, 300])
    ra, dec = wcs.all_pix2world([300, 310], [300, 320], 0)
    write(tmp_path / "bare" / "a.fits", noise((600, 600)))
    with pytest.raises(UserError, match=r"no image in it has a celestial WCS.*solve their astrometry"):
        make(tmp_path, tmp_path / "bare", ra, dec, size=16)
    write(tmp_path / "in" / "a_g.fits", noise((600, 600)), wcs)
    Table({"id": [1, 2], "flux": [1.0, 2.0]}).write(tmp_path / "flux.fits")
    with pytest.raises(UserError, match="no positions to cut at"):
        ingest(tmp_path / "in", tmp_path / "x.survey", catalogue=tmp_path / "flux.fits", size=16)
    with pytest.raises(UserError, match="nothing says where to cut"):
        ingest(tmp_path / "in", tmp_path / "x.survey", size=16)
    whole = (tmp_path / "in" / "a_g.fits").read_bytes()
    (tmp_path / "in" / "cut_g.fits").write_bytes(whole[:400_000])
    (tmp_path / "in" / "empty_g.fits").write_bytes(b"")
    (tmp_path / "in" / "text_g.fits").write_text("no FITS at all")
    write(tmp_path / "in" / "spectra.fits", noise((100, 5, 5)), wcs)
    catalogue(tmp_path / "in" / "sources.fits", ra, dec)
    survey, report = make(tmp_path, tmp_path / "in", [*ra, np.nan], [*dec, 3], size=16, name="left")
    reasons = {r["file"]: r["reason"] for r in report.rejected}
    assert set(reasons) == {"cut_g.fits", "empty_g.fits", "text_g.fits", "spectra.fits"} and len(survey) == 2
    assert "cut short" in reasons["cut_g.fits"] and "100 planes" in reasons["spectra.fits"]
    notes = " ".join(report.notes)
    assert (
        "1 files hold no image and were passed over (sources.fits)" in notes
        and "1 catalogue rows have no position" in notes
    )


def test_from_the_command_line(tmp_path, capsys):
    wcs = tangent_wcs(83.0, 22.0, crpix=[300, 300])
    write(tmp_path / "in" / "a_g.fits", noise((600, 600)), wcs)
    table = catalogue(tmp_path / "cat.fits", *spread(wcs, (600, 600), 30)[2:])
    status = main(
        ["ingest", str(tmp_path / "in"), str(tmp_path / "a.survey"), "--catalogue", str(table), "--size", "24"]
    )
    said = capsys.readouterr().out
    assert status in (0, None) and "30 objects in 1 band (g), 24×24 pixels" in said and "4.8 arcsec" in said


def test_odd_headers_are_no_images_of_the_sky(tmp_path):
    """Cards that make no sense, or of no sky, give no grid; no exception."""
    good = tangent_wcs(10, 10, crpix=[5, 5]).to_header()
    for k, cards in enumerate(
        [
            {"CTYPE1": "LINEAR", "CTYPE2": "LINEAR"},
            {"CTYPE1": "RA---TAN", "CTYPE2": "RA---TAN"},
            {"CTYPE1": "RA---XYZ", "CTYPE2": "DEC--XYZ"},
            {"PC1_1": 0.0, "PC1_2": 0.0, "PC2_1": 0.0, "PC2_2": 0.0},
            {"CRVAL1": "nonsense"},
            {"CRPIX1": 1e300},
        ]
    ):
        path = tmp_path / f"{k}.fits"
        header = good.copy()
        header.update(cards)
        fits.PrimaryHDU(noise((20, 20)), header).writeto(path)
        with open_fits(str(path)) as stream:
            assert grid(read_hdus(stream)[0]) is None, cards


def test_the_whole_catalogue_travels_with_the_objects(tmp_path):
    wcs = tangent_wcs(83.0, 22.0, crpix=[300, 300])
    write(tmp_path / "in" / "a_g.fits", noise((600, 600)), wcs)
    _, _, ra, dec = spread(wcs, (600, 600), 30)
    ra[::3] += 2
    survey, report = make(
        tmp_path, tmp_path / "in", ra, dec, size=8, columns={"id": np.arange(30), "mag": np.arange(30.0)}
    )
    kept = [k for k in range(30) if k % 3]
    assert survey.column("mag").tolist() == kept and report.without_image == 10 and report.matched == 20
    assert isinstance(survey.arrow(["mag"]), pa.Table)
