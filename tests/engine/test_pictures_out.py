"""Pictures that leave: named by id, the same pixels as the engine draws, with their provenance; sheets; refusals."""

import json

import numpy as np
import pytest
from PIL import Image

from engine.cli import main
from engine.data.pictures.stretch import Calibration, Stretch, to_rgb
from engine.errors import UserError
from engine.share.pictures import _names, write_pictures
from engine.survey import Survey


def test_a_folder_has_a_picture_an_object_as_it_is_drawn(small_survey, tmp_path):
    stretch = Stretch(curve="log", smooth=1.0)
    side = small_survey.cutouts.read([0])[0].shape[-1]
    made = write_pictures(small_survey, tmp_path / "out", rows=np.arange(70), stretch=stretch, size=2 * side)
    assert made.count == 70 and len(list((tmp_path / "out").iterdir())) == 70
    name = small_survey.ids[3].as_py()
    picture = Image.open(tmp_path / "out" / f"{name}.png")
    cutout = small_survey.cutouts.read([3])[0]
    levels = Calibration.of(small_survey.header["pixels"], len(small_survey.bands))
    expected = to_rgb(cutout[None], levels, science=True, stretch=stretch)[0]
    np.testing.assert_array_equal(np.asarray(picture)[::2, ::2, :3], expected)
    np.testing.assert_array_equal(np.asarray(picture)[1::2, 1::2, 3] == 255, np.isfinite(cutout).any(axis=0))
    assert picture.text["Title"] == name and Stretch.from_text(picture.text["Stretch"]) == stretch
    place = small_survey.table(np.array([3]), ["ra", "dec"]).iloc[0]
    assert picture.text["Position"].startswith(f"{place.ra:.7f} ")


def test_a_sheet_holds_them_all(small_survey, tmp_path):
    made = write_pictures(small_survey, tmp_path / "sheet.png", rows=np.arange(10), size=40)
    sheet = Image.open(made.place)
    assert made.count == 10 and sheet.size == (4 * 44 + 4, 3 * 60 + 4)
    one = write_pictures(small_survey, tmp_path / "one.png", rows=np.array([5]), size=40)
    tile = np.asarray(Image.open(one.place))
    np.testing.assert_array_equal(np.asarray(sheet)[64:104, 48:88], tile[..., :3])


def test_what_cannot_be_is_refused(small_survey, tmp_path):
    (tmp_path / "there.png").write_bytes(b"mine")
    with pytest.raises(UserError, match="already exists"):
        write_pictures(small_survey, tmp_path / "there.png", rows=np.array([1]))
    assert (tmp_path / "there.png").read_bytes() == b"mine"
    with pytest.raises(UserError, match=r"ends in \.png"):
        write_pictures(small_survey, tmp_path / "folder", rows=np.array([1]), sheet=True)
    with pytest.raises(UserError, match="too large"):
        write_pictures(small_survey, tmp_path / "huge.png", size=1000)
    with pytest.raises(UserError, match="no band 'q'"):
        write_pictures(small_survey, tmp_path / "q.png", stretch=Stretch(rgb=("q",)))
    write_pictures(small_survey, tmp_path / "out", rows=np.arange(3), size=16)
    with pytest.raises(UserError, match="already exists"):
        write_pictures(small_survey, tmp_path / "out", rows=np.arange(2, 5), size=16)
    assert len(list((tmp_path / "out").iterdir())) == 3


class Ids:
    """A survey of which only the ids matter."""

    def __init__(self, ids):
        import pyarrow as pa

        self.ids = pa.array(ids)


def test_an_id_never_leaves_the_folder():
    ids = ["../up", "a/b", "..", ".hidden", "A", "a", "x" * 500, "Größe 7", "", "con:1", "a\\b", "a."]
    names = _names(Ids(ids), np.arange(len(ids)))
    assert len({name.lower() for name in names}) == len(ids)
    for name in names:
        assert "/" not in name and "\\" not in name and not name.startswith(".") and len(name.encode()) < 255


def test_the_commands(own_survey, tmp_path, capsys):
    path, name = str(own_survey.path), own_survey.ids[0].as_py()
    before = own_survey.thumbnails.read([0, 1])
    assert main(["stretch", path, "--json", "--progress", "none"]) == 0
    assert json.loads(capsys.readouterr().out)["stretch"] == ""
    assert main(["stretch", path, "--set", "curve=log,smooth=1", "--json", "--progress", "none"]) == 0
    facts = json.loads(capsys.readouterr().out)
    survey = Survey.open(path)
    assert facts["thumbnails"] is True and survey.stretch == Stretch(curve="log", smooth=1.0)
    assert survey.thumbnails.read([0, 1]) != before and survey.thumbnails.complete
    assert main(["stretch", path, "--set", "gain=2", "--progress", "none"]) == 0
    assert Survey.open(path).stretch == Stretch(curve="log", smooth=1.0, gain=2.0)
    out = tmp_path / "p.png"
    assert main(["pictures", path, str(out), "--ids", name, "--stretch", "gain=1", "--progress", "none"]) == 0
    assert Image.open(out).text["Stretch"] == "curve=log,smooth=1"
    assert main(["stretch", path, "--reset", "--progress", "none"]) == 0
    assert Survey.open(path).stretch == Stretch() and "stretch" not in Survey.open(path).header
    assert Survey.open(path).thumbnails.read([0, 1]) == before
    assert main(["stretch", path, "--set", "rgb=q", "--progress", "none"]) == 2
    assert "'q'" in capsys.readouterr().err and "stretch" not in Survey.open(path).header
