"""What the encoder of a representation makes of other pixels: an uploaded cutout, a part of one, one that is turned.

The encoder is loaded as it was for the survey, with what it learned from it, its bands and levels; one that has changed
since is refused, because its vectors would lie elsewhere. Cost: loading the network (a second), then a few ms a cutout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load_file

from engine.data.cutouts import resample
from engine.data.pictures.calibration import Calibration
from engine.encoders import Encoder, check_bands, load
from engine.encoders.backbones import Backbone
from engine.errors import UserError

if TYPE_CHECKING:
    from engine.survey import Representation, Survey

#: Cutouts through the network at once.
BATCH = 32
#: Pixels a side of a part of a cutout, at least.
SMALLEST = 4


class SameEncoder:
    """The encoder that made a representation.

    Parameters
    ----------
    survey : Survey
    representation : Representation

    Raises
    ------
    UserError
        If the vectors came from elsewhere, the survey has no pixels, or the encoder is gone or not the same any more.
    """

    def __init__(self, survey: Survey, representation: Representation):
        self.name = representation.name
        self._encoder = _loaded(survey, representation)
        pixels = survey.header["pixels"]
        self._calibration = Calibration.of(pixels, len(survey.bands))
        self._science = bool(pixels.get("science", False))

    def vectors(self, cutouts: list[np.ndarray]) -> np.ndarray:
        """Vectors of cutouts, (n, D) in the representation's precision.

        Parameters
        ----------
        cutouts : list of (C, h, w) float32
            Bands of the survey, in its units, NaN where missing.

        Raises
        ------
        UserError
            If one has no known pixel, or the encoder gives no finite vector of it.
        """
        found = []
        for start in range(0, len(cutouts), BATCH):
            batch = np.stack([self._sized(cutout) for cutout in cutouts[start : start + BATCH]])
            with torch.inference_mode():
                made = self._encoder(self._encoder.prepare(batch, self._calibration, self._science))
            found.append(made.float().cpu().numpy())
        vectors = np.concatenate(found)
        with np.errstate(over="ignore"):
            vectors = vectors.astype(self._encoder.dtype)
        if not np.isfinite(vectors).all():
            raise UserError(
                f"the encoder of {self.name!r} gives no finite vector of these pixels", "try another cutout"
            )
        return vectors

    def part(self, cutout: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
        """Vector of a part of a cutout, (D,): the mean of its tokens, where the vectors of whole cutouts are the mean of
        all tokens; else the part is cut out and encoded like a cutout.

        Parameters
        ----------
        cutout : (C, h, w) float32
        box : x0, y0, x1, y1
            Pixels, from the outer edge of the first one; cut to the cutout.

        Raises
        ------
        UserError
            If less than `SMALLEST` pixels a side are left of it.
        """
        x0, y0, x1, y1 = within(box, cutout.shape)
        tokens = self._tokens(cutout)
        if tokens is None:
            return self.vectors([cutout[:, y0:y1, x0:x1]])[0]
        height, width = cutout.shape[1:]
        inside = tokens[_covered(x0, y0, x1, y1, height, width, len(tokens))]
        return inside.mean(axis=0).astype(self._encoder.dtype)

    def _tokens(self, cutout: np.ndarray) -> np.ndarray | None:
        """Tokens of a cutout, (side, side, D); None if its vector is not their mean."""
        network = getattr(self._encoder, "network", None)
        if not (
            isinstance(network, Backbone) and network.pooling == "mean" and type(network).pooled is Backbone.pooled
        ):
            return None
        prepared = self._encoder.prepare(self._sized(cutout)[None], self._calibration, self._science)
        with torch.inference_mode():
            tokens = network.tokens(prepared)[0].float().cpu().numpy()
        side = round(len(tokens) ** 0.5)
        return (
            tokens.reshape(side, side, -1)
            if side * side == len(tokens) and tokens.shape[-1] == network.dimension
            else None
        )

    def _sized(self, cutout: np.ndarray) -> np.ndarray:
        if not np.isfinite(cutout).any():
            raise UserError("there is no known pixel in it", "choose another part, or another object")
        return resample(np.ascontiguousarray(cutout, np.float32), self._encoder.size)


def views(cutout: np.ndarray) -> list[np.ndarray]:
    """A cutout in its eight positions: four turns, each as it is and as in a mirror."""
    turns = [np.rot90(cutout, k, axes=(1, 2)) for k in range(4)]
    return [np.ascontiguousarray(turn) for one in turns for turn in (one, one[:, :, ::-1])]


def within(box: tuple[float, float, float, float], shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """A box in whole pixels of a cutout of this shape, (C, h, w): x0, y0, x1, y1.

    Raises
    ------
    UserError
        If it is none, or too small.
    """
    values = np.asarray(box, np.float64)
    if values.shape != (4,) or not np.isfinite(values).all():
        raise UserError("a region is four numbers: x0, y0, x1, y1, in pixels", "give its corners")
    height, width = shape[1:]
    x0, x1 = np.clip(np.round(np.sort(values[[0, 2]])), 0, width).astype(int)
    y0, y1 = np.clip(np.round(np.sort(values[[1, 3]])), 0, height).astype(int)
    if x1 - x0 < SMALLEST or y1 - y0 < SMALLEST:
        raise UserError(
            f"the region is too small: {x1 - x0}×{y1 - y0} of the cutout's {width}×{height} pixels",
            f"choose at least {SMALLEST}×{SMALLEST} pixels on the cutout",
        )
    return int(x0), int(y0), int(x1), int(y1)


def _covered(x0: int, y0: int, x1: int, y1: int, height: int, width: int, side: int) -> np.ndarray:
    """Which tokens of side × side lie in a box: those whose middle does, else the nearest one; (side, side) bool."""
    long = max(height, width)  # a cutout is padded to a square before it is encoded
    left, above = (long - width) // 2, (long - height) // 2
    middles = (np.arange(side) + 0.5) * long / side
    across, down = (middles > x0 + left) & (middles < x1 + left), (middles > y0 + above) & (middles < y1 + above)
    for chosen, low, high in ((across, x0 + left, x1 + left), (down, y0 + above, y1 + above)):
        if not chosen.any():
            chosen[np.abs(middles - (low + high) / 2).argmin()] = True
    return down[:, None] & across[None]


def _loaded(survey: Survey, representation: Representation) -> Encoder:
    meta = representation.meta
    spec = meta.get("spec", meta.get("encoder"))
    advice = f"search from objects of the survey, or embed it again: python -m engine embed {survey.path}"
    if not survey.bands or not isinstance(spec, str) or spec == "vectors" or "identity" not in meta:
        raise UserError(
            f"the vectors of {representation.name!r} were made elsewhere: no encoder is at hand for new pixels", advice
        )
    size = meta.get("size")
    try:
        encoder = load(spec, models=survey.path / "models")
    except UserError as error:
        raise UserError(
            f"the encoder of {representation.name!r} cannot be loaded: {error.problem}", error.remedy
        ) from error
    if encoder.size != size and isinstance(size, int):
        encoder = load(spec, models=survey.path / "models", size=size)
    if encoder.identity != meta["identity"]:
        raise UserError(f"the encoder {spec!r} is not the one that made {representation.name!r} any more", advice)
    check_bands(encoder, survey.bands)
    if encoder.sample:
        encoder.restore(load_file(representation.folder / "encoder.safetensors"))
    return encoder.to(torch.device("cpu"))
