"""`mull threads`: the conversations that are kept, without a model."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import WrongUsage
from . import ANSWERED
from .printable import printable

if TYPE_CHECKING:
    from ..agents import Pending, ThreadStore, ThreadSummary

EPILOG = """\
They lie in MULL_THREADS, else in mull/threads in the folder of your data.
`mull chat --thread ID` goes on with one, and decides what it waits for.
"""


def add_parser(commands: Any) -> None:
    """Add the command's arguments."""
    threads = commands.add_parser(
        "threads",
        help="the conversations that are kept: list, show, export, delete",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = threads.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, about in (
        ("list", "every thread, the one used last first"),
        ("pending", "the decisions that they wait for"),
    ):
        action = actions.add_parser(name, help=about)
        action.add_argument("--json", action="store_true", help="print one JSON array")
    show = actions.add_parser("show", help="what was said in a thread")
    show.add_argument("thread", metavar="ID")
    show.add_argument("--json", action="store_true", help="print one JSON object, as export does")
    export = actions.add_parser("export", help="what was said and spent, as JSON")
    export.add_argument("thread", metavar="ID")
    export.add_argument(
        "file", metavar="FILE", nargs="?", type=Path, help="a new file; without it, standard output"
    )
    delete = actions.add_parser("delete", help="forget a thread; what it spent stays in the books")
    delete.add_argument("thread", metavar="ID")


def run(arguments: argparse.Namespace) -> int:
    """Do what is asked with the threads in the user's folder."""
    # Loaded here, so that `mull --help` need not.
    from ..agents import ThreadStore

    with closing(ThreadStore()) as store:
        _ACTIONS[arguments.action](store, arguments)
    return ANSWERED


def _list(store: ThreadStore, arguments: argparse.Namespace) -> None:
    _print(store, store.list(), arguments.json)


def _pending(store: ThreadStore, arguments: argparse.Namespace) -> None:
    waiting = [one for thread in store.list() if thread.waiting for one in store.pending(thread.id)]
    if arguments.json:
        print(json.dumps([one.as_dict() for one in waiting]))
    elif waiting:
        print("\n".join(map(told, waiting)))
    else:
        print(f"mull: nothing waits in {store.folder}", file=sys.stderr)


def told(one: Pending) -> str:
    """A decision that is waited for, on one line. Pure."""
    what = f"{one.tool} {one.arguments}" if one.kind == "approval" else f"is it right: {one.text}"
    return printable(" ".join(f"{one.thread}  {one.kind}  {what}".split("\n")))


def _print(store: ThreadStore, threads: Sequence[ThreadSummary], as_json: bool) -> None:
    if as_json:
        print(json.dumps([thread.as_dict() for thread in threads]))
    elif threads:
        print("\n".join(table(threads)))
    else:
        print(f"mull: none in {store.folder}", file=sys.stderr)


def table(threads: Sequence[ThreadSummary]) -> list[str]:
    """The threads as lines under a heading. Pure, but for the time zone."""
    wide = max(map(len, ["thread", *(thread.id for thread in threads)]))
    lines = [f"{'thread':<{wide}}  last used         turns  waiting    tokens  first question"]
    for thread in threads:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(thread.updated))
        figures = f"{thread.turns:>5}  {thread.waiting:>7}  {thread.tokens:>8,}"
        lines.append(f"{thread.id:<{wide}}  {used}  {figures}  {printable(thread.title)}")
    return lines


def _show(store: ThreadStore, arguments: argparse.Namespace) -> None:
    if arguments.json:
        print(json.dumps(store.export(arguments.thread)))
        return
    for turn in store.history(arguments.thread):
        print(f"> {printable(turn.question)}\n{printable(turn.text)}\n")
    for one in store.pending(arguments.thread):
        print(f"waits: {told(one)}")


def _export(store: ThreadStore, arguments: argparse.Namespace) -> None:
    exported = json.dumps(store.export(arguments.thread), indent=2)
    if arguments.file is None:
        print(exported)
        return
    write_new(arguments.file, exported + "\n")


def write_new(file: Path, text: str) -> None:
    """Write a file that is not there yet. Raises `WrongUsage`."""
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(text)
    except OSError as error:
        raise WrongUsage(f"{file}: {error.strerror}: name another file") from error


def _delete(store: ThreadStore, arguments: argparse.Namespace) -> None:
    store.delete(arguments.thread)
    print(f"mull: {printable(arguments.thread)} is deleted", file=sys.stderr)


_ACTIONS = {
    "list": _list,
    "pending": _pending,
    "show": _show,
    "export": _export,
    "delete": _delete,
}
