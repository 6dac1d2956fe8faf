"""The folder of a training, ``models/NAME/``: what it was asked, how it went, and what it left.

::

    settings.json            first: what decides the result, and the command
    history.jsonl            loss, learning rate, cutouts a second, time left: one JSON object a record
    quality.jsonl            how good the vectors are: one a checkpoint
    pictures/000500.png      what the method makes of a few cutouts
    checkpoint.safetensors   all that the next step depends on
    encoder.safetensors      the averaged encoder
    encoder.json             last, its card: with it the training is finished

Every file is whole or absent but the two logs, which grow line by line and are cut back to the checkpoint when a run goes
on from it.
"""

from __future__ import annotations

import fcntl
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from engine import files
from engine.errors import UserError

#: Settings that do not decide what is learned.
WORDS = frozenset({"command", "checkpoint_seconds"})


@dataclass(frozen=True)
class Training:
    """A training on disk.

    Attributes
    ----------
    folder : path
        Its name is that of the encoder.
    """

    folder: Path

    @classmethod
    def open(cls, folder: str | Path) -> Training:
        """Open the folder of a training.

        Raises
        ------
        UserError
            If it is none.
        """
        if not (Path(folder) / "settings.json").is_file():
            raise UserError(f"{folder} is not the folder of a training", "name one of those in the survey's `models`")
        return cls(Path(folder))

    @property
    def name(self) -> str:
        """Name of the training and of its encoder."""
        return self.folder.name

    @property
    def settings(self) -> dict:
        """What it was asked."""
        return files.read_json(self.folder / "settings.json")

    @property
    def finished(self) -> bool:
        """Whether it has left an encoder."""
        return (self.folder / "encoder.json").is_file()

    @property
    def card(self) -> dict:
        """What is known of the encoder it left."""
        return files.read_json(self.folder / "encoder.json")

    def history(self) -> list[dict]:
        """The records of the loss, by step."""
        return _lines(self.folder / "history.jsonl")

    def quality(self) -> list[dict]:
        """The measurements, by step; the first is of the untrained encoder."""
        return _lines(self.folder / "quality.jsonl")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out of the folder; a lock does not outlive its process.

        Raises
        ------
        UserError
            If another process is at work in it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / ".lock", "w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(
                    f"{self.name!r} is being trained by another process",
                    "wait for it, cancel it, or choose another --name",
                ) from error
            yield

    def agree(self, wanted: dict) -> dict:
        """The settings to go on with: those kept if they are the same, else `wanted`, which are then kept.

        A number of steps that followed from a time (``minutes``) stays what it was.

        Raises
        ------
        UserError
            If a training with other settings has the name.
        """
        wanted = json.loads(json.dumps(wanted))
        path = self.folder / "settings.json"
        kept = files.read_json(path) if path.is_file() else wanted
        timed = {"steps"} if wanted.get("minutes") is not None else set()
        differing = [key for key in sorted({*kept, *wanted} - WORDS - timed) if kept.get(key) != wanted.get(key)]
        if differing:
            said = "; ".join(f"{key} {kept.get(key)} there, {wanted.get(key)} now" for key in differing)
            raise UserError(
                f"the training {self.name!r} was begun with other settings ({said})",
                f"choose another --name, give the settings it was begun with, or delete {self.folder}",
            )
        if not path.is_file():
            files.write_json(path, wanted)
        return kept

    def settle(self, settings: dict) -> None:
        """Keep settings that were open: how many steps there are time for."""
        files.write_json(self.folder / "settings.json", settings)

    def append(self, log: str, record: dict) -> None:
        """Add a record to ``history`` or ``quality``; numbers that are not finite become null."""
        plain = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}
        with open(self.folder / f"{log}.jsonl", "a", encoding="utf-8") as stream:
            stream.write(json.dumps(plain, ensure_ascii=False, allow_nan=False) + "\n")

    def draw(self, step: int, picture: np.ndarray) -> None:
        """Keep a picture, (H, W, 3) uint8."""
        with files.atomic_path(self.folder / "pictures" / f"{step:06d}.png") as temporary:
            Image.fromarray(picture).save(temporary, "PNG")

    def cut(self, step: int) -> None:
        """Forget what was recorded after a step: it will be done again. Below 0, everything."""
        for log in ("history", "quality"):
            path = self.folder / f"{log}.jsonl"
            if path.is_file():
                kept = [json.dumps(r, ensure_ascii=False) + "\n" for r in _lines(path) if r["step"] <= step]
                files.write_text(path, "".join(kept))
        for picture in (self.folder / "pictures").glob("*.png"):
            if not picture.stem.isdigit() or int(picture.stem) > step:
                picture.unlink()
        for left in [*self.folder.glob(".*.partial"), *self.folder.glob("pictures/.*.partial")]:
            left.unlink(missing_ok=True)  # of a run that was killed while it wrote

    @property
    def checkpoint(self) -> Path:
        """The state that a run goes on from."""
        return self.folder / "checkpoint.safetensors"

    def keep(self, state: dict[str, torch.Tensor], *, step: int, seconds: float) -> None:
        """Write the checkpoint in place of the one before."""
        with files.atomic_path(self.checkpoint) as temporary:
            save_file(state, temporary, metadata={"step": str(step), "seconds": repr(seconds)})

    def kept(self) -> tuple[dict[str, torch.Tensor], int, float] | None:
        """State, step and seconds of the checkpoint, None if there is none.

        Raises
        ------
        UserError
            If the file is damaged.
        """
        if not self.checkpoint.is_file():
            return None
        try:
            with safe_open(self.checkpoint, "pt") as stored:
                facts = stored.metadata()
                state = {name: stored.get_tensor(name) for name in stored.keys()}  # it has no iterator of its own
            return state, int(facts["step"]), float(facts["seconds"])
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"the checkpoint {self.checkpoint} is damaged ({error})", "delete it to begin the training again"
            ) from error

    def finish(self, weights: dict[str, torch.Tensor], card: dict) -> None:
        """Write the encoder, then its card; the checkpoint has served."""
        with files.atomic_path(self.folder / "encoder.safetensors") as temporary:
            save_file(weights, temporary, metadata={"format": "pt"})
        files.write_json(self.folder / "encoder.json", card)
        self.checkpoint.unlink(missing_ok=True)


def _lines(path: Path) -> list[dict]:
    """The records of a log; a last line that was torn off is none."""
    if not path.is_file():
        return []
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return found


def compact(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights as they ship: matrices and kernels in float16 where that holds them, the rest as it is."""
    return {
        name: value.half().contiguous() if value.ndim > 1 and _fits(value) else value.detach().clone().contiguous()
        for name, value in state.items()
    }


def _fits(value: torch.Tensor) -> bool:
    return value.dtype == torch.float32 and bool(value.abs().max() < torch.finfo(torch.float16).max)
