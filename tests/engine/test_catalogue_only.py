"""A table without pixels is a survey: ids, positions, columns, vectors, labels, export."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table

from engine import Survey, UserError
from engine.cli import main
from engine.data.cutouts import Unreadable, read_batch
from engine.data.ingest import ingest
from engine.data.pictures.stretch import Calibration, to_rgb
from engine.doctor import diagnose


def frame(n=40, **more):
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "source_id": np.arange(n) + 5_000_000_000_000_000_000,
            "ra": rng.uniform(0, 360, n),
            "dec": rng.uniform(-90, 90, n),
            "mag": rng.normal(20, 1, n),
            **{f"pca_{k}": rng.normal(size=n) for k in range(5)},
            **more,
        }
    )


def test_the_whole_way(tmp_path, capsys):
    path, name = tmp_path / "cat.parquet", str(tmp_path / "x.survey")
    frame().to_parquet(path)
    assert main(["ingest", str(path), name, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["objects"] == 40 and report["bands"] == [] and report["positions"] == 40
    assert "--columns 'pca_*'" in report["following"] and report["kind"] == "table"
    survey = Survey.open(name)
    ids = survey.ids.to_pylist()
    assert ids[0] == "5000000000000000000" and isinstance(survey.cutouts.read([0])[0], Unreadable)
    assert main(["embed", name, "--vectors", str(path), "--columns", "pca_*", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["matched"] == 40
    np.testing.assert_allclose(survey.representation("cat").vectors, frame()[[f"pca_{k}" for k in range(5)]], rtol=1e-6)
    assert main(["layout", name, "--method", "pca"]) == 0
    assert main(["label", name, "--target", "dwarf", f"{ids[0]}=yes", f"{ids[1]}=no"]) == 0
    assert main(["suggest", name, "--target", "dwarf", "--count", "2"]) == 0
    assert main(["export", name, str(tmp_path / "out.csv")]) == 0
    assert main(["status", name]) == 0 and "no pixels" in capsys.readouterr().out
    assert len(pd.read_csv(tmp_path / "out.csv")) == 40 and diagnose(name) == []
    assert not survey.thumbnails.folder.exists()


@pytest.mark.parametrize("command", [["embed"], ["train"], ["finetune", "--target", "a"]])
def test_what_needs_pixels_says_so_in_one_sentence(tmp_path, capsys, command):
    frame().to_csv(tmp_path / "cat.csv", index=False)
    Survey.ingest(tmp_path / "cat.csv", tmp_path / "x.survey")
    assert main([command[0], str(tmp_path / "x.survey"), *command[1:]]) == 2
    assert "has no pixels" in capsys.readouterr().err


def test_a_table_alone_in_a_folder_or_a_fits_file(tmp_path):
    (tmp_path / "a").mkdir()
    frame().to_csv(tmp_path / "a" / "catalogue.csv", index=False)
    assert len(Survey.ingest(tmp_path / "a", tmp_path / "a.survey")) == 40
    (tmp_path / "b").mkdir()
    table = Table.from_pandas(frame())
    table["feature"] = np.zeros((40, 3), "f4")
    table.write(tmp_path / "b" / "objects.fits")
    made = ingest(tmp_path / "b" / "objects.fits", tmp_path / "b.survey")
    assert made.details.objects == 40 and "feature" in made.details.following
    assert len(Survey.ingest(tmp_path / "b", tmp_path / "b2.survey")) == 40
    (tmp_path / "b" / "other.csv").write_text("id\n1\n")
    with pytest.raises(UserError, match="2 tables"):
        Survey.ingest(tmp_path / "b", tmp_path / "b3.survey")


def test_a_fits_file_with_an_image_is_no_table(tmp_path):
    rng = np.random.default_rng(0)
    hdus = [fits.PrimaryHDU(rng.normal(size=(20, 20)).astype("f4")), fits.BinTableHDU(Table({"a": [1, 2]}))]
    fits.HDUList(hdus).writeto(tmp_path / "one.fits")
    assert Survey.ingest(tmp_path / "one.fits", tmp_path / "x.survey").header["pixels"]["kind"] == "fits"


def test_ids_that_repeat_are_row_numbers_and_vectors_still_fit(tmp_path):
    table = frame()
    table["source_id"] = 7
    table.to_parquet(tmp_path / "cat.parquet")
    made = ingest(tmp_path / "cat.parquet", tmp_path / "x.survey")
    assert made.survey.ids.to_pylist()[:3] == ["0", "1", "2"] and "never repeat" in " ".join(made.details.notes)
    assert main(["embed", str(tmp_path / "x.survey"), "--vectors", str(tmp_path / "cat.parquet")]) == 0
    found = Survey.open(tmp_path / "x.survey").representation("cat").vectors
    np.testing.assert_allclose(found, table[[f"pca_{k}" for k in range(5)]], rtol=1e-6)


def test_the_id_column_can_be_named(tmp_path):
    frame(name2=[f"n{k}" for k in range(40)]).to_csv(tmp_path / "cat.csv", index=False)
    assert Survey.ingest(tmp_path / "cat.csv", tmp_path / "x.survey", id_column="name2").ids[0].as_py() == "n0"
    with pytest.raises(UserError, match="no column 'nothing'"):
        Survey.ingest(tmp_path / "cat.csv", tmp_path / "y.survey", id_column="nothing")


def test_long_families_and_lists_are_vectors_and_no_columns(tmp_path):
    rng = np.random.default_rng(0)
    table = pa.table(
        {"id": [str(k) for k in range(9)]}
        | {f"feat_{k}": rng.normal(size=9) for k in range(64)}
        | {"vector": pa.FixedSizeListArray.from_arrays(pa.array(rng.normal(size=36)), 4)}
        | {"mag_2": rng.normal(size=9), "mag_7": rng.normal(size=9)}
    )
    pq.write_table(table, tmp_path / "cat.parquet")
    made = ingest(tmp_path / "cat.parquet", tmp_path / "x.survey")
    assert made.survey.columns == ["id", "ra", "dec", "mag_2", "mag_7"]
    assert "vector, feat_*" in " ".join(made.details.notes)
    for columns in ("vector", "feat_*"):
        assert main(["embed", str(made.survey.path), "--vectors", str(tmp_path / "cat.parquet"), "--columns", columns,
                     "--name", columns.strip("_*")]) == 0  # fmt: skip
    assert made.survey.representation("feat").vectors.shape == (9, 64)


def test_a_batch_of_no_pixels_is_empty(tmp_path):
    frame().to_csv(tmp_path / "cat.csv", index=False)
    survey = Survey.ingest(tmp_path / "cat.csv", tmp_path / "x.survey")
    pixels, readable, problems = read_batch(survey.cutouts, np.arange(5), 8)
    assert pixels.shape == (5, 0, 8, 8) and not readable.any() and len(problems) == 5
    assert to_rgb(pixels, Calibration.of(survey.header["pixels"], 0), science=True).shape == (5, 8, 8, 3)


@pytest.mark.parametrize("name", ["decals_zoobot_pca2_50k.parquet", "gaia_bright_120k.parquet", "lens_candidates.csv"])
def test_real_catalogues(shared_data, tmp_path, name):
    survey = Survey.ingest(shared_data / "catalogues" / name, tmp_path / "x.survey")
    assert np.isfinite(survey.column("ra")).all() and diagnose(survey.path) == []
