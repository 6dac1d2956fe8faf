"""From a folder to a survey in one call; every fault one sentence, and nothing half-written."""

import errno
import io
import json
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from PIL import Image

from engine import Survey, files
from engine.data.cutouts import read_batch
from engine.data.ingest import REPORT, ingest, look, samples
from engine.errors import UserError

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"
shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared survey data are not beside the repository")


def pictures(folder, names, size=16):
    rng = np.random.default_rng(0)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (size, size, 3), np.uint8)).save(folder / name)
    return folder


@pytest.fixture
def folder(tmp_path):
    return pictures(tmp_path / "in", ["1.png", "2.png", "3.png"])


def catalogue(path, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def written(tmp_path):
    return sorted(p.name for p in tmp_path.iterdir() if "survey" in p.name)


def test_a_folder_and_a_catalogue_become_a_survey(tmp_path, folder):
    table = catalogue(
        tmp_path / "c.csv", objid=[2, 1, 9], ra=[10.0, 370.0, 3.0], DEC=[5.0, 6.0, 7.0], mag=[18.5, 17.0, 1.0]
    )
    made = ingest(folder, tmp_path / "my.survey", catalogue=table)
    survey = Survey.open(tmp_path / "my.survey")
    assert survey.ids.to_pylist() == ["1", "2", "3"] and survey.columns == ["id", "ra", "dec", "objid", "mag"]
    np.testing.assert_array_equal(survey.column("ra"), [np.nan, 10, np.nan])  # 370 deg is no right ascension
    np.testing.assert_array_equal(survey.column("mag"), [17, 18.5, np.nan])
    found = made.details
    assert (found.matched, found.without_row, found.without_image, found.id_column) == (2, 1, 1, "objid")
    assert files.read_json(survey.path / REPORT) == made.report and "2 matched by objid" in made.text()
    pixels, readable, _ = read_batch(survey.cutouts, np.arange(3), 16)
    assert readable.all() and pixels.shape == (3, 3, 16, 16)
    assert survey.header["pixels"]["root"] == str(folder.resolve())


def test_the_catalogue_beside_the_images_is_used(tmp_path):
    pictures(tmp_path / "set" / "images", ["a.jpg", "b.jpg"])
    catalogue(tmp_path / "set" / "catalogue.csv", file=["a.jpg", "b.jpg"], label=["star", "galaxy"])
    for source in (tmp_path / "set", tmp_path / "set" / "images"):
        made = ingest(source, tmp_path / f"{source.name}.survey")
        assert made.survey.column("label").tolist() == ["star", "galaxy"] and "lies beside" in made.details.notes[0]
        assert made.survey.column("pixels_file").tolist() == ["a.jpg", "b.jpg"]


def test_folders_of_classes_are_just_images(tmp_path):
    pictures(tmp_path / "in", ["spiral/1.png", "spiral/2.png", "ring/1.png"])
    made = ingest(
        tmp_path / "in",
        tmp_path / "a.survey",
        catalogue=catalogue(tmp_path / "c.csv", file=["in/ring/1.png", "in/spiral/1.png"], v=[1, 2]),
    )
    assert made.survey.ids.to_pylist() == ["ring/1", "spiral/1", "spiral/2"] and made.details.matched == 2


def test_damaged_files_are_counted_named_and_skipped(tmp_path, folder):
    (folder / "4.png").write_bytes(b"nothing")
    whole = (folder / "1.png").read_bytes()
    (folder / "5.png").write_bytes(whole[:-40])
    made = ingest(folder, tmp_path / "a.survey")
    assert [r["file"] for r in made.details.rejected] == ["4.png", "5.png"] and len(made.survey) == 3
    assert "2 left out" in made.text()


def test_science_levels_are_measured(tmp_path):
    rng = np.random.default_rng(0)
    for k in range(20):
        image = 10 + 2 * rng.normal(size=(32, 32))
        image[14:18, 14:18] += 200
        (tmp_path / "in").mkdir(exist_ok=True)
        fits.PrimaryHDU(image.astype("f4")).writeto(tmp_path / "in" / f"{k}.fits")
    pixels = ingest(tmp_path / "in", tmp_path / "a.survey", bands=["r"]).survey.header["pixels"]
    assert pixels["bands"] == ["r"] and pixels["science"]
    np.testing.assert_allclose([*pixels["background"], *pixels["noise"], *pixels["bright"]], [10, 2, 200], rtol=0.1)


def test_a_dry_run_writes_nothing(tmp_path, folder):
    made = ingest(folder, tmp_path / "a.survey", dry_run=True)
    assert made.survey is None and made.details.objects == 3 and written(tmp_path) == []


def test_progress_reaches_its_end(tmp_path, folder):
    told = []
    ingest(folder, tmp_path / "a.survey", progress=lambda *event: told.append(event))
    ends = {stage: (done, total) for done, total, stage in told}
    assert len(ends) == 2 and all(done == total for done, total in ends.values())


@pytest.mark.parametrize(
    "source, options, problem",
    [
        ("none", {}, "there is no folder"),
        ("empty", {}, "holds no images"),
        ("in/1.png", {}, "not a file that holds many cutouts"),
        ("in", {"catalogue": "none.csv"}, "no catalogue"),
        ("in", {"catalogue": "strange.csv"}, "no column of .* holds the ids"),
        ("in", {"catalogue": "other.csv", "id_column": "id"}, "belongs to an image"),
        ("in", {"catalogue": "other.csv", "id_column": "nope"}, "no column 'nope'"),
        ("in", {"id_column": "id"}, "no catalogue"),
        ("in", {"bands": ["g", "r"]}, "2 bands are named"),
        ("bad", {}, "none of the 1 images"),
    ],
)
def test_each_fault_is_one_sentence_and_leaves_nothing(tmp_path, folder, source, options, problem):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.jpg").write_bytes(b"x")
    catalogue(tmp_path / "strange.csv", mag=[1.5], z=[0.5])
    catalogue(tmp_path / "other.csv", id=["x"], z=[0.5])
    if "catalogue" in options:
        options = options | {"catalogue": tmp_path / options["catalogue"]}
    with pytest.raises(UserError, match=problem) as caught:
        ingest(tmp_path / source, tmp_path / "a.survey", **options)
    assert caught.value.remedy and written(tmp_path) == []


def test_repeated_ids_of_objects_are_refused(tmp_path):
    np.savez(tmp_path / "x.npz", images=np.random.default_rng(0).normal(size=(3, 1, 8, 8)))
    assert ingest(tmp_path / "x.npz", tmp_path / "a.survey").survey.ids.to_pylist() == ["0", "1", "2"]


def test_a_destination_that_exists_or_cannot_be_written_is_refused_first(tmp_path, folder):
    (tmp_path / "a.survey").mkdir()
    with pytest.raises(UserError, match="already exists"):
        ingest(folder, tmp_path / "a.survey")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        ingest(folder, tmp_path / "file" / "a.survey")
    if os.geteuid() != 0:
        (tmp_path / "locked").mkdir(mode=0o500)
        with pytest.raises(UserError, match="cannot be written"):
            ingest(folder, tmp_path / "locked" / "a.survey")


def test_a_full_disk_leaves_nothing(tmp_path, folder, monkeypatch):
    def full(path, document):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files, "write_toml", full)
    with pytest.raises(UserError, match="No space left") as caught:
        ingest(folder, tmp_path / "a.survey")
    assert "make room" in caught.value.remedy and written(tmp_path) == []


def test_a_survey_is_no_source(tmp_path, folder):
    ingest(folder, tmp_path / "a.survey")
    with pytest.raises(UserError, match="is a survey already"):
        look(tmp_path / "a.survey")
    ingest(folder, folder / "inside.survey")
    assert len(look(folder).ids) == 3  # a survey among the images is passed over


# -- real data --------------------------------------------------------------------------------------------------------


@shared
@pytest.mark.parametrize(
    "source, catalogue, expected",
    [
        ("gz_examples", None, (804, 804, 3)),
        ("star_galaxy", None, (3986, 3986, 1)),
        ("csst_dwarfs", None, (3000, 3000, 3)),
        ("ceers_fits", None, (45, 45, 7)),
        ("sdss_r_fits", None, (74, 73, 1)),
        ("candels_multi_hdu", None, (2, 0, 1)),
        (
            "cosmos_hst/real_galaxy_images_extension.fits",
            "cosmos_hst/real_galaxy_catalog_26_extension_example.fits",
            (100, 100, 1),
        ),
        ("piczl_griz", None, (100, 100, 4)),
        ("piczl_griz/images_griz.npz", None, (100, 100, 4)),
    ],
)
def test_real_surveys_with_one_call(tmp_path, source, catalogue, expected):
    made = ingest(SHARED / source, tmp_path / "a.survey", catalogue=catalogue and SHARED / catalogue)
    assert (len(made.survey), made.details.matched, len(made.survey.bands)) == expected
    assert not made.details.rejected
    rows = np.unique(np.linspace(0, len(made.survey) - 1, 40).astype(int))
    _, readable, problems = read_batch(made.survey.cutouts, rows, 24)
    assert readable.all(), problems
    if made.survey.header["pixels"]["science"]:
        assert np.isfinite(made.survey.column("ra")).all()


@shared
def test_galaxy_zoo_takes_seconds(tmp_path):
    start = time.perf_counter()
    made = ingest(SHARED / "gz2", tmp_path / "a.survey")
    assert made.details.matched == 5000 and made.details.id_column == "GalaxyID" and time.perf_counter() - start < 15


@shared
def test_ceers_objects_with_missing_parts_survive(tmp_path):
    survey = ingest(SHARED / "ceers_fits", tmp_path / "a.survey").survey
    cutouts = survey.cutouts.read(np.arange(45))
    missing = np.array([np.isnan(c).mean() for c in cutouts])
    assert 0 < (missing > 0.01).sum() < 45 and (missing < 1).all()
    covered = np.array([survey.column(f"cov_{b}") for b in survey.bands]).mean(axis=0)
    assert np.corrcoef(covered, 1 - missing)[0, 1] > 0.9
    row = survey.rows(["11922"])[0]
    assert survey.column("ra")[row] == pytest.approx(214.86543584553647)


@shared
def test_cosmos_objects_are_called_as_in_their_catalogue(tmp_path):
    survey = ingest(
        SHARED / "cosmos_hst/real_galaxy_images_extension.fits",
        tmp_path / "a.survey",
        catalogue=SHARED / "cosmos_hst/real_galaxy_catalog_26_extension_example.fits",
    ).survey
    assert survey.ids.to_pylist() == [str(v) for v in survey.column("IDENT")]
    with pytest.raises(UserError):  # the bright sample's catalogue is of another file
        ingest(
            SHARED / "cosmos_hst/real_galaxy_images_extension.fits",
            tmp_path / "b.survey",
            catalogue=SHARED / "cosmos_hst/real_galaxy_catalog_23.5_example.fits",
        )


def test_the_report_counts_and_names_what_did_not_match(tmp_path, folder):
    table = catalogue(tmp_path / "c.csv", id=[1, 1, 2, 7, 8], z=[1, 2, 3, 4, 5])
    made = ingest(folder, tmp_path / "a.survey", catalogue=table)
    report = json.loads((made.survey.path / REPORT).read_text())
    assert report == made.report and report["matched"] == 2
    assert report["repeated_rows"] == 1 and report["differing"] == ["1"] and made.survey.column("z")[0] == 1
    alone = [i for i in made.survey.ids.to_pylist() if i not in ("1", "2")]
    assert report["without_row_ids"] == alone and report["without_row"] == len(alone)
    assert report["without_image_rows"] == [i for i in ("7", "8") if i not in made.survey.ids.to_pylist()]
    assert {"name": "z", "type": "int64", "unit": ""} in report["columns"]
    assert "values differ" in made.text()


def test_samples_are_pictures_of_what_would_be_ingested(tmp_path, folder):
    made = ingest(folder, tmp_path / "a.survey", dry_run=True)
    shown = samples(made.draft, 2)
    assert len(shown) == 2 and not (tmp_path / "a.survey").exists()
    for name, jpeg in shown:
        assert name in made.draft.objects["id"].to_pylist() and Image.open(io.BytesIO(jpeg)).size == (96, 96)
