"""A small survey for tests of the views: Gaussian blobs in three bands, pixels missing, one object unreadable."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from app.hunt.ranking import Ranking, Rankings
from app.store import Store
from engine import files
from engine.data.cutouts import read_batch
from engine.data.pictures.stretch import Calibration, calibrate, to_rgb
from engine.data.pictures.thumbnails import encode
from engine.learning.scores import Said
from engine.survey import Survey

#: Objects; three pages of the gallery, the last one short.
COUNT = 230
SIDE = 24
#: Rows with a hole, with a band that is missing, without pixels.
HOLE, BANDLESS, UNREADABLE = 3, 4, 5


def cutouts(count: int = COUNT, seed: int = 1) -> np.ndarray:
    """(count, 3, SIDE, SIDE) float32: blobs of random size and brightness on noisy sky, NaN where missing."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    size, flux = rng.uniform(1.5, 5, (count, 1, 1, 1)), rng.uniform(5, 80, (count, 1, 1, 1))
    colour = rng.uniform(0.5, 1.5, (count, 3, 1, 1))
    images = flux * colour * np.exp(-(x**2 + y**2) / (2 * size**2)) + rng.normal(0, 1, (count, 3, SIDE, SIDE))
    images = images.astype(np.float32)
    images[HOLE, :, :6, :6] = np.nan
    images[BANDLESS, 1] = np.nan
    return images


def make_survey(folder: Path) -> Survey:
    """Write the survey, with a representation (brightness in rings)."""
    images = cutouts()
    np.savez(folder / "images.npz", images=images)
    index = np.arange(COUNT)
    index[UNREADABLE] = 10**6
    rng = np.random.default_rng(2)
    objects = pd.DataFrame(
        {
            "id": [f"g{k:04d}" for k in range(COUNT)],
            "ra": rng.uniform(0, 360, COUNT),
            "dec": rng.uniform(-90, 90, COUNT),
            "pixels_index": index,
            "mag": rng.permutation(COUNT).astype(np.float32),
            "kind": np.where(np.arange(COUNT) % 3, "round", "flat"),
            "note": [f"text {k}" for k in range(COUNT)],
        }
    )
    levels = calibrate([image for image in images if np.isfinite(image).all()]).header()
    survey = Survey.create(
        folder / "blobs.survey",
        objects,
        pixels={
            "kind": "npz",
            "root": str(folder / "images.npz"),
            "dataset": "images",
            "bands": ["g", "r", "z"],
            "science": True,
            **levels,
        },
    )
    vectors = np.nan_to_num(images).reshape(COUNT, 3, -1, 12).mean(axis=3).reshape(COUNT, -1)
    representation = survey.path / "representations" / "rings"
    files.write_npy(representation / "vectors.npy", np.ascontiguousarray(vectors, np.float32))
    files.write_npy(representation / "valid.npy", np.arange(COUNT) != UNREADABLE)
    files.write_json(representation / "meta.json", {"encoder": "rings"})
    pixels, readable, _ = read_batch(survey.cutouts, np.arange(COUNT), 48)
    pictures = to_rgb(pixels, Calibration.of(survey.header["pixels"], 3), science=True)
    survey.thumbnails.write(0, [encode(p) if good else b"" for p, good in zip(pictures, readable)])
    return survey


class OracleRankings(Rankings):
    """A learner that is instant and known: the mean falls with `mag`, the brightest unlabelled come first."""

    def rerank(self, target: str) -> None:
        mag = np.asarray(self._survey.column("mag"))
        mean = 1 - mag / COUNT
        order = np.argsort(mag)
        suggested = order[self._codes.of(target)[order] == 0].astype(np.int64)
        sd = np.full(COUNT, 0.1)
        how = np.full(len(suggested), "best", object)
        self.keep(Ranking(target, Said(mean, sd, np.add), suggested, how, self._codes.counts(target)))


class OracleStore(Store):
    """A store with that learner."""

    def __init__(self, path):
        super().__init__(path)
        self.rankings = OracleRankings(self.survey, self.codes, self.changes)


def fresh_store(survey: Path, folder: Path) -> OracleStore:
    """A store of a copy of a survey, without any label; a log is never pulled away under one that has it open."""
    return OracleStore(shutil.copytree(survey, folder / survey.name))
