"""The hunt's tables: ``python docs/hunts.py GZ2 POOL WORK [--objects 10000 100000]``.

GZ2 is a survey of Galaxy Zoo 2 (``python -m engine ingest D/gz2 gz2.survey``, then ``embed``), POOL a simulated one of many
dwarfs (``simulate pool.survey --objects 105300 --dwarfs 0.05 --seed 11``, then ``embed``). Surveys of fewer objects and rarer
dwarfs are drawn from the pool with its vectors; those larger than the pool repeat its objects with noise in their vectors, and
are called "blurred". Every hunt is a line of WORK/hunts.jsonl: a second run goes on where the first was. Prints Markdown.
"""

import argparse
from pathlib import Path

import numpy as np

from engine import Survey, files
from engine.learning.rehearsal import repeats, summary
from engine.learning.rivals import RIVALS

ROWS = {
    "merger": ("Class8.6", 0.2),
    "ring": ("Class8.1", 0.3),
    "irregular": ("Class8.4", 0.2),
    "odd": ("Class6.1", 0.6),
}
SHARES = (0.001, 0.01, 0.05)
METHODS = ["skysieve", *RIVALS]


def main() -> None:
    """Run what is missing, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("gz2", type=Path)
    parser.add_argument("pool", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--objects", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--repeats", type=int, default=15, help="of Galaxy Zoo 2; a third of it on simulated surveys")
    args = parser.parse_args()
    keep = args.work / "hunts.jsonl"
    survey = Survey.open(args.gz2)
    for name, (column, least) in ROWS.items():
        truth = survey.column(column) > least
        show(f"{name}: {column} > {least}", survey, truth, args.methods, args.repeats, keep, [50, 100, 200])
    pool = Survey.open(args.pool)
    for n in args.objects:
        for share in SHARES:
            made = drawn(pool, args.work, n, share)
            truth = made.column("truth") == "dwarf"
            show(
                f"{n:,} objects, {share:.1%} dwarfs",
                made,
                truth,
                args.methods,
                args.repeats // 3,
                keep,
                [50, 100, 200, 400],
            )


def show(title: str, survey: Survey, truth: np.ndarray, methods, count: int, keep: Path, at: list[int]) -> None:
    """Rehearse, and print one table."""
    runs = repeats(survey, truth, called=title, methods=methods, seeds=range(count), labels=at[-1], keep=keep)
    print(f"\n**{title}** ({int(truth.sum()):,} of {len(survey):,}; {count} hunts)\n")
    print("| method |" + "".join(f" {n} labels |" for n in at) + "\n|---|" + "---|" * len(at))
    for row in summary(runs, at):
        cells = "".join(f" {m:.1f}{'' if np.isnan(e) else f' ± {e:.1f}'} |" for m, e in zip(row["found"], row["error"]))
        print(f"| {row['method']} |{cells}", flush=True)


def drawn(pool: Survey, work: Path, n: int, share: float, *, seed: int = 0, blur: float = 0.3) -> Survey:
    """A survey of n objects with a share of dwarfs, out of a pool and with its vectors.

    Objects are drawn without repeating one as far as the pool has enough of them. Beyond, a repeated object's vector has normal
    noise added, `blur` times the standard deviation of each component among its own kind: a stand-in for pixels nobody rendered.
    """
    found, truth = pool.representation(None), pool.column("truth") == "dwarf"
    rng = np.random.default_rng([seed, n, round(1e6 * share)])
    dwarfs = round(n * share)
    parts = [
        _draw(np.flatnonzero(truth & found.valid), dwarfs, rng),
        _draw(np.flatnonzero(~truth & found.valid), n - dwarfs, rng),
    ]
    rows = rng.permutation(np.concatenate(parts))
    again = np.ones(n, bool)
    again[np.unique(rows, return_index=True)[1]] = False
    path = work / f"{'blurred' if again.any() else 'drawn'}-{n}-{share:g}.survey"
    if (path / "representations" / "drawn" / "meta.json").exists():
        return Survey.open(path)
    table = pool.table(rows)
    table["id"] = [f"{name}-{k}" for k, name in enumerate(table["id"])]
    made = Survey.open(path) if path.exists() else Survey.create(path, table, pixels=pool.header["pixels"])
    vectors = np.asarray(found.vectors[rows], np.float32)
    for kind in (truth, ~truth):
        mine = np.flatnonzero(again & kind[rows])
        sd = np.asarray(found.vectors[np.flatnonzero(kind & found.valid)[:20000]], np.float32).std(axis=0)
        vectors[mine] += (blur * sd * rng.normal(size=(len(mine), vectors.shape[1]))).astype(np.float32)
    folder = made.path / "representations" / "drawn"
    files.write_npy(folder / "vectors.npy", vectors.astype(np.float16))
    files.write_npy(folder / "valid.npy", np.ones(n, bool))
    files.write_json(
        folder / "meta.json", {"encoder": "skysieve-base", "drawn": str(pool.name), "blurred": int(again.sum())}
    )
    return made


def _draw(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    whole, rest = divmod(count, len(rows))
    return np.concatenate([np.tile(rows, whole), rng.permutation(rows)[:rest]])


if __name__ == "__main__":
    main()
