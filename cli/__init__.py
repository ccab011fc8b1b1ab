"""The `mull` command: arguments in, exit code out. Each command's work is in a file of its own."""

from __future__ import annotations

import argparse
import errno
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from ..errors import MullError, WrongUsage
from .options import add_answering
from .printable import printable
from .telemetry import exporting

ANSWERED, FAILED, WRONG_USAGE, NO_BACKEND, NO_BUDGET, INTERRUPTED = 0, 1, 2, 3, 4, 130

EPILOG = """\
exit codes: 0 answered, 1 failed, 2 wrong usage, 3 no backend reachable,
            4 the budget ended before any answer existed

the model: --model and --base-url, else MULL_MODEL, OPENAI_BASE_URL and
OPENAI_API_KEY, else mull.toml; the model `demo` is built in
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parsed = _parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What a terminal's encoding lacks is escaped and not a reason to fail.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        # A command's module, and all it needs, is loaded only when it is asked for.
        with exporting(parsed.command):
            code = import_module(f".{parsed.command}", __package__).run(parsed)
            sys.stdout.flush()
        return int(code)
    except MullError as error:
        print(f"mull: {printable(str(error))}", file=sys.stderr)
        return exit_code(error)
    except KeyboardInterrupt:
        print("mull: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; nothing more can be written, by the interpreter either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(f"mull: {error.strerror}: what was to be written is lost", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def exit_code(error: MullError) -> int:
    """The exit code that an error stands for."""
    if isinstance(error, WrongUsage):
        return WRONG_USAGE
    from ..budgets import BudgetExhausted
    from ..models import NoBackend, Unreachable

    if isinstance(error, NoBackend | Unreachable):
        return NO_BACKEND
    return NO_BUDGET if isinstance(error, BudgetExhausted) else FAILED


def _parser() -> argparse.ArgumentParser:
    from .. import __version__
    from . import batch, chat, run, threads, trace, usage

    parser = argparse.ArgumentParser(
        prog="mull",
        description="Agents that think longer only where it pays, under one hard budget.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mull {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    ask = commands.add_parser("ask", help="answer one question")
    ask.add_argument("question", help="the question; - reads it from standard input")
    ask.add_argument(
        "--budget",
        metavar="B",
        help="limits, as tokens=8000,calls=9,tool_calls=5,seconds=60,cost=1",
    )
    add_answering(ask)
    ask.add_argument(
        "--yes",
        action="store_true",
        help="approve every call of a tool with side effects, and do not ask",
    )
    ask.add_argument("--json", action="store_true", help="print one JSON object")
    ask.add_argument(
        "--trace", metavar="FILE", help="write every event and call to FILE, as JSON lines"
    )

    demo = commands.add_parser("demo", help="see the embedded model work: nothing to configure")
    demo.add_argument("--seed", type=int, default=7, help="which problems (default: 7)")
    demo.add_argument(
        "--budget", metavar="B", default="tokens=150000,seconds=55", help="for the whole demo"
    )
    demo.add_argument(
        "--html", metavar="FILE", default="demo.html", help="the page to write (default: demo.html)"
    )

    for command in (chat, threads, run, batch, usage, trace):
        command.add_parser(commands)

    commands.add_parser("doctor", help="what works here: backends, sandbox, embedded model")
    return parser
