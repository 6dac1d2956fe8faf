"""Commands on remarks: comments on objects, and what a person wants to see again."""

from __future__ import annotations

from engine.commands.arguments import Add, Outcome
from engine.errors import UserError
from engine.jobs import Progress
from engine.survey import Survey


def register(add: Add) -> None:
    """Add these commands to the parser."""
    command = add(remark)
    command.add_argument("id", nargs="?", help="an object; without one, what was said of all is listed")
    command.add_argument("text", nargs="?", help="a comment; empty takes yours back")
    command.add_argument("--later", action="store_true", help="review the object later")
    command.add_argument("--seen", action="store_true", help="it has been reviewed")
    command.add_argument("--find", default="", metavar="WORDS", help="list comments with these words only")
    command.add_argument("--user", default="cli")


def remark(args, progress: Progress) -> Outcome:
    """Comment on an object, mark it for a later review, or list what was said."""
    survey = Survey.open(args.survey)
    if args.id is None:
        return _listed(survey, args)
    if args.text is None and not args.later and not args.seen:
        return _said(survey, args.id)
    row, said = int(survey.rows([args.id])[0]), []
    if args.later and args.seen:
        raise UserError("an object is reviewed later, or has been", "give --later or --seen")
    if args.text is not None:
        survey.remarks.comment(row, args.text, id=args.id, user=args.user)
        said.append("commented on" if args.text.strip() else "took back the comment on")
    if args.later or args.seen:
        survey.remarks.review(row, args.later, id=args.id, user=args.user)
        said.append("will show again" if args.later else "is done with")
    words = f"{' and '.join(said)} {args.id}."
    return {"id": args.id, "done": said}, words[:1].upper() + words[1:]


def _said(survey: Survey, name: str) -> Outcome:
    found = survey.remarks.comments(int(survey.rows([name])[0]))
    lines = [f"{c.time} {c.user}: {c.text}" for c in found]
    return {"comments": [vars(c) for c in found]}, "\n".join(lines) or f"No comment on {name}."


def _listed(survey: Survey, args) -> Outcome:
    rows, later = survey.remarks.commented(args.find), survey.remarks.to_review(args.user)
    ids = survey.ids.take(rows).to_pylist()
    comments = dict(zip(ids, survey.remarks.texts(rows)))
    again = survey.ids.take(later).to_pylist()
    lines = [f"{name}: {text}" for name, text in comments.items()]
    if again:
        lines.append(f"To review later ({args.user}): {', '.join(again)}")
    return {"comments": comments, "later": again}, "\n".join(lines) or "No comment, and nothing to review."
