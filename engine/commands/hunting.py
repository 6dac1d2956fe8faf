"""Commands of the hunt: labels, what to label next."""

from __future__ import annotations

from engine.commands.arguments import Add, Outcome, positive, table
from engine.errors import UserError
from engine.jobs import Progress
from engine.survey import Survey


def register(add: Add) -> None:
    """Add these commands to the parser."""
    command = add(label)
    command.add_argument(
        "labels", nargs="*", metavar="ID=VALUE", help="VALUE is yes, no, unsure, a class or a rating 0-5"
    )
    command.add_argument("--target", required=True, help="what is hunted, such as dwarf")
    command.add_argument("--user", default="cli")
    command.add_argument("--comment")
    command.add_argument("--undo", action="store_true", help="take the user's last labels back")
    command.add_argument("--redo", action="store_true", help="give again what was taken back last")

    command = add(suggest)
    command.add_argument("--target", required=True)
    command.add_argument("--count", type=positive, default=10)
    command.add_argument("--representation")


def label(args, progress: Progress) -> Outcome:
    """Label objects for a target, undo or redo."""
    survey = Survey.open(args.survey)
    if args.redo:
        again = survey.labels.redo(args.user, args.target)
        if again is None:
            raise UserError(f"{args.user} has no undo to take back for {args.target!r}", "check --user and --target")
        return {"redone": len(again.rows)}, f"Gave {len(again.rows):,} labels again."
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
    return table(found.drop(columns="row"))


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.rpartition("=")
    if not equals or not name or not value:
        raise UserError(f"{text!r} is no label", "give objects as ID=yes, ID=no or ID=unsure")
    return name, value
