"""What a representation cannot draw: how far an object is from what its description gives back.

Where the encoder is an autoencoder (`engine.training.vae`), the cutout is compared with what the decoder draws of its
vector: the root of the mean squared difference over the known pixels, on the scale that the network sees (signal to
noise, or its asinh). Encoders trained by masking keep no decoder, and others never had one; there the description is
a vector's leading principal components, and what is left out is measured: the distance of the vector from the plane
that holds `KEPT` of the variance.

Cost: the principal components 2·N·D² multiplications, streamed; the autoencoder a pass over the pixels, as embedding,
and its decoder.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from engine.jobs import Progress, silent
from engine.maps.components import principal_axes

if TYPE_CHECKING:
    from engine.encoders.trained import Trained
    from engine.survey import Representation, Survey

#: Share of the variance that the plane holds.
KEPT = 0.9
CHUNK = 65_536
#: Cutouts drawn at once.
BATCH = 128


def plane_residual(vectors: np.ndarray, valid: np.ndarray, *, progress: Progress = silent) -> tuple[np.ndarray, int]:
    """Distance of each vector from the plane of the leading principal components.

    Parameters
    ----------
    vectors : (N, D) float
        May be memory-mapped.
    valid : (N,) bool

    Returns
    -------
    (N,) float32
        In the units of the vectors; NaN where not valid.
    int
        Dimensions of the plane: the fewest that hold `KEPT` of the variance, at most D − 1.
    """
    n, dimension = vectors.shape
    axes = principal_axes(vectors, valid, dimension)
    share = np.cumsum(axes.variance) / max(float(axes.variance.sum()), 1e-300)
    kept = min(int(np.searchsorted(share, KEPT)) + 1, max(len(axes.variance) - 1, 0))
    directions = axes.directions[:, :kept]
    score = np.full(n, np.nan, np.float32)
    for start in range(0, n, CHUNK):
        part = slice(start, start + CHUNK)
        centred = np.asarray(vectors[part], np.float64) - axes.mean
        left = centred - (centred @ directions) @ directions.T
        score[part] = np.where(valid[part], np.sqrt((left * left).sum(axis=1)), np.nan)
        progress(min(start + CHUNK, n), n, "components left out")
    return score, kept


def autoencoder_of(survey: Survey, representation: Representation) -> Trained | None:
    """The autoencoder of this survey that made a representation, ready for its cutouts; None if it was none, or is gone.

    Only a training that lies in the survey's own ``models`` is opened: the name comes from a file.
    """
    from engine.encoders.autoencoder import Autoencoder
    from engine.encoders.trained import Trained

    name = str(representation.meta.get("spec") or representation.meta.get("encoder") or "")
    folder = survey.path / "models" / Path(name).name
    if not name or Path(name).name in {"", ".", ".."} or not (folder / "encoder.safetensors").is_file():
        return None
    encoder = Trained(folder)
    if not isinstance(encoder.network, Autoencoder) or encoder.identity != representation.meta.get("identity"):
        return None
    encoder.serve(survey.bands)
    return encoder


def pixel_residual(
    survey: Survey, encoder: Trained, valid: np.ndarray, *, device: torch.device, progress: Progress = silent
) -> np.ndarray:
    """Root of the mean squared difference between each cutout and what the autoencoder makes of it.

    Parameters
    ----------
    survey : Survey
    encoder : Trained
        With a decoder; see `autoencoder_of`.
    valid : (N,) bool
        Objects to look at.

    Returns
    -------
    (N,) float32
        On the scale of the network's input; NaN where not valid or not readable.
    """
    from engine.data.cutouts import read_batch
    from engine.data.pictures.stretch import Calibration
    from engine.encoders.autoencoder import Autoencoder

    encoder.to(device)
    network, source = cast(Autoencoder, encoder.network), survey.cutouts
    calibration = Calibration.of(survey.header["pixels"], len(survey.bands))
    score, rows = np.full(len(survey), np.nan, np.float32), np.flatnonzero(valid)
    for start in range(0, len(rows), BATCH):
        chosen = rows[start : start + BATCH]
        pixels, readable, _ = read_batch(source, chosen, encoder.size)
        with torch.inference_mode():
            batch = encoder.prepare(pixels, calibration, source.science).to(device)
            drawn = network.reconstruct(batch)
            known = torch.isfinite(batch)
            squares = torch.where(known, drawn - torch.where(known, batch, 0.0), 0.0).square().sum(dim=(1, 2, 3))
            error = (squares / known.sum(dim=(1, 2, 3)).clamp(min=1)).sqrt().cpu().numpy()
        score[chosen] = np.where(readable, error, np.nan)
        progress(min(start + BATCH, len(rows)), len(rows), "reconstruction")
    return score
