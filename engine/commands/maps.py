"""Commands that make what a map shows: layouts, clusters, neighbours."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from engine.commands.arguments import Add, Outcome, positive, positive_number
from engine.errors import UserError
from engine.jobs import Progress
from engine.survey import Survey


def register(add: Add) -> None:
    """Add these commands to the parser."""
    command = add(layout)
    command.add_argument("--method", default="umap", help="umap, densmap, tsne, pca, columns or sky (umap)")
    command.add_argument("--representation", help="the newest if not given")
    command.add_argument("--name", help="what to call it; what has that name is replaced")
    command.add_argument("--neighbours", type=positive, help="umap, densmap: objects in a neighbourhood (15)")
    command.add_argument("--min-dist", type=float, help="umap, densmap: how close points may come, 0-1 (0.1)")
    command.add_argument("--perplexity", type=positive_number, help="tsne: effective number of neighbours (30)")
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
    command.add_argument("--min-size", type=positive, help="hdbscan: objects in the smallest cluster (the root of all)")
    command.add_argument(
        "--min-samples", type=positive, default=10, help="hdbscan: objects that make a place dense (10)"
    )
    command.add_argument(
        "--choice", choices=["stable", "finest"], default="stable", help="hdbscan: which of its clusters (stable)"
    )
    command.add_argument("--k", type=positive, help="kmeans: how many clusters (12, fewer in small surveys)")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--list", action="store_true", help="list what there is")
    command.add_argument(
        "--rename", nargs=2, metavar=("CODE", "TEXT"), action=_Rename, help="name a cluster; '' undoes it"
    )
    command.add_argument("--delete", action="store_true", help="remove the clustering of --name")

    command = add(neighbours)
    command.add_argument("--k", type=positive, default=15, help="neighbours an object (15)")
    command.add_argument("--representation")


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
        from engine.maps.layouts.newcomers import place

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


def clusters(args, progress: Progress) -> Outcome:
    """Find clusters on a layout or in a representation, and name them; list, rename or delete those there are."""
    from engine.maps.clustering import clusters as kept

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


def neighbours(args, progress: Progress) -> Outcome:
    """Find the nearest neighbours of every object, which layouts share, and by which selections grow and shrink."""
    from engine.maps.neighbours import neighbours as find

    survey = Survey.open(args.survey)
    graph = find(survey, args.representation, k=args.k, progress=progress)
    return (
        {"objects": len(graph.indices), "k": graph.k},
        f"The {graph.k} nearest neighbours of {len(graph.indices):,} objects are known.",
    )


def _estimated(survey: Survey, args, options: dict) -> Outcome:
    from engine.maps.layout import checked
    from engine.maps.layouts.estimates import estimate_survey

    found = estimate_survey(
        survey, args.method, representation=args.representation, settings=checked(args.method, options)
    )
    facts = {**vars(found), "fits": found.fits, "words": found.words}
    words = f"{args.method}: {found.words}"
    if found.sampled:
        words += f", fitted on a sample of {found.fitted:,}"
    return facts, words if found.fits else f"{words}. The memory will not suffice: give --sample a smaller number."


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


class _Rename(argparse.Action):
    """A number and a text."""

    def __call__(self, parser, namespace, values, option_string=None):
        code, text = values
        if not code.isdigit():
            parser.error(f"argument --rename: {code!r} is no cluster's number")
        setattr(namespace, self.dest, (int(code), text))
