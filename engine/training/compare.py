"""Does training help? Every method trained for as long on Galaxy Zoo 2, and measured on galaxies that none has seen.

The galaxies of ``gz2`` are split by `engine.training.examples.held_out`: four in five to train on, one in five to
measure on. Each method is measured before its first step and after its last, with what `engine.training.monitor` does
at every checkpoint, beside the pixels themselves, a network that learned everyday pictures, and the encoder that ships.

Then the claim of Mohale & Lochner is put to the test: over the checkpoints of a training, does the 2-point correlation
score go with how well the classes lie apart (Davies-Bouldin, smaller is better; k-means clusters)?

Run ``python -m engine.training.compare DATA --minutes 10 --out docs/training.md``: prints the table and writes the
page. With ``--work FOLDER`` a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import platform
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from scipy.stats import spearmanr

from engine import files
from engine.data.cutouts import read_batch
from engine.data.pictures.stretch import Calibration
from engine.encoders import Encoder, load
from engine.encoders.backbones import make
from engine.encoders.trained import Trained
from engine.errors import UserError
from engine.jobs import Progress, Reporter, silent
from engine.survey import Survey
from engine.training import method as method_named
from engine.training.evaluate import QUESTIONS
from engine.training.examples import held_out
from engine.training.imagenet import ImageNet, missing
from engine.training.loop import draws, own_randomness
from engine.training.monitor import measure
from engine.training.record import Training

METHODS = ("simmim", "byol", "votes")
#: Learning rates other than the method's own: the published one of SimMIM is for hundreds of epochs, not for twenty.
RATES = {"simmim": 5e-4}
#: Pixels a side at which the ImageNet network is shown the galaxies.
IMAGENET_SIZES = (64, 128)
#: Cutouts through an encoder at once.
BATCH = 64
#: Seconds between checkpoints: enough of them to rank.
CHECKPOINT_SECONDS = 60.0
#: Fewest checkpoints that a rank correlation is given for.
LEAST = 4
#: Fewest records of the loss that its ends are averaged over.
ENDS = 5


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    name : str
    before, after : dict
        What `engine.training.monitor.measure` gave on the held-out galaxies; `before` is empty for what is not trained
        here.
    steps : int
    loss : (first, last), or empty
        Means over the first and the last records.
    quality : list of dict
        The measurements at the checkpoints, on galaxies of the training.
    """

    name: str
    after: dict[str, float]
    before: dict[str, float] = field(default_factory=dict)
    steps: int = 0
    loss: tuple[float, ...] = ()
    quality: list[dict] = field(default_factory=list)


def surveys(gz2: Path, folder: Path, *, objects: int | None = None) -> tuple[Survey, Survey]:
    """Two surveys of the same pictures: galaxies to train on, and those held out.

    Parameters
    ----------
    gz2 : path
        Folder with ``images`` and ``catalogue.csv``.
    folder : path
        Where to make them; those already there are opened.
    objects : int, optional
        Only the first so many galaxies.

    Raises
    ------
    UserError
        If `gz2` is not that folder, or the surveys there are of another number of objects.
    """
    parts = folder / "train.survey", folder / "held-out.survey"
    if not all((part / "survey.toml").is_file() for part in parts):
        whole = folder / "whole.survey"
        survey = Survey.open(whole) if whole.exists() else Survey.ingest(gz2, whole)
        keep = np.array([held_out(i) for i in survey.ids.to_pylist()])
        used = np.arange(len(survey)) < (objects or len(survey))
        table = survey.arrow(survey.schema.names)
        for part, rows in zip(parts, (used & ~keep, used & keep)):
            if not part.exists():
                Survey.create(part, table.filter(pa.array(rows)), pixels=survey.header["pixels"])
    train, held = (Survey.open(part) for part in parts)
    if objects is not None and len(train) + len(held) != min(objects, len(Survey.open(folder / "whole.survey"))):
        raise UserError(f"{folder} holds a comparison of other galaxies", "choose another folder for --work")
    return train, held


def encoded(survey: Survey, encoder: Encoder, *, progress: Progress = silent) -> np.ndarray:
    """Vectors of every object of a small survey, (N, D) float32, in the order of its rows."""
    serve = getattr(encoder, "serve", None)
    if serve is not None:  # an encoder that looks at the bands' names
        serve(survey.bands)
    calibration, source = Calibration.of(survey.header["pixels"], len(survey.bands)), survey.cutouts
    found = []
    for start in range(0, len(survey), BATCH):
        pixels, _, _ = read_batch(source, np.arange(start, min(start + BATCH, len(survey))), encoder.size)
        found.append(encoder(encoder.prepare(pixels, calibration, source.science)).float().cpu().numpy())
        progress(start + len(pixels), len(survey), f"encoding with {encoder.name}")
    return np.concatenate(found)


def fitted(encoder: Encoder, survey: Survey) -> Encoder:
    """The encoder, fitted to a sample of the survey if it wants one."""
    if encoder.sample:
        count = min(encoder.sample, len(survey))
        rows = np.sort(np.random.default_rng(0).choice(len(survey), count, replace=False))
        pixels, readable, _ = read_batch(survey.cutouts, rows, encoder.size)
        calibration = Calibration.of(survey.header["pixels"], len(survey.bands))
        encoder.fit(pixels[readable], calibration, survey.cutouts.science)
    return encoder


def untrained(training: Training) -> Trained:
    """The encoder that a finished training began with: the same seed gives the same first weights."""
    encoder, settings = Trained(training.folder), training.settings
    kind, backbone = method_named(settings["method"]), settings["backbone"]
    widths = {name: len(columns) for name, columns in settings["targets"].items()}
    with own_randomness(torch.device("cpu")):
        torch.manual_seed(draws(settings["seed"]))
        fresh = make(backbone["backbone"], bands=backbone["bands"], size=backbone["size"])
        encoder.network.load_state_dict(kind(fresh, targets=widths).encoder.state_dict())
    return encoder


def answers(survey: Survey) -> dict[str, np.ndarray]:
    """`QUESTIONS` of a survey of gz2, each (N,) bool."""
    return {name: survey.column(column) > least for name, (column, least) in QUESTIONS.items()}


def trained_row(
    method: str, train: Survey, held: Survey, *, minutes: float, seed: int = 1, progress: Progress = silent
) -> Row:
    """Train a method and measure it before and after."""
    training = train.train(
        method,
        name=method,
        minutes=minutes,
        rate=RATES.get(method),
        seed=seed,
        checkpoint_seconds=CHECKPOINT_SECONDS,
        progress=progress,
    )
    truth, history = answers(held), [record["loss"] for record in training.history()]
    ends = min(ENDS, max(1, len(history) // 2))
    return Row(
        method,
        after=measure(encoded(held, Trained(training.folder), progress=progress), truth),
        before=measure(encoded(held, untrained(training), progress=progress), truth),
        steps=training.settings["steps"],
        loss=(float(np.mean(history[:ends])), float(np.mean(history[-ends:]))) if history else (),
        quality=training.quality(),
    )


def standing_rows(train: Survey, held: Survey, *, progress: Progress = silent) -> tuple[list[Row], list[str]]:
    """Rows of what is not trained here, and what was left out, with the reason."""
    makers: dict[str, Callable[[], Encoder]] = {n: partial(load, n) for n in ("pixels", "skysieve-base")}
    reason = missing()
    if reason is None:
        makers |= {f"EfficientNet-Lite0, ImageNet, {s} px": partial(ImageNet, size=s) for s in IMAGENET_SIZES}
    left_out = [] if reason is None else [f"EfficientNet-Lite0 (ImageNet) is left out: {reason}."]
    truth, rows = answers(held), []
    for name, encoder in makers.items():
        rows.append(Row(name, measure(encoded(held, fitted(encoder(), train), progress=progress), truth)))
    return rows, left_out


def compare(
    data: Path,
    folder: Path,
    *,
    minutes: float = 10.0,
    methods: Sequence[str] = METHODS,
    objects: int | None = None,
    progress: Progress = silent,
) -> tuple[list[Row], list[str]]:
    """Train and measure everything.

    Parameters
    ----------
    data : path
        ``gz2``, or the folder that holds it.
    folder : path
        For surveys and trainings; a second run goes on with them.
    minutes : float
        Of training, each method.
    methods : sequence of str
        Keys of `engine.training.METHODS`.
    objects : int, optional
        Only the first so many galaxies.

    Returns
    -------
    rows : list of Row
        Trained ones first.
    notes : list of str
        What was left out, and how many galaxies there were.

    Raises
    ------
    UserError
        If there is no gz2, or a method is unknown.
    """
    for name in methods:
        method_named(name)
    gz2 = next((place for place in (data / "gz2", data) if (place / "catalogue.csv").is_file()), None)
    if gz2 is None:
        raise UserError(f"{data} holds no folder gz2 with a catalogue.csv", "name the folder of Galaxy Zoo 2")
    train, held = surveys(gz2, folder, objects=objects)
    rows = [trained_row(name, train, held, minutes=minutes, progress=progress) for name in methods]
    standing, left_out = standing_rows(train, held, progress=progress)
    yes = ", ".join(f"{name} {int(truth.sum())}" for name, truth in answers(held).items())
    return rows + standing, [f"{len(train):,} galaxies trained on, {len(held):,} held out ({yes}).", *left_out]


# -- the page ----------------------------------------------------------------------------------------------------------


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown: areas under the ROC curve of linear probes, and the 2-point correlation score."""
    head = ["encoder", "steps", "loss", *QUESTIONS, "mean", "2-point score", "Landy-Szalay", "RankMe"]
    keys = [*(f"probe {name}" for name in QUESTIONS), "probe"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        cells = [f"`{row.name}`" if row.before else row.name, f"{row.steps:,}" if row.steps else "–"]
        cells.append(" → ".join(f"{loss:.3g}" for loss in row.loss) or "–")
        cells += [_change(row, key, "{:.3f}") for key in keys]
        cells += [
            _change(row, "two_point", "{:.1f}", "two_point_error"),
            _change(row, "two_point_landy_szalay", "{:.1f}"),
        ]
        cells.append(_change(row, "rankme", "{:.1f}"))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _change(row: Row, key: str, form: str, error: str | None = None) -> str:
    """One figure before and after, bold where it grew; a dash where it was not measured."""

    def said(figures: dict[str, float]) -> str:
        if key not in figures:
            return "–"
        spread = f" ± {form.format(figures[error])}" if error is not None and error in figures else ""
        return form.format(figures[key]) + spread

    if not row.before:
        return said(row.after)
    grew = row.after.get(key, -np.inf) > row.before.get(key, np.inf)
    return f"{said(row.before)} → {'**' if grew else ''}{said(row.after)}{'**' if grew else ''}"


def claim(rows: Sequence[Row]) -> str:
    """Rank correlation, over the checkpoints of each training, of the 2-point score with what labels say, as Markdown.

    Spearman's ρ; the talk expects it negative for Davies-Bouldin and positive for the others.
    """
    figures = {"davies_bouldin": "Davies-Bouldin", "clusters": "k-means clusters", "probe": "linear probe"}
    lines = [
        "| training | checkpoints | " + " | ".join(f"ρ with {words}" for words in figures.values()) + " |",
        "|" + "---|" * (2 + len(figures)),
    ]
    for row in rows:
        kept = [q for q in row.quality if all(key in q for key in ("two_point", *figures))]
        if row.before:
            found = [rank_correlation([q["two_point"] for q in kept], [q[key] for q in kept]) for key in figures]
            cells = [f"`{row.name}`", str(len(kept)), *("–" if rho is None else f"{rho:+.2f}" for rho in found)]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's ρ, or None of fewer than `LEAST` pairs or where one side does not vary."""
    if len(first) < LEAST or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(spearmanr(first, second).statistic)


def page(rows: Sequence[Row], notes: Sequence[str], *, command: str, seconds: float) -> str:
    """The page as Markdown."""
    machine = f"{torch.get_num_threads()} threads, {platform.machine()}, torch {torch.__version__}"
    parts = [
        "# Does training help?",
        "Each method trained from nothing on Galaxy Zoo 2 and measured before → after on galaxies that it was not "
        "trained on: area under the ROC curve of a linear probe on 40 principal components (five-fold; bold where it "
        "rose), and the 2-point correlation score of two components (± spread between sub-samples).",
        table(rows),
        " ".join(notes),
        "## Does the 2-point score go with what labels say?",
        "Spearman's rank correlation over the checkpoints of each training, on up to 2,000 of its galaxies, every "
        "label column of the catalogue. Expected: negative with Davies-Bouldin (smaller is better), positive with the "
        "others.",
        claim(rows),
        f"Made by `{command}` in {seconds / 60:.0f} minutes ({machine}).",
    ]
    return "\n\n".join(parts) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m engine.training.compare", description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, metavar="DATA", help="gz2, or the folder that holds it")
    parser.add_argument("--minutes", type=float, default=10.0, help="of training, each method (10)")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), help=" ".join(METHODS))
    parser.add_argument("--objects", type=int, help="only the first so many galaxies")
    parser.add_argument("--out", type=Path, help="Markdown page to write")
    parser.add_argument("--work", type=Path, help="folder to keep surveys and trainings in")
    args = parser.parse_args(arguments)
    started, progress = time.monotonic(), Reporter()
    options = {"minutes": args.minutes, "methods": args.methods, "objects": args.objects, "progress": progress}
    try:
        with tempfile.TemporaryDirectory() as temporary:
            rows, notes = compare(args.data, args.work or Path(temporary), **options)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    finally:
        progress.finish()
    written = page(rows, notes, command=_command(args), seconds=time.monotonic() - started)
    sys.stdout.write(written)
    if args.out:
        files.write_text(args.out, written)
    return 0


def _command(args: argparse.Namespace) -> str:
    """What to type for the same page, without this machine's folders."""
    words = ["python", "-m", "engine.training.compare", "DATA", "--minutes", f"{args.minutes:g}"]
    words += ["--methods", *args.methods, *(["--objects", str(args.objects)] if args.objects else [])]
    return shlex.join(words)


if __name__ == "__main__":
    sys.exit(main())
