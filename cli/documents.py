"""The folders a command may search: brought up to date with a progress bar, before it asks."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from ..portal import run_blocking
from ..tools.documents import Documents, DocumentsTool, Ingested

SHOWN = 3
"""Files that were left out and are named; of more, only how many."""


def documents_tool(folders: Sequence[str], console: Console) -> DocumentsTool:
    """The tool over `folders`. Raises `WrongUsage` where nothing is."""
    documents = Documents(list(folders))
    bar = Progress(
        TextColumn("reading"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("files"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task("reading", total=None)
        found = run_blocking(
            lambda: documents.ingest(
                lambda done, total: bar.update(task, completed=done, total=total)
            )
        )
    for line in told(found):
        console.print(Text(line, "dim"), soft_wrap=True)
    return DocumentsTool(documents)


def told(found: Ingested) -> list[str]:
    """What was found, and what was left out."""
    lines = [f"docs   {found.passages:,} passages of {found.files:,} files"]
    lines += [f"docs   left out: {s.name}: {s.reason}" for s in found.skipped[:SHOWN]]
    more = len(found.skipped) - SHOWN + found.more_skipped
    return [*lines, f"docs   and {more:,} more left out"] if more > 0 else lines
