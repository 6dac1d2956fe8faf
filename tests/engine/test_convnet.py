"""skysieve-base's network: its input whatever the survey, its weights, its equivalences."""

import shutil

import numpy as np
import pytest
import torch

from engine.data.pictures.stretch import Calibration
from engine.encoders.convnet import ASSETS, FAINTEST_PEAK, PICTURE_NOISE, Convnet, Network, channels, planes
from engine.encoders.scaling import CEILING
from engine.errors import UserError

UNIT = Calibration(np.zeros(3), np.ones(3), np.full(3, 100.0))


def test_science_and_pictures_come_red_first():
    blue_to_red = np.zeros((1, 3, 16, 16), np.float32)
    blue_to_red[:, 2, 6:10, 6:10] = 50.0  # light in the reddest band
    red_green_blue = blue_to_red[:, ::-1]
    science = channels(blue_to_red, UNIT, True)
    picture = channels(np.ascontiguousarray(red_green_blue), UNIT, False)
    assert science[0, 0].max() == 50 and science[0, 1:].max() == 0
    assert picture[0, 0].max() == pytest.approx(50 / PICTURE_NOISE) and picture[0, 1:].max() == 0


def test_flux_is_measured_in_units_of_each_bands_noise_above_its_sky():
    calibration = Calibration(np.array([1.0, 2.0, 3.0]), np.array([0.1, 0.2, 0.3]), np.ones(3))
    flux = np.array([1.0, 2.0, 3.0])[:, None, None] + 5 * np.array([0.1, 0.2, 0.3])[:, None, None] * np.ones((3, 8, 8))
    assert channels(flux[None].astype(np.float32), calibration, True) == pytest.approx(5, rel=1e-4)


def test_a_picture_is_taken_above_its_own_border():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 40, (1, 3, 64, 64)).astype(np.float32)
    brighter = picture + np.array([90, 60, 30], np.float32)[:, None, None]
    assert channels(brighter, UNIT, False) == pytest.approx(channels(picture, UNIT, False), abs=1e-6)


def test_a_picture_is_in_units_of_its_own_noise_unless_its_sky_is_black():
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(1, 3, 64, 64)).astype(np.float32)
    light = np.zeros((1, 3, 64, 64), np.float32)
    light[..., 30:34, 30:34] = 60
    rough, smooth = (channels(60 + sd * noise + light, UNIT, False) for sd in (10.0, 3.0))
    assert rough[..., 30:34, 30:34].mean() == pytest.approx(6, rel=0.15)
    assert smooth[..., 30:34, 30:34].mean() == pytest.approx(20, rel=0.15)
    assert channels(light, UNIT, False).max() == pytest.approx(60 / PICTURE_NOISE)


def test_signal_to_noise_survives_the_scaling():
    signal = torch.tensor([0.0, 1.0, 1e3, CEILING])[:, None, None, None].expand(4, 3, 8, 8)
    faint = planes(signal)[:, 0, 0, 0]
    assert torch.all(faint.diff() > 0.2) and faint[-1] < 4


def test_bright_structure_is_seen_relative_to_its_peak_and_noise_is_not_blown_up():
    image = torch.zeros(1, 3, 16, 16)
    image[..., 4:8, 4:8] = 100.0
    image[..., 8:12, 4:8] = 50.0
    for brighter in (1.0, 40.0):
        bright = planes(brighter * image)[0, 3]
        assert bright[5, 5] == pytest.approx(1) and bright[9, 5] == pytest.approx(0.5)
    assert planes(image / 100)[0, 3].max() == pytest.approx(1 / FAINTEST_PEAK)


def test_what_is_known_is_said_and_what_is_missing_is_sky():
    signal = torch.randn(2, 3, 8, 8)
    signal[0, :, 2] = torch.nan
    signal[1, 0, 3] = torch.nan
    made = planes(signal)
    assert torch.isfinite(made).all()
    assert torch.all(made[0, 6, 2] == 0) and torch.all(made[1, 6] == 1) and torch.all(made[1, 0, 3] == 0)


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
    network = Network(stem=8, widths=(8, 16), blocks=(1, 1), dimension=10, size=32).eval()
    with torch.inference_mode():
        assert network(torch.randn(3, 3, 32, 32)).shape == (3, 10)
