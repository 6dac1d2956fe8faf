"""Commands that tell how good a hunt is: rehearsed where the truth is known, and honest where it is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.commands.arguments import Add, Outcome, positive
from engine.errors import UserError
from engine.jobs import Progress
from engine.survey import Survey

#: Numbers of labels at which a rehearsal is summed up.
CHECKPOINTS = (50, 100, 200, 400)


def register(add: Add) -> None:
    """Add these commands to the parser."""
    from engine.learning.rivals import RIVALS

    command = add(rehearse)
    command.add_argument(
        "--truth", required=True, metavar="CONDITION", help="what is hunted, such as 'truth == \"dwarf\"'; see `select`"
    )
    command.add_argument(
        "--methods",
        nargs="+",
        default=["skysieve", "random"],
        choices=["skysieve", *RIVALS],
        help="our loop, and published ones to stand beside it (skysieve random)",
    )
    command.add_argument("--labels", type=positive, default=200, help="objects the oracle labels (200)")
    command.add_argument("--batch", type=positive, default=10, help="objects shown at once (10)")
    command.add_argument("--repeats", type=positive, default=5, help="hunts of each method, from seed 0 on (5)")
    command.add_argument("--representation")
    command.add_argument(
        "--keep", type=Path, metavar="FILE", help="JSON lines, one a hunt: those that are there are not run again"
    )

    command = add(curves)
    command.add_argument("--target", required=True)
    command.add_argument("--representation")


def rehearse(args, progress: Progress) -> Outcome:
    """Hunt with an oracle in place of a person, and count what is found; the survey's labels are left alone."""
    from engine.learning.curves import plain
    from engine.learning.rehearsal import repeats, summary
    from engine.search.query import select

    survey = Survey.open(args.survey)
    truth = np.zeros(len(survey), bool)
    truth[select(survey, args.truth)] = True
    runs = repeats(
        survey,
        truth,
        called=args.truth,
        methods=args.methods,
        seeds=range(args.repeats),
        labels=args.labels,
        batch=args.batch,
        representation=args.representation,
        keep=args.keep,
        progress=progress,
    )
    at = [labels for labels in CHECKPOINTS if labels <= args.labels] or [args.labels]
    rows = summary(runs, at)
    words = [f"{int(truth.sum()):,} of {len(survey):,} objects are hunted: {args.truth}"]
    words.append(f"found within      {''.join(f'{n:>14,}' for n in at)} labels")
    for row in rows:
        figures = "".join(
            f"{f'{m:.1f}' if np.isnan(e) else f'{m:.1f} ± {e:.1f}':>14}" for m, e in zip(row["found"], row["error"])
        )
        words.append(f"{row['method']:18}{figures}  ({row['repeats']} hunts)")
    facts = {
        "truth": args.truth,
        "objects": len(survey),
        "hunted": int(truth.sum()),
        "labels": at,
        "methods": plain(rows),
    }
    return facts, "\n".join(words)


def curves(args, progress: Progress) -> Outcome:
    """Say how a hunt goes: what was found against labels given, and what may be left, each figure with its error."""
    from engine.learning.curves import curves as measure

    survey = Survey.open(args.survey)
    if args.target not in survey.labels.targets():
        raise UserError(f"nothing is labelled for {args.target!r}", "check the name with `status`, or label something")
    found = measure(survey, args.target, representation=args.representation)
    return found.facts(), found.text()
