"""Commands that write what others open: tables and pictures."""

from __future__ import annotations

from pathlib import Path

from engine.commands.arguments import Add, Outcome, positive, positive_number
from engine.errors import UserError
from engine.jobs import Progress
from engine.survey import Survey


def register(add: Add) -> None:
    """Add these commands to the parser."""
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
    command.add_argument("--size", type=positive, default=256, help="pixels a side (256)")
    command.add_argument("--sheet", action="store_true", help="all on one sheet, with their ids")
    command.add_argument("--out", type=Path, metavar="PLACE", help="the same as PLACE")
    command.add_argument(
        "--map", metavar="LAYOUT", help="the map of galaxies: a layout, drawn with its most typical ones"
    )
    command.add_argument("--width", type=positive, default=6000, help="of the map, pixels (6000)")
    command.add_argument("--cell", type=positive, default=96, help="of a picture on the map, pixels (96)")
    command.add_argument(
        "--arrange", default="grid", help="grid: side by side; true: where the objects are, none over another"
    )
    command.add_argument("--ground", default="black", help="of the map: black or white")
    command.add_argument(
        "--background", "--colour-background", default="none", help="of the map: none, or density under the pictures"
    )
    command.add_argument("--dpi", type=positive_number, default=300.0, help="of the map in print (300)")
    command.add_argument("--overwrite", action="store_true")


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
