"""Cutouts are brought to one size without inventing pixels."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from engine.data.cutouts import Unreadable, open_source, read_batch, resample, resample_batch
from engine.errors import UserError
from engine.survey import Survey


def axis_weights(n, size):
    """Weights of an antialiased linear filter along one axis, written out: (size, n)."""
    scale = n / size
    reach = max(scale, 1.0)
    weights = np.zeros((size, n))
    for i in range(size):
        centre = (i + 0.5) * scale
        for j in range(n):
            weights[i, j] = max(0.0, 1 - abs(j + 0.5 - centre) / reach)
        weights[i] /= weights[i].sum()
    return weights


def slow_resample(cutout, size):
    channels, height, width = cutout.shape
    side = max(height, width)
    square = np.full((channels, side, side), np.nan)
    top, left = (side - height) // 2, (side - width) // 2
    square[:, top : top + height, left : left + width] = cutout
    weights = axis_weights(side, size)
    out = np.full((channels, size, size), np.nan)
    for c in range(channels):
        for y in range(size):
            for x in range(size):
                share = np.outer(weights[y], weights[x])
                known = np.isfinite(square[c])
                if share[known].sum() >= 0.5:
                    out[c, y, x] = (share[known] * square[c][known]).sum() / share[known].sum()
    return out


@pytest.mark.parametrize(
    "shape, size", [((2, 20, 20), 8), ((1, 9, 14), 12), ((1, 6, 6), 10), ((3, 16, 11), 16), ((1, 13, 5), 7)]
)
@pytest.mark.parametrize("holes", [0.0, 0.3])
def test_resampling_equals_the_sum_written_out(shape, size, holes):
    rng = np.random.default_rng(sum(shape) + size)
    cutout = rng.normal(size=shape).astype(np.float32)
    cutout[rng.random(shape) < holes] = np.nan
    np.testing.assert_allclose(resample(cutout, size), slow_resample(cutout, size), atol=2e-6)


def test_a_constant_stays_one_and_the_right_size_is_untouched():
    assert np.allclose(resample(np.full((2, 30, 30), 7.0, np.float32), 11), 7)
    cutout = np.random.default_rng(0).normal(size=(2, 8, 8)).astype(np.float32)
    cutout[0, 0, 0] = np.nan
    np.testing.assert_array_equal(resample(cutout, 8), cutout)


def test_a_missing_band_stays_missing_and_alone():
    cutout = np.ones((3, 20, 20), np.float32)
    cutout[1] = np.nan
    small = resample(cutout, 9)
    assert np.isnan(small[1]).all() and np.allclose(small[[0, 2]], 1)


def test_flux_next_to_a_hole_is_not_dimmed():
    cutout = np.full((1, 16, 16), 5.0, np.float32)
    cutout[:, :, 8:] = np.nan
    known = resample(cutout, 4)
    assert np.allclose(known[np.isfinite(known)], 5) and np.isfinite(known[..., :2]).all()


def test_a_batch_equals_one_at_a_time():
    cutouts = np.random.default_rng(1).normal(size=(4, 2, 18, 12)).astype(np.float32)
    cutouts[2, 0, :5] = np.nan
    np.testing.assert_allclose(resample_batch(cutouts, 10), np.stack([resample(c, 10) for c in cutouts]), atol=1e-6)


@dataclass
class Listed:
    """A cutout source that holds its cutouts."""

    cutouts: list
    bands: tuple = ("g", "r")
    science: bool = True

    def read(self, rows):
        return [self.cutouts[int(r)] for r in rows]


def test_a_batch_of_mixed_sizes_keeps_its_order_and_tells_what_failed():
    rng = np.random.default_rng(2)
    cutouts = [rng.normal(size=(2, n, n)).astype(np.float32) for n in (8, 12, 8, 20)]
    cutouts += [Unreadable("gone"), np.full((2, 8, 8), np.nan, np.float32)]
    rows = np.array([3, 0, 4, 1, 5, 2])
    pixels, readable, problems = read_batch(Listed(cutouts), rows, 8)
    for position, row in enumerate(rows):
        if row < 4:
            np.testing.assert_allclose(pixels[position], resample(cutouts[row], 8), atol=1e-6)
    assert readable.tolist() == [True, True, False, True, False, True]
    assert problems == {4: "gone", 5: "no finite pixel"} and np.isnan(pixels[2]).all()


@pytest.mark.parametrize(
    "pixels, problem",
    [({"kind": "hologram", "root": "x"}, "not known"), ({"kind": "npz", "root": "x.npz"}, "are gone")],
)
def test_a_source_that_cannot_be_opened_is_told(tmp_path, pixels, problem):
    objects = pd.DataFrame({"id": ["a"], "ra": [0.0], "dec": [0.0], "pixels_index": [0]})
    survey = Survey.create(tmp_path / "a.survey", objects, pixels=pixels | {"bands": ["g"], "science": True})
    with pytest.raises(UserError, match=problem):
        open_source(survey)


def test_pixels_beside_the_survey_are_found_by_relative_path(tmp_path):
    np.savez(tmp_path / "x.npz", images=np.arange(50.0).reshape(2, 1, 5, 5))
    objects = pd.DataFrame({"id": ["a", "b"], "ra": 0.0, "dec": 0.0, "pixels_index": [1, 0]})
    survey = Survey.create(
        tmp_path / "a.survey",
        objects,
        pixels={"kind": "npz", "root": "../x.npz", "bands": ["g"], "science": True, "dataset": "images"},
    )
    assert survey.cutouts.read([0])[0][0, 0, 0] == 25
