"""Catalogues in every format, and what their columns mean."""

import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Column, MaskedColumn, Table
from PIL import Image

from engine import Survey
from engine.data.catalogue import facts_of, positions, read, sexagesimal, text_id, text_ids
from engine.data.references import without_extension
from engine.errors import UserError


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
    "ending, form", [("ecsv", "ascii.ecsv"), ("fits", "fits"), ("vot", "votable"), ("parquet", None)]
)
def test_units_masks_and_descriptions_survive_from_catalogue_to_export(tmp_path, ending, form):
    """What a table says of its columns is what the exported table says of them, in every format that can say it."""
    table = Table({"id": ["a", "b", "c"], "RA": [10.0, 20.0, 30.0], "DEC": [1.0, 2.0, 3.0]})
    table["flux"] = MaskedColumn([1.5, 2.5, 3.5], mask=[False, True, False], unit="mJy", description="flux in r")
    table["n"] = MaskedColumn([1, 2, 3], mask=[False, False, True], description="visits")
    path = tmp_path / f"c.{ending}"
    if form is None:
        facts = {"flux": {"unit": "mJy", "description": "flux in r"}, "n": {"description": "visits"}}
        arrays = [pa.array(np.ma.getdata(c), mask=np.ma.getmaskarray(c)) for c in table.columns.values()]
        fields = [pa.field(n, a.type, metadata=facts.get(n)) for n, a in zip(table.colnames, arrays)]
        pq.write_table(pa.table(arrays, schema=pa.schema(fields)), path)
    else:
        table.write(path, format=form)
    cutouts = tmp_path / "in"
    cutouts.mkdir()
    for name in "abc":
        Image.fromarray(np.full((8, 8), 40, np.uint8)).save(cutouts / f"{name}.png")
    survey = Survey.ingest(cutouts, tmp_path / "x.survey", catalogue=path)
    for out in ("fits", "vot", "ecsv", "parquet"):
        survey.export(tmp_path / f"out.{out}")
        made = read(tmp_path / f"out.{out}")
        assert made["flux"].to_pylist() == [1.5, None, 3.5] or np.isnan(made["flux"].to_pylist()[1])
        assert made["n"].to_pylist() == [1, 2, None]
        assert facts_of(made.schema.field("ra"))["unit"] == "deg"
        said = facts_of(made.schema.field("flux"))
        assert said["unit"] == "mJy"
        if "fits" not in (ending, out):  # FITS has no place for a description
            assert said["description"] == "flux in r" and facts_of(made.schema.field("n"))["description"] == "visits"


def test_angles_of_positions_come_in_degrees(tmp_path):
    table = Table({"ra": Column([1.0, 2.0], unit="hourangle"), "dec": Column([0.5, 1.0], unit="rad")})
    table["size"] = Column([3.0, 4.0], unit="arcsec")
    table.write(tmp_path / "a.ecsv", format="ascii.ecsv")
    found = read(tmp_path / "a.ecsv")
    np.testing.assert_allclose(found["ra"].to_numpy(), [15, 30])
    np.testing.assert_allclose(found["dec"].to_numpy(), np.degrees([0.5, 1.0]))
    assert found["size"].to_pylist() == [3.0, 4.0] and facts_of(found.schema.field("size")) == {"unit": "arcsec"}
    assert facts_of(found.schema.field("ra"))["unit"] == "deg"


def test_ids_of_a_column_are_those_of_each_value():
    names = ["100008.0", " a.FITS.gz", "x.y.jpg", "b", None, ".fits", "J12.5+3.0", "+7.00", "images/c.png"]
    wanted = ["" if v is None else without_extension(text_id(v)) for v in names]
    assert text_ids(pa.chunked_array([names])).tolist() == wanted


def test_a_hats_catalogue_is_read_whole(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"objid": np.arange(300), "ra": rng.uniform(0, 360, 300), "dec": rng.uniform(-60, 60, 300)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's own, about pandas
        lsdb = pytest.importorskip("lsdb", reason="the extra 'hats' is not installed")
        made = lsdb.from_dataframe(frame, ra_column="ra", dec_column="dec", partition_rows=100)
        made.to_hats(tmp_path / "sky", catalog_name="sky")
    found = read(tmp_path / "sky")
    assert found.column_names == ["objid", "ra", "dec"] and found.num_rows == 300
    order = np.argsort(found["objid"].to_numpy())
    np.testing.assert_array_equal(found["ra"].to_numpy()[order], frame["ra"])
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="no catalogue"):
        read(tmp_path / "none")
