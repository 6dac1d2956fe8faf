"""Training: losses against slow twins, a loop that learns and repeats itself."""

import numpy as np
import pytest
import torch

from engine.encoders.convnet import Convnet
from engine.errors import UserError
from engine.training import base
from engine.training.examples import CLASSES, PICTURES, UNIT, Examples, held_out, many_skies, picture_sets, simulated

SETTINGS = {"stem": 8, "widths": (8, 16), "blocks": (1, 1), "dimension": 16, "size": 32}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blobs(count: int, *, seed: int = 0) -> Examples:
    """Small and large blobs: the class and the logarithm of the radius can be seen."""
    rng = np.random.default_rng(seed)
    axis = np.arange(32) - 15.5
    large = rng.integers(0, 2, count)
    radius = np.where(large, 6.0, 2.0) * rng.uniform(0.8, 1.2, count)
    light = 30 * np.exp(-0.5 * (axis[:, None] ** 2 + axis**2) / radius[:, None, None] ** 2)
    pixels = light[:, None] + rng.normal(size=(count, 3, 32, 32))
    return Examples(
        "blobs",
        pixels.astype(np.float16),
        UNIT,
        True,
        {"class": torch.from_numpy(large), "quantities": torch.from_numpy(np.log(radius)[:, None]).float()},
    )


# -- losses ---------------------------------------------------------------------------------------------------------


def slow_vicreg(first: np.ndarray, second: np.ndarray) -> float:
    """VICReg by loops, from the paper's equations."""
    n, d = first.shape
    invariance = np.mean([(first[i, j] - second[i, j]) ** 2 for i in range(n) for j in range(d)])
    variance = covariance = 0.0
    for view in (first, second):
        mean = view.mean(axis=0)
        variance += sum(max(0.0, 1 - np.sqrt(np.var(view[:, j], ddof=1) + 1e-4)) for j in range(d)) / d / 2
        for i in range(d):
            for j in range(d):
                if i != j:
                    c = sum((view[k, i] - mean[i]) * (view[k, j] - mean[j]) for k in range(n)) / (n - 1)
                    covariance += c**2 / d
    return base.VICREG[0] * invariance + base.VICREG[1] * variance + base.VICREG[2] * covariance


@pytest.mark.parametrize("n, d", [(2, 2), (7, 3), (12, 5)])
def test_vicreg_equals_its_loops(n, d):
    first, second = torch.randn(2, n, d, generator=generator(), dtype=torch.float64) * 0.7
    assert base.vicreg(first, second).item() == pytest.approx(slow_vicreg(first.numpy(), second.numpy()))


@pytest.mark.parametrize(
    "name, target",
    [
        ("class", torch.tensor([1, -1, 0, -1])),
        ("votes", torch.tensor([[0.2], [torch.nan], [0.9], [torch.nan]])),
        ("quantities", torch.tensor([[0.2], [torch.nan], [3.0], [torch.nan]])),
    ],
)
def test_unknown_targets_do_not_count(name, target):
    given = torch.randn(4, 3 if name == "class" else 1, generator=generator())
    assert base.target_loss(name, given, target).item() == pytest.approx(
        base.target_loss(name, given[::2], target[::2]).item()
    )
    assert base.target_loss(name, given[1::2], target[1::2]).item() == 0


# -- the loop -------------------------------------------------------------------------------------------------------


def test_a_few_steps_lower_the_loss_and_the_same_seed_gives_the_same_weights(monkeypatch):
    monkeypatch.setattr(base, "has_bfloat16", lambda device: False)  # its products round by where memory happens to lie
    sets = [blobs(200), Examples("plain", blobs(60, seed=1).pixels, PICTURES, False, {})]
    runs = [base.fit(sets, [24, 8], steps=30, settings=SETTINGS, seed=seed) for seed in (3, 3, 4)]
    losses = runs[0].losses
    assert losses[-1]["total"] < 0.8 * losses[0]["total"] and losses[-1]["class"] < losses[0]["class"]
    states = [run.network.state_dict() for run in runs]
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    assert not all(torch.equal(states[0][k], states[2][k]) for k in states[0])


def test_training_leaves_the_global_random_state_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    base.fit([blobs(40)], [8], steps=2, settings=SETTINGS)
    assert torch.equal(before, torch.get_rng_state())


def test_what_is_saved_encodes_as_what_was_trained(tmp_path):
    trained = base.fit([blobs(80)], [16], steps=10, settings=SETTINGS)
    base.save_encoder(trained, tmp_path, "small", {"network": SETTINGS, "licence": "", "data": {}})
    encoder = Convnet("small", assets=tmp_path)
    batch = torch.randn(5, 3, 32, 32, generator=generator())
    with torch.inference_mode():
        wanted = trained.network(batch)
    assert torch.allclose(encoder(batch), wanted, atol=0.05 * wanted.std().item())


def test_simulated_examples_know_their_classes():
    found = simulated(60, seed=3, dwarf_fraction=0.1)
    assert found.science and len(found) == 60
    assert (found.targets["class"] == CLASSES.index("dwarf")).sum() == 6
    assert found.signal(np.arange(5), 32).shape == (5, 3, 32, 32)


def test_skies_come_as_flux_and_as_pictures_of_the_same_objects():
    flux, pictures = many_skies(40, seed=3, size=48)
    assert flux.science and not pictures.science and pictures.pixels.dtype == np.uint8
    assert flux.targets["kind"] is pictures.targets["kind"]
    both = [s.signal(np.arange(40), 48)[:, 1].flatten(1) for s in (flux, pictures)]
    alike = [np.corrcoef(a, b)[0, 1] for a, b in zip(*(np.arcsinh(x.numpy()) for x in both))]
    assert np.median(alike) > 0.5


def test_one_object_in_five_is_held_out_for_ever():
    share = np.mean([held_out(str(k)) for k in range(5000)])
    assert share == pytest.approx(0.2, abs=0.02)
    assert held_out("100008") == held_out(100008)


def test_folders_without_a_training_set_are_refused(tmp_path):
    with pytest.raises(UserError, match="none of the training sets"):
        picture_sets([tmp_path], size=64)


def test_the_recipe_runs_on_real_pictures_and_leaves_out_what_it_is_told(shared_data, tmp_path, monkeypatch):
    monkeypatch.setattr(base, "BASE", SETTINGS | {"size": 64})
    monkeypatch.setattr(base, "SIMULATED", 60)
    monkeypatch.setattr(base, "SKIES", 40)
    left_out = [f"--without={name}" for name in ("gz2", "csst_dwarfs", "gz_examples")]
    base.main([str(shared_data), "--out", str(tmp_path), "--steps", "2", *left_out])
    encoder = Convnet("skysieve-base", assets=tmp_path)
    assert set(encoder.card["data"]) == {"simulated", "skies", "skies as pictures", "star_galaxy"}
    assert encoder.card["data"]["star_galaxy"] > 3000 and encoder.dimension == 16
