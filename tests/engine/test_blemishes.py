"""Every fault spoils its stamp, in its own way, and nothing else does."""

import numpy as np
import pytest

from engine.data.simulation import blemishes
from engine.data.simulation.blemishes import ARTEFACTS, MISHAPS, Stamp

SIZE = 64
NOISE = np.array([0.005, 0.007, 0.015])


def stamp() -> Stamp:
    shape = (3, SIZE, SIZE)
    return Stamp(np.zeros(shape, np.float32), np.zeros(shape, bool), NOISE, np.array([31.5, 31.5]))


@pytest.mark.parametrize("name, spoil", [*ARTEFACTS.items(), *((k, v[1]) for k, v in MISHAPS.items())])
def test_each_fault_shows_and_leaves_something(name, spoil):
    for seed in range(20):
        spoilt = stamp()
        spoil(spoilt, np.random.default_rng(seed))
        assert np.isfinite(spoilt.sky).all()
        assert not spoilt.missing.all(), "an object must keep some pixels"
        if name == "faint trail":
            continue  # it may cross a corner only
        assert spoilt.missing.any() or (np.abs(spoilt.sky) > 0.3 * NOISE[:, None, None]).any()
        assert spoilt.missing.any() == (name in ("edge", "corner", "no band"))


def test_an_artefact_lies_in_the_middle():
    for name in ("trail", "column", "cosmic"):
        spoilt = stamp()
        ARTEFACTS[name](spoilt, np.random.default_rng(3))
        peak = np.abs(spoilt.sky[:, 20:44, 20:44]).max()
        assert peak > 0.5 * np.abs(spoilt.sky).max()


def test_line_is_a_rotation():
    along, across = blemishes.line(10.0, 20.0, 0.7, SIZE)
    y, x = np.indices((SIZE, SIZE))
    np.testing.assert_allclose(np.hypot(along, across), np.hypot(x - 10.0, y - 20.0), rtol=1e-5, atol=1e-5)
    assert along[20, 10] == across[20, 10] == 0


def test_faults_befall_artefacts_always_and_others_seldom():
    names = np.array(["", "trail", "ghost"] * 5000, object)
    found = blemishes.faults(np.random.default_rng(0), names)
    assert all(f is ARTEFACTS[n] for f, n in zip(found, names) if n)
    others = [f for f, n in zip(found, names) if not n]
    wanted = sum(share for share, _ in MISHAPS.values())
    assert np.mean([f is not None for f in others]) == pytest.approx(wanted, abs=0.01)
