"""Broken catalogues beside good pictures, odd ones that are whole, and odd places for a survey."""

import gzip
import io
import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table import MaskedColumn, Table
from broken_inputs import (
    MAY,
    MUST,
    NOTED,
    PASSED,
    SECRET,
    Case,
    Expected,
    colours,
    cuts,
    encoded,
    flipped,
    good_pictures,
    planes,
)

#: Values of the column that shows whether rows belong to their objects.
MAG = {"good0.png": 18.5, "good1.png": 19.5, "good2.png": 20.5}
SEEDS = 8


def cases() -> Iterator[Case]:
    """All of them."""
    for what, (data, name) in BROKEN.items():
        yield Case(f"catalogue {what}", partial(broken, data=data, name=name, asked=True))
        yield Case(
            f"catalogue {what}, not asked for",
            partial(broken, data=data, name=f"catalogue{_ending(name)}", asked=False),
        )
    for what, (data, name) in WHOLE.items():
        yield Case(f"catalogue {what}", partial(whole, data=data, name=name))
    yield from damaged()
    for what, (ids, names) in IDS.items():
        yield Case(f"catalogue ids {what}", partial(of_ids, ids=ids, names=names))
    for what, (columns, position) in POSITIONS.items():
        yield Case(f"catalogue positions {what}", partial(of_positions, columns=columns, position=position))
    yield from (
        Case(f"catalogue {what}", build, dangerous="laughs" in what or "bomb" in what) for what, build in SETS.items()
    )
    yield from (Case(f"survey {what}", build) for what, build in SURVEYS.items())


def _ending(name: str) -> str:
    return name[name.index(".") :]


# -- as bytes ---------------------------------------------------------------------------------------------------------

CSV = b"id,mag,note\ngood0,18.5,a\ngood1,19.5,b\ngood2,20.5,c\n"


def frame() -> pd.DataFrame:
    return pd.DataFrame({"id": ["good0", "good1", "good2"], "mag": [18.5, 19.5, 20.5], "note": ["a", "b", "c"]})


def parquet(table: pa.Table | None = None) -> bytes:
    held = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(frame()) if table is None else table, held)
    return held.getvalue()


def written(kind: str, table: Table | None = None) -> bytes:
    """A table as astropy writes it."""
    table = Table.from_pandas(frame()) if table is None else table
    if kind == "ascii.ecsv":
        text = io.StringIO()
        table.write(text, format=kind)
        return text.getvalue().encode()
    held = io.BytesIO()
    table.write(held, format=kind)
    return held.getvalue()


_PARQUET, _FITS, _VOTABLE, _ECSV = parquet(), written("fits"), written("votable"), written("ascii.ecsv")
_XXE = b"""<?xml version="1.0"?><!DOCTYPE VOTABLE [<!ENTITY x SYSTEM "SECRET">]>
<VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE><TABLE>
<FIELD name="id" datatype="char" arraysize="*"/><FIELD name="note" datatype="char" arraysize="*"/><DATA><TABLEDATA>
<TR><TD>good0</TD><TD>&x;</TD></TR></TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"""
_LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE VOTABLE [<!ENTITY a "haha">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + k, b"&%c;" % (97 + k) * 20) for k in range(12))
    + b"]><VOTABLE><RESOURCE><TABLE><FIELD name='id' datatype='char' arraysize='*'/><DATA><TABLEDATA><TR><TD>&m;</TD></TR>"
    b"</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
)

#: What cannot be read, or belongs to nothing.
BROKEN = {
    "of zero bytes": (b"", "c.csv"),
    "of a header alone": (b"id,mag\n", "c.csv"),
    "of newlines": (b"\n\n\n\n", "c.csv"),
    "of blanks": (b"   ", "c.txt"),
    "of NUL bytes": (bytes(500), "c.csv"),
    "of random bytes": (np.random.default_rng(0).bytes(3000), "c.csv"),
    "of random bytes named dat": (np.random.default_rng(4).bytes(3000), "c.dat"),
    "of html": (b"<!DOCTYPE html><html>404</html>", "c.csv"),
    "of comments alone": (b"# nothing\n# here\n", "c.txt"),
    "of other objects": (b"id,mag\nx,1\ny,2\n", "c.csv"),
    "without ids": (b"mag,z\n1.5,0.1\n2.5,0.2\n", "c.csv"),
    "whose ids are empty": (b"id,mag\n,1\n,2\n,3\n", "c.csv"),
    "whose ids are NaN": (b"id,mag\nnan,1\nNaN,2\n,3\n", "c.csv"),
    "that is a zip": (b"PK\x03\x04" + bytes(300), "c.csv"),
    "that is a gzip": (gzip.compress(CSV), "c.csv"),
    "that is a picture": (encoded(np.zeros((9, 9, 3), np.uint8), "PNG"), "c.csv"),
    "of rubbish named parquet": (b"rubbish" * 100, "c.parquet"),
    "of zero bytes named parquet": (b"", "c.parquet"),
    "of marks alone named parquet": (b"PAR1" + bytes(20) + b"PAR1", "c.parquet"),
    "of a huge footer named parquet": (b"PAR1" + bytes(20) + b"\xff\xff\xff\x7fPAR1", "c.parquet"),
    "csv named parquet": (CSV, "c.parquet"),
    "csv named fits": (CSV, "c.fits"),
    "csv named vot": (CSV, "c.vot"),
    "csv named ecsv": (CSV, "c.ecsv"),
    "fits without a table": (fits.PrimaryHDU().header.tostring().encode(), "c.fits"),
    "of zero bytes named fits": (b"", "c.fits"),
    "of zero bytes named vot": (b"", "c.vot"),
    "of zero bytes named ecsv": (b"", "c.ecsv"),
    "of another xml": (b"<?xml version='1.0'?><svg/>", "c.xml"),
    "of xml that does not end": (_VOTABLE[: len(_VOTABLE) // 2], "c.xml"),
    "of a billion laughs": (_LAUGHS, "c.vot"),
}

#: What is odd and whole: the rows belong to their objects.
WHOLE = {
    "with carriage returns": (CSV.replace(b"\n", b"\r\n"), "c.csv"),
    "with old carriage returns": (CSV.replace(b"\n", b"\r"), "c.csv"),
    "without a last newline": (CSV[:-1], "c.csv"),
    "with blank lines": (CSV.replace(b"\n", b"\n\n"), "c.csv"),
    "with a byte order mark": (b"\xef\xbb\xbf" + CSV, "c.csv"),
    "in UTF-16": (CSV.decode().encode("utf-16"), "c.csv"),
    "in UTF-16, the big end first": (b"\xfe\xff" + CSV.decode().encode("utf-16-be"), "c.csv"),
    "in Latin-1": (CSV.replace(b",a\n", b",\xe9toile \xb5m\n"), "c.csv"),
    "with a name in Latin-1": (CSV.replace(b"note", b"d\xe9calage"), "c.csv"),
    "with NUL bytes": (CSV.replace(b",b\n", b",b\0b\n"), "c.csv"),
    "with semicolons": (CSV.replace(b",", b";"), "c.csv"),
    "with tabs": (CSV.replace(b",", b"\t"), "c.tsv"),
    "with tabs named csv": (CSV.replace(b",", b"\t"), "c.csv"),
    "with bars": (CSV.replace(b",", b"|"), "c.txt"),
    "with blanks": (CSV.replace(b",", b"  "), "c.dat"),
    "with blanks behind commas": (CSV.replace(b",", b", "), "c.csv"),
    "with a name in a comment": (b"# " + CSV.replace(b",", b" "), "c.txt"),
    "with quotes": (b'"id","mag","note"\n"good0","18.5","a, b"\n"good1","19.5","it""s"\n"good2","20.5",""\n', "c.csv"),
    "with newlines in quotes": (CSV.replace(b",a\n", b',"a\nb\n\nc"\n'), "c.csv"),
    "with a quote in a field": (CSV.replace(b",b\n", b',5" seeing\n'), "c.csv"),
    "with a comma at the end of rows": (b"id,mag,\ngood0,18.5,\ngood1,19.5,\ngood2,20.5,\n", "c.csv"),
    "with a row too long": (CSV + b"good0,1,2,3,4,5,6\n", "c.csv"),
    "with a row too short": (b"id,mag,note\ngood0,18.5,a\nshort\ngood1,19.5,b\ngood2,20.5,c\n", "c.csv"),
    "with many rows too short": (CSV + b"short\n" * 5000, "c.csv"),
    "with a cut last row": (CSV + b"good", "c.csv"),
    "with text in numbers": (b"id,mag,z\ngood0,18.5,0.1\ngood1,19.5,N/A\ngood2,20.5,--\n", "c.csv"),
    "with Inf and NaN": (b"id,mag,z,w\ngood0,18.5,inf,nan\ngood1,19.5,-Inf,NaN\ngood2,20.5,1e999,\n", "c.csv"),
    "with column names twice": (b"id,mag,mag,mag\ngood0,18.5,1,2\ngood1,19.5,1,2\ngood2,20.5,1,2\n", "c.csv"),
    "with empty column names": (b",id,mag,,\n0,good0,18.5,x,y\n1,good1,19.5,x,y\n2,good2,20.5,x,y\n", "c.csv"),
    "with long column names": (b"id,mag," + b"n" * 200 + b"\ngood0,18.5,1\ngood1,19.5,1\ngood2,20.5,1\n", "c.csv"),
    "with column names of other scripts": (
        "id,mag,σ_v,距离,\u202ex,a b,a\tb,[Fe/H]\n".encode()
        + b"".join(b"good%d,%d.5,1,2,3,4,5,6\n" % (k, 18 + k) for k in range(3)),
        "c.csv",
    ),
    "with our column names": (
        b"id,mag,ra,dec,pixels_file,pixels_index,label_x\n"
        + b"".join(b"good%d,%d.5,%d,0,../../etc/passwd,7,star\n" % (k, 18 + k, k) for k in range(3)),
        "c.csv",
    ),
    "with column names in capitals": (
        b"ID,mag,RA,DEC,Id\n" + b"".join(b"good%d,%d.5,%d,0,%d\n" % (k, 18 + k, k, k) for k in range(3)),
        "c.csv",
    ),
    "with a thousand columns": (
        b"id,mag,"
        + b",".join(b"c%d" % k for k in range(1000))
        + b"\n"
        + b"".join(b"good%d,%d.5" % (k, 18 + k) + b",1" * 1000 + b"\n" for k in range(3)),
        "c.csv",
    ),
    "with a field of a megabyte": (CSV.replace(b",b\n", b"," + b"x" * (1 << 20) + b"\n"), "c.csv"),
    "with fields of two megabytes": (CSV.replace(b",b\n", b"," + b"x" * (1 << 21) + b"\n"), "c.csv"),
    "whose numbers become text after a megabyte": (
        b"id,mag,note\n" + b"".join(b"%d,1.5,%d\n" % (k, k) for k in range(100_000)) + CSV.partition(b"\n")[2],
        "c.csv",
    ),
    "that is sorted otherwise": (b"mag,note,id\n20.5,c,good2\n19.5,b,good1\n18.5,a,good0\n", "c.csv"),
    "parquet": (_PARQUET, "c.parquet"),
    "parquet of odd types": (
        parquet(
            pa.table(
                {
                    "id": pa.array(["good0", "good1", "good2"]).dictionary_encode(),
                    "mag": [18.5, 19.5, 20.5],
                    "bytes": [b"\xff", b"\0", None],
                    "list": [[1], [2, 3], None],
                    "struct": [{"a": 1}] * 3,
                    "nothing": pa.nulls(3),
                    "when": pa.array([0, 1, None], pa.timestamp("ns", "UTC")),
                    "money": pa.array([1, 2, 3], pa.decimal128(20, 3)),
                    "half": pa.array(np.ones(3, np.float16)),
                    "large": pa.array(["a", "b", "c"], pa.large_string()),
                    "flag": [True, None, False],
                    "u": pa.array([2**64 - 1, 0, None], pa.uint64()),
                    "map": pa.array([[("k", 1)]] * 3, pa.map_(pa.string(), pa.int64())),
                }
            )
        ),
        "c.parquet",
    ),
    "parquet with names twice": (
        parquet(
            pa.Table.from_arrays(
                [pa.array(["good0", "good1", "good2"]), pa.array([18.5, 19.5, 20.5]), pa.array([1, 2, 3])],
                ["id", "mag", "mag"],
            )
        ),
        "c.parquet",
    ),
    "fits": (_FITS, "c.fits"),
    "fits of odd columns": (
        written(
            "fits",
            Table(
                {
                    "id": np.array([b"good0", b"good1 ", b"good2"]),
                    "mag": np.array([18.5, 19.5, 20.5], ">f4"),
                    "flags": np.zeros((3, 8), bool),
                    "vector": np.zeros((3, 40), ">f4"),
                    "z": np.ones(3, complex),
                    "n": MaskedColumn([1, 2, 3], mask=[True, False, True]),
                }
            ),
        ),
        "c.fits",
    ),
    "fits packed": (gzip.compress(_FITS), "c.fits.gz"),
    "votable": (_VOTABLE, "c.vot"),
    "votable named xml": (_VOTABLE, "c.xml"),
    "ecsv": (_ECSV, "c.ecsv"),
    "ecsv named csv": (_ECSV, "c.csv"),
    "ecsv named txt": (_ECSV, "c.txt"),
}


def broken(folder: Path, rng: np.random.Generator, *, data: bytes, name: str, asked: bool) -> Expected:
    """One that is asked for is refused by name; one that only lies beside the pictures is passed over by name."""
    good = good_pictures(folder, rng)
    (folder / name).write_bytes(data)
    if asked:
        return Expected(catalogue=name, refused=MUST, named=name)
    return Expected(good, {name: NOTED})


def whole(folder: Path, rng: np.random.Generator, *, data: bytes, name: str) -> Expected:
    good = good_pictures(folder, rng)
    (folder / name).write_bytes(data)
    return Expected(good, catalogue=name, columns={"mag": MAG}, check=partial(_named_lost, data))


def _named_lost(data: bytes, made) -> None:
    """Rows that could not be read are told."""
    if b"short\n" in data or b"good0,1,2,3" in data:
        assert any("rows" in note and "could not be read" in note for note in made.report["notes"]), made.report[
            "notes"
        ]


def damaged() -> Iterator[Case]:
    """Cut short and turned over, in every format."""
    for ending, data in {"csv": CSV, "parquet": _PARQUET, "fits": _FITS, "vot": _VOTABLE, "ecsv": _ECSV}.items():
        for k, length in enumerate(cuts(len(data), 6)):
            yield Case(f"catalogue {ending} cut {k}", partial(spoiled, data=data[:length], name=f"c.{ending}"))
        for seed in range(SEEDS):
            turned = flipped(data, np.random.default_rng(seed), bits=6)
            yield Case(
                f"catalogue {ending} flips {seed}",
                partial(spoiled, data=turned, name=f"c.{ending}"),
                dangerous=seed < 2,
            )


def spoiled(folder: Path, rng: np.random.Generator, *, data: bytes, name: str) -> Expected:
    """It is refused by name, or what can be read of it is taken and the rest is counted."""
    good = good_pictures(folder, rng)
    (folder / name).write_bytes(data)

    def check(made) -> None:
        assert made.details.matched + made.details.without_row == 3

    return Expected(good, catalogue=name, refused=MAY, check=check)


# -- ids and positions ------------------------------------------------------------------------------------------------

_NUMBERS = ("101", "102", "103")
#: Ids as a catalogue has them, and the stems of the pictures that they are.
IDS = {
    "as integers": ([101, 102, 103], _NUMBERS),
    "as floats": ([101.0, 102.0, 103.0], _NUMBERS),
    "as floats with a gap": ([101.0, 102.0, 103.0, np.nan], _NUMBERS),
    "as text": (["101", "102", "103"], _NUMBERS),
    "with blanks": ([" 101", "102 ", " 103 "], _NUMBERS),
    "with an extension": (["101.png", "102.PNG", "103.fits"], _NUMBERS),
    "with folders": (["a/101.png", "b/c/102.png", "103.png"], _NUMBERS),
    "with whole paths": (["/data/x/101.png", "/data/x/102.png", "/data/x/103.png"], _NUMBERS),
    "padded with zeros": (["00101", "00102", "00103"], ("00101", "00102", "00103")),
    "padded with zeros, unlike the pictures": (["00101", "00102", "00103"], _NUMBERS),
    "not padded, unlike the pictures": ([101, 102, 103], ("00101", "00102", "00103")),
    "of 18 digits": (
        [587722981747589184, 587722981747589185, 587722981747589186],
        tuple(f"58772298174758918{k}" for k in (4, 5, 6)),
    ),
    "of 19 digits": (
        [1237648720693755918 + k for k in range(3)],
        tuple(str(1237648720693755918 + k) for k in range(3)),
    ),
    "of 20 digits": (
        [18446744073709551610 + k for k in range(3)],
        tuple(str(18446744073709551610 + k) for k in range(3)),
    ),
    "of 30 digits": (["1" * 29 + str(k) for k in range(3)], tuple("1" * 29 + str(k) for k in range(3))),
    "below nothing": ([-101, -102, -103], ("-101", "-102", "-103")),
    "with dots": (["J1.5", "J2.5", "J3.0"], ("J1.5", "J2.5", "J3.0")),
    "of positions": (["J0959+0212", "J1000+0300", "J1001-0100"], ("J0959+0212", "J1000+0300", "J1001-0100")),
    "of other scripts": (["étoile", "星", "גלקסיה"], ("étoile", "星", "גלקסיה")),
    "composed otherwise": (["\u00e9a", "\u00e9b", "\u00e9c"], ("e\u0301a", "e\u0301b", "e\u0301c")),
    "that look like exponents": (["1e5", "2e5", "3e5"], ("1e5", "2e5", "3e5")),
    "that look like truth": (["true", "false", "null"], ("true", "false", "null")),
    "that look like nothing": (["NA", "nan", "None"], ("NA", "nan", "None")),
    "that look like dates": (["2020-01-01", "2020-01-02", "2020-01-03"], ("2020-01-01", "2020-01-02", "2020-01-03")),
    "that look like times": (["10:30", "11:30", "12:30"], ("10:30", "11:30", "12:30")),
    "with commas and quotes": (['a,"b"', "c,d", "it's"], ('a,"b"', "c,d", "it's")),
    "that repeat equally": (["a", "b", "c", "a"], ("a", "b", "c")),
    "in other letters' case": (["ABC", "DEF", "GHI"], ("ABC", "DEF", "GHI")),
}


def of_ids(folder: Path, rng: np.random.Generator, *, ids: list, names: tuple[str, ...]) -> Expected:
    good, mags = {}, {}
    for k, name in enumerate(names):
        picture = colours(rng)
        (folder / f"{name}.png").write_bytes(encoded(picture, "PNG"))
        good[f"{name}.png"], mags[f"{name}.png"] = planes(picture), float(k)
    mag = [float(k % len(names)) for k in range(len(ids))]
    pd.DataFrame({"id": ids, "mag": mag}).to_csv(folder / "c.csv", index=False)
    return Expected(good, catalogue="c.csv", columns={"mag": mags})


#: Columns of a position for ``good0.png``, and where it must be.
POSITIONS = {
    "in degrees": ({"ra": 150.0, "dec": 2.0}, (150.0, 2.0)),
    "below nothing": ({"ra": -10.0, "dec": 2.0}, (350.0, 2.0)),
    "of 360": ({"ra": 360.0, "dec": 2.0}, (0.0, 2.0)),
    "sexagesimal": ({"ra": "10:00:00", "dec": "-02:30:00"}, (150.0, -2.5)),
    "with letters": ({"RAJ2000": "10h00m00.0s", "DEJ2000": "+02d30m00s"}, (150.0, 2.5)),
    "with blanks": ({"ra": "10 00 00", "dec": "-00 30 00"}, (150.0, -0.5)),
    "out of range": ({"ra": 400.0, "dec": 95.0}, None),
    "Inf": ({"ra": "inf", "dec": "2.0"}, None),
    "of -99": ({"ra": -99.0, "dec": -99.0}, None),
    "empty": ({"ra": "", "dec": ""}, None),
    "rubbish": ({"ra": "here", "dec": "there"}, None),
    "of one part": ({"ra": 150.0}, None),
    "whose Dec is empty": ({"ra": 150.0, "dec": np.nan}, None),
    "as integers": ({"ra": 150, "dec": 2}, (150.0, 2.0)),
    "in brackets": ({"RA (deg)": 150.0, "Dec (deg)": 2.0}, (150.0, 2.0)),
}


def of_positions(folder: Path, rng: np.random.Generator, *, columns: dict, position: tuple | None) -> Expected:
    good = good_pictures(folder, rng)
    rows = [{"id": f"good{k}", **columns} for k in range(3)]
    pd.DataFrame(rows).to_csv(folder / "c.csv", index=False)

    def check(made) -> None:
        found = made.survey.column("ra")[0], made.survey.column("dec")[0]
        np.testing.assert_allclose(found, (np.nan, np.nan) if position is None else position, atol=1e-9)

    return Expected(good, catalogue="c.csv", check=check)


def hours_with_a_unit(folder: Path, rng: np.random.Generator, *, ending: str, kind: str) -> Expected:
    good = good_pictures(folder, rng)
    table = Table({"id": ["good0", "good1", "good2"], "ra": [10.0, 11.0, 12.0], "dec": [1.0, 2.0, 3.0]})
    table["ra"].unit = "h"
    (folder / f"c.{ending}").write_bytes(written(kind, table))

    def check(made) -> None:
        np.testing.assert_allclose(made.survey.column("ra"), [150, 165, 180])

    return Expected(good, catalogue=f"c.{ending}", check=check)


def hours_without_a_unit(folder: Path, rng: np.random.Generator) -> Expected:
    """Nothing says that they are hours: they are taken for degrees, and the report doubts it."""
    good = good_pictures(folder, rng, 30)
    hours = np.linspace(0.5, 23.5, 30)
    pd.DataFrame({"id": [f"good{k}" for k in range(30)], "ra": hours, "dec": 1.0}).to_csv(folder / "c.csv", index=False)

    def check(made) -> None:
        assert any("hours" in note for note in made.report["notes"])

    return Expected(good, catalogue="c.csv", check=check)


# -- sets -------------------------------------------------------------------------------------------------------------


def repeated(folder: Path, rng: np.random.Generator) -> Expected:
    good = good_pictures(folder, rng)
    (folder / "c.csv").write_bytes(CSV + b"good1,19.5,b\ngood2,99.5,other\ngood2,98.5,other\nunknown,1,x\n")

    def check(made) -> None:
        found = made.details
        assert (found.repeated_rows, found.differing, found.without_image) == (3, ["good2"], 1)

    return Expected(good, catalogue="c.csv", columns={"mag": MAG}, check=check)


def ids_alone(folder: Path, rng: np.random.Generator) -> Expected:
    good = good_pictures(folder, rng)
    (folder / "c.csv").write_bytes(b"id\ngood0\ngood1\ngood2\n")
    return Expected(good, catalogue="c.csv")


def missing_ids(folder: Path, rng: np.random.Generator) -> Expected:
    good = good_pictures(folder, rng)
    (folder / "c.csv").write_bytes(CSV + b",1,x\nnan,2,y\n,3,z\n")

    def check(made) -> None:
        assert made.details.without_image == 3

    return Expected(good, catalogue="c.csv", columns={"mag": MAG}, check=check)


def other_places(folder: Path, rng: np.random.Generator, *, name: str, named: str) -> Expected:
    """A catalogue that is none: a folder, a pipe, something of another ending, nothing."""
    good_pictures(folder, rng)
    if name == "folder.csv":
        (folder / name).mkdir()
    elif name == "pipe.csv":
        os.mkfifo(folder / name)
    elif name == "c.xlsx":
        (folder / name).write_bytes(CSV)
    elif name == "dangling.csv":
        (folder / name).symlink_to("nothing.csv")
    return Expected(catalogue=name, refused=MUST, named=named)


def link_beside(folder: Path, rng: np.random.Generator) -> Expected:
    """A catalogue beside the pictures that is a link out of the folder: nobody asked for that file."""
    good = good_pictures(folder, rng)
    (folder.parent / "secret.csv").write_text(f"id,secret\ngood0,{SECRET}\ngood1,{SECRET}\ngood2,{SECRET}\n")
    (folder / "catalogue.csv").symlink_to(folder.parent / "secret.csv")

    def check(made) -> None:
        assert "secret" not in made.survey.columns

    return Expected(good, {"catalogue.csv": NOTED}, check=check)


def pipe_beside(folder: Path, rng: np.random.Generator) -> Expected:
    good = good_pictures(folder, rng)
    os.mkfifo(folder / "catalogue.csv")
    return Expected(good, {"catalogue.csv": PASSED})


def two_beside(folder: Path, rng: np.random.Generator) -> Expected:
    """The first of two catalogues is broken: the other one is used."""
    good = good_pictures(folder, rng)
    (folder / "catalogue.csv").write_bytes(b"rubbish")
    (folder / "catalogue.parquet").write_bytes(_PARQUET)
    return Expected(good, {"catalogue.csv": NOTED}, columns={"mag": MAG})


def as_source(folder: Path, rng: np.random.Generator, *, data: bytes, name: str) -> Expected:
    """A broken table as the source itself."""
    (folder / name).write_bytes(data)
    return Expected(source=name, refused=MUST, named=name)


def entity(folder: Path, rng: np.random.Generator) -> Expected:
    """A VOTable that refers to another file of this machine: that is not read."""
    good = good_pictures(folder, rng)
    (folder.parent / "secret.txt").write_text("secret")
    (folder / "c.vot").write_bytes(_XXE.replace(b"SECRET", (folder.parent / "secret.txt").as_uri().encode()))

    def check(made) -> None:
        assert "secret" not in made.survey.column("note").tolist()

    return Expected(good, catalogue="c.vot", refused=MAY, check=check)


SETS = {
    "with repeated rows": repeated,
    "of ids alone": ids_alone,
    "with missing ids": missing_ids,
    "that is a folder": partial(other_places, name="folder.csv", named="folder.csv"),
    "that is a pipe": partial(other_places, name="pipe.csv", named="pipe.csv"),
    "that is not there": partial(other_places, name="nothing.csv", named="nothing.csv"),
    "that is a dangling link": partial(other_places, name="dangling.csv", named="dangling.csv"),
    "of an unknown ending": partial(other_places, name="c.xlsx", named="c.xlsx"),
    "that is a link out of the folder, not asked for": link_beside,
    "that is a pipe, not asked for": pipe_beside,
    "of two, one of which is broken": two_beside,
    "in hours with a unit, votable": partial(hours_with_a_unit, ending="vot", kind="votable"),
    "in hours with a unit, fits": partial(hours_with_a_unit, ending="fits", kind="fits"),
    "in hours with a unit, ecsv": partial(hours_with_a_unit, ending="ecsv", kind="ascii.ecsv"),
    "in hours without a unit": hours_without_a_unit,
    "as the source, of zero bytes": partial(as_source, data=b"", name="all.csv"),
    "as the source, of a header alone": partial(as_source, data=b"id,ra,dec\n", name="all.csv"),
    "as the source, parquet cut short": partial(as_source, data=_PARQUET[:-20], name="all.parquet"),
    "as the source, votable cut short": partial(as_source, data=_VOTABLE[:300], name="all.vot"),
    "of an xml entity": entity,
}


# -- where the survey goes --------------------------------------------------------------------------------------------


def a_survey(folder: Path, rng: np.random.Generator) -> Expected:
    (folder / "survey.toml").write_text("name = 'x'\nformat = 1\n")
    good_pictures(folder, rng)
    return Expected(refused=MUST, named="in")


def with_a_survey_inside(folder: Path, rng: np.random.Generator) -> Expected:
    good = good_pictures(folder, rng)
    (folder / "old.survey").mkdir()
    shutil.copy(folder / "good0.png", folder / "old.survey/x.png")
    return Expected(good, {"old.survey/x.png": PASSED})


def a_picture(folder: Path, rng: np.random.Generator) -> Expected:
    good_pictures(folder, rng)
    return Expected(source="good0.png", refused=MUST, named="good0.png")


def a_text(folder: Path, rng: np.random.Generator) -> Expected:
    (folder / "notes.md").write_text("x")
    return Expected(source="notes.md", refused=MUST, named="notes.md")


def with_options(folder: Path, rng: np.random.Generator, *, named: str, **options) -> Expected:
    good_pictures(folder, rng)
    (folder / "c.csv").write_bytes(CSV)
    return Expected(options=options, catalogue="c.csv", refused=MUST, named=named)


SURVEYS = {
    "that is a source": a_survey,
    "inside its source": with_a_survey_inside,
    "of one picture": a_picture,
    "of a text": a_text,
    "of two bands where there are three": partial(with_options, named="2 bands", bands=["g", "r"]),
    "of bands of one name": partial(with_options, named="g", bands=["g", "g", "r"]),
    "joined by an unknown column": partial(with_options, named="nothing", id_column="nothing"),
    "joined within -1 arcsec": partial(with_options, named="-1", radius=-1),
    "joined within nan arcsec": partial(with_options, named="nan", radius=float("nan")),
    "joined by rubbish": partial(with_options, named="rubbish", join="rubbish"),
    "fitted by rubbish": partial(with_options, named="rubbish", fit="rubbish"),
    "of -5 pixels a side": partial(with_options, named="-5", fit="crop", side=-5),
    "of 10^9 pixels a side": partial(with_options, named="1,000,000,000", fit="pad", side=10**9),
}
