"""`mull trace`: one run as a page, from the events that `mull ask --trace` writes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ..errors import WrongUsage
from . import ANSWERED


def add_parser(commands: Any) -> None:
    """Make the command known to the parser."""
    trace = commands.add_parser("trace", help="show one run as a page")
    trace.add_argument("events", metavar="EVENTS", type=Path, help="a file of mull ask --trace")
    trace.add_argument(
        "--html", metavar="FILE", type=Path, required=True, help="where the page is written"
    )


def run(arguments: argparse.Namespace) -> int:
    """Read the events, write the page."""
    # Loaded here, so that `mull --help` need not.
    from ..accounts import page, read_trace, tell

    events, file = arguments.events, arguments.html
    story = tell(read_trace(events))
    if file.exists() and file.samefile(events):
        raise WrongUsage(f"--html {file}: that is the trace itself: name another file")
    try:
        file.write_text(page(story), encoding="utf-8")
    except OSError as error:
        raise WrongUsage(f"--html {file}: {error.strerror}") from error
    print(
        f"{file}: {len(story.branches)} branches, {len(story.steps)} steps",
        file=sys.stderr,
    )
    return ANSWERED
