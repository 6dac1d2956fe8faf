"""The command line: one function a command, each a few lines around one call of the library.

Results go to stdout, as text for people or as one JSON document with ``--json``; progress goes to stderr. Exit status: 0 done,
1 a fault found (`doctor`) or a defect of this program, 2 a user's error (printed with its remedy), 130 cancelled by Ctrl-C,
143 cancelled by a signal; what was finished before is kept and used again by the next run.
"""

from __future__ import annotations

import argparse
import base64
import json
import shlex
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from engine.data.crossmatch import RADIUS, WAYS
from engine.data.fitting import FITS_BY
from engine.errors import UserError
from engine.jobs import Progress, Reporter, silent
from engine.survey import Survey, version

#: A command returns what it did, for --json, and the same in words.
Outcome = tuple[dict, str]


class Cancelled(BaseException):
    """SIGTERM arrived: leave as on Ctrl-C, so that temporary files are removed on the way."""


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


def _adopt(survey: Survey, args, progress: Progress) -> Outcome:
    """Take vectors from a file instead of making them."""
    from engine.encoders.embed import draw_thumbnails
    from engine.encoders.vectors import adopt

    report = adopt(
        survey, args.vectors, id_column=args.id_column, columns=args.columns, name=args.name, progress=progress
    )
    draw_thumbnails(survey, progress=progress)
    return vars(report), f"{report.text()} Next: python -m engine layout {survey.path}"


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


def layout(args, progress: Progress) -> Outcome:
    """Place the objects on a map, say what that would take, or place what is new on a map that is there."""
    survey = Survey.open(args.survey)
    options = {
        key: getattr(args, key)
        for key in ("neighbours", "min_dist", "perplexity", "sample", "seed", "projection", "centre", "columns", "log")
        if getattr(args, key) is not None
    }
    if args.estimate:
        return _estimated(survey, args, options)
    if args.place is not None:
        from engine.maps.newcomers import place

        source = Survey.open(args.source) if args.source else None
        placed = place(survey, args.place, source=source, progress=progress)
        return {"layout": args.place, "placed": placed}, f"Layout {args.place!r}: {placed:,} more objects placed."
    xy = survey.layout(
        args.method,
        representation=args.representation,
        name=args.name,
        preview=args.preview,
        progress=progress,
        **options,
    )
    name, placed = survey.layouts[0], int(np.isfinite(xy).all(axis=1).sum())
    return (
        {"layout": name, "placed": placed},
        f"Layout {name!r}: {placed:,} objects placed. Next: python launch.py {survey.path}",
    )


def _estimated(survey: Survey, args, options: dict) -> Outcome:
    from engine.maps.estimates import estimate_survey
    from engine.maps.layout import checked

    found = estimate_survey(
        survey, args.method, representation=args.representation, settings=checked(args.method, options)
    )
    facts = {**vars(found), "fits": found.fits, "words": found.words}
    words = f"{args.method}: {found.words}"
    if found.sampled:
        words += f", fitted on a sample of {found.fitted:,}"
    return facts, words if found.fits else f"{words}. The memory will not suffice: give --sample a smaller number."


def clusters(args, progress: Progress) -> Outcome:
    """Find clusters on a layout or in a representation, and name them; list, rename or delete those there are."""
    from engine.maps import clusters as kept

    survey = Survey.open(args.survey)
    if args.list:
        return _clusterings([kept.read(survey, name) for name in survey.clusters])
    if args.rename or args.delete:
        if not args.name and len(survey.clusters) != 1:
            raise UserError("there are several clusterings, or none", "say which with --name; `--list` shows them")
        name = args.name or survey.clusters[0]
        if args.delete:
            kept.delete(survey, name)
            return {"deleted": name}, f"Deleted the clustering {name!r}."
        found = kept.rename(survey, name, args.rename[0], args.rename[1])
        return _clusterings([found])
    names = ("layout", "representation", "name", "min_size", "min_samples", "choice", "k", "seed")
    made = survey.cluster(args.method, **{name: getattr(args, name) for name in names}, progress=progress)
    facts, words = _clusterings([made])
    lost = f" Names that fit no cluster any more: {', '.join(made.meta['lost'])}." if made.meta["lost"] else ""
    return facts["clusterings"][0] | {"lost": made.meta["lost"]}, words + lost


def _clusterings(found) -> Outcome:
    """What there is of clusterings, as facts and in words."""
    facts: list[dict] = []
    lines = [] if found else ["No clusters yet."]
    for each in found:
        listed = [{"code": c.code, "count": c.count, "name": c.name, "own": c.own, "why": c.why} for c in each.clusters]
        meta = {key: value for key, value in each.meta.items() if key != "lost"}
        facts.append({"name": each.name, "clusters": listed, "none": each.none, **meta})
        lines.append(f"{each.name}: {len(each):,} clusters, {each.none:,} objects in none ({each.meta['words']})")
        lines += [f"  {c.code:4}  {c.count:>10,}  {c.name}" for c in each.clusters[:50]]
        if len(each) > 50:
            lines.append(f"  … and {len(each) - 50:,} smaller ones")
        if not each.clusters:
            lines.append("  No cluster was found: try a smaller --min-size, or --method kmeans")
    return {"clusterings": facts}, "\n".join(lines)


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


def similar(args, progress: Progress) -> Outcome:
    """Rank objects by likeness to some, and unlikeness to others."""
    found = Survey.open(args.survey).similar(
        args.ids, unlike=args.unlike, top=args.top, representation=args.representation
    )
    return _table(found)


def label(args, progress: Progress) -> Outcome:
    """Label objects for a target, or undo."""
    survey = Survey.open(args.survey)
    if args.undo:
        undone = survey.labels.undo(args.user, args.target)
        if undone is None:
            raise UserError(f"{args.user} has no label to undo for {args.target!r}", "check --user and --target")
        return {"undone": len(undone.rows)}, f"Undid {len(undone.rows):,} labels."
    pairs = [_pair(text) for text in args.labels]
    if not pairs:
        raise UserError("there is nothing to label", "give objects as ID=yes, ID=no or ID=unsure")
    by_value: dict[str, list[str]] = {}
    for name, value in pairs:
        by_value.setdefault(value, []).append(name)
    rows = {value: survey.rows(ids) for value, ids in by_value.items()}  # every id is checked before one is written
    for value, ids in by_value.items():
        survey.labels.add(rows[value], args.target, value, ids=ids, user=args.user, comment=args.comment)
    return {"labelled": len(pairs), "target": args.target}, f"Labelled {len(pairs):,} objects for {args.target!r}."


def suggest(args, progress: Progress) -> Outcome:
    """Show the objects most worth labelling next, by a Gaussian process on the labels so far."""
    hunt = Survey.open(args.survey).interest(args.target, representation=args.representation)
    found = hunt.suggest(args.count)
    hunt.store()
    return _table(found.drop(columns="row"))


def select(args, progress: Progress) -> Outcome:
    """Select objects by a query, an id, a place on the sky or a kept selection, in steps, and keep them under a name.

    QUERY and the operands of --add, --subtract and --intersect are a condition, ids, a place such as '150.1 2.2 30 arcsec',
    @NAME for a kept selection, or @LAYOUT:FILE.json for an outline. Steps are taken in the order they are written.
    """
    from engine.search import origins, selections
    from engine.search.steps import spell

    survey = Survey.open(args.survey)
    if args.query is None and not args.steps:
        raise UserError("there is nothing to select by", "give a query, or steps such as --add and --grow")
    steps = [(step, _numbers(step, given, args)) for step, given in args.steps]
    found = spell(survey, args.query, steps, representation=args.representation, progress=progress)
    if args.name:
        kept = selections.Selection.of(args.name, found.rows, how=found.how, colour=args.colour)
        selections.save(survey, kept)
    return (
        {
            "selected": len(found.rows),
            "name": args.name,
            "how": origins.words(found.how),
            "ids": survey.ids.take(found.rows[:1000]).to_pylist(),
        },
        f"{len(found.rows):,} of {len(survey):,} objects" + (f", kept as {args.name!r}." if args.name else "."),
    )


def _numbers(step: str, given, args) -> str | dict:
    """What a step of `select` is told: an operand, or numbers."""
    numbers: dict[str, dict] = {
        "invert": {},
        "grow": {"k": given, "hops": args.hops},
        "shrink": {"k": given, "share": args.share},
    }
    return numbers.get(step, given)


def selections(args, progress: Progress) -> Outcome:
    """List the kept selections, and rename, recolour or delete some of them."""
    from engine.search import origins
    from engine.search import selections as kept

    survey = Survey.open(args.survey)
    for name, colour in args.colour:
        kept.recolour(survey, name, colour)
    for name, to in args.rename:
        kept.rename(survey, name, to)
    for name in args.delete:
        kept.delete(survey, name)
    found = [vars(s) | {"how": origins.words(s.how)} for s in kept.listing(survey, damaged=True)]
    lines = [f"{s['name']:24} {s['problem'] or format(s['count'], ',')}  {s['how']}".rstrip() for s in found]
    return {"selections": found}, "\n".join(lines) or "No selection is kept yet."


def neighbours(args, progress: Progress) -> Outcome:
    """Find the nearest neighbours of every object, which layouts share, and by which selections grow and shrink."""
    from engine.maps.neighbours import neighbours as find

    survey = Survey.open(args.survey)
    graph = find(survey, args.representation, k=args.k, progress=progress)
    return (
        {"objects": len(graph.indices), "k": graph.k},
        f"The {graph.k} nearest neighbours of {len(graph.indices):,} objects are known.",
    )


def export(args, progress: Progress) -> Outcome:
    """Write a catalogue: FITS, VOTable, Parquet, ECSV or CSV, by the file's suffix."""
    path = Survey.open(args.survey).export(
        args.file,
        query=args.query,
        selection=args.selection,
        target=args.target,
        ranking=args.ranking,
        overwrite=args.overwrite,
    )
    return {"file": str(path)}, f"Wrote {path}."


def pictures(args, progress: Progress) -> Outcome:
    """Write pictures of objects as PNG: one file each in a folder, a sheet of all of them, or the map of galaxies."""
    from engine.data.pictures.stretch import Stretch
    from engine.share.pictures import write_pictures

    survey = Survey.open(args.survey)
    place = args.place or args.out
    if place is None:
        raise UserError("it is not said where the pictures go", "name a folder, or a file that ends in .png")
    stretch = Stretch.from_text(args.stretch, base=survey.stretch) if args.stretch is not None else None
    if args.map is not None:
        return _galaxy_map(survey, place, stretch, args, progress)
    written = write_pictures(
        survey,
        place,
        rows=survey.rows(args.ids) if args.ids else None,
        query=args.query,
        selection=args.selection,
        stretch=stretch,
        size=args.size,
        sheet=args.sheet,
        overwrite=args.overwrite,
        progress=progress,
    )
    return written.facts(), written.text()


def _galaxy_map(survey: Survey, place: Path, stretch, args, progress: Progress) -> Outcome:
    from engine.share.galaxy_map import write_galaxy_map

    if args.ids or args.query or args.selection or args.sheet:
        raise UserError("a map of galaxies shows a whole layout", "leave --ids, --query, --selection and --sheet out")
    written = write_galaxy_map(
        survey,
        place,
        layout=args.map,
        width=args.width,
        cell=args.cell,
        arrangement=args.arrange,
        ground=args.ground,
        background=args.background,
        stretch=stretch,
        dpi=args.dpi,
        overwrite=args.overwrite,
        progress=progress,
    )
    return written.facts(), written.text()


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


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.rpartition("=")
    if not equals or not name or not value:
        raise UserError(f"{text!r} is no label", "give objects as ID=yes, ID=no or ID=unsure")
    return name, value


def _table(found) -> Outcome:
    return {"objects": json.loads(found.to_json(orient="records"))}, found.to_string(index=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engine", description="Sift a sky survey for what is rare.")
    parser.add_argument("--version", action="version", version=f"skysieve {version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(run: Callable, *, survey: bool = True) -> argparse.ArgumentParser:
        words = (run.__doc__ or "").strip()
        command = commands.add_parser(run.__name__, help=words.splitlines()[0], description=words)
        command.set_defaults(run=run)
        command.add_argument("--json", action="store_true", help="print one JSON document on stdout")
        command.add_argument(
            "--progress", choices=["auto", "json", "none"], default="auto", help="how progress is written to stderr"
        )
        if survey:
            command.add_argument("survey", type=Path, metavar="SURVEY", help="the survey's folder")
        return command

    command = add(simulate)
    command.add_argument("--objects", type=_positive, default=6000, help="how many (6000)")
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
    command.add_argument("--size", type=_positive, help="side of the boxes cut from mosaics, pixels")
    command.add_argument(
        "--fit",
        choices=FITS_BY,
        default="resample",
        help="cutouts of different sizes are scaled (resample), cut to their middle, or padded",
    )
    command.add_argument("--side", type=_positive, help="with --fit crop or pad: pixels a side")
    command.add_argument("--dry-run", action="store_true", help="say what would happen, write nothing")
    command.add_argument("--samples", type=int, default=0, metavar="N", help="with --json: N pictures in the document")

    command = add(embed)
    command.add_argument(
        "--encoder",
        default="skysieve-base",
        help="one that `encoders` lists, hf:NAME_OR_DIR, timm:NAME_OR_DIR, a .pt or .onnx file, the folder of a training",
    )
    command.add_argument("--name", help="what to call the representation (the encoder's name)")
    command.add_argument("--size", type=_positive, help="pixels a side, for a foreign network that takes several")
    command.add_argument("--vectors", type=Path, help="take vectors from a file instead: npy, Parquet, CSV, HDF5, FITS")
    command.add_argument("--id-column", help="with --vectors: its column of ids")
    command.add_argument("--columns", nargs="+", help="with --vectors: its columns of numbers, such as 'pca_*'")
    command.add_argument("--device", help="cuda, mps or cpu")
    command.add_argument("--batch", type=_positive, help="objects at a time")

    command = add(encoders, survey=False)
    command.add_argument("survey", type=Path, nargs="?", metavar="SURVEY", help="list those trained on it, too")

    command = add(stretch)
    command.add_argument(
        "--set", metavar="SETTINGS", help="what to change, such as 'curve=log,smooth=1.5,rgb=i r g'; the rest stays"
    )
    command.add_argument("--reset", action="store_true", help="begin from the default")

    command = add(layout)
    command.add_argument("--method", default="umap", help="umap, densmap, tsne, pca, columns or sky (umap)")
    command.add_argument("--representation", help="the newest if not given")
    command.add_argument("--name", help="what to call it; what has that name is replaced")
    command.add_argument("--neighbours", type=_positive, help="umap, densmap: objects in a neighbourhood (15)")
    command.add_argument("--min-dist", type=float, help="umap, densmap: how close points may come, 0-1 (0.1)")
    command.add_argument("--perplexity", type=_positive_number, help="tsne: effective number of neighbours (30)")
    command.add_argument("--sample", type=int, help="fit on so many, place the rest among them; 0: all")
    command.add_argument("--columns", nargs=2, metavar=("X", "Y"), help="two columns to use, with --method columns")
    command.add_argument("--log", nargs="+", choices=["x", "y"], help="columns: axes to take the logarithm of")
    command.add_argument("--projection", choices=["auto", "aitoff", "tangent"], help="sky: by the extent if not given")
    command.add_argument("--centre", nargs=2, type=float, metavar=("RA", "DEC"), help="sky: what is in the middle, deg")
    command.add_argument("--seed", type=int)
    command.add_argument("--estimate", action="store_true", help="say what it would take, make nothing")
    command.add_argument("--preview", action="store_true", help="write the positions now and then as they grow")
    command.add_argument("--place", metavar="LAYOUT", help="place what has no position in this layout yet")
    command.add_argument("--source", type=Path, metavar="SURVEY", help="with --place: the survey that has the layout")

    command = add(clusters)
    command.add_argument("--method", default="hdbscan", help="hdbscan (dense regions) or kmeans (k parts) (hdbscan)")
    command.add_argument("--layout", help="where to look; the newest, for hdbscan")
    command.add_argument("--representation", help="where to look instead; the newest, for kmeans")
    command.add_argument("--name", help="what to call the clustering (METHOD_SOURCE)")
    command.add_argument(
        "--min-size", type=_positive, help="hdbscan: objects in the smallest cluster (the root of all)"
    )
    command.add_argument(
        "--min-samples", type=_positive, default=10, help="hdbscan: objects that make a place dense (10)"
    )
    command.add_argument(
        "--choice", choices=["stable", "finest"], default="stable", help="hdbscan: which of its clusters (stable)"
    )
    command.add_argument("--k", type=_positive, help="kmeans: how many clusters (12, fewer in small surveys)")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--list", action="store_true", help="list what there is")
    command.add_argument(
        "--rename", nargs=2, metavar=("CODE", "TEXT"), action=_Rename, help="name a cluster; '' undoes it"
    )
    command.add_argument("--delete", action="store_true", help="remove the clustering of --name")

    command = add(train)
    command.add_argument("--method", default="simmim", help="simmim, mae, byol, dino, vae or votes (simmim)")
    command.add_argument("--name", help="what to call the encoder (the method's name)")
    command.add_argument("--steps", type=_positive, help="batches to learn from (2000)")
    command.add_argument("--minutes", type=_positive_number, help="instead: as many as fit")
    command.add_argument("--backbone", help="vit-tiny, vit-small or convnet (what suits the method)")
    command.add_argument("--size", type=_positive, default=64, help="pixels a side (64)")
    command.add_argument("--batch", type=_positive, help="cutouts of a step")
    command.add_argument("--rate", type=_positive_number, help="largest learning rate")
    command.add_argument("--decay", type=float, help="weight decay")
    command.add_argument("--seed", type=int, default=1)
    command.add_argument("--device", help="cuda, mps or cpu")
    command.add_argument("--targets", nargs="+", default=[], metavar="COLUMN", help="what --method votes learns")
    command.add_argument("--linear", action="store_true", help="no asinh of the signal-to-noise")
    command.add_argument("--objects", type=_positive, help="learn from a random sample of so many")
    command.add_argument(
        "--checkpoint-seconds", type=_positive_number, default=120.0, help="time between checkpoints (120)"
    )

    command = add(finetune)
    command.add_argument("--target", help="whose labels to learn, and what the scores are called")
    command.add_argument(
        "--column", help="learn a catalogue column, or a condition such as 'z > 0.1', instead of labels"
    )
    command.add_argument("--kind", choices=["verdict", "classes", "number"], help="how to take the column")
    command.add_argument("--encoder", default="skysieve-base", help="what to start from, as for embed (skysieve-base)")
    command.add_argument("--name", help="of the result; TARGET-1, TARGET-2, … if not given")
    command.add_argument("--epochs", type=_positive, help="by the number of labels if not given")
    command.add_argument("--folds", type=_positive, help="1: a fifth is left out; n: every object is, in n parts")
    command.add_argument("--batch", type=_positive, help="objects a step (32)")
    command.add_argument("--rate", type=float, help="learning rate of the head (0.0001); layers below have less")
    command.add_argument("--dropout", type=float, help="before the head (0.5)")
    command.add_argument(
        "--augmentation",
        choices=["turn", "disturb", "none"],
        help="what happens to cutouts (disturb; turn, for numbers)",
    )
    command.add_argument("--objects", type=_positive, help="to learn from, at most (20,000)")
    command.add_argument("--seed", type=int)
    command.add_argument("--device", help="cuda, mps or cpu")
    command.add_argument("--no-scores", action="store_true", help="make the encoder and the classifier only")

    command = add(similar)
    command.add_argument("ids", nargs="+", metavar="ID")
    command.add_argument("--unlike", nargs="+", default=[], metavar="ID")
    command.add_argument("--top", type=_positive, default=25)
    command.add_argument("--representation")

    command = add(label)
    command.add_argument(
        "labels", nargs="*", metavar="ID=VALUE", help="VALUE is yes, no, unsure, a class or a rating 0-5"
    )
    command.add_argument("--target", required=True, help="what is hunted, such as dwarf")
    command.add_argument("--user", default="cli")
    command.add_argument("--comment")
    command.add_argument("--undo", action="store_true", help="take the user's last labels back")

    command = add(suggest)
    command.add_argument("--target", required=True)
    command.add_argument("--count", type=_positive, default=10)
    command.add_argument("--representation")

    command = add(select)
    command.add_argument("query", nargs="?", metavar="QUERY", help="such as 'mag_r < 22 and mean_dwarf > 0.5'")
    for step, help_ in (
        ("add", "what is there or here"),
        ("subtract", "what is not here"),
        ("intersect", "what is there and here"),
    ):
        command.add_argument(f"--{step}", action=_Step, metavar="QUERY", help=help_)
    command.add_argument("--invert", action=_Step, nargs=0, help="all other objects")
    command.add_argument("--grow", action=_Step, type=_positive, metavar="K", help="and the K nearest of every member")
    command.add_argument(
        "--shrink", action=_Step, type=_positive, metavar="K", help="only members whose K nearest are mostly members"
    )
    command.add_argument("--hops", type=_positive, default=1, help="how often --grow grows (1)")
    command.add_argument("--share", type=float, default=0.5, help="of the neighbours, for --shrink (0.5)")
    command.add_argument("--representation", help="whose neighbours (the newest)")
    command.add_argument("--name", help="keep the selection under this name")
    command.add_argument("--colour", default="", metavar="#RRGGBB", help="and draw it in this colour")
    command.set_defaults(steps=[])

    command = add(selections)
    command.add_argument("--rename", nargs=2, action="append", default=[], metavar=("NAME", "TO"))
    command.add_argument("--colour", nargs=2, action="append", default=[], metavar=("NAME", "#RRGGBB"))
    command.add_argument("--delete", action="append", default=[], metavar="NAME")

    command = add(neighbours)
    command.add_argument("--k", type=_positive, default=15, help="neighbours an object (15)")
    command.add_argument("--representation")

    command = add(export)
    command.add_argument("file", type=Path, metavar="FILE", help=".fits, .vot, .parquet, .ecsv or .csv")
    command.add_argument("--query", help="only objects that meet it")
    command.add_argument("--selection", help="only a kept selection")
    command.add_argument("--target", help="only this target's labels and scores")
    command.add_argument("--ranking", action="store_true", help="in the order of the target's posterior mean")
    command.add_argument("--overwrite", action="store_true")

    command = add(pictures)
    command.add_argument(
        "place",
        type=Path,
        nargs="?",
        metavar="PLACE",
        help="a folder, or a file .png for one picture, a sheet or a map",
    )
    command.add_argument("--ids", nargs="+", metavar="ID", help="only these objects")
    command.add_argument("--query", help="only objects that meet it")
    command.add_argument("--selection", help="only a kept selection")
    command.add_argument(
        "--stretch", metavar="SETTINGS", help="beside the survey's own, such as 'curve=log,smooth=1.5'"
    )
    command.add_argument("--size", type=_positive, default=256, help="pixels a side (256)")
    command.add_argument("--sheet", action="store_true", help="all on one sheet, with their ids")
    command.add_argument("--out", type=Path, metavar="PLACE", help="the same as PLACE")
    command.add_argument(
        "--map", metavar="LAYOUT", help="the map of galaxies: a layout, drawn with its most typical ones"
    )
    command.add_argument("--width", type=_positive, default=6000, help="of the map, pixels (6000)")
    command.add_argument("--cell", type=_positive, default=96, help="of a picture on the map, pixels (96)")
    command.add_argument(
        "--arrange", default="grid", help="grid: side by side; true: where the objects are, none over another"
    )
    command.add_argument("--ground", default="black", help="of the map: black or white")
    command.add_argument(
        "--background", "--colour-background", default="none", help="of the map: none, or density under the pictures"
    )
    command.add_argument("--dpi", type=_positive_number, default=300.0, help="of the map in print (300)")
    command.add_argument("--overwrite", action="store_true")

    add(status)
    add(doctor)
    return parser


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """Parse, and let labels stand before or after the options (argparse closes an optional list at the first option)."""
    parser = _parser()
    args, rest = parser.parse_known_args(given)
    if rest and args.command == "label" and not any(text.startswith("-") for text in rest):
        args.labels += rest
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return args


class _Step(argparse.Action):
    """Remembers steps in the order in which they are written, whichever options they are."""

    def __call__(self, parser, namespace, values, option=None):
        namespace.steps = [*namespace.steps, (self.dest, values)]


class _Rename(argparse.Action):
    """A number and a text."""

    def __call__(self, parser, namespace, values, option_string=None):
        code, text = values
        if not code.isdigit():
            parser.error(f"argument --rename: {code!r} is no cluster's number")
        setattr(namespace, self.dest, (int(code), text))


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _positive_number(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _reporter(mode: str) -> Progress:
    return silent if mode == "none" else Reporter(machine=mode == "json")


def _cancel(signum, frame):
    raise Cancelled


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    args = _arguments(arguments)
    progress = _reporter(args.progress)
    signal.signal(signal.SIGTERM, _cancel)
    started = time.monotonic()
    try:
        facts, words = args.run(args, progress)
    except UserError as error:
        return _fail(args, {"error": error.problem, "remedy": error.remedy}, f"error: {error}")
    except OSError as error:
        problem = f"{error.strerror or error} ({error.filename})" if error.filename else str(error)
        return _fail(
            args,
            {"error": problem, "remedy": "check the path, its permissions and the space left on the disk"},
            f"error: {problem}: check the path, its permissions and the space left on the disk.",
        )
    except KeyboardInterrupt:
        print("cancelled: what was finished is kept, run the same command to go on", file=sys.stderr)
        return 130
    except Cancelled:
        print("cancelled: what was finished is kept, run the same command to go on", file=sys.stderr)
        return 143
    finally:
        if isinstance(progress, Reporter):
            progress.finish()
    status = facts.pop("exit", 0)
    if not facts:  # a process of `torchrun` other than the first has nothing to say
        return status
    if args.json:
        print(json.dumps(facts | {"seconds": round(time.monotonic() - started, 3)}, ensure_ascii=False, default=str))
    else:
        print(words)
    return status


def _fail(args, facts: dict, words: str) -> int:
    if args.progress == "json":
        print(json.dumps(facts, ensure_ascii=False), file=sys.stderr, flush=True)
    else:
        print(words, file=sys.stderr, flush=True)
    if args.json:
        print(json.dumps(facts, ensure_ascii=False))
    return 2
