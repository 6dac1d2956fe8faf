"""Crop and pad: pixels stay where the sky is, and what is around them is missing."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from engine import Survey, UserError
from engine.cli import main
from engine.data.cutouts import Unreadable
from engine.data.fitting import Fitted, central, chosen
from engine.data.ingest import ingest

RNG = np.random.default_rng(0)


def twin(cutout, side):
    """The central box a pixel at a time."""
    bands, height, width = cutout.shape
    box = np.full((bands, side, side), np.nan)
    for y in range(side):
        for x in range(side):
            row, column = y + (height - side) // 2, x + (width - side) // 2
            if 0 <= row < height and 0 <= column < width:
                box[:, y, x] = cutout[:, row, column]
    return box


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 12), st.integers(1, 2))
def test_the_central_box_equals_its_twin(height, width, side, bands):
    cutout = np.arange(bands * height * width, dtype=np.float32).reshape(bands, height, width)
    np.testing.assert_array_equal(central(cutout, side), twin(cutout, side))


class Source:
    bands, science = ("g",), True
    cutouts = (np.ones((1, 7, 5), "i2"), Unreadable("gone"))

    def read(self, rows):
        return [
            self.cutouts[r] if isinstance(self.cutouts[r], Unreadable) else self.cutouts[r].astype("f4") for r in rows
        ]


class Rich(Source):
    def read_raw(self, rows):
        return [self.cutouts[r] for r in rows]

    def context(self, row, factor):
        return None if row else np.ones((1, 7 * factor, 5 * factor), "f4")

    def companions(self, row):
        return {"model": np.ones((7, 5), "f4")}

    def units(self, row):
        return ("nJy",)


def test_optional_methods_are_those_of_the_source_beneath():
    poor, rich = Fitted(Source(), 6), Fitted(Rich(), 6)
    assert not any(hasattr(poor, name) for name in ("read_raw", "wcs", "context", "companions", "units"))
    assert hasattr(rich, "read_raw") and not hasattr(rich, "wcs") and rich.units(0) == ("nJy",)
    assert rich.read([0])[0].shape == (1, 6, 6) and isinstance(rich.read([1])[0], Unreadable)
    assert rich.context(0, 3).shape == (1, 18, 18) and rich.context(1, 3) is None
    assert rich.companions(0)["model"].shape == (6, 6)
    inside = Fitted(Rich(), 4).read_raw([0])[0]
    assert inside.shape == (1, 4, 4) and inside.dtype == np.int16


@pytest.fixture
def folder(tmp_path):
    """Stamps of three sizes of one field, each with its WCS."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [150.0, 60.0], [40.5, 30.5]
    wcs.wcs.cd = np.array([[-3, 4], [4, 3]]) / 5 * 0.2 / 3600
    field = RNG.normal(size=(60, 80)).astype("f4")
    (tmp_path / "s").mkdir()
    for name, (y, x, h, w) in {"a": (10, 10, 20, 20), "b": (5, 20, 31, 24), "c": (30, 30, 15, 40)}.items():
        header = wcs[y : y + h, x : x + w].to_header()
        fits.PrimaryHDU(field[y : y + h, x : x + w], header).writeto(tmp_path / "s" / f"{name}.fits")
    return tmp_path / "s", field, wcs


@pytest.mark.parametrize("fit, side", [("crop", None), ("crop", 18), ("pad", None), ("pad", 50)])
def test_pixels_and_wcs_stay_together(folder, tmp_path, fit, side):
    path, field, wcs = folder
    survey = ingest(path, tmp_path / "x.survey", fit=fit, side=side).survey
    side = side or (15 if fit == "crop" else 40)
    assert survey.header["pixels"]["fit"] == fit and survey.header["pixels"]["side"] == side
    plain = Survey.ingest(path, tmp_path / "y.survey").cutouts
    for row in range(3):
        cutout = survey.cutouts.read([row])[0]
        assert cutout.shape == (1, side, side)
        np.testing.assert_array_equal(cutout, twin(plain.read([row])[0], side))
        moved = survey.cutouts.wcs(row)
        y, x = np.argwhere(np.isfinite(cutout[0]))[7]
        there = np.round(wcs.world_to_pixel(moved.pixel_to_world(x, y))).astype(int)
        assert field[there[1], there[0]] == cutout[0, y, x]


def test_the_report_says_what_happens_to_sizes(folder, tmp_path, capsys):
    path, _, _ = folder
    assert main(["ingest", str(path), str(tmp_path / "a.survey")]) == 0
    assert "each cutout is scaled" in capsys.readouterr().out
    assert main(["ingest", str(path), str(tmp_path / "b.survey"), "--fit", "pad"]) == 0
    assert "padded with missing pixels to 40×40" in capsys.readouterr().out
    assert main(["ingest", str(path), str(tmp_path / "c.survey"), "--fit", "crop", "--side", "16"]) == 0
    assert "the central 16×16" in capsys.readouterr().out
    assert main(["ingest", str(path), str(tmp_path / "d.survey"), "--fit", "pad", "--side", "16"]) == 2
    assert main(["ingest", str(path), str(tmp_path / "d.survey"), "--side", "16"]) == 2


def test_equal_sizes_need_no_words():
    assert chosen("resample", None, ((8, 8), (8, 8))) == ({"fit": "resample"}, "")
    with pytest.raises(UserError, match="choose one of"):
        chosen("stretch", None, ((8, 8), (8, 8)))
