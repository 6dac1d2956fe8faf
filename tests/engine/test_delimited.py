"""Delimited text is read as Python's own reader splits it, whatever the encoding, and what is left out is told."""

import csv
import io

import numpy as np
import pyarrow as pa
import pytest

from engine.data.delimited import encoding_of, first_line, read_delimited, unique_names


def as_text(table: pa.Table) -> list[list[str]]:
    return [[str(v) for v in row.values()] for row in table.to_pylist()]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_fields_are_those_that_the_slow_reader_finds(tmp_path, encoding, mark, end):
    rng = np.random.default_rng(0)
    words = ["a", "é b", 'it"s', f"x{mark}y", "", "z\n\nz" if end == "\n" else "z", " q "]
    rows = [[f"o{k}", *rng.choice(words, 3)] for k in range(300)]
    held = io.StringIO()
    csv.writer(held, delimiter=mark, lineterminator=end).writerows([["id", "p", "q", "r"], *rows])
    (tmp_path / "a.csv").write_bytes(held.getvalue().encode(encoding))
    found = encoding_of(tmp_path / "a.csv")
    assert first_line(tmp_path / "a.csv", found).strip() == mark.join(["id", "p", "q", "r"])
    table, lost = read_delimited(tmp_path / "a.csv", mark, encoding=found)
    assert as_text(table) == rows and not lost


def test_rows_of_another_length_are_left_out_and_told(tmp_path):
    (tmp_path / "a.csv").write_text("id,x\na,1\nb\nc,3,4\nd,5\n" + "e\n" * 10)
    table, (words,) = read_delimited(tmp_path / "a.csv", ",")
    assert table.to_pydict() == {"id": ["a", "d"], "x": [1, 5]}
    assert words.startswith("12 rows of a.csv could not be read") and "'c,3,4', which has 3 fields" in words


def test_a_file_of_broken_rows_alone_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("id,x\na\nb\n")
    with pytest.raises(ValueError, match="2 rows of"):
        read_delimited(tmp_path / "a.csv", ",")


@pytest.mark.parametrize(
    "values, kind",
    [
        (["1", "2", "30"], pa.int64()),
        (["001", "002", "030"], pa.string()),
        (["100", "020", "3"], pa.string()),
        (["0", "1", "2"], pa.int64()),
        (["1.5", "2", "3"], pa.float64()),
        (["1.0", "", "3.0"], pa.float64()),
        (["1e5", "2", "3"], pa.string()),
        (["18446744073709551615", "1", "2"], pa.string()),
        (["587722981747589184", "587722981747589185", ""], pa.int64()),
        (["true", "false", "true"], pa.string()),
        (["2020-01-01", "2020-01-02", "2020-01-03"], pa.string()),
        (["10:30", "11:30", "12:30"], pa.string()),
    ],
)
def test_ids_stay_as_they_are_written(tmp_path, values, kind):
    (tmp_path / "a.csv").write_text("id,x\n" + "".join(f"{v},1\n" for v in values))
    table, _ = read_delimited(tmp_path / "a.csv", ",", exact=lambda name: name == "id")
    assert table["id"].type == kind
    if kind == pa.string():
        assert table["id"].to_pylist() == values


def test_other_columns_have_the_type_of_their_values(tmp_path):
    (tmp_path / "a.csv").write_text("p,q,r\n001,1e5,12:30:05\n002,2e5,13:30:05\n")
    table, _ = read_delimited(tmp_path / "a.csv", ",")
    assert table.schema.types == [pa.int64(), pa.float64(), pa.string()]  # angles look like times


def test_a_field_longer_than_a_block(tmp_path):
    (tmp_path / "a.csv").write_text("id,x\na," + "y" * 3_000_000 + "\nb,z\n")
    table, lost = read_delimited(tmp_path / "a.csv", ",")
    assert [len(v) for v in table["x"].to_pylist()] == [3_000_000, 1] and not lost


def test_names_differ():
    assert unique_names(["a", "", "a", "b", "", "a"]) == ["a", "column2", "a_2", "b", "column5", "a_3"]
    assert unique_names(["a", "a_2", "a", "a"]) == ["a", "a_2", "a_3", "a_4"]


@pytest.mark.parametrize("data, problem", [(b"", "empty"), (b"\n\na,b\n", "empty"), (b"a\0b,c\n1,2\n", "no text")])
def test_what_is_no_text_is_refused(tmp_path, data, problem):
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.raises(ValueError, match=problem):
        read_delimited(tmp_path / "a.csv", ",")
