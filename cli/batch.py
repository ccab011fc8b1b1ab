"""`mull batch`: its arguments. The work is in `batch_run`, loaded only when it is asked for."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Any

from .options import add_answering

EPILOG = """\
a line of IN:  {"question": "…"}, and perhaps "id", "depth", "budget"
a line of OUT: {"id", "answer", "confidence", "depth", "stopped", "usage", "error"}

Start the same command again to go on after Ctrl-C, a crash or the end of the budget.
The account is kept beside the results, in OUT.ledger.

exit codes: 0 every question is answered, 1 some rows are errors, 2 wrong usage,
            3 no backend reachable, 4 the batch's budget ended, 130 interrupted
"""


def add_parser(commands: Any) -> None:
    """Add the command's arguments."""
    batch = commands.add_parser(
        "batch",
        help="answer many questions from a file into a file",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    batch.add_argument("questions", metavar="IN.jsonl", help="questions, one JSON object a line")
    batch.add_argument("results", metavar="OUT.jsonl", help="results, one JSON object a line")
    batch.add_argument(
        "--concurrency",
        metavar="N",
        type=int,
        default=16,
        help="questions in flight at once (default: 16)",
    )
    batch.add_argument(
        "--retry-errors", action="store_true", help="ask again those whose row is an error"
    )
    batch.add_argument(
        "--budget",
        metavar="B",
        help="limits of each question, as tokens=8000,calls=9,tool_calls=5,seconds=60,cost=1",
    )
    batch.add_argument("--total-budget", metavar="B", help="limits of the whole batch, as above")
    add_answering(batch)


def run(arguments: argparse.Namespace) -> int:
    """Run the batch and return its exit code."""
    return int(import_module(".batch_run", __package__).run(arguments))
