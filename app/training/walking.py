"""What lies between two objects: the walk from one to the other through an autoencoder of the survey, as a picture."""

from __future__ import annotations

import io
import threading
from typing import cast

import numpy as np
import torch
from PIL import Image

from engine.data.cutouts import read_batch
from engine.data.pictures.stretch import Calibration
from engine.encoders.autoencoder import Autoencoder
from engine.encoders.trained import Trained
from engine.errors import UserError
from engine.survey import Survey
from engine.training.pictures import mosaic

#: Cutouts decoded on the way, both ends with them.
STEPS = 9


class Walks:
    """The autoencoders of a survey; the one used last stays loaded. Call off the event loop."""

    def __init__(self, survey: Survey):
        self._survey = survey
        self._lock = threading.Lock()
        self._loaded: tuple[str, Trained] | None = None

    def walk(self, name: str, first: int, second: int) -> bytes:
        """First object, the decoded way to the second, second object: one row of a PNG.

        Raises
        ------
        UserError
            If the training has no decoder, or the pixels of one of them cannot be read.
        """
        encoder, survey = self._encoder(name), self._survey
        pixels, readable, _ = read_batch(survey.cutouts, np.array([first, second], np.int64), encoder.size)
        if not np.all(readable):
            raise UserError("the pixels of one of the two objects cannot be read", "choose another")
        science = survey.cutouts.science
        calibration = Calibration.of(survey.header["pixels"], len(survey.bands))
        with torch.inference_mode():
            batch = encoder.prepare(pixels, calibration, science)
            first_vector, second_vector = encoder(batch)
            between = cast(Autoencoder, encoder.network).walk(first_vector, second_vector, STEPS)
        views = torch.cat([batch[:1], between, batch[1:]])[None].numpy()
        out = io.BytesIO()
        Image.fromarray(mosaic(views, science=science)).save(out, "PNG", compress_level=1)
        return out.getvalue()

    def _encoder(self, name: str) -> Trained:
        with self._lock:
            if self._loaded is None or self._loaded[0] != name:
                encoder = Trained(self._survey.path / "models" / name)
                if not hasattr(encoder.network, "walk"):
                    raise UserError(f"{name!r} has no decoder to look through", "train one with --method vae")
                encoder.serve(self._survey.bands)
                self._loaded = name, encoder
            return self._loaded[1]
