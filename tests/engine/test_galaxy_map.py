"""The map of galaxies: every picture is its object's, in its cell, the most typical; written in bands, read back whole."""

import io

import numpy as np
import pytest
from PIL import Image

from engine import Survey, UserError, files
from engine.cli import main
from engine.data.pictures.stretch import Stretch
from engine.maps.typical import likeness
from engine.share import galaxy_map
from engine.share.galaxy_map import lay_out, not_overlapping, write_galaxy_map
from engine.share.pictures import drawn_objects
from engine.share.png import Bands

WIDTH, CELL = 640, 32


def read(path):
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB")), opened.info


@pytest.fixture(scope="module")
def layout(small_survey):
    return small_survey.layouts[0]


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (100, 33)])
def test_bands_make_the_picture_that_pillow_reads(shape):
    pixels = np.random.default_rng(1).integers(0, 256, (*shape, 3)).astype(np.uint8)
    for step in (1, 3, 1000):
        stream = io.BytesIO()
        with Bands(stream, shape[1], shape[0], dpi=300, said={"Title": "Änderung ⋆"}) as bands:
            for start in range(0, shape[0], step):
                bands.write(pixels[start : start + step])
        with Image.open(stream) as opened:
            assert np.array_equal(np.asarray(opened), pixels)
            assert opened.info["Title"] == "Änderung ⋆"
            assert opened.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_rows_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="rows"):
        with Bands(io.BytesIO(), 4, 4, dpi=72, said={}) as bands:
            bands.write(np.zeros((5, 4, 3), np.uint8))
    with pytest.raises(ValueError, match="rows"):
        Bands(io.BytesIO(), 4, 4, dpi=72, said={}).end()


@pytest.mark.parametrize("arrangement", ["grid", "true"])
def test_every_picture_lies_over_its_object_and_none_over_another(small_survey, layout, arrangement):
    page = lay_out(small_survey, layout, width=WIDTH, cell=CELL, arrangement=arrangement)
    corner = np.stack([page.left, page.top], axis=1)
    near = np.abs(corner[:, None] - corner[None]).max(axis=2)
    assert (near[~np.eye(len(near), dtype=bool)] >= CELL).all()
    assert (corner >= 0).all() and (corner + CELL <= [page.width, page.height]).all()
    xy = small_survey.layout_xy(layout)
    # positions on the page go one to one with those of the layout: x rises with x, y falls
    x, y = xy[page.rows].T
    middle = corner + CELL / 2
    for value, place in ((x, middle[:, 0]), (-y, middle[:, 1])):
        slope, offset = np.polyfit(value, place, 1)
        assert slope > 0 and np.abs(place - slope * value - offset).max() < 1.1 * CELL
    assert page.width == WIDTH and len(set(page.rows.tolist())) == len(page.rows)


def test_the_grid_shows_the_most_typical_object_of_each_cell(small_survey, layout, monkeypatch):
    monkeypatch.setattr(galaxy_map, "SQUEEZED", np.inf)  # nobody is left out
    page = lay_out(small_survey, layout, width=WIDTH, cell=CELL)
    alike = likeness(small_survey, layout)
    xy = small_survey.layout_xy(layout)
    placed = np.flatnonzero(np.isfinite(xy).all(axis=1))
    assert page.outside == 0 and len(page.x) == len(placed)
    edge, left = page.top.min(), (WIDTH - (WIDTH - CELL) // CELL * CELL) // 2
    cell = np.stack([(page.x - left) // CELL, (page.y - CELL // 2) // CELL], axis=1).astype(int)
    own = {tuple(c) for c in cell.tolist()}
    assert len(own) in (len(page.rows), len(page.rows) + 1) and edge >= CELL // 2
    for row, x, y in list(zip(page.rows, page.left, page.top))[::7]:
        members = placed[(cell == [(x - left) // CELL, (y - CELL // 2) // CELL]).all(axis=1)]
        members = members[alike.known[members]]
        features = alike.features[members].astype(float)
        distance = np.square(features - features.mean(axis=0)).sum(axis=1)
        assert row == members[np.argmin(distance)]


@pytest.mark.parametrize("arrangement", ["grid", "true"])
@pytest.mark.parametrize("ground, background", [("black", "none"), ("white", "density")])
def test_the_file_shows_each_object_as_a_sheet_would(small_survey, layout, tmp_path, arrangement, ground, background):
    place = tmp_path / "map.png"
    written = write_galaxy_map(
        small_survey, place, width=WIDTH, cell=CELL, arrangement=arrangement, ground=ground, background=background
    )
    pixels, info = read(place)
    page = lay_out(small_survey, layout, width=WIDTH, cell=CELL, arrangement=arrangement)
    assert pixels.shape == (page.height, WIDTH, 3) and written.count == len(page.rows) > 20
    size = CELL - 1
    drawn = drawn_objects(small_survey, page.rows, small_survey.stretch, size)
    for picture, x, y in zip(drawn, page.left, page.top):
        alone = Image.new("RGB", (size, size))
        alone.paste(picture.image, (0, 0), picture.image)
        assert np.array_equal(pixels[y : y + size, x : x + size], np.asarray(alone))
    corner = pixels[0, 0]
    assert (corner == (0 if ground == "black" else 255)).all()
    assert info["Layout"] == layout and info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_density_lies_under_the_pictures_and_is_darker_than_galaxies(small_survey, tmp_path):
    pages = {}
    for background in ("none", "density"):
        place = tmp_path / f"{background}.png"
        write_galaxy_map(small_survey, place, width=WIDTH, cell=CELL, arrangement="true", background=background)
        pages[background], _ = read(place)
    changed = (pages["none"] != pages["density"]).any(axis=2)
    assert changed.any() and (pages["none"][changed] == 0).all()
    assert pages["density"][changed].max() < 160


def test_squares_are_kept_as_a_slow_twin_would():
    corner = np.random.default_rng(4).integers(0, 300, (400, 2))
    got = not_overlapping(corner, 32, 11, 11)
    kept: list = []
    for k, c in enumerate(corner.tolist()):
        free = all(max(abs(c[0] - o[0]), abs(c[1] - o[1])) >= 32 for o in kept)
        assert bool(got[k]) == free
        if free:
            kept.append(c)


def test_few_objects_far_out_do_not_squeeze_the_rest(own_survey):
    name = own_survey.layouts[0]
    path = own_survey.path / "layouts" / name / "xy.npy"
    xy = np.array(own_survey.layout_xy(name))
    before = lay_out(own_survey, name, width=WIDTH, cell=CELL)
    xy[5] = 1e6
    files.write_npy(path, xy)
    after = lay_out(own_survey, name, width=WIDTH, cell=CELL)
    assert 1 <= after.outside <= 6 and 5 not in after.rows
    assert len(after.rows) > 0.7 * len(before.rows)


def test_a_layout_of_unequal_units_fills_its_page(make_survey):
    draw = np.random.default_rng(0)
    survey = make_survey(300, columns={"a": draw.normal(size=300), "b": 1e-4 * draw.normal(size=300)})
    survey.layout("columns", columns=("a", "b"))
    page = lay_out(survey, survey.layouts[0], width=WIDTH, cell=CELL)
    assert page.width / 4 < page.height < page.width
    assert len({int(t) for t in page.top}) > 3


def test_the_stretch_is_the_one_asked_for(small_survey, tmp_path):
    write_galaxy_map(small_survey, tmp_path / "a.png", width=WIDTH, cell=CELL)
    write_galaxy_map(small_survey, tmp_path / "b.png", width=WIDTH, cell=CELL, stretch=Stretch.from_text("invert=true"))
    a, b = read(tmp_path / "a.png")[0], read(tmp_path / "b.png")[0]
    assert b.mean() > a.mean() + 20


@pytest.mark.parametrize(
    "options, words",
    [
        ({"width": 50}, "width of 50"),
        ({"cell": 2}, "cell of 2"),
        ({"width": 300, "cell": 200}, "no room"),
        ({"arrangement": "heap"}, "no arrangement 'heap'"),
        ({"ground": "pink"}, "no ground 'pink'"),
        ({"background": "stars"}, "no background 'stars'"),
        ({"dpi": 0.0}, "pixels an inch"),
        ({"layout": "nothing"}, "no layout 'nothing'"),
    ],
)
def test_what_makes_no_sense_is_refused(small_survey, tmp_path, options, words):
    with pytest.raises(UserError, match=words):
        write_galaxy_map(small_survey, tmp_path / "map.png", **options)
    assert not list(tmp_path.iterdir())


def test_a_survey_without_layout_or_pixels_says_so(make_survey, tmp_path):
    with pytest.raises(UserError, match="no layout yet"):
        write_galaxy_map(make_survey(4), tmp_path / "map.png")
    objects = {"id": ["a"], "ra": [1.0], "dec": [2.0]}
    import pandas as pd

    table = Survey.create(
        tmp_path / "t.survey", pd.DataFrame(objects), pixels={"kind": "none", "root": ".", "bands": []}
    )
    with pytest.raises(UserError, match="no pixels"):
        write_galaxy_map(table, tmp_path / "map.png")


def test_the_command(small_survey, tmp_path, capsys):
    place = tmp_path / "map.png"
    command = ["pictures", str(small_survey.path), "--map", small_survey.layouts[0], "--out", str(place)]
    command += [
        "--width",
        "400",
        "--cell",
        "40",
        "--colour-background",
        "density",
        "--dpi",
        "150",
        "--progress",
        "none",
    ]
    assert main(command) == 0
    assert "Wrote" in capsys.readouterr().out
    with Image.open(place) as opened:
        assert opened.size[0] == 400 and opened.info["dpi"] == pytest.approx((150, 150), abs=0.1)
    assert main(command) == 2 and "already exists" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    assert main([*command[:4], "--ids", "x", "--out", str(place)]) == 2
    assert main(["pictures", str(small_survey.path)]) == 2
