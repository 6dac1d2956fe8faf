"""Broken HDF5 files: damaged, claiming what they do not hold, leading out of their folder, with odd ids and columns."""

import io
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import h5py
import numpy as np
from broken_inputs import ANY, LOST, MAY, MUST, NEVER, SECRET, SIDE, Case, Expected, cuts, flipped, flux

ROWS = 8
SEEDS = 12


def images(seed: int = 0, rows: int = ROWS) -> np.ndarray:
    """Pixels of some objects in two bands, (rows, 2, h, w) float32."""
    return flux(np.random.default_rng(seed), rows, 2, SIDE, SIDE)


def usual(file: h5py.File, seed: int = 0, rows: int = ROWS, **options) -> None:
    """The datasets of a file that is whole."""
    file.create_dataset("images", data=images(seed, rows), **options)
    file["object_id"] = [f"{seed}-{k}".encode() for k in range(rows)]
    file["ra"], file["dec"] = np.linspace(10, 11, rows), np.linspace(-1, 1, rows)


def held(fill: Callable[[h5py.File], None]) -> bytes:
    """An HDF5 file as bytes."""
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        fill(file)
    return memory.getvalue()


_WHOLE = held(usual)
_PACKED = held(partial(usual, chunks=(2, 2, SIDE, SIDE), compression="gzip", shuffle=True))


def among(folder: Path, rng: np.random.Generator, *, data: bytes, fate: str) -> Expected:
    """A file of good objects, and another one."""
    (folder / "good.h5").write_bytes(held(partial(usual, seed=7, rows=9)))
    (folder / "bad.h5").write_bytes(data)
    return Expected({("good.h5", k): image for k, image in enumerate(images(7, 9))}, {"bad.h5": fate})


def alone(
    folder: Path, rng: np.random.Generator, *, data: bytes | Callable, refused: str, good: bool = True, **more
) -> Expected:
    """One file."""
    if callable(data):
        data(folder)
    else:
        (folder / "all.h5").write_bytes(data)
    known = dict(enumerate(images())) if good and refused == NEVER else {}
    return Expected(known, source="all.h5", refused=refused, named="all.h5" if refused == MUST else "", **more)


def cases() -> Iterator[Case]:
    """All of them."""
    for k, length in enumerate(cuts(len(_WHOLE), 8)):
        yield Case(f"HDF5 cut {k}", partial(among, data=_WHOLE[:length], fate=LOST))
        yield Case(f"HDF5 alone cut {k}", partial(alone, data=_WHOLE[:length], refused=MUST))
    for what, data in {
        "zero bytes": b"",
        "rubbish": b"rubbish " * 500,
        "a signature": _WHOLE[:8],
        "text": b"a,b\n1,2\n",
    }.items():
        yield Case(f"HDF5 of {what}", partial(among, data=data, fate=LOST))
        yield Case(f"HDF5 alone of {what}", partial(alone, data=data, refused=MUST))
    for seed in range(SEEDS):
        for what, data in {"": _WHOLE, "packed ": _PACKED}.items():
            rng = np.random.default_rng(seed)
            spoiled = flipped(data, rng, bits=4, stop=4000)
            yield Case(f"HDF5 {what}flips {seed}", partial(among, data=spoiled, fate=ANY), dangerous=seed < 4)
            spoiled = flipped(data, rng, bits=40)
            yield Case(f"HDF5 {what}many flips {seed}", partial(among, data=spoiled, fate=ANY))
    for what, fill in NO_IMAGES.items():
        yield Case(f"HDF5 of {what}", partial(alone, data=held(fill), refused=MUST))
        yield Case(f"HDF5 of {what} beside a good one", partial(among, data=held(fill), fate=LOST))
    for what, fill in COLUMNS.items():
        yield Case(f"HDF5 with {what}", partial(alone, data=held(partial(with_columns, fill=fill)), refused=NEVER))
    for what, fill in PIXELS.items():
        yield Case(f"HDF5 of pixels {what}", partial(alone, data=held(fill), refused=NEVER, good=False))
    for what, make in OUTSIDE.items():
        yield Case(f"HDF5 {what}", partial(alone, data=make, refused=MAY, good=False))
    yield from (
        Case(f"HDF5 {what}", build, dangerous="claims" in what or "bomb" in what) for what, build in SETS.items()
    )


# -- without images ---------------------------------------------------------------------------------------------------


def _no_array(file: h5py.File) -> None:
    file["ra"], file["dec"] = np.arange(5.0), np.arange(5.0)


def _strings(file: h5py.File) -> None:
    file.create_dataset("images", data=np.array([["a"] * SIDE] * ROWS, "S4"))


def _unequal(file: h5py.File) -> None:
    made = file.create_dataset("images", (ROWS,), h5py.vlen_dtype(np.float32))
    for k in range(ROWS):
        made[k] = np.arange(k + 1, dtype=np.float32)


def _compound(file: h5py.File) -> None:
    file["images"] = np.zeros((ROWS, 2, SIDE, SIDE), [("value", "f4"), ("error", "f4")])


def _pointers(file: h5py.File) -> None:
    made = file.create_dataset("images", (ROWS, 2, SIDE, SIDE), h5py.ref_dtype)
    made[0, 0, 0, 0] = file.ref


def _complex(file: h5py.File) -> None:
    file["images"] = np.zeros((ROWS, 2, SIDE, SIDE), np.complex64)


def _loop(file: h5py.File) -> None:
    file["a/b/c"] = file["/"]
    file["a/soft"] = h5py.SoftLink("/a")
    file["a/b/again"] = file["a"]


def _no_rows(file: h5py.File) -> None:
    file.create_dataset("images", (0, 2, SIDE, SIDE), "f4")


def _no_space(file: h5py.File) -> None:
    file["images"] = h5py.Empty("f4")


def _claims(file: h5py.File, *, shape: tuple[int, ...]) -> None:
    """An array that is claimed and of which no chunk was ever written."""
    file.create_dataset("images", shape, "f4", chunks=(1, *(min(n, 64) for n in shape[1:])))


NO_IMAGES = {
    "no array of images": _no_array,
    "no items": lambda file: None,
    "strings for images": _strings,
    "rows of unequal length": _unequal,
    "records for images": _compound,
    "references for images": _pointers,
    "complex numbers for images": _complex,
    "groups that hold themselves": _loop,
    "no rows": _no_rows,
    "an empty space": _no_space,
    "10^9 rows that it only claims": partial(_claims, shape=(10**9, 2, SIDE, SIDE)),
    "images of 10^5 pixels a side that it only claims": partial(_claims, shape=(4, 10**5, 10**5)),
    "2^62 rows that it only claims": partial(_claims, shape=(2**40, 2**11, 2**11)),
}


# -- odd columns and pixels -------------------------------------------------------------------------------------------


def with_columns(file: h5py.File, *, fill: Callable[[h5py.File], None]) -> None:
    """Images, and columns that are odd."""
    file["images"] = images()
    fill(file)


def _put(**columns) -> Callable[[h5py.File], None]:
    def fill(file: h5py.File) -> None:
        for name, values in columns.items():
            file[name] = values

    return fill


def _texts(values: list) -> np.ndarray:
    return np.array(values, h5py.string_dtype())


COLUMNS = {
    "ids that repeat": _put(object_id=[b"a"] * ROWS),
    "ids of which two repeat": _put(object_id=[b"a", b"b", b"c", b"d", b"e", b"f", b"g", b"a"]),
    "ids that are empty": _put(object_id=[b""] * ROWS),
    "ids of which one is empty": _put(object_id=[b"a", b"b", b"c", b"d", b"e", b"f", b"g", b""]),
    "ids that are not UTF-8": _put(object_id=np.array([b"\xff\xfe" + bytes([48 + k]) for k in range(ROWS)])),
    "ids of any length that are not UTF-8": _put(
        object_id=np.array([b"\xff\xfe" + bytes([48 + k]) for k in range(ROWS)], h5py.string_dtype("ascii"))
    ),
    "ids that are NaN": _put(object_id=np.full(ROWS, np.nan)),
    "ids that are floats": _put(object_id=np.arange(ROWS) + 587_722_981_747_589_184.0 * 0 + 1e5),
    "ids of 19 digits": _put(object_id=np.arange(ROWS) + 1_237_648_720_693_755_918),
    "ids of 20 digits without a sign": _put(object_id=np.arange(ROWS, dtype=np.uint64) + np.uint64(2**64 - 9)),
    "ids with newlines and blanks": _put(object_id=_texts([f" a\n{k}\t" for k in range(ROWS)])),
    "ids of 10,000 characters": _put(object_id=_texts([str(k) * 10_000 for k in range(ROWS)])),
    "ids that are booleans": _put(object_id=np.arange(ROWS) % 2 == 0),
    "ids in two columns": _put(id=np.arange(ROWS), object_id=np.arange(ROWS)[::-1]),
    "positions of another length": _put(ra=np.arange(5.0), dec=np.arange(9.0)),
    "positions out of range": _put(ra=np.linspace(-1e9, 1e9, ROWS), dec=np.linspace(-1e3, 1e3, ROWS)),
    "positions that are NaN": _put(ra=np.full(ROWS, np.nan), dec=np.full(ROWS, np.inf)),
    "positions as text": _put(ra=_texts(["12:00:00"] * ROWS), dec=_texts(["+1:00:00"] * ROWS)),
    "positions as text that is none": _put(ra=_texts(["here"] * ROWS), dec=_texts(["there"] * ROWS)),
    "positions as integers": _put(ra=np.arange(ROWS), dec=np.arange(ROWS)),
    "right ascensions alone": _put(ra=np.arange(float(ROWS))),
    "columns called as ours": _put(
        pixels_index=np.arange(ROWS)[::-1], pixels_file=_texts(["../x"] * ROWS), label_x=np.arange(ROWS)
    ),
    "columns of odd types": _put(
        half=np.ones(ROWS, "f2"),
        big=np.ones(ROWS, ">i8"),
        flag=np.ones(ROWS, bool),
        z=np.ones(ROWS, "c8"),
        q=np.ones(ROWS, "f16"),
    ),
    "columns of odd names": _put(
        **{" blank ": np.arange(ROWS), "é\u202e": np.arange(ROWS), "n" * 200: np.arange(ROWS)}
    ),
    "columns in groups of one name": _put(
        **{"a/mag": np.arange(ROWS), "b/mag": np.arange(ROWS), "mag": np.arange(ROWS)}
    ),
    "a thousand columns": _put(**{f"c{k}": np.arange(ROWS) for k in range(1000)}),
    "times and enumerations": _put(
        kind=np.array([k % 2 for k in range(ROWS)], h5py.enum_dtype({"STAR": 0, "GALAXY": 1})),
        when=np.arange(ROWS).astype(h5py.opaque_dtype(np.dtype("M8[s]"))),
    ),
    "bands that are not UTF-8": _put(bands=np.array([b"\xff", b"\xfe"])),
    "more bands than planes": _put(bands=np.array([b"g", b"r", b"i"])),
    "bands of one name": _put(bands=np.array([b"g", b"g"])),
    "a dangling link": lambda file: file.__setitem__("object_id", h5py.SoftLink("/nothing")),
    "a link that is a loop": lambda file: (
        file.__setitem__("object_id", h5py.SoftLink("/other")),
        file.__setitem__("other", h5py.SoftLink("/object_id")),
    ),
    "groups that hold themselves": lambda file: (
        file.create_group("a").__setitem__("b", file["/"]),
        file["a"].__setitem__("c", file["a"]),
    ),
    "thousands of groups": lambda file: [file.create_group(f"g/{k}") for k in range(2000)],
    "groups a hundred deep": lambda file: file.create_group("/".join("g" * 100)),
}


def _of_type(kind: str, file: h5py.File) -> None:
    file["images"] = (images() * 5).astype(kind)


def _with(values: dict, file: h5py.File) -> None:
    made = images()
    for at, value in values.items():
        made[at] = value
    file["images"] = made


PIXELS = {
    f"of type {kind}": partial(_of_type, kind) for kind in ("f2", "f8", ">f4", ">i2", "i8", "u8", "u1", "i1", ">f8")
}
PIXELS |= {
    "with NaN and Inf": partial(_with, {(0, 0, 0, 0): np.nan, (1, 1): np.inf, (2,): np.nan}),
    "that are NaN only": partial(_with, {...: np.nan}),
    "that are zero": partial(_with, {...: 0}),
    "near the largest": partial(_with, {...: 3e38}),
}


# -- out of the folder ------------------------------------------------------------------------------------------------


def _secret(folder: Path) -> Path:
    """A file outside of the folder, the pixels of which may never be read."""
    outside = folder.parent / "secret"
    outside.mkdir(exist_ok=True)
    secret = np.full((ROWS, 2, SIDE, SIDE), SECRET, np.float32)
    (outside / "raw.bin").write_bytes(secret.tobytes())
    with h5py.File(outside / "secret.h5", "w") as file:
        file["images"] = secret
        file["object_id"] = np.full(ROWS, SECRET) + np.arange(ROWS)
    return outside


def _external_link(folder: Path) -> None:
    with h5py.File(folder / "all.h5", "w") as file:
        file["images"] = h5py.ExternalLink(str(_secret(folder) / "secret.h5"), "/images")


def _external_link_beside(folder: Path) -> None:
    with h5py.File(folder / "all.h5", "w") as file:
        file["images"] = images()
        file["object_id"] = h5py.ExternalLink("../secret/secret.h5", "/object_id")
    _secret(folder)


def _external_group(folder: Path) -> None:
    with h5py.File(folder / "all.h5", "w") as file:
        file["group"] = h5py.ExternalLink(str(_secret(folder) / "secret.h5"), "/")
        file["images"] = h5py.SoftLink("/group/images")


def _external_storage(folder: Path) -> None:
    raw = _secret(folder) / "raw.bin"
    with h5py.File(folder / "all.h5", "w") as file:
        file.create_dataset("images", (ROWS, 2, SIDE, SIDE), "f4", external=[(str(raw), 0, h5py.h5f.UNLIMITED)])
        file["flux"] = images()


def _virtual(folder: Path) -> None:
    layout = h5py.VirtualLayout((ROWS, 2, SIDE, SIDE), "f4")
    layout[:] = h5py.VirtualSource(str(_secret(folder) / "secret.h5"), "images", (ROWS, 2, SIDE, SIDE))
    with h5py.File(folder / "all.h5", "w") as file:
        file.create_virtual_dataset("images", layout)


def _virtual_column(folder: Path) -> None:
    layout = h5py.VirtualLayout((ROWS,), "f8")
    layout[:] = h5py.VirtualSource(str(_secret(folder) / "secret.h5"), "object_id", (ROWS,))
    with h5py.File(folder / "all.h5", "w") as file:
        file["images"] = images()
        file.create_virtual_dataset("object_id", layout)


OUTSIDE = {
    "whose images are a link to another file": _external_link,
    "whose ids are a link to another file": _external_link_beside,
    "a group of which is a link to another file": _external_group,
    "whose images lie in another file": _external_storage,
    "whose images are virtual": _virtual,
    "whose ids are virtual": _virtual_column,
}


# -- sets -------------------------------------------------------------------------------------------------------------


def chunk_damaged(folder: Path, rng: np.random.Generator) -> Expected:
    """One compressed chunk is rubbish: its rows are named, the others are whole."""
    (folder / "all.h5").write_bytes(_PACKED)
    with h5py.File(folder / "all.h5") as file:
        at = file["images"].id.get_chunk_info(1)
    data = bytearray(_PACKED)
    data[at.byte_offset : at.byte_offset + at.size] = rng.bytes(at.size)
    (folder / "all.h5").write_bytes(bytes(data))
    first = at.chunk_offset[0]
    bad = range(first, first + 2)
    return Expected(
        {k: image for k, image in enumerate(images()) if k not in bad}, dict.fromkeys(bad, LOST), source="all.h5"
    )


def column_damaged(folder: Path, rng: np.random.Generator) -> Expected:
    """A compressed column is rubbish: it is left out by name, and the images are in."""

    def fill(file: h5py.File) -> None:
        file["images"] = images()
        file.create_dataset("mag", data=np.arange(float(ROWS)), chunks=(ROWS,), compression="gzip")

    data = bytearray(held(fill))
    with h5py.File(io.BytesIO(bytes(data))) as file:
        at = file["mag"].id.get_chunk_info(0)
    data[at.byte_offset : at.byte_offset + at.size] = rng.bytes(at.size)
    (folder / "all.h5").write_bytes(bytes(data))

    def check(made) -> None:
        assert "mag" not in made.survey.columns and any("mag" in note for note in made.report["notes"])

    return Expected(dict(enumerate(images())), source="all.h5", check=check)


def bomb(folder: Path, rng: np.random.Generator) -> Expected:
    """Chunks of a few kilobytes that claim to be many."""
    import zlib

    (folder / "all.h5").touch()
    packed = zlib.compress(bytes(1 << 28), 9)
    with h5py.File(folder / "all.h5", "w") as file:
        made = file.create_dataset("images", (ROWS, SIDE, SIDE), "f4", chunks=(1, SIDE, SIDE), compression="gzip")
        made[:] = images()[:, 0]
        made.id.write_direct_chunk((3, 0, 0), packed)
    good = {k: image[:1] for k, image in enumerate(images()) if k != 3}
    return Expected(good, {3: LOST}, source="all.h5")


def huge_chunk(folder: Path, rng: np.random.Generator) -> Expected:
    """One chunk of gigabytes that was never written."""
    with h5py.File(folder / "all.h5", "w") as file:
        file.create_dataset("images", (10_000, 300, 300), "f4", chunks=(10_000, 300, 300), compression="gzip")
    return Expected(source="all.h5", refused=MUST, named="all.h5")


def long_strings(folder: Path, rng: np.random.Generator) -> Expected:
    """Text of a gigabyte a value, of which nothing was ever written."""
    with h5py.File(folder / "all.h5", "w") as file:
        file["images"] = images()
        file.create_dataset("object_id", (ROWS,), "S1000000000", chunks=(1,))
    return Expected(dict(enumerate(images())), source="all.h5")


def ids_between_files(folder: Path, rng: np.random.Generator) -> Expected:
    """Two files that count their objects alike."""
    for name in "ab":
        (folder / f"{name}.h5").write_bytes(held(usual))
    good = {(f"{name}.h5", k): image for name in "ab" for k, image in enumerate(images())}
    return Expected(good)


def other_bands(folder: Path, rng: np.random.Generator) -> Expected:
    return among(
        folder, rng, data=held(lambda file: file.__setitem__("images", flux(rng, 2, 5, SIDE, SIDE))), fate=LOST
    )


def link_outside(folder: Path, rng: np.random.Generator) -> Expected:
    expected = among(folder, rng, data=b"", fate=LOST)
    (folder / "bad.h5").unlink()
    (folder / "bad.h5").symlink_to(_secret(folder) / "secret.h5")
    return expected


def only_a_link(folder: Path, rng: np.random.Generator) -> Expected:
    """The only file of a folder, which is a link out of it."""
    (folder / "all.h5").symlink_to(_secret(folder) / "secret.h5")
    return Expected(refused=MUST, named="all.h5")


def heap_damaged(folder: Path, rng: np.random.Generator) -> Expected:
    """Text of any length in a heap that the library would walk for ever."""

    def fill(file: h5py.File) -> None:
        file["images"] = images()
        file["name"] = _texts([f"object {k}" for k in range(ROWS)])

    data = bytearray(held(fill))
    first = data.index(b"GCOL") + 16
    data[first : first + 16] = bytes(16)  # an object of no number and no size
    (folder / "all.h5").write_bytes(bytes(data))
    return Expected(source="all.h5", refused=MUST, named="all.h5")


def patched_rows(folder: Path, rng: np.random.Generator) -> Expected:
    """A header that claims more rows than the file holds, of an array that lies in one piece."""
    data = _WHOLE.replace(struct.pack("<4Q", ROWS, 2, SIDE, SIDE), struct.pack("<4Q", 10**9, 2, SIDE, SIDE))
    assert data != _WHOLE
    (folder / "all.h5").write_bytes(data)
    return Expected(source="all.h5", refused=MUST, named="all.h5")


SETS = {
    "with a damaged chunk": chunk_damaged,
    "with a damaged column": column_damaged,
    "with a bomb for a chunk": bomb,
    "that claims a chunk of gigabytes": huge_chunk,
    "that claims gigabytes of text": long_strings,
    "whose header claims more rows": patched_rows,
    "that never ends": heap_damaged,
    "whose ids are those of another": ids_between_files,
    "of other bands beside a good one": other_bands,
    "that is a link out of the folder": link_outside,
    "alone in its folder, and a link out of it": only_a_link,
}
