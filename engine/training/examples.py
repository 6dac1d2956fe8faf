"""What the shipped encoder learns from: sets of cutouts with what is known about them.

Each set is cutouts of one size and calibration, and targets in which NaN (or −1 for a class) means "not known": a
network trained on several sets at once learns each target from the sets that have it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from engine.data.cutouts import resample
from engine.data.simulate import generate
from engine.data.stretch import Calibration, calibrate, to_rgb
from engine.encoders.convnet import channels
from engine.errors import UserError
from engine.jobs import Progress, silent

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
    pixels : (N, 3, S, S) float16
        As `engine.encoders.convnet.channels` gives them.
    science : bool
    targets : dict
        Target → (N,) int64 (classes, −1 unknown) or (N, k) float32 (NaN unknown).
    """

    name: str
    pixels: torch.Tensor
    science: bool
    targets: dict[str, torch.Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.pixels)


def held_out(identifier: str) -> bool:
    """Whether an object is kept for evaluation: one in five, by a hash of its id, the same everywhere for ever."""
    return int.from_bytes(hashlib.blake2b(str(identifier).encode(), digest_size=8).digest(), "big") % HELD_OUT == 0


def simulated(
    count: int, *, seed: int, size: int, dwarf_fraction: float, classes: Sequence[str], progress: Progress = silent
) -> list[Examples]:
    """Simulated objects twice: as flux, and as the pictures an archive would make of them.

    Targets: ``class`` (index in `classes`) and ``quantities`` (see `QUANTITIES`; only for flux, a picture has no zero
    point).
    """
    pixels, table = generate(count, seed=seed, dwarf_fraction=dwarf_fraction, size=size, progress=progress)
    pixels = np.asarray(pixels)
    calibration = calibrate([np.asarray(p, np.float32) for p in pixels[:CALIBRATION_SAMPLE]])
    index = {name: k for k, name in enumerate(classes)}
    labels = torch.tensor([index[c] for c in table["truth"]])
    table = table.assign(log_radius=np.log10(table["truth_radius"].clip(lower=0.05)))
    quantities = np.stack(
        [(table[column].to_numpy(np.float32) - shift) / width for column, (shift, width) in QUANTITIES.items()], 1
    )
    flux = _in_parts(lambda part: channels(np.asarray(part, np.float32), calibration, True), pixels)
    pictures = _in_parts(lambda part: _as_pictures(np.asarray(part, np.float32), calibration), pixels)
    targets = {"class": labels, "quantities": torch.from_numpy(np.clip(quantities, -5, 5).astype(np.float32))}
    return [
        Examples("simulated", flux, True, targets),
        Examples("simulated pictures", pictures, False, {"class": labels}),
    ]


def _as_pictures(flux: np.ndarray, calibration: Calibration) -> np.ndarray:
    """What `channels` gives for the stretched pictures of (B, C, S, S) flux."""
    rgb = to_rgb(flux, calibration, science=True)
    return channels(np.moveaxis(rgb, -1, 1).astype(np.float32), calibration, False)


def _in_parts(function: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray, part: int = 512) -> torch.Tensor:
    """Apply a function part by part and keep float16 (its largest value is beyond every signal-to-noise here)."""
    parts = [function(pixels[k : k + part]).clip(-6e4, 6e4).astype(np.float16) for k in range(0, len(pixels), part)]
    return torch.from_numpy(np.concatenate(parts))


#: What a survey of pictures is calibrated as.
PICTURES = Calibration.of({}, 3)


def read_pictures(paths: Sequence[Path], size: int) -> np.ndarray:
    """Read JPEG pictures at one size: (N, 3, size, size) float32 of 0-255."""
    small = np.empty((len(paths), 3, size, size), np.float32)
    for index, path in enumerate(paths):
        with Image.open(path) as image:
            native = np.moveaxis(np.asarray(image.convert("RGB"), np.float32), -1, 0)
        small[index] = resample(native, size)
    return small


def _pictures(name: str, paths: Sequence[Path], size: int, targets: dict[str, torch.Tensor]) -> Examples:
    small = read_pictures(paths, size)
    return Examples(name, _in_parts(lambda part: channels(part, PICTURES, False), small), False, targets)


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
    """``csst_dwarfs``: pictures without their labels, which are kept for evaluation; held-out pictures left out."""
    paths = [p for p in sorted((folder / "images").glob("*.jpg")) if not held_out(p.name)]
    return _pictures("csst_dwarfs", paths, size, {})


def gz_examples(folder: Path, *, size: int) -> Examples:
    """``gz_examples``: Galaxy Zoo's teaching pictures without labels; SDSS left out, since gz2 evaluates on it."""
    paths = [p for p in sorted((folder / "images").glob("*.jpg")) if not p.name.startswith("sloan")]
    return _pictures("gz_examples", paths, size, {})


#: Folder name → reader.
PICTURE_SETS = {"gz2": galaxy_zoo, "star_galaxy": star_galaxy, "csst_dwarfs": csst_dwarfs, "gz_examples": gz_examples}


def picture_sets(folders: Sequence[Path], *, size: int) -> list[Examples]:
    """Every set of `PICTURE_SETS` among or inside some folders.

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
            if f.name in PICTURE_SETS and (f / "catalogue.csv").is_file()
        ]
        if not inside:
            raise UserError(
                f"{folder} holds none of the training sets {', '.join(PICTURE_SETS)}",
                "name a folder that does, or none to train on simulated objects alone",
            )
        found |= {f.name: PICTURE_SETS[f.name](f, size=size) for f in inside if f.name not in found}
    return list(found.values())
