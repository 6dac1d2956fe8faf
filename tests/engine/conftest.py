"""Surveys without pixels, for what needs only rows and vectors."""

import numpy as np
import pandas as pd
import pytest

from engine import Survey, files


@pytest.fixture
def make_survey(tmp_path):
    """Return a function that makes a survey of n objects called o0, o1, …, with catalogue columns and vectors."""

    def make(n, *, columns=None, vectors=None, valid=None, name="made"):
        objects = pd.DataFrame(
            {
                "id": [f"o{i}" for i in range(n)],
                "ra": np.linspace(10, 11, n),
                "dec": np.linspace(-5, -4, n),
                **(columns or {}),
            }
        )
        survey = Survey.create(
            tmp_path / f"{name}.survey", objects, pixels={"kind": "images", "root": ".", "bands": ["R", "G", "B"]}
        )
        if vectors is not None:
            folder = survey.path / "representations" / "given"
            valid = np.ones(n, bool) if valid is None else np.asarray(valid, bool)
            files.write_npy(folder / "vectors.npy", np.where(valid[:, None], vectors, 0).astype(np.float32))
            files.write_npy(folder / "valid.npy", valid)
            files.write_json(folder / "meta.json", {"encoder": "given"})
        return survey

    return make
