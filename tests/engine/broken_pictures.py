"""Broken pictures: damaged, lying about what they are or how large they are, out of the folder, and strangely named."""

import os
import socket
import struct
import zlib
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
    PASSED,
    WHOLE,
    Case,
    Expected,
    colours,
    cuts,
    encoded,
    flipped,
    flux,
    good_pictures,
    planes,
    zeros_deflated,
)
from PIL import Image

#: Ending → Pillow's name of the format.
KINDS = {"png": "PNG", "jpg": "JPEG", "tif": "TIFF", "webp": "WEBP", "bmp": "BMP"}
CUTS, SEEDS = 10, 12
#: Names that are odd, and nothing worse.
NAMES = {
    "combining": "e\u0301toile.png",
    "right to left": "\u05d2\u05dc\u05e7\u05e1\u05d9\u05d4.png",
    "override": "a\u202egnp.png",
    "emoji": "\U0001f30c\U0001f52d.png",
    "chinese": "\u661f\u7cfb.png",
    "of 200 characters": "x" * 196 + ".png",
    "of 255 bytes": "\u00fc" * 125 + "z.png",
    "blanks": " a  b .png",
    "quotes": 'it\'s "so".png',
    "commas": "a,b;c.png",
    "newline": "a\nb.png",
    "tab": "a\tb.png",
    "bell": "a\x07b.png",
    "dash": "-rf.png",
    "percent": "100%d%s.png",
    "braces": "{0}{x}.png",
    "formula": "=1+1.png",
    "backslash": "a\\b.png",
    "hash": "#1?x=2&y.png",
    "upper case": "ABC.PNG",
    "dots": "a..b...png",
    "number": "1.0.png",
    "nan": "nan.png",
    "tilde": "~root.png",
    "dollar": "$HOME.png",
    "markup": "<b>x<b>.png",
    "folder": "a folder/of \u00e9toiles/1.png",
    "deep": "/".join(["d"] * 40) + "/1.png",
}


def beside(data: bytes, fate: str, folder: Path, rng: np.random.Generator, *, name: str) -> Expected:
    """Good pictures, and a file."""
    good = good_pictures(folder, rng)
    (folder / name).write_bytes(data)
    return Expected(good, {name: fate})


def cases() -> Iterator[Case]:
    """All of them."""
    for ending in KINDS:
        yield from damaged(ending)
    for packing in ("tiff_lzw", "tiff_adobe_deflate", "jpeg"):
        picture = encoded(colours(np.random.default_rng(1), 24), "TIFF", compression=packing)
        for seed in range(SEEDS // 2):
            spoiled = flipped(picture, np.random.default_rng(seed), bits=6)
            yield Case(f"{packing} flips {seed}", partial(beside, spoiled, ANY, name="bad.tif"))
    yield from lying()
    yield from (Case(f"picture {what}", build, dangerous=True) for what, build in CLAIMS.items())
    yield from (Case(f"picture {what}", build) for what, build in MODES.items())
    yield from (
        Case(f"picture link {what}", partial(linked, make=make, fate=fate)) for what, (make, fate) in LINKS.items()
    )
    yield from (Case(f"picture name {what}", partial(named, name=name)) for what, name in NAMES.items())
    yield from (Case(f"picture {what}", build) for what, build in SETS.items())


def damaged(ending: str) -> Iterator[Case]:
    """Cut short, turned over, or something else altogether."""
    name = f"bad.{ending}"
    picture = encoded(colours(np.random.default_rng(1), 24), KINDS[ending])
    others = {
        "zero bytes": b"",
        "few bytes": picture[:5],
        "html": b"<!DOCTYPE html><html><body>404 not found</body></html>",
        "random": np.random.default_rng(2).bytes(4000),
        "zeros": bytes(4000),
        "text": b"Ra Dec\n1.0 2.0\n" * 50,
    }
    for what, data in others.items():
        yield Case(f"{ending} {what}", partial(beside, data, LOST, name=name))
    for k, length in enumerate(cuts(len(picture), CUTS)):
        yield Case(f"{ending} cut {k}", partial(beside, picture[:length], LOST, name=name))
    for seed in range(SEEDS):
        spoiled = flipped(picture, np.random.default_rng(seed), bits=1 + 3 * (seed % 4))
        yield Case(f"{ending} flips {seed}", partial(beside, spoiled, ANY, name=name), dangerous=seed % 4 == 0)
        spoiled = flipped(picture, np.random.default_rng(100 + seed), bits=2, stop=64)
        yield Case(
            f"{ending} flips {seed} at its beginning", partial(beside, spoiled, ANY, name=name), dangerous=seed % 3 == 0
        )


def lying() -> Iterator[Case]:
    """One kind of file under the name of another."""
    rng = np.random.default_rng(3)
    picture = colours(rng)
    for ending, kind, name in (("png", "PNG", "x.jpg"), ("jpg", "JPEG", "x.png"), ("webp", "WEBP", "x.tif")):
        yield Case(f"{ending} named {name}", partial(beside, encoded(picture, kind), WHOLE, name=name))
    for kind, name in (("GIF", "x.png"), ("PPM", "x.jpg"), ("ICO", "x.bmp"), ("EPS", "x.png"), ("PDF", "x.jpg")):
        yield Case(f"{kind} named {name}", partial(beside, encoded(picture, kind), LOST, name=name))
    yield Case("png named x.fits", partial(beside, encoded(picture, "PNG"), NOTED, name="x.fits"))
    held = fits.PrimaryHDU(flux(rng)).header.tostring().encode() + flux(rng).tobytes().ljust(2880, b"\0")
    yield Case("FITS named x.png", partial(beside, held, LOST, name="x.png"))
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n(ran.txt) (w) file closefile showpage\n"
    yield Case("PostScript named x.tif", partial(beside, script, LOST, name="x.tif"))


# -- claims -----------------------------------------------------------------------------------------------------------


def png(width: int, height: int, data: bytes, *, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG file that says what it is told to."""

    def chunk(kind: bytes, held: bytes) -> bytes:
        return struct.pack(">I", len(held)) + kind + held + struct.pack(">I", zlib.crc32(kind + held))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def text_bomb() -> bytes:
    """A small PNG with a compressed text of a gigabyte."""
    whole = png(SMALL, SMALL, zlib.compress(bytes((3 * SMALL + 1) * SMALL)))
    held = b"Comment\0\0" + zeros_deflated(1 << 30)
    chunk = struct.pack(">I", len(held)) + b"zTXt" + held + struct.pack(">I", zlib.crc32(b"zTXt" + held))
    return whole[:33] + chunk + whole[33:]


def patched(kind: str, at: int, values: bytes) -> bytes:
    """A picture some bytes of which are others."""
    data = bytearray(encoded(np.zeros((SMALL, SMALL, 3), np.uint8), kind))
    data[at : at + len(values)] = values
    return bytes(data)


def tiff(width: int, height: int, **tags: int) -> bytes:
    """A TIFF file's only directory, with what it is told, and few pixels."""
    entries = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 200, 277: 1, 278: height, 279: 64}
    entries |= {int(tag[1:]): value for tag, value in tags.items()}
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value & 0xFFFFFFFF) for tag, value in sorted(entries.items()))
    head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + bytes(4)
    return head.ljust(200, b"\0") + bytes(64)


def frame(height: int, width: int) -> bytes:
    """A JPEG whose frame claims a size."""
    data = bytearray(encoded(np.zeros((SMALL, SMALL, 3), np.uint8), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def bombs(folder: Path, rng: np.random.Generator, *, count: int) -> Expected:
    """Pictures as large as is allowed, each of few bytes."""
    good = good_pictures(folder, rng)
    data = png(4096, 4096, zeros_deflated((3 * 4096 + 1) * 4096))
    for k in range(count):
        (folder / f"large{k}.png").write_bytes(data)
    return Expected(good, {f"large{k}.png": ANY for k in range(count)})


SMALL = 16
_FEW = zlib.compress(bytes(100))
CLAIMS = {
    "claims 2^31": partial(beside, png(2**31, 2**31, _FEW), LOST, name="x.png"),
    "claims 2^31-1": partial(beside, png(2**31 - 1, 2**31 - 1, _FEW), LOST, name="x.png"),
    "claims 100000": partial(beside, png(100_000, 100_000, _FEW), LOST, name="x.png"),
    "claims a strip of 2^31-1": partial(beside, png(2**31 - 1, 1, _FEW), LOST, name="x.png"),
    "claims 4000 and holds little": partial(beside, png(4000, 4000, _FEW), LOST, name="x.png"),
    "of a long strip": partial(beside, png(1, 1 << 24, zeros_deflated(4 << 24)), LOST, name="x.png"),
    "of a strip": partial(beside, png(20_000, 3, zeros_deflated(3 * 60_001)), WHOLE, name="x.png"),
    "of no pixels": partial(beside, png(0, 0, _FEW), LOST, name="x.png"),
    "of no rows": partial(beside, png(10, 0, _FEW), LOST, name="x.png"),
    "of 77 bits": partial(beside, png(10, 10, _FEW, depth=77), LOST, name="x.png"),
    "of colour type 9": partial(beside, png(10, 10, _FEW, colour=9), LOST, name="x.png"),
    "of a palette without colours": partial(beside, png(10, 10, _FEW, colour=3), ANY, name="x.png"),
    "bomb": partial(beside, png(30_000, 30_000, zeros_deflated(30_000 * 90_001)), LOST, name="x.png"),
    "bomb of bits": partial(
        beside, png(30_000, 30_000, zeros_deflated(30_000 * 3751), depth=1, colour=0), LOST, name="x.png"
    ),
    "bomb behind the pixels": partial(beside, png(16, 16, zeros_deflated(1 << 30)), ANY, name="x.png"),
    "bomb in a text": partial(beside, text_bomb(), ANY, name="x.png"),
    "bomb as large as is allowed": partial(bombs, count=1),
    "jpg claims 65535": partial(beside, frame(65_535, 65_535), LOST, name="x.jpg"),
    "jpg claims no rows": partial(beside, frame(0, 16), LOST, name="x.jpg"),
    "jpg claims 4000": partial(beside, frame(4000, 4000), ANY, name="x.jpg"),
    "bmp claims 2^31-1": partial(
        beside, patched("BMP", 18, struct.pack("<ii", 2**31 - 1, 2**31 - 1)), LOST, name="x.bmp"
    ),
    "bmp claims less than nothing": partial(
        beside, patched("BMP", 18, struct.pack("<ii", -5, -2147483648)), LOST, name="x.bmp"
    ),
    "tif claims 100000": partial(beside, tiff(100_000, 100_000), LOST, name="x.tif"),
    "tif claims 4000": partial(beside, tiff(4000, 4000), LOST, name="x.tif"),
    "tif claims 2^32-1": partial(beside, tiff(2**32 - 1, 2**32 - 1), LOST, name="x.tif"),
    "tif of no compression known": partial(beside, tiff(8, 8, t259=12345), LOST, name="x.tif"),
    "tif of 10^9 samples": partial(beside, tiff(8, 8, t277=10**9), LOST, name="x.tif"),
    "tif whose pixels lie beyond its end": partial(beside, tiff(8, 8, t273=2**31), LOST, name="x.tif"),
    "tif whose directories are a loop": partial(
        beside, tiff(8, 8)[:118] + struct.pack("<I", 8) + tiff(8, 8)[122:], ANY, name="x.tif"
    ),
}


# -- modes that are odd and whole -------------------------------------------------------------------------------------


def saved(
    folder: Path, rng: np.random.Generator, *, mode: str, name: str, shape: tuple = (12, 12), **options
) -> Expected:
    """A picture of another mode or shape beside those in colour."""
    good = good_pictures(folder, rng)
    if mode in ("F", "I;16", "I"):
        image = Image.fromarray(rng.integers(0, 60_000, shape).astype({"F": "f4", "I;16": "u2", "I": "i4"}[mode]))
    else:
        image = Image.fromarray(rng.integers(0, 256, (*shape, 3), np.uint8)).convert(mode)
    image.save(folder / name, **options)
    return Expected(good, {name: WHOLE})


def animated(folder: Path, rng: np.random.Generator, *, name: str) -> Expected:
    good = good_pictures(folder, rng)
    frames = [Image.fromarray(colours(rng)) for _ in range(3)]
    frames[0].save(folder / name, save_all=True, append_images=frames[1:])
    return Expected(good, {name: WHOLE})


def with_transparency(folder: Path, rng: np.random.Generator) -> Expected:
    good = good_pictures(folder, rng)
    image = Image.fromarray(colours(rng)).convert("P")
    image.save(folder / "x.png", transparency=bytes(range(256)))
    return Expected(good, {"x.png": WHOLE})


MODES = {
    "of 16 bits": partial(saved, mode="I;16", name="x.png"),
    "of 16 bits in a tif": partial(saved, mode="I;16", name="x.tif"),
    "of 32 bits": partial(saved, mode="I", name="x.tif"),
    "of floats": partial(saved, mode="F", name="x.tif"),
    "of a palette": partial(saved, mode="P", name="x.png"),
    "of a palette that is transparent": with_transparency,
    "of one bit": partial(saved, mode="1", name="x.png"),
    "of grey": partial(saved, mode="L", name="x.jpg"),
    "of grey and transparency": partial(saved, mode="LA", name="x.png"),
    "of colours and transparency": partial(saved, mode="RGBA", name="x.webp"),
    "of CMYK": partial(saved, mode="CMYK", name="x.jpg"),
    "of YCbCr": partial(saved, mode="YCbCr", name="x.tif"),
    "of CIE Lab": partial(saved, mode="LAB", name="x.tif"),
    "of one pixel": partial(saved, mode="RGB", name="x.png", shape=(1, 1)),
    "of 1×500": partial(saved, mode="RGB", name="x.png", shape=(1, 500)),
    "of 500×1": partial(saved, mode="RGB", name="x.jpg", shape=(500, 1)),
    "compressed by lzw": partial(saved, mode="RGB", name="x.tif", compression="tiff_lzw"),
    "compressed as fax": partial(saved, mode="1", name="x.tif", compression="group4"),
    "animated png": partial(animated, name="x.png"),
    "animated webp": partial(animated, name="x.webp"),
    "tif of three pages": partial(animated, name="x.tif"),
}


# -- links and other things of the file system ------------------------------------------------------------------------


def linked(folder: Path, rng: np.random.Generator, *, make, fate: str) -> Expected:
    good = good_pictures(folder, rng)
    outside = folder.parent / "outside"
    outside.mkdir()
    (outside / "secret.png").write_bytes(encoded(colours(rng), "PNG"))
    make(folder, outside)
    return Expected(good, {"x.png": fate})


def _a_pipe(folder: Path, outside: Path) -> None:
    os.mkfifo(folder / "x.png")


def _a_socket(folder: Path, outside: Path) -> None:
    here = os.open(folder, os.O_RDONLY)  # a socket's name is short: it is made from inside
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"/proc/self/fd/{here}/x.png")
    os.close(here)


LINKS = {
    "out of the folder": (lambda f, o: (f / "x.png").symlink_to(o / "secret.png"), LOST),
    "out of the folder, relative": (lambda f, o: (f / "x.png").symlink_to("../outside/secret.png"), LOST),
    "in two steps": (
        lambda f, o: ((f / "y").symlink_to(o / "secret.png"), (f / "x.png").symlink_to("y")),
        LOST,
    ),
    "dangling": (lambda f, o: (f / "x.png").symlink_to(f / "nothing.png"), LOST),
    "to itself": (lambda f, o: (f / "x.png").symlink_to("x.png"), LOST),
    "to a good one": (lambda f, o: (f / "x.png").symlink_to("good1.png"), WHOLE),
    "to a device": (lambda f, o: (f / "x.png").symlink_to("/dev/zero"), LOST),
    "to the folder": (lambda f, o: (f / "x.png").symlink_to(f), NOTED),
    "to a folder outside": (lambda f, o: (f / "x.png").symlink_to(o), NOTED),
    "that is a folder": (lambda f, o: (f / "x.png").mkdir(), PASSED),
    "that is a pipe": (_a_pipe, LOST),
    "that is a socket": (_a_socket, LOST),
}


# -- names and sets ---------------------------------------------------------------------------------------------------


def named(folder: Path, rng: np.random.Generator, *, name: str) -> Expected:
    """A good picture of an odd name: it is in, with its own pixels, under that name."""
    good = good_pictures(folder, rng)
    picture = colours(rng)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(encoded(picture, "PNG"))
    stem = name.rpartition("/")[2][: -len(".png")]
    return Expected(good | {name: planes(picture)}, ids={name: stem})


def not_utf8(folder: Path, rng: np.random.Generator) -> Expected:
    good = good_pictures(folder, rng)
    with open(os.fsencode(folder) + b"/\xff\xfe\xe9.png", "wb") as stream:
        stream.write(encoded(colours(rng), "PNG"))

    def check(made) -> None:
        assert len(made.survey) == 3 and len(made.report["rejected"]) == 1
        assert "UTF-8" in made.report["rejected"][0]["reason"]

    return Expected(good, check=check)


def same_stem(folder: Path, rng: np.random.Generator, *, names: tuple[str, ...]) -> Expected:
    good = good_pictures(folder, rng)
    for name in names:
        picture = colours(rng)
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(encoded(picture, "TIFF" if name.endswith("tif") else "PNG"))
        good[name] = planes(picture)
    return Expected(good)


def hidden(folder: Path, rng: np.random.Generator) -> Expected:
    good = good_pictures(folder, rng)
    names = (".x.png", "._good0.png", ".DS_Store", ".cache/x.png", "Thumbs.db", "README.txt", "x.png~", "x.png.part")
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"no picture")
    return Expected(good, dict.fromkeys(names, PASSED))


def nothing_good(folder: Path, rng: np.random.Generator) -> Expected:
    for k in range(5):
        (folder / f"{k}.png").write_bytes(rng.bytes(100))
    return Expected(refused=MUST, named="0.png")


def nothing(folder: Path, rng: np.random.Generator) -> Expected:
    return Expected(refused=MUST, named="in")


def not_there(folder: Path, rng: np.random.Generator) -> Expected:
    return Expected(source="not there", refused=MUST, named="not there")


def mostly_broken(folder: Path, rng: np.random.Generator) -> Expected:
    good = good_pictures(folder, rng)
    bad = {f"bad{k}.jpg": LOST for k in range(200)}
    for name in bad:
        (folder / name).write_bytes(rng.bytes(50))
    return Expected(good, bad)


def unreadable(folder: Path, rng: np.random.Generator) -> Expected:
    good = good_pictures(folder, rng)
    (folder / "x.png").write_bytes(encoded(colours(rng), "PNG"))
    (folder / "x.png").chmod(0)
    return Expected(good, {"x.png": WHOLE if os.geteuid() == 0 else LOST})


def goes_away(folder: Path, rng: np.random.Generator) -> Expected:
    """Files that are whole when they are looked at, and gone or broken when they are read."""
    good = good_pictures(folder, rng)
    for name in ("x.png", "y.png"):
        (folder / name).write_bytes(encoded(colours(rng), "PNG"))

    def check(made) -> None:
        ids = made.survey.ids.to_pylist()
        (folder / "x.png").unlink()
        (folder / "y.png").write_bytes(b"")
        found = made.survey.cutouts.read(np.arange(5))
        reasons = {i: getattr(c, "reason", None) for i, c in zip(ids, found)}
        assert all((reasons[i] is not None) == (i in "xy") for i in ids), reasons

    return Expected(good, {"x.png": WHOLE, "y.png": WHOLE}, check=check)


SETS = {
    "name not UTF-8": not_utf8,
    "name with two endings": partial(same_stem, names=("x.png", "x.tif")),
    "name in two folders": partial(same_stem, names=("a/x.png", "b/x.png")),
    "name in two cases": partial(same_stem, names=("x.png", "X.png")),
    "name composed and not": partial(same_stem, names=("\u00e9.png", "e\u0301.png")),
    "name with blanks and without": partial(same_stem, names=("x.png", " x.png", "x .png")),
    "name that is a number twice": partial(same_stem, names=("1.png", "1.0.png", "01.png")),
    "files that are hidden or none": hidden,
    "none of which is good": nothing_good,
    "none at all": nothing,
    "folder that is not there": not_there,
    "set of which most is broken": mostly_broken,
    "that may not be read": unreadable,
    "that goes away": goes_away,
}
