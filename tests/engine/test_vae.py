"""VAE: its loss against loops and torch's own divergence, only known pixels, a decoder one can look through."""

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from toys import batch, blobs, rng, with_gaps

from engine.encoders.autoencoder import Autoencoder
from engine.encoders.backbones import make, restore
from engine.errors import UserError
from engine.training import vae
from engine.training.vae import VAE

SMALL = {
    "convnet": {"widths": [8, 8, 16, 16], "blocks": [1, 1, 1, 1]},
    "vit-tiny": {"width": 32, "depth": 1, "heads": 2},
}


def inner(name="convnet", bands=2, size=32):
    torch.manual_seed(0)
    return make(name, bands=bands, size=size, **SMALL[name])


def method(**options):
    return VAE(inner(**options), latent=8)


def card(network, **other):
    rest = {"bands": [f"b{k}" for k in range(network.bands)], "asinh": True, "science": True}
    return {"backbone": network.settings, **rest, **other}


# -- losses ----------------------------------------------------------------------------------------------------------


def test_the_divergence_is_torchs_own():
    mean, log_variance = torch.randn(2, 5, 4, generator=rng())
    normal = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    standard = torch.distributions.Normal(torch.zeros(5, 4), torch.ones(5, 4))
    wanted = torch.distributions.kl_divergence(normal, standard).sum(dim=1)
    assert torch.allclose(vae.divergence(mean, log_variance), wanted, atol=1e-5)


def test_the_reconstruction_equals_its_loops_over_known_pixels():
    pixels, drawn = with_gaps(blobs(5, 2, 8)), torch.randn(5, 2, 8, 8, generator=rng())
    total = squares = count = 0.0
    for b in range(2):
        band = [
            (drawn[n, b, y, x] - pixels[n, b, y, x]).item() ** 2
            for n, y, x in np.ndindex(5, 8, 8)
            if torch.isfinite(pixels[n, b, y, x])
        ]
        total += 0.5 * len(band) * math.log(sum(band) / len(band) + vae.VARIANCE_FLOOR)
        squares, count = squares + sum(band), count + len(band)
    likelihood, error = vae.reconstruction(drawn, pixels)
    assert likelihood.item() == pytest.approx(total / count, rel=1e-5)
    assert error.item() == pytest.approx(squares / count, rel=1e-5)


def test_the_best_noise_of_a_band_is_its_residual():
    """No other standard deviation makes the pixels likelier: −log p = log σ + r² / 2σ² is least at σ² = mean r²."""
    residual = torch.randn(400, generator=rng()) * 0.3
    likelihood, _ = vae.reconstruction(residual.view(1, 1, 20, 20), torch.zeros(1, 1, 20, 20))
    others = [math.log(s) + (residual.square().mean() / (2 * s * s)).item() for s in np.linspace(0.1, 1, 200)]
    assert likelihood.item() + 0.5 == pytest.approx(min(others), abs=1e-3)


def test_what_is_drawn_where_nothing_is_known_does_not_matter():
    pixels, drawn = with_gaps(blobs(5, 2, 8)), torch.randn(5, 2, 8, 8, generator=rng(), requires_grad=True)
    vae.reconstruction(drawn, pixels)[0].backward()
    assert torch.equal(drawn.grad != 0, torch.isfinite(pixels))
    nothing = torch.full((2, 2, 8, 8), torch.nan)
    assert vae.reconstruction(torch.ones(2, 2, 8, 8), nothing)[0].item() == 0


# -- the method ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["convnet", "vit-tiny"])
def test_a_few_steps_draw_better_cutouts(name):
    learner, cutouts = method(name=name, size=16), batch(blobs(24, 2, 16))
    optimizer = torch.optim.AdamW(learner.parameters(), lr=3e-3)
    errors = []
    for step in range(30):
        terms = learner(cutouts, rng=rng(step), done=step / 30)
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
        errors.append(terms["error"].item())
    assert errors[-1] < 0.75 * errors[0] and terms["kl"].item() > 1
    shown = learner.picture(cutouts, rng=rng())
    assert shown.shape == (8, 2, 2, 16, 16) and learner.training
    assert np.square(shown[:, 0] - shown[:, 1]).mean() < np.square(shown[:, 0] - shown[:, 0].mean()).mean()


@pytest.mark.parametrize("bands", [1, 5])
def test_missing_pixels_bands_and_cutouts_leave_loss_and_gradients_finite(bands):
    learner = method(bands=bands)
    for pixels in (with_gaps(blobs(8, bands, 32)), torch.full((3, bands, 32, 32), torch.nan), blobs(1, bands, 32)):
        terms = learner(batch(pixels), rng=rng(), done=0.3)
        learner.zero_grad()
        terms["loss"].backward()
        assert torch.isfinite(terms["loss"])
        assert all(torch.isfinite(p.grad).all() for p in learner.parameters() if p.grad is not None)


# -- the network that ships ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["convnet", "vit-tiny"])
@pytest.mark.parametrize("size", [16, 48, 64])
def test_an_autoencoder_is_a_backbone_of_its_settings(name, size):
    network = Autoencoder(inner(name, 3, size), latent=8).eval()
    again = restore(json.loads(json.dumps(network.settings))).eval()
    again.load_state_dict(network.state_dict())
    pixels = with_gaps(blobs(5, 3, size))
    vectors = network(pixels)
    assert vectors.shape == (5, network.dimension) and torch.isfinite(vectors).all()
    assert torch.equal(again(pixels), vectors)
    assert again.reconstruct(pixels).shape == pixels.shape and torch.isfinite(again.reconstruct(pixels)).all()
    inside = [id(p) for layer in network.layers() for p in layer.parameters()]
    everything = {id(p) for p in network.parameters()} - {id(network.fill)}
    assert len(inside) == len(set(inside)) and set(inside) == everything


def test_a_walk_goes_from_one_object_to_the_other():
    network = Autoencoder(inner(), latent=8).eval()
    first, second = network(blobs(2, 2, 32))
    walk = network.walk(first, second, 5)
    assert torch.allclose(walk[[0, -1]], network.decode(torch.stack([first, second])), atol=1e-5)
    assert torch.allclose(walk[2:3], network.decode((0.5 * (first + second))[None]), atol=1e-5)


def test_the_decoder_of_a_finished_training_is_opened(tmp_path):
    network = method().encoder.eval()
    (tmp_path / "encoder.json").write_text(json.dumps(card(network)))
    half = {name: (v.half() if v.is_floating_point() else v).contiguous() for name, v in network.state_dict().items()}
    save_file(half, tmp_path / "encoder.safetensors")
    pixels = blobs(3, 2, 32)
    opened = vae.open_decoder(tmp_path)
    assert not opened.training
    assert torch.allclose(opened.reconstruct(pixels), network.reconstruct(pixels), atol=0.02)


def test_an_encoder_without_a_decoder_is_refused(tmp_path):
    plain = inner()
    (tmp_path / "encoder.json").write_text(json.dumps(card(plain)))
    save_file({name: v.contiguous() for name, v in plain.state_dict().items()}, tmp_path / "encoder.safetensors")
    with pytest.raises(UserError, match=r"has no decoder.*--method vae"):
        vae.open_decoder(tmp_path)
    with pytest.raises(UserError, match="no finished training"):
        vae.open_decoder(tmp_path / "nowhere")


def test_a_training_leaves_a_decoder_and_vectors_that_it_decodes(own_survey):
    own_survey.train("vae", name="seen", steps=3, size=32, batch=8, objects=24)
    opened = vae.open_decoder(own_survey.path / "models" / "seen")
    assert opened.dimension == vae.LATENT and opened.settings["inner"]["backbone"] == "convnet"
    walk = opened.walk(torch.zeros(vae.LATENT), torch.ones(vae.LATENT), 3)
    assert walk.shape == (3, len(own_survey.bands), 32, 32) and torch.isfinite(walk).all()
