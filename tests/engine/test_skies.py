"""Skies of many cameras: the same whatever the threads, all kinds, quantities that can be read off the pixels."""

import numpy as np
import pytest

from engine.training import skies as module
from engine.training.skies import KINDS, MIX, QUANTITIES, picture, skies


@pytest.fixture(scope="module")
def made():
    return skies(320, seed=4, size=64)


def test_the_same_seed_gives_the_same_skies_whatever_the_threads(monkeypatch):
    first = skies(70, seed=9, size=32)
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda pid: {0}, raising=False)
    again, other = skies(70, seed=9, size=32), skies(70, seed=10, size=32)
    for a, b in zip(vars(first).values(), vars(again).values()):
        assert np.array_equal(a, b, equal_nan=True)
    assert not np.array_equal(first.flux, other.flux)


def test_shapes_kinds_and_finite_pixels(made):
    assert made.flux.shape == made.pictures.shape == (320, 3, 64, 64)
    assert np.isfinite(made.flux).all() and made.pictures.dtype == np.uint8
    share = np.bincount(made.kinds, minlength=len(KINDS)) / len(made.kinds)
    assert share == pytest.approx(list(MIX.values()), abs=0.08) and sum(MIX.values()) == pytest.approx(1)


def test_the_sky_is_at_zero_and_its_noise_is_the_unit(made):
    corner = made.flux[:, 1, :6, :6].astype(np.float32).reshape(320, -1)
    assert abs(np.median(corner)) < 0.3
    spread = 1.48 * np.median(np.abs(corner - np.median(corner, axis=1, keepdims=True)))
    assert 0.2 < spread < 1.3  # less than one where a large cutout was averaged down


def test_what_is_brighter_is_brighter(made):
    """The signal that was asked for can be found in the middle of the flux."""
    smooth = np.isin(made.kinds, [KINDS.index(k) for k in ("dwarf", "elliptical", "spiral")])
    middle = made.flux[smooth, 1, 26:38, 26:38].astype(np.float32).mean(axis=(1, 2))
    asked = made.quantities[smooth, QUANTITIES.index("log signal")]
    assert np.corrcoef(np.arcsinh(middle), asked)[0, 1] > 0.7


def test_quantities_are_known_where_there_is_such_a_thing(made):
    resolved, point = made.kinds == KINDS.index("resolved"), made.kinds == KINDS.index("star")
    assert np.array_equal(np.isfinite(made.quantities[:, 2]), resolved)
    assert np.isnan(made.quantities[point, 0]).all() and np.isfinite(made.quantities[point, 3]).all()


def test_a_constant_or_empty_image_has_a_picture():
    rng = np.random.default_rng(0)
    for _ in range(30):
        assert picture(np.full((3, 16, 16), 7.0), rng).shape == (3, 16, 16)
