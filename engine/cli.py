"""The command line: `engine.commands` put together, run, and its failures told.

Results go to stdout, as text for people or as one JSON document with ``--json``; progress goes to stderr. Exit status: 0 done,
1 a fault found (`doctor`) or a defect of this program, 2 a user's error (printed with its remedy), 130 cancelled by Ctrl-C,
143 cancelled by a signal; what was finished before is kept and used again by the next run.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.commands import (
    hunting,
    likeness,
    maps,
    outlying,
    rehearsing,
    remarks,
    representations,
    selecting,
    sharing,
    surveys,
)
from engine.errors import UserError
from engine.jobs import Progress, Reporter, silent
from engine.survey import version

#: Where the commands are, in the order in which they are listed.
ROOMS = (surveys, representations, maps, likeness, outlying, hunting, rehearsing, remarks, selecting, sharing)


class Cancelled(BaseException):
    """SIGTERM arrived: leave as on Ctrl-C, so that temporary files are removed on the way."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engine", description="Sift a sky survey for what is rare.")
    parser.add_argument("--version", action="version", version=f"skysieve {version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(run: Callable, *, survey: bool = True) -> argparse.ArgumentParser:
        words = (run.__doc__ or "").strip()
        command = commands.add_parser(run.__name__, help=words.splitlines()[0], description=words)
        command.set_defaults(run=run)
        command.add_argument("--json", action="store_true", help="print one JSON document on stdout")
        command.add_argument(
            "--progress", choices=["auto", "json", "none"], default="auto", help="how progress is written to stderr"
        )
        if survey:
            command.add_argument("survey", type=Path, metavar="SURVEY", help="the survey's folder")
        return command

    for room in ROOMS:
        room.register(add)
    return parser


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """Parse, and let labels stand before or after the options (argparse closes an optional list at the first option)."""
    parser = _parser()
    args, rest = parser.parse_known_args(given)
    if rest and args.command == "label" and not any(text.startswith("-") for text in rest):
        args.labels += rest
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return args


def _reporter(mode: str) -> Progress:
    return silent if mode == "none" else Reporter(machine=mode == "json")


def _cancel(signum, frame):
    raise Cancelled


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    args = _arguments(arguments)
    progress = _reporter(args.progress)
    signal.signal(signal.SIGTERM, _cancel)
    started = time.monotonic()
    try:
        facts, words = args.run(args, progress)
    except UserError as error:
        return _fail(args, {"error": error.problem, "remedy": error.remedy}, f"error: {error}")
    except OSError as error:
        problem = f"{error.strerror or error} ({error.filename})" if error.filename else str(error)
        return _fail(
            args,
            {"error": problem, "remedy": "check the path, its permissions and the space left on the disk"},
            f"error: {problem}: check the path, its permissions and the space left on the disk.",
        )
    except KeyboardInterrupt:
        print("cancelled: what was finished is kept, run the same command to go on", file=sys.stderr)
        return 130
    except Cancelled:
        print("cancelled: what was finished is kept, run the same command to go on", file=sys.stderr)
        return 143
    finally:
        if isinstance(progress, Reporter):
            progress.finish()
    status = facts.pop("exit", 0)
    if not facts:  # a process of `torchrun` other than the first has nothing to say
        return status
    if args.json:
        print(json.dumps(facts | {"seconds": round(time.monotonic() - started, 3)}, ensure_ascii=False, default=str))
    else:
        print(words)
    return status


def _fail(args, facts: dict, words: str) -> int:
    if args.progress == "json":
        print(json.dumps(facts, ensure_ascii=False), file=sys.stderr, flush=True)
    else:
        print(words, file=sys.stderr, flush=True)
    if args.json:
        print(json.dumps(facts, ensure_ascii=False))
    return 2
