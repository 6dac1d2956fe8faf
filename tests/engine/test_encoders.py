"""The registry, and what every encoder owes: finite vectors whatever the pixels, the same alone as in a batch."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from engine import cli, files
from engine.data.cutouts import resample_batch
from engine.data.pictures.stretch import Calibration
from engine.encoders import CARD, ENCODERS, Card, cards, check_bands, load, parameters
from engine.errors import UserError


def calibration(bands: int) -> Calibration:
    return Calibration(np.zeros(bands), np.full(bands, 0.5), np.full(bands, 50.0))


def galaxies(count: int, bands: int, side: int, *, seed: int = 0) -> np.ndarray:
    """Gaussian blobs over noise, (count, bands, side, side)."""
    rng = np.random.default_rng(seed)
    axis = np.arange(side) - (side - 1) / 2
    radius = rng.uniform(1, 5, (count, 1, 1, 1))
    light = rng.exponential(20, (count, bands, 1, 1)) * np.exp(-0.5 * (axis[:, None] ** 2 + axis**2) / radius**2)
    return (light + rng.normal(0, 0.5, (count, bands, side, side))).astype(np.float32)


def encoded(encoder, pixels: np.ndarray, *, science: bool = True) -> np.ndarray:
    small = resample_batch(pixels, encoder.size)
    return encoder(encoder.prepare(small, calibration(pixels.shape[1]), science)).numpy()


def ready(name: str, bands: int, science: bool = True):
    """An encoder, fitted if it wants that."""
    encoder = load(name)
    if encoder.sample:
        encoder.fit(resample_batch(galaxies(40, bands, 40), encoder.size), calibration(bands), science)
    return encoder


def test_an_unknown_encoder_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match=r"no encoder 'resnet'.*skysieve-base, pixels"):
        load("resnet")


def finished(folder, *, bands=("g", "r"), size=32):
    """The folder of a training, as it is left; returns the network's settings."""
    from engine.encoders.backbones import make

    torch.manual_seed(1)
    network = make("convnet", bands=len(bands), size=size)
    folder.mkdir(parents=True)
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, folder / "encoder.safetensors")
    card = {"bands": list(bands), "asinh": True, "backbone": network.settings, "size": size, "licence": "CC0"}
    files.write_json(folder / CARD, card | {"dimension": network.dimension, "trained_on": "two stars"})
    return network


def test_a_trained_encoder_is_known_by_name_in_its_survey_and_by_folder_in_any(tmp_path):
    finished(tmp_path / "models" / "mine")
    by_name, by_folder = load("mine", models=tmp_path / "models"), load(str(tmp_path / "models" / "mine"))
    assert by_name.identity == by_folder.identity and by_name.name == by_folder.name == "mine"
    with pytest.raises(UserError, match=r"no encoder 'mine'.*skysieve-base"):
        load("mine")
    with pytest.raises(UserError, match=r"no encoder 'yours'.*pixels, mine"):
        load("yours", models=tmp_path / "models")


def test_a_name_leads_to_no_folder_outside_the_models(tmp_path):
    finished(tmp_path / "elsewhere")
    (tmp_path / "models").mkdir()
    with pytest.raises(UserError, match="no encoder"):
        load("../elsewhere", models=tmp_path / "models")


def test_an_unfinished_training_says_how_to_go_on(tmp_path):
    files.write_json(tmp_path / "half" / "settings.json", {})
    with pytest.raises(UserError, match=r"'half' is not finished.*train"):
        load("half", models=tmp_path)


def test_a_model_folder_says_how_to_name_it(tmp_path):
    files.write_json(tmp_path / "vit" / "config.json", {})
    with pytest.raises(UserError, match=r"write hf:.*vit or timm:"):
        load(str(tmp_path / "vit"))


@pytest.mark.parametrize("name", ENCODERS)
def test_the_size_of_an_own_encoder_cannot_be_chosen(name):
    with pytest.raises(UserError, match="resampled"):
        load(name, size=100)


@pytest.mark.parametrize("name", ENCODERS)
def test_cards_say_what_the_encoder_says(name):
    card = next(c for c in cards() if c.name == name)
    encoder = ready(name, 3)
    for key in ("name", "size", "bands", "normalisation", "licence", "trained_on"):
        assert getattr(card, key) == getattr(encoder, key), key
    assert card.dimension >= encoder.dimension and card.licence and card.trained_on


def test_parameters_are_counted_without_loading_them(tmp_path):
    network = finished(tmp_path / "mine")
    assert parameters(tmp_path / "mine" / "encoder.safetensors") == sum(
        v.numel() for v in network.state_dict().values()
    )
    assert parameters(tmp_path / "nothing") == 0


def test_cards_of_damaged_trainings_are_left_out(tmp_path):
    finished(tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / CARD).write_text("{", encoding="utf-8")
    files.write_json(tmp_path / "empty" / CARD, {})
    finished(tmp_path / "torn")
    (tmp_path / "torn" / "encoder.safetensors").write_bytes(b"123")
    found = {c.name: c for c in cards(tmp_path)}
    assert set(found) == {*ENCODERS, "good"}
    assert found["good"].bands == ("g", "r") and found["good"].trained_on == "two stars"


@pytest.mark.parametrize(
    "wanted, bands, good",
    [
        (None, "g r i z", True),
        (3, "g r i", True),
        (3, "g r", False),
        (1, "g", True),
        (("g", "r"), "g r", True),
        (("g", "r"), "r g", False),
        (("g", "r"), "g r i", False),
        (("g", "r"), "u z", False),
    ],
)
def test_bands_that_an_encoder_cannot_take_are_refused_with_a_remedy(wanted, bands, good):
    card = Card("some", 64, 8, 0, wanted, "", "", "")
    if good:
        check_bands(card, bands.split())
        return
    with pytest.raises(UserError, match=rf"this survey has {len(bands.split())} \({bands}\).*skysieve-base"):
        check_bands(card, bands.split())


def test_the_command_lists_shipped_and_own_encoders(make_survey, capsys):
    survey = make_survey(3)
    finished(survey.path / "models" / "mine")
    assert cli.main(["encoders", str(survey.path), "--json"]) == 0
    found = {e["name"]: e for e in json.loads(capsys.readouterr().out)["encoders"]}
    assert set(found) == {*ENCODERS, "mine"}
    assert found["mine"]["licence"] == "CC0" and found["mine"]["bands"] == ["g", "r"]
    assert cli.main(["encoders"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(ENCODERS) and all(name in line for name, line in zip(ENCODERS, lines[1:]))


def test_listing_loads_no_transformers():
    code = "import sys; from engine.encoders import cards; cards(); assert 'transformers' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5, 7, 12])
def test_any_number_of_bands_gives_finite_vectors_of_the_stated_length(name, bands):
    encoder = ready(name, bands)
    vectors = encoded(encoder, galaxies(6, bands, 50))
    assert vectors.shape == (6, encoder.dimension) and vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    assert np.ptp(vectors, axis=0).max() > 0.1


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("side", [(1, 1), (2, 2), (3, 7), (63, 65), (150, 20)])
@pytest.mark.parametrize("science", [True, False])
def test_any_size_gives_finite_vectors(name, side, science):
    encoder = ready(name, 3, science)
    pixels = galaxies(2, 3, 150)[..., : side[0], : side[1]]
    assert np.isfinite(encoded(encoder, pixels, science=science)).all()


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("science", [True, False])
def test_missing_and_absurd_pixels_give_finite_vectors(name, science):
    pixels = galaxies(9, 3, 64)
    pixels[0, 1] = np.nan
    pixels[1] = np.nan
    pixels[2, :, 20:] = np.nan
    pixels[3] = 7.0
    pixels[4] = 0.0
    pixels[5] = 3e38
    pixels[6, 0, 5, 5] = np.inf
    pixels[7, 2, 5, 5] = -np.inf
    pixels[8, :, ::2] = np.nan
    encoder = ready(name, 3, science)
    vectors = encoder(encoder.prepare(resample_batch(pixels, encoder.size), calibration(3), science)).numpy()
    assert np.isfinite(vectors).all()
    assert np.isfinite(vectors.astype(encoder.dtype)).all()


@pytest.mark.parametrize("name", ENCODERS)
def test_noise_of_zero_does_not_divide_by_zero(name):
    encoder = ready(name, 1)
    flat = Calibration(np.zeros(1), np.full(1, 1e-38), np.ones(1))
    pixels = resample_batch(galaxies(3, 1, 64), encoder.size)
    assert np.isfinite(encoder(encoder.prepare(pixels, flat, True)).numpy()).all()


@pytest.mark.parametrize("name", ENCODERS)
def test_a_batch_gives_what_its_cutouts_give_one_by_one(name):
    encoder = ready(name, 3)
    pixels = galaxies(12, 3, 64)
    together = encoded(encoder, pixels)
    alone = np.concatenate([encoded(encoder, pixels[k : k + 1]) for k in range(12)])
    assert np.abs(together - alone).max() <= 0.05 * together.std()


@pytest.mark.parametrize("name", ENCODERS)
def test_two_of_one_name_agree_to_the_bit(name):
    first, second = ready(name, 3), ready(name, 3)
    pixels = galaxies(20, 3, 64)
    assert first.identity == second.identity
    assert np.array_equal(encoded(first, pixels), encoded(second, pixels))
