"""Pictures of what a method makes of cutouts."""

import numpy as np
import pytest

from engine.training.pictures import BETWEEN, MASKED, mosaic

GREY, GAP = (round(v * 255) for v in (MASKED, BETWEEN))


def views(bands=3, size=32, rows=2, columns=3):
    return np.random.default_rng(0).normal(0, 1, (rows, columns, bands, size, size)).astype(np.float32)


@pytest.mark.parametrize("bands", [1, 2, 3, 5, 12])
@pytest.mark.parametrize("size, shown", [(8, 64), (24, 72), (64, 64), (100, 100)])
def test_a_cutout_is_at_least_64_pixels_and_gaps_are_two(bands, size, shown):
    picture = mosaic(views(bands, size), science=True)
    assert picture.shape == (2 * shown + 2, 3 * shown + 4, 3) and picture.dtype == np.uint8
    assert (picture[shown : shown + 2] == GAP).all() and (picture[:, shown : shown + 2] == GAP).all()


def test_a_row_is_on_the_scale_of_its_first_column():
    given = views(1, 64)
    given[1] *= 100  # rows do not depend on each other
    given[:, 2] = given[:, 0]
    picture = mosaic(given, science=True)
    first, third = picture[:64, :64], picture[:64, 132:]
    assert np.array_equal(first, third) and first.min() == 0 and first.max() == 255
    assert picture[66:, :64].std() == pytest.approx(first.std(), rel=0.1)


def test_masked_pixels_are_grey_in_each_colour_and_reddest_is_red():
    given = views(3, 64)
    given[0, 1, 2] = np.nan  # the reddest band of flux
    given[0, 2] = np.nan
    picture = mosaic(given, science=True)
    masked, nothing = picture[:64, 66:130], picture[:64, 132:]
    assert (masked[..., 0] == GREY).all() and masked[..., 2].std() > 20 and (nothing == GREY).all()
    assert (mosaic(given, science=False)[:64, 66:130, 2] == GREY).all()


def test_a_cutout_without_a_known_pixel_or_without_contrast():
    given = views(2, 16)
    given[0] = np.nan
    given[1] = 3.0
    assert (mosaic(given, science=True)[:64, :64] == GREY).all()
