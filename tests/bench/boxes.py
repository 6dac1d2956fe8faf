"""Boxes cut from mosaics: beside astropy's cutouts, one after the other."""

import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

from tests.bench.measure import Figure, compare

SIDE = 64


def boxes(full: bool) -> list[Figure]:
    """Boxes of four overlapping float32 images, and of one compressed image, batch by batch."""
    from engine import Survey
    from engine.data.mosaics.source import MosaicBoxes

    n = 20_000 if full else 4_000
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        for words, packed, count in (("four float32 images", False, n), ("an image .fits.fz (Rice)", True, n // 4)):
            place = Path(folder) / words.replace(" ", "-")
            place.mkdir()
            images, positions = _field(place, count, packed)
            survey = Survey.ingest(place, Path(folder) / f"{packed}.survey", catalogue=positions, size=SIDE)

            def ours(survey=survey, place=place, count=count):
                source = MosaicBoxes(survey, place)  # opened anew: nothing is unpacked yet
                return [source.read(range(a, min(a + 64, count)))[0][0] for a in range(0, count, 64)]

            def peer(images=images, positions=positions, packed=packed):
                return _astropy(images, positions, packed)[::64]

            figures.append(
                compare(
                    f"{count:,} boxes 64×64 from {words} at the positions of a catalogue",
                    f"astropy {version('astropy')} {'CompImageHDU.section' if packed else 'Cutout2D over a memory map'}",
                    ours,
                    peer,
                    _same,
                    pairs=3,
                )
            )
    return figures


def _field(place: Path, count: int, packed: bool) -> tuple[list[Path], Path]:
    """Images beside each other, and a table of positions inside them."""
    from astropy.io import fits
    from astropy.table import Table
    from astropy.wcs import WCS

    rng, size, found = np.random.default_rng(6), 2048, []
    for k in range(1 if packed else 4):
        wcs = WCS(naxis=2)
        wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [150 + 0.1 * k, 2], [size / 2, size / 2]
        wcs.wcs.cdelt = [-0.2 / 3600, 0.2 / 3600]
        pixels, header = rng.normal(100, 5, (size, size)).astype(np.float32), wcs.to_header()
        image = fits.CompImageHDU(pixels, header) if packed else fits.ImageHDU(pixels, header)
        found.append(place / f"tile{k}_g.fits{'.fz' if packed else ''}")
        fits.HDUList([fits.PrimaryHDU(), image]).writeto(found[-1])
    reach = 0.05 if packed else 0.17
    ra, dec = rng.uniform(150 - 0.05, 150 + reach * 2 - 0.05, count), rng.uniform(2 - 0.05, 2 + 0.05, count)
    table = place.parent / f"{place.name}.fits"
    Table({"id": np.arange(count), "ra": ra, "dec": dec}).write(table)
    return found, table


def _astropy(images: list[Path], positions: Path, packed: bool) -> list[np.ndarray]:
    """What a script does: for each object the image that holds it, and a cutout of it."""
    from astropy.io import fits
    from astropy.nddata import Cutout2D
    from astropy.table import Table
    from astropy.wcs import WCS

    table = Table.read(positions)
    files = [fits.open(image, memmap=not packed) for image in images]
    maps = [WCS(file[1].header) for file in files]
    best, where = np.full(len(table), -np.inf), np.zeros((len(table), 3))
    for k, wcs in enumerate(maps):
        x, y = wcs.all_world2pix(table["ra"], table["dec"], 0)
        height, width = files[k][1].shape
        edge = np.minimum(np.minimum(x, width - 1 - x), np.minimum(y, height - 1 - y))
        where[edge > best] = np.stack([np.full(len(x), k), x, y], axis=1)[edge > best]
        best = np.maximum(best, edge)
    found = []
    for k, x, y in where:
        data = files[int(k)][1].section if packed else files[int(k)][1].data
        if packed:  # Cutout2D takes no section
            left, low = (int(np.ceil(v - SIDE / 2)) for v in (x, y))
            box = np.full((SIDE, SIDE), np.nan, np.float32)
            part = data[max(low, 0) : low + SIDE, max(left, 0) : left + SIDE]
            top, start = max(-low, 0), max(-left, 0)
            box[top : top + part.shape[0], start : start + part.shape[1]] = part
        else:
            box = Cutout2D(data, (x, y), SIDE, mode="partial", fill_value=np.nan).data.astype(np.float32)
        found.append(box)
    for file in files:
        file.close()
    return found


def _same(mine: list[np.ndarray], theirs: list[np.ndarray]) -> str:
    for one, other in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(one, other)
    return "equal pixels"
