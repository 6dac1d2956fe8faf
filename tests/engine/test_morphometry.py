"""Measures of an image: unchanged by flips and turns, finite for anything, and about what they say."""

import pytest
import torch

from engine.training.morphometry import COUNT, LEVELS, RINGS, ZONES, measures

SIDE = 64


def source(x: float, y: float, *, flux: float = 50.0, width: float = 3.0) -> torch.Tensor:
    axis = torch.arange(SIDE) - (SIDE - 1) / 2
    light = flux * torch.exp(-0.5 * ((axis[None, :] - x) ** 2 + (axis[:, None] - y) ** 2) / width**2)
    return light.expand(1, 3, SIDE, SIDE).clone()


def shape(signal: torch.Tensor) -> dict[str, float]:
    return dict(zip(("asymmetry", "clumpiness", "gini", "moment", "elongation"), measures(signal)[0, -5:].tolist()))


def counts(signal: torch.Tensor) -> torch.Tensor:
    """Numbers of maxima, (levels, zones)."""
    first = 4 * (len(RINGS) - 1)
    found = measures(signal)[0, first : first + len(LEVELS) * (len(ZONES) - 1)]
    return torch.expm1(found).reshape(len(LEVELS), -1).round()


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("flipped", [False, True])
def test_flips_and_quarter_turns_change_nothing(turns, flipped):
    signal = torch.randn(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) + source(6, -3)
    moved = torch.rot90(signal, turns, (2, 3))
    moved = moved.flip(3) if flipped else moved
    assert torch.allclose(measures(moved), measures(signal), atol=1e-4)


@pytest.mark.parametrize("value", [0.0, -3.0, 1e6, torch.nan])
def test_constant_and_missing_images_have_finite_measures(value):
    found = measures(torch.full((2, 3, SIDE, SIDE), value))
    assert found.shape == (2, COUNT) and torch.isfinite(found).all()


def test_rings_hold_the_mean_of_what_is_in_them():
    signal = torch.full((1, 3, SIDE, SIDE), 7.0)
    signal[:, 1] = 2.0
    rings = torch.sinh(measures(signal)[0, : 4 * (len(RINGS) - 1)]).reshape(4, -1)
    assert torch.allclose(rings[0], torch.tensor(7.0), atol=1e-3) and torch.allclose(
        rings[1], torch.tensor(2.0), atol=1e-3
    )
    assert rings[3].abs().max() < 0.05


def test_maxima_are_counted_by_level_and_zone():
    signal = (
        source(0.5, 0.5, width=1.5)
        + source(20.5, 3.5, flux=20.0, width=1.5)
        + source(-14.5, -18.5, flux=20.0, width=1.5)
    )
    found = counts(signal)
    assert found[0].tolist() == [1, 0, 2] and found[2].tolist() == [1, 0, 2] and found[-1].tolist() == [0, 0, 0]


def test_shape_follows_its_name():
    round_one, off = shape(source(0, 0)), shape(source(6, 0))
    assert round_one["asymmetry"] < 0.05 < off["asymmetry"]
    long = source(-6, 0, width=2) + source(0, 0, width=2) + source(6, 0, width=2)
    assert round_one["elongation"] < 0.05 and shape(long)["elongation"] > 0.5
    assert shape(source(0, 0, width=6))["moment"] > round_one["moment"]
    assert shape(source(0, 0, width=2))["gini"] > shape(source(0, 0, width=8))["gini"]
    knots = sum((source(x, y, width=1.0) for x, y in ((0, 0), (8, 2), (-5, 7), (3, -9))), torch.zeros(1))
    assert shape(knots)["clumpiness"] > 2 * shape(source(0, 0, width=6))["clumpiness"]
