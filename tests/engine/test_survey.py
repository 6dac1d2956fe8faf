"""The survey folder: made whole, opened fast, refused clearly."""

import tomllib

import numpy as np
import pandas as pd
import pytest

from engine import files
from engine.errors import UserError
from engine.survey import FORMAT, HEADER, OBJECTS, Survey, check_name


def objects(n=5, **more):
    return pd.DataFrame(
        {
            "id": [f"g{k}" for k in range(n)],
            "ra": np.linspace(0, 10, n),
            "dec": np.zeros(n),
            "pixels_index": np.arange(n),
            "mag": np.linspace(15, 20, n),
        }
        | more
    )


@pytest.fixture
def survey(tmp_path):
    return Survey.create(
        tmp_path / "a.survey", objects(), pixels={"kind": "npz", "root": "x.npz", "bands": ["g", "r"], "science": True}
    )


def rewrite(survey, **changes):
    header = tomllib.loads((survey.path / HEADER).read_text())
    files.write_toml(survey.path / HEADER, header | changes)


def test_what_is_created_can_be_opened(survey):
    opened = Survey.open(survey.path)
    assert len(opened) == 5 and opened.name == "a" and opened.bands == ("g", "r")
    assert opened.columns == ["id", "ra", "dec", "mag"]  # references are not shown
    np.testing.assert_array_equal(opened.column("pixels_index"), np.arange(5))
    assert opened.table(np.array([3, 1]), ["id"])["id"].tolist() == ["g3", "g1"]
    assert sorted(p.name for p in survey.path.parent.iterdir()) == ["a.survey"]


def test_ids_become_rows(survey):
    np.testing.assert_array_equal(survey.rows(["g4", "g0"]), [4, 0])
    assert len(survey.rows([])) == 0
    with pytest.raises(UserError, match="no object called 'nope'"):
        survey.rows(["g1", "nope"])


def test_an_unknown_column_is_refused_with_those_that_exist(survey):
    with pytest.raises(UserError) as caught:
        survey.column("magnitude")
    assert "mag" in caught.value.remedy and "pixels_index" not in caught.value.remedy


@pytest.mark.parametrize(
    "table, problem",
    [
        (objects(0), "no object"),
        (objects(3, id=["a", "b", "a"]), "occur more than once"),
    ],
)
def test_bad_objects_are_refused_and_nothing_is_left(tmp_path, table, problem):
    with pytest.raises(UserError, match=problem):
        Survey.create(tmp_path / "a.survey", table, pixels={"bands": []})
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_not_touched(survey):
    before = (survey.path / HEADER).read_bytes()
    with pytest.raises(UserError, match="already exists"):
        Survey.create(survey.path, objects(2), pixels={"bands": []})
    assert (survey.path / HEADER).read_bytes() == before


def test_a_failure_while_filling_leaves_nothing(tmp_path):
    def fill(folder):
        (folder / "x").write_text("1")
        raise OSError("disk")

    with pytest.raises(OSError):
        Survey.create(tmp_path / "a.survey", objects(), pixels={"bands": []}, fill=fill)
    assert list(tmp_path.iterdir()) == []


def test_a_newer_format_is_refused(survey):
    rewrite(survey, format=FORMAT + 1)
    with pytest.raises(UserError, match="newer than this program"):
        Survey.open(survey.path)


@pytest.mark.parametrize(
    "spoil, problem",
    [
        (lambda p: (p / HEADER).unlink(), "is not a survey"),
        (lambda p: (p / HEADER).write_text("name = "), "cannot be read"),
        (lambda p: (p / HEADER).write_text("name = 'x'"), "states no format"),
        (lambda p: (p / HEADER).write_bytes(b"\xff\xfe"), "cannot be read"),
        (lambda p: (p / OBJECTS).unlink(), "has lost its"),
    ],
)
def test_a_spoiled_survey_is_refused_with_a_reason(survey, spoil, problem):
    spoil(survey.path)
    with pytest.raises(UserError, match=problem):
        Survey.open(survey.path)


def test_a_damaged_table_is_told(survey):
    (survey.path / OBJECTS).write_bytes(b"PAR1 nonsense")
    with pytest.raises(UserError, match="cannot be read"):
        len(Survey.open(survey.path))


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(UserError, match="no survey folder"):
        Survey.open(tmp_path / "none")


def test_scores_come_back(survey):
    survey.store_score("p of dwarf", np.arange(5))
    assert survey.scores == ["p of dwarf"] and survey.score("p of dwarf").dtype == np.float32
    with pytest.raises(UserError, match="no score"):
        survey.score("other")


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".x", " x", "x" * 101, "a\n", "a\\b"])
def test_names_that_are_paths_are_refused(name):
    with pytest.raises(UserError):
        check_name(name)


def test_a_representation_of_another_length_is_refused(survey):
    folder = survey.path / "representations" / "x"
    with pytest.raises(UserError, match="no representation yet"):
        survey.representation()
    files.write_npy(folder / "vectors.npy", np.zeros((4, 3), np.float32))
    files.write_npy(folder / "valid.npy", np.ones(4, bool))
    assert survey.representations == []  # not finished: no meta.json
    files.write_json(folder / "meta.json", {})
    with pytest.raises(UserError, match="4 vectors for 5 objects"):
        survey.representation()


def test_components_are_standardised_and_kept(survey):
    folder = survey.path / "representations" / "x"
    files.write_npy(folder / "vectors.npy", np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32))
    files.write_npy(folder / "valid.npy", np.array([1, 1, 1, 1, 0], bool))
    files.write_json(folder / "meta.json", {})
    components = survey.representation("x").components(2)
    np.testing.assert_allclose(components[:4].std(axis=0), 1, rtol=1e-5)
    np.testing.assert_allclose(components[:4].mean(axis=0), 0, atol=1e-6)
    assert not components[4].any() and (folder / "components-2.npy").is_file()
