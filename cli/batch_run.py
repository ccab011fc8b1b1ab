"""The work of `mull batch`: answers into a file, progress on standard error."""

from __future__ import annotations

import argparse
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.text import Text

from ..agents import Agent
from ..batches import Batch, Progress, Report
from ..budgets import Budget, Ledger
from ..models import resolve_model
from . import ANSWERED, FAILED, INTERRUPTED, NO_BUDGET
from .answering import settings_of, tools_of
from .live import budget_text, stderr_console

SAY_AGAIN = 10.0
"""Seconds between two lines of progress where there is no terminal."""


def run(arguments: argparse.Namespace) -> int:
    """Answer what is not answered yet; say how it ended and how to go on."""
    console = stderr_console()
    total = None if arguments.total_budget is None else Budget.parse(arguments.total_budget)
    batch = Batch(
        _agents(arguments, console),
        budget=arguments.budget,
        total=total,
        concurrency=arguments.concurrency,
    )
    with Interrupts(console) as interrupts, View(console, total or Budget()) as view:
        report = batch.run(
            arguments.questions,
            arguments.results,
            retry_errors=arguments.retry_errors,
            stop=interrupts.stop,
            watch=view.show,
        )
    console.print(Text(f"batch  {said(report.progress, total or Budget())}"), soft_wrap=True)
    for line in advice(report, arguments.results):
        console.print(Text(f"mull: {line}"), soft_wrap=True)
    return _code(report)


class Interrupts:
    """Ctrl-C: the first asks the batch to stop, the second ends it at once. A context manager."""

    def __init__(self, console: Console) -> None:
        self.stop = threading.Event()
        self._console = console
        self._before: Any = None

    def __enter__(self) -> Interrupts:
        self._before = signal.signal(signal.SIGINT, self._interrupted)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        if self.stop.is_set():
            raise KeyboardInterrupt
        self.stop.set()
        self._console.print(
            "mull: finishing the questions in flight. Ctrl-C again stops at once; the same "
            "command goes on later",
            soft_wrap=True,
        )


class View:
    """The progress: a bar on a terminal, else a line now and then. A context manager."""

    def __init__(self, console: Console, limits: Budget) -> None:
        self._console = console
        self._limits = limits
        self._said: float | None = None
        self._bar = Bar(
            TextColumn("batch"),
            BarColumn(bar_width=20),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> View:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def show(self, progress: Progress) -> None:
        """Show where the batch stands."""
        now = time.monotonic()
        if self._console.is_terminal:
            self._bar.update(
                self._task,
                total=progress.total,
                completed=progress.finished,
                description=said(progress, self._limits),
            )
        elif self._said is None or now - self._said >= SAY_AGAIN:
            self._said = now
            self._console.print(Text(f"batch  {said(progress, self._limits)}"), soft_wrap=True)


def said(progress: Progress, limits: Budget) -> str:
    """The progress in words. Pure."""
    parts = [f"{progress.finished:,} of {progress.total:,}"]
    if progress.failed:
        parts.append(f"{progress.failed:,} errors")
    if progress.rate is not None:
        parts.append(f"{progress.rate:.1f} a second")
    if progress.seconds_left:
        minutes, seconds = divmod(round(progress.seconds_left), 60)
        hours, minutes = divmod(minutes, 60)
        parts.append(f"{hours}:{minutes:02}:{seconds:02} left")
    return " · ".join([*parts, budget_text(progress.spent.as_dict(), limits.as_dict())])


def advice(report: Report, results: str) -> list[str]:
    """How to go on. Pure."""
    lines = []
    left = f"{report.progress.total - report.progress.finished:,} questions are left"
    if report.stopped == "budget":
        lines.append(f"the batch's budget ended, and {left}: go on with a larger --total-budget")
    elif report.stopped == "interrupted":
        lines.append(f"stopped, and {left}: the same command goes on")
    if report.progress.failed:
        lines.append(
            f"{report.progress.failed:,} rows of {results} are errors: --retry-errors asks again"
        )
    return lines


def _agents(arguments: argparse.Namespace, console: Console) -> Any:
    """Makes the agent of each question; they share the model and the tools."""
    model = resolve_model(arguments.model, base_url=arguments.base_url)
    tools, settings = tools_of(arguments, console), settings_of(arguments)

    def agent(ledger: Ledger) -> Agent:
        return Agent(
            model,
            tools=tools,
            depth=arguments.depth,
            effort=arguments.effort,
            verifier=arguments.verify,
            settings=settings,
            ledger=ledger,
        )

    return agent


def _code(report: Report) -> int:
    if report.stopped == "budget":
        return NO_BUDGET
    if report.stopped == "interrupted":
        return INTERRUPTED
    return FAILED if report.progress.failed else ANSWERED
