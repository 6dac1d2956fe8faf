"""Catalogues: read back by astropy, pandas and Arrow as they were."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from astropy import units
from astropy.io import fits
from astropy.io.votable import parse
from astropy.table import Table

from engine.errors import UserError
from engine.search.selections import Selection, save
from engine.share.tables import FORMATS, export

SUFFIXES = sorted(FORMATS)
N = 6


@pytest.fixture
def survey(make_survey):
    columns = {
        "mag": [20.5, np.nan, 21, 22, 23, 24],
        "naïve": ["é★", "", None, "plain", 'a "quoted", one', "x"],
        "n": pd.array([1, None, 3, 4, 5, -6], dtype="Int64"),
        "objid": 587722952230175000 + np.arange(N),
        "flag": [True, False, True, True, False, False],
        "maybe": pd.array([True, None, False] * 2, dtype="boolean"),
        "RA": np.arange(N, dtype=np.float32),
        "morph": pd.Categorical(["s", "e", None, "s", "s", "e"]),
        "when": pd.to_datetime(["2026-01-01"] * N),
        "pixels_file": ["a"] * N,
    }
    survey = make_survey(N, columns=columns)
    survey.store_score("mean_dwarf", np.array([0.1, 0.9, np.nan, 0.5, 0.7, 0.5]))
    survey.store_score("sd_dwarf", np.arange(N))
    survey.store_score("mean_lens", np.arange(N))
    survey.labels.add([4, 1], "dwarf", ["no", "yes"], ids=["o4", "o1"], user="me")
    survey.labels.add([0], "lens", "unsure", ids=["o0"], user="me")
    yield survey
    survey.labels.close()


def read(path):
    """Read a catalogue with the library its users have; gaps become None."""
    if path.suffix == ".parquet":
        return {k: list(v) for k, v in pq.read_table(path).to_pydict().items()}
    if path.suffix == ".csv":
        found = pd.read_csv(path, dtype=object, keep_default_na=False, na_values=[""])
        return {c: [None if pd.isna(v) else v for v in found[c]] for c in found.columns}
    kind = {".fits": "fits", ".ecsv": "ascii.ecsv"}.get(path.suffix, "votable")
    found = Table.read(path, format=kind)
    return {
        c: [None if v is np.ma.masked or (isinstance(v, float | np.floating) and np.isnan(v)) else v for v in found[c]]
        for c in found.colnames
    }


def unescaped(text):
    return text.encode("ascii").decode("unicode_escape") if text else text


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_value_comes_back(survey, tmp_path, suffix):
    path = export(survey, tmp_path / f"out{suffix}")
    found = read(path)
    plain = {".fits": lambda v: unescaped(str(v))}.get(suffix, str)
    assert [str(v) for v in found["id"]] == [f"o{i}" for i in range(N)]
    assert np.allclose(np.array(found["ra"], float), survey.column("ra"), rtol=0, atol=1e-12)
    assert np.allclose(np.array(found["dec"], float), survey.column("dec"), rtol=0, atol=1e-12)
    assert [int(v) for v in found["objid"]] == (587722952230175000 + np.arange(N)).tolist()
    assert [None if v is None else int(v) for v in found["n"]] == [1, None, 3, 4, 5, -6]
    assert [None if v is None else float(v) for v in found["mag"]] == [20.5, None, 21, 22, 23, 24]
    assert [str(v).lower() in ("true", "1") for v in found["flag"]] == [True, False, True, True, False, False]
    assert [None if v is None else str(v).lower() in ("true", "1") for v in found["maybe"]] == [True, None, False] * 2
    text = next(v for k, v in found.items() if k.startswith("na"))
    assert [plain(v) if v else "" for v in text] == ["é★", "", "", "plain", 'a "quoted", one', "x"]
    assert [str(v) if v else "" for v in found["morph"]] == ["s", "e", "", "s", "s", "e"]
    assert [str(v) if v else "" for v in found["label_dwarf"]] == ["", "yes", "", "", "no", ""]
    assert [str(v) if v else "" for v in found["label_lens"]] == ["unsure", *[""] * 5]
    means = [None if v is None else float(v) for v in found["mean_dwarf"]]
    assert means[2] is None and np.allclose([means[i] for i in (0, 1, 3, 4, 5)], [0.1, 0.9, 0.5, 0.7, 0.5])
    assert "pixels_file" not in found
    assert sum(k.lower().startswith("ra") for k in found) == 2  # ra, and the catalogue's RA
    assert [p.name for p in tmp_path.iterdir() if "out" in p.name] == [path.name]  # nothing half-written beside it


@pytest.mark.parametrize("suffix", [".fits", ".ecsv", ".vot"])
def test_units_and_provenance(survey, tmp_path, suffix):
    path = export(survey, tmp_path / f"out{suffix}", query="mag > 21", target="dwarf", ranking=True)
    found = Table.read(path, format={".vot": "votable", ".ecsv": "ascii.ecsv"}.get(suffix, "fits"))
    assert found["ra"].unit == units.deg and found["dec"].unit == units.deg
    meta = {k.lower(): v for k, v in found.meta.items()}
    if suffix == ".vot":
        document = parse(path)
        meta = {i.name: i.value for i in document.resources[0].infos}
        assert document.get_first_table().get_field_by_id("ra").ucd == "pos.eq.ra;meta.main"
    assert meta["survey"] == "made" and meta["query"] == "mag > 21" and meta["ranking"] == "mean_dwarf"
    assert meta["origin"].startswith("Skysieve") and int(meta["objects"]) == 3


def test_parquet_carries_units_and_provenance(survey, tmp_path):
    schema = pq.read_schema(export(survey, tmp_path / "out.parquet", query="n > 3"))
    assert schema.field("ra").metadata[b"unit"] == b"deg"
    assert json.loads(schema.metadata[b"skysieve"])["query"] == "n > 3"


def test_fits_is_standard(survey, tmp_path):
    with fits.open(export(survey, tmp_path / "out.fits")) as hdus:
        hdus.verify("exception")
        assert any("escaped" in str(line) and "na" in str(line) for line in hdus[1].header["HISTORY"])


def test_ranking_is_by_mean_highest_first_unknown_last(survey, tmp_path):
    found = pd.read_csv(export(survey, tmp_path / "rank.csv", target="dwarf", ranking=True))
    assert found["id"].tolist() == ["o1", "o4", "o3", "o5", "o0", "o2"]
    assert found["rank"].tolist() == [1, 2, 3, 4, 5, 6]
    assert "label_dwarf" in found and "label_lens" not in found and "mean_lens" not in found and "sd_dwarf" in found


def test_rows_keep_their_order_and_all_conditions_hold(survey, tmp_path):
    save(survey, Selection.of("mine", [0, 3, 4, 5], how={}))
    found = pd.read_csv(
        export(
            survey,
            tmp_path / "a.csv",
            rows=[5, 0, 4, 2],
            selection="mine",
            query="mag > 21",
            columns=["mag", "label_dwarf"],
        )
    )
    assert found["id"].tolist() == ["o5", "o4"]
    assert list(found.columns) == ["id", "ra", "dec", "mag", "label_dwarf"]


def test_layout_positions(survey, tmp_path):
    survey.layout("columns", columns=("mag", "n"))
    found = pd.read_csv(export(survey, tmp_path / "a.csv", layout="columns-mag-n", columns=[]))
    assert found["map_x"].tolist()[2:] == [21, 22, 23, 24] and np.isnan(found["map_y"][1])


def test_a_score_named_like_a_column_is_not_lost(make_survey, tmp_path):
    survey = make_survey(2, columns={"p_dwarf": [1.0, 2.0]})
    survey.store_score("p_dwarf", np.array([0.25, 0.5]))
    found = pd.read_csv(export(survey, tmp_path / "a.csv"))
    assert found["p_dwarf"].tolist() == [1, 2] and found["skysieve_p_dwarf"].tolist() == [0.25, 0.5]


def test_refusals(survey, tmp_path):
    (tmp_path / "there.csv").write_text("mine")
    (tmp_path / "folder.csv").mkdir()
    for path, options, words in [
        ("out.txt", {}, r"\.fits.*\.csv"),
        ("out", {}, r"\.parquet"),
        ("there.csv", {}, "already exists"),
        ("folder.csv", {}, "folder"),
        ("a.csv", {"query": "mag > 99"}, "no object"),
        ("a.csv", {"rows": []}, "no object"),
        ("a.csv", {"rows": [N]}, "not in this survey"),
        ("a.csv", {"ranking": True}, "name it"),
        ("a.csv", {"ranking": True, "target": "ring"}, "label some"),
        ("a.csv", {"columns": ["magg"]}, "mag"),
        ("a.csv", {"selection": "none"}, "no selection"),
        ("a.csv", {"layout": "umap"}, "no layout"),
    ]:
        with pytest.raises(UserError, match=words):
            export(survey, tmp_path / path, **options)
    assert (tmp_path / "there.csv").read_text() == "mine" and not (tmp_path / "a.csv").exists()
    export(survey, tmp_path / "there.csv", overwrite=True)
    assert (tmp_path / "there.csv").read_text().startswith('"id"') or (tmp_path / "there.csv").read_text()[:2] == "id"
