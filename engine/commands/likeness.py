"""Commands that search by likeness."""

from __future__ import annotations

from engine.commands.arguments import Add, Outcome, positive, table
from engine.errors import UserError
from engine.jobs import Progress
from engine.survey import Survey


def register(add: Add) -> None:
    """Add these commands to the parser."""
    command = add(similar)
    command.add_argument("ids", nargs="*", metavar="ID", help="objects to be like")
    command.add_argument("--like", nargs="+", default=[], metavar="ID", help="the same, after other options")
    command.add_argument("--unlike", nargs="+", default=[], metavar="ID", help="objects to be unlike")
    command.add_argument("--image", metavar="FILE", help="a picture or FITS file to be like")
    command.add_argument(
        "--region", nargs=5, metavar=("ID", "X0", "Y0", "X1", "Y1"), help="a part of an object's cutout, pixels"
    )
    command.add_argument("--near", metavar="'RA DEC'", help="be like the object nearest to a place; deg or sexagesimal")
    command.add_argument("--radius", type=float, default=60.0, help="how near that must be, arcsec (60)")
    command.add_argument("--top", type=positive, default=25)
    command.add_argument("--within", metavar="SELECTION", help="search among the objects of a kept selection")
    command.add_argument("--query", default="", help="search among what meets a condition, such as 'snr > 10'")
    command.add_argument("--unlabelled", default="", metavar="TARGET", help="leave out what has a label for a target")
    command.add_argument(
        "--min-separation",
        type=float,
        default=0.0,
        metavar="ARCSEC",
        help="of objects closer together on the sky only the one most alike",
    )
    command.add_argument("--augment", action="store_true", help="see the objects asked for in their eight positions")
    command.add_argument("--features", choices=("components", "vectors"), default="components")
    command.add_argument("--save", metavar="NAME", help="keep the result as a selection")
    command.add_argument("--representation")


def similar(args, progress: Progress) -> Outcome:
    """Rank objects by likeness to some objects, an image, a region or a place, and unlikeness to others."""
    survey = Survey.open(args.survey)
    found = survey.similar(
        [*args.ids, *args.like],
        unlike=args.unlike,
        image=args.image,
        region=_region(args.region),
        near=_place(args.near),
        radius=args.radius,
        within=_within(survey, args.within),
        **{
            name: getattr(args, name)
            for name in ("top", "query", "unlabelled", "min_separation", "augment", "features", "representation")
        },
    )
    if args.save:
        _keep(survey, args, list(found["id"]))
    data, text = table(found)
    return data, "\n".join([*(f"Note: {note}" for note in found.attrs["notes"]), text])


def _region(given: list[str] | None) -> tuple[str, float, float, float, float] | None:
    if given is None:
        return None
    try:
        x0, y0, x1, y1 = map(float, given[1:])
    except ValueError as error:
        raise UserError(
            f"{' '.join(given[1:])} are no corners of a region", "give ID X0 Y0 X1 Y1, in pixels"
        ) from error
    return given[0], x0, y0, x1, y1


def _place(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    from engine.search.find import read_place

    place = read_place(text)
    if place is None:
        raise UserError(
            f"{text!r} is no place on the sky", "give 'RA DEC', such as '150.11 2.20' or '10:00:26 +02:12:00'"
        )
    return place.ra, place.dec


def _within(survey: Survey, name: str | None):
    from engine.search.selections import load

    return None if name is None else load(survey, name).rows


def _keep(survey: Survey, args, ids: list[str]) -> None:
    """Keep what was found as a selection that says what it is like."""
    from engine.search import selections
    from engine.search.likeness.origin import origin

    how = origin(
        [*args.ids, *args.like],
        args.unlike,
        others=[text for text in (args.image, args.region and f"part of {args.region[0]}", args.near) if text],
        count=len(ids),
        representation=args.representation,
        query=args.query,
        min_separation=args.min_separation,
        features=args.features,
        whole=not (args.within or args.unlabelled or args.augment),
    )
    selections.save(survey, selections.Selection.of(args.save, survey.rows(ids), how=how))
