"""Whatever the pixels: embedded, or refused by name, and never a vector that is not finite in a representation."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from engine import files
from engine.data.cutouts import Unreadable
from engine.encoders.backbones import make as backbone
from engine.encoders.embed import NOT_FINITE, embed
from engine.errors import UserError
from engine.survey import Survey


class Held:
    """Cutouts of any shapes, in memory."""

    def __init__(self, cutouts, bands, science):
        self.cutouts, self.bands, self.science = cutouts, bands, science

    def read(self, rows):
        return [self.cutouts[int(row)] for row in rows]


def surveyed(path, cutouts: dict, bands: int, *, science: bool, noise: float = 0.5) -> Survey:
    """A survey of cutouts by id."""
    names = [f"b{k}" for k in range(bands)]
    header = {
        "kind": "hdf5",
        "root": ".",
        "bands": names,
        "science": science,
        "background": [0.0] * bands,
        "noise": [noise] * bands,
        "bright": [50.0] * bands,
    }
    survey = Survey.create(path, pd.DataFrame({"id": list(cutouts), "ra": np.nan, "dec": np.nan}), pixels=header)
    survey.__dict__["cutouts"] = Held(list(cutouts.values()), tuple(names), science)
    return survey


def awkward(bands: int, *, seed: int = 0) -> dict:
    """Cutouts of every kind that ever came, by what is the matter with them."""
    rng = np.random.default_rng(seed)

    def good(*side):
        return rng.normal(5, 3, (bands, *side)).astype(np.float32)

    found = {f"good{k}": good(40, 40) for k in range(6)}
    found |= {"one pixel": good(1, 1), "two pixels": good(1, 2), "strip": good(3, 200), "odd": good(63, 65)}
    found |= {"zero": np.zeros((bands, 32, 32), np.float32), "constant": np.full((bands, 32, 32), 7, np.float32)}
    found |= {"nothing": np.full((bands, 32, 32), np.nan, np.float32), "infinite": np.full((bands, 9, 9), np.inf)}
    found |= {"one pixel of nothing": np.full((bands, 1, 1), np.nan, np.float32)}
    for name, values in {
        "band": (slice(0, 1), np.nan),
        "stripes": ((slice(None), slice(None, None, 2)), np.nan),
        "most": ((slice(None), slice(2, None)), np.nan),
        "plus": ((0, 5, 5), np.inf),
        "minus": ((-1, 5, 5), -np.inf),
        "huge": (slice(None), 3e38),
        "low": (slice(None), -3e38),
        "mixed": ((slice(None), slice(0, 16)), 3e38),
    }.items():
        found[name] = good(32, 32)
        found[name][values[0]] = values[1]
    found["opposite"] = good(32, 32)
    found["opposite"][:, ::2] = 3e38
    found["opposite"][:, 1::2] = -3e38
    found |= {f"whole{k}": rng.integers(0, 255, (bands, 20, 20)).astype(kind) for k, kind in enumerate("BHifd")}
    found["torn"] = Unreadable("the file is torn")
    return found


def small(kind: str, folder, bands: int) -> str:
    """What to write for a small encoder of a kind, made on the spot; for a number of bands, where that matters."""
    torch.manual_seed(0)
    if kind == "hf":
        from transformers import ViTConfig, ViTModel

        config = ViTConfig(
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            image_size=32,
            patch_size=8,
            num_channels=bands if bands > 3 else 3,
        )
        ViTModel(config).save_pretrained(folder / "vit")
        return f"hf:{folder / 'vit'}"
    if kind in ("vit-tiny", "convnet"):
        network, made = backbone(kind, bands=bands, size=32), folder / f"{kind}-{bands}"
        made.mkdir()
        save_file({k: v.contiguous() for k, v in network.state_dict().items()}, made / "encoder.safetensors")
        card = {"bands": [f"b{k}" for k in range(bands)], "asinh": True, "backbone": network.settings}
        files.write_json(made / "encoder.json", card | {"size": 32, "dimension": network.dimension})
        return str(made)
    return kind


def check(survey: Survey, made) -> dict:
    """Everything is finite, and what has no vector says why; returns the reasons by id."""
    vectors, valid = np.asarray(made.vectors), np.asarray(made.valid)
    assert np.isfinite(vectors).all()
    assert not vectors[~valid].any()
    problems = json.loads((made.folder / "problems.json").read_text(encoding="utf-8"))
    reasons = {p["id"]: p["reason"] for p in problems["first"]}
    ids = survey.ids.to_pylist()
    assert set(reasons) == {ids[k] for k in np.flatnonzero(~valid)} and all(reasons.values())
    assert problems["unreadable"] == len(reasons)
    assert survey.thumbnails.complete
    return reasons


@pytest.mark.parametrize("science", [True, False], ids=["science", "pictures"])
@pytest.mark.parametrize("bands", [1, 2, 3, 5, 12])
@pytest.mark.parametrize("kind", ["pixels", "skysieve-base", "hf", "vit-tiny", "convnet"])
def test_any_pixels_are_embedded_or_refused_by_name(tmp_path, kind, bands, science):
    survey = surveyed(tmp_path / "a.survey", awkward(bands), bands, science=science)
    made = embed(survey, small(kind, tmp_path, bands), device="cpu", batch_size=16, name="made")
    reasons = check(survey, made)
    assert {"nothing", "infinite", "torn", "one pixel of nothing"} <= set(reasons)
    assert reasons["torn"] == "the file is torn"
    readable = {"one pixel", "odd", "zero", "constant", "huge", "plus", "minus", "whole0", "whole4"}
    assert not set(reasons) & readable
    good = np.asarray(made.vectors[:6], np.float32)
    assert np.ptp(good, axis=0).max() > 0, "six different galaxies have one vector"


@pytest.mark.parametrize("kind", ["pixels", "skysieve-base", "hf", "vit-tiny"])
def test_an_image_of_5000_pixels_a_side(tmp_path, kind):
    rng = np.random.default_rng(0)
    cutouts = {f"o{k}": rng.normal(0, 1, (1, 30, 30)).astype(np.float32) for k in range(4)}
    cutouts["large"] = np.broadcast_to(rng.integers(0, 99, (1, 1, 5000)).astype(np.int16), (1, 5000, 5000))
    survey = surveyed(tmp_path / "a.survey", cutouts, 1, science=True)
    made = embed(survey, small(kind, tmp_path, 1), device="cpu", name="made")
    assert check(survey, made) == {}
    assert np.asarray(made.vectors[4]).any()


@pytest.mark.parametrize("noise", [1e-38, 1e30])
@pytest.mark.parametrize("kind", ["pixels", "skysieve-base", "hf", "vit-tiny"])
def test_absurd_noise_levels(tmp_path, kind, noise):
    cutouts = {k: v for k, v in awkward(3).items() if k.startswith(("good", "huge", "zero"))}
    survey = surveyed(tmp_path / "a.survey", cutouts, 3, science=True, noise=noise)
    check(survey, embed(survey, small(kind, tmp_path, 3), device="cpu", name="made"))


@pytest.mark.parametrize("kind", ["pixels", "skysieve-base", "hf", "vit-tiny"])
def test_nothing_to_see_at_all_is_refused(tmp_path, kind):
    cutouts = {f"o{k}": np.full((2, 8, 8), np.nan, np.float32) for k in range(3)}
    survey = surveyed(tmp_path / "a.survey", cutouts, 2, science=True)
    with pytest.raises(UserError, match="none of the 3 objects could be read"):
        embed(survey, small(kind, tmp_path, 2), device="cpu")
    assert survey.representations == []


@pytest.mark.parametrize("kind", ["hf", "vit-tiny", "convnet"])
def test_other_bands_are_refused_before_anything_is_read(tmp_path, kind):
    survey = surveyed(tmp_path / "a.survey", awkward(4), 4, science=True)
    survey.cutouts.read = None  # reading would fail
    with pytest.raises(UserError, match=r"5 bands.*this survey has 4.*skysieve-base"):
        embed(survey, small(kind, tmp_path, 5), device="cpu")
    assert not (survey.path / "representations").exists()


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_network_that_gives_no_finite_vector_is_found_out(tmp_path):
    class Broken(torch.nn.Module):
        def forward(self, pixels):
            means = pixels.mean(dim=(2, 3))
            return torch.where(means > 0, means, torch.full_like(means, float("nan")))

    torch.jit.script(Broken()).save(tmp_path / "broken.pt")
    cutouts = {f"o{k}": np.full((3, 8, 8), 1.0 if k % 3 else -1.0, np.float32) for k in range(30)}
    survey = surveyed(tmp_path / "a.survey", cutouts, 3, science=True)
    made = embed(survey, str(tmp_path / "broken.pt"), size=8, device="cpu", batch_size=7)
    reasons = check(survey, made)
    assert set(reasons) == {f"o{k}" for k in range(0, 30, 3)}
    assert set(reasons.values()) == {NOT_FINITE}
