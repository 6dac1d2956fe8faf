"""Models of Hugging Face, made on the spot and small: what they are shown, what is pooled, and what is refused."""

import json

import numpy as np
import pytest
import torch

from engine.data.pictures.stretch import Calibration, to_rgb
from engine.encoders import load
from engine.encoders.foreign import Input
from engine.encoders.pretrained import _normalisation, _side
from engine.errors import UserError

transformers = pytest.importorskip("transformers")

TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
TINY |= {"image_size": 32, "patch_size": 8}


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """No test asks a network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def model(kind: str):
    torch.manual_seed(0)
    t = transformers
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    makers = {
        "vit": lambda: t.ViTModel(t.ViTConfig(**TINY)),
        "classifier": lambda: t.ViTForImageClassification(t.ViTConfig(**TINY)),
        "grey": lambda: t.ViTModel(t.ViTConfig(**TINY, num_channels=1)),
        "five": lambda: t.ViTModel(t.ViTConfig(**TINY, num_channels=5)),
        "convnext": lambda: t.ConvNextModel(
            t.ConvNextConfig(hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], image_size=64)
        ),
        "dinov2": lambda: t.Dinov2Model(t.Dinov2Config(**TINY)),
        "swin": lambda: t.SwinModel(
            t.SwinConfig(embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=2, image_size=32, patch_size=4)
        ),
        "resnet": lambda: t.ResNetModel(t.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])),
        "mae": lambda: t.ViTMAEForPreTraining(
            t.ViTMAEConfig(
                **TINY,
                decoder_hidden_size=16,
                decoder_num_hidden_layers=1,
                decoder_num_attention_heads=2,
                decoder_intermediate_size=16,
            )
        ),
        "clip": lambda: t.CLIPModel(
            t.CLIPConfig(text_config=dict(small), vision_config={**small, "image_size": 32, "patch_size": 8})
        ),
        "bert": lambda: t.BertModel(t.BertConfig(**small)),
    }
    return makers[kind]().eval()


@pytest.fixture
def saved(tmp_path):
    def save(kind: str, *, processor: dict | None = None, name: str = "tiny"):
        made = model(kind)
        made.save_pretrained(tmp_path / name)
        if processor is not None:
            (tmp_path / name / "preprocessor_config.json").write_text(json.dumps(processor), encoding="utf-8")
        return tmp_path / name, made

    return save


def cutouts(count: int, bands: int, side: int) -> tuple[np.ndarray, Calibration]:
    pixels = np.random.default_rng(0).normal(0, 1, (count, bands, side, side)).astype(np.float32)
    pixels[:, :, side // 4 : side // 2, side // 4 : side // 2] += 20
    return pixels, Calibration(np.zeros(bands), np.ones(bands), np.full(bands, 25.0))


@pytest.mark.parametrize(
    "kind, size, bands",
    [
        ("vit", 32, None),
        ("classifier", 32, None),
        ("grey", 32, None),
        ("five", 32, 5),
        ("convnext", 64, None),
        ("dinov2", 32, None),
        ("swin", 32, None),
        ("resnet", 224, None),
        ("mae", 32, None),
        ("clip", 32, None),
    ],
)
def test_any_image_model_gives_vectors(saved, kind, size, bands):
    folder, _ = saved(kind)
    encoder = load(f"hf:{folder}")
    assert (encoder.name, encoder.size, encoder.bands, encoder.dimension) == ("tiny", size, bands, 16)
    pixels, calibration = cutouts(3, bands or 4, size)
    batch = encoder.prepare(pixels, calibration, True)
    vectors = encoder(batch)
    assert vectors.shape == (3, 16) and vectors.dtype == torch.float32 and vectors.isfinite().all()
    assert torch.equal(vectors, encoder(batch))
    alone = torch.cat([encoder(batch[k : k + 1]) for k in range(3)])
    assert torch.allclose(vectors, alone, atol=0.05 * float(vectors.std()) + 1e-3)
    assert (vectors[0] - vectors[1]).abs().max() > 0
    assert load(f"hf:{folder}").identity == encoder.identity


def test_vectors_are_what_the_model_pools_of_the_picture_that_a_person_sees(saved, monkeypatch):
    mean, sd = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
    folder, made = saved("vit", processor={"size": {"height": 32, "width": 32}, "image_mean": mean, "image_std": sd})
    encoder = load(f"hf:{folder}")
    monkeypatch.setattr("engine.encoders.foreign.has_bfloat16", lambda device: False)
    pixels, calibration = cutouts(2, 4, 32)
    picture = np.moveaxis(to_rgb(pixels, calibration, science=True), -1, 1).astype(np.float64) / 255
    shown = (picture - np.array(mean)[:, None, None]) / np.array(sd)[:, None, None]
    with torch.no_grad():
        expected = made(pixel_values=torch.from_numpy(shown).float()).pooler_output
    found = encoder(encoder.prepare(pixels, calibration, True))
    assert torch.allclose(found, expected, atol=1e-4)


def test_a_pooling_that_was_never_trained_is_not_used(saved, monkeypatch):
    folder, made = saved("classifier")
    encoder = load(f"hf:{folder}")
    monkeypatch.setattr("engine.encoders.foreign.has_bfloat16", lambda device: False)
    batch = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = made.vit(pixel_values=batch).last_hidden_state.mean(dim=1)
    assert torch.allclose(encoder(batch), expected, atol=1e-4)


def test_another_size_is_taken_where_positions_can_be_stretched(saved):
    folder, _ = saved("vit")
    assert load(f"hf:{folder}", size=48).size == 48
    assert load(f"hf:{folder}", size=48).identity != load(f"hf:{folder}").identity


def test_a_size_that_a_model_cannot_take_is_refused(saved):
    folder, _ = saved("vit")
    with pytest.raises(UserError, match=r"does not take 3 × 5 × 5 pixels.*--size"):
        load(f"hf:{folder}", size=5)


def test_licence_and_training_data_come_from_the_model_card(saved):
    folder, _ = saved("vit")
    assert load(f"hf:{folder}").licence == "not stated"
    (folder / "README.md").write_text("---\nlicense: mit\ndatasets:\n- stars\n- galaxies\n---\n# A model\n", "utf-8")
    encoder = load(f"hf:{folder}")
    assert (encoder.licence, encoder.trained_on) == ("mit", "stars, galaxies")


def test_other_weights_are_another_encoder(saved):
    folder, made = saved("vit")
    before = load(f"hf:{folder}").identity
    with torch.no_grad():
        made.layernorm.bias += 1
    made.save_pretrained(folder)
    assert load(f"hf:{folder}").identity != before


@pytest.mark.parametrize(
    "processor, side",
    [
        ({"size": {"height": 48, "width": 48}}, 48),
        ({"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}, "do_center_crop": True}, 224),
        ({"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}, "do_center_crop": False}, 256),
        ({"size": 96}, 96),
        ({}, 32),
    ],
)
def test_the_size_is_the_preprocessors(processor, side):
    assert _side(processor, transformers.ViTConfig(**TINY)) == side


@pytest.mark.parametrize(
    "processor",
    [
        {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.6, 0.7]},
        {"image_mean": [100.0, 110.0, 120.0], "image_std": [50.0, 60.0, 70.0], "do_rescale": False},
        {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.6, 0.7], "rescale_factor": 1 / 127.5},
        {"do_normalize": False},
    ],
)
def test_normalisation_is_the_preprocessors(processor):
    value = np.array([10.0, 128.0, 255.0])
    factor = processor.get("rescale_factor", 1 / 255) if processor.get("do_rescale", True) else 1.0
    mean, sd = np.array(processor.get("image_mean", [0.0])), np.array(processor.get("image_std", [1.0]))
    found = _normalisation(processor, 3)
    assert np.allclose((value / 255 - np.array(found.mean)) / np.array(found.sd), (value * factor - mean) / sd)


def test_a_network_of_other_bands_is_shown_each_as_a_grey_picture():
    pixels, calibration = cutouts(2, 5, 16)
    found = Input("picture", 5)(pixels, calibration, True)
    for band in range(5):
        one = Calibration(*(getattr(calibration, k)[band : band + 1] for k in ("background", "noise", "bright")))
        grey = to_rgb(pixels[:, band : band + 1], one, science=True)[..., 1] / 255
        assert np.allclose(found[:, band], grey, atol=1e-6)


def test_what_is_no_image_model_is_refused(saved):
    folder, _ = saved("bert")
    with pytest.raises(UserError, match=r"takes input_ids, not pixels.*ViT"):
        load(f"hf:{folder}")


def test_pickled_weights_are_never_loaded(saved):
    folder, made = saved("vit")
    (folder / "model.safetensors").unlink()
    torch.save(made.state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="pickled weights are never loaded"):
        load(f"hf:{folder}")


def test_missing_weights_are_refused(saved):
    from safetensors.torch import load_file, save_file

    folder, _ = saved("vit")
    weights = load_file(folder / "model.safetensors")
    weights.pop(next(k for k in weights if "layernorm" in k))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="do not fit its configuration"):
        load(f"hf:{folder}")


def test_damaged_weights_are_refused(saved):
    folder, _ = saved("vit")
    (folder / "model.safetensors").write_bytes(b"no weights at all")
    with pytest.raises(UserError, match="cannot be read as safetensors"):
        load(f"hf:{folder}")


def test_code_that_comes_with_a_model_is_never_run(saved):
    folder, _ = saved("vit")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModel": "own.OwnModel"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\n")
    with pytest.raises(UserError, match="never run"):
        load(f"hf:{folder}")
    assert not (folder / "ran").exists()


def test_what_is_not_here_names_the_remedy(tmp_path):
    with pytest.raises(UserError, match=r"huggingface.co does not give it.*hf download nobody/nothing --local-dir DIR"):
        load("hf:nobody/nothing")
    with pytest.raises(UserError, match=r"no config\.json"):
        load(f"hf:{tmp_path}")


def test_timm_without_its_package_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(UserError, match=r"pip install -e \.\[timm\]"):
        load("timm:mwalmsley/zoobot-encoder-convnext_nano")


def test_loading_says_nothing(saved, capfd):
    folder, _ = saved("classifier")
    capfd.readouterr()
    load(f"hf:{folder}")
    assert capfd.readouterr() == ("", "")
