"""skysieve-base's network: its input whatever the survey, its weights, its equivalences."""

import shutil

import numpy as np
import pytest
import torch

from engine.data.stretch import Calibration
from engine.encoders.convnet import ASSETS, CEILING, Convnet, Network, channels, scale
from engine.errors import UserError

UNIT = Calibration(np.zeros(3), np.ones(3), np.full(3, 100.0))


def test_science_and_pictures_come_red_first():
    blue_to_red = np.zeros((1, 3, 16, 16), np.float32)
    blue_to_red[:, 2, 6:10, 6:10] = 50.0  # light in the reddest band
    red_green_blue = blue_to_red[:, ::-1]
    science = channels(blue_to_red, UNIT, True)
    picture = channels(np.ascontiguousarray(red_green_blue), UNIT, False)
    assert science[0, 0].max() == 50 and science[0, 1:].max() == 0
    assert picture[0, 0].max() == pytest.approx(50 / 255) and picture[0, 1:].max() == 0


def test_flux_is_measured_in_units_of_each_bands_noise_above_its_sky():
    calibration = Calibration(np.array([1.0, 2.0, 3.0]), np.array([0.1, 0.2, 0.3]), np.ones(3))
    flux = np.array([1.0, 2.0, 3.0])[:, None, None] + 5 * np.array([0.1, 0.2, 0.3])[:, None, None] * np.ones((3, 8, 8))
    assert channels(flux[None].astype(np.float32), calibration, True) == pytest.approx(5, rel=1e-4)


def test_a_picture_is_taken_above_its_own_border():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 40, (1, 3, 64, 64)).astype(np.float32)
    brighter = picture + np.array([90, 60, 30], np.float32)[:, None, None]
    assert channels(brighter, UNIT, False) == pytest.approx(channels(picture, UNIT, False), abs=1e-6)


def test_signal_to_noise_survives_the_scaling():
    flux = torch.tensor([0.0, 1.0, 1e3, CEILING])[:, None, None, None].expand(4, 3, 8, 8)
    scaled = scale(flux, True)[:, 0, 0, 0]
    assert torch.all(scaled.diff() > 0.2) and scaled[-1] < 4


def test_scaling_is_per_cutout_where_kinds_are_mixed_and_says_what_is_known():
    linear = torch.randn(4, 3, 8, 8)
    linear[0, :, 2] = torch.nan
    linear[1, 0, 3] = torch.nan
    mixed = scale(linear, torch.tensor([True, False, True, False]))
    assert torch.equal(mixed[::2], scale(linear[::2], True)) and torch.equal(mixed[1::2], scale(linear[1::2], False))
    assert torch.all(mixed[0, 3, 2] == 0) and torch.all(mixed[1:, 3] == 1)


def test_the_network_shipped_fits_its_card():
    encoder = Convnet("skysieve-base")
    assert encoder.card["licence"] == "BSD-3-Clause" and encoder.dimension == encoder.card["network"]["dimension"]
    assert (ASSETS / "skysieve-base.safetensors").stat().st_size < 25e6


def test_missing_weights_name_the_remedy(tmp_path):
    with pytest.raises(UserError, match="full checkout"):
        Convnet("skysieve-base", assets=tmp_path)


@pytest.mark.parametrize("damage", ["cut", "another"])
def test_damaged_weights_are_refused(tmp_path, damage):
    for file in ("skysieve-base.json", "skysieve-base.safetensors"):
        shutil.copy(ASSETS / file, tmp_path)
    weights = tmp_path / "skysieve-base.safetensors"
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:1000])
    else:
        from safetensors.torch import save_file

        save_file({"stem.0.weight": torch.zeros(2, 2)}, weights)
    with pytest.raises(UserError, match="restore it"):
        Convnet("skysieve-base", assets=tmp_path)


def test_a_network_of_other_widths_runs():
    network = Network(widths=(8, 16), blocks=(1, 1), dimension=10, size=32).eval()
    with torch.inference_mode():
        assert network(torch.randn(3, 4, 32, 32)).shape == (3, 10)
