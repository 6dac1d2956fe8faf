"""Catalogues in every format, and the join by id and by position."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from engine.data import catalogue
from engine.data.catalogue import match, positions, read, sexagesimal, text_id
from engine.errors import UserError

NOWHERE = np.array([])


def join(table, ids, **options):
    options = {"ra": np.full(len(ids), np.nan), "dec": np.full(len(ids), np.nan)} | options
    return match(pa.table(table), ids, **options)


@pytest.mark.parametrize(
    "ending, form",
    [
        ("csv", "ascii.csv"),
        ("tsv", "ascii.tab"),
        ("ecsv", "ascii.ecsv"),
        ("fits", "fits"),
        ("vot", "votable"),
        ("parquet", None),
        ("txt", "ascii.basic"),
    ],
)
def test_every_format_gives_the_same_table(tmp_path, ending, form):
    ids = np.array([587722982829850805, 587722982829850806])
    table = Table({"objid": ids, "ra": [10.5, 20.25], "kind": ["E", "Sb"]})
    path = tmp_path / f"c.{ending}"
    if form is None:
        pq.write_table(pa.table({n: np.asarray(table[n]) for n in table.colnames}), path)
    else:
        table.write(path, format=form)
    found = read(path)
    assert found.column_names == ["objid", "ra", "kind"]
    assert found["objid"].to_pylist() == [587722982829850805, 587722982829850806]
    assert found["ra"].to_pylist() == [10.5, 20.25] and found["kind"].to_pylist() == ["E", "Sb"]


def test_text_with_blanks_gaps_and_semicolons(tmp_path):
    (tmp_path / "a.csv").write_text("\ufefffilename , ra,  dec\n x/a.fits , 1.5, 2.5\n b.fits,, 3\n", encoding="utf-8")
    found = read(tmp_path / "a.csv")
    assert found.column_names == ["filename", "ra", "dec"] and found["filename"].to_pylist() == ["x/a.fits", "b.fits"]
    assert found["ra"].to_pylist() == [1.5, None]
    (tmp_path / "b.csv").write_text("id;mag;mag\n588848900446552117;1;2\n;3;4\n")
    found = read(tmp_path / "b.csv")
    assert found.column_names == ["id", "mag", "mag_2"] and found["id"].to_pylist() == [588848900446552117, None]


def test_masked_values_and_vectors_of_fits_tables(tmp_path):
    table = Table({"id": [1, 2], "v": np.zeros((2, 3)), "z": np.ma.array([0.5, 9.0], mask=[False, True])})
    table.write(tmp_path / "a.fits")
    found = read(tmp_path / "a.fits")
    assert found.column_names == ["id", "z"]
    np.testing.assert_array_equal(found["z"].to_numpy(), [0.5, np.nan])


@pytest.mark.parametrize(
    "name, content, problem",
    [
        ("a.csv", b"", "cannot be read|empty"),
        ("a.csv", b"id,ra\n", "empty"),
        ("a.csv", b"id,ra\n1,2,3\n", "cannot be read"),
        ("a.parquet", b"PAR1", "cannot be read"),
        ("a.fits", b"SIMPLE", "cannot be read"),
        ("a.vot", b"<x", "cannot be read"),
        ("a.doc", b"x", "known kind"),
        (None, None, "no catalogue"),
    ],
)
def test_bad_catalogues_are_refused(tmp_path, name, content, problem):
    path = tmp_path / (name or "none.csv")
    if name:
        path.write_bytes(content)
    with pytest.raises(UserError, match=problem):
        read(path)


@pytest.mark.parametrize(
    "ra, dec",
    [
        ("RA", "DEC"),
        ("RAJ2000", "DEJ2000"),
        ("ra_deg", "dec_deg"),
        ("RA [deg]", "DEC [deg]"),
        ("_RAJ2000", "_DEJ2000"),
        ("ALPHA_J2000", "DELTA_J2000"),
        ("right_ascension", "declination"),
    ],
)
def test_positions_are_found_under_usual_names(ra, dec):
    found = positions(pa.table({ra: [10.0, -5.0, 400.0], dec: [1.0, 2.0, 3.0]}))
    np.testing.assert_array_equal(found[0], [10, 355, np.nan])
    assert found[2] == (ra, dec)


def test_sexagesimal_positions():
    found = positions(pa.table({"ra": ["12:30:00", "6h00m00s", ""], "dec": ["-00:30:00", "+45d30m", "x"]}))
    np.testing.assert_allclose(found[0], [187.5, 90, np.nan])
    np.testing.assert_allclose(found[1], [-0.5, 45.5, np.nan])
    assert sexagesimal("13.5", hours=True) == 13.5


@pytest.mark.parametrize(
    "value, text",
    [
        ("100008", "100008"),
        (100008, "100008"),
        (100008.0, "100008"),
        (" 5.00 ", "5"),
        (np.float64(7), "7"),
        (b"ab", "ab"),
        ("1.5", "1.5"),
        ("J1.0", "J1.0"),
    ],
)
def test_ids_are_written_one_way(value, text):
    assert text_id(value) == text


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["100008", "100023"]),
        pa.array([100008, 100023]),
        pa.array([100008.0, 100023.0]),
        pa.array(["100008.jpg", "100023.JPG"]),
        pa.array(["images/train/100008.jpg", "x/100023"]),
    ],
)
def test_ids_match_however_they_are_written(column):
    found = join({"GalaxyID": column, "v": [1, 2]}, ["100023", "7", "100008"])
    assert found.rows.tolist() == [1, -1, 0] and found.column == "GalaxyID" and found.unused == 0


def slow_join(ids, keys):
    rows = []
    for i in ids:
        hits = [k for k, key in enumerate(keys) if key == i]
        hits = hits or [k for k, key in enumerate(keys) if key.endswith("/" + i)]
        rows.append(hits[0] if hits else -1)
    return rows


def test_the_join_equals_a_search_through_all(tmp_path):
    rng = np.random.default_rng(0)
    ids = [f"{a}/{b}" if a else str(b) for a, b in zip(rng.choice(["", "x", "y"], 60), rng.permutation(60))]
    keys = [f"d/{i}" if rng.random() < 0.3 else i for i in rng.permutation(ids)[:40]] + ["other", ""]
    found = catalogue._join(ids, np.array(keys, object))
    assert found.tolist() == slow_join(ids, keys)


def test_the_column_that_matches_best_is_taken():
    ids = ["a", "b", "c", "d"]
    names, paths = ["a", "x", "y", "z"], ["d.jpg", "c.jpg", "b.jpg", "q.jpg"]
    found = join({"id": [1, 2, 3, 4], "name": names, "file": paths}, ids)
    assert found.column == "file" and found.rows.tolist() == [-1, 2, 1, 0] and found.unused == 1
    assert join({"strange": ["a", "b", "c", "x"]}, ids).column == "strange"
    named = join({"Name ": ["a", "b", "c", "x"], "z": [1, 2, 3, 4]}, ids, id_column="Name ")
    assert named.rows.tolist() == [0, 1, 2, -1]


def test_no_match_and_a_missing_column_are_refused_with_the_columns():
    with pytest.raises(UserError) as caught:
        join({"id": ["x"], "mag": [1.0]}, ["a"], id_column="objid")
    assert "id, mag" in caught.value.remedy
    with pytest.raises(UserError, match="no column of the catalogue holds the ids") as caught:
        join({"mag": [1.5], "z": [0.1]}, ["a"])
    assert "mag, z" in caught.value.remedy
    with pytest.raises(UserError, match="belongs to an image"):
        join({"id": ["x"]}, ["a"], id_column="id")


def test_equal_rows_may_repeat_but_different_ones_may_not():
    found = join({"id": ["a", "b", "a"], "v": [1.0, np.nan, 1.0]}, ["a", "b"])
    assert found.rows.tolist() == [0, 1] and found.repeated == 1 and found.unused == 0
    with pytest.raises(UserError, match="different rows to the same id"):
        join({"id": ["a", "b", "a"], "v": [1, 2, 3]}, ["a", "b"])
    join({"id": ["a", "q", "q"], "v": [1, 2, 3]}, ["a"])  # repeats that belong to no object do no harm


def test_positions_match_what_ids_do_not():
    rng = np.random.default_rng(0)
    ra, dec = rng.uniform(0, 360, 30), rng.uniform(-85, 85, 30)
    table = {"id": [str(k) for k in range(30)], "ra": ra, "dec": dec}
    order = rng.permutation(30)
    shift = 0.5 / 3600
    ids = [str(k) if k < 10 else f"other{k}" for k in order]
    far = np.where(order == 29, 0.01, shift)
    found = join(table, ids, ra=ra[order], dec=dec[order] + far)
    assert found.rows.tolist() == [-1 if k == 29 else k for k in order] and found.by_position == 19


def test_positions_match_across_zero_hours():
    found = join({"ra": [359.99999], "dec": [0.0]}, ["a"], ra=np.array([0.00001]), dec=np.array([0.0]))
    assert found.rows.tolist() == [0] and found.column is None


def test_hdus_join_by_number_only_with_their_own_file():
    table = {"IDENT": [100, 101], "GAL_HDU": [1, 0], "GAL_FILENAME": ["x.fits", "x.fits"]}
    assert join(table, ["0", "1"], hdus=("x.fits", [0, 1])).rows.tolist() == [1, 0]
    with pytest.raises(UserError):
        join(table, ["0", "1"], hdus=("other.fits", [0, 1]))
