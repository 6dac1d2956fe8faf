"""Fine-tuning: an encoder and a classifier of a survey's own, from a few dozen labels on.

    labels or a column → `truth` → labelled cutouts → `head` over the frozen encoder → `tuning` of the network
                       → models/NAME/ → representation NAME → scores of every object

The network is tuned only if that is better on objects left out (see `engine.training.tuning`); else the frozen encoder
and its head are what is kept, and ``tuned`` says so. What is left in ``models/NAME/``:

    settings.json                                what was asked
    history.jsonl, quality.jsonl                 loss of the steps, fold after fold; loss and merit on objects left out
    head.safetensors                             the classifier
    encoder.safetensors and, last, encoder.json  the encoder, with the figures of both (`engine.training.record`)

Cost: at 300 labels and the default settings about two minutes on one core, and one pass over the survey.
"""

from __future__ import annotations

import datetime
import shlex
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load_file, save

from engine import device as devices
from engine import files
from engine.data.cutouts import read_batch, require_pixels
from engine.data.pictures.stretch import Calibration
from engine.encoders import CARD, UNSTATED, check_bands, load
from engine.encoders.tuned import Tunable, require_tunable
from engine.errors import UserError
from engine.jobs import Progress, silent
from engine.training import head as heads
from engine.training import truth, tuning
from engine.training.head import Head
from engine.training.record import WORDS, Training
from engine.training.truth import LABELS, Truth
from engine.training.tuning import Judged, Material, Recipe, Tuning

if TYPE_CHECKING:
    from engine.survey import Survey

HEAD = "head.safetensors"
#: Up to so many labels every object is left out once, in `FOLDS` folds; beyond, a fifth of them is.
FEW, FOLDS = 600, 5
#: Steps that the default number of epochs comes near, and its bounds.
STEPS, EPOCHS = 400, (5, 40)
#: What happens to cutouts: numbers are measured on what must not change. From 300 labels of gz2's edge-on galaxies the area
#: under the ROC curve of the other galaxies stays between .954 and .956 disturbed (.955 frozen); turned, it falls to .952.
AUGMENTATION = {"verdict": "disturb", "classes": "disturb", "number": "turn"}
#: Objects to learn from, and numbers of pixels held in memory (1 GiB), at most.
MOST, MOST_VALUES = 20_000, 1 << 28
#: Steps between two records.
RECORD = 20
#: Cutouts read at once; vectors scored at once.
READ, SCORED = 64, 65536


@dataclass(frozen=True)
class Finetuned:
    """What a fine-tuning left.

    Attributes
    ----------
    name : str
        Of the encoder, in ``models/``.
    folder : Path
    tuned : bool
        False if no round beat the frozen network, whose weights were kept.
    labels : int
        Objects it learned from.
    representation : str
        Whose vectors the scores were read off; empty if none were asked for.
    scores : tuple of str
        Names of the scores stored.
    figures, frozen : dict
        Name → (value, standard error) on objects left out: of what was kept, and of the frozen network's head.
    """

    name: str
    folder: Path
    tuned: bool
    labels: int
    representation: str
    scores: tuple[str, ...]
    figures: dict[str, tuple[float, float]]
    frozen: dict[str, tuple[float, float]]

    def facts(self) -> dict:
        """All of it, as a JSON document has it."""
        return asdict(self) | {"folder": str(self.folder)}

    def text(self) -> str:
        """The same in words."""
        kept, before = (
            ", ".join(f"{name} {value:.3f} ± {error:.3f}" for name, (value, error) in found.items())
            for found in (self.figures, self.frozen)
        )
        words = f"Encoder {self.name!r} from {self.labels:,} objects; on those left out: {kept}"
        words += f" (frozen: {before})" if self.tuned else "; tuning was no better, so the frozen network was kept"
        if self.scores:
            words += f". Scores of every object: {', '.join(self.scores)}"
        return words + "."


def finetune(
    survey: Survey,
    target: str,
    *,
    encoder: str = "skysieve-base",
    column: str | None = None,
    kind: str | None = None,
    name: str | None = None,
    objects: int = MOST,
    epochs: int | None = None,
    folds: int | None = None,
    device: str | None = None,
    score: bool = True,
    progress: Progress = silent,
    **recipe,
) -> Finetuned:
    """Tune an encoder to what is known of some objects, and score all.

    The same call again returns what is finished; one that was cancelled starts over, or goes on with the scores.

    Parameters
    ----------
    survey : Survey
    target : str
        Whose labels to learn, and what the scores are called: ``p_TARGET`` (yes/no), ``p_TARGET_CLASS`` (classes),
        ``pred_TARGET`` (numbers).
    encoder : str
        What to start from, as `engine.encoders.load` takes it.
    column : str, optional
        Learn a catalogue column or a condition instead of labels; see `engine.training.truth.of_column`.
    kind : {"verdict", "classes", "number"}, optional
        How to take the column.
    name : str, optional
        Of the result; TARGET-1, TARGET-2, … if not given.
    objects : int
        To learn from, at most.
    epochs, folds : int, optional
        By the number of labels if not given.
    device : {"cuda", "mps", "cpu"}, optional
    score : bool
        Make the representation and the scores as well.
    recipe
        More fields of `engine.training.tuning.Recipe`: ``batch``, ``rate``, ``layer_decay``, ``decay``, ``dropout``,
        ``augmentation`` (``turn`` for numbers, else ``disturb``), ``seed``.

    Raises
    ------
    UserError
        If there is too little to learn from, the encoder has no network or does not take the survey's bands, or the
        name is taken.
    """
    from engine.survey import check_name

    started = time.monotonic()
    require_pixels(survey)
    place = devices.choose(device)
    known = (
        truth.of_column(survey, check_name(target), column, kind=kind) if column else truth.of_labels(survey, target)
    )
    start = require_tunable(load(encoder, models=survey.path / "models"), encoder)
    check_bands(start, survey.bands)
    seed = recipe.get("seed", 0)
    learned = truth.thinned(known, min(objects, MOST_VALUES // (len(survey.bands) * start.size**2)), seed=seed)
    how = Recipe(
        **{"augmentation": AUGMENTATION[known.kind]} | recipe,
        epochs=epochs or _epochs(len(learned), recipe.get("batch", Recipe.batch)),
        folds=folds or (FOLDS if len(learned) <= FEW else 1),
    )
    settings = _settings(survey, known, learned, encoder, start, how)
    folder = _folder(survey.path / "models", target, name, settings)
    with Training(folder).locked():
        if not (folder / CARD).is_file():
            settings |= {"command": _command(survey.path, folder.name, settings)}
            files.write_json(folder / "settings.json", settings)
            material = _material(survey, known, learned, start, place, progress)
            _learn(folder, survey, settings, material, how, progress)
    card = files.read_json(folder / CARD)
    representation, names = _score(survey, folder, card, known, device, progress) if score else ("", ())
    result = Finetuned(
        folder.name,
        folder,
        card["tuned"],
        card["labels"],
        representation,
        names,
        *({name: (value, error) for name, (value, error) in card[key].items()} for key in ("figures", "frozen")),
    )
    survey.record_run("finetune", settings, seconds=time.monotonic() - started, results=result.facts())
    return result


def _epochs(count: int, batch: int) -> int:
    """Epochs that make about `STEPS` steps."""
    return int(np.clip(round(STEPS * batch / count), *EPOCHS))


def _settings(survey: Survey, known: Truth, learned: Truth, spec: str, start: Tunable, recipe: Recipe) -> dict:
    """What decides the result."""
    return {
        "method": "finetune",
        "start": {"encoder": _lasting(spec), "identity": start.identity},
        "target": known.target,
        "kind": known.kind,
        "classes": list(known.classes),
        "source": known.source,
        "fingerprint": known.fingerprint,
        "targets": {known.target: list(known.classes) or [known.target]},
        "objects": len(learned),
        "steps": _steps(learned, recipe),
        "size": start.size,
        "bands": list(survey.bands),
        "science": bool(survey.cutouts.science),
        **asdict(recipe),
    }


def _command(path: Path, name: str, settings: dict) -> str:
    """What to type to get this again."""
    words = ["python", "-m", "engine", "finetune", str(path), "--target", settings["target"], "--name", name]
    if settings["source"] != LABELS:
        words += ["--column", settings["source"], "--kind", settings["kind"]]
    words += ["--encoder", settings["start"]["encoder"]]
    asked = ("epochs", "folds", "batch", "rate", "dropout", "augmentation", "seed")
    return shlex.join(
        words
        + [
            word
            for key in asked
            for word in (f"--{key}", f"{settings[key]:g}" if isinstance(settings[key], float) else str(settings[key]))
        ]
    )


def _lasting(spec: str) -> str:
    """What to write for an encoder from any folder: a path becomes whole."""
    prefix, colon, rest = spec.rpartition(":")
    place = Path(rest)
    return f"{prefix}{colon}{place.resolve()}" if place.name != rest and place.exists() else spec


def _folder(models: Path, target: str, name: str | None, settings: dict) -> Path:
    """The folder of this very fine-tuning if there is one, else a new one.

    Raises
    ------
    UserError
        If the name is taken by another.
    """
    from engine.encoders import ENCODERS
    from engine.survey import check_name

    def same(folder: Path) -> bool:
        kept = folder / "settings.json"
        found = files.read_json(kept) if kept.is_file() else {}
        return {k: v for k, v in found.items() if k not in WORDS} == settings

    if name is None:
        number = 1
        while (models / f"{target}-{number}").exists() and not same(models / f"{target}-{number}"):
            number += 1
        return models / f"{target}-{number}"
    folder = models / check_name(name)
    if name in ENCODERS or (folder.exists() and not same(folder)):
        raise UserError(
            f"the name {name!r} is taken by another encoder", f"choose another with --name, or delete {folder}"
        )
    return folder


def _material(
    survey: Survey, known: Truth, learned: Truth, start: Tunable, place: torch.device, progress: Progress
) -> Material:
    """Read the cutouts, leave out what is unreadable, and encode the rest.

    Raises
    ------
    UserError
        If too few are readable.
    """
    pixels, readable = _cutouts(survey, learned.rows, start.size, progress)
    learned, pixels = learned.part(readable), pixels[readable]
    counts = learned.counts
    if len(learned) < truth.LEAST_OBJECTS or sum(count >= 2 for count in counts.values()) < min(2, len(counts)):
        raise UserError(
            f"only {len(learned):,} of the objects with {known.target!r} can be read",
            "check that the pixels are where survey.toml says, with `doctor`",
        )
    science = bool(survey.cutouts.science)
    calibration = Calibration.of(survey.header["pixels"], len(survey.bands))
    start.to(place)
    vectors = tuning.encode(start, pixels, calibration, science)
    frequency = None if known.kind == "number" else np.bincount(known.values, minlength=len(known.classes))
    return Material(start, learned, pixels, vectors, calibration, science, place, frequency)


def _cutouts(survey: Survey, rows: np.ndarray, size: int, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
    """Cutouts of some objects at one size, (n, C, size, size) float32, and which are readable."""
    source = survey.cutouts
    pixels = np.full((len(rows), len(survey.bands), size, size), np.nan, np.float32)
    readable = np.zeros(len(rows), bool)

    def fill(start: int) -> int:
        part = slice(start, start + READ)
        pixels[part], readable[part], _ = read_batch(source, rows[part], size)
        return min(start + READ, len(rows))

    with ThreadPoolExecutor(2) as readers:
        for done in readers.map(fill, range(0, len(rows), READ)):
            progress(done, len(rows), "reading")
    return pixels, readable


# -- learning, and what is left of it ----------------------------------------------------------------------------------


def _learn(
    folder: Path, survey: Survey, settings: dict, material: Material, recipe: Recipe, progress: Progress
) -> None:
    """Tune, judge, and write encoder and head; the card comes last."""
    training = Training(folder)
    training.cut(-1)  # what an earlier run recorded that did not come to its end
    judged = tuning.judge(material, recipe, _Log(training, settings["steps"], recipe.batch, "tuning", progress))
    for record in _rounds(judged, material, recipe):
        training.append("quality", record)
    final = Tuning(material, np.arange(len(material.truth)), recipe, stream=recipe.folds)
    epochs = recipe.marks[judged.chosen - 1] if judged.chosen else 0
    log = _Log(None, epochs * final.steps_an_epoch, recipe.batch, "tuning on all", progress)
    for _ in range(epochs):
        final.epoch(log)
    _save_head(final.head, folder / HEAD)
    weights = {name: value.detach().cpu().contiguous() for name, value in final.network.state_dict().items()}
    training.finish(weights, settings | _card(survey, folder, material, judged))


class _Log:
    """Told the loss after each step: reports progress, and records the history of `training`."""

    def __init__(self, training: Training | None, total: int, batch: int, stage: str, progress: Progress):
        self.training, self.total, self.batch, self.stage, self.progress = training, total, batch, stage, progress
        self.done, self.started = 0, time.monotonic()

    def __call__(self, loss: torch.Tensor) -> None:
        self.done += 1
        self.progress(self.done, self.total, self.stage)
        if self.training is not None and self.done % RECORD == 0:
            seconds = time.monotonic() - self.started
            speed = self.done / max(seconds, 1e-9)
            record = {"step": self.done, "loss": float(loss), "rate": round(speed * self.batch, 1)}
            left = round((self.total - self.done) / speed, 1)
            self.training.append("history", record | {"seconds": round(seconds, 2), "left": left})


def _steps(known: Truth, recipe: Recipe) -> int:
    """Steps of all folds."""
    return sum(
        recipe.epochs * -(-len(learn) // recipe.batch) for learn, _ in tuning.splits(known, recipe.folds, recipe.seed)
    )


def _rounds(judged: Judged, material: Material, recipe: Recipe) -> list[dict]:
    """Loss and merit after each round, on objects left out; step 0 is the frozen network."""
    merit = "r2" if material.truth.kind == "number" else "auc"
    learning = len(material.truth) - len(material.truth) // max(2, recipe.folds)
    return [
        {
            "step": epoch * -(-learning // recipe.batch),
            "epoch": epoch,
            "loss": float(losses.mean()),
            merit: float(value),
        }
        for epoch, losses, value in zip([0, *recipe.marks], judged.losses, judged.merits)
        if np.isfinite(losses).all()
    ]


def _card(survey: Survey, folder: Path, material: Material, judged: Judged) -> dict:
    """What encoder.json says beside the settings."""
    from engine.survey import version

    start, left_out = material.encoder, material.truth.part(judged.rows)

    def figures(number: int) -> dict[str, list[float]]:
        found = heads.figures(judged.answers[number], left_out)
        return {name: [round(figure.value, 5), round(figure.error, 5)] for name, figure in found.items()}

    card = getattr(start, "card", {})
    of_training = {key: card[key] for key in ("backbone", "asinh") if "backbone" in card}
    return of_training | {
        "name": folder.name,
        "bands": getattr(start, "trained_bands", start.bands),
        "dimension": start.dimension,
        "licence": getattr(start, "licence", UNSTATED),
        "normalisation": getattr(start, "normalisation", UNSTATED),
        "trained_on": f"{getattr(start, 'trained_on', UNSTATED)}; tuned to {len(material.truth):,} objects of "
        f"{survey.name} for {material.truth.target!r}",
        "tuned": judged.chosen > 0,
        "round": judged.chosen,
        "labels": len(material.truth),
        "counts": material.truth.counts,
        "figures": figures(judged.chosen),
        "frozen": figures(0),
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "version": version(),
        "torch": torch.__version__,
    }


def _save_head(head: Head, path: Path) -> None:
    with files.atomic_path(path) as temporary:
        temporary.write_bytes(save({k: v.detach().cpu().contiguous() for k, v in head.state_dict().items()}))


def open_head(folder: str | Path) -> Head:
    """The classifier of a fine-tuning."""
    state = load_file(Path(folder) / HEAD)
    outputs, dimension = state["linear.weight"].shape
    head = Head(dimension, outputs, classes=len(state["frequency"]))
    head.load_state_dict(state)
    return head.eval()


# -- scores ------------------------------------------------------------------------------------------------------------


def score_names(card: dict) -> list[str]:
    """Names of the scores that a fine-tuning stores, one an answer."""
    target = card["target"]
    if card["kind"] == "number":
        return [f"pred_{target}"]
    if card["kind"] == "verdict":
        return [f"p_{target}"]
    plain = ["".join(ch if ch.isalnum() or ch in " ._+-" else "-" for ch in name) for name in card["classes"]]
    return [f"p_{target}_{name}" for name in plain]


@torch.no_grad()
def answers(head: Head, vectors: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """What a head says of the vectors of a survey, (N, K) float32, NaN where not valid; streamed."""
    found = np.full((len(vectors), max(len(head.frequency), 1)), np.nan, np.float32)
    for start in range(0, len(vectors), SCORED):
        part = slice(start, start + SCORED)
        block = torch.from_numpy(np.array(vectors[part], np.float32))
        found[part] = head.answers(head(block)).numpy()
        found[part][~valid[part]] = np.nan
    return found


def _score(
    survey: Survey, folder: Path, card: dict, known: Truth, device: str | None, progress: Progress
) -> tuple[str, tuple[str, ...]]:
    """Encode the survey, store the scores and where they come from; returns the representation and their names."""
    spec = folder.name if card["tuned"] else card["start"]["encoder"]
    made = survey.embed(spec, device=device, progress=progress)
    found = answers(open_head(folder), made.vectors, np.asarray(made.valid, bool))
    if known.bounds is not None:
        found = np.clip(found, *known.bounds)
    columns = found[:, 1:] if card["kind"] == "verdict" else found
    names = score_names(card)
    for name, values in zip(names, columns.T):
        survey.store_score(name, values)
        provenance = {
            "model": folder.name,
            "representation": made.name,
            "event": survey.labels.latest(known.target) if known.source == LABELS else None,
        }
        keys = ("target", "kind", "source", "tuned", "labels", "figures", "start", "made")
        files.write_json(
            survey.path / "scores" / f"{name}.provenance.json", provenance | {key: card[key] for key in keys}
        )
    return made.name, tuple(names)
