"""A script's steps while they run, on standard error: a live table on a terminal, lines else."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..scripts import Progress, Step
from ..scripts.check import levels, needed
from .printable import printable

MARKS = {
    "waiting": ("·", "dim"),
    "running": ("▶", "cyan"),
    "done": ("✓", "green"),
    "skipped": ("–", "dim"),
    "failed": ("✗", "red"),
    "blocked": ("✗", "yellow"),
}
SHOWN = 60
"""Characters of an answer that are shown."""


class Board:
    """Shows the steps. A context manager; give each `Progress` to `show`."""

    def __init__(self, console: Console, steps: Sequence[Step]) -> None:
        self._console = console
        self._lines = [(depth, step) for depth, level in enumerate(levels(steps)) for step in level]
        self._now: dict[str, Progress] = {}
        self._live = (
            Live(console=console, refresh_per_second=8, get_renderable=self.draw)
            if console.is_terminal
            else None
        )

    def __enter__(self) -> Board:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()

    def show(self, progress: Progress) -> None:
        """Take one step's news."""
        self._now[progress.step] = progress
        if self._live is None and progress.result is not None:
            mark, _ = MARKS[progress.state]
            line = Text(f"{mark} {progress.step}  {progress.state}  {_said(progress)}")
            self._console.print(line, soft_wrap=True)

    def draw(self) -> Table:
        """Every step with its state, indented by its level, and what it came to."""
        table = Table.grid(padding=(0, 2))
        for depth, step in self._lines:
            now = self._now.get(step.id)
            mark, style = MARKS["waiting" if now is None else now.state]
            table.add_row(
                Text(f"{'  ' * depth}{mark} {step.id}", style),
                Text(_count(now), "dim"),
                Text(_waits(step) if now is None else _said(now), "dim", no_wrap=True),
            )
        return table


def _count(now: Progress | None) -> str:
    return "" if now is None or now.of == 1 else f"{now.done}/{now.of}"


def _waits(step: Step) -> str:
    names = ", ".join(needed(step))
    return f"after {names}" if names else ""


def _said(now: Progress) -> str:
    """What a step came to, on one line."""
    if now.result is None:
        return ""
    result = now.result
    if result.error is not None:
        return _one_line(result.error)
    answer = "" if result.answer is None else str(result.answer)
    short = answer if len(answer) <= SHOWN else f"{answer[: SHOWN - 1]}…"
    spent = "stored" if result.stored else f"{result.usage.total_tokens} tokens"
    return _one_line(f"{short}  ({spent})" if result.state == "done" else "")


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))
