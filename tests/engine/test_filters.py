"""Bands in order of wavelength, whatever survey they come from."""

import pytest

from engine.data.filters import by_wavelength, wavelength


@pytest.mark.parametrize(
    "bands",
    [
        ["u", "g", "r", "i", "z", "y"],
        ["f115w", "f150w", "f200w", "f277w", "f356w", "f410m", "f444w"],
        ["F435W", "F606W", "F814W", "F105W", "F160W"],
        ["HSC-G", "HSC-R", "HSC-I"],
        ["sdss_g", "sdss_r"],
        ["VIS", "Y", "J", "H"],
        ["f444w", "f560w", "f1000w"],
        ["g-band", "z-band"],
    ],
)
def test_known_bands_are_put_in_order(bands):
    assert by_wavelength(bands[::-1]) == bands


def test_unknown_bands_keep_their_order():
    assert by_wavelength(["z", "strange", "g"]) == ["z", "strange", "g"] and wavelength("images") is None


def test_hubble_counts_in_nanometres_and_webb_does_not():
    assert wavelength("f814w") == 0.814 and wavelength("f356w") == 3.56 and wavelength("nircam_f410m") == 4.1
