"""Selections: whole on disk, and a set's algebra."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UserError
from engine.search import selections
from engine.search.selections import Selection, delete, intersect, invert, listing, load, save, subtract, union

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
    assert union("u", first, second).how == {"union": [{"name": "a", "how": {"query": "x"}}, {"name": "b", "how": {}}]}


def test_kept_as_it_was(make_survey):
    survey = make_survey(9)
    how = {"layout": "umap-given", "polygon": np.array([[0.0, 1.5], [2, 3]]), "count": np.int64(3)}
    save(survey, Selection.of("my cluster+1", [5, 2, 2, 7], how=how))
    found = load(survey, "my cluster+1")
    assert found.rows.tolist() == [2, 5, 7]
    assert found.how == {"layout": "umap-given", "polygon": [[0.0, 1.5], [2.0, 3.0]], "count": 3}
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
