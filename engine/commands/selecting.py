"""Commands that select, and keep what is selected."""

from __future__ import annotations

import argparse

from engine.commands.arguments import Add, Outcome, positive
from engine.errors import UserError
from engine.jobs import Progress
from engine.survey import Survey


def register(add: Add) -> None:
    """Add these commands to the parser."""
    command = add(select)
    command.add_argument("query", nargs="?", metavar="QUERY", help="such as 'mag_r < 22 and mean_dwarf > 0.5'")
    for step, help_ in (
        ("add", "what is there or here"),
        ("subtract", "what is not here"),
        ("intersect", "what is there and here"),
    ):
        command.add_argument(f"--{step}", action=_Step, metavar="QUERY", help=help_)
    command.add_argument("--invert", action=_Step, nargs=0, help="all other objects")
    command.add_argument("--grow", action=_Step, type=positive, metavar="K", help="and the K nearest of every member")
    command.add_argument(
        "--shrink", action=_Step, type=positive, metavar="K", help="only members whose K nearest are mostly members"
    )
    command.add_argument("--hops", type=positive, default=1, help="how often --grow grows (1)")
    command.add_argument("--share", type=float, default=0.5, help="of the neighbours, for --shrink (0.5)")
    command.add_argument("--representation", help="whose neighbours (the newest)")
    command.add_argument("--name", help="keep the selection under this name")
    command.add_argument("--colour", default="", metavar="#RRGGBB", help="and draw it in this colour")
    command.set_defaults(steps=[])

    command = add(selections)
    command.add_argument("--rename", nargs=2, action="append", default=[], metavar=("NAME", "TO"))
    command.add_argument("--colour", nargs=2, action="append", default=[], metavar=("NAME", "#RRGGBB"))
    command.add_argument("--delete", action="append", default=[], metavar="NAME")


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


def _numbers(step: str, given, args) -> str | dict:
    """What a step of `select` is told: an operand, or numbers."""
    numbers: dict[str, dict] = {
        "invert": {},
        "grow": {"k": given, "hops": args.hops},
        "shrink": {"k": given, "share": args.share},
    }
    return numbers.get(step, given)


class _Step(argparse.Action):
    """Remembers steps in the order in which they are written, whichever options they are."""

    def __call__(self, parser, namespace, values, option=None):
        namespace.steps = [*namespace.steps, (self.dest, values)]
