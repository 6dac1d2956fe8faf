"""The simulated survey: the same from the same seed, true to its own truth, and neither trivial nor hopeless."""

import h5py
import numpy as np
import pandas as pd
import pytest

from engine.data.pictures.stretch import Calibration
from engine.data.simulation import simulate as simulation
from engine.data.simulation.morphology import PAINTERS, ZERO_POINT, Canvas, Members
from engine.data.simulation.simulate import BANDS, PIXEL_SCALE, SKY_NOISE, generate, simulate
from engine.errors import UserError
from engine.survey import Survey

COUNT, DWARFS = 1600, 0.1


@pytest.fixture(scope="module")
def made() -> tuple[np.ndarray, pd.DataFrame]:
    return generate(COUNT, seed=7, dwarf_fraction=DWARFS)


@pytest.fixture(scope="module")
def survey(tmp_path_factory) -> Survey:
    return simulate(tmp_path_factory.mktemp("sim") / "small.survey", 150, seed=3, dwarf_fraction=0.1, size=48)


# -- the same again ---------------------------------------------------------------------------------------------------


def test_a_seed_gives_the_same_bytes_and_another_seed_others():
    first, again, other = (generate(140, seed=seed, size=32) for seed in (5, 5, 6))
    assert first[0].tobytes() == again[0].tobytes()
    pd.testing.assert_frame_equal(first[1], again[1])
    assert first[0].tobytes() != other[0].tobytes()
    assert not first[1]["ra"].equals(other[1]["ra"])


def test_threads_do_not_change_a_bit():
    population = simulation._population(200, np.random.default_rng([9, 0]), 0.1)
    threaded = np.concatenate([slab for _, slab in simulation._slabs(population, 9, 32)])
    parts = [population.iloc[k : k + simulation.SLAB] for k in range(0, 200, simulation.SLAB)]
    alone = [simulation._render(part, np.random.default_rng([9, 1, k]), 32) for k, part in enumerate(parts)]
    assert threaded.tobytes() == np.concatenate(alone).tobytes()


def test_the_survey_on_disk_holds_what_generate_makes(survey):
    pixels, table = generate(150, seed=3, dwarf_fraction=0.1, size=48)
    with h5py.File(survey.path / "cutouts.h5") as stream:
        assert stream["images"].dtype == np.float16
        assert stream["images"][:].tobytes() == pixels.tobytes()
    pd.testing.assert_frame_equal(survey.table(), table, check_dtype=False)


# -- the survey folder ------------------------------------------------------------------------------------------------


def test_the_folder_says_what_it_is(survey):
    opened = Survey.open(survey.path)
    assert "simulated" in opened.name.lower() and opened.header["provenance"]["simulated"] is True
    assert opened.header["provenance"]["seed"] == 3
    assert opened.bands == BANDS and opened.header["pixels"]["science"] is True
    assert opened.header["pixels"]["pixel_scale"] == PIXEL_SCALE
    assert opened.column("pixels_index").tolist() == list(range(150))
    assert opened.ids[0].as_py() == "SIM-000001"
    assert not list(survey.path.parent.glob(".*")), "nothing may be left beside the folder"


def test_its_calibration_is_the_sky_it_was_given(survey):
    calibration = Calibration.of(survey.header["pixels"], 3)
    np.testing.assert_allclose(calibration.noise, SKY_NOISE, rtol=0.12)
    assert (np.abs(calibration.background) < 0.4 * SKY_NOISE).all()
    assert (calibration.bright > 10 * calibration.noise).all()


def test_its_cutouts_are_read(survey):
    pytest.importorskip("engine.data.arrays.hdf5", reason="the HDF5 source is not there yet")
    read = survey.cutouts.read(np.array([0, 149, 7]))
    pixels, _ = generate(150, seed=3, dwarf_fraction=0.1, size=48)
    for cutout, row in zip(read, (0, 149, 7)):
        np.testing.assert_array_equal(cutout, pixels[row].astype(np.float32))


@pytest.mark.parametrize("wrong", [{"n": 0}, {"n": 5, "dwarf_fraction": 1.5}, {"n": 5, "size": 8}])
def test_wrong_arguments_are_refused_before_anything_is_written(tmp_path, wrong):
    with pytest.raises(UserError):
        simulate(tmp_path / "a.survey", **wrong)
    with pytest.raises(UserError):
        generate(**wrong)
    assert not list(tmp_path.iterdir())


def test_an_existing_folder_is_refused_and_kept(tmp_path):
    (tmp_path / "a.survey").mkdir()
    with pytest.raises(UserError, match="exists"):
        simulate(tmp_path / "a.survey", 10)
    assert [p.name for p in tmp_path.iterdir()] == ["a.survey"]


def test_an_interrupted_run_leaves_nothing(tmp_path):
    def stop(done, total, stage):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path / "a.survey", 200, size=32, progress=stop)
    assert not list(tmp_path.iterdir())


def test_progress_reaches_the_end():
    seen = []
    generate(150, size=32, progress=lambda done, total, stage: seen.append((done, total)))
    assert seen[-1] == (150, 150) and seen == sorted(seen)


# -- who is there -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n, fraction", [(1, 0.0), (7, 0.5), (333, 0.03), (6000, 0.03), (50, 1.0)])
def test_counts_are_exact(n, fraction):
    truth = simulation._classes(n, np.random.default_rng(0), fraction)
    assert len(truth) == n
    assert (truth == "dwarf").sum() == round(n * fraction)
    for kind, share in simulation.MIX.items():
        assert abs((truth == kind).sum() - share * (n - round(n * fraction))) < 1


def test_every_class_is_there(made):
    assert set(made[1]["truth"]) == {*PAINTERS, "artefact"}
    assert made[1]["id"].is_unique


def test_places_are_on_a_patch_of_the_right_density(made):
    ra, dec = made[1]["ra"], made[1]["dec"]
    side = np.sqrt(COUNT / simulation.DENSITY)
    assert np.abs(dec - simulation.CENTRE[1]).max() <= side / 2
    assert np.abs((ra - simulation.CENTRE[0]) * np.cos(np.radians(dec))).max() <= side / 2 + 1e-9
    assert np.ptp(dec) > 0.95 * side


def test_truth_is_there_where_it_makes_sense(made):
    table = made[1].set_index("truth")
    assert table.loc[["star", "artefact"], ["truth_sb", "truth_radius", "truth_redshift"]].isna().all().all()
    galaxies = table.drop(["star", "artefact"])
    assert galaxies[["truth_mag_r", "truth_sb", "truth_radius", "truth_redshift"]].notna().all().all()
    assert galaxies["truth_redshift"].between(0.001, 2).all()


def test_dwarfs_are_faint_large_and_above_the_noise(made):
    dwarfs = made[1][made[1]["truth"] == "dwarf"]
    assert dwarfs["truth_sb"].between(23.5, 26).all()
    assert dwarfs["truth_radius"].between(2, 7).all()
    flux = 10 ** (0.4 * (ZERO_POINT - dwarfs["truth_mag_r"]))
    pixels = np.pi * (dwarfs["truth_radius"] / PIXEL_SCALE) ** 2
    signal = 0.5 * flux / (SKY_NOISE[1] * simulation.APERTURE_NOISE * np.sqrt(pixels))
    assert signal.min() > 8


# -- what the camera sees ---------------------------------------------------------------------------------------------


def test_pixels_are_readable(made):
    pixels, _ = made
    assert pixels.shape == (COUNT, 3, 64, 64) and pixels.dtype == np.float16
    known = np.isfinite(pixels)
    assert known.any(axis=(1, 2, 3)).all()
    assert not np.isinf(pixels).any()
    missing_bands = (~known.any(axis=(2, 3))).sum(axis=1)
    assert 0 < (missing_bands > 0).mean() < 0.04 and missing_bands.max() < 3


@pytest.mark.parametrize("kind", list(PAINTERS))
def test_a_painter_gives_an_object_its_flux(kind):
    side, k = 400, 6
    members = Members(np.arange(k), *(np.full(k, value) for value in (199.5, 199.5, 6.0, 18.0, 0.4, 0.3)))
    canvas = Canvas(k, 3, side)
    PAINTERS[kind](canvas, np.random.default_rng(4), members)
    total = canvas.light.sum(axis=(2, 3), dtype=float).T
    for _, _, stamp, flux in canvas.points:
        np.add.at(total, stamp, flux)
    ratio = total[:, 1] / 10 ** (0.4 * (ZERO_POINT - 18.0))
    assert canvas.light.min() > -1e-6
    if kind == "lens":  # with the light of what it bends
        assert (ratio > 1).all() and (ratio < 1.4).all()
    elif kind == "edge-on":  # without what its dust hides
        assert (ratio > 0.5).all() and (ratio < 1.01).all()
    else:
        np.testing.assert_allclose(ratio, 1, atol=0.05)


def test_stars_are_as_wide_as_the_seeing(made):
    pixels, table = made
    stars = table.index[(table["truth"] == "star") & table["truth_mag_r"].between(16.6, 19)]
    widths = []
    for row in stars:
        image = pixels[row, 1].astype(float)
        if not np.isfinite(image).all():
            continue
        peak = np.unravel_index(image[24:40, 24:40].argmax(), (16, 16))
        y, x = np.indices(image.shape)
        r = np.hypot(y - 24 - peak[0], x - 24 - peak[1])
        widths.append(2 * np.sqrt((image[r < 9] > image[24:40, 24:40].max() / 2).sum() / np.pi) * PIXEL_SCALE)
    assert len(widths) > 15
    assert 1.0 < np.median(widths) < 1.4
    # A double star counts as wide; a peak between two pixels as well.
    assert np.quantile(widths, 0.02) > 0.8 and np.quantile(widths, 0.85) < 1.7


def test_seeing_has_its_limits():
    seeing = simulation._seeing(np.random.default_rng(0), 2000)["fwhm"] * PIXEL_SCALE
    assert seeing.min() > 0.899 and seeing.max() < 1.601 and seeing.std() > 0.08


def test_noise_has_the_variance_of_sky_and_photons():
    rng = np.random.default_rng(1)
    level = np.array([0.0, 0.3, 3.0], np.float32)
    sky = np.broadcast_to(level[:, None, None, None], (3, 3, 64, 64))
    draws = np.stack([simulation._noise(rng, sky) for _ in range(120)])
    expected = SKY_NOISE[None] * np.sqrt(1 + level[:, None] / simulation.SKY_LEVEL[None])
    np.testing.assert_allclose(draws.std(axis=(0, 3, 4)), expected, rtol=0.05)
    flat = draws[:, 0, 1]
    lag = (flat[..., 1:] * flat[..., :-1]).mean() / flat.var()
    assert lag == pytest.approx(2 * simulation.BLEND / (1 + 2 * simulation.BLEND**2), abs=0.02)
    # The noise of an aperture, which decides what can be seen, is what the limit for dwarfs assumes.
    apertures = flat[:, :60, :60].reshape(-1, 3, 20, 3, 20).sum(axis=(2, 4)) / 20
    assert apertures.std() / flat.std() == pytest.approx(simulation.APERTURE_NOISE, rel=0.12)


# -- neither trivial nor hopeless -------------------------------------------------------------------------------------


def test_photometry_measures_what_was_put_in(made):
    table = made[1]
    clean = table[table["truth"].isin(["elliptical", "spiral", "star"]) & table["truth_mag_r"].between(16.5, 19.5)]
    assert np.abs((clean["mag_r"] - clean["truth_mag_r"]).median()) < 0.3  # an aperture loses the wings
    assert clean["mag_r"].corr(clean["truth_mag_r"]) > 0.9


def _measured_brightness(table: pd.DataFrame) -> pd.Series:
    return table["mag_r"] + 2.5 * np.log10(2 * np.pi * table["radius"] ** 2)


def test_dwarfs_have_lower_surface_brightness_at_their_magnitude(made):
    table = made[1].assign(sb=_measured_brightness(made[1]))
    for faint in (20.0, 21.0):
        bin_ = table[table["mag_r"].between(faint - 1, faint)]
        dwarf = bin_["truth"] == "dwarf"
        assert dwarf.sum() > 15
        assert bin_.loc[dwarf, "sb"].median() > bin_.loc[~dwarf, "sb"].median() + 0.7


def test_magnitude_and_radius_alone_do_not_tell_dwarfs(made):
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import average_precision_score, roc_auc_score
    from sklearn.model_selection import cross_val_predict

    table = made[1]
    dwarf = (table["truth"] == "dwarf").to_numpy()
    guess = cross_val_predict(
        HistGradientBoostingClassifier(max_iter=60), table[["mag_r", "radius"]], dwarf, method="predict_proba", cv=4
    )[:, 1]
    assert 0.8 < roc_auc_score(dwarf, guess) < 0.99
    assert average_precision_score(dwarf, guess) < 0.8
