"""Commands of the hunt: targets, labels, what to label next and why."""

from __future__ import annotations

from dataclasses import asdict

from engine.commands.arguments import Add, Outcome, positive, share, table
from engine.errors import UserError
from engine.jobs import Progress
from engine.learning import steering
from engine.learning.acquisition import ACQUISITIONS
from engine.learning.batches import HOW
from engine.learning.targets import KINDS, Target, declare, names, read
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

    command.add_argument("--drawn", choices=HOW, help="why these objects were looked at, as `suggest` says")

    command = add(suggest)
    command.add_argument("--target", required=True)
    command.add_argument("--count", type=positive, default=10)
    command.add_argument("--representation")
    _add_steering(command)

    command = add(why)
    command.add_argument("id", metavar="ID")
    command.add_argument("--target", required=True)
    command.add_argument("--representation")
    command.add_argument("--count", type=positive, default=8, help="labelled neighbours to name")

    command = add(targets)
    command.add_argument("--declare", metavar="NAME", help="say how a target is labelled")
    command.add_argument("--kind", choices=KINDS, help="what it is labelled with; verdicts if not given")
    command.add_argument(
        "--classes", nargs="+", default=[], metavar="CLASS", help="2 to 9 classes of a target of kind classes"
    )


def _add_steering(command) -> None:
    """Choices about a batch. What is not given is as kept for the target, else by default."""
    command.add_argument("--acquisition", choices=ACQUISITIONS, help="what the best of a batch are by")
    command.add_argument(
        "--explore", type=share, metavar="SHARE", help="0 exploit … 1 explore: share drawn where least is known"
    )
    command.add_argument(
        "--surprise", type=share, metavar="SHARE", help="share drawn at random from all unlabelled objects"
    )
    command.add_argument("--batch", choices=steering.BATCHES, help="plain best, or none the twin of another")
    command.add_argument("--cold-start", choices=steering.COLD_STARTS, help="what is shown before anything was found")
    command.add_argument("--class", dest="hunted", metavar="CLASS", help="which class to find more of")
    command.add_argument("--artefact", metavar="TARGET", help="target whose objects are kept away ('' for none)")
    command.add_argument("--keep", action="store_true", help="keep these choices for the target")


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
        survey.labels.add(
            rows[value],
            args.target,
            value,
            ids=ids,
            user=args.user,
            comment=args.comment,
            view={"drawn": args.drawn} if args.drawn else None,
        )
    return {"labelled": len(pairs), "target": args.target}, f"Labelled {len(pairs):,} objects for {args.target!r}."


def suggest(args, progress: Progress) -> Outcome:
    """Show the objects most worth labelling next, by a Gaussian process on the labels so far."""
    survey = Survey.open(args.survey)
    choices = {name: getattr(args, name) for name in asdict(steering.Steering())}
    hunt = survey.interest(args.target, representation=args.representation, **choices)
    if args.hunted and args.hunted not in hunt.classes:
        known = ", ".join(hunt.classes)
        raise UserError(
            f"{args.target!r} has no class {args.hunted!r}",
            f"choose one of: {known}" if known else "declare its classes with the command targets",
        )
    if args.keep:
        steering.keep(survey, args.target, hunt.steering)
    found = hunt.suggest(args.count)
    if args.keep or not any(value is not None for value in choices.values()):  # else they are for this time only
        hunt.store()
    return table(found.drop(columns="row"))


def why(args, progress: Progress) -> Outcome:
    """Say why an object is where it is in the ranking: which labels pull it, and what its own label would change."""
    from engine.learning.reasons import reasons

    survey = Survey.open(args.survey)
    found = reasons(survey.interest(args.target, representation=args.representation), args.id, neighbours=args.count)
    return found.facts(), found.words()


def targets(args, progress: Progress) -> Outcome:
    """List what is hunted, with its labels; or say how a target is labelled."""
    survey = Survey.open(args.survey)
    if args.declare:
        declare(survey, Target(args.declare, args.kind or "verdicts", tuple(args.classes)))
    elif args.kind or args.classes:
        raise UserError("no target is named", "name it with --declare")
    counts = survey.labels.targets()
    listed = [{**asdict(read(survey, name)), "labels": counts.get(name, {})} for name in names(survey)]
    lines = [
        f"{said['name']}: {said['kind']}{' ' + ', '.join(said['classes']) if said['classes'] else ''}; "
        + (", ".join(f"{count:,} {value}" for value, count in said["labels"].items()) or "no label")
        for said in listed
    ]
    return {"targets": listed}, "\n".join(lines) or "Nothing is hunted yet."


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.rpartition("=")
    if not equals or not name or not value:
        raise UserError(f"{text!r} is no label", "give objects as ID=yes, ID=no or ID=unsure")
    return name, value
