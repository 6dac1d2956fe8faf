"""Commands that make a survey and tell of it."""

from __future__ import annotations

import base64
from pathlib import Path

from engine.commands.arguments import Add, Outcome, positive
from engine.data.crossmatch import RADIUS, WAYS
from engine.data.fitting import FITS_BY
from engine.jobs import Progress
from engine.survey import Survey


def register(add: Add) -> None:
    """Add these commands to the parser."""
    command = add(simulate)
    command.add_argument("--objects", type=positive, default=6000, help="how many (6000)")
    command.add_argument("--dwarfs", type=float, default=0.03, help="share of dwarf galaxies (0.03)")
    command.add_argument("--seed", type=int, default=1)

    command = add(ingest, survey=False)
    command.add_argument(
        "source", type=Path, metavar="SOURCE", help="folder of images or FITS, an HDF5, Zarr, npz or FITS file, a table"
    )
    command.add_argument("survey", type=Path, metavar="SURVEY", help="folder to make")
    command.add_argument("--catalogue", type=Path, help="table to join: CSV, Parquet, FITS, VOTable, ECSV, HATS")
    command.add_argument("--id-column", help="column of the catalogue that holds the ids")
    command.add_argument("--join", choices=WAYS, default="auto", help="by id, by position, or by id and then position")
    command.add_argument("--radius", type=float, default=RADIUS, help=f"to match positions within, arcsec ({RADIUS:g})")
    command.add_argument("--name", help="what to call the survey")
    command.add_argument("--dataset", help="HDF5 dataset that holds the images")
    command.add_argument("--bands", nargs="+", help="names of the bands, in order")
    command.add_argument("--size", type=positive, help="side of the boxes cut from mosaics, pixels")
    command.add_argument(
        "--fit",
        choices=FITS_BY,
        default="resample",
        help="cutouts of different sizes are scaled (resample), cut to their middle, or padded",
    )
    command.add_argument("--side", type=positive, help="with --fit crop or pad: pixels a side")
    command.add_argument("--dry-run", action="store_true", help="say what would happen, write nothing")
    command.add_argument("--samples", type=int, default=0, metavar="N", help="with --json: N pictures in the document")

    command = add(stretch)
    command.add_argument(
        "--set", metavar="SETTINGS", help="what to change, such as 'curve=log,smooth=1.5,rgb=i r g'; the rest stays"
    )
    command.add_argument("--reset", action="store_true", help="begin from the default")

    add(status)

    add(doctor)


def simulate(args, progress: Progress) -> Outcome:
    """Make a simulated survey, with known truth."""
    from engine.data.simulation.simulate import simulate as make

    survey = make(args.survey, args.objects, seed=args.seed, dwarf_fraction=args.dwarfs, progress=progress)
    return (
        {"survey": str(survey.path), "objects": len(survey)},
        f"Simulated {len(survey):,} objects in {survey.path}. Next: python -m engine embed {survey.path}",
    )


def ingest(args, progress: Progress) -> Outcome:
    """Make a survey of a folder or file of cutouts, without copying them."""
    from engine.data.ingest import ingest as make
    from engine.data.ingest import samples

    found = make(
        args.source,
        args.survey,
        catalogue=args.catalogue,
        id_column=args.id_column,
        name=args.name,
        dataset=args.dataset,
        bands=args.bands,
        size=args.size,
        fit=args.fit,
        side=args.side,
        join=args.join,
        radius=args.radius,
        dry_run=args.dry_run,
        progress=progress,
    )
    report = found.report
    if args.samples:
        shown = samples(found.draft, args.samples)
        report |= {"samples": [{"id": i, "jpeg": base64.b64encode(picture).decode()} for i, picture in shown]}
    return report, found.text()


def stretch(args, progress: Progress) -> Outcome:
    """Say how a survey's pictures are drawn, or set it and draw the thumbnails anew."""
    from engine.data.pictures.stretch import DEFAULT, Stretch
    from engine.encoders.embed import draw_thumbnails

    survey = Survey.open(args.survey)
    if args.set is not None or args.reset:
        base = DEFAULT if args.reset else survey.stretch
        wanted = Stretch.from_text(args.set or "", base=base)
        wanted.require_bands(survey.bands)
        survey.store_header("stretch", wanted.header())
        draw_thumbnails(survey, progress=progress)
    text = survey.stretch.text()
    return (
        {"survey": str(survey.path), "stretch": text, "thumbnails": survey.thumbnails.shows(survey.stretch)},
        f"Stretch: {text or 'the default'}",
    )


def status(args, progress: Progress) -> Outcome:
    """Say what a survey has, and what to do next."""
    survey = Survey.open(args.survey)
    labels = survey.labels.targets()
    facts: dict = {
        "survey": str(survey.path),
        "name": survey.name,
        "objects": len(survey),
        "bands": list(survey.bands),
        "representations": survey.representations,
        "layouts": survey.layouts,
        "clusters": survey.clusters,
        "scores": survey.scores,
        "labels": labels,
        "thumbnails": survey.thumbnails.complete,
    }
    if not facts["representations"] and not facts["layouts"] and not survey.bands:
        facts["next"] = f"python -m engine embed {survey.path} --vectors FILE"
    elif not facts["representations"] and survey.bands:
        facts["next"] = f"python -m engine embed {survey.path}"
    elif not facts["layouts"]:
        facts["next"] = f"python -m engine layout {survey.path}"
    else:
        facts["next"] = f"python launch.py {survey.path}"
    lines = [
        f"{survey.name}: {len(survey):,} objects, {' '.join(('bands', *survey.bands)) if survey.bands else 'no pixels'}"
    ]
    for key in ("representations", "layouts", "clusters", "scores"):
        lines.append(f"{key:16} {', '.join(facts[key]) or 'none'}")
    for target, counts in labels.items():
        lines.append(
            f"labels           {target}: " + ", ".join(f"{count:,} {value}" for value, count in counts.items())
        )
    lines.append(f"next             {facts['next']}")
    return facts, "\n".join(lines)


def doctor(args, progress: Progress) -> Outcome:
    """Check a survey folder and say what to do about each fault. Changes nothing."""
    from engine.doctor import diagnose

    faults = diagnose(args.survey)
    words = (
        "\n".join(f"{f.severity}: {f.what} ({f.where}): {f.remedy}." for f in faults) or f"{args.survey} is in order."
    )
    facts: dict = {"survey": str(args.survey), "faults": [vars(f) | {"where": str(f.where)} for f in faults]}
    if any(f.severity == "error" for f in faults):
        facts["exit"] = 1
    return facts, words
