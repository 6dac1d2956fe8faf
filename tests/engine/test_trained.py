"""The encoder that a training left: which surveys it takes, and that its vectors are finite whatever it is given."""

import json
import shutil

import numpy as np
import pytest
import torch
from small_training import register, small_survey

from engine.data.pictures.stretch import Calibration
from engine.encoders import check_bands, load
from engine.encoders.scaling import scaled
from engine.encoders.trained import Trained
from engine.errors import UserError

register()
CALIBRATION = Calibration(np.zeros(2), np.ones(2), np.full(2, 50.0))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a training on g and r, and its survey."""
    survey = small_survey(tmp_path_factory.mktemp("trained") / "a.survey", 30)
    return survey.train("guess", name="mine", steps=20, size=16).folder, survey


def test_it_is_found_by_name_in_its_survey_and_by_its_folder_in_any(trained, tmp_path):
    folder, survey = trained
    for encoder in (load("mine", models=survey.path / "models"), load(str(folder))):
        assert (encoder.name, encoder.size, encoder.dimension, encoder.sample) == ("mine", 16, 6, 0)
        assert encoder.bands == ("g", "r") and "30 objects" in encoder.trained_on and encoder.dtype == np.float16
    other = small_survey(tmp_path / "b.survey", 20, side=33, seed=2)  # of another size
    made = other.embed(str(folder), thumbnails=False)
    assert made.name == "mine" and made.vectors.shape == (20, 6) and made.valid.all()


def test_vectors_are_those_of_the_network(trained):
    encoder = Trained(trained[0])
    pixels = np.random.default_rng(0).normal(3, 5, (7, 2, 16, 16)).astype(np.float32)
    wanted = encoder.network(scaled(pixels, CALIBRATION, True))
    found = encoder(encoder.prepare(pixels, CALIBRATION, True))
    torch.testing.assert_close(found, wanted, rtol=0.05, atol=0.02)  # bfloat16


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0, 1e30, -1e30])
def test_vectors_are_always_finite(trained, value):
    encoder = Trained(trained[0])
    pixels = np.random.default_rng(0).normal(3, 5, (3, 2, 16, 16)).astype(np.float32)
    pixels[0] = value
    pixels[1, 0] = value
    pixels[2, :, 3] = value
    for science in (True, False):
        assert torch.isfinite(encoder(encoder.prepare(pixels, CALIBRATION, science))).all()


def test_known_bands_are_put_in_order(trained, tmp_path):
    encoder, swapped = Trained(trained[0]), Trained(trained[0])
    pixels = np.random.default_rng(0).normal(3, 5, (5, 2, 16, 16)).astype(np.float32)
    check_bands(swapped, ("r", "g"))
    first = encoder(encoder.prepare(pixels, CALIBRATION, True))
    assert torch.equal(swapped(swapped.prepare(pixels[:, ::-1], CALIBRATION, True)), first)
    check_bands(swapped, ("g", "r"))
    assert torch.equal(swapped(swapped.prepare(pixels, CALIBRATION, True)), first)


def test_other_filters_and_other_numbers_are_refused_naming_both(trained, tmp_path):
    encoder = Trained(trained[0])
    for bands in (("g", "i"), ("g", "r", "i"), ("one", "two", "three")):
        with pytest.raises(UserError, match=rf"trained on 2 bands \(g r\), .* has {len(bands)} bands \({bands[0]} "):
            check_bands(encoder, bands)
    check_bands(encoder, ("one", "two"))  # nobody knows what they are: as many will do
    other = small_survey(tmp_path / "b.survey", 5, bands=("i", "z"))
    with pytest.raises(UserError, match=r"g r.*i z.*skysieve-base"):
        other.embed(str(trained[0]))
    assert not (other.path / "representations").exists()


def test_what_is_not_whole_is_refused(trained, tmp_path):
    with pytest.raises(UserError, match="no finished training"):
        Trained(tmp_path)
    folder = shutil.copytree(trained[0], tmp_path / "copy")
    assert Trained(folder).identity == Trained(trained[0]).identity
    card = json.loads((folder / "encoder.json").read_text())
    card["backbone"]["width"] = 7
    (folder / "encoder.json").write_text(json.dumps(card))
    with pytest.raises(UserError, match="does not hold a whole encoder"):
        Trained(folder)
    (folder / "encoder.safetensors").write_bytes(b"broken")
    with pytest.raises(UserError, match="does not hold a whole encoder"):
        Trained(folder)
