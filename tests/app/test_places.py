"""What a server may open: below its roots, and nothing outside them."""

import os

import pytest

from app.surveys.places import DEPTH, Entry, Places
from engine.errors import UserError


@pytest.fixture
def places(tmp_path):
    (tmp_path / "data" / "g").mkdir(parents=True)
    (tmp_path / "data" / "g" / "1.fits").write_bytes(b"x" * 10)
    (tmp_path / "data" / "notes.txt").write_text("a")
    (tmp_path / "data" / "c.csv").write_text("id\n1\n")
    (tmp_path / "data" / ".hidden").write_text("a")
    (tmp_path / "data" / "b.survey").mkdir()
    (tmp_path / "data" / "b.survey" / "survey.toml").write_text("")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "s.txt").write_text("s")
    os.symlink(tmp_path / "secret", tmp_path / "data" / "way")
    return Places.of([tmp_path / "data"])


@pytest.mark.parametrize("text", ["..", "../secret", "/", "way", "way/s.txt", "g/../../secret", "~", "\0", "x" * 5000])
def test_nothing_outside_the_roots_is_opened(places, text):
    with pytest.raises(UserError):
        places.resolve(text)


def test_what_is_below_is_found_however_it_is_written(places):
    root = places.roots[0]
    assert places.resolve("") == places.resolve(".") == places.resolve(root) == root
    assert places.resolve("g/1.fits") == places.resolve("g/../g/1.fits") == root / "g" / "1.fits"
    assert places.name(root / "g") == "g" and places.name(root) == str(root)


def test_a_folder_is_listed_with_what_each_thing_is(places):
    entries, more = places.entries(places.roots[0])
    assert more == 0
    assert [(e.name, e.kind) for e in entries] == [
        ("b.survey", "survey"),
        ("g", "folder"),
        ("way", "folder"),
        ("c.csv", "table"),
        ("notes.txt", "table"),
    ]
    assert places.entries(places.roots[0] / "g")[0] == [Entry("1.fits", "pixels", 10)]
    with pytest.raises(UserError, match="cannot be listed"):
        places.entries(places.roots[0] / "none")


def test_surveys_are_found_near_the_roots_only(tmp_path, places):
    deep = places.roots[0].joinpath(*"abcdefgh"[: DEPTH + 1]) / "deep.survey"
    near = places.roots[0] / "a" / "near.survey"
    for path in (deep, near):
        path.mkdir(parents=True)
        (path / "survey.toml").write_text("")
    assert {p.name for p in places.surveys()} == {"b.survey", "near.survey"}


def test_a_root_must_be_a_folder(tmp_path):
    with pytest.raises(UserError, match="not a folder"):
        Places.of([tmp_path / "none"])
