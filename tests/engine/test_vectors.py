"""Vectors from elsewhere: every format, joined by id, against a join written as a loop."""

import json
import shutil

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import MaskedColumn, Table

from engine import Survey, cli
from engine.encoders.vectors import adopt, read
from engine.errors import UserError

N, D = 12, 4


def vectors(count: int = N, dimension: int = D) -> np.ndarray:
    return np.random.default_rng(5).normal(0, 3, (count, dimension)).astype(np.float32)


def by_loop(ids: list, made: np.ndarray, wanted: list) -> tuple[np.ndarray, np.ndarray]:
    """The slow join: the first finite row of each object's id, zero and not valid without."""
    out, valid = np.zeros((len(wanted), made.shape[1]), np.float32), np.zeros(len(wanted), bool)
    for k, name in enumerate(wanted):
        for row, given in enumerate(ids):
            if str(given) == name:
                if np.isfinite(made[row]).all():
                    out[k], valid[k] = made[row], True
                break
    return out, valid


def write(path, ids, made, how: str):
    """One table of vectors in a format; returns the file."""
    columns = {f"v_{k}": made[:, k] for k in range(made.shape[1])}
    if how == "npy":
        np.save(path / "made.npy", made)
        (path / "made.ids.txt").write_text("\n".join(ids) + "\n", encoding="utf-8")
        return path / "made.npy"
    if how == "npy with ids.npy":
        np.save(path / "made.npy", made)
        np.save(path / "made.ids.npy", np.array(ids))
        return path / "made.npy"
    if how == "npz":
        np.savez(path / "made.npz", features=made, object_id=np.array(ids))
        return path / "made.npz"
    if how == "hdf5":
        with h5py.File(path / "made.h5", "w") as file:
            file["group/features"] = made
            file["group/object_id"] = ids
            file["brightness"] = np.arange(len(ids))
        return path / "made.h5"
    if how == "hdf5 table":
        rows = np.zeros(len(ids), [("id", "S8"), ("features", "f4", made.shape[1])])
        rows["id"], rows["features"] = ids, made
        with h5py.File(path / "made.hdf5", "w") as file:
            file["table"] = rows
        return path / "made.hdf5"
    if how == "parquet columns":
        pd.DataFrame({"id": ids, "ra": 1.5, "dec": 2.5, **columns}).to_parquet(path / "made.parquet")
        return path / "made.parquet"
    if how == "parquet lists":
        table = pa.table({"id": ids, "flux": np.ones(len(ids)), "features": list(made)})
        pq.write_table(table, path / "made.parquet")
        return path / "made.parquet"
    if how == "parquet fixed lists":
        lists = pa.FixedSizeListArray.from_arrays(pa.array(made.ravel()), made.shape[1])
        pq.write_table(pa.table({"id": ids, "features": lists}), path / "made.parquet")
        return path / "made.parquet"
    if how == "csv":
        pd.DataFrame({"id": ids, **columns}).to_csv(path / "made.csv", index=False)
        return path / "made.csv"
    if how == "fits":
        Table({"id": ids, "mag": np.ones(len(ids)), "features": made}).write(path / "made.fits")
        return path / "made.fits"
    if how == "fits columns":
        Table({"id": ids, **columns}).write(path / "made.fits")
        return path / "made.fits"
    Table({"id": ids, **columns}).write(path / "made.vot", format="votable")
    return path / "made.vot"


FORMATS = [
    "npy",
    "npy with ids.npy",
    "npz",
    "hdf5",
    "hdf5 table",
    "parquet columns",
    "parquet lists",
    "parquet fixed lists",
    "csv",
    "fits",
    "fits columns",
    "votable",
]


@pytest.mark.parametrize("how", FORMATS)
def test_every_format_joins_as_the_loop_does(tmp_path, make_survey, how):
    survey = make_survey(N)
    wanted = survey.ids.to_pylist()
    rng = np.random.default_rng(1)
    ids = [wanted[k] for k in rng.permutation(N)[:9]] + ["other1", "other2"]
    ids += ids[:2]  # repeated, with other vectors
    made = vectors(len(ids))
    made[3, 1] = np.nan
    report = adopt(survey, write(tmp_path, ids, made, how))
    found = survey.representation("made")
    expected, valid = by_loop(ids, made, wanted)
    assert np.array_equal(found.valid, valid) and np.allclose(found.vectors, expected, atol=1e-6)
    assert (report.objects, report.dimension, report.matched, report.unmatched) == (N, D, 8, 3)
    assert (report.not_finite, report.unused, report.duplicates) == (1, 2, 2)
    assert report.matched + report.unmatched + report.not_finite == N
    problems = json.loads((found.folder / "problems.json").read_text())
    assert problems["unreadable"] == 4 and {p["id"] for p in problems["first"]} == {
        wanted[k] for k in np.flatnonzero(~valid)
    }
    assert found.meta["encoder"] == "vectors" and found.meta["objects"] == N and "made." in found.meta["source"]
    assert found.components(3).shape == (N, 3)


def test_rows_in_order_need_no_ids(tmp_path, make_survey):
    survey = make_survey(N)
    made = vectors().astype(np.float64)
    np.save(tmp_path / "plain.npy", made)
    report = adopt(survey, tmp_path / "plain.npy")
    assert report.id_column is None and "row by row" in report.text()
    assert np.allclose(survey.representation("plain").vectors, made, atol=1e-6)
    np.save(tmp_path / "short.npy", made[:-1])
    with pytest.raises(UserError, match=r"11 vectors and no ids, the survey has 12.*short.ids.txt"):
        adopt(survey, tmp_path / "short.npy")


def test_half_precision_stays_half(tmp_path, make_survey):
    survey = make_survey(N)
    np.save(tmp_path / "half.npy", vectors().astype(np.float16))
    adopt(survey, tmp_path / "half.npy")
    assert survey.representation("half").vectors.dtype == np.float16


def test_numbers_beyond_single_precision_are_left_out(tmp_path, make_survey):
    survey = make_survey(N)
    made = vectors().astype(np.float64)
    made[4, 2] = 1e200
    np.save(tmp_path / "large.npy", made)
    assert adopt(survey, tmp_path / "large.npy").not_finite == 1
    assert not survey.representation("large").valid[4]


def test_numbered_columns_come_in_the_order_of_their_numbers(tmp_path):
    made = vectors(3, 12)
    pd.DataFrame({"id": list("abc"), "z": 1.0, **{f"f{k}": made[:, k] for k in reversed(range(12))}}).to_csv(
        tmp_path / "a.csv", index=False
    )
    found = read(tmp_path / "a.csv")
    assert found.columns == tuple(f"f{k}" for k in range(12))
    assert np.allclose(found.vectors, made, atol=1e-5)


def test_columns_can_be_named_by_pattern(tmp_path, make_survey):
    survey = make_survey(N)
    made = vectors()
    table = pd.DataFrame(
        {"id": survey.ids.to_pylist(), "a1": made[:, 0], "a2": made[:, 1], "b1": made[:, 2], "b2": 0.0}
    )
    table.to_parquet(tmp_path / "two.parquet")
    with pytest.raises(UserError, match=r"not clear which numbers.*--columns.*a1, a2, b1, b2"):
        adopt(survey, tmp_path / "two.parquet")
    report = adopt(survey, tmp_path / "two.parquet", columns=["a*", "b1"])
    assert report.columns == ("a1", "a2", "b1")
    assert np.allclose(survey.representation("two").vectors, made[:, :3])
    with pytest.raises(UserError, match=r"no numbers 'c\*'"):
        adopt(survey, tmp_path / "two.parquet", columns=["c*"])


def test_the_id_column_can_be_named(tmp_path, make_survey):
    survey = make_survey(N)
    ids = survey.ids.to_pylist()
    frame = pd.DataFrame({"id": ids[::-1], "mine": ids, **{f"v{k}": vectors()[:, k] for k in range(D)}})
    frame.to_parquet(tmp_path / "made.parquet")
    adopt(survey, tmp_path / "made.parquet", id_column="mine", name="named")
    assert np.allclose(survey.representation("named").vectors, vectors())
    with pytest.raises(UserError, match=r"no ids 'other'.*id, mine"):
        adopt(survey, tmp_path / "made.parquet", id_column="other")


def test_ids_are_compared_as_a_catalogue_compares_them(tmp_path):
    objects = pd.DataFrame({"id": [str(100000 + k) for k in range(N)], "ra": 0.0, "dec": 0.0})
    survey = Survey.create(tmp_path / "a.survey", objects, pixels={"kind": "images", "root": ".", "bands": ["R"]})
    frame = pd.DataFrame({"objid": [f"cutouts/{100000 + k}.png" for k in range(N)], "v1": 1.0, "v2": 2.0})
    frame.to_parquet(tmp_path / "made.parquet")
    assert adopt(survey, tmp_path / "made.parquet").matched == N


def test_masked_entries_have_no_vector(tmp_path, make_survey):
    survey = make_survey(N)
    mask = np.arange(N) == 5
    columns = {"id": survey.ids.to_pylist(), "v1": MaskedColumn(np.ones(N), mask=mask), "v2": np.ones(N)}
    Table(columns).write(tmp_path / "made.fits")
    assert adopt(survey, tmp_path / "made.fits").not_finite == 1
    assert not survey.representation("made").valid[5]


def test_a_missing_list_is_no_vector(tmp_path, make_survey):
    survey = make_survey(N)
    lists = [None if k == 2 else list(map(float, v)) for k, v in enumerate(vectors())]
    pq.write_table(pa.table({"id": survey.ids.to_pylist(), "v": pa.array(lists)}), tmp_path / "made.parquet")
    assert adopt(survey, tmp_path / "made.parquet").not_finite == 1


def test_the_same_file_again_is_no_fault_another_is(tmp_path, make_survey):
    survey = make_survey(N)
    np.save(tmp_path / "made.npy", vectors())
    first = adopt(survey, tmp_path / "made.npy")
    assert adopt(survey, tmp_path / "made.npy") == first
    np.save(tmp_path / "made.npy", vectors() + 1)
    with pytest.raises(UserError, match=r"already, made of something else.*--name"):
        adopt(survey, tmp_path / "made.npy")
    assert np.allclose(survey.representation("made").vectors, vectors())


def test_faults_are_refused_and_leave_no_representation(tmp_path, make_survey):
    survey = make_survey(N)
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}] * N), allow_pickle=True)
    np.save(tmp_path / "nan.npy", np.full((N, 2), np.nan))
    (tmp_path / "torn.parquet").write_bytes(b"PAR1")
    (tmp_path / "words.docx").write_text("no")
    pd.DataFrame({"id": ["x", "y"], "v1": 1.0, "v2": 2.0}).to_parquet(tmp_path / "others.parquet")
    for name, message in {
        "gone.npy": "no file",
        "objects.npy": "never loaded",
        "nan.npy": "no object has a vector that is finite",
        "torn.parquet": "cannot be read",
        "words.docx": "no vectors of a known kind",
        "others.parquet": r"no vector of others.parquet belongs to an object.*--id-column",
    }.items():
        with pytest.raises(UserError, match=message):
            adopt(survey, tmp_path / name)
    assert survey.representations == []


def test_the_command_joins_draws_and_goes_on(tmp_path, own_survey, capsys):
    survey, count = own_survey, len(own_survey)
    shutil.rmtree(survey.path / "thumbnails")
    file = write(tmp_path, survey.ids.to_pylist()[:-2], vectors(count - 2), "parquet columns")
    command = ["embed", str(survey.path), "--vectors", str(file), "--name", "theirs", "--json", "--progress", "none"]
    assert cli.main(command) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["representation"], report["matched"], report["unmatched"]) == ("theirs", count - 2, 2)
    survey = Survey.open(survey.path)
    assert survey.thumbnails.complete and len(survey.thumbnails.read([0])[0]) > 100
    made = ["layout", str(survey.path), "--method", "pca", "--representation", "theirs", "--progress", "none"]
    assert cli.main(made) == 0
    assert np.isfinite(survey.layout_xy(survey.layouts[0])).all(axis=1).sum() == count - 2


def test_components_of_zoobot_join_decals(tmp_path, shared_data):
    file = shared_data / "catalogues" / "decals_zoobot_pca2_50k.parquet"
    if not file.is_file():
        pytest.skip(f"{file.name} is not among the shared data")
    truth = pq.read_table(file).to_pandas()
    objects = pd.DataFrame({"id": [*truth.id_str[::50], "nobody"], "ra": 0.0, "dec": 0.0})
    survey = Survey.create(tmp_path / "a.survey", objects, pixels={"kind": "images", "root": ".", "bands": ["R"]})
    report = adopt(survey, file)
    assert (report.matched, report.unmatched, report.id_column) == (1000, 1, "id_str")
    assert report.columns == ("pca_0", "pca_1") and report.unused == len(truth) - 1000
    found = survey.representation(report.representation)
    assert np.allclose(found.vectors[:-1], truth[["pca_0", "pca_1"]].to_numpy()[::50], atol=1e-6)
