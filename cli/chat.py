"""`mull chat`: its arguments. The work is in `chat_run`, loaded only when it is asked for."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Any

from .options import add_answering

EPILOG = """\
On a terminal, /help lists the commands, Ctrl-C stops an answer, Ctrl-D ends.
Over a pipe, each line is a question and each answer goes to standard output.

exit codes, over a pipe: those of the last answer: 0 answered, 1 failed or waits for
            a person, 2 wrong usage, 3 no backend reachable, 4 the budget ended
            before any answer existed; 130 interrupted
"""


def add_parser(commands: Any) -> None:
    """Add the command's arguments."""
    chat = commands.add_parser(
        "chat",
        help="a conversation that is kept",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    chat.add_argument(
        "--thread", metavar="ID", help="the conversation to go on with, or a name for a new one"
    )
    chat.add_argument(
        "--budget",
        metavar="B",
        help="limits of each answer, as tokens=8000,calls=9,tool_calls=5,seconds=60,cost=1",
    )
    chat.add_argument(
        "--thread-budget",
        metavar="B",
        help="limits of the whole conversation, kept with it; none lifts them",
    )
    add_answering(chat)
    chat.add_argument(
        "--yes",
        action="store_true",
        help="approve every call of a tool with side effects, and do not ask",
    )


def run(arguments: argparse.Namespace) -> int:
    """Hold the conversation and return its exit code."""
    return int(import_module(".chat_run", __package__).run(arguments))
