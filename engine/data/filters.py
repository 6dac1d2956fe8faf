"""Photometric filters: where in the spectrum a band lies, from its name, so that bands can be put in order.

Only the order matters here, so that one effective wavelength a letter is enough whatever the instrument.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

#: Effective wavelength of letters and named bands, micrometres (SDSS, Johnson, UKIDSS, Euclid, GALEX, WISE, IRAC).
LETTERS = {
    "fuv": 0.153,
    "nuv": 0.227,
    "u": 0.355,
    "b": 0.44,
    "g": 0.475,
    "v": 0.55,
    "r": 0.622,
    "vis": 0.71,
    "i": 0.763,
    "z": 0.905,
    "y": 0.98,
    "j": 1.25,
    "h": 1.65,
    "k": 2.2,
    "ks": 2.15,
    "w1": 3.35,
    "w2": 4.6,
    "w3": 11.6,
    "w4": 22.1,
    "ch1": 3.55,
    "ch2": 4.49,
    "ch3": 5.73,
    "ch4": 7.87,
}
#: Numbers of Hubble's ultraviolet and optical filters: nanometres. All other fNNN are in hundredths of micrometres.
HUBBLE_NANOMETRES = {
    218,
    225,
    255,
    275,
    280,
    300,
    336,
    343,
    350,
    373,
    390,
    395,
    410,
    435,
    438,
    450,
    467,
    469,
    475,
    487,
    502,
    547,
    550,
    555,
    600,
    606,
    621,
    625,
    631,
    645,
    656,
    657,
    658,
    660,
    665,
    673,
    675,
    680,
    689,
    702,
    763,
    775,
    791,
    814,
    845,
    850,
    892,
    953,
}
#: JWST filters whose number Hubble also uses, in nanometres.
WEBB = {"f300m", "f410m", "f150w2", "f322w2"}


def wavelength(band: str) -> float | None:
    """Effective wavelength of a band in micrometres, None for a name that is not known.

    Survey prefixes and the word band are ignored: ``HSC-G``, ``sdss_r`` and ``g-band`` are known.
    """
    low = band.strip().lower()
    if low in LETTERS:
        return LETTERS[low]
    numbered = re.fullmatch(r"(?:.*[_\-. ])?(f(\d{3,4})(?:w2|lp|w|m|n|x|r)?)", low)
    if numbered:
        name, number = numbered[1], int(numbered[2])
        return number / 1000 if number in HUBBLE_NANOMETRES and name not in WEBB else number / 100
    parts = [p for p in re.split(r"[_\-. ]+", low) if p not in ("", "band", "filter")]
    known = [LETTERS[p] for p in (parts[-1:] + parts[:1]) if p in LETTERS]
    return known[0] if known else None


def by_wavelength(bands: Sequence[str]) -> list[str]:
    """Put bands in order of wavelength if all of them are known, else leave their order."""
    waves = [wavelength(b) for b in bands]
    if any(w is None for w in waves):
        return list(bands)
    return [bands[k] for k in sorted(range(len(bands)), key=lambda k: (waves[k], k))]
