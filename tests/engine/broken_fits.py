"""Broken FITS files: cut short, with cards that make no sense, claiming what they do not hold, with nonsense of a WCS."""

import gzip
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from astropy.io import fits
from broken_inputs import (
    ANY,
    LOST,
    MUST,
    NOTED,
    SIDE,
    WHOLE,
    Case,
    Expected,
    cuts,
    flipped,
    flux,
)

BLOCK = 2880
#: Cards of a small image.
USUAL = {
    "SIMPLE": "                   T",
    "BITPIX": "                 -32",
    "NAXIS": "                   2",
    "NAXIS1": f"{SIDE:20d}",
    "NAXIS2": f"{SIDE:20d}",
}
SEEDS = 12
#: Bytes of the compressed image up to where its tiles end.
_TILED = 2 * BLOCK + 1663


def raw(cards: dict | list[str], data: bytes = b"", *, end: bool = True) -> bytes:
    """A header as it is told, padded to whole blocks, and data behind it."""
    lines = [f"{key:<8}= {value}" for key, value in cards.items()] if isinstance(cards, dict) else cards
    text = "".join(f"{line:<80}"[:80] for line in [*lines, *(["END"] if end else [])])
    head = text.encode("latin-1")
    return head + b" " * (-len(head) % BLOCK) + data + bytes(-len(data) % BLOCK)


def pixels(seed: int = 5, *shape: int) -> np.ndarray:
    return flux(np.random.default_rng(seed), *shape)


def bytes_of(image: np.ndarray) -> bytes:
    return image.astype(">f4").tobytes()


def good_files(folder: Path, rng: np.random.Generator, count: int = 3) -> dict:
    """Images ``good0.fits`` …; where they are and their pixels."""
    made = {}
    for k in range(count):
        image = flux(rng)
        (folder / f"good{k}.fits").write_bytes(raw(USUAL, bytes_of(image)))
        made[f"good{k}.fits"] = image[None]
    return made


def beside(
    data: bytes, fate: str, folder: Path, rng: np.random.Generator, *, name: str = "bad.fits", known=None
) -> Expected:
    """Good images, and a file; if its pixels are known, they must be those."""
    good = good_files(folder, rng)
    (folder / name).write_bytes(data)
    return Expected(good if known is None else good | {name: known}, {name: fate})


def cases() -> Iterator[Case]:
    """All of them."""
    for what, (cards, fate) in CARDS.items():
        data = raw(USUAL | cards, bytes_of(pixels()))
        yield Case(f"FITS {what}", partial(beside, data, fate), dangerous="claims" in what)
    for what, cards in HARMLESS.items():
        extra = [f"{key:<8}= {value}" for key, value in USUAL.items()] + cards
        data = raw(extra, bytes_of(pixels()))
        yield Case(f"FITS {what}", partial(beside, data, WHOLE, known=pixels()[None]))
    for what, (data, fate) in FILES.items():
        yield Case(f"FITS {what}", partial(beside, data, fate))
    for what, image in IMAGES.items():
        known = None if what == "zeros" else image[None]  # exact zeros among others may mean that nothing was seen
        yield Case(f"FITS of {what}", partial(beside, astropys(image), ANY, known=known))
    yield from damaged()
    for what, cards in PLACES.items():
        yield Case(f"FITS WCS {what}", partial(placed, cards=cards, fate=None))
    for what, (cards, position) in POSITIONS.items():
        yield Case(f"FITS position {what}", partial(placed, cards=cards, fate=position))
    for what, change in BANDS.items():
        yield Case(f"FITS band folders, {what}", partial(bands, change=change))
    yield from (Case(f"FITS {what}", build, dangerous=what.startswith("bomb")) for what, build in SETS.items())


# -- cards ------------------------------------------------------------------------------------------------------------

#: What a card is replaced by, and what becomes of the file.
CARDS = {
    "SIMPLE that is false": ({"SIMPLE": "F"}, ANY),
    "BITPIX of 7": ({"BITPIX": "7"}, LOST),
    "BITPIX of 0": ({"BITPIX": "0"}, LOST),
    "BITPIX of -16": ({"BITPIX": "-16"}, LOST),
    "BITPIX of text": ({"BITPIX": "'float'"}, LOST),
    "BITPIX of 32.5": ({"BITPIX": "32.5"}, LOST),
    "NAXIS of -1": ({"NAXIS": "-1"}, LOST),
    "NAXIS of 0": ({"NAXIS": "0"}, LOST),
    "NAXIS of 1": ({"NAXIS": "1"}, LOST),
    "NAXIS of 4": ({"NAXIS": "4", "NAXIS3": "1", "NAXIS4": "1"}, WHOLE),
    "NAXIS of 5 planes of planes": ({"NAXIS": "4", "NAXIS3": "5", "NAXIS4": "5"}, LOST),
    "NAXIS of 99 that claims nothing": ({"NAXIS": "99"}, LOST),
    "NAXIS of 10^9 claims": ({"NAXIS": "1000000000"}, LOST),
    "NAXIS of text": ({"NAXIS": "'two'"}, LOST),
    "NAXIS of 2.0": ({"NAXIS": "2.0"}, ANY),
    "NAXIS of nan": ({"NAXIS": "nan"}, LOST),
    "NAXIS of inf": ({"NAXIS": "inf"}, LOST),
    "NAXIS of T": ({"NAXIS": "T"}, LOST),
    "NAXIS1 of 0": ({"NAXIS1": "0"}, LOST),
    "NAXIS1 of -12": ({"NAXIS1": "-12"}, LOST),
    "NAXIS1 and NAXIS2 of -12": ({"NAXIS1": "-12", "NAXIS2": "-12"}, LOST),
    "NAXIS1 claims 10^9": ({"NAXIS1": "1000000000"}, LOST),
    "NAXIS1 claims 10^18": ({"NAXIS1": "1000000000000000000", "NAXIS2": "1000000000000000000"}, LOST),
    "NAXIS1 claims 10^300": ({"NAXIS1": "1E300"}, LOST),
    "NAXIS1 claims a number of 70 digits": ({"NAXIS1": "9" * 69}, LOST),
    "NAXIS1 claims 16384": ({"NAXIS1": "16384", "NAXIS2": "16384"}, LOST),
    "NAXIS1 claims a strip": ({"NAXIS1": "9000000", "NAXIS2": "1"}, LOST),
    "NAXIS1 of text": ({"NAXIS1": "'twelve'"}, LOST),
    "NAXIS1 of nan": ({"NAXIS1": "nan"}, LOST),
    "NAXIS1 of inf": ({"NAXIS1": "inf"}, LOST),
    "NAXIS1 without a value": ({"NAXIS1": ""}, LOST),
    "BSCALE of text": ({"BSCALE": "'one'"}, ANY),
    "BSCALE of nan": ({"BSCALE": "nan"}, ANY),
    "BSCALE of 0": ({"BSCALE": "0.0"}, ANY),
    "BSCALE of 1E308": ({"BSCALE": "1E308"}, ANY),
    "BSCALE of T": ({"BSCALE": "T"}, ANY),
    "BZERO of text": ({"BZERO": "'none'"}, ANY),
    "BZERO of inf": ({"BZERO": "inf"}, ANY),
    "BZERO of 70 digits": ({"BZERO": "9" * 69}, ANY),
    "BLANK of text": ({"BITPIX": "32", "BLANK": "'blank'"}, ANY),
    "BLANK of 10^30": ({"BITPIX": "16", "BLANK": "1000000000000000000000000000000"}, ANY),
    "BLANK of nan": ({"BITPIX": "32", "BLANK": "nan"}, ANY),
    "PCOUNT of 10^12 claims": ({"PCOUNT": "1000000000000"}, ANY),
    "PCOUNT of -10^12": ({"PCOUNT": "-1000000000000"}, ANY),
    "PCOUNT of text": ({"PCOUNT": "'none'"}, ANY),
    "GCOUNT of 0": ({"GCOUNT": "0"}, ANY),
    "GCOUNT of -1": ({"GCOUNT": "-1"}, ANY),
    "GCOUNT of nan": ({"GCOUNT": "nan"}, ANY),
    "GCOUNT of 10^15 claims": ({"GCOUNT": "1000000000000000"}, ANY),
    "ZIMAGE in an image": ({"ZIMAGE": "T", "ZNAXIS": "2", "ZNAXIS1": "12", "ZNAXIS2": "12"}, ANY),
    "ZIMAGE claims 10^9": ({"ZIMAGE": "T", "ZNAXIS": "2", "ZNAXIS1": "1000000000", "ZNAXIS2": "12"}, LOST),
}

#: Cards that no reader need mind.
HARMLESS = {
    "tab characters": ["OBJECT  = 'a\tb'", "\tTABBED\t=\t5", "COMMENT\ta\tb", "EXPTIME\t=\t300.0"],
    "bytes that are not ASCII": ["OBSERVER= 'Andr\xe9 \xb5'", "\xff\xfe\xfd  = 1", "COMMENT \x80\x81"],
    "NUL bytes": ["OBJECT  = 'a\0b'", "\0\0\0\0\0\0\0\0= 3", "\0" * 80],
    "control characters": ["OBJECT  = 'a\nb\rc\x1b[2J'", "FILTER  = 'r\n'", "EXTNAME = '\x07'"],
    "keywords in lower case": ["object  = 'x'", "naxis   = 7", "naxis1  = 99999"],
    "keywords twice": ["NAXIS1  = 99999", "BITPIX  = 8", "OBJECT  = 'a'", "OBJECT  = 'b'"],
    "keywords three times with other types": ["EXPTIME = 1", "EXPTIME = 'x'", "EXPTIME ="],
    "CONTINUE cards": ["LONG    = 'abc&'", "CONTINUE  'def&'", "CONTINUE  'ghi'", "CONTINUE", "CONTINUE  = 5"],
    "CONTINUE at the beginning": ["CONTINUE  'nothing before'"],
    "cards without a sign": ["OBJECT    M31", "NAXIS1  12", "FILTER", "RA        10.5"],
    "quotes that do not end": ["OBJECT  = 'M31", "FILTER  = 'r", "EXTNAME = '''"],
    "values that are none": [
        "A       = 1.2.3",
        "B       = --5",
        "C       = 1E",
        "D       = (1,",
        "E       = /",
        "F       =",
    ],
    "HIERARCH cards": ["HIERARCH ESO DET CHIP1 NAME = 'x'", "HIERARCH", "HIERARCH = 5", "HIERARCH a = b = c"],
    "numbers of hundreds of digits": [f"BIG     = {'9' * 70}", f"SMALL   = 0.{'0' * 60}1", "EXP     = 1E999999"],
    "ten thousand cards": [f"K{k:<7}= {k}" for k in range(10_000)],
    "numbers with underscores": ["A       = 1_000", "CRVAL1  = 1_0", "CRVAL2  = 2_0", "B       = 0x1F"],
    "a WCS for three axes": ["WCSAXES = 3", "CTYPE3  = 'WAVE'", "CRVAL3  = 'x'"],
    "blank cards": ["", "", "        = 5", "= 7"],
    "INHERIT and EXTEND of text": ["EXTEND  = 'yes'", "INHERIT = 'no'", "BLOCKED = T"],
    "checksums that are wrong": ["CHECKSUM= '0000000000000000'", "DATASUM = 'x'"],
}


def astropys(image: np.ndarray, **options) -> bytes:
    """What astropy writes of an image."""
    return raw(
        USUAL | {"NAXIS1": str(image.shape[1]), "NAXIS2": str(image.shape[0])}, bytes_of(np.asarray(image, np.float32))
    )


def with_values(values: dict) -> np.ndarray:
    image = pixels(6)
    for at, value in values.items():
        image.flat[at] = value
    return image


IMAGES = {
    "NaN and Inf": with_values({0: np.nan, 5: np.inf, 9: -np.inf}),
    "NaN only": np.full((SIDE, SIDE), np.nan, np.float32),
    "Inf only": np.full((SIDE, SIDE), np.inf, np.float32),
    "one number": np.full((SIDE, SIDE), 7, np.float32),
    "zeros": np.zeros((SIDE, SIDE), np.float32),
    "numbers near the largest": np.full((SIDE, SIDE), 3e38, np.float32),
    "one pixel": np.full((1, 1), 3, np.float32),
    "one row": pixels(7, 1, 300),
    "one column": pixels(8, 300, 1),
}

_WHOLE = raw(USUAL, bytes_of(pixels()))


def _extension(name: str, image: np.ndarray | None = None, **cards) -> bytes:
    image = pixels(9) if image is None else image
    first = {"XTENSION": "'IMAGE   '"} | {k: v for k, v in USUAL.items() if k != "SIMPLE"}
    first |= {"NAXIS1": str(image.shape[1]), "NAXIS2": str(image.shape[0]), "PCOUNT": "0", "GCOUNT": "1"}
    return raw(first | {"EXTNAME": f"'{name}'"} | cards, bytes_of(image))


def table() -> bytes:
    """The HDU of a table."""
    held = fits.BinTableHDU.from_columns([fits.Column("x", "E", array=np.arange(5.0))])
    return held.header.tostring().encode() + held.data.tobytes().ljust(BLOCK, b"\0")


_EMPTY = raw({"SIMPLE": "T", "BITPIX": "8", "NAXIS": "0"})
FILES = {
    "zero bytes": (b"", LOST),
    "few bytes": (b"SIMPLE  =", LOST),
    "text": (b"ra,dec\n1,2\n" * 500, LOST),
    "html": (b"<html>403 Forbidden</html>", LOST),
    "random bytes": (np.random.default_rng(1).bytes(9000), LOST),
    "zeros": (bytes(3 * BLOCK), LOST),
    "no SIMPLE": (raw({k: v for k, v in USUAL.items() if k != "SIMPLE"}, bytes_of(pixels())), LOST),
    "no BITPIX": (raw({k: v for k, v in USUAL.items() if k != "BITPIX"}, bytes_of(pixels())), LOST),
    "no NAXIS": (raw({k: v for k, v in USUAL.items() if k != "NAXIS"}, bytes_of(pixels())), LOST),
    "no NAXIS2": (raw({k: v for k, v in USUAL.items() if k != "NAXIS2"}, bytes_of(pixels())), LOST),
    "no END": (raw(USUAL, bytes_of(pixels()), end=False), LOST),
    "no END for thousands of blocks": (raw(USUAL, b" " * (3000 * BLOCK), end=False), LOST),
    "END in the middle": (raw([*(f"{k:<8}= {v}" for k, v in list(USUAL.items())[:3]), "END", "NAXIS1  = 12"]), LOST),
    "END in small letters": (raw([*(f"{k:<8}= {v}" for k, v in USUAL.items()), "end"], end=False), LOST),
    "a BOM before it": (b"\xef\xbb\xbf" + _WHOLE, LOST),
    "newlines as cards": ("\n".join(f"{k} = {v}" for k, v in USUAL.items()).encode().ljust(BLOCK), LOST),
    "a header alone": (_WHOLE[:BLOCK], LOST),
    "a table alone": (_EMPTY + table(), LOST),
    "an empty primary alone": (_EMPTY, LOST),
    "an image behind a table": (_EMPTY + table() + _extension("SCI"), WHOLE),
    "images of one name": (_EMPTY + _extension("SCI") + _extension("SCI") + _extension("SCI"), WHOLE),
    "a broken header behind its image": (_WHOLE + b"XTENSION= 'IMAGE'".ljust(BLOCK, b"\xff"), ANY),
    "rubbish behind its image": (_WHOLE + np.random.default_rng(2).bytes(5000), WHOLE),
    "a second image that claims 10^9": (_WHOLE + _extension("ERR", NAXIS1="1000000000"), ANY),
    "a second image of BITPIX 5": (_WHOLE + _extension("x", BITPIX="5"), ANY),
    "a second image cut short": (_WHOLE + _extension("ERR")[: BLOCK + 40], ANY),
    "a first image of BITPIX 5": (raw(USUAL | {"BITPIX": "5"}) + _extension("SCI"), ANY),
    "data that are not padded": (_WHOLE[: BLOCK + 4 * SIDE * SIDE], WHOLE),
    "zipped, without saying so": (gzip.compress(_WHOLE), ANY),
}


def damaged() -> Iterator[Case]:
    """Cut short, and bits turned over."""
    for k, length in enumerate([1, 40, 79, 80, 400, 1000, BLOCK - 1]):
        yield Case(f"FITS cut in its header {k}", partial(beside, _WHOLE[:length], LOST))
    for k, length in enumerate([0, 1, 100, 4 * SIDE * SIDE - 1]):
        yield Case(f"FITS cut in its data {k}", partial(beside, _WHOLE[: BLOCK + length], LOST))
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        head = flipped(_WHOLE, rng, bits=1 + 2 * (seed % 4), stop=400)
        yield Case(f"FITS flips in its header {seed}", partial(beside, head, ANY), dangerous=seed < 4)
        yield Case(f"FITS flips in its data {seed}", partial(beside, flipped(_WHOLE, rng, first=BLOCK), WHOLE))
    packed, tiled = gzip.compress(_WHOLE), compressed()
    for k, length in enumerate(cuts(len(packed), 6)):
        yield Case(f"FITS gz cut {k}", partial(beside, packed[:length], LOST, name="bad.fits.gz"))
    for k, length in enumerate(cuts(_TILED, 6)):
        yield Case(f"FITS fz cut {k}", partial(beside, tiled[:length], LOST, name="bad.fits.fz"))
    for seed in range(SEEDS):
        rng = np.random.default_rng(50 + seed)
        yield Case(f"FITS gz flips {seed}", partial(beside, flipped(packed, rng), ANY, name="bad.fits.gz"))
        spoiled = flipped(tiled, rng, first=BLOCK)
        yield Case(f"FITS fz flips {seed}", partial(beside, spoiled, ANY, name="bad.fits.fz"), dangerous=True)
        spoiled = flipped(tiled, rng, first=2 * BLOCK, bits=60)
        yield Case(f"FITS fz many flips {seed}", partial(beside, spoiled, ANY, name="bad.fits.fz"), dangerous=True)
    yield Case("FITS gz that is none", partial(beside, _WHOLE, ANY, name="bad.fits.gz"))
    yield Case("FITS gz of zero bytes", partial(beside, b"", LOST, name="bad.fits.gz"))
    yield Case("FITS bz2 that is none", partial(beside, _WHOLE, ANY, name="bad.fits.bz2"))
    yield Case("FITS fz that is none", partial(beside, _WHOLE, WHOLE, name="bad.fz"))


def compressed() -> bytes:
    """An image that is compressed in tiles."""
    import io

    held = io.BytesIO()
    image = (1000 + 100 * pixels(11, 32, 32)).astype(np.int16)
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(image, compression_type="RICE_1")]).writeto(held)
    return held.getvalue()


# -- where it is ------------------------------------------------------------------------------------------------------

_TAN = {
    "CTYPE1": "'RA---TAN'",
    "CTYPE2": "'DEC--TAN'",
    "CRVAL1": "150.0",
    "CRVAL2": "2.0",
    "CRPIX1": "6.5",
    "CRPIX2": "6.5",
    "CDELT1": "-1E-4",
    "CDELT2": "1E-4",
}
_CD = {k: v for k, v in _TAN.items() if not k.startswith("CDELT")}

#: Cards of a WCS that makes no sense: the cutout is in, and its position is what it can be.
PLACES = {
    "of CDELT 0": _TAN | {"CDELT1": "0.0", "CDELT2": "0.0"},
    "of a singular CD": _CD | {"CD1_1": "1E-4", "CD1_2": "1E-4", "CD2_1": "1E-4", "CD2_2": "1E-4"},
    "of a CD of zeros": _CD | {"CD1_1": "0", "CD1_2": "0", "CD2_1": "0", "CD2_2": "0"},
    "of a CD of text": _CD | {"CD1_1": "'a'", "CD1_2": "'b'", "CD2_1": "'c'", "CD2_2": "'d'"},
    "of CTYPE rubbish": _TAN | {"CTYPE1": "'RUBBISH'", "CTYPE2": "'?'"},
    "of CTYPE numbers": _TAN | {"CTYPE1": "5", "CTYPE2": "6"},
    "of an unknown projection": _TAN | {"CTYPE1": "'RA---XYZ'", "CTYPE2": "'DEC--XYZ'"},
    "of two right ascensions": _TAN | {"CTYPE2": "'RA---TAN'"},
    "of one axis of the sky": _TAN | {"CTYPE2": "'WAVE'"},
    "of CRVAL text": _TAN | {"CRVAL1": "'150 deg'", "CRVAL2": "'here'"},
    "of CRVAL NaN": _TAN | {"CRVAL1": "nan", "CRVAL2": "nan"},
    "of CRVAL Inf": _TAN | {"CRVAL1": "inf", "CRVAL2": "-inf"},
    "of CRVAL 10^30": _TAN | {"CRVAL1": "1E30", "CRVAL2": "1E30"},
    "of CRVAL2 91": _TAN | {"CRVAL2": "91.0"},
    "of CRVAL1 without a value": _TAN | {"CRVAL1": ""},
    "of CRPIX text": _TAN | {"CRPIX1": "'middle'"},
    "of CRPIX 10^12": _TAN | {"CRPIX1": "1E12", "CRPIX2": "1E12"},
    "of CUNIT rubbish": _TAN | {"CUNIT1": "'furlong'", "CUNIT2": "'fortnight'"},
    "of CUNIT numbers": _TAN | {"CUNIT1": "1", "CUNIT2": "2"},
    "of RADESYS rubbish": _TAN | {"RADESYS": "'MOON'", "EQUINOX": "'J2000'"},
    "of EQUINOX nonsense": _TAN | {"RADESYS": "'FK5'", "EQUINOX": "-1E9"},
    "of WCSAXES 99": _TAN | {"WCSAXES": "99"},
    "of WCSAXES text": _TAN | {"WCSAXES": "'two'"},
    "of SIP without its order": _TAN | {"CTYPE1": "'RA---TAN-SIP'", "CTYPE2": "'DEC--TAN-SIP'", "A_2_0": "1E-5"},
    "of SIP of order 10^6": _TAN | {"CTYPE1": "'RA---TAN-SIP'", "CTYPE2": "'DEC--TAN-SIP'", "A_ORDER": "1000000"},
    "of SIP of text": _TAN
    | {"CTYPE1": "'RA---TAN-SIP'", "CTYPE2": "'DEC--TAN-SIP'", "A_ORDER": "'2'", "B_ORDER": "'2'"},
    "of SIP that diverges": _TAN
    | {"CTYPE1": "'RA---TAN-SIP'", "CTYPE2": "'DEC--TAN-SIP'", "A_ORDER": "2", "B_ORDER": "2", "A_2_0": "1E300"},
    "of PV cards of text": _TAN | {"CTYPE1": "'RA---TPV'", "CTYPE2": "'DEC--TPV'", "PV1_1": "'x'", "PV2_1": "'y'"},
    "of LONPOLE NaN": _TAN | {"LONPOLE": "nan", "LATPOLE": "'x'"},
    "of PC and CD": _TAN | {"PC1_1": "1", "CD1_1": "1E-4", "CD2_2": "1E-4"},
    "of CROTA text": _TAN | {"CROTA2": "'north'"},
}

_NO = (None, None)
#: Cards of a position, and what it must be (RA, Dec); none at all if it cannot be told.
POSITIONS = {
    "sexagesimal": ({"RA": "'10:00:00'", "DEC": "'-02:30:00'"}, (150.0, -2.5)),
    "sexagesimal with letters": ({"RA": "'10h00m00s'", "DEC": "'+02d30m00s'"}, (150.0, 2.5)),
    "in degrees": ({"RA": "150.0", "DEC": "2.5"}, (150.0, 2.5)),
    "in degrees as text": ({"RA": "'150.0'", "DEC": "'2.5'"}, (150.0, 2.5)),
    "rubbish": ({"RA": "'here'", "DEC": "'there'"}, _NO),
    "out of range": ({"RA": "400.0", "DEC": "95.0"}, _NO),
    "far below nothing": ({"RA": "-999.0", "DEC": "-999.0"}, _NO),
    "NaN": ({"RA": "nan", "DEC": "nan"}, _NO),
    "Inf": ({"RA": "inf", "DEC": "2.0"}, _NO),
    "of which half is missing": ({"RA": "150.0"}, _NO),
    "of which half is text": ({"RA": "'10:00:00'", "DEC": "2.5"}, (150.0, 2.5)),
    "sexagesimal out of range": ({"RA": "'25:61:61'", "DEC": "'99:99:99'"}, _NO),
    "of booleans": ({"RA": "T", "DEC": "F"}, _NO),
    "empty": ({"RA": "''", "DEC": "''"}, _NO),
    "written NULL": ({"RA": "'NULL'", "DEC": "'N/A'"}, _NO),
}


def placed(folder: Path, rng: np.random.Generator, *, cards: dict, fate: tuple | None) -> Expected:
    """A whole image whose header tells a position, or nonsense."""
    expected = beside(raw(USUAL | cards, bytes_of(pixels())), WHOLE, folder, rng, known=pixels()[None])

    def check(made) -> None:
        row = made.survey.column("pixels_file").tolist().index("bad.fits")
        ra, dec = (made.survey.column(name)[row] for name in ("ra", "dec"))
        assert np.isnan(ra) == np.isnan(dec) and (np.isnan(ra) or (0 <= ra < 360 and abs(dec) <= 90)), (ra, dec)
        if fate is not None:
            np.testing.assert_allclose([ra, dec], [np.nan if v is None else v for v in fate], atol=1e-9)
        made.survey.cutouts.wcs(row)
        made.survey.cutouts.units(row)
        made.survey.cutouts.companions(row)

    return Expected(expected.good, expected.bad, check=check)


# -- folders of bands, and sets ---------------------------------------------------------------------------------------


def bands(folder: Path, rng: np.random.Generator, *, change) -> Expected:
    """Folders of three bands, the first object of which has something broken."""
    made = {}
    for band in "gri":
        (folder / band).mkdir()
        for k in range(4):
            made[band, k] = flux(rng)
            (folder / band / f"{k}.fits").write_bytes(raw(USUAL, bytes_of(made[band, k])))
    good = {f"g/{k}.fits": np.stack([made[band, k] for band in "gri"]) for k in range(1, 4)}
    return change(folder, good, made)


def _band_cut(folder: Path, good: dict, made: dict) -> Expected:
    (folder / "g/0.fits").write_bytes(_WHOLE[: BLOCK + 9])
    return Expected(good, {"g/0.fits": NOTED, "r/0.fits": WHOLE})


def _band_missing(folder: Path, good: dict, made: dict) -> Expected:
    (folder / "r/0.fits").unlink()
    lacking = np.stack([made["g", 0], np.full((SIDE, SIDE), np.nan, np.float32), made["i", 0]])
    return Expected(good | {"g/0.fits": lacking})


def _band_of_another_size(folder: Path, good: dict, made: dict) -> Expected:
    (folder / "r/0.fits").write_bytes(astropys(pixels(3, 30, 20)))
    return Expected(good, {"g/0.fits": ANY})


def _band_of_planes(folder: Path, good: dict, made: dict) -> Expected:
    cube = raw(USUAL | {"NAXIS": "3", "NAXIS3": "4"}, bytes_of(pixels(3, 4, SIDE, SIDE)))
    (folder / "r/0.fits").write_bytes(cube)
    return Expected(good, {"g/0.fits": LOST})


def _band_out_of_the_folder(folder: Path, good: dict, made: dict) -> Expected:
    (folder.parent / "secret.fits").write_bytes(_WHOLE)
    (folder / "r/0.fits").unlink()
    (folder / "r/0.fits").symlink_to(folder.parent / "secret.fits")
    return Expected(good, {"r/0.fits": NOTED, "g/0.fits": WHOLE})


def _all_of_an_object(folder: Path, good: dict, made: dict) -> Expected:
    for band in "gri":
        (folder / band / "0.fits").write_bytes(b"")
    return Expected(good, {f"{band}/0.fits": NOTED for band in "gri"})


def _an_empty_band(folder: Path, good: dict, made: dict) -> Expected:
    (folder / "z").mkdir()
    (folder / "z/readme.txt").write_text("nothing yet")
    return Expected(good)


BANDS = {
    "one file cut short": _band_cut,
    "one file missing": _band_missing,
    "one file of another size": _band_of_another_size,
    "one file of several planes": _band_of_planes,
    "one file a link out of the folder": _band_out_of_the_folder,
    "all files of an object empty": _all_of_an_object,
    "a band of no files": _an_empty_band,
}


def strip(folder: Path, rng: np.random.Generator) -> Expected:
    """A band of one object that is a strip far longer than the others are wide."""

    def change(folder: Path, good: dict, made: dict) -> Expected:
        (folder / "r/0.fits").write_bytes(astropys(pixels(3, 1, 60_000)))
        return Expected(good, {"g/0.fits": LOST})

    return bands(folder, rng, change=change)


def other_planes(folder: Path, rng: np.random.Generator) -> Expected:
    cube = raw(USUAL | {"NAXIS": "3", "NAXIS3": "3"}, bytes_of(pixels(3, 3, SIDE, SIDE)))
    return beside(cube, LOST, folder, rng)


def list_of_objects(folder: Path, rng: np.random.Generator) -> Expected:
    """One file of many images, one of which is broken."""
    images = [flux(rng) for _ in range(20)]
    data = _EMPTY + b"".join(_extension("x", image) for image in images)
    broken = _EMPTY + b"".join(
        _extension("x", image, **({"BITPIX": "7"} if k == 19 else {})) for k, image in enumerate(images)
    )
    assert len(broken) >= len(data) - BLOCK
    (folder / "all.fits").write_bytes(broken)
    return Expected({k + 1: image[None] for k, image in enumerate(images[:-1])}, {20: ANY}, source="all.fits")


def list_cut_short(folder: Path, rng: np.random.Generator) -> Expected:
    """One file of many images whose end is missing: what is there is in, what is not there is named."""
    images = [flux(rng) for _ in range(20)]
    data = _EMPTY + b"".join(_extension("x", image) for image in images)
    (folder / "all.fits").write_bytes(data[: len(data) - BLOCK // 2 - BLOCK])

    def check(made) -> None:
        told = [*(r["reason"] for r in made.report["rejected"]), *made.report["notes"]]
        assert any("cut short" in words for words in told), told

    return Expected({k + 1: image[None] for k, image in enumerate(images[:18])}, {}, source="all.fits", check=check)


def one_broken(folder: Path, rng: np.random.Generator, *, data: bytes) -> Expected:
    (folder / "alone.fits").write_bytes(data)
    return Expected(source="alone.fits", refused=MUST, named="alone.fits")


def all_broken(folder: Path, rng: np.random.Generator) -> Expected:
    for k in range(4):
        (folder / f"{k}.fits").write_bytes(_WHOLE[: 500 * k])
    return Expected(refused=MUST, named="0.fits")


def large(folder: Path, rng: np.random.Generator) -> Expected:
    """An image of 5,000 pixels a side among small ones."""
    good = good_files(folder, rng)
    header = USUAL | {"BITPIX": "8", "NAXIS1": "5000", "NAXIS2": "5000"}
    with open(folder / "large.fits", "wb") as stream:
        stream.write(raw(header))
        stream.truncate(BLOCK + -(-25_000_000 // BLOCK) * BLOCK)
    return Expected(good, {"large.fits": WHOLE})


def bomb(folder: Path, rng: np.random.Generator, *, side: int, fate: str) -> Expected:
    """A file of a few kilobytes that unpacks to an image of many."""
    good = good_files(folder, rng)
    packer = gzip.compress(bytes(1 << 20))
    with open(folder / "bomb.fits.gz", "wb") as stream:
        stream.write(gzip.compress(raw(USUAL | {"NAXIS1": str(side), "NAXIS2": str(side)})))
        for _ in range(-(-4 * side * side // (1 << 20))):
            stream.write(packer)
    return Expected(good, {"bomb.fits.gz": fate})


def tiles_claimed(folder: Path, rng: np.random.Generator) -> Expected:
    """A compressed image whose header claims more than its tiles hold."""
    good = good_files(folder, rng)
    data = compressed()
    for key in (b"ZNAXIS1 ", b"ZNAXIS2 ", b"ZTILE1  "):
        at = data.index(key)
        data = data[: at + 10] + b"               16000" + data[at + 30 :]
    (folder / "bad.fits.fz").write_bytes(data)
    return Expected(good, {"bad.fits.fz": LOST})


def ids_of_lists(folder: Path, rng: np.random.Generator) -> Expected:
    """Files of many images whose names are alike: every object has an id of its own."""
    good = good_files(folder, rng)
    for k in range(2):
        images = b"".join(_extension("GAL") for _ in range(12))
        (folder / f"list{k}.fits").write_bytes(_EMPTY + images)

    def check(made) -> None:
        assert len(made.survey) == 3 + 24

    return Expected(good, check=check)


def pointers(folder: Path, rng: np.random.Generator) -> Expected:
    """A compressed image whose table points beyond its heap."""
    good = good_files(folder, rng)
    data = bytearray(compressed())
    start = data.index(b"END" + b" " * 77, BLOCK) // BLOCK * BLOCK + BLOCK
    data[start : start + 8 * 32] = struct.pack(">ii", 2**30, 2**30) * 32
    (folder / "bad.fits.fz").write_bytes(bytes(data))
    return Expected(good, {"bad.fits.fz": LOST})


SETS = {
    "of other planes": other_planes,
    "list with a broken image": list_of_objects,
    "list that is cut short": list_cut_short,
    "lists whose images have one name": ids_of_lists,
    "alone of zero bytes": partial(one_broken, data=b""),
    "alone of rubbish": partial(one_broken, data=b"rubbish" * 1000),
    "alone cut short": partial(one_broken, data=_WHOLE[: BLOCK + 9]),
    "alone of no image": partial(one_broken, data=_EMPTY),
    "set of which all is broken": all_broken,
    "of 5000 pixels a side": large,
    "bomb of 5000 pixels a side": partial(bomb, side=5_000, fate=ANY),
    "bomb of 10000 pixels a side": partial(bomb, side=10_000, fate=LOST),
    "bomb of a strip": strip,
    "bomb of tiles": tiles_claimed,
    "bomb of pointers": pointers,
}
