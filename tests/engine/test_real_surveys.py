"""Every set of real data opens by its documented command and goes the whole way: ingest, embed, lay out, doctor, label, export."""

import json
import re
import shlex
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from engine import Survey
from engine.cli import main
from engine.doctor import diagnose

PAGE = Path(__file__).parents[2] / "docs" / "own-data.md"
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


COMMANDS = re.findall(
    r"^\| [^|]+ \| `python -m engine (ingest D/[^`]+)` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
)
#: survey → objects, bands, objects with a position, objects with a catalogue row (None: no catalogue)
TRUTH = {
    "gz2": (5000, "R G B", 0, 5000),
    "examples": (804, "R G B", 0, 804),
    "stars": (3986, "grey", 0, 3986),
    "dwarfs": (3000, "R G B", 0, 3000),
    "ceers": (45, "f115w f150w f200w f277w f356w f410m f444w", 45, 45),
    "sdss": (74, "r", 74, 73),
    "candels": (2, "F160W", 2, None),
    "griz": (100, "g r i z", 100, 100),
    "cosmos": (100, "F814W", 100, 100),
    "gaia": (120_000, "", 120_000, None),
    "decals": (50_000, "", 50_000, None),
    "lenses": (32_838, "", 32_838, None),
}


def test_every_folder_has_its_documented_command(shared_data):
    folders = {path.name for path in shared_data.iterdir() if path.is_dir()}
    assert {re.search(r"D/([a-z0-9_]+)", command).group(1) for command in COMMANDS} == folders
    assert {command.split()[2].removesuffix(".survey") for command in COMMANDS} == set(TRUTH)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c.split()[2])
def test_documented_commands_open_the_whole_sets(command, shared_data, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [re.sub("^D/", f"{shared_data}/", word) for word in shlex.split(command)]
    assert main([*words, "--json", "--progress", "none"]) == 0
    report = json.loads(capsys.readouterr().out)
    count, bands, placed, matched = TRUTH[words[2].removesuffix(".survey")]
    assert (report["objects"], " ".join(report["bands"]), report["positions"]) == (count, bands, placed)
    assert report["matched"] == (matched or 0) and not report["rejected"]
    survey = Survey.open(words[2])
    kept = json.loads((survey.path / "ingest-report.json").read_text())
    assert len(survey) == count and kept == {key: report[key] for key in kept}


def test_positions_are_those_of_names_headers_and_catalogues(shared_data, tmp_path):
    """RA and Dec as four sources tell them: file names, FITS headers read by astropy, a FITS table, a CSV."""
    sdss = Survey.ingest(shared_data / "sdss_r_fits", tmp_path / "sdss.survey")
    named = np.array([re.findall(r"_([0-9.]+)([+-][0-9.]+)_", i)[0] for i in sdss.ids.to_pylist()], float)
    assert apart(sdss, named[:, 0], named[:, 1]).max() < 0.6

    candels = Survey.ingest(shared_data / "candels_multi_hdu", tmp_path / "candels.survey")
    for row, name in enumerate(candels.ids.to_pylist()):
        with fits.open(shared_data / "candels_multi_hdu" / f"{name}.fits") as hdus, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            height, width = hdus[1].shape
            wcs = WCS(hdus[1].header).celestial
            wcs.sip = None  # left in the header by the drizzling that took it out: CTYPE is RA---TAN
            middle = wcs.pixel_to_world((width - 1) / 2, (height - 1) / 2).icrs
        assert apart(candels, middle.ra.deg, middle.dec.deg)[row] < 0.05  # FK5 of J2000 is taken as ICRS

    ceers = Survey.ingest(shared_data / "ceers_fits", tmp_path / "ceers.survey")
    table = Table.read(shared_data / "ceers_fits" / "catalogue.csv")
    of = {str(i): k for k, i in enumerate(table["id"])}
    order = [of[i] for i in ceers.ids.to_pylist()]
    assert apart(ceers, np.asarray(table["ra"])[order], np.asarray(table["dec"])[order]).max() < 1e-6
    middles = [ceers.cutouts.wcs(row).pixel_to_world_values(49.5, 49.5) for row in range(len(ceers))]
    assert apart(ceers, *np.transpose(middles)).max() < 0.1  # the pixels' own WCS agrees with the catalogue

    folder = shared_data / "cosmos_hst"
    catalogue = folder / "real_galaxy_catalog_26_extension_example.fits"
    cosmos = Survey.ingest(folder / "real_galaxy_images_extension.fits", tmp_path / "c.survey", catalogue=catalogue)
    table = Table.read(catalogue)
    of = {str(i): k for k, i in enumerate(table["IDENT"])}
    order = [of[i] for i in cosmos.ids.to_pylist()]
    assert apart(cosmos, np.asarray(table["RA"])[order], np.asarray(table["DEC"])[order]).max() < 1e-6


def apart(survey, ra, dec):
    """Angle between a survey's positions and others, arcsec."""
    return (
        SkyCoord(survey.column("ra"), survey.column("dec"), unit="deg").separation(SkyCoord(ra, dec, unit="deg")).arcsec
    )
