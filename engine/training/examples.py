"""What the shipped encoder learns from: sets of cutouts with what is known about them.

Each set is cutouts of one size and calibration, and targets in which NaN (or −1 for a class) means "not known": a
network trained on several sets at once learns each target from the sets that have it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from engine.data.cutouts import resample, resample_batch
from engine.data.pictures.stretch import Calibration, calibrate
from engine.data.simulation.simulate import generate
from engine.encoders.convnet import channels
from engine.errors import UserError
from engine.jobs import Progress, silent
from engine.training.skies import skies

#: Classes of the simulated survey, in the order of their target.
CLASSES = ("artefact", "dwarf", "edge-on", "elliptical", "lens", "merger", "ring", "spiral", "star")
#: Pixels a side of the simulated survey.
SIMULATED_SIDE = 64
#: Shift and scale of `engine.training.skies.QUANTITIES`, so that they are of order one.
SKY_SCALES = ((-1.0, 0.25), (0.6, 0.7), (2.0, 0.7), (0.55, 0.35))
#: Simulated objects that their calibration is measured on.
CALIBRATION_SAMPLE = 300
#: One object in five is kept for evaluation, whatever the set.
HELD_OUT = 5
#: Quantities of a simulated object that the network learns to measure: table column → (shift, scale).
QUANTITIES = {
    "truth_mag_r": (20.0, 2.0),
    "log_radius": (0.3, 0.4),
    "truth_sb": (23.0, 1.5),
    "truth_redshift": (0.2, 0.2),
}


@dataclass(frozen=True)
class Examples:
    """Cutouts of one kind and what is known about them.

    Attributes
    ----------
    name : str
    pixels : (N, C, s, s) float16 or uint8
        As the survey has them, of any size; brought to the network's input when they are drawn.
    calibration : Calibration
    science : bool
    targets : dict
        Target → (N,) int64 (classes, −1 unknown) or (N, k) float32 (NaN unknown).
    """

    name: str
    pixels: np.ndarray
    calibration: Calibration
    science: bool
    targets: dict[str, torch.Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.pixels)

    def signal(self, rows: np.ndarray, size: int) -> torch.Tensor:
        """Cutouts as `engine.encoders.convnet.channels` gives them: (n, 3, size, size) float32."""
        pixels = resample_batch(self.pixels[rows].astype(np.float32), size)
        return torch.from_numpy(channels(pixels, self.calibration, self.science))


def held_out(identifier: str) -> bool:
    """Whether an object is kept for evaluation: one in five, by a hash of its id, the same everywhere for ever."""
    return int.from_bytes(hashlib.blake2b(str(identifier).encode(), digest_size=8).digest(), "big") % HELD_OUT == 0


def simulated(count: int, *, seed: int, dwarf_fraction: float, progress: Progress = silent) -> Examples:
    """The simulated survey. Targets: ``class`` (index in `CLASSES`) and ``quantities`` (see `QUANTITIES`)."""
    pixels, table = generate(count, seed=seed, dwarf_fraction=dwarf_fraction, size=SIMULATED_SIDE, progress=progress)
    calibration = calibrate([np.asarray(p, np.float32) for p in pixels[:CALIBRATION_SAMPLE]])
    index = {name: k for k, name in enumerate(CLASSES)}
    table = table.assign(log_radius=np.log10(table["truth_radius"].clip(lower=0.05)))
    quantities = np.stack(
        [(table[column].to_numpy(np.float32) - shift) / width for column, (shift, width) in QUANTITIES.items()], 1
    )
    targets = {
        "class": torch.tensor([index[c] for c in table["truth"]]),
        "quantities": torch.from_numpy(np.clip(quantities, -5, 5).astype(np.float32)),
    }
    return Examples("simulated", pixels, calibration, True, targets)


def many_skies(count: int, *, seed: int, size: int, progress: Progress = silent) -> list[Examples]:
    """Skies of many cameras (`engine.training.skies`), as flux and as pictures.

    Targets: ``kind`` (index in `engine.training.skies.KINDS`) and ``sky`` (its quantities, of order one).
    """
    made = skies(count, seed=seed, size=size, progress=progress)
    shift, width = np.array(SKY_SCALES, np.float32).T
    targets = {
        "kind": torch.from_numpy(made.kinds),
        "sky": torch.from_numpy(((made.quantities - shift) / width).clip(-5, 5)),
    }
    return [
        Examples("skies", made.flux, UNIT, True, targets),
        Examples("skies as pictures", made.pictures, PICTURES, False, targets),
    ]


#: What a survey of pictures is calibrated as.
PICTURES = Calibration.of({}, 3)
#: What pixels in units of their noise are calibrated as.
UNIT = Calibration(np.zeros(3), np.ones(3), np.full(3, 100.0))


def read_pictures(paths: Sequence[Path], size: int) -> np.ndarray:
    """Read JPEG pictures at one size: (N, 3, size, size) float32 of 0-255."""
    small = np.empty((len(paths), 3, size, size), np.float32)
    for index, path in enumerate(paths):
        with Image.open(path) as image:
            native = np.moveaxis(np.asarray(image.convert("RGB"), np.float32), -1, 0)
        small[index] = resample(native, size)
    return small


def _pictures(name: str, paths: Sequence[Path], size: int, targets: dict[str, torch.Tensor]) -> Examples:
    small = (read_pictures(paths, size) + 0.5).astype(np.uint8)
    return Examples(name, small, PICTURES, False, targets)


def galaxy_zoo(folder: Path, *, size: int) -> Examples:
    """``gz2``: SDSS pictures with 17 vote fractions (target ``votes``); held-out objects left out."""
    table = pd.read_csv(folder / "catalogue.csv")
    table = table[[not held_out(i) for i in table["GalaxyID"]]]
    votes = torch.from_numpy(table.drop(columns="GalaxyID").to_numpy(np.float32))
    return _pictures("gz2", [folder / "images" / f"{i}.jpg" for i in table["GalaxyID"]], size, {"votes": votes})


def star_galaxy(folder: Path, *, size: int) -> Examples:
    """``star_galaxy``: CCD stamps (target ``star``: 1 for a star); held-out stamps left out."""
    table = pd.read_csv(folder / "catalogue.csv")
    table = table[[not held_out(i) for i in table["file"]]]
    star = torch.from_numpy((table["label"] == "star").to_numpy(np.float32)[:, None])
    return _pictures("star_galaxy", [folder / "images" / f for f in table["file"]], size, {"star": star})


def csst_dwarfs(folder: Path, *, size: int) -> Examples:
    """``csst_dwarfs``: simulated CSST pictures (target ``csst``: 1 for a dwarf); held-out pictures left out."""
    table = pd.read_csv(folder / "catalogue.csv")
    table = table[[not held_out(i) for i in table["file"]]]
    dwarf = torch.from_numpy((table["label"] == "dwarf").to_numpy(np.float32)[:, None])
    return _pictures("csst_dwarfs", [folder / "images" / f for f in table["file"]], size, {"csst": dwarf})


def gz_examples(folder: Path, *, size: int) -> Examples:
    """``gz_examples``: Galaxy Zoo's teaching pictures without labels; SDSS left out, since gz2 evaluates on it."""
    paths = [p for p in sorted((folder / "images").glob("*.jpg")) if not p.name.startswith("sloan")]
    return _pictures("gz_examples", paths, size, {})


#: Folder name → reader.
PICTURE_SETS = {"gz2": galaxy_zoo, "star_galaxy": star_galaxy, "csst_dwarfs": csst_dwarfs, "gz_examples": gz_examples}


def picture_sets(folders: Sequence[Path], *, size: int, without: Sequence[str] = ()) -> list[Examples]:
    """Every set of `PICTURE_SETS` among or inside some folders, but those named in `without`.

    Raises
    ------
    UserError
        If a folder is none and holds none.
    """
    found: dict[str, Examples] = {}
    for folder in folders:
        inside = [
            f
            for f in (folder, *(folder / name for name in PICTURE_SETS))
            if f.name in PICTURE_SETS and f.name not in without and (f / "catalogue.csv").is_file()
        ]
        if not inside:
            raise UserError(
                f"{folder} holds none of the training sets {', '.join(PICTURE_SETS)}",
                "name a folder that does, or none to train on simulated objects alone",
            )
        found |= {f.name: PICTURE_SETS[f.name](f, size=size) for f in inside if f.name not in found}
    return list(found.values())
