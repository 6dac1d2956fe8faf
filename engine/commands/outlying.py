"""Commands that find what is strange without a label."""

from __future__ import annotations

import json
import time

from engine.commands.arguments import Add, Outcome, positive
from engine.jobs import Progress
from engine.survey import Survey


def register(add: Add) -> None:
    """Add these commands to the parser."""
    command = add(outliers)
    command.add_argument(
        "--methods", nargs="+", metavar="METHOD", help="isolation, lof, knn, reconstruction, mahalanobis (all of them)"
    )
    command.add_argument("--representation", help="the newest if not given")
    command.add_argument("--neighbours", type=positive, default=15, help="lof, knn: objects that judge a density (15)")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--top", type=positive, default=25, help="how many of the strangest to list (25)")
    command.add_argument("--kept", action="store_true", help="list by the scores that are kept, compute none")
    command.add_argument("--by", default="", metavar="METHOD", help="list by one method's score instead of all of them")
    command.add_argument(
        "--target", help="re-weight the list by the labels of this target, and by what is labelled artefact"
    )
    command.add_argument(
        "--hide-artefacts", action="store_true", help="leave out what looks like what is labelled artefact"
    )


def outliers(args, progress: Progress) -> Outcome:
    """Score how strange each object is, by several methods, and list the strangest; re-weight the list by labels."""
    from engine.outliers.listing import strangest
    from engine.outliers.scoring import METHODS, kept
    from engine.outliers.scoring import outliers as compute

    survey, started = Survey.open(args.survey), time.monotonic()
    made = []
    if not args.kept:
        made = compute(
            survey,
            args.methods,
            representation=args.representation,
            neighbours=args.neighbours,
            seed=args.seed,
            progress=progress,
        )
        settings = {m.method: m.settings for m in made} | {"representation": made[-1].representation}
        survey.record_run(
            "outliers", settings, seconds=time.monotonic() - started, results={m.score: m.seconds for m in made}
        )
    found = strangest(survey, args.top, by=args.by, target=args.target, hide_artefacts=args.hide_artefacts)
    said = [f"{METHODS[m.method].title}: score {m.score!r}" for m in made if m.method in METHODS]
    said += [f"All of them together (mean rank): score {m.score!r}" for m in made if m.method not in METHODS]
    facts = {
        "scores": [{"score": m.score, "method": m.method, **m.settings} for m in made or kept(survey)],
        "objects": json.loads(found.to_json(orient="records")),
    }
    return facts, "\n".join([*said, found.to_string(index=False)])
