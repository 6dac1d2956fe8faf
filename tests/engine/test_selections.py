"""Selections: whole on disk, and a set's algebra."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UserError
from engine.search import origins, selections
from engine.search.selections import (
    Selection,
    delete,
    intersect,
    invert,
    listing,
    load,
    recolour,
    rename,
    save,
    subtract,
    union,
)

rows = st.lists(st.integers(0, 30), max_size=20)


@given(rows, rows)
def test_algebra_is_that_of_sets(a, b):
    first, second = Selection.of("a", a, how={"query": "x"}), Selection.of("b", b, how={})
    for found, expected in [
        (union("u", first, second), set(a) | set(b)),
        (intersect("i", first, second), set(a) & set(b)),
        (subtract("s", first, second), set(a) - set(b)),
        (invert("n", first, count=31), set(range(31)) - set(a)),
    ]:
        assert found.rows.tolist() == sorted(expected)
        assert found.rows.dtype == np.int64
    assert union("u", first, second).how == {"kind": "add", "parts": [{"query": "x", "name": "a"}, {"name": "b"}]}


def test_kept_as_it_was(make_survey):
    survey = make_survey(9)
    how = {"layout": "umap-given", "polygon": np.array([[0.0, 1.5], [2, 3]]), "count": np.int64(3)}
    save(survey, Selection.of("my cluster+1", [5, 2, 2, 7], how=how))
    found = load(survey, "my cluster+1")
    assert found.rows.tolist() == [2, 5, 7]
    assert found.how == {"kind": "polygon", "layout": "umap-given", "polygon": [[0.0, 1.5], [2.0, 3.0]], "count": 3}
    assert listing(survey)[0] == selections.Summary("my cluster+1", 3, found.how, found.created)
    empty = Selection.of("none", [], how={"query": "mag > 99"})
    save(survey, empty)
    assert len(load(survey, "none")) == 0


def test_replaced_whole_and_without_leftovers(make_survey):
    survey = make_survey(9)
    for rows in ([1, 2], [3]):
        save(survey, Selection.of("a", rows, how={}))
    assert load(survey, "a").rows.tolist() == [3]
    assert len(list((survey.path / "selections").iterdir())) == 2
    with pytest.raises(UserError, match="already"):
        save(survey, Selection.of("a", [4], how={}), overwrite=False)
    delete(survey, "a")
    assert list((survey.path / "selections").iterdir()) == []


def test_a_crash_between_the_two_files_keeps_the_old_one(make_survey, monkeypatch):
    survey = make_survey(9)
    save(survey, Selection.of("a", [1, 2], how={"query": "old"}))

    def crash(*args):
        raise OSError("disk full")

    monkeypatch.setattr(selections.files, "write_json", crash)
    with pytest.raises(OSError, match="disk full"):
        save(survey, Selection.of("a", [3], how={"query": "new"}))
    assert load(survey, "a").rows.tolist() == [1, 2]


def test_listing_is_newest_first_and_skips_the_damaged(make_survey):
    survey = make_survey(5)
    for name, created in [("b", "2026-01-01"), ("a", "2026-01-02"), ("c", "2026-01-02")]:
        save(survey, Selection(name, np.array([1]), {}, created))
    (survey.path / "selections" / "d.json").write_text("{")
    assert [s.name for s in listing(survey)] == ["a", "c", "b"]
    with pytest.raises(UserError, match="cannot be read"):
        load(survey, "d")


def test_refusals(make_survey):
    survey = make_survey(5)
    assert listing(survey) == []
    with pytest.raises(UserError, match="none yet"):
        load(survey, "a")
    with pytest.raises(UserError, match="none yet"):
        delete(survey, "a")
    with pytest.raises(UserError, match="not in this survey"):
        save(survey, Selection.of("a", [5], how={}))
    for name in ("../a", "", ".a", "a/b"):
        with pytest.raises(UserError, match="name"):
            Selection.of(name, [1], how={})
        with pytest.raises(UserError, match="name"):
            load(survey, name)


def test_rows_are_never_read_outside_the_folder(make_survey):
    survey = make_survey(5)
    save(survey, Selection.of("a", [1], how={}))
    header = survey.path / "selections" / "a.json"
    header.write_text(header.read_text().replace('"rows": "', '"rows": "../../'))
    assert load(survey, "a").rows.tolist() == [1]


def test_many_rows_are_kept_as_bits_and_few_as_numbers(make_survey):
    survey = make_survey(5000)
    for name, rows in (("few", np.arange(0, 5000, 100)), ("many", np.arange(0, 5000, 3)), ("all", np.arange(5000))):
        save(survey, Selection.of(name, rows, how={}))
        assert np.array_equal(load(survey, name).rows, rows) and load(survey, name).rows.dtype == np.int64
    sizes = {p.name.split(".")[0]: p.stat().st_size for p in (survey.path / "selections").glob("*.npy")}
    assert sizes["many"] == sizes["all"] < 800 and sizes["few"] == 128 + 8 * 50


def test_colour_and_name_change_and_nothing_else(make_survey):
    survey = make_survey(9)
    save(survey, Selection.of("a", [1, 2], how={"kind": "query", "query": "x"}, colour="#E69F00"))
    before = load(survey, "a")
    recolour(survey, "a", "#56b4e9")
    rename(survey, "a", "b c")
    found = load(survey, "b c")
    assert (found.colour, found.how, found.created) == ("#56b4e9", before.how, before.created)
    assert found.rows.tolist() == [1, 2] and [s.name for s in listing(survey)] == ["b c"]
    assert listing(survey)[0].colour == "#56b4e9" and len(list((survey.path / "selections").iterdir())) == 2
    rename(survey, "b c", "b c")
    save(survey, Selection.of("d", [3], how={}))
    with pytest.raises(UserError, match="already"):
        rename(survey, "d", "b c")
    assert load(survey, "b c").rows.tolist() == [1, 2] and load(survey, "d").rows.tolist() == [3]
    for colour in ("red", "#12", "url(x)", "#12345g"):
        with pytest.raises(UserError, match="colour"):
            recolour(survey, "d", colour)


@pytest.mark.parametrize(
    "damage",
    [
        lambda header, rows: rows.unlink(),
        lambda header, rows: rows.write_bytes(rows.read_bytes()[:-3]),
        lambda header, rows: rows.write_bytes(b""),
        lambda header, rows: np.save(rows, np.array([0.5, 1.0])),
        lambda header, rows: np.save(rows, np.arange(4).reshape(2, 2)),
        lambda header, rows: np.save(rows, np.array([1])),
        lambda header, rows: np.save(rows, np.array([1, 99])),
        lambda header, rows: header.write_text("[]"),
        lambda header, rows: header.write_text("["),
        lambda header, rows: header.write_text("[" * 100_000),
        lambda header, rows: header.write_text(header.read_text().replace('"count": 2', '"count": "x"')),
        lambda header, rows: header.write_text(header.read_text().replace('"bits": false', '"bits": true')),
        lambda header, rows: header.write_text(header.read_text().replace('"colour": ""', '"colour": "javascript"')),
        lambda header, rows: header.write_bytes(b"\xff\xfe"),
    ],
)
def test_what_is_damaged_is_told(make_survey, damage):
    survey = make_survey(9)
    save(survey, Selection.of("a", [1, 2], how={}))
    save(survey, Selection.of("good", [3], how={}))
    folder = survey.path / "selections"
    damage(folder / "a.json", next(folder.glob("a.*.npy")))
    with pytest.raises(UserError, match="'a'"):
        load(survey, "a")
    assert "good" in [s.name for s in listing(survey)]
    assert {s.name for s in listing(survey, damaged=True)} == {"a", "good"}
    delete(survey, "a")
    assert [s.name for s in listing(survey, damaged=True)] == ["good"]


def test_files_from_before_there_was_a_tree_are_read(make_survey):
    survey = make_survey(9)
    save(survey, Selection.of("a", [1, 2], how={}))
    header = survey.path / "selections" / "a.json"
    part = {"name": "old", "how": {"layout": "pca", "polygon": [[0, 0], [1, 0], [0, 1]]}}
    document = json.loads(header.read_text()) | {"how": {"union": [part, {"name": "b", "how": {"query": "x < 1"}}]}}
    for name in ("of", "bits", "colour"):
        document.pop(name)
    header.write_text(json.dumps(document))
    found = load(survey, "a")
    assert found.rows.tolist() == [1, 2] and found.colour == ""
    assert [(s.layout, s.path) for s in origins.shapes(found.how)] == [("pca", (0,))]
    assert origins.words(found.how) == "‘old’ + ‘b’"
