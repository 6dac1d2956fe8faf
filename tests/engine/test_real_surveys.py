"""Every set of real data opens by its documented command and goes the whole way: ingest, embed, lay out, doctor, label, export."""

import json
import shutil

import numpy as np
import pytest
from astropy.table import Table

from engine import Survey
from engine.cli import main
from engine.doctor import diagnose

#: name → (what is ingested below the data's folder, further options, objects, bands). Large sets are cut to their first 120.
SETS = {
    "gz2": ("gz2", [], 120, ["R", "G", "B"]),
    "gz_examples": ("gz_examples", [], 120, ["R", "G", "B"]),
    "star_galaxy": ("star_galaxy", [], 120, ["grey"]),
    "csst_dwarfs": ("csst_dwarfs", [], 120, ["R", "G", "B"]),
    "ceers_fits": ("ceers_fits", [], 45, ["f115w", "f150w", "f200w", "f277w", "f356w", "f410m", "f444w"]),
    "sdss_r_fits": ("sdss_r_fits", [], 74, ["r"]),
    "candels_multi_hdu": ("candels_multi_hdu", [], 2, ["F160W"]),
    "cosmos_hst": (
        "cosmos_hst/real_galaxy_images_extension.fits",
        ["--catalogue", "{}/cosmos_hst/real_galaxy_catalog_26_extension_example.fits", "--bands", "F814W"],
        100,
        ["F814W"],
    ),
    "piczl_griz": ("piczl_griz", [], 100, ["g", "r", "i", "z"]),
}


def cut(source, folder, count):
    """A source with only its first pictures, where it is a large folder of them."""
    if not (source / "images").is_dir() or len(list((source / "images").glob("*.jpg"))) <= count:
        return source
    (folder / "images").mkdir(parents=True)
    for picture in sorted((source / "images").glob("*.jpg"))[:count]:
        shutil.copy(picture, folder / "images")
    shutil.copy(source / "catalogue.csv", folder)
    return folder


@pytest.mark.parametrize("name", SETS)
def test_the_whole_way(name, shared_data, tmp_path, capsys):
    where, options, count, bands = SETS[name]
    source, path = cut(shared_data / where, tmp_path / "source", count), tmp_path / f"{name}.survey"

    def run(*arguments):
        assert main([*map(str, arguments), "--json", "--progress", "none"]) == 0
        return json.loads(capsys.readouterr().out)

    run("ingest", source, path, *[o.format(shared_data) for o in options])
    assert run("embed", path)["unreadable"] == 0
    assert run("layout", path, "--method", "pca")["placed"] == count
    survey = Survey.open(path)
    assert len(survey) == count and list(survey.bands) == bands
    vectors = survey.representation().vectors
    assert np.isfinite(vectors).all() and np.ptp(vectors, axis=0).max() > 0
    assert all(survey.thumbnails.read(range(count)))
    assert not [f for f in diagnose(path) if f.severity == "error"]

    first, last = survey.ids[0].as_py(), survey.ids[-1].as_py()
    run("label", path, "--target", "odd", f"{first}=yes", f"{last}=no")
    run("suggest", path, "--target", "odd", "--count", 5)
    run("export", path, tmp_path / "out.fits", "--target", "odd", "--ranking")
    table = Table.read(tmp_path / "out.fits")
    assert len(table) == count and {"id", "ra", "dec", "label_odd", "mean_odd", "sd_odd"} <= set(table.colnames)
    labels = {str(i).strip(): str(v).strip() for i, v in zip(table["id"], table["label_odd"])}
    assert labels[first] == "yes" and labels[last] == "no"
    mean = np.asarray(table["mean_odd"], float)
    assert (np.diff(mean[np.isfinite(mean)]) <= 1e-6).all()  # a ranking: best first


def test_missing_coverage_of_ceers_is_missing_not_zero(shared_data, tmp_path):
    """19 of the 45 galaxies have partly missing bands; they survive, and what is missing is NaN."""
    survey = Survey.ingest(shared_data / "ceers_fits", tmp_path / "ceers.survey")
    coverage = np.column_stack([np.asarray(survey.column(f"cov_{band}"), float) for band in survey.bands])
    cutouts = survey.cutouts.read(np.arange(len(survey)))
    known = np.array([[np.isfinite(plane).mean() for plane in cutout] for cutout in cutouts])
    assert (coverage < 1).any(axis=1).sum() == 19
    assert np.abs(known - coverage).max() < 0.02
    survey.embed("skysieve-base")
    assert survey.representation("skysieve-base").valid.all()
