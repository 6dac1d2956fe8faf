"""Outliers: how fast beside scikit-learn, and what they find where the truth is known.

``python -m tests.bench.outliers SURVEY NAME=COLUMN:VALUE NAME=COLUMN>NUMBER …`` prints the tables of
``docs/hunting.md`` for a survey with truth, such as ``dwarf=truth:dwarf`` of a simulated one, or
``merger=Class8.6>0.2`` of Galaxy Zoo 2. The survey is left as it is but for its scores. Several surveys may be given
before the names: means over them are printed.
"""

from __future__ import annotations

import argparse
import re
import sys
from importlib.metadata import version

import numpy as np

from tests.bench.features import galaxies
from tests.bench.measure import Figure, compare

#: Objects looked at.
LOOKED_AT = 200
#: Ways to re-weight: name in the table, and options of `engine.outliers.reweighting.reweighted`.
WAYS: list[tuple[str, dict]] = [
    ("published: S linear, random forest, α = 1", {"linear": True, "model": "forest", "alpha": 1.0}),
    ("S by rank, random forest, α = 1", {"model": "forest", "alpha": 1.0}),
    ("S by rank, random forest, α = 0.3", {"model": "forest"}),
    ("S by rank, Gaussian process, α = 1", {"alpha": 1.0}),
    ("S by rank, Gaussian process, α = 0.3: ours", {}),
]


def local_outliers(full: bool) -> list[Figure]:
    """The local outlier factor of every object: from its features, and from neighbours that are known already."""
    from sklearn.neighbors import LocalOutlierFactor

    from engine.maps.neighbours import exact
    from engine.outliers.density import local_outlier_factor

    n = 100_000 if full else 20_000
    x = galaxies(n, 40)
    graph = exact(x, 15)

    def peer():
        return -LocalOutlierFactor(n_neighbors=15, n_jobs=-1).fit(x).negative_outlier_factor_

    def equal(mine, theirs):
        error = np.abs(mine - theirs).max()
        assert error < 1e-3, error
        return f"largest difference {error:.0e}"

    words = f"local outlier factor of {n:,} objects, 40 components, 15 neighbours"
    named = f"scikit-learn {version('scikit-learn')} LocalOutlierFactor, every core"
    pairs = 1 if full else 3
    return [
        compare(
            f"{words}: from the features", named, lambda: local_outlier_factor(exact(x, 15)), peer, equal, pairs=pairs
        ),
        compare(f"{words}: the neighbours are known", named, lambda: local_outlier_factor(graph), peer, equal, pairs=1),
    ]


# -- what they find ----------------------------------------------------------------------------------------------------


def recall(score: np.ndarray, truth: np.ndarray) -> tuple[int, float]:
    """Found among the first `LOOKED_AT`, and the area under the curve of recall against the share looked at."""
    order = np.argsort(-np.nan_to_num(score, nan=-np.inf), kind="stable")
    found = np.cumsum(truth[order])
    return int(found[LOOKED_AT - 1]), float(found.mean() / max(found[-1], 1))


def read_truth(survey, text: str) -> tuple[str, np.ndarray]:
    """NAME=COLUMN:VALUE or NAME=COLUMN>NUMBER, as a name and (N,) bool."""
    match = re.fullmatch(r"([^=]+)=(.+?)([:>])(.+)", text)
    if match is None:
        raise SystemExit(f"{text!r} is no truth: give NAME=COLUMN:VALUE or NAME=COLUMN>NUMBER")
    name, column, sign, value = match.groups()
    values = survey.column(column)
    return name, np.asarray(values == value if sign == ":" else values.astype(float) > float(value), bool)


def by_method(surveys, names: list[str]) -> list[str]:
    """A line a method: found among the 200 strangest, and the area under the recall curve, of each kind."""
    from engine.outliers.scoring import JOINT, METHODS, outliers, score_name

    cells: dict[str, list] = {}
    for survey in surveys:
        outliers(survey)
        truths = [read_truth(survey, text)[1] for text in names]
        rows = {name: survey.score(score_name(name)) for name in (*METHODS, JOINT)}
        for name, score in rows.items():
            cells.setdefault(name, []).append([recall(score, truth) for truth in truths])
        at_random = [(LOOKED_AT * truth.mean(), 0.5) for truth in truths]
        cells.setdefault("at random", []).append(at_random)
        cells.setdefault("there are", []).append([(truth.sum(), np.nan) for truth in truths])
    titles = {name: METHODS[name].title for name in METHODS} | {JOINT: "all together (mean rank)"}
    head = " | ".join(text.split("=")[0] for text in names)
    lines = [f"| | {head} |", "|---|" + "---|" * len(names)]
    for name, found in cells.items():
        means = np.array(found, float).mean(axis=0)
        shown = " | ".join(f"{c:.0f} ({a:.2f})" if np.isfinite(a) else f"{c:.0f}" for c, a in means)
        lines.append(f"| {titles.get(name, name)} | {shown} |")
    return lines


def by_way(surveys, names: list[str], *, score: str) -> list[str]:
    """A line a way to re-weight: found within 100 and 200 labels, the strangest ten labelled at a time by an oracle."""
    from engine.learning.features import features
    from engine.outliers.reweighting import Opinions, reweighted

    heads = [text.split("=")[0] for text in names]
    lines = [f"| {score} | " + " | ".join(heads) + " |", "|---|" + "---|" * len(names)]
    ways: list[tuple[str, dict | None]] = [("not re-weighted", None), *WAYS]
    for words, options in ways:
        cells = []
        for text in names:
            found = []
            for survey in surveys:
                truth, values = read_truth(survey, text)[1], survey.score(score)
                seen, rows = features(survey.representation()), np.argsort(-values, kind="stable")[:10]
                if options is None:
                    rows = np.argsort(-values, kind="stable")[:LOOKED_AT]
                while len(rows) < LOOKED_AT:
                    order = reweighted(values, seen, Opinions(rows, np.where(truth[rows], 5.0, 0.0)), **options)
                    order[rows] = -1
                    rows = np.append(rows, np.argsort(-order, kind="stable")[:10])
                found.append((truth[rows[:100]].sum(), truth[rows].sum()))
            cells.append("{:.0f}, {:.0f}".format(*np.mean(found, axis=0)))
        lines.append(f"| {words} | " + " | ".join(cells) + " |")
    return lines


def rejected(surveys, text: str, rare: list[str]) -> list[str]:
    """A line a number of rejected artefacts: artefacts and rare kinds in the top 50, what is hidden of the top 200."""
    from engine.learning.features import features
    from engine.outliers.reweighting import Opinions, like_artefacts, reweighted

    heads = ("rejected", "artefacts in the top 50", "rare in the top 50", "artefacts hidden", "others hidden")
    lines = [f"| {' | '.join(heads)} |", "|---|---|---|---|---|"]
    for count in (0, 5, 15, 30, 50):
        cells = []
        for survey in surveys:
            bad = read_truth(survey, text)[1]
            good = np.any([read_truth(survey, name)[1] for name in rare], axis=0)
            values, seen = survey.score("outlier"), features(survey.representation())
            plain = np.argsort(-values, kind="stable")
            rows = plain[bad[plain]][:count]
            order = reweighted(values, seen, Opinions(rows, np.zeros(len(rows))))
            top, hidden = np.argsort(-order, kind="stable")[:50], like_artefacts(seen, rows)
            strange = plain[:LOOKED_AT]
            gone, lost = hidden[strange][bad[strange]].mean(), hidden[strange][~bad[strange]].mean()
            cells.append((bad[top].mean(), good[top].sum(), gone, lost))
        share, rares, gone, lost = np.mean(cells, axis=0)
        lines.append(f"| {count} | {100 * share:.0f} % | {rares:.0f} | {100 * gone:.0f} % | {100 * lost:.0f} % |")
    return lines


def main() -> int:
    """Print the tables."""
    from engine import Survey

    parser = argparse.ArgumentParser(prog="python -m tests.bench.outliers", description=__doc__)
    parser.add_argument("given", nargs="+", metavar="SURVEY | NAME=TRUTH")
    parser.add_argument("--score", default="outlier_isolation", help="what is re-weighted (outlier_isolation)")
    parser.add_argument("--artefacts", metavar="NAME=TRUTH", help="reject these, and look for the others")
    args = parser.parse_args()
    surveys = [Survey.open(text) for text in args.given if "=" not in text]
    names = [text for text in args.given if "=" in text]
    parts = [by_method(surveys, names), by_way(surveys, names, score=args.score)]
    if args.artefacts:
        parts.append(rejected(surveys, args.artefacts, names))
    print("\n\n".join("\n".join(lines) for lines in parts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
