"""Commands that make representations: encoders, what they give, and how they learn."""

from __future__ import annotations

import shlex
from pathlib import Path

from engine.commands.arguments import Add, Outcome, positive, positive_number
from engine.errors import UserError
from engine.jobs import Progress
from engine.survey import Survey


def register(add: Add) -> None:
    """Add these commands to the parser."""
    command = add(embed)
    command.add_argument(
        "--encoder",
        default="skysieve-base",
        help="one that `encoders` lists, hf:NAME_OR_DIR, timm:NAME_OR_DIR, a .pt or .onnx file, the folder of a training",
    )
    command.add_argument("--name", help="what to call the representation (the encoder's name)")
    command.add_argument("--size", type=positive, help="pixels a side, for a foreign network that takes several")
    command.add_argument("--vectors", type=Path, help="take vectors from a file instead: npy, Parquet, CSV, HDF5, FITS")
    command.add_argument("--id-column", help="with --vectors: its column of ids")
    command.add_argument("--columns", nargs="+", help="with --vectors: its columns of numbers, such as 'pca_*'")
    command.add_argument("--device", help="cuda, mps or cpu")
    command.add_argument("--batch", type=positive, help="objects at a time")

    command = add(encoders, survey=False)
    command.add_argument("survey", type=Path, nargs="?", metavar="SURVEY", help="list those trained on it, too")

    command = add(train)
    command.add_argument("--method", default="simmim", help="simmim, mae, byol, dino, vae or votes (simmim)")
    command.add_argument("--name", help="what to call the encoder (the method's name)")
    command.add_argument("--steps", type=positive, help="batches to learn from (2000)")
    command.add_argument("--minutes", type=positive_number, help="instead: as many as fit")
    command.add_argument("--backbone", help="vit-tiny, vit-small or convnet (what suits the method)")
    command.add_argument("--size", type=positive, default=64, help="pixels a side (64)")
    command.add_argument("--batch", type=positive, help="cutouts of a step")
    command.add_argument("--rate", type=positive_number, help="largest learning rate")
    command.add_argument("--decay", type=float, help="weight decay")
    command.add_argument("--seed", type=int, default=1)
    command.add_argument("--device", help="cuda, mps or cpu")
    command.add_argument("--targets", nargs="+", default=[], metavar="COLUMN", help="what --method votes learns")
    command.add_argument("--linear", action="store_true", help="no asinh of the signal-to-noise")
    command.add_argument("--objects", type=positive, help="learn from a random sample of so many")
    command.add_argument(
        "--checkpoint-seconds", type=positive_number, default=120.0, help="time between checkpoints (120)"
    )

    command = add(finetune)
    command.add_argument("--target", help="whose labels to learn, and what the scores are called")
    command.add_argument(
        "--column", help="learn a catalogue column, or a condition such as 'z > 0.1', instead of labels"
    )
    command.add_argument("--kind", choices=["verdict", "classes", "number"], help="how to take the column")
    command.add_argument("--encoder", default="skysieve-base", help="what to start from, as for embed (skysieve-base)")
    command.add_argument("--name", help="of the result; TARGET-1, TARGET-2, … if not given")
    command.add_argument("--epochs", type=positive, help="by the number of labels if not given")
    command.add_argument("--folds", type=positive, help="1: a fifth is left out; n: every object is, in n parts")
    command.add_argument("--batch", type=positive, help="objects a step (32)")
    command.add_argument("--rate", type=float, help="learning rate of the head (0.0001); layers below have less")
    command.add_argument("--dropout", type=float, help="before the head (0.5)")
    command.add_argument(
        "--augmentation",
        choices=["turn", "disturb", "none"],
        help="what happens to cutouts (disturb; turn, for numbers)",
    )
    command.add_argument("--objects", type=positive, help="to learn from, at most (20,000)")
    command.add_argument("--seed", type=int)
    command.add_argument("--device", help="cuda, mps or cpu")
    command.add_argument("--no-scores", action="store_true", help="make the encoder and the classifier only")


def embed(args, progress: Progress) -> Outcome:
    """Turn cutouts into vectors, and make thumbnails in the same pass."""
    survey = Survey.open(args.survey)
    if args.vectors is not None:
        return _adopt(survey, args, progress)
    made = survey.embed(
        args.encoder, device=args.device, batch_size=args.batch, size=args.size, name=args.name, progress=progress
    )
    unreadable = int((~made.valid).sum())
    words = f"Representation {made.name!r}: {len(made.vectors):,} vectors of {made.vectors.shape[1]} numbers"
    if unreadable:
        words += f"; {unreadable:,} objects could not be read (see {made.folder / 'problems.json'})"
    return (
        {
            "representation": made.name,
            "objects": len(made.vectors),
            "dimension": made.vectors.shape[1],
            "unreadable": unreadable,
        },
        f"{words}. Next: python -m engine layout {survey.path}",
    )


def encoders(args, progress: Progress) -> Outcome:
    """List the encoders that can be asked for by name; with a survey, those trained on it as well."""
    from engine.encoders import cards

    found = cards(Survey.open(args.survey).path / "models" if args.survey else None)
    rows = [("name", "size", "dimension", "parameters", "bands", "licence", "trained on")]
    for card in found:
        bands = "any" if card.bands is None else card.bands if isinstance(card.bands, int) else " ".join(card.bands)
        size, count = f"{card.size}", f"{card.parameters:,}"
        rows.append((card.name, size, f"{card.dimension}", count, f"{bands}", card.licence, card.trained_on))
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(f"{cell:{width}}" for cell, width in zip(row, widths)).rstrip() for row in rows]
    return {"encoders": [vars(card) for card in found]}, "\n".join(lines)


def train(args, progress: Progress) -> Outcome:
    """Train an encoder on a survey's own cutouts; the same command goes on with one that was stopped."""
    from engine.training import processes

    survey = Survey.open(args.survey)
    names = ("name", "steps", "minutes", "backbone", "size", "batch", "rate", "decay", "seed", "device", "targets")
    options = {name: getattr(args, name) for name in names}
    made = survey.train(
        args.method,
        **options,
        asinh=not args.linear,
        objects=args.objects,
        checkpoint_seconds=args.checkpoint_seconds,
        progress=progress,
    )
    if processes.rank():
        return {}, ""
    figures = made.card["figures"]
    probes = [f"{figures[k]['probe']:.3f}" for k in ("first", "last") if "probe" in figures[k]]
    words = f"Encoder {made.name!r}: {made.settings['steps']:,} steps, loss {figures['loss']:.4g}"
    if probes:
        words += f", linear probe {' → '.join(probes)}"
    return (
        {"encoder": made.name, "folder": str(made.folder), "steps": made.settings["steps"], "figures": figures},
        f"{words}. Next: python -m engine embed {survey.path} --encoder {shlex.quote(made.name)}",
    )


def finetune(args, progress: Progress) -> Outcome:
    """Tune an encoder to a target's labels or a column, and score every object."""
    survey = Survey.open(args.survey)
    target = args.target or args.column
    if not target:
        raise UserError("there is nothing to learn", "name labels with --target, or a column with --column")
    asked = ("epochs", "folds", "batch", "rate", "dropout", "augmentation", "objects", "seed")
    given = {key: getattr(args, key) for key in asked if getattr(args, key) is not None}
    made = survey.finetune(
        target,
        encoder=args.encoder,
        column=args.column,
        kind=args.kind,
        name=args.name,
        device=args.device,
        score=not args.no_scores,
        progress=progress,
        **given,
    )
    return made.facts(), made.text()


def _adopt(survey: Survey, args, progress: Progress) -> Outcome:
    """Take vectors from a file instead of making them."""
    from engine.encoders.embed import draw_thumbnails
    from engine.encoders.vectors import adopt

    report = adopt(
        survey, args.vectors, id_column=args.id_column, columns=args.columns, name=args.name, progress=progress
    )
    draw_thumbnails(survey, progress=progress)
    return vars(report), f"{report.text()} Next: python -m engine layout {survey.path}"
