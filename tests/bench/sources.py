"""Opening a survey: many rows of HDF5 indexed, many FITS files read, each beside what people do today."""

import tempfile
from importlib.metadata import version
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from astropy.io import fits

from tests.bench.measure import Figure, compare


def indexing(full: bool) -> list[Figure]:
    """A survey of an HDF5 file's rows, against a frame of its columns gathered row by row."""
    from engine import Survey

    n = 100_000 if full else 20_000
    rng = np.random.default_rng(6)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path, made = folder / "cutouts.h5", iter(range(1000))
        with h5py.File(path, "w") as file:
            file.create_dataset("images", data=rng.integers(0, 255, (n, 8, 8), np.uint8), chunks=(4096, 8, 8))
            file["object_id"] = np.array([b"obj-%d" % k for k in range(n)])
            file["ra"], file["dec"] = rng.uniform(0, 360, n), rng.uniform(-90, 90, n)

        def ours():
            return Survey.ingest(path, folder / f"{next(made)}.survey").table()

        def row_by_row():
            with h5py.File(path) as file:
                rows = [
                    {"id": file["object_id"][k].decode(), "ra": file["ra"][k], "dec": file["dec"][k]} for k in range(n)
                ]
            frame = pd.DataFrame(rows)
            frame.to_parquet(folder / "rows.parquet")
            return frame

        def same(mine, theirs):
            assert mine["id"].tolist() == theirs["id"].tolist()
            assert np.array_equal(mine[["ra", "dec"]], theirs[["ra", "dec"]])
            return "equal ids and positions; ours checks ids and measures levels, too"

        return [
            compare(
                f"a survey of {n:,} cutouts in HDF5, indexed in place",
                f"h5py {version('h5py')}, one row at a time, to Parquet",
                ours,
                row_by_row,
                same,
                pairs=3,
            )
        ]


def fits_reading(full: bool) -> list[Figure]:
    """Small FITS images, a file an object and an HDU an object, as float32."""
    from engine import Survey
    from engine.encoders.pipeline import READ

    n = 2000 if full else 500
    rng = np.random.default_rng(7)
    figures = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "files").mkdir()
        paths = [folder / "files" / f"{k:05d}.fits" for k in range(n)]
        images = rng.normal(size=(n, 64, 64)).astype(np.float32)
        for path, image in zip(paths, images):
            fits.PrimaryHDU(image).writeto(path)
        many = folder / "many.fits"
        fits.HDUList([fits.PrimaryHDU(), *map(fits.ImageHDU, images)]).writeto(many)
        for words, source, places in (
            ("a file each", folder / "files", [(path, 0) for path in paths]),
            ("one file of HDUs", many, [(many, k + 1) for k in range(n)]),
        ):
            cutouts = Survey.ingest(source, folder / f"{source.stem}.survey").cutouts

            def ours(cutouts=cutouts):
                return np.concatenate([c for a in range(0, n, READ) for c in cutouts.read(range(a, min(a + READ, n)))])

            for peer, theirs in _peers(places).items():
                figures.append(compare(f"{n:,} FITS images 64×64, {words}", peer, ours, theirs, _equal))
    return figures


def _equal(mine: np.ndarray, theirs: np.ndarray) -> str:
    assert np.array_equal(mine, theirs)
    return "equal pixels"


def _peers(places: list[tuple[Path, int]]) -> dict:
    """Other readers of the same images: name → callable. A file is opened once by each."""
    one_file = len({path for path, _ in places}) == 1

    def with_astropy():
        if one_file:
            with fits.open(places[0][0], memmap=True) as file:
                return np.stack([np.array(file[k].data, np.float32) for _, k in places])
        found = []
        for path, k in places:
            with fits.open(path, memmap=True) as file:
                found.append(np.array(file[k].data, np.float32))
        return np.stack(found)

    peers = {f"astropy {version('astropy')}, memory-mapped": with_astropy}
    try:
        import fitsio
    except ImportError:
        return peers

    def with_fitsio():
        if one_file:
            with fitsio.FITS(str(places[0][0])) as file:
                return np.stack([file[k].read().astype(np.float32) for _, k in places])
        return np.stack([fitsio.read(str(path), ext=k).astype(np.float32) for path, k in places])

    return peers | {f"fitsio {version('fitsio')}": with_fitsio}
