"""Names lead to files below the root, and nowhere else."""

from pathlib import Path

import pytest

from engine.data.references import Root, kind_of, names_to_ids, walk, without_extension


@pytest.mark.parametrize("name", ["../secret", "a/../../secret", "/etc/hostname", "..", "a\\..\\..\\secret"])
def test_names_that_lead_outside_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="outside"):
        Root(tmp_path).file(name)


def test_links_may_not_leave_the_root(tmp_path):
    root, secret = tmp_path / "root", tmp_path / "secret"
    root.mkdir()
    secret.write_text("x")
    (root / "real").write_text("y")
    (root / "out").symlink_to(secret)
    (root / "in").symlink_to(root / "real")
    (root / "folder").symlink_to(tmp_path)
    below = Root(root)
    assert Path(below.file("in")).read_text() == "y"
    for name in ("out", "folder/secret"):
        with pytest.raises(ValueError, match="link"):
            below.file(name)


def test_a_root_that_is_a_link_itself_is_fine(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert Path(Root(tmp_path / "link").file("a")).read_text() == "x"


@pytest.mark.parametrize(
    "name, stem",
    [
        ("a.jpg", "a"),
        ("J1+0.35_r.fits.gz", "J1+0.35_r"),
        ("v1.2", "v1.2"),
        (".jpg", ".jpg"),
        ("x/b.TIFF", "x/b"),
        ("588.0", "588.0"),
    ],
)
def test_only_known_extensions_are_dropped(name, stem):
    assert without_extension(name) == stem


def test_ids_are_the_shortest_names_that_differ():
    assert names_to_ids(["x/a.jpg", "y/b.jpg"]) == ["a", "b"]
    assert names_to_ids(["x/a.jpg", "y/a.jpg"]) == ["x/a", "y/a"]
    assert names_to_ids(["x/a.jpg", "x/a.png"]) == ["x/a.jpg", "x/a.png"]


def test_the_walk_passes_over_hidden_files_and_surveys(tmp_path):
    for name in ("b.jpg", "sub/a.jpg", ".hidden/c.jpg", ".d.jpg", "old.survey/e.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert list(walk(tmp_path)) == ["b.jpg", "sub/a.jpg"]
    assert kind_of("x.FITS.GZ") == "fits" and kind_of("notes.txt") is None
