"""`mull usage`: what was spent, from a ledger file."""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path
from typing import Any

from . import ANSWERED

EPILOG = """\
run     one run of an agent, below the ledger that it was given
thread  the conversation it belongs to
model   the model that was called
tool    the tool that was called
node    the step that paid: think, act, judge, …
day     in UTC, when the call was reserved
"""


def add_parser(commands: Any) -> None:
    """Make the command known to the parser."""
    usage = commands.add_parser(
        "usage",
        help="what was spent, from a ledger file",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    usage.add_argument(
        "ledger",
        metavar="LEDGER",
        type=Path,
        nargs="?",
        help="the file of a SQLiteStore (default: that of the threads)",
    )
    usage.add_argument(
        "--by",
        metavar="A,B",
        default="run",
        help="one or several of run, thread, model, tool, node, day (default: run)",
    )
    form = usage.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print CSV")
    form.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Read the file, sum up, print."""
    # Loaded here, so that `mull --help` need not.
    from ..accounts import (
        as_csv,
        as_json,
        as_text,
        dimensions_of,
        read_entries,
        spending,
        total,
    )

    names = dimensions_of(arguments.by)
    entries = read_entries(arguments.ledger or _of_threads())
    lines, everything = spending(entries, names), total(entries)
    if arguments.csv:
        print(as_csv(names, lines), end="")
    elif arguments.json:
        print(as_json(names, lines, everything))
    else:
        print(as_text(names, lines, everything), end="")
    return ANSWERED


def _of_threads() -> Path:
    """The ledger file of the threads in the user's data folder."""
    from ..agents.threads import ThreadStore

    with closing(ThreadStore()) as threads:
        return threads.ledger_store.path
