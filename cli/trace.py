"""`mull trace`: one run as a page: from the trace of `mull ask`, or of a thread."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import WrongUsage
from . import ANSWERED

if TYPE_CHECKING:
    from ..accounts import Trace


def add_parser(commands: Any) -> None:
    """Make the command known to the parser."""
    trace = commands.add_parser("trace", help="show one run as a page")
    what = trace.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "events", metavar="EVENTS", type=Path, nargs="?", help="a file of mull ask --trace"
    )
    what.add_argument("--thread", metavar="ID", help="the thread whose run is shown")
    trace.add_argument(
        "--run", metavar="N", type=int, help="its number in the thread (default: the last)"
    )
    trace.add_argument(
        "--html", metavar="FILE", type=Path, required=True, help="where the page is written"
    )


def run(arguments: argparse.Namespace) -> int:
    """Read the trace, write the page."""
    # Loaded here, so that `mull --help` need not.
    from ..accounts import page, read_trace, tell

    events, file = arguments.events, arguments.html
    if events is not None and arguments.run is not None:
        raise WrongUsage("--run names a run of a thread: give --thread ID")
    story = tell(_of_thread(arguments) if events is None else read_trace(events))
    if events is not None and file.exists() and file.samefile(events):
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


def _of_thread(arguments: argparse.Namespace) -> Trace:
    from ..accounts import thread_trace
    from ..agents.threads import ThreadStore

    id, number = arguments.thread, arguments.run
    with closing(ThreadStore()) as threads:
        return thread_trace(id, number, threads.records(id), threads.history(id))
