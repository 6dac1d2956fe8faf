"""``make bench``: run every figure, print one table, write docs/performance.md from the same numbers."""

import argparse
import os
import sys
from pathlib import Path

from tests.bench import paths
from tests.bench.measure import circumstances, table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "performance.md"

HEAD = """# Performance

Ratios against a peer that ran in the same process, in turn with ours: a ratio can be trusted on a noisy machine, a time cannot.
Times are medians. This page is written by `make bench`; `BENCH=full make bench` uses the large sizes.

"""


def main() -> int:
    """Run the figures whose name contains the argument, all without one."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("only", nargs="?", default="", help="run figures whose name contains this, write no page")
    args = parser.parse_args()
    full = os.environ.get("BENCH") == "full"
    machine = circumstances()
    figures = []
    for run in paths.ALL:
        if args.only in run.__name__:
            print(f"{run.__name__} …", file=sys.stderr, flush=True)
            figures += run(full)
    text = f"{table(figures)}\n\n{machine}. Sizes: {'large' if full else 'default'}.\n"
    print(text)
    if not args.only:
        PAGE.write_text(HEAD + text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
