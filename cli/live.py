"""What a run looks like while it runs, on standard error: live on a terminal, plain lines else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..budgets import Ledger
from ..graphs import (
    BudgetState,
    DepthChosen,
    Event,
    Thinking,
    ToolFinished,
    ToolStarted,
    VerdictGiven,
)
from ..graphs import Text as Said
from .branches import BranchBoard
from .printable import printable

TAIL = 6
"""Lines of the model's present text that are shown."""


class PipeConsole(Console):
    """A console whose reader may go away. Printing then raises `BrokenPipeError`.

    Rich's own answer, `SystemExit`, would end the event loop and not the command.
    """

    def on_broken_pipe(self) -> None:
        """Called by Rich where a write fails."""
        self.quiet = True
        raise BrokenPipeError


def stderr_console() -> Console:
    """The console for progress."""
    return PipeConsole(stderr=True, highlight=False)


class LiveView:
    """Shows events as they come. A context manager; pass each event to `show`.

    `brief` leaves no lines behind: only what is going on now is shown, and only on a terminal.
    """

    def __init__(self, console: Console, budget: dict[str, Any], *, brief: bool = False) -> None:
        self._console = console
        self._limits = budget
        self._brief = brief
        self._title = ""
        self._recent: list[Text] = []
        self._said = ""
        self._attempt = 1
        self._meter: RenderableType = Text("")
        self._branches = BranchBoard()
        self._held: list[Text] | None = None
        """Lines to print when a pause is over; None: there is none."""
        self._live = self._fresh()

    def __enter__(self) -> LiveView:
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
            self._live.update(Text(""))
            self._live.stop()

    @property
    def terminal(self) -> bool:
        """Whether a person sees it."""
        return self._console.is_terminal

    @contextmanager
    def paused(self) -> Iterator[Console]:
        """Hold still while something is asked on the console. What happens meanwhile follows."""
        self._held = []
        if self._live:
            self._live.update(Text(""))
            self._live.stop()
        try:
            yield self._console
        finally:
            held, self._held = self._held, None
            for line in held:
                self._line(line)
            self._live = self._fresh()
            if self._live:
                self._live.update(self.tail())
                self._live.start()

    def title(self, text: str) -> None:
        """Begin a new question: what was shown of the one before goes."""
        self._title, self._said, self._attempt = text, "", 1
        self._recent.clear()
        self._branches.clear()

    def show(self, event: Event, *, above: Ledger | None = None) -> None:
        """Take one event. `above`: show this account's budget in place of the run's own."""
        if event.branch != "main" and not isinstance(event, BudgetState | ToolFinished):
            if (line := self._branches.take(event)) is not None:
                self._line(line)
            if self._live:
                self._live.update(self.tail())
            return
        match event:
            case DepthChosen(depth=depth, reason=reason):
                self._line(
                    Text.assemble(("depth  ", "dim"), (depth, "bold cyan"), (f"  {reason}", "dim"))
                )
            case VerdictGiven():
                if (line := self._branches.take(event)) is not None:
                    self._line(line)
            case Thinking(text=text, attempt=attempt) | Said(text=text, attempt=attempt):
                if attempt != self._attempt:
                    self._said, self._attempt = "", attempt
                self._said += printable(text)
            case ToolStarted(tool=tool, arguments=arguments):
                self._keep_said()
                name = (f"{printable(tool)} ", "bold")
                self._line(Text.assemble(("call   ", "dim"), name, readable(arguments)))
            case ToolFinished():
                self._line(tool_line(event))
            case BudgetState():
                used = event.spent if above is None else above.spent().as_dict()
                self._meter = meter(
                    used, event.left if above is None else above.left().as_dict(), self._limits
                )
                if self._live is None and not self._brief and event.branch == "main":
                    self._line(Text(f"budget {budget_text(used, self._limits)}"))
            case _:
                pass
        if self._live:
            self._live.update(self.tail())

    def tail(self) -> RenderableType:
        """The end of what is being said, over the budget's meter."""
        said = [Text(line, style="dim italic") for line in self._said.splitlines()]
        title = [Text(self._title, style="cyan", no_wrap=True)] if self._title else []
        shown = [*title, *(self._recent + said)[-TAIL:]]
        for line in shown:
            line.no_wrap, line.overflow = True, "ellipsis"
        board = self._branches.draw()
        return Group(*shown, *([] if board is None else [board]), self._meter)

    def _keep_said(self) -> None:
        """Move what was said before a tool call up into the lasting part."""
        if self._said.strip():
            self._line(Text.assemble(("says   ", "dim"), self._said.strip()))
        self._said = ""

    def _line(self, text: Text) -> None:
        if self._brief:
            self._recent.append(text)
        elif self._held is not None:
            self._held.append(text)
        else:
            self._console.print(text, soft_wrap=not self._console.is_terminal)

    def _fresh(self) -> Live | None:
        if not self._console.is_terminal:
            return None
        return Live(console=self._console, refresh_per_second=12, transient=True)


def tool_line(event: ToolFinished) -> Text:
    """How a tool call ended, on one line."""
    lines = event.text.strip().splitlines() or [""]
    # The line that says most: a value stands first, an error's name stands last.
    telling = printable(lines[-1 if event.failed else 0][:200])
    style = "red" if event.failed else "green"
    cost = "from memory" if event.remembered else f"{event.seconds:.2f} s"
    rest = f" (+{len(lines) - 1} lines)" if len(lines) > 1 else ""
    return Text.assemble(("result ", "dim"), (telling, style), (f"{rest}  {cost}", "dim"))


def readable(arguments: str) -> str:
    """A call's arguments for people: the bare code where that is all there is."""
    try:
        given = json.loads(arguments)
    except (ValueError, RecursionError):
        return printable(arguments[:200])
    if isinstance(given, dict) and set(given) == {"code"}:
        return printable(str(given["code"])[:200])
    return printable(arguments[:200])


def budget_text(spent: dict[str, Any], limits: dict[str, Any]) -> str:
    """What is spent, of how much."""
    parts = []
    for name, used, unit in (
        ("tokens", f"{spent['total_tokens']:,}", "tokens"),
        ("calls", str(spent["calls"]), "calls"),
        ("tool_calls", str(spent["tool_calls"]), "tool calls"),
        ("seconds", f"{spent['seconds']:.1f}", "s"),
        ("cost", f"{float(spent['cost']):.4f}", "USD"),
    ):
        limit = limits.get(name)
        if limit is not None:
            of = f"{limit:,}" if isinstance(limit, int) else f"{float(limit):g}"
            parts.append(f"{used} of {of} {unit}")
        elif name in ("tokens", "seconds") or (name == "tool_calls" and spent["tool_calls"]):
            parts.append(f"{used} {unit}")
    return " · ".join(parts)


def meter(spent: dict[str, Any], left: dict[str, Any], limits: dict[str, Any]) -> RenderableType:
    """The budget as a bar of its scarcest dimension, and in figures."""
    shares = [
        1 - float(left[name]) / float(limit)
        for name, limit in limits.items()
        if limit is not None and float(limit) > 0 and left.get(name) is not None
    ]
    figures = Text(budget_text(spent, limits), style="dim", no_wrap=True, overflow="ellipsis")
    if not shares:
        return Text.assemble(("budget ", "dim"), figures)
    row = Table.grid(padding=(0, 1))
    used = max(shares)
    style = "red" if used > 0.9 else "yellow" if used > 0.6 else "green"
    bar = ProgressBar(total=1.0, completed=used, width=24, complete_style=style)
    row.add_row(Text("budget", style="dim"), bar, figures)
    return row
