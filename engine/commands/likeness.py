"""Commands that search by likeness."""

from __future__ import annotations

from engine.commands.arguments import Add, Outcome, positive, table
from engine.jobs import Progress
from engine.survey import Survey


def register(add: Add) -> None:
    """Add these commands to the parser."""
    command = add(similar)
    command.add_argument("ids", nargs="+", metavar="ID")
    command.add_argument("--unlike", nargs="+", default=[], metavar="ID")
    command.add_argument("--top", type=positive, default=25)
    command.add_argument("--representation")


def similar(args, progress: Progress) -> Outcome:
    """Rank objects by likeness to some, and unlikeness to others."""
    found = Survey.open(args.survey).similar(
        args.ids, unlike=args.unlike, top=args.top, representation=args.representation
    )
    return table(found)
