"""Broken NumPy files and Zarr stores: damaged, lying, with code in them, with names that lead elsewhere."""

import io
import json
import shutil
import struct
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import zarr
from broken_inputs import ANY, LOST, MAY, MUST, NEVER, SECRET, SIDE, Case, Expected, cuts, flipped, flux

ROWS = 8
SEEDS = 12


def images(seed: int = 0, rows: int = ROWS) -> np.ndarray:
    return flux(np.random.default_rng(seed), rows, 2, SIDE, SIDE)


def npy(values: np.ndarray) -> bytes:
    held = io.BytesIO()
    np.save(held, values, allow_pickle=False)
    return held.getvalue()


def npz(*, packed: bool = False, **arrays: np.ndarray) -> bytes:
    held = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(held, **arrays)
    return held.getvalue()


def header(text: str, data: bytes = b"", version: int = 1) -> bytes:
    """An .npy file whose header says what it is told to."""
    body = text.encode("latin-1", "replace").ljust(118 if len(text) < 118 else len(text)) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(body)) + body + data


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return held.getvalue()


def usual(seed: int = 0, rows: int = ROWS) -> dict[str, np.ndarray]:
    return {
        "images": images(seed, rows),
        "object_id": np.array([f"{seed}-{k}" for k in range(rows)]),
        "ra": np.linspace(10, 11, rows),
        "dec": np.linspace(-1, 1, rows),
    }


class _Payload:
    """What a pickle would do on being read: make a file."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return (open, (str(self.marker), "w"))


def among(folder: Path, rng: np.random.Generator, *, data: bytes, fate: str, ending: str = "npz") -> Expected:
    """A file of good objects, and another one."""
    (folder / "good.npz").write_bytes(npz(**usual(7, 9)))
    (folder / f"bad.{ending}").write_bytes(data)
    return Expected({("good.npz", k): image for k, image in enumerate(images(7, 9))}, {f"bad.{ending}": fate})


def alone(
    folder: Path, rng: np.random.Generator, *, data: bytes, refused: str, ending: str = "npz", **more
) -> Expected:
    """One file."""
    (folder / f"all.{ending}").write_bytes(data)
    known = dict(enumerate(images())) if refused == NEVER else {}
    return Expected(known, source=f"all.{ending}", refused=refused, named=f"all.{ending}" * (refused == MUST), **more)


def each(folder: Path, rng: np.random.Generator, *, data: bytes, fate: str) -> Expected:
    """A folder of .npy files, an object each."""
    good = {}
    for k in range(4):
        image = flux(rng)
        np.save(folder / f"good{k}.npy", image)
        good[f"good{k}.npy"] = image[None]
    (folder / "bad.npy").write_bytes(data)
    return Expected(good, {"bad.npy": fate})


_NPZ, _PACKED, _NPY, _ONE = npz(**usual()), npz(packed=True, **usual()), npy(images()), npy(images()[0, 0])
_HEADS = {
    "claims 10^12 rows": "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 2, 12, 12), }",
    "claims 10^300 rows": "{'descr': '<f4', 'fortran_order': False, 'shape': (1" + "0" * 300 + ", 12, 12), }",
    "claims -1 rows": "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 2, 12, 12), }",
    "of code": "{'descr': __import__('os').system('touch ran'), 'fortran_order': False, 'shape': (8,), }",
    "of a type that is none": "{'descr': 'rubbish', 'fortran_order': False, 'shape': (8, 2, 12, 12), }",
    "of a type of gigabytes": "{'descr': '|S2000000000', 'fortran_order': False, 'shape': (8, 2, 12, 12), }",
    "of objects": "{'descr': '|O', 'fortran_order': False, 'shape': (8, 2, 12, 12), }",
    "of floats for a shape": "{'descr': '<f4', 'fortran_order': False, 'shape': (8.0, 2, 12, 12), }",
    "without a shape": "{'descr': '<f4', 'fortran_order': False, }",
    "that does not end": "{'descr': '<f4', 'fortran_order': False, 'shape': (8, 2, 12",
    "not Latin-1": "{'descr': '<f4', 'fortran_order': False, 'shape': (8, 2, 12, 12), '\u661f': 1}",
    "of brackets": "(" * 5000 + ")" * 5000,
    "of 60,000 characters": "{'descr': '<f4', 'fortran_order': False, 'shape': (8, 2, 12, 12), }" + " " * 60_000,
    "of no dictionary": "[1, 2, 3]",
    "of a hundred axes": "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "1, " * 100 + "), }",
}


def cases() -> Iterator[Case]:
    """All of them."""
    for k, length in enumerate(cuts(len(_NPZ), 8)):
        yield Case(f"npz cut {k}", partial(among, data=_NPZ[:length], fate=LOST))
        yield Case(f"npz alone cut {k}", partial(alone, data=_NPZ[:length], refused=MUST))
        yield Case(
            f"npy alone cut {k}",
            partial(alone, data=_NPY[: length * len(_NPY) // len(_NPZ)], refused=MUST, ending="npy"),
        )
        yield Case(f"npy cut {k}", partial(each, data=_ONE[: length * len(_ONE) // len(_NPZ)], fate=LOST))
    for seed in range(SEEDS):
        for what, data in {"npz": _NPZ, "packed npz": _PACKED}.items():
            spoiled = flipped(data, np.random.default_rng(seed), bits=10)
            yield Case(f"{what} flips {seed}", partial(among, data=spoiled, fate=ANY))
            yield Case(
                f"{what} flips at its end {seed}",
                partial(
                    among, data=flipped(data, np.random.default_rng(seed), bits=3, first=len(data) - 300), fate=ANY
                ),
            )
        spoiled = flipped(_ONE, np.random.default_rng(seed), bits=3, stop=128)
        yield Case(f"npy flips in its header {seed}", partial(each, data=spoiled, fate=ANY), dangerous=seed < 6)
    for what, data in {
        "zero bytes": b"",
        "rubbish": b"rubbish " * 99,
        "a magic": b"\x93NUMPY",
        "text": b"1,2\n",
    }.items():
        yield Case(f"npz of {what}", partial(among, data=data, fate=LOST))
        yield Case(f"npy of {what}", partial(each, data=data, fate=LOST))
        yield Case(f"npy alone of {what}", partial(alone, data=data, refused=MUST, ending="npy"))
    for what, text in _HEADS.items():
        fate = ANY if "60,000" in what else LOST
        yield Case(f"npy {what}", partial(each, data=header(text, bytes(9216)), fate=fate), dangerous=True)
        yield Case(f"npz {what}", partial(among, data=zipped({"images.npy": header(text, bytes(9216))}), fate=fate))
    yield from (Case(f"NumPy {what}", build, dangerous="bomb" in what) for what, build in SETS.items())
    yield from (Case(f"Zarr {what}", partial(store, change=change)) for what, change in STORES.items())


# -- sets -------------------------------------------------------------------------------------------------------------


def pickled(folder: Path, rng: np.random.Generator, *, ending: str) -> Expected:
    """Arrays of Python objects, one of which would make a file on being read."""
    import warnings

    marker = folder.parent / "ran"
    values = np.empty(ROWS, object)
    values[:] = [_Payload(marker)] * ROWS
    held = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if ending == "npy":
            np.save(held, values, allow_pickle=True)
        else:
            np.savez(held, images=values, object_id=values, allow_pickle=True)
    return Expected(**vars(alone(folder, rng, data=held.getvalue(), refused=MUST, ending=ending)) | {"absent": marker})


def pickled_column(folder: Path, rng: np.random.Generator) -> Expected:
    """Good images and a column of Python objects: it is not read."""
    marker = folder.parent / "ran"
    values = np.empty(ROWS, object)
    values[:] = [_Payload(marker)] * ROWS
    with open(folder / "all.npz", "wb") as stream:
        np.savez(stream, images=images(), name=values, mag=np.arange(ROWS), allow_pickle=True)
    return Expected(dict(enumerate(images())), source="all.npz", absent=marker)


def pure_pickle(folder: Path, rng: np.random.Generator) -> Expected:
    import pickle

    marker = folder.parent / "ran"
    (folder / "all.npy").write_bytes(pickle.dumps(_Payload(marker)))
    return Expected(source="all.npy", refused=MUST, named="all.npy", absent=marker)


def bomb(folder: Path, rng: np.random.Generator) -> Expected:
    """A member of a hundred megabytes that is packed into a hundred kilobytes."""
    text = "{'descr': '<f4', 'fortran_order': False, 'shape': (16, 2, 1000, 1000), }"
    with zipfile.ZipFile(folder / "bad.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("images.npy", "w") as stream:
            stream.write(header(text))
            for _ in range(128):
                stream.write(bytes(10**6))
    return Expected(source="bad.npz", refused=MAY)


def bomb_that_lies(folder: Path, rng: np.random.Generator) -> Expected:
    """A member that claims to be small, and is not."""
    data = bytearray(zipped({"images.npy": _NPY + bytes(1 << 26)}, zipfile.ZIP_DEFLATED))
    real = struct.pack("<I", len(_NPY) + (1 << 26))
    while real in data:
        at = data.index(real)
        data[at : at + 4] = struct.pack("<I", len(_NPY))
    return among(folder, rng, data=bytes(data), fate=ANY)


def encrypted(folder: Path, rng: np.random.Generator) -> Expected:
    data = bytearray(_NPZ)
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = 0
        while (start := data.find(mark, start)) >= 0:
            data[start + at] |= 1
            start += 4
    return among(folder, rng, data=bytes(data), fate=LOST)


def method(folder: Path, rng: np.random.Generator) -> Expected:
    """Members packed in a way that nobody knows."""
    data = bytearray(_PACKED)
    for mark, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        start = 0
        while (start := data.find(mark, start)) >= 0:
            data[start + at : start + at + 2] = struct.pack("<H", 99)
            start += 4
    return among(folder, rng, data=bytes(data), fate=LOST)


def names(folder: Path, rng: np.random.Generator, *, name: str) -> Expected:
    """Members whose names lead elsewhere: they are only names."""
    data = zipped({"images.npy": _NPY, name: npy(np.arange(ROWS))})
    return Expected(**vars(alone(folder, rng, data=data, refused=NEVER)) | {"absent": folder.parent / "evil.npy"})


def many_members(folder: Path, rng: np.random.Generator) -> Expected:
    data = zipped({"images.npy": _NPY} | {f"c{k}.npy": npy(np.arange(ROWS)) for k in range(3000)})
    return alone(folder, rng, data=data, refused=NEVER)


def good_array(folder: Path, rng: np.random.Generator, *, data: bytes, ending: str = "npz") -> Expected:
    return alone(folder, rng, data=data, refused=NEVER, ending=ending)


def twice(folder: Path, rng: np.random.Generator) -> Expected:
    """Two members of one name."""
    import warnings

    held = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(held, "w") as archive:
        warnings.simplefilter("ignore")
        for seed in (1, 2):
            archive.writestr("images.npy", npy(images(seed)))
    return Expected(**vars(alone(folder, rng, data=held.getvalue(), refused=MAY)))


def secret_beside(folder: Path, rng: np.random.Generator) -> Expected:
    """A link out of the folder among files of one object each."""
    expected = each(folder, rng, data=b"", fate=LOST)
    np.save(folder.parent / "secret.npy", np.full((SIDE, SIDE), SECRET, np.float32))
    (folder / "bad.npy").unlink()
    (folder / "bad.npy").symlink_to(folder.parent / "secret.npy")
    return expected


def column_of_folder(folder: Path, rng: np.random.Generator) -> Expected:
    """A folder of an images array and columns, one of which is a link out of the folder, and one broken."""
    np.save(folder / "images.npy", images())
    np.save(folder / "mag.npy", np.arange(ROWS))
    np.save(folder.parent / "secret.npy", np.full(ROWS, SECRET))
    (folder / "z.npy").symlink_to(folder.parent / "secret.npy")
    (folder / "broken.npy").write_bytes(b"x")

    def check(made) -> None:
        assert "z" not in made.survey.columns, "a column was read that may not be read"
        told = [*(r["file"] for r in made.report["rejected"]), *made.report["notes"]]
        assert any("z.npy" in words for words in told) and any("broken.npy" in words for words in told), told

    return Expected({k: image for k, image in enumerate(images())}, check=check)


_STRUCTURED = np.zeros(ROWS, [("id", "i8"), ("name", "S5")])
_STRUCTURED["id"] = np.arange(ROWS)
SETS = {
    "npy of Python objects": partial(pickled, ending="npy"),
    "npz of Python objects": partial(pickled, ending="npz"),
    "column of Python objects": pickled_column,
    "npy that is a pickle": pure_pickle,
    "bomb": bomb,
    "bomb that lies": bomb_that_lies,
    "members that are encrypted": encrypted,
    "members of an unknown method": method,
    "member ../../evil.npy": partial(names, name="../../evil.npy"),
    "member /etc/evil.npy": partial(names, name="/etc/evil.npy"),
    "member of an empty name": partial(names, name=".npy"),
    "member of a long name": partial(names, name="n" * 3000 + ".npy"),
    "member of an odd name": partial(names, name="a\nb\x1b\u202e.npy"),
    "thousands of members": many_members,
    "members of one name": twice,
    "two arrays of other lengths": partial(good_array, data=npz(images=images(), mag=np.arange(3), z=np.arange(99))),
    "Fortran order": partial(good_array, data=npz(images=np.asfortranarray(images()))),
    "Fortran order in an npy": partial(good_array, data=npy(np.asfortranarray(images())), ending="npy"),
    "big-endian": partial(good_array, data=npz(images=images().astype(">f4"), mag=np.arange(ROWS, dtype=">i8"))),
    "records": partial(good_array, data=npz(images=images(), table=_STRUCTURED)),
    "times and complex numbers": partial(
        good_array, data=npz(images=images(), when=np.arange(ROWS).astype("M8[s]"), z=np.ones(ROWS, complex))
    ),
    "wide text": partial(good_array, data=npz(images=images(), name=np.array(["\U0001f30c" * 50] * ROWS))),
    "link out of the folder": secret_beside,
    "columns of a folder": column_of_folder,
}


# -- Zarr -------------------------------------------------------------------------------------------------------------


def store(folder: Path, rng: np.random.Generator, *, change) -> Expected:
    """A store of four chunks of two rows, and what is the matter with it."""
    made = zarr.open_group(folder / "all.zarr", mode="w", zarr_format=3)
    array = made.create_array("images", shape=(ROWS, 2, SIDE, SIDE), chunks=(2, 2, SIDE, SIDE), dtype="f4")
    array[:] = images()
    mag = made.create_array("mag", shape=(ROWS,), chunks=(ROWS,), dtype="f8")
    mag[:] = np.arange(ROWS)
    return change(folder / "all.zarr")


def _good(but: tuple[int, ...] = ()) -> dict:
    return {k: image for k, image in enumerate(images()) if k not in but}


def _chunk(path: Path, number: int) -> Path:
    return path / f"images/c/{number}/0/0/0"


def _zarr(good=None, bad=None, refused: str = NEVER, **more) -> Expected:
    named = "all.zarr" if refused == MUST else ""
    return Expected(good or {}, bad or {}, source="all.zarr", refused=refused, named=named, **more)


def _missing_chunk(path: Path) -> Expected:
    """What was never written reads as the fill value: that is how the format keeps blanks."""
    _chunk(path, 1).unlink()
    return _zarr(_good((2, 3)), {2: ANY, 3: ANY})


def _damaged_chunk(path: Path) -> Expected:
    _chunk(path, 1).write_bytes(b"rubbish" * 20)
    return _zarr(_good((2, 3)), {2: LOST, 3: LOST})


def _short_chunk(path: Path) -> Expected:
    data = _chunk(path, 2).read_bytes()
    _chunk(path, 2).write_bytes(data[: len(data) // 2])
    return _zarr(_good((4, 5)), {4: LOST, 5: LOST})


def _empty_chunk(path: Path) -> Expected:
    _chunk(path, 0).write_bytes(b"")
    return _zarr(_good((0, 1)), {0: LOST, 1: LOST})


def _folder_for_chunk(path: Path) -> Expected:
    _chunk(path, 0).unlink()
    _chunk(path, 0).mkdir()
    return _zarr(_good((0, 1)), {0: ANY, 1: ANY})


def _link_for_chunk(path: Path) -> Expected:
    """A chunk that is a link to a file outside of the store."""
    secret = path.parent.parent / "secret"
    with_secret = zarr.open_group(path.parent.parent / "s.zarr", mode="w", zarr_format=3)
    array = with_secret.create_array("images", shape=(2, 2, SIDE, SIDE), chunks=(2, 2, SIDE, SIDE), dtype="f4")
    array[:] = SECRET
    shutil.copy(_chunk(path.parent.parent / "s.zarr", 0), secret)
    _chunk(path, 0).unlink()
    _chunk(path, 0).symlink_to(secret)
    return _zarr(_good((0, 1)), {0: LOST, 1: LOST}, refused=MAY)


def _link_for_array(path: Path) -> Expected:
    """An array that is a link to another store."""
    secret = zarr.open_group(path.parent.parent / "s.zarr", mode="w", zarr_format=3)
    array = secret.create_array("images", shape=(ROWS, 2, SIDE, SIDE), chunks=(2, 2, SIDE, SIDE), dtype="f4")
    array[:] = SECRET
    shutil.rmtree(path / "images")
    (path / "images").symlink_to(path.parent.parent / "s.zarr" / "images")
    return _zarr(refused=MAY)


def _document(path: Path, **changes) -> Expected:
    """The document of the array of images says something else."""
    file = path / "images/zarr.json"
    told = json.loads(file.read_text())
    file.write_text(json.dumps({k: v for k, v in (told | changes).items() if v is not None}))
    return _zarr(refused=MUST)


def _broken_json(path: Path, *, text: bytes, name: str) -> Expected:
    (path / name).write_bytes(text)
    return _zarr(refused=MUST)


def _column_codec(path: Path) -> Expected:
    file = path / "mag/zarr.json"
    told = json.loads(file.read_text())
    told["codecs"] = [{"name": "rubbish"}]
    file.write_text(json.dumps(told))
    return _zarr(_good(), refused=MAY)


def _column_damaged(path: Path) -> Expected:
    (path / "mag/c/0").write_bytes(b"rubbish")

    def check(made) -> None:
        assert "mag" not in made.survey.columns and any("mag" in note for note in made.report["notes"])

    return _zarr(_good(), check=check)


def _odd_names(path: Path) -> Expected:
    for name in ("..evil", "a b", "é", "%2e%2e"):
        shutil.copytree(path / "mag", path / name)
    return _zarr(_good())


_GRID = {"name": "regular", "configuration": {"chunk_shape": [2, 2, SIDE, SIDE]}}
STORES = {
    "without a chunk": _missing_chunk,
    "with a damaged chunk": _damaged_chunk,
    "with a chunk cut short": _short_chunk,
    "with an empty chunk": _empty_chunk,
    "with a folder for a chunk": _folder_for_chunk,
    "with a chunk that is a link": _link_for_chunk,
    "with an array that is a link": _link_for_array,
    "that claims 10^12 rows": partial(_document, shape=[10**12, 2, SIDE, SIDE]),
    "that claims 10^5 pixels a side": partial(_document, shape=[ROWS, 2, 10**5, 10**5]),
    "of less than no rows": partial(_document, shape=[-1, 2, SIDE, SIDE]),
    "of rows that are text": partial(_document, shape=["a", 2, SIDE, SIDE]),
    "of chunks of no rows": partial(
        _document, chunk_grid={"name": "regular", "configuration": {"chunk_shape": [0, 2, SIDE, SIDE]}}
    ),
    "of chunks of 10^12 rows": partial(
        _document, chunk_grid={"name": "regular", "configuration": {"chunk_shape": [10**12, 2, SIDE, SIDE]}}
    ),
    "of an unknown codec": partial(_document, codecs=[{"name": "rubbish"}]),
    "of no codec": partial(_document, codecs=[]),
    "of an unknown type": partial(_document, data_type="rubbish"),
    "of an unknown version": partial(_document, zarr_format=99),
    "of an unknown node": partial(_document, node_type="rubbish"),
    "without a shape": partial(_document, shape=None),
    "whose document is empty": partial(_broken_json, text=b"", name="images/zarr.json"),
    "whose document is no JSON": partial(_broken_json, text=b"{rubbish", name="images/zarr.json"),
    "whose document is a list": partial(_broken_json, text=b"[1]", name="images/zarr.json"),
    "whose document is not UTF-8": partial(_broken_json, text=b"\xff\xfe", name="images/zarr.json"),
    "whose document is deep": partial(_broken_json, text=b"[" * 100_000, name="images/zarr.json"),
    "whose group's document is no JSON": partial(_broken_json, text=b"{rubbish", name="zarr.json"),
    "whose group's document is empty": partial(_broken_json, text=b"", name="zarr.json"),
    "with a column of an unknown codec": _column_codec,
    "with a damaged column": _column_damaged,
    "with odd names": _odd_names,
}
