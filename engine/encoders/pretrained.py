"""Pretrained networks by name: ``hf:NAME_OR_DIR`` (Hugging Face) and ``timm:NAME_OR_DIR``.

A folder is read where it lies; a name is looked up in the local cache first, and fetched only if it is not there and the
environment does not say ``HF_HUB_OFFLINE=1``. Weights are safetensors and nothing else, and no code that comes with a
model is ever run: only architectures that the installed library knows.

The vector of a cutout is what the network pools, or the mean of its tokens where it has no pooling that was trained.
Size and normalisation are those of the model's own preprocessor; the whole cutout is resampled, never cropped.

Zoobot's encoders (trained on the votes of Galaxy Zoo) are ``timm:mwalmsley/zoobot-encoder-convnext_nano`` and its
sisters. timm is an extra, ``pip install -e .[timm]``, because it needs torchvision.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from engine import files
from engine.encoders import UNSTATED
from engine.encoders.foreign import Foreign, Input, weights_hash
from engine.errors import UserError

#: Pixels a side where a model says nothing.
SIZE = 224
#: Mean and standard deviation of ImageNet's pictures, which timm's models take unless they say otherwise.
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


# -- Hugging Face ------------------------------------------------------------------------------------------------------


def hugging_face(name: str, *, size: int | None = None) -> Foreign:
    """An image model of `transformers` as an encoder.

    Parameters
    ----------
    name : str
        A folder (``config.json``, ``model.safetensors``), or a name on the hub.
    size : int, optional
        Pixels a side; the preprocessor's own if not given.

    Raises
    ------
    UserError
        If it is not there, is no image model, has no safetensors, or lacks weights.
    """
    with _quietly():
        config, local = _configuration(name)
        model, untrained = _model(name, config, local)
        processor = _processor(name, local)
        facts = _readme(_cached(name, "README.md", local))
    config = model.config
    side = size or _side(processor, config)
    channels = int(getattr(config, "num_channels", 3))
    stretched = side != _number(getattr(config, "image_size", None))
    pooling = not any("pooler" in key for key in untrained)
    weights = {key: value for key, value in model.state_dict().items() if key not in untrained}
    network = Pooled(model, pooling=pooling, stretched=stretched)
    return Foreign(
        _plain_name(name),
        network,
        size=side,
        inputs=_normalisation(processor, channels),
        identity=f"{weights_hash(weights)} {type(model).__name__} {pooling}",
        licence=facts[0],
        trained_on=facts[1],
    )


class Pooled(nn.Module):
    """A model of `transformers`, reduced to one vector a picture.

    Parameters
    ----------
    model : PreTrainedModel
    pooling : bool
        Whether its own pooling was trained; else the mean of its tokens (or of its map) is taken.
    stretched : bool
        Whether pictures have another size than the positions it learned.
    """

    def __init__(self, model, *, pooling: bool, stretched: bool):
        super().__init__()
        self.model, self.pooling = model, pooling
        taken = inspect.signature(model.forward).parameters
        self.options = {"interpolate_pos_encoding": True} if stretched and "interpolate_pos_encoding" in taken else {}
        self.shuffled = "noise" in taken  # masked autoencoders shuffle their patches; in order the sum is the same sum

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, C, S, S) → (B, D)."""
        options: dict = dict(self.options)
        if self.shuffled:
            patches = (pixels.shape[-1] // self.model.config.patch_size) ** 2
            options["noise"] = torch.arange(patches, device=pixels.device, dtype=torch.float32).expand(len(pixels), -1)
        found = self.model(pixel_values=pixels, **options)
        pooled = getattr(found, "pooler_output", None) if self.pooling else None
        if pooled is not None:
            return pooled.flatten(1)
        last = found.last_hidden_state
        return last.mean(dim=1) if last.ndim == 3 else last.flatten(2).mean(dim=2)


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep the library from writing reports and bars; what matters becomes an error of ours."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from transformers.utils import logging

    level, bars, shown = logging.get_verbosity(), logging.is_progress_bar_enabled(), not are_progress_bars_disabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
        if shown:
            enable_progress_bars()


def _configuration(name: str) -> tuple:
    """The configuration of a model's image part, and whether its files are here already."""
    from huggingface_hub.constants import HF_HUB_OFFLINE
    from transformers import AutoConfig

    here = Path(name).is_dir()
    if here and not (Path(name) / "config.json").is_file():
        raise UserError(f"the folder {name} holds no model (it has no config.json)", "name the folder that holds it")
    for local in (True,) if here or HF_HUB_OFFLINE else (True, False):
        try:
            config = AutoConfig.from_pretrained(name, local_files_only=local, trust_remote_code=False)
            return getattr(config, "vision_config", config), local
        except (OSError, ValueError, KeyError) as error:
            problem = error
    if not here and isinstance(problem, OSError):
        raise _unreachable(name, "hf:") from problem
    reason = str(problem).strip().splitlines()[0][:200]
    raise UserError(
        f"the model {name!r} is of no kind that transformers knows ({reason})",
        "choose a model of a published architecture (ViT, ConvNeXt, DINOv2, Swin, ResNet); code of its own is never run",
    ) from problem


def _unreachable(name: str, prefix: str) -> UserError:
    return UserError(
        f"there is no folder {name!r}, no such model in the local cache, and huggingface.co does not give it",
        f"check the name; without a network, fetch it elsewhere (`hf download {name} --local-dir DIR`) "
        f"and write {prefix}DIR",
    )


def _model(name: str, config, local: bool) -> tuple:
    """The model with its weights, and the names of those that its file lacks: never trained, drawn at random."""
    from transformers import AutoModel

    if getattr(config, "mask_ratio", None):
        config.mask_ratio = 0.0  # masked autoencoders drop patches unless told not to
    try:
        model, report = AutoModel.from_pretrained(
            name,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=local,
            output_loading_info=True,
        )
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"the weights of {name!r} cannot be read as safetensors ({str(error).strip().splitlines()[0][:200]})",
            "choose a model that has model.safetensors, or convert it; pickled weights are never loaded",
        ) from error
    except (ValueError, ImportError, RuntimeError) as error:
        raise UserError(
            f"{name!r} cannot be loaded as an image model ({str(error).strip().splitlines()[0][:200]})",
            "choose an image model, such as ViT, ConvNeXt, DINOv2, Swin or ResNet",
        ) from error
    if model.main_input_name != "pixel_values":
        raise UserError(
            f"{name!r} takes {model.main_input_name}, not pixels",
            "choose an image model, such as ViT, ConvNeXt, DINOv2, Swin or ResNet",
        )
    fresh = {k if isinstance(k, str) else k[0] for k in (*report["missing_keys"], *report["mismatched_keys"])}
    lacking = sorted(k for k in fresh if "pooler" not in k and not k.endswith("mask_token"))
    if lacking:
        raise UserError(
            f"the weights of {name!r} do not fit its configuration ({len(lacking)} tensors are missing, such as "
            f"{lacking[0]})",
            "fetch the model again, whole",
        )
    return model, fresh


def _cached(name: str, file: str, local: bool) -> Path | None:
    """A file of a model, fetched if that is allowed; None if it has none."""
    from transformers.utils import cached_file

    found = cached_file(
        name,
        file,
        local_files_only=local,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
        _raise_exceptions_for_gated_repo=False,
    )
    return None if found is None else Path(found)


def _processor(name: str, local: bool) -> dict:
    """The settings of a model's preprocessor, empty if it has none."""
    for file in ("preprocessor_config.json", "processor_config.json"):
        path = _cached(name, file, local)
        if path is not None:
            found = files.read_json(path)
            return found.get("image_processor", found)
    return {}


def _side(processor: dict, config) -> int:
    """Pixels a side: what the preprocessor crops or scales to, else the positions that were learned."""
    given = processor.get("crop_size") if processor.get("do_center_crop") else None
    for value in (given, processor.get("size"), getattr(config, "image_size", None)):
        number = _number(value)
        if number:
            return number
    return SIZE


def _number(value) -> int | None:
    """One side of a size, in the ways in which they are written."""
    if isinstance(value, dict):
        value = value.get("height") or value.get("shortest_edge")
    elif isinstance(value, list | tuple):
        value = value[-1] if value else None
    return int(value) if value else None


def _normalisation(processor: dict, channels: int) -> Input:
    """What a preprocessor does to a picture of 0-255, as mean and sd in units of full scale.

    (v · factor − mean) / sd = (v / 255 − mean / (255 factor)) / (sd / (255 factor))
    """
    factor = 255 * (float(processor.get("rescale_factor", 1 / 255)) if processor.get("do_rescale", True) else 1.0)
    mean, sd = [0.0], [1.0]
    if processor.get("do_normalize", True):
        mean, sd = processor.get("image_mean", [0.5]), processor.get("image_std", [0.5])
    return Input("picture", channels, _channels(mean, channels, factor), _channels(sd, channels, factor))


def _channels(values, channels: int, factor: float = 1.0) -> tuple[float, ...]:
    """One number a channel; where they are of another number, their mean for each."""
    numbers: Sequence[float] = values if isinstance(values, list | tuple) else [values]
    if len(numbers) != channels:
        numbers = [sum(numbers) / len(numbers)] * channels
    return tuple(float(v) / factor for v in numbers)


def _readme(path: Path | None) -> tuple[str, str]:
    """Licence and training data, from the head of a model's README."""
    from huggingface_hub import metadata_load

    found = (metadata_load(path) if path is not None else None) or {}
    data = found.get("datasets") or UNSTATED
    return str(found.get("license") or UNSTATED), data if isinstance(data, str) else ", ".join(map(str, data))


def _plain_name(name: str) -> str:
    """The last part of a name or path, in letters that a representation may have."""
    last = (Path(name).resolve() if Path(name).is_dir() else Path(name)).name
    kept = "".join(ch if ch.isalnum() or ch in "._+-" else "-" for ch in last).lstrip(".")
    return kept[:100] or "model"


# -- timm --------------------------------------------------------------------------------------------------------------


def timm(name: str, *, size: int | None = None) -> Foreign:
    """A model of timm as an encoder, without its classifier.

    timm's own loader falls back on pickled weights; here its architecture is filled from ``model.safetensors`` alone.

    Parameters
    ----------
    name : str
        A folder (``config.json``, ``model.safetensors``), a name on the hub (``mwalmsley/zoobot-encoder-…``), or one of
        timm's own (``convnext_nano.in12k``).
    size : int, optional
        Pixels a side; the model's own if not given.

    Raises
    ------
    UserError
        If timm is not installed, or the model is not there, has no safetensors, or lacks weights.
    """
    try:
        from timm import create_model
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision that does not fit the installed torch
        raise UserError(
            f"timm: models need the timm package, which cannot be imported ({str(error).splitlines()[0]})",
            "install it with `pip install -e .[timm]`, or use an encoder of Hugging Face (hf:NAME)",
        ) from error
    place = name.removeprefix("hf_hub:").removeprefix("hf-hub:")
    place = place if "/" in place or Path(place).is_dir() else f"timm/{place}"
    with _quietly():
        settings, weights = _timm_files(place)
        facts = _readme(_cached(place, "README.md", True))
    scale = settings.get("pretrained_cfg", settings)
    channels, side = scale.get("input_size", (3, SIZE, SIZE))[:2]
    options = dict(settings.get("model_args") or {}) | {"num_classes": 0, "in_chans": channels}
    model = _filled(create_model(settings["architecture"], pretrained=False, **options), weights, name)
    mean, sd = (_channels(scale.get(key, default), channels) for key, default in zip(("mean", "std"), IMAGENET))
    return Foreign(
        _plain_name(place),
        model,
        size=size or side,
        inputs=Input("picture", channels, mean, sd),
        identity=weights_hash(model.state_dict()),
        licence=facts[0],
        trained_on=facts[1],
    )


def _timm_files(place: str) -> tuple[dict, Path]:
    """Settings and weights of a timm model, from a folder, the cache or the hub."""
    from huggingface_hub.constants import HF_HUB_OFFLINE

    for local in (True,) if Path(place).is_dir() or HF_HUB_OFFLINE else (True, False):
        config, weights = (_cached(place, file, local) for file in ("config.json", "model.safetensors"))
        if config is not None and weights is not None:
            settings = files.read_json(config)
            if "architecture" not in settings:
                raise UserError(f"{place!r} is no model of timm (its config.json names no architecture)", "try hf:")
            return settings, weights
    if Path(place).is_dir():
        raise UserError(
            f"the folder {place} lacks config.json or model.safetensors",
            "save the model with `timm.models.save_for_hf(model, DIR, safe_serialization=True)`",
        )
    raise _unreachable(place, "timm:")


def _filled(model: nn.Module, weights: Path, name: str) -> nn.Module:
    """A network with the weights of a file; what it has no use for (the classifier) is left there."""
    try:
        found = model.load_state_dict(load_file(weights), strict=False)
        if found.missing_keys:
            raise RuntimeError(f"{len(found.missing_keys)} tensors are missing, such as {found.missing_keys[0]}")
    except (SafetensorError, RuntimeError) as error:
        raise UserError(
            f"{weights.name} does not hold the weights of {name!r} ({str(error).splitlines()[0]})",
            "fetch the model again, whole",
        ) from error
    return model
