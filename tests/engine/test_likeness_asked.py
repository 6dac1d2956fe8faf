"""Queries that are no objects: images, regions, places, objects turned; the command; selections of what was found."""

import io
import json

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from engine import Survey
from engine.cli import main
from engine.encoders.vit import tiny
from engine.errors import UserError
from engine.search.likeness import origin, uploads
from engine.search.likeness.apart import apart
from engine.search.likeness.asked import Query, of_image, of_region, turned
from engine.search.likeness.encoding import SameEncoder, views, within
from engine.search.members import members
from engine.search.selections import load
from engine.search.similar import find_similar, search, similar


def as_fits(survey, row, path, *, bands=None, scale=1.0):
    cutout = survey.cutouts.read([row])[0] * scale
    parts = [fits.ImageHDU(b, name=n) for b, n in zip(cutout, survey.bands) if bands is None or n in bands]
    for part in parts:
        part.header["FILTER"] = part.name
    fits.HDUList([fits.PrimaryHDU(), *parts]).writeto(path)
    return path


def as_png(shape=(24, 24, 3)) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, shape, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


# -- images ------------------------------------------------------------------------------------------------------------


def test_the_cutout_of_an_object_as_a_file_is_the_object(own_survey, tmp_path):
    path = as_fits(own_survey, 17, tmp_path / "a b.fits")
    example = of_image(own_survey, path)
    representation = own_survey.representation()
    assert np.allclose(example.vector, representation.vectors[17], atol=1e-3) and example.notes == ()
    found = find_similar(own_survey, image=path, top=10)
    assert found.rows[0] == 17 and found.score[0] > 0.9999
    expected = similar(own_survey, [17], top=9)[0]
    assert found.rows[1:].tolist() == expected.tolist()


def test_axes_take_a_vector_to_its_components(own_survey):
    space = own_survey.spaces.of()
    placed = space.place(space.representation.vectors[:50])
    assert np.allclose(placed, space.features[:50], atol=1e-3)
    (space.representation.folder / "axes-40.npy").unlink()  # of a representation made before they were kept
    again = type(space).open(space.representation)
    assert np.allclose(again.place(space.representation.vectors[:50]), placed, atol=1e-6)


def test_bands_are_matched_by_name_and_the_missing_said(own_survey, tmp_path):
    one = own_survey.bands[1]
    upload = uploads.read(own_survey, as_fits(own_survey, 3, tmp_path / "one.fits", bands=[one]))
    assert np.isfinite(upload.pixels[1]).all() and not np.isfinite(upload.pixels[[0, 2]]).any()
    assert "no band" in upload.notes[0]


def test_other_units_and_pictures_are_brought_to_the_surveys_levels(own_survey, tmp_path):
    whole = own_survey.cutouts.read([3])[0]
    same = uploads.read(own_survey, as_fits(own_survey, 3, tmp_path / "same.fits"))
    assert np.array_equal(same.pixels, whole) and same.notes == ()
    other = uploads.read(own_survey, as_fits(own_survey, 3, tmp_path / "other.fits", scale=1e6))
    assert "levels" in other.notes[0] or "level" in other.notes[0]
    assert np.nanmax(np.abs(other.pixels)) < 1e3 * np.nanmax(np.abs(whole))
    picture = uploads.parse(own_survey, as_png(), "C:\\pictures\\x.png")
    assert picture.name == "x.png" and "level" in picture.notes[-1] and picture.pixels.shape == (3, 24, 24)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "neither a picture nor FITS"),
        (b"words, many words", "neither a picture nor FITS"),
        (b"\x89PNG\r\n\x1a\n" + b"\x00" * 40, "cannot be read"),
        (b"SIMPLE  =                    T" + b" " * 5000, "cannot be read"),
        (b"\x1f\x8b" + b"\x00" * 100, "cannot be read"),
    ],
)
def test_files_that_are_none(own_survey, data, words):
    with pytest.raises(UserError, match=words) as caught:
        uploads.parse(own_survey, data, "../../etc/x.fits")
    assert "x.fits" in str(caught.value) and ".." not in str(caught.value) and "skysieve-" not in str(caught.value)


def test_files_too_large_or_gone(own_survey, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no file"):
        uploads.read(own_survey, tmp_path / "gone.fits")
    path = as_fits(own_survey, 3, tmp_path / "large.fits")
    monkeypatch.setattr(uploads, "LARGEST", 10)
    with pytest.raises(UserError, match="MiB"):
        uploads.parse(own_survey, as_png(), "x.png")
    with pytest.raises(UserError, match="MiB"):
        uploads.read(own_survey, path)


def test_vectors_from_elsewhere_have_no_encoder(make_survey):
    survey = make_survey(20, vectors=np.random.default_rng(0).normal(size=(20, 4)))
    with pytest.raises(UserError, match="no encoder"):
        SameEncoder(survey, survey.representation())


def test_an_encoder_that_has_changed_is_refused(own_survey):
    folder = own_survey.representation().folder
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps(meta | {"identity": "another"}))
    with pytest.raises(UserError, match="not the one that made"):
        SameEncoder(own_survey, own_survey.representation())


# -- regions and turns -------------------------------------------------------------------------------------------------


def test_a_region_is_cut_out_and_its_object_never_found(own_survey):
    example = of_region(own_survey, 17, (40.4, 8, 7.6, 39.7))
    cutout = own_survey.cutouts.read([17])[0]
    encoder = SameEncoder(own_survey, own_survey.representation())
    assert np.array_equal(example.vector, encoder.vectors([cutout[:, 8:40, 8:40]])[0])
    rows, _ = search(own_survey, Query(examples=(example,)), own_survey.spaces.of(), top=1000)
    assert 17 not in rows and len(rows) > 500
    whole = find_similar(own_survey, region=(17, 0, 0, 1e6, 1e6), top=5)
    assert whole.rows.tolist() == similar(own_survey, [17], top=5)[0].tolist()


@pytest.mark.parametrize("box", [(0, 0, 2, 50), (5, 5, 5, 5), (-9, 0, -1, 50), (0, 0, float("nan"), 9), (1, 2, 3)])
def test_a_region_that_is_none(own_survey, box):
    with pytest.raises(UserError, match="region"):
        within(box, (3, 50, 50))


def test_tokens_in_a_region_are_averaged(own_survey):
    """An encoder whose vectors are the mean of its tokens: a part is the mean of those whose middles it covers."""
    encoder = SameEncoder(own_survey, own_survey.representation())
    encoder._encoder = type("Fake", (), {})()
    network = tiny(3, 32).eval()
    encoder._encoder.network, encoder._encoder.size, encoder._encoder.dtype = network, 32, np.dtype(np.float32)
    encoder._encoder.prepare = lambda pixels, calibration, science: __import__("torch").from_numpy(pixels)
    cutout = np.random.default_rng(0).normal(size=(3, 64, 64)).astype(np.float32)
    tokens = encoder._tokens(cutout)
    assert tokens.shape == (4, 4, 192)
    assert np.allclose(encoder.part(cutout, (16, 0, 48, 32)), tokens[:2, 1:3].mean(axis=(0, 1)), atol=1e-6)
    assert np.allclose(encoder.part(cutout, (0, 0, 64, 64)), tokens.mean(axis=(0, 1)), atol=1e-6)
    assert np.allclose(encoder.part(cutout, (17, 17, 22, 22)), tokens[1, 1], atol=1e-6)


def test_eight_views_are_all_turns_and_mirrors():
    cutout = np.arange(18.0).reshape(2, 3, 3)
    found = {view.tobytes() for view in views(cutout)}
    assert len(found) == 8 and cutout.tobytes() in found and cutout[:, ::-1].copy().tobytes() in found


def test_turned_queries_are_means_over_their_views(own_survey):
    like, unlike = turned(own_survey, Query(np.array([4]), np.array([9])))
    encoder = SameEncoder(own_survey, own_survey.representation())
    expected = encoder.vectors(views(own_survey.cutouts.read([4])[0])).astype(float).mean(axis=0)
    assert np.allclose(like[0], expected) and like.shape == unlike.shape
    rows, _ = similar(own_survey, [4], augment=True, top=5)
    mirrored, _ = similar(own_survey, [4], top=5)
    assert set(rows) & set(mirrored)


# -- apart on the sky --------------------------------------------------------------------------------------------------


def test_apart_is_what_a_walk_down_the_list_keeps():
    rng = np.random.default_rng(8)
    ra, dec = 359.999 + rng.normal(size=3000) * 0.01, 60 + rng.normal(size=3000) * 0.005
    ra[5] = np.nan
    vectors = np.column_stack(
        [
            np.cos(np.radians(dec)) * np.cos(np.radians(ra)),
            np.cos(np.radians(dec)) * np.sin(np.radians(ra)),
            np.sin(np.radians(dec)),
        ]
    )
    reach, slow = 2 * np.sin(np.radians(4 / 3600) / 2), []
    for k in range(3000):
        near = [j for j in slow if np.linalg.norm(vectors[k] - vectors[j]) <= reach]
        if not near:
            slow.append(k)
    assert apart(ra % 360, dec, 4, np.zeros((0, 2)), most=10_000).tolist() == slow
    assert apart(ra % 360, dec, 4, np.zeros((0, 2)), most=7).tolist() == slow[:7]
    assert apart(ra % 360, dec, 4, np.array([[ra[0], dec[0]], [np.nan, np.nan]]), most=10_000)[0] != 0


def test_all_in_one_place_is_no_trap():
    n = 20_000
    assert apart(np.full(n, 10.0), np.full(n, 5.0), 1, np.zeros((0, 2)), most=50).tolist() == [0]


# -- what was found, kept ----------------------------------------------------------------------------------------------


def test_a_kept_result_says_how_and_is_found_again(own_survey):
    ids = own_survey.ids.to_pylist()
    rows, _ = similar(own_survey, [3, 4], unlike=[8], top=40, query="mag_r < 24")
    how = origin.origin([ids[3], ids[4]], [ids[8]], count=40, query="mag_r < 24")
    assert how["words"] == f"40 like {ids[3]}, {ids[4]}, unlike {ids[8]}"
    assert members(own_survey, how).tolist() == sorted(rows.tolist())
    for odd in (
        how | {"whole": False},
        how | {"count": "many"},
        how | {"like": "x"},
        origin.origin([], others=["a.fits"], count=3),
    ):
        with pytest.raises(UserError):
            members(own_survey, odd)
    assert origin.words(list("abcd"), [], ["f.fits"], 5) == "5 like a, b and 3 more"


def test_the_command_finds_filters_and_keeps(own_survey, tmp_path, capsys):
    ids, path = own_survey.ids.to_pylist(), str(own_survey.path)
    assert main(["similar", path, ids[3], "--unlike", ids[8], "--top", "5", "--save", "alike"]) == 0
    printed = capsys.readouterr().out
    rows, _ = similar(own_survey, [3], unlike=[8], top=5)
    assert all(ids[r] in printed for r in rows)
    kept = load(Survey.open(path), "alike")
    assert kept.rows.tolist() == sorted(rows.tolist()) and kept.how["kind"] == "similar"
    ra, dec = (own_survey.column(c)[7] for c in ("ra", "dec"))
    as_fits(own_survey, 5, tmp_path / "q.fits")
    everything = [
        "--near",
        f"{ra} {dec}",
        "--image",
        str(tmp_path / "q.fits"),
        "--region",
        ids[2],
        "5",
        "5",
        "40",
        "40",
    ]
    options = ["--query", "mag_r < 24", "--min-separation", "5", "--within", "alike", "--unlabelled", "x", "--augment"]
    assert main(["similar", path, *everything, *options, "--features", "vectors"]) == 0
    assert f"nearest to the place is {ids[7]}" in capsys.readouterr().out
    for odd in (["--near", "here"], ["--region", ids[2], "a", "5", "40", "40"], [], [ids[3], "--within", "nothing"]):
        assert main(["similar", path, *odd]) != 0
    assert "Traceback" not in capsys.readouterr().err
